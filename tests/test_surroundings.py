"""What surrounds the package: names that complete, another project's `kernels`, processes that were forked."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sweep

ROOT = Path(__file__).parents[1]


def python(code, *folders, **options):
    paths = os.pathsep.join(map(str, [*folders, ROOT]))
    environment = {**os.environ, "PYTHONPATH": paths}
    command = [sys.executable, "-W", "ignore::RuntimeWarning", "-c", code]  # JAX's own, of forks
    return subprocess.run(command, env=environment, capture_output=True, text=True, **options)


def test_dir_has_all_public_names_and_each_is_there():
    assert set(sweep.__all__) <= set(dir(sweep))
    assert all(hasattr(sweep, name) for name in dir(sweep))


def test_completion_finds_public_names():
    import rlcompleter

    names = set()
    completer = rlcompleter.Completer({"sweep": sweep})
    while (name := completer.complete("sweep.", len(names))) is not None:
        names.add(name.removeprefix("sweep.").rstrip("()"))
    assert set(sweep.__all__) <= names


def foreign(folder, kind):
    """Put another project's `kernels` into a folder, as installers leave it."""
    if kind == "installed after ours":
        shutil.copytree(ROOT / "kernels", folder / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    else:
        (folder / "kernels").mkdir()
    if kind != "without an __init__":
        text = '"""Download compute kernels."""\nfrom kernels.layer import get_kernel\n__all__ = ["get_kernel"]\n'
        (folder / "kernels" / "__init__.py").write_text(text)
        (folder / "kernels" / "layer.py").write_text("def get_kernel(name): ...\n")


@pytest.mark.parametrize("kind", ["alone", "installed after ours", "without an __init__"])
@pytest.mark.parametrize("before", ["", "import kernels\n"])
def test_import_says_that_kernels_is_another_projects(tmp_path, kind, before):
    foreign(tmp_path, kind)
    if kind == "without an __init__":
        shutil.copytree(ROOT / "sweep", tmp_path / "alone" / "sweep", ignore=shutil.ignore_patterns("__pycache__"))
        code = f"import sys\nsys.path[:] = {[str(tmp_path), str(tmp_path / 'alone')]!r} + sys.path[3:]\n"
        code += "sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in repr(f)]\n"
    else:
        code = ""
    done = python(f"{code}{before}import sweep", tmp_path, cwd=tmp_path)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: kernels: must be the package of relative-loss-sweep, got ")
    assert str(tmp_path / "kernels") in last
    assert last.endswith("install relative-loss-sweep in an environment of its own")


SPEC = """
import os, sys, sweep
spec = sweep.SweepSpec(
    loss="total", outputs=["relative_loss"], axes={"time": sweep.Axis(values=[1.0, 2.0])},
    fixed={"fleet_size": 1.0, "doubling_rate": 0.5, "scaling_exponent": 0.05, "reference_fleet": 1.0,
           "reference_years": 1.0},
    distributions=DISTRIBUTIONS, draws=DRAWS,
)
def attempt(do):
    try:
        do()
    except sweep.SpecError as error:
        print("refused:", error, flush=True)
    else:
        print("done", flush=True)
def forked(do):
    child = os.fork()
    if child == 0:
        attempt(do)
        os._exit(0)
    os.waitpid(child, 0)
"""
QUESTIONS = {
    "run": "lambda: sweep.run(spec)",
    "frontier": 'lambda: sweep.frontier(spec, minimise=["time", "relative_loss"])',
    "lazy": "lambda: data.relative_loss.values",
    "sensitivity": "lambda: sweep.sensitivity(spec, number=64)",
    "discover": 'lambda: sweep.discover(spec, "relative_loss < 0.6", at={"time": 1.0})',
}


def script(question):
    uncertain = question in ("sensitivity", "discover")
    distributions = '{"doubling_rate": sweep.Distribution(distribution="uniform", low=0.1, high=9.0)}'
    code = SPEC.replace("DISTRIBUTIONS", distributions if uncertain else "{}")
    code = code.replace("DRAWS", "sweep.Draws(number=64)" if uncertain else "None")
    code = code.replace('"doubling_rate": 0.5, ', "") if uncertain else code
    return code + "import xarray\ndata = xarray.open_dataset(spec, engine='sweep')\n" * (question == "lazy")


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_process_forked_after_jax_has_started_is_refused(question):
    start = "import jax\njax.numpy.zeros(1).block_until_ready()\n"
    # The limit ends a child that hangs, as it did.
    done = python(f"{script(question)}{start}forked({QUESTIONS[question]})", timeout=300)
    assert done.stdout.startswith("refused: this process was forked after JAX had started"), done
    assert 'get_context("spawn")' in done.stdout


def test_a_process_forked_before_jax_has_started_evaluates():
    code = f"{script('run')}forked({QUESTIONS['run']})\nattempt({QUESTIONS['run']})"
    assert python(code, timeout=300).stdout.split() == ["done", "done"]
