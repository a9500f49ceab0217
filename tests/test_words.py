"""Words that set a story apart, without a list of common ones; and texts cut short."""

import collections
import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from notebook import find_words, shorten, story_words, wrapped

LANGUAGES = pd.read_csv(Path(__file__).with_name("languages.csv"))  # three stories in each
COMMON = {  # words of common use that occur in these headlines
    "German": "ab am bleibt das der die fünf geht im in mehr ohne um von vor war weiter wird zwölf",
    "Portuguese": "a ao as com da de deixa do dos e em no na o os para um à é",
    "Korean": "만 및 등 이 그 석 달 만에",
}
RAIN = [
    "The rain in Rome floods a tunnel",
    "Rome counts the damage of the rain",
    "Why the tunnel of Rome is closed",
]
VOTE = ["The EU votes on fish", "A vote on fish splits the EU", "The fish that the EU counts"]
NOISE = [
    "The cat of the mayor",
    "On the hill",
    "In the end a draw",
    "The chess of the day",
    "The bells are back",
]


@pytest.mark.parametrize("language", COMMON)
def test_few_words_are_of_common_use_in_any_language(language):
    news = LANGUAGES[LANGUAGES["language"] == language]
    found = story_words(news["title"], pd.factorize(news["story"])[0])
    assert [len(words) for words in found] == [4, 4, 4]
    assert sum(word in COMMON[language].split() for words in found for word in words) <= 1
    for words, name in zip(found, news["story"].unique(), strict=True):
        assert set(words[:2]) <= find_words(name)


def test_words_of_every_headline_are_left_out_and_the_telling_ones_stand_first():
    found = story_words(RAIN + VOTE + NOISE, [0] * 3 + [1] * 3 + [-1] * 5)
    assert found == [["rome", "tunnel", "rain"], ["fish", "eu"]]


def test_what_is_common_in_the_noise_tells_nothing():
    """The same two stories: where the noise speaks of fish, fish is no word of the second."""
    noise = [f"{title} and fish" for title in NOISE]
    assert "fish" not in story_words(RAIN + VOTE + noise, [0] * 3 + [1] * 3 + [-1] * 5)[1]


def test_a_word_of_many_stories_tells_nothing():
    """Stories of three headlines each; half of them have 'harbour' in all."""
    texts = [
        f"{'harbour' if story % 2 else 'valley'} matter{story} {word}"
        for story in range(10)
        for word in ("one", "two", "six")
    ]
    found = story_words(texts, np.repeat(np.arange(10), 3))
    assert found == [[f"matter{story}"] for story in range(10)]


def test_of_words_that_weigh_the_same_the_longer_stands_first_then_the_alphabet():
    texts = ["delta alpha abc alphabet"] * 3 + NOISE
    assert story_words(texts, [0] * 3 + [-1] * 5) == [["alphabet", "alpha", "delta", "abc"]]
    assert story_words(texts, [0] * 3 + [-1] * 5, top=2) == [["alphabet", "alpha"]]


