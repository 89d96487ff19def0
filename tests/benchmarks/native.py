"""What native packets cost, a run in one system call against each in a call of its own, both ways in one run:

    sudo .venv/bin/python -m tests.benchmarks.native

Two gateways stand side by side in network namespaces, with a wire between them. The ways take turns, so that a machine
that is slow for a moment is slow for all; of the rounds the least counts. A packet's time is the processor time of the
thread: what leaves is carried by the kernel up to the other gateway's socket meanwhile, and what comes waits there
already. It is read up to where nothing waits, as far as whoever reads has to ask for that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import ip_address

from ipsecd.io.native import NativeReceiver
from ipsecd.io.native_open import ESP, open_receiving, open_sending
from ipsecd.io.native_runs import RunReceiver, RunSender
from ipsecd.limits import BURST, NATIVE_BUFFER, RECEIVE_BUFFER
from tests.netns.places import GA_WAN, GB_WAN
from tests.netns.sites import Sites

ROUNDS = 200
COUNTS = (1, 2, 3, 4, 6, 8, 16, 32, 45)
OCTETS = 1_440
MARK = 0x77


def main() -> None:
    """Measure and print a table for each IP version."""
    with Sites() as sites:
        for version in (4, 6):
            print(f"\n| IPv{version}, packets; µs of each | out, singly | many | ratio | in, singly | many | ratio |")
            print(f"| {' | '.join(['---:'] * 7)} |")
            wire = _Wire(sites, version)
            for count in COUNTS:
                out, out_many, into, into_many = (found / count for found in wire.least(count))
                each = f"{out:.2f} | {out_many:.2f} | {out_many / out:.2f} | {into:.2f} | {into_many:.2f}"
                print(f"| {count} | {each} | {into_many / into:.2f} |", flush=True)


class _Wire:
    def __init__(self, sites: Sites, version: int) -> None:
        self._ends = ip_address(GA_WAN[version]), ip_address(GB_WAN[version])
        self._version = version
        self._sender = RunSender(sites.inside("ga", open_sending, version, MARK))
        opened = sites.inside("gb", open_receiving, version, ESP, MARK)
        self._receiver, self._runs = NativeReceiver(opened), RunReceiver(opened)
        self._buffer = memoryview(bytearray(RECEIVE_BUFFER + NATIVE_BUFFER))

    def least(self, count: int) -> list[float]:
        """What it takes to send so many one by one, and together, and to read them likewise."""
        packets = memoryview(bytearray(b"".join(self._packet(number) for number in range(count))))
        pieces = [packets[at : at + OCTETS] for at in range(0, len(packets), OCTETS)]
        if self._sender.send(packets, *self._ends, segment=OCTETS) is not None:
            raise RuntimeError("the wire carries nothing")
        again, all_again = self._sender.repeat(*self._ends), self._sender.repeat(*self._ends, segment=OCTETS)

        def singly() -> None:
            for piece in pieces:
                again(piece)

        def together() -> None:
            all_again(packets)

        def read_singly() -> None:
            while self._receiver.receive() is not None:
                pass

        def read_together() -> None:
            while self._runs.receive_run(self._buffer, BURST) is not None:
                if self._runs.drained and not self._runs.holds:
                    break

        turns = [(read_together, singly), (read_together, together), (together, read_singly), (together, read_together)]
        best = [float("inf")] * len(turns)
        for _ in range(ROUNDS):
            for number, (before, measured) in enumerate(turns):
                before()
                best[number] = min(best[number], _microseconds(measured))
        return best

    def _packet(self, number: int) -> bytes:
        local, remote = (address.packed for address in self._ends)
        if self._version == 4:
            header = b"\x45\0" + OCTETS.to_bytes(2, "big") + number.to_bytes(2, "big") + b"\x40\0\x40\x32\0\0"
        else:
            header = b"\x60\0\0\0" + (OCTETS - 40).to_bytes(2, "big") + b"\x32\x40"
        return (header + local + remote).ljust(OCTETS, bytes([number]))


def _microseconds(call: Callable[[], None]) -> float:
    start = time.thread_time()
    call()
    return (time.thread_time() - start) * 1e6


if __name__ == "__main__":
    main()
