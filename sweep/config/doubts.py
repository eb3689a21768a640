"""Values that are allowed, or refused, and usually mean another unit than the one of the parameter."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Doubt:
    """An interval of values of a parameter that were probably meant otherwise.

    Attributes
    ----------
    low, high : float
        The interval: above `low`, up to `high`.
    meant : str
        What such a value usually is: "a percentage".
    scale, power : float
        What to write instead: ``scale * value ** power``.
    write : str
        What to write instead, in words, where no number follows from the value alone.
    """

    low: float
    high: float
    meant: str
    scale: float = 1.0
    power: float = 1.0
    write: str = ""

    def __contains__(self, value: float) -> bool:
        """Whether a value lies in the interval."""
        return self.low < value <= self.high

    def hint(self, value: float) -> str:
        """Ask whether a value of the interval was meant, and say what to write if not."""
        return f"was {self.meant} meant? then write {self.write or f'{self.scale * value**self.power:.4g}'}"


def hint(doubts: tuple[Doubt, ...], value: float, least: float | None = None) -> str:
    """Say what a value was probably meant to be, by the first doubt that it raises; "" where there is none.

    With `least`, of a range that goes from there to the value: one that begins at ordinary values is a wide look, and
    0 is the same in all units.
    """
    raised = (doubt for doubt in doubts if value in doubt and (not least or least > doubt.low))
    return next((doubt.hint(value) for doubt in raised), "")
