"""What a reader can get wrong, and the sentence that he or she gets for it."""
import re
import socket

import numpy as np
import pandas as pd
import pytest

from conftest import KEPT, SAMPLE, free_port

LONG = "é" * 40_000  # 80,000 bytes, more than Milvus takes
NASTY = [
    "<script>alert(1)</script> <img src=x onerror=\"document.title='owned'\">", "From $5 to $10 million",
    "He said \"no\", 'maybe' & <b>left</b>", "Rain 🌧️ and 👩‍🚒 heroes", "ירושלים: חדשות היום",
    "عاجل: أخبار اليوم من المدينة", "100 % {braces} \\backslash", "two\nlines", "</script><script>alert(2)</script>",
    "🌧️🌧️🌧️", "nan", "None", "1984", "=1+1", "a"]


def one_sentence(error):
    """The message that a reader sees, checked to be short and free of what only machines say."""
    message = str(error.value).strip()
    assert "\n" not in message and len(message) < 500 and "Traceback" not in message
    return message


def small_news(rows):
    matters = ["harbour strike", "flood in the valley", "chess final", "bank merger", "new bridge"]
    return [f"{matters[number % 5]} report {number} of the {['morning', 'noon', 'evening'][number % 3]}"
            for number in range(rows)]


@pytest.fixture
def write(tmp_path):
    """A function that writes titles to a CSV and returns its path."""
    def write(titles):
        pd.DataFrame({"title": titles}).to_csv(tmp_path / "news.csv", index=False)
        return tmp_path / "news.csv"
    return write


@pytest.mark.parametrize("content, expected", [
    (None, "No such file or directory.*news.csv"), ("folder", "Is a directory.*news.csv"),
    (b"", "No columns to parse from file"), (b"\x89PNG\r\n\x1a\n\x00\x00", "'utf-8' codec can't decode"),
    (b"title,description\n\"never closed,1\n2,3\n", "EOF inside string"),
    (b"title\na\nb,c,d\n", "Expected 1 fields in line 3, saw 3"),
    ("title\nStraße überflutet\n".encode("latin-1"), "'utf-8' codec can't decode"),
    ("title\nStraße\n".encode("utf-16"), "'utf-8' codec can't decode"),
    (b"headline;date\nSun;1\nRain;2\n", "^.*news.csv needs a column title"),
    (b"title\none\ntwo\nthree\nfour\n", "^Clustering needs 5 headlines or more"),
    (b"title\n" + b"again\n" * 50, "^Clustering needs 5"), (b"title\n", "^Clustering needs 5")])
def test_a_file_that_is_no_use(run, tmp_path, content, expected):
    path = tmp_path / "news.csv"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises((OSError, ValueError, AssertionError), match=expected) as error:
        run(until="Embeddings", NEWS_CSV=path)
    one_sentence(error)


@pytest.mark.parametrize("settings, expected", [
    ({"MIN_SAMPLES": "0"}, "(?i)min.samples.* must be pos"), ({"MIN_SAMPLES": "-1"}, "(?i)min.samples.* must be pos"),
    ({"N_NEIGHBORS": "many"}, "invalid literal.*'many'"), ({"MIN_CLUSTER_SIZE": "three"}, "invalid literal.*'three'"),
    ({"MIN_CLUSTER_SIZE": "1"}, "(?i)min.cluster.size must be greater than one"),
    ({"METRIC_TYPE": "HAMMING"}, "(?i)metric"), ({"INDEX_TYPE": "NONE"}, "(?i)index")])
def test_a_setting_that_makes_no_sense(run, write, settings, expected):
    with pytest.raises(Exception, match=expected) as error:
        run(until="The map", NEWS_CSV=write(small_news(40)), **settings)
    one_sentence(error)


def test_settings_come_from_the_environment_then_env_then_the_default(run, tmp_path):
    (tmp_path / ".env").write_text("MIN_SAMPLES=7\nMIN_CLUSTER_SIZE=9\nOUTPUT_DIR=elsewhere\n")
    found = run(until="Embeddings", MIN_SAMPLES="5", NEWS_CSV=SAMPLE)
    assert (found.MIN_SAMPLES, found.MIN_CLUSTER_SIZE, found.EMBEDDING_MODEL) == (5, 9, "lsa")
    assert str(found.OUTPUT_DIR) == "elsewhere"


def test_a_large_min_samples_alone_gets_enough_neighbours(run, write):
    titles = small_news(100) + [f"chess {day}" for day in range(99)]
    found = run(until="The map", NEWS_CSV=write(titles), MIN_SAMPLES="60")
    exact = np.sort(np.linalg.norm(found.embeddings[:, None].astype(float) - found.embeddings, axis=2))[:, 60]
    assert found.distances.shape[1] == 61 and np.allclose(found.distances[:, 60], exact, atol=1e-3)


