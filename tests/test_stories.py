"""What the notebook shows of neighbours, stories, noise and questions, computed in another way."""

import math
import re
from collections import Counter
from types import SimpleNamespace

import hdbscan
import numpy as np
import pandas as pd
import pytest
from scipy.sparse.csgraph import minimum_spanning_tree
from sklearn.metrics import adjusted_rand_score, pairwise_distances

from conftest import complete_weights, pictures, tables
from notebook import (
    ask,
    b_cubed,
    draw_neighbours,
    example_questions,
    marks_table,
    number_by_size,
    place_headline,
    read_story,
    summarise,
)


@pytest.fixture(scope="module")
def known(sample_run, saved):
    """In the order of the CSV: clusters.csv, embeddings made anew, distances, HDBSCAN on all
    pairs; `order`: for each row of the notebook's table `news` its row in the CSV."""
    text = (saved["title"] + "\n" + saved["description"]).str.strip()
    vectors = sample_run.embed(text).astype(float)
    complete = hdbscan.HDBSCAN(
        3, min_samples=1, metric="precomputed", cluster_selection_persistence=0.001
    ).fit(complete_weights(vectors))
    row = pd.Index(sample_run.news["text"]).get_indexer(text)
    assert sorted(row) == list(range(len(saved)))
    return SimpleNamespace(
        news=saved,
        vectors=vectors,
        between=pairwise_distances(vectors),
        complete=complete,
        order=row.argsort(),
    )


def told_by(near):
    """Return what three or more of five headlines tell, which is not noise, or None."""
    return next(
        (story for story, count in Counter(near).items() if story not in (-1, "") and count > 2),
        None,
    )


# Headlines and their neighbours


def test_the_first_rows_of_the_csv_are_shown(sample_run, sample):
    assert tables(sample_run, "description")[0].equals(sample[:3])


def test_the_distances_of_three_made_up_headlines_are_euclidean(sample_run):
    (table,) = tables(sample_run, "Dockers")
    vectors = sample_run.embed(list(table.index)).astype(float)
    lengths = [[math.dist(one, other) for other in vectors] for one in vectors]
    assert np.allclose(table, lengths, atol=0.0051)
    assert table.iloc[0, 1] < min(table.iloc[0, 2], table.iloc[1, 2])  # as the text says


def test_the_first_search_finds_the_nearest_headlines_of_the_first(sample_run, known):
    (table,) = tables(sample_run, "squared")
    found = known.between[0].argsort()[:10]
    assert table["title"].tolist() == known.news["title"][found].tolist()


def test_milvus_scores_are_squared_distances(sample_run, known):
    (table,) = tables(sample_run, "squared")
    lengths = np.sort(known.between[0])[:10]
    assert np.allclose(table["distance"], lengths, atol=2e-3)
    assert np.allclose(table["score"], lengths**2, atol=2e-3)
    assert np.allclose(table["squared"], lengths**2, atol=2e-3)


def test_the_bars_shown_are_those_of_the_first_search(sample_run, known):
    (figure,) = pictures(sample_run, known.news["title"][0])
    lengths = np.sort(known.between[0])[1:10]
    assert np.allclose(np.concatenate([bars.x for bars in figure.data]), lengths, atol=1e-4)
    assert figure.layout.title.text == known.news["title"][0]


def test_a_bar_is_as_long_as_the_distance_of_its_neighbour():
    figure = draw_neighbours(["It", "One", "Two", "Three"], np.array([0, 0.3, 0.4, 0.8]))
    bars = [bar for trace in figure.data for bar in zip(trace.y, trace.x, trace.text, strict=True)]
    assert bars == [(1, 0.3, "One"), (2, 0.4, "Two"), (3, 0.8, "Three")]
    assert {trace.orientation for trace in figure.data} == {"h"}
    assert figure.layout.title.text == "It"
    assert figure.layout.yaxis.autorange == "reversed"  # the nearest on top


@pytest.mark.parametrize(
    "lengths, before",
    [([0, 0.1, 0.2, 0.9, 1.0], 2), ([0, 0.1, 0.8, 0.9, 1.0], 1), ([0, 0.7, 0.8, 0.9, 1.3], 3)],
)
def test_bars_change_their_colour_at_the_longest_jump(lengths, before):
    """The first bar's own length is no jump."""
    near, far = draw_neighbours(list("abcde"), np.array(lengths)).data
    assert list(near.y) == list(range(1, before + 1)) and list(far.y) == list(range(before + 1, 5))
    assert near.marker.color != far.marker.color


