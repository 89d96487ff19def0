"""Each road in a process of its own, turn by turn: packets, and what the kernel says of their paths."""

from __future__ import annotations

import errno
import select
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Any
from unittest.mock import patch

import pytest

from ipsecd import limits
from ipsecd.dataplane import codec
from ipsecd.dataplane import messages as m
from ipsecd.dataplane.results import Out
from ipsecd.io.many_in import ManyIn
from ipsecd.io.udp_errors import PathError
from ipsecd.wire.udpencap import NON_ESP_MARKER
from tests.unit.dataplane.apart import (
    INBOUND,
    NATIVE,
    NEAR,
    OUTBOUND,
    PEER,
    PORT,
    SPD,
    TOLD,
    V4,
    Device,
    World,
    from_far,
    opened,
)
from tests.unit.dataplane.ends import FAR_NETS, NEAR_NETS, only
from tests.unit.ipsec.packets import sized, udp
from tests.unit.ipsec.pairs import keys

# --- packets ----------------------------------------------------------------------------------------------------


def test_packets_leave_by_the_socket_and_are_counted_once(out: World) -> None:
    packets = [udp(*V4, data=bytes([number])) for number in range(5)]
    assert out.tell(SPD, OUTBOUND) == [m.Done(1), m.Done(2)]
    out.carry(*packets)
    assert opened(out.socket.sent) == packets
    counters = out.counters()
    assert (counters.paths["from-tun"], counters.paths["sealed"], counters.entries) == (5, 5, {"all": 5})
    assert [(sa.direction, sa.packets) for sa in counters.sas] == [("out", 5)]


def test_packets_wait_in_the_kernel_until_there_is_a_policy(out: World) -> None:
    """After another process has died, they'd all be dropped between the start and the first message."""
    out.tun.route(udp(*V4))
    out.tell(m.Probe())
    assert not out.watches(out.tun.fileno())
    out.tell(SPD, OUTBOUND, m.SetSpd(2, SPD.entries))
    out.turn(out.tun.fileno())
    assert opened(out.socket.sent) == [udp(*V4)]
    assert out.drops() == {}


def test_a_device_that_comes_before_the_policy_is_read_with_it(out: World) -> None:
    old, new = out.tun, Device()
    assert out.control.send(codec.encode(m.NewTun()), [new.fileno()])
    assert out.tell(m.Probe()) == [m.Done(1)]
    known = out.process._turns.keys()
    before = len(known)
    out.tell(SPD)
    assert len(known) == before + 1
    old.kernel.close()
    out.tun = new


def test_a_packet_that_needs_an_sa_is_told_and_leaves_when_there_is_one(out: World) -> None:
    out.tell(SPD)
    out.carry(udp(*V4))
    assert out.heard() == [m.Acquire("child", ip_address(V4[0]), ip_address(V4[1]), 17, 1_000, 2_000)]
    assert out.tell(OUTBOUND) == [m.Done(2)]
    assert opened(out.socket.sent) == [udp(*V4)]


def test_packets_arrive_at_the_device_and_are_counted_once(into: World) -> None:
    packets = [udp(*V4[::-1], data=bytes([number])) for number in range(5)]
    into.tell(SPD, INBOUND)
    datagrams = from_far(*packets)
    assert into.receive(*datagrams, *datagrams[:1]) == packets
    assert into.heard()[0] == m.InboundUsed(0x1111)
    counters = into.counters()
    assert (counters.paths["from-udp"], counters.paths["to-tun"], +Counter(counters.drops)) == (6, 5, {"replayed": 1})


def test_an_ike_message_goes_to_the_control_process_without_its_marker(into: World) -> None:
    assert into.receive(NON_ESP_MARKER + b"ike" * 20) == []
    assert into.heard() == [m.IkeDatagram(b"ike" * 20, NEAR.local, PORT, PEER, PORT, True)]


def test_a_bounded_number_of_packets_is_taken_in_one_turn(out: World, into: World) -> None:
    out.tell(SPD, OUTBOUND)
    out.carry(*[udp(*V4)] * (limits.BURST + 1))
    assert out.counters().paths["from-tun"] == limits.BURST
    into.receive(*[b"\xff"] * (limits.BURST + 1))
    assert len(into.socket.arrived) == 1


