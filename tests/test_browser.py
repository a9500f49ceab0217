"""What a reader sees: the map in a real browser, offline, from the executed notebook and from the saved page."""
import json
import os
import shutil
from pathlib import Path

import pandas as pd
import plotly.io as pio
import pytest
from playwright.sync_api import sync_playwright

from conftest import SAMPLE

FIGURE = "application/vnd.plotly.v1+json"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NASTY = "<img src=x onerror=\"document.title='owned'\"> <b>bold</b> & $5"

if not BROWSER and not os.environ.get("CI"):
    pytest.skip("no Chromium on this machine: apt-get install chromium", allow_module_level=True)


@pytest.fixture(scope="session")
def nasty_run(workbench, tmp_path_factory):
    """A run on the sample with a headline that would be markup if it were not escaped."""
    folder = tmp_path_factory.mktemp("nasty")
    headlines = pd.read_csv(SAMPLE, dtype=str, keep_default_na=False)
    headlines.loc[0, "title"] = NASTY
    headlines.to_csv(folder / "news.csv", index=False)
    workbench.executed = workbench.run(
        NEWS_CSV=folder / "news.csv", MILVUS_ADDRESS=folder / "milvus.db", OUTPUT_DIR=folder / "output")
    workbench.page = folder / "output" / "clusters.html"
    workbench.headlines, workbench.titles = workbench.value("(news['title'].tolist(), titles)")
    return workbench


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=[
            "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"])
        yield started
        started.close()


@pytest.fixture(scope="session", params=["figure stored in the notebook", "clusters.html"])
def page(request, browser, nasty_run, tmp_path_factory):
    """The map, drawn; the browser has no network."""
    path = nasty_run.page
    if request.param != "clusters.html":
        figures = [output.data[FIGURE] for cell in nasty_run.executed for output in cell.outputs
                   if FIGURE in output.get("data", {})]
        assert len(figures) == 1
        path = tmp_path_factory.mktemp("figure") / "figure.html"
        pio.from_json(json.dumps(figures[0]), skip_invalid=True).write_html(path, include_plotlyjs=True)
    context = browser.new_context(offline=True, viewport={"width": 1200, "height": 800})
    page = context.new_page()
    page.goto(Path(path).as_uri())
    page.wait_for_selector(".scatterlayer .point")
    yield page
    context.close()


def test_as_many_points_as_headlines(page, nasty_run):
    assert page.locator(".scatterlayer .trace .points path.point").count() == len(nasty_run.headlines) == 501


def test_titles_of_stories_are_on_the_map(page, nasty_run):
    written = page.locator(".scatterlayer .textpoint").all_text_contents()
    wanted = [title.split(", ")[:2] for title in nasty_run.titles[:50]]
    assert len(written) == len(wanted)
    for text, words in zip(written, wanted):
        assert all(word in text for word in words)


def hover(page, row):
    """Move the mouse to the point of a row and return the text of the label that appears."""
    x, y = page.evaluate("""row => {
        const plot = document.querySelector('.js-plotly-plot'), layout = plot._fullLayout, box = plot.getBoundingClientRect();
        return [box.x + layout.xaxis._offset + layout.xaxis.l2p(plot.data[0].x[row]),
                box.y + layout.yaxis._offset + layout.yaxis.l2p(plot.data[0].y[row])]}""", row)
    page.mouse.move(5, 5)
    page.mouse.move(x, y, steps=4)
    page.wait_for_selector(".hoverlayer .hovertext")
    return " ".join(page.locator(".hoverlayer .hovertext").first.text_content().split())


def without_spaces(text):
    return "".join(text.split())


def test_hover_shows_a_headline_and_its_story(page, nasty_run):
    row = nasty_run.value("int(np.flatnonzero(labels == 1)[0])")
    shown = without_spaces(hover(page, row))
    # points may overlap: whichever is on top, it is a whole headline of the data
    assert any(without_spaces(headline) in shown for headline in nasty_run.headlines)
    assert any(without_spaces(title) in shown for title in nasty_run.titles + ["noise"])


def test_markup_in_a_headline_is_text(page, nasty_run):
    row = nasty_run.headlines.index(NASTY)
    page.evaluate("""([row]) => Plotly.relayout(document.querySelector('.js-plotly-plot'), {
        'xaxis.range': [0, 1].map(side => document.querySelector('.js-plotly-plot').data[0].x[row] + (side - 0.5) / 50),
        'yaxis.range': [0, 1].map(side => document.querySelector('.js-plotly-plot').data[0].y[row] + (side - 0.5) / 50)
    })""", [row])
    assert without_spaces(NASTY) in without_spaces(hover(page, row))
    assert page.title() != "owned" and page.locator("img[src=x]").count() == 0
    assert page.locator(".hoverlayer img, .hoverlayer b").count() == 0
