"""What the tests share: the notebook, executed in this process, or by the README's command in a kernel."""
import ast
import contextlib
import io
import os
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import nbformat
import numpy as np
import pandas as pd
import pytest
from milvus_lite.server_manager import server_manager_instance

sys.dont_write_bytecode = True  # the tests leave nothing in the working copy
ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = Path(os.environ.get("NOTEBOOK_UNDER_TEST", ROOT / "hdbscan_clustering_with_milvus.ipynb"))
COMMAND = f"nbconvert --to notebook --execute --output-dir output {NOTEBOOK.name}"  # the README's
SAMPLE = ROOT / "data" / "sample_headlines.csv"
FIGURE = "application/vnd.plotly.v1+json"  # among the outputs of a cell
TOKEN = "root:Milvus"  # of the server, from the start
SETTINGS = re.findall(r'^\w+ = (?:int\()?setting\("(\w+)"', "\n".join(
    cell.source for cell in nbformat.read(NOTEBOOK, 4).cells if cell.cell_type == "code"), re.M)
HUB = socket.socket()  # where models are asked for: it refuses every caller, unless a test makes it listen
HUB.bind(("127.0.0.1", 0))


@lru_cache
def sections():
    """Return {number of a section: the sources of its code cells}."""
    found, number = {}, 0
    for cell in nbformat.read(NOTEBOOK, 4).cells:
        heading = re.search(r"^## (\d+)\.", cell.source, re.M)
        if cell.cell_type == "markdown" and heading:
            number = int(heading.group(1))
        elif cell.cell_type == "code":
            found.setdefault(number, []).append(cell.source)
    return found


OWN = {name: value for name, value in os.environ.items()  # without what the person who runs the tests has set
       if name not in SETTINGS and not name.startswith(("HF_", "PLOTLY_"))}


def environment(folder, settings):
    """Return the environment of a run in this folder."""
    settings = {"NEWS_CSV": SAMPLE, "EMBEDDING_MODEL": "lsa", "MILVUS_ADDRESS": folder / "milvus.db",
                "HF_HOME": folder / "hub", "HF_ENDPOINT": "http://127.0.0.1:%d" % HUB.getsockname()[1]} | settings
    return OWN | {name: str(value) for name, value in settings.items() if value is not None}


class Run(dict):
    """The variables of a run, also as attributes; `said` is what it printed, `shown` its tables and figures."""
    __getattr__ = dict.__getitem__


def execute(source, names):
    """Execute a cell and return the value of its last expression, if that is what it ends in."""
    body = ast.parse(source).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "<cell>", "exec"), names)
    return eval(compile(ast.Expression(last.value), "<cell>", "eval"), names) if last else None


@lru_cache
def imports():
    """Return the names that the notebook's import cell makes; it is executed once."""
    names = {}
    execute(next(source for source in sections()[1] if re.search("^import ", source, re.M)), names)
    return names


@contextlib.contextmanager
def runner(folder):
    """Give a function that executes the notebook in this folder and process; close its Milvus clients at the end.

    The function takes settings, the section to stop before, sections to leave out, functions to call on the
    variables before a section, and patterns to replace in the source. It returns the variables.
    """
    runs = []

    def run(until=99, skip=(), before={}, replace={}, **settings):
        with contextlib.chdir(folder), mock.patch.dict(os.environ, environment(folder, settings), clear=True), \
                contextlib.redirect_stdout(io.StringIO()) as out:
            names = Run(imports())
            names.shown = []
            names["display"] = names.shown.append
            runs.append(names)
            for number, sources in sections().items():
                if number >= until:
                    break
                before.get(number, dict)(*[names] * (number in before))
                for source in sources if number not in skip else []:
                    for pattern, text in replace.get(number, {}).items():
                        source = re.sub(pattern, text, source)
                    if not source.startswith("%pip") and not re.search("^import ", source, re.M):
                        names.shown.append(execute(source, names))
            names.said = out.getvalue()
            return names
    try:
        yield run
    finally:
        for names in runs:
            if "client" in names:
                names["client"].close()
                server_manager_instance.release_server(names["MILVUS_ADDRESS"])  # that of Milvus Lite, if it is one


def given_vectors(folder, vectors):
    """Return what makes a run take these vectors for embeddings; questions get the first."""
    titles = [f"point {number}" for number in range(len(vectors))]
    pd.DataFrame({"title": titles}).to_csv(folder / "points.csv", index=False)
    table = dict(zip(titles, np.float32(vectors)))
    embed = {"model": "given", "embed": lambda texts: np.array([table.get(text, vectors[0]) for text in texts])}
    return {"NEWS_CSV": folder / "points.csv", "skip": [3], "before": {4: lambda names: names.update(embed)}}


def count_embedded(names):
    """List the headlines that are embedded from now on; the first is once more, where a collection is made."""
    quick, headlines, names["embedded"] = names["embed"], set(names["news"]["text"]), []

    def embed(texts):
        names["embedded"].extend(headlines.intersection(texts))
        return quick(texts)
    names["embed"] = embed


