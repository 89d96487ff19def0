"""The way out, with packets bent as no kernel would hand them to a TUN device.

Each is sealed, waits, or is dropped by name, and the numbers add up; what is sealed arrives and is an IP packet within
its SA's selectors; what is written back to the TUN device is an ICMP error. IPSECD_FUZZ=long multiplies the cases;
IPSECD_FUZZ_SEED=n tries others.
"""

from __future__ import annotations

import os
from random import Random

import pytest

from ipsecd.dataplane import messages as m
from ipsecd.dataplane.results import Out, ToTun
from ipsecd.dataplane.tally import DROPS
from ipsecd.ipsec.fragment import fragments
from ipsecd.wire.icmp import parse_error
from ipsecd.wire.ip import parse
from ipsecd.wire.selector import Selector
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import LONG, LONG_FACTOR
from tests.unit.dataplane.ends import OUTER, End, only, protect, tunnel
from tests.unit.ipsec.packets import FRAGMENT, TCP, UDP, echo, error, ipv4, ipv6, sized, syn, udp

SEED = int(os.environ.get("IPSECD_FUZZ_SEED", "20051201"))
CASES = 10_000 * (LONG_FACTOR if LONG else 1)  # for each path

V4, V6 = ("10.1.0.1", "10.2.0.1"), ("2001:db8:1::1", "2001:db8:2::1")
WHOLE4 = udp(*V4, data=bytes(3_000))
WHOLE6 = ipv6(*V6, FRAGMENT, bytes.fromhex("11000000cafef00d") + udp(*V6, data=bytes(3_000))[40:])
OPTIONS = bytes.fromhex("83070404 0a010101 94040000")  # a source route, which no fragment but the first has
PACKETS = (
    *(udp(*V4), udp(*V6), echo(*V4), echo(*V6), syn(*V4, 1_460), syn(*V6, 65_535), udp(*V4, 9, 7), udp(*V4[::-1])),
    *(
        sized(*V4, octets, df=df)
        for octets in (513, 514, 515, 1_280, 1_438, 1_439, 9_000, 65_535)
        for df in (True, False)
    ),
    *(sized(*V6, octets) for octets in (1_198, 1_280, 1_281, 1_418, 1_500, 9_000, 65_535)),
    *fragments(WHOLE4, parse(WHOLE4), 1_400),
    *fragments(WHOLE6, parse(WHOLE6), 1_400),
    *(ipv4(*V4, TCP, bytes(64), offset=at, more=True) for at in (16, 64, 1_480, 65_472)),
    *(ipv4(*V4, protocol, bytes(10_000), options=OPTIONS) for protocol in (UDP, 50)),
    ipv6(*V6, 0, bytes.fromhex("2c00010400000000 1100000000000007 03e807d000100000") + bytes(8)),
    error("172.16.0.1", udp(*V4[::-1], data=bytes(500))),
    error("2001:db8:f::1", udp(*V6[::-1], data=bytes(1_300))),
)


def ends(outer: int, mtu: int) -> tuple[End, End]:
    """A tunnel over a path that narrow, with ports that decide about some of what goes in."""
    near, far = tunnel(outer=outer)
    near.roads.handle(m.SetLinkMtu(OUTER[outer][1], mtu), 0.0)
    echoes = ((Selector.net("10.1.0.0/16"), Selector.net("10.2.0.0/16", UDP, (7, 7))),)
    near.policy(m.SpdEntry("echo", "r", "discard", echoes), protect(*zip(near.local, near.remote, strict=True)))
    return near, far


@pytest.mark.parametrize(("outer", "mtu"), [(4, 576), (6, 1_280), (4, 1_500), (4, 9_000)])
def test_bent_packets_from_the_tun(outer: int, mtu: int) -> None:
    rng = Random(f"{SEED} {outer} {mtu}")
    near, far = ends(outer, mtu)
    sealed = answered = 0
    for case in range(CASES):
        now = case / 100
        packet = rng.choice(PACKETS) if rng.random() < 0.2 else mutated(rng, PACKETS)
        results = near.send(packet, now=now)
        if rng.random() < 0.01:
            near.roads.timer(now)
        for answer in only(results, ToTun):
            parse_error(answer.packet)
            answered += 1
        for out in only(results, Out):
            whole = parse(out.packet).total_octets == len(out.packet)
            assert whole, f"seed {SEED} case {case}: {packet.hex()}"
            arrived = only(far.receive(out.datagram, now, tos=out.tos), ToTun)
            assert arrived, f"seed {SEED} case {case}: {packet.hex()} is refused: {far.drops}"
            assert not out.df or len(out.datagram) + {4: 28, 6: 48}[outer] <= mtu
            sealed += 1
    paths, drops = near.paths, near.drops
    assert set(drops) <= set(DROPS)
    assert paths["from-tun"] == CASES
    gone = paths["sealed"] + paths["waiting"] + paths["held"] + paths["joined"] + sum(drops.values())
    assert paths["from-tun"] == gone
    assert min(sealed, answered, paths["joined"], paths["fragmented"]) > 0, "something is never reached"
    assert {"malformed-packet", "no-policy", "policy-discard", "too-big", "fragment-late"} <= set(drops)
