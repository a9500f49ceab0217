"""Real news: copies of a headline in other letters and spaces, and headlines in other languages."""
import re
from pathlib import Path

import pandas as pd
import pytest

from conftest import names_on

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
    drawn = names_on(found.fig)
    assert drawn
    for text in drawn:
        beginning = "".join(text.replace("<br>", "").split())
        assert any(name == beginning or beginning[-1] == "…" and name.startswith(beginning[:-1])
                   for name in ("".join(name.split()) for name in found.stories["name"]))


def test_copies_of_headlines_change_no_story(run, saved, sample, tmp_path):
    """Of a story's name each, one of which hardly holds together. Also: the rows of the file may come in any order."""
    tables = [sample]
    for word in "Ullenfield", "Pellimore":
        name = saved["cluster_name"][saved["title"].str.contains(word)].mode()[0]
        row = sample[sample["title"] == name].iloc[0]
        tables.append(pd.DataFrame([{**row, "title": title} for title in (
            name.upper(), name.lower(), name.replace(" ", "  "), name + ".")]))
        tables[-1].loc[0, "description"] = row["description"].upper()
    table = pd.concat(tables).sample(frac=1, random_state=0)
    table.to_csv(tmp_path / "copies.csv", index=False)
    assert "8 of them copies" in run(until="Ask", NEWS_CSV=tmp_path / "copies.csv").said
    after = pd.read_csv(tmp_path / "output" / "clusters.csv", keep_default_na=False)
    assert after[list(sample)].equals(table.reset_index(drop=True))
    for copies in tables[1:]:
        same = after[after["title"].isin(copies["title"])].drop(columns=["title", "description"])
        assert len(same) == 4 and len(same.drop_duplicates()) == 1
    for column in "cluster", "closest_cluster":
        assert after.set_index("title")[column][sample["title"]].tolist() == saved[column].tolist()


def test_shuffled_rows_give_the_same_table(run, sample_run, saved, sample, tmp_path):
    sample.sample(frac=1, random_state=3).to_csv(tmp_path / "sample_headlines.csv", index=False)
    found = run(until="Ask", NEWS_CSV=tmp_path / "sample_headlines.csv")
    assert found.stories.equals(sample_run.stories)
    after = pd.read_csv(tmp_path / "output" / "clusters.csv", keep_default_na=False)
    assert after.set_index("title").loc[sample["title"]].equals(saved.set_index("title"))


COPIES = [  # titles, and how many of them are left
    (["Rain stops play", "RAIN STOPS PLAY", " rain  stops play. ", "«Rain» stops: play!", "Rain stops display"], 2),
    (["Rates rise to 1.5", "Rates rise to 15"], 2), (["A well-known man", "A well known man"], 1),
    (["C jobs", "C# jobs", "C++ jobs", "c++ JOBS", "C jobs!"], 3), (["Rated A+ now", "Rated A- now", "Rated A now"], 3),
    (["Profit +5%", "Profit -5%", "Profit 5%", "Profit 5", "PROFIT  -5%."], 4),
    (["Fuel at $5", "Fuel at €5", "Fuel at £5", "Fuel at 5", "FUEL at $5."], 4),
    (["दिल", "दल", "दौल", "दाल", "दिल!"], 4),  # vowel signs tell words apart
    (["🌧️", "☀️", "🌧️🌧️", "🌧️!"], 3), (["well – said", "well - said", "well said", "(well) said"], 1)]


def test_what_is_a_copy(run, tmp_path):
    titles, chosen = [title for case, _ in COPIES for title in case], []
    for order in 1, -1:
        pd.DataFrame({"title": titles[::order]}).to_csv(tmp_path / "news.csv", index=False)
        found = run(until="Embeddings", NEWS_CSV=tmp_path / "news.csv")
        chosen.append(set(found.news["title"]))
        for case, kept in COPIES:
            assert len(chosen[-1] & {title.strip() for title in case}) == kept, case
        assert f"{len(titles)} titles in" in found.said
        assert f"{len(titles) - len(found.news)} of them copies" in found.said
    assert chosen[0] == chosen[1] and "RAIN STOPS PLAY" not in chosen[0]  # the same one; none in capitals


def test_equal_names_keep_their_stories_apart(run, sample, tmp_path):
    """Every title is the same one; the descriptions tell the stories."""
    text = sample["title"] + " " + sample["description"]
    pd.DataFrame({"title": "Live blog", "description": text}).to_csv(tmp_path / "news.csv", index=False)
    found = run(until="Ask", NEWS_CSV=tmp_path / "news.csv")
    after = pd.read_csv(tmp_path / "output" / "clusters.csv", keep_default_na=False)
    sizes = after["cluster"].value_counts().sort_index()
    assert len(found.stories) == after["cluster"].max() + 1 > 30 and set(found.stories["name"]) == {"Live blog"}
    assert {trace.customdata[0][0]: len(trace.x) for trace in found.fig.data[1:]} == sizes[1:].to_dict()
    assert len(pd.read_csv(tmp_path / "output" / "stories.csv")) == len(found.stories)
    page = (tmp_path / "output" / "clusters.html").read_text(encoding="utf-8")
    assert re.findall(r'<details id="story(-?\d+)"', page) == [*map(str, found.stories.index), "-1"]
