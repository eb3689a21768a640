"""What JAX has compiled, kept on disk for the next command: it is read in milliseconds, compiling takes seconds."""

import os
import sys
import warnings
from pathlib import Path

import click

SIZE = 512_000_000  # bytes that are kept; what was not used for longest goes first
LEAST = 0.02  # seconds below which compiling is no slower than reading


def _switch(context: click.Context, _: click.Parameter, off: bool) -> None:
    if not off and not context.resilient_parsing:
        keep_compiled()


NO_CACHE = click.option(
    "--no-cache",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_switch,
    help="Compile anew, and keep no compiled programs in the user's cache folder.",
)


def keep_compiled() -> None:
    """Let this process, and those that it starts, keep what JAX compiles in the user's cache folder.

    JAX reads these variables when it is first imported, which is later, if at all. Nothing changes where it has been
    imported or told of another folder, or where the folder cannot be written.
    """
    if "jax" in sys.modules or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    from platformdirs import user_cache_path

    folder = user_cache_path("relative-loss-sweep", appauthor=False) / "compiled"
    if not _is_ready(folder):
        return
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(SIZE)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = str(LEAST)
    # A full disk, an entry that is damaged or too large: the program is compiled as if there were none.
    for message in ("Error (reading|writing) persistent compilation cache entry", "Cache value for key"):
        warnings.filterwarnings("ignore", message, UserWarning)


def _is_ready(folder: Path) -> bool:
    """Make the folder; clear it of entries whose writer was stopped, which lack the time of their last use."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for entry in folder.glob("*-cache"):
            if not entry.with_name(entry.name.removesuffix("cache") + "atime").exists():
                entry.unlink(missing_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
