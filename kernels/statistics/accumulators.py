"""Statistics of values that come a few steps at a time, fed on the device.

A running statistic is a tuple of arrays with one element for each cell. Steps come in a fixed order, so its bits depend
neither on how the cells are spread over devices nor on how the steps are spread over calls.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from kernels.loss import special
from kernels.statistics.merging import (
    merge_cubes,
    merge_least,
    merge_moments,
    merge_products,
    piece_of_least,
    piece_of_moments,
    piece_of_sums,
)

State = tuple[Array, ...]


class Running(NamedTuple):
    """A statistic that is fed step by step, on the device, and merged of several pieces, in float64 on the host.

    Attributes
    ----------
    fields : tuple of str
        Names of the arrays that a piece is. What is called a place comes as a step, and where that is among all points
        is for the caller to say.
    start : callable
        ``start(shape, dtype) -> state`` before the first step.
    add : callable
        ``add(state, values, done) -> state``: one array of the shape of the cells for each new step, and how many steps
        came before, a whole number of any type. Where a statistic is of several outputs, each step is a tuple.
    piece : callable
        ``piece(steps, *state) -> arrays``: what a state of so many steps tells, by the fields.
    merge : callable
        ``merge(*arrays) -> arrays``: of pieces along the last axis, in their order, their union without that axis.
    includes : tuple of Running
        Those that it can stand for.
    """

    fields: tuple[str, ...]
    start: Callable[[tuple[int, ...], np.dtype], State]
    add: Callable[[State, Sequence[Any], Array], State]
    piece: Callable[..., tuple[np.ndarray, ...]]
    merge: Callable[..., tuple[np.ndarray, ...]]
    includes: "tuple[Running, ...]" = ()


def _in_pairs(values: Sequence[Array]) -> Array:
    """Sum whose error grows with the logarithm of the number of terms."""
    values = list(values)
    while len(values) > 1:
        pairs = [a + b for a, b in zip(values[::2], values[1::2], strict=False)]
        values = pairs + values[2 * len(pairs) :]
    return values[0]


def _unfused(value: Array) -> Array:
    """The value, and not a product that a compiler fuses with the sum it enters; whether it would depends on shapes."""
    return jnp.where(value < -np.finfo(value.dtype).max, value, special.unfused(value))


def _increased(total: Array, excess: Array, change: Array) -> tuple[Array, Array]:
    """Kahan's sum: what is summed is `total` less `excess`."""
    change = change - excess
    grown = total + change
    return grown, jnp.where(jnp.isfinite(grown), (grown - total) - change, 0.0)


def _moved(mean: Array, excess: Array, here: Array) -> Array:
    """How far new values are from the mean before them; an infinite mean stays unless they are infinite otherwise."""
    endless = jnp.where(here == mean, 0.0, here * 0.0)
    return jnp.where(jnp.isinf(mean), endless, (here - mean) + excess)


def _add_mean(state: State, values: Sequence[Array], done: Array) -> State:
    mean, excess = state
    here = _in_pairs([_unfused(value) for value in values]) / len(values)
    share = len(values) / (done.astype(mean.dtype) + len(values))
    return _increased(mean, excess, _unfused(_moved(mean, excess, here) * share))


def _add_moments(state: State, values: Sequence[Array], done: Array) -> State:
    mean, excess, squares, squares_excess = state
    values = [_unfused(value) for value in values]
    here = _in_pairs(values) / len(values)
    apart = [value - here for value in values]
    # What the rounding of their mean left out: where values differ little, their variance is not much more than that.
    left = _in_pairs(apart) / len(values)
    left = jnp.where(jnp.isfinite(left), left, 0.0)
    before = done.astype(mean.dtype)
    share = len(values) / (before + len(values))
    moved = _moved(mean, jnp.zeros_like(mean), here)
    within = _in_pairs([special.unfused(a * a) for a in apart]) - special.unfused(left * left * len(values))
    far = moved + (excess + left)
    between = special.unfused(far * far * (before * share))
    return *_mean_moved(mean, excess, moved, left, share), *_increased(squares, squares_excess, within + between)


