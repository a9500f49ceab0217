"""What a reader can get wrong, and the sentence that he or she gets for it."""
import re
import socket

import numpy as np
import pandas as pd
import pytest

from conftest import TOKEN, free_port

LONG = "é" * 40_000  # 80,000 bytes, more than Milvus takes
NASTY = [
    "<script>alert(1)</script> <img src=x onerror=\"document.title='owned'\">", "He said \"no\", 'maybe' & <b>left</b>",
    "Rain 🌧️ and 👩‍🚒 heroes", "ירושלים: חדשות היום", "عاجل: أخبار اليوم من المدينة", "From $5 to $10 million",
    "100 % {braces} \\backslash", "two\nlines", "</script><script>alert(2)</script>", "🌧️🌧️🌧️", "nan", "None", "1984", "=1+1", "a"]


def one_sentence(error):
    """The message that a reader sees, checked to be short and free of what only machines say."""
    message = str(error.value)
    assert "\n" not in message and len(message) < 500 and "Traceback" not in message
    return message


@pytest.mark.parametrize("content, kind, expected", [
    (None, FileNotFoundError, "No such file or directory.*news.csv"),
    ("folder", IsADirectoryError, "Is a directory.*news.csv"),
    (b"", ValueError, "^.*news.csv is no CSV in UTF-8: No columns"),
    (b"\x89PNG\r\n\x1a\n\x00\x00", ValueError, "^.*news.csv is no CSV in UTF-8: .*codec can't decode"),
    (b"title,description\n\"never closed,1\n2,3\n", ValueError, "^.*news.csv is no CSV in UTF-8: .*EOF inside string"),
    (b"title\na\nb,c,d\n", ValueError, "^.*news.csv is no CSV in UTF-8: .*Expected 1 fields in line 3, saw 3"),
    (b"title\na,b\nc,d\n", ValueError, "^.*news.csv needs a column title, and no row wider than its header"),
    ("title\nStraße überflutet\n".encode("latin-1"), ValueError, "^.*news.csv is no CSV in UTF-8"),
    ("title\nStraße\n".encode("utf-16"), ValueError, "^.*news.csv is no CSV in UTF-8"),
    (b"headline;date\nSun;1\nRain;2\n", ValueError, "^.*news.csv needs a column title"),
    (b"title\none\ntwo\nthree\nfour\n", ValueError, "^.*news.csv has 4 headlines; clustering needs 5 or more"),
    (b"title\n" + b"again\n" * 50, ValueError, "^.*news.csv has 1 headlines"),
    (b"title\n", ValueError, "^.*news.csv has 0 headlines"),
], ids=["missing", "folder", "empty", "binary", "open quote", "ragged", "ragged from the first row", "latin-1", "utf-16",
        "no title", "four rows", "one row fifty times", "no rows"])
def test_a_file_that_is_no_use(run, tmp_path, content, kind, expected):
    path = tmp_path / "news.csv"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(kind, match=expected) as error:
        run(until=3, NEWS_CSV=path)
    one_sentence(error)


@pytest.mark.parametrize("name, value", [
    ("N_NEIGHBORS", "many"), ("N_NEIGHBORS", "0"), ("N_NEIGHBORS", "3"), ("N_NEIGHBORS", "8.5"), ("N_NEIGHBORS", "16385"),
    ("MIN_SAMPLES", "0"), ("MIN_SAMPLES", "-1"), ("MIN_SAMPLES", "16384"), ("MIN_CLUSTER_SIZE", "1"),
    ("MIN_CLUSTER_SIZE", "three"), ("METRIC_TYPE", "HAMMING"), ("METRIC_TYPE", "l2"), ("INDEX_TYPE", "NONE")])
def test_a_setting_that_makes_no_sense(run, name, value):
    with pytest.raises(ValueError, match=f"^{name} must be .* but it is '{value}'") as error:
        run(until=2, **{name: value})
    one_sentence(error)


def test_settings_come_from_the_environment_then_env_then_the_default(run, tmp_path):
    (tmp_path / ".env").write_text("MIN_SAMPLES=7\nMIN_CLUSTER_SIZE=9\nOUTPUT_DIR=elsewhere\n")
    names = run(until=2, MIN_SAMPLES="5", N_NEIGHBORS="", METRIC_TYPE="  ")
    assert (names.MIN_SAMPLES, names.MIN_CLUSTER_SIZE, names.OUTPUT_DIR) == (5, 9, "elsewhere")
    assert (names.N_NEIGHBORS, names.METRIC_TYPE, names.INDEX_TYPE) == (80, "", "FLAT")


def test_what_is_merged_and_cut(run, tmp_path):
    rows = [("One", "a"), ("One", "a"), ("One", "b"), ("", "no title"), ("   ", "blank"), ("Two", ""), ("Three", ""),
            ("Four", LONG), ("five", "x"), ("Six ", "x"), ("Six", "x")]
    pd.DataFrame(rows, columns=["title", "description"]).to_csv(tmp_path / "news.csv", index=False)
    names = run(until=5, NEWS_CSV=tmp_path / "news.csv")
    assert "9 titles in" in names.said and "2 of them copies" in names.said and "7 rows in news_lsa" in names.said
    stored = names.client.query(names.collection, filter="id >= 0", output_fields=["text"])
    cut = max((row["text"] for row in stored), key=len)
    assert 15_000 < len(cut) < 40_000 and cut == ("Four\n" + LONG)[:len(cut)]


