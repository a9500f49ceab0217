"""What a reader sees in a real browser without a network: the page, and names on the map."""

import base64
import itertools
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import sync_playwright

from examples import HEBREW, NASTY, example, with_themes
from notebook import draw_map, write_page

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
SOFTWARE = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # WebGL without a card
WIDTHS = [360, 390, 700, 1000, 1100, 1400, 1600]
LIGHT = """const light = colour => {
    const parts = colour.slice(0, 3).map(part => part / 255)
      .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
  }
  const contrast = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b)
    return (high + 0.05) / (low + 0.05)
  }
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true})
"""
CONTRAST = (
    """selector => {"""
    + LIGHT
    + """
  const seen = colour => {
    canvas.fillStyle = colour
    canvas.fillRect(0, 0, 1, 1)
    return [...canvas.getImageData(0, 0, 1, 1).data]
  }
  const clear = item => /^(rgba.*, 0\\)|transparent)$/.test(getComputedStyle(item).backgroundColor)
  return [...document.querySelectorAll(selector)].map(item => {
    let behind = item
    while (behind.parentElement && clear(behind)) behind = behind.parentElement
    const style = getComputedStyle(item), letters = item.closest("svg") ? style.fill : style.color
    return contrast(seen(letters), seen(getComputedStyle(behind).backgroundColor))
  })
}"""
)
MIDDLE_AND_CORNER = (
    """async picture => {"""
    + LIGHT
    + """
  const image = new Image()
  image.src = picture
  await image.decode()
  canvas.drawImage(image, 0, 0)
  const at = (x, y) => [...canvas.getImageData(x, y, 1, 1).data]
  return contrast(at(image.width >> 1, image.height >> 1), at(0, 0))
}"""
)
BOXES = """items => items.map(item => item.getBoundingClientRect()).map(
  at => [at.left, at.top, at.right, at.bottom])"""

if not BROWSER and not os.environ.get("CI"):
    pytest.skip("no Chromium on this machine: apt-get install chromium", allow_module_level=True)


@pytest.fixture(scope="module")
def playwright():
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def launch(playwright):
    """A function that starts a browser with these options."""
    started = []

    def launch(*options):
        started.append(
            playwright.chromium.launch(
                executable_path=BROWSER,
                args=[
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-background-networking",
                    "--disable-component-update",
                    *options,
                ],
            )
        )
        return started[-1]

    yield launch
    for browser in started:
        browser.close()


@pytest.fixture(scope="module")
def browser(launch):
    return launch(*SOFTWARE)


