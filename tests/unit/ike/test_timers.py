"""Timers and back-off, and that a timer which goes wrong takes nobody with it."""

from __future__ import annotations

import pytest

from ipsecd.ike import Ike
from ipsecd.ike.config import IkeConfig
from ipsecd.ike.timers import Timers, back_off
from tests.exchange.entropy import SeededEntropy


@pytest.mark.parametrize(
    ("failures", "delay"), [(0, 1.0), (1, 2.0), (5, 32.0), (6, 60.0), (63, 60.0), (1_024, 60.0), (10**9, 60.0)]
)
def test_a_delay_doubles_up_to_its_longest_however_often_it_failed(failures: int, delay: float) -> None:
    assert back_off(1.0, 60.0, failures) == delay


def test_timers_ring_in_order_and_what_they_add_rings_too() -> None:
    timers, rung = Timers(), []
    timers.at(2.0, lambda: rung.append("second"))
    timers.at(1.0, lambda: (rung.append("first"), timers.at(1.5, lambda: rung.append("added"))))
    timers.at(3.0, lambda: rung.append("later"))
    for timer in timers.due(2.0):
        timer.ring()
    assert rung == ["first", "added", "second"]
    assert timers.deadline() == 3.0


def broken() -> None:
    raise OverflowError("a bug, told with a secret")


PLACE = f"OverflowError in {__name__}, line {broken.__code__.co_firstlineno + 1}"


def test_a_timer_that_fails_is_counted_and_told_and_the_others_ring() -> None:
    ike = Ike(IkeConfig(), SeededEntropy(0))
    rung: list[str] = []
    for name, action in (("before", None), ("broken", broken), ("after", None)):
        ike._core.timers.at(5.0, action or (lambda name=name: rung.append(name)))
    (report,) = ike.timer(5.0)
    assert rung == ["before", "after"]
    assert report.event == "internal-error"  # type: ignore[union-attr]  # a Report
    assert report.fields == {"error": PLACE, "what": "a timer"}  # type: ignore[union-attr]  # same
    assert ike.counters["internal-error"] == 1


def test_a_command_that_fails_is_counted_and_told_and_the_next_one_works() -> None:
    ike = Ike(IkeConfig(), SeededEntropy(0))
    begin, ike._core.wanted.begin = ike._core.wanted.begin, broken  # type: ignore[method-assign]  # the bug
    (report,) = ike.start(5.0)
    assert report.fields == {"error": PLACE, "what": "start"}  # type: ignore[union-attr]  # a Report
    ike._core.wanted.begin = begin  # type: ignore[method-assign]  # mended
    assert ike.start(6.0) == []
    assert ike.counters["internal-error"] == 1
