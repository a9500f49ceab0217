"""Themes, their colours, the treemap, the map with its names, and the tree over it."""

import itertools
import math
import re
from html import unescape

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from notebook import (
    NOISE_COLOUR,
    draw_map,
    draw_tree,
    draw_treemap,
    join_stories,
    name_themes,
    names_that_fit,
    short_name,
    story_centres,
    theme_colours,
    theme_table,
)
from plotly.colors import hex_to_rgb
from scipy.cluster import hierarchy

NASTY = "<img src=x onerror=\"document.title='owned'\"> <b>bold</b> & $5 or $6"
HEBREW = "ירושלים: חדשות היום"
SYLLABLES = [one + two for one in "bdgklmnprst" for two in "aeiou"]


def example(stories=16, topics=4, headlines=5, noise=8, leaning=3, seed=0):
    """Return made-up variables of the notebook up to its map: stories in topics, with own words.

    The first topic's directions are near the second's, the third's near the fourth's, and so on.
    """
    random = np.random.default_rng(seed)
    topic = np.arange(stories) % topics
    pair = random.normal(size=(topics, 40))[topic // 2 * 2]
    directions = (
        pair
        + 0.7 * random.normal(size=(topics, 40))[topic]
        + 0.3 * random.normal(size=(stories, 40))
    )
    labels = np.concatenate([np.repeat(np.arange(stories), headlines), np.full(noise, -1)])
    embeddings = np.concatenate(
        [directions[labels[labels >= 0]], 2 * random.normal(size=(noise, 40))]
    )
    embeddings = embeddings + 0.1 * random.normal(size=embeddings.shape)
    embeddings = np.float32(embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True))
    words = random.permutation(
        [one + two + three for one, two, three in itertools.product(SYLLABLES[:30], repeat=3)]
    )
    own, of_topic = words[: 3 * stories].reshape(-1, 3), words[-topics:]
    rows, titles = np.arange(len(labels)), []
    for row, label in zip(rows, labels, strict=True):
        said = " ".join(own[label]) + " " + of_topic[topic[label]] if label >= 0 else "alone"
        titles.append(f"Number {row} tells of {said} and {words[3 * stories + row]} again")
    titles[:2] = [NASTY, HEBREW][: len(titles)]
    closest = np.full(len(labels), -1)
    closest[len(labels) - noise :][:leaning] = 0 if stories else -1
    place = np.stack([labels % 5 * 3.0, labels // 5 * 3.0], axis=1) + random.uniform(
        -1, 1, size=(len(labels), 2)
    )
    copies = np.where(rows % 4 == 2, 3, 1)
    names = pd.Series([titles[headlines * story] for story in range(stories)], dtype=object)
    news = pd.DataFrame(
        {
            "id": rows,
            "row": rows[::-1],
            "title": titles,
            "text": titles,
            "rows": copies,
            "cluster": labels,
            "closest_cluster": closest,
            "nearest": np.maximum(labels, closest),
            "probability": random.uniform(size=len(labels)).round(4),
            "x": place[:, 0],
            "y": place[:, 1],
        }
    )
    for column in "cluster", "closest_cluster":
        news[f"{column}_name"] = names.reindex(news[column], fill_value="").to_numpy()
    told = news[labels >= 0].groupby("cluster")["rows"].sum().reindex(range(stories), fill_value=0)
    table = pd.DataFrame(
        {
            "name": names,
            "headlines": headlines,
            "rows": told.astype(int),
            "persistence": 0.5,
            "words": pd.Series([", ".join(row) for row in own], dtype=object),
            "leaning": np.bincount(closest[closest >= 0], minlength=stories)[:stories],
        }
    )
    medoids = [headlines * story for story in range(stories)]
    return {
        "news": news,
        "stories": table,
        "medoids": medoids,
        "embeddings": embeddings,
        "labels": labels,
    }


def with_themes(found):
    """Join the stories into themes and name these, in both tables; return the variables."""
    found["stories"]["theme"] = join_stories(story_centres(found["embeddings"], found["labels"]))
    name_themes(found["news"], found["stories"])
    return found


@pytest.fixture(scope="module")
def found():
    return with_themes(example())


@pytest.fixture(scope="module")
def drawn(found):
    return draw_map(found["news"], found["stories"], found["medoids"], "a title")


def luminance(colour):
    """Return a colour's relative luminance, as in the Web Content Accessibility Guidelines."""
    parts = [part / 255 for part in hex_to_rgb(colour)]
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one, other):
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def plain(text):
    """Return HTML as text without spaces."""
    return "".join(unescape(re.sub("<[^>]*>", "", text)).split())