def small_news(rows):
    matters = ["harbour strike", "flood in the valley", "chess final", "bank merger", "new bridge"]
    return [f"{matters[number % 5]} report {number} of the {['morning', 'noon', 'evening'][number % 3]}"
            for number in range(rows)]


@pytest.mark.parametrize("headlines, settings, stories", [
    (small_news(5), {}, 0), (NASTY, {}, None), (["🌧" * (number + 1) for number in range(8)], {}, None),
    (small_news(60), {"MIN_CLUSTER_SIZE": "50"}, 0),
    (small_news(60), {}, None)], ids=["5 rows", "markup and scripts", "emoji only", "all noise", "60 rows"])
def test_odd_headlines_run_to_the_end(run, tmp_path, headlines, settings, stories):
    pd.DataFrame({"title": headlines}).to_csv(tmp_path / "news.csv", index=False)
    names = run(NEWS_CSV=tmp_path / "news.csv", **settings)
    saved = pd.read_csv(tmp_path / "output" / "clusters.csv", keep_default_na=False)
    assert saved["title"].tolist() == headlines and len(names.stories) == saved["cluster"].max() + 1
    assert np.isfinite(saved[["x", "y"]].to_numpy(dtype=float)).all()
    assert names.knobs.columns.astype(int).max() < names.k
    if stories is not None:
        assert len(names.stories) == stories and f"{len(headlines)} headlines, {stories} stories, 100% noise" == names.summary


@pytest.mark.parametrize("headlines, settings", [
    (small_news(7), {"MIN_SAMPLES": "6"}), (small_news(12), {}), (small_news(40), {"N_NEIGHBORS": "4"}),
    ([f"Rain {'!' * number}today {number % 7}" for number in range(40)], {}),
    ([" ".join(["rain"] * (number + 1)) for number in range(40)], {}),
    (small_news(30) + [f"{chr(97 + number) * 9} {chr(98 + number) * 8}" for number in range(8)], {"MIN_SAMPLES": "1"}),
], ids=["7 rows, large MIN_SAMPLES", "12 rows", "few neighbours", "the same two words", "one word, more and more often",
        "few stories"])
def test_odd_headlines_run_to_their_stories(run, tmp_path, headlines, settings):
    pd.DataFrame({"title": headlines}).to_csv(tmp_path / "news.csv", index=False)
    names = run(until=9, NEWS_CSV=tmp_path / "news.csv", **settings)
    assert np.isfinite(names.distances).all() and np.isfinite(names.tree.data).all()
    assert names.stories["headlines"].sum() == (names.labels >= 0).sum()


def test_a_csv_may_have_columns_of_the_notebooks_names(run, tmp_path):
    table = pd.DataFrame({"id": range(40), "text": "mine", "x": "also mine", "cluster": 7, "title": small_news(40)})
    table.to_csv(tmp_path / "news.csv", index=False)
    run(NEWS_CSV=tmp_path / "news.csv")
    saved = pd.read_csv(tmp_path / "output" / "clusters.csv", keep_default_na=False)
    assert saved[["id", "text", "title"]].equals(table[["id", "text", "title"]])
    assert saved["cluster"].between(-1, 6).all() and saved["x"].dtype == float and saved.columns.is_unique


@pytest.mark.parametrize("title", NASTY[:2] + NASTY[8:9])
def test_markup_in_a_headline_is_shown_as_text(run, tmp_path, title):
    pd.DataFrame({"title": [title, "From $5 to $10 million"] + small_news(20)}).to_csv(tmp_path / "news.csv", index=False)
    names = run(until=10, NEWS_CSV=tmp_path / "news.csv")
    tables = "".join(table._repr_html_() for table in names.shown if isinstance(table, pd.DataFrame))
    assert title not in tables and "&lt;" in tables  # what the map shows is looked at in a browser
    hovers = "".join(str(text) for trace in names.fig.data for text in (trace.hovertext if trace.mode == "markers" else []))
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
            run(until=5, MILVUS_ADDRESS=address.format(**ports), MILVUS_TOKEN=token, replace={4: {"timeout=10": "timeout=1"}})
    assert "secret" not in one_sentence(error)


@pytest.mark.parametrize("token", ["root:wrong-secret", ""])
def test_a_wrong_token_is_an_error_without_the_token(run, server, token):
    assert TOKEN not in (token, "")
    with pytest.raises(Exception, match="illegal connection params") as error:
        run(until=5, MILVUS_ADDRESS=server, MILVUS_TOKEN=token, replace={4: {"timeout=10": "timeout=1"}})
    assert "secret" not in one_sentence(error)
