"""The way out, step by step."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ipsecd.dataplane import messages as m
from ipsecd.dataplane.results import Out, ToTun
from ipsecd.wire.selector import Selector
from tests.unit.dataplane.ends import End, carry, only, protect, tunnel, up
from tests.unit.ipsec.packets import UDP, ipv4, sized, udp

V4 = ("10.1.0.1", "10.2.0.1")
V6 = ("2001:db8:1::1", "2001:db8:2::1")
LARGEST = {4: 1_438, 6: 1_418}  # AES-GCM-16 within 1,500 octets of IPv4 or IPv6


# --- parse, decide ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packet", [b"", b"\x00", b"\x45", bytes(20), udp(*V4)[:27], udp(*V6)[:47], b"\x45" * 64])
def test_what_is_no_ip_packet_is_dropped(packet: bytes) -> None:
    end = up()
    assert end.send(packet) == []
    assert end.drops == {"malformed-packet": 1}


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (
            m.SpdEntry("x", "r", "bypass", ((Selector.net("10.1.0.0/16"), Selector.net("10.2.0.0/16")),)),
            "bypass-on-tun",
        ),
        (
            m.SpdEntry("x", "r", "discard", ((Selector.net("10.1.0.0/16"), Selector.net("10.2.0.0/16")),)),
            "policy-discard",
        ),
        (protect((Selector.net("10.9.0.0/16"), Selector.net("10.2.0.0/16"))), "no-policy"),
    ],
)
def test_only_protect_goes_on(entry: m.SpdEntry, reason: str) -> None:
    end = up()
    end.policy(entry)
    assert end.send(udp(*V4)) == []
    assert end.drops == {reason: 1}


def test_packets_are_counted_by_entry() -> None:
    end = up()
    end.policy(
        m.SpdEntry("block", "r", "discard", ((Selector.net("10.1.0.0/16"), Selector.net("10.2.0.0/16", 17, (7, 7))),)),
        protect((Selector.net("10.1.0.0/16"), Selector.net("10.2.0.0/16"))),
    )
    end.send(udp(*V4, 1, 7), udp(*V4, 1, 8), udp(*V4, 1, 9))
    assert end.counters().entries == {"block": 1, "all": 2}


# --- choose, wait -----------------------------------------------------------------------------------------------


def test_without_an_sa_the_child_is_asked_for_once_and_its_packets_wait() -> None:
    end = End(near=True)
    end.policy()
    packets = [udp(*V4, 5_000, 53, data=bytes([number])) for number in range(3)]
    assert end.send(*packets) == [m.Acquire("child", ip_address("10.1.0.1"), ip_address("10.2.0.1"), 17, 5_000, 53)]
    assert end.paths["waiting"] == 3
    *sent, done = end.install_outbound(1.0)
    assert done == m.Done(3)  # the question for the counters was the second message
    far = End(near=False)
    far.policy()
    far.install_inbound()
    arrived = [only(far.receive(out.datagram), ToTun)[0].packet for out in only(sent, Out)]
    assert arrived == packets
    assert end.paths["waiting"] == 0
    assert end.drops == {}


def test_an_acquire_names_no_ports_where_the_packet_shows_none() -> None:
    end = End(near=True)
    end.policy()
    (acquire,) = end.send(ipv4(*V4, UDP, bytes(16), offset=64))
    assert acquire == m.Acquire("child", ip_address("10.1.0.1"), ip_address("10.2.0.1"), 17, None, None)


def test_more_than_64_packets_push_out_the_oldest() -> None:
    end = End(near=True)
    end.policy()
    end.send(*(udp(*V4, data=bytes([number])) for number in range(70)))
    assert end.drops == {"queue-overflow": 6}
    sent = only(end.install_outbound(), Out)
    assert len(sent) == 64


def test_giving_up_drops_what_waits_and_asks_again_only_later() -> None:
    end = End(near=True)
    end.policy()
    end.send(udp(*V4), udp(*V4), now=10.0)
    assert end.roads.handle(m.GiveUp("child"), 11.0) == [m.Done(2)]
    assert end.drops == {"gave-up": 2}
    assert end.send(udp(*V4), now=12.9) == []
    assert end.drops == {"gave-up": 2, "acquire-throttled": 1}
    (acquire,) = end.send(udp(*V4), now=13.0)
    assert isinstance(acquire, m.Acquire)


def test_packets_wait_for_an_sa_that_is_coming_whatever_was_before_and_nothing_asks_for_it() -> None:
    end = End(near=True)
    end.policy()
    end.send(udp(*V4), now=10.0)
    end.roads.handle(m.GiveUp("child"), 11.0)
    assert end.roads.handle(m.Coming("child"), 11.5) == [m.Done(3)]
    assert end.send(udp(*V4), now=11.6) == []
    assert end.drops == {"gave-up": 1}
    assert len(only(end.install_outbound(), Out)) == 1


def test_packets_wait_for_an_sa_that_nothing_had_asked_for() -> None:
    end = End(near=True)
    end.policy()
    end.roads.handle(m.Coming("child"), 10.0)
    assert end.send(udp(*V4), now=10.1) == []
    assert len(only(end.install_outbound(), Out)) == 1


def test_what_may_leave_in_clear_is_handed_back_as_it_came_and_in_order() -> None:
    end = End(near=True)
    end.policy()
    first, second = udp(*V4, data=b"1"), udp(*V4, data=b"2")
    end.send(first, second, now=10.0)
    released = [m.Released("child", packet) for packet in (first, second)]
    assert end.roads.handle(m.Release("child"), 11.0) == [*released, m.Done(2)]
    assert end.roads.handle(m.Release("child"), 11.0) == [m.Done(3)]
    assert end.roads.handle(m.Release("nobody"), 11.0) == [m.Done(4)]
    assert (end.drops, end.roads.counters().paths["released"]) == ({}, 2)
    (acquire,) = end.send(second, now=11.1)  # it came too late to leave with them
    assert isinstance(acquire, m.Acquire)


def test_an_sa_that_was_of_use_and_is_deleted_is_asked_for_again_at_once() -> None:
    end = End(near=True)
    end.policy()
    end.send(udp(*V4), now=10.0)
    end.install_outbound(10.1)
    end.roads.handle(m.RemoveOutbound(end.outbound, end.inbound), 10.2)
    (acquire,) = end.send(udp(*V4), now=10.3)
    assert isinstance(acquire, m.Acquire)


def test_an_sa_that_carried_nothing_is_not() -> None:
    end = End(near=True)
    end.policy()
    end.send(udp(*V4), now=10.0)
    end.install_outbound(10.1, remote=(Selector.net("10.2.99.0/24"),))
    end.roads.handle(m.RemoveOutbound(end.outbound, end.inbound), 10.2)
    assert end.send(udp(*V4), now=10.3) == []
    assert end.drops["acquire-throttled"] == 2


def test_a_narrower_sa_than_asked_for_does_not_take_the_packet() -> None:
    end = End(near=True)
    end.policy()
    end.send(udp(*V4), now=0.0)
    acquire, done = end.install_outbound(5.0, remote=(Selector.net("10.2.99.0/24"),))
    assert (type(acquire), done) == (m.Acquire, m.Done(2))
    assert end.paths["waiting"] == 1  # it asked again, for what it needs
    assert end.send(udp("10.1.0.1", "10.2.99.1"), now=5.0)[0].datagram[:4].hex() == "00002222"  # type: ignore[union-attr]  # Out


def test_a_packet_that_waited_for_a_child_the_policy_dropped_is_dropped() -> None:
    end = End(near=True)
    end.policy()
    end.send(udp(*V4))
    end.policy(protect((Selector.net("10.1.0.0/16"), Selector.net("10.2.0.0/16")), child="other"))
    assert end.drops == {"policy-changed": 1}
    assert end.paths["waiting"] == 0


def test_what_waited_is_judged_by_the_policy_of_the_moment_it_leaves() -> None:
    end = End(near=True)
    end.policy()
    end.send(udp(*V4), udp(*V6))
    pairs = ((Selector.net("2001:db8:1::/48"), Selector.net("2001:db8:2::/48")),)
    end.policy(
        m.SpdEntry("no", "r", "discard", ((Selector.net("10.1.0.0/16"), Selector.net("0.0.0.0/0")),)), protect(*pairs)
    )
    assert len(only(end.install_outbound(), Out)) == 1
    assert end.drops == {"policy-discard": 1}
    assert end.counters().entries == {"all": 2}


def test_the_newest_sa_sends_and_the_older_one_again_when_it_is_gone() -> None:
    end = up()
    end.install_outbound(spi=0xABCD)
    assert only(end.send(udp(*V4)), Out)[0].datagram[:8].hex() == "0000abcd00000001"
    end.roads.handle(m.RemoveOutbound(0xABCD, end.inbound), 0.0)
    assert only(end.send(udp(*V4)), Out)[0].datagram[:8].hex() == "0000222200000001"
    end.roads.handle(m.RemoveOutbound(0x2222, end.inbound), 0.0)
    (acquire,) = end.send(udp(*V4))
    assert isinstance(acquire, m.Acquire)


# --- number, seal, wrap -----------------------------------------------------------------------------------------


def test_sequence_numbers_count_up_and_stop_at_the_end() -> None:
    end = up()
    outs = only(end.send(*[udp(*V4)] * 3), Out)
    assert [out.datagram[4:8].hex() for out in outs] == ["00000001", "00000002", "00000003"]
    (sa,) = end.roads._outbound._sad
    sa.sequence = sa.last - 1
    sa.lifetime.packets = 0
    assert only(end.send(udp(*V4)), Out)[0].datagram[4:8].hex() == "ffffffff"
    assert end.send(udp(*V4)) == [m.HardExpired(end.inbound, "packets")]
    assert end.drops == {"sequence-exhausted": 1}
    (acquire,) = end.send(udp(*V4))
    assert isinstance(acquire, m.Acquire)


def test_fragments_get_their_numbers_together_or_not_at_all() -> None:
    end = up()
    (sa,) = end.roads._outbound._sad
    sa.sequence = sa.last - 2
    assert end.send(sized(*V4, 3_000)) == [m.HardExpired(end.inbound, "packets")]
    assert end.drops == {"sequence-exhausted": 1}


def test_a_soft_limit_is_reported_once_and_a_hard_one_ends_the_sa() -> None:
    end = End(near=True)
    end.policy()
    end.install_outbound(limits=m.Limits(soft_packets=2, hard_packets=4))
    assert [type(result) for result in end.send(*[udp(*V4)] * 2)] == [Out, Out, m.SoftExpired]
    assert [type(result) for result in end.send(*[udp(*V4)] * 2)] == [Out, Out, m.HardExpired]
    (acquire,) = end.send(udp(*V4))
    assert isinstance(acquire, m.Acquire)


def test_limits_in_seconds_are_kept_by_the_timer_and_by_the_packets() -> None:
    end = End(near=True)
    end.policy()
    end.install_outbound(100.0, limits=m.Limits(soft_seconds=10.0, hard_seconds=20.0))
    assert end.roads.deadline() == 110.0
    assert end.roads.timer(109.0) == []
    assert end.roads.timer(110.0) == [m.SoftExpired(end.inbound, "seconds")]
    assert end.roads.deadline() == 120.0
    assert [type(result) for result in end.send(udp(*V4), now=120.0)] == [m.HardExpired, m.Acquire]
    assert end.roads.timer(120.0) == []
    assert end.roads.deadline() is None


def test_the_timer_passes_over_an_sa_that_is_gone() -> None:
    end = End(near=True)
    end.install_outbound(0.0, limits=m.Limits(hard_seconds=20.0))
    end.roads.handle(m.RemoveOutbound(end.outbound, end.inbound), 1.0)
    assert end.roads.deadline() is None
    assert end.roads.timer(20.0) == []


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("ends", [V4, V6])
def test_what_the_outer_header_takes_from_the_inner(outer: int, ends: tuple[str, str]) -> None:
    near, _ = tunnel(outer=outer)
    (out,) = only(near.send(udp(*ends, tos=0xBA)), Out)
    assert (out.tos, out.df, out.outside) == (0xBA, ends == V6, near.outside)
    if ends == V4:
        (out,) = only(near.send(udp(*ends, df=True)), Out)
        assert out.df


def test_an_entry_may_have_an_outer_header_of_its_own_and_another_one_at_once() -> None:
    end = up()
    pairs = tuple(zip(end.local, end.remote, strict=True))
    end.policy(protect(*pairs, header=m.OuterHeader(dscp=46, df="set")))
    (out,) = only(end.send(udp(*V4, tos=0x02)), Out)
    assert (out.tos, out.df) == (0xBA, True)
    end.policy(protect(*pairs, header=m.OuterHeader(dscp=0, df="clear")))
    (out,) = only(end.send(udp(*V4, tos=0xB9, df=True)), Out)
    assert (out.tos, out.df) == (0x01, False)


def test_a_moved_pair_sends_elsewhere() -> None:
    end = up()
    moved = m.Outside(ip_address("192.0.2.1"), 4500, ip_address("203.0.113.9"), 61_000)
    end.roads.handle(m.MovePath((7, 8), moved), 0.0)
    assert only(end.send(udp(*V4)), Out)[0].outside == end.outside
    end.roads.handle(m.MovePath((7, end.inbound), moved), 0.0)
    assert only(end.send(udp(*V4)), Out)[0].outside == moved


def test_octets_behind_the_packet_are_not_sent() -> None:
    near, far = tunnel()
    assert carry(near, far, udp(*V4) + b"rubbish") == [udp(*V4)]


def test_what_an_sa_has_carried_can_be_asked_for() -> None:
    end = up()
    end.send(udp(*V4), udp(*V4), now=5.5)
    (sa,) = end.counters().sas
    assert sa == m.SaCounters(end.outbound, end.inbound, "out", 2, 2 * 36, 2, 5.5, 0)
