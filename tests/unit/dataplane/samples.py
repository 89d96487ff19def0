"""One of every message between control process and roads, and more of some."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from ipsecd.dataplane import messages as m
from ipsecd.dataplane.codec import Message
from ipsecd.wire.selector import OPAQUE, Selector

OUTSIDE = m.Outside(ip_address("192.0.2.1"), 4500, ip_address("2001:db8::1"), 61_000)
KEYS = m.EspKeys(20, 128, 0, True, b"k" * 20, b"")
LOCAL = (Selector.net("10.1.0.0/16"), Selector.net("2001:db8:1::/48", 6, (80, 443)))
REMOTE = (Selector.net("10.2.0.0/16", 17, OPAQUE),)
LIMITS = m.Limits(soft_seconds=3_060.5, hard_seconds=3_600.0, soft_packets=1 << 31)
ENTRY = m.SpdEntry("to-hq", "rule 1", "protect", ((LOCAL[0], REMOTE[0]),), "to-hq#1", inbound=False)
MARKED = replace(ENTRY, header=m.OuterHeader(46, "set"))

MESSAGES: list[Message] = [
    m.InstallInbound(0xC0FFEE00, "to-hq#1", KEYS, LOCAL, REMOTE, OUTSIDE, LIMITS, 1_024),
    m.InstallOutbound(0xFFFFFFFF, 1, "to-hq#1", KEYS, LOCAL, REMOTE, OUTSIDE, LIMITS),
    m.InstallOutbound(2, 3, "x", KEYS, (), (), OUTSIDE, m.Limits()),
    m.InstallOutbound(2, 3, "x", KEYS, (), (), OUTSIDE, m.Limits(), tfc=m.Tfc(65_535, 5), watched=True),
    m.RemoveInbound(7),
    m.RemoveOutbound(7, 8),
    m.MovePath((1, 2, 0xFFFFFFFF), OUTSIDE),
    m.SetSpd(1 << 63, (ENTRY, MARKED)),
    m.SetSpd(1, ()),
    m.GiveUp("büro"),
    m.Coming("to-hq#1"),
    m.Release("to-hq#1"),
    m.SetLinkMtu(ip_address("2001:db8::9"), 9_000),
    m.SetPathMtu(ip_address("192.0.2.9"), 1_400),
    m.AskCounters(),
    m.Done(12),
    m.Done(13, "inbound SPI c0ffee00 is in use"),
    m.Acquire("to-hq#1", ip_address("10.1.0.1"), ip_address("10.2.0.1"), 6, 40_000, None),
    m.Released("to-hq#1", bytes.fromhex("4500001400004000400100000a0100020a020001")),
    m.InboundUsed(7),
    m.SoftExpired(7, "octets"),
    m.HardExpired(7, "seconds"),
    m.PeerMoved(7, OUTSIDE),
    m.PeerAlive((1, 2)),
    m.PairsUsed((1, 2)),
    m.IkeDatagram(b"\x00" * 200, ip_address("192.0.2.1"), 500, ip_address("192.0.2.2"), 500, False),
    m.Counters(
        (m.SaCounters(1, 2, "out", 3, 4, 5, 6.25, 2), m.SaCounters(1, 1, "in", 0, 0, 0, None, 0)),
        {"replayed": 1, "bad-icv": 1 << 64 - 1},
        {},
        {"to-hq": 9},
    ),
    m.Begin("ipsec0", 1_438, (4, 6), 4_500, (), 600.0, (6, 17), (4,)),
    m.NewTun(),
    m.SpdPart((ENTRY, MARKED)),
    m.Probe(),
    m.Ready(("landlock",)),
    m.Heard(4_500, 90, True, ip_address("192.0.2.2"), 4_500, 1_400, b"\xc0\xff\xee\x00"),
    m.TunLost(2, "can't read from ipsec0: File descriptor in bad state"),
    m.Fault("a datagram", "KeyError(1)", ("Traceback (most recent call last):", "KeyError: 1")),
]
