"""Strict promotion and one width of lines around every test, and a reason where a GPU test cannot run."""

from pathlib import Path

import jax
import pytest


@pytest.fixture(autouse=True)
def width_of_eighty(monkeypatch):
    """Wrap lines as where nobody looks on, whatever terminal the tests are started from."""
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture(autouse=True)
def strict_promotion():
    """Make silent rank and dtype promotion errors."""
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture(autouse=True, scope="module")
def programs_let_go():
    """Let go of compiled programs before they are too many: beyond 65,530 pieces of memory a process crashes."""
    yield
    if _pieces() > 30_000:
        jax.clear_caches()


def _pieces() -> int:
    """How many pieces of memory this process maps, where the system says it."""
    maps = Path("/proc/self/maps")
    return maps.read_bytes().count(b"\n") if maps.exists() else 0


def _has_gpu() -> bool:
    try:
        return bool(jax.devices("gpu"))
    except RuntimeError:
        return False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `gpu` where JAX sees none."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not _has_gpu():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="JAX sees no GPU here"))
