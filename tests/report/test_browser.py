"""Pages in a real browser: offline, without a message, for keyboards and screen readers, with numbers of the dataset.

They need Chromium, Debian's package `chromium` for one, and are skipped, with the reason, where there is none.
"""

import contextlib
import csv
import io
import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright
from test_explore import UNCERTAIN

import sweep
from sweep.report.page.live import Live
from sweep.report.page.page import part_of, report
from sweep.report.page.server import Explorer

RATES = Path(__file__).parents[2] / "configs" / "doubling_rates.toml"
KINDS = ("grid", "statistics", "split", "frontier", "sensitivity", "discovery")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
READY = "html[data-ready]"
FORMULA = "=cmd|' /C calc'!A1"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install Debian's chromium")


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def files(datasets, tmp_path_factory):
    """Address of the page of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    for kind, dataset in datasets.items():
        sweep.page(dataset).write(folder / f"{kind}.html")
    return {kind: (folder / f"{kind}.html").as_uri() for kind in datasets}


class Tab:
    """One page in a browser that has no network, with all that it requests and all that it says."""

    def __init__(self, browser, address, width=1400, scheme="light"):
        viewport = {"width": width, "height": 900}
        self.context = browser.new_context(offline=True, viewport=viewport, color_scheme=scheme)
        self.page = self.context.new_page()
        self.requests, self.messages = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.open(address)

    def open(self, address):
        """Go there, and wait until the figures are drawn."""
        self.page.goto("about:blank")
        self.requests.clear()
        self.page.goto(address)
        self.page.wait_for_selector(READY, timeout=60_000)

    def turn(self, address):
        """Change what stands behind the # of the address, and wait until the figures are drawn anew."""
        self.page.evaluate("address => { location.hash = address }", address)
        self.page.evaluate(
            "() => new Promise(done => setTimeout(() => requestAnimationFrame(() => setTimeout(done)), 50))"
        )

    def sentence(self):
        """The answer."""
        return self.page.inner_text("#sentence")


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def tab(browser, files, kind):
    opened = Tab(browser, files[kind])
    yield opened
    opened.context.close()


def test_page_requests_nothing_but_itself_and_says_nothing(tab, files, kind):
    tab.page.mouse.move(700, 500)
    assert [address.partition("#")[0] for address in tab.requests] == [files[kind]]
    assert tab.messages == []


def test_page_shows_figures_and_says_what_they_are(tab):
    figures = tab.page.locator("figure")
    assert figures.count() >= 1
    for figure in figures.all():
        assert figure.locator(".main-svg").count() >= 1
        assert figure.locator("h2").inner_text()


@pytest.fixture(scope="module", params=[(1400, "light"), (360, "dark")], ids=lambda look: f"{look[0]}-{look[1]}")
def look(browser, files, kind, request):
    opened = Tab(browser, files[kind], *request.param)
    yield opened
    opened.context.close()


def test_page_fits_its_width(look):
    assert look.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_page_has_no_violation_that_axe_knows(look):
    for summary in look.page.locator("summary").all():
        summary.click()
    violations = Axe().run(look.page).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in violations] == []


def test_page_follows_the_keyboard(tab):
    before = tab.sentence()
    slider = tab.page.locator("#controls input[type=range]").first
    for _ in range(20):
        tab.page.keyboard.press("Tab")
        if slider.evaluate("node => node === document.activeElement"):
            break
    value, text = slider.input_value(), slider.get_attribute("aria-valuetext")
    tab.page.keyboard.press("Home" if value == slider.get_attribute("max") else "End")
    tab.page.wait_for_function("before => document.getElementById('sentence').innerText !== before", arg=before)
    assert slider.input_value() != value and slider.get_attribute("aria-valuetext") != text


def test_page_is_dark_where_that_is_preferred(look):
    is_dark = look.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    colour = look.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colour == ("rgb(20, 23, 26)" if is_dark else "rgb(255, 255, 255)")


def test_page_looks_up_the_numbers_of_its_dataset_at_five_places(tab, datasets, kind):
    dataset = datasets[kind]
    variables = tab.page.evaluate("Object.keys(page.variables)")
    random = np.random.default_rng(0)
    for name in variables:
        variable = dataset[name]
        error = tab.page.evaluate("name => [page.variables[name].error, page.variables[name].code]", name)
        for _ in range(5):
            at = {str(dim): int(random.integers(size)) for dim, size in variable.sizes.items()}
            shown = tab.page.evaluate("([name, at]) => String(valueAt(page.variables[name], at))", [name, at])
            value = float(variable.isel(at))
            scale = abs(value) if error[1] == "log" and np.isfinite(value) else 1.0
            np.testing.assert_allclose(float(shown.replace("Infinity", "inf")), value, rtol=0, atol=error[0] * scale)


