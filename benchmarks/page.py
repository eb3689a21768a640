"""Question: how large is a page, how soon can it be used, and how fast does it follow a slider.

The page of the baseline in Chromium without a network: its bytes; from its address to the last figure drawn; from a
slider's move to the frame after both figures are drawn anew. Then the explorer with 3,000 points: the same with the
numbers asked of the server and computed in between. Times include what Playwright adds, a few milliseconds. Agreement
first: the page shows the number of the kernel to the error that it states. Without Chromium there is nothing to
measure, and it says so.
"""

import contextlib
import itertools
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import record
from playwright.sync_api import Browser, sync_playwright
from playwright.sync_api import Page as Tab

import kernels
import sweep
from sweep.lazy.backend import SweepBackend
from sweep.models.problem import Problem
from sweep.report.page.live import Live
from sweep.report.page.server import Explorer

LIMITS = {"bytes": 2.5e6, "interactive": 1.5, "slider": 0.1, "explorer": 0.15}
READY = "html[data-ready]"
MOVE = """async ([id, part]) => {
    const slider = document.getElementById(id);
    slider.value = Math.round(part * slider.max);
    slider.dispatchEvent(new Event("input"));
    const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    await painted();
    while (page.waits) await painted();
}"""


def measure(quick: bool) -> Iterator[dict[str, Any]]:
    """Yield result lines."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        yield {"case": "no Chromium on this machine", "result": "page", "skipped": "Debian's chromium is not installed"}
        return
    repeats = 1 if quick else 5
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield from _file(browser, Path(folder) / "baseline.html", repeats)
        yield from _explorer(browser, repeats)
        browser.close()


def _file(browser: Browser, path: Path, repeats: int) -> Iterator[dict[str, Any]]:
    case = "page of baseline.toml"
    spec = sweep.load(record.ROOT / "configs" / "baseline.toml")
    sweep.page(SweepBackend().open_dataset(spec)).write(path)
    yield record.judged(case, "size", [float(path.stat().st_size)], "bytes", at_most=LIMITS["bytes"])
    tab = browser.new_context(offline=True, viewport={"width": 1400, "height": 900}).new_page()

    def opened() -> None:
        tab.goto(path.as_uri())
        tab.wait_for_selector(READY)

    took = record.race({"open": opened}, repeats=repeats, warm_up=1, before=lambda: tab.goto("about:blank"))["open"]
    yield _within(record.timed(case, "from the address to the last figure", took), "interactive")
    _agree(tab, spec)
    for slider, text in (
        ("at-time", "along the axis of both figures"),
        ("at-doubling_rate", "to other curves and map"),
    ):
        yield _within(record.timed(case, f"a slider's move, {text}", _moves(tab, slider, repeats)), "slider")


def _explorer(browser: Browser, repeats: int) -> Iterator[dict[str, Any]]:
    axes = {
        "fleet_size": sweep.Axis(start=1e3, stop=1e8, num=30, spacing="log"),
        "time": sweep.Axis(start=0.0, stop=20.0, num=100),
    }
    fixed = {"doubling_rate": 1.5, "scaling_exponent": 0.05}
    outputs = ["relative_loss"]
    spec = sweep.SweepSpec(loss="total", reference="llama-3.1-405b", outputs=outputs, axes=axes, fixed=fixed)
    with _served(Live(spec, Problem.of(spec))) as server:
        tab = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
        tab.goto(server.address)
        tab.wait_for_selector(READY)
        took = _moves(tab, "fixed-scaling_exponent", repeats)
        yield _within(record.timed("explorer of 3,000 points", "a slider's move", took), "explorer")
        tab.close()


def _moves(tab: Tab, slider: str, repeats: int) -> record.Timing:
    """Time moves of a slider, each to another place."""
    parts = itertools.cycle([0.1, 0.5, 0.9, 0.3, 0.7])
    work = {"move": lambda: tab.evaluate(MOVE, [slider, next(parts)])}
    return record.race(work, repeats=repeats)["move"]


def _agree(tab: Tab, problem: Problem) -> None:
    """Stop unless the page says what the kernel gives where its sliders stand."""
    at = tab.evaluate("Object.fromEntries(page.choice.dims.map((dim) => [dim, page.dims[dim].values[page.at[dim]]]))")
    run = {name: problem.spec.fixed[name].value for name in ("reference_fleet", "reference_years")}
    expected = float(kernels.relative_loss(**at, **run))
    variable = "page.variables.relative_loss"
    shown, error = tab.evaluate(f"[valueAt({variable}, page.at), {variable}.error]")
    if abs(shown - expected) > (error + 1e-6) * expected:
        raise ValueError(f"the page shows {shown}, the kernel gives {expected}")


@contextlib.contextmanager
def _served(live: Live) -> Iterator[Explorer]:
    ends = threading.Event()

    def look() -> None:
        if ends.is_set():
            raise KeyboardInterrupt

    def serve() -> None:
        with contextlib.suppress(KeyboardInterrupt):
            server.serve(look)

    with Explorer(live, 0) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server
        finally:
            ends.set()
            thread.join()


def _within(line: dict[str, Any], limit: str) -> dict[str, Any]:
    return {**line, "at_most": LIMITS[limit], "met": line["seconds"]["median"] <= LIMITS[limit]}


if __name__ == "__main__":
    record.main("page", measure, __doc__)
