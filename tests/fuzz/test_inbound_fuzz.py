"""The way in, with known keys: inner packets bent before they are sealed, and datagrams bent afterwards.

Nothing reaches the TUN device that isn't authentic, fresh and within its SA's selectors; everything else is a named
drop. IPSECD_FUZZ=long multiplies the cases; IPSECD_FUZZ_SEED=n tries others.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from ipaddress import ip_address, ip_network
from random import Random

import pytest

from ipsecd.dataplane import messages as m
from ipsecd.dataplane.results import Result, ToTun
from ipsecd.dataplane.tally import DROPS
from ipsecd.ipsec.sa import OutboundSa
from ipsecd.wire.esp import trailer
from ipsecd.wire.selector import Selector
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import LONG, LONG_FACTOR
from tests.unit.crypto.suites import Suite
from tests.unit.dataplane.ends import End, only, protect
from tests.unit.ipsec.packets import FRAGMENT, UDP, echo, ipv4, ipv6, sized, syn, udp
from tests.unit.ipsec.pairs import CBC, CHACHA, CTR, GCM

SEED = int(os.environ.get("IPSECD_FUZZ_SEED", "20051201"))
CASES = 20_000 * (LONG_FACTOR if LONG else 1)
SUITES = (GCM, CHACHA, CTR, CBC)

V4, V6 = ("10.1.0.1", "10.2.0.1"), ("2001:db8:1::1", "2001:db8:2::1")
PORTS = (Selector.net("10.1.0.0/16", UDP, (1_000, 1_010)), Selector.net("2001:db8:1::/48"))
PACKETS = (
    *(udp(*V4), udp(*V6), echo(*V4), echo(*V6), syn(*V4, 1_460), syn(*V6, 1_460), sized(*V4, 600), sized(*V6, 600)),
    *(udp(*V4, tos=2), udp(*V6, tos=3), udp("10.1.0.1", "10.9.0.1"), udp("10.9.0.1", "10.2.0.1"), udp(*V4[::-1])),
    ipv4(*V4, UDP, bytes(64), offset=1_024),
    ipv4(*V4, UDP, bytes.fromhex("03e807d000480000") + bytes(64), more=True),
    ipv4(*V4, 50, bytes(40), options=bytes.fromhex("94040000")),
    ipv6(*V6, FRAGMENT, bytes.fromhex("1100000100000007 03e807d000100000") + bytes(8)),
    ipv6(*V6, FRAGMENT, bytes.fromhex("1100010100000007") + bytes(64)),
    ipv6(*V6, 0, bytes.fromhex("3c00010400000000 1100010400000000 03e807d000100000") + bytes(8)),
)


class Sealer:
    """A peer that seals whatever it's given, each with a number of its own, on one of several SAs."""

    def __init__(self, far: End, suite: Suite, *, esn: bool, spi: int) -> None:
        near = End(near=True, suite=suite, esn=esn)
        far.keys = near.keys
        assert far.install_inbound(spi=spi, remote=PORTS)[-1] == m.Done(far.roads._handled)
        near.install_outbound(spi=spi)
        self.sa: OutboundSa = next(iter(near.roads._outbound._sad))

    def seal(self, plaintext: bytes) -> bytes:
        sequence = self.sa.take(1)
        assert sequence is not None
        header = self.sa.spi.to_bytes(4, "big") + (sequence & 0xFFFF_FFFF).to_bytes(4, "big")
        iv = sequence.to_bytes(self.sa.cipher.iv_octets, "big")
        return header + self.sa.cipher.seal(header, self.sa.high(sequence), iv, plaintext)


def receiver() -> tuple[End, list[Sealer]]:
    far = End(near=False)
    far.policy(protect(*zip(far.local, far.remote, strict=True)))
    kinds = [(suite, esn) for suite in SUITES for esn in (False, True)]
    return far, [Sealer(far, suite, esn=esn, spi=0xC0DE00 + number) for number, (suite, esn) in enumerate(kinds)]


NETS = {4: (ip_network("10.1.0.0/16"), ip_network("10.2.0.0/16"))}
NETS[6] = (ip_network("2001:db8:1::/48"), ip_network("2001:db8:2::/48"))  # type: ignore[assignment]  # the other family


def within_selectors(packet: bytes) -> bool:
    """Read with nothing of ipsecd's: addresses of the SA, and over IPv4 UDP with a source port of 1000 to 1010."""
    version = packet[0] >> 4
    at, octets = {4: (12, 4), 6: (8, 16)}[version]
    source, destination = (ip_address(packet[at + octets * side : at + octets * (side + 1)]) for side in (0, 1))
    if source not in NETS[version][0] or destination not in NETS[version][1]:
        return False
    if version == 6:
        return True
    transport = (packet[0] & 15) * 4
    first = int.from_bytes(packet[6:8], "big") & 0x1FFF == 0
    return packet[9] == UDP and first and 1_000 <= int.from_bytes(packet[transport : transport + 2], "big") <= 1_010


