"""Which way finds the stories that people have told apart: `benchmark.py --labelled CSV`."""
import time
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from benchmark_chart import print_table
from benchmark_notebook import (
    MIN_SAMPLES,
    cluster,
    leaning_stories,
    make_news,
    proven_tree,
    search_all,
    store,
)
from benchmark_ways import (
    average_linkage,
    evoc_clusters,
    hdbscan_on_vectors,
    leiden,
    published,
    umap_first,
)
from notebook import batches, load_embedding, read_table
from sklearn.metrics import adjusted_rand_score, homogeneity_score

ORDERS = 5  # of the rows, for the ways whose clusters depend on it
HEIGHTS = 0.7, 0.85, 1.0, 1.15, 1.3  # of the cuts of average linkage, between unit vectors
OTHER_WAYS = {
    "HDBSCAN on the vectors": hdbscan_on_vectors,
    "published tutorial": published,
    "UMAP first, `min_cluster_size` 3": lambda vectors: umap_first(vectors, 3),
    "UMAP first, `min_cluster_size` 5": lambda vectors: umap_first(vectors, 5),
    "UMAP first, `min_cluster_size` 10": lambda vectors: umap_first(vectors, 10),
    "Leiden, resolution 1": lambda vectors: leiden(vectors, 1),
    "Leiden, resolution 20": lambda vectors: leiden(vectors, 20),
    "EVoC": evoc_clusters,
}


def read_headlines(csv, model, file=None):
    """Return a CSV's headlines, copies merged, their vectors, and the story that each tells ("").

    The vectors are those of a model, or those in a .npy file, which has a row for each of the CSV.
    """
    table = read_table(csv)
    news = make_news(table)
    if file:
        given = np.load(file)
        if len(given) != len(table):
            raise ValueError(f"{file} has {len(given)} rows, and {csv} {len(table)}.")
        vectors = given[news["row"]]
    else:
        _, embed = load_embedding(model, news["text"])
        vectors = np.vstack([embed(news["text"][part]) for part in batches(len(news), 256)])
    truth = table["story"] if "story" in table else pd.Series("", table.index)
    return news, vectors, truth[news["row"]].to_numpy()


def compare_stories(csv, model, file=None):
    """Print how well each way finds the stories, and what other values of MIN_SAMPLES give."""
    news, vectors, truth = read_headlines(csv, model, file)
    with TemporaryDirectory() as folder:
        address = f"{folder}/milvus.db"
        client, metric, embeddings = store(address, news, vectors)
        started = time.perf_counter()
        near = search_all(client, address, metric, news, embeddings)
        seconds = time.perf_counter() - started
        client.close()
    print(f"{len(vectors)} headlines, {sum(truth != '')} of them tell {len(set(truth) - {''})} "
          f"stories; vectors of {vectors.shape[1]} numbers")
    rows = our_rows(embeddings, *near, truth, seconds) + other_rows(embeddings, truth)
    print()
    print_table(rows)
    print()
    print_table(settings_rows(embeddings, *near, truth))


def our_rows(embeddings, neighbours, distances, truth, seconds):
    """Return the table's rows of this notebook, without and with the noise that leans to a story.

    One order of the rows is enough: the notebook sorts them, and its tests see that it finds the
    same in any. `seconds`: what the search took.
    """
    started = time.perf_counter()
    tree, proof = proven_tree(embeddings, neighbours, distances, is_exact=True)
    _, labels, _ = cluster(tree)
    seconds += time.perf_counter() - started
    joined = np.maximum(labels, leaning_stories(labels, neighbours))
    print(f"the proof looked at {proof['groups']} groups, {proof['proof']:.1f} s")
    return [table_row("this notebook", [scores(labels, truth, seconds)]),
            table_row("this notebook, leaning noise joined", [scores(joined, truth, seconds)])]


