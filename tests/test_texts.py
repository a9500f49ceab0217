"""What a headline is made of, and which headlines are copies of one another."""

import html
import random
import unicodedata

import numpy as np
import pandas as pd
import pytest

from conftest import SAMPLE
from notebook import clean_texts, merge_copies, read_table, save_table


def frame(*titles, **columns):
    return pd.DataFrame({"title": titles} | columns, dtype=str)


def cleaned(title):
    return clean_texts(frame(title))["title"].item()


OTHERS = [
    "Ferry sinks",
    "Mill burns",
    "Chess final",
    "New bridge",
    "Bank merger",
]  # copies of nothing


def different(titles):
    """Return which of these titles are left beside five others."""
    news, _ = merge_copies(clean_texts(frame(*titles, *OTHERS)))
    return [title for title in news["title"] if title not in OTHERS]


# Cleaning


@pytest.mark.parametrize(
    "title, expected",
    [
        ("AT&amp;T buys &#39;it&#39; for &euro;5", "AT&T buys 'it' for €5"),
        ("Q&amp;amp;A", "Q&A"),
        ("Rock&Region, R&D & co", "Rock&Region, R&D & co"),
        ("3 &lt; 5 and 5 < 7 > 2", "3 < 5 and 5 < 7 > 2"),
        ("&nbsp; Rain \t\r\n stops\u3000play ", "Rain stops play"),
        ("Rain https://t.co/Ab1", "Rain"),
        ("HTTP://x.example/a?b=1&amp;c=2#d Rain", "Rain"),
        ("Rain (https://x.example/y) falls", "Rain falls"),
        ("Rain www.x.example/y, pic.twitter.com/aB1", "Rain"),
        ("RT t.co/x1: rain", "RT rain"),
        ("台风登陆https://t.co/abc今晚", "台风登陆 今晚"),
        ("看www.x.example/y，rainhttp://x.example", "看 ，rain"),
        ("http:// and ftp://", "http:// and ftp://"),
        (
            "Why http is slow: the www. of 1995 and Scott.co/op",
            "Why http is slow: the www. of 1995 and Scott.co/op",
        ),
        ("https://x.example/only", "https://x.example/only"),
        ("t.co/a t.co/b", "t.co/a t.co/b"),
        ("Cafe\u0301 fi\u00adre\u200b \ufeffin\u200e \u2066Köln\u2069\x07", "Café fire in Köln"),
        ("می\u200cروم 👩\u200d🚒 🌧\ufe0f", "می\u200cروم 👩\u200d🚒 🌧\ufe0f"),  # joiners stay
        ("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f win",)
        * 2,  # England's flag
        ("nan", "nan"),
        ("-", "-"),
        ("From $5 to $10 & 100 %", "From $5 to $10 & 100 %"),
    ],
)
def test_a_title_is_cleaned(title, expected):
    assert cleaned(title) == expected


@pytest.mark.parametrize("seed", range(20))
def test_a_clean_title_is_clean_whatever_it_was_made_of(seed):
    chance = random.Random(seed)
    parts = [
        "&amp;",
        "&#8203;",
        "https://x.example/y",
        "e\u0301",
        "\u200b",
        "\u00ad",
        "\ufeff",
        "\u202e",
        " ",
        "\n",
        "rain",
        "雨",
        "\x00"[:0],
        "<",
        "&",
        "(",
        ")",
        "\u200d",
        "’",
        "&lt;",
        "ü",
        "\u2028",
    ]
    title = cleaned("Rain " + "".join(chance.choices(parts, k=30)))
    assert title == " ".join(title.split()) == unicodedata.normalize("NFC", title)
    assert "https://" not in title and not set(title) & set("\u200b\u00ad\ufeff\u202e\n")


# Markup


