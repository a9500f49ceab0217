"""Where the headlines come from: Kaggle, played by a server on loopback, or the sample."""

import http.server
import io
import shutil
import socket
import threading
import zipfile

import pandas as pd
import pytest

from conftest import SAMPLE, free_port
from notebook import KAGGLE_URL, find_csv, read_table

HEADLINES = pd.DataFrame(
    {"title": [f"Headline number {number} of the archive" for number in range(9)]}
)


def archive(name):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as files:
        files.writestr("readme.txt", "not the headlines")
        files.writestr(name, HEADLINES.to_csv(index=False))
    return content.getvalue()


class Kaggle(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        content = archive(
            "news_data_dedup.tsv" if self.path == "/no-csv" else "news_data_dedup.csv"
        )
        damaged = bytearray(content)
        damaged[content.index(b"news_data") + 40] ^= 255
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        answers = {
            "/short": content[: len(content) // 2],
            "/damaged": bytes(damaged),
            "/missing": b"",
            "/page": b"<html>log in</html>".ljust(len(content)),
        }
        self.wfile.write(answers.get(self.path, content))

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def kaggle():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Kaggle) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def find(tmp_path, monkeypatch):
    """A function that finds the headlines where none are named; data/ holds the sample alone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    shutil.copy(SAMPLE, tmp_path / "data")
    return lambda url: find_csv("", "output", url=url, timeout=1)


def test_a_good_archive_is_unpacked_once(find, kaggle, tmp_path, capsys):
    assert read_table(find(kaggle + "/good")).equals(HEADLINES)
    assert {path.name for path in (tmp_path / "data").iterdir()} == {
        SAMPLE.name,
        "news_data_dedup.csv",
    }
    assert read_table(find(kaggle + "/missing")).equals(HEADLINES)  # not asked again
    assert capsys.readouterr().out == ""


def test_the_folder_is_made_if_there_is_none(find, kaggle, tmp_path):
    path = find_csv("", "output", url=kaggle + "/good", folder=tmp_path / "new" / "data", timeout=1)
    assert path == tmp_path / "new" / "data" / "news_data_dedup.csv" and len(read_table(path)) == 9


@pytest.mark.parametrize(
    "page", ["/missing", "/short", "/page", "/no-csv", "/damaged", "silent", "closed"]
)
def test_a_bad_answer_leaves_nothing_behind_and_the_sample_is_used(
    find, kaggle, tmp_path, capsys, page
):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = {"silent": silent.getsockname()[1], "closed": free_port()}.get(page)
        path = find(f"http://127.0.0.1:{port}/" if port else kaggle + page)
    said = capsys.readouterr().out
    assert (
        "cannot be downloaded (" in said and "the sample is used" in said and said.count("\n") == 1
    )
    assert len(read_table(path)) == 501 and [
        path.name for path in (tmp_path / "data").iterdir()
    ] == [SAMPLE.name]


def test_a_file_that_cannot_be_written_is_like_one_that_cannot_be_downloaded(
    find, kaggle, tmp_path, capsys
):
    """A folder stands where the file is to be unpacked to."""
    unfinished = tmp_path / "data" / "news_data_dedup.csv.part"
    unfinished.mkdir()
    assert (
        find(kaggle + "/good").name == SAMPLE.name
        and "the sample is used" in capsys.readouterr().out
    )
    assert not (tmp_path / "data" / "news_data_dedup.csv").exists()


def test_without_network_and_sample_the_error_names_the_file(find, tmp_path):
    (tmp_path / "data" / SAMPLE.name).unlink()
    with pytest.raises(FileNotFoundError, match=f"data/{SAMPLE.name}"):
        find(f"http://127.0.0.1:{free_port()}/")


def test_a_named_file_is_taken_without_asking_anybody(find, tmp_path, capsys):
    path = find_csv(str(SAMPLE), "output", url="http://127.0.0.1:9/nobody", timeout=1)
    assert path == SAMPLE and capsys.readouterr().out == ""
    assert KAGGLE_URL.startswith("https://www.kaggle.com/api/")
