"""What the notebook shows of neighbours, stories, noise and questions, computed in another way."""
import itertools
import math
import re
from collections import Counter
from types import SimpleNamespace

import hdbscan
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from conftest import shown
from notebook import (
    add_stories,
    ask,
    closest_story,
    draw_neighbours,
    example_questions,
    find_tree,
    fit_hdbscan,
    limit_note,
    number_by_size,
    place_headline,
    read_story,
    score_table,
    summarise,
)
from scipy.sparse.csgraph import minimum_spanning_tree
from sklearn.metrics import adjusted_rand_score, pairwise_distances
from test_tree import complete_weights, make, nearest

PAIRS_SHOWN = re.compile(r"([\d,]+) entries .* ([\d,]+) pairs")


@pytest.fixture(scope="module")
def known(sample_run, saved):
    """In the order of the CSV: clusters.csv, embeddings made anew, distances, HDBSCAN on all
    pairs; `order`: for each row of the notebook's table `news` its row in the CSV."""
    text = (saved["title"] + "\n" + saved["description"]).str.strip()
    vectors = sample_run.embed(text).astype(float)
    complete = hdbscan.HDBSCAN(3, min_samples=1, metric="precomputed",
                               cluster_selection_persistence=0.001).fit(complete_weights(vectors))
    row = pd.Index(sample_run.news["text"]).get_indexer(text)
    assert sorted(row) == list(range(len(saved)))
    return SimpleNamespace(news=saved, vectors=vectors, between=pairwise_distances(vectors),
                           complete=complete, order=row.argsort())


def tables(run, word, column):
    """Return the tables with this column that a section shows."""
    return [table for table in shown(run, word, pd.DataFrame) if column in table]


def said(run, word):
    """Return what a section printed."""
    return "".join(cell.said for cell in run.cells if word in cell.heading)


def told_by(near):
    """Return what three or more of five headlines tell, which is not noise, or None."""
    return next((story for story, count in Counter(near).items()
                 if story not in (-1, "") and count > 2), None)


# Headlines and their neighbours

def test_the_first_rows_of_the_csv_are_shown(sample_run, sample):
    assert shown(sample_run, "Headlines", pd.DataFrame)[0].equals(sample[:3])


def test_the_distances_of_three_made_up_headlines_are_euclidean(sample_run):
    table, = shown(sample_run, "Embeddings", pd.DataFrame)
    vectors = sample_run.embed(list(table.index)).astype(float)
    lengths = [[math.dist(one, other) for other in vectors] for one in vectors]
    assert np.allclose(table, lengths, atol=0.0051)
    assert table.iloc[0, 1] < min(table.iloc[0, 2], table.iloc[1, 2])  # as the text says


def test_the_first_search_finds_the_nearest_headlines_of_the_first(sample_run, known):
    table, = tables(sample_run, "Nearest", "score")
    found = known.between[0].argsort()[:10]
    assert table["title"].tolist() == known.news["title"][found].tolist()


def test_milvus_scores_are_squared_distances(sample_run, known):
    table, = tables(sample_run, "Nearest", "score")
    lengths = np.sort(known.between[0])[:10]
    assert np.allclose(table["distance"], lengths, atol=2e-3)
    assert np.allclose(table["score"], lengths ** 2, atol=2e-3)
    assert np.allclose(table["squared"], lengths ** 2, atol=2e-3)


def test_the_bars_shown_are_those_of_the_first_search(sample_run, known):
    figure, = shown(sample_run, "Nearest", go.Figure)
    lengths = np.sort(known.between[0])[1:10]
    assert np.allclose(np.concatenate([bars.x for bars in figure.data]), lengths, atol=1e-4)
    assert figure.layout.title.text == known.news["title"][0]


def test_a_bar_is_as_long_as_the_distance_of_its_neighbour():
    figure = draw_neighbours(["It", "One", "Two", "Three"], np.array([0, 0.3, 0.4, 0.8]))
    bars = [bar for trace in figure.data
            for bar in zip(trace.y, trace.x, trace.text, strict=True)]
    assert bars == [(1, 0.3, "One"), (2, 0.4, "Two"), (3, 0.8, "Three")]
    assert {trace.orientation for trace in figure.data} == {"h"}
    assert figure.layout.title.text == "It"
    assert figure.layout.yaxis.autorange == "reversed"  # the nearest on top