@pytest.fixture(scope="module")
def draw(browser):
    """A function that opens a file without a network; errors and requests fail the test."""
    opened = []

    def draw(path, width=1400, within=browser, **options):
        page = within.new_context(
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
        page.wait_for_selector(".nsewdrag", state="attached")  # the map stands
        page.wait_for_timeout(200)
        opened.append(page)
        return page

    yield draw
    for page in opened:
        page.context.close()
    assert [page.failed for page in opened] == [[]] * len(opened)


def written(folder, titles=None, **options):
    """Write the page of a made-up example, of which the headlines may be replaced.

    Return its path and the tables news, stories and themes."""
    news, stories, embeddings = example(**options)
    if titles is not None:
        news["title"] = news["text"] = titles
        stories["name"] = news["title"][stories["medoid"]].to_numpy()
        stories["words"] = [name.split()[:3] for name in stories["name"]]
    found = with_themes(news, stories, embeddings)
    write_page(folder / "clusters.html", *found, "news & views.csv", "a <summary>")
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
    """A page, which each test leaves as it was, and the tables it was made of."""
    return draw(small[0]), small[1]


def nearest_story(news):
    """Return for each headline the story it tells or leans to, -1 for none."""
    return news["cluster"].where(news["cluster"] >= 0, news["leans_to"])


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
    return [re.sub("[\u2068\u2069]", "", text).strip() for text in items.all_text_contents()]


def titles(items):
    """Return the headlines of items of a list, without what is said of their copies."""
    return items.evaluate_all("items => items.map(item => item.firstChild.textContent.trim())")


def listed(page):
    return [story.get_attribute("id") for story in page.locator("details").all()]


def names(page):
    """The names that are seen on the map."""
    return page.locator("#names .shown")


def assert_none_covers_another(boxes):
    for one, other in itertools.combinations(np.array(boxes), 2):
        covered = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
        assert (covered <= 0.5).any(), (one, other)


@pytest.fixture(scope="module")
def sample_page(sample_run, draw):
    return draw(sample_run.folder / "output" / "clusters.html")


# The list


def test_page_of_the_sample_lists_each_headline_once_under_its_story(sample_page, saved):
    nearest = saved[["cluster", "closest_cluster"]].max(axis=1)
    assert sorted(listed(sample_page)) == sorted(f"story{number}" for number in set(nearest))
    for number in set(nearest):
        told = titles(sample_page.locator(f"#story{number} li"))
        assert sorted(told) == sorted(saved["title"][nearest == number])


def test_the_file_has_each_headline_once(small):
    source = small[0].read_text(encoding="utf-8")
    page, (news, stories, _) = source[source.index("</style>") :], small[1]
    others = news.drop(stories["medoid"])
    others = others["title"][~others["title"].isin([NASTY, HEBREW])]
    assert len(others) > 60 and all(page.count(title) == 1 for title in others)


def test_every_story_is_listed_once_under_its_theme_the_largest_first(page_and_found):
    page, (_news, stories, themes) = page_and_found
    sections = page.locator("section")
    assert sections.count() == len(themes) + 1 and listed(page)[-1] == "story-1"
    rows = [sum(stories["rows"][stories["theme"] == theme]) for theme in range(len(themes))]
    assert rows == sorted(rows, reverse=True) and len(set(rows)) > 1
    for theme in range(len(themes)):
        section, own = sections.nth(theme), stories[stories["theme"] == theme]
        assert section.locator("h2").text_content() == themes["name"][theme] + (
            f"{len(own)} stories, {own['headlines'].sum()} headlines, {own['rows'].sum()} rows"
        )
        assert [story.get_attribute("id") for story in section.locator("details").all()] == [
            f"story{number}" for number in own.index
        ]


def test_a_story_opens_to_its_headlines_the_densest_first_and_to_what_leans_to_it(page_and_found):
    page, (news, stories, _) = page_and_found
    for number in range(-1, len(stories)):
        rows = news[nearest_story(news) == number].sort_values(
            "probability", ascending=False, kind="stable"
        )
        told, lean = rows["cluster"] == number, rows["title"][rows["cluster"] != number].tolist()
        expected = [*rows["title"][told], *lean]
        items = page.locator(f"#story{number} li")
        assert titles(items) == expected
        copies = [text.endswith("3 rows") for text in texts(items)]
        assert copies == [rows.set_index("title")["rows"][title] > 1 for title in expected]
        assert titles(page.locator(f"#story{number} .leaning + ul li")) == lean
        if number >= 0:
            story = stories.loc[number]
            line = page.locator(f"#story{number} summary").text_content()
            assert line == (
                f"{story['name']}{', '.join(story['words'])}{story['headlines']} "
                f"headlines, {story['rows']} rows"
            )


def test_a_storys_bar_is_as_long_as_its_rows_and_has_its_colour(page_and_found):
    page, (_, stories, themes) = page_and_found
    shown = """item => [item.getBoundingClientRect().width,
                        getComputedStyle(item).backgroundColor]"""
    seen = page.evaluate(
        """colours => colours.map(colour => {
        const probe = document.body.appendChild(document.createElement("i"))
        probe.style.background = colour
        const seen = getComputedStyle(probe).backgroundColor
        probe.remove()
        return seen })""",
        [*stories["colour"], *themes["colour"]],
    )
    for number, rows in stories["rows"].items():
        whole, _ = page.locator(f"#story{number} .bar").evaluate(shown)
        filled, colour = page.locator(f"#story{number} .bar i").evaluate(shown)
        assert filled / whole == pytest.approx(rows / stories["rows"].max(), abs=0.03)
        assert colour == seen[number]
    dots = page.locator("h2 .dot").evaluate_all(f"items => items.map({shown})")
    assert [colour for _, colour in dots] == seen[len(stories) :]


def test_header_has_the_summary_and_counts_the_noise(page_and_found):
    page, (_news, _, _) = page_and_found
    assert page.title() == "news & views.csv: a <summary>"
    assert texts(page.locator("h1, header p")) == [
        "news & views.csv",
        "a <summary>",
        (
            "Noise: 8 headlines in no story. Leaning to a story, which most of their nearest "
            "headlines tell: 3."
        ),
    ]
    assert page.locator("img[src=x], #note b, details li b, summary b b, #names b").count() == 0


def test_links_to_themes_lead_to_them(page_and_found):
    page, (_, _, themes) = page_and_found
    assert texts(page.locator("nav a")) == themes["name"].tolist()
    page.locator("nav a").nth(2).click()
    page.wait_for_function("""() => {
        const top = document.getElementById('theme2').getBoundingClientRect().top
        return top >= 0 && top < innerHeight }""")
    page.evaluate("scrollTo(0, 0)")


@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_page_of_few_stories_has_no_themes_and_lists_all_headlines(count, tmp_path, draw):
    path, (news, _, _) = written(tmp_path, stories=count, leaning=min(count, 1))
    page = draw(path)
    assert listed(page) == [f"story{number}" for number in [*range(count), -1]]
    assert page.locator("nav, section h2[id]").count() == 0
    assert sorted(titles(page.locator("li"))) == sorted(news["title"])
    assert page.locator("#map path.point").count() == len(news)


def test_typing_leaves_the_stories_that_contain_it(page_and_found):
    page, (news, _, _) = page_and_found
    word = news["title"][news["cluster"] == 9].iloc[0].split()[4]
    for typed in (word, word.upper()[1:], "<b>bold</b>", "lean", "3 rows", "no such word", ""):
        page.locator("#find").fill("")
        page.locator("#find").press_sequentially(typed)
        left = {
            story.get_attribute("id")
            for story in page.locator("details").all()
            if story.is_visible()
        }
        contain = news["title"].str.casefold().str.contains(typed.casefold(), regex=False)
        assert left == {f"story{number}" for number in nearest_story(news)[contain]}, typed
        assert left or typed in ("no such word", "lean", "3 rows")
        for section in page.locator("section").all():  # no heading without stories
            assert section.is_visible() == any(section.locator(f"#{name}").count() for name in left)
        assert (
            page.locator("#found").text_content().startswith(f"{len(left)} of 17" if typed else "")
        )


# The map


def test_as_many_points_as_headlines_and_the_legend_hides_and_shows_a_theme(page_and_found):
    page, (news, stories, themes) = page_and_found
    points, count = page.locator("#map path.point").count(), names(page).count()
    assert points == len(news) == 88 and count > 9
    words = texts(page.locator("#map .legend .traces"))
    assert words[0] == "noise" and len(words) == 1 + len(themes)
    assert themes["name"][0].startswith(words[1].removesuffix("…"))
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
        shown = names(page).count()
        assert shown == count if expected == points else shown < count
        if expected == members:
            assert 0 < shown <= sum(stories["theme"] == 0)


def test_a_name_stands_above_the_headline_that_names_its_story(page_and_found):
    page, (news, stories, _) = page_and_found
    area = page.locator("#map .nsewdrag").first.bounding_box()
    (left, right), (bottom, top) = page.evaluate(
        "['xaxis', 'yaxis'].map(axis => document.getElementById('map').layout[axis].range)"
    )
    shown = page.locator("#names span").evaluate_all(
        "items => items.map(item => item.classList.contains('shown'))"
    )
    boxes = page.locator("#names span").evaluate_all(BOXES)
    for number, (one, _, other, under) in enumerate(boxes):
        x, y = news.loc[stories["medoid"][number], ["x", "y"]]
        across = area["x"] + (x - left) / (right - left) * area["width"]
        down = area["y"] + (top - y) / (top - bottom) * area["height"]
        if shown[number]:
            assert abs(under - down) < 2
            edge = min(one - area["x"], area["x"] + area["width"] - other)
            assert abs((one + other) / 2 - across) < 2 or edge < 2


def test_names_on_the_map_of_the_sample_do_not_cover_each_other(sample_page):
    for width in 1000, 1600, 1400:  # the last is that of the page
        sample_page.set_viewport_size({"width": width, "height": 900})
        sample_page.wait_for_timeout(500)
        boxes = names(sample_page).evaluate_all(BOXES)
        assert len(boxes) > 15
        assert_none_covers_another(boxes)


def test_names_in_wide_letters_do_not_cover_each_other(tmp_path, draw):
    """On the page and on the notebook's figure."""
    random = np.random.default_rng(5)
    letters = [chr(number) for number in range(0x30A2, 0x30EA)]
    path, found = written(
        tmp_path,
        stories=60,
        headlines=3,
        noise=8,
        titles=["".join(random.choice(letters, size=random.integers(12, 30))) for _ in range(188)],
    )
    draw_map(*found, "").write_html(tmp_path / "map.html", include_mathjax=False)
    on_page = names(draw(path)).evaluate_all(BOXES)
    lines = (
        draw(tmp_path / "map.html")
        .locator(".textpoint text")
        .evaluate_all(f"items => items.map(item => ({BOXES})([...item.children].slice(0, -1)))")
    )  # last: empty
    on_figure = [[*np.min(name, axis=0)[:2], *np.max(name, axis=0)[2:]] for name in lines]
    for boxes in on_page, on_figure:
        assert len(boxes) > 15
        assert_none_covers_another(boxes)


def test_more_names_appear_where_one_zooms_in(large, draw):
    page = draw(large[0])
    before = set(texts(names(page)))
    page.evaluate("""() => { const map = document.getElementById('map'), x = map.layout.xaxis.range,
        y = map.layout.yaxis.range
        const part = [y[0] * 0.7 + y[1] * 0.3, y[0] * 0.4 + y[1] * 0.6]
        return Plotly.relayout(map, {'xaxis.range': x, 'yaxis.range': part}) }""")
    after = set(texts(names(page)))
    assert len(before) > 20 and len(after - before) > 5
    assert_none_covers_another(names(page).evaluate_all(BOXES))


@pytest.mark.parametrize("which", ["small", "large"])
def test_pointing_shows_a_headline_and_its_story_and_markup_as_text(which, request, draw):
    path, (news, stories, _) = request.getfixturevalue(which)
    page, nearest = draw(path), nearest_story(news)
    marked = news.index[news["title"].isin([NASTY, HEBREW])]
    for row in [*marked, news.index[news["leans_to"] >= 0][0], news.index[nearest < 0][-1]]:
        title, name = pointed(page, *news.loc[row, ["x", "y"]])[1]
        assert title.strip() == news["title"][row]
        expected = stories["name"].get(nearest[row], "Noise that leans nowhere")
        assert name == expected


@pytest.mark.parametrize("which", ["small", "large"])
def test_a_click_on_a_point_opens_its_story(which, request, draw):
    """Of a headline in a story, one that leans, and one of other noise; also of hidden stories."""
    path, (news, _, _) = request.getfixturevalue(which)
    page, nearest = draw(path), nearest_story(news)
    for rows in news["cluster"] > 9, news["leans_to"] >= 0, nearest < 0:
        page.locator("#find").fill("no such word anywhere")
        row = news[rows].iloc[2]
        page.mouse.click(*pointed(page, row["x"], row["y"])[0])
        opened = page.locator("details[open]")
        opened.wait_for()
        assert opened.get_attribute("id") == f"story{nearest[row.name]}"
        marked = page.locator("li.marked")
        assert titles(marked) == [row["title"]] and 0 <= marked.bounding_box()["y"] < 900
        opened.evaluate("story => {story.open = false}")
        page.wait_for_timeout(500)  # or the next click there is half of a double click


def test_a_large_map_is_drawn_with_webgl_and_has_all_points(large, draw):
    page, (news, _, themes) = draw(large[0]), large[1]
    assert page.locator("#map .gl-canvas").count() > 0
    assert page.locator("#map path.point").count() == 0
    counts = page.evaluate("document.getElementById('map')._fullData.map(trace => trace.x.length)")
    assert sum(counts) == len(news) == 5500 and len(counts) == 1 + len(themes)
    rows = pd.Series(
        page.evaluate(
            "document.getElementById('map')._fullData.flatMap(trace => [...trace.customdata])"
        )
    )
    assert sorted(rows) == news.index.tolist()


def test_a_large_map_is_drawn_without_webgl_where_the_browser_has_none(large, draw, launch):
    page = draw(large[0], within=launch("--disable-3d-apis"))
    assert not page.evaluate("!!document.createElement('canvas').getContext('webgl')")
    assert page.locator("#map path.point").count() == 5500 and names(page).count() > 20
    row = large[1][0].iloc[7]
    assert pointed(page, row["x"], row["y"])[1][0].strip() == row["title"]


# Languages read from the right


@pytest.fixture(scope="module")
def hebrew_page(tmp_path_factory, draw):
    random = np.random.default_rng(4)
    letters = list("אבגדהוזחטילמנס")
    said = [
        " ".join("".join(random.choice(letters, size=random.integers(6, 9))) for _ in range(9))
        for _ in range(88)
    ]
    return draw(written(tmp_path_factory.mktemp("hebrew"), titles=said)[0])


def places_of(item, *parts):
    """Return where these parts of an item's text stand: their left edges."""
    return item.evaluate(
        """(item, parts) => parts.map(part => {
        const walk = document.createTreeWalker(item, NodeFilter.SHOW_TEXT)
        while (walk.nextNode()) {
          const start = walk.currentNode.data.indexOf(part)
          if (start < 0) continue
          const range = document.createRange()
          range.setStart(walk.currentNode, start)
          range.setEnd(walk.currentNode, start + part.length)
          return range.getBoundingClientRect().left
        } })""",
        list(parts),
    )


def test_counts_are_in_order_on_a_page_read_from_the_right(hebrew_page):
    for heading in hebrew_page.locator("h2[id] small").all():
        number = heading.text_content().split()[0]
        places = places_of(heading, f"{number} ", "stories", "headlines", "rows")
        assert places == sorted(places)
    copies = hebrew_page.locator("details li small").first
    copies.evaluate("item => {item.closest('details').open = true}")
    places = places_of(copies, "3", "rows")
    assert places == sorted(places)


def test_commas_stand_behind_the_words_on_a_map_read_from_the_right(hebrew_page):
    lines = 0
    for name in names(hebrew_page).all():
        first = name.text_content().split("\u2069")[0].removeprefix("\u2068")
        if first.endswith(","):
            word = first.removesuffix(",").split()[-1]
            comma, start = places_of(name, first, word)
            assert comma < start
            lines += 1
    assert lines > 5


def test_hebrew_is_read_from_the_right(page_and_found):
    page = page_and_found[0]
    start = page.locator("li", has_text=HEBREW).evaluate("""cell => {
        cell.closest("details").open = true
        const text = document.createRange(); text.selectNodeContents(cell)
        const gap = cell.getBoundingClientRect().right - text.getBoundingClientRect().right
        cell.closest("details").open = false
        return gap }""")
    assert 0 <= start < 5


# Screens, paper, keys


def assert_nothing_is_wider_than_the_window(page, widths):
    page.locator("details").evaluate_all("stories => stories.forEach(story => {story.open = true})")
    for width in widths:
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(300)
        assert page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        ), width
        area = page.locator("#map .nsewdrag").first.bounding_box()
        place = page.locator(".map").bounding_box()
        assert area["width"] > 0.97 * place["width"]  # the map fills its place
        assert place["width"] > 0.5 * width


