"""Which embedding: BGE-M3 where it can be had, and lsa; `test_store.py` has a small model in BGE-M3's format."""
import json
import os
import re
import threading

import numpy as np
import pytest

from conftest import HUB, SAMPLE


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
