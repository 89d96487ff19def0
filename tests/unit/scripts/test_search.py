"""The search for the highest rate that loses next to nothing, with loads that behave as they are told."""

from __future__ import annotations

import math

import pytest

from scripts.measuring.search import Trial, best, trials


def carries(most: float, sender: float = math.inf) -> list[Trial]:
    """What is tried from 40,000 on, if all of a rate up to ``most`` arrives and the sender makes ``sender`` at most."""

    def attempt(rate: float) -> Trial:
        sent = min(rate, sender)
        return Trial(rate, sent, min(sent, most))

    return trials(attempt, 40_000)


@pytest.mark.parametrize("most", [1_000.0, 9_000.0, 39_999.0, 40_000.0, 47_123.0, 500_000.0])
def test_what_is_found_is_close_to_what_can_be_carried(most: float) -> None:
    assert most / 1.05 <= best(carries(most)) <= most * 1.01


def test_each_trial_goes_into_what_is_left_between_a_good_rate_and_a_bad_one() -> None:
    assert [round(trial.asked) for trial in carries(50_000)] == [40_000, 80_000, 56_569, 47_568, 51_874, 49_674]


def test_a_sender_that_is_too_slow_is_the_limit_and_ends_the_search() -> None:
    made = carries(500_000, sender=70_000)
    assert [trial.asked for trial in made] == [40_000, 80_000]
    assert best(made) == 70_000


def test_a_load_of_which_something_is_always_lost_has_no_such_rate() -> None:
    made = trials(lambda rate: Trial(rate, rate, rate * 0.9), 40_000, most=7)
    assert len(made) == 7
    assert best(made) == 0.0


def test_one_packet_in_a_hundred_is_one_too_many() -> None:
    assert not Trial(1_000, 1_000, 990).good
    assert Trial(1_000, 1_000, 991).good
    assert not Trial(1_000, 0, 0).good
