"""The collection survives: a kill, a second run, a changed CSV, other models, somebody else's rows."""
import contextlib
import shutil
import subprocess
import sys
from unittest.mock import Mock

import numpy as np
import pytest
from pymilvus import DataType, MilvusClient
from sklearn.preprocessing import normalize

from conftest import count_embedded, environment, execute, given_vectors, keep_model, rows_of, sections
from test_bad_input import LONG


def random_vectors(folder, rows=120):
    return given_vectors(folder, normalize(np.random.default_rng(7).normal(size=(rows, 16))))


def test_a_kill_while_embedding_loses_one_call_at_most(run, killed_embedding, checkpoint):
    assert killed_embedding.status != 0 and "Kernel died" in killed_embedding.said
    survivor = run(until=5, EMBEDDING_MODEL=checkpoint, MILVUS_ADDRESS=killed_embedding.folder / "milvus.db",
                   before={4: count_embedded})
    assert "256 headlines are stored already, 245 are new, 0 are gone" in survivor.said
    assert len(set(survivor.embedded)) == len(survivor.embedded) == 245
    stored = rows_of(survivor.client, "sample_headlines_small_bge_m3")
    assert {key: text for key, (text, _) in stored.items()} == dict(zip(survivor.news["id"], survivor.news["text"]))
    again = survivor.embed(survivor.news["text"][:60]) @ survivor.embeddings.T
    assert np.array_equal(again.argmax(axis=1), np.arange(60)) and again.max(axis=1).min() > 0.999


def test_a_kill_while_labels_are_written_back_is_mended(run, killed_labels):
    assert killed_labels.status != 0 and "Kernel died" in killed_labels.said
    survivor = run(until=11, skip=[9], before={4: keep_model}, MILVUS_ADDRESS=killed_labels.folder / "milvus.db")
    assert survivor.embedded == [] and 0 < len(survivor.changed) < (survivor.labels >= 0).sum()
    news = survivor.news
    assert rows_of(survivor.client, survivor.collection) == dict(zip(news["id"], zip(news["text"], survivor.labels)))


def test_a_run_that_ended_between_collection_and_index_does_no_harm(run, monkeypatch, tmp_path):
    given = random_vectors(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MilvusClient, "create_index", Mock(side_effect=KeyboardInterrupt))
        run(until=5, **given)
    found = run(until=5, **given)
    assert "0 headlines are stored already, 120 are new" in found.said and "120 rows in points_given" in found.said


