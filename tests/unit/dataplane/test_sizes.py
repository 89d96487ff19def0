"""What is too large for the tunnel: told to its sender, cut, or sent in outer fragments; and fragments put together."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ipsecd import limits
from ipsecd.dataplane import messages as m
from ipsecd.dataplane.inline import InlineRoads
from ipsecd.dataplane.results import Out, ToTun
from ipsecd.ipsec.fragment import fragments
from ipsecd.wire.icmp import parse_error
from ipsecd.wire.ip import parse
from ipsecd.wire.selector import Selector
from ipsecd.wire.tcp import mss_offset
from tests.unit.dataplane.ends import End, carry, only, protect, tunnel, up
from tests.unit.ipsec.packets import FRAGMENT, UDP, echo, error, ipv4, ipv6, sized, syn, udp
from tests.unit.ipsec.pairs import CBC, fixed_iv

V4 = ("10.1.0.1", "10.2.0.1")
V6 = ("2001:db8:1::1", "2001:db8:2::1")
PEER = ip_address("198.51.100.1")
LARGEST = {4: 1_438, 6: 1_418}  # AES-GCM-16 within 1,500 octets of IPv4 or IPv6


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("ends", [V4, V6])
def test_a_packet_that_just_fits_goes_and_one_octet_more_is_answered(outer: int, ends: tuple[str, str]) -> None:
    near, far = tunnel(outer=outer)
    largest = LARGEST[outer]
    fitting = sized(*ends, largest, df=True)
    (out,) = only(near.send(fitting), Out)
    assert out.df
    assert len(out.datagram) + 8 + {4: 20, 6: 40}[outer] <= 1_500
    assert only(far.receive(out.datagram), ToTun) == [ToTun(fitting)]

    (answer,) = near.send(sized(*ends, largest + 1, df=True))
    assert isinstance(answer, ToTun)
    error = parse_error(answer.packet)
    assert error.mtu == largest
    assert parse(answer.packet).source == ip_address(ends[1])
    assert near.drops == {"too-big": 1}
    assert near.paths["too-big-sent"] == 1


def test_a_learned_path_mtu_counts_and_ages() -> None:
    end = up()
    end.roads.handle(m.SetPathMtu(PEER, 1_300), 100.0)
    (answer,) = end.send(sized(*V4, 1_400, df=True), now=699.0)
    assert parse_error(answer.packet).mtu == 1_238  # type: ignore[union-attr]  # ToTun
    (out,) = end.send(sized(*V4, 1_400, df=True), now=700.0)
    assert isinstance(out, Out)


def test_an_ipv6_packet_of_1280_octets_gets_through_any_path() -> None:
    """RFC 8200 section 5; RFC 2473 section 7.1."""
    near, far = tunnel()
    near.roads.handle(m.SetPathMtu(PEER, 0), 0.0)
    packet = sized(*V6, 1_280)
    (out,) = near.send(packet)
    assert isinstance(out, Out)
    assert not out.df
    assert only(far.receive(out.datagram), ToTun) == [ToTun(packet)]
    (answer,) = near.send(sized(*V6, 1_281))
    assert parse_error(answer.packet).mtu == 1_280  # type: ignore[union-attr]  # ToTun
    (answer,) = near.send(sized(*V4, 1_280, df=True))
    assert parse_error(answer.packet).mtu == 514  # type: ignore[union-attr]  # ToTun


def test_an_ipv4_packet_without_df_is_cut_before_esp() -> None:
    near, far = tunnel()
    outs = only(near.send(sized(*V4, 3_000)), Out)
    assert len(outs) == 3
    pieces = [only(far.receive(out.datagram), ToTun)[0].packet for out in outs]
    views = [parse(piece) for piece in pieces]
    assert [view.fragment_offset for view in views] == [0, 1_416, 2_832]
    assert all(len(piece) <= 1_438 for piece in pieces)
    assert not any(out.df for out in outs)
    assert near.paths["fragmented"] == 1
    assert (near.paths["sealed"], near.paths["datagrams"]) == (1, 3)


def test_a_packet_for_an_sa_with_ports_is_cut_behind_esp() -> None:
    """RFC 4301 section 7: the peer would drop the fragments that show no ports."""
    end = End(near=True)
    end.policy()
    ports = (Selector.net("10.2.0.0/16", 17, (2_000, 2_000)),)
    end.install_outbound(remote=ports)
    end.policy(protect(*zip(end.local, end.remote, strict=True), header=m.OuterHeader(df="set")))
    (out,) = only(end.send(sized(*V4, 3_000)), Out)
    assert not out.df
    assert len(out.datagram) > 3_000


def test_too_big_answers_are_rate_limited_but_the_drops_are_counted() -> None:
    end = up()
    answers = only(end.send(*[sized(*V4, 1_500, df=True)] * 60), ToTun)
    assert len(answers) == limits.TOO_BIG_HOST_BURST == 10
    assert end.drops == {"too-big": 60}


def test_no_error_is_sent_about_an_icmp_error() -> None:
    end = up()
    error = bytearray(echo(*V4, 3, data=bytes(1_480)))
    error[6] |= 0x40  # DF
    assert end.send(bytes(error)) == []
    assert end.drops == {"too-big": 1}


@pytest.mark.parametrize(("ends", "mss"), [(V4, 1_360), (V6, 1_340)])
def test_the_segment_size_of_a_syn_is_lowered_to_what_fits(ends: tuple[str, str], mss: int) -> None:
    """The TUN MTU of 1,400 is the narrower limit here."""
    near, far = tunnel()
    (arrived,) = carry(near, far, syn(*ends, 1_460))
    assert arrived == syn(*ends, mss)
    assert near.paths["mss-clamped"] == 1
    assert carry(near, far, syn(*ends, 536)) == [syn(*ends, 536)]
    assert carry(near, far, syn(*ends, 1_460, flags=0x10)) == [syn(*ends, 1_460, flags=0x10)]


def test_the_segment_size_follows_the_path() -> None:
    near, far = tunnel()
    near.roads.handle(m.SetPathMtu(PEER, 1_300), 0.0)
    (arrived,) = carry(near, far, syn(*V4, 1_460))
    at = mss_offset(parse(arrived), arrived)
    assert at is not None
    assert arrived[at : at + 2] == (1_198).to_bytes(2, "big")


# --- what the kernel says of the link ---------------------------------------------------------------------------


def answered(end: End, packet: bytes) -> int | None:
    """The MTU in the error about a packet that doesn't fit."""
    (result,) = end.send(packet)
    assert isinstance(result, ToTun)
    return parse_error(result.packet).mtu


