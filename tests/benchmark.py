"""Seconds and memory of the notebook beside other ways to the same map, and its speed of embedding. By hand, on Linux.

python tests/benchmark.py [--rows 1000 5000 20000] [--csv FILE] [--ways 1 2 3 4 5 6] [--profile] [--save FILE.json]
    Rows are random unit vectors of 1,024 numbers with known clusters, or the CSV's headlines embedded with lsa. Each
    way runs in a process of its own, after small UMAPs have been compiled. Memory is each stage's peak beyond the
    imports. Ways 7 and 8 are approximate, and run only if asked for. Nothing is set in ways 1 and 3 but the address:
      1  the notebook, Milvus Lite (L2; IP past 5,000 rows)    5  no database: hdbscan and UMAP on the vectors
      2  the notebook, Milvus Lite, METRIC_TYPE=L2             6  UMAP to 5 dimensions, hdbscan on these, then as 5
      3  the notebook, Milvus server                           7  the notebook, Milvus Lite, INDEX_TYPE=HNSW
      4  the published tutorial's way (Milvus Lite, L2)        8  the notebook, Milvus server, INDEX_TYPE=HNSW
    Recall is the share of the exact nearest neighbours that a way's table contains. Agreement and truth are adjusted
    Rand indices, for which all noise is one cluster.
python tests/benchmark.py --chart FILE.svg|png [--load FILE.json ...]
    Draws seconds from neighbours to map, of the figures just measured or of those that --save has written.
python tests/benchmark.py --embedding [--layers 24] [--repeat 2]
    Headlines per second through a model of BGE-M3's size with random weights; needs 2 GB of disk and 8 GB of memory.
"""
import argparse
import cProfile
import io
import itertools
import json
import os
import pstats
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from conftest import SAMPLE, milvus_server, recall, sections

WAYS = {1: "this notebook, Milvus Lite", 2: "this notebook, Milvus Lite, L2", 3: "this notebook, Milvus server",
        4: "published tutorial", 5: "HDBSCAN without a database", 6: "UMAP to 5 numbers first",
        7: "this notebook, Milvus Lite, HNSW", 8: "this notebook, Milvus server, HNSW"}
ON_SERVER, OF_NOTEBOOK = (3, 8), (1, 2, 3, 7, 8)
SETTINGS = {2: {"METRIC_TYPE": "L2"}, 7: {"INDEX_TYPE": "HNSW"}, 8: {"INDEX_TYPE": "HNSW"}}
STAGES = {4: "store", 5: "neighbours", 6: "cluster", 7: "cluster", 9: "map"}  # of the notebook's sections


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

    def begin(self, from_vectors=0):
        """Compile UMAP as it will be used: for neighbours that are given, or for so many vectors that it searches."""
        import umap
        points = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
        distances, neighbours = NearestNeighbors(n_neighbors=5).fit(points).kneighbors(points)
        given = {"force_approximation_algorithm": from_vectors >= 4096}  # from there on UMAP approximates
        given = given if from_vectors else {"precomputed_knn": (neighbours, distances, None)}
        umap.UMAP(random_state=0, n_jobs=1, n_neighbors=5, **given).fit_transform(points)
        self.before = memory("VmRSS")

    @contextmanager
    def measure(self, stage):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        started = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0) + time.perf_counter() - started
        self.megabytes[stage] = max(self.megabytes.get(stage, 0), memory("VmHWM") - self.before)


def run_notebook(chosen, settings, embed=None, around=lambda section, names: nullcontext()):
    """Execute the chosen sections under these settings; return the variables. `embed`, if given, replaces any model.

    Each cell runs inside of the context that `around` returns. The check against all pairs is left out.
    """
    names = {"display": lambda *_: None}
    for section, source in ((section, source) for section in chosen for source in sections()[section]):
        if "def setting(" in source:  # nothing of the environment or of a file .env gets in
            names["setting"] = lambda name, default, allowed=(): settings.get(name, default)
        elif embed and "model = EMBEDDING_MODEL" in source:
            names |= {"model": "benchmark", "embed": embed}
        elif not re.search("%pip|np.triu_indices", source):
            with around(section, names):
                exec(compile(source, f"<notebook, section {section}>", "exec"), names)
    return names


