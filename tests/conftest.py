"""What the tests share: runs of the notebook's cells, a small model, a Milvus server.

Its functions are imported from `notebook`; what needs the cells around them is run here.
"""

import ast
import contextlib
import io
import os
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import nbformat
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from milvus_lite.server_manager import server_manager_instance
from scipy.spatial.distance import pdist, squareform
from sklearn.neighbors import NearestNeighbors

import notebook
from notebook import CODE, ROOT
from notebook import PATH as NOTEBOOK

COMMAND = f"nbconvert --to notebook --execute --output-dir output {NOTEBOOK.name}"  # the README's
SAMPLE = ROOT / "data" / "sample_headlines.csv"
FIGURE = "application/vnd.plotly.v1+json"  # among the outputs of a cell
OWN = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PLOTLY_"))}
HUB = socket.socket()  # where models are asked for: it refuses callers, unless a test listens
HUB.bind(("127.0.0.1", 0))


def environment(folder, settings):
    """Return the environment of a run in this folder: the sample, lsa, and what `settings` say."""
    defaults = {
        "NEWS_CSV": SAMPLE,
        "EMBEDDING_MODEL": "lsa",
        "MILVUS_ADDRESS": folder / "milvus.db",
        "HF_HOME": folder / "hub",
        "HF_ENDPOINT": f"http://127.0.0.1:{HUB.getsockname()[1]}",
    }
    settings = dict.fromkeys(notebook.SETTINGS) | defaults | settings  # none of the tester's own
    given = {name: str(value) for name, value in settings.items() if value is not None}
    return {name: value for name, value in OWN.items() if name not in settings} | given


def execute(source, names):
    """Execute a cell on these variables; return what it printed, and a list of what it showed."""
    body, shown = ast.parse(source).body, []
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    names["display"] = shown.append
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(ast.Module(body, []), "<cell>", "exec"), names)  # noqa: S102
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names) if last else None
    return out.getvalue(), shown + [value] * (value is not None)


class Run(SimpleNamespace):
    """The variables of a run as attributes; `folder`, `said` (all it printed), and its `cells`."""

    __repr__ = object.__repr__  # short, for pytest's reports


@contextlib.contextmanager
def runner(folder):
    """Give a function that executes the notebook in this folder and process; close its clients.

    It takes settings as keyword arguments, `until`, the name of a variable that ends the run as
    soon as there is one, and `times`, how often each cell is executed. `run.again(found, since)`
    executes an earlier run's cells once more, from the one on that made the variable `since`.
    """
    runs = []

    def go_through(found, numbers, until, times, settings):
        with (
            contextlib.chdir(folder),
            mock.patch.dict(os.environ, environment(folder, settings), clear=True),
        ):
            for number in numbers:
                for _ in range(0 if CODE[number].source.startswith("%") else times):
                    before = set(vars(found))
                    said, shown = execute(CODE[number].source, vars(found))
                    for name in set(vars(found)) - before:
                        found.made_by[name] = number
                    found.said += said
                    found.cells.append(SimpleNamespace(number=number, said=said, shown=shown))
                if until and until in found.made_by:
                    break
        return found

    def run(until=None, times=1, **settings):
        runs.append(Run(folder=folder, said="", cells=[], made_by={}))
        return go_through(runs[-1], range(len(CODE)), until, times, settings)

    def again(found, since, until=None, **settings):
        end = found.made_by[until] + 1 if until else len(CODE)
        return go_through(found, range(found.made_by[since], end), None, 1, settings)

    run.again = again
    try:
        yield run
    finally:
        for found in runs:
            if hasattr(found, "client"):
                found.client.close()
                address = found.settings["MILVUS_ADDRESS"]
                if address.endswith(".db"):
                    server_manager_instance.release_server(address)


def tables(run, column):
    """Return the tables with this column that a run showed."""
    return [
        output
        for cell in run.cells
        for output in cell.shown
        if isinstance(output, pd.DataFrame) and column in output
    ]


