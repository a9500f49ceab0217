"""Every picture and table of the notebook on the sample: what it must show, computed in another way."""
import itertools
import math
import re
from collections import Counter, defaultdict
from html import unescape
from types import SimpleNamespace

import hdbscan
import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
import pytest
from scipy.sparse.csgraph import minimum_spanning_tree
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from sklearn.manifold import trustworthiness
from sklearn.metrics import adjusted_rand_score, pairwise_distances

from conftest import complete_weights, fit_complete, sections, shown

POINTS = dict(zip("ABCDEFGHIJK", [0, 1, 2.5, 7, 8, 9, 20, 21, 22, 40, 41]))


@pytest.fixture(scope="module")
def known(sample_run, saved):
    """In the order of the CSV: clusters.csv, embeddings made anew, distances, HDBSCAN on all pairs, rows in `news`."""
    text = (saved["title"] + "\n" + saved["description"]).str.strip()
    vectors = sample_run.embed(text).astype(float)
    return SimpleNamespace(
        news=saved, text=text, vectors=vectors, between=pairwise_distances(vectors), complete=fit_complete(vectors),
        row=pd.Index(sample_run.news["text"]).get_indexer(text), names=sample_run.stories["name"])


def reached(one, other, points):
    """Return the shortest length within which two points have each other, and both have two others."""
    lengths = sorted(abs(a - b) for a in points for b in points)
    return next(length for length in lengths if abs(one - other) <= length and all(
        sum(abs(point - end) <= length for point in points) > 2 for end in (one, other)))


def plain(text):
    """Return a label of plotly as text without spaces, which it is wrapped at."""
    return "".join(unescape(re.sub("<.*?>", "", text)).split())


def told_by(near):
    """Return what three or more of five headlines tell, which is not noise, or None."""
    return next((story for story, count in Counter(near).items() if story not in (-1, "") and count > 2), None)


def test_toy_core_distances(sample_run):
    trace, = shown(sample_run, "eleven points", go.Figure)[0].data
    assert dict(zip(trace.y, trace.x)) == POINTS and trace.error_x.arrayminus is None  # as far on both sides
    core = [2.5, 1.5, 2.5, 2, 1, 2, 2, 1, 2, 18, 19]
    assert list(trace.error_x.array) == list(map(float, trace.text)) == core == sample_run.core.tolist()


def test_toy_reachabilities(sample_run):
    table = shown(sample_run, "eleven points", pd.DataFrame)[0]
    assert table.to_dict() == {one: {other: reached(POINTS[one], POINTS[other], POINTS.values()) for other in POINTS}
                               for one in POINTS}
    assert table.loc["J", "K"] == 19 and table.loc["A", "B"] == table.loc["A", "C"] == table.loc["B", "C"] == 2.5


def test_toy_dendrogram(sample_run):
    figure = shown(sample_run, "eleven points", go.Figure)[1]
    assert sorted(max(trace.y) for trace in figure.data) == [2, 2, 2, 2, 2.5, 2.5, 4.5, 11, 18, 19]
    assert list(figure.layout.yaxis.tickvals) == [2, 2.5, 4.5, 11, 18, 19] and figure.layout.yaxis.title.text
    found = defaultdict(str)
    for point, label in sorted(re.findall(r"(\w) \((-?\d)\)", " ".join(figure.layout.xaxis.ticktext))):
        found[label] += point
    assert found["-1"] == "JK" and set(found.values()) == {"ABC", "DEF", "GHI", "JK"}
    order = "".join(text[0] for text in figure.layout.xaxis.ticktext)
    for group in "ABC", "DEF", "GHI", "ABCDEF":  # side by side, so that no links cross
        assert set(group) == set(order[min(map(order.find, group)):][:len(group)])


def test_toy_stabilities(sample_run):
    table, toy = shown(sample_run, "eleven points", pd.DataFrame)[1], sample_run.toy
    rows = {"ABC": (4.5, 2.5, 3, 0.533), "DEF": (4.5, 2, 3, 0.833), "ABCDEF": (11, 4.5, 6, 0.788),
            "GHI": (11, 2, 3, 1.227)}
    for name, (born, left, size, stability) in rows.items():
        assert size * (1 / left - 1 / born) == pytest.approx(stability, abs=6e-4)
        assert table.loc[name].tolist() == pytest.approx([size, 1 / born, 1 / left, stability], abs=6e-4)
    assert set(table.index) == {*rows, "".join(POINTS)}
    persistence = toy.cluster_persistence_[toy.labels_[[0, 3, 6]]]  # of A, D and G
    assert persistence == pytest.approx([0.533 / 3 / 0.5, 0.833 / 3 / 0.5, 0.82], abs=5e-3)  # as the text says


