"""The map with its names, and the tree over it."""

import itertools
import math
import re
from html import unescape

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from sklearn.manifold import trustworthiness

from conftest import pictures
from examples import HEBREW, NASTY, example, with_themes
from notebook import (
    NOISE_COLOUR,
    draw_map,
    draw_tree,
    name_html,
    names_that_fit,
    short_name,
    wrapped,
)


@pytest.fixture(scope="module")
def found():
    """The tables news, stories and themes of an example; nobody changes them."""
    return with_themes(*example())


@pytest.fixture(scope="module")
def drawn(found):
    return draw_map(*found, "a title")


def plain(text):
    """Return a label of plotly as text without spaces, and without the signs that isolate it."""
    return "".join(re.sub("[\u2068\u2069]", "", unescape(re.sub("<[^>]*>", "", text))).split())


def traces(figure, mode):
    return [trace for trace in figure.data if trace.mode == mode]


def names_on(figure):
    """Return the names that stand on a map: [(name, x, y, theme)]."""
    return [
        (plain(text), x, y, trace.meta)
        for trace in traces(figure, "text")
        for text, x, y in zip(trace.text, trace.x, trace.y, strict=True)
    ]


# Points and legend


def test_each_headline_is_a_point_in_its_storys_colour_that_says_both(found, drawn):
    news, stories, _ = found
    rows = []
    for trace in traces(drawn, "markers"):
        assert trace.type == "scatter"
        for row, x, y, colour, text in zip(
            trace.customdata, trace.x, trace.y, trace.marker.color, trace.hovertext, strict=True
        ):
            headline = news.loc[row]
            number = headline["cluster"]
            name = stories["name"][number] if number >= 0 else ""
            assert (x, y, trace.meta) == (headline["x"], headline["y"], headline["theme"])
            assert colour == (stories["colour"][number] if number >= 0 else NOISE_COLOUR)
            assert text == f"{wrapped(headline['title'])}<br><i>{wrapped(name)}</i>"
            assert "<b>" not in text and "$" not in text
            rows.append(row)
    assert sorted(rows) == news.index.tolist() != rows
    assert {NASTY, HEBREW} < set(news["title"])


def test_the_legend_has_noise_and_the_themes_and_takes_their_names_along(found, drawn):
    themes, points = found[2], traces(drawn, "markers")
    assert [trace.meta for trace in points] == [-1, *themes.index]
    assert plain(points[0].name) == "noise"
    groups = {trace.meta: trace.legendgroup for trace in points}
    assert len(set(groups.values())) == 1 + len(themes)
    for theme, trace in enumerate(points[1:]):
        assert plain(themes["name"][theme]).startswith(plain(trace.name).removesuffix("…"))
        assert trace.showlegend is not False
    for trace in traces(drawn, "text"):
        assert trace.legendgroup == groups[trace.meta]
        assert trace.showlegend is False and trace.hoverinfo == "skip"


def test_all_points_lie_inside_the_map(found, drawn):
    for column, axis in ("x", drawn.layout.xaxis), ("y", drawn.layout.yaxis):
        low, high = axis.range
        least, greatest = found[0][column].min(), found[0][column].max()
        assert low < least < greatest < high < low + 1.3 * (greatest - least)


@pytest.mark.parametrize("noise, kind", [(4920, go.Scatter), (4921, go.Scattergl)])
def test_a_map_of_more_than_5000_headlines_is_drawn_by_webgl_with_names_on_top(noise, kind):
    found = with_themes(*example(noise=noise))
    figure = draw_map(*found, "title")
    points, notes = traces(figure, "markers"), figure.layout.annotations
    assert {type(trace) for trace in points} == {kind}
    assert sum(len(trace.x) for trace in points) == 80 + noise
    assert (len(notes) > 5, len(names_on(figure)) > 5) == (noise == 4921, noise == 4920)
    places = {(note.x, note.y): plain(note.text) for note in notes}
    for _, story in found[1].iterrows():
        at = tuple(found[0].loc[story["medoid"], ["x", "y"]])
        assert at not in places or places[at] == plain(
            " ".join(short_name(story["name"], story["words"]))
        )
    assert not any(note.showarrow for note in notes)