def _mean_moved(mean: Array, excess: Array, moved: Array, left: Array, share: Array) -> tuple[Array, Array]:
    """Mean and excess once a share of what they are of is farther by ``moved + left``."""
    # The excess must be right beside the deviations, not only beside the mean.
    change, kept = _unfused(moved * share), special.unfused(excess * (1.0 - share)) - special.unfused(left * share)
    grown = mean + change
    kept = jnp.where(jnp.isfinite(grown), kept + ((grown - mean) - change), 0.0)
    mean = grown - kept
    return mean, jnp.where(jnp.isfinite(grown), kept + (mean - grown), 0.0)


def _deviations(mean: Array, excess: Array, values: Sequence[Array], before: Array) -> tuple[list[Array], State]:
    """How far new values are from their mean, and that from the mean before them; then the mean and its excess.

    What is not finite makes a deviation NaN, and equal values have none whatever their number.
    """
    first = _unfused(values[0])
    apart = [_unfused(value) - first for value in values]
    middle = _in_pairs(apart) / len(values)
    here = first + middle
    left = middle - (here - first)
    moved = here - mean
    far = jnp.where(before > 0.0, moved + (excess + left), 0.0)
    share = len(values) / (before + len(values))
    return [*(one - middle for one in apart), far], _mean_moved(mean, excess, moved, left, share)


def _scaled(exponent: Array, deviations: Sequence[Array]) -> tuple[Array, Array, list[Array]]:
    """The power of two that no deviation is beyond, the old one in units of it, and the deviations in units of it."""
    largest = functools.reduce(jnp.maximum, map(jnp.abs, deviations))
    grown = jnp.maximum(exponent, special.exponent_of(largest) + 1.0)
    # A square or cube that is less by 2^-80 counts for nothing; its power of two stays one that the type has.
    ratio = special.power_of_two(jnp.maximum(exponent - grown, -40.0))
    return grown, ratio, [special.unfused(special.scale(one, -grown)) for one in deviations]


def _add_cubes(state: State, values: Sequence[Array], done: Array) -> State:
    mean, excess, *sums, exponent = state
    before = done.astype(mean.dtype)
    deviations, moments = _deviations(mean, excess, values, before)
    exponent, ratio, (*apart, far) = _scaled(exponent, deviations)
    powers = (ratio * ratio, ratio * ratio, ratio * ratio * ratio, ratio * ratio * ratio)
    squares, squares_excess, cubes, cubes_excess = (
        special.unfused(total * power) for total, power in zip(sums, powers, strict=True)
    )
    share, rest = len(values) / (before + len(values)), before / (before + len(values))
    apart2, far2 = [special.unfused(one * one) for one in apart], special.unfused(far * far)
    within = _in_pairs(apart2)
    # Pebay (2008), equation 2.1 for the third moment.
    turned = special.unfused(rest * within) - special.unfused(share * (squares - squares_excess))
    between = special.unfused(far2 * far * (before * share) * (rest - share)) + special.unfused(3.0 * far * turned)
    added = _in_pairs([special.unfused(one2 * one) for one2, one in zip(apart2, apart, strict=True)])
    squares, squares_excess = _increased(squares, squares_excess, within + special.unfused(far2 * (before * share)))
    return *moments, squares, squares_excess, *_increased(cubes, cubes_excess, added + between), exponent


def _add_products(state: State, values: Sequence[tuple[Array, Array]], done: Array) -> State:
    means, sums, exponents = (state[0:2], state[2:4]), state[4:10], state[10:]
    before = done.astype(state[0].dtype)
    weight = before * (len(values) / (before + len(values)))
    moments: list[Array] = []
    scales = []
    for mean, exponent, own in zip(means, exponents, zip(*values, strict=True), strict=True):
        deviations, moved = _deviations(mean[0], mean[1], own, before)
        moments += moved
        scales.append(_scaled(exponent, deviations))
    grown: list[Array] = []
    for number, (a, b) in enumerate(((0, 0), (1, 1), (0, 1))):
        (_, ratio, (*apart, far)), (_, other_ratio, (*other, other_far)) = scales[a], scales[b]
        within = _in_pairs([special.unfused(one * another) for one, another in zip(apart, other, strict=True)])
        total, excess = (special.unfused(one * (ratio * other_ratio)) for one in sums[2 * number : 2 * number + 2])
        grown += _increased(total, excess, within + special.unfused(far * other_far * weight))
    return *moments, *grown, *(exponent for exponent, _, _ in scales)


