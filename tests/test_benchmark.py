"""The benchmark goes the notebook's own way. (Its measurements are run by hand.)"""

import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell
from pandas.testing import assert_frame_equal
from sklearn.metrics import adjusted_rand_score, pairwise_distances

from benchmark_chart import to_map
from benchmark_notebook import exact_neighbours, find_stories, make_news, run_cells, try_all
from benchmark_proof import examine, make_stories
from benchmark_sections import seconds_of_cells
from benchmark_speed import Stages, make_titles, make_vectors
from benchmark_stories import cut_stories


def test_it_chooses_and_finds_what_the_notebook_does(sample_run, sample):
    """Its neighbours are scikit-learn's, in double precision; the notebook's are Milvus's."""
    news, truth = make_news(sample)
    candidates, chosen = try_all(exact_neighbours(sample_run.embeddings))
    assert_frame_equal(candidates, sample_run.candidates)
    labels = find_stories(sample_run.embeddings, sample_run.neighbours, chosen)
    assert (labels == sample_run.labels).all()
    assert list(news["title"]) == list(sample_run.news["title"])
    assert truth.tolist() == sample["story"][sample_run.news["row"]].tolist()


def test_the_notebook_runs_on_vectors_that_are_given(tmp_path, monkeypatch):
    """Random vectors in clusters stand in for a model's: all of them come back from Milvus."""
    monkeypatch.chdir(tmp_path)
    vectors, truth = make_vectors(150)
    titles, stages = make_titles(truth), Stages()
    (tmp_path / "titles.csv").write_text("\n".join(["title", *titles]))
    found = run_cells(
        dict(zip(titles, vectors, strict=True)),
        {"NEWS_CSV": "titles.csv", "MILVUS_ADDRESS": "./milvus.db", "OUTPUT_DIR": "."},
        stages,
    )
    found["client"].close()
    order = found["news"]["row"].to_numpy()
    exact = np.sort(pairwise_distances(vectors[order].astype(float)))[:, :16]
    assert (found["embeddings"] == vectors[order]).all()
    assert np.allclose(found["neighbours"].distances, exact, atol=1e-3)
    assert adjusted_rand_score(truth[order], found["labels"]) > 0.5
    assert {"store", "neighbours", "choice", "tree", "stories", "map"} <= set(stages.seconds)


def test_the_proof_is_compared_with_all_pairs():
    few, many = examine(make_stories(0)[::2])
    assert (few["neighbours"], many["neighbours"]) == (16, 50)
    for figures in few, many:
        assert figures["agreement after"] == 1 and abs(figures["excess weight after"]) < 1e-4
    assert few["excess weight before"] > 0.01 and few["groups looked at"] > 0


def test_every_story_is_cut_or_half_of_them_among_headlines_of_the_others():
    truth = np.random.default_rng(5).permutation(["a"] * 9 + ["b"] * 4 + ["c"] * 30 + [""] * 7)
    rows, is_cut = cut_stories(truth, 3, 4)
    assert is_cut.all() and set(truth[rows]) == {"a", "b", "c"} and len(set(rows)) == len(rows)
    assert all(3 <= sum(truth[rows] == story) <= 4 for story in "abc")
    rows, is_cut = cut_stories(truth, 2, 2, among=20)
    told, how_many = np.unique(truth[rows], return_counts=True)
    assert set(truth[rows[is_cut]]) == {"a"} and sum(is_cut) == 2 and sum(how_many[1:]) == 20
    assert list(told) == ["a", "b", "c"] and how_many[2] > 15


def test_the_seconds_of_a_section_are_those_of_its_cells():
    def timed(source, started, ended):
        times = {
            "iopub.status.busy": f"2026-01-01T00:00:{started}Z",
            "shell.execute_reply": f"2026-01-01T00:00:{ended}Z",
        }
        return new_code_cell(source, metadata={"execution": times})

    cells = [
        new_markdown_cell("# Title"),
        new_code_cell(""),
        new_markdown_cell("## 1. One"),
        timed("1 + 1\n2", "01.5", "03.0"),
        new_markdown_cell("and\n### on"),
        timed("3", "03.0", "04.0"),
        new_markdown_cell("## 2. Two"),
        timed("4", "04.0", "09.0"),
    ]
    seconds = seconds_of_cells(cells)
    assert seconds.groupby("section")["seconds"].sum().to_dict() == {"1. One": 2.5, "2. Two": 5.0}
    assert list(seconds["end"]) == ["2", "3", "4"]


def test_storing_is_no_part_of_the_comparison():
    seconds = {"store": 1, "neighbours": 10, "choice": 100, "tree": 1e3, "stories": 1e4, "map": 1e5}
    assert to_map({"seconds": seconds | {"other": 1e6}}) == pytest.approx(111_110)