def traces(figure, mode):
    return [trace for trace in figure.data if trace.mode == mode]


@pytest.mark.parametrize("count", [8, 16, 50])
def test_every_story_is_in_one_theme_and_themes_are_about_the_square_root(count):
    stories = with_themes(example(stories=count))["stories"]
    assert sorted(set(stories["theme"])) == list(range(round(count**0.5)))
    assert stories["theme"].notna().all() and len(stories) == count


def test_stories_of_a_topic_make_a_theme_and_topics_that_are_near_stand_side_by_side(found):
    topic = np.arange(16) % 4
    theme = [set(found["stories"]["theme"][topic == number]) for number in range(4)]
    assert [len(numbers) for numbers in theme] == [1] * 4 and len(set.union(*theme)) == 4
    first, second, third, fourth = (min(numbers) for numbers in theme)
    assert abs(first - second) == abs(third - fourth) == 1


def test_themes_are_numbered_along_the_tree():
    for seed in range(12):
        variables = example(stories=8 + seed, topics=2, headlines=2, noise=0, leaning=0)
        random = np.random.default_rng(seed)
        variables["embeddings"] = random.normal(size=(2 * (8 + seed), 5))
        stories = with_themes(variables)["stories"]
        centres = story_centres(variables["embeddings"], variables["labels"])
        leaves = hierarchy.leaves_list(hierarchy.linkage(centres, "ward", optimal_ordering=True))
        numbers = stories["theme"][leaves].drop_duplicates()
        assert numbers.tolist() == sorted(numbers)


def test_the_table_of_themes_counts_stories_headlines_and_rows(found):
    stories = found["stories"]
    table = theme_table(stories)
    assert table.index.tolist() == sorted(set(stories["theme"]))
    for theme, row in table.iterrows():
        own = [story for _, story in stories.iterrows() if story["theme"] == theme]
        assert row["stories"] == len(own) and row["words"] == own[0]["theme_words"]
        assert row["headlines"] == sum(story["headlines"] for story in own)
        assert row["rows"] == sum(story["rows"] for story in own)
        assert row["largest"] == own[0]["name"]  # stories are numbered by size


def test_themes_are_the_same_in_any_order_of_the_headlines(found):
    variables = example()
    order = np.random.default_rng(1).permutation(len(variables["news"]))
    variables["news"] = variables["news"].iloc[order].reset_index(drop=True)
    variables |= {
        "embeddings": variables["embeddings"][order],
        "labels": variables["labels"][order],
    }
    assert with_themes(variables)["stories"]["theme"].equals(found["stories"]["theme"])


def test_centres_have_length_one_and_the_direction_of_the_mean():
    vectors = np.array([[1, 0], [0, 1], [-1, 0], [5, 5], [0, -1]], dtype=float)
    centres = story_centres(vectors, np.array([0, 0, 1, -1, 1]))
    assert centres == pytest.approx(np.array([[1, 1], [-1, -1]]) / math.sqrt(2))


def test_a_theme_has_the_word_that_its_stories_share_and_only_headlines_of_stories_are_in_it(found):
    stories, news = found["stories"], found["news"]
    for theme, words in stories.groupby("theme")["theme_words"].first().items():
        titles = news["title"][(news["theme"] == theme) & ~news["title"].isin([NASTY, HEBREW])]
        shared = set.intersection(*map(set, titles.str.split()))
        shared -= {"Number", "tells", "of", "and", "again"}
        assert len(shared) == 1 and shared <= set(words.split(", "))
    assert stories.groupby("theme")["theme_words"].nunique().eq(1).all()
    assert news["theme"].tolist() == [
        stories["theme"].get(number, -1) for number in news["cluster"]
    ]


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_few_stories_are_each_a_theme_and_all_pictures_are_drawn(count):
    found = with_themes(example(stories=count, leaning=min(count, 1)))
    news, stories = found["news"], found["stories"]
    assert stories["theme"].tolist() == list(range(count)) and len(stories["theme_words"]) == count
    treemap = draw_treemap(stories, "title").data[0]
    assert sorted(treemap.ids) == sorted(["all", *[f"story{number}" for number in range(count)]])
    figure = draw_map(news, stories, found["medoids"], "title")
    assert [trace.meta for trace in traces(figure, "markers")] == [-1, *range(count)]
    tree = pd.DataFrame({"start": range(len(news) - 1), "end": range(1, len(news))})
    assert len(traces(draw_tree(figure, tree, news, stories), "lines")) == 3


