"""The collection survives: a kill, a second run, a changed CSV, other models, other files, a cell run again."""
import contextlib
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import torch
from pymilvus import MilvusClient
from sklearn.preprocessing import normalize

from conftest import KEPT, count_embedded, environment, execute, executed, given_vectors, names_on, sections, steps
from test_bad_input import LONG


def random_vectors(folder, rows=120):
    return given_vectors(folder, normalize(np.random.default_rng(7).normal(size=(rows, 16))))


def stored_right(found, labels=None):
    """Milvus holds the headlines with their stories, and nothing else."""
    labels = getattr(found, "labels", [-1] * len(found.news)) if labels is None else labels
    rows = found.client.query(found.collection, filter="id >= 0", output_fields=["text", "cluster"], limit=10_000)
    return {row["id"]: (row["text"], row["cluster"]) for row in rows} == dict(
        zip(found.news["id"], zip(found.news["text"], labels)))


def test_labels_are_written_back(sample_run):
    assert stored_right(sample_run)


KILL_AT_THE_THIRD_CALL = """
import os
calls, alive = [], embed
def embed(texts):
    calls.append(texts)
    return alive(texts) if len(calls) < 3 else os.kill(os.getpid(), 9)"""  # the dimension and 256 headlines are done


def test_bge_m3_goes_on_after_a_kill_while_embedding_and_shows_one_bar(run, checkpoint, tmp_path, capfd):
    cells = steps(until="Graph", before={"Milvus": KILL_AT_THE_THIRD_CALL})
    killed = executed(tmp_path, cells, EMBEDDING_MODEL=checkpoint)
    assert killed.status != 0 and "Kernel died" in killed.said
    capfd.readouterr()
    survivor = run(until="Nearest", EMBEDDING_MODEL=checkpoint, before={"Milvus": count_embedded})
    assert "501 rows, 245 of them new" in survivor.said and stored_right(survivor)
    assert len(survivor.embedded) == 246 == 1 + len(set(survivor.embedded[1:]))  # one, to see if the model is the same
    again = survivor.embed(survivor.news["text"][:60]) @ survivor.embeddings.T
    assert np.array_equal(again.argmax(axis=1), np.arange(60)) and again.max(axis=1).min() > 0.999
    assert survivor.embeddings.shape == (501, 1024) and survivor.embeddings.dtype == np.float32
    assert np.allclose(np.linalg.norm(survivor.embeddings, axis=1), 1, atol=1e-5)
    assert len(re.findall(r"\r  0%\|.* batches/s\]", survivor.said)) == 1 and "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize("step, where", [
    ("flush", None), ("create_index", None), ("create_index", "server"), ("load_collection", None)])
def test_a_run_that_ended_somewhere_does_no_harm(run, request, monkeypatch, tmp_path, step, where):
    """Ended before this step, in a run that has one row that is new, one that is gone, and another index."""
    given = random_vectors(tmp_path) | (request.getfixturevalue(where) if where else {})
    run(until="Nearest", **given)
    pd.DataFrame({"title": [f"point {number}" for number in range(1, 121)]}).to_csv(given["NEWS_CSV"], index=False)
    alive, calls = getattr(MilvusClient, step), []

    def interrupted(*arguments, **more):
        calls.append(arguments)
        if len(calls) > (step == "load_collection"):  # whose first call is not that of the index
            raise KeyboardInterrupt
        return alive(*arguments, **more)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MilvusClient, step, interrupted)
        run(until="Nearest", **given, INDEX_TYPE="HNSW")
    found = run(until="Graph", **given, INDEX_TYPE="HNSW")
    assert "120 rows" in found.said and "HNSW, L2, exact: False" in found.said and stored_right(found)


def test_a_file_open_in_another_process(run, tmp_path):
    code = "from pymilvus import MilvusClient; client = MilvusClient('milvus.db'); input(print('open', flush=True))"
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment(tmp_path, {}), text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as other:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(Exception, match="^[^\n]*Open local milvus failed[^\n]*$"):
            run(until="Embeddings")
        other.communicate("go on\n")
    assert "120 rows" in run(until="Nearest", **random_vectors(tmp_path)).said