def other_rows(vectors, truth):
    """Return the table's rows of the other ways; what they compile is compiled beforehand."""
    orders = [np.random.default_rng(seed).permutation(len(truth)) for seed in range(ORDERS)]
    rows = []
    for name, way in OTHER_WAYS.items():
        try:
            way(vectors[:300])
        except ImportError:
            continue
        found = []
        for order in orders:
            started = time.perf_counter()
            labels = way(vectors[order])
            found.append(scores(labels, truth[order], time.perf_counter() - started))
        rows.append(table_row(name, found))
    started = time.perf_counter()
    cuts = average_linkage(vectors, HEIGHTS)
    best = max(range(len(cuts)), key=lambda cut: b_cubed(cuts[cut], truth)[2])
    name = f"average linkage, best of five cuts ({HEIGHTS[best]})"
    return rows + [table_row(name, [scores(cuts[best], truth, time.perf_counter() - started)])]


def settings_rows(embeddings, neighbours, distances, truth):
    """Return rows of a table: what other values of MIN_SAMPLES give."""
    rows = []
    for samples in range(1, min(6, distances.shape[1])):
        tree, _ = proven_tree(embeddings, neighbours, distances, True, samples)
        _, labels, _ = cluster(tree)
        joined = np.maximum(labels, leaning_stories(labels, neighbours))
        largest = np.bincount(labels + 1, minlength=2)[1:].max() / len(labels)
        rows.append({"`MIN_SAMPLES`": f"{samples}{' (in use)' * (samples == MIN_SAMPLES)}",
                     "F": f"{b_cubed(labels, truth)[2]:.3f}",
                     "F, leaning joined": f"{b_cubed(joined, truth)[2]:.3f}",
                     "stories": str(labels.max() + 1), "noise": f"{np.mean(labels < 0):.0%}",
                     "noise, leaning joined": f"{np.mean(joined < 0):.0%}",
                     "largest story": f"{largest:.0%}"})
    return rows


def scores(labels, truth, seconds):
    """Return figures by name. `truth` has the story of each of n headlines, "" for none."""
    precision, recall, f = b_cubed(labels, truth)
    own_stories = np.where(truth == "", np.arange(len(truth)).astype(str), truth)
    told, clustered = truth != "", (truth != "") & (labels >= 0)
    return {"precision": precision, "recall": recall, "F": f,
            "F of all": b_cubed(labels, own_stories)[2],
            "Rand": adjusted_rand_score(truth[told], noise_apart(labels)[told]),
            "homogeneity": homogeneity_score(truth[clustered], labels[clustered]),
            "stories": labels.max() + 1, "noise": 100 * np.mean(labels < 0), "seconds": seconds}


def table_row(way, found):
    """Return a row of the table: the mean of each figure over the orders, and the range of F."""
    figures = pd.DataFrame(found)
    digits = {"stories": 0, "noise": 0, "seconds": 1}
    means = {name: f"{mean:.{digits.get(name, 3)}f}" for name, mean in figures.mean().items()}
    if len(found) > 1:
        means["F"] += f" ({figures['F'].min():.3f} to {figures['F'].max():.3f})"
    return {"way": way} | means | {"noise": means["noise"] + " %"}


def noise_apart(labels):
    """Return the labels, in which each headline of the noise is a cluster of its own."""
    return np.where(labels >= 0, labels, -1 - np.arange(len(labels)))


def b_cubed(labels, truth):
    """Return B-cubed precision, recall and their harmonic mean, over headlines that tell a story.

    Precision is the share of a headline's cluster that tells its story, recall the share of its
    story that is in its cluster, both as means over the headlines. Headlines without a story count
    as strangers in a cluster.
    """
    table = pd.DataFrame({"cluster": noise_apart(labels), "story": truth})
    together = table.groupby(["cluster", "story"])["story"].transform("size")
    of_cluster = together / table.groupby("cluster")["story"].transform("size")
    of_story = together / table.groupby("story")["story"].transform("size")
    precision, recall = of_cluster[truth != ""].mean(), of_story[truth != ""].mean()
    return precision, recall, 2 * precision * recall / (precision + recall)