def pictures(run, title=""):
    """Return the pictures that a run showed whose title contains this."""
    return [
        output
        for cell in run.cells
        for output in cell.shown
        if isinstance(output, go.Figure) and title in (output.layout.title.text or "")
    ]


def nearest(vectors, columns, is_exact=True):
    """Return Neighbours of these vectors, the row itself first; found by scikit-learn."""
    vectors = np.asarray(vectors, dtype=float)
    search = NearestNeighbors(n_neighbors=columns, algorithm="brute").fit(vectors)
    distances, rows = search.kneighbors(vectors)
    for row, (found, lengths) in enumerate(zip(rows, distances, strict=True)):
        place = np.flatnonzero(found == row)
        order = np.r_[
            place[:1] if len(place) else columns - 1,
            np.delete(np.arange(columns), place[:1] if len(place) else columns - 1),
        ]
        found[:], lengths[:] = found[order], lengths[order]
        found[0], lengths[0] = row, 0
    return notebook.Neighbours(rows, distances, is_exact)


def complete_weights(vectors, min_samples=3):
    """Return n x n weights of all pairs in double precision, by the rule of section 7."""
    between = squareform(pdist(np.asarray(vectors, dtype=float)))
    core = np.sort(between, axis=1)[:, min_samples]
    reachability = np.maximum(between, np.maximum(core[:, None], core))
    weights = np.maximum(reachability, 0.05) + 1e-4 * between
    np.fill_diagonal(weights, 0)
    return weights


def executed(folder, sources, **settings):
    """Execute cells by the README's command in this folder; return status, words and outputs."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / NOTEBOOK.name)
    done = subprocess.run(
        [sys.executable, "-m", *COMMAND.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=environment(folder, {"PIP_NO_INDEX": "1"} | settings),
    )
    path = folder / "output" / NOTEBOOK.name
    outputs = [
        output
        for cell in (nbformat.read(path, 4).cells if path.exists() else [])
        for output in cell.get("outputs", [])
    ]
    return SimpleNamespace(folder=folder, status=done.returncode, said=done.stderr, outputs=outputs)


@pytest.fixture
def run(tmp_path):
    """A function that executes the notebook in this process, see `runner`."""
    with runner(tmp_path) as function:
        yield function


@pytest.fixture(scope="session")
def sample_run(tmp_path_factory):
    """The whole notebook on the sample, with lsa and Milvus Lite; nobody changes it."""
    with runner(tmp_path_factory.mktemp("sample")) as function:
        yield function()


@pytest.fixture(scope="session")
def sample():
    """The sample's table."""
    return pd.read_csv(SAMPLE, dtype=str, keep_default_na=False)


@pytest.fixture(scope="session")
def saved(sample_run):
    """clusters.csv of the sample."""
    return pd.read_csv(sample_run.folder / "output" / "clusters.csv", keep_default_na=False)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """The folder of a small model in BGE-M3's format, made in a process of its own."""
    folder = tmp_path_factory.mktemp("checkpoint")
    script = Path(__file__).with_name("checkpoint.py")
    subprocess.run(
        [sys.executable, script, folder / "small-bge-m3", SAMPLE],
        env=environment(folder, {}),
        check=True,
    )
    return folder / "small-bge-m3"


def free_port():
    """Return a port on loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def milvus_server(folder, *options):
    """Run a real Milvus server with its data in this folder; give its address and its process."""
    port, script = free_port(), Path(__file__).with_name("server.py")
    command = [sys.executable, script, folder, str(port), *options]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the Milvus server did not start; what it said is above")
        yield f"http://127.0.0.1:{port}", process
        process.stdin.close()  # which stops it


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Settings for a real Milvus server, older than today's, with authorization switched on."""
    if not find_spec("milvus"):
        pytest.skip("the package milvus, which holds the server, is for Linux on x86-64 only")
    with milvus_server(tmp_path_factory.mktemp("server"), "authorization") as (address, _):
        yield {"MILVUS_ADDRESS": address, "MILVUS_TOKEN": "root:Milvus"}
