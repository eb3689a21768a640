"""The command line of every benchmark; :mod:`sweep.bench.measure` times and records."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sweep.bench.measure import Timing, append, common, compared, describe, judged, race, spread, timed

__all__ = ["ROOT", "Timing", "compared", "describe", "judged", "main", "race", "spread", "timed"]

ROOT = Path(__file__).parents[1]


def main(
    benchmark: str,
    measure: Callable[[bool], Iterator[dict[str, Any]]],
    question: str,
    arguments: Sequence[str] | None = None,
) -> None:
    """Run one benchmark from the command line: print its results, and append them to a file of JSON lines."""
    parser = argparse.ArgumentParser(description=question, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="append one JSON line a result")
    parser.add_argument("--quick", action="store_true", help="tiny and untimed in earnest: only to see that it runs")
    options = parser.parse_args(arguments)
    shared = common(benchmark, quick=options.quick)
    print(f"{benchmark}: {question.splitlines()[0]}")
    case = None
    for line in measure(options.quick):
        if line["case"] != case:
            case = line["case"]
            print(f"  {case}")
        print(f"    {describe(line)}", flush=True)
        if options.json is not None:
            append(options.json, {**shared, **line})
