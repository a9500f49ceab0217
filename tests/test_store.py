"""What Milvus keeps and finds, on Milvus Lite and on a server."""
import contextlib
import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import executed, runner, sections
from notebook import (
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
    open_collection,
    search,
    stored_ids,
    tidy_collection,
)
from pymilvus import DataType, MilvusClient
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import normalize

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
    client.upsert("points", as_rows(news[:1].assign(id=2 ** 62), -vectors[:1]))
    ids, distances = search(client, "points", -vectors[:1], 1)
    assert ids.tolist() == [[2 ** 62]] and distances == pytest.approx(0, abs=1e-3)


def test_the_longest_text_that_is_stored_fits_in_milvus(points):
    """16,000 letters of four bytes each: a server counts bytes."""
    client, news, vectors = points
    client.upsert("points", as_rows(news[:1].assign(id=1, text="🌧" * 16_000), vectors[:1]))
    row, = client.get("points", [1], output_fields=["text"])
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


@pytest.mark.parametrize("count, size, sizes", [
    (5, 2, [2, 2, 1]), (4, 2, [2, 2]), (1, 256, [1]), (0, 256, [])])
def test_batches_cut_all_rows_into_parts(count, size, sizes):
    parts = [list(range(count))[part] for part in batches(count, size)]
    assert list(map(len, parts)) == sizes and list(itertools.chain(*parts)) == list(range(count))


# Collections

def test_no_two_files_and_no_two_models_share_a_collection(tmp_path, monkeypatch):
    """Whatever script their names are in; and files of the same name in other folders do not."""
    for folder in "one", "two":
        (tmp_path / folder).mkdir()
    names = []
    for folder in "one", "two":
        monkeypatch.chdir(tmp_path / folder)
        names += [collection_name("stories", path, model)
                  for path in ("news.csv", "data/news.csv", "новости.csv", "新闻.csv", "Köln.csv")
                  for model in ("lsa", "run1/m", "run2/m")]
    assert len(set(names)) == 30
    assert all(re.fullmatch(r"stories_[0-9a-f]{8}", name) for name in names)


def test_a_file_has_one_collection_however_its_path_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = ["a/news.csv", Path("a/news.csv"), "./b/../a/news.csv", tmp_path / "a" / "news.csv"]
    assert len({collection_name("stories", path, "lsa") for path in paths}) == 1


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


@pytest.mark.parametrize("wanted, address, count, metric", [
    ("", "./milvus.db", 999, "L2"), ("", "./milvus.db", 1000, "IP"),
    ("", "http://localhost:19530", 100_000, "L2"), ("L2", "./milvus.db", 5000, "L2"),
    ("COSINE", "./milvus.db", 5, "COSINE"), ("IP", "http://localhost:19530", 5, "IP")])
def test_the_metric_is_the_one_that_is_set_or_a_fast_one(wanted, address, count, metric):
    assert choose_metric(wanted, address, count) == metric


@pytest.mark.parametrize("wanted", ["HAMMING", "l2", "euclidean"])
def test_a_metric_that_is_none_is_an_error(wanted):
    with pytest.raises(ValueError, match=f"^METRIC_TYPE .*{wanted}"):
        choose_metric(wanted, "./milvus.db", 100)


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
    vectors = sample_run.embeddings.astype(float)
    between = np.linalg.norm(vectors[:, None] - vectors, axis=2)
    neighbours, distances = sample_run.neighbours, sample_run.distances
    assert np.allclose(distances, np.take_along_axis(between, neighbours, axis=1), atol=1e-4)
    assert np.allclose(distances, np.sort(between)[:, :distances.shape[1]], atol=1e-4)
    assert np.array_equal(neighbours[:, 0], np.arange(501)) and (distances[:, 0] == 0).all()


@pytest.mark.parametrize("where, index_type, metric", [
    ("lite", "FLAT", "IP"), ("lite", "FLAT", "COSINE"), ("lite", "HNSW", "L2"),
    ("remote", "FLAT", "L2"), ("remote", "HNSW", "IP")])
def test_distances_and_stories_are_the_same_with_any_metric_index_and_milvus(
        request, sample_run, where, index_type, metric):
    """So few rows are found exactly by HNSW, too."""
    client, vectors = request.getfixturevalue(where), sample_run.embeddings
    if not client.has_collection("sample"):
        fill(client, "sample", vectors)
    open_collection(client, "sample", schema_for(vectors), index_type, metric)
    ids, is_exact = headlines(501)["id"], index_type == "FLAT"
    neighbours, distances = nearest_neighbours(client, "sample", ids, vectors, 16, batch=200)
    assert np.allclose(distances, sample_run.distances, atol=1e-4)
    tree, *_ = find_tree(vectors, neighbours, distances, is_exact, min_samples=3)
    labels = fit_hdbscan(tree, 501, 3, 125).labels_
    assert adjusted_rand_score(labels, sample_run.labels) == 1
    assert np.array_equal(labels < 0, sample_run.labels < 0)