def test_toy_parent_wins_where_its_halves_are_nearer(sample_run):
    points = [at - 1.5 * (name in "DEF") for name, at in POINTS.items()]
    lengths = np.array([[reached(one, other, points) for other in points] for one in points], dtype=float)
    labels = sample_run.fit_hdbscan(lengths, 3).labels_
    assert len(set(labels[:6])) == 1 and labels[0] >= 0


def test_first_rows_of_the_csv(sample_run, sample):
    assert shown(sample_run, "Headlines", pd.DataFrame)[0].equals(sample[:3])


def test_first_search_and_its_bars(sample_run, known):
    """The score is the squared distance; the bars change their colour at the longest jump."""
    nearest = known.between[0].argsort()[:10]
    lengths, titles = known.between[0][nearest], known.news["title"][nearest].tolist()
    table = shown(sample_run, "Nearest", pd.DataFrame)[0].set_index("headline")
    assert table.index.tolist() == titles and "score" in table
    for column in table:
        assert np.allclose(table[column], lengths ** (1 if column == "distance" else 2), atol=2e-3), column
    figure, jump = shown(sample_run, "Nearest", go.Figure)[0], 2 + np.diff(lengths[1:]).argmax()
    assert [trace.name for trace in figure.data] == ["before the jump", "after it"]
    before, after = figure.data
    assert list(before.y) == list(range(1, jump)) and list(after.y) == list(range(jump, 10))
    assert np.allclose([*before.x, *after.x], lengths[1:], atol=1e-4)
    assert list(map(plain, [figure.layout.title.text, *before.text, *after.text])) == list(map(plain, titles))
    assert before.marker.color != after.marker.color and figure.layout.yaxis.autorange == "reversed"


def test_histogram_of_core_distances_tells_stories_from_noise(sample_run, known):
    figure, core = shown(sample_run, "Stories", go.Figure)[0], np.sort(known.between)[:, 3]
    drawn, noise = {trace.name: trace for trace in figure.data}, known.news["cluster"] < 0
    assert set(drawn) == {"noise", "in a story"} and drawn["noise"].marker.color == "#c8c8c8"
    assert np.allclose(np.sort(drawn["noise"].x), np.sort(core[noise]), atol=1e-4)
    assert np.allclose(np.sort(drawn["in a story"].x), np.sort(core[~noise]), atol=1e-4)
    summary = f"501 headlines, {known.news['cluster'].max() + 1} stories, {noise.mean():.0%} noise"
    assert figure.layout.title.text == shown(sample_run, "The map", go.Figure)[0].layout.title.text == summary


def test_stories_are_those_of_all_pairs_numbered_by_size(known):
    assert adjusted_rand_score(known.news["cluster"], known.complete.labels_) == 1
    assert ((known.news["cluster"] < 0) == (known.complete.labels_ < 0)).all()
    assert np.allclose(known.news["probability"], known.complete.probabilities_, atol=1e-3)
    sizes = known.news["cluster"][known.news["cluster"] >= 0].value_counts().sort_index()
    assert sizes.is_monotonic_decreasing and sizes.index.tolist() == list(range(len(sizes)))


def entropy(labels):
    return -sum(share * math.log(share) for share in (count / len(labels) for count in Counter(labels).values()))


def test_check_lines_and_marks_against_the_truth(sample_run, known):
    """Homogeneity and completeness by their definition: how much less uncertain one is where the other is known."""
    order, news = known.row.argsort(), known.news  # that of the notebook's rows
    ordinary, backwards = (hdbscan.HDBSCAN(3, min_samples=3).fit_predict(known.vectors[order][::step])[::step]
                           for step in (1, -1))
    ways = {"ours": news["cluster"][order], "all pairs": known.complete.labels_[order],
            "pairs, reversed": known.complete.labels_[order],
            "ordinary HDBSCAN": ordinary, "ordinary, reversed": backwards}
    table = shown(sample_run, "Stories", pd.DataFrame)[0]
    assert list(table) == list(table.index) == list(ways)
    for one, other in itertools.product(ways, repeat=2):
        assert table.loc[one, other] == pytest.approx(adjusted_rand_score(ways[one], ways[other]), abs=6e-4)
    assert 0.8 < adjusted_rand_score(ordinary, backwards) < 1  # what the text says about ties
    for way, found in {"ours": news["cluster"], "ordinary HDBSCAN": ordinary[known.row],
                       "ours, with what leans": news[["cluster", "closest_cluster"]].max(axis=1)}.items():
        told = [pair for pair in zip(news["story"], found) if pair[0]]
        both = [pair for pair in told if pair[1] >= 0]
        stories, clusters = zip(*both)
        mutual = entropy(stories) + entropy(clusters) - entropy(both)
        line = re.search(rf"^{way}: .*?(\d\.\d+), .*?(\d\.\d+), (\d+)%.* (\d+) of the others", sample_run.said, re.M)
        pure, whole, noise, drawn_in = map(float, line.groups())
        assert drawn_in == sum(number >= 0 for story, number in zip(news["story"], found) if not story), way
        assert [pure, whole] == pytest.approx([mutual / entropy(stories), mutual / entropy(clusters)], abs=6e-3), way
        assert noise == pytest.approx(100 - 100 * len(both) / len(told), abs=0.51), way


