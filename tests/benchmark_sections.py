"""Seconds of each section of a notebook, as a reader waits: `benchmark.py --sections`."""

import os
import re
import tempfile
from pathlib import Path

import nbformat
import pandas as pd
from nbclient import NotebookClient

from benchmark_chart import print_table, short
from benchmark_speed import make_titles, make_truth

SLOWEST = 3  # cells that are named


def time_sections(path, counts):
    """Print seconds of the sections of a notebook for so many headlines, and its slowest cells."""
    runs = {count: seconds_of_cells(run(path, count)) for count in counts}
    columns = {
        count: cells.groupby("section", sort=False)["seconds"].sum()
        for count, cells in runs.items()
    }
    table = pd.DataFrame(columns).fillna(0.0)
    table.loc["all sections"] = table.sum()
    print_table(
        [
            {"section": section} | {f"{count:,}": f"{short(row[count])} s" for count in counts}
            for section, row in table.iterrows()
        ]
    )
    print()
    print_table(
        [
            {
                "headlines": f"{count:,}",
                "seconds": short(cell.seconds),
                "section": cell.section,
                "the cell ends in": f"`{cell.end}`",
            }
            for count, cells in runs.items()
            for cell in cells.nlargest(SLOWEST, "seconds").itertuples()
        ]
    )


def run(path, count):
    """Execute a notebook on so many made-up headlines in a kernel of its own; return its cells.

    With lsa and Milvus Lite; all other settings are the notebook's own."""
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.source.startswith("%"):
            cell.source = ""  # what it installs is there
    with tempfile.TemporaryDirectory() as folder:
        titles = pd.DataFrame({"title": make_titles(make_truth(count))})
        titles.to_csv(Path(folder) / "titles.csv", index=False)
        settings = {
            "NEWS_CSV": "titles.csv",
            "EMBEDDING_MODEL": "lsa",
            "OUTPUT_DIR": "output",
            "MILVUS_ADDRESS": "./milvus.db",
        }
        client = NotebookClient(
            notebook, timeout=None, record_timing=True, resources={"metadata": {"path": folder}}
        )
        client.execute(env=os.environ | settings)
    return notebook.cells


def seconds_of_cells(cells):
    """Return a table of the code cells of an executed notebook: section, seconds, and last line."""
    found, section = [], ""
    for cell in cells:
        if cell.cell_type == "markdown":
            section = (re.findall(r"^## (.+)$", cell.source, re.MULTILINE) or [section])[-1]
        elif times := cell.metadata.get("execution"):
            started, ended = (
                pd.Timestamp(times[name]) for name in ("iopub.status.busy", "shell.execute_reply")
            )
            found.append(
                {
                    "section": section,
                    "seconds": (ended - started).total_seconds(),
                    "end": cell.source.strip().splitlines()[-1].strip(),
                }
            )
    return pd.DataFrame(found)