@pytest.fixture(scope="module")
def several(browser, datasets, tmp_path_factory):
    path = tmp_path_factory.mktemp("several") / "several.html"
    report([part_of(datasets[kind]) for kind in ("statistics", "frontier")], title="Two").write(path)
    opened = Tab(browser, path.as_uri(), 360)
    yield opened
    opened.context.close()


def test_page_of_several_parts_lets_axe_find_nothing(several):
    assert several.page.locator("article figure .main-svg").count() >= 4 and several.messages == []
    violations = Axe().run(several.page).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in violations] == []
    assert several.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_page_of_several_parts_moves_one_and_keeps_all_in_its_address(several):
    sentences = "[...document.querySelectorAll('.sentence')].map(node => node.innerText)"
    first, second = several.page.evaluate(sentences)
    several.page.locator("[id='2.at-point']").press("End")
    several.page.wait_for_function(f"before => ({sentences})[1] !== before", arg=second)
    assert several.page.evaluate(sentences)[0] == first
    moved, address = several.page.evaluate(sentences)[1], several.page.url
    several.page.locator("nav a").nth(1).click()
    several.page.wait_for_function("scrollY > 500")
    several.open(address)
    assert several.page.evaluate(sentences) == [first, moved]


def test_page_is_printed_black_on_white_without_controls(browser, several):
    tab = Tab(browser, several.page.url.partition("#")[0], 700, "dark")
    fill = "getComputedStyle(document.querySelector('.xtick text')).fill"
    assert tab.page.evaluate(fill) != "rgb(0, 0, 0)"
    tab.page.emulate_media(media="print")
    tab.page.wait_for_function(f"() => {fill} === 'rgb(0, 0, 0)'")
    assert tab.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for control in tab.page.locator("input, select, button, summary").all():
        assert not control.is_visible()
    assert tab.page.evaluate("getComputedStyle(document.getElementById('part2')).breakBefore") == "page"
    tab.context.close()


def test_figures_keep_their_height_when_the_window_changes(several):
    height = "() => document.querySelector('.main-svg').getBoundingClientRect().height"
    width = "() => document.querySelector('.main-svg').getBoundingClientRect().width"
    before, narrow = several.page.evaluate(height), several.page.evaluate(width)
    several.page.set_viewport_size({"width": 900, "height": 900})
    several.page.wait_for_function(f"before => ({width})() > before", arg=narrow + 100)
    assert several.page.evaluate(height) >= min(before, 400)
    several.page.set_viewport_size({"width": 360, "height": 900})


def test_density_behind_a_frontier_follows_the_axes(several):
    code = """([x, y]) => {
        const plane = {x: "a", y: "b", ends: [[0, 2], [1, 3]], shape: [2, 2], values: [10, 0, 0, 100]};
        const abouts = {a: {log: false}, b: {log: true}};
        return density(plane, x, y, [abouts[x], abouts[y]]);
    }"""
    straight, turned = several.page.evaluate(code, ["a", "b"]), several.page.evaluate(code, ["b", "a"])
    assert straight["x"] == turned["y"] == [0, 1, 2] and straight["y"] == turned["x"] == [10, 100, 1000]
    assert straight["z"] == turned["z"] == [[1, None], [None, 2]]


@pytest.mark.parametrize("kind", ["robust", "decision"])
def test_page_of_decisions_fits_a_telephone_and_says_nothing(kind, browser, files):
    tab = Tab(browser, files[kind], 360, "dark")
    assert tab.page.locator("figure .main-svg").count() >= 2 and tab.messages == []
    assert tab.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    tab.context.close()


@pytest.fixture(scope="module")
def grid(browser, files):
    opened = Tab(browser, files["grid"])
    yield opened
    opened.context.close()


def test_page_says_in_its_sentence_what_the_dataset_holds(grid, datasets):
    grid.turn("#show=relative_loss&time=10&fleet_size=1&doubling_rate=0.5")
    value = float(datasets["grid"].relative_loss.sel(time=10, doubling_rate=0.5).sel(fleet_size=1.0, method="nearest"))
    assert f"Loss relative to time 0: {value:.4g}, at doubling_rate = 0.5 per year" in grid.sentence()


def test_page_words_targets_out_of_reach(grid):
    grid.turn("#show=time_to_target&fleet_size=0.01&doubling_rate=-1")
    assert ": never, at" in grid.sentence()


