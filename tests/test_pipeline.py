"""The whole notebook on the sample: what it promises about rows, distances, stories and files."""
import numpy as np
import pandas as pd
import pytest
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import adjusted_rand_score, completeness_score, homogeneity_score, pairwise_distances

from conftest import text_of


def partition(kernel):
    """Return the labels of a run by primary key, so that runs can be compared whatever their order."""
    return kernel.value("pd.Series(labels, ids)")


def test_runs_without_a_word_on_stderr(sample_run):
    streams = [output for cell in sample_run.executed for output in cell.outputs if output.output_type == "stream"]
    assert [stream.text for stream in streams if stream.name == "stderr"] == []


def test_milvus_holds_the_rows_of_the_csv(sample_run, sample):
    assert sample_run.value("row_count") == len(sample)
    stored = sample_run.value("[row['text'] for row in client.query(MILVUS_COLLECTION, filter='id >= 0', "
                              "output_fields=['text'], limit=10_000)]")
    assert sorted(stored) == sorted((sample["title"] + "\n" + sample["description"]).str.strip())


def test_distances_are_euclidean_and_exact(sample_run):
    embeddings, neighbours, distances = sample_run.value("(embeddings, neighbours, distances)")
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)
    everyone = pairwise_distances(embeddings.astype(float))
    assert np.allclose(distances, np.take_along_axis(everyone, neighbours, axis=1), atol=1e-4)
    assert np.allclose(distances, np.sort(everyone, axis=1)[:, :80], atol=1e-4)
    assert np.array_equal(neighbours[:, 0], np.arange(len(embeddings)))


def test_the_tree_is_sparse_symmetric_positive_and_connected(sample_run):
    tree = sample_run.value("tree")
    assert tree.nnz == 2 * (tree.shape[0] - 1)
    assert abs(tree - tree.T).max() == 0
    assert np.isfinite(tree.data).all() and tree.data.min() > 0
    assert connected_components(tree)[0] == 1


def test_stories_match_the_truth(sample_run, sample):
    """The bounds leave room for other versions of scikit-learn; the figures of today are in the README."""
    found = sample_run.value("clusters")["cluster"].to_numpy()
    of_story = sample["story"] != ""
    both = of_story & (found >= 0)
    assert homogeneity_score(sample["story"][both], found[both]) > 0.93
    assert completeness_score(sample["story"][both], found[both]) > 0.95
    assert (found[of_story] < 0).mean() < 0.20  # headlines of a story that are called noise
    assert (found[~of_story] < 0).mean() > 0.55  # headlines of no story that are called noise
    assert 40 <= found.max() + 1 <= 56


def test_saved_table_is_the_csv_and_four_columns_more(sample_run, sample):
    saved = pd.read_csv(sample_run.folder / "output" / "clusters.csv", keep_default_na=False)
    assert list(saved.columns) == ["title", "description", "story", "cluster", "probability", "x", "y"]
    assert saved[list(sample.columns)].equals(sample)
    by_key = partition(sample_run)
    keys = sample_run.value("(clusters['title'] + '\\n' + clusters['description']).str.strip().map(primary_key)")
    assert saved["cluster"].tolist() == by_key[keys].tolist()
    assert saved["probability"].between(0, 1).all() and (saved["probability"][saved["cluster"] == -1] == 0).all()


def test_map_has_a_point_for_every_headline_and_the_titles(sample_run, sample):
    figure = sample_run.value("fig.to_dict()")
    points, titles = figure["data"]
    assert len(points["x"]) == len(points["y"]) == len(points["hovertext"]) == len(sample)
    assert np.isfinite(points["x"]).all() and len(set(zip(points["x"], points["y"]))) > len(sample) * 0.9
    assert len(titles["text"]) == min(50, sample_run.value("story_count"))
    grey = [colour == "#c8c8c8" for colour in points["marker"]["color"]]
    assert np.array_equal(grey, sample_run.value("labels") < 0)
    for figure_in_title in (f"{len(sample)} headlines", f"{sample_run.value('story_count')} stories", "MIN_SAMPLES 3"):
        assert figure_in_title in figure["layout"]["title"]["text"]


