"""Seconds and memory of the notebook beside other ways to the same map, and of a large neighbour table. Linux only.

Each way runs in a process of its own, after UMAP has been compiled. Memory is a stage's peak beyond the imports.
"""
import os
import re
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import umap
from pymilvus import DataType, MilvusClient
from scipy.spatial import cKDTree
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from benchmark_ways import Notebook, cluster_published_matrix, hdbscan_on_vectors, recall, umap_first
from conftest import milvus_server

NOTEBOOK_WAYS = {  # with what is set besides the address
    "lite": {}, "lite-l2": {"METRIC_TYPE": "L2"}, "lite-hnsw": {"INDEX_TYPE": "HNSW"},
    "server": {}, "server-hnsw": {"INDEX_TYPE": "HNSW"}}
OTHER_WAYS = "published", "no-database", "umap-first"


def make_vectors(rows):
    """Return unit vectors of 1,024 numbers and the cluster of each (-1: none).

    Clusters have 3 to 20 rows and lie in 20 topics; a fifth of the rows is in no cluster.
    """
    random = np.random.default_rng(rows)
    sizes = random.integers(3, 21, size=rows)
    sizes = sizes[:np.searchsorted(np.cumsum(sizes), rows * 0.8)]
    truth = np.concatenate([np.repeat(np.arange(len(sizes)), sizes), np.full(rows - sizes.sum(), -1)])
    directions = normalize(random.normal(size=(len(sizes) + (truth < 0).sum(), 1024)))
    topics = normalize(random.normal(size=(20, 1024)))[random.integers(0, 20, size=len(directions))]
    own = np.where(truth >= 0, truth, len(sizes) + np.cumsum(truth < 0) - 1)
    vectors = 0.25 * topics[own] + 0.7 * directions[own] + 0.6 * normalize(random.normal(size=(rows, 1024)))
    return normalize(vectors).astype(np.float32), truth


def memory(field, process="self"):
    """Return the memory of a process in MB: VmRSS, what it uses now, or VmHWM, the peak."""
    return int(re.search(rf"{field}:\s+(\d+)", Path(f"/proc/{process}/status").read_text()).group(1)) / 1024


class Stages:
    """Seconds spent in each stage, and its peak of memory in MB beyond what was used when this object was made."""

    def __init__(self):
        self.before, self.seconds, self.megabytes = memory("VmRSS"), {}, {}

    @contextmanager
    def measure(self, stage):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        started = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0) + time.perf_counter() - started
        self.megabytes[stage] = max(self.megabytes.get(stage, 0), memory("VmHWM") - self.before)


def compile_umap(rows):
    """Have UMAP compiled, for a slice of a neighbour table and for so many vectors (from 4,096 on, it approximates)."""
    points = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    distances, neighbours = NearestNeighbors(n_neighbors=6).fit(points).kneighbors(points)
    options = {"random_state": 0, "n_jobs": 1, "n_neighbors": 5}
    umap.UMAP(precomputed_knn=(neighbours[:, :5], distances[:, :5], None), **options).fit(points)
    umap.UMAP(force_approximation_algorithm=rows >= 4096, **options).fit(points)


def notebook_way(vectors, settings):
    """Go the notebook's way, with the vectors in place of embeddings; return labels, neighbours and stages.

    Measured are what leads to the labels, and UMAP; names, checks and pictures are not, for no other way makes them.
    """
    titles = [f"headline {row}" for row in range(len(vectors))]
    pd.DataFrame({"title": titles}).to_csv("headlines.csv", index=False)
    notebook = Notebook(NEWS_CSV="headlines.csv", **settings)
    notebook.run("Setup", "The idea, on eleven points", "Headlines")
    names = notebook.names
    names["model"], names["embed"] = "random", lambda texts: vectors[[int(text.split()[1]) for text in texts]]
    stages = Stages()
    with stages.measure("store"):
        notebook.run("Milvus")
    with stages.measure("neighbours"):
        notebook.run("Nearest neighbours")
    with stages.measure("cluster"):
        notebook.run("Graph and tree")
        notebook.run_until("Stories", "labels")
    notebook.run("Stories")
    drawing = stages.measure("map")(umap.UMAP.fit_transform)
    with mock.patch.object(umap.UMAP, "fit_transform", drawing):
        notebook.run_until("The map", "near")
    labels = np.empty(len(vectors), dtype=int)
    labels[names["news"]["row"]] = names["labels"]  # the notebook has an order of its own
    return labels, names["neighbours"], stages


def published_way(vectors, stages):
    """Insert row by row, search ten at a time, fill an n x n matrix, cluster it; return labels."""
    with stages.measure("store"):
        client = MilvusClient("./published.db")
        schema = client.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=vectors.shape[1])
        index = client.prepare_index_params()
        index.add_index("embedding", index_type="FLAT", metric_type="L2")
        client.create_collection("published", schema=schema, index_params=index)
        for row, vector in enumerate(vectors):
            client.insert("published", [{"id": row, "embedding": vector}])
        client.flush("published")
    with stages.measure("neighbours"):
        matrix = np.full([len(vectors)] * 2, np.inf)
        for start in range(0, len(vectors), 10):
            found = client.search("published", vectors[start:start + 10], limit=50, output_fields=["id"])
            for row, hits in enumerate(found, start):
                for hit in hits:
                    matrix[row, hit["id"]] = hit["distance"]
    with stages.measure("cluster"):
        return cluster_published_matrix(matrix)