def keep_model(names):
    """Call lsa another name, so that its collection is kept as that of BGE-M3 is."""
    names["model"] = "kept"
    count_embedded(names)


def killer(function, calls):
    """Return code after which the call of this function that comes after so many others kills the kernel."""
    return f"""
calls, alive = [], {function}
def deadly(*arguments):
    calls.append(arguments)
    if len(calls) > {calls}:
        os.kill(os.getpid(), 9)
    return alive(*arguments)
{function} = deadly"""


def executed(folder, cells=None, before={}, **settings):
    """Execute the notebook by the README's command in this folder; return folder, exit status, words and outputs.

    `cells` are sources to execute instead, `before` maps a section to code put before it.
    """
    cells = cells or [source for number, sources in sections().items() for source in [before.get(number, "")] + sources]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    nbformat.write(notebook, folder / NOTEBOOK.name)
    done = subprocess.run(
        [sys.executable, "-m", *COMMAND.split()],
        cwd=folder, env=environment(folder, {"PIP_NO_INDEX": "1"} | settings), capture_output=True, text=True)
    path = folder / "output" / NOTEBOOK.name
    outputs = [output for cell in nbformat.read(path, 4).cells for output in cell.outputs] if path.exists() else []
    return SimpleNamespace(folder=folder, status=done.returncode, said=done.stderr, outputs=outputs)


def make_checkpoint(folder):
    """Make a small model in BGE-M3's format in a process of its own; return its folder."""
    subprocess.run([sys.executable, Path(__file__).with_name("checkpoint.py"), folder / "small-bge-m3", SAMPLE],
                   env=environment(folder, {}), check=True)
    return folder / "small-bge-m3"


# what needs a kernel, or another process; done beside the tests, in this order
BACKGROUND = {
    "lsa_run": lambda folder, made: executed(folder),
    "checkpoint": lambda folder, made: make_checkpoint(folder),
    "bge_run": lambda folder, made: executed(folder, EMBEDDING_MODEL=made["checkpoint"].result()),
    "killed_embedding": lambda folder, made: executed(  # after the text whose dimension is measured, and one call
        folder, before={4: killer("embed", 2)}, EMBEDDING_MODEL=made["checkpoint"].result()),
    "killed_labels": lambda folder, made: executed(
        folder, before={4: "model = 'kept'", 10: killer("client.upsert", 1)})}


@pytest.fixture(scope="session", autouse=True)
def background(request, tmp_path_factory):
    """{name: future} of those of BACKGROUND that the selected tests use."""
    wanted, made = {name for item in request.session.items for name in item.fixturenames}, {}
    with ThreadPoolExecutor(1) as pool:
        for name, make in BACKGROUND.items():
            if name in wanted:
                made[name] = pool.submit(make, tmp_path_factory.mktemp(name), made)
        yield made
        pool.shutdown(cancel_futures=True)


def of_background(name):
    return pytest.fixture(scope="session", name=name)(lambda background: background[name].result())


lsa_run, checkpoint, bge_run, killed_embedding, killed_labels = map(of_background, BACKGROUND)


def rows_of(client, collection):
    """Return all rows of a collection, {id: (text, cluster)}."""
    rows = client.query(collection, filter="id >= 0", output_fields=["text", "cluster"], limit=10_000)
    return {row["id"]: (row["text"], row["cluster"]) for row in rows}


def recall(exact, found):
    """Return the share of the exact nearest neighbours that the found ones contain; both are n x k row numbers."""
    return float(np.mean([np.isin(*pair).mean() for pair in zip(exact, found)]))


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """End a test that would hang; not an exception of the kind that the notebook catches."""
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("no end after 300 seconds"))
    signal.alarm(300)
    try:
        return (yield)
    finally:
        signal.alarm(0)


@pytest.fixture
def run(tmp_path):
    """A function that executes the notebook in this process, see `runner`."""
    with runner(tmp_path) as function:
        yield function


@pytest.fixture(scope="session")
def sample_run(tmp_path_factory):
    """The whole notebook on the sample, with lsa and Milvus Lite, in this process; nobody changes it."""
    folder = tmp_path_factory.mktemp("sample")
    with runner(folder) as function:
        names = function()
        names.folder = folder
        yield names


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The address of a real Milvus server, older than today's, with authorization switched on."""
    if not find_spec("milvus"):
        pytest.skip("the package milvus, which holds the server, is made for Linux on x86-64 only")
    with milvus_server(tmp_path_factory.mktemp("server"), "authorization") as (address, _):
        yield address


@pytest.fixture(params=["lite", "server"])
def anywhere(request, tmp_path):
    """Settings for Milvus Lite and for a real server, with a collection that nobody else uses."""
    if request.param == "lite":
        return {"MILVUS_COLLECTION": "own"}
    return {"MILVUS_ADDRESS": request.getfixturevalue("server"), "MILVUS_TOKEN": TOKEN,
            "MILVUS_COLLECTION": "own_" + re.sub(r"\W", "_", tmp_path.name)}


@pytest.fixture(scope="session")
def sample():
    return pd.read_csv(SAMPLE, dtype=str, keep_default_na=False)
