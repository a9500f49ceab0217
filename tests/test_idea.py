"""Section 2 on its eleven points: what it shows, computed by hand or pair by pair."""

import itertools
import re
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from conftest import pictures, tables
from notebook import (
    Neighbours,
    draw_dendrogram,
    draw_links,
    find_tree,
    hdbscan,
    joined_groups,
    link_table,
    list_reach,
    spanning_tree,
    stability_table,
    toy_clusters,
)

POINTS = dict(zip("ABCDEFGHIJK", [0, 1, 2.5, 7, 8, 9, 20, 21, 22, 40, 41], strict=True))
STABILITIES = {  # name: points, reachability at birth, and where the last point leaves
    "ABC": (3, 4.5, 2.5),
    "DEF": (3, 4.5, 2),
    "ABCDEF": (6, 11, 4.5),
    "GHI": (3, 11, 2),
}


def reached(one, other, points):
    """Return the shortest length within which two points have each other, and two others each."""
    lengths = sorted(abs(a - b) for a in points for b in points)
    return next(
        length
        for length in lengths
        if abs(one - other) <= length
        and all(sum(abs(point - end) <= length for point in points) > 2 for end in (one, other))
    )


def reachabilities(points):
    """Return an n x n table of what `reached` says of each pair of named points."""
    return pd.DataFrame(
        {
            one: {other: reached(points[one], points[other], points.values()) for other in points}
            for one in points
        },
        dtype=float,
    )


def lived(size, born, left, power=1):
    """Return a stability by its definition, for lengths to this power."""
    return size * (1 / left**power - 1 / born**power)


@pytest.fixture(scope="module")
def toy():
    """HDBSCAN as the notebook fits it to the eleven points."""
    distances = np.abs(np.subtract.outer(list(POINTS.values()), list(POINTS.values())))
    return hdbscan.HDBSCAN(3, min_samples=2, metric="precomputed").fit(distances)


def test_bars_reach_as_far_as_the_second_neighbour_on_both_sides(sample_run):
    (trace,) = pictures(sample_run, "Core distances")[0].data
    assert dict(zip(trace.y, trace.x, strict=True)) == POINTS
    core = [2.5, 1.5, 2.5, 2, 1, 2, 2, 1, 2, 18, 19]
    assert list(trace.error_x.array) == list(map(float, trace.text)) == core
    assert trace.error_x.arrayminus is None  # as far on both sides


def test_reachabilities_are_those_of_their_definition(sample_run):
    table = tables(sample_run, "A")[0]
    assert table.to_dict() == reachabilities(POINTS).to_dict()
    assert table.loc["J", "K"] == 19  # what the text says
    assert table.loc["A", "B"] == table.loc["A", "C"] == table.loc["B", "C"] == 2.5


def test_the_dendrogram_shown_is_that_of_the_eleven_points(sample_run, toy):
    (figure,) = pictures(sample_run, "Dendrogram")
    assert figure.to_json() == draw_dendrogram(toy, list(POINTS)).to_json()


def test_the_dendrogram_has_each_link_at_its_reachability(toy):
    figure = draw_dendrogram(toy, list(POINTS))
    assert sorted(max(trace.y) for trace in figure.data) == [2, 2, 2, 2, 2.5, 2.5, 4.5, 11, 18, 19]
    assert list(figure.layout.yaxis.tickvals) == [2, 2.5, 4.5, 11, 18, 19]
    assert figure.layout.yaxis.title.text == "mutual reachability"


def test_the_dendrogram_has_each_points_cluster_in_brackets(toy):
    figure, found = draw_dendrogram(toy, list(POINTS)), defaultdict(str)
    for text in sorted(figure.layout.xaxis.ticktext):
        point, label = re.fullmatch(r"(\w) \((-?\d)\)", text).groups()
        found[label] += point
    assert found["-1"] == "JK" and set(found.values()) == {"ABC", "DEF", "GHI", "JK"}


def test_no_links_cross_in_the_dendrogram(toy):
    order = "".join(text[0] for text in draw_dendrogram(toy, list(POINTS)).layout.xaxis.ticktext)
    for group in "ABC", "DEF", "GHI", "ABCDEF":
        assert set(group) == set(order[min(map(order.find, group)) :][: len(group)])


