"""Any CSV reads back row by row and column by column, or stops with a sentence; so does .env."""

import csv
import os
import random
import subprocess
import sys

import pandas as pd
import pytest

from conftest import SAMPLE, free_port
from notebook import (
    CODE,
    RESULTS,
    SETTINGS,
    add_results,
    check_sizes,
    encoding_to_save,
    find_csv,
    read_column,
    read_env,
    read_settings,
    read_story_column,
    read_table,
    replace_file,
    results_of_rows,
    results_of_stories,
    save_results,
    save_table,
    show_settings,
)

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
    save_table(tmp_path / "saved.csv", add_results(table, results))
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
        "SEP=\t\r\ntitle\tdate\r\nMayor resigns\t1\r\nFlood in the valley\t2\r\nChess final\t3\r\n",
        "\ufefftitle;date\r\nMayor resigns;1\r\nFlood in the valley;2\r\nChess final;3",
        "\n\n,,\ntitle,date\nMayor resigns,1\nFlood in the valley,2\nChess final,3\n\n\n \n"[:-2],
        '"title","a; ""b;""; |"\n"Mayor resigns",1\n"Flood in the valley",2\n"Chess final",3\n',
        "title,date\r\r\nMayor resigns,1\r\r\nFlood in the valley,2\r\r\nChess final,3\r\r\n",
        'title;"when,\nand"\nMayor resigns;1\nFlood in the valley;2\nChess final;3\n',
        '"title"\n"Mayor resigns"\n"Flood in the valley"\n\nChess final\n',
        "title;a, b\nMayor resigns;1, May\nFlood in the valley;2, May\nChess final;, May\n",
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
    save_table(tmp_path / "saved.csv", add_results(table, pd.DataFrame({"x": [1, 2]})))
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


# Fields in apostrophes, lines quoted as a whole, letters in escape sequences

PLACES = [
    ["title", "place", "number"],
    ["Ferry sinks, all saved", "L'Isle", "1"],
    ["'Never again', says mayor", "Köln", ""],
    ['He said "no, never"', "Bonn, Beuel", "3"],
    ["Two\nlines", "Ulm", "4"],
]


def in_apostrophes(rows, between, all_fields):
    """Return a CSV with apostrophes around all fields, or around those below the header that
    need them."""
    special = set(",'\"\n;|")
    lines = [
        between.join(
            "'" + field.replace("'", "''") + "'"
            if all_fields or number and set(field) & special
            else field
            for field in row
        )
        for number, row in enumerate(rows)
    ]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("between", [",", ";", "\t", ", ", "|"])
@pytest.mark.parametrize("all_fields", [True, False])
def test_fields_in_apostrophes_are_read_and_said(write, capsys, between, all_fields):
    rows = PLACES if all_fields else [row for row in PLACES if "\n" not in row[0]]
    assert rows_of(read_table(write(in_apostrophes(rows, between, all_fields)))) == rows
    assert capsys.readouterr().out == "Read ' as a quotation mark: is that right?\n"


def test_apostrophes_with_backslashes_are_quotation_marks_too(write, capsys):
    table = read_table(write("'title','place'\n'Flood at O\\'Hare, again','L\\'Isle'\n'Fire',''\n"))
    assert table.to_numpy().tolist() == [["Flood at O'Hare, again", "L'Isle"], ["Fire", ""]]
    assert "Read ' as a quotation mark" in capsys.readouterr().out


def test_one_doubled_apostrophe_tells_that_all_are_quotation_marks(write, capsys):
    """Only the fields that need it are quoted, and none has a comma in it."""
    lines = ["title,x", "'Fog at O''Hare',1", "Rain's back,2", "'Tis ''over'',3", "Snow,4"]
    table = read_table(write("\n".join(lines)))
    assert table["title"].tolist() == ["'Fog at O''Hare'", "Rain's back", "'Tis ''over''", "Snow"]
    assert capsys.readouterr().out == ""  # two of them contradict each other
    table = read_table(write("\n".join(lines[:3] + lines[4:])))
    assert table["title"].tolist() == ["Fog at O'Hare", "Rain's back", "Snow"]
    assert "Read ' as a quotation mark" in capsys.readouterr().out


