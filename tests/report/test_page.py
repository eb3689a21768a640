"""Pages: their numbers are the dataset's to the stated error, their texts are inert, and nothing else may run."""

import base64
import hashlib
import html.parser
import json
import re
import sys
import zlib
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import kernels
import sweep
from sweep.cli.main import main
from sweep.report.page import template
from sweep.report.page.cube import FEW, packed
from sweep.report.page.nodes import fitted
from sweep.report.page.origin import linked
from sweep.report.page.plotly_script import plotly_script
from sweep.report.page.sections import read_report, sources_of
from sweep.results import netcdf

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "configs" / "smoke.toml"
KINDS = ("grid", "statistics", "split", "robust", "decision", "frontier", "sensitivity", "discovery")
SCRIPT = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


class Elements(html.parser.HTMLParser):
    """Tags with their attributes, and the texts of scripts and styles, as a browser reads them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self._open = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Note a tag."""
        self.tags.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data):
        """Note the text of a script or a style, which is one piece."""
        if self._open in ("script", "style"):
            self.texts.append(data)
            self._open = ""


def payload_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page.text, re.S)[1])


def unpacked(variable):
    """Undo, by sums in Python's integers, what the page's script undoes."""
    plain = zlib.decompress(base64.b64decode(variable["data"]))
    if variable["code"] == "float64":
        return np.frombuffer(plain, "<f8").reshape(variable["shape"])
    planes = np.frombuffer(plain, np.uint8).reshape(2, -1).astype(int)
    codes = (planes[0] + 256 * planes[1]).reshape(variable["shape"])
    codes = (
        np.cumsum(np.cumsum(codes, axis=-1), axis=-2 if codes.ndim > 1 else -1) if codes.ndim > 1 else codes.cumsum()
    )
    codes %= 65536
    places = variable["low"] + (codes - 4) * variable["step"]
    values = np.exp(places) if variable["code"] == "log" else places
    return np.select([codes == 0, codes == 1, codes == 2, codes == 3], [np.nan, -np.inf, 0.0, np.inf], values)


def assert_within_error(variable, values):
    values, shown = np.asarray(values, dtype=float), unpacked(variable)
    finite = np.isfinite(values) & (values != 0.0 if variable["code"] == "log" else True)
    np.testing.assert_array_equal(shown[~finite], values[~finite])
    scale = np.abs(values[finite]) if variable["code"] == "log" else 1.0
    assert np.all(np.abs(shown[finite] - values[finite]) <= variable["error"] * scale)