def notebook_way(vectors, address, way, stages, profile):
    """Go the notebook's way, with the vectors in place of embeddings; return labels and neighbours."""
    pd.DataFrame({"title": [f"headline {row}" for row in range(len(vectors))]}).to_csv("headlines.csv", index=False)

    @contextmanager
    def around(section, names):
        if section == 4 and not stages.seconds:  # all is imported, nothing is done
            stages.begin()
        if profile:  # it sees one thread only, so the notebook's two become one
            names["ThreadPoolExecutor"] = lambda workers: nullcontext(SimpleNamespace(map=map))
        with (stages.measure(STAGES[section]) if section in STAGES else nullcontext(),
              profile if profile and section in STAGES and section != 4 else nullcontext()):
            yield

    names = run_notebook(
        range(1, 10), {"NEWS_CSV": "headlines.csv", "MILVUS_ADDRESS": address} | SETTINGS.get(way, {}),
        lambda texts: vectors[[int(text.split()[1]) for text in texts]], around)
    labels = np.empty(len(vectors), dtype=int)
    labels[names["news"]["title"].str.split().str[1].astype(int)] = names["labels"]  # its order is the notebook's own
    return labels, names["neighbours"]


def published_way(vectors, stages):
    """Insert row by row, search ten at a time, fill an n x n matrix; its matrix made symmetric and finite."""
    import hdbscan
    from pymilvus import DataType, MilvusClient
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
        return hdbscan.HDBSCAN(min_samples=3, min_cluster_size=3, metric="precomputed").fit_predict(matrix)


def without_database(vectors, stages, reduce):
    """HDBSCAN on the vectors, or on five dimensions that UMAP makes of them."""
    import hdbscan
    import umap
    with stages.measure("cluster"):
        if reduce:
            vectors = umap.UMAP(n_components=5, n_neighbors=15, min_dist=0.0, random_state=42, n_jobs=1).fit_transform(vectors)
        return hdbscan.HDBSCAN(min_samples=3, min_cluster_size=3).fit_predict(vectors)


def work(way, folder, address, with_profile):
    """Go one way in this process, and leave labels and figures in the folder."""
    vectors, stages, profile = np.load(folder / "vectors.npy"), Stages(), cProfile.Profile() if with_profile else None
    os.chdir(tempfile.mkdtemp(dir=folder))
    if way in OF_NOTEBOOK:
        labels, neighbours = notebook_way(vectors, address or "./milvus.db", way, stages, profile)
        np.save(folder / f"neighbours{way}.npy", neighbours)
    else:
        import umap
        stages.begin(from_vectors=len(vectors))
        labels = published_way(vectors, stages) if way == 4 else without_database(vectors, stages, reduce=way == 6)
        with stages.measure("map"):
            umap.UMAP(n_components=2, n_neighbors=80, min_dist=0.1, random_state=42, n_jobs=1).fit_transform(vectors)
    np.save(folder / f"labels{way}.npy", labels)
    (folder / f"figures{way}.json").write_text(json.dumps({"seconds": stages.seconds, "megabytes": stages.megabytes}))
    if profile and way in OF_NOTEBOOK:
        stats = pstats.Stats(profile).sort_stats("cumulative").print_stats(35)
        print(f"way {way}: {own_share(stats):.1%} of the time is the notebook's own")


def own_share(stats):
    """Return the share of time that the cells spend outside of Milvus, hdbscan and UMAP; numpy and scipy are inside."""
    elsewhere = sum(
        times[3] for (file, _, _), (*_, callers) in stats.stats.items() if re.search("pymilvus|hdbscan|umap", file)
        for (caller, _, _), times in callers.items() if caller.startswith("<notebook"))
    return 1 - elsewhere / stats.total_tt