def test_neighbouring_themes_differ_in_colour_and_all_colours_can_be_seen_on_white():
    themes = np.repeat(np.arange(40), 3)
    of_theme, of_story = theme_colours(pd.DataFrame({"theme": themes}))
    assert len(of_theme) == 40 and len(of_story) == 120
    for one, other in itertools.pairwise(of_theme):
        assert math.dist(hex_to_rgb(one), hex_to_rgb(other)) > 90, (one, other)
    assert min(contrast(colour, "#ffffff") for colour in of_theme + of_story) > 2.9


def test_stories_of_a_theme_have_shades_of_its_hue_and_the_largest_has_the_hue():
    of_theme, of_story = theme_colours(pd.DataFrame({"theme": [0, 1, 1, 1, 0, 0, 2]}))
    shades = [of_story[1], of_story[2], of_story[3]]
    assert of_story[0] == of_theme[0] and of_story[1] == of_theme[1] and of_story[6] == of_theme[2]
    assert len(set(of_story)) == 7
    strongest = [np.argmax(hex_to_rgb(shade)) for shade in shades]
    assert len(set(strongest)) == 1


def test_treemap_has_a_box_for_each_theme_and_story_as_large_as_its_rows(found):
    stories, (box,) = found["stories"], draw_treemap(found["stories"], "title").data
    rows = dict(zip(box.ids, box.values, strict=True))
    parent = dict(zip(box.ids, box.parents, strict=True))
    for number, story in stories.iterrows():
        assert (
            rows[f"story{number}"] == story["rows"]
            and parent[f"story{number}"] == f"theme{story['theme']}"
        )
    for theme, own in stories.groupby("theme"):
        assert rows[f"theme{theme}"] == own["rows"].sum() and parent[f"theme{theme}"] == "all"
    assert rows["all"] == stories["rows"].sum() and len(box.ids) == 1 + 4 + 16
    assert (
        min(contrast(colour, "#ffffff") for colour in box.marker.colors) > 4.5
    )  # letters are white
    assert not any(re.search("<(?!br>)", text) for text in [*box.labels, *box.hovertext])


