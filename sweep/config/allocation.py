"""How a budget may be split, and what is asked of the split."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from sweep.config.record import FieldError, Float, Frozen, plain

ASKS = {  # what each objective asks for; the answers differ, and neither is wrong
    "mean": "the least loss on the way",
    "terminal": "the least loss on the day",
}


class Allocation(Frozen):
    """How a budget may be split, for the model "front_loading".

    Attributes
    ----------
    dates : int
        Dates of purchase K, 1 to 64, at k/K of the horizon.
    objective : {"mean", "terminal"}
        What is made least: the loss on the way, which is the discounted mean of the relative excess loss up to the
        horizon, or the loss on the day, which is its logarithm at the horizon. Required: the same money is split
        differently for each.
    software : {"live", "locked"}
        Whether better software lifts everything installed, or only what is bought with it.
    robust : {"mean", "cvar", "worst"}, optional
        One plan for all draws of the distributions, and what it makes least: the mean of the regrets, the mean of the
        worst of them, or the largest. If not said, each draw is split as if it were known.
    level : float, optional
        Part of the draws, in (0, 1), that does not count among the worst; 0.9 by default.
    fleet_price : float, optional
        Price of one reference fleet at time 0 [USD], so that money is told in it; no number depends on it.
    """

    dates: Annotated[int, BeforeValidator(plain)] = Field(default=8, ge=1, le=64)
    objective: Literal["mean", "terminal"]
    software: Literal["live", "locked"] = "live"
    robust: Literal["mean", "cvar", "worst"] | None = None
    level: Annotated[Float, Field(gt=0.0, lt=1.0)] | None = None
    fleet_price: Annotated[Float, Field(gt=0.0)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _asks(cls, data: Any) -> Any:
        if isinstance(data, dict) and "objective" not in data:
            choices = ", ".join(f'"{name}" for {text}' for name, text in ASKS.items())
            raise FieldError("objective", f"is required, {choices} of the horizon: the same money is split differently")
        return data