@pytest.mark.parametrize(
    "title, expected",
    [
        ("<b>Bold</b> &lt;i&gt;move", "Bold move"),
        ("un<em>believ</em>able CO<sub>2</sub> e<wbr>mail", "unbelievable CO2 email"),
        ("Rain<br>falls<br/>now<BR />here", "Rain falls now here"),
        ("<ul><li>One<li>Two</ul>three", "One Two three"),
        ("<table><tr><td>1</td><td>2</td></tr></table>", "1 2"),
        ("see<img src=a.png width=10>this<hr>now", "see this now"),
        ("<a href='https://x.example/?a=1&amp;b=2' title=Bob's>Linked</a> words", "Linked words"),
        ('<img alt="a > b" src="x"/>Rain', "Rain"),
        ("<p class='x'\nid=y>Rain\nfalls</p >", "Rain falls"),
        ("<video controls>Film</video><o:p></o:p><x-y z='1'>end</x-y>", "Film end"),
        ("Rain <!-- wp:more --> falls<!-- > --> <!--never closed", "Rain falls"),
        ("<![CDATA[<p>Rain &amp; wind</p>]]> now", "Rain & wind now"),
        ("&lt;![CDATA[Rain]]&gt;", "Rain"),
        ("<?xml version='1.0'?><!DOCTYPE html><html><body>Rain</body></html>", "Rain"),
        ("<style>p > a {color: red}</style>Rain<SCRIPT>if (a<b) {}</SCRIPT>", "Rain"),
        ("東<rt>とう</rt>京", "東京"),
        ("&amp;lt;p&amp;gt;Rain &amp;amp; wind&amp;lt;/p&amp;gt;", "Rain & wind"),
        ('Rain <a href="https://x.exam', "Rain"),  # cut inside a tag
        ("Rain <img class='a' src='b", "Rain"),
        ("Rain</p", "Rain"),
    ],
)
def test_markup_is_no_text(title, expected):
    assert cleaned(title) == expected


@pytest.mark.parametrize(
    "title",
    [
        "A < b and 5 > 3 %",
        "I <3 you, </3 them",
        "x <y",
        "x <y and z> w",
        "if a<b and b>c",
        "x<y>z, <John Smith> and <j.smith@x.example>",
        "a <b",
        "i <p = 3",
        "<<< 1 << 2 >> 0 <> <-> <!>",
        "ends with <",
        "< p > and ]]>",
    ],
)
def test_signs_are_no_markup(title):
    assert cleaned(title) == title


@pytest.mark.parametrize("seed", range(10))
def test_words_stay_together_or_apart_as_tags_put_them(seed):
    """A text of nested tags is made beside the words that a browser would show."""
    chance = random.Random(seed)

    def nested(depth):
        if depth == 0:
            return 2 * (chance.choice(["rain", "5 < 6", "Köln", "雨", "a&b"]),)
        parts = [nested(depth - 1) for _ in range(chance.randint(1, 3))]
        marked, plain = ("".join(side) for side in zip(*parts, strict=True))
        tag = chance.choice(["b", "span", "A", "p", "div", "TD"])
        values = chance.choice(["", " class='x > y'", ' id="1" hidden', " width=3"])
        around = "" if tag in ("b", "span", "A") else " "
        return f"<{tag}{values}>{marked}</{tag}>", around + plain + around

    marked, plain = nested(4)
    marked = marked.replace("5 < 6", "5 &lt; 6").replace("a&b", "a&amp;b")
    expected = " ".join(plain.split())
    assert cleaned(marked) == expected
    assert cleaned(html.escape(marked)) == expected
    assert cleaned(f"<![CDATA[{marked}]]>") == expected


FEEDS = [  # what they make of a title and a description, both escaped, and the row's number
    (
        "<p><img width='9' src='https://x.example/{2}.jpg' class='attachment-rss-image'/></p>"
        "<p>{1}</p>"
        "<p>The post <a href='https://x.example/{2}'>{0}</a> appeared first on <b>The Lark</b>.</p>"
    ),
    "<table><tr><td><img src='{2}.png'></td><td>{1}<br/></td></tr></table>",
    "<![CDATA[<div class='{2}'>{1}</div>]]>",
    "<!-- wp:paragraph {2} --><p>{1}</p><!-- /wp:paragraph -->",
    "{1}",
]


def test_descriptions_in_the_markup_of_five_feeds_are_those_without(sample, capsys):
    plain = clean_texts(sample)
    joined = sample["title"] + "\n" + sample["description"]
    assert plain["text"].tolist() == joined.str.strip().tolist()
    assert capsys.readouterr().out == ""
    marked = sample.copy()
    for number, row in enumerate(sample.itertuples()):
        title, description = html.escape(row.title), html.escape(row.description)
        feed = FEEDS[number % len(FEEDS)]
        marked.loc[number, "description"] = feed.format(title, description, number)
    assert clean_texts(marked).equals(plain)
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and '"The post … appeared first on The Lark." (101 rows)' in said