def go(way, folder, with_profile):
    """Go one way in a process of its own, on a Milvus server of its own if it needs one; return the figures."""
    with ExitStack() as stack:
        address, server = stack.enter_context(milvus_server(tempfile.mkdtemp(dir=folder))) if way in ON_SERVER else ("", None)
        command = [sys.executable, __file__, "--work", str(way), str(folder), address] + ["--profile"] * with_profile
        out = None if with_profile else subprocess.DEVNULL
        finished = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True)
        if finished.returncode:
            last = (finished.stderr.strip().splitlines() or ["killed"])[-1]
            raise RuntimeError(f"exit {finished.returncode}: {last[:60]}")
        figures = json.loads((folder / f"figures{way}.json").read_text())
        if server:
            children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
            figures["server MB"] = sum(memory("VmHWM", child) for child in children)
        return figures


def compare(folder, vectors, truth, ways, with_profile):
    """Go each way on the same vectors and return the figures of each."""
    np.save(folder / "vectors.npy", vectors)
    figures, labels, exact = {way: {"rows": len(vectors), "way": way} for way in ways}, {}, None
    for way, figure in figures.items():
        try:
            figure |= go(way, folder, with_profile)
            seconds, labels[way] = figure["seconds"], np.load(folder / f"labels{way}.npy")
            figure["neighbours to map, s"] = sum(seconds.values()) - seconds.get("store", 0)
            if way in OF_NOTEBOOK:
                neighbours = np.load(folder / f"neighbours{way}.npy")
                exact = neighbours if exact is None and way in (1, 2, 3) else exact
                figure["rows/s"] = len(vectors) / seconds["neighbours"]
                figure["recall"] = None if exact is None else recall(exact, neighbours)
        except RuntimeError as problem:
            figure["failed"] = str(problem)
        print(figure, file=sys.stderr, flush=True)
    for way, found in labels.items():
        figure = figures[way]
        figure |= {"clusters": int(found.max() + 1), "noise %": float(100 * np.mean(found < 0))}
        for name, other in ("agreement with L2", 2), ("agreement with 5", 5):
            if other in labels and (other == 5 or way in OF_NOTEBOOK):
                figure[name] = adjusted_rand_score(labels[other], found)
        figure["with the truth"] = adjusted_rand_score(truth, found)
        if 4 in labels:
            figure["times as fast as 4"] = figures[4]["neighbours to map, s"] / figure["neighbours to map, s"]
    return list(figures.values())


def print_table(figures):
    """Print the figures as a table in markdown."""
    rows = []
    for figure in figures:
        stages = {f"{stage}, s / MB": f"{seconds:,.1f} / {figure['megabytes'][stage]:,.0f}"
                  for stage, seconds in figure.get("seconds", {}).items()}
        rows.append({"rows": 0, "way": 0} | stages | figure | {"way": f"{figure['way']} {WAYS[figure['way']]}"})
    frame = pd.DataFrame(rows).drop(columns=["seconds", "megabytes"], errors="ignore")
    print("| " + " | ".join(frame.columns) + " |\n|" + " --- |" * len(frame.columns))
    for row in frame.itertuples(index=False):
        print("| " + " | ".join("" if pd.isna(value) else value if isinstance(value, str) else f"{value:,.2f}"
                                if abs(value) < 10 else f"{value:,.0f}" for value in row) + " |")


