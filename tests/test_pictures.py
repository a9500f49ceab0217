"""Treemap, map, tree and heat map of the sample, and details of how they are drawn.

`test_themes.py` has what they must show of made-up stories."""
import colorsys
import itertools
import math
import re
from html import unescape

import hdbscan
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from conftest import shown
from notebook import (
    draw_map,
    draw_settings,
    draw_tree,
    draw_treemap,
    names_that_fit,
    page_sentence,
    px,
    short_name,
    theme_colours,
    wrapped,
)
from scipy.sparse.csgraph import minimum_spanning_tree
from sklearn.manifold import trustworthiness
from test_tree import complete_weights

GREY = "#a6a6a6"


def plain(text):
    """Return a label of plotly as text without spaces, which it is wrapped at."""
    return "".join(unescape(re.sub("<.*?>", "", text)).split())


def stories_of(themes, **columns):
    """Return a table of stories of these themes, the larger ones first."""
    count = len(themes)
    return pd.DataFrame({
        "name": pd.Series([f"Story number {number}" for number in range(count)], dtype=object),
        "words": [f"word{number}, other{number}, third{number}" for number in range(count)],
        "headlines": range(count + 2, 2, -1), "rows": range(2 * count + 2, count + 2, -1),
        "theme": themes, "theme_words": [f"theme{theme}, its" for theme in themes]} | columns)


THEMES = [0, 1, 0, 2, 1, 0, 2, 0]


def headlines_of(stories, noise=4):
    """Return a table `news`: each story's headlines at places of their own, and noise."""
    cluster = np.repeat([*stories.index, -1], [*stories["headlines"], noise])
    places = np.random.default_rng(6).permutation(len(cluster))
    news = pd.DataFrame({"cluster": cluster, "x": places / 10, "y": np.arange(len(cluster)) ** 1.5})
    news = news.sample(frac=1, random_state=2, ignore_index=True)
    for column, name, none in ("theme", "theme", -1), ("name", "cluster_name", ""):
        news[name] = stories[column].reindex(news["cluster"], fill_value=none).to_numpy()
    news["title"] = [f"Headline {row}" for row in news.index]
    return news, [int(np.flatnonzero(news["cluster"] == number)[1]) for number in stories.index]


def made_map(themes=THEMES, noise=4, **columns):
    """Return stories, headlines, medoids and their map."""
    stories = stories_of(themes, **columns)
    news, medoids = headlines_of(stories, noise)
    return stories, news, medoids, draw_map(news, stories, medoids, "title")


def markers(figure):
    """Return the points of a map: {headline: (x, y, colour, what is said at it, theme)}."""
    found = {}
    for trace in figure.data:
        if trace.mode == "markers":
            assert not set(trace.customdata) & set(found)  # each headline once
            found |= {row: (*point, trace.meta) for row, *point in zip(
                trace.customdata, trace.x, trace.y, trace.marker.color, trace.hovertext,
                strict=True)}
    return found


def names_on(figure):
    """Return the names that stand on a map: [(name, x, y, theme)]."""
    return [(plain(text), x, y, trace.meta) for trace in figure.data if trace.mode == "text"
            for text, x, y in zip(trace.text, trace.x, trace.y, strict=True)]


# Colours

def hue(colour):
    """Return a colour's place on the circle, from 0 to 1."""
    return colorsys.rgb_to_hsv(*(part / 255 for part in px.colors.hex_to_rgb(colour)))[0]


def luminance(colour):
    """Return the relative luminance of WCAG 2."""
    parts = [part / 255 for part in px.colors.hex_to_rgb(colour)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
              for part in parts]
    return np.dot([0.2126, 0.7152, 0.0722], linear)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9])
def test_the_largest_story_of_a_theme_has_its_hue(count):
    hues, shades = theme_colours(stories_of([1] * count + [0] * count))
    assert [shades[count], shades[0]] == hues


def test_some_shades_are_darker_and_some_lighter():
    (own, _), shades = theme_colours(stories_of([0] * 7 + [1]))
    lighter = [luminance(shade) > luminance(own) for shade in shades[1:7]]
    assert lighter.count(True) == lighter.count(False) == 3