@pytest.mark.parametrize(
    "lines",
    [
        ["title,date", "'Rain',1", "'Snow' again,2", "'Tis the season,3", "Fog,4"],
        ["title", "'Rain'", "'Snow'", "Fog"],
        ["title", "'Rain'", "'Snow'"],
        ["title,x", "'They''ve won',1", "\"'Rock ''n'' roll' is back\",2", "Fog,3"],
        ["title;x", "'Rain', he says, 'and fog';1", "'Twas cold, 'twas wet;2", "It's 'over';3"],
        ['"title","x"', '"\'Rain\'","1"', '"\'Fog\'","2"', '"\'Hail\'","3"'],
    ],
)
def test_a_headline_may_begin_and_end_with_a_word_in_apostrophes(write, capsys, lines):
    delimiter = ";" if ";" in lines[0] else ","
    rows = list(csv.reader(lines, delimiter=delimiter))
    assert rows_of(read_table(write("\n".join(lines)))) == rows
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header_too", [True, False])
def test_lines_that_are_quoted_as_a_whole_are_read_and_said(write, capsys, delimiter, header_too):
    header, *lines = (
        written(PLACES, delimiter, "\r\n", False).replace("Two\nlines", "Two").split("\r\n")[:-1]
    )
    lines = ['"' + line.replace('"', '""') + '"' for line in lines]
    header = f'"{header}"' if header_too else header
    expected = [[field.replace("Two\nlines", "Two") for field in row] for row in PLACES]
    assert rows_of(read_table(write("\r\n".join([header, "", *lines])))) == expected
    said = capsys.readouterr().out
    assert "is quoted as one field" in said and said.count("\n") == 1


@pytest.mark.parametrize(
    "content, rows",
    [
        ('"title"\n"Flood, again"\n"Fire"\n', [["title"], ["Flood, again"], ["Fire"]]),
        ('"title, date"\n"Flood, again"\n"Fire"\n', [["title, date"], ["Flood, again"], ["Fire"]]),
        ('title,x\n"Flood, so"\nFire,2\n', [["title", "x"], ["Flood, so", ""], ["Fire", "2"]]),
    ],
)
def test_titles_with_commas_in_quotation_marks_are_no_lines_quoted_as_a_whole(write, content, rows):
    assert rows_of(read_table(write(content))) == rows


@pytest.mark.parametrize(
    "language, encoding",
    [("Japanese", "iso2022_jp"), ("Japanese", "iso2022_jp_2004"), ("Korean", "iso2022_kr")],
)
def test_letters_in_escape_sequences_are_read_and_said(write, capsys, language, encoding):
    news = pd.read_csv(SAMPLE.parent.parent / "tests" / "languages.csv")
    titles = news["title"][news["language"] == language].tolist()
    content = "\n".join(["title;x", *[f"{title};1" for title in titles]]).encode(encoding)
    assert content.isascii()
    assert read_table(write(content))["title"].tolist() == titles
    assert "Read as iso2022" in capsys.readouterr().out


def test_escape_sequences_of_another_kind_are_no_letters_of_ours(write):
    """Chinese ones, which Python does not know, stop; colours of a terminal are plain text."""
    with pytest.raises(ValueError, match="in unknown letters: export it as CSV") as error:
        read_table(write(b"title\n\x1b$)A\x0eVPND\x0f\n"))
    one_sentence(error.value)
    table = read_table(write("title\n\x1b[31mFire\x1b[0m\nÄ \x1b$B\n"))
    assert table["title"].tolist() == ["\x1b[31mFire\x1b[0m", "Ä \x1b$B"]


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
        ("sep=;", "is empty"),
        ('\ufeff"sep=,"\r\n\r\n,,\r\n', "is empty"),
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
        ("missing.csv", "There is no file {here}/missing.csv: check NEWS_CSV"),
        ("folder/news.csv", "There is no file {here}/folder/news.csv: check NEWS_CSV"),
        ("folder", "folder is a folder: NEWS_CSV must"),
        ("~no-such-user/x.csv", "There is no file {here}/~no-such-user/x.csv"),
    ],
)
def test_a_file_that_is_not_there_is_named(tmp_path, monkeypatch, name, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=expected.format(here=tmp_path)) as error:
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


@pytest.mark.parametrize("name", RESULTS)
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


