"""What a reader sees in a real browser without a network: the page of map, treemap and stories."""

import itertools
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from notebook import draw_map, draw_treemap, write_page
from playwright.sync_api import sync_playwright
from test_themes import HEBREW, NASTY, example, with_themes

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
WIDTHS = [360, 390, 700, 1000, 1100, 1400, 1600]
CONTRAST = """selector => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true})
  const light = colour => {
    canvas.fillStyle = colour
    canvas.fillRect(0, 0, 1, 1)
    const parts = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map(part => part / 255)
      .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
  }
  return [...document.querySelectorAll(selector)].map(item => {
    let behind = item
    const clear = item =>
      /^(rgba.*, 0\\)|transparent)$/.test(getComputedStyle(item).backgroundColor)
    while (behind.parentElement && clear(behind)) behind = behind.parentElement
    const style = getComputedStyle(item), letters = item.closest("svg") ? style.fill : style.color
    const lights = [light(letters), light(getComputedStyle(behind).backgroundColor)]
    const [low, high] = lights.sort((a, b) => a - b)
    return (high + 0.05) / (low + 0.05)
  })
}"""

if not BROWSER and not os.environ.get("CI"):
    pytest.skip("no Chromium on this machine: apt-get install chromium", allow_module_level=True)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=BROWSER,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--use-angle=swiftshader",
                "--enable-unsafe-swiftshader",
                "--disable-background-networking",
                "--disable-component-update",
            ],
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def draw(browser):
    """A function that opens a file without a network; errors and requests fail the test."""
    opened = []

    def draw(path, width=1400, **options):
        page = browser.new_context(
            offline=True, viewport={"width": width, "height": 900}, **options
        ).new_page()
        page.failed = []
        page.on("pageerror", lambda error: page.failed.append(str(error)))
        page.on(
            "request",
            lambda request: (
                page.failed.append(request.url)
                if request.url.split(":")[0] not in ("file", "data", "blob")
                else None
            ),
        )
        page.goto(Path(path).as_uri())
        page.wait_for_selector("#treemap .slice", state="attached")  # it is drawn last
        opened.append(page)
        return page

    yield draw
    for page in opened:
        page.context.close()
    assert [page.failed for page in opened] == [[]] * len(opened)