def test_stories_are_sorted_and_described_by_their_own_words(sample_run):
    stories, labels, titles = sample_run.value("(stories, labels, news['title'].tolist())")
    texts = sample_run.value("texts.tolist()")
    assert stories["headlines"].tolist() == np.bincount(labels[labels >= 0]).tolist()
    assert stories["headlines"].is_monotonic_decreasing
    assert stories["title"].is_unique
    for story, row in stories.iterrows():
        members = np.flatnonzero(labels == story)
        words = " ".join(texts[member] for member in members).lower()
        assert all(word in words for word in row["title"].split(", "))
        assert row["representative headline"] in [titles[member] for member in members]


def test_labels_are_written_back(sample_run):
    stored = sample_run.value("{row['id']: row['cluster'] for row in client.query("
                              "MILVUS_COLLECTION, filter='id >= 0', output_fields=['cluster'], limit=10_000)}")
    assert stored == partition(sample_run).to_dict()


def test_questions_are_answered(sample_run):
    answers = sample_run.value("ask('a port strike keeps ships waiting off Ginsholt')")
    assert "ginsholt" in answers["story"][0] and answers["distance"].is_monotonic_increasing
    inside = sample_run.value("ask('a port strike keeps ships waiting off Ginsholt', 'cluster == 3')")
    assert set(inside["story"]) == {sample_run.value("titles[3]")}


@pytest.mark.parametrize("headline, word", [
    ("Hackers who robbed Kwiptix demand ransom for customers' data", "kwiptix"),
    ("Pellimore rover wakes after the lunar night and phones home", "pellimore"),
    ("Kelmarrow shareholders to vote on biscuit takeover next month", "kelmarrow"),
    ("Champion Yelverin back at school after her Saventree tennis triumph", "yelverin"),
    ("Zebra crossing painted in stripes of lavender by pensioners", None),
])
def test_new_headlines_are_placed(sample_run, headline, word):
    story = sample_run.value(f"place_headline({headline!r})")
    assert story == -1 if word is None else word in sample_run.value("titles")[story]


def test_a_second_run_embeds_and_stores_nothing(new_kernel):
    kernel = new_kernel()
    first = text_of(kernel.run())
    labels = partition(kernel)
    counting = "calls = []\nembed_texts = embed\nembed = lambda texts: (calls.extend(texts), embed_texts(texts))[1]"
    again = text_of(kernel.run(before={"## 4.": counting}, until="## 10."))
    assert "501 headlines embedded and stored, 0 deleted" in first
    assert "0 headlines embedded and stored, 0 deleted" in again and kernel.value("calls") == []
    assert partition(kernel).equals(labels)


def test_shuffled_rows_give_the_same_stories_and_map(sample_run, workbench, sample, milvus_file):
    shuffled = milvus_file.with_name("shuffled.csv")
    sample.sample(frac=1, random_state=3).to_csv(shuffled, index=False)
    workbench.run(until="## 10.", NEWS_CSV=shuffled, MILVUS_ADDRESS=milvus_file)
    assert adjusted_rand_score(partition(sample_run), partition(workbench)[sample_run.value("ids")]) == 1.0
    assert np.allclose(workbench.value("(x, y)"), sample_run.value("(x, y)"))


def test_shuffled_graph_gives_the_same_stories(sample_run):
    """Sorting by key alone would pass the test above; here the rows of the graph itself change places."""
    for seed in range(5):
        found = sample_run.value(
            f"(lambda order: (lambda place: fit_hdbscan(spanning_tree((place[edges[0]], place[edges[1]], edges[2]), "
            f"core_distance[order]), MIN_CLUSTER_SIZE).labels_[place])(np.argsort(order)))"
            f"(np.random.default_rng({seed}).permutation(row_count))")
        assert adjusted_rand_score(sample_run.value("labels"), found) == 1.0


@pytest.mark.parametrize("metric", ["IP", "COSINE"])
def test_every_metric_gives_the_same_distances_and_stories(sample_run, workbench, milvus_file, metric):
    workbench.run(until="## 8.", METRIC_TYPE=metric, MILVUS_ADDRESS=milvus_file)
    assert np.allclose(workbench.value("distances"), sample_run.value("distances"), atol=1e-4)
    assert adjusted_rand_score(sample_run.value("labels"), workbench.value("labels")) >= 0.99


def test_another_metric_needs_no_new_embeddings(workbench, milvus_file):
    workbench.run(until="## 5.", MILVUS_ADDRESS=milvus_file)
    said = text_of(workbench.run(until="## 7.", METRIC_TYPE="IP", MILVUS_ADDRESS=milvus_file))
    assert "0 headlines embedded and stored" in said
    assert workbench.value("client.describe_index(MILVUS_COLLECTION, 'embedding')['metric_type']") == "IP"