# Names


def test_names_stand_above_their_medoids_where_they_fit(found, drawn):
    news, stories, _ = found
    expected = []
    for number, (_, story) in enumerate(stories.iterrows()):
        lines = short_name(story["name"], story["words"])
        place = news.loc[story["medoid"], ["x", "y"]]
        expected.append((plain("".join(lines)), *place, stories["theme"][number]))
    places = news.loc[stories["medoid"], ["x", "y"]].to_numpy()
    fitting = names_that_fit(
        places, [short_name(*pair) for pair in zip(stories["name"], stories["words"], strict=True)]
    )
    assert 9 < len(fitting)
    assert sorted(names_on(drawn)) == sorted(expected[number] for number in fitting)


@pytest.mark.parametrize(
    "name, words, lines",
    [
        ("Umbrel throws a hammer", ["umbrel", "record"], ["Umbrel throws a", "hammer"]),
        (
            "A headline that is far too long for two lines of that map",
            ["ullenfield", "final", "floodlights", "cup"],
            ["ullenfield, final,", "floodlights"],
        ),
        (
            "A headline that is far too long for two lines of that map",
            ["misunderstanding", "transformations", "crocodile"],
            ["misunderstanding,", "transformations"],
        ),
        (
            "A headline that is far too long for two lines of that map",
            [],
            ["A headline that is", "far too long for…"],
        ),
        ("東京の天気は明日から雨が降りそうです", [], ["東京の天気は明日から", "雨が降りそうです"]),
    ],
)
def test_a_name_is_the_headline_where_that_fits_else_words_else_its_beginning(name, words, lines):
    """A wide letter counts twice."""
    assert short_name(name, words) == lines


def test_a_name_is_text_and_each_of_its_lines_keeps_its_direction():
    assert name_html(["<b>5 & $6</b>", "שלום,"]) == (
        "\u2068&lt;b&gt;5 &amp; &#36;6&lt;/b&gt;\u2069<br>\u2068שלום,\u2069"
    )


@pytest.mark.parametrize("letter, width", [("n", 5.6), ("語", 11.2)])
def test_no_name_covers_another_and_one_is_left_out_only_for_a_larger_storys(letter, width):
    random = np.random.default_rng(2)
    at = random.uniform(size=(60, 2)) * [560, 500]
    at[:2] = [0, 0], [560, 500]  # the places fill the map
    lines = [[letter * random.integers(3, 20), "two"][: 1 + number % 2] for number in range(60)]
    shown = names_that_fit(at / 7, lines)
    boxes = [
        (x - half, y, x + half, y + 13 * len(text))
        for (x, y), text, half in zip(
            at,
            lines,
            (max(len(text[0]) * width, 16.8 * (len(text) - 1)) / 2 for text in lines),
            strict=True,
        )
    ]

    def covers(one, other):
        (left, low, right, high), (start, bottom, end, top) = boxes[one], boxes[other]
        return left < end and start < right and low < top and bottom < high

    assert not any(covers(one, other) for one, other in itertools.combinations(shown, 2))
    for number in set(range(60)) - set(shown):
        assert any(covers(number, other) for other in shown if other < number)
    assert 20 < len(shown) < 60


def test_names_of_no_story_or_of_one_place_are_no_trouble():
    assert names_that_fit(np.zeros((0, 2)), []) == []
    assert names_that_fit(np.ones((3, 2)), [["one"], ["two"], ["three"]]) == [0]


# The tree over the map


def links_on(figure, news):
    """Return the links drawn over a map as {colour: {{row, row}, ...}}."""
    row_at = {tuple(place): row for row, place in enumerate(news[["x", "y"]].to_numpy())}
    found = {}
    for trace in traces(figure, "lines"):
        rows = [row_at.get(place) for place in zip(trace.x, trace.y, strict=True)]
        assert set(rows[2::3]) <= {None}  # the gaps
        links = [frozenset(pair) for pair in zip(rows[::3], rows[1::3], strict=True)]
        found[trace.line.color] = set(links)
        assert len(set(links)) == len(links)
    return found


