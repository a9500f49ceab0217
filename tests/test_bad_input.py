"""What a reader can get wrong, and the sentence, or the counted line, that he or she gets for it."""
import socket

import numpy as np
import pandas as pd
import pytest

from conftest import CellError, free_port, text_of

LONG = "é" * 40_000  # 80,000 bytes; the limit falls inside a character
NASTY = [
    "<script>alert(1)</script> <img src=x onerror=\"document.title='owned'\">", "He said \"no\", 'maybe' & <b>left</b>",
    "Rain 🌧️ and 👩‍🚒 heroes", "ירושלים: חדשות היום", "عاجل: أخبار اليوم من المدينة", "From $5 to $10 million", "100 % {braces} \\backslash",
    "two\nlines", "</script><script>alert(2)</script>", "🌧️🌧️🌧️", "nan", "None", "1984", "=1+1", "a"]


def one_sentence(error):
    """The message that a reader sees, checked to be short and free of what only machines say."""
    message = str(error.value)
    assert "\n" not in message and len(message) < 500
    assert "grpc" not in message.lower() and "Traceback" not in message
    return message


@pytest.mark.parametrize("content, expected", [
    (None, "FileNotFoundError: NEWS_CSV is .*news.csv, but there is no such file"),
    ("folder", "FileNotFoundError: NEWS_CSV is .*news.csv, but there is no such file"),
    (b"", "ValueError: .*news.csv cannot be read as a CSV"),
    (b"\x89PNG\r\n\x1a\n\x00\x00", "ValueError: .*news.csv is not UTF-8 text"),
    (b"title,description\n\"never closed,1\n2,3\n", "ValueError: .*news.csv cannot be read as a CSV"),
    (b"title\na\nb,c,d\n", "ValueError: .*news.csv cannot be read as a CSV"),
    (b"title\na,b\nc,d\n", "ValueError: .*news.csv cannot be read as a CSV: its rows have more fields"),
    ("title\nStraße überflutet\n".encode("latin-1"), "ValueError: .*news.csv is not UTF-8 text"),
    ("title\nStraße\n".encode("utf-16"), "ValueError: .*news.csv is not UTF-8 text"),
    (b"headline;date\nSun;1\nRain;2\n", "ValueError: .*news.csv has no column title; it has: headline;date"),
    (b"title\none\ntwo\nthree\nfour\n", "ValueError: .*news.csv has 4 usable headlines; clustering needs 5 or more"),
    (b"title\n" + b"again\n" * 50, "ValueError: .*news.csv has 1 usable headlines"),
    (b"title\n", "ValueError: .*news.csv has 0 usable headlines"),
], ids=["missing", "folder", "empty", "binary", "open quote", "ragged", "ragged from the first row", "latin-1", "utf-16", "no title", "four rows",
        "one row fifty times", "no rows"])
def test_a_file_that_is_no_use(workbench, tmp_path, content, expected):
    path = tmp_path / "news.csv"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(CellError, match="^" + expected) as error:
        workbench.run(until="## 3.", NEWS_CSV=path)
    assert "news.csv" in one_sentence(error)


@pytest.mark.parametrize("name, value", [
    ("N_NEIGHBORS", "many"), ("N_NEIGHBORS", "0"), ("N_NEIGHBORS", "3"), ("N_NEIGHBORS", "8.5"), ("MIN_SAMPLES", "0"),
    ("MIN_SAMPLES", "-1"), ("MIN_CLUSTER_SIZE", "1"), ("MIN_CLUSTER_SIZE", "three"), ("SEED", "x"),
    ("SEED", "4294967296"), ("N_NEIGHBORS", "16385"), ("MIN_SAMPLES", "16384"),
    ("METRIC_TYPE", "HAMMING"), ("METRIC_TYPE", "l2"), ("INDEX_TYPE", "NONE")])
def test_a_setting_that_makes_no_sense(workbench, name, value):
    with pytest.raises(CellError, match=f"^ValueError: {name} must be .* not '{value}'") as error:
        workbench.run(until="## 2.", **{name: value})
    one_sentence(error)


