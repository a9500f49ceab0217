"""Any CSV reads back row by row and column by column, or stops with a sentence; so does .env."""

import csv
import os
import random
import subprocess
import sys

import pandas as pd
import pytest
from conftest import SAMPLE
from notebook import CODE, find_csv, read_env, read_table, save_table, setting

LINES = ["title,date", "Mayor resigns,1 May", "Flood in the valley,2 May", "Chess final,3 May"]
TITLES = ["Mayor resigns", "Flood in the valley", "Chess final"]


@pytest.fixture
def write(tmp_path):
    """A function that writes bytes, or a text in UTF-8, to a file and returns its path."""

    def write(content, name="news.csv"):
        content = content.encode() if isinstance(content, str) else content
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


def written(rows, delimiter, line_end, quote_all):
    """Return a CSV with quotation marks around all fields, or around those that need them."""

    def field(text, alone):
        special = set(text) & {delimiter, '"', "\r", "\n"} or text[:1] == " " or alone and not text
        return '"' + text.replace('"', '""') + '"' if quote_all or special else text

    lines = [delimiter.join(field(text, len(row) == 1) for text in row) for row in rows]
    return line_end.join(lines) + line_end


def one_sentence(error):
    """The message that a reader sees, checked to be short and free of what only machines say."""
    message = str(error).strip()
    assert "\n" not in message and len(message) < 500 and "Traceback" not in message
    return message


def rows_of(table):
    return [list(table.columns), *table.to_numpy().tolist()]


# 200 files at random: delimiter, encoding, quotation marks, line ends, odd letters

ENCODINGS = {
    "utf-8": "aé漢字🌧\u200bالĮ\u0301\x0b\x1c\u2028\x85\xa0",
    "utf-8-sig": "aü한국",
    "utf-16": "aü漢🌧\ufeff",
    "cp1252": "aüß’é",
    "cp1251": ["Пожар", "в центре", "Москвы", "потушен"],
    "gb18030": ["港口罢工", "渡轮停航", "洪水到达", "老城区", "国际象棋", "决赛和局"],
}
ODD = [
    ",",
    ";",
    "\t",
    "|",
    '"',
    '""',
    "'",
    "\\",
    "\r",
    "\n",
    "\r\n",
    " ",
    "",
    "#",
    "=1",
    "NA",
    "nan",
    "-",
    "sep=;",
    "&amp;",
    "$5",
    "0012",
    "1e5",
]


def random_file(number):
    """Return (rows with the header, bytes of the CSV, how it was made)."""
    chance = random.Random(number)
    made = {
        "delimiter": chance.choice(",;\t|"),
        "line_end": chance.choice(["\n", "\r\n", "\r"]),
        "quote_all": chance.random() < 0.3,
    }
    encoding = chance.choice(list(ENCODINGS))
    columns = chance.randint(1, 5)
    names = ["title", "Title", "a b", "date, place", "date", "x;y", "", "two\nlines"]
    header = ["title", *chance.sample(names, columns - 1)]

    def field():
        words = chance.choices([*ODD, *ENCODINGS[encoding], "rain", "in the valley"], k=5)
        return "".join(words[: chance.randint(0, 5)])

    rows = [[field() for _ in header] for _ in range(chance.randint(1, 40))]
    if not encoding.startswith("utf"):  # enough of a language to be recognised by
        rows += [["".join(ENCODINGS[encoding][1:4]), *[""] * (columns - 1)] for _ in range(9)]
    content = written([header, *rows], **made).encode(encoding)
    return [header, *rows], content, made | {"encoding": encoding}


@pytest.mark.parametrize("number", range(200))
def test_a_random_file_reads_back_as_it_was_or_stops_with_a_sentence(write, capsys, number):
    rows, content, made = random_file(number)
    path = write(content)
    try:
        table = read_table(path)
    except ValueError as problem:
        said = one_sentence(problem)
        # without a delimiter in the header, commas need quotation marks; odd letters are guesswork
        if made["encoding"].startswith("utf") or "unknown letters" not in said:
            assert len(rows[0]) == 1 and made["delimiter"] != "," and "line " in said, made
        return
    if made["encoding"].startswith("utf"):
        assert rows_of(table) == rows, made
        assert "is that right" not in capsys.readouterr().out
    else:  # a guess may be wrong, then it is said; no row and no column is lost
        assert table.shape == (len(rows) - 1, len(rows[0]))
        assert "is that right?" in capsys.readouterr().out


