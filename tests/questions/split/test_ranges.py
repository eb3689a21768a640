"""Ends of the range in which an answer is the same, against answers of which every end is known."""

import numpy as np
import pytest

from sweep.questions.split.ranges import PRECISION, find_ends

LOW, HIGH = -10.0, 10.0


def ends_of(answers, values, lanes=16, low=LOW, high=HIGH):
    """Ends for functions of a value that say whether the answer is another, and how many it was asked at once."""
    asked = []

    def changed(rows, at):
        asked.append(len(rows))
        assert np.all((at >= low) & (at <= high))
        return np.array([bool(answers[row](value)) for row, value in zip(rows, at, strict=True)])

    values = np.asarray(values, float)
    found = find_ends(changed, values, np.full(values.size, low), np.full(values.size, high), lanes)
    assert max(asked, default=0) <= lanes
    return found


@pytest.mark.parametrize("lanes", [1, 7, 16, 64])
@pytest.mark.parametrize("seed", range(5))
def test_find_ends_is_within_its_precision_of_where_answers_change(seed, lanes):
    random = np.random.default_rng(seed)
    values = random.uniform(LOW, HIGH, 6)
    below, above = values - random.exponential(4.0, 6), values + random.exponential(4.0, 6)
    answers = [lambda at, a=a, b=b: at < a or at > b for a, b in zip(below, above, strict=True)]
    found = ends_of(answers, values, lanes)
    # The last that is the same, so never outside.
    assert np.all((found[:, 0] >= below) & (found[:, 1] <= above))
    np.testing.assert_allclose(found[:, 0], np.maximum(below, LOW), rtol=0, atol=PRECISION)
    np.testing.assert_allclose(found[:, 1], np.minimum(above, HIGH), rtol=0, atol=PRECISION)
    np.testing.assert_array_equal(found[:, 0] == LOW, below <= LOW)
    np.testing.assert_array_equal(found[:, 1] == HIGH, above >= HIGH)


@pytest.mark.parametrize("lanes", [1, 16])
def test_find_ends_stops_where_an_answer_turns_and_comes_back(lanes):
    found = ends_of(
        [lambda at: 2.0 < at < 2.5 or -7.0 < at < -6.0, lambda at: abs(np.sin(at)) > 0.9], [0.5, 0.0], lanes
    )
    edge = np.arcsin(0.9)
    np.testing.assert_allclose(found, [[-6.0, 2.0], [-edge, edge]], rtol=0, atol=PRECISION)


def test_find_ends_looks_everywhere_at_most_a_31st_of_the_way_apart():
    seen = []
    ends_of([lambda at: seen.append(at)], [0.0])
    up = np.sort([at for at in seen if at > 0.0])
    assert up[0] <= HIGH / 4000 and up[-1] == HIGH and np.diff(up).max() <= HIGH / 31


@pytest.mark.parametrize("value", [LOW, HIGH])
def test_find_ends_of_a_value_that_is_a_limit_already(value):
    low, high = ends_of([lambda at: abs(at - value) > 1.0], [value])[0]
    assert (low, high) == pytest.approx((max(value - 1.0, LOW), min(value + 1.0, HIGH)), abs=PRECISION)


def test_find_ends_is_the_value_itself_where_all_other_answers_differ():
    np.testing.assert_allclose(ends_of([lambda at: at != 3.0], [3.0]), [[3.0, 3.0]], rtol=0, atol=PRECISION)
