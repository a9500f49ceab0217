"""Settings that make no sense, and headlines that are odd, from the CSV to the last section."""
import json
import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from conftest import runner, shown
from notebook import largest_story, neighbours_to_search

LONG = "é" * 40_000  # 80,000 bytes, more than Milvus takes
NASTY = [
    "<script>alert(1)</script> <img src=x onerror=\"document.title='owned'\">",
    "From $5 to $10 million", "He said \"no\", 'maybe' & <b>left</b>", "Rain 🌧️ and 👩‍🚒 heroes",
    "ירושלים: חדשות היום", "عاجل: أخبار اليوم من المدينة", "100 % {braces} \\backslash",
    "two\nlines", "</script><script>alert(2)</script>", "nan", "None", "1984", "=1+1", "a", LONG]
RAIN = [" ".join(["rain"] * (number + 1)) for number in range(20)]
CLOUDS = ["🌧" * (number + 1) for number in range(8)]


def small_news(rows):
    matters = ["harbour strike", "flood in the valley", "chess final", "bank merger", "new bridge"]
    times = ["morning", "noon", "evening"]
    return [f"{matters[number % 5]} report {number} of the {times[number % 3]}"
            for number in range(rows)]


@pytest.mark.parametrize("min_samples, count, expected", [
    (0, 40, "MIN_SAMPLES must be 1 or more, not 0"), (-1, 40, "MIN_SAMPLES must be 1 or more"),
    (7, 7, "MIN_SAMPLES=7 needs more than 7 headlines, and there are 7"),
    (60, 40, "MIN_SAMPLES=60 needs more than 60 headlines, and there are 40")])
def test_a_core_distance_that_no_headline_has_is_an_error(min_samples, count, expected):
    with pytest.raises(ValueError, match=f"^{expected}[^\n]*$"):
        neighbours_to_search(16, min_samples, count)


@pytest.mark.parametrize("wanted, min_samples, count, searched", [
    (16, 3, 501, 16), (16, 3, 7, 7), (16, 6, 7, 7), (16, 60, 501, 61), (4, 3, 40, 4),
    (2, 3, 40, 4), (0, 3, 40, 4), (-5, 1, 40, 2), (10 ** 9, 3, 40, 40)])
def test_the_wanted_neighbours_are_searched_and_enough_for_the_core_distance(
        wanted, min_samples, count, searched):
    assert neighbours_to_search(wanted, min_samples, count) == searched


@pytest.mark.parametrize("wanted, min_cluster_size, count, largest", [
    (0, 3, 501, 125), (0, 3, 60, 50), (0, 3, 5, 50), (0, 3, 200_000, 50_000), (0, 60, 80, 60),
    (30, 3, 501, 30), (400, 3, 501, 400), (3, 3, 501, 3)])
def test_a_story_may_have_what_is_set_or_a_quarter_of_the_headlines_but_50_at_least(
        wanted, min_cluster_size, count, largest):
    assert largest_story(wanted, min_cluster_size, count) == largest


@pytest.mark.parametrize("wanted, min_cluster_size, expected", [
    (0, 1, "MIN_CLUSTER_SIZE must be 2 or more, not 1"), (0, -3, "MIN_CLUSTER_SIZE must be 2"),
    (2, 3, "MAX_CLUSTER_SIZE=2 .* MIN_CLUSTER_SIZE=3"), (-1, 3, "MAX_CLUSTER_SIZE=-1 ")])
def test_sizes_of_stories_that_make_no_sense_are_an_error(wanted, min_cluster_size, expected):
    with pytest.raises(ValueError, match=f"^{expected}[^\n]*$"):
        largest_story(wanted, min_cluster_size, 501)


def run_to_the_end(run, folder, titles, **settings):
    """Execute the whole notebook on these titles; check what any run promises."""
    pd.DataFrame({"title": titles}).to_csv(folder / "news.csv", index=False)
    found = run(NEWS_CSV=folder / "news.csv", **settings)
    saved = pd.read_csv(folder / "output" / "clusters.csv", keep_default_na=False)
    assert saved["title"].tolist() == titles
    assert len(found.stories) == saved["cluster"].max() + 1
    assert np.isfinite(saved[["x", "y"]].to_numpy(dtype=float)).all()
    assert len(found.tree) == len(found.news) - 1 and np.isfinite(found.tree["weight"]).all()
    assert (folder / "output" / "clusters.html").stat().st_size > 1_000_000
    return found, saved


def samples_tried(found):
    """Return the numbers of MIN_SAMPLES that the last picture compares."""
    return [int(number) for number in shown(found, "knobs", go.Figure)[-1].data[0].x]


def test_five_headlines_and_no_story_run_to_the_end(run, tmp_path):
    found, saved = run_to_the_end(run, tmp_path, small_news(5), MIN_SAMPLES="4")
    assert (saved["cluster"] == -1).all() and len(found.stories) == 0
    assert found.distances.shape == (5, 5) and max(samples_tried(found)) < 5


@pytest.fixture(scope="module")
def odd_run(tmp_path_factory):
    """A run on odd headlines, with an approximate index and the fewest neighbours."""
    folder = tmp_path_factory.mktemp("odd")
    with runner(folder) as run:
        titles = NASTY + RAIN + CLOUDS + small_news(40)
        yield run_to_the_end(run, folder, titles, MIN_SAMPLES="1", N_NEIGHBORS="2",
                             INDEX_TYPE="HNSW", METRIC_TYPE="COSINE")[0]


def test_odd_headlines_run_to_the_end(odd_run):
    assert len(odd_run.stories) > 1


def test_the_number_of_neighbours_is_a_setting(odd_run):
    assert odd_run.neighbours.shape == odd_run.distances.shape == (len(odd_run.news), 2)
    assert samples_tried(odd_run) == [1]


def test_index_and_metric_are_settings(odd_run):
    index = odd_run.client.describe_index(odd_run.collection, "embedding")
    assert (index["index_type"], index["metric_type"]) == ("HNSW", "COSINE")


def test_a_long_text_is_cut_and_stored(odd_run):
    rows = odd_run.client.query(odd_run.collection, filter="id >= 0", output_fields=["text"])
    longest = max((row["text"] for row in rows), key=len)
    assert 15_000 < len(longest) < 40_000 and longest == LONG[:len(longest)]


def test_markup_in_headlines_is_shown_as_text_in_tables(odd_run):
    tables = [output for cell in odd_run.cells for output in cell.shown
              if isinstance(output, pd.DataFrame)]
    markup = "".join(table._repr_html_() for table in tables)
    assert len(tables) > 10 and not re.search("<script|<b>l|<img", markup)


def test_markup_and_dollars_in_headlines_are_shown_as_text_in_pictures(odd_run):
    """Plotly typesets what is between dollars as mathematics."""
    figures = [output for cell in odd_run.cells for output in cell.shown
               if isinstance(output, go.Figure)]
    texts = json.dumps([json.loads(figure.to_json()) for figure in figures], ensure_ascii=False)
    assert "&lt;script" in texts and "&#36;5" in texts
    assert not re.search(r"<script|<b>l|<img|\$\d", texts)
