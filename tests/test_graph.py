"""The graph that HDBSCAN gets, on vectors made to be difficult, against the complete graph of all pairs."""
import numpy as np
import pytest
from scipy.sparse.csgraph import minimum_spanning_tree
from sklearn.metrics import pairwise_distances
from sklearn.preprocessing import normalize

from conftest import run_on_vectors


def group(random, centre, size, spread=0.3):
    return centre + spread * random.normal(size=(size, len(centre))) / np.sqrt(len(centre))


def two_far_groups():
    random = np.random.default_rng(1)
    return normalize(np.vstack([group(random, np.eye(64)[0], 60), group(random, np.eye(64)[1], 45)])), 20


def many_islands():
    random = np.random.default_rng(2)
    return normalize(np.vstack([group(random, centre, 12, spread=0.1) for centre in np.eye(64)[:15]])), 5


def identical_rows():
    random = np.random.default_rng(3)
    return normalize(np.vstack([np.tile(random.normal(size=64), (30, 1)), random.normal(size=(120, 64))])), 80


def more_identical_rows_than_neighbours():
    random = np.random.default_rng(4)
    return normalize(np.vstack([np.tile(random.normal(size=64), (30, 1)), random.normal(size=(60, 64))])), 10


def fewer_rows_than_neighbours():
    return normalize(np.random.default_rng(5).normal(size=(40, 64))), 80


def complete_tree_weight(vectors, min_samples=3):
    """The weight of the spanning tree of all pairs, with the notebook's edge weights, computed the long way."""
    between = pairwise_distances(vectors.astype(float))
    np.fill_diagonal(between, 0)
    core = np.sort(between, axis=1)[:, min_samples]
    weight = np.maximum(between, np.maximum.outer(core, core)) + 1e-4 * between
    weight = np.maximum(weight, 1e-10)
    np.fill_diagonal(weight, 0)
    return minimum_spanning_tree(weight).sum()


@pytest.mark.parametrize("metric", ["L2", "IP"])
@pytest.mark.parametrize("make, islands, tolerance", [
    (two_far_groups, True, 1e-3), (many_islands, True, 1e-3), (identical_rows, False, 1e-6),
    (more_identical_rows_than_neighbours, None, 1e-3), (fewer_rows_than_neighbours, False, 1e-6)])
def test_tree_weighs_as_much_as_that_of_all_pairs(workbench, tmp_path, make, islands, tolerance, metric):
    vectors, neighbours = make()
    found = run_on_vectors(workbench, tmp_path, vectors, N_NEIGHBORS=neighbours, METRIC_TYPE=metric)
    assert found["tree"].sum() / 2 == pytest.approx(complete_tree_weight(found["embeddings"]), rel=tolerance)
    assert np.array_equal(found["neighbours"][:, 0], np.arange(len(vectors)))
    assert (found["distances"][:, 0] == 0).all()
    exact = np.sort(pairwise_distances(found["embeddings"].astype(float)), axis=1)[:, :found["distances"].shape[1]]
    assert np.allclose(found["distances"], exact, atol=1e-4)
    if islands is not None:
        assert ("islands: 1\n" != workbench.said[workbench.said.index("islands:"):][:11]) == islands
        assert (" 0 links added" not in workbench.said) == islands


def test_tree_of_the_sample_weighs_as_much_as_that_of_all_pairs(sample_run):
    tree, embeddings = sample_run.value("(tree, embeddings)")
    assert tree.sum() / 2 == pytest.approx(complete_tree_weight(embeddings), rel=1e-6)


def test_far_groups_are_joined_by_their_true_shortest_link(workbench, tmp_path):
    """An artificial link would swallow the smaller group; the true one lets both be found."""
    vectors, neighbours = two_far_groups()
    found = run_on_vectors(workbench, tmp_path, vectors, N_NEIGHBORS=neighbours)
    first = found["embeddings"][:, 0] > found["embeddings"][:, 1]
    across = pairwise_distances(found["embeddings"][first].astype(float), found["embeddings"][~first]).min()
    assert found["tree"].data.max() == pytest.approx(across * (1 + 1e-4), rel=1e-5)
    assert all(len(set(first[found["labels"] == label])) == 1 for label in set(found["labels"]) - {-1})


def test_memory_grows_with_rows_times_neighbours(sample_run):
    start, core_distance = sample_run.value("(edges[0], core_distance)")
    assert len(start) == len(core_distance) * 79  # no edge more than the neighbours, where no links were needed


def test_toy_says_what_the_text_says(sample_run):
    """The figures in the prose about the six points."""
    core, reachability = sample_run.value("(core, reachability)")
    assert core.tolist() == [2.5, 1.5, 2.5, 3.5, 4.5, 7]
    assert round(core[5] / core[0], 1) == 2.8 and round((core[5] / core[0]) ** 2, 1) == 7.8
    assert reachability[3, 4] == 4.5
    nearest = sample_run.value("nearest")
    assert set(nearest[5]) == {3, 4} and 5 not in nearest[:5]