@pytest.mark.parametrize("address", ["#time=1e99&show=nothing&figure1.x=no", "#__proto__=1&time=x", "#%", "#time="])
def test_page_ignores_an_address_that_means_nothing(grid, address):
    grid.turn("#show=relative_loss&time=10")
    grid.turn(address)
    assert grid.messages == [] and "Loss relative to time 0" in grid.sentence()


def test_map_of_few_values_has_cells_of_one_size(grid):
    grid.turn("#show=relative_loss&figure2.y=doubling_rate&doubling_rate=2")
    drawn = "page.figures[1].drawn"
    shown = grid.page.evaluate(f"({{y: {drawn}.traces[0].y, at: {drawn}.layout.shapes[0].yanchor}})")
    assert shown == {"y": [0, 1, 2, 3], "at": 3}
    assert grid.page.evaluate("page.figures[1].drawn.moved({x: 9.9, y: 1.4}).doubling_rate") == 1


@pytest.mark.parametrize(
    ("values", "is_log", "named"),
    [
        ([0.11, 1.0], False, ["0.2", "0.4", "0.6", "0.8", "1"]),
        ([2.5, 5.2], True, ["1,000", "10,000", "100,000"]),
        ([0.1, 0.7], True, ["1.26", "1.58", "2", "2.51", "3.16", "3.98"]),
    ],
)
def test_contours_are_at_round_numbers_and_labelled_with_the_value(grid, values, is_log, named):
    code = """([values, isLog]) => {
        const {all, named, size} = levelsOf(values, isLog);
        const x = Array.from({length: 101}, (_, i) => i), [low, high] = values, plain = {log: false};
        const z = x.map((j) => x.map(() => low + (high - low) * (j - 10) / 80));
        return [all, size, labelled(named, {x, y: x, z}, [plain, plain], isLog).map(one => [one.y, one.text])];
    }"""
    levels, size, labels = grid.page.evaluate(code, [values, is_log])
    assert 5 <= len(levels) <= 13 and values[0] <= levels[0] and levels[-1] <= values[1] + 1e-9
    np.testing.assert_allclose(np.diff(levels), size)
    assert [text for _, text in labels] == named
    for row, text in labels:  # where the surface has that value
        shown = float(text.replace(",", ""))
        level = values[0] + (values[1] - values[0]) * (row - 10) / 80
        assert (10**level if is_log else level) == pytest.approx(shown, rel=0.1, abs=0.02)


def test_map_labels_its_contours(grid):
    grid.turn("#show=relative_loss&figure2.x=time&figure2.y=fleet_size")
    layout = grid.page.evaluate("page.figures[1].drawn.layout.annotations.map(one => Number(one.text))")
    assert layout and all(0.4 <= level <= 1.0 for level in layout)


def test_click_on_a_map_moves_the_sliders(grid):
    grid.turn("#show=relative_loss&time=10&fleet_size=1&figure2.x=time&figure2.y=fleet_size")
    values = "[...document.querySelectorAll('#controls input')].map(node => node.value).join()"
    before = grid.page.evaluate(values)
    box = grid.page.locator("figure").nth(1).locator(".nsewdrag").bounding_box()
    grid.page.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + 0.2 * box["height"])
    grid.page.wait_for_function(f"{values} !== '{before}'")
    time = grid.page.locator("#at-time")
    assert int(time.input_value()) > 0.8 * int(time.get_attribute("max"))


def downloaded(tab, name):
    with tab.page.expect_download() as waiting:
        tab.page.get_by_role("button", name=name).click()
    with open(waiting.value.path(), encoding="utf-8", newline="") as file:
        return waiting.value.suggested_filename, file.read()


def test_numbers_of_a_figure_can_be_taken_as_csv_and_json(grid, datasets):
    grid.turn("#show=relative_loss&figure1.lines=")
    name, text = downloaded(grid, "Numbers of figure 1 as CSV")
    head, *rows = csv.reader(io.StringIO(text))
    assert name == "loss_relative_to_time_0_along_time.csv"
    assert head[0] == "time since the reference point (years)"
    data = json.loads(downloaded(grid, "Numbers of figure 1 as JSON")[1])
    expected = datasets["grid"].relative_loss.sel(data["at"] | {"time": datasets["grid"].time}, method="nearest")
    np.testing.assert_allclose(np.array(rows, dtype=float)[:, 1], expected, rtol=1e-4)
    assert np.array_equal(np.array(rows, dtype=float), np.array(data["rows"], dtype=float))
    assert data["fingerprint"] == datasets["grid"].attrs["fingerprint"]


