"""Seconds and memory of the notebook beside other ways to the same map, in one table. By hand, on Linux.

Usage: python tests/benchmark.py [--rows 1000 5000 20000] [--csv FILE] [--ways 1 2 3 4 5 6] [--profile]

Rows are random unit vectors of 1,024 numbers with known clusters, or the CSV's headlines embedded with lsa. Each way
runs in a process of its own, after a small UMAP has been compiled. Memory is each stage's peak beyond the imports.
  1  the notebook, Milvus Lite, L2        4  the published tutorial's way (Milvus Lite, L2)
  2  the notebook, Milvus Lite, IP        5  no database: hdbscan on the vectors, UMAP from the vectors
  3  the notebook, Milvus server, L2      6  UMAP to 5 dimensions, hdbscan on these, UMAP from the vectors
  7  the notebook, Milvus Lite, HNSW      8  the notebook, Milvus server, HNSW       (approximate; not run unless asked)
Recall is the share of the exact nearest neighbours that a way's table contains. Agreement and truth are adjusted Rand
indices, for which all noise is one cluster.
"""
import argparse
import cProfile
import json
import os
import pstats
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
from sklearn.preprocessing import normalize

from conftest import NOTEBOOK, milvus_server, recall

WAYS = {1: "notebook, Lite L2", 2: "notebook, Lite IP", 3: "notebook, server L2", 4: "as published, Lite L2",
        5: "no database", 6: "UMAP, then HDBSCAN", 7: "notebook, Lite HNSW", 8: "notebook, server HNSW"}
ON_SERVER, OF_NOTEBOOK = (3, 8), (1, 2, 3, 7, 8)
SECTIONS = {"4": "store", "5": "neighbours", "6": "cluster", "7": "cluster", "9": "map"}


def make_vectors(rows):
    """Return unit vectors and the cluster of each (-1: none): clusters of 3 to 20 rows in 20 topics, a fifth alone."""
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
    """Seconds spent in each stage, and its peak of memory beyond what the imports take."""

    def __init__(self):
        self.seconds, self.megabytes = {}, {}

    def begin(self):
        import umap
        points = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
        umap.UMAP(random_state=0, n_jobs=1, n_neighbors=5).fit_transform(points)  # which compiles it
        self.before = memory("VmRSS")

    @contextmanager
    def measure(self, stage):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        started = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0) + time.perf_counter() - started
        self.megabytes[stage] = max(self.megabytes.get(stage, 0), memory("VmHWM") - self.before)


def map_from_vectors(vectors):
    import umap
    umap.UMAP(n_components=2, n_neighbors=80, min_dist=0.1, random_state=42, n_jobs=1).fit_transform(vectors)


def notebook_way(vectors, address, way, stages, profile):
    """Execute the notebook's own cells, with the vectors in place of embeddings; return labels and neighbours."""
    titles = [f"headline {number}" for number in range(len(vectors))]
    pd.DataFrame({"title": titles}).to_csv("headlines.csv", index=False)
    os.environ |= {"NEWS_CSV": "headlines.csv", "EMBEDDING_MODEL": "lsa", "MILVUS_ADDRESS": address,
                   "METRIC_TYPE": "IP" if way == 2 else "L2", "INDEX_TYPE": "HNSW" if way in (7, 8) else "FLAT",
                   "MILVUS_COLLECTION": f"benchmark_{os.getpid()}"}
    names, section = {"display": lambda *_: None}, ""
    for cell in nbformat.read(NOTEBOOK, 4).cells:
        if heading := re.search(r"^## (\d+)\.", cell.source, re.M) if cell.cell_type == "markdown" else None:
            section = heading.group(1)
        if cell.cell_type == "markdown" or "%pip" in cell.source:
            if "%pip" in cell.source:
                exec(cell.source.split("missing = ")[0], names)
            continue
        if section == "3" and "embed, fingerprint = fit_lsa" in cell.source:
            table = dict(zip(titles, vectors))
            if profile:  # it sees one thread only, so the notebook's two become one
                names["ThreadPoolExecutor"] = lambda workers: nullcontext(SimpleNamespace(map=map))
            names |= {"embed": lambda texts: np.array([table[text] for text in texts]), "model": "benchmark", "fallback": False}
            stages.begin()
            continue
        if "all_pairs = pairwise_distances" in cell.source:  # the judgement, which is no part of the way
            continue
        if section in ("", "1", "2", "3", "8", *SECTIONS):
            with stages.measure(SECTIONS[section]) if section in SECTIONS else nullcontext():
                if profile and section in SECTIONS and section != "4":
                    profile.enable()
                exec(compile(cell.source, f"<notebook, section {section}>", "exec"), names)
                if profile:
                    profile.disable()
    if address.startswith("http"):
        names["client"].drop_collection(names["MILVUS_COLLECTION"])
    labels = np.empty(len(vectors), dtype=int)
    labels[names["news"].index] = names["labels"]
    return labels, names["neighbours"]