def _add_least(state: State, values: Sequence[Array], _: Array) -> State:
    (least,) = state
    for value in values:
        least = jnp.minimum(least, value)
    return (least,)


def _add_first_least(state: State, values: Sequence[Array], done: Array) -> State:
    least, at = state
    here, step = values[0], jnp.zeros(at.shape, at.dtype)
    for number, value in enumerate(values[1:], 1):
        step = jnp.where(value < here, jnp.asarray(number, at.dtype), step)
        here = jnp.minimum(here, value)
    return jnp.minimum(least, here), jnp.where(here < least, done.astype(at.dtype) + step, at)


def _add_count(state: State, values: Sequence[Array], _: Array) -> State:
    (count,) = state
    return (count + _in_pairs([value.astype(count.dtype) for value in values]),)


def _no_exponent(shape: tuple[int, ...], dtype: np.dtype) -> Array:
    exponent = jnp.zeros(shape, dtype)
    return exponent + special.lowest(exponent)


MEAN = Running(
    fields=("count", "mean", "excess", "squares"),
    start=lambda shape, dtype: (jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)),
    add=_add_mean,
    piece=piece_of_moments,
    merge=merge_moments,
)
"""Mean, compensated: (mean, what it is too large by)."""

MOMENTS = MEAN._replace(
    start=lambda shape, dtype: tuple(jnp.zeros(shape, dtype) for _ in range(4)), add=_add_moments, includes=(MEAN,)
)
"""Mean and sum of squared deviations from it, both compensated: (mean, excess, squares, excess)."""

LEAST = Running(
    fields=("least", "place"),
    start=lambda shape, dtype: (jnp.full(shape, jnp.inf, dtype),),
    add=_add_least,
    piece=piece_of_least,
    merge=merge_least,
)
"""Smallest value, NaN if one is NaN: (least,)."""

FIRST_LEAST = LEAST._replace(
    start=lambda shape, dtype: (jnp.full(shape, jnp.inf, dtype), jnp.zeros(shape, jnp.int32)),
    add=_add_first_least,
    includes=(LEAST,),
)
"""Smallest value and the first step that has it: (least, step)."""

CUBES = Running(
    fields=("count", "mean", "excess", "squares", "cubes", "exponent"),
    start=lambda shape, dtype: (*(jnp.zeros(shape, dtype) for _ in range(6)), _no_exponent(shape, dtype)),
    add=_add_cubes,
    piece=piece_of_sums(1, 2),
    merge=merge_cubes,
)
"""Mean, and sums of squared and of cubed deviations from it, in units of a power of two that none is beyond.

Of any scale, so that what they are divided into is right wherever the values are normal numbers, at most a 64th of the
largest: (mean, excess, squares, excess, cubes, excess, exponent).
"""

PRODUCTS = Running(
    fields=("count", "x", "x_excess", "y", "y_excess", "xx", "yy", "xy", "x_exponent", "y_exponent"),
    start=lambda shape, dtype: (
        *(jnp.zeros(shape, dtype) for _ in range(10)),
        *(_no_exponent(shape, dtype) for _ in range(2)),  # two buffers: each is given away
    ),
    add=_add_products,
    piece=piece_of_sums(2, 3),
    merge=merge_products,
)
"""Of pairs, two means and the sums of squares and of products of deviations from them, scaled as those of CUBES.

(x, excess, y, excess, xx, excess, yy, excess, xy, excess, exponent of x, exponent of y).
"""

COUNT = Running(
    fields=("total",),
    start=lambda shape, dtype: (jnp.zeros(shape, jnp.int32),),
    add=_add_count,
    piece=lambda steps, count: (count.astype(np.int64),),
    merge=lambda total: (total.sum(axis=-1),),
)
"""Number of steps that are true: (count,)."""