# Sentences that many rows repeat

FOOTER = "Sign up for the evening letter!"
UNLIKE = [  # headlines that have nothing in common
    "Ferry sinks near Dorm",
    "Mill burns down",
    "Chess final drawn",
    "New bridge opens",
    "Two banks merge",
    "Owl counted twice",
    "Tunnel dug faster",
    "Opera loses tenor",
    "Snow closes school",
    "Vineyard sold cheaply",
    "Radio falls silent",
    "Goat wins prize",
]


def described(titles, descriptions):
    texts = clean_texts(frame(*titles, description=descriptions))
    return [text.partition("\n")[2] for text in texts["text"]]


@pytest.mark.parametrize(
    "tail",
    [
        FOOTER,
        "The post {} appeared first on The Lark.",
        "Read “{}” here: https://lark.example/{}",
        "(Reporting by L. Moor and D. Ash in Dorm; editing by P. Q. Reed)",
        "Read more",
        "続きを読む。",
    ],
)
@pytest.mark.parametrize("between", [" ", "\n", "<br>", "<p>"])
def test_a_sentence_of_many_rows_is_left_out_and_printed(tail, between, capsys):
    own = [f"{title[::-1]} was said." for title in UNLIKE]
    tails = [tail.format(title, number) for number, title in enumerate(UNLIKE)]
    given = [between.join(pair) for pair in zip(own, tails, strict=True)]
    assert described(UNLIKE, [*own[:4], *given[4:]]) == own
    said = capsys.readouterr().out
    assert said.startswith("Left out of what is embedded, for many rows repeat it word for word: ")
    printed = tail.partition(" https")[0].format("…")
    assert said.endswith(f'"{printed}" (8 rows)\n')


def test_it_may_stand_anywhere_and_be_all_there_is():
    given = [FOOTER, f"{FOOTER} It rains.", f"It snows. {FOOTER} It hails.", f"It pours. {FOOTER}"]
    given += [f"Wind blows. {FOOTER}{FOOTER}", f"{FOOTER} {FOOTER}"]
    expected = ["", "It rains.", "It snows. It hails.", "It pours."]
    expected += [f"Wind blows. {FOOTER}{FOOTER}", ""]  # no space: another sentence
    assert described(UNLIKE[:6], given) == expected


@pytest.mark.parametrize(
    "titles, sentence",
    [
        (UNLIKE[:4], FOOTER),  # too few
        ([*UNLIKE[:4], *[UNLIKE[0].upper()] * 9], FOOTER),  # too few different headlines
        (UNLIKE, "The U.S."),  # part of a sentence
        (UNLIKE, "{}"),  # the title alone
        (UNLIKE, "5 < 6."),
    ],
)
def test_what_is_not_repeated_by_many_rows_stays(titles, sentence, capsys):
    given = [sentence.format(title) for title in titles]
    others = [f"Number {number} of {number + 1}." for number in range(12)]
    found = described([*titles, *[f"{title}?!x" for title in UNLIKE]], [*given, *others])
    assert found == [*given, *others] and capsys.readouterr().out == ""


def quoted(story, quote, rows):
    """The sample's descriptions, the quote added to those of so many headlines of a story."""
    sample = read_table(SAMPLE)
    chosen = sample.index[sample["story"] == story][:rows]
    assert len(chosen) == rows
    sample.loc[chosen, "description"] += f" {quote}"
    return sample


@pytest.mark.parametrize("story", ["cup final blackout", "mount ruvak eruption"])
@pytest.mark.parametrize("rows", [5, 8])
def test_what_the_headlines_of_a_story_quote_stays(story, rows, capsys):
    table = quoted(story, "“We saw nothing at all,” said the warden.", rows)
    texts = clean_texts(table)["text"]
    assert texts.str.contains("said the warden").sum() == rows and capsys.readouterr().out == ""