def test_a_second_run_stores_only_what_is_new_and_a_server_finds_the_same(run, server, sample, tmp_path):
    changed = sample[3:300].copy()
    changed.loc[5, ["title", "description"]] = "A title that nobody has seen before", LONG
    results = []
    for where, index in ({}, "FLAT"), (server, "HNSW"):  # so few rows are found exactly by HNSW, too
        for rows, new, table, index in (300, 300, sample[:300], "FLAT"), (297, 1, changed, index):
            table.to_csv(tmp_path / "a.csv", index=False)
            found = run(until="The map", **KEPT, NEWS_CSV=tmp_path / "a.csv", INDEX_TYPE=index, **where)
            assert f"{rows} rows, {new} of them new; {index}, L2, exact: {index == 'FLAT'}" in found.said
            assert len(found.embedded) == 1 + new  # one for its dimension, or to see if the model is the same
        assert found.embedded[1].startswith("A title that nobody") and len(found.embedded[1]) > 15_000
        assert np.allclose(found.embeddings, found.embed(found.news["text"]), atol=1e-6)
        assert stored_right(found, labels=[-1] * 297)  # those of the stories come later
        results.append(found)
    assert np.allclose(results[0].distances, results[1].distances, atol=1e-4)
    assert np.array_equal(results[0].labels, results[1].labels) and results[0].labels.max() > 5


def readable(said, shown):
    """What a cell printed, without bars, and showed, as text that can be compared."""
    outputs = [json.loads(each.to_json()) if isinstance(each, (go.Figure, pd.DataFrame)) else repr(each)
               for each in shown]
    return re.sub(r"\r.*", "", said), outputs


def test_cells_may_be_run_again(run, sample, tmp_path):
    """Each right after itself; then sections 8 to 12 with another setting, and back; then 8 without its first cells."""
    sample.sort_values("story")[-150:].to_csv(tmp_path / "a.csv", index=False)  # some twenty stories
    once, twice = (run(NEWS_CSV=tmp_path / "a.csv", times=times) for times in (1, 2))
    for one, other in zip(twice.cells[::2], twice.cells[1::2]):
        assert one.source == other.source and readable(one.said, one.shown) == readable(other.said, other.shown)
    assert np.array_equal(once.labels, twice.labels) and stored_right(twice)
    names = names_on(once.fig)
    assert names == names_on(twice.fig) and len(names) > 5
    headings = ["Stories", "The map", "Save", "Ask Milvus", "Turn the knobs"]
    first = [readable(cell.said, cell.shown) for cell in once.cells if cell.heading in headings]
    with contextlib.chdir(tmp_path):
        for size in 6, 3:
            once.MIN_CLUSTER_SIZE = size
            cells = [readable(*execute(source, vars(once))) for heading in headings for source in sections()[heading]]
            assert stored_right(once) and np.array_equal(once.labels, twice.labels) == (size == 3)
        last = [readable(*execute(source, vars(once))) for source in sections()["Stories"][2:]]
    assert cells == first and names_on(once.fig) == names
    assert last == first[2:2 + len(last)]


def retrain(model):
    """Give a model other weights, in its place."""
    torch.manual_seed(1)
    weights = {name: torch.randn_like(old) * old.std() for name, old in torch.load(model / "pytorch_model.bin").items()}
    torch.save(weights, model / "pytorch_model.bin")


def test_no_collection_meets_another(run, sample, checkpoint, tmp_path):
    """Two models of one name, files in two other scripts, two folders with half of the headlines alike, other news."""
    for folder in "run1", "run2":
        shutil.copytree(checkpoint, tmp_path / folder / "m")
    retrain(tmp_path / "run2" / "m")
    files = {"новости.csv": sample[:30], "新闻.csv": sample[30:60], "2024 für Köln.csv": sample[:20],
             "jan/news.csv": sample[:40], "feb/news.csv": sample[20:60], "a.csv": sample[:30]}
    for name, rows in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        rows.to_csv(tmp_path / name, index=False)
    foreign = MilvusClient(str(tmp_path / "milvus.db"))
    foreign.create_collection("foreign", dimension=4, consistency_level="Strong")
    foreign.insert("foreign", [{"id": number, "vector": [number, 0, 0, 1]} for number in range(7)])
    runs = {name: run(until="Nearest", **KEPT, NEWS_CSV=name) for name in files} | {
        name: run(until="Nearest", EMBEDDING_MODEL=name, NEWS_CSV="a.csv") for name in ("run1/m", "run2/m")}
    made = {found.collection: len(found.news) for found in runs.values()}
    assert len(made) == 8 and all(name.startswith("stories_") and name.isascii() for name in made)
    assert all(stored_right(found) for found in runs.values())
    client = runs["a.csv"].client
    assert made | {"foreign": 7} == {name: client.query(name, output_fields=["count(*)"])[0]["count(*)"]
                                     for name in client.list_collections()}
    sample[100:140].to_csv(tmp_path / "jan" / "news.csv", index=False)  # all of it is new
    january, february = (run(until="Nearest", **KEPT, NEWS_CSV=name) for name in ("jan/news.csv", "feb/news.csv"))
    assert january.collection in made and "40 rows, 40 of them new" in january.said and stored_right(january)
    assert february.collection in made and "40 rows, 0 of them new" in february.said and stored_right(february)
    own = run(until="Nearest", **KEPT, NEWS_CSV="jan/news.csv", MILVUS_COLLECTION="own")
    assert own.collection == january.collection.replace("stories", "own", 1)
    foreign.close()


