"""Where the headlines come from: Kaggle's download, played by a server on loopback, and what stands in for it."""
import http.server
import io
import shutil
import socket
import threading
import time
import zipfile

import pandas as pd
import pytest

from conftest import SAMPLE, CellError, free_port, text_of

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
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.path in ("/good", "/no-csv"):
            self.wfile.write(content)
        elif self.path == "/short":
            self.wfile.write(content[:len(content) // 2])
        elif self.path == "/page":
            self.wfile.write(b"<html>log in</html>".ljust(len(content)))
        elif self.path == "/drip":
            for number in range(20):
                self.wfile.write(content[number:number + 1])
                self.wfile.flush()
                time.sleep(0.2)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def kaggle():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Kaggle)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def silent():
    """The address of a server that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


@pytest.fixture
def folder(workbench):
    """The folder data/ beside the notebook, with the sample in it, and nothing else."""
    data = workbench.folder / "data"
    data.mkdir()
    shutil.copy(SAMPLE, data)
    yield data
    shutil.rmtree(data)


def load(workbench, url):
    return text_of(workbench.run(until="## 3.", NEWS_CSV=None, NEWS_URL=url))


def test_a_good_archive_is_unpacked_once(workbench, folder, kaggle):
    load(workbench, kaggle + "/good")
    assert pd.read_csv(folder / "news_data_dedup.csv").equals(HEADLINES)
    assert sorted(workbench.value("news['title'].tolist()")) == HEADLINES["title"].tolist()
    load(workbench, kaggle + "/missing")  # not asked again
    assert workbench.value("str(news_csv)") == "data/news_data_dedup.csv"


@pytest.mark.parametrize("page", ["/missing", "/short", "/page", "/no-csv"])
def test_a_bad_answer_leaves_nothing_behind_and_the_sample_is_used(workbench, folder, kaggle, page):
    said = load(workbench, kaggle + page)
    assert "cannot be downloaded" in said and "the sample is used" in said and "NEWS_CSV" in said
    assert [path.name for path in folder.iterdir()] == ["sample_headlines.csv"]
    assert workbench.value("len(news)") == 501


def test_the_sample_does_not_drive_out_other_headlines(workbench, folder, sample, milvus_file, tmp_path):
    """With an embedding that is said to be the same one, so that nothing starts over."""
    keep_model = {"## 4.": "model = 'the same'"}
    more = pd.concat([sample, pd.DataFrame({"title": ["One that the sample lacks"]})])
    more.to_csv(tmp_path / "more.csv", index=False)
    workbench.run(until="## 5.", MILVUS_ADDRESS=milvus_file, NEWS_CSV=tmp_path / "more.csv", before=keep_model)
    with pytest.raises(CellError, match="^ValueError: news_data holds 1 headlines that the sample lacks. Set NEWS_CSV"):
        workbench.run(MILVUS_ADDRESS=milvus_file, NEWS_CSV=None, NEWS_URL=f"http://127.0.0.1:{free_port()}/", before=keep_model)
    said = text_of(workbench.run(until="## 5.", MILVUS_ADDRESS=milvus_file, NEWS_CSV="data/sample_headlines.csv", before=keep_model))
    assert "502 headlines are stored already" in said and "0 headlines embedded and stored, 1 deleted" in said


def test_a_server_that_never_answers_is_given_up(workbench, folder, silent):
    assert "timed out" in load(workbench, silent)
    assert [path.name for path in folder.iterdir()] == ["sample_headlines.csv"]


def test_a_download_that_drips_is_given_up(workbench, folder, kaggle):
    with pytest.raises(CellError, match="not complete after 1 seconds"):
        workbench.execute(f"download_headlines('{kaggle}/drip', KAGGLE_CSV, seconds=1)")
    assert [path.name for path in folder.iterdir()] == ["sample_headlines.csv"]


def test_without_network_and_sample_the_error_says_where_to_get_a_csv(workbench):
    with pytest.raises(CellError, match="^FileNotFoundError: .*browser and save it as data/news_data_dedup"):
        load(workbench, f"http://127.0.0.1:{free_port()}/")