def expected_links(tree, news):
    """Return the same of a tree, found link by link, and the story that is torn the most."""
    found, longest, torn = {"#ddd": set(), "#333": set(), "red": set()}, -1, -1
    places, story = news[["x", "y"]].to_numpy(), news["cluster"].to_numpy()
    for start, end in zip(tree["start"], tree["end"], strict=True):
        length = math.dist(places[start], places[end])
        if story[start] == story[end] >= 0 and length > longest:
            longest, torn = length, story[start]
    for start, end in zip(tree["start"], tree["end"], strict=True):
        inside = story[start] == story[end] >= 0
        colour = "#ddd" if not inside else "red" if story[start] == torn else "#333"
        found[colour].add(frozenset((start, end)))
    return found, torn


def test_links_inside_stories_are_dark_those_of_the_torn_one_red_and_others_pale(found):
    news, stories, _ = found
    random = np.random.default_rng(3)
    order = news.sort_values("cluster").index.to_numpy()
    start = [order[random.integers(end) if end % 2 else end - 1] for end in range(1, len(news))]
    tree = pd.DataFrame({"start": start, "end": order[1:], "weight": 1.0})
    figure = draw_tree(tree, *found)
    expected, torn = expected_links(tree, news)
    assert links_on(figure, news) == expected and min(map(len, expected.values())) > 1
    name = plain(wrapped(stories["name"][torn]))
    assert plain(figure.layout.title.text).startswith("Inred:" + name[:30])
    assert not traces(figure, "text") and figure.layout.showlegend is False
    assert len(traces(figure, "markers")) == 5


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_pictures_of_few_stories_are_drawn(count):
    found = with_themes(*example(stories=count, leaning=min(count, 1)))
    tree = pd.DataFrame({"start": range(len(found[0]) - 1), "end": range(1, len(found[0]))})
    assert [trace.meta for trace in traces(draw_map(*found, ""), "markers")] == [-1, *range(count)]
    over = draw_tree(tree, *found)
    assert links_on(over, found[0]) == expected_links(tree, found[0])[0]
    assert over.layout.title.text


# The sample


def test_the_map_shown_is_that_of_the_saved_file(sample_run, saved):
    (figure,) = pictures(sample_run, sample_run.summary)
    row, found = sample_run.news["row"], set()
    for trace in traces(figure, "markers"):
        for number, x, y, text in zip(
            trace.customdata, trace.x, trace.y, trace.hovertext, strict=True
        ):
            line = saved.loc[row[number]]
            assert (x, y) == pytest.approx((line["x"], line["y"]), rel=1e-5)
            assert plain(text) == plain(wrapped(line["title"]) + wrapped(line["cluster_name"]))
            assert trace.meta == line["theme"]
            found.add(number)
    assert len(found) == 501


def test_neighbours_stay_neighbours_on_the_map(sample_run):
    """By chance this would be 0.5."""
    places = sample_run.news[["x", "y"]]
    assert trustworthiness(sample_run.embeddings, places, n_neighbors=5) > 0.85


def test_names_on_the_map_shown_stand_where_the_headline_is_that_names_the_story(sample_run, saved):
    (figure,) = pictures(sample_run, sample_run.summary)
    named = saved[saved["title"] == saved["cluster_name"]].set_index("cluster")
    places = {}
    for number, story in sample_run.stories.iterrows():
        text = plain("".join(short_name(story["name"], story["words"])))
        places[text] = (*named.loc[number, ["x", "y"]], story["theme"])
    found = names_on(figure)
    assert len(set(found)) == len(found) > len(sample_run.stories) / 2
    for name, *place in found:
        assert place == pytest.approx(places[name], rel=1e-4), name


def test_the_tree_shown_over_the_map_is_the_one_that_was_clustered(sample_run):
    (figure,) = pictures(sample_run, "In red:")
    expected, torn = expected_links(sample_run.tree, sample_run.news)
    assert links_on(figure, sample_run.news) == expected
    assert len(sample_run.tree) == 500
    assert plain(sample_run.stories["name"][torn])[:30] in plain(figure.layout.title.text)
