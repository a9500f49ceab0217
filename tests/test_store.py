"""What Milvus keeps and finds, on Milvus Lite and on a server."""

import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymilvus import DataType, MilvusClient
from scipy.spatial.distance import cdist
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import normalize

from conftest import nearest
from notebook import (
    CHOICES,
    as_rows,
    ask,
    batch_size,
    batches,
    check_model,
    choose_metric,
    collection_name,
    connect,
    fetch_embeddings,
    find_tree,
    fit_hdbscan,
    nearest_neighbours,
    neighbours_to_search,
    open_collection,
    place_headline,
    progress,
    put_itself_first,
    search,
    stored_ids,
    tidy_collection,
)

NOTHING = np.array([], dtype="int64")


def unit_vectors(count, dimension=16):
    random = np.random.default_rng(7)
    return np.float32(normalize(random.normal(size=(count, dimension))))


def headlines(count):
    """A table such as `news`, whose ids have gaps."""
    text = [f"point {number}" for number in range(count)]
    return pd.DataFrame({"id": np.arange(count) * 7 + 3, "text": text, "cluster": -1})


def schema_for(vectors):
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("text", DataType.VARCHAR, max_length=65_535)
    schema.add_field("cluster", DataType.INT64)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=vectors.shape[1])
    return schema


def fill(client, collection, vectors, index_type="FLAT", metric="L2"):
    """Store vectors in a new collection; return the table of their headlines."""
    news = headlines(len(vectors))
    open_collection(client, collection, schema_for(vectors), index_type, metric)
    client.upsert(collection, as_rows(news, vectors))
    tidy_collection(client, collection, NOTHING)
    return news


def count_rows(client, collection):
    return client.query(collection, output_fields=["count(*)"])[0]["count(*)"]


@pytest.fixture(scope="module")
def lite(tmp_path_factory):
    """A client of Milvus Lite; each test has a collection of its own."""
    client = connect(str(tmp_path_factory.mktemp("lite") / "milvus.db"))
    yield client
    client.close()


@pytest.fixture(scope="module")
def remote(server):
    """A client of a real server."""
    client = connect(server["MILVUS_ADDRESS"], server["MILVUS_TOKEN"])
    yield client
    client.close()