def test_a_filter_may_leave_fewer_hits_than_one_asks_for(thousands):
    client, news, vectors = thousands
    for chosen in [3], [3, 17, 2000], []:
        wanted = news["id"][chosen].tolist()
        ids, distances = search(client, "thousands", vectors[:1], 5, f"id in {wanted}")
        assert ids.shape == distances.shape == (1, len(chosen)) and set(ids[0]) == set(wanted)
        expected = np.sort(np.linalg.norm(vectors[chosen] - vectors[0], axis=1))
        assert np.allclose(distances[0], expected, atol=1e-3)


def test_of_several_questions_each_has_as_many_hits_as_the_poorest(lite):
    """HNSW with a filter finds three rows for one question, and two for another."""
    vectors = unit_vectors(2000)
    news = fill(lite, "holes", vectors)
    open_collection(lite, "holes", schema_for(vectors), "HNSW", "L2")
    expression = f"id in {news['id'][:3].tolist()}"
    sizes = {search(lite, "holes", vectors[[row]], 5, expression)[0].size for row in range(40)}
    ids, distances = search(lite, "holes", vectors[:40], 5, expression)
    assert len(sizes) > 1  # or this test would prove nothing
    assert ids.shape == distances.shape == (40, min(sizes))


def test_a_question_within_a_story_that_has_no_headlines_has_no_answer(thousands):
    client, news, vectors = thousands
    news = news.assign(title=news["text"], cluster_name="")
    answers = ask(client, "thousands", news, lambda _: vectors[:1], "question", "cluster == 7")
    assert answers.empty and "distance" in answers


@pytest.mark.parametrize("address, metric, size", [
    ("./milvus.db", "L2", 3), ("./milvus.db", "IP", 1000), ("http://localhost:1", "L2", 1000)])
def test_queries_are_sent_in_batches_that_fit_into_memory(address, metric, size):
    """With L2, Milvus Lite makes queries x rows x dimension differences of four bytes each."""
    vectors = np.broadcast_to(np.float32(0), (5000, 1024))
    found = batch_size(address, metric, vectors)
    assert found == size and (size == 1000 or size * vectors.size * 4 <= 2 ** 26)
    assert batch_size(address, metric, np.broadcast_to(np.float32(0), (10 ** 6, 1024))) >= 1


# The notebook's section

def hashing(dimension=64):
    """A model that learns nothing from the texts, so what it made is kept, as that of BGE-M3 is."""
    vectorizer = HashingVectorizer(n_features=dimension)
    return lambda texts: np.float32(vectorizer.transform(list(texts)).toarray())


def store(run, csv, embed, model="ours", **settings):
    """Execute the sections that read and store, with this model; `embedded` has its texts."""
    settings = {"NEWS_CSV": csv} | settings
    found = run.go_on(run(until="idea", **settings), "Headlines", **settings)
    found.embedded = []

    def listed(texts):
        found.embedded += list(texts)
        return embed(texts)
    found.model, found.embed = model, listed
    return run.go_on(found, "Milvus", **settings)


def stored_texts(found, collection=None):
    """Return {text: story} of what is in Milvus."""
    rows = found.client.query(collection or found.collection, filter="id >= 0", limit=10_000,
                              output_fields=["text", "cluster"])
    return {row["text"]: row["cluster"] for row in rows}


def stored_right(found):
    """Milvus has the headlines of the CSV, no story noted yet, and their embeddings."""
    again = found.embed(found.news["text"])
    return (stored_texts(found) == dict.fromkeys(found.news["text"], -1)
            and np.allclose(found.embeddings, again, atol=1e-3))


def test_the_stories_are_noted_in_milvus(sample_run):
    texts, labels = sample_run.news["text"], sample_run.labels
    assert stored_texts(sample_run) == dict(zip(texts, labels, strict=True))


KILL_AT_THE_THIRD_CALL = """
calls, alive = [], embed
def embed(texts):
    calls.append(texts)
    return alive(texts) if len(calls) < 3 else os.kill(os.getpid(), 9)"""  # 256 headlines are done