def other_way(way, vectors):
    """Go one of the other ways; return labels and stages."""
    stages = Stages()
    if way == "published":
        labels = published_way(vectors, stages)
    else:
        with stages.measure("cluster"):
            labels = umap_first(vectors) if way == "umap-first" else hdbscan_on_vectors(vectors)
    with stages.measure("map"):
        umap.UMAP(n_neighbors=15, min_dist=0.5, random_state=42, n_jobs=1).fit_transform(vectors)
    return labels, stages


def work(way, file, address):
    """Go one way in this process; return labels, neighbours (None where there is no table), and figures."""
    vectors, neighbours = np.load(file), None
    os.chdir(tempfile.mkdtemp(dir=file.parent))
    compile_umap(len(vectors))
    if way in NOTEBOOK_WAYS:
        settings = NOTEBOOK_WAYS[way] | {"MILVUS_ADDRESS": address}
        labels, neighbours, stages = notebook_way(vectors, settings)
    else:
        labels, stages = other_way(way, vectors)
    return labels, neighbours, {"seconds": stages.seconds, "MB": stages.megabytes}


def go(way, file):
    """Go one way in a process of its own, on a Milvus server of its own if it needs one; see `work`."""
    with ExitStack() as stack:
        address, server = "./milvus.db", None
        if way.startswith("server"):
            address, server = stack.enter_context(milvus_server(tempfile.mkdtemp(dir=file.parent)))
        pool = stack.enter_context(ProcessPoolExecutor(1, get_context("spawn")))
        labels, neighbours, figures = pool.submit(work, way, file, address).result()
        if server:
            children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
            figures["server MB"] = sum(memory("VmHWM", child) for child in children)
    return labels, neighbours, figures


def compare_speed(rows, ways):
    """Go each way on the same vectors; after each, yield the figures of all so far, of a failed way without seconds."""
    vectors, truth = make_vectors(rows)
    all_figures, labels, neighbours = [], {}, {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vectors.npy"
        np.save(file, vectors)
        for way in ways:
            figures = {"rows": rows, "way": way}
            all_figures.append(figures)
            try:
                labels[way], neighbours[way], measured = go(way, file)
                figures |= measured
            except Exception as problem:
                figures["failed"] = f"{type(problem).__name__}: {problem}"
            yield [figures | quality(figures["way"], labels, neighbours, truth) if "seconds" in figures else figures
                   for figures in all_figures]


def quality(way, labels, neighbours, truth):
    """Return how right a way's labels and neighbours are, where there is something to compare them with.

    Recall is the share of the exact nearest neighbours that are found. The others are adjusted Rand indices, for
    which all noise is one cluster.
    """
    found = {"clusters": int(labels[way].max() + 1), "noise": float(np.mean(labels[way] < 0)),
             "truth": adjusted_rand_score(truth, labels[way])}
    if "no-database" in labels:
        found["all pairs"] = adjusted_rand_score(labels["no-database"], labels[way])
    exact = [name for name in labels if name in NOTEBOOK_WAYS and "hnsw" not in name]
    if exact and way in NOTEBOOK_WAYS:
        found["recall"] = recall(neighbours[exact[0]], neighbours[way])
        found["exact"] = adjusted_rand_score(labels[exact[0]], labels[way])
    return found


def make_points(rows):
    """Return rows x 3 points: clusters of some 80, and a fifth of the points everywhere between them."""
    random = np.random.default_rng(rows)
    count = max(1, rows // 100)
    side = 2 * count ** (1 / 3)  # of a cube in which the clusters are some 2 apart
    centres = side * random.random((count, 3))
    points = centres[random.integers(0, count, rows)] + random.normal(scale=0.2, size=(rows, 3))
    alone = random.random(rows) < 0.2
    points[alone] = side * random.random((alone.sum(), 3))
    return points


def measure_table(rows):
    """Print what it takes from a table of 50 exact neighbours of each of so many points to their labels."""
    points = make_points(rows)
    distances, neighbours = cKDTree(points).query(points, 50, workers=-1)
    notebook = Notebook()
    notebook.run("Setup", "The idea, on eleven points")
    notebook.names |= {
        "neighbours": neighbours, "distances": distances, "embeddings": points, "k": 50,
        "news": pd.DataFrame(index=range(rows)), "MIN_SAMPLES": 3, "MIN_CLUSTER_SIZE": 3}
    stages = Stages()
    with stages.measure("labels"):
        notebook.run("Graph and tree")
        notebook.run_until("Stories", "labels")
    labels = notebook.names["labels"]
    print(f"{rows:,} rows x 50 neighbours to labels: {stages.seconds['labels']:.1f} s; "
          f"peak {memory('VmHWM') / 1024:.1f} GB, of which {stages.megabytes['labels'] / 1024:.1f} GB beyond imports "
          f"and table; {labels.max() + 1:,} clusters, {np.mean(labels < 0):.0%} noise")