def published_way(vectors, stages):
    """Insert row by row, search ten at a time, fill an n x n matrix; its matrix made symmetric and finite."""
    import hdbscan
    from pymilvus import DataType, MilvusClient
    stages.begin()
    rows = len(vectors)
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
        matrix = np.full((rows, rows), np.inf)
        for start in range(0, rows, 10):
            found = client.search("published", vectors[start:start + 10], limit=50, output_fields=["id"])
            for row, hits in enumerate(found, start):
                for hit in hits:
                    matrix[row, hit["id"]] = hit["distance"]
    with stages.measure("cluster"):
        np.minimum(matrix, matrix.T, out=matrix)
        matrix[np.isinf(matrix)] = 2 * matrix[np.isfinite(matrix)].max()
        labels = hdbscan.HDBSCAN(min_samples=3, min_cluster_size=3, metric="precomputed").fit_predict(matrix)
    with stages.measure("map"):
        map_from_vectors(vectors)
    return labels


def without_database(vectors, stages, reduce):
    """HDBSCAN on the vectors, or on five dimensions that UMAP makes of them."""
    import hdbscan
    import umap
    stages.begin()
    with stages.measure("cluster"):
        if reduce:
            points = umap.UMAP(n_components=5, n_neighbors=15, min_dist=0.0, random_state=42, n_jobs=1).fit_transform(vectors)
        labels = hdbscan.HDBSCAN(min_samples=3, min_cluster_size=3).fit_predict(points if reduce else vectors)
    with stages.measure("map"):
        map_from_vectors(vectors)
    return labels


def work(way, folder, address, with_profile):
    """Go one way in this process, and leave labels and figures in the folder."""
    vectors, stages = np.load(folder / "vectors.npy"), Stages()
    profile = cProfile.Profile() if with_profile else None
    os.chdir(tempfile.mkdtemp(dir=folder))
    if way in OF_NOTEBOOK:
        labels, neighbours = notebook_way(vectors, address or "./milvus.db", way, stages, profile)
        np.save(folder / f"neighbours{way}.npy", neighbours)
    elif way == 4:
        labels = published_way(vectors, stages)
    else:
        labels = without_database(vectors, stages, reduce=way == 6)
    np.save(folder / f"labels{way}.npy", labels)
    (folder / f"figures{way}.json").write_text(json.dumps([stages.seconds, stages.megabytes]))
    if profile:
        stats = pstats.Stats(profile).sort_stats("cumulative").print_stats(35)
        print(f"way {way}: {own_share(stats):.1%} of the time is the notebook's own")


def own_share(stats):
    """Return the share of time that the cells spend outside of Milvus, hdbscan and UMAP; numpy and scipy are inside."""
    elsewhere = sum(
        times[3] for (file, _, _), (*_, callers) in stats.stats.items() if re.search("pymilvus|hdbscan|umap", file)
        for (caller, _, _), times in callers.items() if caller.startswith("<notebook"))
    return 1 - elsewhere / stats.total_tt