def test_bars_show_titles_as_text():
    figure = draw_neighbours(["<b>Us & them", "$5", "x " * 200], np.array([0, 0.1, 0.2]))
    texts = [text for trace in figure.data for text in trace.text]
    assert figure.layout.title.text == "&lt;b&gt;Us &amp; them" and texts[0] == "&#36;5"
    assert texts[1].endswith("…") and len(texts[1]) < 100


def test_the_table_of_distances_has_the_nearest_of_the_first_rows(sample_run, known):
    table = next(table for table in tables(sample_run, 15))
    lengths = np.sort(known.between[known.order[: len(table)]])[:, :16]
    assert np.allclose(table, lengths, atol=0.0051) and table.shape == (5, 16)
    assert (table[0] == 0).all()


# The tree


def test_the_first_pairs_shown_have_their_length_and_weight(sample_run, known):
    table, *_ = tables(sample_run, "length")
    weights = complete_weights(known.vectors)
    ends = known.order[table["start"]], known.order[table["end"]]
    assert np.allclose(table["length"], known.between[ends], atol=1e-4)
    assert np.allclose(table["weight"], weights[ends], atol=1e-4)


def test_pairs_and_links_are_counted(sample_run):
    assert f"{501 * 15:,} entries of the lists; all pairs are {501 * 500 // 2:,}" in sample_run.said
    assert "500 links, 0 bridges between parts" in sample_run.said


def test_the_tree_is_that_of_all_pairs(sample_run, known):
    """And it says that all links are proven."""
    exact = np.sort(minimum_spanning_tree(complete_weights(known.vectors)).data)
    assert np.allclose(sample_run.tree["weight"], exact, atol=1e-5)
    assert sample_run.said.count("All links are proven.") == 1


def test_short_lists_that_are_believed_make_other_stories(sample_run):
    (table,) = tables(sample_run, "groups looked at")
    agreement = table["agreement"].astype(float)
    assert agreement["lists of 4, proven"] == agreement["lists of 16, proven"] == 1
    assert agreement["lists of 4, believed"] < 0.5


# The choice


def test_the_number_chosen_for_the_sample_is_nearly_the_most_consistent(sample_run):
    candidates, chosen = sample_run.candidates, sample_run.chosen
    assert chosen["consistency"] >= 0.99 * candidates["consistency"].max() > 0.2
    assert tables(sample_run, "consistency")[0].equals(candidates.round(3))
    assert len(candidates) >= 6 and chosen["MIN_SAMPLES"] in (2, 3)


def test_the_two_lines_are_ordinary_hdbscan_and_depend_on_the_order(sample_run, ordinary):
    printed = [
        float(number)
        for number in re.findall(
            r"^agreement with the same rows, turned around: ([\d.]+)$",
            sample_run.said,
            re.MULTILINE,
        )
    ]
    assert printed == [pytest.approx(adjusted_rand_score(*ordinary), abs=6e-4)]
    assert printed[0] < 0.99 and (sample_run.short_labels == ordinary[0]).all()


@pytest.fixture(scope="module")
def ordinary(sample_run):
    """The stories that hdbscan alone finds, and finds with the rows turned around."""
    return [
        hdbscan.HDBSCAN(3).fit_predict(sample_run.embeddings[::step])[::step] for step in (1, -1)
    ]


# Stories and noise


def test_stories_are_those_of_all_pairs(known):
    assert adjusted_rand_score(known.news["cluster"], known.complete.labels_) == 1
    assert ((known.news["cluster"] < 0) == (known.complete.labels_ < 0)).all()
    assert np.allclose(known.news["probability"], known.complete.probabilities_, atol=1e-3)


def test_stories_are_numbered_from_the_largest_on(known):
    sizes = known.news["cluster"][known.news["cluster"] >= 0].value_counts().sort_index()
    assert sizes.is_monotonic_decreasing and sizes.index.tolist() == list(range(len(sizes)))


def test_of_equal_stories_the_first_number_stays_first():
    """And `order` says which the old numbers were."""
    labels, order = number_by_size(np.array([0, 1, 1, -1, 2, 3, 3, 3]))
    assert labels.tolist() == [2, 1, 1, -1, 3, 0, 0, 0] and order.tolist() == [3, 1, 0, 2]


def test_the_summary_counts_headlines_stories_and_noise():
    labels = np.array([0, 0, 0, 1, 1, 1, -1, -1])
    assert summarise(labels, pd.Series([1] * 8)) == "8 headlines, 2 stories, 25% noise"


def test_noise_is_a_share_of_the_rows_copies_included():
    labels, rows = np.array([0, 0, 1, 1, -1, -1]), pd.Series([400, 1, 1, 498, 99, 1])
    assert summarise(labels, rows) == "6 headlines in 1,000 rows, 2 stories, 10% noise"