@pytest.mark.parametrize("lengths, before", [
    ([0, 0.1, 0.2, 0.9, 1.0], 2), ([0, 0.1, 0.8, 0.9, 1.0], 1), ([0, 0.7, 0.8, 0.9, 1.3], 3)])
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
    table = next(table for table in shown(sample_run, "Nearest", pd.DataFrame) if 0 in table)
    lengths = np.sort(known.between[known.order[:len(table)]])[:, :16]
    assert np.allclose(table, lengths, atol=0.0051) and table.shape == (5, 16)
    assert (table[0] == 0).all()


# The tree

def test_weights_are_mutual_reachabilities_and_a_ten_thousandth(sample_run, known):
    table, *_ = tables(sample_run, "tree", "length")
    weights = complete_weights(known.vectors)
    ends = known.order[table["start"]], known.order[table["end"]]
    assert np.allclose(table["length"], known.between[ends], atol=1e-6)
    assert np.allclose(table["weight"], weights[ends], atol=1e-6)


def test_the_numbers_of_pairs_and_links_are_counted(sample_run, known):
    entries, pairs = PAIRS_SHOWN.search(said(sample_run, "tree")).groups()
    assert (entries, pairs) == (f"{501 * 15:,}", f"{501 * 500 // 2:,}")
    assert "500 links between 501 headlines" in said(sample_run, "tree")


def test_the_last_links_are_the_heaviest_of_the_tree_of_all_pairs(sample_run, known):
    table = tables(sample_run, "tree", "weight")[-1]
    heaviest = np.sort(minimum_spanning_tree(complete_weights(known.vectors)).data)[-len(table):]
    assert np.allclose(table["weight"], heaviest, atol=1e-6)


def test_cut_lists_give_the_same_tree_after_looks(sample_run, known):
    printed = said(sample_run, "tree")
    looks, weight = re.search(
        r"Lists of 4: (\d+) groups looked at; the tree weighs ([\d.]+)", printed).groups()
    exact = minimum_spanning_tree(complete_weights(known.vectors)).sum()
    assert int(looks) > 9 and float(weight) == pytest.approx(exact, abs=1e-3)


def test_the_tree_of_all_pairs_is_shown_to_weigh_as_much(sample_run, known):
    pairs, *weights = re.search(r"all ([\d,]+) pairs weighs ([\d.]+), ours ([\d.]+)",
                                said(sample_run, "tree")).groups()
    exact = minimum_spanning_tree(complete_weights(known.vectors)).sum()
    assert pairs == f"{501 * 500 // 2:,}"
    assert list(map(float, weights)) == pytest.approx([exact] * 2, abs=1e-3)


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
        f"501 headlines, {known.news['cluster'].max() + 1} stories, {noise:.0%} noise")
    assert sample_run.summary in said(sample_run, "Stories")


@pytest.fixture(scope="module")
def giant():
    """Of a story of 700: a tree, that of MIN_SAMPLES=1, labels without a limit, their largest."""
    vectors = make("one giant")
    table = nearest(vectors, 16)
    tree, finer = (find_tree(vectors, *table, True, samples)[0] for samples in (3, 1))
    free = fit_hdbscan(tree, 1000, 3, 1000).labels_
    return tree, finer, free, int(np.bincount(free[free >= 0]).max())


def test_a_limit_that_no_story_exceeds_changes_nothing(giant):
    tree, finer, free, largest = giant
    assert limit_note(free, tree, largest, 3, finer) == ""


def test_where_the_limit_takes_effect_it_is_said_what_there_would_be_without_it(giant):
    tree, finer, free, largest = giant
    labels = fit_hdbscan(tree, 1000, 3, largest - 1).labels_
    note = limit_note(labels, tree, largest - 1, 3, finer).replace("MIN_SAMPLES=1", "")
    other = fit_hdbscan(finer, 1000, 3, largest - 1).labels_
    assert list(map(int, re.findall(r"\d+", note))) == [
        largest - 1, largest, round(largest / 10), free.max() + 1, other.max() + 1,
        round(100 * (other < 0).mean())]