def test_an_empty_setting_is_the_default(workbench):
    workbench.run(until="## 2.", N_NEIGHBORS="", METRIC_TYPE="  ")
    assert workbench.value("(N_NEIGHBORS, METRIC_TYPE)") == (80, "L2")


def test_settings_from_the_file_env_and_the_environment_before_it(workbench):
    env = workbench.folder / ".env"
    env.write_text("MIN_SAMPLES=7\nMIN_CLUSTER_SIZE=9\nMILVUS_ADDRESS=./elsewhere.db\n")
    try:
        workbench.run(until="## 2.", MIN_SAMPLES="5")
        assert workbench.value("(MIN_SAMPLES, MIN_CLUSTER_SIZE, MILVUS_ADDRESS)") == (5, 9, "./elsewhere.db")
    finally:
        env.unlink()


def test_what_is_dropped_and_cut_is_counted(workbench, tmp_path):
    rows = [("One", "a"), ("One", "a"), ("One", "b"), ("", "no title"), ("   ", "blank"), ("Two", ""), ("Three", ""),
            ("Four", LONG), ("five", "x"), ("Six ", "x"), ("Six", "x")]
    pd.DataFrame(rows, columns=["title", "description"]).to_csv(tmp_path / "news.csv", index=False)
    said = text_of(workbench.run(until="## 5.", NEWS_CSV=tmp_path / "news.csv", MILVUS_ADDRESS=tmp_path / "milvus.db"))
    assert "11 rows, of which dropped: 2 without a title, 2 repetitions" in said
    assert "7 headlines kept: 2 without a description, 1 cut to 65,535 bytes" in said
    stored = workbench.value("[row['text'] for row in client.query(MILVUS_COLLECTION, filter='id >= 0', "
                             "output_fields=['text'])]")
    cut = max(stored, key=len)
    assert len(stored) == 7 and 65_532 <= len(cut.encode()) <= 65_535 and cut == ("Four\n" + LONG)[:len(cut)]


def small_news(rows):
    """Return so many different headlines on a handful of matters."""
    matters = "storm harbour flood", "minister budget vote", "rocket launch moon", "striker goal final", "bank rates crowns"
    return [f"{matters[number % 5]} report {number} of the {['morning', 'noon', 'evening'][number % 3]}"
            for number in range(rows)]


@pytest.mark.parametrize("headlines, settings", [
    (small_news(5), {}), (small_news(6), {}), (small_news(7), {"MIN_SAMPLES": "6"}), (small_news(12), {}),
    (small_news(21), {}), (small_news(40), {"N_NEIGHBORS": "4"}), (small_news(79), {}), (small_news(100), {}),
    ([f"Rain {'!' * number}today{'?' * (number % 7)}" for number in range(40)], {}),
    ([" ".join(["rain"] * (number + 1)) for number in range(40)], {}),
    (["🌧" * (number + 1) for number in range(8)], {}),
    (NASTY, {}),
    (small_news(60), {"MIN_CLUSTER_SIZE": "50"}),
    (small_news(30) + [f"{chr(97 + number) * 9} {chr(98 + number) * 8}" for number in range(8)], {"MIN_SAMPLES": "1"}),
], ids=["5 rows", "6 rows", "7 rows, large MIN_SAMPLES", "12 rows", "21 rows", "few neighbours", "fewer than N_NEIGHBORS",
        "100 rows", "the same two words", "one word, more and more often", "emoji only", "markup and scripts",
        "all noise", "few stories"])
