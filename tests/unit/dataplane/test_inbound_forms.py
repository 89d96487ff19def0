"""The way in in every form: what comes out, and under which name the rest is dropped."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd.dataplane import messages as m
from ipsecd.dataplane.results import Out, ToTun
from ipsecd.dataplane.tally import DROPS
from ipsecd.ipsec import ah_packets, esp, outer
from ipsecd.ipsec.transport import headed
from ipsecd.wire.checksum import checksum, pseudo_checksum
from ipsecd.wire.form import Form
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.selector import Selector
from tests.unit.dataplane.ends import End, authentic, only, protect
from tests.unit.dataplane.shapes import (
    AROUND,
    HOSTS,
    NETS,
    SHAPES,
    Shape,
    carried,
    end,
    ends,
    outbound_sa,
    received,
    renewed,
    results_of,
    sent,
)
from tests.unit.ipsec.packets import FRAGMENT, UDP, chained, echo, ipv4, ipv6, sized, syn, udp
from tests.unit.ipsec.pairs import ah_keys, fixed_iv

V4, V6 = HOSTS[4], HOSTS[6]

every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)


@every_shape
def test_what_goes_in_comes_out(shape: Shape) -> None:
    near, far = ends(shape)
    for inner in {shape.outer} if shape.transport else (4, 6):
        pair = shape.pair(inner)
        packets = (udp(*pair, tos=0x88), echo(*pair), syn(*pair, 1_000), sized(*pair, 1_280))
        for packet in packets:
            number = outbound_sa(near).sequence + 1
            anew = shape.transport and not shape.native
            assert carried(near, far, packet) == [renewed(packet, number) if anew else packet]
    assert far.drops == {}
    assert far.paths["from-native" if shape.native else "from-udp"] == far.paths["to-tun"]


@every_shape
def test_nothing_comes_twice_and_nothing_that_was_changed(shape: Shape) -> None:
    near, far = ends(shape)
    outs = sent(near, udp(*shape.pair(4)))
    (out,) = outs
    bent = out._replace(datagram=out.datagram[:-1] + bytes([out.datagram[-1] ^ 1]))
    assert received(far, [bent]) == []
    assert len(received(far, outs)) == 1
    assert received(far, outs) == []
    assert far.drops == {"bad-icv": 1, "replayed": 1}


@every_shape
def test_first_use_and_life_are_told_of_every_sa(shape: Shape) -> None:
    near, far = ends(shape)
    results = results_of(far, sent(near, udp(*shape.pair(4))))
    spis = [far.inbound + AROUND, far.inbound] if shape.protocol == "both" else [far.inbound]
    assert only(results, m.InboundUsed) == [m.InboundUsed(spi) for spi in spis]
    told = results + far.roads.timer(10.0)
    assert {spi for alive in only(told, m.PeerAlive) for spi in alive.spis} == set(spis)
    assert [(sa.spi, sa.packets) for sa in far.counters().sas if sa.direction == "in"] == [(spi, 1) for spi in spis]


def test_native_fragments_come_out_whole() -> None:
    for protocol in ("esp", "ah", "both"):
        near, far = ends(Shape(protocol))
        packet = sized(*V4, 4_000)
        assert carried(near, far, packet) == [packet]
        near, far = ends(Shape(protocol, outer=6))
        body = udp(*V6, data=bytes(3_000))[40:]
        near.send(ipv6(*V6, FRAGMENT, bytes.fromhex("1100000100000007") + body[:1_600]))
        (arrived,) = carried(near, far, ipv6(*V6, FRAGMENT, bytes.fromhex("1100064000000007") + body[1_600:]))
        assert arrived[-len(body) :] == body


# --- checksums behind a NAT -------------------------------------------------------------------------------------------

SEEN = {4: ("203.0.113.7", "192.168.1.9"), 6: ("2001:db8:f::7", "2001:db8:e::9")}  # by the one who receives


def natted(protocol: str, version: int) -> tuple[End, End]:
    """The far end sees the near one behind a NAT, and is behind one itself."""
    near, far = ends(Shape(protocol, native=False, outer=version))
    there, here = (ip_address(each) for each in SEEN[version])
    original = ip_address(HOSTS[version][0]), ip_address(HOSTS[version][1])
    far.outside = m.Outside(here, 4_500, there, 61_000)
    far.local, far.remote = (Selector(here, here),), (Selector(there, there),)
    far.form = replace(far.form, original=original)
    far.policy()
    far.roads.handle(m.RemoveInbound(far.inbound), 0.0)
    (done,) = far.install_inbound()
    assert isinstance(done, m.Done)
    assert not done.error
    return near, far


def sums_up(packet: bytes, at: int) -> bool:
    """Whether the transport checksum is right for the addresses."""
    version = packet[0] >> 4
    start, octets = (12, 4) if version == 4 else (8, 16)
    source, destination = (ip_address(packet[start + octets * n : start + octets * (n + 1)]) for n in (0, 1))
    protocol = packet[9] if version == 4 else packet[6]
    return checksum(packet[at:], pseudo_checksum(source, destination, protocol, len(packet) - at)) == 0


@pytest.mark.parametrize("version", [4, 6])
def test_checksums_are_mended_where_a_nat_changes_addresses(version: int) -> None:
    near, far = natted("esp", version)
    at = 20 if version == 4 else 40
    packets = [udp(*HOSTS[version]), syn(*HOSTS[version], 1_000)] + ([echo(*HOSTS[6])] if version == 6 else [])
    for packet in packets:
        (arrived,) = carried(near, far, packet)
        assert sums_up(arrived, at)
        assert arrived[:at].hex().endswith("".join(ip_address(each).packed.hex() for each in SEEN[version]))
    assert far.drops == {}


def test_a_udp_packet_without_a_checksum_stays_without() -> None:
    near, far = natted("esp", 4)
    (arrived,) = carried(near, far, ipv4(*V4, UDP, bytes.fromhex("03e807d0000a0000") + b"hi"))
    assert arrived[26:28] == bytes(2)


def test_what_has_no_pseudo_header_stays_as_it_is() -> None:
    near, far = natted("esp", 4)
    for packet in (echo(*V4), ipv4(*V4, 47, bytes(40)), ipv4(*V4, UDP, bytes.fromhex("03e807d0"))):
        (arrived,) = carried(near, far, packet)
        assert arrived[20:] == packet[20:]


def test_ah_in_udp_does_not_pass_a_nat() -> None:
    near, far = ends(Shape("ah", native=False))
    far.outside = replace(far.outside, remote=ip_address("203.0.113.7"))
    assert carried(near, far, udp(*V4)) == []
    assert far.drops == {"bad-icv": 1}


# --- drops ------------------------------------------------------------------------------------------------------------


def dropped(far: End, packet: bytes) -> str:
    """The name under which a native packet is dropped."""
    before = dict(far.drops)
    assert only(far.roads.from_native_read(packet, far.outside, 0.0), ToTun) == []
    (name,) = (name for name, count in far.drops.items() if count != before.get(name, 0))
    assert name in DROPS
    return name


def esp_packet(near: End, next_header: int, payload: bytes, front: bytes = b"") -> bytes:
    """An authentic native packet with anything inside."""
    sealed = authentic(near, next_header, payload)
    front = front or outer.header(near.outside.local, near.outside.remote)
    return headed(front, IpProtocol.ESP, len(sealed)) + sealed


def ah_packet(near: End, next_header: int, payload: bytes, *, spi: int = 0, front: bytes = b"") -> bytes:
    sa = outbound_sa(near, spi)
    number = sa.take(1)
    assert number is not None
    front = front or outer.header(near.outside.local, near.outside.remote)
    return ah_packets.seal(sa, number, front, next_header, payload)


def only_protocol(shape: Shape, protocol: int) -> tuple[End, End]:
    near, far = end(shape, near=True), end(shape, near=False)
    for each in (near, far):
        each.local, each.remote = ((replace(side[0], protocol=protocol),) for side in (each.local, each.remote))
        each.policy()
        each.install_inbound()
        each.install_outbound()
    return near, far


def test_packets_of_the_other_mode_are_wrong() -> None:
    near, far = only_protocol(Shape(), UDP)
    assert dropped(far, esp_packet(near, 4, udp(*V4))) == "wrong-mode"
    assert dropped(far, esp_packet(near, 41, udp(*V6))) == "wrong-mode"
    near, far = ends(Shape(transport=False))
    assert dropped(far, esp_packet(near, UDP, udp(*V4)[20:])) == "not-tunnel-mode"
    near, far = ends(Shape("ah", transport=False))
    assert dropped(far, ah_packet(near, UDP, udp(*V4)[20:])) == "not-tunnel-mode"


def test_ip_in_ip_of_the_host_itself_may_be_selected() -> None:
    near, far = only_protocol(Shape(), 4)
    packet = ipv4(*V4, 4, udp(*V4))
    assert carried(near, far, packet) == [packet]


def test_selectors_and_policy_see_the_packet_of_transport_mode() -> None:
    near, far = only_protocol(Shape(), UDP)
    assert carried(near, far, udp(*V4)) == [udp(*V4)]
    assert dropped(far, esp_packet(near, 6, syn(*V4, 1_000)[20:])) == "outside-selectors"
    others = outer.header(ip_address("192.0.2.99"), near.outside.remote)
    assert dropped(far, esp_packet(near, UDP, udp(*V4)[20:], front=others)) == "outside-selectors"
    far.policy(protect((far.local[0], far.remote[0]), child="another"))
    assert dropped(far, esp_packet(near, UDP, udp(*V4)[20:])) == "policy-mismatch"


@pytest.mark.parametrize("inside", [50, 51])
def test_esp_or_ah_that_was_not_agreed_is_nested(inside: int) -> None:
    near, far = ends(Shape())
    assert dropped(far, esp_packet(near, inside, bytes(64))) == "nested"
    near, far = ends(Shape(outer=6))
    behind_options = bytes([inside, 0, 1, 4, 0, 0, 0, 0]) + bytes(64)
    assert dropped(far, esp_packet(near, 60, behind_options)) == "nested"
    near, far = ends(Shape("ah"))
    assert dropped(far, ah_packet(near, inside, bytes(64))) == "nested"


def test_esp_that_belongs_in_ah_is_taken_from_there_alone() -> None:
    near, far = ends(Shape("both"))
    assert dropped(far, esp_packet(near, UDP, udp(*V4)[20:])) == "not-in-ah"
    in_udp, other = ends(Shape("both", native=False))
    other.receive(authentic(in_udp, UDP, udp(*V4)[20:]))
    assert other.drops == {"not-in-ah": 1}


def test_the_ah_around_esp_carries_nothing_else() -> None:
    near, far = ends(Shape("both"))
    spi = near.outbound + AROUND
    assert dropped(far, ah_packet(near, UDP, udp(*V4)[20:], spi=spi)) == "nested"
    assert dropped(far, ah_packet(near, 50, b"short", spi=spi)) == "runt"
    assert dropped(far, ah_packet(near, 50, bytes.fromhex("00007777") + bytes(60), spi=spi)) == "unknown-spi"
    good = ah_packet(near, 50, authentic(near, UDP, udp(*V4)[20:]), spi=spi)
    assert len(only(far.roads.from_native_read(good, far.outside, 0.0), ToTun)) == 1
    far.install_inbound(spi=0x3333, form=Form(transport=True))
    near.install_outbound(spi=0x3333, inbound=0x4444, form=Form(transport=True))
    other = outbound_sa(near, 0x3333)
    number = other.take(1)
    assert number is not None
    sealed = esp.seal(other, number, UDP, udp(*V4)[20:], fixed_iv)[0]
    assert dropped(far, ah_packet(near, 50, sealed, spi=spi)) == "nested"


def test_an_sa_is_found_by_its_protocol_too() -> None:
    near, far = ends(Shape("ah"))
    (out,) = sent(near, udp(*V4))
    as_esp = outer.header(near.outside.local, near.outside.remote)
    assert dropped(far, headed(as_esp, 50, 60) + bytes.fromhex("0000222200000001") + bytes(52)) == "unknown-spi"
    esp_near, esp_far = ends(Shape())
    assert dropped(esp_far, out.datagram) == "unknown-spi"
    assert received(far, [out]) != []
    assert esp_near.drops == {}


def test_dummies_are_dropped_in_either_mode() -> None:
    for shape in (Shape(), Shape(transport=False)):
        near, far = ends(shape)
        assert dropped(far, esp_packet(near, 59, bytes(100))) == "dummy"


def test_a_packet_of_nothing_with_ah_is_no_dummy() -> None:
    near, far = ends(Shape("ah", outer=6))
    packet = ipv6(*V6, 59, b"")
    assert carried(near, far, packet) == [packet]


OPTIONS = bytes.fromhex("83070401020304" + "00")


@pytest.mark.parametrize(
    ("packet", "name"),
    [
        (udp(*V4), "not-ah"),
        (b"", "malformed-outer"),
        (bytes.fromhex("4500"), "malformed-outer"),
        (ipv4(*V4, 50, bytes(64), more=True), "malformed-outer"),
        (ipv4(*V4, 50, bytes(64), offset=64), "malformed-outer"),
        (ipv4(*V4, 51, bytes(64), more=True), "ah-fragment"),
        (ipv4(*V4, 50, bytes(4)), "runt"),
        (ipv4(*V4, 50, bytes(64)), "unknown-spi"),
        (ipv4(*V4, 51, bytes(64)), "ah-length"),
        (ipv4(*V4, 51, bytes.fromhex("11050000000000ff00000001") + bytes(64)), "unknown-spi"),
        (ipv4(*V4, 51, bytes.fromhex("11050000")), "malformed-outer"),
        (ipv4(*V4, 51, bytes.fromhex("11ff00000000222200000001") + bytes(64)), "malformed-outer"),
        (ipv4(*V4, 51, bytes.fromhex("110600000000222200000001") + bytes(64)), "ah-length"),
        (ipv4(*V4, 51, bytes(64), options=bytes.fromhex("83ff0400")), "bad-option"),
        (ipv6(*V6, 43, bytes.fromhex("3300")), "malformed-outer"),
    ],
    ids=str,
)
def test_what_is_wrong_outside_has_a_name(packet: bytes, name: str) -> None:
    _, far = ends(Shape("ah"))
    assert dropped(far, packet) == name


def test_a_route_that_was_not_followed_to_its_end_is_unfinished() -> None:
    near, far = ends(Shape("ah", outer=6))
    packet = chained(*V6, (43, "02000100000000" + ip_address("2001:db8::2").packed.hex()), body=udp(*V6)[40:])
    (out,) = sent(near, packet)
    assert dropped(far, out.datagram) == "unfinished-route"


def test_options_that_lie_are_named_once_the_packet_says_it_is_ours() -> None:
    """A hop-by-hop option that is longer than its header."""
    near, far = ends(Shape("ah", outer=6))
    (out,) = sent(near, chained(*V6, (0, "00010400000000"), body=udp(*V6)[40:]))
    assert dropped(far, out.datagram[:43] + b"\xff" + out.datagram[44:]) == "bad-option"


def test_inside_a_fragment_or_no_packet_at_all() -> None:
    near, far = ends(Shape(outer=6))
    assert (
        dropped(far, esp_packet(near, FRAGMENT, bytes.fromhex("1100000100000007") + bytes(16))) == "transport-fragment"
    )
    assert dropped(far, esp_packet(near, UDP, b"ab")) == "malformed-inner"


# --- where the peer is ------------------------------------------------------------------------------------------------


def test_a_native_sa_stays_where_it_was_made() -> None:
    near, far = ends(Shape(transport=False))
    moved = replace(far.outside, remote=ip_address("203.0.113.7"))
    (out,) = sent(near, udp(*NETS[4]))
    results = far.roads.from_native_read(out.datagram, moved, 0.0)
    assert len(only(results, ToTun)) == 1
    assert only(results, m.PeerMoved) == []


def test_encapsulation_is_not_followed_but_taken_as_it_comes() -> None:
    """RFC 7296 section 2.23: who is spoken to natively may get ESP in UDP, and the other way round."""
    near, far = ends(Shape(native=False, transport=False))
    (out,) = sent(near, udp(*NETS[4]))
    native = headed(outer.header(near.outside.local, near.outside.remote), 50, len(out.datagram)) + out.datagram
    results = far.roads.from_native_read(native, replace(far.outside, local_port=0, remote_port=0), 0.0)
    assert len(only(results, ToTun)) == 1
    assert only(results, m.PeerMoved) == []
    assert isinstance(out, Out)


def test_congestion_marks_are_carried_inside_a_tunnel_and_stay_the_packets_own_in_transport_mode() -> None:
    near, far = ends(Shape(transport=False))
    (out,) = sent(near, udp(*NETS[4], tos=2))
    marked = bytearray(out.datagram)
    marked[1] |= 3
    (arrived,) = received(far, [out._replace(datagram=bytes(marked))])
    assert arrived[1] == 3
    near, far = ends(Shape("ah"))
    (out,) = sent(near, udp(*V4, tos=0))
    marked = bytearray(out.datagram)
    marked[1] |= 3
    (arrived,) = received(far, [out._replace(datagram=bytes(marked))])
    assert arrived[1] == 3
    assert far.drops == {}


def test_keys_of_ah_serve_ah_alone() -> None:
    far = end(Shape("ah"), near=False)
    (done,) = far.install_inbound(keys=replace(ah_keys(), integrity=0))
    assert done == m.Done(2, "no AH with NONE")
