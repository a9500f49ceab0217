"""The graph that HDBSCAN gets, on vectors made to be difficult, against the complete graph of all pairs."""
import re

import numpy as np
import pandas as pd
import pytest
from scipy.sparse.csgraph import minimum_spanning_tree
from sklearn.metrics import adjusted_rand_score, pairwise_distances
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from conftest import complete_weights, fit_complete, given_vectors, shown

RANDOM = np.random.default_rng(1)  # of the vectors of the first test
AXES = np.eye(64)


def group(centre, size, spread=0.3, random=RANDOM):
    return centre + spread * random.normal(size=(size, len(centre))) / np.sqrt(len(centre))


def components_in(found):
    return [int(count) for count in re.findall(r"^components: (\d+)$", found.said, re.M)]


@pytest.mark.parametrize("vectors, neighbours, metric, joined", [
    (np.vstack([group(AXES[0], 60), group(AXES[1], 45)]), 20, "L2", True),
    (np.vstack([group(axis, 12, spread=0.1) for axis in AXES[:15]]), 5, "IP", True),
    (np.vstack([np.tile(AXES[0], (30, 1)), RANDOM.normal(size=(120, 64))]), 80, "IP", False),
    (np.vstack([np.tile(AXES[0], (30, 1)), RANDOM.normal(size=(60, 64))]), 10, "L2", False),
    (RANDOM.normal(size=(40, 64)), 80, "IP", False)],
    ids=["far groups", "many components", "copies", "more copies than neighbours", "fewer rows than neighbours"])
def test_tree_weighs_as_much_as_that_of_all_pairs(run, tmp_path, vectors, neighbours, metric, joined):
    given = given_vectors(tmp_path, normalize(vectors))
    found = run(until="Stories", **given, N_NEIGHBORS=neighbours, METRIC_TYPE=metric)
    weight = minimum_spanning_tree(complete_weights(found.embeddings)).sum()
    assert found.tree.sum() / 2 == pytest.approx(weight, rel=1e-3 if joined else 1e-6)
    exact = np.sort(pairwise_distances(found.embeddings.astype(float)), axis=1)[:, :found.distances.shape[1]]
    far = exact > 0.01  # nearer, the inner product of float32 knows four digits of the square
    assert np.allclose(found.distances[far], exact[far], atol=1e-4) and np.allclose(found.distances, exact, atol=1e-3)
    components = components_in(found)
    assert (components[0] > 1) == joined and components[-1] == 1 and found.tree.nnz == 2 * (len(vectors) - 1)


def test_hundreds_of_components_are_joined_in_few_rounds(run, tmp_path):
    """Each round joins every component to another, so that half of them are left at most."""
    random = np.random.default_rng(10)
    vectors = normalize(np.vstack([group(centre, 30, 0.1, random) for centre in random.normal(size=(333, 16))]))

    def search_without_milvus(found):
        distances, neighbours = NearestNeighbors(n_neighbors=6).fit(vectors).kneighbors(vectors)
        vars(found).update(embeddings=np.float32(vectors), news=pd.DataFrame(vectors), k=6, distances=distances,
                           neighbours=neighbours, MIN_SAMPLES=3)
    skip = ["Headlines", "Embeddings", "Milvus", "Nearest"]
    found = run(until="Stories", skip=skip, before={"Graph": search_without_milvus})
    components = components_in(found)
    assert components[0] >= 333 and components[-1] == 1 and len(components) <= 10
    assert all(after <= before / 2 for before, after in zip(components, components[1:]))
    assert np.unique(found.tree.nonzero()[0]).size == len(vectors) and found.tree.nnz == 2 * (len(vectors) - 1)


@pytest.mark.parametrize("seed", [0, 2, 7])
def test_clusters_that_live_for_no_time_do_not_decide(sample_run, seed):
    """Points with one decimal: so many distances are equal that the order of the rows would choose the clusters."""
    points = np.unique(np.random.default_rng(seed).normal(size=(150, 2)).round(1), axis=0)
    between = pairwise_distances(points)
    start, end = np.triu_indices(len(points), 1)
    core, labels = np.sort(between, axis=1)[:, 3], []
    for shuffle in range(5):
        order = np.random.default_rng(shuffle).permutation(len(points))
        place = np.argsort(order)
        edges = pd.DataFrame({"start": place[start], "end": place[end], "length": between[start, end]})
        labels.append(sample_run.fit_hdbscan(sample_run.spanning_tree(edges, core[order]), 3).labels_[place])
    assert labels[0].max() > 0
    assert [adjusted_rand_score(labels[0], other) for other in labels[1:]] == [1.0] * 4


def test_the_check_sees_an_approximate_search(run):
    """A tenth of the neighbours is taken away at random; the printed agreement is the true one, and clearly below 1."""
    def thin(found):
        drawn = np.random.default_rng(0).random((len(found.news), found.k)) - np.eye(1, found.k)  # itself is kept
        found.k = int(0.9 * found.k)
        kept = np.sort(drawn.argsort(axis=1)[:, :found.k], axis=1)
        found.neighbours, found.distances = (
            np.take_along_axis(table, kept, axis=1) for table in (found.neighbours, found.distances))
    found = run(until="The map", before={"Graph": thin})
    printed = shown(found, "Stories", pd.DataFrame)[0].loc["ours", "all pairs"]
    true = adjusted_rand_score(found.labels, fit_complete(found.embeddings).labels_)
    assert printed == pytest.approx(true, abs=6e-4) and printed < 0.97
