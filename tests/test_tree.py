"""The proven tree, on vectors made to be difficult, against the tree of all pairs."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.cluster.hierarchy import linkage
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import pdist, squareform
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import normalize

from conftest import complete_weights, nearest
from notebook import (
    connect_parts,
    find_tree,
    fit_hdbscan,
    hdbscan,
    joined_groups,
    lightest_links,
    links_in_doubt,
    list_reach,
    order_table,
    pair_weights,
    proof_sentence,
    proof_table,
    spanning_tree,
    weighted_pairs,
)

AXES = np.eye(64)


def group(centre, size, spread, random):
    """Rows around a centre; their distance from it is about `spread`."""
    return centre + spread * random.normal(size=(size, len(centre))) / np.sqrt(len(centre))


def stories_of(size, random):
    """Ten stories of this size around directions of their own, and 40 rows of noise."""
    centres = normalize(random.normal(size=(10, 64)))
    told = [group(centre, size, 0.8, random) for centre in centres]
    return np.vstack([*told, random.normal(size=(40, 64))])


def make(case):
    """Return unit vectors (float32) of a difficult kind."""
    random = np.random.default_rng(4)
    vectors = {
        "stories of 60": lambda: stories_of(60, random),
        "stories of 100": lambda: stories_of(100, random),
        "stories of 300": lambda: stories_of(300, random)[:1500],
        "far groups": lambda: np.vstack([group(axis, 40, 0.1, random) for axis in AXES[:20]]),
        "two giants": lambda: np.vstack([group(axis, 400, 0.9, random) for axis in AXES[:2]]),
        "one giant": lambda: np.vstack(
            [group(AXES[0], 700, 0.5, random), random.normal(size=(300, 64))]
        ),
        "ties": lambda: np.unique(random.normal(size=(400, 3)).round(1), axis=0),
        "copies": lambda: np.vstack(
            [np.tile(AXES[0], (50, 1)), np.tile(AXES[1], (30, 1)), random.normal(size=(200, 64))]
        ),
    }[case]()
    return normalize(vectors).astype(np.float32)


def assert_minimum(tree, vectors, min_samples=3):
    """The tree is a spanning tree of these vectors, and its links weigh what the minimum's weigh.

    Each link is a pair of rows with its true weight, and the sorted weights of all links are
    those of single linkage on all pairs: no other tree has them."""
    weights = complete_weights(vectors, min_samples)
    exact = linkage(squareform(weights, checks=False), "single")[:, 2]
    assert tree["weight"].to_numpy() == pytest.approx(weights[tree["start"], tree["end"]], rel=1e-6)
    assert tree["weight"].to_numpy() == pytest.approx(exact, rel=1e-6)
    assert tree["weight"].sum() == pytest.approx(exact.sum(), rel=1e-6)
    graph = sparse.coo_array((tree["weight"], (tree["start"], tree["end"])), weights.shape)
    assert sparse.csgraph.connected_components(graph, directed=False)[0] == 1


CASES = [
    "stories of 60",
    "stories of 100",
    "stories of 300",
    "far groups",
    "two giants",
    "one giant",
    "ties",
    "copies",
]


@pytest.mark.parametrize("case", CASES)
def test_with_16_neighbours_the_tree_is_that_of_all_pairs(case):
    vectors = make(case)
    tree = find_tree(vectors, nearest(vectors, 16), min_samples=3)[0]
    assert_minimum(tree, vectors)


@pytest.mark.parametrize("case", CASES)
def test_with_16_neighbours_every_label_is_that_of_all_pairs(case):
    vectors = make(case)
    tree = find_tree(vectors, nearest(vectors, 16), min_samples=3)[0]
    labels = fit_hdbscan(tree, len(vectors), 3, len(vectors)).labels_
    dense = hdbscan.HDBSCAN(
        3, min_samples=1, metric="precomputed", cluster_selection_persistence=0.001
    )
    exact = dense.fit_predict(complete_weights(vectors))
    assert adjusted_rand_score(exact, labels) == 1 and ((labels < 0) == (exact < 0)).all()


@pytest.mark.parametrize("case", ["stories of 100", "far groups", "two giants"])
def test_the_lists_alone_are_not_enough_there(case):
    """Otherwise the tests above would prove nothing."""
    vectors = make(case)
    neighbours = nearest(vectors, 16)
    tree = spanning_tree(weighted_pairs(neighbours, 3), len(vectors))
    exact = minimum_spanning_tree(complete_weights(vectors)).sum()
    assert len(tree) < len(vectors) - 1 or tree["weight"].sum() > exact * (1 + 1e-5)
    assert links_in_doubt(tree, list_reach(neighbours))[0].any()


@pytest.mark.parametrize("limit", [4, 5, 8, 40, 150, 440])
def test_any_number_of_neighbours_gives_the_same_tree(limit):
    """From MIN_SAMPLES + 1 to all rows."""
    random = np.random.default_rng(2)
    vectors = normalize(
        np.vstack(
            [
                *[
                    group(centre, 80, 0.8, random)
                    for centre in normalize(random.normal(size=(5, 64)))
                ],
                random.normal(size=(40, 64)),
            ]
        )
    ).astype(np.float32)
    tree = find_tree(vectors, nearest(vectors, limit), min_samples=3)[0]
    assert_minimum(tree, vectors)


@pytest.mark.parametrize("min_samples", [1, 2, 10, 15])
def test_other_core_distances_are_proven_too(min_samples):
    vectors = make("stories of 60")
    tree = find_tree(vectors, nearest(vectors, 16), min_samples=min_samples)[0]
    assert_minimum(tree, vectors, min_samples)


def test_a_link_is_proven_only_if_all_lists_of_one_side_reach_as_far():
    """Two pairs of points, 5 apart: 0-1 and 2-3; the table says how far each list reaches."""
    tree = pd.DataFrame({"start": [0, 2, 1], "end": [1, 3, 2], "weight": [1.0, 1.0, 5.0]})
    for reach, in_doubt in [
        ([5, 5, 1, 1], False),
        ([1, 1, 5, 5], False),
        ([5, 5, 5, 5], False),
        ([5, 4.9, 5, 4.9], True),
        ([9, 4.9, 4.9, 9], True),
        ([1, 1, 1, 1], True),
    ]:
        assert links_in_doubt(tree, np.array(reach))[0].tolist() == [False, False, in_doubt], reach


def test_rows_of_the_smaller_group_whose_lists_end_too_early_have_to_look():
    """Three points in a row, and two: 0-1-2 and 3-4, far apart."""
    ends = {"start": [0, 1, 3, 2], "end": [1, 2, 4, 3], "weight": [1.0, 1.0, 1.0, 5.0]}
    tree = pd.DataFrame(ends)
    for reach, look_to in [
        ([1, 1, 1, 4.9, 1], [0, 0, 0, 5, 5]),
        ([1, 1, 1, 5, 1], [0, 0, 0, 0, 5]),
        ([1, 1, 1, 5, 5], [0, 0, 0, 0, 0]),
        ([5, 5, 5, 1, 1], [0, 0, 0, 0, 0]),
    ]:
        assert links_in_doubt(tree, np.array(reach))[1].tolist() == look_to, reach


def test_a_row_looks_as_far_as_the_heaviest_link_in_doubt():
    """0-1 is the smaller group at 3, and part of the smaller one at 5."""
    tree = pd.DataFrame(
        {
            "start": [0, 2, 2, 1, 5, 6, 7, 8, 3],
            "end": [1, 3, 4, 2, 6, 7, 8, 9, 5],
            "weight": [1.0, 1, 1, 3, 1, 1, 1, 1, 5],
        }
    ).sort_values("weight")
    in_doubt, look_to = links_in_doubt(tree, np.array([2, 4, *[1] * 8]))
    assert in_doubt.tolist() == [False] * 7 + [True] * 2
    assert look_to[:5].max() == 5 and look_to[5:].tolist() == [0] * 5


def test_groups_that_nothing_joins_are_in_doubt_but_for_the_largest():
    tree = pd.DataFrame({"start": [0, 1, 3], "end": [1, 2, 4], "weight": [1.0, 1.0, 1.0]})
    in_doubt, look_to = links_in_doubt(tree, np.full(6, 1.0))
    assert in_doubt.tolist() == [False] * 3 + [True] * 2
    assert look_to.tolist() == [0, 0, 0, np.inf, np.inf, np.inf]


def test_a_look_finds_the_lightest_link_to_each_other_part():
    """From each row that looks, as far as it has to: computed pair by pair."""
    random = np.random.default_rng(8)
    vectors = normalize(random.normal(size=(300, 8))).astype(np.float32)
    core = np.sort(squareform(pdist(vectors.astype(float))))[:, 3]
    weights, parts = complete_weights(vectors), random.integers(0, 5, 300)
    look_to = np.where(random.random(300) < 0.1, random.uniform(0.5, 1, 300), 0)
    look_to[7] = np.inf
    links = pd.concat(lightest_links(look_to, parts, core, vectors))
    expected = {}
    for row in np.flatnonzero(look_to):
        for part in set(range(5)) - {parts[row]}:
            others = np.flatnonzero(parts == part)
            nearest_one = others[weights[row, others].argmin()]
            if weights[row, nearest_one] < look_to[row]:
                expected[row, nearest_one] = weights[row, nearest_one]
    found = links.set_index(["start", "end"])["weight"].to_dict()
    assert 20 < len(found) == len(links) and found == pytest.approx(expected, rel=1e-6)


def test_many_far_groups_are_joined_by_one_look_in_blocks():
    """3,000 rows, so that one block does not hold their distances."""
    random = np.random.default_rng(10)
    centres = normalize(random.normal(size=(150, 16)))
    vectors = normalize(np.vstack([group(centre, 20, 0.05, random) for centre in centres]))
    vectors = np.float32(vectors)
    tree, looked_at = find_tree(vectors, nearest(vectors, 6), min_samples=3)
    assert looked_at >= 149
    assert_minimum(tree, vectors)


def test_an_approximate_index_joins_groups_and_proves_nothing():
    vectors = make("far groups")
    exact, joined = (
        find_tree(vectors, nearest(vectors, 16, is_exact), min_samples=3)[0]
        for is_exact in (True, False)
    )
    assert len(joined) == len(vectors) - 1 and joined["weight"].sum() >= exact["weight"].sum()
    said = proof_sentence(joined, 19, is_exact=False)
    assert "prove nothing" in said and "19 groups" in said and "All links are proven" not in said


def test_with_an_approximate_index_only_groups_that_nothing_joins_are_looked_at():
    for case, groups in ("stories of 100", 1), ("far groups", 20):
        vectors = make(case)
        pairs = weighted_pairs(nearest(vectors, 16), 3)
        unjoined = len(vectors) - len(spanning_tree(pairs, len(vectors)))
        looks = {
            is_exact: find_tree(vectors, nearest(vectors, 16, is_exact), min_samples=3)[1]
            for is_exact in (True, False)
        }
        assert looks[False] == unjoined - 1 == groups - 1 and looks[True] >= 8, case


def test_what_is_said_of_the_proof_is_counted():
    vectors = make("stories of 100")
    neighbours = nearest(vectors, 16)
    lists_tree = spanning_tree(weighted_pairs(neighbours, 3), len(vectors))
    in_doubt = sum(
        max(smaller["reach"], larger["reach"]) < weight
        for weight, smaller, larger in joined_groups(
            lists_tree, neighbours.distances[:, -1] * 1.0001
        )
    )
    tree, looked_at = find_tree(vectors, neighbours, min_samples=3)
    said = proof_sentence(tree, looked_at, is_exact=True)
    assert looked_at == in_doubt > 0
    assert f"{len(tree)} links: {len(tree) - in_doubt} proven by the lists" in said
    assert f"{in_doubt} by a look" in said and said.endswith("All links are proven.")


def test_parts_are_tied_to_the_first_row_by_links_heavier_than_all_others():
    tree = pd.DataFrame({"start": [1, 4, 2], "end": [3, 5, 0], "weight": [1.0, 4.0, 2.0]})
    ties = connect_parts(tree, 7)[3:]
    assert ties["start"].tolist() == [0, 0, 0] and ties["weight"].tolist() == [6.0] * 3
    assert sorted(ties["end"]) == [1, 4, 6]  # the first rows of 1-3, 4-5 and 6
    assert connect_parts(pd.concat([tree, ties]), 7)["start"].size == 6  # nothing is left to tie


def test_pairs_are_all_entries_of_all_lists():
    vectors = make("stories of 60")
    between = squareform(pdist(vectors.astype(float)))
    pairs = weighted_pairs(nearest(vectors, 9), 4)
    expected = {
        (row, other): between[row, other]
        for row in range(len(vectors))
        for other in between[row].argsort(kind="stable")[1:9]
    }
    assert pairs.set_index(["start", "end"])["length"].to_dict() == pytest.approx(expected)
    weights = complete_weights(vectors, 4)
    assert pairs["weight"].to_numpy() == pytest.approx(weights[pairs["start"], pairs["end"]])


def test_the_table_of_the_proof_says_what_lists_leave_out():
    """Believed or proven, short or long, beside all pairs."""
    vectors = make("stories of 60")
    table = proof_table(vectors, nearest(vectors, 16), 3, 3, 0)
    exact = minimum_spanning_tree(complete_weights(vectors)).sum()
    proven = table.index.str.contains("proven") | (table.index == "all pairs")
    weights, agreement = table["weight"].astype(float), table["agreement"].astype(float)
    assert table.index.tolist() == [
        "all pairs",
        "lists of 4, believed",
        "lists of 4, proven",
        "lists of 16, believed",
        "lists of 16, proven",
    ]
    assert weights[proven].tolist() == pytest.approx([exact] * 3, abs=1e-3)
    assert (agreement[proven] == 1).all() and (agreement[~proven] < 0.99).all()
    assert table["groups looked at"]["lists of 4, proven"] > 30


@pytest.mark.parametrize("seed", [0, 2, 5])
def test_clusters_that_live_for_no_time_do_not_decide(seed):
    """Points with one decimal: so many distances are equal that the order would choose clusters."""
    points = np.unique(np.random.default_rng(seed).normal(size=(150, 2)).round(1), axis=0)
    between, labels = squareform(pdist(points)).round(9), []
    core = np.sort(between)[:, 3]
    start, end = np.triu_indices(len(points), 1)
    weight = np.maximum(between, np.maximum(core[:, None], core)) + 1e-4 * between
    for shuffle in range(5):
        place = np.random.default_rng(shuffle).permutation(len(points))
        pairs = {"start": place[start], "end": place[end], "weight": weight[start, end]}
        tree = spanning_tree(pd.DataFrame(pairs), len(points))
        labels.append(fit_hdbscan(tree, len(points)).labels_[place])
    assert labels[0].max() > 0
    assert [adjusted_rand_score(labels[0], other) for other in labels[1:]] == [1.0] * 4


def test_no_story_is_larger_than_the_limit_and_without_clusters_all_is_noise():
    vectors = make("one giant")
    tree = find_tree(vectors, nearest(vectors, 16), min_samples=3)[0]
    free = np.bincount(fit_hdbscan(tree, 1000, 3, 1000).labels_ + 1)[1:]
    limited = np.bincount(fit_hdbscan(tree, 1000, 3, 250).labels_ + 1)[1:]
    assert free.max() > 250 >= limited.max() and len(limited) > len(free)
    assert set(fit_hdbscan(tree, 1000, 600, 1000).labels_) == {-1}


def test_without_the_tie_breaker_stories_depend_on_the_order_of_the_rows(sample_run):
    found = sample_run
    column = order_table(found.embeddings, found.neighbours, 3, 3, 0).iloc[:, 0]
    assert column["as they are"] == 1 and column["without the tie-breaker"] < 0.99


def test_of_links_that_reach_as_far_the_longer_is_heavier():
    """Weights by hand: the greatest of the three, never below 0.05, and a ten-thousandth."""
    assert pair_weights(1, 18, 19) == pytest.approx(19.0001)
    assert pair_weights(0.9, 0.2, 0.3) == pytest.approx(0.90009)
    assert pair_weights(0.0, 0.0, 0.01) == pytest.approx(0.05)
    assert pair_weights(0.4, 0.5, 0.1, tie_breaker=0) == pytest.approx(0.5)
    assert pair_weights(0.4, 0.5, 0.1) < pair_weights(0.41, 0.5, 0.1)


def test_all_links_are_counted_where_the_index_is_approximate():
    vectors = make("far groups")
    tree, looked_at = find_tree(vectors, nearest(vectors, 16, is_exact=False), min_samples=3)
    said = proof_sentence(tree, looked_at, is_exact=False)
    assert said.startswith(f"{len(vectors) - 1} links.") and f"; {looked_at} groups" in said


@pytest.mark.parametrize("case", ["stories of 100", "far groups"])
def test_without_the_tie_breaker_the_tree_is_that_of_all_pairs_too(case):
    vectors = make(case)
    between = squareform(pdist(vectors.astype(float)))
    core = np.sort(between)[:, 3]
    weights = np.maximum(np.maximum(between, np.maximum(core[:, None], core)), 0.05)
    np.fill_diagonal(weights, 0)
    tree, looked_at = find_tree(vectors, nearest(vectors, 16), min_samples=3, tie_breaker=0)
    exact = linkage(squareform(weights, checks=False), "single")[:, 2]
    assert looked_at > 0 and tree["weight"].to_numpy() == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("tie_breaker", [0, 1e-4, 1e-2])
def test_a_list_reaches_as_far_as_a_pair_just_beyond_it_weighs(tie_breaker):
    """At least: where both core distances are no longer than the pair."""
    neighbours = nearest(make("copies"), 16)
    last = neighbours.distances[:, -1]
    expected = np.maximum(last, 0.05) + tie_breaker * last
    assert list_reach(neighbours, tie_breaker) == pytest.approx(expected, rel=1e-12)


def test_the_limit_counts_when_the_rows_are_turned_around():
    """No story is as small as this limit, so all is noise, in any order of equal links."""
    vectors = make("ties")
    neighbours = nearest(vectors, 16)
    free, limited = (
        order_table(vectors, neighbours, 3, 3, limit).iloc[:, 0].to_dict() for limit in (0, 2)
    )
    assert free["without the tie-breaker"] < 1 and set(limited.values()) == {1.0}
