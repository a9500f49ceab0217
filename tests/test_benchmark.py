"""The benchmark goes the notebook's own way. (Its measurements are run by hand.)"""
import numpy as np
import pandas as pd
import pytest
from benchmark_chart import to_map
from benchmark_notebook import (
    cluster,
    make_news,
    make_page,
    proven_tree,
    search_all,
    store,
)
from benchmark_proof import examine, make_stories
from benchmark_speed import make_titles, make_vectors
from benchmark_stories import b_cubed
from pandas.testing import assert_frame_equal
from sklearn.metrics import pairwise_distances


def test_it_finds_the_trees_and_stories_of_the_notebook(sample_run, tmp_path):
    found = sample_run
    tree, proof = proven_tree(found.embeddings, found.neighbours, found.distances, is_exact=True)
    clusterer, labels, order = cluster(tree)
    assert_frame_equal(tree, found.tree)
    assert (labels == found.labels).all() and proof["groups"] == found.looked_at
    news = found.news[["id", "row", "title", "text", "rows", "x", "y"]].copy()
    stories = make_page(tmp_path / "page.html", news, found.embeddings, found.neighbours, tree,
                        clusterer, labels, order)
    assert_frame_equal(stories, found.stories, check_dtype=False)
    assert_frame_equal(news, found.news, check_like=True, check_dtype=False)
    assert stories["name"][0] in (tmp_path / "page.html").read_text()


def test_what_it_stores_comes_back_with_its_exact_neighbours(tmp_path):
    vectors, truth = make_vectors(60)
    news = make_news(pd.DataFrame({"title": make_titles(truth)}))
    vectors, address = vectors[news["row"]], str(tmp_path / "milvus.db")
    client, metric, embeddings = store(address, news, vectors)
    neighbours, distances = search_all(client, address, metric, news, embeddings)
    client.close()
    exact = np.sort(pairwise_distances(vectors.astype(float)))[:, :16]
    assert len(news) == 60 and (embeddings == vectors).all()
    assert (neighbours[:, 0] == np.arange(60)).all() and np.allclose(distances, exact, atol=1e-3)


def test_the_proof_is_compared_with_all_pairs():
    few, many = examine(make_stories(0)[::2])
    assert (few["neighbours"], many["neighbours"]) == (16, 50)
    for figures in few, many:
        assert figures["agreement after"] == 1 and abs(figures["excess weight after"]) < 1e-4
    assert few["excess weight before"] > 0.01 and few["groups"] > 0


def test_b_cubed_by_hand():
    """Two clusters and a lone headline; story a is torn, and a headline of no story is with b."""
    labels, truth = np.array([0, 0, -1, 1, 1, 1]), np.array(["a", "a", "a", "b", "b", ""])
    precision, recall, f = b_cubed(labels, truth)
    assert precision == pytest.approx((1 + 1 + 1 + 2 / 3 + 2 / 3) / 5)
    assert recall == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 1 + 1) / 5)
    assert f == pytest.approx(2 * precision * recall / (precision + recall))


def test_storing_and_the_page_are_no_part_of_the_comparison():
    seconds = {"store": 1, "neighbours": 10, "tree": 100, "stories": 1000, "map": 1e4, "page": 1e5}
    assert to_map({"seconds": seconds}) == 11_110
