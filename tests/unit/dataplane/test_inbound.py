"""The way in, step by step."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd.dataplane import messages as m
from ipsecd.dataplane.results import Out, ToTun
from ipsecd.wire.selector import Selector
from tests.unit.dataplane.ends import End, authentic, carry, only, protect, tunnel
from tests.unit.ipsec.packets import UDP, error, ipv4, sized, syn, udp

V4 = ("10.1.0.1", "10.2.0.1")
V6 = ("2001:db8:1::1", "2001:db8:2::1")
PEER = (ip_address("192.0.2.1"), 4500)


def datagram(near: End, packet: bytes = udp(*V4)) -> bytes:
    (out,) = only(near.send(packet), Out)
    return out.datagram


# --- classify ---------------------------------------------------------------------------------------------------


def test_a_keepalive_is_counted_and_that_is_all() -> None:
    _, far = tunnel()
    assert far.receive(b"\xff") == []
    assert far.paths["keepalive"] == 1
    assert far.drops == {}


def test_an_ike_message_goes_to_the_control_side_without_its_marker() -> None:
    _, far = tunnel()
    here = ip_address("198.51.100.1")
    assert far.receive(bytes(4) + b"ike") == [m.IkeDatagram(b"ike", here, 4500, *PEER, True)]
    outside = m.Outside(here, 500, PEER[0], 500)
    on_500 = far.roads._inbound.carry(b"\x00\x00\x00\x00ike", outside, 0, 0.0, natt=False)
    assert on_500 == [m.IkeDatagram(b"\x00\x00\x00\x00ike", here, 500, PEER[0], 500, False)]
    assert far.paths["ike"] == 2


@pytest.mark.parametrize(
    "octets", [b"", b"\x00", b"\xfe", bytes(4), b"\xff\xff\xff\xff", b"\x00\x00\x22\x22\x00\x00\x00"]
)
def test_a_datagram_too_short_for_anything_is_a_runt(octets: bytes) -> None:
    _, far = tunnel()
    assert far.receive(octets) == []
    assert far.drops == {"runt": 1}


def test_a_datagram_from_port_0_is_nothing_that_anybody_follows() -> None:
    """The port stands for packets without UDP: an IKE SA that followed it would send its ESP so."""
    near, far = tunnel()
    sealed = datagram(near)
    nowhere = replace(far.outside, remote_port=0)
    for octets, natt in ((bytes(4) + b"ike", True), (b"ike", False), (sealed, True)):
        assert far.roads._inbound.carry(octets, nowhere, 0, 0.0, natt=natt) == []
    assert far.drops == {"no-source-port": 3}
    assert [bytes(each.packet) for each in only(far.receive(sealed), ToTun)] == [udp(*V4)]


# --- find, open -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spi", [1, 255, 256, 0x2221, 0xFFFFFFFF])
def test_an_spi_of_nobody_is_dropped(spi: int) -> None:
    _, far = tunnel()
    assert far.receive(spi.to_bytes(4, "big") + bytes(60)) == []
    assert far.drops == {"unknown-spi": 1}


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("ends", [V4, V6])
def test_a_packet_comes_out_as_it_went_in(outer: int, ends: tuple[str, str]) -> None:
    near, far = tunnel(outer=outer)
    for octets in (48, 49, 100, 1_400):
        packet = sized(*ends, octets)
        assert carry(near, far, packet) == [packet]
    assert far.paths["to-tun"] == 4
    assert far.drops == {}


def test_replayed_old_and_forged_packets_are_dropped_by_name() -> None:
    near, far = tunnel()
    first = datagram(near)
    assert len(only(far.receive(first), ToTun)) == 1
    assert far.receive(first) == []
    assert far.receive(first[:-1] + bytes([first[-1] ^ 1])) == []  # its number was seen: the ICV isn't even computed
    fresh = datagram(near)
    assert far.receive(fresh[:-1] + bytes([fresh[-1] ^ 1])) == []
    assert len(only(far.receive(fresh), ToTun)) == 1
    (sa,) = near.roads._outbound._sad
    sa.sequence = 5_000
    assert len(only(far.receive(datagram(near)), ToTun)) == 1
    sa.sequence = 2
    assert far.receive(datagram(near)) == []
    assert far.drops == {"replayed": 2, "bad-icv": 1, "behind-window": 1}


# --- note -------------------------------------------------------------------------------------------------------


def test_the_first_good_packet_is_reported_and_authentic_traffic_once_a_second() -> None:
    near, far = tunnel()
    first, *rest = (
        far.receive(datagram(near), 10.0),
        far.receive(datagram(near), 10.5),
        far.receive(datagram(near), 11.0),
    )
    assert first[:2] == [m.InboundUsed(far.inbound), m.PeerAlive((far.inbound,))]
    assert [[type(result) for result in results] for results in rest] == [[ToTun], [m.PeerAlive, ToTun]]


def test_traffic_at_the_end_of_a_second_is_reported_by_the_timer() -> None:
    near, far = tunnel()
    far.receive(datagram(near), 10.0)
    assert far.roads.deadline() is None
    far.receive(datagram(near), 10.5)
    assert far.roads.deadline() == 11.0
    assert far.roads.timer(10.9) == []
    assert far.roads.timer(11.0) == [m.PeerAlive((far.inbound,))]
    assert far.roads.timer(12.0) == []


def test_a_removed_sa_is_not_reported_alive() -> None:
    near, far = tunnel()
    far.receive(datagram(near), 10.0)
    far.receive(datagram(near), 10.5)
    far.roads.handle(m.RemoveInbound(far.inbound), 10.6)
    assert far.roads.timer(11.0) == []
    assert far.receive(datagram(near), 11.0) == []
    assert far.drops == {"unknown-spi": 1}


def test_forgeries_say_nothing_about_the_peer() -> None:
    near, far = tunnel()
    forged = datagram(near)[:-1] + b"\x00"
    assert far.receive(forged, source=(ip_address("203.0.113.66"), 666)) == []
    assert far.roads.deadline() is None


ELSEWHERE = (ip_address("203.0.113.9"), 61_000)
MOVED = m.Outside(ip_address("198.51.100.1"), 4500, *ELSEWHERE)


def test_a_peer_that_sends_from_elsewhere_has_moved_and_that_is_reported_once() -> None:
    """RFC 7296 section 2.23."""
    near, far = tunnel()
    far.receive(datagram(near), 10.0)
    one, two = far.receive(datagram(near), 10.1, source=ELSEWHERE), far.receive(datagram(near), 10.2, source=ELSEWHERE)
    assert only(one, m.PeerMoved) == [m.PeerMoved(far.inbound, MOVED)]
    assert only(two, m.PeerMoved) == []
    assert len(only(two, ToTun)) == 1


def test_only_an_authentic_packet_with_the_highest_number_so_far_moves_the_peer() -> None:
    near, far = tunnel()
    late, newer = datagram(near), datagram(near)
    far.receive(newer, 10.0)
    assert only(far.receive(late, 10.1, source=ELSEWHERE), m.PeerMoved) == []
    forged = datagram(near)[:-1] + b"\x00"
    assert far.receive(forged, 10.2, source=ELSEWHERE) == []
    assert far.receive(newer, 10.3, source=ELSEWHERE) == []


def test_a_peer_that_comes_back_and_leaves_again_is_reported_again() -> None:
    near, far = tunnel()
    home = far.receive(datagram(near), 10.0)
    away, back = far.receive(datagram(near), 10.1, source=ELSEWHERE), far.receive(datagram(near), 10.2)
    again = far.receive(datagram(near), 10.3, source=ELSEWHERE)
    assert [len(only(results, m.PeerMoved)) for results in (home, away, back, again)] == [0, 1, 0, 1]


def test_once_the_path_has_moved_the_new_place_is_home() -> None:
    near, far = tunnel()
    far.receive(datagram(near), 10.0, source=ELSEWHERE)
    far.roads.handle(m.MovePath((far.inbound, 99), MOVED), 10.1)
    assert only(far.receive(datagram(near), 10.2, source=ELSEWHERE), m.PeerMoved) == []
    assert len(only(far.receive(datagram(near), 10.3), m.PeerMoved)) == 1


def test_limits_of_inbound_sas_are_kept() -> None:
    near, far = tunnel()
    far.roads.handle(m.RemoveInbound(far.inbound), 0.0)
    far.install_inbound(limits=m.Limits(soft_packets=1, hard_octets=100, hard_seconds=50.0))
    types = [[type(result) for result in far.receive(datagram(near), 10.0 + step / 8)] for step in range(4)]
    assert types == [
        [m.SoftExpired, m.InboundUsed, m.PeerAlive, ToTun],
        [ToTun],
        [m.HardExpired, ToTun],  # three times 36 octets
        [],
    ]
    assert far.drops == {"sa-expired": 1}
    assert far.roads.timer(50.0) == [m.PeerAlive((far.inbound,))]


def test_time_alone_ends_an_inbound_sa() -> None:
    near, far = tunnel()
    far.roads.handle(m.RemoveInbound(far.inbound), 0.0)
    far.install_inbound(limits=m.Limits(soft_seconds=40.0, hard_seconds=50.0))
    assert far.roads.deadline() == 40.0
    assert far.roads.timer(40.0) == [m.SoftExpired(far.inbound, "seconds")]
    assert far.roads.deadline() == 50.0
    assert far.receive(datagram(near), 50.0) == [m.HardExpired(far.inbound, "seconds")]
    assert far.drops == {"sa-expired": 1}


# --- unwrap, mark -----------------------------------------------------------------------------------------------


def test_dummies_are_dropped_but_show_that_the_peer_lives() -> None:
    near, far = tunnel()
    results = far.receive(authentic(near, 59, b"anything at all"))
    assert results == [m.InboundUsed(far.inbound), m.PeerAlive((far.inbound,))]
    assert far.drops == {"dummy": 1}


@pytest.mark.parametrize(
    ("next_header", "payload", "reason"),
    [
        (17, udp(*V4), "not-tunnel-mode"),
        (4, udp(*V6), "inner-version"),
        (4, udp(*V4)[:-1], "malformed-inner"),
        (41, udp(*V6)[:-1], "malformed-inner"),
    ],
)
def test_what_is_no_packet_inside_is_dropped(next_header: int, payload: bytes, reason: str) -> None:
    near, far = tunnel()
    assert only(far.receive(authentic(near, next_header, payload)), ToTun) == []
    assert far.drops == {reason: 1}


def test_wrong_padding_is_dropped() -> None:
    near, far = tunnel()
    (sa,) = near.roads._outbound._sad
    header = bytes.fromhex("0000222200000001")
    wrong = header + sa.cipher.seal(header, b"", bytes(8), udp(*V4) + b"\x09\x02\x04")
    assert far.receive(wrong) == []
    assert far.drops == {"bad-padding": 1}


@pytest.mark.parametrize("ends", [V4, V6])
@pytest.mark.parametrize(
    ("inner", "outer", "arrives", "paths"),
    [
        (0xB8 | 2, 3, 0xB8 | 3, {}),
        (0xB8 | 2, 0, 0xB8 | 2, {}),
        (0xB8, 2, 0xB8, {"ecn-dangerous": 1}),
        (0xB8 | 1, 2, 0xB8 | 1, {"ecn-odd": 1}),
    ],
)
def test_congestion_on_the_way_is_carried_inside(
    ends: tuple[str, str], inner: int, outer: int, arrives: int, paths: dict[str, int]
) -> None:
    near, far = tunnel()
    results = far.receive(datagram(near, udp(*ends, tos=inner)), tos=outer)
    assert only(results, ToTun) == [ToTun(udp(*ends, tos=arrives))]
    counted = {name: count for name, count in far.paths.items() if name.startswith("ecn") and count}
    assert counted == paths


def test_congestion_that_a_transport_does_not_understand_is_a_loss() -> None:
    near, far = tunnel()
    assert only(far.receive(datagram(near), tos=3), ToTun) == []
    assert far.drops == {"ecn-ce-on-not-ect": 1}


# --- select, decide ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "packet",
    [
        udp("10.9.0.1", "10.2.0.1"),  # source outside
        udp("10.2.0.9", "10.2.0.1"),  # an address behind ourselves as source
        udp("10.1.0.1", "10.9.0.1"),  # destination outside
        udp("10.2.0.1", "10.1.0.1"),  # the wrong way round
        udp("2001:db8:9::1", "2001:db8:2::1"),
        udp("2001:db8:1::1", "2001:db8:1::2"),
    ],
)
def test_a_valid_packet_outside_its_sas_selectors_is_dropped_and_counted(packet: bytes) -> None:
    near, far = tunnel()
    next_header = 4 if packet[0] >> 4 == 4 else 41
    assert only(far.receive(authentic(near, next_header, packet)), ToTun) == []
    assert far.drops == {"outside-selectors": 1}


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (
            m.SpdEntry("x", "r", "discard", ((Selector.net("10.2.0.0/16"), Selector.net("10.1.0.0/16")),)),
            "policy-discard",
        ),
        (
            m.SpdEntry("x", "r", "bypass", ((Selector.net("10.2.0.0/16"), Selector.net("10.1.0.0/16")),), "child"),
            "policy-mismatch",
        ),
        (protect((Selector.net("10.2.0.0/16"), Selector.net("10.1.0.0/16")), child="other"), "policy-mismatch"),
        (protect((Selector.net("10.3.0.0/16"), Selector.net("10.1.0.0/16"))), "no-policy"),
    ],
)
def test_the_spd_has_the_last_word_after_decryption(entry: m.SpdEntry, reason: str) -> None:
    near, far = tunnel()
    far.policy(entry)
    assert only(far.receive(datagram(near)), ToTun) == []
    assert far.drops == {reason: 1}


def test_what_comes_back_by_the_sa_of_one_direction_passes_within_its_selectors() -> None:
    """RFC 4301 section 5.2: the SPD asks for no protection of the way back, but what comes by the SA is accepted."""
    near, far = tunnel()
    pair = (Selector.net("10.2.0.0/16"), Selector.net("10.1.0.0/16"))
    one_way = replace(protect(pair), inbound=False)
    far.policy(one_way, m.SpdEntry("x", "r", "bypass", (pair,)))
    assert len(only(far.receive(datagram(near)), ToTun)) == 1
    assert far.counters().entries == {"all": 1}
    assert only(far.receive(authentic(near, 4, udp("10.9.0.1", "10.2.0.1"))), ToTun) == []
    far.policy(replace(one_way, child="other"))
    assert only(far.receive(datagram(near)), ToTun) == []
    assert far.drops == {"outside-selectors": 1, "no-policy": 1}


def test_an_error_about_what_left_by_the_sa_of_one_direction_comes_back_by_it() -> None:
    """From a router beyond the peer, which isn't within the selectors: what it quotes is (RFC 4301 section 6.2)."""
    near, far = tunnel()
    far.policy(replace(protect((Selector.net("10.2.0.0/16"), Selector.net("10.1.0.0/16"))), inbound=False))
    unreachable = error("10.9.0.1", udp("10.2.0.1", "10.1.0.1"))
    assert only(far.receive(authentic(near, 4, unreachable)), ToTun) == [ToTun(unreachable)]