def bent_plaintext(rng: Random, align: int) -> bytes:
    """An inner packet, bent or not, with a trailer that is right or nearly."""
    packet = rng.choice(PACKETS) if rng.random() < 0.2 else mutated(rng, PACKETS)
    honest = 4 if packet[:1] and packet[0] >> 4 == 4 else 41
    next_header = honest if rng.random() < 0.9 else rng.choice((0, 4, 6, 17, 41, 50, 59, 255))
    if rng.random() < 0.1:
        packet += rng.randbytes(rng.randrange(200))
    plaintext = packet + trailer(len(packet), align, next_header)
    if rng.random() < 0.1:
        plaintext = mutated(rng, [plaintext])
    whole = align if align > 4 else 1  # CBC can't seal anything else
    return plaintext[: len(plaintext) // whole * whole] or bytes(whole)


def check(results: list[Result], where: str) -> int:
    """How many packets came through; each has to be allowed to."""
    packets = [result.packet for result in only(results, ToTun)]
    for packet in packets:
        assert within_selectors(packet), f"{where}: {packet.hex()}"
    return len(packets)


def adds_up(far: End, given: int, through: int) -> Counter[str]:
    counters = far.counters()
    drops = Counter(counters.drops)
    assert set(drops) <= set(DROPS)
    paths = Counter(counters.paths)
    assert paths["to-tun"] == through
    assert paths["from-udp"] == given == through + paths["ike"] + paths["keepalive"] + sum(drops.values())
    return drops


def test_inner_packets_bent_before_sealing() -> None:
    rng = Random(f"{SEED} before")
    far, sealers = receiver()
    through = 0
    for case in range(CASES):
        sealer = sealers[case % len(sealers)]
        datagram = sealer.seal(bent_plaintext(rng, sealer.sa.cipher.align))
        results = far.receive(datagram, case / 1_000, tos=rng.choice((0, 0, 0, 1, 2, 3)))
        through += check(results, f"seed {SEED} case {case}")
    drops = adds_up(far, CASES, through)
    assert through > CASES / 20, "nothing gets through: this tests nothing"
    reached = {"not-tunnel-mode", "inner-version", "malformed-inner", "outside-selectors", "dummy", "bad-padding"}
    assert reached | {"ecn-ce-on-not-ect"} <= set(drops)
    assert not {"bad-icv", "replayed"} & set(drops)


def test_datagrams_bent_after_sealing() -> None:
    rng = Random(f"{SEED} after")
    far, sealers = receiver()
    good = [
        sealer.seal(packet + trailer(len(packet), sealer.sa.cipher.align, 4 if packet[0] >> 4 == 4 else 41))
        for sealer in sealers
        for packet in PACKETS
    ]
    fresh = set(good)
    given = through = 0
    for case in range(CASES):
        datagram = mutated(rng, good) if rng.random() < 0.99 else rng.choice(good)
        results = far.receive(datagram, case / 1_000)
        count = check(results, f"seed {SEED} case {case}")
        assert count == 0 or datagram in fresh, f"seed {SEED} case {case}: neither authentic nor fresh"
        fresh.discard(datagram)
        given, through = given + 1, through + count
    drops = adds_up(far, given, through)
    assert through > 0
    assert {"bad-icv", "replayed", "unknown-spi", "runt"} <= set(drops)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_every_bit_of_a_datagram_counts(suite: Suite) -> None:
    far = End(near=False)
    far.policy()
    sealer = Sealer(far, suite, esn=True, spi=0xC0DE01)
    sealer.sa.sequence = 4  # one bit away from numbers that are as fresh
    packet = udp(*V4)
    datagram = sealer.seal(packet + trailer(len(packet), sealer.sa.cipher.align, 4))
    for bit in range(len(datagram) * 8):
        bent = bytearray(datagram)
        bent[bit // 8] ^= 1 << bit % 8
        assert far.receive(bytes(bent)) == []
    assert set(far.drops) <= {"bad-icv", "unknown-spi"}
    assert only(far.receive(datagram), ToTun) == [ToTun(packet)]


def test_keys_that_make_no_sense_are_refused_and_the_roads_go_on() -> None:
    """What the control side says is trusted, but a mistake there must not stop anything either."""
    rng = Random(f"{SEED} control")
    far, sealers = receiver()
    refused = 0
    for case in range(500):
        far.keys = replace(
            far.keys,
            key_bits=rng.choice((None, 0, 128, 256)),
            encryption=rng.randrange(40),
            integrity=rng.randrange(16),
        )
        (done,) = far.install_inbound(spi=rng.randrange(1 << 33))
        assert isinstance(done, m.Done), case
        refused += bool(done.error)
        sealed = sealers[0].seal(PACKETS[0] + trailer(len(PACKETS[0]), 4, 4))
        assert len(only(far.receive(sealed), ToTun)) == 1
    assert refused > 490
