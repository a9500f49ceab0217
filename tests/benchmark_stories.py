"""Which way finds the stories that people have told apart: `benchmark.py --labelled CSV`."""
import time
from contextlib import chdir
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score, homogeneity_score

from benchmark_chart import print_table
from benchmark_ways import (
    Notebook, average_linkage, evoc_clusters, hdbscan_on_vectors, published, umap_first)

ORDERS = 5  # of the rows, for the ways whose clusters depend on it
HEIGHTS = 0.7, 0.85, 1.0, 1.15, 1.3  # of the cuts of average linkage, between unit vectors
OTHER_WAYS = {
    "HDBSCAN on the vectors": hdbscan_on_vectors,
    "published tutorial": published,
    "UMAP first, `min_cluster_size` 3": lambda vectors: umap_first(vectors, 3),
    "UMAP first, `min_cluster_size` 5": lambda vectors: umap_first(vectors, 5),
    "UMAP first, `min_cluster_size` 10": lambda vectors: umap_first(vectors, 10),
    "EVoC": evoc_clusters,
}


def compare_stories(csv, model):
    """Print how well each way finds the stories of a CSV, and what other settings of the notebook give."""
    with TemporaryDirectory() as folder, chdir(folder):
        notebook = Notebook(NEWS_CSV=str(csv), EMBEDDING_MODEL=model)
        notebook.run("Setup", "The idea, on eleven points", "Headlines", "Embeddings", "Milvus")
        names = notebook.names
        vectors, truth = names["embeddings"], names["table"]["story"][names["news"]["row"]].to_numpy()
        rows = our_rows(notebook, truth)
        rows += other_rows(vectors, truth)
        print(f"{len(vectors)} headlines, {sum(truth != '')} of them tell {len(set(truth) - {''})} stories; "
              f"vectors of {vectors.shape[1]} numbers\n")
        print_table(rows)
        print()
        print_table(settings_rows(notebook, truth))
        names["client"].close()


def our_rows(notebook, truth):
    """Return the table's rows of this notebook, without and with the noise that leans to a story.

    One order of the rows is enough: the notebook sorts them, and its tests see that it finds the same in any.
    """
    started = time.perf_counter()
    notebook.run("Nearest neighbours", "Graph and tree")
    notebook.run_until("Stories", "labels")
    seconds = time.perf_counter() - started
    notebook.run("Stories")  # for the function that says what leans
    return [table_row("this notebook", [scores(notebook.names["labels"], truth, seconds)]),
            table_row("this notebook, leaning noise joined", [scores(with_leaning(notebook), truth, seconds)])]


def with_leaning(notebook):
    """Return the labels, in which the noise that leans to a story has the number of that story."""
    labels, near = notebook.names["labels"], notebook.names["neighbours"][:, 1:6]
    return np.where(labels >= 0, labels, notebook.names["closest_story"](near))


def other_rows(vectors, truth):
    """Return the table's rows of the other ways; what they compile is compiled beforehand."""
    rows, orders = [], [np.random.default_rng(seed).permutation(len(truth)) for seed in range(ORDERS)]
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


def settings_rows(notebook, truth):
    """Return rows of a table: what other values of MIN_SAMPLES give."""
    rows = []
    for samples in 1, 2, 3, 4, 5:
        notebook.names["MIN_SAMPLES"] = samples
        notebook.run("Graph and tree")
        notebook.run_until("Stories", "labels")
        rows.append({"`MIN_SAMPLES`": str(samples), "F": f"{b_cubed(notebook.names['labels'], truth)[2]:.3f}",
                     "F, leaning joined": f"{b_cubed(with_leaning(notebook), truth)[2]:.3f}"})
    return rows


def scores(labels, truth, seconds):
    """Return figures by name. `truth` has the story of each of n headlines, "" where it tells none."""
    precision, recall, f = b_cubed(labels, truth)
    own_stories = np.where(truth == "", np.arange(len(truth)).astype(str), truth)
    told, clustered = truth != "", (truth != "") & (labels >= 0)
    return {"precision": precision, "recall": recall, "F": f, "F of all": b_cubed(labels, own_stories)[2],
            "Rand": adjusted_rand_score(truth[told], noise_apart(labels)[told]),
            "homogeneity": homogeneity_score(truth[clustered], labels[clustered]),
            "stories": labels.max() + 1, "noise": 100 * np.mean(labels < 0), "seconds": seconds}


def table_row(way, found):
    """Return a row of the table: the mean of each figure over the orders of the rows, and the range of F."""
    figures = pd.DataFrame(found)
    digits = {"stories": 0, "noise": 0, "seconds": 1}
    means = {name: f"{mean:.{digits.get(name, 3)}f}" for name, mean in figures.mean().items()}
    means["F"] += f" ({figures['F'].min():.3f} to {figures['F'].max():.3f})" if len(found) > 1 else ""
    return {"way": way} | means | {"noise": means["noise"] + " %"}


def noise_apart(labels):
    """Return the labels, in which each headline of the noise is a cluster of its own."""
    return np.where(labels >= 0, labels, -1 - np.arange(len(labels)))


def b_cubed(labels, truth):
    """Return B-cubed precision, recall and their harmonic mean, over the headlines that tell a story.

    Precision is the share of a headline's cluster that tells its story, recall the share of its story that is in its
    cluster, both as means over the headlines. Headlines without a story count as strangers in a cluster.
    """
    table = pd.DataFrame({"cluster": noise_apart(labels), "story": truth})
    together = table.groupby(["cluster", "story"])["story"].transform("size")
    of_cluster = together / table.groupby("cluster")["story"].transform("size")
    of_story = together / table.groupby("story")["story"].transform("size")
    precision, recall = of_cluster[truth != ""].mean(), of_story[truth != ""].mean()
    return precision, recall, 2 * precision * recall / (precision + recall)
