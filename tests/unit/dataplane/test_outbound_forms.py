"""The way out in every form: what stands where, what is cut, and what is refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from ipsecd.dataplane import messages as m
from ipsecd.dataplane.results import Out, ToTun
from ipsecd.ipsec import ah
from ipsecd.wire import ip
from ipsecd.wire.form import Form
from ipsecd.wire.icmp import parse_error
from tests.unit.dataplane.ends import End, only
from tests.unit.dataplane.shapes import AROUND, HOSTS, NETS, Shape, end, outbound_sa, sent
from tests.unit.ipsec.packets import FRAGMENT, UDP, chained, ipv4, ipv6, sized, syn, udp
from tests.unit.ipsec.pairs import ah_keys

V4, V6 = HOSTS[4], HOSTS[6]
ADDRESSES = {4: "c0000201c6336401", 6: "20010db8" + "00" * 11 + "01" + "20010db8" + "00" * 11 + "02"}
ESP_START = "0000222200000001" + "0000000000000001"  # SPI, sequence number, IV


def up(shape: Shape) -> End:
    """The near end, ready to send."""
    near = end(shape, near=True)
    if shape.protocol == "both":
        near.install_outbound(
            spi=near.outbound + AROUND,
            inbound=near.inbound + AROUND,
            keys=ah_keys(esn=shape.esn),
            form=Form(transport=True, outer=True),
        )
    (done,) = near.install_outbound()
    assert isinstance(done, m.Done)
    assert not done.error
    return near


# --- what stands where --------------------------------------------------------------------------------------------


def test_esp_in_transport_mode_stands_behind_the_header_of_the_packet() -> None:
    packet = ipv4(*V4, UDP, udp(*V4)[20:], tos=0xB9, ttl=17, options=bytes.fromhex("94040000"), identification=0x4321)
    (out,) = sent(up(Shape()), packet)
    assert out.datagram[:10].hex() == "46b900484321000011" + "32"
    assert out.datagram[12:24].hex() == ADDRESSES[4] + "94040000"
    assert ip.checksum(out.datagram[:24]) == 0
    assert out.datagram[24:40].hex() == ESP_START
    assert len(out.datagram) == 0x48  # 16 of UDP and trailer, 16 of ICV
    assert (out.tos, out.df, out.packet) == (0xB9, False, packet)


def test_esp_in_transport_mode_in_udp_leaves_the_headers_to_the_kernel() -> None:
    packet = udp(*V4, tos=0xB9, df=True)
    (out,) = sent(up(Shape(native=False)), packet)
    assert out.datagram[:16].hex() == ESP_START
    assert len(out.datagram) == 16 + 16 + 16
    assert (out.tos, out.df, out.packet) == (0xB9, True, packet)


def test_esp_of_ipv6_stands_behind_what_is_for_the_way() -> None:
    """RFC 4303 section 3.1.1: hop-by-hop options in front of it, destination options behind."""
    packet = chained(*V6, (0, "00010400000000"), (60, "00010400000000"), body=udp(*V6)[40:])
    (out,) = sent(up(Shape(outer=6)), packet)
    assert out.datagram[:64].hex() == "600abcde00400040" + ADDRESSES[6] + "3200010400000000" + ESP_START
    assert len(out.datagram) == 40 + 0x40
    assert out.df


@pytest.mark.parametrize("inner", [4, 6])
def test_a_native_tunnel_has_a_header_of_ours(inner: int) -> None:
    near = up(Shape(transport=False))
    outbound_sa(near).sequence = 0xFFFF
    packet = udp(*NETS[inner], tos=0x0A)
    (out,) = sent(near, packet)
    header = ip.parse(out.datagram)
    assert out.datagram[:10].hex() == f"450a{len(out.datagram):04x}0002" + ("00004032" if inner == 4 else "40004032")
    assert (str(header.source), str(header.destination)) == V4
    assert ip.checksum(out.datagram[:20]) == 0
    assert out.df == (inner == 6)


def test_a_native_tunnel_over_ipv6_has_a_header_of_ours() -> None:
    (out,) = sent(up(Shape(transport=False, outer=6)), udp(*NETS[4], tos=0x0A))
    assert out.datagram[:40].hex() == f"60a00000{len(out.datagram) - 40:04x}3240" + ADDRESSES[6]


def test_an_identification_is_never_0() -> None:
    """The kernel writes one in its place, and AH has signed it."""
    near = up(Shape("ah", transport=False))
    for sequence, written in ((0, 2), (0xFFFD, 0xFFFF), (0xFFFE, 1), (0xFFFF, 2)):
        outbound_sa(near).sequence = sequence
        (out,) = sent(near, udp(*NETS[4]))
        assert int.from_bytes(out.datagram[4:6], "big") == written
    hosts = up(Shape("ah"))
    (bare,) = sent(hosts, ipv4(*V4, UDP, udp(*V4)[20:], identification=0))
    (kept,) = sent(hosts, ipv4(*V4, UDP, udp(*V4)[20:], identification=0, df=True))
    assert (bare.datagram[4:8].hex(), kept.datagram[4:8].hex()) == ("00020000", "00004000")


def test_ah_in_udp_is_signed_with_a_header_that_is_not_sent() -> None:
    packet = udp(*V4, tos=0xB9)
    near = up(Shape("ah", native=False))
    (out,) = sent(near, packet)
    assert out.datagram[:12].hex() == "110500000000222200000001"  # AH of 28 octets, its reserved field 0
    assert out.datagram[28:] == packet[20:]
    assert (out.tos, len(out.datagram)) == (0xB9, 28 + 13)
    mac = outbound_sa(near).mac
    header = bytes.fromhex("4500003d 00000000 00330000" + ADDRESSES[4])
    covered = header + out.datagram[:12] + bytes(16) + packet[20:]
    assert out.datagram[12:28] == mac.icv(b"", covered)


@pytest.mark.parametrize("native", [True, False])
def test_esp_within_ah_has_numbers_of_its_own(native: bool) -> None:
    """RFC 2401 section 4.3: ESP inside, AH outside."""
    near = up(Shape("both", native=native, esn=True))
    outbound_sa(near).sequence, outbound_sa(near, near.outbound + AROUND).sequence = 4, 9
    (out,) = sent(near, udp(*V4))
    at = 20 if native else 0
    assert out.datagram[at : at + 12].hex() == "32050000000122220000000a"
    assert out.datagram[at + 28 : at + 44].hex() == "0000222200000005" + "0000000000000005"
    assert [(sa.spi, sa.lifetime.packets) for sa in near.roads._outbound._sad] == [(0x2222, 1), (0x12222, 1)]


# --- too big ------------------------------------------------------------------------------------------------------


def whole(parts: list[bytes]) -> bytes:
    """IPv4 fragments put together."""
    views = [ip.parse(part) for part in parts]
    assert [view.fragment_offset for view in views] == [
        sum(view.total_octets - view.header_octets for view in views[:number]) for number in range(len(views))
    ]
    assert [view.more_fragments for view in views] == [True] * (len(views) - 1) + [False]
    return b"".join(part[view.header_octets :] for part, view in zip(parts, views, strict=True))


@pytest.mark.parametrize("protocol", ["esp", "ah", "both"])
def test_a_native_packet_that_may_be_cut_is_cut_after_it_was_protected(protocol: str) -> None:
    near = up(Shape(protocol))
    packet = sized(*V4, 3_000)
    outs = sent(near, packet)
    assert [len(out.datagram) for out in outs][:2] == [1_500, 1_500]
    assert [out.packets() for out in outs] == [[packet], [], []]
    assert {out.datagram[9] for out in outs} == {50 if protocol == "esp" else 51}
    assert len({out.datagram[4:6] for out in outs}) == 1
    assert not any(out.df for out in outs)
    rest = whole([out.datagram for out in outs])
    if protocol == "ah":
        assert rest[28:] == packet[20:]
    assert near.paths["datagrams"] == 3
    assert near.paths["sealed"] == 1


def test_ipv6_packets_that_their_source_had_cut_are_cut_again_behind_the_headers_of_the_way() -> None:
    near = up(Shape("ah", outer=6))
    body = udp(*V6, data=bytes(3_000))[40:]
    options = "000104" + "00" * 4
    first, second = body[:1_600], body[1_600:]
    for offset, piece in ((1, first), (len(first), second)):
        packet = chained(*V6, (0, options), (FRAGMENT, f"00{offset:04x}00000007"), body=piece)
        outs = sent(near, packet)
    parts = [out.datagram for out in outs]
    assert [len(part) for part in parts] == [1_496, 1_496, 8 + 48 + len(body) + 32 - 2 * 1_440]
    views = [ip.parse(part) for part in parts]
    assert [(view.fragment_header, view.fragment_offset, view.more_fragments) for view in views] == [
        (48, 0, True),
        (48, 1_440, True),
        (48, 2_880, False),
    ]
    assert {part[48] for part in parts} == {51}
    assert {part[52:56].hex() for part in parts} == {"00010203"}
    assert b"".join(part[56:] for part in parts)[32:] == body
    assert near.paths["joined"] == 1


def test_headers_that_fill_the_path_leave_no_room_for_fragments() -> None:
    near = up(Shape(outer=6))
    near.roads.handle(m.SetLinkMtu(near.outside.remote, 1_280), 0.0)
    padding = 4 * ("01fe" + "00" * 254) + "01fa" + "00" * 250  # hop-by-hop options of 1,280 octets, as its length says
    for_the_way = (0, "9f" + padding + "0100")
    for offset, more in ((0, 1), (64, 0)):
        piece = chained(*V6, for_the_way, (FRAGMENT, f"00{offset | more:04x}00000007"), body=bytes(64))
        assert sent(near, piece) == []
    assert near.drops == {"too-big": 1}


def test_senders_need_not_know_where_the_policy_clears_df() -> None:
    near = up(Shape("ah"))
    (entry,) = near.roads._outbound._spd.entries
    near.policy(replace(entry, header=m.OuterHeader(df="clear")))
    outs = sent(near, sized(*V4, 3_000, df=True))
    assert [ip.parse(out.datagram).dont_fragment for out in outs] == [False] * 3
    assert [out.df for out in outs] == [False] * 3


@pytest.mark.parametrize("protocol", ["esp", "ah", "both"])
@pytest.mark.parametrize("version", [4, 6])
def test_a_sender_that_can_be_told_what_fits_is_told(version: int, protocol: str) -> None:
    near = up(Shape(protocol, outer=version))
    pair = HOSTS[version]
    (answer,) = only(near.send(sized(*pair, 1_500, df=True)), ToTun)
    fits = int.from_bytes(answer.packet[26:28] if version == 4 else answer.packet[44:48], "big")
    assert parse_error(bytes(answer.packet)).quoted.total_octets == 1_500
    (out,) = sent(near, sized(*pair, fits, df=True))
    assert 1_496 < len(out.datagram) <= 1_500
    assert sent(near, sized(*pair, fits + 1, df=True)) == []
    assert near.drops == {"too-big": 2}


def test_in_udp_the_kernel_cuts_what_may_be_cut() -> None:
    (out,) = sent(up(Shape(native=False)), sized(*V4, 3_000))
    assert len(out.datagram) == 16 + 2_980 + 4 + 16
    assert not out.df


def test_fragments_of_a_host_are_protected_as_one_packet() -> None:
    """RFC 4303 section 3.3.4."""
    near = up(Shape("ah"))
    packet = udp(*V4, data=bytes(100))
    first = ipv4(*V4, UDP, packet[20:84], more=True)
    assert sent(near, first) == []
    (out,) = sent(near, ipv4(*V4, UDP, packet[84:], offset=64))
    assert out.datagram[48:] == packet[20:]
    assert near.paths["joined"] == 1


def test_fragments_that_waited_for_the_sa_are_gathered_too() -> None:
    near = end(Shape("ah"), near=True)
    packet = udp(*V4, data=bytes(100))
    near.send(ipv4(*V4, UDP, packet[20:84], more=True), ipv4(*V4, UDP, packet[84:], offset=64))
    (out,) = only(near.install_outbound(), Out)
    assert out.datagram[48:] == packet[20:]


def test_the_largest_tcp_segment_is_what_fits_in_the_form() -> None:
    (out,) = sent(up(Shape("ah")), syn(*V4, 9_000))
    assert int.from_bytes(out.datagram[70:72], "big") == 1_360  # the TUN device's MTU of 1,400 is less than what fits


# --- drops --------------------------------------------------------------------------------------------------------


def drops_of(near: End, packet: bytes) -> dict[str, int]:
    assert sent(near, packet) == []
    return near.drops


def test_headers_that_ah_cannot_cover_are_named() -> None:
    two_routes = bytes.fromhex("83070401020304" + "89070401020304" + "0000")
    assert drops_of(up(Shape("ah")), ipv4(*V4, UDP, udp(*V4)[20:], options=two_routes)) == {"bad-option": 1}
    unknown_route = chained(*V6, (43, "00050100000000"), body=udp(*V6)[40:])
    assert drops_of(up(Shape("ah", outer=6)), unknown_route) == {"bad-extension-header": 1}


def test_esp_does_not_mind_options_that_ah_cannot_cover() -> None:
    two_routes = bytes.fromhex("83070401020304" + "89070401020304" + "0000")
    assert len(sent(up(Shape()), ipv4(*V4, UDP, udp(*V4)[20:], options=two_routes))) == 1


@pytest.mark.parametrize("spi", [0x2222, 0x2222 + AROUND])
def test_the_numbers_of_either_sa_end_both(spi: int) -> None:
    near = up(Shape("both"))
    outbound_sa(near, spi).sequence = 2**32 - 1
    assert only(near.send(udp(*V4)), m.HardExpired) == [m.HardExpired(0x1111, "packets")]
    assert near.drops == {"sequence-exhausted": 1}
    assert only(near.send(udp(*V4)), m.Acquire) != []


def test_limits_of_the_ah_around_are_told_by_its_own_name() -> None:
    near = end(Shape("both"), near=True)
    limits = m.Limits(soft_packets=2)
    near.install_outbound(
        spi=0x12222, inbound=0x11111, keys=ah_keys(), form=Form(transport=True, outer=True), limits=limits
    )
    near.install_outbound()
    assert only(near.send(udp(*V4), udp(*V4)), m.SoftExpired) == [m.SoftExpired(0x11111, "packets")]


def test_esp_never_goes_without_the_ah_it_belongs_in() -> None:
    near = end(Shape("both"), near=True)
    (done,) = near.install_outbound()
    assert done == m.Done(2, "no SA of AH with inbound SPI 00011111 to be within")
    near = up(Shape("both"))
    assert len(sent(near, udp(*V4))) == 1
    near.roads.handle(m.RemoveOutbound(0x12222, 0x11111), 1.0)
    assert sent(near, udp(*V4)) == []
    assert near.counters().paths["waiting"] == 1


def test_nothing_but_esp_goes_by_the_outer_ah() -> None:
    near = end(Shape("both"), near=True)
    near.send(udp(*V4))
    near.install_outbound(spi=0x12222, inbound=0x11111, keys=ah_keys(), form=Form(transport=True, outer=True))
    assert near.counters().paths["waiting"] == 1
    (out,) = only(near.install_outbound(), Out)
    assert ah.receive(out.datagram).header.next_header == 50


def test_the_header_of_a_tunnel_leaves_those_of_transport_mode_alone() -> None:
    shape = Shape()
    near = up(shape)
    (entry,) = near.roads._outbound._spd.entries
    near.policy(replace(entry, header=m.OuterHeader(46, "set")))
    (out,) = sent(near, udp(*V4, tos=0x0A))
    assert (out.datagram[1], out.tos, out.df) == (0x0A, 0x0A, False)
    assert Counter(near.drops) == Counter()


def test_an_ipv6_packet_of_a_fragment_header_alone_loses_it() -> None:
    """RFC 6946: it is whole."""
    packet = ipv6(*V6, FRAGMENT, bytes.fromhex("1100000000000007") + udp(*V6)[40:])
    (out,) = sent(up(Shape("ah", outer=6)), packet)
    assert out.datagram[72:] == udp(*V6)[40:]
