"""Protocols, ports and ICMP messages."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ipsecd.policy import traffic
from ipsecd.policy.complaint import Complaint


def said(check: Callable[[object], object], value: object) -> str:
    with pytest.raises(Complaint) as caught:
        check(value)
    [remark] = caught.value.remarks
    return f"{remark.message} ({remark.hint})" if remark.hint else remark.message


@pytest.mark.parametrize(
    ("value", "number"), [("any", 0), ("tcp", 6), ("UDP", 17), ("icmpv6", 58), ("sctp", 132), (0, 0), (255, 255)]
)
def test_protocols_by_name_and_number(value: object, number: int) -> None:
    assert traffic.protocol(value) == number


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("tcpp", "'tcpp' isn't a protocol known by name (did you mean 'tcp'?)"),
        ("zzzz", "'zzzz' isn't a protocol known by name (write its number)"),
        ("17", "'17' isn't a protocol known by name (a number has no quotes)"),
        ("ALL", "'ALL' isn't a protocol known by name (did you mean 'any'?)"),
        ("ipv6-icmp", "'ipv6-icmp' isn't a protocol known by name (did you mean 'icmpv6'?)"),
        (256, "expected a protocol's name or its number from 0 to 255"),
        (-1, "expected a protocol's name or its number from 0 to 255"),
        (True, "expected a protocol's name or its number from 0 to 255"),
        (["tcp"], "expected a protocol's name or its number from 0 to 255 (one filter for each)"),
    ],
)
def test_protocols_that_are_none(value: object, message: str) -> None:
    assert said(traffic.protocol, value) == message


@pytest.mark.parametrize(
    ("value", "span"),
    [
        ("any", (0, 65535)),
        (80, (80, 80)),
        ("1024-65535", (1024, 65535)),
        ("1 - 1023", (1, 1023)),
        ("ANY", (0, 65535)),
        ("443", None),
    ],
)
def test_ports(value: object, span: tuple[int, int] | None) -> None:
    if span is None:
        assert (
            said(traffic.ports, value)
            == "'443' isn't a port (a number without quotes, a range such as 1024-65535, or any)"
        )
    else:
        assert traffic.ports(value) == span


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "a port is a number from 1 to 65535 (leave it out for any port)"),
        ("0-0", "a port is a number from 1 to 65535 (leave it out for any port)"),
        ("0-80", "a port is a number from 1 to 65535 (leave it out for any port)"),
        ("080-090", "'080-090' isn't a port (a number without quotes, a range such as 1024-65535, or any)"),
        (65536, "a port is a number from 1 to 65535"),
        (-5, "a port is a number from 1 to 65535"),
        ("1-65536", "a port is a number from 1 to 65535"),
        ("443-80", "the range 443-80 is reversed (write 80-443)"),
        ("http", "'http' isn't a port (a number without quotes, a range such as 1024-65535, or any)"),
        (True, "this isn't a port (a number without quotes, a range such as 1024-65535, or any)"),
        ([80], "this isn't a port (a number without quotes, a range such as 1024-65535, or any; one filter for each)"),
        (
            "80,443",
            "'80,443' isn't a port (a number without quotes, a range such as 1024-65535, or any; one filter for each)",
        ),
    ],
)
def test_ports_that_are_none(value: object, message: str) -> None:
    assert said(traffic.ports, value) == message


def test_an_icmp_message_has_a_number_of_its_own_in_each_protocol() -> None:
    assert traffic.icmp_type("echo-request") == "echo-request"
    assert traffic.icmp_type("Echo-Request") == "echo-request"
    assert traffic.icmp_number(traffic.ICMP, "echo-request") == 8
    assert traffic.icmp_number(traffic.ICMPV6, "echo-request") == 128
    assert traffic.icmp_number(traffic.ICMP, "packet-too-big") is None
    assert traffic.icmp_number(traffic.ICMPV6, "timestamp-reply") is None
    assert traffic.icmp_number(traffic.ICMP, traffic.icmp_type(42)) == 42  # type: ignore[arg-type]  # it is an int


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("any", "'any' isn't an ICMP message (leave icmp_type out for all of them)"),
        ([8, 0], "expected an ICMP message's name or its number from 0 to 255 (one filter for each)"),
        ("echo", "'echo' isn't an ICMP message known by name (such as echo-request, or its number)"),
        ("echo-requst", "'echo-requst' isn't an ICMP message known by name (did you mean 'echo-request'?)"),
        ("zzzz", "'zzzz' isn't an ICMP message known by name (such as echo-request, or its number)"),
        (256, "expected an ICMP message's name or its number from 0 to 255"),
        (True, "expected an ICMP message's name or its number from 0 to 255"),
    ],
)
def test_icmp_messages_that_are_none(value: object, message: str) -> None:
    assert said(traffic.icmp_type, value) == message
