"""BGE-M3: its real loading code on a small checkpoint of the same format; what happens without it; and lsa."""
import json
import os
import re
import threading

import numpy as np
import pytest

from conftest import HUB, SAMPLE


def test_bge_m3_from_the_checkpoint_to_the_neighbours(run, bge_run, checkpoint):
    assert bge_run.status == 0, bge_run.said
    again = run(until="Nearest", EMBEDDING_MODEL=checkpoint, MILVUS_ADDRESS=bge_run.folder / "milvus.db")
    assert "501 rows, 0 of them new" in again.said
    assert again.embeddings.shape == (501, 1024) and again.embeddings.dtype == np.float32
    assert np.allclose(np.linalg.norm(again.embeddings, axis=1), 1, atol=1e-5)


def test_nothing_is_on_stderr_and_one_bar_on_stdout(bge_run):
    streams = [output for output in bge_run.outputs if output.output_type == "stream"]
    assert [stream.text for stream in streams if stream.name == "stderr"] == []
    said = "".join(stream.text for stream in streams)
    assert len(re.findall(r"\r  0%\|.* batches/s\]", said)) == 1 and re.search(r"100%\|.*\| 2/2 \[", said)
    assert not re.search("pre tokenize|Inference Embeddings|Loading weights", str(bge_run.outputs))


def test_hub_out_of_reach_falls_back_to_lsa_at_once(run):
    """At once: without the model loader's own retries, which ask the hub again and again for half a minute."""
    calls = []

    def hang_up():
        while True:
            connection, caller = HUB.accept()
            calls.append(caller)
            connection.close()
    HUB.listen()
    threading.Thread(target=hang_up, daemon=True).start()
    names = run(until="Milvus", EMBEDDING_MODEL=None)
    assert "BAAI/bge-m3 cannot be" in names.said and "o lsa is used instead" in names.said
    assert names.model == "lsa" and 1 <= len(calls) <= 3


@pytest.mark.parametrize("name", ["BAAI/bge-m3", "./no/such/folder", "nobody/nothing", "."])
def test_a_named_model_that_cannot_be_read_is_an_error(run, tmp_path, name):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "xlm-roberta"}))  # a folder without a model
    with pytest.raises(OSError, match=f"^EMBEDDING_MODEL {re.escape(name)} cannot be loaded: ") as error:
        run(until="Milvus", EMBEDDING_MODEL=name)
    assert len(str(error.value)) < 300 and "\n" not in str(error.value)


def test_lsa_does_not_depend_on_the_order_of_the_texts(sample_run):
    texts = sample_run.news["text"]
    assert np.array_equal(sample_run.fit_lsa(texts[::-1])(texts), sample_run.embeddings)


@pytest.mark.skipif("REAL_MODEL" not in os.environ, reason="REAL_MODEL names no folder with a real neural model")
def test_a_real_model_finds_the_stories_of_the_sample(run):
    """B-cubed F by its definition, of the headlines with a story; noise is a cluster of its own."""
    found = run(until="The map", EMBEDDING_MODEL=os.environ["REAL_MODEL"], NEWS_CSV=SAMPLE)
    truth = found.table["story"].to_numpy()[found.news["row"]]
    cluster = np.where(found.labels < 0, -1 - np.arange(len(truth)), found.labels)  # noise: a number for each
    same_cluster, same_story = cluster == cluster[:, None], truth == truth[:, None]
    told = truth != ""
    both = (same_cluster & same_story).sum(axis=1)[told]
    precision, recalled = (both / same.sum(axis=1)[told] for same in (same_cluster, same_story))
    assert 2 / (1 / precision.mean() + 1 / recalled.mean()) > 0.70