def test_the_histogram_tells_core_distances_of_stories_from_those_of_noise(sample_run, known):
    figure, = shown(sample_run, "Stories", go.Figure)
    core, noise = np.sort(known.between)[:, 3], known.news["cluster"] < 0
    drawn = {trace.name: trace for trace in figure.data}
    assert set(drawn) == {"noise", "in a story"} and drawn["noise"].marker.color == "#c8c8c8"
    assert np.allclose(np.sort(drawn["noise"].x), np.sort(core[noise]), atol=1e-4)
    assert np.allclose(np.sort(drawn["in a story"].x), np.sort(core[~noise]), atol=1e-4)
    assert figure.layout.title.text.endswith(sample_run.summary)


@pytest.fixture(scope="module")
def ordinary(sample_run):
    """The stories that hdbscan alone finds, and finds with the rows turned around."""
    return [hdbscan.HDBSCAN(3, min_samples=3).fit_predict(sample_run.embeddings[::step])[::step]
            for step in (1, -1)]


def test_the_short_way_is_ordinary_hdbscan(sample_run, ordinary):
    labels, found = sample_run.labels, said(sample_run, "Stories")
    assert f"{ordinary[0].max() + 1} stories, {(ordinary[0] < 0).mean():.0%} noise" in found
    agreement = float(re.search(r"agreement with ours: ([\d.]+)", found)[1])
    assert agreement == pytest.approx(adjusted_rand_score(labels, ordinary[0]), abs=6e-4)


def test_the_order_table_says_what_the_text_says(sample_run, ordinary):
    table = next(table for table in shown(sample_run, "Stories", pd.DataFrame)
                 if "ours without the tie-breaker" in table.index).iloc[:, 0]
    assert table["ordinary HDBSCAN"] == pytest.approx(adjusted_rand_score(*ordinary), abs=6e-4)
    assert table["ours"] == 1 > max(table.drop("ours"))


# The table of stories

@pytest.fixture(scope="module")
def members(known):
    """For each story the rows of its headlines in the CSV."""
    return [np.flatnonzero(known.news["cluster"] == number)
            for number in range(known.news["cluster"].max() + 1)]


def test_a_story_is_named_by_the_headline_nearest_to_its_mean(sample_run, known, members):
    for name, rows in zip(sample_run.stories["name"], members, strict=True):
        centre = known.vectors[rows].mean(axis=0)
        medoid = min(rows, key=lambda row: math.dist(known.vectors[row], centre))
        assert name == known.news["title"][medoid]


def test_medoids_are_the_rows_that_name_the_stories(sample_run):
    titles = sample_run.news["title"].iloc[sample_run.medoids]
    assert titles.tolist() == sample_run.stories["name"].tolist()
    assert (sample_run.labels[sample_run.medoids] == sample_run.stories.index).all()


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
        assert words and all(told.count(word) > 1 for word in words.split(", "))


def test_the_stories_shown_are_the_first_of_the_table(sample_run):
    table = tables(sample_run, "Stories", "persistence")[-1]
    assert table.equals(sample_run.stories[list(table)][:len(table)])
    assert {"name", "headlines", "rows", "words"} < set(table) and len(table) == 15


def test_noise_leans_where_three_of_the_five_nearest_tell_one_story(sample_run, known):
    cluster, expected = known.news["cluster"], []
    for row, label in enumerate(cluster):
        near = [other for other in known.between[row].argsort(kind="stable") if other != row][:5]
        story = told_by(cluster[near]) if label < 0 else None
        expected.append(-1 if story is None else story)
    assert known.news["closest_cluster"].tolist() == expected
    leaning = sum(number >= 0 for number in expected)
    assert leaning > 9
    assert f"{leaning} of {(cluster < 0).sum()} headlines of the noise lean to a story" in (
        said(sample_run, "Stories"))