@pytest.fixture(scope="module")
def pages(datasets):
    return {kind: sweep.page(dataset) for kind, dataset in datasets.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_page_shows_every_number_of_its_dataset_to_the_stated_error(kind, datasets, pages):
    dataset, variables = datasets[kind], payload_of(pages[kind])["variables"]
    assert variables
    for name, variable in variables.items():
        assert variable["dims"] == list(dataset[name].dims)
        assert_within_error(variable, dataset[name].values)


def test_page_of_a_grid_equals_the_kernel_at_five_nodes(pages):
    payload = payload_of(pages["grid"])
    variable = payload["variables"]["relative_loss"]
    assert variable["code"] == "log"
    axes = [payload["dims"][dim]["values"] for dim in variable["dims"]]
    shown = unpacked(variable)
    with jax.enable_x64(True):
        for place in [(0, 0, 0), (1, 40, 40), (2, 20, 20), (3, 7, 33), (0, 40, 1)]:
            at = {dim: values[i] for dim, values, i in zip(variable["dims"], axes, place, strict=True)}
            at |= {"scaling_exponent": 0.1, "irreducible_share": 0.4, "reference_fleet": 1.0, "reference_years": 1.0}
            assert shown[place] == pytest.approx(float(kernels.relative_loss(**at)), rel=variable["error"])


@pytest.mark.parametrize("low", [0.0, -1.0])
@pytest.mark.parametrize("shape", [(FEW + 1,), (70, 80), (2, 50, 60)])
def test_packed_states_its_error(low, shape):
    values = np.random.default_rng(0).uniform(low, 1.0, shape) ** 9
    values.flat[[0, 7, 8, 9]] = 0.0, np.nan, np.inf, -np.inf
    variable = packed(values)
    assert variable["code"] == ("log" if low == 0.0 else "linear")
    assert_within_error(variable, values)
    assert variable["error"] < 2e-3


@pytest.mark.parametrize("value", [0.3, 0.0, -2.0, np.nan, np.inf, -np.inf])
def test_packed_keeps_one_value_everywhere(value):
    np.testing.assert_array_equal(unpacked(packed(np.full((100, 100), value))), np.full((100, 100), value))


def test_packed_keeps_few_values_exactly():
    values = np.random.default_rng(0).normal(size=(3, 5))
    np.testing.assert_array_equal(unpacked(packed(values)), values)


def long_grid():
    """A dataset that does not compress."""
    times, fleets = np.linspace(0.0, 100.0, 1001), np.geomspace(1.0, 1e6, 501)
    values = np.random.default_rng(0).uniform(0.5, 1.0, (501, 1001))
    about = {"long_name": "loss", "units": "1"}
    coordinates = {"fleet_size": ("fleet_size", fleets, about), "time": ("time", times, about)}
    return xr.Dataset({"loss": (("fleet_size", "time"), values, about)}, coordinates, {"title": "Long"})


def test_page_leaves_out_nodes_until_it_fits_and_says_so():
    dataset, most = long_grid(), 2_100_000
    page = sweep.page(dataset, max_size=most)
    payload = payload_of(page)
    times = payload["dims"]["time"]["values"]
    assert len(page.text.encode()) <= most
    assert (times[0], times[-1]) == (0.0, 100.0) and 3 < len(times) < 1001
    assert_within_error(
        payload["variables"]["loss"], dataset.loss.sel(time=times, fleet_size=payload["dims"]["fleet_size"]["values"])
    )
    assert f"The page has {len(payload['dims']['fleet_size']['values'])} of 501 values of fleet_size" in page.text


def test_fitted_keeps_evenly_spaced_nodes_where_the_axis_can_be_divided():
    loaded, _, _ = fitted(long_grid(), ["loss"], 40_000)
    assert np.unique(np.diff(loaded.time.values).round(9)).size == 1


def test_page_refuses_a_size_that_is_too_small(datasets):
    with pytest.raises(
        sweep.SpecError, match=r"^--max-size: a page without numbers takes \d,\d{3},\d{3} bytes, got 500,000"
    ):
        sweep.page(datasets["grid"], max_size=500_000)
    with pytest.raises(sweep.SpecError, match=r"^--max-size: loss does not fit"):
        fitted(long_grid(), ["loss"], 10)


def test_page_of_the_baseline_is_small():
    dataset = xr.open_dataset(ROOT / "configs" / "baseline.toml", engine="sweep")
    assert len(sweep.page(dataset).text.encode()) <= 2_500_000


@pytest.mark.parametrize("kind", KINDS)
def test_page_lets_no_script_run_but_its_own(kind, pages):
    elements = Elements(pages[kind].text)
    policy = next(a["content"] for tag, a in elements.tags if tag == "meta" and a.get("http-equiv"))
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split("; ")}
    data, plotly, script = elements.texts[1:]
    plotly = zlib.decompress(base64.b64decode(plotly)).decode()
    hashes = [hashlib.sha256(text.encode()).digest() for text in (script, plotly)]
    assert rules["script-src"] == [f"'sha256-{base64.b64encode(h).decode()}'" for h in hashes]
    assert rules["default-src"] == ["'none'"] and not set(rules) & {"connect-src", "frame-src"}
    assert plotly.startswith("/**\n* plotly.js") and json.loads(data)


@pytest.mark.parametrize("kind", KINDS)
def test_page_refers_to_nothing_but_papers(kind, pages):
    tags = Elements(pages[kind].text).tags
    links = [value for _, attributes in tags for key, value in attributes.items() if key in ("src", "href", "srcset")]
    assert all(link.startswith("https://arxiv.org/abs/") for link in links)


def hostile(dataset):
    """Put a script into every text of a dataset."""
    dataset = dataset.copy().assign_attrs(
        {k: SCRIPT for k in ("title", "caveats", "fixed", "reference", "assumptions")}
    )
    for variable in dataset.variables.values():
        variable.attrs |= {"long_name": SCRIPT, "units": SCRIPT, "source": SCRIPT}
    return dataset


@pytest.mark.parametrize("kind", ["grid", "statistics", "frontier", "discovery"])
def test_page_shows_hostile_texts_as_texts(kind, datasets, pages):
    def counted(page):
        tags = [tag for tag, _ in Elements(page.text).tags]
        return {tag: tags.count(tag) for tag in ("script", "img", "style", "svg", "iframe")}

    page = sweep.page(hostile(datasets[kind]), command=SCRIPT)
    assert counted(page) == counted(pages[kind])
    assert payload_of(page)["title"] == SCRIPT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "arXiv 2501.02156.",
            '<a href="https://arxiv.org/abs/2501.02156" rel="noopener noreferrer">arXiv 2501.02156</a>.',
        ),
        ("<b>", "&lt;b&gt;"),
        ("javascript:alert(1)", "javascript:alert(1)"),
        (
            'https://a.org/"onclick=x',
            '<a href="https://a.org/" rel="noopener noreferrer">https://a.org/</a>&quot;onclick=x',
        ),
    ],
)
def test_linked_makes_links_of_papers_and_addresses_alone(text, expected):
    assert linked(text) == expected