def test_table_of_stories(sample_run, known):
    table, news, told = sample_run.stories, known.news, defaultdict(Counter)
    top = next(table for table in shown(sample_run, "Stories", pd.DataFrame) if "words" in table)
    assert top.equals(table[list(top)][:len(top)]) and len(top) > 9
    for number, text in zip(news["cluster"], known.text):
        told[number].update(word for word in re.findall(r"\w+", text.casefold())
                            if word[0].isalpha() and len(word) > 1 and word not in ENGLISH_STOP_WORDS)
    told.pop(-1)
    everywhere = sum(told.values(), Counter())
    for number, story in table.iterrows():
        members = np.flatnonzero(news["cluster"] == number)
        assert story["headlines"] == len(members) and story["leaning"] == (news["closest_cluster"] == number).sum()
        centre = known.vectors[members].mean(axis=0)
        assert story["name"] == news["title"][min(members, key=lambda row: math.dist(known.vectors[row], centre))]
        persistence = known.complete.cluster_persistence_[known.complete.labels_[members[0]]]
        assert story["persistence"] == pytest.approx(persistence, abs=6e-3)
        rated = sorted((-count * math.log(everywhere.total() / everywhere[word]), word)
                       for word, count in told[number].items() if count > 1)
        assert story["words"].split(", ") == [word for _, word in rated[:4]]


def test_noise_leans_where_three_of_the_five_nearest_tell_one_story(sample_run, known):
    cluster, expected = known.news["cluster"], []
    for row, label in enumerate(cluster):
        nearest = [other for other in known.between[row].argsort(kind="stable") if other != row][:5]
        story = told_by(cluster[nearest]) if label < 0 else None
        expected.append(-1 if story is None else story)
    assert known.news["closest_cluster"].tolist() == expected
    leaning = sum(number >= 0 for number in expected)
    assert leaning > 9 and f"{leaning} of {(cluster < 0).sum()} headlines of the noise lean to a" in sample_run.said


def test_a_story_in_full(sample_run, known):
    news, by_title = known.news, known.news.set_index("title")
    table = next(table for table in shown(sample_run, "Stories", pd.DataFrame) if "leans" in table)
    in_full = {by_title["cluster"][table["title"].iloc[0]]: table} | {
        number: sample_run.read_story(number) for number in (0, news["closest_cluster"].max())}
    for number, table in in_full.items():
        leans = table["leans"] == "leans"
        assert sorted(table["title"][~leans]) == sorted(news["title"][news["cluster"] == number])
        assert sorted(table["title"][leans]) == sorted(news["title"][news["closest_cluster"] == number])
        assert leans.is_monotonic_increasing and table["probability"].is_monotonic_decreasing
        assert table["probability"].tolist() == by_title["probability"][table["title"]].tolist()
    assert leans.any()


def test_map_has_each_headline_once_in_the_colour_of_its_story(sample_run, known):
    figure, news = shown(sample_run, "The map", go.Figure)[0], known.news
    traces = figure.data  # noise, then the stories from the smallest on
    colours = [trace.marker.color for trace in traces]
    assert len(traces) == news["cluster"].nunique() and colours[0] == "#c8c8c8"
    assert set(colours[1:]) == set(px.colors.qualitative.Dark24)
    assert all(len(set(colours[first:first + 24])) == 24 for first in range(1, len(colours) - 23))
    for number, trace in zip([-1, *reversed(known.names.index)], traces):
        drawn = {plain(text): point for text, *point in zip(trace.hovertext, trace.x, trace.y)}
        members = news[news["cluster"] == number]
        assert drawn.keys() == {plain(title + known.names.get(number, "")) for title in members["title"]}
        for title, *point in members[["title", "x", "y"]].to_numpy():
            assert drawn[plain(title + known.names.get(number, ""))] == pytest.approx(point, rel=1e-5)
    assert trustworthiness(known.vectors, news[["x", "y"]], n_neighbors=5) > 0.85  # neighbours; by chance: 0.5