@pytest.mark.parametrize("near, story", [
    ([0, 0, 1, 1, 2], -1), ([2, 2, 1, 1, 0], -1), ([1, 1, 0, 0, -1], -1), ([-1, -1, -1, 0, 0], -1),
    ([-1, -1, 0, 0, 0], 0), ([2, 2, 2, 0, 0], 2), ([0, 0, 1, 2, -1], -1), ([2] * 5, 2),
    ([-1] * 5, -1)])
def test_a_story_is_told_by_three_of_five_and_by_no_fewer(near, story):
    orders = np.array(list(itertools.permutations(near)))
    assert set(closest_story(orders)) == {story}


def told_table(**columns):
    """Return a table `news` of five headlines; the story 1 has two, and two lean to it."""
    return pd.DataFrame({
        "title": list("abcde"), "cluster": [1, -1, 1, -1, 0], "closest_cluster": [-1, 1, -1, 1, -1],
        "nearest": [1, 1, 1, 1, 0], "probability": [0.5, 0, 1, 0, 1], "rows": [7, 1, 2, 3, 1]}
        | columns)


def test_a_story_in_full_has_its_headlines_the_densest_first_then_what_leans():
    table = read_story(told_table(), 1)
    assert list(table.itertuples(index=False, name=None)) == [
        ("c", 1, 2, ""), ("a", 0.5, 7, ""), ("b", 0, 1, "leans"), ("d", 0, 3, "leans")]
    assert list(table) == ["title", "probability", "rows", "leans"]


def test_the_story_shown_in_full_is_the_one_of_the_top(sample_run, known):
    table, = tables(sample_run, "Stories", "leans")
    cluster = known.news.set_index("title")["cluster"]
    number = cluster[table["title"].iloc[0]]
    leans = table["leans"] == "leans"
    assert sorted(table["title"][~leans]) == sorted(cluster.index[cluster == number])
    assert sorted(table["title"][leans]) == sorted(
        known.news["title"][known.news["closest_cluster"] == number])
    assert "Selbane: 'I could not see my own whistle'" in table["title"].tolist()


def test_each_headline_gets_the_numbers_and_names_of_its_stories():
    news = pd.DataFrame({"title": list("abcd")})
    stories = pd.DataFrame({"name": ["Zero", "One"]})
    add_stories(news, stories, np.array([1, -1, 0, -1]), np.array([-1, 1, -1, -1]),
                np.array([0.123456, 0, 1, 0]))
    assert news["cluster"].tolist() == [1, -1, 0, -1]
    assert news["closest_cluster"].tolist() == [-1, 1, -1, -1]
    assert news["nearest"].tolist() == [1, 1, 0, -1]
    assert news["cluster_name"].tolist() == ["One", "", "Zero", ""]
    assert news["closest_cluster_name"].tolist() == ["", "One", "", ""]
    assert news["probability"].tolist() == [0.1235, 0, 1, 0]


# Are they true?

def entropy(labels):
    counts = Counter(labels).values()
    return -sum(count / len(labels) * math.log(count / len(labels)) for count in counts)


def marks(truth, found):
    """Return the score table's line by definition: how much less uncertain one is where the other
    is known."""
    told = [pair for pair in zip(truth, found, strict=True) if pair[0]]
    both = [pair for pair in told if pair[1] >= 0]
    stories, clusters = zip(*both, strict=True)
    mutual = entropy(stories) + entropy(clusters) - entropy(both)
    others = [number for story, number in zip(truth, found, strict=True) if not story]
    return [f"{mutual / entropy(stories):.2f}", f"{mutual / entropy(clusters):.2f}",
            f"{1 - len(both) / len(told):.0%}",
            f"{sum(number >= 0 for number in others)} of {len(others)}"]


def test_marks_against_the_truth_are_those_of_their_definition():
    random = np.random.default_rng(1)
    truth = random.choice(np.array(["", "flood", "strike", "cup"], dtype=object), 200)
    ways = {name: random.integers(-1, 3, 200) for name in ("one", "another")}
    ways["nearly right"] = np.where(random.random(200) < 0.1, 0, pd.factorize(truth)[0] - 1)
    table = score_table(truth, ways)
    for name, found in ways.items():
        assert table.loc[name].tolist() == marks(truth, found), name


