"""Real news: copies of a headline in other letters and spaces, and headlines in other languages."""
import re
from pathlib import Path

import pandas as pd
import pytest

LANGUAGES = pd.read_csv(Path(__file__).with_name("languages.csv"))  # three stories in each, mixed; all invented


@pytest.mark.parametrize("language", LANGUAGES["language"].unique())
def test_stories_of_other_languages_are_found_and_named(run, tmp_path, language):
    news = LANGUAGES[LANGUAGES["language"] == language].set_index("title")
    news.to_csv(tmp_path / "news.csv")
    found = run(until="Save", NEWS_CSV=tmp_path / "news.csv")
    assert len(found.news) == 36 and len(found.stories) >= 3
    truth = found.news["title"].map(news["story"])
    for number, story in found.stories.iterrows():
        assert truth[found.labels == number].nunique() == 1
        assert story["name"] in found.news["title"][found.labels == number].tolist()
        # without spaces, what stands between two signs is a clause and no word, also if several headlines share it
        assert (story["words"] == "") == (language in ("Chinese", "Japanese"))
    drawn = [trace.text[0] for trace in found.fig.data if trace.mode == "text"]
    assert drawn
    for text in drawn:
        beginning = "".join(text.replace("<br>", "").split())
        assert any(name == beginning or beginning[-1] == "…" and name.startswith(beginning[:-1])
                   for name in ("".join(name.split()) for name in found.stories["name"]))


@pytest.fixture(scope="module")
def rover(saved):
    """The number of the story that hardly holds together."""
    return saved["cluster"][saved["title"].str.contains("Pellimore")].mode()[0]


@pytest.mark.parametrize("which", [0, 1, "rover"])
def test_copies_of_a_headline_change_no_story(request, run, saved, sample, tmp_path, which):
    """Also: the rows of the file may come in any order."""
    number = request.getfixturevalue("rover") if which == "rover" else which
    name = saved["cluster_name"][saved["cluster"] == number].iloc[0]
    row = sample[sample["title"] == name].iloc[0]
    copies = pd.DataFrame([{**row, "title": title} for title in (
        name.upper(), name.lower(), name.replace(" ", "  "), name + ".")])
    copies.loc[copies["title"] == name.upper(), "description"] = row["description"].upper()
    table = pd.concat([sample, copies]).sample(frac=1, random_state=0)
    table.to_csv(tmp_path / "copies.csv", index=False)
    found = run(until="Ask", NEWS_CSV=tmp_path / "copies.csv")
    assert "505 titles in" in found.said and "4 of them copies" in found.said
    after = pd.read_csv(tmp_path / "output" / "clusters.csv", keep_default_na=False)
    assert after[list(sample)].equals(table.reset_index(drop=True))
    same = after[after["title"].isin([name, *copies["title"]])].drop(columns=["title", "description"])
    assert len(same) == 5 and len(same.drop_duplicates()) == 1
    columns = ["cluster", "closest_cluster"]
    assert after.set_index("title").loc[sample["title"], columns].equals(saved.set_index("title")[columns])


def test_shuffled_rows_give_the_same_table(run, sample_run, saved, sample, tmp_path):
    sample.sample(frac=1, random_state=3).to_csv(tmp_path / "sample_headlines.csv", index=False)
    found = run(until="Ask", NEWS_CSV=tmp_path / "sample_headlines.csv")
    assert found.stories.equals(sample_run.stories)
    after = pd.read_csv(tmp_path / "output" / "clusters.csv", keep_default_na=False)
    assert after.set_index("title").loc[sample["title"]].equals(saved.set_index("title"))


@pytest.mark.parametrize("titles, kept", [
    (["Rain stops play", "RAIN STOPS PLAY", " rain  stops play. ", "«Rain» stops: play!", "Rain stops display"], 2),
    (["Rates rise to 1.5", "Rates rise to 15"], 2),
    (["C jobs", "C# jobs", "C++ jobs", "c++ JOBS", "C jobs!"], 3),
    (["Profit +5%", "Profit -5%", "Profit 5%", "Profit 5", "PROFIT  -5%."], 4),
    (["Fuel at $5", "Fuel at €5", "Fuel at £5", "Fuel at 5", "FUEL at $5."], 4),
    (["Rated A+ today", "Rated A- today", "Rated A today"], 3), (["A well-known man", "A well known man"], 1),
    (["दिल", "दल", "दौल", "दाल", "दिल!"], 4),  # vowel signs tell words apart
    (["🌧️", "☀️", "🌧️🌧️", "!?", "?!"], 5),  # nothing but signs: compared as they are
])
def test_what_is_a_copy(run, tmp_path, titles, kept):
    others, chosen = [f"Another headline, {number}" for number in range(5)], []
    for order in 1, -1:
        pd.DataFrame({"title": (titles + others)[::order]}).to_csv(tmp_path / "news.csv", index=False)
        found = run(until="Embeddings", NEWS_CSV=tmp_path / "news.csv")
        assert len(found.news) == kept + 5
        assert f"{len(titles) + 5} titles in" in found.said and f"{len(titles) - kept} of them copies" in found.said
        chosen.append(set(found.news["title"]))
    assert chosen[0] == chosen[1]  # the same one of the copies


def test_a_copy_in_capitals_names_no_story(run, sample, tmp_path):
    capitals = sample.assign(title=sample["title"].str.upper(), description=sample["description"].str.upper())
    pd.concat([capitals, sample]).to_csv(tmp_path / "news.csv", index=False)
    found = run(until="Embeddings", NEWS_CSV=tmp_path / "news.csv")
    assert set(found.news["title"]) == set(sample["title"]) and "501 of them copies" in found.said


def test_equal_names_keep_their_stories_apart(run, sample, tmp_path):
    """Every title is the same one; the descriptions tell the stories."""
    text = sample["title"] + " " + sample["description"]
    pd.DataFrame({"title": "Live blog", "description": text}).to_csv(tmp_path / "news.csv", index=False)
    found = run(until="Ask", NEWS_CSV=tmp_path / "news.csv")
    after = pd.read_csv(tmp_path / "output" / "clusters.csv", keep_default_na=False)
    sizes = after["cluster"].value_counts().sort_index()
    assert len(found.stories) == after["cluster"].max() + 1 > 30 and set(found.stories["name"]) == {"Live blog"}
    for figure in found.dots, found.fig:
        assert [len(trace.x) for trace in figure.data if trace.mode == "markers"] == sizes.tolist()
    assert len(pd.read_csv(tmp_path / "output" / "stories.csv")) == len(found.stories)
    page = (tmp_path / "output" / "clusters.html").read_text(encoding="utf-8")
    assert re.findall(r'<details id="story(-?\d+)"', page) == [*map(str, found.stories.index), "-1"]
