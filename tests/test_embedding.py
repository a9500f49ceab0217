"""BGE-M3 where it can be had, lsa where it cannot, and what lsa makes of odd texts."""

import contextlib
import json
import os
import re
import shutil
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from sklearn.metrics import pairwise_distances

import notebook
from conftest import SAMPLE
from notebook import connect, find_model, fit_lsa, load_bge_m3, load_embedding, step_size

FLOODS = [
    f"{event} {when}"
    for when in ("at dawn", "before noon", "in rain", "as crowds watch")
    for event in (
        "Harbour strike stops the ferries",
        "Valley flooded again",
        "Chess final ends in a draw",
        "River bridge opens",
    )
]
ALONE = ["地震", "油价上涨", "ψωμί", "Жизнь", "🌧"]  # share no three letters with anything
COMMIT = "0" * 40
CAVEAT = (
    "lsa compares spelling. It may take a second language for one story, and finds stories in "
    "anything, even in random letters.\n"
)


class Hub(BaseHTTPRequestHandler):
    """What the Hugging Face hub answers: it has one model, in the folder `self.server.folder`."""

    protocol_version = "HTTP/1.1"
    name = "BAAI/bge-m3"

    def do_GET(self):
        path, folder = urlsplit(self.path).path, self.server.folder
        self.server.asked.append(path)
        files = [
            {
                "type": "file",
                "path": file.relative_to(folder).as_posix(),
                "oid": COMMIT,
                "size": file.stat().st_size,
            }
            for file in folder.rglob("*")
            if file.is_file()
        ]
        if path in (f"/api/models/{self.name}", f"/api/models/{self.name}/revision/main"):
            self.answer(json.dumps({"id": self.name, "sha": COMMIT, "siblings": []}).encode())
        elif path == f"/api/models/{self.name}/tree/{COMMIT}":
            self.answer(json.dumps(files).encode())
        elif path.endswith(self.server.broken):
            self.answer(b"", 500)
        elif path.startswith(f"/{self.name}/resolve/{COMMIT}/"):
            self.answer((folder / path.split(f"/{COMMIT}/")[1]).read_bytes())
        else:
            self.answer(
                b"",
                401,
                {
                    "X-Error-Code": "RepoNotFound",
                    "X-Error-Message": "Invalid username or password.",
                },
            )

    do_HEAD = do_GET

    def answer(self, content, status=200, headers=None):
        self.send_response(status)
        for header in (
            {
                "ETag": '"' + re.sub(r"\W", "", self.path) + '"',
                "X-Repo-Commit": COMMIT,
                "Content-Length": str(len(content)),
            }
            | (headers or {})
        ).items():
            self.send_header(*header)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def asking(monkeypatch, tmp_path):
    """A function that makes this port the hub's; what is downloaded goes to tmp_path."""

    def ask(port):
        address, constants = f"http://127.0.0.1:{port}", "huggingface_hub.constants."
        monkeypatch.setattr(constants + "ENDPOINT", address)
        monkeypatch.setattr(
            constants + "HUGGINGFACE_CO_URL_TEMPLATE",
            address + "/{repo_id}/resolve/{revision}/{filename}",
        )
        monkeypatch.setattr(constants + "HF_HUB_CACHE", str(tmp_path / "hub"))

    return ask