def test_a_run_that_was_killed_while_embedding_goes_on_and_shows_one_bar(
        run, checkpoint, sample, tmp_path, capfd):
    sample[:300].to_csv(tmp_path / "a.csv", index=False)
    settings = {"NEWS_CSV": "a.csv", "EMBEDDING_MODEL": checkpoint}
    sources = [source for word in ("Setup", "Headlines", "Embeddings")
               for source in sections()[word] if not source.startswith("%")]
    killed = executed(tmp_path, [*sources, KILL_AT_THE_THIRD_CALL, *sections()["Milvus"]],
                      **settings)
    assert killed.status != 0 and "Kernel died" in killed.said
    found = run.go_on(run(until="idea", **settings), "Headlines", "Embeddings", **settings)
    embed, embedded = found.embed, []
    found.embed = lambda texts: (embedded.extend(texts), embed(texts))[1]
    capfd.readouterr()
    run.go_on(found, "Milvus", **settings)
    assert 44 <= len(set(embedded)) <= 46  # one for its dimension, and one to try the model
    assert len(re.findall(r"\r *0%\|", found.said)) == 1 and "".join(capfd.readouterr()) == ""
    assert stored_texts(found) == dict.fromkeys(found.news["text"], -1)
    again = embed(found.news["text"][::10])  # of both runs, in other batches
    assert found.embeddings.shape == (300, 1024)
    assert np.linalg.norm(again - found.embeddings[::10], axis=1).max() < 0.05


@pytest.mark.parametrize("where", ["lite", "server"])
def test_when_the_csv_changes_only_what_is_new_is_embedded(run, request, sample, tmp_path, where):
    settings = request.getfixturevalue("server") if where == "server" else {}
    changed = sample[3:300].copy()
    changed.loc[5, "title"] = "A title that nobody has seen before"
    for table, new in (sample[:300], 300), (changed, 1):
        table.to_csv(tmp_path / "a.csv", index=False)
        found = store(run, tmp_path / "a.csv", hashing(), **settings)
        assert new <= len(set(found.embedded)) <= new + 2 and stored_right(found)


def test_two_projects_with_the_same_relative_path_keep_their_rows(sample, tmp_path):
    """In two folders, at one Milvus; and other collections in it are left alone."""
    found = []
    with contextlib.ExitStack() as stack:
        for name, rows in ("one", sample[:40]), ("two", sample[30:80]):
            (tmp_path / name / "data").mkdir(parents=True)
            rows.to_csv(tmp_path / name / "data" / "news.csv", index=False)
            run = stack.enter_context(runner(tmp_path / name))
            found.append(store(run, "data/news.csv", hashing(), MILVUS_ADDRESS=tmp_path / "m.db"))
            if name == "one":
                fill(found[0].client, "foreign", unit_vectors(7))
        client = found[0].client
        sizes = {name: count_rows(client, name) for name in client.list_collections()}
        assert sizes == {found[0].collection: 40, found[1].collection: 50, "foreign": 7}
        assert all(map(stored_right, found))
        again = store(run, "data/news.csv", hashing(), MILVUS_ADDRESS=tmp_path / "m.db")
        assert len(set(again.embedded)) <= 2 and stored_right(again)


def test_where_the_model_was_changed_in_place_nothing_is_lost(run, sample, tmp_path):
    sample[:30].to_csv(tmp_path / "a.csv", index=False)
    first = store(run, tmp_path / "a.csv", hashing())
    sample[10:50].to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(ValueError, match="MILVUS_COLLECTION"):
        store(run, tmp_path / "a.csv", lambda texts: -hashing()(texts))
    assert stored_right(first)
    second = store(run, tmp_path / "a.csv", lambda texts: -hashing()(texts),
                   MILVUS_COLLECTION="anew")
    assert second.collection.startswith("anew_") and stored_right(second) and stored_right(first)


def test_where_the_model_gives_no_numbers_the_batches_before_are_stored(run, sample, tmp_path):
    sample[:300].to_csv(tmp_path / "a.csv", index=False)
    bad = []

    def embed(texts):
        vectors = hashing()(texts)
        if len(vectors) > 1 and bad != ["mended"]:
            bad.append(list(texts)[20])
            vectors[20] = np.nan if len(bad) == 2 else vectors[20]
        return vectors
    with pytest.raises(ValueError) as error:
        store(run, tmp_path / "a.csv", embed)
    assert repr(bad[1].split("\n")[0][:100]) in str(error.value) and len(bad) == 2
    bad[:] = ["mended"]
    found = store(run, tmp_path / "a.csv", embed)
    assert 44 <= len(set(found.embedded)) <= 46 and stored_right(found)


def test_lsa_starts_its_collection_over(run, sample, tmp_path):
    """It learns from all headlines, and of fewer it makes fewer numbers."""
    for rows in 100, 40:
        sample[:rows].to_csv(tmp_path / "a.csv", index=False)
        settings = {"NEWS_CSV": tmp_path / "a.csv"}
        found = run.go_on(run(until="idea", **settings), "Headlines", "Embeddings", "Milvus",
                          **settings)
        assert count_rows(found.client, found.collection) == rows and stored_right(found)


