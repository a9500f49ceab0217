"""What a reader sees in a real browser without a network: the page with the map and the stories."""
import itertools
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import sync_playwright

from conftest import runner

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NASTY = "<img src=x onerror=\"document.title='owned'\"> <b>bold</b> & $5 or $6"
HEBREW = "ירושלים: חדשות היום"

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
    """A function that opens a file without a network, in a window of some width; errors of the page fail the test."""
    opened = []

    def draw(path, width=1400):
        page = browser.new_context(offline=True, viewport={"width": width, "height": 900}).new_page()
        page.failed = []
        page.on("pageerror", lambda error: page.failed.append(str(error)))
        page.goto(Path(path).as_uri())
        page.wait_for_selector(".scatterlayer .point", state="attached")
        opened.append(page)
        return page
    yield draw
    for page in opened:
        page.context.close()
    assert [page.failed for page in opened] == [[]] * len(opened)


@pytest.fixture(scope="module")
def saved_page(tmp_path_factory, sample):
    """clusters.html and clusters.csv of the sample, with a title that would be markup, and one in Hebrew."""
    folder = tmp_path_factory.mktemp("nasty")
    sample.assign(title=[NASTY, HEBREW, *sample["title"][2:]]).to_csv(folder / "news.csv", index=False)
    with runner(folder) as run:
        run(until="Ask", NEWS_CSV=folder / "news.csv")
    return folder / "output" / "clusters.html", pd.read_csv(folder / "output" / "clusters.csv", keep_default_na=False)


@pytest.fixture(scope="module")
def page_and_table(saved_page, draw):
    """The page, which each test leaves as it was, and the table."""
    return draw(saved_page[0]), saved_page[1]


def pointed(page, x, y):
    """Zoom to a place on the map and point at it; return where it is in the window, and the label that appears."""
    page.evaluate("""([x, y]) => Plotly.relayout(document.querySelector('.js-plotly-plot'), {
        'xaxis.range': [x - 0.01, x + 0.01], 'yaxis.range': [y - 0.01, y + 0.01]})""", [x, y])
    page.evaluate("scrollTo(0, 0)")
    box = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    place = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(5, 5)
    page.wait_for_selector(".hoverlayer .hovertext", state="detached")  # that of the place before
    page.mouse.move(*place)  # in one step, so that nothing on the way is pointed at
    page.wait_for_selector(".hoverlayer .hovertext")
    return place, without_spaces(page.locator(".hoverlayer .hovertext").first.text_content())


def without_spaces(text):
    return "".join(text.split())


def texts(items):
    return list(map(str.strip, items.all_text_contents()))


def shown(page):
    """Return how many points and names are drawn; hidden traces are not."""
    return page.locator("path.point").count(), page.locator(".textpoint", has_text=re.compile(r"\S")).count()


def near(table, row):
    """The rows that may lie under the mouse where this one does."""
    return table[(abs(table[["x", "y"]] - row[["x", "y"]].astype(float)) < 0.01).all(axis=1)]


def test_names_on_the_map_do_not_cover_each_other(page_and_table):
    page = page_and_table[0]
    for width in 700, 1000, 1400:  # the last is that of the page
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function("""width => Math.abs(
            width - document.querySelector(".main-svg").getBoundingClientRect().width) < 40""", arg=width)
        boxes = page.locator(".textpoint", has_text=re.compile(r"\S")).evaluate_all("""names => names.map(
            name => name.getBoundingClientRect()).map(at => [at.left, at.top, at.right, at.bottom])""")
        assert len(boxes) > 9
        for one, other in itertools.combinations(np.array(boxes), 2):
            covered = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
            assert (covered <= 0).any() or covered.prod() < 0.1 * np.prod(one[2:] - one[:2]), (width, one, other)


def test_as_many_points_as_headlines_and_the_legend_hides_and_shows_a_story(page_and_table):
    page, table = page_and_table
    points, names = shown(page)
    assert points == len(table) == 501
    story = table[table["cluster"] == 0]
    beginnings = [text.removesuffix("…") for text in texts(page.locator(".legend .traces"))]
    place = next(place for place, text in enumerate(beginnings) if story["cluster_name"].iloc[0].startswith(text))
    toggle = page.locator(".legend .traces .legendtoggle").nth(place)
    for click, expected in [(toggle.click, (points - len(story), names - 1)), (toggle.click, (points, names)),
                            (toggle.dblclick, (len(story), 1)), (toggle.dblclick, (points, names))]:
        click()
        page.wait_for_function("count => document.querySelectorAll('.scatterlayer path.point').length == count",
                               arg=expected[0])
        assert shown(page) == expected


