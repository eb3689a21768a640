"""The direction of imports, read from the source, so that it stays what the layout says."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweep.cli.main import main

ROOT = Path(__file__).parents[1]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in ("kernels", "sweep")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
# A room imports from itself and from those before it. The packages themselves are facades, which import when asked.
ROOMS = {
    "kernels": ["compilation", "loss", "limits", "statistics", "draws", "pareto", "sensitivity", "split"],
    "sweep": [
        "errors",
        "surroundings",
        "config",
        "models",
        "plan",
        "results",
        "engine",
        "lazy",
        "questions",
        "report",
        "bench",
        "cli",
        "__main__",
    ],
}
QUESTIONS = {"frontier", "sensitivity", "split", "discovery", "decision"}
OWNERS = {  # modules, or rooms, that may import a library
    "click": {"sweep.cli"},
    "google_crc32c": {"sweep.results.faults"},
    "h5netcdf": {"sweep.config.samples"},
    "h5py": {"sweep.config.samples"},
    "matplotlib": {"sweep.report", "sweep.bench.scaling"},
    "platformdirs": {"sweep.cli.compiled"},
    "moocore": {"sweep.questions.frontier.thinning"},
    "optax": {"sweep.questions.split", "sweep.questions.decision.lagrangian", "sweep.questions.optimise"},
    "plotly": {"sweep.report.page.plotly_script"},
    "pydantic": {"sweep.config"},
    "rich": {"sweep.cli"},
    "tensorstore": {"sweep.results"},
    "zarr": {"sweep.results"},
}
FORBIDDEN = {"utils", "util", "helpers", "helper", "common", "misc"}
MOST_MODULES, MOST_LINES, MOST_BODY = 12, 300, 40


def imports(source: str) -> Iterator[str]:
    """Every module that a source imports, inside functions and for type checkers too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in FILES else str(node.module)


def names(source: str) -> set[str]:
    """Every name that a source reads, with its dots."""
    return {ast.unparse(n) for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name | ast.Attribute)}


def external(module: str) -> set[str]:
    packages = {name.partition(".")[0] for name in imports(FILES[module].read_text())}
    return packages - set(sys.stdlib_module_names) - {"kernels", "sweep"}


def place(module: str) -> tuple[str, int]:
    """Package of a module, and which of its rooms it is in."""
    package, room, *_ = module.split(".")
    return package, ROOMS[package].index(room)


def fresh(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


in_rooms = [name for name in FILES if "." in name]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import zarr.codecs", ["zarr.codecs"]),
        ("def f():\n    import zarr", ["zarr"]),
        ("from sweep.results import zarr_store as stores, run", ["sweep.results.zarr_store", "sweep.results"]),
        ("from sweep.errors import StoreError", ["sweep.errors"]),
        ("if TYPE_CHECKING:\n    from jax import Array", ["jax"]),
    ],
)
def test_imports_finds_every_form(source, expected):
    assert list(imports(source)) == expected


@pytest.mark.parametrize("package", ROOMS)
def test_rooms_are_those_of_the_tree(package):
    assert {name.split(".")[1] for name in in_rooms if name.startswith(f"{package}.")} == set(ROOMS[package])


@pytest.mark.parametrize("module", in_rooms)
def test_module_imports_only_from_its_room_and_those_before(module):
    package, room = place(module)
    for name in imports(FILES[module].read_text()):
        if name.partition(".")[0] not in ROOMS:
            continue
        if name in ROOMS:  # a facade, for those who use the project as its users do
            assert name == "kernels" or ROOMS[package][room] in ("cli", "bench")
        elif name.startswith(f"{package}."):
            assert place(name)[1] <= room, name
        else:
            assert package == "sweep", "kernels know nothing of sweep"


in_questions = [name for name in in_rooms if name.startswith("sweep.questions.")]


@pytest.mark.parametrize("module", [name for name in in_questions if name.split(".")[2] in QUESTIONS])
def test_question_asks_no_other_question(module):
    others = {f"sweep.questions.{question}" for question in QUESTIONS - {module.split(".")[2]}}
    assert not any(name.startswith(tuple(others)) for name in imports(FILES[module].read_text()))


