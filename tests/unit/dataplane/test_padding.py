"""Padding that hides the sizes of packets (RFC 4303 section 2.7): what is sent, and what comes out of it."""

from __future__ import annotations

import pytest

from ipsecd import limits
from ipsecd.dataplane import messages as m
from ipsecd.dataplane.results import Out, OutRun, ToTun, ToTunRun
from ipsecd.wire.form import Form
from tests.property.receivers import TRANSPORT, apart, kept, one_by_one, state, together
from tests.property.receivers import ends as receivers
from tests.property.run_values import Big
from tests.unit.dataplane.ends import End, only, tunnel
from tests.unit.dataplane.shapes import HOSTS, NETS, SHAPES, Shape, ends, outbound_sa, received, renewed, sent
from tests.unit.ipsec.packets import UDP, echo, ipv4, packet, sized, syn, udp
from tests.unit.ipsec.pairs import ah_keys

PATH_MTU = m.Tfc(padding=65_535)
V4, V6 = NETS[4], NETS[6]

every_esp = pytest.mark.parametrize(
    "shape", [shape for shape in SHAPES if shape.protocol != "ah"], ids=lambda shape: shape.name
)


def padding(end: End, tfc: m.Tfc) -> None:
    """Have the SA of this end replaced by one that pads; the one of AH around it stays."""
    end.roads.handle(m.RemoveOutbound(end.outbound, end.inbound), 0.0)
    (done,) = end.install_outbound(tfc=tfc)
    assert isinstance(done, m.Done)
    assert not done.error


def sizes(end: End, *packets: bytes) -> set[int]:
    return {len(out.datagram) for each in packets for out in sent(end, each)}


@every_esp
def test_packets_of_every_size_are_of_one_and_come_out_as_they_were(shape: Shape) -> None:
    near, far = ends(shape)
    padding(near, PATH_MTU)
    seen = set()
    for inner in {shape.outer} if shape.transport else (4, 6):
        for data in (0, 1, 500, 900):
            each = udp(*shape.pair(inner), data=bytes(data))
            (out,) = sent(near, each)
            seen.add(len(out.datagram))
            (arrived,) = received(far, [out])
            header = 20 if inner == 4 else 40
            assert arrived[header : len(each)] == each[header:]
            assert shape.transport or arrived == each
    headers = 0 if shape.native else (20 if shape.outer == 4 else 40) + 8
    (size,) = seen
    assert limits.LINK_MTU - 4 < size + headers <= limits.LINK_MTU


def test_what_is_shorter_is_padded_to_so_many_octets_and_what_is_longer_is_not() -> None:
    near, far = tunnel()
    padding(near, m.Tfc(padding=600))
    overhead = 8 + 8 + 16  # ESP header, IV and ICV
    assert sizes(near, udp(*V4), echo(*V4, data=bytes(100)), sized(*V4, 600)) == {overhead + 604}
    assert sizes(near, sized(*V4, 601)) == {overhead + 604}
    assert sizes(near, sized(*V4, 1_000)) == {overhead + 1_004}
    assert only(far.receive(sent(near, udp(*V6))[0].datagram), ToTun) == [ToTun(udp(*V6))]


def test_padding_is_no_larger_than_the_path_as_it_is_now() -> None:
    near, _ = tunnel()
    padding(near, PATH_MTU)
    assert sizes(near, udp(*V4)) == {1_472}
    near.roads.handle(m.SetPathMtu(near.outside.remote, 1_300), 0.0)
    assert sizes(near, udp(*V4)) == {1_272}
    padding(near, m.Tfc(padding=1_400))
    assert sizes(near, udp(*V4)) == {1_272}


def test_fragments_are_padded_each() -> None:
    near, far = tunnel()
    padding(near, PATH_MTU)
    outs = sent(near, sized(*V4, 2_000))
    assert [len(out.datagram) for out in outs] == [1_472, 1_472]
    assert sum(len(each) - 20 for each in received(far, outs)) == 1_980


def test_padding_is_encrypted_and_counts_as_that() -> None:
    near, _ = tunnel()
    padding(near, m.Tfc(padding=600))
    near.send(udp(*V4))
    (sa,) = (sa for sa in near.counters().sas if sa.direction == "out")
    assert (sa.packets, sa.octets, sa.dummies) == (1, 604, 0)


@pytest.mark.parametrize(
    "each",
    [
        syn(*HOSTS[4], 1_000),
        echo(*HOSTS[4]),
        ipv4(*HOSTS[4], UDP, udp(*HOSTS[4])[20:] + b"more"),  # RFC 9868: options, which padding would be taken for
        ipv4(*HOSTS[4], UDP, b"\0\1\0\2"),
    ],
)
@pytest.mark.parametrize("native", [True, False])
def test_in_transport_mode_what_does_not_say_how_long_it_is_goes_as_it_is(each: bytes, native: bool) -> None:
    shape = Shape(native=native)
    plain, _ = ends(shape)
    near, far = ends(shape)
    padding(near, PATH_MTU)
    assert sizes(near, each) == sizes(plain, each)
    assert received(far, sent(near, each)) == [each if native else renewed(each, outbound_sa(near).sequence)]