@pytest.mark.parametrize("name", STABILITIES)
def test_a_stability_is_what_one_computes_by_hand(toy, name):
    size, born, left = STABILITIES[name]
    row = stability_table(toy, list(POINTS)).loc[name]
    assert row.tolist() == pytest.approx([size, 1 / born, 1 / left, lived(size, born, left)])


def test_the_stabilities_have_a_row_for_each_possible_cluster(sample_run, toy):
    (table,) = tables(sample_run, "density at birth")
    assert table.equals(stability_table(toy, list(POINTS)).round(3))
    assert set(table.index) == {*STABILITIES, "".join(POINTS)}


def test_what_is_printed_by_hand_is_what_the_table_says(sample_run):
    (table,) = tables(sample_run, "density at birth")
    by_hand = re.findall(
        r"^(\w+): (\d+) points x \(1/(.+) - 1/(.+)\) = (.+)$", sample_run.said, re.MULTILINE
    )
    assert {name for name, *_ in by_hand} == {"ABC", "DEF", "ABCDEF"}
    for name, *numbers in by_hand:
        size, left, born, stability = map(float, numbers)
        assert stability == pytest.approx(lived(size, born, left), abs=6e-4)
        assert stability == pytest.approx(table["stability"][name], abs=6e-4), name


def test_persistence_is_stability_per_point_as_a_share_of_the_greatest_density(toy):
    """Of ABC: 0.533 / 3 / (1/2) = 0.36, says the text of section 8."""
    table = stability_table(toy, list(POINTS)).loc[["ABC", "DEF", "GHI"]]
    share = table["stability"] / table.iloc[:, 0] / (1 / 2)
    assert share.tolist() == pytest.approx(toy.cluster_persistence_[toy.labels_[[0, 3, 6]]])
    assert share["ABC"] == pytest.approx(0.36, abs=0.005)


@pytest.mark.parametrize("seed", [8, 9])
def test_stabilities_of_other_points_agree_with_hdbscans_persistence(seed):
    """Twenty-six points at random: the table's figures give the persistence of each cluster."""
    places = pd.Series(
        np.random.default_rng(seed).normal(size=26).round(2),
        index=list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    )
    fitted = hdbscan.HDBSCAN(min_cluster_size=2, min_samples=1, metric="precomputed").fit(
        reachabilities(places.to_dict()).to_numpy()
    )
    table = stability_table(fitted, places.index)
    persistence = table["stability"] / table.iloc[:, 0] / table.iloc[:, 2].max()
    assert len(fitted.cluster_persistence_) > 2
    for label, expected in enumerate(fitted.cluster_persistence_):
        name = "".join(places.index[fitted.labels_ == label])
        inside = [row for row in table.index if set(name) <= set(row)]
        assert persistence[min(inside, key=len)] == pytest.approx(expected), name


def moved(by):
    """Return the eleven points with D, E and F so much nearer to C."""
    return pd.Series({name: at - by * (name in "DEF") for name, at in POINTS.items()})


@pytest.mark.parametrize(
    "power, by, clusters",
    [
        (1, 0, "ABC DEF GHI"),
        (1, 1, "ABCDEF GHI"),
        (2, 1, "ABC DEF GHI"),
        (1, 1.5, "ABCDEF GHI"),
        (2, 1.5, "ABCDEF GHI"),
    ],
)
def test_squares_change_the_clusters(power, by, clusters):
    """The parent is born where F is linked to G and ends at D's link to C: the stabilities say
    whether it has more than its children."""
    born, split = 11 + by, 4.5 - by
    parent = lived(6, born, split, power)
    children = lived(3, split, 2.5, power) + lived(3, split, 2, power)
    assert (parent > children) == ("ABCDEF" in clusters)
    assert toy_clusters(moved(by), power) == clusters.split()


def test_the_lines_on_squares_say_so(sample_run):
    """For D, E and F nearer by 1."""
    printed = re.findall("^by .*: (.*)$", sample_run.said, re.MULTILINE)
    assert [line.split() for line in printed] == [["ABCDEF", "GHI"], ["ABC", "DEF", "GHI"]]