def test_a_treemap_of_very_many_stories_shows_themes_first():
    stories = pd.DataFrame(
        {"name": "name", "words": "", "theme_words": "", "rows": 3, "theme": np.arange(301) // 20}
    )
    assert draw_treemap(stories, "title").data[0].maxdepth == 2
    assert draw_treemap(stories[:300], "title").data[0].maxdepth == 3


def test_map_has_each_headline_once_in_the_colour_of_its_story(found, drawn):
    news, (_, of_story) = found["news"], theme_colours(found["stories"])
    drawn_rows = []
    for trace in traces(drawn, "markers"):
        assert trace.type == "scatter"
        for row, x, y, colour, text in zip(
            trace.customdata, trace.x, trace.y, trace.marker.color, trace.hovertext, strict=True
        ):
            headline = news.loc[row]
            assert (x, y) == (headline["x"], headline["y"]) and trace.meta == headline["theme"]
            expected = (
                of_story[headline["cluster"]] if headline["cluster"] >= 0 else NOISE_COLOUR
            )
            assert colour == expected and plain(text) == plain(
                headline["title"].replace("<", "&lt;")
                + headline["cluster_name"].replace("<", "&lt;")
            )
            drawn_rows.append(row)
    assert sorted(drawn_rows) == news.index.tolist()
    assert len(set(np.asarray(hex_to_rgb(NOISE_COLOUR)))) == 1  # grey


def test_legend_has_the_noise_and_the_themes_by_their_words_and_names_belong_to_them(found, drawn):
    words = found["stories"].groupby("theme")["theme_words"].first()
    points = traces(drawn, "markers")
    assert [trace.meta for trace in points] == [-1, 0, 1, 2, 3] and points[0].name == "noise"
    for theme, trace in enumerate(points[1:]):
        assert words[theme].startswith(trace.name.removesuffix("…"))
        assert trace.legendgroup == f"theme{theme}" and trace.showlegend is not False
    for trace in traces(drawn, "text"):
        assert (
            trace.showlegend is False
            and trace.legendgroup == f"theme{trace.meta}"
            and trace.hoverinfo == "skip"
        )


def test_names_stand_above_the_medoids_of_their_stories(found, drawn):
    news, stories = found["news"], found["stories"]
    names = {
        short_name(story["name"], story["words"]): number for number, story in stories.iterrows()
    }
    shown = set()
    for trace in traces(drawn, "text"):
        for text, x, y in zip(trace.text, trace.x, trace.y, strict=True):
            number = names[text.removesuffix("<br> ")]
            assert (x, y) == tuple(news.loc[found["medoids"][number], ["x", "y"]])
            assert trace.meta == stories["theme"][number]
            shown.add(number)
    assert len(shown) > 9
    assert [text for _, _, text, _ in drawn.layout.meta["names"]] == list(names)


def test_a_name_is_the_headline_where_that_fits_else_words_else_its_beginning():
    assert short_name("Umbrel throws a hammer", "umbrel, record") == "Umbrel throws a<br>hammer"
    long = "Cup final abandoned after floodlights fail at Ullenfield with 19 minutes left"
    assert (
        short_name(long, "ullenfield, final, floodlights, cup")
        == "ullenfield, final,<br>floodlights"
    )
    assert (
        short_name(long, "transformer-stations, floodlight, abandoned")
        == "transformer-stations<br>, floodlight"
    )
    assert short_name(long, "") == "Cup final abandoned<br>after floodlights…"
    assert short_name("<b>5 & 6</b>", "") == "&lt;b&gt;5 &amp; 6&lt;/b&gt;"


def test_no_name_covers_another_and_one_is_left_out_only_for_a_larger_storys():
    random = np.random.default_rng(2)
    places, names = (
        random.uniform(size=(60, 2)),
        [f"{'n' * random.integers(3, 20)}<br>two" for _ in range(60)],
    )
    shown = names_that_fit(places, names, width=700, height=600)
    at = places / np.ptp(places, axis=0) * [700, 600]

    def covers(one, other):
        across = 2.8 * (len(names[one].split("<br>")[0]) + len(names[other].split("<br>")[0]))
        return abs(at[one, 0] - at[other, 0]) <= across and abs(at[one, 1] - at[other, 1]) <= 26

    assert not any(covers(one, other) for one, other in itertools.combinations(shown, 2))
    for number in set(range(60)) - set(shown):
        assert any(covers(number, other) for other in shown if other < number)
    assert 20 < len(shown) < 60


def test_a_large_map_is_drawn_with_webgl_in_a_trace_for_each_theme():
    found = with_themes(example(stories=100, topics=10, headlines=50, noise=50))
    figure = draw_map(found["news"], found["stories"], found["medoids"], "title")
    assert {trace.type for trace in figure.data} == {"scattergl"}
    assert [trace.meta for trace in figure.data] == list(range(-1, 10))
    assert sum(len(trace.x) for trace in figure.data) == 5050
    assert len(figure.layout.annotations) > 9 and not any(
        note.showarrow for note in figure.layout.annotations
    )
    tree = pd.DataFrame({"start": range(5049), "end": range(1, 5050)})
    over = draw_tree(figure, tree, found["news"], found["stories"])
    assert {trace.type for trace in over.data} == {"scattergl"} and not over.layout.annotations


def test_more_stories_of_the_sample_have_a_name_than_half(sample_run):
    figure = sample_run.map_figure
    assert sum(len(trace.text) for trace in traces(figure, "text")) > len(sample_run.stories) / 2


def test_tree_over_the_map_tells_edges_inside_stories_from_others(found, drawn):
    news, stories = found["news"], found["stories"]
    random = np.random.default_rng(3)
    ends = np.arange(1, len(news))
    tree = pd.DataFrame(
        {"start": [random.integers(end) if end % 2 else end - 1 for end in ends], "end": ends}
    )
    tree = tree.assign(length=1.0, weight=1.0)
    figure = draw_tree(drawn, tree, news, stories)
    row_at = {tuple(point): row for row, point in enumerate(news[["x", "y"]].to_numpy())}
    edges = {}
    for trace in traces(figure, "lines"):
        rows = [row_at.get(point) for point in zip(trace.x, trace.y, strict=True)]
        assert set(rows[2::3]) <= {None}  # the gaps
        edges[trace.line.color] = {
            frozenset(pair) for pair in zip(rows[::3], rows[1::3], strict=True)
        }
    story, place = news["cluster"], news[["x", "y"]].to_numpy()
    every = set(map(frozenset, tree[["start", "end"]].to_numpy().tolist()))
    inside = {edge for edge in every if len(told := set(story[list(edge)])) == 1 and told != {-1}}
    torn = story[min(max(inside, key=lambda edge: math.dist(*place[list(edge)])))]
    red = {edge for edge in inside if story[min(edge)] == torn}
    assert edges == {"#ddd": every - inside, "#333": inside, "red": red}
    assert plain(figure.layout.title.text).startswith(
        plain("In red: " + stories["name"][torn])[:40]
    )
    assert (
        isinstance(figure, go.Figure)
        and not traces(figure, "text")
        and figure.layout.showlegend is False
    )
    assert len(traces(drawn, "text")) > 0  # the map itself keeps its names
