"""Settings that make no sense, and headlines that are odd, from the CSV to the last section."""

import json
import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from conftest import runner, tables

LONG = "é" * 40_000  # 80,000 bytes, more than Milvus takes
NASTY = [
    "Sirens <script>alert(1)</script> at noon <img src=x onerror=\"document.title='owned'\">",
    "From $5 to $10 million",
    "He said \"no\", 'maybe' & <b>left</b>",
    "Rain 🌧️ and 👩‍🚒 heroes",
    "ירושלים: חדשות היום",
    "عاجل: أخبار اليوم من المدينة",
    "100 % {braces} \\backslash",
    "two\nlines",
    "Why 3 <5 & 7 > 2 </script><script>alert(2)</script>",
    "nan",
    "None",
    "1984",
    "=1+1",
    "a",
    LONG,
]
RAIN = [" ".join(["rain"] * (number + 1)) for number in range(20)]
CLOUDS = ["🌧" * (number + 1) for number in range(8)]


def small_news(rows):
    matters = ["harbour strike", "flood in the valley", "chess final", "bank merger", "new bridge"]
    times = ["morning", "noon", "evening"]
    return [
        f"{matters[number % 5]} report {number} of the {times[number % 3]}"
        for number in range(rows)
    ]


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


def test_five_headlines_and_no_story_run_to_the_end(run, tmp_path):
    found, saved = run_to_the_end(run, tmp_path, small_news(5), MIN_SAMPLES="4")
    assert (saved["cluster"] == -1).all() and len(found.stories) == 0
    assert found.neighbours.distances.shape == (5, 5)


def test_where_no_story_is_found_nothing_warns_and_it_is_said_that_nothing_speaks(
    run, tmp_path, recwarn
):
    pd.DataFrame({"title": small_news(5), "story": list("aabbc")}).to_csv(
        tmp_path / "news.csv", index=False
    )
    found = run(until="truth", NEWS_CSV=tmp_path / "news.csv")
    assert len(found.stories) == 0 and "nothing speaks for any number" in found.said
    assert "nan" not in found.said and not tables(found, "homogeneity")
    assert (tables(found, "story")[-1]["story"] == -1).all()  # no neighbour tells the same
    assert [str(each.message) for each in recwarn if "empty" in str(each.message)] == []


def test_twenty_headlines_without_a_number_run_to_the_end(run, tmp_path):
    """From 1 to 12, all are tried; where nothing is found, there are no marks."""
    found, _ = run_to_the_end(run, tmp_path, small_news(20))
    assert set(found.candidates["MIN_SAMPLES"]) == {1, 2, 3, 5, 8, 12}


@pytest.fixture(scope="module")
def odd_run(tmp_path_factory):
    """A run on odd headlines, with an approximate index and the fewest neighbours."""
    folder = tmp_path_factory.mktemp("odd")
    with runner(folder) as run:
        titles = NASTY + RAIN + CLOUDS + small_news(40)
        yield run_to_the_end(
            run,
            folder,
            titles,
            MIN_SAMPLES="1",
            N_NEIGHBORS="2",
            INDEX_TYPE="HNSW",
            METRIC_TYPE="COSINE",
        )[0]


def test_odd_headlines_run_to_the_end(odd_run):
    assert len(odd_run.stories) > 1


def test_the_number_of_neighbours_is_a_setting(odd_run):
    assert odd_run.neighbours.rows.shape == (len(odd_run.news), 4)  # up to the third neighbour
    assert set(odd_run.candidates["MIN_SAMPLES"]) == {1}


def test_index_and_metric_are_settings(odd_run):
    index = odd_run.client.describe_index(odd_run.collection, "embedding")
    assert (index["index_type"], index["metric_type"]) == ("HNSW", "COSINE")


def test_a_long_text_is_cut_and_stored(odd_run):
    rows = odd_run.client.query(odd_run.collection, filter="id >= 0", output_fields=["text"])
    longest = max((row["text"] for row in rows), key=len)
    assert 15_000 < len(longest) < 40_000 and longest == LONG[: len(longest)]


def test_markup_in_headlines_is_shown_as_text_in_tables(odd_run):
    tables = [
        output
        for cell in odd_run.cells
        for output in cell.shown
        if isinstance(output, pd.DataFrame)
    ]
    markup = "".join(table._repr_html_() for table in tables)
    assert len(tables) > 10 and not re.search("<script|<b>l|<img", markup)


def test_markup_and_dollars_in_headlines_are_shown_as_text_in_pictures(odd_run):
    """Plotly typesets what is between dollars as mathematics."""
    figures = [
        output for cell in odd_run.cells for output in cell.shown if isinstance(output, go.Figure)
    ]
    texts = json.dumps([json.loads(figure.to_json()) for figure in figures], ensure_ascii=False)
    assert "3 &lt;5 &amp; 7" in texts and "&#36;5" in texts
    assert not re.search(r"<script|<b>l|<img|\$\d", texts)


@pytest.mark.parametrize("name", ["MIN_SAMPLES", "MIN_CLUSTER_SIZE"])
def test_a_number_that_needs_more_headlines_stops_before_anything_is_embedded(run, tmp_path, name):
    pd.DataFrame({"title": small_news(30)}).to_csv(tmp_path / "news.csv", index=False)
    with pytest.raises(ValueError, match=f"^{name}=60 needs 6[01] different headlines.* 30"):
        run(NEWS_CSV=tmp_path / "news.csv", **{name: "60"})
    assert not (tmp_path / "milvus.db").exists()