def rows_found(count, offset=0):
    """Return what a run finds for so many rows, with numbers that differ between runs."""
    return pd.DataFrame(
        {
            "cluster": range(offset, offset + count),
            "cluster_name": "Rain",
            "probability": 0.5,
            "closest_cluster": -1,
            "closest_cluster_name": "",
            "theme": range(offset + 40, offset + 40 + count),
            "x": 0.25,
            "y": 1e-9,
        }
    )


def test_results_stand_beside_their_rows_in_any_index(tmp_path):
    table = pd.DataFrame({"id": ["007", ""], "title": ['a "b"', "c\r\nd"]}, index=[3, 8])
    results = pd.DataFrame({"cluster": [4, -1], "x": [0.25, 1e-9]}, index=[5, 0])
    save_table(tmp_path / "saved.csv", add_results(table, results))
    assert (tmp_path / "saved.csv").read_bytes().decode() == (
        '"id","title","cluster","x"\n"007","a ""b""",4,0.25\n"","c\r\nd",-1,1e-09\n'
    )
    with pytest.raises(ValueError, match="1 results for 2 rows"):
        add_results(table, results[:1])


def test_columns_of_the_reader_stay_and_the_results_get_a_number(capsys):
    mine = {"theme": ["sport", "city"], "title": ["a", "b"], "x": ["9", "8"], "theme_2": ["", "!"]}
    table = pd.DataFrame({**mine, "cluster_name": ["p", "q"]})
    saved = add_results(table, rows_found(2))
    assert saved.iloc[:, :5].equals(table)
    assert list(saved.columns[5:]) == [
        "cluster",
        "cluster_name_2",
        "probability",
        "closest_cluster",
        "closest_cluster_name",
        "theme_3",
        "x_2",
        "y",
    ]
    assert saved["theme_3"].tolist() == [40, 41] and saved["x_2"].tolist() == [0.25, 0.25]
    said = capsys.readouterr().out
    assert "has columns cluster_name, theme, x of its own, which stay" in said
    assert "cluster_name_2, theme_3, x_2" in said and said.count("\n") == 1


@pytest.mark.parametrize("added", [[], ["note"]])
@pytest.mark.parametrize("own", [["title"], ["title", "theme", "y"], ["cluster", "title"]])
def test_an_earlier_output_is_taken_again_and_nothing_but_its_results_is_replaced(
    write, tmp_path, capsys, own, added
):
    table = pd.DataFrame({name: [f"{name} 1", f"{name} 2"] for name in own})
    first = add_results(table, rows_found(2)).assign(**dict.fromkeys(added, "mine"))
    save_table(tmp_path / "first.csv", first)
    first_said = capsys.readouterr().out
    again = add_results(read_table(tmp_path / "first.csv"), rows_found(2, offset=7))
    assert again[own].equals(table) and len(again.columns) == len(first.columns)
    assert set(again.columns) == set(first.columns) and again["probability"].tolist() == [0.5] * 2
    cluster = "cluster_2" if "cluster" in own else "cluster"
    assert again[cluster].tolist() == [7, 8] and (again[added] == "mine").all(axis=None)
    assert capsys.readouterr().out == first_said and bool(first_said) == (len(own) > 1)


def test_what_was_found_is_written_beside_each_row_and_each_story():
    """Three headlines of which one stands twice, two stories and one theme."""
    news = pd.DataFrame(
        {
            "title": list("abc"),
            "cluster": [1, -1, 0],
            "probability": [0.9, 0, 1],
            "leans_to": [-1, 0, -1],
            "theme": [0, -1, 0],
            "x": [1, 2, 3],
            "y": [4, 5, 6],
        }
    )
    stories = pd.DataFrame(
        {
            "name": ["Flood", "Fire"],
            "medoid": [2, 0],
            "headlines": 1,
            "rows": [2, 1],
            "leaning": [1, 0],
            "persistence": 0.1,
            "words": [["dam", "mud"], []],
            "theme": 0,
            "colour": "red",
        }
    )
    themes = pd.DataFrame({"name": ["Water"], "words": [["rain", "ash"]]})
    rows = results_of_rows(news, stories, [2, 0, 2, 1])
    assert rows.to_numpy().tolist() == [
        [0, "Flood", 1, -1, "", 0, 3, 6],
        [1, "Fire", 0.9, -1, "", 0, 1, 4],
        [0, "Flood", 1, -1, "", 0, 3, 6],
        [-1, "", 0, 0, "Flood", -1, 2, 5],
    ]
    assert list(rows.columns) == list(rows_found(1).columns)
    found = results_of_stories(stories, themes)
    assert found.to_dict("records") == [
        {
            "number": 0,
            "name": "Flood",
            "theme": 0,
            "theme_words": "rain, ash",
            "headlines": 1,
            "rows": 2,
            "persistence": 0.1,
            "words": "dam, mud",
            "leaning": 1,
        },
        {
            "number": 1,
            "name": "Fire",
            "theme": 0,
            "theme_words": "rain, ash",
            "headlines": 1,
            "rows": 1,
            "persistence": 0.1,
            "words": "",
            "leaning": 0,
        },
    ]


