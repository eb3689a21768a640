"""Refuses to evaluate in a process that was forked after JAX had started: its threads are not there, and it would hang.

JAX itself warns in the process that forks. The hook is set by ``import sweep``, so that it is there before the fork.
"""

import os
import sys

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
        from sweep.config.record import SpecError

        raise SpecError(
            "this process was forked after JAX had started, and would hang: start it by multiprocessing.get_context"
            '("spawn"), or fork before anything is evaluated'
        )
