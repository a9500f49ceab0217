"""The graph that HDBSCAN gets, on vectors made to be difficult, against the complete graph of all pairs."""
import re

import numpy as np
import pandas as pd
import pytest
from scipy.sparse.csgraph import minimum_spanning_tree
from sklearn.metrics import adjusted_rand_score, pairwise_distances
from sklearn.preprocessing import normalize

from conftest import TOKEN, given_vectors, recall


def group(random, centre, size, spread=0.3):
    return centre + spread * random.normal(size=(size, len(centre))) / np.sqrt(len(centre))


def two_far_groups():
    random = np.random.default_rng(1)
    return normalize(np.vstack([group(random, np.eye(64)[0], 60), group(random, np.eye(64)[1], 45)])), 20


def many_components():
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
    weight = np.maximum(np.maximum(between, np.maximum.outer(core, core)), 0.05) + 1e-4 * between
    np.fill_diagonal(weight, 0)
    return minimum_spanning_tree(weight).sum()


@pytest.mark.parametrize("metric", ["L2", "IP"])
@pytest.mark.parametrize("make, joined", [
    (two_far_groups, True), (many_components, True), (identical_rows, False),
    (more_identical_rows_than_neighbours, False), (fewer_rows_than_neighbours, False)])
def test_tree_weighs_as_much_as_that_of_all_pairs(run, tmp_path, make, joined, metric):
    vectors, neighbours = make()
    found = run(until=8, **given_vectors(tmp_path, vectors), N_NEIGHBORS=neighbours, METRIC_TYPE=metric)
    assert found.tree.sum() / 2 == pytest.approx(complete_tree_weight(found.embeddings), rel=1e-3 if joined else 1e-6)
    assert np.array_equal(found.neighbours[:, 0], np.arange(len(vectors))) and (found.distances[:, 0] == 0).all()
    exact = np.sort(pairwise_distances(found.embeddings.astype(float)), axis=1)[:, :found.distances.shape[1]]
    far = exact > 0.01  # nearer, the inner product of float32 knows four digits of the square
    assert np.allclose(found.distances[far], exact[far], atol=1e-4) and np.allclose(found.distances, exact, atol=1e-3)
    components = [int(count) for count in re.findall(r"components: (\d+)", found.said)]
    assert (components[0] > 1) == joined and components[-1] == 1 and components == sorted(components, reverse=True)


def test_tree_of_the_sample_weighs_as_much_as_that_of_all_pairs(sample_run):
    assert sample_run.tree.sum() / 2 == pytest.approx(complete_tree_weight(sample_run.embeddings), rel=1e-6)


def test_far_groups_are_joined_by_their_true_shortest_link(run, tmp_path):
    """An artificial link would swallow the smaller group; the true one lets both be found."""
    vectors, neighbours = two_far_groups()
    found = run(until=8, **given_vectors(tmp_path, vectors), N_NEIGHBORS=neighbours)
    first = found.embeddings[:, 0] > found.embeddings[:, 1]
    across = pairwise_distances(found.embeddings[first].astype(float), found.embeddings[~first]).min()
    assert found.tree.data.max() == pytest.approx(across * (1 + 1e-4), rel=1e-5)
    assert all(len(set(first[found.labels == label])) == 1 for label in set(found.labels) - {-1})


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


def test_identical_embeddings_leave_the_persistence_of_stories_readable(run, tmp_path):
    random = np.random.default_rng(8)
    vectors = np.vstack([group(random, centre, 15, spread=0.6) for centre in np.eye(64)[:6]])
    vectors[3:8] = vectors[3]
    found = run(until=9, **given_vectors(tmp_path, normalize(vectors)))
    assert 5 <= len(found.stories) <= 7 and (found.stories["persistence"] > 0.01).all()
    copies = found.news.index[found.news["title"].isin([f"point {number}" for number in range(3, 8)])]
    assert len(set(found.labels[copies])) == 1 and found.labels[copies[0]] >= 0


def test_hnsw_answers_a_filter_however_few_rows_satisfy_it(run, tmp_path):
    random = np.random.default_rng(9)
    vectors = np.vstack([group(random, centre, size) for centre in normalize(random.normal(size=(40, 64))) for size in [3, 97]])
    settings = given_vectors(tmp_path, normalize(vectors)[:2000])
    found = run(until=11, **settings | {"skip": [3, 9]}, INDEX_TYPE="HNSW", replace={7: {"<= 3000": "<= 0"}})  # not all pairs
    assert len(found.stories) > 10
    for number, story in found.stories.iterrows():
        answers = found.ask("point 7", f"cluster == {number}", limit=story["headlines"] + 1)
        assert set(answers["cluster_name"]) <= {story["name"]} and answers["distance"].is_monotonic_increasing


def test_an_approximate_index_holds_all_rows_before_the_search(run, server, tmp_path):
    """From 16 MB on, a server searches a makeshift index until it loads the real one; it finds a quarter of these."""
    vectors = normalize(np.random.default_rng(6).normal(size=(5000, 1024)))
    found = run(until=5, **given_vectors(tmp_path, vectors), INDEX_TYPE="HNSW", MILVUS_ADDRESS=server, MILVUS_TOKEN=TOKEN,
                MILVUS_COLLECTION="approximate")
    hits = found.client.search(found.collection, found.embeddings[:200], limit=80, search_params={"params": {"ef": 160}})
    exact = pairwise_distances(found.embeddings[:200], found.embeddings).argsort(axis=1)[:, :80]
    assert recall(found.news["id"].to_numpy()[exact], np.array([hit.ids for hit in hits])) > 0.9
