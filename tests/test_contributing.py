"""The tree of CONTRIBUTING.md has every module, in its own words: ``python tests/test_contributing.py`` writes it."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / ".github" / "CONTRIBUTING.md"
BEGIN, END = "<!-- tree: python tests/test_contributing.py -->\n", "<!-- end of tree -->"


def what(path: Path) -> str:
    """First line of a module's docstring, without markup."""
    first = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).splitlines()[0]
    return first.replace("``", "`").replace(":func:", "").replace(":mod:", "").replace(":class:", "")


def tree() -> str:
    """One paragraph a room, one line a module."""
    lines = []
    for package in ("kernels", "sweep"):
        for room in sorted((ROOT / package).rglob("__init__.py"), key=lambda path: path.parent):
            lines += ["", f"**`{room.parent.relative_to(ROOT)}/`** {what(room)}", ""]
            modules = sorted(path for path in room.parent.glob("*.py") if path != room)
            lines += [f"- `{path.name}`: {what(path)}" for path in modules]
    return "\n".join([*lines, "", ""])


def test_tree_of_contributing_has_every_module_in_its_own_words():
    written = PAGE.read_text(encoding="utf-8")
    assert written.split(BEGIN)[1].split(END)[0] == tree(), "run python tests/test_contributing.py"


if __name__ == "__main__":
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    PAGE.write_text(before + BEGIN + tree() + END + rest.split(END)[1], encoding="utf-8")
