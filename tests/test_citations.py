"""What is named in code, configs and pages is there: files of this repository, sections, modules and their parts."""

import pkgutil
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(page for pattern in ("*.md", "*/README.md", ".github/*.md") for page in ROOT.glob(pattern))
CONFIGS = sorted((ROOT / "configs").glob("*.toml"))
CODE = sorted(path for folder in ("kernels", "sweep", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
ROOMS = r"(?:kernels|sweep|configs|tests|benchmarks|\.github|\.ci)"
FILE = re.compile(rf"(?<![\w/.-]){ROOMS}/[\w./-]*\w|(?<![\w/.-])[\w./-]+\.md\b")
SECTION = re.compile(r"kernels/README\.md(?:,|:) (?:sections? )?(\d+)(?:(?: and |, )(\d+))*")
ROLE = re.compile(r":(func|class|meth|mod|data|attr):`~?((?:kernels|sweep)\.[\w.]+)`")
WRITTEN = {"benchmarks/results/today.jsonl"}  # by a command that is shown, not kept

each_text = pytest.mark.parametrize("path", [*PAGES, *CONFIGS, *CODE], ids=lambda path: str(path.relative_to(ROOT)))


def _unwrapped(path: Path) -> str:
    """Text of a file, with sentences that go on in the next line, or the next literal, in one line."""
    return re.sub(r'"?\s*\n[\s#]*"?', " ", path.read_text(encoding="utf-8"))


def _missing(names: set[str], beside: Path) -> set[str]:
    return {name for name in names if not (ROOT / name).exists() and not (beside / name).exists()}


@each_text
def test_named_file_is_in_the_repository(path):
    assert _missing(set(FILE.findall(path.read_text(encoding="utf-8"))) - WRITTEN, path.parent) == set()


@pytest.mark.parametrize("text", ["(model.md, 1)", "see tests/test_nothing.py", "(parameters.md), in steps"])
def test_a_file_that_is_not_there_is_missed(text):
    assert len(_missing(set(FILE.findall(text)), ROOT)) == 1


@each_text
def test_cited_section_of_the_mathematics_exists(path):
    written = (ROOT / "kernels" / "README.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"^## (\d+)\.", written, re.M))
    assert {number for pair in SECTION.findall(_unwrapped(path)) for number in pair if number} <= sections


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_cross_reference_leads_somewhere(path):
    for role, name in ROLE.findall(path.read_text(encoding="utf-8")):
        assert isinstance(pkgutil.resolve_name(name), ModuleType) == (role == "mod"), name