# The treemap

def boxes(figure):
    """Return the boxes of a treemap: {id: (parent, label, rows, colour, what is said at it)}."""
    trace, = figure.data
    assert isinstance(trace, go.Treemap) and trace.branchvalues == "total"
    ids = list(trace.ids)
    assert len(set(ids)) == len(ids)
    return dict(zip(ids, zip(trace.parents, trace.labels, trace.values, trace.marker.colors,
                             trace.hovertext, strict=True), strict=True))


def test_a_box_says_the_whole_name():
    name = "A headline that is much longer than any box is wide, for it goes on and on & on <b>"
    found = boxes(draw_treemap(stories_of(THEMES, name=[name] * 8), ""))
    assert [plain(found[f"story{number}"][4]) for number in range(8)] == [
        "".join(name.split())] * 8
    assert all("<b>" not in box[4] and "<b>" not in box[1] for box in found.values())


def test_large_boxes_are_labelled_with_the_name_and_small_ones_with_two_words():
    found = boxes(draw_treemap(stories_of([0, 1, 1], rows=[96, 2, 2]), ""))
    labels = [plain(found[f"story{number}"][1]) for number in range(3)]
    assert labels == ["Storynumber0", "word1,other1", "word2,other2"]


def test_a_small_box_without_words_is_labelled_with_the_name():
    found = boxes(draw_treemap(stories_of([0, 1, 1], rows=[96, 2, 2], words=[""] * 3), ""))
    assert plain(found["story2"][1]) == "Storynumber2"


def test_a_theme_without_words_has_its_largest_storys_name():
    found = boxes(draw_treemap(stories_of(THEMES, theme_words=[""] * 8), ""))
    assert [plain(found[f"theme{theme}"][1]) for theme in range(3)] == [
        "Storynumber0", "Storynumber1", "Storynumber3"]


def test_a_box_has_the_hue_of_its_theme():
    found = boxes(draw_treemap(stories_of(THEMES), ""))
    hues, _ = theme_colours(stories_of(THEMES))
    for theme, expected in enumerate(hues):
        assert hue(found[f"theme{theme}"][3]) == pytest.approx(hue(expected), abs=0.02)
    for number, theme in enumerate(THEMES):
        assert hue(found[f"story{number}"][3]) == pytest.approx(hue(hues[theme]), abs=0.02)


def test_the_treemap_shown_has_every_story_of_the_file(sample_run):
    figure, = shown(sample_run, "Themes", go.Figure)
    stories = pd.read_csv(sample_run.folder / "output" / "stories.csv")
    found = boxes(figure)
    assert {name for name in found if name.startswith("story")} == {
        f"story{number}" for number in stories["number"]}
    for story in stories.itertuples():
        parent, _, rows, _, words = found[f"story{story.number}"]
        assert (parent, rows) == (f"theme{story.theme}", story.rows)
        assert plain(words) == plain(story.name)


# The map

def test_a_point_has_the_shade_of_its_story_in_whatever_order_the_headlines_are():
    stories, news, _, figure = made_map()
    shades, found = theme_colours(stories)[1], markers(figure)
    assert not news["cluster"].is_monotonic_increasing and sorted(found) == news.index.tolist()
    for row, headline in news.iterrows():
        x, y, colour, _, theme = found[row]
        assert (x, y, theme) == (headline["x"], headline["y"], headline["theme"])
        assert colour == (shades[headline["cluster"]] if headline["cluster"] >= 0 else GREY)


def test_a_point_says_its_headline_and_its_story_as_text():
    """A title or name with signs of HTML stays as it is."""
    stories, news, medoids, _ = made_map(name=["<i>Us & them"] * 8)
    news["title"] = news["title"].str.replace("Headline", "<b>$5 & ")
    for row, point in markers(draw_map(news, stories, medoids, "")).items():
        title, name = news.loc[row, ["title", "cluster_name"]]
        assert point[3] == f"{wrapped(title)}<br><i>{wrapped(name)}</i>"
        assert "<b>" not in point[3] and "$" not in point[3]


