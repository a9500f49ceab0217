"""Where the headlines come from: Kaggle's download, played by a server on loopback, and what stands in for it."""
import http.server
import io
import shutil
import socket
import threading
import zipfile

import pandas as pd
import pytest

from conftest import SAMPLE, free_port

HEADLINES = pd.DataFrame({"title": [f"Headline number {number} of the archive" for number in range(9)]})


def archive(name):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as files:
        files.writestr("readme.txt", "not the headlines")
        files.writestr(name, HEADLINES.to_csv(index=False))
    return content.getvalue()


class Kaggle(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        content = archive("news_data_dedup.tsv" if self.path == "/no-csv" else "news_data_dedup.csv")
        damaged = bytearray(content)
        damaged[content.index(b"news_data") + 40] ^= 255
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write({"/short": content[:len(content) // 2], "/damaged": bytes(damaged), "/missing": b"",
                          "/page": b"<html>log in</html>".ljust(len(content))}.get(self.path, content))

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def kaggle():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Kaggle) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def load(run, tmp_path):
    """A function that reads the headlines where none are named; data/ beside the notebook holds the sample."""
    (tmp_path / "data").mkdir()
    shutil.copy(SAMPLE, tmp_path / "data")
    return lambda url: run(until="Embeddings", NEWS_CSV=None, replace={
        '^URL = ".*"': f'URL = "{url}"', "URL, timeout=10": "URL, timeout=1"})


def test_a_good_archive_is_unpacked_once(load, kaggle, tmp_path):
    found = load(kaggle + "/good")
    assert pd.read_csv(tmp_path / "data" / "news_data_dedup.csv").equals(HEADLINES)
    again = load(kaggle + "/missing")  # not asked again
    assert sorted(found.news["title"]) == HEADLINES["title"].tolist() and again.news.equals(found.news)


@pytest.mark.parametrize("page", ["/missing", "/short", "/page", "/no-csv", "/damaged", "silent", "closed"])
def test_a_bad_answer_leaves_nothing_behind_and_the_sample_is_used(load, kaggle, tmp_path, page):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = {"silent": silent.getsockname()[1], "closed": free_port()}.get(page)
        found = load(f"http://127.0.0.1:{port}/" if port else kaggle + page)
    assert "cannot be downloaded (" in found.said and "the sample is used" in found.said and len(found.news) == 501
    assert [path.name for path in (tmp_path / "data").iterdir()] == [SAMPLE.name]


def test_without_network_and_sample_the_error_names_the_file(load, tmp_path):
    (tmp_path / "data" / SAMPLE.name).unlink()
    with pytest.raises(FileNotFoundError, match=f"data/{SAMPLE.name}"):
        load(f"http://127.0.0.1:{free_port()}/")