def written(folder, **options):
    """Write the page of a made-up example; return its path and the example's variables."""
    found = with_themes(example(**options))
    news, stories = found["news"], found["stories"]
    figure = draw_map(news, stories, found["medoids"], "title")
    write_page(
        folder / "clusters.html",
        figure,
        draw_treemap(stories, "title"),
        news,
        stories,
        "news & views.csv",
        "a summary",
    )
    return folder / "clusters.html", found


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return written(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A page whose map is drawn with WebGL."""
    return written(
        tmp_path_factory.mktemp("large"), stories=100, topics=10, headlines=54, noise=100
    )


@pytest.fixture(scope="module")
def page_and_found(small, draw):
    """A page, which each test leaves as it was, and the variables it was made of."""
    return draw(small[0]), small[1]


def pointed(page, x, y):
    """Zoom to a place on the map and point at it; return where it is, and the note."""
    page.evaluate(
        """([x, y]) => Plotly.relayout(document.getElementById('map'), {
        'xaxis.range': [x - 0.01, x + 0.01], 'yaxis.range': [y - 0.01, y + 0.01]})""",
        [float(x), float(y)],
    )
    page.evaluate("scrollTo(0, 0)")
    box = page.locator("#map .nsewdrag").first.bounding_box()
    place = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(5, 5)
    page.wait_for_selector("#note", state="hidden")  # that of the place before
    page.mouse.move(*place)  # in one step, so that nothing on the way is pointed at
    page.wait_for_selector("#note", state="visible")
    return place, [part.text_content() for part in page.locator("#note > *").all()]


def texts(items):
    return list(map(str.strip, items.all_text_contents()))


def titles(items):
    """Return the headlines of items of a list, without what is said of their copies."""
    return items.evaluate_all("items => items.map(item => item.firstChild.textContent.trim())")


def listed(page):
    return [story.get_attribute("id") for story in page.locator("details").all()]


def click_box(page, name):
    """Click on a box of the treemap, such as story3."""
    box = page.wait_for_function(
        """name => [...document.querySelectorAll('#treemap .slice')].find(
        slice => slice.__data__.data.data.id == name
        )?.querySelector('path').getBoundingClientRect()""",
        arg=name,
    ).json_value()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] - 4)


def assert_no_box_covers_another(boxes):
    for one, other in itertools.combinations(np.array(boxes), 2):
        covered = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
        assert (covered <= 0).any() or covered.prod() < 0.1 * np.prod(one[2:] - one[:2]), (
            one,
            other,
        )


def boxes_of_names(page):
    return page.locator("#names span").evaluate_all("""names => names.map(
        name => name.getBoundingClientRect()).map(at => [at.left, at.top, at.right, at.bottom])""")


@pytest.fixture(scope="module")
def sample_page(sample_run, draw):
    return draw(sample_run.folder / "output" / "clusters.html")


def test_page_of_the_sample_lists_each_headline_once_under_its_story(sample_page, saved):
    nearest = saved[["cluster", "closest_cluster"]].max(axis=1)
    assert sorted(listed(sample_page)) == sorted(f"story{number}" for number in set(nearest))
    for number in set(nearest):
        told = titles(sample_page.locator(f"#story{number} li"))
        assert sorted(told) == sorted(saved["title"][nearest == number])


def test_names_on_the_map_of_the_sample_do_not_cover_each_other(sample_page):
    for width in 1000, 1600, 1400:  # the last is that of the page
        sample_page.set_viewport_size({"width": width, "height": 900})
        sample_page.wait_for_timeout(500)
        boxes = boxes_of_names(sample_page)
        assert len(boxes) > 15
        assert_no_box_covers_another(boxes)


def test_as_many_points_as_headlines_and_the_legend_hides_and_shows_a_theme(page_and_found):
    page, found = page_and_found
    news, stories = found["news"], found["stories"]
    points, names = page.locator("#map path.point").count(), page.locator("#names span").count()
    assert points == len(news) == 88 and names > 9
    words = texts(page.locator("#map .legend .traces"))
    assert words[0] == "noise" and len(words) == 5
    own = stories[stories["theme"] == 0]
    assert own["theme_words"].iloc[0].startswith(words[1].removesuffix("…"))
    members = int((news["theme"] == 0).sum())
    toggle = page.locator("#map .legend .traces .legendtoggle").nth(1)
    for click, expected in [
        (toggle.click, points - members),
        (toggle.click, points),
        (toggle.dblclick, members),
        (toggle.dblclick, points),
    ]:
        click()
        page.wait_for_function(
            "count => document.querySelectorAll('#map path.point').length == count", arg=expected
        )
        shown = page.locator("#names span").count()
        assert shown == names if expected == points else shown < names
        if expected == members:
            assert 0 < shown <= len(own)


def test_more_names_appear_where_one_zooms_in(large, draw):
    page = draw(large[0])
    before = set(texts(page.locator("#names span")))
    page.evaluate("""() => { const map = document.getElementById('map'), x = map.layout.xaxis.range,
        y = map.layout.yaxis.range
        const part = [y[0] * 0.7 + y[1] * 0.3, y[0] * 0.4 + y[1] * 0.6]
        return Plotly.relayout(map, {'xaxis.range': x, 'yaxis.range': part}) }""")
    after = set(texts(page.locator("#names span")))
    assert len(before) > 20 and len(after - before) > 5
    assert_no_box_covers_another(boxes_of_names(page))


@pytest.mark.parametrize("which", ["small", "large"])
def test_pointing_shows_a_headline_and_its_story_and_markup_as_text(which, request, draw):
    path, found = request.getfixturevalue(which)
    page, news = draw(path), found["news"]
    lonely = news.index[news["nearest"] < 0][-1]
    for row in 0, 1, 7, lonely:
        title, story = pointed(page, *news.loc[row, ["x", "y"]])[1]
        assert title.strip() == news["title"][row]
        assert story == (news["cluster_name"][row] or "Noise that leans nowhere")
    assert page.locator("img[src=x], #note b, details li b, summary b b, #names b").count() == 0
    assert page.title() == "news & views.csv: a summary"


def test_the_file_has_each_headline_once(small):
    source = small[0].read_text(encoding="utf-8")
    page, news = source[source.index("</style>") :], small[1]["news"]
    others = news[~news.index.isin(small[1]["medoids"]) & ~news["title"].isin([NASTY, HEBREW])]
    assert len(others) > 60 and all(page.count(title) == 1 for title in others["title"])


def test_every_story_is_listed_once_under_its_theme_with_all_its_headlines(page_and_found):
    page, found = page_and_found
    news, stories = found["news"], found["stories"]
    sections = page.locator("section")
    assert sections.count() == 4 + 1 and listed(page)[-1] == "story-1"
    for theme, words in stories.groupby("theme")["theme_words"].first().items():
        section, own = sections.nth(theme), stories[stories["theme"] == theme]
        assert section.locator("h2").text_content().startswith(words)
        assert (
            f"{len(own)} stories, {own['headlines'].sum()} headlines, {own['rows'].sum()} rows"
            in section.locator("h2").text_content()
        )
        assert [story.get_attribute("id") for story in section.locator("details").all()] == [
            f"story{number}" for number in own.index
        ]
    for number in range(-1, len(stories)):
        told = page.locator(f"#story{number} li")
        rows = news[news["nearest"] == number].sort_values(
            "probability", ascending=False, kind="stable"
        )
        expected = [
            *rows["title"][rows["cluster"] == number],
            *rows["title"][rows["cluster"] != number],
        ]
        assert titles(told) == expected
        copies = [text.endswith("3 rows") for text in texts(told)]
        assert copies == [rows.set_index("title")["rows"][title] > 1 for title in expected]
        lean = page.locator(f"#story{number} .leaning + ul li")
        assert titles(lean) == list(rows["title"][(rows["cluster"] != number)])
        if number >= 0:
            story, line = (
                stories.loc[number],
                page.locator(f"#story{number} summary").text_content(),
            )
            assert line.startswith(story["name"] + story["words"])
            assert line.endswith(f"{story['headlines']} headlines, {story['rows']} rows")


def test_a_storys_bar_is_as_long_as_its_rows(page_and_found):
    page, found = page_and_found
    rows = found["stories"]["rows"]
    for number, count in rows.items():
        bar = page.locator(f"#story{number} .bar").bounding_box()["width"]
        filled = page.locator(f"#story{number} .bar i").bounding_box()["width"]
        assert filled / bar == pytest.approx(count / rows.max(), abs=0.03)


def test_header_counts_headlines_rows_stories_themes_and_noise(page_and_found):
    page, found = page_and_found
    news = found["news"]
    share = news["rows"][news["cluster"] < 0].sum() / news["rows"].sum()
    assert page.locator("h1").text_content() == "news & views.csv"
    assert page.locator("header p").text_content() == (
        f"88 headlines, {news['rows'].sum()} rows; 16 stories in 4 themes. "
        f"Noise is {share:.0%} of the rows: 8 headlines in no story, of which 3 lean to one."
    )


def test_links_to_themes_lead_to_them(page_and_found):
    page, found = page_and_found
    links = page.locator("nav a")
    assert texts(links) == found["stories"].groupby("theme")["theme_words"].first().tolist()
    links.nth(2).click()
    page.wait_for_function("""() => {
        const top = document.getElementById('theme2').getBoundingClientRect().top
        return top >= 0 && top < innerHeight }""")
    page.evaluate("scrollTo(0, 0)")


def test_hebrew_is_read_from_the_right(page_and_found):
    page = page_and_found[0]
    start = page.locator("li", has_text=HEBREW).evaluate("""cell => {
        cell.closest("details").open = true
        const text = document.createRange(); text.selectNodeContents(cell)
        const gap = cell.getBoundingClientRect().right - text.getBoundingClientRect().right
        cell.closest("details").open = false
        return gap }""")
    assert 0 <= start < 5


def test_all_stories_are_open_on_paper(page_and_found):
    page = page_and_found[0]
    page.emulate_media(media="print")
    assert page.locator("#story5 li").first.is_visible() and not page.locator("#find").is_visible()
    page.emulate_media(media="screen")
    assert not page.locator("#story5 li").first.is_visible()


def test_typing_leaves_the_stories_that_contain_it(page_and_found):
    page, found = page_and_found
    news = found["news"]
    word = news["title"][42].split()[4]
    for typed in (
        word,
        word.upper()[1:],
        "<b>bold</b>",
        "lean",
        "3 rows",
        "no such word anywhere",
        "",
    ):
        page.locator("#find").fill("")
        page.locator("#find").press_sequentially(typed)
        left = {
            story.get_attribute("id")
            for story in page.locator("details").all()
            if story.is_visible()
        }
        contain = news["title"].str.casefold().str.contains(typed.casefold(), regex=False)
        assert left == {f"story{number}" for number in news["nearest"][contain]}, typed
        assert left or typed == "no such word anywhere" or typed in ("lean", "3 rows")
        for section in page.locator("section").all():  # no heading without stories
            assert section.is_visible() == any(section.locator(f"#{name}").count() for name in left)
        assert (
            page.locator("#found").text_content().startswith(f"{len(left)} of 17" if typed else "")
        )


@pytest.mark.parametrize("which", ["small", "large"])
def test_a_click_on_a_point_opens_its_story(which, request, draw):
    """Of a headline in a story, one that leans, and one of other noise; also of hidden stories."""
    path, found = request.getfixturevalue(which)
    page, news = draw(path), found["news"]
    for rows in news["cluster"] > 9, news["closest_cluster"] >= 0, news["nearest"] < 0:
        page.locator("#find").fill("no such word anywhere")
        row = news[rows].iloc[2]
        page.mouse.click(*pointed(page, row["x"], row["y"])[0])
        opened = page.locator("details[open]")
        opened.wait_for()
        assert opened.get_attribute("id") == f"story{row['nearest']}"
        marked = page.locator("li.marked")
        assert titles(marked) == [row["title"]] and 0 <= marked.bounding_box()["y"] < 900
        opened.evaluate("story => {story.open = false}")
        page.wait_for_timeout(
            500
        )  # or the next click, at the same place, is the second half of a double click


def test_a_click_in_the_treemap_opens_a_story_and_on_a_theme_opens_it_there(small, draw):
    page = draw(small[0])
    click_box(page, "story5")
    page.locator("#story5[open]").wait_for()
    assert -1 <= page.locator("#story5").bounding_box()["y"] < 900
    assert page.locator("#treemap .slice").count() == 1 + 4 + 16
    page.locator("#treemap .slice", has_text="All stories").wait_for()
    theme = small[1]["stories"]["theme"][5]
    box = page.evaluate(
        """name => [...document.querySelectorAll('#treemap .slice')].find(
        slice => slice.__data__.data.data.id == name
        ).querySelector('path').getBoundingClientRect()""",
        f"theme{theme}",
    )
    page.mouse.click(box["x"] + 20, box["y"] + 8)  # on its heading
    page.wait_for_function("() => document.querySelectorAll('#treemap .slice').length == 1 + 4")
    assert page.locator("details[open]").count() == 1


def assert_nothing_is_wider_than_the_window(page):
    page.locator("details").evaluate_all("stories => stories.forEach(story => {story.open = true})")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(300)
        assert page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        ), width
        area, place = (
            page.locator("#map .nsewdrag").first.bounding_box(),
            page.locator(".map").bounding_box(),
        )
        assert (
            area["width"] > 0.97 * place["width"] and place["width"] > 0.5 * width
        )  # the map fills its place


def test_nothing_is_wider_than_the_window(small, draw):
    assert_nothing_is_wider_than_the_window(draw(small[0]))


def test_nothing_of_the_sample_is_wider_than_the_window(sample_run, draw):
    assert_nothing_is_wider_than_the_window(draw(sample_run.folder / "output" / "clusters.html"))


def test_a_phone_has_neither_names_nor_legend(small, draw):
    page = draw(small[0], width=390)
    assert page.locator("#map path.point").count() == 88
    assert not page.locator("#names").is_visible() and page.locator("#map .legend").count() == 0


def test_lines_of_text_are_not_too_long_on_a_wide_screen(page_and_found):
    page = page_and_found[0]
    for width in 1080, 2400, 1400:  # the last is that of the page
        page.set_viewport_size({"width": width, "height": 900})
        letter = page.evaluate("""() => {
            const probe = document.body.appendChild(document.createElement('span'))
            probe.textContent = '0'.repeat(50)
            const width = probe.getBoundingClientRect().width / 50
            probe.remove()
            return width }""")
        assert page.locator(".list").bounding_box()["width"] <= 80 * letter


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_stand_out_in_light_and_in_the_dark(scheme, small, draw):
    page = draw(small[0], color_scheme=scheme)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = np.mean(list(map(int, re.findall(r"\d+", background)))) > 128
    assert light == (scheme == "light")
    page.locator("details").evaluate_all("stories => stories.forEach(story => {story.open = true})")
    page.locator("li").first.evaluate("item => item.classList.add('marked')")
    for selector in (
        "h1, header p, nav a, nav small, h2, h2 small, summary b, summary .quiet, .count",
        "li, li small",
        ".leaning, input",
        "#names span, #map .legendtext",
    ):
        found = page.evaluate(CONTRAST, selector)
        assert len(found) > 1 and min(found) >= 4.5, selector


def test_what_has_the_focus_can_be_seen(page_and_found):
    page = page_and_found[0]
    page.evaluate("scrollTo(0, 0)")
    page.locator("#find").focus()
    for _ in range(3):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outline")
        assert "solid 3px" in outline or re.search(r"solid.*3px|3px.*solid", outline), outline
    page.locator("#story0 summary").focus()
    page.keyboard.press("Enter")
    page.locator("#story0[open]").wait_for()
    page.keyboard.press("Enter")
    page.locator("#story0:not([open])").wait_for()


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_a_page_of_few_stories_has_no_themes_and_lists_all_headlines(count, tmp_path, draw):
    path, found = written(tmp_path, stories=count, leaning=min(count, 1))
    page = draw(path)
    assert sorted(listed(page)) == sorted(f"story{number}" for number in [-1, *range(count)])
    assert page.locator("nav, section h2[id]").count() == 0
    assert sorted(titles(page.locator("li"))) == sorted(found["news"]["title"])
    assert page.locator("#map path.point").count() == len(found["news"])


def test_a_large_map_is_drawn_with_webgl_and_has_all_points(large, draw):
    page, found = draw(large[0]), large[1]
    assert page.locator("#map .annotation").count() == 0  # the page's own names stand there
    assert (
        page.locator("#map .gl-canvas").count() > 0 and page.locator("#map path.point").count() == 0
    )
    counts = page.evaluate("document.getElementById('map')._fullData.map(trace => trace.x.length)")
    assert (
        sum(counts) == len(found["news"]) == 5500
        and len(counts) == 1 + found["stories"]["theme"].nunique()
    )
    rows = pd.Series(
        page.evaluate(
            "document.getElementById('map')._fullData.flatMap(trace => [...trace.customdata])"
        )
    )
    assert sorted(rows) == found["news"].index.tolist()