def test_the_marks_shown_are_those_of_the_files_stories(sample_run, known, ordinary):
    table, = tables(sample_run, "Stories", "homogeneity")
    news = known.news
    leaning = news[["cluster", "closest_cluster"]].max(axis=1)
    lines = [marks(news["story"], news["cluster"]), marks(news["story"], leaning),
             marks(news["story"][known.order], ordinary[0])]
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
    table = ask(found.client, found.collection, found.news, found.embed, question, expression)
    expected, lengths = answers_by_hand(found, known, question, story)
    for column in "title", "cluster", "cluster_name":
        assert table[column].tolist() == expected[column].tolist()
    assert np.allclose(table["distance"], lengths, atol=6e-4)  # three digits


def test_one_gets_as_many_answers_as_one_asks_for(sample_run):
    found = sample_run
    table = ask(found.client, found.collection, found.news, found.embed, "strike", limit=8)
    assert len(table) == 8 and table["distance"].is_monotonic_increasing


def test_a_question_about_nothing_has_no_answer(sample_run):
    found = sample_run
    known_to = found.client, found.collection, found.news, found.embed
    table = ask(*known_to, "qqqq zzzz")
    assert table.empty and list(table) == ["title", "cluster", "cluster_name", "distance"]
    assert place_headline(*known_to, "qqqq zzzz") == -1


def test_the_answers_shown_are_those_to_the_example_questions(sample_run, known):
    questions, _ = example_questions(sample_run.news, sample_run.stories, True)
    first, second = shown(sample_run, "Ask", pd.DataFrame)
    in_story = sample_run.news.loc[second.index[0], "cluster"]
    for table, question, story in (first, questions[0], None), (second, questions[1], in_story):
        expected = answers_by_hand(sample_run, known, question, story)[0]
        assert table["title"].tolist() == expected["title"].tolist()
    assert "Ullenfield" in sample_run.stories["name"][in_story]


def test_new_headlines_are_placed_by_their_five_nearest(sample_run, known):
    _, headlines = example_questions(sample_run.news, sample_run.stories, True)
    printed = said(sample_run, "Ask").splitlines()
    assert len(headlines) == 3
    for headline in headlines:
        line, = [line for line in printed if line.startswith(headline)]
        near = answers_by_hand(sample_run, known, headline)[0]["cluster_name"]
        assert line.endswith(told_by(near) or "no story"), headline


def test_a_headline_has_the_story_that_three_of_its_five_nearest_tell(sample_run, known):
    """Of titles without their descriptions, those where four or six nearest would say otherwise."""
    found, titles = sample_run, known.news["title"]
    near = pairwise_distances(found.embed(titles), known.vectors).argsort(axis=1, kind="stable")
    told = [[told_by(known.news["cluster"].to_numpy()[row[:count]]) for count in (4, 5, 6)]
            for row in near]
    telling = [row for row, stories in enumerate(told) if len(set(stories)) > 1][:15]
    assert len(telling) == 15
    for row in telling:
        story = place_headline(
            found.client, found.collection, found.news, found.embed, titles[row])
        assert story == (-1 if told[row][1] is None else told[row][1]), titles[row]


def test_questions_are_made_from_the_readers_own_stories():
    news = pd.DataFrame({"title": list("abcdef")})
    stories = pd.DataFrame({"name": ["Flood", "Strike", "Cup"],
                            "words": ["dam, water", "", "goal, final"]})
    questions, headlines = example_questions(news, stories, is_sample=False)
    assert questions == ["Flood", "Strike"] and headlines == ["dam, water", "goal, final"]


@pytest.mark.parametrize("count", [0, 1])
def test_where_there_are_few_stories_and_no_words_headlines_are_asked_for(count):
    news = pd.DataFrame({"title": list("abcdef")})
    stories = pd.DataFrame({"name": ["Flood"], "words": [""]})[:count]
    questions, headlines = example_questions(news, stories, is_sample=False)
    assert questions == ["Flood", "a", "b"][1 - count:][:2]
    assert set(headlines) <= set(questions) and headlines
