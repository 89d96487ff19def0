"""Traffic by iperf3, and what its report says about it."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.measuring.ends import Ends
from scripts.measuring.search import Trial
from tests.interop.waiting import eventually
from tests.netns.sites import Sites

PORT = 5201
BUFFER = 2_000_000  # octets of a UDP socket, so that its reader may sleep for a moment; less if the kernel allows less
PATIENCE = 60  # seconds that a test may take longer than it should


@dataclass(frozen=True, slots=True)
class Transfer:
    """TCP payload that arrived: octets, and bits a second."""

    octets: int
    rate: float


def transfer(sites: Sites, ends: Ends, seconds: int, streams: int = 1, *, back: bool = False) -> Transfer:
    """TCP from near to far, or ``back``."""
    more = ["-P", str(streams), *(["-R"] if back else [])]
    return transferred(_report(sites, ends, seconds, more))


def transferred(report: Mapping[str, Any]) -> Transfer:
    received = report["end"]["sum_received"]
    return Transfer(received["bytes"], received["bits_per_second"])


def datagrams(sites: Sites, ends: Ends, seconds: int, size: int, rate: float = math.inf) -> Trial:
    """UDP from near to far: ``rate`` packets a second with ``size`` octets of payload."""
    limit = 0 if rate == math.inf else round(rate * size * 8)
    more = ["-u", "-l", str(size), "-b", str(limit), "-w", str(_buffer())]
    return delivered(_report(sites, ends, seconds, more), size, rate)


def delivered(report: Mapping[str, Any], size: int, asked: float) -> Trial:
    """What the receiver counted, over the seconds that the sender took."""
    sent, received = report["end"]["sum_sent"], report["end"]["sum_received"]
    seconds = sent["seconds"]
    return Trial(asked, sent["bytes"] / size / seconds, received["bytes"] / size / seconds)


@contextmanager
def flow(sites: Sites, ends: Ends) -> Iterator[None]:
    """One TCP stream from near to far as long as this is entered, from when it has run for a second."""
    with _server(sites, ends):
        command = [*_client(ends), "-t", "3600", "--forceflush"]
        client = sites.popen(ends.near, command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            told = []
            for line in client.stdout or ():
                told.append(line)
                if "bits/sec" in line:
                    break
            else:
                raise RuntimeError(f"iperf3 ended early: {''.join(told)}")
            yield
        finally:
            client.kill()
            client.wait()


def _report(sites: Sites, ends: Ends, seconds: int, more: Sequence[str]) -> dict[str, Any]:
    with _server(sites, ends):
        command = [*_client(ends), "-J", "-i", "0", "-t", str(seconds), *more]
        done = sites.run(ends.near, command, check=False, timeout=seconds + PATIENCE)
    report: dict[str, Any] = json.loads(done.stdout) if done.stdout else {"error": done.stderr}
    if "error" in report or "sum_received" not in report["end"]:
        raise RuntimeError(f"iperf3 {' '.join(more)}: {report.get('error', 'nothing received')}")
    return report


def _client(ends: Ends) -> list[str]:
    return ["iperf3", "-c", ends.far_address, "-B", ends.near_address, "--connect-timeout", "20000"]


@contextmanager
def _server(sites: Sites, ends: Ends) -> Iterator[None]:
    """A server for one test."""
    command = ["iperf3", "-s", "-1", "-B", ends.far_address]
    server = sites.popen(ends.far, command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: f":{PORT}" in sites.run(ends.far, ["ss", "-Hltn"]).stdout, "iperf3 listens")
        yield
        with suppress(subprocess.TimeoutExpired):
            server.wait(5)
    finally:
        server.kill()
        server.wait()


def _buffer() -> int:
    return min(BUFFER, *(int(Path(f"/proc/sys/net/core/{side}mem_max").read_text()) for side in "rw"))
