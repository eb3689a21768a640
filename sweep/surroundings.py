"""Whether this process, the packages beside this one and those of its extras let it work, and how code is compiled.

A process that was forked after JAX had started lacks its threads, and would hang; JAX itself warns in the process that
forks. The hook is set by ``import sweep``, so that it is there before the fork. Other distributions install the same
top-level names as this one.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

EXTRAS = {  # libraries of an extra
    "matplotlib": "plot",
    "h5netcdf": "netcdf",
    "h5py": "netcdf",
    "moocore": "pareto",
    "plotly": "report",
}
_FORKED: set[int] = set()  # processes forked after JAX had started; only the hook, which has no other place, adds to it


class Lazy:
    """A module that is imported when something of it is first used, so that what only describes stays quick."""

    def __init__(self, name: str) -> None:
        """Remember its name."""
        self.name = name

    def __getattr__(self, key: str) -> Any:
        """Import it."""
        return getattr(import_module(self.name), key)


def _mark() -> None:
    """Note in the child whether JAX had started."""
    bridge = sys.modules.get("jax._src.xla_bridge")  # jax has no public name for this, and asking must not start it
    if getattr(bridge, "_backends", None):
        _FORKED.add(os.getpid())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_mark)


def refuse_to_hang() -> None:
    """Refuse to evaluate where that would hang.

    Raises
    ------
    SpecError
        One line, saying how to start the process instead.
    """
    if os.getpid() in _FORKED:
        from sweep.errors import SpecError

        raise SpecError(
            "this process was forked after JAX had started, and would hang: start it by multiprocessing.get_context"
            '("spawn"), or fork before anything is evaluated'
        )


def refuse_other_kernels() -> None:
    """Refuse to go on where `kernels` is another project's, such as Hugging Face's; it is not imported for that.

    Raises
    ------
    ImportError
        One line, naming what is there and what to do.
    """
    try:
        spec = find_spec("kernels")
    except ValueError:  # a module without a spec, which ours has
        spec = None
    if spec is not None and spec.origin is not None:
        # Theirs replaces our file and leaves the others, so where it is says nothing.
        with open(spec.origin, "rb") as file:
            if b"kernels.loss" in file.read():
                return
    where = "none" if spec is None else spec.origin or ", ".join(spec.submodule_search_locations or ())
    raise ImportError(
        f"kernels: must be the package of relative-loss-sweep, got {where}: another distribution, such as Hugging "
        "Face's kernels, takes its name; install relative-loss-sweep in an environment of its own",
        name="kernels",
    )


@contextmanager
def of_an_extra(need: str) -> Iterator[None]:
    """Say what to install where an import of an optional library fails; `need` is such as "figures need".

    Raises
    ------
    ImportError
        One line, naming the library and its extra.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        advice = f'pip install "relative-loss-sweep[{EXTRAS[error.name]}]"'
        raise ImportError(f"{need} {error.name}: {advice}", name=error.name) from None


def compiler_options(platform: str) -> dict[str, int] | None:
    """Options of XLA for a platform: it halves the registers of a CPU that has 512 bits.

    Whole ones made stage 2 1.8 times as fast.
    """
    return {"xla_cpu_prefer_vector_width": 512} if platform == "cpu" else None
