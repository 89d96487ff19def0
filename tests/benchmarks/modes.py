"""What each form of protection costs a packet, beside ESP in tunnel mode in UDP, all in one run:

    .venv/bin/python -m tests.benchmarks.modes

The forms take turns, so that a machine that is slow for a moment is slow for all; of the rounds the least counts. It is
the processor time of the roads alone: no device, no socket.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from ipsecd.dataplane import messages as m
from ipsecd.dataplane.results import Out, Result
from ipsecd.dataplane.runs_in import RunsIn
from ipsecd.io.tun import NOTHING_LEFT
from ipsecd.wire.registry import IpProtocol
from tests.property.receivers import apart, arriving
from tests.property.run_values import ACK, ADDRESSES, Big
from tests.unit.dataplane.ends import TUN_MTU, End, only
from tests.unit.dataplane.shapes import EVERYTHING, Shape, ends
from tests.unit.ipsec.packets import syn, udp
from tests.unit.ipsec.pairs import CBC, ah_keys

NOW = 1.0
ROUNDS, TIMES = 60, 30
FAR_AWAY = m.Limits(soft_seconds=3_000.0, hard_seconds=3_600.0, soft_octets=1 << 60)
TUNNEL, TRANSPORT = (Shape(transport=transport, native=False) for transport in (False, True))
PAIR = ADDRESSES[4]
FULL, WHOLE = Big(segment=1_348, count=45), udp(*PAIR, data=bytes(36), df=True)
SMALL, LARGE, BARE = udp(*PAIR, data=bytes(36)), udp(*PAIR, data=bytes(1_322)), syn(*PAIR, 1_000, flags=ACK)
FORMS = {
    "ESP aes128gcm16, tunnel, UDP": TUNNEL,
    "ESP aes128gcm16, tunnel, native": Shape(transport=False),
    "ESP aes128gcm16, transport, native": Shape(),
    "AH sha256, tunnel, UDP": Shape("ah", transport=False, native=False),
    "AH sha256, tunnel, native": Shape("ah", transport=False),
    "AH sha256, transport, UDP": Shape("ah", native=False),
    "AH sha256, transport, native": Shape("ah"),
    "AH aes128gmac, transport, native": Shape("ah", mac="aes128gmac"),
}
SINGLY = {
    "ESP aes128gcm16, tunnel, UDP": TUNNEL,
    "ESP aes128gcm16, transport, UDP": TRANSPORT,
    "ESP aes128gcm16, tunnel, native": Shape(transport=False),
    "ESP aes128gcm16, transport, native": Shape(),
    "ESP aes128-sha256, transport, native": Shape(suite=CBC),
    "AH sha256, tunnel, native": Shape("ah", transport=False),
    "AH sha256, transport, native": Shape("ah"),
    "AH sha256, transport, UDP": Shape("ah", native=False),
    "AH aes128gmac, transport, native": Shape("ah", mac="aes128gmac"),
    "AH around ESP, transport, native": Shape("both"),
}


def main() -> None:
    """Measure and print four tables."""
    print("| by the runs' road, µs | tunnel | transport | ratio |\n| --- | ---: | ---: | ---: |")
    for what, calls in RUNS.items():
        tunnel, transport = least([calls(TUNNEL), calls(TRANSPORT)])
        print(f"| {what} | {tunnel:.2f} | {transport:.2f} | {transport / tunnel:.2f} |", flush=True)
    for way in (OUT, IN):
        print(f"\n| by the runs' road, µs | {' | '.join(way)} |\n| --- |{' ---: |' * len(way)}")
        columns = [least([calls(shape) for shape in FORMS.values()]) for calls in way.values()]
        for what, *figures in zip(FORMS, *columns, strict=True):
            print(f"| {what} | {' | '.join(f'{figure:.2f}' for figure in figures)} |", flush=True)
    print("\n| packet by packet, 1,350 octets, µs | out | in |\n| --- | ---: | ---: |")
    out = least([singly_out(shape) for shape in SINGLY.values()])
    into = least([singly_in(shape) for shape in SINGLY.values()])
    for what, one, other in zip(SINGLY, out, into, strict=True):
        print(f"| {what} | {one:.1f} | {other:.1f} |")


def least(calls: list[Callable[[], None]]) -> list[float]:
    """The microseconds that each call takes."""
    best = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for number, call in enumerate(calls):
            start = time.process_time()
            for _ in range(TIMES):
                call()
            best[number] = min(best[number], (time.process_time() - start) / TIMES * 1e6)
    return best


def _done(results: Iterable[Result]) -> None:
    for _ in results:
        pass


def both(shape: Shape) -> tuple[End, End]:
    """Near and far end, with SAs for the addresses of the packets here whose limits are far away."""
    near, far = End(near=True), End(near=False)
    for each in (near, far):
        if shape.native:
            each.outside = replace(each.outside, local_port=0, remote_port=0)
        if shape.protocol == "ah":
            each.keys = ah_keys(shape.mac)
        each.form = replace(each.form, transport=shape.transport)
        each.local = each.remote = EVERYTHING
        each.roads._inbound = RunsIn(tun_mtu=TUN_MTU, joins=(IpProtocol.TCP, IpProtocol.UDP))
        each.policy()
        each.install_inbound(limits=FAR_AWAY)
        each.install_outbound(limits=FAR_AWAY)
    return near, far


def sending(packet: bytes, head: bytes = NOTHING_LEFT, times: int = 1) -> Callable[[Shape], Callable[[], None]]:
    """So many reads of one packet from the TUN device."""

    def of(shape: Shape) -> Callable[[], None]:
        near, _ = both(shape)
        road, octets = near.roads._outbound, memoryview(bytearray(packet))

        def call() -> None:
            for _ in range(times):
                _done(road.carry_read(octets, head, NOW))
            _done(road.end(NOW))

        return call

    return of


def receiving(packets: list[bytes]) -> Callable[[Shape], Callable[[], None]]:
    """One read of these from the socket, again and again: the replay window is set back before."""

    def of(shape: Shape) -> Callable[[], None]:
        near, far = both(shape)
        road = far.roads._inbound
        apart(far, arriving(near, [udp(*PAIR)]), NOW, way=None)
        (sa,) = road._sad
        seen = sa.window.top, list(sa.window._blocks)
        datagrams = arriving(near, packets)
        octets, segment = sum(map(len, datagrams)), len(datagrams[0])

        def call() -> None:
            sa.window.top, sa.window._blocks[:] = seen
            road.received[:octets] = b"".join(datagrams)
            if shape.native:
                _done(far.roads.from_native_reads(octets, segment, far.outside, NOW))
            else:
                _done(far.roads.from_udp_read(octets, segment, far.outside, 0, True, NOW))
            _done(far.roads.from_udp_end(NOW))

        return call

    return of


RUNS: dict[str, Callable[[Shape], Callable[[], None]]] = {
    "out, 45 TCP segments at once": sending(FULL.packet, FULL.head),
    "out, 8 packets of 64 octets": sending(SMALL, times=8),
    "out, 64 packets of 64 octets": sending(SMALL, times=64),
    "out, one of 64 octets": sending(SMALL),
    "out, one ACK": sending(BARE),
    "in, 45 TCP segments at once": receiving(Big(segment=1_296, count=45).segments()),
    "in, 64 packets of 64 octets": receiving(Big(segment=36, count=64, tcp=False).segments()),
    "in, one of 64 octets": receiving([SMALL]),
    "in, one ACK": receiving([BARE]),
}


# what may be cut on its way doesn't go by runs in transport mode without UDP
OUT: dict[str, Callable[[Shape], Callable[[], None]]] = {
    "out, 45 TCP segments at once": sending(FULL.packet, FULL.head),
    "out, 64 packets of 64 octets": sending(WHOLE, times=64),
    "out, one of 64 octets": sending(WHOLE),
}

IN = {what: calls for what, calls in RUNS.items() if what in ("in, 45 TCP segments at once", "in, one of 64 octets")}


def singly_out(shape: Shape) -> Callable[[], None]:
    near, _ = ends(shape, everything=True)
    return lambda: _done(near.roads._outbound.carry([LARGE], NOW))


def singly_in(shape: Shape) -> Callable[[], None]:
    near, far = ends(shape, everything=True)
    road = far.roads._inbound
    sas = list(road._sad)
    (out,) = only(near.send(LARGE), Out)
    seen = [(sa.window.top, list(sa.window._blocks)) for sa in sas]

    def call() -> None:
        for sa, (top, blocks) in zip(sas, seen, strict=True):
            sa.window.top, sa.window._blocks[:] = top, blocks
        if shape.native:
            _done(road.carry_native(out.datagram, far.outside, NOW))
        else:
            _done(road.carry(out.datagram, far.outside, 0, NOW, natt=True))

    return call


if __name__ == "__main__":
    main()
