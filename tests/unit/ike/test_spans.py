"""Which of many ranges hold an address."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address
from random import Random

from ipsecd.ike.spans import Spans
from ipsecd.wire.selector import Address, Selector


def sel(first: str, last: str) -> Selector:
    return Selector(ip_address(first), ip_address(last))


def test_both_ends_of_a_range_are_in_it() -> None:
    spans = Spans([(sel("10.0.0.5", "10.0.0.9"),)])
    asked = ["10.0.0.4", "10.0.0.5", "10.0.0.9", "10.0.0.10"]
    assert [spans.holding(ip_address(each)) for each in asked] == [[], [0], [0], []]


def test_families_are_apart() -> None:
    spans = Spans([(sel("0.0.0.0", "255.255.255.255"),), (sel("::", "::ffff:ffff"),)])
    assert spans.holding(ip_address("10.0.0.1")) == [0]
    assert spans.holding(ip_address("::10.0.0.1")) == [1]


def test_ports_and_protocols_dont_count() -> None:
    assert Spans([(Selector.net("10.0.0.0/8", 6, (443, 443)),)]).holding(ip_address("10.0.0.1")) == [0]


def test_who_has_several_ranges_is_told_once() -> None:
    spans = Spans([(sel("10.0.0.0", "10.0.0.9"), sel("10.0.0.5", "10.0.0.9"), sel("10.0.0.5", "10.0.0.9"))])
    assert spans.holding(ip_address("10.0.0.7")) == [0]


def test_there_may_be_none() -> None:
    assert Spans([]).holding(ip_address("10.0.0.7")) == []


def test_it_finds_what_a_look_at_each_finds() -> None:
    random = Random(7)
    for _ in range(200):
        sides = [tuple(_some(random) for _ in range(random.randrange(3))) for _ in range(random.randrange(20))]
        spans = Spans(sides)
        for number in range(32):
            address = IPv4Address(number)
            assert spans.holding(address) == [
                place for place, side in enumerate(sides) if any(_holds(each, address) for each in side)
            ]


def _some(random: Random) -> Selector:
    first, last = sorted((random.randrange(32), random.randrange(32)))
    return Selector(IPv4Address(first), IPv4Address(last))


def _holds(selector: Selector, address: Address) -> bool:
    return int(selector.start) <= int(address) <= int(selector.end)
