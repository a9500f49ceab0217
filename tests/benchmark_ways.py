"""The ways from vectors to clusters that the benchmark compares; `Notebook` executes the notebook's own cells.

Vectors are n x d arrays of unit vectors (float32). Labels are arrays of n cluster numbers, -1 for noise.
"""
import io
import os
import re
from contextlib import redirect_stdout
from unittest import mock

import hdbscan
import numpy as np
import umap
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.neighbors import NearestNeighbors

from conftest import SETTINGS, sections


class Notebook:
    """The notebook in the current folder, executed section by section; `names` are its variables."""

    def __init__(self, **settings):
        """Settings that are not given have their defaults, whatever the environment or a file .env says."""
        self.settings = dict.fromkeys(SETTINGS, "") | settings
        self.names = {"display": lambda *_: None}

    def run(self, *headings):
        """Execute all code cells of the sections with these headings."""
        for heading in headings:
            self.execute(sections()[heading])

    def run_until(self, heading, variable):
        """Execute the section's cells up to the one that assigns this variable."""
        for source in sections()[heading]:
            self.execute([source])
            if re.search(rf"^{variable} = ", source, re.M):
                return
        raise LookupError(f"no cell of the section {heading} assigns {variable}")

    def execute(self, sources):
        with mock.patch.dict(os.environ, self.settings), redirect_stdout(io.StringIO()):
            for source in sources:
                if not source.startswith("%pip"):
                    exec(compile(source, "<notebook>", "exec"), self.names)


def hdbscan_on_vectors(vectors):
    return hdbscan.HDBSCAN(min_samples=3, min_cluster_size=3).fit_predict(vectors)


def umap_first(vectors, min_cluster_size=3):
    """HDBSCAN on five numbers that UMAP makes of each vector; otherwise UMAP's own defaults."""
    reduced = umap.UMAP(n_components=5, random_state=42, n_jobs=1).fit_transform(vectors)
    return hdbscan.HDBSCAN(min_cluster_size=min_cluster_size).fit_predict(reduced)


def published(vectors):
    """The published tutorial's way, with exact neighbours that scikit-learn finds."""
    near = NearestNeighbors(n_neighbors=min(50, len(vectors))).fit(vectors)
    distances, neighbours = near.kneighbors(vectors)
    matrix = np.full([len(vectors)] * 2, np.inf)
    np.put_along_axis(matrix, neighbours, distances ** 2, axis=1)
    return cluster_published_matrix(matrix)


def cluster_published_matrix(matrix):
    """Return labels from n x n squared distances, infinite but for the 50 nearest of each row.

    As published, the matrix makes hdbscan crash; here it is made symmetric and finite.
    """
    np.minimum(matrix, matrix.T, out=matrix)
    matrix[np.isinf(matrix)] = 2 * matrix[np.isfinite(matrix)].max()
    return hdbscan.HDBSCAN(min_samples=3, min_cluster_size=3, metric="precomputed").fit_predict(matrix)


def evoc_clusters(vectors):
    """EVoC with its defaults, the layer that it chooses. ImportError where the package evoc is not installed."""
    from evoc import EVoC
    return EVoC(random_state=42).fit_predict(vectors)


def average_linkage(vectors, heights):
    """Return one array of labels for each height at which the tree is cut; groups of one or two are noise."""
    tree = linkage(vectors, "average")
    cuts = []
    for height in heights:
        group = fcluster(tree, height, "distance") - 1
        large = np.flatnonzero(np.bincount(group) >= 3)
        cuts.append(np.where(np.isin(group, large), np.searchsorted(large, group), -1))
    return cuts


def recall(exact, found):
    """Return the share of the exact nearest neighbours that the found ones contain; both are n x k row numbers."""
    return float(np.mean([np.isin(*pair).mean() for pair in zip(exact, found)]))