@pytest.mark.parametrize(
    ("link", "room"), [(1_492, 1_430), (1_460, 1_398), (1_420, 1_358), (1_300, 1_238), (500, 438), (9_000, 8_938)]
)
def test_a_link_of_another_mtu_is_used_to_the_full(link: int, room: int) -> None:
    """Over IPv4: 20, 8, 8 and 8 octets before the packet, 2 and 16 behind it, in words of 4."""
    near, far = tunnel()
    near.roads.handle(m.SetLinkMtu(PEER, link), 0.0)
    fits = sized(*V4, room, df=True)
    (out,) = only(near.send(fits), Out)
    assert len(out.datagram) + 28 <= link
    assert only(far.receive(out.datagram), ToTun) == [ToTun(fits)]
    assert answered(near, sized(*V4, room + 1, df=True)) == room


def test_a_link_that_gets_wider_is_used() -> None:
    end = up()
    end.roads.handle(m.SetLinkMtu(PEER, 1_300), 0.0)
    end.roads.handle(m.SetLinkMtu(PEER, 1_500), 1.0)
    assert isinstance(end.send(sized(*V4, 1_438, df=True))[0], Out)


def test_how_long_an_icmp_error_counts_is_the_same_both_ways() -> None:
    near, far = tunnel()
    near.roads = InlineRoads(fixed_iv, tun_mtu=1_400, pmtu_age=60.0)
    near.policy()
    near.install_inbound()
    near.install_outbound()
    near.roads.handle(m.SetPathMtu(PEER, 1_300), 100.0)
    sizes = []
    for now in (159.0, 160.0):
        (out,) = only(near.send(syn(*V4, 1_460), now=now), Out)
        (back,) = only(far.send(syn(*V4[::-1], 1_460)), Out)
        sizes += [out.packet, *(result.packet for result in only(near.receive(back.datagram, now), ToTun))]
    assert sizes == [syn(*ends, mss) for mss in (1_198, 1_360) for ends in (V4, V4[::-1])]


