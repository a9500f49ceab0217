"""Execute the notebook on the sample with lsa, save its outputs, and make the README's pictures of map and page.

Usage: python tests/save_outputs.py      (kaleido and playwright draw the pictures with Chrome or Chromium)
"""
import base64
import json
import os
import tempfile
from pathlib import Path

import nbformat
import plotly.io as pio
from nbclient import NotebookClient
from playwright.sync_api import sync_playwright

from conftest import FIGURE, NOTEBOOK, ROOT, SAMPLE
from test_browser import BROWSER


def photograph(file, picture, story):
    """Save a picture of the page clusters.html, with a story open."""
    with sync_playwright() as playwright, playwright.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"]) as browser:
        page = browser.new_page(viewport={"width": 1000, "height": 1000})
        page.goto(file.as_uri())
        page.wait_for_selector(".scatterlayer .point")
        page.evaluate("story => document.querySelector(story).open = true", f"#story{story}")
        page.evaluate("scrollTo(0, 330)")  # the lower half of the map, and the list below it
        page.screenshot(path=picture)


notebook = nbformat.read(NOTEBOOK, 4)
with tempfile.TemporaryDirectory() as folder:
    (Path(folder) / "data").mkdir()
    (Path(folder) / "data" / SAMPLE.name).write_bytes(SAMPLE.read_bytes())
    settings = {"NEWS_CSV": f"data/{SAMPLE.name}", "EMBEDDING_MODEL": "lsa", "PLOTLY_RENDERER": "plotly_mimetype"}
    NotebookClient(notebook, kernel_name="python3", record_timing=False, timeout=600, coalesce_streams=True,
                   resources={"metadata": {"path": folder}}).execute(env=os.environ | settings)
    photograph(Path(folder) / "output" / "clusters.html", ROOT / ".github" / "page.png", story=1)

for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
    if FIGURE in output.get("data", {}):  # GitHub shows pictures only
        figure = pio.from_json(json.dumps(output["data"][FIGURE]), skip_invalid=True)
        is_map = figure.layout.legend.traceorder == "reversed" and figure.layout.showlegend
        if is_map:  # a legend that cannot be scrolled or clicked only takes room
            figure.update_layout(showlegend=False, margin=dict(l=60, r=60, t=60, b=10))
        picture = figure.to_image("png", width=1000, height=figure.layout.height or 450)
        output["data"]["image/png"] = base64.b64encode(picture).decode()
        if is_map:
            (ROOT / ".github" / "map.png").write_bytes(picture)
notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                     "language_info": {"name": "python"}}
nbformat.write(notebook, NOTEBOOK)