@pytest.mark.parametrize("seed", range(5))
def test_the_words_are_those_that_the_definition_gives(seed):
    """Counted one by one: 300 headlines of words, the lower their number the more frequent."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 12, 300)
    texts = [
        {f"word{int(rng.exponential(8)) + 5 * label * (rng.random() < 0.4):.0f}" for _ in range(8)}
        for label in labels
    ]
    expected = []
    for story in range(12):
        inside = collections.Counter(
            word
            for words, label in zip(texts, labels, strict=True)
            if label == story
            for word in words
        )
        size, weights = sum(labels == story), {}
        for word, count in inside.items():
            outside = sum(word in words for words in texts) - count
            stories = sum(
                sum(
                    word in words
                    for words, label in zip(texts, labels, strict=True)
                    if label == other
                )
                > 1
                for other in range(12)
            )
            times = count / size / ((outside + 1) / (300 - size + 1))
            if count > 1 and times >= 3 and stories <= 12 / 5:
                weights[word] = (-count * math.log(times), -len(word), word)
        expected.append(sorted(weights, key=weights.get)[:4])
    assert sum(map(len, expected)) > 10
    assert story_words([" ".join(sorted(words)) for words in texts], labels) == expected


def test_the_order_of_the_rows_does_not_matter():
    chinese = LANGUAGES["title"][LANGUAGES["language"] == "Chinese"].tolist()
    texts = np.array(RAIN + VOTE + NOISE + chinese)
    labels = np.array([0] * 3 + [1] * 3 + [-1] * 5 + [2] * len(chinese))
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(texts))
        assert story_words(texts[order], labels[order]) == story_words(texts, labels)
    news = pd.Series(texts, index=range(100, 100 + len(texts)))  # nor does an index
    assert story_words(news, labels) == story_words(texts, labels)


def test_no_story_no_words_and_a_story_without_words_has_an_empty_list():
    assert story_words(NOISE, [-1] * 5) == [] and story_words([], []) == []
    assert story_words(["2024", "1984 1,000", "🌧"] + NOISE, [0] * 3 + [-1] * 5) == [[]]
    assert story_words(["2024", "1984", "猫", "?"], [0, 0, 1, 1]) == [[], []]


@pytest.mark.parametrize(
    "text, words",
    [
        ("Covid-19 - a night-time strike --", "covid-19 night-time strike"),
        ("Straße GROẞE", "straße große"),
        ("The EU and us", "the eu and"),
        ("5G in 2024, 1,000 days", "5g days"),
        ("İyi İZMİR", "iyi izmir"),
        ("हिन्दी में समाचार", "हिन्दी में समाचार"),
        ("می‌خواهم", "می‌خواهم"),
        ("솔빛 전자 의", "솔빛 전자"),
        ("_under_ 👩‍🚒 A x_ray", "under ray"),
        ("Ⅻ ½ ²", ""),
    ],
)
def test_what_is_a_word(text, words):
    assert find_words(text) == set(words.split())
    assert all("\u0307" not in word for word in find_words(text))


@pytest.mark.parametrize(
    "text, words",
    [
        ("They don't; DON’T!", "they don't"),
        ("Об'єднання, п’ять, з'їзд", "об'єднання п'ять з'їзд"),
        ('מנכ"לית דו״ח ח”כ', 'מנכ"לית דו"ח ח"כ'),
        ("O'Hara’s Xi'an rock'n'roll", "o'hara xi'an rock'n'roll"),
        ("Sanaʼa, Hawai‘i", "sana'a hawai'i"),
        ("McDonald’s, the EU's and S&P's", "mcdonald the eu and"),  # its possessive goes
        ("L'été d’Aurélie, D'Angelo: c'est", "été aurélie angelo est"),  # so does what is elided
        ("nell'Emilia e dell’Asia", "emilia asia"),
        ("aujourd'hui qu'elle", "aujourd'hui qu'elle"),
        ("Konya'da Konya'ya Sivas'ın Merkel'e", "konya sivas merkel"),  # endings of Turkish names
        ("'quoted' \"twice\" ‘or’ “so” the girls' hats", "quoted twice the girls hats"),
        ('he said"never" 5"x7"', "said never"),
        ("6'2 '90s 90's", "90s"),
    ],
)
def test_a_mark_between_letters_belongs_to_the_word(text, words):
    assert find_words(text) == set(words.split())


# Scripts without spaces


@pytest.mark.parametrize(
    "text, pairs",
    [
        ("新しいiPhone発売", "新し しい iphone 発売"),
        ("東京。大阪・神戸「猫」", "東京 大阪 神戸"),
        ("ニュース ﾆｭｰｽ 人々", "ニュ ュー ース ﾆｭ ｭｰ ｰｽ 人々"),
        ("𠮷野家", "𠮷野 野家"),
        ("น้ำท่วม", "น้ำท่ ท่ว วม"),
        ("เมืองกา", "เมือ อง งกา"),
        ("ភ្នំពេញ", "ភ្នំពេ ពេញ"),
    ],
)
def test_scripts_without_spaces_give_pairs_of_letters(text, pairs):
    assert find_words(text) == set(pairs.split())


@pytest.mark.parametrize(
    "language, expected",
    [
        (
            "Chinese",
            {
                "北岭队": "北岭队 夺得冰球冠军 门将赵霁扑出点球 庆祝游行延期",
                "青禾银行": "青禾银行 遭黑客勒索 客户无法取款 系统瘫痪",
                "云溪大桥": "云溪大桥 专家要求全面检查 两岸居民改乘渡船 市长林岳道歉",
            },
        ),
        (
            "Japanese",
            {
                "灯台カフェの猫": "灯台カフェの猫 駅長に就任 三年ぶりに帰る 行方不明",
                "霧島港の台風": "霧島港の台風 被害が広がる 防波堤が壊れる 漁船が流される",
                "白峰高校の駅伝部": "白峰高校の駅伝部 連覇を逃す 初優勝 新記録",
            },
        ),
    ],
)
def test_names_stay_whole_where_no_spaces_divide_them(language, expected):
    news = LANGUAGES[LANGUAGES["language"] == language]
    labels, names = pd.factorize(news["story"])
    found = dict(zip(names, map(" ".join, story_words(news["title"], labels)), strict=True))
    assert found == expected


@pytest.mark.parametrize(
    "headlines, word",
    [
        (["昨日ミルザ川が氾濫", "ミルザ川で救助", "氾濫したミルザ川"], "ミルザ川"),  # no が, no で
        (["つばめ号が脱線", "またつばめ号で遅れ", "つばめ号の謎"], "つばめ号"),
        (["夜にサルモが出る", "サルモは元気", "サルモと話す"], "サルモ"),
        (["ฝนถล่มเมืองมะลิลา", "เมืองมะลิลาจมน้ำ", "ชาวเมืองมะลิลาอพยพ"], "เมืองมะลิลา"),
        (["ສະພານວຽງຄຳປິດ", "ເປີດສະພານວຽງຄຳ", "ສະພານວຽງຄຳພັງ"], "ສະພານວຽງຄຳ"),
    ],
)
def test_a_name_is_found_without_particles_and_with_all_its_vowels(headlines, word):
    found = story_words(headlines + NOISE * 2, [0] * 3 + [-1] * 10, top=1)
    assert found == [[word]]


def test_words_with_and_without_spaces_stand_together():
    headlines = ["Zorbo新型発表", "新型のZorbo", "ZORBOの新型を見る"]
    assert story_words(headlines + NOISE, [0] * 3 + [-1] * 5) == [["zorbo", "新型"]]


@pytest.mark.parametrize("letters, shortest", [("東西南北山川海空", 2), ("アイウエオカキク", 3)])
@pytest.mark.parametrize("seed", range(5))
def test_runs_are_as_long_as_they_can_be_and_none_is_part_of_another(letters, shortest, seed):
    rng = np.random.default_rng(seed)
    names = ["".join(rng.choice(list(letters), rng.integers(2, 8))) for _ in range(3)]
    headlines = [
        "".join(rng.permutation([*names, *rng.choice(list(letters + "、"), 6)])[:7])
        for _ in range(6)
    ]
    (found,) = story_words(headlines + NOISE * 10, [0] * 6 + [-1] * 50, top=20)
    assert found and all(len(word) >= shortest for word in found)
    for one, other in itertools.permutations(found, 2):
        assert one not in other
    longest = found[0]  # the others may stand beside what was taken out
    rows = sum(longest in headline for headline in headlines)
    assert rows > 1
    for letter in letters:
        assert sum(letter + longest in headline for headline in headlines) < rows
        assert sum(longest + letter in headline for headline in headlines) < rows


# Cut short


@pytest.mark.parametrize(
    "title, short",
    [
        ("One two", "One two"),
        ("One\ntwo   three", "One two three"),
        ("word " * 40, "word " * 19 + "word…"),
        ("a" * 150, "a" * 99 + "…"),
        ("漢" * 150, "漢" * 99 + "…"),
        ("a" * 99 + " b", "a" * 99 + "…"),
        ("a" * 100, "a" * 100),
        ("a, " * 50, "a, " * 32 + "a…"),
        ("", ""),
        ("short " + "漢" * 150, "short " + "漢" * 93 + "…"),
        ("well-known " * 10, "well-known " * 8 + "well-known…"),
    ],
)
def test_a_title_is_cut_after_a_word(title, short):
    assert shorten(title) == short and len(short) <= 100


@pytest.mark.parametrize(
    "lines, short",
    [
        (1, "one two…"),
        (2, "one two\nthree…"),
        (3, "one two\nthree four\nfive"),
        (9, "one two\nthree four\nfive"),
    ],
)
def test_a_text_may_be_cut_to_several_lines(lines, short):
    assert shorten("one two  three four\tfive", 10, lines) == short


def test_no_line_is_longer_than_asked_for_and_nothing_but_the_end_is_lost():
    rng = np.random.default_rng(0)
    for _ in range(300):
        title = "".join(rng.choice(list("ab -,漢é"), rng.integers(1, 60)))
        letters, lines = int(rng.integers(5, 50)), int(rng.integers(1, 4))
        short = shorten(title, letters, lines)
        assert short.count("\n") < lines and max(map(len, short.split("\n"))) <= letters
        begins = "".join(title.split()), "".join(short.removesuffix("…").split())
        assert begins[0].startswith(begins[1]) and (short.endswith("…") or begins[0] == begins[1])


def test_wrapped_is_html_of_half_the_width_where_letters_are_wide():
    assert wrapped("A <b> & $5 bill", 9, 2) == "A &lt;b&gt; &amp;<br>&#36;5 bill"
    assert wrapped("漢" * 10, 10, 2) == "漢" * 5 + "<br>" + "漢" * 5
    assert wrapped("漢" * 11, 10, 2) == "漢" * 4 + "<br>" + "漢" * 4 + "…"