@pytest.mark.parametrize("number", range(0, 200, 5))
def test_what_is_saved_reads_back_through_any_reader(write, tmp_path, number):
    rows, _, _ = random_file(number)
    table = pd.DataFrame(rows[1:], columns=rows[0], dtype=str)
    results = pd.DataFrame({"cluster": range(len(table)), "x": 0.5, "name": "a\rb"})
    save_table(tmp_path / "saved.csv", table, results)
    expected = [[*row, str(place), "0.5", "a\rb"] for place, row in enumerate(rows[1:])]
    header = [*rows[0], "cluster", "x", "name"]
    with open(tmp_path / "saved.csv", encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [header, *expected]
    assert rows_of(read_table(tmp_path / "saved.csv")) == [header, *expected]
    read = pd.read_csv(tmp_path / "saved.csv", dtype=str, keep_default_na=False)
    assert read.to_numpy().tolist() == expected
    read = pd.read_csv(tmp_path / "saved.csv", dtype=str, keep_default_na=False, engine="python")
    assert read.to_numpy().tolist() == expected


# Files that are read as they are meant


@pytest.mark.parametrize(
    "content",
    [
        "sep=;\ntitle;date\nMayor resigns;1\nFlood in the valley;2\nChess final;3\n",
        "\ufefftitle;date\r\nMayor resigns;1\r\nFlood in the valley;2\r\nChess final;3",
        "\n\n,,\ntitle,date\nMayor resigns,1\nFlood in the valley,2\nChess final,3\n\n\n \n"[:-2],
        '"title","a; ""b;""; |"\n"Mayor resigns",1\n"Flood in the valley",2\n"Chess final",3\n',
        "title,date\r\r\nMayor resigns,1\r\r\nFlood in the valley,2\r\r\nChess final,3\r\r\n",
        'title;"when,\nand"\nMayor resigns;1\nFlood in the valley;2\nChess final;3\n',
        '"title"\n"Mayor resigns"\n"Flood in the valley"\n\nChess final\n',
        'title;a, b\nMayor resigns;1, May\nFlood in the valley;2, May\nChess final;, May\n',
        "title|a, b|c, d\nMayor resigns|,|\nFlood in the valley|,|\nChess final|,|\n",
    ],
)
def test_unusual_but_clear_files(write, capsys, content):
    assert read_table(write(content))["title"].tolist() == TITLES
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_tabs_and_commas_in_titles_in_the_encodings_of_unicode(write, encoding):
    lines = ["title\tplace", 'Straße, "gesperrt", 5 €\tKöln', "漢字, 新聞\t東京"]
    table = read_table(write("\r\n".join(lines).encode(encoding)))
    assert rows_of(table) == [line.split("\t") for line in lines]


@pytest.mark.parametrize(
    "language, encoding",
    [
        ("German", "cp1252"),
        ("Portuguese", "cp1252"),
        ("Chinese", "gb18030"),
        ("Japanese", "cp932"),
        ("Japanese", "euc_jp"),
        ("Korean", "cp949"),
    ],
)
def test_a_guessed_encoding_is_right_and_said(write, capsys, language, encoding):
    news = pd.read_csv(SAMPLE.parent.parent / "tests" / "languages.csv")
    titles = news["title"][news["language"] == language].tolist()
    table = read_table(
        write("\n".join(["title;x", *[f"{title};1" for title in titles]]).encode(encoding))
    )
    assert table["title"].tolist() == titles
    assert (
        capsys.readouterr().out == f"Read as {encoding}, separated by semicolons: is that right?\n"
    )


def test_a_few_western_letters_are_taken_for_western(write, capsys):
    content = SAMPLE.read_text("utf-8") + "Rent’s at 5 € in “Köln”,,\n"
    table = read_table(write(content.encode("cp1252")))
    assert table["title"].iloc[-1] == "Rent’s at 5 € in “Köln”" and len(table) == 502
    assert "Read as cp1252, separated by commas" in capsys.readouterr().out


def test_a_carriage_return_outside_quotation_marks_stays_in_its_field(write):
    """As pandas writes it; pandas itself reads two rows."""
    table = read_table(write("title,place\nFerry sinks\rAll saved,Köln\nMill burns,Bonn\n"))
    assert rows_of(table)[1:] == [["Ferry sinks\rAll saved", "Köln"], ["Mill burns", "Bonn"]]


def test_a_comma_at_the_end_of_every_line_does_no_harm(write):
    table = read_table(
        write("title,date\n" + ",\n".join(LINES[1:]) + ",\n")
    )  # but not of the header
    assert rows_of(table) == [line.split(",") for line in LINES]
    table = read_table(write(",\n".join(LINES) + ",\n"))
    assert rows_of(table) == [[*line.split(","), ""] for line in LINES]


def test_columns_of_one_name_and_of_none_survive(write, tmp_path):
    content = "title,tag,tag,\nMayor resigns,a,b,c\nFlood in the valley,d,e,f\n"
    table = read_table(write(content))
    assert rows_of(table) == [line.split(",") for line in content.splitlines()]
    save_table(tmp_path / "saved.csv", table, pd.DataFrame({"x": [1, 2]}))
    assert (tmp_path / "saved.csv").read_text("utf-8") == (
        '"title","tag","tag","","x"\n'
        '"Mayor resigns","a","b","c",1\n'
        '"Flood in the valley","d","e","f",2\n'
    )


def test_spaces_before_quotation_marks_are_no_part_of_the_text(write):
    assert rows_of(
        read_table(write('"title", "place"\n"Flood, again", "Köln, Bonn"\n"Fire", "Ulm"\n'))
    ) == [["title", "place"], ["Flood, again", "Köln, Bonn"], ["Fire", "Ulm"]]
    table = read_table(write('title, place\nFlood, "Köln, Bonn"\nFire, Ulm\n'))
    assert table.iloc[:, 1].tolist() == ["Köln, Bonn", "Ulm"]


def test_quotation_marks_with_backslashes_are_read_and_said(write, capsys):
    table = read_table(write('title,place\n"He said \\"no, never\\"",Köln\n"C:\\dir",Bonn\n'))
    assert table["title"].tolist() == ['He said "no, never"', "C:\\dir"]
    assert 'Read \\" as a quotation mark: is that right?' in capsys.readouterr().out
    table = read_table(write('title,place\n"ends in \\",Köln\n"He said ""no\\""",Bonn\n'))  # as is
    assert table["title"].tolist() == ["ends in \\", 'He said "no\\"']
    assert capsys.readouterr().out == ""


def test_a_very_long_field_and_many_rows_are_read(write):
    rows = (
        [["title", "text"]]
        + [[f"Title {row}", "short"] for row in range(20_000)]
        + [["x", "é," * 200_000]]
    )
    assert rows_of(read_table(write(written(rows, ",", "\r\n", False)))) == rows


# Doubts that are said, and losses that stop


def test_rows_that_are_short_are_filled_and_said(write, capsys):
    table = read_table(
        write("title,date,place\nMayor resigns\nFlood,2 May,Köln\nChess final,3 May\n")
    )
    assert table.to_numpy().tolist() == [
        ["Mayor resigns", "", ""],
        ["Flood", "2 May", "Köln"],
        ["Chess final", "3 May", ""],
    ]
    assert "2 of 3 rows in" in (said := capsys.readouterr().out) and "beginning with line 2" in said


def test_a_quotation_mark_that_is_never_closed_is_said_or_stops(write, capsys):
    lines = [
        "title",
        "Rain",
        '"No" say dockers',
        '"Enough says mayor',
        "Flood",
        '"Never again',
        "Fire",
    ]
    table = read_table(write("\n".join(lines)))
    assert table["title"].tolist() == [
        "Rain",
        "No say dockers",
        "Enough says mayor\nFlood\nNever again",
        "Fire",
    ]
    assert "line 3 goes on after a closing quotation mark" in capsys.readouterr().out
    with pytest.raises(
        ValueError, match="line 4 has a quotation mark that is never closed"
    ) as error:
        read_table(write("\n".join(lines[:5])))
    one_sentence(error.value)


@pytest.mark.parametrize(
    "content, expected",
    [
        (
            "title\nMayor resigns, deputy takes over\nFlood\n",
            "line 2 has 2 fields, but the first line has 1",
        ),
        (
            'title,date\nFlood,1\n\n"Rain\n\nsnow",2\nFire, again,3\n',
            "line 7 has 3 fields, but the first line has 2",
        ),
        ("sep=;\n\ntitle;date\nFlood;1\nFire; again;3\n", "line 5 has 3 fields"),
        ("title\tdate\rFlood\t1\rFire\tagain\t3\r", "line 3 has 3 fields"),
        ("title\nFlood\nMayor resigns,\n", "line 3 has 2 fields"),  # a comma of the title's own?
        ("title,date\nFlood,1\nMayor resigns,soon,\n", "line 3 has 3 fields"),
        ('"title","date"\n1,Flood,2 May\n2,Fire,3 May\n', "line 2 has 3 fields"),
        ('title,date\n"Flood,1\nFire,2\n', "line 2 has a quotation mark that is never closed"),
        ('title,date\nFlood,1\nFire,"', "line 3 has a quotation mark that is never closed"),
        ('"title,date\nFlood,1\n', "line 1 has a quotation mark that is never closed"),
        (
            "title\n" + "Über Köln fällt früh Schnee\n" * 9 + "Fl" + chr(0xDCFF),
            "damaged in line 11",
        ),
        (
            "title\n" + "Über Köln fällt früh Schnee\n" * 9 + "Fl" + chr(0xDCC3),
            "damaged in line 11",
        ),
        ("title\nFlood\nFi\0re\n", "is no text"),
        ("", "is empty"),
        (" \r\n\n", "is empty"),
        (",,\n", "is empty"),
        ("\ufeff", "is empty"),
        ("title,date\n", "no rows below its first line"),
        ("\ufefftitle\r\n\r\n", "no rows below its first line"),
    ],
)
def test_what_would_be_lost_stops_with_the_line(write, content, expected):
    path = write(content.encode("utf-8", errors="surrogateescape"))
    with pytest.raises(ValueError, match=expected) as error:
        read_table(path)
    assert str(path) in one_sentence(error.value)


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
        b"PK\x03\x04\x14\x00\x06\x00\x08\x00!\x00",
        bytes(range(256)) * 9,
        b"\x1f\x8b\x08\x00\x8d\xfe\x01g\x02\xff",
        "title\nStraße\n".encode("utf-16")[:-1],
        random.Random(0).randbytes(5000),
    ],
)
def test_a_binary_file_is_no_text(write, content):
    path = write(content)
    with pytest.raises(ValueError, match="no text") as error:
        read_table(path)
    assert str(path) in one_sentence(error.value)


