"""Made-up stories with headlines, themes and places on a map, for the tests of what is drawn."""

import itertools

import numpy as np
import pandas as pd

from notebook import find_themes, story_centres, story_colours, theme_table

NASTY = "<img src=x onerror=\"document.title='owned'\"> <b>bold</b> & $5 or $6"
HEBREW = "ירושלים: חדשות היום"
SYLLABLES = [one + two for one in "bdgklm" for two in "aeiou"]


def example(stories=16, topics=4, headlines=5, noise=8, leaning=3, seed=0):
    """Return the tables `news` (rows in no order of the stories) and `stories`, and embeddings.

    A story has words of its own and one of its topic, and embeddings near those of its topic; the
    last headlines of the noise lean to story 0. Stories have no theme yet.
    """
    random = np.random.default_rng(seed)
    topic = np.arange(stories) % topics
    labels = np.concatenate([np.repeat(np.arange(stories), headlines), np.full(noise, -1)])
    count = len(labels)
    directions = random.normal(size=(topics, 40))[topic] + 0.3 * random.normal(size=(stories, 40))
    embeddings = np.concatenate(
        [directions[labels[labels >= 0]], 2 * random.normal(size=(noise, 40))]
    )
    embeddings += 0.1 * random.normal(size=embeddings.shape)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    words = random.permutation(["".join(parts) for parts in itertools.product(SYLLABLES, repeat=3)])
    own, of_topic = words[: 3 * stories].reshape(-1, 3), words[-topics:]
    titles = []
    for row, label in enumerate(labels):
        said = " ".join(own[label]) + " " + of_topic[topic[label]] if label >= 0 else "alone"
        titles.append(f"Number {row} tells of {said} and {words[3 * stories + row]} again")
    titles[:2] = [NASTY, HEBREW]
    leans = np.full(count, -1)
    leans[count - leaning :] = 0 if stories else -1
    news = pd.DataFrame(
        {
            "title": titles,
            "text": titles,
            "rows": np.where(np.arange(count) % 4 == 2, 3, 1),
            "cluster": labels,
            "leans_to": leans,
            "probability": random.uniform(size=count).round(4),
            "x": labels % 5 * 3.0 + random.uniform(-1, 1, size=count),
            "y": labels // 5 * 3.0 + random.uniform(-1, 1, size=count),
        }
    )
    order = random.permutation(count)
    news, embeddings = news.iloc[order].reset_index(drop=True), np.float32(embeddings[order])
    told = news[news["cluster"] >= 0].groupby("cluster")
    medoids = told.head(1).sort_values("cluster").index
    table = pd.DataFrame(
        {
            "name": news["title"][medoids].to_numpy(dtype=object),
            "medoid": medoids,
            "headlines": told.size(),
            "rows": told["rows"].sum(),
            "leaning": [leaning * (number == 0) for number in range(stories)],
            "persistence": 0.5,
            "words": pd.Series(own.tolist(), dtype=object),
        }
    )
    return news, table, embeddings


def with_themes(news, stories, embeddings):
    """Note each story's theme and colour and each headline's theme; return the three tables."""
    stories["theme"] = find_themes(story_centres(embeddings, news["cluster"]), stories["rows"])
    stories["colour"] = story_colours(stories["theme"])
    news["theme"] = stories["theme"].reindex(news["cluster"], fill_value=-1).to_numpy()
    return news, stories, theme_table(news, stories)
