"""The notebook's way from titles and vectors to stories and a page, by its own functions.

Settings such as N_NEIGHBORS come from the environment, as in the notebook. `news` is its table of
headlines, `embeddings` are n x d unit vectors (float32), `labels` n story numbers, -1 for noise.
"""
import io
import time
import warnings
from contextlib import redirect_stdout

import numpy as np
import pandas as pd
from notebook import (
    DataType,
    add_stories,
    as_rows,
    batch_size,
    batches,
    choose_metric,
    clean_texts,
    closest_story,
    connect,
    draw_map,
    draw_tree,
    draw_treemap,
    edge_weights,
    fetch_embeddings,
    fit_hdbscan,
    join_stories,
    list_reach,
    merge_copies,
    name_themes,
    nearest_neighbours,
    neighbour_pairs,
    neighbours_to_search,
    number_by_size,
    open_collection,
    prove,
    setting,
    shorten,
    spanning_tree,
    stored_ids,
    story_centres,
    story_words,
    summarise,
    tidy_collection,
    umap,
    write_page,
)

N_NEIGHBORS, MIN_SAMPLES = setting("N_NEIGHBORS", 16), setting("MIN_SAMPLES", 3)
MIN_CLUSTER_SIZE, MAX_CLUSTER_SIZE = setting("MIN_CLUSTER_SIZE", 3), setting("MAX_CLUSTER_SIZE", 0)
COLLECTION = "benchmark"
warnings.filterwarnings("ignore", message="precomputed_knn")


def make_news(table):
    """Return the notebook's table of headlines: copies merged, in an order of its own (`row`)."""
    return merge_copies(clean_texts(table))[0]


def store(address, news, vectors, index_type="FLAT", metric=""):
    """Store headlines and their vectors in a new collection; return client, metric, embeddings."""
    client, metric = connect(address), choose_metric(metric, address, len(news))
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("text", DataType.VARCHAR, max_length=65_535)
    schema.add_field("cluster", DataType.INT64)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=vectors.shape[1])
    open_collection(client, COLLECTION, schema, index_type, metric)
    new = news[~news["id"].isin(stored_ids(client, COLLECTION))].assign(cluster=-1)
    for part in batches(len(new), 256):
        client.upsert(COLLECTION, as_rows(new[part], vectors[part]))
    tidy_collection(client, COLLECTION, gone=np.array([], dtype=int))
    return client, metric, fetch_embeddings(client, COLLECTION, news["id"])


def search_all(client, address, metric, news, embeddings):
    """Return the neighbours of all headlines and their distances."""
    limit = neighbours_to_search(N_NEIGHBORS, MIN_SAMPLES, len(news))
    batch = batch_size(address, metric, embeddings)
    with redirect_stdout(io.StringIO()):  # its bar
        return nearest_neighbours(client, COLLECTION, news["id"], embeddings, limit, batch)


def proven_tree(embeddings, neighbours, distances, is_exact, min_samples=MIN_SAMPLES):
    """Return the tree that `find_tree` finds, how many groups its proof looked at, and its
    seconds."""
    edges, core = neighbour_pairs(neighbours, distances), distances[:, min_samples]
    edges["weight"] = edge_weights(edges["length"], core[edges["start"]], core[edges["end"]])
    lists_tree, reach = spanning_tree(edges, len(core)), list_reach(distances, is_exact)
    started = time.perf_counter()
    tree, looked_at = prove(lists_tree, reach, core, embeddings)
    seconds = time.perf_counter() - started
    return tree, {"groups": looked_at, "proof": seconds}


def cluster(tree):
    """Return the fitted HDBSCAN, the labels, and the stories' old numbers, of a spanning tree."""
    count = len(tree) + 1
    largest = MAX_CLUSTER_SIZE or max(50, count // 4)
    clusterer = fit_hdbscan(tree, count, MIN_CLUSTER_SIZE, largest)
    return clusterer, *number_by_size(clusterer.labels_)


def leaning_stories(labels, neighbours):
    """Return for each headline of the noise the story that it leans to; -1 where none."""
    return np.where(labels >= 0, -1, closest_story(labels[neighbours[:, 1:6]]))


def lay_out(embeddings, neighbours, distances):
    """Return n x 2 places on the map."""
    near = min(15, neighbours.shape[1], len(embeddings) - 1)
    knn = neighbours[:, :near], distances[:, :near], None
    return umap.UMAP(n_neighbors=near, precomputed_knn=knn, min_dist=0.5, random_state=42,
                     n_jobs=1).fit_transform(embeddings)


def make_page(path, news, embeddings, neighbours, tree, clusterer, labels, order):
    """Name the stories, find words and themes, draw all figures, write the page; return stories.

    `news` has the columns x and y; what sections 8 to 11 of the notebook add is added."""
    in_story, summary = labels >= 0, summarise(labels, news["rows"])
    means = pd.DataFrame(embeddings).groupby(labels).transform("mean")
    from_mean = pd.Series(np.linalg.norm(embeddings - means, axis=1))[in_story]
    medoids = from_mean.groupby(labels[in_story]).idxmin().to_numpy()
    stories = pd.DataFrame({
        "name": [shorten(title) for title in news["title"].iloc[medoids]],
        "headlines": np.bincount(labels[in_story]),
        "rows": np.bincount(labels[in_story], news["rows"][in_story]).astype(int),
        "persistence": clusterer.cluster_persistence_[order].round(2),
        "words": story_words(news["text"], labels)})
    leaning = leaning_stories(labels, neighbours)
    stories["leaning"] = np.bincount(leaning[leaning >= 0], minlength=len(stories))
    add_stories(news, stories, labels, leaning, clusterer.probabilities_)
    stories["theme"] = join_stories(story_centres(embeddings, labels))
    name_themes(news, stories)
    map_figure, treemap = draw_map(news, stories, medoids, summary), draw_treemap(stories, summary)
    draw_tree(map_figure, tree, news, stories)
    write_page(path, map_figure, treemap, news, stories, "benchmark", summary)
    return stories