def test_hostile_texts_are_inert(browser, datasets, tmp_path):
    script = "</script><img src=x onerror=alert(1)><a href='javascript:alert(2)'>x</a>"
    dataset = datasets["grid"].copy().assign_attrs(title=script, caveats=script)
    dataset.relative_loss.attrs["long_name"] = FORMULA
    dataset.time.attrs |= {"long_name": script, "units": script}
    sweep.page(dataset, command=script).write(tmp_path / "hostile.html")
    tab = Tab(browser, (tmp_path / "hostile.html").as_uri())
    assert tab.page.locator("img, a[href^='javascript'], a[*|href^='javascript']").count() == 0
    assert tab.page.locator("h1").inner_text() == script
    assert next(csv.reader(io.StringIO(downloaded(tab, "Numbers of figure 2 as CSV")[1])))[2] == f"'{FORMULA}"
    assert tab.messages == []
    tab.context.close()


def test_page_shows_in_the_frame_of_a_notebook(browser, datasets, tmp_path):
    (tmp_path / "notebook.html").write_text(sweep.page(datasets["frontier"])._repr_html_(), encoding="utf-8")
    context = browser.new_context(offline=True)
    page, messages = context.new_page(), []
    page.on("console", lambda message: messages.append(message.text))
    page.goto((tmp_path / "notebook.html").as_uri())
    page.frame_locator("iframe").locator(".main-svg").first.wait_for(timeout=60_000)
    assert messages == []
    context.close()


@contextlib.contextmanager
def served(config):
    ends = threading.Event()

    def look():
        if ends.is_set():
            raise KeyboardInterrupt

    def serve():
        with contextlib.suppress(KeyboardInterrupt):
            server.serve(look)

    with Explorer(Live.read(config), 0) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server
        ends.set()
        thread.join()


@pytest.fixture
def explorer():
    with served(RATES) as server:
        yield server


def test_explorer_follows_its_sliders_and_asks_of_quick_moves_the_latest_alone(browser, explorer):
    page, requests, messages = browser.new_page(), [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.goto(explorer.address)
    page.wait_for_selector(READY, timeout=60_000)
    before = page.inner_text("#sentence")
    page.evaluate(
        """() => {
            const slider = document.getElementById("fixed-scaling_exponent");
            for (let place = 0; place < 100; place++) {
                slider.value = place;
                slider.dispatchEvent(new Event("input"));
            }
        }"""
    )
    page.wait_for_function("() => !page.waits")
    assert [url.rpartition("/")[2] for url in requests] == ["", "evaluate", "evaluate"]
    assert page.inner_text("#sentence") != before and "fixed.scaling_exponent=" in page.url
    assert messages == []
    page.close()


def test_explorer_redraws_the_fan_of_a_distribution_that_is_edited(browser, tmp_path):
    (tmp_path / "uncertain.toml").write_text(UNCERTAIN)
    with served(tmp_path / "uncertain.toml") as explorer:
        page, messages = browser.new_page(), []
        page.on("console", lambda message: messages.append(message.text))
        page.goto(explorer.address)
        page.wait_for_selector(READY, timeout=60_000)
        fan = "() => JSON.stringify(page.figures[0].drawn.traces.map(trace => trace.y))"
        before, sentence = page.evaluate(fan), page.inner_text("#sentence")
        page.get_by_label("high (per year)").fill("8")
        page.keyboard.press("Tab")
        page.wait_for_function("before => document.getElementById('sentence').innerText !== before", arg=sentence)
        assert page.evaluate(fan) != before and "doubling_rate.high = 8 per year" in page.inner_text("#sentence")
        assert "uncertain.doubling_rate.high=8" in page.url
        page.wait_for_function("() => !page.waits")
        assert page.get_attribute("#answer", "aria-busy") is None
        after = page.evaluate(fan)
        page.get_by_label("interval").fill("2")  # out of its domain: nothing is asked
        page.keyboard.press("Tab")
        assert not page.evaluate("page.waits") and page.evaluate(fan) == after
        assert Axe().run(page).response["violations"] == [] and messages == []
        page.close()


def test_page_gives_one_quantile_alone_no_interval(grid):
    one = "{dims: ['quantile'], strides: [1], values: [0.25], unit: ''}"
    text = grid.page.evaluate(f"said('bad', {one}, {{quantile: 0}}, {{values: [0.9]}})")
    assert text == "0.25, not exceeded with 90 % probability"