@pytest.fixture
def hub(asking, checkpoint, tmp_path):
    """A hub that has a small model under the name of BGE-M3."""
    folder = tmp_path / "on the hub"
    (folder / "onnx").mkdir(parents=True)
    (folder / "onnx" / "model.onnx").write_text("large, and of no use here")
    for file in checkpoint.iterdir():
        os.link(file, folder / file.name)
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        server.folder, server.asked, server.broken = folder, [], "none"
        asking(server.server_port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@contextlib.contextmanager
def no_hub(kind):
    """Give a port where nobody listens, nobody answers or callers are hung up on; and these."""
    callers = []

    def hang_up():
        with contextlib.suppress(OSError):
            while True:
                connection, caller = listener.accept()
                callers.append(caller)
                connection.close()

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if kind != "nobody listens":
            listener.listen()
        if kind == "hung up on":
            threading.Thread(target=hang_up, daemon=True).start()
        yield listener.getsockname()[1], callers


def sentence(error):
    """The message that a reader sees, checked to be short and to send nobody to log in."""
    message = str(error.value)
    assert "\n" not in message and len(message) < 300
    assert not re.search(r"(?i)\btoken\b|log.?in|authent", message)
    return message


@pytest.mark.parametrize("kind", ["nobody listens", "hung up on"])
def test_without_network_lsa_is_taken_at_once_and_said(asking, capsys, kind):
    """At once: without the model loader's own retries, which go on for half a minute."""
    with no_hub(kind) as (port, callers):
        asking(port)
        model, embed = load_embedding("", FLOODS)
    assert model == "lsa" and embed(FLOODS).shape[0] == len(FLOODS) and len(callers) <= 3
    said = capsys.readouterr().out
    assert re.fullmatch(
        r"BAAI/bge-m3 cannot be loaded: the Hugging Face hub cannot be reached "
        r"\(.*\), and no whole copy is on this computer\. "
        rf"So lsa is used instead\.\n{re.escape(CAVEAT)}",
        said,
    )


def test_where_lsa_is_named_it_is_said_what_it_cannot_do(capsys):
    assert load_embedding("lsa", FLOODS)[0] == "lsa" and capsys.readouterr().out == CAVEAT


def test_a_hub_that_never_answers_is_not_waited_for(asking):
    with no_hub("nobody answers") as (port, _):
        asking(port)
        with pytest.raises(FileNotFoundError, match="hub cannot be reached"):
            find_model("BAAI/bge-m3", timeout=0.2)


def test_bge_m3_is_downloaded_once_and_then_used_without_network(hub, asking, capsys):
    model, embed = load_embedding("", FLOODS)
    vectors = embed(FLOODS)
    assert model == "BAAI/bge-m3" and vectors.shape == (len(FLOODS), 1024)
    assert any("pytorch_model.bin" in path for path in hub.asked)
    assert not any("onnx" in path for path in hub.asked)
    asked = len(hub.asked)
    with no_hub("nobody listens") as (port, _):
        asking(port)
        model, embed = load_embedding("", FLOODS)
    assert model == "BAAI/bge-m3" and len(hub.asked) == asked
    assert np.allclose(embed(FLOODS), vectors, atol=1e-3) and capsys.readouterr().out == ""


MISSING = ["pytorch_model.bin", "config.json", "tokenizer.json", "colbert_linear.pt"]


@pytest.mark.parametrize("missing", MISSING)
@pytest.mark.parametrize("listed", [True, False])
def test_what_a_download_left_that_broke_off_is_no_model(
    hub, asking, monkeypatch, tmp_path, capsys, missing, listed
):
    """Then there is no network. An older huggingface_hub kept no list of what there should be."""
    folder = Path(find_model("BAAI/bge-m3"))
    (folder / missing).unlink()
    with no_hub("nobody listens") as (port, _):
        asking(port)
        if not listed:
            repository = folder.parents[1]
            shutil.copytree(
                repository,
                tmp_path / "old" / repository.name,
                symlinks=True,
                ignore=shutil.ignore_patterns("trees"),
            )
            monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "old"))
        model, _ = load_embedding("", FLOODS)
    whole = missing == "colbert_linear.pt" and not listed  # embedding does not need that one
    assert model == ("BAAI/bge-m3" if whole else "lsa")
    said = capsys.readouterr().out
    assert ("is no BGE-M3" if whole else ", and no whole copy is on this computer. So lsa") in said


def test_a_download_that_breaks_off_is_told_from_a_hub_that_cannot_be_reached(
    hub, capsys, monkeypatch
):
    hub.broken = "pytorch_model.bin"
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # it is tried again, without waiting
    model, _ = load_embedding("", FLOODS)
    said = capsys.readouterr().out
    assert model == "lsa" and said.startswith("BAAI/bge-m3 cannot be loaded: its download broke")


def test_a_name_that_the_hub_does_not_know_is_an_error_that_sends_nobody_to_log_in(hub):
    expected = "^EMBEDDING_MODEL nobody/nothing cannot be loaded: it is neither a folder nor"
    with pytest.raises(OSError, match=expected) as error:
        load_embedding("nobody/nothing", FLOODS)
    assert sentence(error)


@pytest.mark.parametrize("name", ["BAAI/bge-m3", "./no/such/folder", "nobody/nothing", "."])
def test_a_named_model_that_cannot_be_read_is_an_error(asking, monkeypatch, tmp_path, name):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "xlm-roberta"}))  # not a model
    expected = f"^EMBEDDING_MODEL {re.escape(name)} cannot be loaded: "
    monkeypatch.chdir(tmp_path)
    with no_hub("nobody listens") as (port, _):
        asking(port)
        with pytest.raises(OSError, match=expected) as error:
            load_embedding(name, FLOODS)
    assert sentence(error)