def test_the_segment_size_follows_the_link_both_ways() -> None:
    near, far = tunnel()
    near.roads.handle(m.SetLinkMtu(PEER, 1_300), 0.0)
    assert carry(near, far, syn(*V4, 1_460)) == [syn(*V4, 1_198)]
    assert carry(far, near, syn(*V4[::-1], 1_460)) == [syn(*V4[::-1], 1_198)]


def test_a_packet_that_the_link_refused_is_answered_at_once() -> None:
    """It was sealed for a link that had become narrower, or was never as wide as it was taken for."""
    end = up()
    (out,) = only(end.send(sized(*V4, 1_438, df=True)), Out)
    end.roads.handle(m.SetLinkMtu(PEER, 1_492), 0.0)
    (answer,) = end.roads.again(out.packet, 0.0)
    assert isinstance(answer, ToTun)
    assert parse_error(answer.packet).mtu == 1_430
    assert end.drops == {"too-big": 1}
    paths = end.paths
    assert paths["from-tun"] + paths["sent-again"] == paths["sealed"] + 1 == 2


def test_a_packet_that_may_be_cut_is_cut_for_the_link_that_refused_it() -> None:
    near, far = tunnel()
    near.policy(protect(*zip(near.local, near.remote, strict=True), header=m.OuterHeader(df="set")))
    packet = sized(*V4, 1_438)
    (out,) = only(near.send(packet), Out)
    assert (out.df, out.packet) == (True, packet)
    near.roads.handle(m.SetLinkMtu(PEER, 1_492), 0.0)
    outs = only(near.roads.again(out.packet, 0.0), Out)
    assert [len(only(far.receive(out.datagram), ToTun)) for out in outs] == [1, 1]


@pytest.mark.parametrize("link", [0, 68, 100, 127, 128])
@pytest.mark.parametrize("ends", [V4, V6])
def test_a_link_too_narrow_for_anything_still_carries_what_every_link_must(link: int, ends: tuple[str, str]) -> None:
    """RFC 791 section 3.2, RFC 8200 section 5: 68 and 1,280 octets, in outer fragments."""
    near, far = tunnel()
    near.roads.handle(m.SetLinkMtu(PEER, link), 0.0)
    smallest = {V4: 68, V6: 1_280}[ends]
    for packet in (sized(*ends, smallest, df=True), syn(*ends, 1_460)):
        (out,) = only(near.send(packet), Out)
        assert not out.df
        assert len(only(far.receive(out.datagram), ToTun)) == 1
    assert answered(near, sized(*ends, smallest + 1, df=True)) == smallest
    near.policy(protect(*zip(near.local, near.remote, strict=True), header=m.OuterHeader(df="set")))
    outs = only(near.send(ipv4(*V4, UDP, bytes(200), options=bytes(40))), Out)
    assert (len(outs), {out.df for out in outs}) == (5, {False})


@pytest.mark.parametrize("ends", [V4, V6])
def test_with_df_clear_what_is_too_large_goes_in_outer_fragments(ends: tuple[str, str]) -> None:
    near, far = tunnel()
    near.policy(protect(*zip(near.local, near.remote, strict=True), header=m.OuterHeader(df="clear")))
    packet = sized(*ends, 1_480, df=True)
    (out,) = near.send(packet)
    assert isinstance(out, Out)
    assert not out.df
    assert only(far.receive(out.datagram), ToTun) == [ToTun(packet)]


# --- fragments where ports decide -------------------------------------------------------------------------------

PORT = (53, 53)