def test_hdbscan_takes_the_second_neighbour_for_the_core_distance(toy):
    """Its links are those of the reachabilities that the table shows."""
    shown = hdbscan.HDBSCAN(3, min_samples=1, metric="precomputed").fit(
        reachabilities(POINTS).to_numpy()
    )
    assert np.array_equal(shown.labels_, toy.labels_)
    assert np.array_equal(
        *[np.sort(each.single_linkage_tree_.to_numpy()[:, 2]) for each in (shown, toy)]
    )


def lists_of_two(points):
    """Return each point's two nearest, and how far its second is: {name: set}, {name: length}."""
    near = {
        one: sorted(points, key=lambda other: abs(points[one] - points[other]))[1:3]
        for one in points
    }
    return (
        {one: set(two) for one, two in near.items()},
        {one: abs(points[one] - points[two[1]]) for one, two in near.items()},
    )


def linked(points):
    """Return the link table of named points, proven from their lists of two."""
    at = np.array(list(points.values()))
    lengths = np.abs(np.subtract.outer(at, at))
    rows = lengths.argsort(axis=1, kind="stable")[:, :3]
    lists = Neighbours(rows, np.take_along_axis(lengths, rows, axis=1), True)
    return link_table(find_tree(at[:, None], lists, 2)[0], list_reach(lists), pd.Index(points))


def places(seed):
    """Return the eleven points, or as many at random places that are all different."""
    random = np.random.default_rng(seed).choice(400, 11, replace=False) / 8
    return POINTS if seed is None else dict(zip(POINTS, random.tolist(), strict=True))


def plain(weight):
    """Return the length, a multiple of 1/8, that a weight stands for."""
    return np.floor(weight * 8) / 8


@pytest.fixture(params=[None, 0, 1, 2, 3])
def links(request):
    """Points, and for each link of their table: its weight without the ten-thousandth, {group: how
    far it reaches} of the two that it joins, and what proves it."""
    points = places(request.param)
    return points, [
        (plain(weight), {one: plain(reach), other: plain(other_reach)}, proof)
        for (_, weight, one, reach, other, other_reach, proof) in linked(points).to_numpy().tolist()
    ]


def test_the_links_shown_are_those_of_the_eleven_points(sample_run):
    """The two that need a look are the only ones that are on nobody's list."""
    (table,), (lists, _) = tables(sample_run, "proven"), lists_of_two(POINTS)
    assert table.equals(linked(POINTS).round(2))
    in_doubt = table[table["proven"].str.startswith("no")].to_numpy()[:, [0, 1, 2, 4]].tolist()
    assert in_doubt == [["C-D", 4.5, "ABC", "DEF"], ["F-G", 11, "GHI", "ABCDEF"]]
    pairs = [pair.split("-") for pair in table["link"]]
    assert [
        "-".join(pair)
        for pair in pairs
        if pair[0] not in lists[pair[1]] and pair[1] not in lists[pair[0]]
    ] == ["C-D", "F-G"]


def test_the_two_links_on_nobodys_list_are_drawn_in_red(sample_run):
    (figure,) = pictures(sample_run, "in red")
    lines = {
        colour: [set(line.y) for line in figure.data if line.line.color == colour]
        for colour in ("#333", "red")
    }
    assert lines["red"] == [set("CD"), set("FG")] and len(lines["#333"]) == 8
    assert list(figure.data[0].error_x.array) == list(lists_of_two(POINTS)[1].values())


def test_a_line_leads_from_point_to_point():
    points, links = pd.Series([3, 8, 1], list("XYZ")), pd.DataFrame({"start": [2], "end": [1]})
    dots, line = draw_links(points, [1, 1, 1], links, links[:0]).data
    assert dict(zip(line.y, line.x, strict=True)) == {"Z": 1, "Y": 8} and line.mode == "lines"
    assert dict(zip(dots.y, dots.x, strict=True)) == points.to_dict()


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_a_link_is_a_pair_of_points_one_of_each_group(seed):
    points = places(seed)
    for pair, weight, one, _, other, *_ in linked(points).to_numpy().tolist():
        start, end = pair.split("-")
        assert plain(weight) == reached(points[start], points[end], points.values())
        assert (start in one) != (start in other) and (end in one) == (start in other)


def test_each_link_joins_two_groups_until_all_hang_together(links):
    points, rows = links
    groups = set(points)
    for _, pair, _ in rows:
        assert set(pair) <= groups and len(pair) == 2
        groups = groups - set(pair) | {"".join(sorted("".join(pair)))}
    assert groups == {"".join(sorted(points))}


