"""The wheel and the sdist hold every room and every config, wherever they are built."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("kernels", "sweep", "configs", "benchmarks", "tests", ".ci", ".github")


def files(root: Path, folder: str) -> set[str]:
    """Every file of a folder that a commit would have."""
    paths = (path for path in (root / folder).rglob("*") if path.is_file())
    return {str(path.relative_to(root)) for path in paths if "__pycache__" not in path.parts}


def build(what: str, source: Path, out: Path) -> Path:
    """Build in a copy, without isolation, so that no network is needed; the path of what was built."""
    code = f"from setuptools import build_meta; print(build_meta.build_{what}({str(out)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=True)
    return out / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Path of the sdist, and of the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("build")
    shutil.copytree(ROOT, folder / "source", ignore=lambda at, names: _left_out(Path(at), names))
    sdist = build("sdist", folder / "source", folder)
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    return sdist, build("wheel", next((folder / "unpacked").iterdir()), folder)


def _left_out(at: Path, names: list[str]) -> set[str]:
    kept = {*SOURCES, *(path.name for path in ROOT.iterdir() if path.is_file())}
    return {name for name in names if name == "__pycache__" or (at == ROOT and name not in kept)}


def test_wheel_holds_every_module_and_every_config(built):
    with zipfile.ZipFile(built[1]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    configs = {f"sweep/{name}" for name in files(ROOT, "configs")}
    assert configs and names == files(ROOT, "kernels") | files(ROOT, "sweep") | configs


def test_sdist_holds_what_its_tests_need(built):
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = set().union(*(files(ROOT, folder) for folder in SOURCES))
    assert needed | {"CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md", "pyproject.toml", "setup.py"} <= names


def test_configs_of_the_wheel_are_read_as_resources(built, tmp_path):
    with zipfile.ZipFile(built[1]) as wheel:
        wheel.extractall(tmp_path)
    code = "from importlib.resources import files; print(sweep.load(files('sweep.configs') / 'smoke.toml').spec.title)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sweep; {code}"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Does the installation work")