def test_what_thirty_headlines_repeat_is_left_out_even_if_they_are_alike(capsys):
    for number, left in [(29, 29), (30, 0)]:
        titles = [f"Flood in Dorm rises to mark {mark}" for mark in range(100, 100 + number)]
        titles += [f"{one} {two}" for one in UNLIKE for two in UNLIKE]
        found = described(titles, [FOOTER] * number + [""] * 144)
        assert sum(map(bool, found)) == left
    assert capsys.readouterr().out.endswith(f'"{FOOTER}" (30 rows)\n')


def test_what_thirty_alike_repeat_is_left_out_beside_what_few_repeat(capsys):
    """Then similarity is compared, and thirty do not depend on it."""
    titles = [f"Flood in Dorm rises to mark {mark}" for mark in range(100, 130)]
    titles += [f"{one} {two}" for one in UNLIKE for two in UNLIKE]
    other = "This text appeared in the printed edition."
    found = described(titles, [FOOTER] * 30 + [other] * 6 + [""] * 138)
    assert not any(found[:30]) and capsys.readouterr().out.endswith(f'"{FOOTER}" (30 rows)\n')


@pytest.mark.parametrize("last, end", [(0, "(6 rows)\n"), (5, "(6 rows) and 1 more\n")])
def test_the_most_frequent_are_named_and_the_others_counted(last, end, capsys):
    tails = {"Mind the gap.": last, "Send a letter.": 6, "Buy the paper.": 12, "Call the desk.": 9}
    given = [" ".join(tail for tail, rows in tails.items() if row < rows) for row in range(12)]
    assert described(UNLIKE, given) == [""] * 12
    named = '"Buy the paper." (12 rows), "Call the desk." (9 rows), "Send a letter." '
    assert capsys.readouterr().out.endswith(named + end)


def test_the_order_of_the_rows_changes_no_text():
    table = pd.concat(
        [
            quoted("cup final blackout", FOOTER, 6),
            frame(*UNLIKE, description=[f"One {number}. {FOOTER}" for number in range(12)]),
        ]
    ).fillna("")
    table = table.reset_index(drop=True)
    texts = clean_texts(table)["text"]
    for seed in range(3):
        shuffled = clean_texts(table.sample(frac=1, random_state=seed))["text"]
        assert shuffled.sort_index().equals(texts)


# The text


def test_a_text_is_title_and_description_cut_for_milvus(capsys):
    long = "é🌧" * 20_000  # Milvus takes 65,535 bytes
    texts = clean_texts(
        frame("Four", "Five", "Six  &amp; seven", description=[long, "", " a\n https://x.y/z b "])
    )
    assert texts["text"].tolist() == [("Four\n" + long)[:16_000], "Five", "Six & seven\na b"]
    assert (
        texts["text"].str.encode("utf-8").str.len().max() <= 65_535
        and capsys.readouterr().out == ""
    )
    assert len(clean_texts(frame(long))["text"].item()) == 16_000


def test_rows_without_a_title_are_left_out_and_counted(capsys):
    titles = ["", "Rain", " \t", "\u200b", "&nbsp;", "Snow"]
    texts = clean_texts(frame(*titles, description=["lost"] * 6))
    assert texts.index.tolist() == [1, 5] and texts["title"].tolist() == ["Rain", "Snow"]
    assert capsys.readouterr().out == "4 of 6 rows have no title and are left out.\n"


def test_line_breaks_in_titles_are_counted_aloud(capsys):
    clean_texts(frame("Rain\nSnow", "Ferry\rMill", "Hail", "Wind\n"))
    assert (
        capsys.readouterr().out
        == "2 of 4 titles contain line breaks: is a quotation mark missing?\n"
    )


# Columns


@pytest.mark.parametrize(
    "names", [["title", "description"], ["TITLE ", " Description"], ["\ttitle", "DESCRIPTION"]]
)
def test_columns_are_found_without_regard_to_capitals_and_spaces(names):
    table = pd.DataFrame([["x", "Rain", "falls"]], columns=["id", *names])
    assert clean_texts(table)["text"].item() == "Rain\nfalls"