def test_names_stand_on_the_map_where_the_headline_is_that_names_the_story(sample_run, known):
    """Each at most once; and one is left out only where a larger story's name is near."""
    room, named = np.ptp(known.news[["x", "y"]], axis=0) / [4, 17], {}
    for trace in shown(sample_run, "The map", go.Figure)[0].data:
        for text, *place in zip(trace.text, trace.x, trace.y):
            if text:
                number = trace.customdata[0][0]
                assert number not in named and "text" in trace.mode
                assert plain(known.names[number]).startswith(plain(text).removesuffix("…"))
                medoid = known.news[known.news["title"] == known.names[number]].iloc[0]
                assert place == pytest.approx(medoid[["x", "y"]].tolist(), rel=1e-4)
                named[number] = place
    assert len(named) > 9
    for number, name in known.names.items():
        place = known.news.loc[known.news["title"] == name, ["x", "y"]].to_numpy()[0]
        near = [other for other in named if (abs(place - named[other]) < room * 0.999).all() and other < number]
        assert bool(near) == (number not in named), name


def test_tree_over_the_map(sample_run, known):
    figure, story = shown(sample_run, "The map", go.Figure)[1], known.news["cluster"]
    place = sample_run.news[["x", "y"]].to_numpy()[known.row]  # of full precision
    row_at = {tuple(point): row for row, point in enumerate(place)}
    edges = {frozenset(pair) for pair in zip(*minimum_spanning_tree(complete_weights(known.vectors)).nonzero())}
    inside = {edge for edge in edges if len(told := set(story[list(edge)])) == 1 and told != {-1}}
    torn = story[min(max(inside, key=lambda edge: math.dist(*place[list(edge)])))]
    drawn = {}
    for trace in figure.data:
        if trace.mode == "lines":
            rows = [row_at.get(point) for point in zip(trace.x, trace.y)]
            assert set(rows[2::3]) == {None}  # the gaps
            drawn[trace.line.color] = {frozenset(pair) for pair in zip(rows[::3], rows[1::3])}
    red = {edge for edge in inside if story[min(edge)] == torn}
    assert drawn == {"#ddd": edges - inside, "#333": inside, "red": red}
    assert plain(known.names[torn]) in plain(figure.layout.title.text)
    assert sum(len(trace.x) for trace in figure.data if trace.mode == "markers") == 501


def test_heat_map_counts_stories_and_noise_of_other_settings(sample_run, known):
    figure, = shown(sample_run, "knobs", go.Figure)
    trace, = figure.data
    assert list(trace.x) == [1, 2, 3, 5, 10] and list(trace.y) == [2, 3, 5, 10]
    for size, shares, counts in zip(trace.y, trace.z, trace.text):
        for samples, share, count in zip(trace.x, shares, counts):
            labels = fit_complete(known.vectors, int(samples), int(size)).labels_
            assert share == pytest.approx((labels < 0).mean(), abs=5e-3), (samples, size)
            assert count == pytest.approx(labels.max() + 1, abs=1), (samples, size)
    assert figure.layout.title.text == "In use: MIN_SAMPLES=3, MIN_CLUSTER_SIZE=3"
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "category"


def test_answers_to_questions(sample_run, known):
    source = "".join(sections()["Ask Milvus"])
    for table, question in zip(shown(sample_run, "Ask", pd.DataFrame), re.findall(r'display\(ask\("(.*?)"', source)):
        distance = np.linalg.norm(known.vectors - sample_run.embed([question]), axis=1)
        story = re.search(f'{question}", "cluster == (\\d+)', source)
        story = int(story.group(1)) if story else None
        nearest = [row for row in distance.argsort() if story in (None, known.news["cluster"][row])][:5]
        assert np.allclose(table["distance"], distance[nearest], atol=1e-4)
        for column in "title", "cluster", "cluster_name":
            assert table[column].tolist() == known.news[column][nearest].tolist(), question
    said = "".join(cell.said for cell in sample_run.cells if cell.heading == "Ask Milvus")
    placed = re.findall("^(.+): (.+)$", said, re.M)
    assert "Ullenfield" in known.names[story] and len(placed) > 1
    for headline, name in placed:
        distance = np.linalg.norm(known.vectors - sample_run.embed([headline]), axis=1)
        assert name == (told_by(known.news["cluster_name"][distance.argsort()[:5]]) or "no story"), headline
