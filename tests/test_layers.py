"""The direction of imports, read from the source, so that it stays what the layout says."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in ("kernels", "sweep")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
# A module imports only from the floors below its own. The package `sweep` is its facade, which imports when asked.
FLOORS = [
    {
        "sweep.questions.discovery.prim",
        "sweep.config.doubts",
        "sweep.config.files",
        "sweep.results.lock",
        "sweep.plan.machine",
        "sweep.surroundings",
        "sweep.questions.split.ranges",
        "sweep.models.rounding",
        "sweep.config.record",
    },
    {"sweep.config.axis", "sweep.surroundings", "sweep.plan.blocks", "sweep.config.reference"},
    {"sweep.bench.comparison", "sweep.bench.measure", "sweep.bench.oracle"},
    {"sweep.bench.ceilings", "sweep.bench.workload"},
    {"sweep.config.distribution", "sweep.results.netcdf", "sweep.config.statistic"},
    {"sweep.results.replicates", "sweep.config.includes", "sweep.models.sampling"},
    {"sweep.config.spec"},
    {"sweep.models.model"},
    {"sweep.models.uncertain", "sweep.models.parameters", "sweep.models.regret"},
    {"sweep.models.front_loading", "sweep.models.tables"},
    {"sweep.models.conventions"},
    {"sweep.models.strategies"},
    {"sweep.models.registry", "sweep.engine.evaluate", "sweep.results.manifest", "sweep.plan.passes"},
    {
        "sweep.engine.blocks",
        "sweep.plan.jobs",
        "sweep.results.metadata",
        "sweep.engine.partials",
        "sweep.engine.points",
        "sweep.engine.trial",
    },
    {"sweep.engine.rows", "sweep.engine.running", "sweep.results.zarr_store"},
    {"sweep.results.sinks"},
    {
        "sweep.report.answers",
        "sweep.lazy.indexing",
        "sweep.engine.loop",
        "sweep.questions.sensitivity.response",
        "sweep.questions.split.optimise",
    },
    {"sweep.questions.sensitivity.local", "sweep.questions.sensitivity.sums", "sweep.questions.sensitivity.designs"},
    {"sweep.questions.sensitivity.estimates"},
    {"sweep.questions.sensitivity.sensitivity", "sweep.report.sentences"},
    {"sweep.bench.workloads"},
    {"sweep.bench.kernels"},
    {
        "sweep.questions.discovery.discover",
        "sweep.lazy.backend",
        "sweep.questions.frontier.robust",
        "sweep.report.slices",
        "sweep.questions.frontier.thinning",
    },
    {"sweep.questions.frontier.chances", "sweep.questions.frontier.scan", "sweep.report.describe"},
    {"sweep.questions.frontier.bests", "sweep.questions.frontier.pieces"},
    {"sweep.questions.frontier.tiles"},
    {"sweep.questions.frontier.sources"},
    {"sweep.questions.frontier.frontier"},
    {"sweep", "sweep.report.density", "sweep.report.figures"},
    {
        "sweep.report.sensitivity_figure",
        "sweep.report.discovery_figure",
        "sweep.bench.scaling",
        "sweep.report.frontier_figure",
    },
    {"sweep.cli.terminal"},
    {"sweep.cli.questions"},
    {"sweep.cli"},
    {"sweep.__main__"},
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
OWNERS = {
    "click": {"sweep.cli", "sweep.cli.questions", "sweep.cli.terminal"},
    "h5netcdf": {"sweep.results.netcdf"},
    "h5py": {"sweep.results.netcdf"},
    "matplotlib": {
        "sweep.report.sensitivity_figure",
        "sweep.report.figures",
        "sweep.report.discovery_figure",
        "sweep.bench.scaling",
        "sweep.report.frontier_figure",
    },
    "moocore": {"sweep.questions.frontier.thinning"},
    "pydantic": {
        "sweep.config.axis",
        "sweep.config.distribution",
        "sweep.config.record",
        "sweep.config.spec",
        "sweep.config.statistic",
    },
    "rich": {"sweep.cli.terminal"},
    "tensorstore": {"sweep.results.zarr_store"},
    "zarr": {"sweep.results.zarr_store"},
}
FORBIDDEN = {"utils", "util", "helpers", "helper", "common", "misc"}


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
    found = {name.partition(".")[0] for name in imports(FILES[module].read_text())}
    return found - set(sys.stdlib_module_names) - {"kernels", "sweep"}


def fresh(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


in_kernels = [name for name in FILES if name.partition(".")[0] == "kernels"]
in_sweep = [name for name in FILES if name.partition(".")[0] == "sweep"]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import zarr.codecs", ["zarr.codecs"]),
        ("def f():\n    import zarr", ["zarr"]),
        ("from sweep import store as stores, run", ["sweep.results.zarr_store", "sweep"]),
        ("from sweep.results.zarr_store import StoreError", ["sweep.results.zarr_store"]),
        ("if TYPE_CHECKING:\n    from jax import Array", ["jax"]),
    ],
)
def test_imports_finds_every_form(source, found):
    assert list(imports(source)) == found


def test_every_module_has_a_floor():
    assert set(FLOOR) == set(in_sweep)


@pytest.mark.parametrize("module", in_sweep)
def test_module_imports_only_from_below(module):
    ours = {name for name in imports(FILES[module].read_text()) if name in FLOOR}
    assert {name for name in ours if FLOOR[name] >= FLOOR[module]} == set()


@pytest.mark.parametrize("module", in_kernels)
def test_kernels_import_only_jax_and_numpy(module):
    assert external(module) <= {"jax", "numpy"}
    assert not any(name.partition(".")[0] == "sweep" for name in imports(FILES[module].read_text()))


@pytest.mark.parametrize("module", in_sweep)
def test_module_leaves_libraries_to_their_owners(module):
    assert {name for name in external(module) & set(OWNERS) if module not in OWNERS[name]} == set()


@pytest.mark.parametrize("module", sorted(set(FILES) - {"sweep.cli.terminal"}))
def test_module_neither_prints_nor_exits_nor_reads_arguments(module):
    taboo = {"print", "input", "exit", "quit", "SystemExit", "sys.exit", "os._exit", "sys.argv", "sys.stdout"}
    assert names(FILES[module].read_text()) & (taboo | {"sys.stderr"}) == set()


@pytest.mark.parametrize("module", FILES)
def test_module_reads_no_environment(module):
    assert names(FILES[module].read_text()) & {"os.environ", "os.getenv", "os.environb"} == set()


@pytest.mark.parametrize("module", sorted(set(FILES) - {"sweep"}))
def test_module_imports_by_statement_so_that_this_test_sees_it(module):
    assert names(FILES[module].read_text()) & {"import_module", "importlib.import_module", "__import__"} == set()


def test_no_module_is_named_after_nothing():
    assert {part for name in FILES for part in name.split(".")} & FORBIDDEN == set()


@pytest.mark.parametrize("module", ["sweep", "sweep.cli"])
def test_import_is_light(module):
    heavy = "{'jax', 'xarray', 'zarr', 'tensorstore', 'matplotlib', 'h5netcdf', 'rich', 'numpy', 'pydantic'}"
    done = fresh(f"import sys, {module}; print(*sorted({heavy} & set(sys.modules)))")
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_kernels_work_with_jax_and_numpy_alone():
    others = ["sweep", "pydantic", "xarray", "zarr", "tensorstore", "click", "rich", "matplotlib", "h5netcdf", "h5py"]
    done = fresh(
        f"import sys; sys.modules.update(dict.fromkeys({others})); import kernels; "
        "print(float(kernels.relative_loss(1.0, 0.0, 0.5, scaling_exponent=0.05)))"
    )
    assert (done.returncode, done.stdout.strip()) == (0, "1.0"), done.stderr