def test_fragments_pass_where_ports_do_not_matter_and_nowhere_else() -> None:
    """RFC 4301 sections 5.2 and 7."""
    near, far = tunnel()
    fragment = ipv4(*V4, UDP, bytes(64), offset=128)
    assert only(far.receive(authentic(near, 4, fragment)), ToTun) == [ToTun(fragment)]
    far.roads.handle(m.RemoveInbound(far.inbound), 0.0)
    far.install_inbound(remote=(Selector.net("10.1.0.0/16", UDP, (1_000, 1_000)),))
    near.roads.handle(m.RemoveOutbound(near.outbound, near.inbound), 0.0)
    near.install_outbound()
    assert only(far.receive(authentic(near, 4, fragment)), ToTun) == []
    assert far.drops == {"outside-selectors": 1}
    assert len(only(far.receive(datagram(near)), ToTun)) == 1


# --- deliver ----------------------------------------------------------------------------------------------------


def test_the_segment_size_of_an_arriving_syn_is_lowered_too() -> None:
    near, far = tunnel()
    far.roads.handle(m.SetPathMtu(ip_address("192.0.2.1"), 1_300), 0.0)
    wide = authentic(near, 4, syn(*V4, 1_460))
    assert only(far.receive(wide), ToTun) == [ToTun(syn(*V4, 1_198))]
    assert far.paths["mss-clamped"] == 1


def test_what_an_sa_has_received_can_be_asked_for() -> None:
    near, far = tunnel()
    (sa,) = near.roads._outbound._sad
    sa.sequence = 41
    far.receive(datagram(near), 5.5)
    received = [counter for counter in far.counters().sas if counter.direction == "in"]
    assert received == [m.SaCounters(far.inbound, far.inbound, "in", 1, 36, 42, 5.5, 0)]
    assert far.counters().entries == {"all": 1}
