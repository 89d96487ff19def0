"""Soft and hard limits in seconds, octets and packets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecd import limits
from ipsecd.ipsec.lifetime import Expiry, Lifetime, Limits, before_the_numbers_end, last_sequence


def test_without_limits_nothing_is_ever_reached() -> None:
    lifetime = Lifetime(Limits(), 100.0)
    lifetime.carry(1 << 40, 1 << 60, 200.0)
    assert lifetime.reached(1e12) is None
    assert lifetime.deadline() is None
    assert not lifetime.over


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (Limits(soft_seconds=10.0), "seconds"),
        (Limits(soft_octets=1_000), "octets"),
        (Limits(soft_packets=2), "packets"),
    ],
)
def test_a_soft_limit_is_told_once_and_the_sa_lives_on(given: Limits, reason: str) -> None:
    lifetime = Lifetime(given, 100.0)
    lifetime.carry(1, 999, 109.9)
    assert lifetime.reached(109.9) is None
    lifetime.carry(1, 1, 110.0)
    assert lifetime.reached(110.0) == Expiry(hard=False, reason=reason)
    assert lifetime.reached(1_000.0) is None
    assert not lifetime.over


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (Limits(hard_seconds=10.0), "seconds"),
        (Limits(hard_octets=1_000), "octets"),
        (Limits(hard_packets=2), "packets"),
    ],
)
def test_a_hard_limit_ends_the_sa(given: Limits, reason: str) -> None:
    lifetime = Lifetime(given, 100.0)
    lifetime.carry(1, 999, 109.9)
    assert lifetime.reached(109.9) is None
    lifetime.carry(1, 1, 110.0)
    assert lifetime.reached(110.0) == Expiry(hard=True, reason=reason)
    assert lifetime.over
    assert lifetime.reached(110.0) is None
    assert lifetime.deadline() is None


def test_soft_then_hard() -> None:
    lifetime = Lifetime(Limits(soft_seconds=8.0, hard_seconds=10.0), 0.0)
    assert lifetime.deadline() == 8.0
    assert lifetime.reached(8.0) == Expiry(hard=False, reason="seconds")
    assert lifetime.deadline() == 10.0
    assert lifetime.reached(10.0) == Expiry(hard=True, reason="seconds")


def test_at_its_deadline_a_limit_is_reached_however_the_numbers_are_rounded() -> None:
    """``deadline`` less ``installed`` may come out a little below the seconds they are apart."""
    installed, seconds = 105875.6, 2417.9
    assert installed + seconds - installed < seconds
    lifetime = Lifetime(Limits(soft_seconds=seconds), installed)
    assert lifetime.reached(installed + seconds) == Expiry(hard=False, reason="seconds")


def test_when_both_are_reached_at_once_only_the_hard_one_is_told() -> None:
    lifetime = Lifetime(Limits(soft_octets=10, hard_octets=10), 0.0)
    lifetime.carry(1, 10, 0.0)
    assert lifetime.reached(0.0) == Expiry(hard=True, reason="octets")


def test_what_was_carried_and_when() -> None:
    lifetime = Lifetime(Limits(), 5.0)
    assert (lifetime.packets, lifetime.octets, lifetime.last_used) == (0, 0, None)
    lifetime.carry(3, 300, 6.0)
    lifetime.carry(1, 40, 7.0)
    assert (lifetime.packets, lifetime.octets, lifetime.last_used) == (4, 340, 7.0)


def test_sequence_numbers_of_32_bits_have_limits_before_their_end_whatever_was_given() -> None:
    assert before_the_numbers_end(Limits(), esn=False) == Limits(soft_packets=1 << 31, hard_packets=4_294_901_760)
    generous = Limits(soft_packets=1 << 50, hard_packets=1 << 60, hard_seconds=9.0)
    assert before_the_numbers_end(generous, esn=False) == Limits(
        soft_packets=1 << 31, hard_packets=4_294_901_760, hard_seconds=9.0
    )
    strict = Limits(soft_packets=10, hard_packets=20)
    assert before_the_numbers_end(strict, esn=False) == strict
    assert before_the_numbers_end(Limits(hard_packets=20), esn=False) == Limits(soft_packets=20, hard_packets=20)
    assert before_the_numbers_end(generous, esn=True) == generous
    assert last_sequence(esn=False) == 4_294_967_295 > limits.HARD_PACKETS
    assert last_sequence(esn=True) == 18_446_744_073_709_551_615


@pytest.mark.parametrize(
    ("given", "bears"),
    [
        (Limits(), True),
        (Limits(soft_packets=11), True),
        (Limits(soft_packets=10), False),
        (Limits(hard_packets=10), False),
        (Limits(soft_octets=1_001, hard_octets=1_001), True),
        (Limits(soft_octets=1_000), False),
        (Limits(hard_octets=1_000), False),
        (Limits(soft_seconds=50.1, hard_seconds=50.1), True),
        (Limits(soft_seconds=50.0), False),
        (Limits(hard_seconds=50.0), False),
    ],
)
def test_what_it_bears_reaches_no_further_limit(given: Limits, bears: bool) -> None:
    lifetime = Lifetime(given, 100.0)
    lifetime.carry(4, 400, 110.0)
    assert lifetime.bears(6, 600, 150.0) == bears
    lifetime.carry(6, 600, 150.0)
    assert (lifetime.reached(150.0) is None) == bears


def test_a_soft_limit_told_already_is_none_further() -> None:
    lifetime = Lifetime(Limits(soft_packets=1, hard_packets=3), 0.0)
    lifetime.carry(1, 1, 1.0)
    assert lifetime.reached(1.0) == Expiry(hard=False, reason="packets")
    assert lifetime.bears(1, 1, 1.0)
    assert not lifetime.bears(2, 1, 1.0)
    lifetime.over = True
    assert not lifetime.bears(0, 0, 1.0)


_SOME = st.none() | st.integers(1, 9)


@given(
    given=st.builds(Limits, *[_SOME] * 6),
    steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)), max_size=9),
)
def test_what_it_bears_reaches_no_limit(given: Limits, steps: list[tuple[int, int, int]]) -> None:
    lifetime, now = Lifetime(given, 100.0), 100.0
    lifetime.reached(now)
    for packets, octets, seconds in steps:
        now += seconds
        bears, over = lifetime.bears(packets, octets, now), lifetime.over
        lifetime.carry(packets, octets, now)
        assert bears == (not over and lifetime.reached(now) is None)
