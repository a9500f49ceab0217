"""Seconds and memory of the notebook beside other ways to the same map, and of a large neighbour
table. Linux only.

Each way runs in a process of its own, after UMAP has been compiled. Memory is a stage's peak beyond
the imports.
"""
import io
import os
import re
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, redirect_stdout
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import umap
from benchmark_notebook import (
    MIN_SAMPLES,
    N_NEIGHBORS,
    cluster,
    lay_out,
    make_news,
    make_page,
    proven_tree,
    search_all,
    store,
)
from benchmark_ways import (
    cluster_published_matrix,
    hdbscan_on_vectors,
    recall,
    umap_first,
)
from conftest import milvus_server
from notebook import links_in_doubt, list_reach
from pymilvus import DataType, MilvusClient
from scipy.spatial import cKDTree
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

NOTEBOOK_WAYS = {  # with what is set besides the address
    "lite": {}, "lite-l2": {"metric": "L2"}, "lite-hnsw": {"index_type": "HNSW"},
    "server": {}, "server-hnsw": {"index_type": "HNSW"}}
OTHER_WAYS = "published", "no-database", "umap-first"


def make_vectors(rows):
    """Return unit vectors of 1,024 numbers and the cluster of each (-1: none).

    Clusters have 3 to 20 rows and lie in 20 topics; a fifth of the rows is in no cluster.
    """
    random = np.random.default_rng(rows)
    sizes = random.integers(3, 21, size=rows)
    sizes = sizes[:np.searchsorted(np.cumsum(sizes), rows * 0.8)]
    truth = np.repeat(np.arange(len(sizes)), sizes)
    truth = np.concatenate([truth, np.full(rows - len(truth), -1)])
    directions = normalize(random.normal(size=(len(sizes) + (truth < 0).sum(), 1024)))
    topics = normalize(random.normal(size=(20, 1024)))[random.integers(0, 20, len(directions))]
    own = np.where(truth >= 0, truth, len(sizes) + np.cumsum(truth < 0) - 1)
    scatter = normalize(random.normal(size=(rows, 1024)))
    vectors = 0.25 * topics[own] + 0.7 * directions[own] + 0.6 * scatter
    return normalize(vectors).astype(np.float32), truth


def make_titles(truth):
    """Return different titles of ten invented words: one counts, two are those of the cluster."""
    common = np.minimum(np.random.default_rng(0).zipf(1.3, size=(len(truth), 7)), 5000)
    return [f"headline{row} story{own}a story{own}b " + " ".join(f"word{word}" for word in words)
            for row, (own, words) in enumerate(zip(truth, common, strict=True))]


