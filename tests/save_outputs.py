"""Execute the notebook on the sample with lsa, and save it with its outputs, and the map as the README's picture.

Usage: python tests/save_outputs.py      (kaleido draws the pictures; it needs Chrome or Chromium)
"""
import base64
import json
import os
import tempfile
from pathlib import Path

import nbformat
import plotly.io as pio
from nbclient import NotebookClient

from conftest import FIGURE, NOTEBOOK, ROOT, SAMPLE

notebook = nbformat.read(NOTEBOOK, 4)
with tempfile.TemporaryDirectory() as folder:
    (Path(folder) / "data").mkdir()
    (Path(folder) / "data" / SAMPLE.name).write_bytes(SAMPLE.read_bytes())
    settings = {"NEWS_CSV": f"data/{SAMPLE.name}", "EMBEDDING_MODEL": "lsa", "PLOTLY_RENDERER": "plotly_mimetype"}
    NotebookClient(notebook, kernel_name="python3", record_timing=False, timeout=600, coalesce_streams=True,
                   resources={"metadata": {"path": folder}}).execute(env=os.environ | settings)

for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
    if FIGURE in output.get("data", {}):  # GitHub shows pictures only
        figure = pio.from_json(json.dumps(output["data"][FIGURE]), skip_invalid=True)
        is_map = any(trace.mode == "text" for trace in figure.data if trace.type == "scatter")
        if is_map:  # a legend that cannot be scrolled or clicked only takes room
            figure.update_layout(showlegend=False, margin=dict(l=60, r=60, t=60, b=10))
        picture = figure.to_image("png", width=1000, height=figure.layout.height or 450)
        output["data"]["image/png"] = base64.b64encode(picture).decode()
        if is_map:
            (ROOT / ".github" / "map.png").write_bytes(picture)
notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                     "language_info": {"name": "python"}}
nbformat.write(notebook, NOTEBOOK)