def test_nothing_is_wider_than_the_window(small, draw):
    assert_nothing_is_wider_than_the_window(draw(small[0]), WIDTHS)


def test_nothing_of_the_sample_is_wider_than_the_window(sample_run, draw):
    page = draw(sample_run.folder / "output" / "clusters.html")
    assert_nothing_is_wider_than_the_window(page, [WIDTHS[0], WIDTHS[-1]])


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
def test_letters_and_colours_stand_out_in_light_and_in_the_dark(scheme, small, draw):
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
    dots = page.locator("h2 .dot").all()
    assert len(dots) == 4
    for dot in dots:  # as it is seen, filters and all
        box = dot.bounding_box()
        around = {
            "x": box["x"] - 3,
            "y": box["y"] - 3,
            "width": box["width"] + 6,
            "height": box["height"] + 6,
        }
        dot.scroll_into_view_if_needed()
        box = dot.bounding_box()
        around |= {"x": box["x"] - 3, "y": box["y"] - 3}
        picture = base64.b64encode(page.screenshot(clip=around)).decode()
        assert page.evaluate(MIDDLE_AND_CORNER, f"data:image/png;base64,{picture}") >= 3


def test_all_stories_are_open_on_paper(page_and_found):
    page = page_and_found[0]
    page.emulate_media(media="print")
    assert page.locator("#story5 li").first.is_visible() and not page.locator("#find").is_visible()
    page.emulate_media(media="screen")
    assert not page.locator("#story5 li").first.is_visible()


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
