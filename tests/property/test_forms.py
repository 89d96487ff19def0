"""Whatever packet goes into the road out comes out of the other end's road in, in every form."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecd.ipsec.fragment import fragments, with_fragment_header
from ipsecd.ipsec.transport import headed, split
from ipsecd.wire import ip
from tests.property.header_values import (
    DESTINATION,
    FRAGMENT,
    HOP,
    WHOLE,
    Headers,
    options_v4,
    options_v6,
    packets_v4,
    packets_v6,
    plain,
    routes_v4,
)
from tests.property.routers import arrive
from tests.unit.crypto.suites import AH_INTEGRITIES, EACH, Suite
from tests.unit.dataplane.ends import End
from tests.unit.dataplane.shapes import HOSTS, SHAPES, Shape, ends, outbound_sa, received, renewed, sent
from tests.unit.ipsec.packets import udp

TUNNELS = [shape for shape in SHAPES if not shape.transport]
TRANSPORTS = [shape for shape in SHAPES if shape.transport]

suites = st.sampled_from(EACH)
macs = st.sampled_from([integrity.name for integrity in AH_INTEGRITIES])
noises = st.binary(min_size=8, max_size=8)
highs = st.integers(0, 5)
options_and_route = st.tuples(options_v4, routes_v4()).map(b"".join).filter(lambda octets: len(octets) <= 40)
inner_packets = packets_v4() | packets_v6()


@st.composite
def _unrouted(draw: st.DrawFn) -> Headers:
    """Extension headers of a host that sends straight to the other."""
    found: Headers = [(HOP, draw(options_v6))] if draw(st.booleans()) else []
    if draw(st.booleans()):
        found.append((FRAGMENT, WHOLE))
    return found + ([(DESTINATION, draw(options_v6))] if draw(st.booleans()) else [])


PACKETS = {4: packets_v4(protocols=plain), 6: packets_v6(_unrouted(), plain)}
ROUTED = {4: packets_v4(protocols=plain) | packets_v4(options_and_route, plain), 6: packets_v6(protocols=plain)}

every_tunnel = pytest.mark.parametrize("shape", TUNNELS, ids=lambda shape: shape.name)
every_transport = pytest.mark.parametrize("shape", TRANSPORTS, ids=lambda shape: shape.name)


def up(shape: Shape, high: int) -> tuple[End, End]:
    """Both ends, for all addresses; extended numbers have a high half."""
    near, far = ends(shape, everything=True)
    if shape.esn:
        for sa in near.roads._outbound._sad:
            sa.sequence = (high << 32) + 0x1234
        for inbound in far.roads._inbound._sad:
            inbound.window.top = (high << 32) + 0x1234
    return near, far


def is_alike(packet: bytes) -> bytes:
    """The packet as it stands in AH and ESP: without a fragment header that says nothing."""
    front, next_header, payload = split(packet, ip.parse(packet))
    return headed(front, next_header, len(payload)) + payload


@every_tunnel
@given(packet=inner_packets, suite=suites, mac=macs, high=highs)
def test_tunnels_give_back_the_packet(shape: Shape, packet: bytes, suite: Suite, mac: str, high: int) -> None:
    near, far = up(replace(shape, suite=suite, mac=mac), high)
    outs = sent(near, packet)
    inner = ip.parse(packet)
    assert {out.df for out in outs} == {inner.dont_fragment}
    assert received(far, outs) == [packet]


@every_transport
@given(data=st.data(), suite=suites, mac=macs, high=highs)
def test_transport_mode_gives_back_the_packet_or_in_udp_what_it_carries(
    shape: Shape, data: st.DataObject, suite: Suite, mac: str, high: int
) -> None:
    near, far = up(replace(shape, suite=suite, mac=mac), high)
    packet = data.draw(PACKETS[shape.outer])
    number = outbound_sa(near).sequence + 1
    outs = sent(near, packet)
    (arrived,) = received(far, outs)
    if shape.native:
        assert arrived == is_alike(packet)
    else:
        _, next_header, payload = split(packet, ip.parse(packet))
        assert arrived[9 if shape.outer == 4 else 6] == next_header
        assert arrived[-len(payload) :] == payload
        ends_of_it = far.outside.remote.packed + far.outside.local.packed
        assert arrived[: -len(payload)].endswith(ends_of_it)
        assert renewed(arrived, number) == arrived
        assert ip.parse(arrived).dscp_ecn == ip.parse(packet).dscp_ecn


@pytest.mark.parametrize("protocol", ["ah", "both"])
@pytest.mark.parametrize("version", [4, 6])
@given(data=st.data(), mac=macs, noise=noises)
def test_ah_is_accepted_where_the_route_ends_whatever_routers_did(
    protocol: str, version: int, data: st.DataObject, mac: str, noise: bytes
) -> None:
    near, far = up(Shape(protocol, outer=version, mac=mac), 0)
    packet = data.draw(ROUTED[version])
    (out,) = sent(near, packet)
    there = arrive(out.datagram, noise)
    (arrived,) = received(far, [out._replace(datagram=there)])
    _, _, payload = split(packet, ip.parse(packet))
    assert arrived[-len(payload) :] == payload
    view = ip.parse(there)
    assert (ip.parse(arrived).source, ip.parse(arrived).destination) == (view.source, view.destination)
    assert far.drops == {}


@pytest.mark.parametrize("protocol", ["esp", "ah", "both"])
@pytest.mark.parametrize("version", [4, 6])
@given(octets=st.integers(1_281, 9_000), path=st.integers(1_280, 3_000))
def test_packets_that_are_cut_on_the_way_come_out_whole(protocol: str, version: int, octets: int, path: int) -> None:
    near, far = up(Shape(protocol, outer=version), 0)
    near.roads._outbound.set_link_mtu(near.outside.remote, path)
    packet = large(version, octets)
    outs = [out for piece in cut(packet) for out in sent(near, piece)]
    assert max(len(out.datagram) for out in outs) <= path
    (arrived,) = received(far, outs)
    assert arrived[-1_200:] == packet[-1_200:]
    assert len(arrived) == octets + (8 if ip.parse(arrived).fragment_header else 0)  # who joins them may leave it


def large(version: int, octets: int) -> bytes:
    """A UDP packet without DF."""
    header = 48 if version == 6 else 28
    data = bytes(n % 251 for n in range(octets - header))
    return udp(*HOSTS[version], data=data)


def cut(packet: bytes) -> list[bytes]:
    """As its source cuts it, if it is one of IPv6: nobody else may."""
    if packet[0] >> 4 == 4:
        return [packet]
    whole = with_fragment_header(packet, 40, 7)
    return fragments(whole, ip.parse(whole), 1_280)