def test_the_legend_has_noise_and_the_themes_words():
    """A click in it hides the names of its theme too."""
    figure = made_map(themes=[0, 1, 0, 1], theme_words=["tea, cup", "", "tea, cup", ""])[3]
    points = [trace for trace in figure.data if trace.mode == "markers"]
    assert [trace.name for trace in points] == ["noise", "tea, cup", "Story number 1"]
    groups = {trace.meta: trace.legendgroup for trace in points}
    assert len(set(groups.values())) == len(groups)
    for trace in figure.data:
        assert trace.mode == "markers" or not trace.showlegend
        assert trace.legendgroup == groups[trace.meta]


def test_the_names_on_the_map_are_those_that_fit():
    stories, news, medoids, figure = made_map(themes=[0, 1, 2] * 8)
    texts = [short_name(*story) for story in zip(stories["name"], stories["words"], strict=True)]
    fitting = names_that_fit(news.loc[medoids, ["x", "y"]].to_numpy(), texts)
    assert 3 < len(fitting) < 24
    assert sorted(name for name, *_ in names_on(figure)) == sorted(
        plain(texts[number]) for number in fitting)


def test_a_page_gets_every_name_with_its_place():
    stories, news, medoids, figure = made_map(themes=[0, 1, 2] * 8)
    for number, (x, y, text, theme) in enumerate(figure.layout.meta["names"]):
        place = news.loc[medoids[number], ["x", "y"]].tolist()
        assert [x, y] == pytest.approx(place, abs=1e-3)
        assert text == short_name(stories["name"][number], stories["words"][number])
        assert theme == stories["theme"][number]
    assert number == 23


def test_all_points_lie_inside_the_map():
    _, news, _, figure = made_map()
    for values, axis in (news["x"], figure.layout.xaxis), (news["y"], figure.layout.yaxis):
        low, high = axis.range
        assert low < values.min() < values.max() < high
        assert high - low < 1.3 * (values.max() - values.min())


@pytest.mark.parametrize("count, kind", [(5000, go.Scatter), (5001, go.Scattergl)])
def test_large_maps_are_drawn_by_the_graphics_card_with_names_on_top(count, kind):
    stories = stories_of([0, 1])
    figure = made_map([0, 1], noise=count - stories["headlines"].sum())[3]
    points = [trace for trace in figure.data if trace.mode == "markers"]
    assert {type(trace) for trace in points} == {kind} and len(markers(figure)) == count
    annotations = [plain(note.text) for note in figure.layout.annotations]
    drawn = [name for name, *_ in names_on(figure)]
    names = ["Storynumber0", "Storynumber1"]
    assert (annotations, drawn) == ((names, []) if kind is go.Scattergl else ([], names))


def test_the_map_shown_is_that_of_the_saved_file(sample_run, saved):
    figure = shown(sample_run, "The map", go.Figure)[0]
    found, row = markers(figure), sample_run.news["row"]
    assert sorted(found) == list(range(501))
    for number, (x, y, colour, words, theme) in found.items():
        line = saved.loc[row[number]]
        assert (x, y) == pytest.approx((line["x"], line["y"]), rel=1e-5)
        assert plain(words) == plain(line["title"] + line["cluster_name"])
        assert theme == line["theme"] and (colour == GREY) == (line["cluster"] < 0)
    assert figure.layout.title.text == sample_run.summary


def test_neighbours_stay_neighbours_on_the_map(sample_run):
    """By chance this would be 0.5."""
    places = sample_run.news[["x", "y"]]
    assert trustworthiness(sample_run.embeddings, places, n_neighbors=5) > 0.85


def test_names_on_the_map_shown_stand_where_the_headline_is_that_names_the_story(
        sample_run, saved):
    figure = shown(sample_run, "The map", go.Figure)[0]
    named = saved[saved["title"] == saved["cluster_name"]].set_index("cluster")
    stories = pd.read_csv(sample_run.folder / "output" / "stories.csv", keep_default_na=False)
    places = {}
    for number, story in stories.iterrows():
        text = plain(short_name(story["name"], story["words"]))
        places[text] = (*named.loc[number, ["x", "y"]], story["theme"])
    found = names_on(figure)
    assert len(set(found)) == len(found) > 20
    for name, *place in found:
        assert place == pytest.approx(places[name], rel=1e-4), name