# Which file


@pytest.mark.parametrize(
    "name, expected",
    [
        ("missing.csv", "There is no file .*missing.csv: check NEWS_CSV"),
        ("folder", "folder is a folder: NEWS_CSV must"),
        ("~no-such-user/x.csv", "There is no file ~no-such-user/x.csv"),
    ],
)
def test_a_file_that_is_not_there_is_named(tmp_path, monkeypatch, name, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=expected) as error:
        find_csv(name, "output")
    one_sentence(error.value)


def test_a_tilde_is_the_home_folder_but_may_begin_a_name(tmp_path, monkeypatch, write):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    write("title\na\n", "home/news.csv")
    assert find_csv("~/news.csv", "output") == tmp_path / "home" / "news.csv"
    assert find_csv(str(write("title\na\n", "~$news.csv").name), "output").exists()


@pytest.mark.parametrize("name", ["clusters.csv", "stories.csv"])
def test_a_csv_that_saving_would_overwrite_is_refused(tmp_path, monkeypatch, write, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "output").mkdir()
    path = write("title\na\n", f"output/{name}")
    for spelling in f"output/../output/{name}", path:
        with pytest.raises(
            ValueError, match=f"{name} would be overwritten: set OUTPUT_DIR"
        ) as error:
            find_csv(str(spelling), "output")
        one_sentence(error.value)
    assert find_csv(str(path), tmp_path / "elsewhere") == path and path.read_text() == "title\na\n"


