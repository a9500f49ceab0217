"""The other ways from vectors to clusters that the benchmark compares with the notebook.

Vectors are n x d arrays of unit vectors (float32). Labels are arrays of n cluster numbers, -1 for
noise. What needs a package that is not installed raises ImportError.
"""

from functools import lru_cache

import hdbscan
import numpy as np
import umap
from scipy import sparse
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.neighbors import NearestNeighbors
from umap.umap_ import fuzzy_simplicial_set


def hdbscan_on_vectors(vectors):
    """The notebook's two lines."""
    return hdbscan.HDBSCAN(min_samples=3, min_cluster_size=3).fit_predict(vectors)


def umap_first(vectors, min_cluster_size=3):
    """HDBSCAN on five numbers that UMAP makes of each vector; otherwise UMAP's own defaults."""
    reduced = five_numbers(vectors.tobytes(), vectors.shape[1])
    return hdbscan.HDBSCAN(min_cluster_size=min_cluster_size).fit_predict(reduced)


@lru_cache(maxsize=1)  # for all sizes of clusters
def five_numbers(content, columns):
    """Return five numbers that UMAP makes of each vector. content: bytes of n x columns float32."""
    vectors = np.frombuffer(content, np.float32).reshape(-1, columns)
    return umap.UMAP(n_components=5, random_state=42, n_jobs=1).fit_transform(vectors)


def published(vectors):
    """The published tutorial's way, with exact neighbours that scikit-learn finds."""
    near = NearestNeighbors(n_neighbors=min(50, len(vectors))).fit(vectors)
    distances, neighbours = near.kneighbors(vectors)
    matrix = np.full([len(vectors)] * 2, np.inf)
    np.put_along_axis(matrix, neighbours, distances**2, axis=1)
    return cluster_published_matrix(matrix)


def cluster_published_matrix(matrix):
    """Return labels from n x n squared distances, infinite but for the 50 nearest of each row.

    As published, the matrix makes hdbscan crash; here it is made symmetric and finite.
    """
    np.minimum(matrix, matrix.T, out=matrix)
    matrix[np.isinf(matrix)] = 2 * matrix[np.isfinite(matrix)].max()
    way = hdbscan.HDBSCAN(min_samples=3, min_cluster_size=3, metric="precomputed")
    return way.fit_predict(matrix)


def evoc_clusters(vectors):
    """EVoC with its defaults, the layer that it chooses."""
    from evoc import EVoC

    return EVoC(random_state=42).fit_predict(vectors)


def plscan(vectors, min_samples, measure):
    """PLSCAN (Bot and others): HDBSCAN's leaves, at the smallest size that lasts longest.

    measure: what lasts, "size" or "size-density"."""
    from fast_plscan import PLSCAN

    way = PLSCAN(min_samples=min_samples, persistence_measure=measure)
    return way.fit_predict(vectors.astype(float))


def leiden(vectors, resolution):
    """Leiden (Traag and others, 2019) on the graph of 15 neighbours, as scanpy does by default.

    The graph is UMAP's, symmetric, with weights; groups of one or two are noise."""
    import igraph
    import leidenalg

    near = NearestNeighbors(n_neighbors=15).fit(vectors)
    distances, neighbours = near.kneighbors(vectors)
    graph = fuzzy_simplicial_set(
        vectors,
        15,
        np.random.RandomState(0),
        "euclidean",
        knn_indices=neighbours,
        knn_dists=distances,
    )[0]
    pairs = sparse.triu(graph).tocoo()
    network = igraph.Graph(len(vectors), np.column_stack([pairs.row, pairs.col]))
    found = leidenalg.find_partition(
        network,
        leidenalg.RBConfigurationVertexPartition,
        weights=pairs.data.astype(float),
        resolution_parameter=resolution,
        n_iterations=-1,
        seed=0,
    )
    return without_small(np.array(found.membership))


def average_linkage(vectors, heights):
    """Return one array of labels for each height at which the tree is cut; small ones are noise."""
    tree = linkage(vectors, "average")
    return [without_small(fcluster(tree, height, "distance") - 1) for height in heights]


def without_small(groups):
    """Return labels of n group numbers: groups of one or two are noise."""
    large = np.flatnonzero(np.bincount(groups) >= 3)
    return np.where(np.isin(groups, large), np.searchsorted(large, groups), -1)


def recall(exact, found):
    """Return the share of the exact nearest neighbours that the found ones contain, of n x k."""
    return float(np.mean([np.isin(*pair).mean() for pair in zip(exact, found, strict=True)]))