@pytest.mark.parametrize(
    ("kind", "place", "sentence"),
    [
        ("frontier", 0, "No choice beats relative_loss 0.6"),
        ("sensitivity", 1, "relative_loss at time = 3 years is driven most by doubling_rate 0."),
        ("discovery", -1, "relative_loss < 0.7 in "),
        ("split", 1, "At software_rate = 1.5 per year, for the least objective, spend 60 % on accelerators now"),
        ("robust", 0, "Spend 50 % on accelerators now, 20 % later (20 % at 1 years), 30 % on efficiency research: the"),
        ("decision", 0, "At doubling_rate = 0 per year, nothing that was tried is allowed"),
        (
            "decision",
            1,
            "At doubling_rate = 0.5 per year, the least total_cost is 1.5e10 USD, with fleet_size 500,000 "
            "accelerators; the best point of the grid has 1.6e10 USD",
        ),
    ],
)
def test_page_answers_in_a_sentence_with_units(kind, place, sentence, pages):
    assert payload_of(pages[kind])["choices"][0]["texts"][place].startswith(sentence)


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("grid", ("(at doubling_rate -1, fleet_size 0.01, time 0) to 0.4", "Confidence: none is stated")),
        ("statistics", ("band over all axes: 0.87", "(at time 1, quantile 0.95) to 0.2")),
        ("robust", ("1 of 1 plan certified",)),
        ("decision", ("total_cost over all axes: 1.5e10 USD (at doubling_rate 0.5) to 8e8 USD", "1 scenario: ")),
    ],
)
def test_page_says_the_range_of_its_answer_and_how_certain_it_is(kind, lines, pages):
    text = payload_of(pages[kind])["choices"][0]["range"]
    assert all(line in text for line in lines), text


def test_page_of_a_frontier_counts_the_points_behind_it(datasets, pages):
    panels = payload_of(pages["frontier"])["choices"][0]["panels"]
    (plane,) = panels[0]["others"]
    spec = json.loads(datasets["frontier"].attrs["spec"])
    times, fleets = np.array([1.0, 2.0])[:, None], np.geomspace(1.0, 1e4, 21)
    with jax.enable_x64(True):
        losses = np.asarray(kernels.relative_loss(fleets, times, 0.5, scaling_exponent=0.05))
    costs = sweep.run(sweep.SweepSpec(**{**spec, "outputs": ["total_cost"]})).total_cost.transpose("time", "fleet_size")
    costs = np.log10(np.broadcast_to(costs.values, losses.shape))
    expected, *edges = np.histogram2d(costs.ravel(), losses.ravel(), bins=48)
    assert (plane["x"], plane["y"], plane["number"]) == ("relative_loss", "total_cost", 42)
    np.testing.assert_allclose(plane["ends"], [[edge[0], edge[-1]] for edge in edges[::-1]], rtol=1e-6)
    np.testing.assert_array_equal(unpacked(plane), expected)
    assert len(plane["data"]) < 3000


def test_page_of_a_frontier_that_cannot_be_evaluated_again_has_none_behind_it(datasets):
    dataset = datasets["frontier"].assign_attrs(model="one of my own")
    panels = payload_of(sweep.page(dataset))["choices"][0]["panels"]
    assert panels and not any("others" in panel for panel in panels)


def test_page_of_a_sweep_over_draws_has_bands_of_them():
    rate = sweep.Distribution(distribution="uniform", low=0.5, high=2.0)
    spec = sweep.SweepSpec(
        loss="total",
        dtype="float64",
        outputs=["relative_loss", "total_cost"],
        axes={"time": sweep.Axis(values=[1.0, 3.0])},
        fixed={"fleet_size": 10.0, "reference_fleet": 1.0, "reference_years": 1.0, "scaling_exponent": 0.05},
        distributions={"doubling_rate": rate},
        draws=sweep.Draws(number=1024),
    )
    payload = payload_of(sweep.page(sweep.run(spec)))
    variable = payload["variables"]["relative_loss"]
    assert "draw" not in payload["dims"] and variable["dims"] == ["time", "quantile"]
    assert variable["label"] == "loss relative to time 0"
    assert payload["variables"]["total_cost"]["dims"] == ["time"]
    levels = np.array(payload["dims"]["quantile"]["values"])
    with jax.enable_x64(True):  # the loss falls with the rate, whose quantiles are known
        rates, times = 0.5 + 1.5 * (1.0 - levels), np.array([1.0, 3.0])[:, None]
        expected = np.asarray(kernels.relative_loss(10.0, times, rates, scaling_exponent=0.05))
    np.testing.assert_allclose(unpacked(variable), expected, rtol=1e-3)


