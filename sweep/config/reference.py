"""The run from which a sweep counts: published training runs that `reference` may name, with their sources.

A fleet, a time and a loss are all relative to it, so that no answer is anything without it, and there is no default.
Fleets are counted in accelerators of the kind that the run had.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sweep.errors import unknown

PARAMETERS = ("reference_fleet", "reference_years")
OWN = "own"  # the numbers are those of the config
HOURS_PER_YEAR = 8766.0


@dataclass(frozen=True)
class Run:
    """A published training run.

    Attributes
    ----------
    title : str
        The model that was trained.
    fleet, accelerator : int, str
        How many accelerators trained it, and of which kind.
    hours : float
        Wall-clock time of the training.
    flop : float
        Training compute.
    date : str
        Of publication.
    source : str
        Where fleet, compute and date come from.
    duration : str
        Where the hours come from.
    loss : float or None
        Final loss in nats a token, where one is published.
    """

    title: str
    fleet: int
    accelerator: str
    hours: float
    flop: float
    date: str
    source: str
    duration: str
    loss: float | None = None

    @property
    def years(self) -> float:
        """Length of the training in years."""
        return self.hours / HOURS_PER_YEAR

    @property
    def numbers(self) -> dict[str, tuple[float, str]]:
        """Value and source of each parameter."""
        return {
            "reference_fleet": (float(self.fleet), f"{self.title}, {self.fleet:,} {self.accelerator}: {self.source}"),
            "reference_years": (
                self.years,
                f"{self.title}, {self.hours:,g} h / {HOURS_PER_YEAR:g} h: {self.duration}",
            ),
        }

    def __str__(self) -> str:
        """Say it in words: "Llama 3.1 405B: 16,384 H100 accelerators for 0.244 years (Meta 2024)"."""
        return (
            f"{self.title}: {self.fleet:,} {self.accelerator} accelerators for {self.years:.3g} years ({self.source})"
        )


# Epoch AI, notable AI models, as of 24 February 2025. None of these runs has a published final loss.
RUNS = {
    "llama-3.1-405b": Run(
        title="Llama 3.1 405B",
        fleet=16_384,
        accelerator="H100",
        hours=2142.0,
        flop=3.8e25,
        date="2024-07-23",
        source="Meta 2024, arXiv 2407.21783",
        duration="Epoch AI notable models, from 30.84 million GPU hours and 90 % effective time (Meta 2024)",
    ),
    "grok-3": Run(
        title="Grok-3",
        fleet=100_000,
        accelerator="H100",
        hours=2400.0,
        flop=4.64e26,
        date="2025-02-17",
        source="Epoch AI notable models",
        duration="Epoch AI notable models, estimated as 100 days within 3 to 4 months",
    ),
    "gpt-4": Run(
        title="GPT-4",
        fleet=25_000,
        accelerator="A100",
        hours=2280.0,
        flop=2.1e25,
        date="2023-03-15",
        source="Epoch AI notable models, speculative",
        duration="Epoch AI notable models, the middle of 90 to 100 days conjectured by SemiAnalysis",
    ),
    "gpt-3": Run(
        title="GPT-3",
        fleet=10_000,
        accelerator="V100",
        hours=355.2,
        flop=3.14e23,
        date="2020-05-28",
        source="Epoch AI notable models",
        duration="Epoch AI notable models, 14.8 days according to Patterson et al. 2021, arXiv 2104.10350",
    ),
}


def run_of(name: str) -> Run | None:
    """Give the run of that name; None for "own".

    Raises
    ------
    ValueError
        One line, for another name.
    """
    if name != OWN and name not in RUNS:
        raise ValueError(f"reference: {unknown('run', name, (*RUNS, OWN))}")
    return RUNS.get(name)


def missing(name: str, output: str, known: Iterable[str]) -> str:
    """Say in one line how a reference is given, to who asks for an output that needs a parameter without a value."""
    both = " and ".join(parameter for parameter in PARAMETERS if parameter in known)
    named = " or ".join(f'"{run}"' for run in RUNS)
    return (
        f"{name}: is missing, and {output} needs it; name a published run, reference = {named}, "
        f"or give your own {both} under [fixed] or [axes]"
    )
