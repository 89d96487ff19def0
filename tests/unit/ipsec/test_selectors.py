"""What selectors see of packets, and what they make of it (RFC 4301 section 4.4.1)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ipsecd.ipsec.selectors import UNSEEN, Flow, SaSelectors
from ipsecd.wire.ip import parse
from ipsecd.wire.selector import OPAQUE, Selector
from tests.unit.ipsec.packets import FRAGMENT, TCP, UDP, echo, ipv4, ipv6, syn, udp

A, B = ip_address("10.1.0.1"), ip_address("10.2.0.1")


def tcp(source_port: int | None = 40_000, destination_port: int | None = 80) -> Flow:
    return Flow.build(A, B, 6, source_port, destination_port)


def selectors(local: Selector, remote: Selector) -> SaSelectors:
    return SaSelectors((local,), (remote,))


def net(text: str, protocol: int = 0, ports: tuple[int, int] = (0, 65_535)) -> Selector:
    return Selector.net(text, protocol, ports)


# --- flows ------------------------------------------------------------------------------------------------------


def test_the_flow_of_a_packet() -> None:
    assert Flow.of(parse(udp("10.1.0.1", "10.2.0.1", 7, 9))) == (4, 0x0A010001, 0x0A020001, 17, 7, 9)
    assert Flow.of(parse(syn("2001:db8::1", "2001:db8::2", 1_400)))[3:] == (6, 40_000, 80)


def test_the_type_of_an_icmp_packet_is_its_senders() -> None:
    assert Flow.of(parse(echo("10.1.0.1", "10.2.0.1"))) == (4, 0x0A010001, 0x0A020001, 1, 0x0800, UNSEEN)
    assert Flow.of(parse(echo("2001:db8::1", "2001:db8::2")))[3:] == (58, 0x8000, UNSEEN)
    assert Flow.build(A, B, 1, None, 0x0301) == Flow.build(A, B, 1, 0x0301, None)


def test_a_fragment_other_than_the_first_shows_no_ports() -> None:
    first = ipv4("10.1.0.1", "10.2.0.1", UDP, bytes.fromhex("0007000900180000") + bytes(8), more=True)
    later = ipv4("10.1.0.1", "10.2.0.1", UDP, bytes(16), offset=16)
    assert Flow.of(parse(first))[3:] == (17, 7, 9)
    assert Flow.of(parse(later))[3:] == (17, UNSEEN, UNSEEN)
    later6 = ipv6("2001:db8::1", "2001:db8::2", FRAGMENT, bytes.fromhex("1100001000000001") + bytes(8))
    assert Flow.of(parse(later6))[3:] == (17, UNSEEN, UNSEEN)


def test_a_flow_gives_back_what_it_was_built_from() -> None:
    flow = tcp(None, 80)
    assert flow.addresses() == (A, B)
    assert flow.ports() == (None, 80)
    v6 = Flow.build(ip_address("2001:db8::1"), ip_address("2001:db8::2"), 58)
    assert v6.addresses() == (ip_address("2001:db8::1"), ip_address("2001:db8::2"))
    assert v6.ports() == (None, None)


def test_a_flow_prints_for_people() -> None:
    assert str(tcp()) == "tcp 10.1.0.1[40000] -> 10.2.0.1[80]"
    assert str(Flow.build(A, B, 50)) == "esp 10.1.0.1 -> 10.2.0.1"


# --- an SA's selectors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("local", "remote", "holds"),
    [
        (net("10.1.0.0/16"), net("10.2.0.0/16"), True),
        (net("10.1.0.1/32"), net("10.2.0.1/32"), True),
        (net("10.1.0.2/32"), net("10.2.0.1/32"), False),  # source just above
        (net("10.1.0.0/32"), net("10.2.0.1/32"), False),  # source just below
        (net("10.1.0.1/32"), net("10.2.0.2/32"), False),
        (net("0.0.0.0/0"), net("0.0.0.0/0"), True),
        (net("::/0"), net("::/0"), False),  # another family
        (net("10.1.0.0/16", 6), net("10.2.0.0/16", 6), True),
        (net("10.1.0.0/16", 17), net("10.2.0.0/16", 17), False),
        (net("10.1.0.0/16", 6), net("10.2.0.0/16", 17), False),
        (net("10.1.0.0/16", 6), net("10.2.0.0/16"), True),
        (net("10.1.0.0/16"), net("10.2.0.0/16", 6, (80, 80)), True),
        (net("10.1.0.0/16"), net("10.2.0.0/16", 6, (81, 90)), False),
        (net("10.1.0.0/16"), net("10.2.0.0/16", 6, (70, 79)), False),
        (net("10.1.0.0/16", 6, (40_000, 40_000)), net("10.2.0.0/16"), True),
        (net("10.1.0.0/16", 6, (0, 39_999)), net("10.2.0.0/16"), False),
        (net("10.1.0.0/16", 6, OPAQUE), net("10.2.0.0/16"), False),  # its ports can be seen
    ],
)
def test_a_tcp_packet_is_inside_or_not_in_both_directions(local: Selector, remote: Selector, holds: bool) -> None:
    assert selectors(local, remote).hold_outbound(tcp()) is holds
    assert selectors(remote, local).hold_inbound(tcp()) is holds


def test_any_selector_of_either_end_will_do() -> None:
    sa = SaSelectors(
        (net("192.168.0.0/24"), net("10.1.0.0/16"), net("2001:db8:1::/48")), (net("10.3.0.0/16"), net("10.2.0.0/16"))
    )
    assert sa.hold_outbound(tcp())
    assert not sa.hold_outbound(Flow.build(A, ip_address("10.4.0.1"), 6, 1, 2))
    assert not sa.hold_inbound(tcp())


@pytest.mark.parametrize(
    ("ports", "holds"), [((0, 65_535), True), (OPAQUE, True), ((80, 80), False), ((0, 65_534), False)]
)
def test_a_fragment_without_ports_matches_any_and_opaque_only(ports: tuple[int, int], holds: bool) -> None:
    """RFC 4301 section 7: what carries specific ports refuses fragments that don't show them."""
    fragment = tcp(None, None)
    assert selectors(net("10.1.0.0/16"), net("10.2.0.0/16", 6, ports)).hold_outbound(fragment) is holds
    assert selectors(net("10.1.0.0/16", 6, ports), net("10.2.0.0/16")).hold_outbound(fragment) is holds
    assert selectors(net("10.2.0.0/16", 6, ports), net("10.1.0.0/16")).hold_inbound(fragment) is holds