def by_ports() -> tuple[End, End]:
    """A tunnel for UDP to port 53 of the far side alone."""
    near, far = End(near=True), End(near=False)
    local = tuple(Selector(net.start, net.end, UDP) for net in near.local)
    remote = tuple(Selector(net.start, net.end, UDP, PORT) for net in near.remote)
    near.policy(protect(*zip(local, remote, strict=True)))
    far.policy(protect(*zip(remote, local, strict=True)))
    near.install_outbound(local=local, remote=remote)
    far.install_inbound(local=remote, remote=local)
    return near, far


def adds_up(end: End) -> bool:
    """The law of the way out (dataplane/tally.py)."""
    paths, drops = end.paths, sum(end.drops.values())
    gone = paths["sealed"] + paths["waiting"] + paths["held"] + paths["joined"] + drops
    return paths["from-tun"] + paths["sent-again"] == gone


def test_fragments_of_a_packet_that_ports_decide_about_leave_together() -> None:
    """RFC 4301 section 7: the later ones show none, and the peer would refuse them."""
    near, far = by_ports()
    whole = udp(*V4, 4_000, 53, bytes(3_000))
    first, *rest = fragments(whole, parse(whole), 1_400)
    assert near.send(first) == []
    assert near.paths["held"] == 1
    (out,) = near.send(*rest)
    assert isinstance(out, Out)
    assert not out.df
    assert only(far.receive(out.datagram), ToTun) == [ToTun(whole)]
    paths = near.paths
    assert (paths["from-tun"], paths["joined"], paths["sealed"], paths["held"]) == (3, 2, 1, 0)
    assert near.drops == {}
    assert adds_up(near)


@pytest.mark.parametrize("chain", ["", "3c00000000000000"])
def test_those_of_ipv6_are_cut_again_where_they_leave_the_tunnel(chain: str) -> None:
    """No router does it (RFC 8200 section 5). With ``chain`` only the first fragment shows that this is UDP."""
    near, far = by_ports()
    datagram = udp(*V6, 4_000, 53, bytes(3_000))[40:]
    kind, body = (60, bytes.fromhex("1100010400000000") + datagram) if chain else (UDP, datagram)
    whole = ipv6(*V6, FRAGMENT, bytes([kind]) + bytes.fromhex("000000cafef00d") + body)
    pieces = fragments(whole, parse(whole), 1_430)
    assert len(pieces) == 3
    (out,) = near.send(*pieces)
    assert isinstance(out, Out)
    assert not out.df
    arrived = [result.packet for result in only(far.receive(out.datagram), ToTun)]
    assert arrived == fragments(whole, parse(whole), 1_280)
    assert far.paths["to-tun"] == far.paths["cut-again"] == 1
    assert adds_up(near)


def test_fragments_of_which_only_the_first_shows_the_protocol_are_joined_whatever_it_is() -> None:
    near, far = tunnel()
    echoes = ((Selector.net("2001:db8:1::/48"), Selector.net("2001:db8:2::/48", UDP, (7, 7))),)
    near.policy(m.SpdEntry("echo", "r", "discard", echoes), protect(*zip(near.local, near.remote, strict=True)))
    body = bytes.fromhex("3200010400000000") + bytes(3_000)  # ESP behind destination options
    whole = ipv6(*V6, FRAGMENT, bytes.fromhex("3c000000cafef00d") + body)
    arrived = [packet for piece in fragments(whole, parse(whole), 1_400) for packet in carry(near, far, piece)]
    assert arrived == fragments(whole, parse(whole), 1_280)
    assert near.paths["held"] == 0


def test_where_ports_do_not_decide_fragments_go_one_by_one() -> None:
    near, far = tunnel()
    whole = udp(*V4, 4_000, 53, bytes(3_000))
    for piece in fragments(whole, parse(whole), 1_400):
        assert carry(near, far, piece) == [piece]
    whole = ipv6(*V6, FRAGMENT, bytes.fromhex("11000000cafef00d") + bytes(3_000))
    for piece in fragments(whole, parse(whole), 1_400):
        assert carry(near, far, piece) == [piece]
    assert near.paths["joined"] == 0