@pytest.mark.parametrize(
    "settings, expected",
    [
        (["Headline", "Body"], "Rain\nfalls"),
        (["headline ", "BODY"], "Rain\nfalls"),
        (["Headline"], "Rain"),
        (["body", "headline"], "falls\nRain"),
        (["Body"], "falls"),
    ],
)
def test_columns_of_other_names_are_set(settings, expected):
    table = pd.DataFrame([["Rain", "falls", "x"]], columns=["Headline", "Body", "story"])
    assert clean_texts(table, *settings)["text"].item() == expected


def test_of_columns_that_differ_in_capitals_the_exact_one_is_taken_and_of_equal_ones_the_first():
    table = pd.DataFrame([list("abcde")], columns=["Title", "title", "title", "TAG", "Tag"])
    assert [
        clean_texts(table, name)["title"].item() for name in ("", "Title", "TITLE", "tag")
    ] == list("baad")


@pytest.mark.parametrize(
    "settings, missing, setting_name",
    [
        ([], "title", "TITLE_COLUMN"),
        (["Heading"], "Heading", "TITLE_COLUMN"),
        (["Headline", "Text"], "Text", "DESCRIPTION_COLUMN"),
    ],
)
def test_a_column_that_is_missing_is_an_error_that_lists_those_there(
    settings, missing, setting_name
):
    table = pd.DataFrame([["Rain", "falls", ""]], columns=["Headline", "Body", "two\nlines"])
    with pytest.raises(ValueError) as error:
        clean_texts(table, *settings)
    assert str(error.value) == (
        f"NEWS_CSV has no column {missing}, but: Headline, Body, two lines (set {setting_name})."
    )
    many = pd.DataFrame([["x"] * 500], columns=[f"column {number}" for number in range(500)])
    with pytest.raises(ValueError, match="column 0, column 1, .*… \\(") as error:
        clean_texts(many)
    assert len(str(error.value)) < 500


# Copies

COPIES = [  # titles, and how many of them are left
    (
        [
            "Rain stops play",
            "RAIN STOPS PLAY",
            " rain  stops play. ",
            "«Rain» stops: play!",
            "Rain stops display",
        ],
        2,
    ),
    (["Rates rise to 1.5", "Rates rise to 15"], 2),
    (["A well-known man", "A well known man"], 1),
    (["C jobs", "C# jobs", "C++ jobs", "c++ JOBS", "C jobs!", "Ｃ＃ jobs"], 3),
    (["Rated A+ now", "Rated A- now", "Rated A now", "Rated A−, now"], 3),
    (
        [
            "Profit +5%",
            "Profit -5%",
            "Profit 5%",
            "Profit 5",
            "PROFIT  -5%.",
            "Profit (−5%)",
            "Profit –5%",
        ],
        4,
    ),
    (["Fuel at $5", "Fuel at €5", "Fuel at £5", "Fuel at 5", "FUEL at $5."], 4),
    (["दिल", "दल", "दौल", "दाल", "दिल!", "«दिल»"], 4),  # vowel signs tell words apart
    (["🌧️", "☀️", "🌧️🌧️", "🌧️!", "🌧"], 3),
    (["well – said", "well - said", "well said", "(well) said"], 1),
    (
        [
            "Köln-Mülheim",
            "Ko\u0308ln-Mu\u0308lheim",
            "Köln\u2011Mülheim",
            "Köln Mül\u00adheim",
            "\ufeffKöln\u00a0Mülheim",
        ],
        1,
    ),
    (["İNCE KAR YOLLARI", "ince kar yolları", "İnce kar yolları", "I\u0307nce kar yolları"], 1),
    (
        [
            "“Rain’s here”",
            '"Rain\'s here"',
            "„Rain`s here“",
            "‹Rain´s here›",
            "「Rain's here」",
            "—Rain's here…",
        ],
        1,
    ),
    (["Rain | News", "Rain - News", "Rain — News", "Rain: News", "Rain · News", "Rain/News"], 2),
    (["Who won?", "Who won？", "¿Who won?!", "Who won؟"], 1),
    (["5 ٪ أكثر", "5 أكثر"], 2),
    (["???", "!!!", "…", "—"], 4),
    (["AT&amp;T wins", "AT&T wins", "at&t wins https://x.y/z", "AT T wins"], 2),
    (["STRASSE GESPERRT", "Straße gesperrt"], 1),
    (["ﬁre in Oslo", "Fire in Oslo", "Ｆｉｒｅ in Oslo"], 1),
    (["日本、勝利", "日本「勝利」", "日本 勝利", "日本勝利"], 2),
    (["5-3 win", "5–3 win", "53 win"], 2),
    (["@mayor resigns", "Mayor resigns", "#mayor resigns"], 3),
]