ECHO_REQUEST = (0x0800, 0x08FF)


@pytest.mark.parametrize(
    ("local", "remote", "sends", "receives"),
    [  # RFC 4301 section 4.4.1.3, examples B to D
        (ECHO_REQUEST, ECHO_REQUEST, True, True),
        (ECHO_REQUEST, OPAQUE, True, False),
        (OPAQUE, ECHO_REQUEST, False, True),
        (ECHO_REQUEST, (0, 65_535), True, True),
        ((0, 0), (0, 0), False, False),  # echo replies only
    ],
)
def test_the_type_of_an_icmp_packet_is_held_against_its_senders_side(
    local: tuple[int, int], remote: tuple[int, int], sends: bool, receives: bool
) -> None:
    sa = selectors(net("10.1.0.0/16", 1, local), net("10.2.0.0/16", 1, remote))
    assert sa.hold_outbound(Flow.build(A, B, 1, 0x0800)) is sends
    assert sa.hold_inbound(Flow.build(B, A, 1, 0x0800)) is receives


def test_protocols_without_ports_match_any_and_opaque() -> None:
    esp = Flow.build(A, B, 50)
    assert selectors(net("10.1.0.0/16", 50), net("10.2.0.0/16", 50)).hold_outbound(esp)
    assert selectors(net("10.1.0.0/16", 50, OPAQUE), net("10.2.0.0/16", 50, OPAQUE)).hold_outbound(esp)
    assert not selectors(net("10.1.0.0/16", TCP), net("10.2.0.0/16", TCP)).hold_outbound(esp)
