"""ICMP errors in transit: which flow they belong to (RFC 4301 section 6.2)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ipsecd.ipsec.icmperror import answered_flow
from ipsecd.ipsec.selectors import Flow
from ipsecd.wire.ip import parse
from tests.unit.ipsec.packets import UDP, echo, error, ipv4, syn, udp

V4, V6 = ("10.1.0.1", "10.2.0.1"), ("2001:db8:1::1", "2001:db8:2::1")
ROUTERS = {4: "172.16.0.1", 6: "2001:db8:f::1"}


def flow_of(packet: bytes) -> Flow | None:
    return answered_flow(packet, parse(packet))


@pytest.mark.parametrize("ends", [V4, V6])
def test_an_error_counts_as_an_answer_to_the_packet_it_quotes(ends: tuple[str, str]) -> None:
    here, there = map(ip_address, ends)
    router = ROUTERS[here.version]
    assert flow_of(error(router, syn(*ends, 1_400))) == Flow.build(there, here, 6, 80, 40_000)
    assert flow_of(error(router, echo(*ends))) == Flow.build(
        there, here, *{4: (1, 0x800), 6: (58, 0x8000)}[here.version]
    )


@pytest.mark.parametrize(("ends", "kinds"), [(V4, (3, 11, 12)), (V6, (1, 2, 3, 4))])
def test_which_types_say_that_a_packet_did_not_arrive(ends: tuple[str, str], kinds: tuple[int, ...]) -> None:
    router = ROUTERS[ip_address(ends[0]).version]
    assert tuple(kind for kind in range(256) if flow_of(error(router, udp(*ends), kind=kind))) == kinds


def test_what_is_cut_off_or_a_fragment_shows_no_ports() -> None:
    later = ipv4(*V4, UDP, bytes(64), offset=64)
    nobody = Flow.build(ip_address(V4[1]), ip_address(V4[0]), 17)
    assert flow_of(error(ROUTERS[4], later)) == nobody
    assert flow_of(error(ROUTERS[4], udp(*V4)[:20])) == nobody


def test_an_error_for_somebody_who_did_not_send_that_packet_belongs_to_nothing() -> None:
    assert flow_of(error(ROUTERS[4], udp(*V4), to="10.1.0.2")) is None
    assert flow_of(error(ROUTERS[6], udp(*V6), to="2001:db8:1::2")) is None


@pytest.mark.parametrize(
    "packet",
    [
        udp(*V4),
        echo(*V4),
        echo(*V6),
        error(ROUTERS[4], udp(*V4), kind=0),
        error(ROUTERS[4], udp(*V4), kind=4),  # a source quench
        error(ROUTERS[4], udp(*V4), kind=5),  # a redirect
        error(ROUTERS[4], udp(*V4)[:19]),
        error(ROUTERS[6], udp(*V6)[:39]),
        ipv4(*V4, 1, error(ROUTERS[4], udp(*V4))[20:][:40], more=True),
    ],
)
def test_what_is_no_sound_error_belongs_to_nothing(packet: bytes) -> None:
    assert flow_of(packet) is None


def test_a_wrong_checksum_makes_it_unsound() -> None:
    packet = bytearray(error(ROUTERS[4], udp(*V4)))
    packet[-1] ^= 1
    assert flow_of(bytes(packet)) is None
