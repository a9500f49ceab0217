"""What a reader sees: the map in a real browser, offline, from the executed notebook and from the saved page."""
import json
import os
import shutil
from pathlib import Path

import pandas as pd
import plotly.io as pio
import pytest
from playwright.sync_api import sync_playwright

from conftest import FIGURE, runner
from test_news import headlines

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NASTY = "<img src=x onerror=\"document.title='owned'\"> <b>bold</b> & $5 or $6"

if not BROWSER and not os.environ.get("CI"):
    pytest.skip("no Chromium on this machine: apt-get install chromium", allow_module_level=True)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=[
            "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def draw(browser):
    """A function that opens a file in the browser, which has no network, and returns the page with the map drawn."""
    with browser.new_context(offline=True, viewport={"width": 1200, "height": 800}) as context:
        def draw(path):
            page = context.new_page()
            page.goto(Path(path).as_uri())
            page.wait_for_selector(".scatterlayer .point")
            return page
        yield draw


@pytest.fixture(scope="module")
def saved_map(tmp_path_factory, sample):
    """clusters.html of the sample with a headline that would be markup if it were not escaped; and the table."""
    folder = tmp_path_factory.mktemp("nasty")
    sample.assign(title=[NASTY, *sample["title"][1:]]).to_csv(folder / "news.csv", index=False)
    with runner(folder) as run:
        run(NEWS_CSV=folder / "news.csv", skip=[10, 11])
    return folder / "output" / "clusters.html", pd.read_csv(folder / "output" / "clusters.csv", keep_default_na=False)


@pytest.fixture(scope="module")
def stored_map(lsa_run, tmp_path_factory):
    """The map as the notebook stores it, that of its figures with a title and the most traces; and the table."""
    figures = [output.data[FIGURE] for output in lsa_run.outputs if FIGURE in output.get("data", {})]
    path = tmp_path_factory.mktemp("figure") / "figure.html"
    pio.from_json(json.dumps(max(figures, key=lambda figure: len(figure["data"]))), skip_invalid=True).write_html(path)
    return path, pd.read_csv(lsa_run.folder / "output" / "clusters.csv", keep_default_na=False)


@pytest.fixture(scope="module", params=["stored_map", "saved_map"])
def map_and_table(request, draw):
    """A page with the map, which each test leaves as it was, and the table."""
    path, table = request.getfixturevalue(request.param)
    return draw(path), table


def hover(page, x, y):
    """Move the mouse to a place on the map and return the text of the label that appears, without its spaces."""
    page.evaluate("""([x, y]) => Plotly.relayout(document.querySelector('.js-plotly-plot'), {
        'xaxis.range': [x - 0.01, x + 0.01], 'yaxis.range': [y - 0.01, y + 0.01]})""", [x, y])
    box = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    page.mouse.move(5, 5)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=4)
    page.wait_for_selector(".hoverlayer .hovertext")
    label = without_spaces(page.locator(".hoverlayer .hovertext").first.text_content())
    page.evaluate("""Plotly.relayout(document.querySelector('.js-plotly-plot'), {
        'xaxis.autorange': true, 'yaxis.autorange': true})""")
    return label


def without_spaces(text):
    return "".join(text.split())


def shown(page):
    """Return how many points and names are drawn; hidden traces are not."""
    return page.locator(".scatterlayer path.point").count(), page.locator(".scatterlayer .textpoint").count()


def wait_for_points(page, count):
    page.wait_for_function("count => document.querySelectorAll('.scatterlayer path.point').length == count", arg=count)


def test_as_many_points_as_headlines(map_and_table):
    page, table = map_and_table
    assert shown(page)[0] == len(table) == 501


def test_names_on_the_map_are_readable_beginnings_of_headlines(map_and_table):
    page, table = map_and_table
    names = [without_spaces(text).removesuffix("…") for text in page.locator(".scatterlayer .textpoint").all_text_contents()]
    stories = set(map(without_spaces, table["cluster_name"])) - {""}
    assert len(set(names)) == len(names) > 20 and all(any(story.startswith(name) for story in stories) for name in names)
    boxes = [text.bounding_box() for text in page.locator(".scatterlayer .textpoint").all()]
    for number, one in enumerate(boxes):
        for other in boxes[:number]:
            across = min(one["x"] + one["width"], other["x"] + other["width"]) - max(one["x"], other["x"])
            down = min(one["y"] + one["height"], other["y"] + other["height"]) - max(one["y"], other["y"])
            assert min(across, down) <= 0 or across * down < 0.1 * one["width"] * one["height"], (one, other)


@pytest.mark.parametrize("story", ["of a story", "noise"])
def test_hover_shows_a_headline_and_its_story(map_and_table, story):
    page, table = map_and_table
    row = table[(table["cluster"] >= 0) if story == "of a story" else (table["cluster"] < 0)].iloc[7]
    label = hover(page, row["x"], row["y"])
    near = table[(abs(table[["x", "y"]] - row[["x", "y"]].astype(float)) < 0.01).all(axis=1)]  # points may overlap
    assert label in [without_spaces(title + name) for title, name in zip(near["title"], near["cluster_name"])]


def test_markup_in_a_headline_is_text(saved_map, draw):
    path, table = saved_map
    page, row = draw(path), table.iloc[0]
    assert hover(page, row["x"], row["y"]).startswith(without_spaces(NASTY))
    assert page.title() != "owned" and page.locator("img[src=x], .hoverlayer img, .hoverlayer b").count() == 0


def test_the_legend_hides_a_story_and_shows_it_alone(map_and_table):
    page, table = map_and_table
    points, names = shown(page)
    sizes = table["cluster"].value_counts()
    entries = page.locator(".legend .traces")
    largest = next(entry for entry in entries.all() if without_spaces(table["cluster_name"][table["cluster"] == 0].iloc[0])
                   .startswith(without_spaces(entry.text_content()).removesuffix("…")))
    toggle = largest.locator(".legendtoggle")
    toggle.click()
    wait_for_points(page, points - int(sizes[0]))
    assert shown(page) == (points - sizes[0], names - 1)
    toggle.click()
    wait_for_points(page, points)
    toggle.dblclick()
    wait_for_points(page, int(sizes[0]))
    assert shown(page) == (sizes[0], 1)
    toggle.dblclick()
    wait_for_points(page, points)


@pytest.mark.parametrize("language", ["Chinese", "Japanese"])
def test_names_in_languages_without_spaces_are_drawn(draw, tmp_path, language):
    titles = [title for _, title in headlines(language)]
    pd.DataFrame({"title": [f"{title}——{titles[number - 1]}" for number, title in enumerate(titles)]}).to_csv(
        tmp_path / "news.csv", index=False)
    with runner(tmp_path) as run:
        found = run(NEWS_CSV=tmp_path / "news.csv", skip=[10, 11])
    page = draw(tmp_path / "output" / "clusters.html")
    drawn = page.locator(".scatterlayer .textpoint").all_text_contents()
    assert drawn and all(len(text) > 10 and text.endswith("…") for text in drawn)
    for text in drawn:
        assert any(name.startswith(without_spaces(text).removesuffix("…")) for name in found.stories["name"])
