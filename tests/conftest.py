"""What the tests share: the notebook, executed in this process, or by the README's command in a kernel."""
import ast
import contextlib
import io
import os
import re
import socket
import subprocess
import sys
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import hdbscan
import nbformat
import numpy as np
import pandas as pd
import pytest
from milvus_lite.server_manager import server_manager_instance
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.metrics import pairwise_distances
from sklearn.preprocessing import normalize

sys.dont_write_bytecode = True  # the tests leave nothing in the working copy
ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = Path(os.environ.get("NOTEBOOK_UNDER_TEST", ROOT / "hdbscan_clustering_with_milvus.ipynb"))
COMMAND = f"nbconvert --to notebook --execute --output-dir output {NOTEBOOK.name}"  # the README's
SAMPLE = ROOT / "data" / "sample_headlines.csv"
FIGURE = "application/vnd.plotly.v1+json"  # among the outputs of a cell
CELLS = nbformat.read(NOTEBOOK, 4).cells
SOURCE = "\n".join(cell.source for cell in CELLS if cell.cell_type == "code")
SETTINGS = sorted(set(re.findall(r"setting\(['\"](\w+)['\"]\)", SOURCE)))
OWN = {name: value for name, value in os.environ.items()  # without what the person who runs the tests has set
       if name not in SETTINGS and not name.startswith(("HF_", "PLOTLY_"))}
HUB = socket.socket()  # where models are asked for: it refuses every caller, unless a test makes it listen
HUB.bind(("127.0.0.1", 0))


@lru_cache
def sections():
    """Return {heading without its number: the sources of its code cells}."""
    found, heading = {}, ""
    for cell in CELLS:
        if cell.cell_type == "code":
            found.setdefault(heading, []).append(cell.source)
        else:
            heading = (re.findall(r"^## \d+\. (.*)$", cell.source, re.M) or [heading])[-1]
    return found


def section(words):
    """Return the heading that is these words, or the only one that contains them."""
    found = [words] if words in sections() else [heading for heading in sections() if words in heading]
    if len(found) != 1:
        raise LookupError(f"{words!r} is in {len(found)} headings of the notebook: {list(sections())}")
    return found[0]


def steps(until=None, skip=(), before={}, replace={}):
    """Return (heading, source) of the cells to execute; what is put before a section stands there as it is."""
    until, skip = until and section(until), [section(words) for words in skip]
    before, chosen = {section(words): step for words, step in before.items()}, []
    for heading, sources in sections().items():
        if heading == until:
            break
        chosen += [(heading, before[heading])] if heading in before else []
        chosen += [(heading, source) for source in sources if heading not in skip]
    for pattern, text in replace.items():
        if not any(re.search(pattern, step) for _, step in chosen):
            raise LookupError(f"nothing to replace: no cell contains {pattern}")
        chosen = [(heading, re.sub(pattern, text, step)) for heading, step in chosen]
    return chosen


def environment(folder, settings):
    """Return the environment of a run in this folder."""
    settings = {"NEWS_CSV": SAMPLE, "EMBEDDING_MODEL": "lsa", "MILVUS_ADDRESS": folder / "milvus.db",
                "HF_HOME": folder / "hub", "HF_ENDPOINT": "http://127.0.0.1:%d" % HUB.getsockname()[1]} | settings
    return OWN | {name: str(value) for name, value in settings.items() if value is not None}


def execute(source, names):
    """Execute a cell on these variables; return what it printed, and a list of what it showed."""
    body, shown = ast.parse(source).body, []
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    names["display"] = shown.append
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(ast.Module(body, []), "<cell>", "exec"), names)
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names) if last else None
    return out.getvalue(), shown + [value] * (value is not None)


@lru_cache
def imports():
    """Return the variables that the notebook's import cell makes; it is executed once."""
    names = {}
    execute(sections()["Setup"][-1], names)
    return names


class Run(SimpleNamespace):
    """The variables of a run as attributes; also `said`, all it printed, and `cells` with source, said and shown."""
    __repr__ = object.__repr__  # short, for pytest's reports


@contextlib.contextmanager
def runner(folder):
    """Give a function that executes the notebook in this folder and process; close its Milvus clients at the end.

    The function takes settings, and as in `steps` the section to stop before, sections to leave out, functions to
    call on the run before a section, and patterns to replace; also how many times each cell is to be executed.
    """
    runs = []

    def run(until=None, skip=(), before={}, replace={}, times=1, **settings):
        with contextlib.chdir(folder), mock.patch.dict(os.environ, environment(folder, settings), clear=True):
            found = Run(**imports(), folder=folder, said="", cells=[])
            runs.append(found)
            before = {section(words): function for words, function in before.items()}
            for heading, source in steps(until, [], {heading: "" for heading in before}, replace):
                if not source:
                    before[heading](found)
                elif heading not in ["Setup", *map(section, skip)]:
                    for _ in range(times):
                        said, shown = execute(source, vars(found))
                        found.said += said
                        found.cells.append(SimpleNamespace(heading=heading, source=source, said=said, shown=shown))
        return found
    try:
        yield run
    finally:
        for found in runs:
            if hasattr(found, "client"):
                found.client.close()
                server_manager_instance.release_server(found.MILVUS_ADDRESS)  # that of Milvus Lite, if it is one


