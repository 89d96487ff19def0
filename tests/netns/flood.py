"""A steady flood of numbered UDP packets, so that not one that leaves in clear goes unseen."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from types import TracebackType
from typing import Self

from tests.netns.capture import Capture, send
from tests.netns.packets import udp
from tests.netns.places import GB_WAN, HA, HB
from tests.netns.sites import Sites

MARK = b"<covered packet>"
_MARKED = re.compile(rb"<covered packet>(\w+)")

_SEND = """
import socket, sys, time
name, gap, *flows = sys.argv[1:]
ends = []
for flow in flows:
    source, target = flow.split(",")
    opened = socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM)
    opened.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND: an address that comes later
    opened.bind((source, 0))
    ends.append((opened, (target, 4001)))
number = 0
while True:
    for opened, target in ends:
        try:
            opened.sendto(b"<covered packet>%b%d" % (name.encode(), number), target)
        except OSError:
            pass
        number += 1
    time.sleep(float(gap))
"""


class Flood:
    """UDP from ``place`` along each flow, a pair of source and target, every ``gap`` seconds while it is entered."""

    def __init__(self, sites: Sites, place: str, *flows: tuple[str, str], gap: float = 0.001) -> None:
        self._sites, self._place, self._flows, self._gap = sites, place, flows, gap

    def __enter__(self) -> Self:
        flows = [f"{source},{target}" for source, target in self._flows]
        command = [sys.executable, "-c", _SEND, self._place, str(self._gap), *flows]
        self._process = self._sites.popen(self._place, command, stderr=subprocess.DEVNULL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()


def in_clear(wan: Capture) -> list[str]:
    """The numbers of the packets that left by this link in clear so far."""
    wan.read()
    found = [_MARKED.search(seen.packet) for seen in wan.seen if seen.outgoing]
    return [match[1].decode() for match in found if match]


_SERIAL = itertools.count()


def leaves_in_clear(sites: Sites, wan: Capture, version: int = 4, source: str = "") -> bool:
    """Whether a packet from ha, or from an address of ga, to hb leaves ga in clear now."""
    number, place = next(_SERIAL), "ga" if source else "ha"
    covered, uncovered = (f"<{word} {number}>".encode() for word in ("covered", "uncovered"))
    start = source or HA[version]
    send(sites, place, udp(start, HB[version], covered))
    send(sites, place, udp(start, GB_WAN[version], uncovered))  # comes behind it, whatever becomes of the first
    wan.wait(lambda seen: seen.outgoing and uncovered in seen.packet, "an uncovered packet")
    return any(seen.outgoing and covered in seen.packet for seen in wan.seen)