def test_the_summary_of_the_sample_is_that_of_its_csv(sample_run, known):
    noise = (known.news["cluster"] < 0).mean()
    assert sample_run.summary == (
        f"501 headlines, {known.news['cluster'].max() + 1} stories, {noise:.0%} noise"
    )
    assert sample_run.summary in sample_run.said


def test_where_there_may_be_nothing_the_summary_says_so():
    labels, rows = np.array([0, 0, 0, -1]), pd.Series([1] * 4)
    assert "nothing to find" in summarise(labels, rows, doubtful=True)
    assert "nothing" not in summarise(labels, rows)


# The table of stories


@pytest.fixture(scope="module")
def members(known):
    """For each story the rows of its headlines in the CSV."""
    return [
        np.flatnonzero(known.news["cluster"] == number)
        for number in range(known.news["cluster"].max() + 1)
    ]


def test_a_story_is_named_by_the_headline_nearest_to_its_mean(sample_run, known, members):
    for name, rows in zip(sample_run.stories["name"], members, strict=True):
        centre = known.vectors[rows].mean(axis=0)
        medoid = min(rows, key=lambda row: math.dist(known.vectors[row], centre))
        assert name == known.news["title"][medoid]


def test_medoids_are_the_rows_that_name_the_stories(sample_run):
    medoids = sample_run.stories["medoid"]
    titles = sample_run.news["title"].iloc[medoids]
    assert titles.tolist() == sample_run.stories["name"].tolist()
    assert (sample_run.labels[medoids] == sample_run.stories.index).all()


def test_stories_count_their_headlines_and_what_leans_to_them(sample_run, known, members):
    stories = sample_run.stories
    assert stories["headlines"].tolist() == [len(rows) for rows in members]
    leaning = Counter(known.news["closest_cluster"])
    assert stories["leaning"].tolist() == [leaning[number] for number in stories.index]


def test_persistence_is_hdbscans_of_the_same_story(sample_run, known, members):
    labels = known.complete.labels_[[rows[0] for rows in members]]
    expected = known.complete.cluster_persistence_[labels]
    assert sample_run.stories["persistence"].tolist() == pytest.approx(expected, abs=6e-3)


def test_each_word_of_a_story_stands_in_it_twice_or_more(sample_run, known, members):
    """How they are chosen, `test_words.py` computes."""
    texts = (known.news["title"] + " " + known.news["description"]).str.casefold()
    for words, rows in zip(sample_run.stories["words"], members, strict=True):
        told = " ".join(texts[rows])
        assert words and all(told.count(word) > 1 for word in words)


def test_the_stories_shown_are_the_first_of_the_table(sample_run):
    (table,) = tables(sample_run, "persistence")
    assert table.equals(sample_run.stories[list(table)][: len(table)])
    assert {"name", "headlines", "rows", "words"} < set(table) and len(table) == 15


def test_noise_leans_where_three_of_the_five_nearest_tell_or_lean_to_one_story(sample_run, known):
    """In rounds, by counting; on the sample no story takes as many as would be too many."""
    cluster = known.news["cluster"]
    near = [
        [other for other in known.between[row].argsort(kind="stable") if other != row][:5]
        for row in range(len(cluster))
    ]
    joined, before = cluster.tolist(), None
    while joined != before:
        before = joined
        told = [told_by([before[other] for other in near[row]]) for row in range(len(cluster))]
        joined = [
            story if label < 0 and story is not None else label
            for label, story in zip(before, told, strict=True)
        ]
    leaning = np.where(cluster < 0, joined, -1)
    assert known.news["closest_cluster"].tolist() == leaning.tolist()
    assert (leaning >= 0).sum() > 20 and (
        f"{(leaning >= 0).sum()} of {(cluster < 0).sum()} headlines of the noise lean"
        in sample_run.said
    )


def told_table(**columns):
    """Return a table `news` of five headlines; the story 1 has two, and two lean to it."""
    return pd.DataFrame(
        {
            "title": list("abcde"),
            "cluster": [1, -1, 1, -1, 0],
            "leans_to": [-1, 1, -1, 1, -1],
            "probability": [0.5, 0, 1, 0, 1],
            "rows": [7, 1, 2, 3, 1],
        }
        | columns
    )


def test_a_story_in_full_has_its_headlines_the_densest_first_then_what_leans():
    table = read_story(told_table(), 1)
    assert list(table.itertuples(index=False, name=None)) == [
        ("c", 1, 2, ""),
        ("a", 0.5, 7, ""),
        ("b", 0, 1, "leans"),
        ("d", 0, 3, "leans"),
    ]
    assert list(table) == ["title", "probability", "rows", "leans"]