def test_no_module_is_between_questions_but_the_verb_that_asks_one_of_two():
    between = {name for name in in_questions if name.split(".")[2] not in QUESTIONS}
    assert between == {"sweep.questions.optimise"}


@pytest.mark.parametrize("module", [name for name in FILES if name.startswith("kernels")])
def test_kernels_import_only_jax_and_numpy_and_optax_to_split(module):
    assert external(module) <= {"jax", "numpy", "optax"}
    assert "optax" not in external(module) or module.startswith("kernels.split.")


@pytest.mark.parametrize("module", [name for name in FILES if name.startswith("sweep")])
def test_module_leaves_libraries_to_their_owners(module):
    for library in external(module) & set(OWNERS):
        assert any(f"{module}.".startswith(f"{owner}.") for owner in OWNERS[library]), library


@pytest.mark.parametrize("module", sorted(set(FILES) - {"sweep.cli.terminal", "sweep.cli.signals"}))
def test_module_neither_prints_nor_exits_nor_reads_arguments(module):
    taboo = {"print", "input", "exit", "quit", "SystemExit", "sys.exit", "os._exit", "sys.argv", "sys.stdout"}
    assert names(FILES[module].read_text()) & (taboo | {"sys.stderr"}) == set()


@pytest.mark.parametrize("module", sorted(set(FILES) - {"sweep.cli.compiled"}))  # which tells JAX of its folder
def test_module_reads_no_environment(module):
    assert names(FILES[module].read_text()) & {"os.environ", "os.getenv", "os.environb"} == set()


@pytest.mark.parametrize("module", sorted(set(FILES) - {"sweep", "sweep.surroundings"}))  # the latter has Lazy
def test_module_imports_by_statement_so_that_this_test_sees_it(module):
    assert names(FILES[module].read_text()) & {"import_module", "importlib.import_module", "__import__"} == set()


@pytest.mark.parametrize("module", in_rooms)
def test_lazy_modules_have_a_statement_for_type_checkers_so_that_this_test_sees_it(module):
    source = FILES[module].read_text()
    assert set(re.findall(r'Lazy\("([\w.]+)"\)', source)) <= set(imports(source))


def test_no_module_is_named_after_nothing():
    assert {part for name in FILES for part in name.split(".")} & FORBIDDEN == set()


def test_no_room_is_crowded():
    commands = {f"sweep.cli.{name}" for name in main.commands}  # one module a command, however many there are
    folders = [path.parent for name, path in FILES.items() if path.name != "__init__.py" and name not in commands]
    assert {str(folder): folders.count(folder) for folder in folders if folders.count(folder) > MOST_MODULES} == {}


def test_modules_are_one_job():
    long = {name for name, path in FILES.items() if len(path.read_text().splitlines()) > MOST_LINES}
    assert {name for name in long if name.startswith("sweep")} == set()


def test_functions_fit_a_screen():
    def lines_of_body(node: ast.FunctionDef) -> int:
        body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        return body[-1].end_lineno - body[0].lineno + 1 if body else 0

    functions = {
        f"{name}.{node.name}": lines_of_body(node)
        for name, path in FILES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and name.startswith("sweep")
    }
    assert {name for name, lines in functions.items() if lines > MOST_BODY} == set()


@pytest.mark.parametrize("module", ["sweep", "sweep.cli.main"])
def test_import_is_light(module):
    heavy = "{'jax', 'xarray', 'zarr', 'tensorstore', 'matplotlib', 'h5netcdf', 'rich', 'numpy', 'optax', 'pydantic'}"
    done = fresh(f"import sys, {module}; print(*sorted({heavy} & set(sys.modules)))")
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_kernels_work_with_jax_and_numpy_alone():
    others = ["sweep", "pydantic", "xarray", "zarr", "tensorstore", "click", "rich", "matplotlib", "h5netcdf", "h5py"]
    others += ["optax"]
    done = fresh(
        f"import sys; sys.modules.update(dict.fromkeys({others})); import kernels; "
        "print(float(kernels.relative_loss(1.0, 0.0, 0.5, scaling_exponent=0.05)))"
    )
    assert (done.returncode, done.stdout.strip()) == (0, "1.0"), done.stderr