def draw(figures, file):
    """Draw seconds from neighbours to map against rows, a line for each way, in colours for light and dark pages."""
    import plotly.graph_objects as go
    from sklearn.isotonic import isotonic_regression
    table = pd.DataFrame(figures).drop(columns="seconds").rename(columns={"neighbours to map, s": "seconds"})
    table = table[table["way"].isin((1, 3, 4, 5, 6))].dropna(subset="seconds").sort_values("rows")
    grey, size, height = "#7a838d", 14, 440
    low, high = np.log10([table["seconds"].min() / 1.25, table["seconds"].max() * 1.25])
    ends = table.groupby("way").tail(1).sort_values("seconds")  # the names go there, moved apart where they would touch
    ends["height"] = (np.log10(ends["seconds"]) - low) / (high - low)
    room = ends.groupby("rows").cumcount() * (size + 6) / (height - 120)
    ends["height"] = (ends["height"] - room).groupby(ends["rows"]).transform(isotonic_regression) + room
    chart = go.Figure()
    for end in ends.to_dict("records"):
        line, is_ours = table[table["way"] == end["way"]], end["way"] in OF_NOTEBOOK
        colour = {1: "#2e91e5", 3: "#12a37f"}.get(end["way"], grey)
        chart.add_scatter(x=line["rows"], y=line["seconds"], mode="lines+markers", marker_size=6, zorder=int(is_ours),
                          line=dict(color=colour, width=2 + is_ours, dash="dash" if end["with the truth"] < 0.5 else "solid"))
        chart.add_annotation(x=np.log10(end["rows"]), y=end["height"], yref="paper", text=WAYS[end["way"]], xanchor="left",
                             xshift=9, showarrow=False, yanchor="middle", font=dict(color=colour, weight=700 if is_ours else 400))
    axis = dict(type="log", tickformat=",", gridcolor="rgba(122,131,141,0.25)", zeroline=False, title_font_size=size)
    chart.update_xaxes(**axis, tickvals=table["rows"].unique(), title_text="headlines", showgrid=False,
                       range=np.log10([table["rows"].min() / 1.08, table["rows"].max() * 1.03]))
    chart.update_yaxes(**axis, range=[low, high], tickvals=[digit * 10 ** power for power in range(5) for digit in (1, 2, 5)])
    chart.update_layout(
        title=dict(text="Seconds from neighbours to map", x=0, pad_l=20, font_size=17,
                   subtitle=dict(text="dashed: finds other clusters than the true ones", font_size=size)),
        font=dict(family="Helvetica, Arial, sans-serif", size=size, color=grey), showlegend=False,
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", margin=dict(l=60, r=250, t=70, b=50))
    chart.write_image(file, width=840, height=height, scale=1 if file.suffix == ".svg" else 2)


def make_model(folder, texts, layers, width, spread):
    """Make a model in BGE-M3's format, its weights random; the tokenizer is trained to 50 tokens a text, as BGE-M3's."""
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaModel, XLMRobertaTokenizer
    torch.manual_seed(0)
    XLMRobertaTokenizer().train_new_from_iterator(texts, 3000, show_progress=False).save_pretrained(folder)
    XLMRobertaModel(XLMRobertaConfig(
        vocab_size=3000, hidden_size=1024, num_hidden_layers=layers, num_attention_heads=16, intermediate_size=width,
        max_position_embeddings=8194, initializer_range=spread)).save_pretrained(folder)
    return str(folder)


def bare_loop(folder):
    """Return a function from texts to unit vectors: transformers and nothing else, batches of 16 as they come."""
    import torch
    from transformers import AutoModel, AutoTokenizer
    device, kind = ("cuda", torch.float16) if torch.cuda.is_available() else ("cpu", torch.float32)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder, dtype=kind).to(device).eval()

    @torch.inference_mode()
    def embed(texts):
        found = []
        for start in range(0, len(texts), 16):
            tokens = tokenizer(texts[start:start + 16], padding=True, truncation=True, max_length=512, return_tensors="pt")
            found.append(model(**tokens.to(device)).last_hidden_state[:, 0].float().cpu())
        return torch.nn.functional.normalize(torch.cat(found), dim=1).numpy()
    return embed