@pytest.mark.parametrize("road", ["out", "in"])
def test_a_bug_in_one_packet_costs_only_that_one(road: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(road)
    world.tell(SPD, OUTBOUND if road == "out" else INBOUND)
    carry, calls = world.process._road.carry_read, iter([True, False, True])  # type: ignore[attr-defined]  # both have one

    def broken(*given: Any, **named: Any) -> Any:
        if not next(calls):
            raise ZeroDivisionError
        return carry(*given, **named)

    monkeypatch.setattr(world.process._road, "carry_read", broken)  # type: ignore[attr-defined]
    packets = [udp(*(V4 if road == "out" else V4[::-1]), data=bytes([number])) for number in range(3)]
    if road == "out":
        world.carry(*packets)
        world.carry()  # what still waits has its turn then
        arrived, what = opened(world.socket.sent), "packets from the TUN"
    else:
        arrived, what = world.receive(*from_far(*packets)) + world.receive(), "datagrams"
    assert arrived == packets[::2]
    (fault,) = only(world.heard(), m.Fault)  # type: ignore[arg-type]  # messages are no results
    assert (fault.what, fault.error) == (what, "ZeroDivisionError()")
    world.close()


def test_the_road_in_has_nothing_to_send(into: World) -> None:
    into.process.guarded("a test", into.process.common, Out(b"", NEAR, 0, False, b""))
    (fault,) = into.heard()
    assert isinstance(fault, m.Fault)
    assert "sends nothing" in fault.error


def test_what_there_is_no_socket_for_is_counted(out: World) -> None:
    six = m.Outside(ip_address("2001:db8::1"), PORT, ip_address("2001:db8::2"), PORT)
    out.tell(SPD, m.InstallOutbound(0x2222, 0x1111, "child", keys(), NEAR_NETS, FAR_NETS, six, m.Limits()))
    out.carry(udp(*V4))
    assert out.drops() == {"send-no-socket": 1}


# --- what the kernel says of a path -------------------------------------------------------------------------------


def test_what_is_too_big_for_the_link_goes_again_smaller_and_is_told(out: World) -> None:
    out.tell(SPD, OUTBOUND)
    out.socket.link = 1_300
    packet = sized(*V4, 1_380)
    out.carry(packet)
    assert out.heard() == [m.Heard(PORT, errno.EMSGSIZE, False, PEER, PORT, 1_300, b"")]
    assert len(out.socket.sent) == 2
    assert all(28 + len(datagram) <= 1_300 for datagram in out.socket.sent)
    inner = opened(out.socket.sent)
    assert inner[0][20:] + inner[1][20:] == packet[20:]
    out.carry(packet)
    assert len(out.socket.sent) == 4
    assert out.socket.drops == {"send-too-big": 1}
    assert out.heard() == []


def test_a_run_that_is_too_big_for_the_link_goes_again_smaller(out: World) -> None:
    out.tell(SPD, OUTBOUND)
    out.socket.link = 1_300
    out.carry(*[sized(*V4, 1_380)] * 4)
    assert len(out.socket.sent) == 8
    assert out.heard() == [m.Heard(PORT, errno.EMSGSIZE, False, PEER, PORT, 1_300, b"")]
    assert out.socket.drops == {"send-too-big": 1}


def test_who_sends_what_is_too_big_and_may_not_be_cut_is_told(out: World) -> None:
    out.tell(SPD, OUTBOUND)
    out.socket.link = 1_300
    out.carry(sized(*V4, 1_380, df=True))
    assert out.socket.sent == []
    (too_big,) = out.tun.written()
    assert (too_big[9], too_big[20:22]) == (1, b"\x03\x04")  # ICMP, fragmentation needed
    assert m.Heard(PORT, errno.EMSGSIZE, False, PEER, PORT, 1_300, b"") in out.heard()


def test_errors_of_a_socket_are_told(either: World) -> None:
    either.socket.told = [TOLD, TOLD]
    either.turn(either.socket.fileno(), select.POLLERR)
    assert either.heard() == [m.Heard(PORT, errno.ECONNREFUSED, True, PEER, PORT, 0, b"\x00\x00\x22\x22")] * 2


def test_errors_are_counted_with_what_else_a_socket_tells(either: World) -> None:
    either.socket.heard["error-read"] += 2
    either.socket.drops["receive-truncated"] += 1
    either.tun.drops["tun-full"] += 4
    counters = either.counters()
    assert counters.paths["error-read"] == 2
    assert +Counter(counters.drops) == {"receive-truncated": 1, "tun-full": 4}


# --- without UDP --------------------------------------------------------------------------------------------------


def test_a_native_packet_leaves_by_the_raw_socket_whole(out: World) -> None:
    out.tell(SPD, replace(OUTBOUND, outside=NATIVE))
    out.carry(udp(*V4), udp(*V4))
    assert out.socket.sent == []
    assert [(sent[0][:1], sent[0][9], *sent[1:]) for sent in out.raw.sent] == [(b"\x45", 50, NEAR.local, PEER)] * 2
    assert [bytes(sent[0][20:24]) for sent in out.raw.sent] == [b"\0\0\x22\x22"] * 2
    assert out.drops() == {}


def test_a_native_packet_that_is_too_big_for_the_link_goes_again_smaller(out: World) -> None:
    out.tell(SPD, replace(OUTBOUND, outside=NATIVE))
    out.raw.link = 1_000
    out.carry(sized(*V4, 1_200))
    assert [len(sent[0]) <= 1_000 for sent in out.raw.sent] == [True, True]
    assert out.heard() == [m.Heard(0, errno.EMSGSIZE, False, PEER, 0, 1_000, b"")]
    assert out.drops() == {"send-too-big": 1}
    out.carry(sized(*V4, 900))
    assert len(out.raw.sent) == 3


def test_native_packets_arrive_at_the_device_from_the_addresses_in_their_header(into: World) -> None:
    into.tell(SPD, replace(INBOUND, outside=NATIVE))
    esp = from_far(udp(*V4[::-1]), udp(*V4[::-1]))
    into.raw.arrived.extend(native(datagram) for datagram in esp)
    into.turn(into.raw.fileno())
    assert into.tun.written() == [udp(*V4[::-1])] * 2
    assert [type(each) for each in into.heard()] == [m.InboundUsed, m.PeerAlive]  # nobody has moved
    assert into.drops() == {}


def test_a_bounded_number_of_native_packets_is_taken_in_one_turn(into: World) -> None:
    into.raw.arrived.extend(native(bytes(40)) for _ in range(limits.BURST + 1))
    into.turn(into.raw.fileno())
    assert len(into.raw.arrived) == 1
    into.raw.arrived.extend(native(bytes(60_000)) for _ in range(10))
    into.turn(into.raw.fileno())
    assert len(into.raw.arrived) == 5


def test_native_packets_with_esp_are_opened_together(into: World) -> None:
    into.tell(SPD, replace(INBOUND, outside=NATIVE))
    packets = [udp(*V4[::-1], data=bytes([number])) for number in range(9)]
    first, *rest = [native(datagram) for datagram in from_far(*packets)]
    opened_together(into, first, rest, packets)


def test_all_that_the_peer_sends_of_one_read_is_opened_together(into: World) -> None:
    """Which is more than a datagram takes."""
    into.tell(SPD, replace(INBOUND, outside=NATIVE))
    packets = [udp(*V4[::-1], data=bytes([number]) * 1_350) for number in range(51)]
    first, *rest = [native(datagram) for datagram in from_far(*packets)]
    assert sum(map(len, rest)) > 70_000
    opened_together(into, first, rest, packets)


def opened_together(into: World, first: bytes, rest: Sequence[bytes], packets: Sequence[bytes]) -> None:
    """One native packet, and then the rest in one read, which is one run."""
    for some in ([first], rest):
        into.esp.send(*some)
        into.turn(into.esp.fileno())
    assert into.tun.written() == packets
    into.heard()
    counters = into.counters()
    assert (counters.paths["runs-in"], counters.paths["from-native"]) == (1, len(packets))


def test_native_packets_that_wait_nowhere_else_are_taken_in_the_same_turn(into: World) -> None:
    """Those that were read at once, and are more than a turn takes."""
    into.esp.send(*[native(bytes(21_000 + number)) for number in range(14)])
    into.turn(into.esp.fileno())
    assert into.counters().paths["from-native"] == 14


def test_a_turn_ends_when_all_native_packets_have_been_read(into: World) -> None:
    into.esp.send(native(bytes(40)))
    with patch.object(ManyIn, "read", autospec=True, side_effect=ManyIn.read) as read:
        into.turn(into.esp.fileno())
    assert read.call_count == 1
    assert into.counters().paths["from-native"] == 1


def native(body: bytes) -> bytes:
    """As it arrives without UDP."""
    total = (20 + len(body)).to_bytes(2, "big")
    return b"\x45\0" + total + b"\0\7\0\0\x40\x32\0\0" + PEER.packed + NEAR.local.packed + body


def test_errors_about_native_packets_have_no_port(either: World) -> None:
    error = PathError(errno.EMSGSIZE, True, PEER, 0, 1_300, b"\0\0\x22\x22")
    either.raw.told, either.router.told = [error], [error]
    either.turn(either.raw.fileno(), select.POLLERR)
    told = m.Heard(0, errno.EMSGSIZE, True, PEER, 0, 1_300, b"\0\0\x22\x22")
    assert either.heard() == [told]
    if either.watches(either.router.fileno()):
        either.turn(either.router.fileno())
        assert either.heard() == [told]


def test_what_raw_sockets_tell_is_counted_with_the_rest(into: World) -> None:
    into.raw.drops["unfinished-route"] += 2
    into.raw.heard["error-met"] += 1
    into.router.heard["error-read"] += 3
    counters = into.counters()
    assert counters.drops["unfinished-route"] == 2
    assert (counters.paths["error-met"], counters.paths["error-read"]) == (1, 3)
