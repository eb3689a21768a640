"""Make the picture at the top of the README: the page of the baseline in Chromium, as its first command makes it."""

import io
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from sweep.cli.main import main

ROOT = Path(__file__).parents[1]
WIDTH, HEIGHT, COLOURS = 1400, 850, 256


def photograph(address: str, path: Path) -> None:
    """Write the top of a page as a PNG file."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(address)
        page.wait_for_selector("html[data-ready]")
        page.wait_for_function("() => document.querySelectorAll('figure .main-svg').length > 1")
        shot = Image.open(io.BytesIO(page.screenshot()))
        shot.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            path, optimize=True
        )
        browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "baseline.html"
        main(["report", str(ROOT / "configs" / "baseline.toml"), "-o", str(made)], standalone_mode=False)
        photograph(made.as_uri(), ROOT / ".github" / "report.png")