# What is saved


def test_results_stand_beside_their_rows_and_replace_columns_of_their_names(tmp_path):
    table = pd.DataFrame(
        {"id": ["007", ""], "cluster": ["mine", "too"], "title": ['a "b"', "c\r\nd"]}, index=[3, 8]
    )
    results = pd.DataFrame({"cluster": [4, -1], "x": [0.25, 1e-9]}, index=[5, 0])
    save_table(tmp_path / "saved.csv", table, results)
    assert (tmp_path / "saved.csv").read_bytes().decode() == (
        '"id","title","cluster","x"\n"007","a ""b""",4,0.25\n"","c\r\nd",-1,1e-09\n'
    )
    with pytest.raises(ValueError, match="1 results for 2 rows"):
        save_table(tmp_path / "saved.csv", table, results[:1])


# Settings


def test_a_setting_comes_from_the_environment_then_env_then_the_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(
        "MIN_SAMPLES=7\nN_NEIGHBORS='9'\nOUTPUT_DIR=elsewhere # so\nNEWS_CSV=\nALONE\n"
    )
    monkeypatch.setenv("MIN_SAMPLES", "5")
    monkeypatch.setenv("N_NEIGHBORS", "")  # empty: the default, whatever .env says
    assert setting("MIN_SAMPLES", 3) == 5 and setting("N_NEIGHBORS", 16) == 16
    assert (
        setting("OUTPUT_DIR", "output") == "elsewhere"
        and setting("NEWS_CSV") == setting("ALONE") == ""
    )
    assert setting("MIN_CLUSTER_SIZE", 3) == 3 and "OUTPUT_DIR" not in os.environ