def test_hover_shows_a_headline_and_its_story_and_markup_as_text(saved_page, draw):
    page, table = draw(saved_page[0]), saved_page[1]
    for number in 0, 7, table.index[table["cluster"] < 0][7]:
        label, rows = pointed(page, *table.loc[number, ["x", "y"]])[1], near(table, table.loc[number])
        assert label in [without_spaces(title + name) for title, name in zip(rows["title"], rows["cluster_name"])]
    assert NASTY in texts(page.locator("details td")) and page.title() != "owned"
    assert page.locator("img[src=x], .hoverlayer img, .hoverlayer b, details td *").count() == 0


def test_every_story_is_listed_once_with_all_its_headlines(page_and_table):
    page, table = page_and_table
    nearest = table[["cluster", "closest_cluster"]].max(axis=1)
    listed = [story.get_attribute("id") for story in page.locator("details").all()]
    assert listed == [f"story{number}" for number in sorted(set(nearest) - {-1})] + ["story-1"]
    for number in range(-1, table["cluster"].max() + 1):
        story = page.locator(f"#story{number}")
        cells = texts(story.locator("td"))
        told = dict(zip(cells[::2], cells[1::2]))
        assert sorted(told) == sorted(table["title"][nearest == number]) and len(cells) == 2 * len(told)
        leaning = table["title"][(table["closest_cluster"] == number) & (number >= 0)]
        assert sorted(title for title in told if told[title] == "leans") == sorted(leaning)
        if number >= 0:
            line, members = story.locator("summary").text_content(), table[table["cluster"] == number]
            assert line.startswith(members["cluster_name"].iloc[0]) and f"({len(members)})" in line
    start = page.locator("td", has_text=HEBREW).evaluate("""cell => { cell.closest("details").open = true
        const text = document.createRange(); text.selectNodeContents(cell)
        return cell.getBoundingClientRect().right - text.getBoundingClientRect().right }""")
    assert 0 <= start < 5  # from the right
    page.emulate_media(media="print")
    assert page.locator("#story5 td").first.is_visible()  # all are open on paper
    page.emulate_media(media="screen")
    assert not page.locator("#story5 td").first.is_visible()
    summary = f"501 headlines, {table['cluster'].max() + 1} stories, {(table['cluster'] < 0).mean():.0%} noise"
    assert page.title() == summary


def test_typing_leaves_the_stories_that_contain_it(page_and_table):
    page, table = page_and_table
    nearest = table[["cluster", "closest_cluster"]].max(axis=1)
    for typed in "rover", "OVERS", "<b>bold</b>", "leans", "no such word anywhere", "":
        page.locator("input[type=search]").fill("")
        page.locator("input[type=search]").press_sequentially(typed)
        left = {story.get_attribute("id") for story in page.locator("details").all() if story.is_visible()}
        contain = table["title"].str.casefold().str.contains(typed.casefold(), regex=False)
        assert left == {f"story{number}" for number in nearest[contain]} and (len(left) < 20 or not typed)


def test_a_click_on_a_point_opens_its_story(saved_page, draw):
    """Of a headline in a story, one that leans to a story, and one of other noise; also where it is filtered away."""
    page, table = draw(saved_page[0]), saved_page[1]
    nearest = table[["cluster", "closest_cluster"]].max(axis=1)
    for rows in table["cluster"] > 9, table["closest_cluster"] >= 0, nearest < 0:
        page.locator("input[type=search]").fill("no such word anywhere")
        row = table[rows].iloc[5]
        page.mouse.click(*pointed(page, row["x"], row["y"])[0])
        opened = page.locator("details[open]")
        opened.wait_for()
        assert opened.get_attribute("id") in {f"story{nearest[number]}" for number in near(table, row).index}
        page.wait_for_function("scrollY > 0")
        assert -1 <= opened.bounding_box()["y"] < 900
        opened.evaluate("story => {story.open = false}")
        page.wait_for_timeout(500)  # or the next click, at the same place, is the second half of a double click
