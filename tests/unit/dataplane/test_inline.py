"""Both roads behind their messages."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from ipaddress import ip_address

from ipsecd.dataplane import messages as m
from ipsecd.dataplane.results import Out, ToTun
from tests.unit.dataplane.ends import FAR_NETS, NEAR_NETS, End, carry, only, protect, tunnel
from tests.unit.ipsec.packets import udp

V4 = ("10.1.0.1", "10.2.0.1")


def test_every_message_is_acknowledged_with_its_number() -> None:
    end = End(near=True)
    assert end.policy() == [m.Done(1)]
    assert end.install_inbound() == [m.Done(2)]
    assert end.install_outbound() == [m.Done(3)]
    for number, message in enumerate(
        [
            m.MovePath((1,), end.outside),
            m.SetPathMtu(ip_address("198.51.100.1"), 1_400),
            m.GiveUp("child"),
            m.GiveUp("nobody"),
            m.RemoveOutbound(end.outbound, end.inbound),
            m.RemoveOutbound(end.outbound, end.inbound),
            m.RemoveInbound(end.inbound),
            m.RemoveInbound(end.inbound),
        ],
        4,
    ):
        assert end.roads.handle(message, 0.0) == [m.Done(number)]


def test_what_can_not_be_done_says_why_and_changes_nothing() -> None:
    near, far = tunnel()
    assert far.install_inbound() == [m.Done(4, "inbound SPI 00002222 is in use")]
    assert far.install_outbound() == [m.Done(5, "outbound SPI 00001111 of inbound 00002222 is in use")]
    far.keys = replace(far.keys, key_bits=77)
    assert far.install_inbound(spi=0x777) == [m.Done(6, "no ESP with AES_GCM_16/77 and NONE")]
    assert far.install_inbound(spi=255) == [m.Done(7, "SPI 000000ff is reserved")]
    assert far.install_outbound(spi=1 << 32) == [m.Done(8, "SPI 100000000 is reserved")]
    assert far.policy(m.SpdEntry("x", "r", "protect", ())) == [m.Done(9, "SPD entry x protects by no child")]
    assert carry(near, far, udp(*V4)) == [udp(*V4)]


def test_a_message_to_the_control_side_is_no_message_to_the_roads() -> None:
    assert End(near=True).roads.handle(m.InboundUsed(1), 0.0) == [  # type: ignore[arg-type]  # that's the mistake
        m.Done(1, "InboundUsed is no message to the roads")
    ]


def test_a_key_that_does_not_fit_does_not_show_in_the_answer() -> None:
    end = End(near=True)
    end.keys = replace(end.keys, encryption_key=b"SECRETKEY")
    (done,) = end.install_inbound()
    assert isinstance(done, m.Done)
    assert done.error
    assert "SECRET" not in done.error
    assert b"SECRETKEY".hex() not in done.error


def test_an_older_policy_does_not_replace_a_newer_one() -> None:
    end = End(near=True)
    end.roads.handle(m.SetSpd(5, ()), 0.0)
    assert end.roads.handle(m.SetSpd(5, ()), 0.0) == [m.Done(2, "SPD generation 5 after 5")]
    assert end.roads.handle(m.SetSpd(6, ()), 0.0) == [m.Done(3)]


def test_no_packet_is_lost_in_a_rekey() -> None:
    """New inbound first, outbound when the peer is ready, old inbound kept."""
    near, far = tunnel()
    delivered: list[bytes] = []
    waiting: list[bytes] = []

    def ping(number: int) -> None:
        packet = udp(*V4, data=bytes([number]))
        waiting.extend(out.datagram for out in only(near.send(packet), Out))

    def arrive() -> None:
        for datagram in waiting:
            delivered.extend(result.packet for result in only(far.receive(datagram), ToTun))
        waiting.clear()

    ping(1)
    far.install_inbound(spi=0xBEEF)
    ping(2)
    near.install_outbound(spi=0xBEEF)
    ping(3)
    near.roads.handle(m.RemoveOutbound(near.outbound, near.inbound), 0.0)
    ping(4)
    arrive()
    far.roads.handle(m.RemoveInbound(far.inbound), 0.0)
    ping(5)
    arrive()
    assert delivered == [udp(*V4, data=bytes([number])) for number in range(1, 6)]
    assert far.drops == {}


def test_the_first_packet_on_a_new_sa_tells_that_the_peer_has_switched() -> None:
    near, far = tunnel()
    far.install_inbound(spi=0xBEEF)
    used = only(far.receive(only(near.send(udp(*V4)), Out)[0].datagram), m.InboundUsed)
    near.install_outbound(spi=0xBEEF)
    used += only(far.receive(only(near.send(udp(*V4)), Out)[0].datagram), m.InboundUsed)
    used += only(far.receive(only(near.send(udp(*V4)), Out)[0].datagram), m.InboundUsed)
    assert used == [m.InboundUsed(0x2222), m.InboundUsed(0xBEEF)]


def test_a_change_of_policy_takes_effect_with_the_next_packet() -> None:
    near, far = tunnel()
    assert carry(near, far, udp(*V4)) == [udp(*V4)]
    near.policy(m.SpdEntry("no", "r", "discard", ((NEAR_NETS[0], FAR_NETS[0]),)))
    assert carry(near, far, udp(*V4)) == []
    near.policy(protect((NEAR_NETS[0], FAR_NETS[0])))
    assert carry(near, far, udp(*V4)) == [udp(*V4)]


def test_the_deadline_is_the_earlier_of_both_roads() -> None:
    end = End(near=True)
    assert end.roads.deadline() is None
    end.install_inbound(limits=m.Limits(hard_seconds=20.0))
    assert end.roads.deadline() == 20.0
    end.install_outbound(limits=m.Limits(hard_seconds=15.0))
    assert end.roads.deadline() == 15.0
    assert end.roads.timer(20.0) == [m.HardExpired(end.inbound, "seconds"), m.HardExpired(end.inbound, "seconds")]


def test_counters_of_both_roads_come_together() -> None:
    near, far = tunnel()
    carry(near, far, udp(*V4))
    carry(far, near, udp(*V4[::-1]))
    counters = near.counters()
    assert [(sa.direction, sa.packets) for sa in counters.sas] == [("out", 1), ("in", 1)]
    carried = {"from-tun": 1, "sealed": 1, "datagrams": 1, "from-udp": 1, "to-tun": 1}
    assert counters.paths == carried | {"waiting": 0, "held": 0}
    assert counters.entries == {"all": 2}


def test_the_roads_need_no_kernel() -> None:
    """Time, randomness and packets are arguments: nothing that talks to the system is imported."""
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, ipsecd.dataplane.inline; print(sorted({'socket', 'asyncio', 'fcntl'} & set(sys.modules)))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "[]"