def memory(field, process="self"):
    """Return a process's memory in MB: VmRSS, what it uses now, or VmHWM, the peak."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+)", status).group(1)) / 1024


class Stages:
    """Seconds spent in each stage, and its peak of memory in MB beyond that of the beginning."""

    def __init__(self):
        self.before, self.seconds, self.megabytes = memory("VmRSS"), {}, {}

    @contextmanager
    def measure(self, stage):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        started = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - started
        self.megabytes[stage] = memory("VmHWM") - self.before


def compile_umap(rows):
    """Have UMAP compiled, for a slice of a neighbour table and for so many vectors (from 4,096 on,
    it approximates)."""
    points = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    distances, neighbours = NearestNeighbors(n_neighbors=6).fit(points).kneighbors(points)
    options = {"random_state": 0, "n_jobs": 1, "n_neighbors": 5}
    knn = neighbours[:, :5], distances[:, :5], None
    umap.UMAP(precomputed_knn=knn, **options).fit(points)
    umap.UMAP(force_approximation_algorithm=rows >= 4096, **options).fit(points)


def notebook_way(vectors, titles, address, index_type="FLAT", metric=""):
    """Go the notebook's way with vectors in place of embeddings, and write its page here.

    Return labels, neighbours (in the notebook's own order), stages, and what the proof took.
    """
    news = make_news(pd.DataFrame({"title": titles}))
    row = news["row"].to_numpy()
    vectors, stages = vectors[row], Stages()
    with stages.measure("store"):
        client, metric, embeddings = store(address, news, vectors, index_type, metric)
    with stages.measure("neighbours"):
        neighbours, distances = search_all(client, address, metric, news, embeddings)
    with stages.measure("tree"):
        tree, proof = proven_tree(embeddings, neighbours, distances, index_type == "FLAT")
    with stages.measure("stories"):
        clusterer, own_labels, order = cluster(tree)
    with stages.measure("map"):
        news[["x", "y"]] = lay_out(embeddings, neighbours, distances)
    with stages.measure("page"):
        make_page("page.html", news, embeddings, neighbours, tree, clusterer, own_labels, order)
    client.close()
    labels = np.empty(len(row), dtype=int)
    labels[row] = own_labels
    return labels, neighbours, stages, proof


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
            part = vectors[start:start + 10]
            found = client.search("published", part, limit=50, output_fields=["id"])
            for row, hits in enumerate(found, start):
                for hit in hits:
                    matrix[row, hit["id"]] = hit["distance"]
    with stages.measure("stories"):
        return cluster_published_matrix(matrix)


def other_way(way, vectors):
    """Go one of the other ways; return labels and stages."""
    stages = Stages()
    if way == "published":
        labels = published_way(vectors, stages)
    else:
        with stages.measure("stories"):
            labels = umap_first(vectors) if way == "umap-first" else hdbscan_on_vectors(vectors)
    with stages.measure("map"):
        umap.UMAP(n_neighbors=15, min_dist=0.5, random_state=42, n_jobs=1).fit_transform(vectors)
    return labels, stages


def work(way, file, titles, address):
    """Go one way in this process; return labels, neighbours (None: there is no table), figures."""
    vectors, neighbours, proof = np.load(file), None, {}
    os.chdir(tempfile.mkdtemp(dir=file.parent))
    with redirect_stdout(io.StringIO()):
        compile_umap(len(vectors))
        if way in NOTEBOOK_WAYS:
            labels, neighbours, stages, proof = notebook_way(
                vectors, titles, address, **NOTEBOOK_WAYS[way])
        else:
            labels, stages = other_way(way, vectors)
    return labels, neighbours, {"seconds": stages.seconds, "MB": stages.megabytes} | proof


def go(way, file, titles):
    """Go one way in a process of its own, on a Milvus server of its own if it needs one."""
    with ExitStack() as stack:
        address, server = "./milvus.db", None
        if way.startswith("server"):
            folder = tempfile.mkdtemp(dir=file.parent)
            address, server = stack.enter_context(milvus_server(folder))
        pool = stack.enter_context(ProcessPoolExecutor(1, get_context("spawn")))
        labels, neighbours, figures = pool.submit(work, way, file, titles, address).result()
        if server:
            children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
            figures["server MB"] = sum(memory("VmHWM", child) for child in children)
    return labels, neighbours, figures


def compare_speed(rows, ways):
    """Go each way on the same vectors; after each, yield the figures of all so far.

    Those of a way that failed have no seconds.
    """
    vectors, truth = make_vectors(rows)
    all_figures, labels, neighbours = [], {}, {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vectors.npy"
        np.save(file, vectors)
        for way in ways:
            figures = {"rows": rows, "way": way}
            all_figures.append(figures)
            try:
                labels[way], neighbours[way], measured = go(way, file, make_titles(truth))
                figures |= measured
            except Exception as problem:  # noqa: BLE001 (whatever it is, it is written down)
                figures["failed"] = f"{type(problem).__name__}: {problem}"
            yield [done | quality(done["way"], labels, neighbours, truth) if "seconds" in done
                   else done for done in all_figures]


def quality(way, labels, neighbours, truth):
    """Return how right a way's labels and neighbours are, where something is there to compare with.

    Recall is the share of the exact nearest neighbours that are found. The others are adjusted Rand
    indices, for which all noise is one cluster.
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
    """Return rows x 6 unit vectors: clusters of some 80, and a fifth of the points anywhere."""
    random = np.random.default_rng(rows)
    centres = normalize(random.normal(size=(max(1, rows // 100), 6)))
    points = centres[random.integers(0, len(centres), rows)]
    points += 0.05 * random.normal(size=points.shape)
    alone = random.random(rows) < 0.2
    points[alone] = random.normal(size=(alone.sum(), 6))
    return normalize(points).astype(np.float32)


def measure_table(rows):
    """Print what it takes from a table of neighbours of each of so many points to their labels.

    As with an approximate index, the lists are believed: groups that nothing connects are joined.
    """
    points = make_points(rows)
    distances, neighbours = cKDTree(points).query(points, N_NEIGHBORS, workers=-1)
    stages = Stages()
    with stages.measure("tree"):
        tree, proof = proven_tree(points, neighbours, distances, is_exact=False)
    with stages.measure("stories"):
        _, labels, _ = cluster(tree)
    in_doubt = links_in_doubt(tree, list_reach(distances, is_exact=True))[0].sum()
    peak = max(stages.megabytes.values())
    print(f"{rows:,} rows x {N_NEIGHBORS} neighbours to labels (MIN_SAMPLES={MIN_SAMPLES}): tree "
          f"{stages.seconds['tree']:.1f} s, stories {stages.seconds['stories']:.1f} s; peak "
          f"{(stages.before + peak) / 1024:.1f} GB, of which {peak / 1024:.1f} GB beyond imports "
          f"and table; {proof['groups']:,} groups joined, {in_doubt:,} a proof would look at; "
          f"{labels.max() + 1:,} clusters, {np.mean(labels < 0):.0%} noise")