def test_a_csv_that_would_be_overwritten_is_refused_and_its_columns_replaced_elsewhere(run, tmp_path):
    """Elsewhere: in a folder whose name begins with a tilde, the home folder."""
    table = pd.DataFrame({"id": range(40), "text": "mine", "x": "also mine", "cluster": 7, "title": small_news(40)})
    path = tmp_path / "output" / "clusters.csv"
    path.parent.mkdir()
    table.to_csv(path, index=False)
    with pytest.raises(AssertionError, match="clusters.csv would be overwritten: set OUTPUT_DIR") as error:
        run(NEWS_CSV="output/../output/clusters.csv")
    assert one_sentence(error) and pd.read_csv(path).equals(table)
    run(until="Ask", NEWS_CSV=path, OUTPUT_DIR="~/stories", HOME=tmp_path)
    files = {file.name for file in (tmp_path / "stories").iterdir()}
    assert files == {"clusters.csv", "clusters.html", "stories.csv"} and not list(tmp_path.glob("~*"))
    saved = pd.read_csv(tmp_path / "stories" / "clusters.csv", keep_default_na=False)
    assert saved[["id", "text", "title"]].equals(table[["id", "text", "title"]]) and saved.columns.is_unique
    assert saved["cluster"].between(-1, 6).all() and saved["x"].dtype == float


def test_what_is_merged_and_cut(run, tmp_path):
    rows = [("One", "a"), ("One", "a"), ("One", "b"), ("", "no title"), ("   ", "blank"), ("Two", ""), ("Three", ""),
            ("Four", LONG), ("five", "x"), ("Six ", "x"), ("Six", "x")]
    pd.DataFrame(rows, columns=["title", "description"]).to_csv(tmp_path / "news.csv", index=False)
    found = run(until="Nearest", **KEPT, NEWS_CSV=tmp_path / "news.csv")
    assert "9 titles in" in found.said and "2 of them copies" in found.said and "7 rows, 7 of them new" in found.said
    stored = found.client.query(found.collection, filter="id >= 0", output_fields=["text"])
    cut = max((row["text"] for row in stored), key=len)
    assert 15_000 < len(cut) < 40_000 and cut == ("Four\n" + LONG)[:len(cut)]


@pytest.mark.parametrize("headlines, settings, noise", [
    (small_news(5), {}, 1), (small_news(7), {"MIN_SAMPLES": "6"}, None),
    (small_news(40), {"N_NEIGHBORS": "4"}, None), (small_news(60), {"MIN_CLUSTER_SIZE": "50"}, 1),
    (NASTY, {}, None), (["🌧" * (number + 1) for number in range(8)], {}, None),
    ([" ".join(["rain"] * (number + 1)) for number in range(40)], {}, None),
    (small_news(30) + [chr(97 + number) * 9 for number in range(8)], {"MIN_SAMPLES": "1"}, None)])
def test_odd_headlines_run_to_the_end(run, write, tmp_path, headlines, settings, noise):
    found = run(NEWS_CSV=write(headlines), **settings)
    saved = pd.read_csv(tmp_path / "output" / "clusters.csv", keep_default_na=False)
    assert saved["title"].tolist() == headlines and len(found.stories) == saved["cluster"].max() + 1
    assert np.isfinite(saved[["x", "y"]].to_numpy(dtype=float)).all() and np.isfinite(found.tree.data).all()
    assert max(map(int, found.heat_map.data[0].x)) < found.k
    assert noise is None or (saved["cluster"] < 0).mean() == noise


def test_markup_in_a_headline_is_shown_as_text(run, write):
    """In the tables, and in what plotly shows; the page is looked at in a browser."""
    found = run(until="Save", NEWS_CSV=write(NASTY + small_news(20)))
    shown = [output for cell in found.cells for output in cell.shown]
    tables = "".join(output._repr_html_() for output in shown if isinstance(output, pd.DataFrame))
    hovers = "".join("".join(trace.hovertext) for trace in found.fig.data)
    labels = "".join([*found.bars.data[0].text, found.bars.layout.title.text])
    assert "&lt;" in tables and not re.search("<script|<b>l|<img", tables + labels)
    assert "&lt;" in hovers and not re.search(r"<script|<b>|<img|\$", hovers)  # plotly typesets what is between dollars


@pytest.mark.parametrize("address, token, expected", [
    ("http://127.0.0.1:{closed}", "root:secret-word", "127.0.0.1:{closed}"),
    ("http://root:secret-word@127.0.0.1:{closed}", "", "127.0.0.1:{closed}"),
    ("http://127.0.0.1:{silent}", "secret-word", "127.0.0.1:{silent}"),
    ("milvus", "secret-word", "milvus"), ("./no/such/folder/milvus.db", "", "no/such/folder.* not exists")])
def test_a_milvus_that_is_not_there(run, address, token, expected):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ports = {"closed": free_port(), "silent": silent.getsockname()[1]}
        with pytest.raises(Exception, match=expected.format(**ports)) as error:
            run(until="Embeddings", replace={r"timeout=10\)$": "timeout=1)"}, MILVUS_TOKEN=token,
                MILVUS_ADDRESS=address.format(**ports))
    assert "secret" not in one_sentence(error)


@pytest.mark.parametrize("token", ["root:wrong-secret", ""])
def test_a_wrong_token_is_an_error_without_the_token(run, server, token):
    with pytest.raises(Exception, match="illegal connection params") as error:
        run(until="Embeddings", replace={r"timeout=10\)$": "timeout=1)"}, **server | {"MILVUS_TOKEN": token})
    assert "secret" not in one_sentence(error)
