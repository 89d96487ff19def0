"""The token bucket."""

from __future__ import annotations

from ipsecd.ratelimit import RateLimit


def test_a_burst_and_then_the_rate() -> None:
    limit = RateLimit(rate=4.0, burst=3)
    assert [limit.take(10.0) for _ in range(5)] == [True, True, True, False, False]
    assert [limit.take(10.25) for _ in range(2)] == [True, False]
    assert [limit.take(10.375) for _ in range(1)] == [False]
    assert [limit.take(10.5) for _ in range(2)] == [True, False]


def test_it_never_holds_more_than_the_burst() -> None:
    limit = RateLimit(rate=1_000.0, burst=2)
    assert [limit.take(1e9) for _ in range(3)] == [True, True, False]
