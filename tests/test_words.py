"""Words that set a story apart, without a list of common ones; and titles cut short."""
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from notebook import find_words, shorten, story_words

LANGUAGES = pd.read_csv(Path(__file__).with_name("languages.csv"))  # three stories in each
COMMON = {  # words of common use that occur in these headlines
    "German": "ab am bleibt das der die fünf geht im in mehr ohne um von vor war weiter wird zwölf",
    "Portuguese": "a ao as com da de deixa do dos e em no na o os para um à é",
    "Korean": "만 및 등 이 그 석 달 만에"}
RAIN = ["The rain in Rome floods a tunnel", "Rome counts the damage of the rain",
        "Why the tunnel of Rome is closed"]
VOTE = ["The EU votes on fish", "A vote on fish splits the EU", "The fish that the EU counts"]
NOISE = ["The cat of the mayor", "On the hill", "In the end a draw", "The chess of the day",
         "The bells are back"]


@pytest.mark.parametrize("language", LANGUAGES["language"].unique())
def test_few_words_are_of_common_use_in_any_language(language):
    news = LANGUAGES[LANGUAGES["language"] == language]
    found = story_words(news["title"], pd.factorize(news["story"])[0])
    if language in ("Chinese", "Japanese"):  # what stands between two signs is a clause and no word
        assert found == ["", "", ""]
    else:
        words = [word for story in found for word in story.split(", ")]
        assert len(words) == 12 and sum(word in COMMON[language].split() for word in words) <= 1
        for story, name in zip(found, news["story"].unique(), strict=True):
            assert set(story.split(", ")[:2]) <= find_words(name)


def test_words_of_every_headline_are_left_out_and_the_telling_ones_stand_first():
    found = story_words(RAIN + VOTE + NOISE, [0] * 3 + [1] * 3 + [-1] * 5)
    assert found == ["rome, tunnel, rain", "fish, eu"]


def test_what_is_common_in_the_noise_tells_nothing():
    """The same two stories: where the noise speaks of fish, fish is no word of the second."""
    noise = [f"{title} and fish" for title in NOISE]
    assert "fish" not in story_words(RAIN + VOTE + noise, [0] * 3 + [1] * 3 + [-1] * 5)[1]


def test_a_word_of_many_stories_tells_nothing():
    """Stories of three headlines each; half of them have 'harbour' in all."""
    texts = [f"{'harbour' if story % 2 else 'valley'} matter{story} {word}"
             for story in range(10) for word in ("one", "two", "six")]
    found = story_words(texts, np.repeat(np.arange(10), 3))
    assert found == [f"matter{story}" for story in range(10)]


def test_of_words_that_weigh_the_same_the_longer_stands_first_then_the_alphabet():
    texts = ["delta alpha abc alphabet"] * 3 + NOISE
    assert story_words(texts, [0] * 3 + [-1] * 5, top=4) == ["alphabet, alpha, delta, abc"]
    assert story_words(texts, [0] * 3 + [-1] * 5, top=2) == ["alphabet, alpha"]


def test_the_order_of_the_rows_does_not_matter():
    texts, labels = np.array(RAIN + VOTE + NOISE), np.array([0] * 3 + [1] * 3 + [-1] * 5)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(texts))
        assert story_words(texts[order], labels[order]) == story_words(texts, labels)
    news = pd.Series(texts, index=range(100, 100 + len(texts)))  # nor does an index
    assert story_words(news, labels) == story_words(texts, labels)


def test_no_story_no_words_and_a_story_without_words_is_empty():
    assert story_words(NOISE, [-1] * 5) == [] and story_words([], []) == []
    assert story_words(["地震", "地震!", "地震?"] + NOISE, [0] * 3 + [-1] * 5) == [""]
    assert story_words(["2024", "1984 1,000", "🌧"] + NOISE, [0] * 3 + [-1] * 5) == [""]


@pytest.mark.parametrize("text, words", [
    ("McDonald’s and McDonald's", "mcdonald and"), ("L'été d’Aurélie", "été aurélie"),
    ("Covid-19 - a night-time strike --", "covid-19 night-time strike"),
    ("Straße GROẞE", "straße große"), ("The EU and us", "the eu and"),
    ("5G in 2024, 1,000 days", "5g days"), ("İyi İZMİR", "iyi izmir"),
    ("हिन्दी में समाचार", "हिन्दी में समाचार"), ("می‌خواهم", "می‌خواهم"), ("솔빛 전자 의", "솔빛 전자"),
    ("新しいiPhone発売", "iphone"), ("_under_ 👩‍🚒 A", "under"),
    ("ข่าววันนี้ ຂ່າວ ព័ត៌មាន သတင်း ニュース ﾆｭｰｽ 𠮷野家", "")])
def test_what_is_a_word(text, words):
    assert find_words(text) == set(words.split())
    assert all("\u0307" not in word for word in find_words(text))


@pytest.mark.parametrize("title, short", [
    ("One two", "One two"), ("One\ntwo   three", "One two three"),
    ("word " * 40, "word " * 19 + "word…"), ("a" * 150, "a" * 99 + "…"),
    ("漢" * 150, "漢" * 99 + "…"), ("a" * 99 + " b", "a" * 99 + "…"),
    ("a" * 100, "a" * 100), ("a, " * 50, "a, " * 32 + "a…"),
    ("short " + "漢" * 150, "short " + "漢" * 93 + "…")])
def test_a_title_is_cut_after_a_word(title, short):
    assert shorten(title) == short and len(short) <= 100


def test_no_title_is_longer_than_asked_for():
    rng = np.random.default_rng(0)
    for _ in range(300):
        title = "".join(rng.choice(list("ab -,漢é"), rng.integers(1, 60)))
        letters = int(rng.integers(5, 50))
        assert len(shorten(title, letters)) <= letters
