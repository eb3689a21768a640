"""Whether this process and the packages beside this one let it work at all.

A process that was forked after JAX had started lacks its threads, and would hang; JAX itself warns in the process that
forks. The hook is set by ``import sweep``, so that it is there before the fork. Other distributions install the same
top-level names as this one.
"""

import os
import sys
from importlib.util import find_spec

_FORKED: set[int] = set()  # processes forked after JAX had started; only the hook, which has no other place, adds to it


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