def server_memory(process):
    """Return the peak memory of the Milvus server below this process, in MB."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return sum(memory("VmHWM", child) for child in children)


def compare(folder, name, vectors, truth, ways, with_profile):
    """Go each way on the same vectors and return the table's rows."""
    from sklearn.metrics import adjusted_rand_score
    np.save(folder / "vectors.npy", vectors)
    rows, exact = [], None
    for way in ways:
        row = {"rows": name, "way": f"{way} {WAYS[way]}"}
        with ExitStack() as stack:
            address, server = "", None
            if way in ON_SERVER:
                address, server = stack.enter_context(milvus_server(tempfile.mkdtemp(dir=folder)))
            command = [sys.executable, __file__, "--work", str(way), str(folder), address] + ["--profile"] * with_profile
            out = None if with_profile else subprocess.DEVNULL
            finished = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True)
            if server:
                row["server MB"] = server_memory(server)
        if finished.returncode:
            last = (finished.stderr.strip().splitlines() or ["killed"])[-1]
            row["failed"] = f"exit {finished.returncode}: {last[:60]}"
        else:
            seconds, megabytes = json.loads((folder / f"figures{way}.json").read_text())
            row |= {f"{stage}, s / MB": f"{seconds[stage]:,.1f} / {megabytes[stage]:,.0f}" if stage in seconds else ""
                    for stage in ("store", "neighbours", "cluster", "map")}
            row["neighbours to map, s"] = sum(seconds.values()) - seconds.get("store", 0)
            row["labels"] = np.load(folder / f"labels{way}.npy")
            if way in OF_NOTEBOOK:
                neighbours = np.load(folder / f"neighbours{way}.npy")
                exact = neighbours if exact is None and way in (1, 2, 3) else exact
                row["rows/s"] = len(vectors) / seconds["neighbours"]
                row["recall"] = np.nan if exact is None else recall(exact, neighbours)
        rows.append(row)
        print({column: value for column, value in row.items() if column != "labels"}, file=sys.stderr, flush=True)
    all_pairs = next((row["labels"] for row in rows if row["way"].startswith("5") and "labels" in row), None)
    published = next((row for row in rows if row["way"].startswith("4") and "labels" in row), None)
    for row in rows:
        labels = row.pop("labels", None)
        if labels is not None:
            row["clusters"], row["noise %"] = labels.max() + 1, 100 * np.mean(labels < 0)
            row["agreement with 5"] = np.nan if all_pairs is None else adjusted_rand_score(all_pairs, labels)
            row["with the truth"] = adjusted_rand_score(truth, labels)
            if published:
                row["times as fast as 4"] = published["neighbours to map, s"] / row["neighbours to map, s"]
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[1000, 5000, 20000])
    parser.add_argument("--csv", type=Path, help="a CSV with title, and story if it has one, in place of random rows")
    parser.add_argument("--ways", type=int, nargs="*", default=range(1, 7))
    parser.add_argument("--profile", action="store_true", help="print a profile of the notebook's ways")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        return work(int(given.work[0]), Path(given.work[1]), given.work[2], given.profile)
    table = []
    with tempfile.TemporaryDirectory() as folder:
        if given.csv:
            names = {}
            for cell in nbformat.read(NOTEBOOK, 4).cells:
                if cell.cell_type == "code" and re.search(r"^import |^def fit_lsa", cell.source, re.M) and "%pip" not in cell.source:
                    exec(cell.source.split("logging.getLogger")[0], names)
            news = pd.read_csv(given.csv, dtype=str, keep_default_na=False).drop_duplicates("title")
            texts = (news["title"] + "\n" + news.get("description", "")).str.strip().tolist()
            stories = pd.factorize(news["story"].replace("", None))[0] if "story" in news else np.zeros(len(news))
            table = compare(Path(folder), given.csv.name, names["fit_lsa"](texts)[0](texts), stories, given.ways, given.profile)
        for rows in [] if given.csv else given.rows:
            table += compare(Path(folder), f"{rows:,}", *make_vectors(rows), given.ways, given.profile)
    frame = pd.DataFrame(table)
    print("| " + " | ".join(frame.columns) + " |\n|" + " --- |" * len(frame.columns))
    for row in frame.itertuples(index=False):
        print("| " + " | ".join("" if pd.isna(value) else value if isinstance(value, str) else f"{value:,.2f}"
                                if abs(value) < 10 else f"{value:,.0f}" for value in row) + " |")


if __name__ == "__main__":
    main()