def test_a_file_open_in_another_process(run, tmp_path):
    code = """
from pymilvus import MilvusClient
client = MilvusClient("milvus.db")
client.create_collection("kept", dimension=4)
input(print("open", flush=True))
print(client.list_collections())"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment(tmp_path, {}), text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as other:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(Exception, match="Open local milvus failed") as error:
            run(until=5, **random_vectors(tmp_path))
        assert "\n" not in str(error.value) and "['kept']" in other.communicate("go on\n")[0]
    assert "120 rows in points_given" in run(until=5, **random_vectors(tmp_path)).said


def test_a_second_run_changes_nothing(run, sample, tmp_path):
    sample[:60].to_csv(tmp_path / "a.csv", index=False)
    first, again = [run(until=11, skip=[9], before={4: keep_model}, NEWS_CSV=tmp_path / "a.csv") for _ in range(2)]
    assert len(first.embedded) == 61 and (first.labels >= 0).any()
    assert again.embedded == [] and len(again.changed) == 0 and np.array_equal(again.labels, first.labels)


def test_a_second_run_stores_only_what_is_new(run, anywhere, sample, tmp_path):
    sample = sample.iloc[:60]
    sample.to_csv(tmp_path / "a.csv", index=False)
    first = run(until=11, skip=[9], before={4: keep_model}, NEWS_CSV=tmp_path / "a.csv", **anywhere)
    changed = sample.drop(index=[0, 1, 2])
    changed.loc[5, ["title", "description"]] = "A title that nobody has seen before", LONG
    changed.to_csv(tmp_path / "a.csv", index=False)
    second = run(until=11, skip=[9], before={4: keep_model}, NEWS_CSV=tmp_path / "a.csv", **anywhere)
    assert "60 headlines are stored already, 1 are new, 4 are gone" in second.said and "57 rows in own" in second.said
    assert len(first.embedded) == 61 and len(second.embedded) == 1
    assert second.embedded[0].startswith("A title that nobody") and len(second.embedded[0]) > 15_000
    news = second.news
    assert rows_of(second.client, second.collection) == dict(zip(news["id"], zip(news["text"], second.labels)))


def test_cells_may_be_run_again(run, sample, tmp_path):
    """Other settings after the labels are written back, and the cell that stores, for instance after an interrupt."""
    sample[:150].to_csv(tmp_path / "a.csv", index=False)
    names = run(until=11, skip=[9], NEWS_CSV=tmp_path / "a.csv")
    first = names.labels
    with contextlib.chdir(tmp_path):
        for size in 6, 3:
            names["MIN_CLUSTER_SIZE"] = size
            for source in sections()[7] + sections()[8] + sections()[10]:
                execute(source, names)
            assert rows_of(names.client, names.collection) == dict(
                zip(names.news["id"], zip(names.news["text"], names.labels)))
        assert np.array_equal(names.labels, first)
        execute(next(source for source in sections()[4] if "client.flush" in source), names)
        execute(sections()[5][0], names)
    assert len(names.stored) == len(names.embeddings) == len(names.news)


def test_no_collection_meets_another(run, sample, checkpoint, tmp_path):
    """The sample, another model, another CSV, the model under another path, the sample again."""
    foreign = MilvusClient(str(tmp_path / "milvus.db"))
    foreign.create_collection("foreign", dimension=4, consistency_level="Strong")
    foreign.insert("foreign", [{"id": number, "vector": [number, 0, 0, 1]} for number in range(7)])
    sample[:100].to_csv(tmp_path / "sample.csv", index=False)
    sample[:50].to_csv(tmp_path / "half.csv", index=False)
    moved = shutil.copytree(checkpoint, tmp_path / "elsewhere" / checkpoint.name)
    embedded = []
    for settings in ({"EMBEDDING_MODEL": checkpoint}, {}, {"EMBEDDING_MODEL": checkpoint, "NEWS_CSV": tmp_path / "half.csv"},
                     {"EMBEDDING_MODEL": moved}, {"EMBEDDING_MODEL": checkpoint}):
        found = run(until=5, before={4: count_embedded}, **{"NEWS_CSV": tmp_path / "sample.csv"} | settings)
        embedded.append(len(found.embedded))
        assert len(found.embeddings) == len(found.news)
    assert embedded == [101, 101, 51, 0, 0]  # one more than rows, where a collection is made: its dimension is measured
    assert {name: found.client.query(name, output_fields=["count(*)"])[0]["count(*)"]
            for name in found.client.list_collections()} == {
        "sample_small_bge_m3": 100, "sample_lsa": 100, "half_small_bge_m3": 50, "foreign": 7}
    foreign.close()


def test_lsa_starts_its_collection_over(run, sample, tmp_path):
    for rows in 400, 150:
        sample[:rows].to_csv(tmp_path / "2024 für Köln.csv", index=False)
        found = run(until=5, NEWS_CSV=tmp_path / "2024 für Köln.csv")
        assert f"0 headlines are stored already, {rows} are new" in found.said
        assert f"{rows} rows in _2024_f_r_K_ln_lsa" in found.said


def test_a_collection_of_others_or_of_another_model_is_left_alone(run, tmp_path):
    given = random_vectors(tmp_path)
    first = run(until=5, **given)
    client, foreign = first.client, first.collection + "_foreign"
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=16)
    index = client.prepare_index_params("embedding", index_type="FLAT", metric_type="L2")
    client.create_collection(foreign, schema=schema, index_params=index, consistency_level="Strong")
    client.insert(foreign, [{"id": number, "embedding": [number + 1] * 16} for number in range(7)])
    for name, rows, other in (foreign, 7, given), (first.collection, 120, {"NEWS_CSV": given["NEWS_CSV"]}):
        with pytest.raises(ValueError, match=f"^{name} was not made with this model: set MILVUS_COLLECTION"):
            run(until=5, **other, MILVUS_COLLECTION=name)
        assert client.query(name, output_fields=["count(*)"])[0]["count(*)"] == rows


def test_another_csv_of_the_same_name_deletes_nothing(run, tmp_path):
    first = run(until=5, **random_vectors(tmp_path))
    (tmp_path / "other").mkdir()
    with pytest.raises(ValueError, match="^points_given holds another CSV's headlines: set MILVUS_COLLECTION"):
        run(until=5, **random_vectors(tmp_path / "other", 50))
    assert len(rows_of(first.client, first.collection)) == 120


def test_an_index_is_built_when_another_is_wanted_and_autoindex_once(run, anywhere, monkeypatch, tmp_path):
    built, create = [], MilvusClient.create_index
    monkeypatch.setattr(MilvusClient, "create_index", lambda *given, **more: (built.append(given), create(*given, **more))[1])
    given = random_vectors(tmp_path)
    for wish, metric, there, count in [("HNSW", "L2", "HNSW", 1), ("AUTOINDEX", "IP", "AUTOINDEX", 2),
                                       ("FLAT", "IP", "AUTOINDEX", 2)]:
        found = run(until=5, **given, INDEX_TYPE=wish, METRIC_TYPE=metric, **anywhere)
        assert len(built) == count and f"; {there}, {metric}, exact: False" in found.said
        assert f"{120 * (metric == 'IP')} headlines are stored already" in found.said
    vector = -found.embeddings[0]
    found.client.upsert(found.collection, [{"id": 2 ** 62, "embedding": vector, "text": "new", "cluster": -1}])
    hits = found.client.search(found.collection, [vector], limit=1, output_fields=["id"])[0]
    assert list(hits.ids) == [2 ** 62]  # a search sees a row written just before


def test_waiting_for_an_index_has_an_end(run, tmp_path, monkeypatch):
    describe, asked = MilvusClient.describe_index, []

    def never_ready(*given, **more):
        asked.append(1)
        return (describe(*given, **more) or {}) | ({"pending_index_rows": 3} if len(asked) > 1 else {})
    monkeypatch.setattr(MilvusClient, "describe_index", never_ready)
    given = random_vectors(tmp_path)

    class Clock:
        now = 0

        def monotonic(self):
            return self.now

        def sleep(self, seconds):
            self.now += seconds * 10
    given["before"][2] = lambda names: names.update(time=Clock())
    with pytest.raises(TimeoutError, match="still building its index: run this cell again later"):
        run(until=5, **given)
    assert len(asked) > 10


@pytest.mark.parametrize("rows, metric", [(5000, "L2"), (5001, "IP")])
def test_the_metric_when_none_is_set(run, tmp_path, rows, metric):
    found = run(until=5, **random_vectors(tmp_path, rows))
    assert f"{rows} rows in points_given; FLAT, {metric}, exact: True" in found.said