@pytest.mark.parametrize(
    "broken, cause",
    [
        ("FlagEmbedding.BGEM3FlagModel", "ImportError: cannot import name 'BGEM3FlagModel'"),
        ("transformers.AutoTokenizer.from_pretrained", "AttributeError: .*'from_pretrained'"),
    ],
)
@pytest.mark.parametrize("named", ["", "BAAI/bge-m3"])
def test_packages_that_do_not_fit_are_an_error_that_says_to_restart(
    hub, monkeypatch, broken, cause, named
):
    """As in Colab, where an older one is loaded already when the first cell installs a newer.

    An ImportError names the package's file: the sentence stays short where that is deep down."""
    monkeypatch.delattr(broken)
    monkeypatch.setattr("FlagEmbedding.__file__", "/folder" * 30 + "/FlagEmbedding/__init__.py")
    expected = (
        f"^BAAI/bge-m3 cannot be loaded: {cause}.*Restart the session and run all cells; "
        ".*install the packages.*EMBEDDING_MODEL=lsa"
    )
    with pytest.raises(RuntimeError, match=expected) as error:
        load_embedding(named, FLOODS)
    assert sentence(error) and error.value.__suppress_context__  # no second traceback


def test_a_model_without_the_heads_of_bge_m3_is_said_to_be_none(checkpoint, tmp_path, capsys):
    """So is what sentence-transformers saves: it runs, but by the first token alone."""
    folder = tmp_path / "MiniLM"
    folder.mkdir()
    for file in checkpoint.iterdir():
        if "linear" not in file.name:
            os.link(file, folder / file.name)
    name, embed = load_embedding(str(folder), FLOODS)
    said = capsys.readouterr().out
    assert name == str(folder) and embed(FLOODS[:2]).shape == (2, 1024)
    assert said.startswith(f"{folder} is no BGE-M3, for it has no colbert_linear.pt. ")
    assert "first token" in said and said.count("\n") == 1


@pytest.mark.parametrize(
    "gpus, device, batch, step, shorter",
    [
        (0, "cpu", 16, 256, torch.float32),
        (1, "cuda:0", 256, 1024, torch.float16),
        (2, "cuda:0", 256, 1024, torch.float16),
    ],
)
def test_a_gpu_gets_large_batches_and_of_several_one_is_named(
    checkpoint, monkeypatch, gpus, device, batch, step, shorter
):
    """Nothing is computed there, so none is needed: it is asked only which it would be."""
    made = []

    def listed(*arguments, alive=notebook.BGEM3EmbeddingFunction, **more):
        made.append(alive(*arguments, **more))
        return made[-1]

    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(notebook, "BGEM3EmbeddingFunction", listed)
    load_bge_m3(str(checkpoint))
    (function,) = made
    assert function.model.target_devices == [device] and step_size() == step
    assert function._encode_config["batch_size"] == batch
    assert next(function.model.model.parameters()).dtype == shorter


def test_bge_m3_gives_unit_vectors_and_shows_no_bars(checkpoint, sample, capsys):
    texts = sample["title"][:60]
    embed = load_bge_m3(str(checkpoint))
    vectors = embed(texts)
    assert vectors.shape == (60, 1024) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    again = embed(texts[::-1]) @ vectors.T  # in other batches
    assert np.array_equal(again.argmax(axis=1), np.arange(60)[::-1])
    assert again.max(axis=1).min() > 0.999
    assert "".join(capsys.readouterr()) == ""


def test_numbers_that_are_none_reach_the_cell_that_names_the_headline(checkpoint, monkeypatch):
    embed = load_bge_m3(str(checkpoint))
    monkeypatch.setattr(
        "FlagEmbedding.BGEM3FlagModel.encode",
        lambda *_, **__: {"dense_vecs": np.array([[1, 0], [np.nan, 1]])},
    )
    assert np.isfinite(embed(["one", "two"])).all(axis=1).tolist() == [True, False]


