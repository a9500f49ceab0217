"""What the tests share: the notebook, executed in a kernel of its own and looked into."""
import os
import pickle
import re
import socket
import subprocess
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

sys.dont_write_bytecode = True  # the tests leave nothing in the working copy
ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "hdbscan_clustering_with_milvus.ipynb"
SAMPLE = ROOT / "data" / "sample_headlines.csv"
TOKEN = "root:Milvus"  # of the server, from the start
SETTINGS = re.findall(r'^\w+ = setting\(\s*"(\w+)"', "\n".join(
    cell.source for cell in nbformat.read(NOTEBOOK, 4).cells if cell.cell_type == "code"), re.M)


class CellError(Exception):
    """An error in a cell: what its reader finds at the end of the traceback, as "Type: message"."""


class Kernel:
    """A Jupyter kernel in a folder of its own, in which the notebook's cells are executed.

    The folder is empty but for what a test puts there, so nothing of the working copy is read or written. Every run
    names its data and its embedding; nothing is asked of the network.
    """

    def __init__(self, folder):
        self.folder = folder
        self.cells = nbformat.read(NOTEBOOK, 4).cells
        self.notebook = nbformat.v4.new_notebook(cells=[])
        self.client = NotebookClient(self.notebook, kernel_name="python3", timeout=600,
                                     resources={"metadata": {"path": str(folder)}})
        self.fresh = True

    def start(self, **settings):
        # no setting of the person who runs the tests gets in, and no model or token of theirs is used
        inherited = {name: value for name, value in os.environ.items() if name not in SETTINGS}
        self.client.create_kernel_manager()
        self.client.start_new_kernel(env=inherited | {
            "HF_HOME": str(self.folder / "huggingface"), "HF_ENDPOINT": f"http://127.0.0.1:{free_port()}"} | settings)
        self.client.start_new_kernel_client()
        return self

    def execute(self, source):
        """Execute one cell and return it with its outputs; an error in it is raised as CellError."""
        self.notebook.cells.append(nbformat.v4.new_code_cell(source))
        try:
            return self.client.execute_cell(self.notebook.cells[-1], len(self.notebook.cells) - 1)
        except CellExecutionError as error:
            raise CellError(f"{error.ename}: {error.evalue}") from None

    def run(self, until=None, before={}, **settings):
        """Execute the notebook under these settings, up to the heading `until`, and return its code cells, executed.

        `before` maps a heading to code executed just before its section. In a kernel that has run before, the
        install and import cells are left out.
        """
        settings = {"NEWS_CSV": str(SAMPLE), "EMBEDDING_MODEL": "lsa"} | settings
        self.execute("import os\nfor name in %r:\n    os.environ.pop(name, None)\nos.environ.update(%r)" % (
            SETTINGS, {name: str(value) for name, value in settings.items() if value is not None}))
        executed = []
        for cell in self.cells:
            headings = [line for line in cell.source.splitlines() if line.startswith("## ")]
            if cell.cell_type == "markdown":
                if until and any(until in heading for heading in headings):
                    break
                for heading, code in before.items():
                    if any(heading in line for line in headings):
                        self.execute(code)
            elif self.fresh or not re.match(r"(import|from) ", cell.source):
                executed.append(self.execute(cell.source))
        self.fresh = False
        return executed

    def value(self, expression):
        """Return the value of an expression in the kernel."""
        path = self.folder / "value.pickle"
        self.execute(f"import pickle\nwith open({str(path)!r}, 'wb') as file:\n    pickle.dump({expression}, file)")
        return pickle.loads(path.read_bytes())

    def stop(self):
        self.client._cleanup_kernel()


def text_of(cells):
    """Return everything that these cells have printed."""
    return "".join(output.text for cell in cells for output in cell.outputs if output.output_type == "stream")


def run_on_vectors(workbench, folder, vectors, **settings):
    """Run the notebook with these vectors in place of embeddings; return its variables."""
    titles = [f"point {number}" for number in range(len(vectors))]
    pd.DataFrame({"title": titles}).to_csv(folder / "points.csv", index=False)
    np.save(folder / "points.npy", vectors.astype(np.float32))
    lookup = (f"table = dict(zip({titles!r}, np.load({str(folder / 'points.npy')!r})))\n"
              "embed = lambda texts: np.array([table[text] for text in texts])")
    workbench.said = text_of(workbench.run(until="## 8.", before={"## 4.": lookup}, **{
        "NEWS_CSV": folder / "points.csv", "MILVUS_ADDRESS": folder / "milvus.db"} | settings))
    return workbench.value("dict(neighbours=neighbours, distances=distances, tree=tree, embeddings=embeddings, labels=labels)")


def recall(exact, found):
    """Return the share of the exact nearest neighbours that the found ones contain; both are n x k row numbers."""
    return float(np.mean([np.isin(*pair).mean() for pair in zip(exact, found)]))


def free_port():
    """Return a port on loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
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
def new_kernel(tmp_path_factory):
    """Return a function that starts a kernel in an empty folder."""
    kernels = []

    def start(**environment):
        kernels.append(Kernel(tmp_path_factory.mktemp("run")).start(**environment))
        return kernels[-1]
    yield start
    for kernel in kernels:
        kernel.stop()


@pytest.fixture(scope="session")
def sample_run(new_kernel):
    """The notebook executed on the sample, with Milvus Lite and lsa; nobody changes its variables."""
    kernel = new_kernel()
    kernel.executed = kernel.run()
    return kernel


@pytest.fixture(scope="session")
def workbench(new_kernel):
    """A kernel in which the notebook is run again and again; each test takes its own Milvus file."""
    kernel = new_kernel()
    kernel.run(until="## 2.")
    return kernel


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
        return {"MILVUS_ADDRESS": tmp_path / "milvus.db", "MILVUS_COLLECTION": "own"}
    return {"MILVUS_ADDRESS": request.getfixturevalue("server"), "MILVUS_TOKEN": TOKEN,
            "MILVUS_COLLECTION": "own_" + re.sub(r"\W", "_", tmp_path.name)}


@pytest.fixture
def milvus_file(tmp_path):
    return tmp_path / "milvus.db"


@pytest.fixture(scope="session")
def sample():
    return pd.read_csv(SAMPLE, dtype=str, keep_default_na=False)