def test_odd_headlines_run_to_the_end(workbench, tmp_path, headlines, settings):
    pd.DataFrame({"title": headlines}).to_csv(tmp_path / "news.csv", index=False)
    cells = workbench.run(NEWS_CSV=tmp_path / "news.csv", MILVUS_ADDRESS=tmp_path / "milvus.db",
                          OUTPUT_DIR=tmp_path / "output", **settings)
    saved = pd.read_csv(tmp_path / "output" / "clusters.csv", keep_default_na=False)
    assert saved["title"].tolist() == headlines
    assert np.isfinite(saved[["x", "y"]].to_numpy(dtype=float)).all()
    assert [output.text for cell in cells for output in cell.outputs if output.get("name") == "stderr"] == []
    if len(headlines) < int(settings.get("N_NEIGHBORS", 80)):
        assert f"N_NEIGHBORS is 80, but there are only {len(headlines)} headlines" in text_of(cells)
    if (saved["cluster"] == -1).all():
        assert "Try a smaller MIN_SAMPLES or MIN_CLUSTER_SIZE" in text_of(cells)


def test_all_noise_says_so(workbench, tmp_path):
    pd.DataFrame({"title": small_news(60)}).to_csv(tmp_path / "news.csv", index=False)
    said = text_of(workbench.run(NEWS_CSV=tmp_path / "news.csv", MILVUS_ADDRESS=tmp_path / "milvus.db",
                                 OUTPUT_DIR=tmp_path / "output", MIN_CLUSTER_SIZE="50"))
    assert "60 headlines: 0 stories, 100% noise" in said


def test_one_single_story_runs_to_the_end(workbench, tmp_path):
    """HDBSCAN as the notebook uses it finds no story or several, never one: so one is left of several here."""
    only_one = ("labels, story_count = np.where(labels == 0, 0, -1), 1\n"
                "sizes, by_size = np.bincount(labels[labels >= 0]), by_size[:1]")
    pd.DataFrame({"title": small_news(60)}).to_csv(tmp_path / "news.csv", index=False)
    workbench.run(NEWS_CSV=tmp_path / "news.csv", MILVUS_ADDRESS=tmp_path / "milvus.db",
                  OUTPUT_DIR=tmp_path / "output", before={"## 8.": only_one})
    assert set(pd.read_csv(tmp_path / "output" / "clusters.csv")["cluster"]) == {0, -1}
    assert len(workbench.value("stories")) == 1


@pytest.mark.parametrize("title", NASTY[:2] + NASTY[8:9])
def test_markup_in_a_headline_is_shown_as_text(workbench, tmp_path, title):
    headlines = [title] + small_news(20)
    pd.DataFrame({"title": headlines}).to_csv(tmp_path / "news.csv", index=False)
    cells = workbench.run(NEWS_CSV=tmp_path / "news.csv", MILVUS_ADDRESS=tmp_path / "milvus.db",
                          OUTPUT_DIR=tmp_path / "output")
    tables = "".join(output.data.get("text/html", "") for cell in cells for output in cell.outputs if "data" in output)
    assert title not in tables and "&lt;" in tables  # what the map shows is looked at in a browser
    assert "&lt;" in "".join(workbench.value("fig.data[0].hovertext"))


@pytest.mark.parametrize("address, token", [
    ("http://127.0.0.1:{closed}", "root:secret-word"), ("http://root:secret-word@127.0.0.1:{closed}", ""),
    ("http://127.0.0.1:{silent}", "secret-word"), ("milvus", "secret-word"), ("./no/such/folder/milvus.db", "")])
def test_a_milvus_that_is_not_there(workbench, address, token):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = address.format(closed=free_port(), silent=silent.getsockname()[1])
        with pytest.raises(CellError, match="^ConnectionError: MILVUS_ADDRESS") as error:
            workbench.run(until="## 5.", MILVUS_ADDRESS=address, MILVUS_TOKEN=token)
    message = one_sentence(error)
    assert address.rsplit("@")[-1] in message and "secret" not in message


def test_a_file_open_in_another_kernel(new_kernel, workbench, milvus_file):
    other = new_kernel()
    other.run(until="## 5.", MILVUS_ADDRESS=milvus_file)
    with pytest.raises(CellError, match="^ConnectionError: MILVUS_ADDRESS .*milvus.db .* open in another notebook") as error:
        workbench.run(until="## 5.", MILVUS_ADDRESS=milvus_file)
    one_sentence(error)
    assert other.value("row_count") == 501
