"""What the steps of the way in cost: `.venv/bin/python -m pytest tests/benchmarks/test_way_in.py`.

A full run is what one read gives of a bulk transfer: 45 TCP segments in datagrams of 1,380 octets. Before each turn the
replay window is set back, which costs 0.2 us, so that the same datagrams are fresh again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from ipsecd.dataplane import joining, known, opening
from ipsecd.dataplane.columns import sums
from ipsecd.dataplane.grouping import rows_for
from ipsecd.dataplane.opened import OpenedRun
from ipsecd.dataplane.opening import Layout
from ipsecd.dataplane.results import Result
from ipsecd.dataplane.runs_in import RunsIn
from ipsecd.wire.registry import IpProtocol
from tests.property.run_values import ADDRESSES, Big
from tests.unit.dataplane.ends import TUN_MTU, End, authentic
from tests.unit.ipsec.packets import echo, udp

Benchmark = Callable[..., Any]  # calls its first argument with the others, many times

BULK = Big(count=45, segment=1_296).segments()
SMALL = Big(count=64, segment=36, tcp=False).segments()  # 64 octets each


class Reads:
    """A receiver in use, and datagrams that it gets again and again."""

    def __init__(self, packets: list[bytes], joins: Iterable[int] = (IpProtocol.TCP, IpProtocol.UDP)) -> None:
        near, far = End(near=True), End(near=False)
        self.road = far.roads._inbound = RunsIn(tun_mtu=TUN_MTU, joins=tuple(joins))
        far.policy()
        far.install_inbound()
        near.install_outbound()
        far.receive(authentic(near, 4, udp(*ADDRESSES[4])))
        (self.sa,) = self.road._sad
        self.outside = far.outside
        self.window = self.sa.window
        self._seen = self.window.top, list(self.window._blocks)
        self.datagrams = [authentic(near, 4, packet) for packet in packets]
        self.octets = len(self.datagrams[0])
        self.count = len(packets)
        data = b"".join(self.datagrams)
        self.read = len(data)
        self.road.received[: len(data)] = data

    def afresh(self) -> None:
        self.window.top, self.window._blocks[:] = self._seen

    def whole(self) -> None:
        """All in one read, and nothing more waits."""
        self.afresh()
        self._carry_out(self.road.carry_read(self.read, self.octets, self.outside, 0, 1.0, natt=True))
        self._carry_out(self.road.end(1.0))

    def singly(self) -> None:
        """A read of each, and nothing more waits behind the last."""
        self.afresh()
        for datagram in self.datagrams:
            self.road.received[: self.octets] = datagram
            self._carry_out(self.road.carry_read(self.octets, self.octets, self.outside, 0, 1.0, natt=True))
        self._carry_out(self.road.end(1.0))

    def opened(self) -> OpenedRun:
        self.afresh()
        run = self.road._opener.open(self.sa, 0, self.octets, self.count)
        assert run is not None
        return run

    @property
    def layout(self) -> Layout:
        return self.road._opener._layout(0, self.octets, 0, 0, self.sa.cipher.icv_octets, rows_for(self.count))

    def _carry_out(self, results: Iterable[Result]) -> None:
        for _ in results:
            pass


class NoCipher:
    """Leaves what was opened before."""

    salt = b"salt"

    def open(self, *_: object) -> bool:
        return True


def test_finding_groups(benchmark: Benchmark) -> None:
    reads = Reads(BULK)
    assert benchmark(reads.road._grouping.stretches, 0, reads.octets, reads.count) == [(0, 45)]


def test_finding_the_sa(benchmark: Benchmark) -> None:
    reads = Reads(BULK)
    assert benchmark(reads.road._sa, 0, reads.octets, reads.outside, 0, False, reads.count, 1.0) is reads.sa


def test_columns_nonces_and_window(benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = Reads(BULK)
    reads.opened()
    monkeypatch.setattr(reads.sa, "run", NoCipher())
    assert len(benchmark(reads.opened).rows) == 45


def test_aead(benchmark: Benchmark) -> None:
    reads = Reads(BULK)
    reads.opened()
    opener, cipher = reads.road._opener, reads.sa.cipher
    assert cipher.run is not None
    layout = reads.layout
    assert benchmark(cipher.run.open, opener._nonce_views[:45], layout.sealed, layout.headers, layout.plain)


def test_trailer(benchmark: Benchmark) -> None:
    reads = Reads(BULK)
    inner = reads.opened().inner
    assert benchmark(opening._inside, reads.layout, 0, reads.count) == (inner, 4)


def test_what_policy_says(benchmark: Benchmark) -> None:
    reads = Reads(BULK)
    run = reads.opened()
    first = run.views[0][: run.inner]

    def ask() -> str | None:
        key = known.known_as(reads.sa.spi, 4, first)
        return None if key is None else reads.road._entry(reads.sa, key, first)

    assert benchmark(ask) == "all"


def test_comparing_flows(benchmark: Benchmark) -> None:
    assert benchmark(joining.same_flow, Reads(BULK).opened().rows, 4, IpProtocol.TCP) is not None


def test_checksums(benchmark: Benchmark) -> None:
    benchmark(sums, Reads(BULK).opened().rows, 12, len(BULK[0]))


def test_joining(benchmark: Benchmark) -> None:
    """With the checksums."""
    rows = Reads(BULK).opened().rows
    heads = joining.same_flow(rows, 4, IpProtocol.TCP)
    assert heads is not None
    assert len(benchmark(joining.joined, rows, heads)) == 1


def test_a_full_run(benchmark: Benchmark) -> None:
    reads = Reads(BULK)
    benchmark(reads.whole)
    assert reads.window.top == 46


def test_a_full_run_with_a_shorter_last_one(benchmark: Benchmark) -> None:
    reads = Reads(Big(count=44, segment=1_296, tail=400).segments())
    benchmark(reads.whole)
    assert reads.window.top == 46


@pytest.mark.parametrize(
    "packet", [udp(*ADDRESSES[4], data=bytes(36)), echo(*ADDRESSES[4], data=bytes(36))], ids=["UDP", "echo"]
)
def test_a_single_datagram_of_64_octets(benchmark: Benchmark, packet: bytes) -> None:
    reads = Reads([packet])
    benchmark(reads.whole)
    assert reads.window.top == 2


@pytest.mark.parametrize("joins", [(IpProtocol.UDP,), ()], ids=["joined", "apart"])
def test_a_run_of_64_octets_each(benchmark: Benchmark, joins: tuple[int, ...]) -> None:
    reads = Reads(SMALL, joins)
    benchmark(reads.whole)
    assert reads.window.top == 65


@pytest.mark.parametrize("count", [2, 3, 4, 8, 64])
def test_singles_of_64_octets_that_are_gathered(benchmark: Benchmark, count: int) -> None:
    reads = Reads(SMALL[:count])
    benchmark(reads.singly)
    assert reads.window.top == count + 1
