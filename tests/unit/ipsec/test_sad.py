"""The SA database and its alarms."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ipsecd.errors import LocalError
from ipsecd.ipsec.lifetime import Expiry, Limits
from ipsecd.ipsec.sa import InboundSa, OutboundSa
from ipsecd.ipsec.sad import Alarms, InboundSad, OutboundSad
from ipsecd.ipsec.selectors import Flow
from ipsecd.wire.selector import Selector
from tests.unit.ipsec.pairs import LOCAL, OUTSIDE, REMOTE, inbound, keys

FLOW = Flow.build(ip_address("10.1.0.1"), ip_address("10.2.0.1"), 6, 1, 2)


def out(spi: int, inbound_spi: int = 1, child: str = "a", remote: str = "10.2.0.0/16", **given: float) -> OutboundSa:
    there = (Selector.net(remote),)
    limits = Limits(**given)  # type: ignore[arg-type]  # seconds only
    return OutboundSa(spi, inbound_spi, child, keys(), LOCAL, there, OUTSIDE, limits, 0.0)


def into(spi: int, limits: Limits) -> InboundSa:
    return InboundSa(spi, "a", keys(), LOCAL, REMOTE, OUTSIDE, limits, 1_024, 0.0)


def test_inbound_sas_are_found_by_spi() -> None:
    sad = InboundSad()
    sa = inbound()
    sad.add(sa)
    assert sad.get(0xC0FFEE01) is sa
    assert sad.get(0xC0FFEE02) is None
    assert list(sad) == [sa]
    sad.remove(0xC0FFEE01)
    sad.remove(0xC0FFEE01)
    assert sad.get(0xC0FFEE01) is None


def test_an_inbound_spi_can_not_be_taken_twice() -> None:
    sad = InboundSad()
    sad.add(inbound())
    with pytest.raises(LocalError, match="c0ffee01 is in use"):
        sad.add(inbound())


def test_the_newest_outbound_sa_of_a_child_is_chosen() -> None:
    sad = OutboundSad()
    old, new, other = out(0x101, 1), out(0x102, 2), out(0x103, 3, "b")
    for sa in (old, new, other):
        sad.add(sa)
    assert sad.choose("a", FLOW) is new
    assert sad.choose("b", FLOW) is other
    assert sad.choose("c", FLOW) is None
    assert list(sad) == [new, old, other]


def test_an_sa_whose_selectors_do_not_hold_the_packet_is_passed_over() -> None:
    sad = OutboundSad()
    wide, narrow = out(0x101), out(0x102, remote="10.2.9.0/24")
    sad.add(wide)
    sad.add(narrow)
    assert sad.choose("a", FLOW) is wide
    assert sad.choose("a", Flow.build(ip_address("10.1.0.1"), ip_address("10.2.9.1"), 6, 1, 2)) is narrow
    assert sad.choose("a", Flow.build(ip_address("10.1.0.1"), ip_address("10.3.0.1"), 6, 1, 2)) is None


def test_an_sa_that_is_over_is_passed_over() -> None:
    sad = OutboundSad()
    old, new = out(0x101), out(0x102)
    sad.add(old)
    sad.add(new)
    new.lifetime.over = True
    assert sad.choose("a", FLOW) is old


def test_an_outbound_sa_is_named_by_both_spis() -> None:
    sad = OutboundSad()
    one, two = out(0x500, 1), out(0x500, 2)
    sad.add(one)
    sad.add(two)
    with pytest.raises(LocalError, match="in use"):
        sad.add(out(0x500, 2))
    sad.remove(0x500, 2)
    sad.remove(0x500, 2)
    assert sad.choose("a", FLOW) is one
    sad.remove(0x500, 1)
    assert sad.choose("a", FLOW) is None
    assert not sad._by_child


def test_the_sad_knows_when_time_ends_something() -> None:
    sad = OutboundSad()
    sad.add(out(0x101, 1))
    assert sad.alarms.next() is None
    sad.add(out(0x102, 2, soft_seconds=50.0, hard_seconds=60.0))
    sad.add(out(0x103, 3, hard_seconds=40.0))
    assert sad.alarms.next() == 40.0
    sad.remove(0x103, 3)
    assert sad.alarms.next() == 50.0
    assert [(sa.spi, sa.lifetime.reached(50.0)) for sa in sad.due(50.0)] == [
        (0x102, Expiry(hard=False, reason="seconds"))
    ]
    assert sad.alarms.next() == 60.0
    received = InboundSad()
    received.add(into(0x109, Limits(hard_seconds=7.0)))
    assert received.alarms.next() == 7.0
    assert list(received.due(6.9)) == []
    received.remove(0x109)
    assert received.alarms.next() is None


def test_alarms_come_in_order_and_once() -> None:
    alarms: Alarms[str] = Alarms()
    for name, when in (("c", 3.0), ("a", 1.0), ("b", 2.0), ("d", 2.0)):
        alarms.set(name, when)
    assert alarms.next() == 1.0
    assert list(alarms.due(0.5)) == []
    assert list(alarms.due(2.0)) == ["a", "b", "d"]
    assert list(alarms.due(2.0)) == []
    assert list(alarms.due(9.0)) == ["c"]
    assert alarms.next() is None


def test_an_alarm_can_be_moved_and_taken_away() -> None:
    alarms: Alarms[str] = Alarms()
    alarms.set("a", 1.0)
    alarms.set("a", 5.0)
    alarms.set("b", 2.0)
    alarms.set("b", None)
    alarms.set("never", None)
    assert alarms.next() == 5.0
    alarms.set("a", 1.0)
    assert list(alarms.due(9.0)) == ["a"]


def test_moved_alarms_leave_no_trace() -> None:
    alarms: Alarms[str] = Alarms()
    for when in range(10_000):
        alarms.set("a", float(when))
    assert len(alarms._heap) <= 2 * 1 + 64 + 1
    assert alarms.next() == 9_999.0
