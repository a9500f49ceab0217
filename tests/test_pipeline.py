"""The whole notebook on the sample: what it promises about rows, distances, stories and files."""
import re

import numpy as np
import pandas as pd
import pytest
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import adjusted_rand_score, completeness_score, homogeneity_score, pairwise_distances

from conftest import TOKEN, rows_of


def test_the_command_of_the_readme_runs_it_without_a_word_on_stderr(lsa_run):
    assert lsa_run.status == 0, lsa_run.said
    streams = [output for output in lsa_run.outputs if output.output_type == "stream"]
    assert [stream.text for stream in streams if stream.name == "stderr"] == []
    assert "501 rows in clusters.csv" in streams[-1].text and "Warning" not in str(streams)


def test_two_processes_save_the_same_to_the_last_digit(lsa_run, sample_run):
    there, here = (run.folder / "output" / "clusters.csv" for run in (lsa_run, sample_run))
    assert here.read_bytes() == there.read_bytes()


def test_every_headline_is_there_once_in_order_of_its_key(sample_run, sample):
    news = sample_run.news
    assert news["id"].is_monotonic_increasing and news["id"].is_unique and (news["id"] >= 0).all()
    assert news.index.equals(pd.RangeIndex(501))
    assert sorted(news["text"]) == sorted((sample["title"] + "\n" + sample["description"]).str.strip())


def test_distances_are_euclidean_and_exact(sample_run):
    embeddings, neighbours, distances = sample_run.embeddings, sample_run.neighbours, sample_run.distances
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)
    everyone = pairwise_distances(embeddings.astype(float))
    assert np.allclose(distances, np.take_along_axis(everyone, neighbours, axis=1), atol=1e-4)
    assert np.allclose(distances, np.sort(everyone, axis=1)[:, :80], atol=1e-4)
    assert np.array_equal(neighbours[:, 0], np.arange(501)) and (distances[:, 0] == 0).all()


def test_the_tree_is_sparse_symmetric_positive_and_connected(sample_run):
    tree = sample_run.tree
    assert tree.nnz == 2 * (tree.shape[0] - 1) == 1000 and abs(tree - tree.T).max() == 0
    assert np.isfinite(tree.data).all() and tree.data.min() > 0
    assert connected_components(tree)[0] == 1


def test_stories_match_the_truth(sample_run, sample):
    """The bounds leave room for other versions of scikit-learn; the figures of today are in the README."""
    found = sample_run.clusters["cluster"].to_numpy()
    of_story = (sample["story"] != "").to_numpy()
    both = of_story & (found >= 0)
    assert homogeneity_score(sample["story"][both], found[both]) > 0.93
    assert completeness_score(sample["story"][both], found[both]) > 0.95
    assert (found[of_story] < 0).mean() < 0.20  # headlines of a story that are called noise
    assert (found[~of_story] < 0).mean() > 0.55  # headlines of no story that are called noise
    assert 40 <= found.max() + 1 <= 56


def test_saved_table_is_the_csv_and_five_columns_more(sample_run, sample):
    saved = pd.read_csv(sample_run.folder / "output" / "clusters.csv", keep_default_na=False)
    assert set(saved) - set(sample) == {"cluster", "probability", "cluster_name", "x", "y"}
    assert saved[list(sample)].equals(sample)
    found = sample_run.news.set_index("title").loc[sample["title"]]
    assert saved["cluster"].tolist() == found["cluster"].tolist()
    assert np.allclose(saved[["x", "y"]], found[["x", "y"]], rtol=1e-5)
    assert saved["probability"].between(0, 1).all() and (saved["probability"][saved["cluster"] < 0] == 0).all()
    names = saved.groupby("cluster")["cluster_name"].agg(["first", "nunique"])
    assert (names["nunique"] == 1).all() and names["first"][-1] == ""
    assert names["first"].loc[0:].tolist() == sample_run.stories["name"].tolist()


def test_labels_are_written_back(sample_run):
    news = sample_run.news
    expected = dict(zip(news["id"], zip(news["text"], sample_run.labels)))
    assert rows_of(sample_run.client, "sample_headlines_lsa") == expected


def test_map_has_a_point_for_every_headline_in_the_colour_of_its_story(sample_run):
    news, traces = sample_run.news, [trace for trace in sample_run.fig.data if trace.mode == "markers"]
    assert [len(trace.x) for trace in traces] == news.groupby("cluster").size().tolist()
    drawn = {point for trace in traces for point in zip(trace.x, trace.y)}
    assert drawn == set(zip(news["x"], news["y"])) and len(drawn) > 450 and np.isfinite(news[["x", "y"]].values).all()
    assert [trace.marker.color == "#c8c8c8" for trace in traces] == [True] + [False] * (len(traces) - 1)
    assert re.fullmatch(f"501 headlines, {len(traces) - 1} stories, .*% noise", sample_run.fig.layout.title.text)