@pytest.mark.parametrize(
    "encoding, saved_in",
    [("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("utf-16", "utf-8-sig"), ("cp1252", "utf-8")],
)
def test_a_byte_order_mark_in_the_csv_comes_back(write, tmp_path, encoding, saved_in):
    path = write("title;x\nStraße;1\nBäche über die Ufer;2\n".encode(encoding))
    found = encoding_to_save(path)
    table = read_table(path)
    save_results(tmp_path / "new", table, pd.DataFrame({"name": ["Flut"]}), found)
    for name in "clusters.csv", "stories.csv":
        content = (tmp_path / "new" / name).read_bytes()
        assert content.startswith(b"\xef\xbb\xbf") == (saved_in == "utf-8-sig")
    assert rows_of(read_table(tmp_path / "new" / "clusters.csv")) == rows_of(table)
    path.unlink()
    assert encoding_to_save(path) == "utf-8"


# Nothing is lost where a disk is full


@pytest.fixture
def full_disk():
    """A function that lets no file of this process grow beyond so many bytes."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("too_long", ["clusters.csv", "stories.csv"])
def test_where_the_disk_fills_both_old_files_stay_whole(tmp_path, full_disk, too_long):
    short, long = pd.DataFrame({"a": ["old"]}), pd.DataFrame({"a": ["new"] * 50_000})
    save_results(tmp_path, short, short, "utf-8")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {"clusters.csv", "stories.csv"}
    tables = (long, short) if too_long == "clusters.csv" else (short.replace("old", "x"), long)
    full_disk(100_000)
    expected = f"^{tmp_path} cannot be written to .File too large.: make room"
    with pytest.raises(OSError, match=expected) as error:
        save_results(tmp_path, *tables, "utf-8")
    one_sentence(error.value)
    full_disk(-1)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    save_results(tmp_path, *tables, "utf-8")
    assert len(read_table(tmp_path / too_long)) == 50_000 and len(list(tmp_path.iterdir())) == 2


def test_a_file_is_replaced_only_when_its_block_has_ended_well(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("old")
    (tmp_path / "link.html").symlink_to(path)
    with pytest.raises(KeyError), replace_file(path) as unfinished:
        unfinished.write_text("half")
        assert path.read_text() == "old"
        {}["no such name"]
    assert path.read_text() == "old"
    with replace_file(tmp_path / "link.html") as unfinished:
        unfinished.write_text("new")
    assert path.read_text() == "new" and (tmp_path / "link.html").is_symlink()
    assert {each.name for each in tmp_path.iterdir()} == {"page.html", "link.html"}


# The column story


@pytest.mark.parametrize(
    "columns, said",
    [
        ({"title": "abcdefghij"}, ""),
        ({"story": " " * 10}, ""),
        ([("story", "aabbccddee"), ("story", "xxyyzzxxyy")], "there are several"),
        ([("Story ", "aabbccddee"), ("STORY", "xxyyzzxxyy")], "there are several"),
        ({"story": [f"The ferry {number} sank" for number in range(30)]}, "is different"),
        ({"story": ["a", "a"] + [str(number) for number in range(30)]}, "is different"),
        ({"story": ["The mayor said so. " * 9, "The ferry sank again. " * 9] * 5}, "long texts"),
    ],
)
def test_a_column_story_that_tells_no_truth_gives_no_marks(capsys, columns, said):
    columns = list(columns.items()) if isinstance(columns, dict) else columns
    table = pd.DataFrame(dict(enumerate(list(values) for _, values in columns)), dtype=str)
    table.columns = [name for name, _ in columns]
    assert read_story_column(table) is None
    out = capsys.readouterr().out
    assert said in out and out.count("\n") == bool(said)


def test_a_column_story_is_the_truth_in_the_order_of_the_rows(capsys):
    stories = ["cup", "cup ", "", "bridge", "bridge"] + [""] * 40 + ["one of its own"]
    table = pd.DataFrame({"Title": "x", "Story": stories})
    assert list(read_story_column(table)) == [story.strip() for story in stories]
    table["story"] = "now this"
    assert set(read_story_column(table)) == {"now this"} and capsys.readouterr().out == ""


def test_the_first_of_two_columns_of_titles_is_read_and_that_is_said(capsys):
    table = pd.DataFrame([["a", "b", "c"]], columns=["x", "Title", "TITLE"])
    assert read_column(table, "TITLE", "TITLE_COLUMN").tolist() == ["c"]
    assert capsys.readouterr().out == ""
    assert read_column(table, "title", "TITLE_COLUMN").tolist() == ["b"]
    assert "several columns title: the first of them is read" in capsys.readouterr().out


# Settings


@pytest.fixture
def settings_of(tmp_path, monkeypatch):
    """A function that reads the settings, of which these alone are set, in the test's folder."""
    monkeypatch.chdir(tmp_path)

    def read(**values):
        for name in SETTINGS:
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        return read_settings()

    return read


def test_a_setting_that_is_empty_has_its_default_and_numbers_are_numbers(settings_of, tmp_path):
    found = settings_of(N_NEIGHBORS=" ", MIN_SAMPLES="5", METRIC_TYPE="cosine", OUTPUT_DIR="a/b")
    assert (found["N_NEIGHBORS"], found["MIN_SAMPLES"], found["MIN_CLUSTER_SIZE"]) == (16, 5, 3)
    assert found["MAX_CLUSTER_SIZE"] is None and settings_of()["MIN_SAMPLES"] is None
    assert found["METRIC_TYPE"] == "COSINE" and settings_of()["METRIC_TYPE"] == ""
    assert found["OUTPUT_DIR"].resolve() == tmp_path / "a" / "b" and (tmp_path / "a" / "b").is_dir()
    assert list(found) == list(SETTINGS) and list((tmp_path / "a" / "b").iterdir()) == []


def test_stories_may_all_be_of_one_size(settings_of):
    found = settings_of(MIN_CLUSTER_SIZE="4", MAX_CLUSTER_SIZE="4")
    assert found["MIN_CLUSTER_SIZE"] == found["MAX_CLUSTER_SIZE"] == 4


@pytest.mark.parametrize(
    "name, value, said",
    [
        ("MIN_SAMPLES", "0", "MIN_SAMPLES must be 1 or more, not 0"),
        ("MIN_SAMPLES", "-3", "MIN_SAMPLES must be 1 or more, not -3"),
        ("MIN_SAMPLES", "three", "MIN_SAMPLES must be a whole number, not 'three'"),
        ("MIN_SAMPLES", "3.5", "MIN_SAMPLES must be a whole number, not '3.5'"),
        ("MIN_SAMPLES", "16384", "MIN_SAMPLES must be 16383 or less"),
        ("MIN_CLUSTER_SIZE", "1", "MIN_CLUSTER_SIZE must be 2 or more, not 1"),
        ("MIN_CLUSTER_SIZE", "0x10", "MIN_CLUSTER_SIZE must be a whole number"),
        ("MAX_CLUSTER_SIZE", "0", "MAX_CLUSTER_SIZE must be 2 or more"),
        ("MAX_CLUSTER_SIZE", "2", "MAX_CLUSTER_SIZE=2 must not be less than MIN_CLUSTER_SIZE=3"),
        ("N_NEIGHBORS", "1", "N_NEIGHBORS must be 2 or more"),
        ("N_NEIGHBORS", "9" * 5000, "N_NEIGHBORS must be a whole number, not '9{60}'"),
        ("N_NEIGHBORS", "16385", "N_NEIGHBORS must be 16384 or less"),
        ("METRIC_TYPE", "EUCLIDEAN", "METRIC_TYPE must be one of L2, IP, COSINE, not 'EUCLIDEAN'"),
        ("INDEX_TYPE", "HSNW", "INDEX_TYPE must be one of FLAT, .*, not 'HSNW'"),
        ("MILVUS_COLLECTION", "my news", "MILVUS_COLLECTION must begin .* not 'my news'"),
        ("MILVUS_COLLECTION", "2024", "MILVUS_COLLECTION must begin .* not '2024'"),
        ("MILVUS_COLLECTION", "a" * 247, "MILVUS_COLLECTION must .* at most 246"),
        ("MILVUS_ADDRESS", "localhost:19530", "MILVUS_ADDRESS must be .* not 'localhost:19530'"),
        ("MILVUS_ADDRESS", "milvus.sqlite", "MILVUS_ADDRESS must be .* not 'milvus.sqlite'"),
        ("MILVUS_ADDRESS", "http://host:port", "MILVUS_ADDRESS must be .* not 'http://host:port'"),
        ("MILVUS_ADDRESS", "ftp://host", "MILVUS_ADDRESS must be a path ending in .db, or the URL"),
        ("MILVUS_ADDRESS", "https://", "MILVUS_ADDRESS must be a path ending in .db, or the URL"),
        ("EMBEDDING_MODEL", "/no/such/folder", "EMBEDDING_MODEL .* no folder '/no/such/folder'"),
        ("EMBEDDING_MODEL", "BAAI/bge m3", "EMBEDDING_MODEL must be a folder, lsa, or a name"),
        ("OUTPUT_DIR", "file", "OUTPUT_DIR must be a folder .* file is none .File exists"),
        ("OUTPUT_DIR", "file/results", "OUTPUT_DIR must .* none .Not a directory"),
        ("OUTPUT_DIR", "x" * 300, "OUTPUT_DIR must be .* none .File name too long"),
        ("OUTPUT_DIR", "full", "full/stories.csv is a folder: set OUTPUT_DIR to another one"),
    ],
)
def test_a_setting_that_makes_no_sense_stops_at_once_with_its_name(
    settings_of, tmp_path, name, value, said
):
    (tmp_path / "file").write_text("")
    (tmp_path / "full" / "stories.csv").mkdir(parents=True)
    with pytest.raises((ValueError, OSError), match=f"^{said}[^\n]*\\.$") as error:
        settings_of(**{name: value})
    assert name in one_sentence(error.value) and not (tmp_path / "output").exists()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs a folder nobody may fill")
def test_a_folder_that_nobody_may_write_to_is_no_output_dir(settings_of):
    with pytest.raises(OSError, match="^OUTPUT_DIR must be a folder that you may write to"):
        settings_of(OUTPUT_DIR="/proc/self/fd")


@pytest.mark.parametrize(
    "address",
    [
        "http://root:secret@host:19530",
        "tcp://root:se/cret@host:1",
        "https://root:secret@in01.example.com",
    ],
)
def test_no_output_and_no_error_has_a_password_or_token(settings_of, address):
    try:
        found = settings_of(MILVUS_ADDRESS=address, MILVUS_TOKEN="secret-key")
    except ValueError as problem:
        said = one_sentence(problem)
    else:
        table = show_settings(found)
        said = table.to_html() + table.to_string()
        assert found["MILVUS_TOKEN"] == "secret-key" and found["MILVUS_ADDRESS"] == address
        assert table.loc["MILVUS_TOKEN", "in use"] == "(hidden)"
        assert list(table.index) == list(SETTINGS)
    assert address.partition("@")[2] in said
    assert "secret" not in said and "cret@" not in said and "root" not in said


@pytest.mark.parametrize(
    "address",
    [
        "root:secret@host:19530",
        "http://root:secret@word@host:x",
        "http://root:secret@",
        "root:secret@http://host",
    ],
)
def test_a_malformed_address_is_said_without_its_password(settings_of, address):
    with pytest.raises(ValueError, match="^MILVUS_ADDRESS must be a path") as error:
        settings_of(MILVUS_ADDRESS=address)
    assert "secret" not in one_sentence(error.value) and "root" not in str(error.value)


@pytest.mark.parametrize(
    "address",
    [
        "news.db",
        "~/a b/milvus.db",
        "me@home/milvus.db",
        "http://localhost:19530",
        "https://in01.example.com",
        "tcp://10.0.0.1:1",
        "http://[::1]:19530/default",
        "HTTP://host",
    ],
)
def test_addresses_that_milvus_can_have_are_taken_and_shown(settings_of, address):
    found = settings_of(MILVUS_ADDRESS=address)
    assert found["MILVUS_ADDRESS"] == address
    assert show_settings(found).loc["MILVUS_ADDRESS", "in use"] == address


def test_sizes_that_need_more_headlines_than_there_are_stop_with_a_sentence(settings_of):
    found = settings_of(MIN_SAMPLES="7", MIN_CLUSTER_SIZE="8")
    check_sizes(found, 8)
    with pytest.raises(ValueError, match="^MIN_SAMPLES=7 needs 8 different .* and there are 7.$"):
        check_sizes(found, 7)
    with pytest.raises(ValueError, match="^MIN_CLUSTER_SIZE=6 needs 6 .* and there are 5.$"):
        check_sizes(settings_of(MIN_CLUSTER_SIZE="6"), 5)
    check_sizes(settings_of(), 5)


# The file .env


def first_cells(folder, code, content=None, **environment):
    """Execute, in a process of its own, the cell that reads .env, then this code; return the
    words it printed."""
    if content is not None:
        (folder / ".env").write_bytes(content.encode() if isinstance(content, str) else content)
    cell = next(cell.source for cell in CODE if "def read_env(" in cell.source)
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in SETTINGS and "proxy" not in name.lower() and name != "PYTHON_DOTENV_DISABLED"
    }
    done = subprocess.run(
        [sys.executable, "-c", f"{cell}\n{code.replace('CELL', cell)}"],
        cwd=folder,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_an_environment_variable_wins_over_env_even_if_it_is_empty(tmp_path):
    content = "MIN_SAMPLES=7\nN_NEIGHBORS='9'\nOUTPUT_DIR=elsewhere # so\nNEWS_CSV=\nALONE\n"
    names = "MIN_SAMPLES", "N_NEIGHBORS", "OUTPUT_DIR", "NEWS_CSV", "ALONE"
    code = f"print(*map(repr, map(os.environ.get, {names})))"
    said = first_cells(tmp_path, code, content, MIN_SAMPLES="5", N_NEIGHBORS="")
    assert said == ["'5'", "''", "'elsewhere'", "''", "None"]


def test_a_change_of_env_counts_whole_or_not_at_all(tmp_path):
    """The cell is executed once more after a change: nothing of it counts before a restart."""
    changed = "MIN_SAMPLES=8\nMIN_CLUSTER_SIZE=4\n"
    code = (
        f"Path('.env').write_text({changed!r})\nCELL\n"
        "print(os.environ['MIN_SAMPLES'], os.environ.get('MIN_CLUSTER_SIZE'))"
    )
    assert first_cells(tmp_path, code, "MIN_SAMPLES=7\n") == ["7", "None"]
    assert first_cells(tmp_path, code) == ["8", "4"]


@pytest.mark.parametrize(
    "line, path",
    [
        ('"C:\\news\\titles.csv"', "C:\\news\\titles.csv"),
        ("C:\\news\\titles.csv", "C:\\news\\titles.csv"),
        ("'C:\\news\\titles.csv'", "C:\\news\\titles.csv"),
        ('"D:\\a\\b\\f\\n\\r\\t\\v.csv"', "D:\\a\\b\\f\\n\\r\\t\\v.csv"),
        ('"C:\\\\news\\\\titles.csv"', "C:\\news\\titles.csv"),
    ],
)
def test_backslashes_of_a_path_in_env_are_understood(tmp_path, settings_of, line, path):
    (tmp_path / ".env").write_text(f"NEWS_CSV={line}\n")
    assert settings_of(**read_env(tmp_path / ".env"))["NEWS_CSV"] == path


@pytest.mark.parametrize("line", ['OUTPUT_DIR="C:\\results\\"', "NEWS_CSV='Rome", "what is this"])
def test_a_line_of_env_that_cannot_be_read_is_named(tmp_path, line):
    (tmp_path / ".env").write_text(f"# mine\nMIN_SAMPLES=5\n{line}\n")
    with pytest.raises(ValueError, match=r"^Line 3 of .*\.env cannot be read: is a quot") as error:
        read_env(tmp_path / ".env")
    one_sentence(error.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_env_is_read_in_the_encodings_that_editors_write(tmp_path, monkeypatch, encoding):
    (tmp_path / ".env").write_bytes("NEWS_CSV=Köln.csv\nMIN_SAMPLES=7\n".encode(encoding))
    monkeypatch.chdir(tmp_path)
    assert read_env() == {"NEWS_CSV": "Köln.csv", "MIN_SAMPLES": "7"}


def test_env_in_utf_16_does_not_stop_the_import_of_pymilvus(tmp_path):
    """pymilvus reads .env too, while it is imported, and knows UTF-8 only."""
    content = "NEWS_CSV=Köln.csv\nMIN_SAMPLES=7\n".encode("utf-16")
    code = "import pymilvus\nprint(ascii(os.environ['NEWS_CSV']), os.environ['MIN_SAMPLES'])"
    assert first_cells(tmp_path, code, content, MIN_SAMPLES="5") == [r"'K\xf6ln.csv'", "5"]


@pytest.mark.parametrize(
    "content", ["NEWS_CSV=Köln.csv\n".encode("cp1252"), "A=b\n".encode("utf-16-le")]
)
def test_env_in_another_encoding_is_an_error(tmp_path, content):
    (tmp_path / ".env").write_bytes(content)
    with pytest.raises(ValueError, match=r"\.env is not .*: save it as UTF-8") as error:
        read_env(tmp_path / ".env")
    one_sentence(error.value)


# Proxies


@pytest.mark.parametrize(
    "proxies, goes_past",
    [
        ({"no_proxy": "*"}, {"example.org", "localhost"}),
        ({"NO_PROXY": "example.org"}, {"example.org"}),
        ({"no_proxy": " example.org , 10.0.0.1 ", "NO_PROXY": "other.example"}, {"example.org"}),
        ({}, set()),
    ],
)
def test_a_proxy_never_stands_before_milvus_lite_and_others_keep_theirs(
    tmp_path, proxies, goes_past
):
    """The cell is executed twice; what others do without the proxy is asked of urllib."""
    dead = f"http://127.0.0.1:{free_port()}"
    code = (
        "CELL\nfrom pymilvus import MilvusClient\nfrom urllib.request import proxy_bypass\n"
        "print(len(MilvusClient('milvus.db').list_collections()))\n"
        "print(*filter(proxy_bypass, ['example.org', 'localhost', 'nobody.example']))"
    )
    said = first_cells(tmp_path, code, http_proxy=dead, https_proxy=dead, **proxies)
    assert said[0] == "0" and set(said[1:]) - {"nobody.example"} == goes_past
    assert ("nobody.example" in said) == (proxies.get("no_proxy") == "*")


ASK_A_SERVER = """
import socket
from pymilvus import MilvusClient
proxy = socket.create_server(("127.0.0.1", PORT))
try:
    MilvusClient("http://milvus.example:19530", timeout=1)
except Exception:
    proxy.settimeout(1)
try:
    print(proxy.accept()[0].recv(1000).decode().split()[1])
except TimeoutError:
    print("nobody")
"""


@pytest.mark.parametrize(
    "proxies, asked",
    [
        ({}, "milvus.example:19530"),
        ({"no_proxy": "example.org", "NO_PROXY": "milvus.example"}, "milvus.example:19530"),
        ({"no_proxy": "example.org, milvus.example"}, "nobody"),
        ({"NO_PROXY": "milvus.example"}, "nobody"),
        ({"no_proxy": "*"}, "nobody"),
    ],
)
def test_a_server_is_asked_through_a_proxy_unless_that_is_not_wanted(tmp_path, proxies, asked):
    """The proxy is a socket on loopback that notes for whom it is asked."""
    port = free_port()
    proxy = f"http://127.0.0.1:{port}"
    code = ASK_A_SERVER.replace("PORT", str(port))
    said = first_cells(tmp_path, code, http_proxy=proxy, https_proxy=proxy, **proxies)
    assert said == [asked]
