"""Execute the notebook on the sample with lsa and save its outputs, each picture also as PNG.

The map is put into the notebook's first cell, too, and .github gets pictures of map and page.
Usage: python tests/save_outputs.py      (kaleido and playwright draw with Chrome or Chromium)
"""

import base64
import io
import json
import os
import shutil
import tempfile
from pathlib import Path

import nbformat
import plotly.io as pio
from nbclient import NotebookClient
from PIL import Image
from playwright.sync_api import sync_playwright

from conftest import FIGURE, NOTEBOOK, SAMPLE

BROWSERS = "chromium", "chromium-browser", "google-chrome"
PICTURES = NOTEBOOK.parent / ".github"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def execute(notebook):
    """Execute the notebook's cells in a new folder; save a picture of the page that they write."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "data").mkdir()
        shutil.copy(SAMPLE, Path(folder) / "data")
        settings = {
            "NEWS_CSV": f"data/{SAMPLE.name}",
            "EMBEDDING_MODEL": "lsa",
            "PLOTLY_RENDERER": "plotly_mimetype",
        }
        client = NotebookClient(
            notebook,
            kernel_name="python3",
            record_timing=False,
            timeout=600,
            coalesce_streams=True,
            resources={"metadata": {"path": folder}},
        )
        client.execute(env=os.environ | settings)
        photograph(Path(folder) / "output" / "clusters.html", PICTURES / "page.png")


def photograph(file, picture):
    """Save a picture of the page clusters.html with its first story open."""
    browser_path = next(filter(None, map(shutil.which, BROWSERS)))
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(
            executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"]
        ) as browser,
    ):
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(file.as_uri())
        page.wait_for_selector(".scatterlayer .point")
        page.locator("details").first.evaluate("story => { story.open = true }")
        picture.write_bytes(make_small(page.screenshot()))


def make_small(picture):
    """Return the bytes of a PNG with 256 colours, which are a quarter of those with all."""
    small = Image.open(io.BytesIO(picture)).convert("RGB")
    small = small.quantize(256, dither=Image.Dither.NONE)
    content = io.BytesIO()
    small.save(content, "png", optimize=True)
    return content.getvalue()


def draw(figure):
    """Return a figure, as it stands in an output, as the bytes of a PNG."""
    figure = pio.from_json(json.dumps(figure), skip_invalid=True)
    picture = figure.to_image("png", width=900, height=figure.layout.height or 450)
    return make_small(picture)


def main():
    notebook = nbformat.read(NOTEBOOK, 4)
    PICTURES.mkdir(exist_ok=True)
    execute(notebook)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if FIGURE in output.get("data", {}):  # GitHub shows pictures only
                picture = draw(output["data"][FIGURE])
                output["data"]["image/png"] = base64.b64encode(picture).decode()
                if "draw_map(" in cell.source.splitlines()[-1]:
                    (PICTURES / "map.png").write_bytes(picture)
                    attachment = {"image/png": base64.b64encode(picture).decode()}
                    notebook.cells[0].attachments = {"map.png": attachment}
    notebook.metadata = METADATA
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    main()
