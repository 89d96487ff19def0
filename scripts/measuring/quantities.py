"""What is measured: each number's name in the results, its title and unit, and whether more of it is better."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quantity:
    title: str
    unit: str
    more_is_better: bool


def _more(title: str, unit: str) -> Quantity:
    return Quantity(title, unit, more_is_better=True)


def _less(title: str, unit: str) -> Quantity:
    return Quantity(title, unit, more_is_better=False)


QUANTITIES = {
    "tcp1": _more("TCP, 1 stream", "Mbit/s"),
    "tcp1-back": _more("TCP, 1 stream, back", "Mbit/s"),
    "tcp1-cpu": _less("CPU of both daemons, TCP 1 stream", "s/GB"),
    "tcp1-memory": _less("memory of the larger daemon, TCP 1 stream", "MiB"),
    "tcp4": _more("TCP, 4 streams", "Mbit/s"),
    "tcp4-back": _more("TCP, 4 streams, back", "Mbit/s"),
    "tcp4-cpu": _less("CPU of both daemons, TCP 4 streams", "s/GB"),
    "tcp4-memory": _less("memory of the larger daemon, TCP 4 streams", "MiB"),
    "udp64": _more("UDP, 64 octets, < 1 % lost", "kpackets/s"),
    "udp1372": _more("UDP, 1,372 octets, < 1 % lost", "Mbit/s"),
    "blast64": _more("UDP, 64 octets, delivered of a blast", "kpackets/s"),
    "blast64-cpu": _less("CPU of both daemons, blast of 64 octets", "µs/packet"),
    "blast64-memory": _less("memory of the larger daemon, blast of 64 octets", "MiB"),
    "blast1372": _more("UDP, 1,372 octets, delivered of a blast", "Mbit/s"),
    "blast1372-cpu": _less("CPU of both daemons, blast of 1,372 octets", "µs/packet"),
    "blast1372-memory": _less("memory of the larger daemon, blast of 1,372 octets", "MiB"),
    "ping-p50": _less("ping, median, idle", "ms"),
    "ping-p99": _less("ping, 99th percentile, idle", "ms"),
    "loaded-ping-p50": _less("ping, median, beside a TCP stream", "ms"),
    "loaded-ping-p99": _less("ping, 99th percentile, beside a TCP stream", "ms"),
    "setup": _less("set-up, from the first packet to the first answer", "ms"),
    "ike": _more("IKE set-ups a second of the responder's CPU", "1/s"),
    "ike-stall": _less("answer of the responder's control process during IKE set-ups, 99.9th percentile", "ms"),
}