def test_the_story_shown_in_full_is_the_one_of_the_top(sample_run, known):
    (table,) = tables(sample_run, "leans")
    cluster = known.news.set_index("title")["cluster"]
    number = cluster[table["title"].iloc[0]]
    leans = table["leans"] == "leans"
    assert sorted(table["title"][~leans]) == sorted(cluster.index[cluster == number])
    assert sorted(table["title"][leans]) == sorted(
        known.news["title"][known.news["closest_cluster"] == number]
    )
    assert "Selbane: 'I could not see my own whistle'" in table["title"].tolist()


def test_the_table_of_headlines_has_what_was_found_of_each(sample_run, known):
    """Its core distance is that of the neighbour with the chosen number."""
    news, number = sample_run.news, int(sample_run.chosen["MIN_SAMPLES"])
    core = np.sort(known.between, axis=1)[:, number][known.order]
    assert np.allclose(news["core_distance"], core, atol=1e-4)
    assert (news["cluster"] == sample_run.labels).all()
    assert {"id", "row", "title", "text", "rows", "probability", "leans_to", "theme"} < set(news)


# Are they true?


def entropy(labels):
    counts = Counter(labels).values()
    return -sum(count / len(labels) * math.log(count / len(labels)) for count in counts)


def by_headline(truth, found):
    """Return B-cubed F, headline by headline."""
    precisions, recalls = [], []
    for row, story in enumerate(truth):
        if story:
            beside = [
                other
                for other, number in enumerate(found)
                if other == row or number == found[row] >= 0
            ]
            same = [other for other, told in enumerate(truth) if told == story]
            both = len(set(beside) & set(same))
            precisions.append(both / len(beside))
            recalls.append(both / len(same))
    precision, recall = np.mean(precisions), np.mean(recalls)
    return 2 * precision * recall / (precision + recall)


def marks(truth, found):
    """Return the score table's line by definition: how much less uncertain one is where the other
    is known."""
    told = [pair for pair in zip(truth, found, strict=True) if pair[0]]
    both = [pair for pair in told if pair[1] >= 0]
    stories, clusters = zip(*both, strict=True)
    mutual = entropy(stories) + entropy(clusters) - entropy(both)
    others = [number for story, number in zip(truth, found, strict=True) if not story]
    return [
        f"{mutual / entropy(stories):.2f}",
        f"{mutual / entropy(clusters):.2f}",
        f"{by_headline(truth, found):.2f}",
        f"{1 - len(both) / len(told):.0%}",
        f"{sum(number >= 0 for number in others)} of {len(others)}",
    ]


def test_marks_against_the_truth_are_those_of_their_definition():
    random = np.random.default_rng(1)
    truth = random.choice(np.array(["", "flood", "strike", "cup"], dtype=object), 200)
    ways = {name: random.integers(-1, 3, 200) for name in ("one", "another")}
    ways["nearly right"] = np.where(random.random(200) < 0.1, 0, pd.factorize(truth)[0] - 1)
    table = marks_table(truth, ways)
    for name, found in ways.items():
        assert table.loc[name].tolist() == marks(truth, found), name


def test_a_way_that_found_no_story_has_no_marks():
    truth = np.array(["flood", "flood", "", "cup"])
    table = marks_table(truth, {"none": np.full(4, -1), "some": np.array([0, 0, 0, -1])})
    assert table.index.tolist() == ["some"]
    assert marks_table(truth, {"none": np.full(4, -1)}).empty


def test_b_cubed_by_hand():
    """Two clusters and a lone headline; story a is torn, and a headline of no story is with b."""
    labels, truth = np.array([0, 0, -1, 1, 1, 1]), np.array(["a", "a", "a", "b", "b", ""])
    precision, recall, f = b_cubed(truth, labels)
    assert precision == pytest.approx((1 + 1 + 1 + 2 / 3 + 2 / 3) / 5)
    assert recall == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 1 + 1) / 5)
    assert f == pytest.approx(2 * precision * recall / (precision + recall))


def test_the_marks_shown_are_those_of_the_files_stories(sample_run, known, ordinary):
    (table,) = tables(sample_run, "homogeneity")
    news = known.news
    leaning = news[["cluster", "closest_cluster"]].max(axis=1)
    lines = [
        marks(news["story"], news["cluster"]),
        marks(news["story"], leaning),
        marks(news["story"][known.order], ordinary[0]),
    ]
    assert table.to_numpy().tolist() == lines and len(set(table.index)) == 3


