"""The table of the kinds of statistics: whole, and in step with the accumulators that it names."""

import inspect
import string

import pytest

from kernels import statistics
from sweep.config.kinds import KINDS, NEEDS
from sweep.config.statistic import Statistic

MORE = {"output": "a", "outputs": ("a", "b"), "probabilities": (0.5,), "where": "a < 1", "edges": {"values": (0, 1)}}


def of(kind, **more):
    return Statistic(statistic=kind.name, over=("x",), **{key: MORE[key] for key in kind.needs}, **more)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_kind_keeps_what_kernels_have(kind):
    kept = getattr(statistics, kind.keeps)
    assert isinstance(kept, statistics.Running) == (kind.rows is None)
    assert callable(kept) == (kind.rows is not None)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_kind_with_a_dimension_has_its_axis(kind):
    fields = {field for _, field, _, _ in string.Formatter().parse(kind.dim) if field is not None}
    assert fields <= {""}
    assert list(of(kind).own_axes("key")) == list(of(kind).own_dims("key"))


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
@pytest.mark.parametrize("key", NEEDS)
def test_statistic_takes_what_its_kind_needs_and_nothing_else(kind, key):
    if key in kind.needs:
        with pytest.raises(ValueError, match=f'{key}: is required by statistic = "{kind.name}"'):
            Statistic(statistic=kind.name, over=("x",), **{k: MORE[k] for k in kind.needs if k != key})
    else:
        with pytest.raises(ValueError, match=f"{key}: "):
            of(kind, **{key: MORE[key]})


def test_kinds_of_one_cf_word_are_pooled_alike():
    assert {(kind.method, kind.pooling) for kind in KINDS.values()} == {
        (method, pooling) for method, pooling in {kind.method: kind.pooling for kind in KINDS.values()}.items()
    }


def test_kinds_that_share_are_of_accumulators_of_the_same_fields():
    running = [kind for kind in KINDS.values() if kind.shares]
    for name in {kind.shares for kind in running}:
        fields = {getattr(statistics, kind.keeps).fields for kind in running if kind.shares == name}
        assert len(fields) == 1, name


def test_every_kind_stands_in_the_documentation_of_a_statistic():
    text = inspect.getdoc(Statistic)
    assert [name for name in KINDS if f'"{name}"' not in text] == []