@pytest.mark.parametrize("titles, kept", COPIES)
def test_what_is_a_copy(titles, kept):
    left = different(titles)
    assert len(left) == kept
    assert different(titles[::-1]) == left  # the same ones in any order


def test_none_in_capitals_is_kept_of_copies():
    assert different(["RAIN STOPS PLAY", "Rain Stops Play", "Rain stops play"]) == [
        "Rain stops play"
    ]


def test_descriptions_tell_titles_apart():
    texts = clean_texts(
        frame("One", "One", "One", "one!", *OTHERS, description=["a", "A", "b", "", *"vwxyz"])
    )
    news, headline_of_row = merge_copies(texts)
    assert len(news) == 8 and headline_of_row[0] == headline_of_row[1]
    assert len(set(headline_of_row[:4])) == 3


def test_news_counts_rows_and_headline_of_row_leads_back(tmp_path):
    titles = ["", *OTHERS, "  Mill burns", "MILL BURNS", " ", "New bridge"]
    table = frame(*titles)
    texts = clean_texts(table)
    news, headline_of_row = merge_copies(texts)
    assert list(news.columns) == ["id", "row", "title", "text", "rows"] and news.index.tolist() == [
        *range(5)
    ]
    assert (
        news["id"].is_monotonic_increasing
        and news["id"].dtype == np.int64
        and news["id"].min() >= 0
    )
    by_title = news.set_index("title")
    assert by_title["rows"].to_dict() == pd.Series([1, 3, 1, 2, 1], OTHERS).to_dict() and news[
        "rows"
    ].sum() == len(texts)
    assert by_title["row"].to_dict() == pd.Series(range(1, 6), OTHERS).to_dict()
    assert news["title"][headline_of_row].tolist() == [
        *OTHERS,
        "Mill burns",
        "Mill burns",
        "New bridge",
    ]
    rows = news["rows"].iloc[headline_of_row].to_numpy()
    save_table(tmp_path / "saved.csv", table.loc[texts.index].assign(rows=rows))
    saved = read_table(tmp_path / "saved.csv")
    assert saved["title"].tolist() == [title for title in titles if title.strip()]
    assert saved["rows"].tolist() == ["1", "3", "1", "2", "1", "3", "3", "2"]


def test_shuffled_rows_give_the_same_headlines():
    table = pd.concat(
        [read_table(SAMPLE), read_table(SAMPLE)[:50].map(str.upper)], ignore_index=True
    )
    news, _ = merge_copies(clean_texts(table))
    assert len(news) == 501 and (news["rows"] > 1).sum() == 50
    for seed in range(3):
        shuffled = table.sample(frac=1, random_state=seed).reset_index(drop=True)
        other, headline_of_row = merge_copies(clean_texts(shuffled))
        assert other.drop(columns="row").equals(news.drop(columns="row"))
        first = pd.Series(headline_of_row).drop_duplicates()
        assert other["row"][first].tolist() == first.index.tolist()


def test_a_text_has_the_same_id_whatever_stands_beside_it():
    one, _ = merge_copies(clean_texts(frame(*OTHERS)))
    two, _ = merge_copies(clean_texts(frame("Rain", *OTHERS, "Snow")))
    assert set(one["id"]) < set(two["id"])


@pytest.mark.parametrize(
    "titles", [OTHERS[:4], [*OTHERS[:3], "MILL burns", "Ferry sinks!"], ["again"] * 50]
)
def test_fewer_than_five_headlines_are_too_few(titles):
    number = len({title.lower().strip("!") for title in titles})
    with pytest.raises(
        ValueError,
        match=f"^Clustering needs 5 different headlines or more; NEWS_CSV has {number}.$",
    ):
        merge_copies(clean_texts(frame(*titles)))


def test_a_table_without_any_title_is_too_few(capsys):
    with pytest.raises(ValueError, match="NEWS_CSV has 0"):
        merge_copies(clean_texts(frame("", " ", "", "", "", "")))
