"""Real news: other languages, copies of headlines, and equal titles."""

import re
from pathlib import Path

import pandas as pd
import pytest

from conftest import pictures, runner
from notebook import name_html, short_name

LANGUAGES = pd.read_csv(Path(__file__).with_name("languages.csv"))  # three stories in each


@pytest.fixture(scope="module", params=LANGUAGES["language"].unique())
def in_language(request, tmp_path_factory):
    """A language, its 36 headlines as a run finds them, and the story that each one tells."""
    news = LANGUAGES[LANGUAGES["language"] == request.param].set_index("title")
    folder = tmp_path_factory.mktemp("language")
    news.to_csv(folder / "news.csv")
    with runner(folder) as run:
        found = run(until="saved", NEWS_CSV=folder / "news.csv")
        yield request.param, found, found.news["title"].map(news["story"])


def test_stories_of_other_languages_are_found(in_language):
    _, found, truth = in_language
    assert len(truth) == 36 and len(found.stories) >= 3
    for number in found.stories.index:
        assert truth[found.labels == number].nunique() == 1


def test_stories_of_other_languages_are_named_by_a_headline_of_theirs(in_language):
    _, found, _ = in_language
    for number, name in found.stories["name"].items():
        assert name in found.news["title"][found.labels == number].tolist()


def test_each_story_of_any_language_has_words(in_language):
    """How they are chosen, `test_words.py` computes."""
    _, found, _ = in_language
    texts = found.news["text"].str.lower()
    for number, words in found.stories["words"].items():
        told = texts[found.labels == number]
        assert words and all(sum(word in text for text in told) > 1 for word in words)


def test_stories_of_other_languages_are_named_on_the_map(in_language):
    _, found, _ = in_language
    figure = pictures(found, found.summary)[-1]
    drawn = [text for trace in figure.data if trace.mode == "text" for text in trace.text]
    names = [
        name_html(short_name(*story))
        for story in zip(found.stories["name"], found.stories["words"], strict=True)
    ]
    assert drawn and {text.removesuffix("<br> ") for text in drawn} <= set(names)


def write_copies(sample, saved, path):
    """Write the sample, shuffled, with copies of the names of two stories; return these names.

    One of the stories hardly holds together."""
    names, tables = [], [sample]
    for word in "Ullenfield", "Pellimore":
        names += [saved["cluster_name"][saved["title"].str.contains(word)].mode()[0]]
        row = sample[sample["title"] == names[-1]].iloc[0]
        tables.append(
            pd.DataFrame(
                [
                    {**row, "title": title}
                    for title in (
                        names[-1].upper(),
                        names[-1].lower(),
                        names[-1].replace(" ", "  "),
                        names[-1] + ".",
                    )
                ]
            )
        )
        tables[-1].loc[0, "description"] = row["description"].upper()
    pd.concat(tables).sample(frac=1, random_state=0).to_csv(path, index=False)
    return names


@pytest.fixture(scope="module")
def with_copies(sample, saved, tmp_path_factory):
    """A run on the sample with copies, the rows in another order; and what was copied."""
    folder = tmp_path_factory.mktemp("copies")
    names = write_copies(sample, saved, folder / "copies.csv")
    with runner(folder) as run:
        found = run(until="truth", NEWS_CSV=folder / "copies.csv")
        yield found, found.news.loc[found.headline_of_row].set_axis(found.table.index), names


@pytest.mark.parametrize("column", ["cluster", "closest_cluster"])
def test_copies_of_headlines_change_no_story(with_copies, saved, column):
    found, of_row, _ = with_copies
    of_row = of_row.rename(columns={"leans_to": "closest_cluster"})
    after = of_row[column].set_axis(found.table["title"])
    assert after[saved["title"]].tolist() == saved[column].tolist()


def test_every_copy_has_the_story_of_its_original(with_copies):
    found, of_row, names = with_copies
    folded = found.table["title"].str.casefold().str.rstrip(".").str.split().str.join(" ")
    for name in names:
        copies = of_row[folded == name.casefold()]
        assert len(copies) == 5 and copies["id"].nunique() == 1
        assert copies["cluster"].iloc[0] >= 0


def test_a_story_with_copies_has_more_rows_than_headlines(with_copies, sample_run):
    found, of_row, _ = with_copies
    assert found.news["rows"].sum() == 509 and len(found.news) == 501
    assert found.stories["headlines"].equals(sample_run.stories["headlines"])
    assert found.summary.startswith("501 headlines in 509 rows, ")
    more = (found.stories["rows"] - found.stories["headlines"]).to_dict()
    copied = of_row["cluster"][of_row["rows"] > 1].unique()
    assert {number: count for number, count in more.items() if count} == dict.fromkeys(copied, 4)


@pytest.fixture(scope="module")
def one_title(tmp_path_factory):
    """A run on 15 stories whose headlines all have the same title; the descriptions tell them."""
    folder = tmp_path_factory.mktemp("title")
    pd.DataFrame({"title": "Live blog", "description": LANGUAGES["title"]}).to_csv(
        folder / "news.csv", index=False
    )
    with runner(folder) as run:
        yield run(NEWS_CSV=folder / "news.csv")


def test_equal_titles_keep_their_stories_apart(one_title):
    after = pd.read_csv(one_title.folder / "output" / "clusters.csv", keep_default_na=False)
    stories = pd.read_csv(one_title.folder / "output" / "stories.csv")
    assert set(stories["name"]) == {"Live blog"} and len(stories) > 12
    sizes = after["cluster"][after["cluster"] >= 0].value_counts().sort_index()
    assert sizes.tolist() == stories["rows"].tolist()


def test_equal_titles_have_a_line_each_on_the_page(one_title):
    page = (one_title.folder / "output" / "clusters.html").read_text(encoding="utf-8")
    numbers = re.findall(r'<details id="story(-?\d+)"', page)
    told = [number for number in numbers if number != "-1"]  # which is the noise
    assert sorted(told, key=int) == list(map(str, one_title.stories.index))


def test_equal_titles_keep_their_points_apart(one_title):
    points = [
        trace
        for trace in pictures(one_title, one_title.summary)[-1].data
        if trace.mode == "markers"
    ]
    assert sum(len(trace.x) for trace in points) == len(one_title.news) == len(LANGUAGES)