def test_stories_are_sorted_and_described_by_their_own_headlines_and_words(sample_run):
    stories, news = sample_run.stories, sample_run.news
    assert stories["headlines"].tolist() == np.bincount(sample_run.labels[sample_run.labels >= 0]).tolist()
    assert stories["headlines"].is_monotonic_decreasing and (stories["words"] != "").all()
    for number, story in stories.iterrows():
        members = news[news["cluster"] == number]
        assert story["name"] in members["title"].tolist()
        for word in story["words"].split(", "):
            assert members["text"].str.count(rf"(?i)\b{word}\b").sum() > 1
    assert "ginsholt" in " ".join(stories["words"])


def test_the_text_says_that_all_pairs_in_reverse_agree(sample_run):
    assert re.search(r"ours: 1\.000, ordinary: 0\.\d{3}$", sample_run.said, re.M)


def test_questions_are_answered(sample_run):
    answers = sample_run.ask("a port strike keeps ships waiting off Ginsholt")
    assert "Ginsholt" in answers["title"].iloc[0] and answers["distance"].is_monotonic_increasing
    exact = np.linalg.norm(sample_run.embeddings - sample_run.embed(["a port strike keeps ships waiting off Ginsholt"]), axis=1)
    assert np.allclose(answers["distance"], np.sort(exact)[:5], atol=1e-4)


def test_a_question_within_a_story_stays_there(sample_run):
    assert set(sample_run.ask("a port strike in Ginsholt", "cluster == 3")["cluster_name"]) == {sample_run.stories["name"][3]}


def test_a_question_about_nothing(sample_run, capsys):
    answers = sample_run.ask("qqqq zzzz")
    assert answers.empty and list(answers) == ["title", "cluster_name", "distance"]
    assert "Nothing here is like 'qqqq zzzz'" in capsys.readouterr().out
    assert sample_run.place_headline("qqqq zzzz") == ""


@pytest.mark.parametrize("headline, word", [
    ("Hackers who robbed Kwiptix demand ransom for customers' data", "kwiptix"),
    ("Pellimore rover wakes after the lunar night and phones home", "pellimore"),
    ("Kelmarrow shareholders to vote on biscuit takeover next month", "kelmarrow"),
    ("Champion Yelverin back at school after her Saventree tennis triumph", "yelverin"),
    ("Zebra crossing painted in stripes of lavender by pensioners", None),
])
def test_new_headlines_are_placed(sample_run, headline, word):
    story = sample_run.place_headline(headline)
    assert story == "" if word is None else word in sample_run.stories.set_index("name")["words"][story]


def test_new_headlines_are_placed_by_headlines_in_stories_only(sample_run):
    embeddings, names = sample_run.embeddings, sample_run.news["cluster_name"].to_numpy()
    in_story, found = np.flatnonzero(sample_run.labels >= 0), []
    for title in sample_run.news["title"][::10]:  # near a headline without being one
        distance = np.linalg.norm(embeddings - sample_run.embed([title]), axis=1)
        nearest = in_story[distance[in_story].argsort()[:5]]
        expected = pd.Series(names[nearest[distance[nearest] < sample_run.core_distance[nearest]]]).mode().get(0, "")
        assert sample_run.place_headline(title) == expected
        reached = distance < sample_run.core_distance
        found.append((expected != "", (sample_run.labels[reached] < 0).sum() > reached.sum() / 2))
    assert {(True, False), (True, True), (False, True)} <= set(found)  # also where noise is in the majority


def test_shuffled_graph_gives_the_same_stories(sample_run):
    """Sorting the headlines alone would make files in any order alike; here the rows of the graph change places."""
    edges = sample_run.edges
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(501)
        place = np.argsort(order)
        moved = edges.assign(start=place[edges["start"]], end=place[edges["end"]])
        tree = sample_run.spanning_tree(moved, sample_run.core_distance[order])
        assert adjusted_rand_score(sample_run.labels, sample_run.fit_hdbscan(tree, 3).labels_[place]) == 1.0


@pytest.mark.parametrize("where, metric", [("lite", "IP"), ("lite", "COSINE"), ("server", "L2")])
def test_every_metric_and_backend_gives_the_same_distances_and_stories(request, run, sample_run, where, metric):
    settings = {} if where == "lite" else {
        "MILVUS_ADDRESS": request.getfixturevalue("server"), "MILVUS_TOKEN": TOKEN, "MILVUS_COLLECTION": f"metric_{metric}"}
    other = run(until=8, METRIC_TYPE=metric, **settings)
    assert "exact: True" in other.said and f"FLAT, {metric}" in other.said
    assert np.allclose(other.distances, sample_run.distances, atol=1e-4)
    assert adjusted_rand_score(sample_run.labels, other.labels) == 1.0
    assert np.array_equal(sample_run.labels < 0, other.labels < 0)


def test_toy_says_what_the_text_says(sample_run):
    """The figures in the prose about the eight points."""
    assert sample_run.core.tolist() == [2.5, 1.5, 2.5, 2, 1, 2, 6, 7]
    merges = sample_run.toy.single_linkage_tree_.to_numpy()
    assert merges[-3:, 2].tolist() == [4.5, 6, 7] and merges[-3:, 3].tolist() == [6, 7, 8]
    assert sample_run.toy.labels_.tolist() in ([0, 0, 0, 1, 1, 1, -1, -1], [1, 1, 1, 0, 0, 0, -1, -1])