def test_a_large_packet_is_not_cut_inside_where_the_peers_ports_may_decide() -> None:
    """Its policy is the mirror of ours, though this SA takes fragments."""
    near, far = tunnel()
    web = m.SpdEntry("web", "r", "discard", ((Selector.net("10.1.0.0/16"), Selector.net("10.2.0.0/16", UDP, (7, 7))),))
    near.policy(web, protect(*zip(near.local, near.remote, strict=True)))
    packet = udp(*V4, data=bytes(3_000))
    assert carry(near, far, packet) == [packet]
    assert near.paths["fragmented"] == 0


def test_fragments_that_stay_alone_are_dropped_after_a_while() -> None:
    near, _ = by_ports()
    whole = udp(*V4, 4_000, 53, bytes(3_000))
    first, _, last = fragments(whole, parse(whole), 1_400)
    near.send(first, last, now=100.0)
    assert near.roads.deadline() == 105.0
    assert near.roads.timer(104.0) == []
    assert near.paths["held"] == 2
    assert near.roads.timer(105.0) == []
    assert near.drops == {"fragment-late": 2}
    assert near.roads.deadline() is None
    assert adds_up(near)


def test_fragments_that_overlap_are_dropped() -> None:
    near, _ = by_ports()
    packets = [ipv4(*V4, UDP, bytes(800), offset=at, more=True) for at in (0, 800, 792)]
    near.send(*packets)
    assert near.drops == {"fragment-mismatch": 3}
    assert adds_up(near)


def test_a_packet_that_is_whole_only_now_waits_for_its_sa_as_one() -> None:
    near, _ = by_ports()
    near.roads.handle(m.RemoveOutbound(near.outbound, near.inbound), 0.0)
    whole = udp(*V4, 4_000, 53, bytes(3_000))
    (acquire,) = near.send(*fragments(whole, parse(whole), 1_400))
    assert acquire == m.Acquire("child", ip_address(V4[0]), ip_address(V4[1]), UDP, 4_000, 53)
    assert (near.paths["waiting"], near.paths["joined"]) == (1, 2)
    assert adds_up(near)


def test_what_is_too_large_for_any_datagram_is_answered() -> None:
    near, _ = by_ports()
    (answer,) = near.send(udp(*V4, 4_000, 53, bytes(65_500)))
    assert isinstance(answer, ToTun)
    assert parse_error(answer.packet).mtu == 65_470
    (out,) = near.send(udp(*V4, 4_000, 53, bytes(65_470 - 28)))
    assert isinstance(out, Out)
    assert len(out.datagram) <= 65_507
    assert near.drops == {"too-big": 1}


def test_an_icmp_error_that_goes_by_what_it_quotes_is_not_cut_inside() -> None:
    """Its pieces quote nothing, and their own addresses are outside the SA's selectors (RFC 4301 section 6.2)."""
    near, far = tunnel()
    near.roads.handle(m.SetPathMtu(PEER, 576), 0.0)
    about = udp(*V4[::-1], data=bytes(500))
    packet = error("172.16.0.1", about)
    assert len(packet) > 514
    assert carry(near, far, packet) == [packet]
    assert far.drops == {}


def test_an_icmp_error_between_the_nets_is_cut_as_anything_else() -> None:
    near, far = tunnel()
    near.roads.handle(m.SetPathMtu(PEER, 576), 0.0)
    packet = error("10.1.0.9", udp(*V4[::-1], data=bytes(500)))
    assert len(carry(near, far, packet)) == 2
    assert far.drops == {}


def test_the_largest_packet_of_a_block_cipher_fits_too() -> None:
    near, _ = tunnel(suite=CBC)
    near.roads.handle(m.SetLinkMtu(PEER, 1_492), 0.0)
    (answer,) = near.send(sized(*V4, 1_438, df=True))
    assert isinstance(answer, ToTun)
    room = parse_error(answer.packet).mtu
    assert room is not None
    (out,) = only(near.send(sized(*V4, room, df=True)), Out)
    assert len(out.datagram) + 28 <= 1_492
