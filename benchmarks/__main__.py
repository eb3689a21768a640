"""Run every benchmark, each in a process of its own: ``python -m benchmarks [--json FILE] [--quick]``."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
NAMES = (
    "evaluate",
    "inverse",
    "reduce",
    "exponents",
    "lazy",
    "nondominated",
    "frontier",
    "front_loading",
    "sensitivity",
)
NAMES += ("optimisers", "run_in_memory", "store", "memory", "startup", "page")


def main() -> None:
    """Run them with the arguments that were given, and stop at the first that fails."""
    paths = filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    for name in NAMES:
        subprocess.run([sys.executable, HERE / f"{name}.py", *sys.argv[1:]], env=environment, check=True)


if __name__ == "__main__":
    main()