@pytest.mark.parametrize("count, numbers", [(80, 10), (1016, 127), (1032, 128), (3000, 128)])
def test_lsa_makes_128_numbers_or_an_eighth_of_the_headlines_if_that_is_less(count, numbers):
    random = np.random.default_rng(3)
    texts = [" ".join(random.choice(FLOODS, 2)) + f" {number * 7919}" for number in range(count)]
    assert fit_lsa(texts)(texts[:5]).shape == (5, numbers)


def test_lsa_does_not_depend_on_the_order_of_the_texts(sample):
    texts = (sample["title"] + "\n" + sample["description"]).tolist()[:200]
    vectors = fit_lsa(texts)(texts)
    assert np.array_equal(fit_lsa(texts[::-1])(texts), vectors)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_a_text_that_shares_nothing_is_a_direction_of_its_own():
    texts = ALONE[:3] + FLOODS + ALONE[3:]
    vectors = fit_lsa(texts)(texts)
    alone = np.isin(texts, ALONE)
    distances = pairwise_distances(vectors)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert np.allclose(distances[alone][:, ~alone], np.sqrt(2), atol=1e-6)
    assert np.allclose(distances[alone][:, alone], np.sqrt(2) * (1 - np.eye(len(ALONE))), atol=1e-6)


@pytest.mark.parametrize("metric", ["L2", "IP", "COSINE"])
def test_a_direction_of_its_own_is_as_far_from_all_by_every_metric(tmp_path, metric):
    texts = FLOODS + ALONE
    vectors = fit_lsa(texts)(texts)
    client = connect(str(tmp_path / "milvus.db"))
    client.create_collection(
        "news", dimension=vectors.shape[1], metric_type=metric, consistency_level="Strong"
    )
    client.insert("news", [{"id": row, "vector": vector} for row, vector in enumerate(vectors)])
    for row, hits in enumerate(client.search("news", vectors[-len(ALONE) :], limit=len(texts))):
        score = dict(zip(hits.ids, hits.distances, strict=True))
        nearest, far = (0, 2) if metric == "L2" else (1, 0)
        assert score.pop(len(FLOODS) + row) == pytest.approx(nearest, abs=1e-5)
        assert list(score.values()) == pytest.approx([far] * len(score), abs=1e-5)
    client.close()


def test_a_question_without_known_letters_is_a_row_of_zeros():
    vectors = fit_lsa(FLOODS + ALONE)(["火山爆发", "harbour", "地震"])
    assert vectors.any(axis=1).tolist() == [False, True, True]


@pytest.mark.parametrize(
    "texts",
    [
        FLOODS[:5],
        [" ".join(["rain"] * (number + 1)) for number in range(40)],
        ["🌧" * (number + 1) for number in range(8)],
        ["a b", "a c", "d e", "f g", "h i"],
        ["Rain in May", "Rain in June", "abc", "quux", "Golf"],
        [f"{first} {second} harbour" for first in "abcdef" for second in "ghijkl"],
    ],
)
def test_lsa_runs_on_few_texts_and_on_few_letters(texts):
    vectors = fit_lsa(texts)(texts)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    again = fit_lsa(texts[::-1])(texts)
    assert np.allclose(again @ again.T, vectors @ vectors.T, atol=1e-5)


def test_texts_that_share_nothing_at_all_are_an_error_in_a_sentence():
    expected = "^No two headlines share three letters in a row.*set EMBEDDING_MODEL"
    with pytest.raises(ValueError, match=expected) as error:
        fit_lsa(["Rain", "Fire", "Vote", "Golf", "Chess", "Bank"])
    assert sentence(error)


@pytest.mark.skipif("REAL_MODEL" not in os.environ, reason="REAL_MODEL names no neural model")
def test_a_real_model_finds_the_stories_of_the_sample(run):
    """B-cubed F by its definition, of the headlines with a story; noise is a cluster of its own."""
    found = run(until="Themes", EMBEDDING_MODEL=os.environ["REAL_MODEL"], NEWS_CSV=SAMPLE)
    truth = found.table["story"].to_numpy()[found.news["row"]]
    noise = -1 - np.arange(len(truth))  # a number for each
    cluster = np.where(found.news["cluster"] < 0, noise, found.news["cluster"])
    same_cluster, same_story = cluster == cluster[:, None], truth == truth[:, None]
    told = truth != ""
    both = (same_cluster & same_story).sum(axis=1)[told]
    precision, recalled = (both / same.sum(axis=1)[told] for same in (same_cluster, same_story))
    assert 2 / (1 / precision.mean() + 1 / recalled.mean()) > 0.70