def measure_embedding(folder, layers, repeat):
    """Print headlines per second of the bare loop and of the notebook, and what bfloat16 changes."""
    import torch
    from scipy.spatial.distance import pdist
    os.chdir(folder)
    settings, no_bfloat16 = {"NEWS_CSV": str(SAMPLE)}, mock.patch("torch.cpu.get_capabilities", dict)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        names = run_notebook((1, 2, 3), settings, embed=len)
        texts = names["rows"]["text"].tolist()
        large = make_model(folder / "large", texts, layers, 4096, 0.02)
        small = make_model(folder / "small", texts, 1, 256, 0.06)  # so wide that distances are those of a trained model
        ways = {"bare loop": bare_loop(large), "notebook": names["load_bge_m3"](large)}
        with no_bfloat16:
            ways["notebook, no bfloat16"] = names["load_bge_m3"](large)
    texts, best, found = texts[:256], dict.fromkeys(ways, np.inf), {}
    for embed in ways.values():
        embed(texts[:16])
    for way, embed in list(ways.items()) * repeat:
        started = time.perf_counter()
        found[way] = embed(texts)
        best[way] = min(best[way], time.perf_counter() - started)
    capable = [name for name, has_it in torch.cpu.get_capabilities().items() if has_it and "bf16" in name]
    print(f"{layers} layers; {torch.get_num_threads()} threads; bfloat16: {capable}; GPU: {torch.cuda.is_available()}")
    for way, seconds in best.items():
        print(f"{way}: {len(texts) / seconds:.2f} headlines/s, {best['bare loop'] / seconds:.2f} times the bare loop")
    for one, other in itertools.combinations(ways, 2):
        distances, others = pdist(found[one].astype(float)), pdist(found[other].astype(float))
        print(f"{one} against {other}: a distance (median {np.median(distances):.3f}) changes by at most "
              f"{np.abs(distances - others).max():.5f}; cosine at least {(found[one] * found[other]).sum(axis=1).min():.6f}")
    runs = []
    for context in nullcontext(), no_bfloat16:
        os.chdir(tempfile.mkdtemp(dir=folder))
        with context, redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            runs.append(run_notebook(range(1, 8), settings | {"EMBEDDING_MODEL": small}))
    labels, neighbours = [run["labels"] for run in runs], [run["neighbours"] for run in runs]
    stories = " and ".join(f"{found.max() + 1} stories, {np.mean(found < 0):.0%} noise" for found in labels)
    print(f"sample, small model of random weights, with and without bfloat16: {stories}; adjusted Rand index "
          f"{adjusted_rand_score(*labels):.3f}; neighbours in common {recall(*neighbours):.1%}")


def vectors_of(file):
    """Return lsa's vectors of a CSV's headlines, and the number of each one's story (-1: none)."""
    with redirect_stdout(io.StringIO()):
        names = run_notebook((1, 2, 3), {"NEWS_CSV": str(file), "EMBEDDING_MODEL": "lsa"})
    told = names["rows"].join(names["table"].get(["story"], pd.DataFrame(columns=["story"]))).drop_duplicates("text")
    stories = told.set_index("text")["story"].replace("", None)[names["news"]["text"]]
    return names["embed"](names["news"]["text"]), pd.factorize(stories)[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[1000, 5000, 20000])
    parser.add_argument("--csv", type=Path, help="a CSV with title, and story if it has one, in place of random rows")
    parser.add_argument("--ways", type=int, nargs="*", default=range(1, 7))
    parser.add_argument("--profile", action="store_true", help="print a profile of the notebook's ways")
    parser.add_argument("--save", type=Path, help="write the figures here, as JSON")
    parser.add_argument("--load", type=Path, nargs="*", default=[], help="take these figures instead of measuring")
    parser.add_argument("--chart", type=Path, help="draw the figures here, as SVG or PNG")
    parser.add_argument("--embedding", action="store_true", help="measure the embedding instead")
    parser.add_argument("--layers", type=int, default=24, help="of the model; less for a quick check")
    parser.add_argument("--repeat", type=int, default=2, help="take the best of so many")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        return work(int(given.work[0]), Path(given.work[1]), given.work[2], given.profile)
    figures = [figure for file in given.load for figure in json.loads(file.read_text())]
    with tempfile.TemporaryDirectory() as folder:
        if given.embedding:
            return measure_embedding(Path(folder), given.layers, given.repeat)
        for vectors, truth in [] if given.load else [vectors_of(given.csv)] if given.csv else map(make_vectors, given.rows):
            figures += compare(Path(folder), vectors, truth, given.ways, given.profile)
            if given.save:  # what is measured so far
                given.save.write_text(json.dumps(figures, indent=1))
    print_table(figures)
    if given.chart:
        draw(figures, given.chart)


if __name__ == "__main__":
    main()