# What the page says

def test_the_pages_sentence_counts_noise_in_rows_and_leaning_in_headlines():
    """Two headlines of six are noise, and 98 of 200 rows; one of the two leans."""
    news = pd.DataFrame({"cluster": [0, 0, 0, 0, -1, -1], "rows": [1, 99, 1, 1, 97, 1],
                         "closest_cluster": [-1, -1, -1, -1, 0, -1]})
    said = page_sentence(news, stories_of([0]))
    assert said.startswith("6 headlines, 200 rows; 1 story.")
    numbers = re.findall(r"\d+", said.split(".", 1)[1])
    assert numbers == ["49", "2", "1"], said


# Names that fit

def test_an_entity_is_as_wide_as_one_letter():
    """Two names beside each other, 100 pixels apart: of 17 letters they fit, of 18 they do not."""
    places = np.array([[0, 0], [100, 0], [700, 600]])
    fits, area = ["&amp;" * 17, "&amp;" * 17, "z"], {"width": 700, "height": 600}
    assert names_that_fit(places, fits, **area) == [0, 1, 2]
    assert names_that_fit(places, ["a" * 18] * 3, **area) == [0, 2]


def test_names_of_no_story_or_of_one_place_are_no_trouble():
    assert names_that_fit(np.zeros((0, 2)), []) == []
    assert names_that_fit(np.ones((3, 2)), ["one", "two", "three"]) == [0]


# The tree over the map

def lines(figure):
    """Return the lines over a map: {colour: list of pairs of places}, each pair sorted."""
    found = {}
    for trace in figure.data:
        if trace.mode == "lines":
            places = list(zip(trace.x, trace.y, strict=True))
            assert np.isnan(places[2::3]).all()  # the gaps
            found[trace.line.color] = [
                tuple(sorted(pair)) for pair in zip(places[::3], places[1::3], strict=True)]
    return found


def placed(edges, places):
    """Return edges as sorted pairs of places."""
    return sorted(tuple(sorted(tuple(places[row]) for row in edge)) for edge in edges)


def test_the_tree_shown_over_the_map_is_that_of_all_pairs(sample_run):
    """Each link once, dark inside the stories and pale between them."""
    figure = shown(sample_run, "The map", go.Figure)[1]
    labels, places = sample_run.labels, sample_run.news[["x", "y"]].to_numpy()
    tree = minimum_spanning_tree(complete_weights(sample_run.embeddings.astype(float)))
    edges = list(zip(*tree.nonzero(), strict=True))
    inside = [edge for edge in edges if labels[edge[0]] == labels[edge[1]] >= 0]
    torn = labels[max(inside, key=lambda edge: math.dist(*places[list(edge)]))[0]]
    drawn = lines(figure)
    assert sorted(drawn["#ddd"]) == placed(set(edges) - set(inside), places)
    assert sorted({*drawn["#333"], *drawn["red"]}) == placed(inside, places)
    assert sorted(drawn["red"]) == placed(
        [edge for edge in inside if labels[edge[0]] == torn], places)
    assert len(set(drawn["#333"])) == len(drawn["#333"])
    assert plain(sample_run.stories["name"][torn]) in plain(figure.layout.title.text)


def small_tree(cluster):
    """Draw the tree 0-1-2-3-4-5 over six headlines; the fourth edge is the longest on the map."""
    news = pd.DataFrame({"cluster": cluster, "theme": np.minimum(cluster, 0), "cluster_name": "",
                         "title": "t", "x": [0.0, 1, 2, 4, 9, 10], "y": 0.0})
    stories = stories_of([0, 0])[:max(cluster) + 1]
    tree = pd.DataFrame({"start": range(5), "end": range(1, 6), "weight": 1.0})
    medoids = [list(cluster).index(number) for number in stories.index]
    figure = draw_map(news, stories, medoids, "")
    return draw_tree(figure, tree, news, stories), {
        colour: sorted((one[0], other[0]) for one, other in pairs)
        for colour, pairs in lines(draw_tree(figure, tree, news, stories)).items()}


