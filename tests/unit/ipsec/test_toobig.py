"""ICMP errors to hosts whose packets don't fit."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ipsecd import limits
from ipsecd.ipsec.toobig import TooBig, may_be_answered
from ipsecd.wire.icmp import parse_error
from ipsecd.wire.ip import parse
from tests.unit.ipsec.packets import FRAGMENT, UDP, echo, ipv4, ipv6, sized, udp

V4 = ("10.1.0.1", "10.2.0.1")
V6 = ("2001:db8:1::1", "2001:db8:2::1")


@pytest.mark.parametrize(("ends", "kind"), [(V4, (3, 4)), (V6, (2, 0))])
def test_the_error_comes_from_the_original_destination_and_names_the_mtu(
    ends: tuple[str, str], kind: tuple[int, int]
) -> None:
    packet = sized(*ends, 1_500, df=True)
    answer = TooBig().answer(packet, parse(packet), 1_438, 0.0)
    assert answer is not None
    assert len(answer) <= (576 if kind == (3, 4) else 1_280)
    outer, error = parse(answer), parse_error(answer)
    assert (outer.source, outer.destination) == (ip_address(ends[1]), ip_address(ends[0]))
    assert (error.type, error.code, error.mtu) == (*kind, 1_438)
    assert (error.quoted.source, error.quoted.destination) == (ip_address(ends[0]), ip_address(ends[1]))
    assert (error.quoted.source_port, error.quoted.destination_port) == (1_000, 2_000)


def told(errors: TooBig, source: str, times: int, now: float) -> int:
    """How many of so many packets at once are answered."""
    packet = sized(source, "10.2.0.1", 1_500, df=True)
    return sum(errors.answer(packet, parse(packet), 1_400, now) is not None for _ in range(times))


def test_errors_are_rate_limited() -> None:
    errors = TooBig()
    assert told(errors, "10.1.0.1", 12, 5.0) == 10
    assert told(errors, "10.1.0.1", 8, 5.5) == 5
    assert told(errors, "10.1.0.1", 12, 99.0) == 10


def test_a_host_that_floods_keeps_no_other_from_being_told() -> None:
    errors = TooBig()
    assert told(errors, "10.1.0.66", 10_000, 5.0) == 10
    assert told(errors, "10.1.0.7", 2, 5.0) == 2


def test_all_hosts_together_have_a_limit_too() -> None:
    errors = TooBig()
    assert sum(told(errors, f"10.1.1.{host}", 10, 5.0) for host in range(30)) == 200
    assert told(errors, "10.1.0.7", 1, 5.0) == 0
    assert told(errors, "10.1.0.7", 1, 5.01) == 1


def test_the_memory_of_hosts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TOO_BIG_HOSTS", 2)
    errors = TooBig()
    for source in ("10.1.0.1", "10.1.0.2", "10.1.0.1", "10.1.0.3"):
        told(errors, source, 10, 5.0)
    assert [told(errors, source, 1, 5.0) for source in ("10.1.0.1", "10.1.0.3")] == [0, 0]
    assert told(errors, "10.1.0.2", 1, 5.0) == 1  # the one that was quiet longest is the one forgotten


def test_which_icmp_types_are_errors() -> None:
    v4 = {kind for kind in range(256) if may_be_answered(parse(echo(*V4, kind)))}
    v6 = {kind for kind in range(256) if may_be_answered(parse(echo(*V6, kind)))}
    assert v4 == {0, 8, 9, 10, 13, 14, 15, 16, 17, 18}
    assert v6 == set(range(128, 256))


@pytest.mark.parametrize(
    ("packet", "answered"),
    [
        (udp(*V4), True),
        (udp(*V6), True),
        (echo(*V4), True),
        (echo(*V4, 0), True),
        (echo(*V6), True),
        (echo(*V6, 255), True),
        (echo(*V4, 3), False),  # about an error
        (echo(*V4, 5), False),
        (echo(*V4, 11), False),
        (echo(*V4, 99), False),  # about what may be one
        (echo(*V6, 1), False),
        (echo(*V6, 127), False),
        (ipv4(*V4, UDP, bytes(8), offset=8), False),  # about a fragment other than the first
        (ipv4(*V4, 1, bytes(8), offset=8), False),
        (ipv4(*V4, UDP, bytes(8), more=True), True),
        (ipv6(*V6, FRAGMENT, bytes.fromhex("1100000800000001") + bytes(8)), False),
        (ipv4(*V4, 50, bytes(8)), True),
        (udp("0.0.0.0", "10.2.0.1"), False),  # to nobody
        (udp("127.0.0.1", "10.2.0.1"), False),
        (udp("::1", "2001:db8::1"), False),
        (udp("::", "2001:db8::1"), False),
        (udp("224.0.0.1", "10.2.0.1"), False),  # to a group
        (udp("255.255.255.255", "10.2.0.1"), False),
        (udp("10.1.0.1", "224.0.0.1"), False),  # it would come from a group
        (udp("10.1.0.1", "255.255.255.255"), False),
        (udp("2001:db8::1", "ff02::1"), False),
    ],
)
def test_about_what_an_error_may_be_sent(packet: bytes, answered: bool) -> None:
    inner = parse(packet)
    assert may_be_answered(inner) is answered
    assert (TooBig().answer(packet, inner, 1_400, 0.0) is not None) is answered