@pytest.fixture(scope="module", params=["lite", "remote"])
def client(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def points(client):
    """120 rows in a collection named points, where each test adds rows of its own or takes some."""
    vectors = unit_vectors(120)
    return client, fill(client, "points", vectors), vectors


# Rows


@pytest.fixture(scope="module")
def thousands(client):
    """2,345 rows: more than Milvus is asked for at once. Nobody changes them."""
    vectors = unit_vectors(2345, dimension=4)
    return client, fill(client, "thousands", vectors), vectors


def test_all_ids_are_read(thousands):
    client, news, _ = thousands
    assert sorted(stored_ids(client, "thousands")) == news["id"].tolist()


def test_embeddings_come_back_in_the_order_of_their_ids(thousands):
    client, news, vectors = thousands
    order = np.random.default_rng(1).permutation(len(news))
    found = fetch_embeddings(client, "thousands", news["id"].to_numpy()[order])
    assert found.dtype == np.float32 and np.array_equal(found, vectors[order])


def test_thousands_of_rows_that_are_gone_are_deleted_and_no_others(lite):
    news = fill(lite, "deleted", unit_vectors(2345, dimension=4))
    kept = news["id"][::5]
    tidy_collection(lite, "deleted", np.setdiff1d(news["id"], kept))
    assert sorted(stored_ids(lite, "deleted")) == kept.tolist()


def test_a_collection_without_rows_has_no_ids(lite):
    open_collection(lite, "empty", schema_for(unit_vectors(1)), "FLAT", "L2")
    assert stored_ids(lite, "empty").tolist() == []


def test_a_row_with_the_id_of_another_takes_its_place(points):
    client, news, vectors = points
    before = count_rows(client, "points")
    client.upsert("points", as_rows(news[3:5].assign(cluster=6), vectors[3:5]))
    rows = client.query("points", filter="cluster == 6", output_fields=["text"])
    assert {row["text"] for row in rows} == {"point 3", "point 4"}
    assert count_rows(client, "points") == before


def test_a_row_is_found_as_soon_as_it_is_written(points):
    client, news, vectors = points
    client.upsert("points", as_rows(news[:1].assign(id=2**62), -vectors[:1]))
    ids, distances = search(client, "points", -vectors[:1], 1)
    assert ids.tolist() == [[2**62]] and distances == pytest.approx(0, abs=1e-3)


def test_the_longest_text_that_is_stored_fits_in_milvus(points):
    """16,000 letters of four bytes each: a server counts bytes."""
    client, news, vectors = points
    client.upsert("points", as_rows(news[:1].assign(id=1, text="🌧" * 16_000), vectors[:1]))
    (row,) = client.get("points", [1], output_fields=["text"])
    assert row["text"] == "🌧" * 16_000


def test_rows_have_the_fields_of_the_collection():
    news, vectors = headlines(2).assign(title="not stored", cluster=[4, -1]), unit_vectors(2)
    first, second = as_rows(news, vectors)
    assert second["id"] == 10 and second["text"] == "point 1" and first["cluster"] == 4
    assert set(first) == {"id", "text", "cluster", "embedding"}
    assert np.array_equal(first["embedding"], vectors[0])


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_made_of_numbers_is_an_error_with_its_headline(number):
    news, vectors = headlines(4), unit_vectors(4)
    news.loc[2, "text"] = "Rain stops play\nand so on"
    vectors[2, 5] = number
    with pytest.raises(ValueError, match="^[^\n]*'Rain stops play'[^\n]*$"):
        as_rows(news, vectors)


@pytest.mark.parametrize(
    "count, size, sizes", [(5, 2, [2, 2, 1]), (4, 2, [2, 2]), (1, 256, [1]), (0, 256, [])]
)
def test_batches_cut_all_rows_into_parts(count, size, sizes):
    parts = [list(range(count))[part] for part in batches(count, size)]
    assert list(map(len, parts)) == sizes and list(itertools.chain(*parts)) == list(range(count))


def last_bar(parts, capsys):
    """Return what the bar says in the end, and the parts that came out."""
    found = list(progress(parts))
    return capsys.readouterr().out.split("\r")[-1], found


def test_the_bar_counts_headlines_and_not_the_steps_in_which_they_are_embedded(capsys):
    said, found = last_bar(batches(1100, 256), capsys)
    assert found == batches(1100, 256) and re.search(r"100%.* 1100/1100 \[.* headlines/s\]", said)


def test_the_bar_counts_other_things_one_by_one_and_nothing_where_nothing_is_to_do(capsys):
    said, found = last_bar((1, 2, 3, 5, 8, 12), capsys)
    assert found == [1, 2, 3, 5, 8, 12] and " 6/6 [" in said
    assert last_bar([], capsys) == ("", [])


# Collections


def test_no_two_files_and_no_two_models_share_a_collection(tmp_path, monkeypatch):
    """Whatever script their names are in; and files of the same name in other folders do not."""
    for folder in "one", "two":
        (tmp_path / folder).mkdir()
    names = []
    for folder in "one", "two":
        monkeypatch.chdir(tmp_path / folder)
        names += [
            collection_name("stories", path, model)
            for path in ("news.csv", "data/news.csv", "новости.csv", "新闻.csv", "Köln.csv")
            for model in ("lsa", "run1/m", "run2/m")
        ]
    assert len(set(names)) == 30
    assert all(re.fullmatch(r"stories_[0-9a-f]{8}", name) for name in names)


def test_a_file_has_one_collection_however_its_path_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = ["a/news.csv", Path("a/news.csv"), "./b/../a/news.csv", tmp_path / "a" / "news.csv"]
    assert len({collection_name("stories", path, "lsa") for path in paths}) == 1


def test_other_columns_have_a_collection_of_their_own():
    columns = [
        ("", ""),
        ("Headline", ""),
        ("", "Headline"),
        ("Headline", "Body"),
        ("Body", "Headline"),
        ("Head", "lineBody"),
        ("", "Body"),
    ]
    names = [collection_name("stories", "a.csv", "lsa", *each) for each in columns]
    assert len(set(names)) == len(columns)


@pytest.mark.parametrize("columns", [(), ("", ""), ("title", ""), ("title", "description")])
def test_a_collection_that_an_earlier_notebook_made_is_found_again(columns):
    """It knew nothing of columns, and called its collections so."""
    assert collection_name("stories", "/news/a.csv", "lsa", *columns) == "stories_ef8676ae"
    assert collection_name("stories", "/news/a.csv", "BAAI/bge-m3", *columns) == "stories_3fca2fbb"


def test_the_beginning_of_the_name_is_a_setting():
    one, other = (collection_name(name, "a.csv", "lsa") for name in ("stories", "my_own"))
    assert other == one.replace("stories", "my_own")


def built(client, monkeypatch):
    """List from now on when the client makes an index or drops one."""
    calls = []
    for step in "create_index", "drop_index":
        alive = getattr(client, step)

        def called(*arguments, step=step, alive=alive, **more):
            calls.append(step)
            return alive(*arguments, **more)

        monkeypatch.setattr(client, step, called)
    return calls


def index_of(client, collection):
    index = client.describe_index(collection, "embedding")
    return index["index_type"], index["metric_type"]


def test_the_same_index_is_never_made_again(points, monkeypatch):
    client, _, vectors = points
    index, calls = index_of(client, "points"), built(client, monkeypatch)
    open_collection(client, "points", schema_for(vectors), *index)
    assert calls == [] and index_of(client, "points") == index


def test_another_type_or_metric_is_another_index_and_the_rows_stay(lite, monkeypatch):
    vectors = unit_vectors(120)
    news = fill(lite, "indexed", vectors)
    calls = built(lite, monkeypatch)
    for index in [("HNSW", "IP"), ("HNSW", "L2"), ("AUTOINDEX", "COSINE"), ("FLAT", "IP")]:
        open_collection(lite, "indexed", schema_for(vectors), *index)
        assert index_of(lite, "indexed") == index
        assert calls == ["drop_index", "create_index"]
        calls.clear()
        ids, _ = search(lite, "indexed", vectors, 1)
        assert ids[:, 0].tolist() == news["id"].tolist()


@pytest.mark.parametrize("index_type", sorted({*CHOICES["INDEX_TYPE"]} - {"FLAT", "HNSW"}))
def test_each_type_of_index_that_a_setting_may_name_is_made_by_a_server(remote, index_type):
    """And a row finds itself with it. (With FLAT and HNSW, much else is tested.)"""
    vectors, collection = unit_vectors(300, dimension=32), f"index_{index_type}".lower()
    news = fill(remote, collection, vectors, index_type)
    ids, _ = search(remote, collection, vectors[:20], 1)
    assert ids[:, 0].tolist() == news["id"].tolist()[:20]


@pytest.mark.parametrize("step, metric", [("create_index", "L2"), ("load_collection", "IP")])
def test_a_run_that_ended_while_an_index_was_made_does_no_harm(points, monkeypatch, step, metric):
    client, news, vectors = points

    def ended(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(client, step, ended)
        open_collection(client, "points", schema_for(vectors), "HNSW", metric)
    open_collection(client, "points", schema_for(vectors), "HNSW", metric)
    assert index_of(client, "points") == ("HNSW", metric)
    ids, _ = search(client, "points", vectors[5:], 1)
    assert ids[:, 0].tolist() == news["id"].tolist()[5:]


def test_a_run_that_ended_before_the_flush_loses_nothing(lite, monkeypatch):
    news = fill(lite, "ended_flush", unit_vectors(120))

    def ended(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(lite, "flush", ended)
        tidy_collection(lite, "ended_flush", news["id"].to_numpy()[:20])
    tidy_collection(lite, "ended_flush", NOTHING)
    assert sorted(stored_ids(lite, "ended_flush")) == news["id"].tolist()[20:]


def test_a_type_of_index_that_milvus_does_not_know_is_an_error_and_costs_no_rows(lite):
    vectors = unit_vectors(8)
    fill(lite, "unknown", vectors)
    with pytest.raises(Exception, match="(?i)^[^\n]*index.type[^\n]*NONE[^\n]*$"):
        open_collection(lite, "unknown", schema_for(vectors), "NONE", "L2")
    open_collection(lite, "unknown", schema_for(vectors), "FLAT", "L2")
    assert count_rows(lite, "unknown") == 8


@pytest.mark.parametrize(
    "wanted, address, count, metric",
    [
        ("", "./milvus.db", 999, "L2"),
        ("", "./milvus.db", 1000, "IP"),
        ("", "http://localhost:19530", 100_000, "L2"),
        ("L2", "./milvus.db", 5000, "L2"),
        ("COSINE", "./milvus.db", 5, "COSINE"),
        ("IP", "http://localhost:19530", 5, "IP"),
    ],
)
def test_the_metric_is_the_one_that_is_set_or_a_fast_one(wanted, address, count, metric):
    assert choose_metric(wanted, address, count) == metric


# The model


def test_the_model_that_made_the_embeddings_is_accepted(lite):
    vectors = unit_vectors(8)
    news = fill(lite, "same_model", vectors)
    table = dict(zip(news["text"], vectors, strict=True))
    check_model(lite, "same_model", lambda texts: np.array([table[text] for text in texts]), "m")


@pytest.mark.parametrize("dimension", [16, 8])
def test_a_model_that_was_changed_in_place_is_refused(lite, dimension):
    collection = f"changed_model_{dimension}"
    fill(lite, collection, unit_vectors(8))
    with pytest.raises(ValueError, match="^/models/m is no longer[^\n]* MILVUS_COLLECTION [^\n]*$"):
        check_model(lite, collection, lambda texts: unit_vectors(99, dimension)[-1:], "/models/m")


def test_any_model_is_accepted_where_nothing_is_stored(lite):
    open_collection(lite, "no_model", schema_for(unit_vectors(1)), "FLAT", "L2")
    check_model(lite, "no_model", lambda texts: unit_vectors(len(texts), 8), "m")


# Searching


def test_distances_of_the_sample_are_euclidean_and_exact(sample_run):
    between = cdist(sample_run.embeddings.astype(float), sample_run.embeddings)
    rows, distances, is_exact = sample_run.neighbours
    assert np.allclose(distances, np.take_along_axis(between, rows, axis=1), atol=1e-4)
    assert np.allclose(distances, np.sort(between)[:, : distances.shape[1]], atol=1e-4)
    assert np.array_equal(rows[:, 0], np.arange(501)) and (distances[:, 0] == 0).all() and is_exact


def stories_by(vectors, neighbours):
    tree, *_ = find_tree(vectors, neighbours, 3)
    return fit_hdbscan(tree, len(vectors)).labels_


@pytest.mark.parametrize(
    "where, index_type, metric",
    [
        ("lite", "FLAT", "IP"),
        ("lite", "FLAT", "COSINE"),
        ("lite", "HNSW", "L2"),
        ("remote", "FLAT", "L2"),
        ("remote", "HNSW", "IP"),
    ],
)
def test_distances_and_stories_are_the_same_with_any_metric_index_and_milvus(
    request, sample_run, where, index_type, metric
):
    """So few rows are found exactly by HNSW, too."""
    client, vectors = request.getfixturevalue(where), sample_run.embeddings
    if not client.has_collection("sample"):
        fill(client, "sample", vectors)
    open_collection(client, "sample", schema_for(vectors), index_type, metric)
    found = nearest_neighbours(client, "sample", headlines(501)["id"], vectors, 16, batch=200)
    assert np.allclose(found.distances, sample_run.neighbours.distances, atol=1e-4)
    assert found.is_exact == (index_type == "FLAT")
    labels, expected = (stories_by(vectors, each) for each in (found, sample_run.neighbours))
    assert adjusted_rand_score(labels, expected) == 1 and expected.max() > 20
    assert np.array_equal(labels < 0, expected < 0)


def test_a_filter_may_leave_fewer_hits_than_one_asks_for(thousands):
    client, news, vectors = thousands
    for chosen in [3], [3, 17, 2000], []:
        wanted = news["id"][chosen].tolist()
        ids, distances = search(client, "thousands", vectors[:1], 5, f"id in {wanted}")
        assert ids.shape == distances.shape == (1, 5) and set(ids[0, : len(chosen)]) == set(wanted)
        expected = np.sort(np.linalg.norm(vectors[chosen] - vectors[0], axis=1))
        assert np.allclose(distances[0, : len(chosen)], expected, atol=1e-3)
        assert (ids[0, len(chosen) :] == -1).all() and np.isnan(distances[0, len(chosen) :]).all()


def test_of_several_questions_none_loses_hits_because_another_has_few(lite):
    """HNSW with a filter finds three rows for one question, and two for another."""
    vectors = unit_vectors(2000)
    news = fill(lite, "holes", vectors)
    open_collection(lite, "holes", schema_for(vectors), "HNSW", "L2")
    expression = f"id in {news['id'][:3].tolist()}"
    alone = [search(lite, "holes", vectors[[row]], 5, expression) for row in range(40)]
    together = search(lite, "holes", vectors[:40], 5, expression)
    assert len({(ids >= 0).sum() for ids, _ in alone}) > 1  # or this test would prove nothing
    for row, each in enumerate(alone):
        assert all(
            np.allclose(one[0], many[row], atol=1e-4, equal_nan=True)
            for one, many in zip(each, together, strict=True)
        )


def crowd(client, collection, vectors, kept):
    """Store `vectors` with gaps, and rows of another run beside each; return our ids.

    Of ours, only those in `kept` are stored; the other run's are nearer to each than any of ours.
    """
    random = np.random.default_rng(5)
    ids = fill(client, collection, vectors)["id"]
    others = np.float32(
        normalize(
            np.repeat(vectors, 3, axis=0) + random.normal(scale=1e-3, size=(3 * len(vectors), 16))
        )
    )
    strangers = pd.DataFrame({"id": 10**6 + np.arange(len(others)), "text": "?", "cluster": 1})
    client.upsert(collection, as_rows(strangers, others))
    tidy_collection(client, collection, ids.to_numpy()[~np.isin(np.arange(len(ids)), kept)])
    return ids


@pytest.mark.parametrize("kept", [range(90), range(0, 90, 2)])
@pytest.mark.parametrize("index_type", ["FLAT", "HNSW"])
def test_what_another_run_stored_or_deleted_meanwhile_changes_no_list(lite, kept, index_type):
    vectors, collection = unit_vectors(90), f"crowded_{len(kept)}_{index_type}"
    ids = crowd(lite, collection, vectors, kept)
    open_collection(lite, collection, schema_for(vectors), index_type, "L2")
    found = nearest_neighbours(lite, collection, ids, vectors, limit=6, batch=40)
    expected = nearest(vectors, 6)
    assert np.array_equal(found.rows, expected.rows) and found.is_exact == (index_type == "FLAT")
    assert np.allclose(found.distances, expected.distances, atol=1e-3)


def test_lists_that_end_early_are_filled_and_the_others_stay_as_they_were_found(lite):
    """Five rows are left in Milvus: there are no more to be found, in either of two batches."""
    vectors = unit_vectors(60)
    ids = fill(lite, "ended_early", vectors)["id"]
    tidy_collection(lite, "ended_early", ids.to_numpy()[5:])
    found = nearest_neighbours(lite, "ended_early", ids, vectors, limit=8, batch=31)
    expected = nearest(vectors, 8)
    assert np.array_equal(found.rows, expected.rows)
    assert np.allclose(found.distances, expected.distances, atol=1e-3)


def itself_first(rows, distances, own):
    """Return the list of one row with its own number at its head, by hand."""
    pairs = [pair for pair in zip(rows, distances, strict=True) if pair[0] != own]
    return [(own, 0.0), *pairs[: len(rows) - 1]]


def test_each_row_comes_first_in_its_own_list_and_the_others_keep_their_order():
    random = np.random.default_rng(11)
    crowded_out = 0
    for _ in range(200):
        count, columns = random.integers(5, 30), random.integers(2, 5)
        rows = np.array([random.permutation(count)[:columns] for _ in range(count)])
        distances = np.sort(random.integers(0, 3, size=rows.shape) / 2, axis=1)
        crowded_out += (rows != np.arange(count)[:, None]).all(axis=1).sum()
        found = put_itself_first(rows.copy(), distances.copy())
        for own, lists in enumerate(zip(rows, distances, strict=True)):
            expected = itself_first(*lists, own)
            assert list(zip(*(table[own] for table in found), strict=True)) == expected
    assert crowded_out > 1000  # both kinds of lists came up


@pytest.mark.parametrize(
    "wanted, min_samples, count, searched",
    [
        (16, None, 501, 16),
        (4, None, 501, 16),
        (40, None, 501, 40),
        (4, None, 9, 9),
        (16, 3, 501, 16),
        (4, 3, 501, 4),
        (2, 3, 501, 4),
        (2, 2, 501, 4),
        (2, 1, 501, 4),
        (16, 60, 501, 61),
        (16, 6, 7, 7),
    ],
)
def test_enough_neighbours_are_searched_for_choosing_or_for_the_number_that_is_set(
    wanted, min_samples, count, searched
):
    assert neighbours_to_search(wanted, min_samples, count) == searched


@pytest.mark.parametrize(
    "address, metric, size",
    [("./milvus.db", "L2", 3), ("./milvus.db", "IP", 1000), ("http://localhost:1", "L2", 1000)],
)
def test_queries_are_sent_in_batches_that_fit_into_memory(address, metric, size):
    """With L2, Milvus Lite makes queries x rows x dimension differences of four bytes each."""
    vectors = np.broadcast_to(np.float32(0), (5000, 1024))
    found = batch_size(address, metric, vectors)
    assert found == size and (size == 1000 or size * vectors.size * 4 <= 2**26)
    assert batch_size(address, metric, np.broadcast_to(np.float32(0), (10**6, 1024))) >= 1


# Asking


def stories_of(vectors):
    """Return `news` with made-up stories and leanings that Milvus has not heard of."""
    random = np.random.default_rng(9)
    cluster = np.where(random.random(len(vectors)) < 0.5, -1, (vectors[:, 0] > 0).astype(int))
    leans_to = np.where((cluster < 0) & (random.random(len(vectors)) < 0.5), vectors[:, 0] > 0, -1)
    return headlines(len(vectors)).assign(
        title=[f"title {number}" for number in range(len(vectors))],
        cluster=cluster,
        leans_to=leans_to,
    )


def test_the_answers_to_a_question_are_the_nearest_headlines_as_news_knows_them(thousands):
    client, _, vectors = thousands
    news, question = stories_of(vectors), np.float32(normalize([[2, 1, -1, 3]])[0])
    lengths = np.linalg.norm(vectors - question, axis=1)
    expected = np.argsort(lengths)[:8]
    answers = ask(client, "thousands", news, question, limit=8)
    assert list(answers.columns) == ["title", "cluster", "leans_to", "distance"]
    assert answers["title"].tolist() == [f"title {row}" for row in expected]
    for column in "cluster", "leans_to":
        assert answers[column].tolist() == news[column][expected].tolist()
    assert np.allclose(answers["distance"], lengths[expected], atol=2e-3)


def test_a_question_within_a_story_that_has_no_headlines_has_no_answer(thousands):
    client, _, vectors = thousands
    answers = ask(client, "thousands", stories_of(vectors), vectors[0], "cluster == 7")
    assert answers.empty and "distance" in answers


@pytest.mark.parametrize("expression, kept", [("", 90), ("cluster == 1", 30), ("id >= 0", 90)])
def test_rows_of_another_run_are_no_answers_and_take_no_answers_place(lite, expression, kept):
    """Theirs are the nearest, and they call their story 1, too."""
    vectors, collection = unit_vectors(90), f"asked_{kept}_{len(expression)}"
    ids = crowd(lite, collection, vectors, range(90))
    news = stories_of(vectors)
    assert news["id"].equals(ids)
    lite.upsert(collection, as_rows(news[:30].assign(cluster=1), vectors[:30]))
    answers = ask(lite, collection, news, vectors[4], expression)
    nearest_rows = np.argsort(np.linalg.norm(vectors[:kept] - vectors[4], axis=1))[:5]
    assert answers["title"].tolist() == news["title"][nearest_rows].tolist()


def test_where_nothing_is_known_of_the_letters_nothing_is_near(thousands):
    client, _, vectors = thousands
    news, nothing = stories_of(vectors), np.zeros(4, dtype="float32")
    assert ask(client, "thousands", news, nothing).empty
    assert place_headline(client, "thousands", news, nothing) == -1


def test_a_new_headline_tells_what_three_of_its_five_nearest_tell_or_lean_to(thousands):
    client, _, vectors = thousands
    news = stories_of(vectors)
    told = news["leans_to"].where(news["cluster"] < 0, news["cluster"]).to_numpy()
    expected, by_stories_alone = [], []
    questions = np.float32(normalize(np.random.default_rng(2).normal(size=(16, 4))))
    for question in questions:
        near = np.argsort(np.linalg.norm(vectors - question, axis=1))[:5]
        for votes, found in (told, expected), (news["cluster"].to_numpy(), by_stories_alone):
            found.append(next((story for story in (0, 1) if sum(votes[near] == story) >= 3), -1))
    placed = [place_headline(client, "thousands", news, question) for question in questions]
    assert placed == expected and set(placed) == {-1, 0, 1} and placed != by_stories_alone


def test_embeddings_that_another_run_has_deleted_are_missed_in_a_sentence(lite):
    ids = fill(lite, "taken", unit_vectors(30))["id"]
    tidy_collection(lite, "taken", ids.to_numpy()[10:13])
    with pytest.raises(RuntimeError, match="^3 embeddings are no longer [^\n]*MILVUS_COLLECTION"):
        fetch_embeddings(lite, "taken", ids)
