"""What the steps of the way out cost: `.venv/bin/python -m pytest tests/benchmarks/test_way_out.py`.

A full run is what one read gives of a bulk transfer: 45 TCP segments of 1,348 octets, as many as leave in one call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from ipsecd.dataplane import messages as m
from ipsecd.dataplane.cutting import cut_full
from ipsecd.dataplane.layouts import Layout
from ipsecd.dataplane.runs_out import RunsOut
from ipsecd.dataplane.sealing import Sealer
from ipsecd.dataplane.ways import Way
from ipsecd.io.tun import NOTHING_LEFT
from ipsecd.ipsec.sa import OutboundSa
from ipsecd.wire.offload import Cut, decode, plan
from tests.property.run_values import ACK, Big
from tests.unit.dataplane.ends import End
from tests.unit.ipsec.packets import echo, syn, udp

Benchmark = Callable[..., Any]  # calls its first argument with the others, many times

PAIR = ("10.1.0.1", "10.2.0.1")
SMALL = udp(*PAIR, data=bytes(36))  # 64 octets
RUN = Big(segment=1_348, count=45)
NOW = 1.0


@dataclass
class Road:
    """The way out, with an SA whose limits are far away."""

    road: RunsOut
    sa: OutboundSa

    def way(self, packet: memoryview) -> Way:
        way = self.road._way(packet, NOW)
        assert way is not None
        return way

    def carry(self, packet: memoryview, head: bytearray, count: int = 1) -> int:
        """Send a packet so often; how many results there are."""
        results = 0
        for _ in range(count):
            for _ in self.road.carry_read(packet, head, NOW):
                results += 1
        for _ in self.road.end(NOW):
            results += 1
        return results


@pytest.fixture
def road() -> Road:
    end = End(near=True)
    end.policy()
    end.install_outbound(limits=m.Limits(soft_seconds=3_000.0, hard_seconds=3_600.0, soft_octets=1 << 60))
    (sa,) = end.roads._outbound._sad
    return Road(end.roads._outbound, sa)


@dataclass
class Steps:
    """What the steps of a run hand on to each other."""

    packet: memoryview
    cut: Cut
    layout: Layout
    sealer: Sealer
    way: Way


@pytest.fixture
def steps(road: Road) -> Steps:
    packet = memoryview(bytearray(RUN.packet))
    cut, way = plan(packet, decode(RUN.head)), road.way(packet)
    sealer = way.by
    assert isinstance(sealer, Sealer)
    layout = sealer.layout(way, sealer.size(way, cut.header + cut.segment))
    return Steps(packet, cut, layout, sealer, way)


def test_run_look_up(benchmark: Benchmark, road: Road) -> None:
    """Virtio header, flow, way, cut, limits and sequence numbers."""
    packet, head = memoryview(bytearray(RUN.packet)), bytearray(RUN.head)
    assert benchmark(lambda: road.road._plan(packet, decode(head), NOW)) is not None


def test_run_cut(benchmark: Benchmark, steps: Steps) -> None:
    """Headers, payloads and checksums of all segments."""
    benchmark(cut_full, steps.packet, steps.cut, steps.layout.shape(steps.cut), RUN.count)


def test_run_columns(benchmark: Benchmark, steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    """SPIs, sequence numbers, IVs and nonces: all of sealing but the AEAD."""
    monkeypatch.setattr("ipsecd.crypto.runs.RunCipher.seal", lambda *_: None)
    benchmark(steps.sealer.seal, steps.way, 1, RUN.count)


def test_run_aead(benchmark: Benchmark, steps: Steps) -> None:
    cipher, layout = steps.way.sa.run, steps.sealer._layout
    assert cipher is not None
    assert layout is not None
    nonces = steps.sealer._nonce_views[: RUN.count]
    benchmark(cipher.seal, nonces, layout.plain, layout.headers, layout.sealed)


@pytest.mark.parametrize(
    "big",
    [
        RUN,
        Big(segment=1_348, count=44, tail=500),
        Big(6, segment=1_328, count=45),
        Big(tcp=False, segment=1_348, count=45),
    ]
    + [Big(segment=1_348, count=count) for count in (48, 10, 4, 3, 2)],
    ids=["45", "44-and-a-shorter", "45-of-IPv6", "45-of-UDP", "48-in-two-parts", "10", "4", "3", "2"],
)
def test_run(benchmark: Benchmark, road: Road, big: Big) -> None:
    """From the TUN device's packet to the datagrams."""
    packet, head = memoryview(bytearray(big.packet)), bytearray(big.head)
    assert benchmark(road.carry, packet, head) in (1, 2)


@pytest.mark.parametrize("packet", [SMALL, syn(*PAIR, 1_000, flags=ACK), echo(*PAIR)], ids=["UDP", "ACK", "echo"])
def test_single(benchmark: Benchmark, road: Road, packet: bytes) -> None:
    assert benchmark(road.carry, memoryview(bytearray(packet)), bytearray(NOTHING_LEFT)) == 1


def test_single_seal(benchmark: Benchmark, road: Road) -> None:
    way = road.way(memoryview(SMALL))
    benchmark(way.by.seal_each, way, way.by.size(way, len(SMALL)), 1, [SMALL])


def test_single_of_the_slow_road(benchmark: Benchmark, road: Road) -> None:
    """What isn't plain is looked at anew each time."""
    benchmark(road.road.carry, [SMALL], NOW)


@pytest.mark.parametrize("count", [2, 8, 15, 16, 64])
def test_gathered(benchmark: Benchmark, road: Road, count: int) -> None:
    """So many packets of 64 octets, read one by one."""
    assert benchmark(road.carry, memoryview(bytearray(SMALL)), bytearray(NOTHING_LEFT), count) == 1
