"""The way in in every form, with known keys: what is inside bent before it is sealed, and packets bent afterwards.

Nothing reaches the TUN device that isn't authentic, fresh and within its SA's selectors. What no SA protects, the
headers in front of ESP and those fields that AH leaves out, may be changed by anybody on the way; what comes of it has
to be within the selectors still.
"""

from __future__ import annotations

import os
from collections import Counter
from random import Random

import pytest

from ipsecd.dataplane.results import Result, ToTun
from ipsecd.dataplane.tally import DROPS
from ipsecd.errors import PeerError, Refused
from ipsecd.ipsec import ah_packets, esp, outer
from ipsecd.ipsec.sa import OutboundSa
from ipsecd.ipsec.selectors import Flow
from ipsecd.ipsec.transport import headed, split
from ipsecd.wire import ip
from ipsecd.wire.registry import IpProtocol
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import LONG, LONG_FACTOR
from tests.unit.dataplane.ends import End, only
from tests.unit.dataplane.shapes import AROUND, SHAPES, Shape, ends, outbound_sa, sent
from tests.unit.ipsec.packets import chained, echo, ipv4, udp
from tests.unit.ipsec.pairs import fixed_iv

SEED = int(os.environ.get("IPSECD_FUZZ_SEED", "20051201"))
CASES = 1_500 * (LONG_FACTOR if LONG else 1)  # of each form

every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)


def packets(shape: Shape) -> list[bytes]:
    """Packets that may go by it, each with a payload of its own."""
    pair = shape.pair(shape.outer)
    plain = [udp(*pair, data=number.to_bytes(8, "big")) for number in range(8)] + [echo(*pair)]
    if shape.outer == 4:
        options = bytes.fromhex("94040000" + "07070400000000" + "00")  # router alert, record route
        return [*plain, ipv4(*pair, 17, udp(*pair, data=b"with options")[20:], options=options)]
    return [
        *plain,
        chained(*pair, (0, "00050200000100"), body=udp(*pair, data=b"for the way")[40:]),
        chained(*pair, (60, "00010400000000"), body=udp(*pair, data=b"for the end")[40:]),
    ]


def receive(far: End, datagram: bytes, now: float, tos: int = 0) -> list[Result]:
    if far.outside.native:
        return far.roads.from_native_read(datagram, far.outside, now)
    return far.receive(datagram, now, tos=tos)


def arrived(far: End, results: list[Result], where: str) -> list[bytes]:
    """What came through, each within the selectors."""
    found = [bytes(result.packet) for result in only(results, ToTun)]
    (sa,) = (sa for sa in far.roads._inbound._sad if not sa.form.outer)
    for packet in found:
        assert sa.selectors.hold_inbound(Flow.of(ip.parse(packet))), f"{where}: {packet.hex()}"
    return found


def adds_up(far: End, given: int, through: int) -> Counter[str]:
    counters = far.counters()
    drops, paths = Counter(counters.drops), Counter(counters.paths)
    assert set(drops) <= set(DROPS)
    assert paths["from-udp"] + paths["from-native"] == given
    assert given == through + paths["ike"] + paths["keepalive"] + sum(drops.values())
    return drops


@every_shape
def test_packets_bent_after_sealing(shape: Shape) -> None:
    rng = Random(f"{SEED} after {shape.name}")
    near, far = ends(shape)
    given = packets(shape)
    good = [out.datagram for packet in given for out in sent(near, packet)]
    fresh = Counter(split(packet, ip.parse(packet)).payload for packet in given)
    through = 0
    for case in range(CASES):
        where = f"seed {SEED} case {case}"
        datagram = mutated(rng, good) if rng.random() < 0.99 else rng.choice(good)
        for packet in arrived(far, receive(far, datagram, case / 1_000), where):
            payload = split(packet, ip.parse(packet)).payload
            assert fresh[payload] > 0, f"{where}: neither authentic nor fresh: {packet.hex()}"
            fresh[payload] -= 1
            through += 1
    drops = adds_up(far, CASES, through)
    assert through > 0
    assert {"bad-icv", "replayed"} <= set(drops)


class Sealer:
    """A peer that protects whatever it's given, as one form does and as others do."""

    def __init__(self, near: End, shape: Shape) -> None:
        self._near, self._shape = near, shape
        self._own = outbound_sa(near)
        self._around = outbound_sa(near, near.outbound + AROUND) if shape.protocol == "both" else None

    def seal(self, rng: Random, next_header: int, payload: bytes, front: bytes) -> bytes:
        """A datagram, or a native packet. Raises what ``ah.seal`` and ``headed`` do."""
        if self._own.protocol == IpProtocol.AH:
            return self._sent(self._signed(self._own, next_header, payload, front), front)
        number = self._own.take(1)
        assert number is not None
        sealed, _ = esp.seal(self._own, number, next_header, payload, fixed_iv)
        if self._around is not None and rng.random() < 0.95:
            kind, inside = (50, sealed) if rng.random() < 0.9 else (rng.choice((4, 17, 41, 50, 51)), payload)
            return self._sent(self._signed(self._around, kind, inside, front), front)
        return self._sent(headed(front, IpProtocol.ESP, len(sealed)) + sealed, front)

    def _signed(self, sa: OutboundSa, next_header: int, payload: bytes, front: bytes) -> bytes:
        number = sa.take(1)
        assert number is not None
        return ah_packets.seal(sa, number, front, next_header, payload)

    def _sent(self, packet: bytes, front: bytes) -> bytes:
        return packet if self._shape.native else packet[len(front) :]


def bent_inside(rng: Random, shape: Shape, given: list[bytes]) -> tuple[int, bytes, bytes]:
    """Next header, payload and headers in front, bent or not."""
    packet = rng.choice(given)
    front, next_header, payload = split(packet, ip.parse(packet))
    if not shape.transport:
        next_header, payload = 4 if packet[0] >> 4 == 4 else 41, packet
    if rng.random() < 0.8:
        payload = mutated(rng, [payload])
    if rng.random() < 0.15:
        next_header = rng.choice((0, 4, 6, 17, 41, 43, 44, 50, 51, 58, 59, 60, 255))
    return next_header, payload, front


@every_shape
def test_what_is_inside_bent_before_sealing(shape: Shape) -> None:
    rng = Random(f"{SEED} before {shape.name}")
    near, far = ends(shape)
    given, sealer = packets(shape), Sealer(near, shape)
    plain = outer.header(near.outside.local, near.outside.remote)
    total = through = 0
    for case in range(CASES):
        next_header, payload, own = bent_inside(rng, shape, given)
        front = own if shape.transport and shape.native else plain
        try:
            datagram = sealer.seal(rng, next_header, payload, front)
        except (PeerError, Refused):
            continue
        total += 1
        results = receive(far, datagram, case / 1_000, tos=rng.choice((0, 0, 1, 2, 3)))
        through += len(arrived(far, results, f"seed {SEED} case {case}"))
    drops = adds_up(far, total, through)
    assert through > CASES / 20, "nothing gets through: this tests nothing"
    reached = {"malformed-inner", "nested"} if shape.transport else {"malformed-inner", "not-tunnel-mode"}
    if shape.protocol == "both":
        reached |= {"not-in-ah", "nested"}
    assert reached <= set(drops)
    assert not {"bad-icv", "replayed"} & set(drops)