def test_a_link_is_as_long_as_the_shortest_reachability_between_its_groups(links):
    points, rows = links
    lengths = reachabilities(points)
    for length, pair, _ in rows:
        one, other = map(list, pair)
        assert length == lengths.loc[one, other].to_numpy().min()
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)


def test_a_groups_lists_reach_as_far_as_the_shortest_of_them(links):
    points, rows = links
    for _, pair, _ in rows:
        for group, reach in pair.items():
            assert reach == min(lists_of_two(points)[1][point] for point in group)


def test_nothing_that_the_lists_leave_out_is_shorter_than_a_proven_link(links):
    points, rows = links
    lists, _ = lists_of_two(points)
    proven = 0
    for length, pair, proof in rows:
        for group in set(re.findall(r"[A-Z]+", proof)) & set(pair):
            left_out = [
                (one, other)
                for one in group
                for other in set(points) - set(group)
                if other not in lists[one] and one not in lists[other]
            ]
            assert all(
                reached(points[one], points[other], points.values()) >= length
                for one, other in left_out
            ), (group, length)
            proven += 1
    assert proven > 3


def test_a_link_needs_a_look_where_a_list_of_either_group_ends_before_it(links):
    points, rows = links
    _, reach = lists_of_two(points)
    for length, pair, proof in rows:
        proving = [group for group in pair if all(reach[point] >= length for point in group)]
        assert re.findall(r"[A-Z]+", proof) == proving, (pair, length)
        assert ("look" in proof) == (not proving)


def test_groups_that_no_edge_connects_have_a_spanning_tree_each():
    """On a line, the minimum spanning tree of all pairs links each point to the next one."""
    random = np.random.default_rng(3)
    places = random.permutation(np.cumsum(random.uniform(1, 9, 12)))
    groups = [range(5), range(5, 11), range(11, 12)]  # the last point is on its own
    edges = [pair for group in groups for pair in itertools.combinations(group, 2)]
    edges = pd.DataFrame(edges, columns=["start", "end"])
    edges["weight"] = abs(places[edges["end"]] - places[edges["start"]])
    in_order = [sorted(group, key=lambda point: places[point]) for group in groups]
    gaps = sorted(
        (places[after] - places[before], {before, after})
        for group in in_order
        for before, after in itertools.pairwise(group)
    )
    tree = spanning_tree(edges, len(places))
    assert [{link.start, link.end} for link in tree.itertuples()] == [ends for _, ends in gaps]
    assert np.allclose(tree["weight"], [gap for gap, _ in gaps])


def test_joined_groups_are_the_components_of_the_links_before(seed=5):
    """Of 40 rows and 30 links at random: also those that nothing joins, which come last."""
    random = np.random.default_rng(seed)
    pairs = pd.DataFrame(random.integers(0, 40, (30, 2)), columns=["start", "end"])
    pairs = pairs[pairs["start"] != pairs["end"]].assign(weight=lambda table: table.index + 1.0)
    tree, reach = spanning_tree(pairs.drop_duplicates(["start", "end"]), 40), random.random(40)
    steps = [
        (weight, [sorted(group["rows"]) for group in pair], [group["reach"] for group in pair])
        for weight, *pair in joined_groups(tree, reach)
    ]
    for number, (weight, groups, reaches) in enumerate(steps):
        before = tree[:number]
        _, component = sparse.csgraph.connected_components(
            sparse.coo_array((before["weight"], (before["start"], before["end"])), (40, 40)),
            directed=False,
        )
        assert all(set(component[group]) == {component[group[0]]} for group in groups)
        assert [len(group) for group in groups] == [
            (component == component[group[0]]).sum() for group in groups
        ]
        assert reaches == [min(reach[group]) for group in groups]
        assert len(groups[0]) <= len(groups[1])
        if number < len(tree):
            assert weight == tree["weight"][number]
            ends = {component[tree["start"][number]], component[tree["end"][number]]}
            assert ends == {component[group[0]] for group in groups}
        else:
            assert weight == np.inf
    assert len(steps) == 39 and len(tree) < 30  # each step joins two groups, the last ones nothing