@pytest.mark.parametrize("value", ["three", "3.5", "3 or 4", "0x10"])
def test_a_setting_that_must_be_a_whole_number_says_so(monkeypatch, value):
    monkeypatch.setenv("MIN_SAMPLES", value)
    with pytest.raises(ValueError, match=f"^MIN_SAMPLES must be a whole number, not '{value}'.$"):
        setting("MIN_SAMPLES", 3)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_env_is_read_in_the_encodings_that_editors_write(tmp_path, monkeypatch, encoding):
    (tmp_path / ".env").write_bytes("NEWS_CSV=Köln.csv\nMIN_SAMPLES=7\n".encode(encoding))
    monkeypatch.chdir(tmp_path)
    assert read_env() == {"NEWS_CSV": "Köln.csv", "MIN_SAMPLES": "7"}
    assert setting("NEWS_CSV") == "Köln.csv"


def test_env_in_utf_16_does_not_stop_the_import_of_pymilvus(tmp_path):
    """pymilvus reads .env too, while it is imported, and knows UTF-8 only."""
    (tmp_path / ".env").write_bytes("NEWS_CSV=Köln.csv\nMIN_SAMPLES=7\n".encode("utf-16"))
    cell = next(cell.source for cell in CODE if "def read_env(" in cell.source)
    code = (
        cell + "\nimport pymilvus\nprint(ascii(os.environ['NEWS_CSV']), os.environ['MIN_SAMPLES'])"
    )
    clean = {name: value for name, value in os.environ.items() if name != "NEWS_CSV"} | {
        "MIN_SAMPLES": "5"
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=clean, capture_output=True, text=True,
        check=False,
    )
    assert done.stdout == r"'K\xf6ln.csv' 5" + "\n", done.stderr


@pytest.mark.parametrize(
    "content", ["NEWS_CSV=Köln.csv\n".encode("cp1252"), "A=b\n".encode("utf-16-le")]
)
def test_env_in_another_encoding_is_an_error(tmp_path, content):
    (tmp_path / ".env").write_bytes(content)
    with pytest.raises(ValueError, match=r"\.env is not .*: save it as UTF-8") as error:
        read_env(tmp_path / ".env")
    one_sentence(error.value)
