"""Medians, quartiles, and ratios within a round."""

from __future__ import annotations

import pytest

from scripts.measuring.results import Results, Spread, Turn, ratios, spread


def results(**rates: list[float | None]) -> Results:
    """Contestants and their tcp1 in each round, None where there is none."""
    found = Results({}, {}, dict.fromkeys(rates, "1.0"))
    for who, values in rates.items():
        for number, value in enumerate(values, 1):
            found.turns.append(Turn(number, who, 0.0, {} if value is None else {"tcp1": value}))
    return found


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([5.0], Spread(5.0, 5.0, 5.0)),
        ([4.0, 2.0], Spread(3.0, 2.5, 3.5)),
        ([7.0, 1.0, 3.0, 5.0, 2.0, 6.0, 4.0], Spread(4.0, 2.5, 5.5)),
    ],
)
def test_a_spread_has_the_median_and_the_quartiles(values: list[float], expected: Spread) -> None:
    assert spread(values) == expected


def test_a_ratio_is_of_the_same_round() -> None:
    """A machine that is half as fast in one round makes no difference."""
    found = results(ours=[600.0, 300.0, None, 900.0], theirs=[100.0, 50.0, 100.0, None])
    assert ratios(found.values("ours", "tcp1"), found.values("theirs", "tcp1")) == [6.0, 6.0]


def test_nothing_is_divided_by_nothing() -> None:
    assert ratios({1: 5.0, 2: 6.0}, {1: 0.0, 2: 3.0}) == [2.0]


def test_the_best_rival_may_be_another_in_each_round() -> None:
    found = results(one=[1.0, 4.0, 9.0], other=[2.0, 3.0, None], absent=[None, None, None])
    rivals = ("one", "other", "absent")
    assert found.best(rivals, "tcp1", more_is_better=True) == {1: 2.0, 2: 4.0}
    assert found.best(rivals, "tcp1", more_is_better=False) == {1: 1.0, 2: 3.0}
    assert found.best(("absent",), "tcp1", more_is_better=True) == {}