def shown(run, words, kind):
    """Return the outputs of this kind, such as pd.DataFrame, of a section of a run."""
    return [output for cell in run.cells if cell.heading == section(words)
            for output in cell.shown if isinstance(output, kind)]


def names_on(figure):
    """Return the names that stand on a map, the smallest story's first."""
    return [text for trace in figure.data for text in ([] if trace.text is None else trace.text) if text]


def given_vectors(folder, vectors):
    """Return what makes a run take these vectors for embeddings; questions get the first."""
    titles = [f"point {number}" for number in range(len(vectors))]
    pd.DataFrame({"title": titles}).to_csv(folder / "points.csv", index=False)
    table = dict(zip(titles, np.float32(vectors)))

    def give(found):
        found.model = "given"
        found.embed = lambda texts: np.array([table.get(text, table["point 0"]) for text in texts])
    return {"NEWS_CSV": folder / "points.csv", "skip": ["Embeddings"], "before": {"Milvus": give}}


def count_embedded(found):
    """List in `embedded` the texts that are embedded from now on."""
    embed, found.embedded = found.embed, []
    found.embed = lambda texts: (found.embedded.extend(texts), embed(texts))[1]


def keep_model(found):
    """Take a model that learns nothing from the texts, so that its collection is kept as that of BGE-M3 is."""
    hashing = HashingVectorizer(n_features=1024, stop_words="english")
    found.model, found.embed = "kept", lambda texts: np.float32(normalize(hashing.transform(texts)).toarray())
    count_embedded(found)


KEPT = {"skip": ["Embeddings"], "before": {"Milvus": keep_model}}  # settings of a run with that model


def executed(folder, cells, **settings):
    """Execute cells by the README's command in this folder; return folder, exit status, words and outputs."""
    cells = [nbformat.v4.new_code_cell(source) for _, source in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / NOTEBOOK.name)
    done = subprocess.run([sys.executable, "-m", *COMMAND.split()], cwd=folder, capture_output=True, text=True,
                          env=environment(folder, {"PIP_NO_INDEX": "1"} | settings))
    path = folder / "output" / NOTEBOOK.name
    outputs = [output for cell in nbformat.read(path, 4).cells for output in cell.outputs] if path.exists() else []
    return SimpleNamespace(folder=folder, status=done.returncode, said=done.stderr, outputs=outputs)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """The folder of a small model in BGE-M3's format, made in a process of its own."""
    folder = tmp_path_factory.mktemp("checkpoint")
    subprocess.run([sys.executable, Path(__file__).with_name("checkpoint.py"), folder / "small-bge-m3", SAMPLE],
                   env=environment(folder, {}), check=True)
    return folder / "small-bge-m3"


@pytest.fixture
def run(tmp_path):
    """A function that executes the notebook in this process, see `runner`."""
    with runner(tmp_path) as function:
        yield function


@pytest.fixture(scope="session")
def sample_run(tmp_path_factory):
    """The whole notebook on the sample, with lsa and Milvus Lite, in this process; nobody changes it."""
    with runner(tmp_path_factory.mktemp("sample")) as function:
        yield function()


@pytest.fixture(scope="session")
def sample():
    return pd.read_csv(SAMPLE, dtype=str, keep_default_na=False)


@pytest.fixture(scope="session")
def saved(sample_run):
    """clusters.csv of the sample."""
    return pd.read_csv(sample_run.folder / "output" / "clusters.csv", keep_default_na=False)


def complete_weights(vectors, min_samples=3):
    """Return the mutual reachabilities of all pairs, with the notebook's floor and its ten-thousandth, dense."""
    between = pairwise_distances(vectors.astype(float))
    np.fill_diagonal(between, 0)
    core = np.sort(between, axis=1)[:, min_samples]
    weights = np.maximum(np.maximum(between, np.maximum.outer(core, core)), 0.05) + 1e-4 * between
    np.fill_diagonal(weights, 0)
    return weights


def fit_complete(vectors, min_samples=3, min_cluster_size=3):
    """Return HDBSCAN fitted to all pairs."""
    return hdbscan.HDBSCAN(min_cluster_size=min_cluster_size, min_samples=1, metric="precomputed",
                           cluster_selection_persistence=1e-3).fit(complete_weights(vectors, min_samples))


def free_port():
    """Return a port on loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def milvus_server(folder, *options):
    """Run a real Milvus server with its data in this folder; give its address and its process."""
    port = free_port()
    command = [sys.executable, Path(__file__).with_name("server.py"), folder, str(port), *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the Milvus server did not start; what it said is above")
        yield f"http://127.0.0.1:{port}", process
        process.stdin.close()  # which stops it


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Settings for a real Milvus server, older than today's, with authorization switched on."""
    if not find_spec("milvus"):
        pytest.skip("the package milvus, which holds the server, is made for Linux on x86-64 only")
    with milvus_server(tmp_path_factory.mktemp("server"), "authorization") as (address, _):
        yield {"MILVUS_ADDRESS": address, "MILVUS_TOKEN": "root:Milvus"}
