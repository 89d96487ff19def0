"""Precedence, by example; tests/property/test_policy_order.py holds it to a slow matcher."""

from __future__ import annotations

import pytest

from ipsecd.policy.order import reason
from tests.unit.policy.texts import planned, with_filters, with_rules


def order(*filters: str) -> list[int]:
    """The numbers of these filters, counted from 1, in order of precedence."""
    plan = planned(with_filters(*(f"{{{each}}}" for each in filters), rule="  action: block\n"), me=("10.1.0.1",))
    return [int(entry.name.removeprefix("r/").partition("-")[0]) for entry in plan.entries]


def test_fewer_addresses_come_first() -> None:
    assert order(
        "source: 10.0.0.0/8, destination: 10.0.0.0/8",
        "source: 10.0.0.0/8, destination: 10.2.0.0/16",
        "source: 10.1.0.0/16, destination: 10.2.0.0/16",
        "source: me, destination: 10.2.0.0/16",
        "source: 10.1.0.3-10.1.0.5, destination: 10.2.0.0/17",
    ) == [4, 5, 3, 2, 1]


def test_it_does_not_matter_on_which_side_a_filter_is_narrow() -> None:
    one, two = "source: 10.1.0.0/24, destination: 10.0.0.0/8", "source: 10.0.0.0/8, destination: 10.1.0.0/24"
    assert order(one, two) == [1, 2]
    assert order(two, one) == [1, 2]


def test_then_a_named_protocol_comes_before_any() -> None:
    nets = "source: 10.1.0.0/16, destination: 10.2.0.0/16"
    assert order(nets, f"{nets}, protocol: tcp", f"{nets}, protocol: 47") == [2, 3, 1]


def test_then_fewer_ports_come_first() -> None:
    nets = "source: 10.1.0.0/16, destination: 10.2.0.0/16, protocol: tcp"
    assert order(
        nets,
        f"{nets}, destination_port: 1024-65535",
        f"{nets}, source_port: 1024-65535, destination_port: 443",
        f"{nets}, destination_port: 443",
    ) == [3, 4, 2, 1]


def test_an_icmp_message_is_more_specific_with_its_code() -> None:
    nets = "source: 10.1.0.0/16, destination: 10.2.0.0/16, protocol: icmp"
    assert order(nets, f"{nets}, icmp_type: 3", f"{nets}, icmp_type: 3, icmp_code: 1") == [3, 2, 1]


def test_addresses_count_before_protocols_and_protocols_before_ports() -> None:
    assert order(
        "source: 10.1.0.0/16, destination: 10.2.0.0/16, protocol: tcp, destination_port: 443",
        "source: 10.1.0.0/16, destination: 10.2.0.0/17",
        "source: 10.1.0.0/16, destination: 10.2.0.0/16, protocol: udp",
    ) == [2, 1, 3]


def test_one_direction_comes_before_both() -> None:
    nets = "source: 10.1.0.0/16, destination: 10.2.0.0/16"
    assert order(nets, f"{nets}, mirrored: false") == [2, 2, 1]
    assert order("source: me, destination: 10.2.0.0/16", "source: 10.2.0.0/16, destination: me, mirrored: false") == [
        *(2, 1)
    ]
    assert order(f"{nets}, protocol: tcp", f"{nets}, mirrored: false") == [1, 2, 2]


def test_the_file_decides_between_equals_and_the_action_never_does() -> None:
    rule = "- {{name: {}, filters: [{{source: 10.1.0.0/16, destination: 10.2.0.0/16}}], action: {}}}\n"
    for first, second in (("permit", "block"), ("block", "permit")):
        plan = planned(with_rules(rule.format("a", first) + rule.format("b", second)))
        assert [entry.rule for entry in plan.entries] == ["a", "b"]


NETS = "source: 10.1.0.0/16, destination: 10.2.0.0/16"


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("source: 10.1.0.1, destination: 10.2.0.0/16", NETS, "fewer addresses"),
        (f"{NETS}, protocol: tcp", NETS, "a named protocol before any"),
        (f"{NETS}, protocol: tcp, destination_port: 80", f"{NETS}, protocol: tcp", "fewer ports"),
        (f"{NETS}, protocol: icmp, icmp_type: 8", f"{NETS}, protocol: icmp", "fewer ICMP messages"),
        (f"{NETS}, mirrored: false", NETS, "one direction before both"),
        (NETS, NETS, "earlier in the file"),
    ],
)
def test_why_one_filter_stands_before_another_is_said_in_words(first: str, second: str, why: str) -> None:
    plan = planned(with_filters(f"{{{second}}}", f"{{{first}}}", rule="  action: block\n"))
    assert reason(plan.entries[0], plan.entries[-1]) == why


def test_the_default_action_stands_behind_a_filter_that_covers_all() -> None:
    text = with_filters("{source: any, destination: any}", rule="  action: permit\n")
    entries = planned(text.replace("    rules:", "    default_action: block\n    rules:")).entries
    assert reason(entries[0], entries[2]) == "the default action comes last"