def test_page_of_many_splits_counts_all_that_are_certified(datasets):
    rates = np.linspace(0.5, 6.0, 5000)
    many = (
        datasets["split"]
        .isel(software_rate=np.arange(5000) % 3)
        .assign_coords(software_rate=("software_rate", rates, datasets["split"].software_rate.attrs))
    )
    many["status"][7] = 1
    payload = payload_of(sweep.page(many, max_size=2_100_000))
    assert payload["choices"][0]["texts"] is None  # of so many the page's script says what is chosen
    assert "4,999 of 5,000 certified" in payload["choices"][0]["range"]


def test_page_says_where_its_numbers_come_from(datasets):
    text = sweep.page(datasets["statistics"], command="sweep report a.toml").text
    origin = text[text.index('id="origin"') : text.index("</dl>")]
    attributes = datasets["statistics"].attrs
    for part in (
        "sweep report a.toml",
        attributes["fingerprint"],
        attributes["version_jax"],
        "arXiv 2403.05812",
        "total",
    ):
        assert part in origin


def test_page_of_answers_to_targets_names_those_out_of_reach(pages):
    assert payload_of(pages["grid"])["variables"]["time_to_target"]["words"] == ["never", "at once"]


def test_page_in_a_notebook_is_a_frame_without_rights(pages):
    tags = Elements(pages["frontier"]._repr_html_()).tags
    assert [tag for tag, _ in tags] == ["iframe"]
    assert tags[0][1]["sandbox"] == "allow-scripts allow-downloads"
    assert tags[0][1]["srcdoc"] == pages["frontier"].text
    assert len(repr(pages["frontier"])) < 80


@pytest.mark.parametrize(
    ("name", "message"),
    [("a.txt", 'a page is written as .html, got ".txt"'), ("no/a.html", "the folder .* does not exist")],
)
def test_page_is_not_written_where_it_cannot_be(name, message, pages, tmp_path):
    with pytest.raises(sweep.SpecError, match=message):
        pages["frontier"].write(tmp_path / name)


def test_page_without_plotly_says_what_to_install(datasets, monkeypatch):
    plotly_script.cache_clear()
    template._plotly.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "plotly"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(ImportError, match=r"^pages need plotly: pip install \"relative-loss-sweep\[report\]\"$"):
        sweep.page(datasets["grid"])


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


def test_report_writes_a_page_of_a_config_that_names_its_command(tmp_path):
    path = tmp_path / "page.html"
    done = run("report", SMOKE, "-o", path, "--title", "A <title>")
    assert (done.exit_code, done.output) == (0, f"{path}\n")
    assert f"sweep report {SMOKE} -o {path} --title &#x27;A &lt;title&gt;&#x27;" in path.read_text()


def test_report_reads_a_file_and_names_the_page_after_it(datasets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    netcdf.write(datasets["frontier"], tmp_path / "front.nc")
    assert run("report", "front.nc").output == "front.html\n"
    assert payload_of(sweep.Page((tmp_path / "front.html").read_text()))["kind"] == "frontier"


def test_report_of_a_config_with_a_target_answers_it_under_both_laws(tmp_path):
    assert run("report", SMOKE, "-o", tmp_path / "a.html").exit_code == 0
    text = (tmp_path / "a.html").read_text()
    (beside,) = re.findall(r"<pre tabindex=.0.>(.*?)</pre>", text, re.S)
    assert "time_to_target along fleet_size" in beside and "never (the least reachable loss is the floor" in beside


def test_page_of_a_run_that_was_stopped_says_so(datasets):
    words = "the run is not complete"
    for complete in (True, False):
        assert (words in sweep.page(datasets["frontier"].assign_attrs(complete=complete)).text) is not complete


def test_report_reads_a_store(tmp_path):
    sweep.run(sweep.load(SMOKE), store=tmp_path / "a.zarr")
    assert run("report", tmp_path / "a.zarr", "-o", tmp_path / "a.html").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((SMOKE, "-o", "a.txt"), 'error: a.txt: a page is written as .html, got ".txt"\n'),
        (
            ("README.md",),
            "error: README.md: is neither a store (a folder) nor a config (.toml) nor a file of --netcdf (.nc)\n",
        ),
        (("no.toml", "-o", "no/a.html"), "error: no/a.html: the folder no does not exist\n"),
    ],
)
def test_report_refuses_in_one_line(arguments, message):
    done = run("report", *arguments)
    assert (done.exit_code, done.output) == (2, message)