def test_a_model_retrained_in_place_is_refused_and_nothing_is_lost(run, sample, checkpoint, tmp_path):
    model = shutil.copytree(checkpoint, tmp_path / "m")
    sample[:30].to_csv(tmp_path / "a.csv", index=False)
    settings = {"until": "Nearest", "NEWS_CSV": "a.csv", "EMBEDDING_MODEL": "m"}
    first = run(**settings)
    retrain(model)
    sample[10:50].to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(AssertionError, match="^m has changed: set MILVUS_COLLECTION[^\n]*$"):
        run(**settings)
    assert stored_right(first)
    second = run(**settings, MILVUS_COLLECTION="anew")
    assert second.collection.startswith("anew_") and stored_right(second) and stored_right(first)


def test_lsa_starts_its_collection_over(run, sample, tmp_path):
    for rows in 60, 30:  # it has fewer dimensions then
        sample[:rows].to_csv(tmp_path / "news.csv", index=False)
        found = run(until="Nearest", NEWS_CSV=tmp_path / "news.csv")
        assert f"{rows} rows, {rows} of them new" in found.said and stored_right(found)


def test_an_index_is_built_when_another_is_wanted(run, monkeypatch, tmp_path):
    """Also with a filter that fewer rows satisfy than are asked for."""
    given, built, create = random_vectors(tmp_path), [], MilvusClient.create_index
    monkeypatch.setattr(MilvusClient, "create_index", lambda *one, **more: (built.append(one), create(*one, **more))[1])
    for kind, metric, anew in [("FLAT", "L2", True), ("HNSW", "IP", True), ("HNSW", "IP", False), ("HNSW", "L2", True),
                               ("AUTOINDEX", "COSINE", True), ("FLAT", "IP", True)]:
        built.clear()
        found = run(until="Graph", **given, INDEX_TYPE=kind, METRIC_TYPE=metric)
        index = found.client.describe_index(found.collection, "embedding")
        assert (index["index_type"], index["metric_type"]) == (kind, metric) and bool(built) == anew
        new = 120 if (kind, metric) == ("FLAT", "L2") else 0
        assert f"120 rows, {new} of them new; {kind}, {metric}, exact: {kind == 'FLAT'}" in found.said
        rows, lengths = found.search(found.embeddings[:1], 5, f"id == {found.news['id'][3]}")
        assert rows.tolist() == [[3]]
        assert lengths == pytest.approx(np.linalg.norm(found.embeddings[:1] - found.embeddings[3]), abs=1e-3)
    found.client.upsert(found.collection, [
        {"id": 2 ** 62, "embedding": -found.embeddings[0], "text": "new", "cluster": -1}])
    hits = found.client.search(found.collection, [-found.embeddings[0]], limit=1, output_fields=["id"])[0]
    assert list(hits.ids) == [2 ** 62]  # a search sees a row written just before


@pytest.mark.parametrize("rows, metric", [(999, "L2"), (1000, "IP")])
def test_the_metric_when_none_is_set(run, tmp_path, rows, metric):
    found = run(until="Nearest", **random_vectors(tmp_path, rows))
    assert f"{rows} rows, {rows} of them new; FLAT, {metric}, exact: True" in found.said