@pytest.mark.parametrize("inner", [4, 6])
def test_in_transport_mode_ip_in_ip_says_how_long_it_is(inner: int) -> None:
    near, far = ends(Shape())
    padding(near, PATH_MTU)
    inside = udp(*NETS[inner])
    outs = sent(near, packet(*HOSTS[4], 4 if inner == 4 else 41, inside))
    assert len(outs[0].datagram) == 1_500
    (arrived,) = received(far, outs)
    assert arrived[20 : 20 + len(inside)] == inside
    assert set(arrived[20 + len(inside) :]) == {0}


def test_what_stands_for_many_leaves_as_many_padded_packets() -> None:
    near, far = tunnel()
    padding(near, PATH_MTU)
    big = Big(segment=500, count=10, tail=3)
    results = list(near.roads.from_tun_read(memoryview(big.packet), big.head, 0.0))
    assert only(results, OutRun) == []
    outs = only(results, Out)
    assert [len(out.datagram) for out in outs] == [1_472] * 11
    assert received(far, outs) == big.segments()


def test_single_packets_are_padded_on_the_road_for_many_too() -> None:
    near, far = tunnel()
    padding(near, PATH_MTU)
    head = bytes(10)
    results = [*near.roads.from_tun_read(memoryview(udp(*V4)), head, 0.0), *near.roads.from_tun_end(0.0)]
    outs = only(results, Out)
    assert [len(out.datagram) for out in outs] == [1_472]
    assert received(far, outs) == [udp(*V4)]


def test_ah_has_neither_padding_nor_dummies() -> None:
    near, _ = tunnel()
    for tfc in (PATH_MTU, m.Tfc(dummies=1)):
        (done,) = near.install_outbound(spi=0x7777, keys=ah_keys(), form=Form(transport=True), tfc=tfc)
        assert isinstance(done, m.Done)
        assert done.error == "AH hides nothing, so neither padding nor dummies go by it"


def test_a_packet_that_was_too_large_for_the_link_is_padded_anew() -> None:
    near, _ = tunnel()
    padding(near, PATH_MTU)
    (out,) = sent(near, udp(*V4))
    near.roads.handle(m.SetLinkMtu(near.outside.remote, 1_300), 0.0)
    (again,) = only(near.roads.again(*out.packets(), 0.0), Out)
    assert (len(again.datagram), again.packet) == (1_272, udp(*V4))


@pytest.mark.parametrize("largest_first", [True, False])
@pytest.mark.parametrize("inner", [4, 6])
def test_padded_packets_in_a_tunnel_come_out_as_they_were_many_at_once_too(inner: int, largest_first: bool) -> None:
    near, far, other = receivers()
    padding(near, PATH_MTU)
    least = 28 if inner == 4 else 48
    packets = [
        udp(*NETS[inner], data=bytes([size & 0xFF]) * (size - least)) for size in (1_438, 1_437, 600, 599, 48, 70)
    ]
    (first,) = sent(near, udp(*NETS[inner]))
    for end in (far, other):
        end.receive(first.datagram, 1.0)
    datagrams = [out.datagram for each in packets[:: 1 if largest_first else -1] for out in sent(near, each)]
    assert {len(each) for each in datagrams} == {1_472}
    arrived = one_by_one(together(far, datagrams, 2.0))
    assert [each.packet for each in only(arrived, ToTun)] == packets[:: 1 if largest_first else -1]
    assert arrived == apart(other, datagrams, 2.0)
    assert state(far) == state(other)


@pytest.mark.parametrize("count", [1, 6, 40])
def test_padded_udp_in_transport_mode_says_how_long_it_is_many_at_once_too(count: int) -> None:
    """What is written as one would be cut anew, and would take the padding for data: none is."""
    near, far, other = receivers(form=TRANSPORT)
    padding(near, PATH_MTU)
    datagrams = [sent(near, udp(*HOSTS[4], data=b"abc"))[0].datagram for _ in range(count + 1)]
    for end in (far, other):
        end.receive(datagrams[0], 1.0)
    results = together(far, datagrams[1:], 2.0)
    assert [type(result) for result in results if isinstance(result, ToTun | ToTunRun)] == [ToTun] * count
    assert results == list(kept(apart(other, datagrams[1:], 2.0)))
    for each in only(results, ToTun):
        assert bytes(each.packet)[24:31] == bytes.fromhex("000b") + bytes(each.packet)[26:28] + b"abc"
        assert set(bytes(each.packet)[31:]) == {0}
    assert state(far) == state(other)
