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
from pymilvus import DataType, MilvusClient
from scipy.spatial import cKDTree
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from benchmark_notebook import MIN_SAMPLES, N_NEIGHBORS, cluster, run_cells
from benchmark_ways import (
    cluster_published_matrix,
    hdbscan_on_vectors,
    recall,
    umap_first,
)
from conftest import milvus_server
from notebook import Neighbours, find_tree, links_in_doubt, list_reach

NOTEBOOK_WAYS = {  # with what is set besides the address
    "lite": {},
    "lite-l2": {"METRIC_TYPE": "L2"},
    "lite-hnsw": {"INDEX_TYPE": "HNSW"},
    "server": {},
    "server-hnsw": {"INDEX_TYPE": "HNSW"},
}
OTHER_WAYS = "published", "no-database", "umap-first"


def make_truth(rows, random=None):
    """Return the cluster of each row: 3 to 20 rows have the same, a fifth of them none (-1)."""
    random = random or np.random.default_rng(rows)
    sizes = random.integers(3, 21, size=rows)
    sizes = sizes[: np.searchsorted(np.cumsum(sizes), rows * 0.8)]
    truth = np.repeat(np.arange(len(sizes)), sizes)
    return np.concatenate([truth, np.full(rows - len(truth), -1)])


def make_vectors(rows):
    """Return unit vectors of 1,024 numbers, and the cluster of each; these lie in 20 topics."""
    random = np.random.default_rng(rows)
    truth = make_truth(rows, random)
    clusters = truth.max() + 1
    directions = normalize(random.normal(size=(clusters + (truth < 0).sum(), 1024)))
    topics = normalize(random.normal(size=(20, 1024)))[random.integers(0, 20, len(directions))]
    own = np.where(truth >= 0, truth, clusters + np.cumsum(truth < 0) - 1)
    scatter = normalize(random.normal(size=(rows, 1024)))
    vectors = 0.25 * topics[own] + 0.7 * directions[own] + 0.6 * scatter
    return normalize(vectors).astype(np.float32), truth


def make_titles(truth):
    """Return different titles of ten invented words: one counts, two are those of the cluster."""
    common = np.minimum(np.random.default_rng(0).zipf(1.3, size=(len(truth), 7)), 5000)
    return [
        f"headline{row} story{own}a story{own}b " + " ".join(f"word{word}" for word in words)
        for row, (own, words) in enumerate(zip(truth, common, strict=True))
    ]


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

    def add(self, stage, to):
        """Make what was measured as one stage a part of another."""
        self.seconds[to] = self.seconds.get(to, 0) + self.seconds.pop(stage)
        self.megabytes[to] = max(self.megabytes.get(to, 0), self.megabytes.pop(stage))


def compile_umap(rows):
    """Have UMAP compiled, for a slice of a neighbour table and for so many vectors (from 4,096 on,
    it approximates)."""
    points = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    distances, neighbours = NearestNeighbors(n_neighbors=6).fit(points).kneighbors(points)
    options = {"random_state": 0, "n_jobs": 1, "n_neighbors": 5}
    knn = neighbours[:, :5], distances[:, :5], None
    umap.UMAP(precomputed_knn=knn, **options).fit(points)
    umap.UMAP(force_approximation_algorithm=rows >= 4096, **options).fit(points)


def notebook_way(vectors, titles, **settings):
    """Execute the notebook's cells up to its map, with vectors in place of embeddings.

    Return labels, neighbours (in the notebook's own order), stages, and what was chosen and
    proven."""
    pd.DataFrame({"title": titles}).to_csv("titles.csv", index=False)
    stages = Stages()
    found = run_cells(
        dict(zip(titles, vectors, strict=True)), settings | {"NEWS_CSV": "titles.csv"}, stages
    )
    found["client"].close()
    labels = np.empty(len(titles), dtype=int)
    labels[found["news"]["row"]] = found["labels"]
    figures = {"groups": found["looked_at"], "min_samples": found["min_samples"]}
    return labels, found["neighbours"].rows, stages, figures


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
            part = vectors[start : start + 10]
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
                vectors, titles, MILVUS_ADDRESS=address, **NOTEBOOK_WAYS[way]
            )
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
            yield [
                done | quality(done["way"], labels, neighbours, truth)
                if "seconds" in done
                else done
                for done in all_figures
            ]


def quality(way, labels, neighbours, truth):
    """Return how right a way's labels and neighbours are, where something is there to compare with.

    Recall is the share of the exact nearest neighbours that are found. The others are adjusted Rand
    indices, for which all noise is one cluster.
    """
    found = {
        "clusters": int(labels[way].max() + 1),
        "noise": float(np.mean(labels[way] < 0)),
        "truth": adjusted_rand_score(truth, labels[way]),
    }
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
    points, samples = make_points(rows), MIN_SAMPLES or 3
    distances, neighbours = cKDTree(points).query(points, N_NEIGHBORS, workers=-1)
    stages = Stages()
    with stages.measure("tree"):
        tree, joined = find_tree(points, Neighbours(neighbours, distances, False), samples)
    with stages.measure("stories"):
        labels = cluster(tree)
    reach = list_reach(Neighbours(neighbours, distances, True))
    in_doubt = links_in_doubt(tree, reach)[0].sum()
    peak = max(stages.megabytes.values())
    print(
        f"{rows:,} rows x {N_NEIGHBORS} neighbours to labels (MIN_SAMPLES={samples}): tree "
        f"{stages.seconds['tree']:.1f} s, stories {stages.seconds['stories']:.1f} s; peak "
        f"{(stages.before + peak) / 1024:.1f} GB, of which {peak / 1024:.1f} GB beyond imports "
        f"and table; {joined:,} groups joined, {in_doubt:,} a proof would look at; "
        f"{labels.max() + 1:,} clusters, {np.mean(labels < 0):.0%} noise"
    )