def test_a_tree_without_stories_has_no_red_edge():
    figure, drawn = small_tree([-1] * 6)
    assert drawn["#ddd"] == [(0, 1), (1, 2), (2, 4), (4, 9), (9, 10)]
    assert not drawn["red"] and not drawn["#333"] and figure.layout.title.text


# The heat map

def numbers_in(trace):
    """Return the text of a heat map's cells as {(MIN_SAMPLES, MIN_CLUSTER_SIZE): numbers}."""
    assert trace.texttemplate == "%{text}"
    return {(int(samples), int(size)): [int(number) for number in re.findall(r"\d+", text)]
            for size, line in zip(trace.y, trace.text, strict=True)
            for samples, text in zip(trace.x, line, strict=True)}


def test_the_heat_map_counts_stories_and_noise_and_the_largest_story(sample_run):
    """Of the sample, with all pairs: 20 other settings."""
    trace, = shown(sample_run, "knobs", go.Figure)[0].data
    found = numbers_in(trace)
    assert sorted(found) == sorted(itertools.product([1, 2, 3, 5, 10], [2, 3, 5, 10]))
    for samples in 1, 2, 3, 5, 10:
        weights = complete_weights(sample_run.embeddings.astype(float), samples)
        for size in 2, 3, 5, 10:
            labels = hdbscan.HDBSCAN(
                size, min_samples=1, metric="precomputed", max_cluster_size=125,
                cluster_selection_persistence=0.001).fit_predict(weights)
            sizes = np.bincount(labels[labels >= 0], minlength=1)
            assert found[samples, size] == [labels.max() + 1, round(100 * (labels < 0).mean()),
                                            round(100 * sizes.max() / 501)], (samples, size)


def test_the_heat_map_shown_says_which_settings_are_in_use(sample_run):
    figure, = shown(sample_run, "knobs", go.Figure)
    assert figure.layout.title.text == "In use: MIN_SAMPLES=3, MIN_CLUSTER_SIZE=3"


@pytest.fixture(scope="module")
def heat_map():
    """That of four settings, in no order."""
    tried = pd.DataFrame({
        "MIN_SAMPLES": [1, 1, 10, 10], "MIN_CLUSTER_SIZE": [2, 9, 2, 9],
        "stories": [9, 4, 7, 3], "noise": [0.1, 0.3, 0.2, 0.4], "largest": [0.05, 0.5, 0.06, 0.7]})
    return draw_settings(tried.sample(frac=1, random_state=0), 10, 2)


def test_a_cell_of_the_heat_map_is_a_pair_of_settings_in_the_colour_of_its_noise(heat_map):
    trace, = heat_map.data
    assert np.array(trace.z).tolist() == [[0.1, 0.2], [0.3, 0.4]]  # a line for each size
    assert list(trace.x) == [1, 10] and list(trace.y) == [2, 9]
    assert heat_map.layout.xaxis.title.text == "MIN_SAMPLES"
    assert heat_map.layout.yaxis.title.text == "MIN_CLUSTER_SIZE"
    assert heat_map.layout.xaxis.type == heat_map.layout.yaxis.type == "category"  # even steps
    assert heat_map.layout.title.text == "In use: MIN_SAMPLES=10, MIN_CLUSTER_SIZE=2"


def test_only_the_settings_in_use_are_marked_in_the_heat_map(heat_map):
    texts = np.array(heat_map.data[0].text)
    marked = ["in use" in text and "<b>" in text for text in texts.ravel()]
    assert marked == [False, True, False, False]


def test_a_cell_of_the_heat_map_names_its_stories_noise_and_largest_story(heat_map):
    assert numbers_in(heat_map.data[0]) == {
        (1, 2): [9, 10, 5], (10, 2): [7, 20, 6], (1, 9): [4, 30, 50], (10, 9): [3, 40, 70]}
    assert re.fullmatch("9 stories<br>10% noise<br>largest.* 5%", heat_map.data[0].text[0][0])