# Questions


def answers_by_hand(run, known, question, story=None):
    """Return the rows of clusters.csv that are nearest to a question, and their distances."""
    distance = np.linalg.norm(known.vectors - run.embed([question]), axis=1)
    rows = [row for row in distance.argsort() if story in (None, known.news["cluster"][row])][:5]
    return known.news.loc[rows], distance[rows]


@pytest.mark.parametrize("story", [None, 0, 1, 30])
def test_answers_are_the_nearest_headlines_of_all_or_of_one_story(sample_run, known, story):
    found, question = sample_run, "what the blackout will cost the sponsors"
    expression = "" if story is None else f"cluster == {story}"
    vector = found.embed([question])[0]
    table = ask(found.client, found.collection, found.news, vector, expression)
    expected, lengths = answers_by_hand(found, known, question, story)
    for column, saved_as in ("title",) * 2, ("cluster",) * 2, ("leans_to", "closest_cluster"):
        assert table[column].tolist() == expected[saved_as].tolist()
    assert np.allclose(table["distance"], lengths, atol=6e-4)  # three digits


def test_one_gets_as_many_answers_as_one_asks_for(sample_run):
    found = sample_run
    vector = found.embed(["strike"])[0]
    table = ask(found.client, found.collection, found.news, vector, limit=8)
    assert len(table) == 8 and table["distance"].is_monotonic_increasing


def test_a_question_about_nothing_has_no_answer(sample_run):
    found = sample_run
    known_to = found.client, found.collection, found.news, found.embed(["qqqq zzzz"])[0]
    table = ask(*known_to)
    assert table.empty and list(table) == ["title", "cluster", "leans_to", "distance"]
    assert place_headline(*known_to) == -1


def test_the_answers_shown_are_those_to_the_example_questions(sample_run, known):
    questions, _ = example_questions(sample_run.news, sample_run.stories, True)
    first, second = tables(sample_run, "distance")[-2:]
    in_story = sample_run.news.loc[second.index[0], "cluster"]
    for table, question, story in (first, questions[0], None), (second, questions[1], in_story):
        expected = answers_by_hand(sample_run, known, question, story)[0]
        assert table["title"].tolist() == expected["title"].tolist()
    assert "Ullenfield" in sample_run.stories["name"][in_story]


def test_new_headlines_are_placed_by_their_five_nearest(sample_run, known):
    _, headlines = example_questions(sample_run.news, sample_run.stories, True)
    printed = sample_run.said.splitlines()
    assert len(headlines) == 3
    for headline in headlines:
        (line,) = [line for line in printed if line.startswith(headline)]
        near = answers_by_hand(sample_run, known, headline)[0]
        names = near[["cluster_name", "closest_cluster_name"]].max(axis=1)
        assert line.endswith(told_by(names) or "no story"), headline


def test_a_headline_has_the_story_that_three_of_its_five_nearest_tell_or_lean_to(sample_run, known):
    """Of titles without their descriptions, those where four or six nearest would say otherwise."""
    found, titles = sample_run, known.news["title"]
    vectors = found.embed(titles)
    near = pairwise_distances(vectors, known.vectors).argsort(axis=1, kind="stable")
    joined = known.news[["cluster", "closest_cluster"]].max(axis=1).to_numpy()
    told = [[told_by(joined[row[:count]]) for count in (4, 5, 6)] for row in near]
    telling = [row for row, stories in enumerate(told) if len(set(stories)) > 1][:15]
    assert len(telling) == 15
    for row in telling:
        story = place_headline(found.client, found.collection, found.news, vectors[row])
        assert story == (-1 if told[row][1] is None else told[row][1]), titles[row]


def test_questions_are_made_from_the_readers_own_stories():
    news = pd.DataFrame({"title": list("abcdef")})
    stories = pd.DataFrame(
        {"name": ["Flood", "Strike", "Cup"], "words": [["dam", "water"], [], ["goal", "final"]]}
    )
    questions, headlines = example_questions(news, stories, is_sample=False)
    assert questions == ["Flood", "Strike"] and headlines == ["dam, water", "goal, final"]


@pytest.mark.parametrize("count", [0, 1])
def test_where_there_are_few_stories_and_no_words_headlines_are_asked_for(count):
    news = pd.DataFrame({"title": list("abcdef")})
    stories = pd.DataFrame({"name": ["Flood"], "words": [[]]})[:count]
    questions, headlines = example_questions(news, stories, is_sample=False)
    assert questions == ["Flood", "a", "b"][1 - count :][:2]
    assert set(headlines) <= set(questions) and headlines