def test_report_of_several_sections_is_one_page_with_contents(tmp_path, datasets):
    sweep.run(sweep.load(SMOKE), store=tmp_path / "a.zarr")
    netcdf.write(datasets["frontier"], tmp_path / "front.nc")
    (tmp_path / "smoke.toml").write_text(SMOKE.read_text())
    more = 'title = "T <i>"\ntext = "All & more"\n'
    sections = '[[sections]]\nsource = "{}"\n'
    text = more + sections.format("a.zarr") + sections.format("front.nc") + 'title = "Haste"\ntext = "Why <b>"\n'
    (tmp_path / "report.toml").write_text(text + sections.format("smoke.toml"))
    done = run("report", tmp_path / "report.toml", "-o", tmp_path / "a.html", "--max-size", "2.3MB")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "a.html").read_text()
    tags = Elements(text).tags
    assert len(text.encode()) <= 2_300_000 and [tag for tag, _ in tags].count("article") == 3
    identifiers = [attributes["id"] for _, attributes in tags if "id" in attributes]
    links = [attributes["href"] for tag, attributes in tags if tag == "a" and attributes["href"].startswith("#")]
    assert len(identifiers) == len(set(identifiers)) and links == ["#part1", "#part2", "#part3"]
    assert "T &lt;i&gt;" in text and "All &amp; more" in text and "Why &lt;b&gt;" in text
    payloads = [json.loads(found) for found in re.findall(r'class="data" id="[^"]*">(.*?)</script>', text)]
    assert [payload["kind"] for payload in payloads] == ["grid", "frontier", "grid"]
    assert payloads[1]["title"] == "Haste" and text.count("plotly.js") == 0  # once, deflated
    for payload in payloads[::2]:
        assert_within_error(payload["variables"]["relative_loss"], sweep.run(sweep.load(SMOKE)).relative_loss.values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sections = []", "sections: must be 1 to 20 tables such as [[sections]], got 0 of them"),
        ("sections = 3", "sections: must be 1 to 20 tables such as [[sections]], got 3"),
        ("sections = [1]", "sections.1: must be a table, got 1"),
        ("[[sections]]", "sections.1.source: is required"),
        ("[[sections]]\nsource = 1", "sections.1.source: must be a string, got 1"),
        (
            '[[sections]]\nsource = "good.toml"\n[[sections]]\nsorce = "a"',
            'sections.2: unknown key "sorce"; did you mean source? allowed: source, title, text',
        ),
        ('tittle = ""\n[[sections]]\nsource = "good.toml"', 'unknown key "tittle"; did you mean title? allowed: '),
        ('[[sections]]\nsource = "good.toml"\ntext = 1', "sections.1.text: must be a string, got 1"),
        ('[[sections]]\nsource = "no.toml"', "sections.1.source: must be a config (.toml), a store (a folder) or a "),
        ('[[sections]]\nsource = "a.csv"', "sections.1.source: must be a config (.toml), a store (a folder) or a "),
        ('[[sections]]\nsource = "report.toml"', "report.toml is a report itself"),
        ('[[sections]]\nsource = "bad.toml"', "sections.1.source: "),
    ],
)
def test_report_names_what_is_wrong_with_its_sections_before_any_work(text, message, tmp_path, monkeypatch):
    monkeypatch.setattr("sweep.cli.report.dataset_of", pytest.fail)
    (tmp_path / "good.toml").write_text(SMOKE.read_text())
    (tmp_path / "bad.toml").write_text("axes = 3")
    (tmp_path / "report.toml").write_text(text)
    done = run("report", tmp_path / "report.toml", "-o", tmp_path / "a.html")
    assert done.exit_code == 2 and done.output.startswith(f"error: {tmp_path / 'report.toml'}: ")
    assert message in done.output and done.output.count("\n") == 1


def test_shipped_report_lists_configs_that_can_be_run():
    report = read_report(ROOT / "configs" / "report.toml")
    assert len(list(sources_of(report, ROOT / "configs" / "report.toml"))) == len(report.sections) == 4
