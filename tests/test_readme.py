"""The README's Python runs, and its commands are those of the gate and of the command line."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

import sweep
from sweep.cli.main import main
from sweep.config.includes import included
from sweep.config.reference import RUNS
from sweep.surroundings import EXTRAS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_readme_examples_assert_their_own_answers(monkeypatch):
    monkeypatch.chdir(ROOT)
    known = {}
    for code in re.findall(r"```python\n(.*?)```", README, re.S):
        assert "assert" in code
        exec(compile(code, "README.md", "exec"), known)
    assert {"spec", "model"} <= set(known)


def test_readme_test_command_is_the_one_of_the_gate():
    command = "python -m pytest -n 2 --dist loadfile"
    assert f".venv/bin/{command}" in README
    assert command in (ROOT / ".ci" / "run").read_text()


def test_readme_installs_all_that_its_commands_need():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = re.fullmatch(r"relative-loss-sweep\[([\w,]+)\]", *extras["all"])[1].split(",")
    packages = {re.split(r"[\[>=]", requirement)[0] for name in names for requirement in extras[name]}
    assert packages >= {"dask", *EXTRAS} - {"h5py"}
    assert "relative-loss-sweep[all]" in extras["test"]
    clone, main_job, tests = re.findall(r"^ {4}(?:git|python3) .*$", README, re.M)
    assert clone == "    git clone <this repository> relative-loss-sweep && cd relative-loss-sweep"
    assert ".venv/bin/pip install '.[all]' && .venv/bin/sweep run configs/baseline.toml" in main_job
    assert ".venv/bin/pip install -e '.[test]'" in tests


def test_readme_opens_with_a_picture_that_it_reaches_by_its_own_path():
    picture, command = re.search(r"!\[[^\]]+\]\(([^)]+)\)\n\n {4}(.*)", README).groups()
    content = (ROOT / picture).read_bytes()
    assert content.startswith(b"\x89PNG\r\n") and len(content) <= 150_000
    assert README.index(picture) < 1000 and command.startswith(".venv/bin/sweep report configs/baseline.toml")


def test_readme_names_every_published_run_that_may_be_the_reference():
    assert set(re.findall(r'`(?:reference = )?"([\w.-]+)"`', README)) >= {*RUNS, "own"}


def test_readme_names_every_config():
    assert set(re.findall(r"`(\w+\.toml)`", README)) == {path.name for path in (ROOT / "configs").glob("*.toml")}


@pytest.mark.parametrize("line", re.findall(r"^ {4}\.venv/bin/sweep (describe .*?|run .*?)(?: +#.*)?$", README, re.M))
def test_readme_command_works(line, tmp_path, monkeypatch):
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(main, line.split()).exit_code == 0


PAGES = [ROOT / "README.md", ROOT / "benchmarks" / "README.md", *sorted((ROOT / "configs").glob("*.toml"))]
SHOWN = re.compile(r"^(?: {4}|# \w+: +|#  +)(?:\.venv/bin/)?sweep (\w+) ?(.*(?:\n# +--.*)*)", re.M)


def _shown(path: Path) -> list[tuple[str, set[str]]]:
    """Commands that a page or a config shows, with their options."""
    return [
        (command, set(re.findall(r"(?<=\s)--?[a-z][\w-]*", f" {rest}")))
        for command, rest in SHOWN.findall(path.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_options_that_are_shown_are_those_of_the_command(path):
    assert _shown(path) or path.name == "priors.toml"
    for command, options in _shown(path):
        assert options <= {name for option in main.commands[command].params for name in option.opts}, command


def test_options_that_the_readme_names_are_those_of_a_command():
    known = {name for command in main.commands.values() for option in command.params for name in option.opts}
    named = set(re.findall(r"`(--[a-z][\w-]*)", README))
    assert named and named <= known


def _reading_examples() -> list[str]:
    """Blocks of the README that open something with xarray, the lazy dataset first."""
    return [
        re.sub("^    ", "", block, flags=re.M)
        for block in re.findall(r"^(    import xarray as xr\n(?:    .*\n)+)", README, re.M)
    ]


def test_readme_reading_example_works(tmp_path):
    main_job = [sys.executable, "-m", "sweep", "run", ROOT / "configs" / "baseline.toml", "--store", "baseline.zarr"]
    subprocess.run(main_job, cwd=tmp_path, check=True, env={"PYTHONPATH": str(ROOT)})
    code = "import matplotlib; matplotlib.use('agg')\n" + _reading_examples()[1]
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True)


def test_readme_lazy_example_works():
    code = _reading_examples()[0] + "assert 0 < float(data.relative_loss[0, 0, 0, -1]) < 1"
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, check=True)


def test_readme_distributions_are_a_config():
    _, written = re.findall(r"```toml\n(.*?)```", README, re.S)
    found = included(tomllib.loads(written), ROOT / "configs")
    draws = sweep.Draws(**found["draws"])
    distributions = {name: sweep.Distribution(**table) for name, table in found["distributions"].items()}
    assert all(distribution.source for distribution in distributions.values())
    assert set(draws.correlations[0].between) == set(distributions)


def test_readme_statistics_are_a_config():
    written, _ = re.findall(r"```toml\n(.*?)```", README, re.S)
    statistics = tomllib.loads(written)["statistics"]
    trillion = sweep.load(ROOT / "configs" / "trillion.toml").spec
    spec = trillion.model_copy(update={"statistics": {k: sweep.Statistic(**v) for k, v in statistics.items()}})
    spec = sweep.SweepSpec(**{**dict(spec), "outputs": ("relative_loss", "total_cost")})
    assert set(spec.statistics) == {"expected", "band", "chance"}
