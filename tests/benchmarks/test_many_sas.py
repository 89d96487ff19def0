"""What one SA carries beside 9,999 others: `.venv/bin/python -m pytest tests/benchmarks/test_many_sas.py`.

Each benchmark is run with one SA and with 10,000, in one session: the ratio of both is what counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from ipsecd.dataplane.results import Result
from ipsecd.dataplane.runs_in import RunsIn
from ipsecd.dataplane.runs_out import RunsOut
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.selector import Selector
from tests.property.run_values import ADDRESSES, Big
from tests.unit.dataplane.ends import FAR_SPI, TUN_MTU, End, authentic, protect
from tests.unit.ipsec.packets import udp

Benchmark = Callable[..., Any]  # calls its first argument with the others, many times

COUNTS = (1, 10_000)
OTHERS = 0x0100_0000  # where the SPIs of the others begin
BULK = Big(count=45, segment=1_296)
JOINS = (IpProtocol.TCP, IpProtocol.UDP)


def crowd(end: End, count: int, *, outbound: bool) -> None:
    """SAs of as many children, each with an SPD entry of its own; the last is that of the nets."""
    nets = tuple(zip(end.local, end.remote, strict=True))
    others = [(f"child{number}", *_hosts(number)) for number in range(1, count)]
    end.policy(*(protect((local, remote), child=name) for name, local, remote in others), protect(*nets))
    for number, (name, local, remote) in enumerate(others):
        spi, selectors = OTHERS + number, {"local": (local,), "remote": (remote,)}
        if outbound:
            end.install_outbound(spi=spi, inbound=spi, child=name, **selectors)
        else:
            end.install_inbound(spi=spi, child=name, **selectors)


def _hosts(number: int) -> tuple[Selector, Selector]:
    last = f"{number >> 16}.{number >> 8 & 255}.{number & 255}"
    return Selector.net(f"11.{last}/32"), Selector.net(f"12.{last}/32")


def carried(results: Iterable[Result]) -> None:
    for _ in results:
        pass


@pytest.mark.parametrize("count", COUNTS)
def test_a_run_on_the_way_out(benchmark: Benchmark, count: int) -> None:
    end = End(near=True)
    end.roads._outbound = RunsOut(bytes, tun_mtu=TUN_MTU)
    crowd(end, count, outbound=True)
    end.install_outbound()
    packet, head = memoryview(bytearray(BULK.packet)), bytearray(BULK.head)
    benchmark(lambda: carried(end.roads._outbound.carry_read(packet, head, 1.0)))


@pytest.mark.parametrize("count", COUNTS)
def test_a_run_on_the_way_in(benchmark: Benchmark, count: int) -> None:
    near, far = End(near=True), End(near=False)
    road = far.roads._inbound = RunsIn(tun_mtu=TUN_MTU, joins=JOINS)
    crowd(far, count, outbound=False)
    far.install_inbound()
    near.install_outbound()
    far.receive(authentic(near, 4, udp(*ADDRESSES[4])))
    window = next(sa for sa in road._sad if sa.spi == FAR_SPI).window
    seen = window.top, list(window._blocks)
    datagrams = [authentic(near, 4, packet) for packet in BULK.segments()]
    data, octets = b"".join(datagrams), len(datagrams[0])
    road.received[: len(data)] = data

    def run() -> None:
        window.top, window._blocks[:] = seen
        carried(road.carry_read(len(data), octets, far.outside, 0, 1.0, natt=True))
        carried(road.end(1.0))

    benchmark(run)


@pytest.mark.parametrize("count", COUNTS)
def test_looking_up_an_spi(benchmark: Benchmark, count: int) -> None:
    end = End(near=False)
    crowd(end, count, outbound=False)
    end.install_inbound()
    sad = end.roads._inbound._sad
    assert benchmark(sad.get, FAR_SPI) is not None
