"""Steady floods of numbered UDP packets, so that not one that leaves in clear goes unseen."""

from __future__ import annotations

import itertools
import json
import mmap
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self

from tests.netns.capture import Capture, send
from tests.netns.packets import udp
from tests.netns.places import GB_WAN, HA, HB
from tests.netns.sites import Sites

MARK = b"<covered packet>"
MARKED = re.compile(rb"<covered packet>(\w+)\.(\d+);")

_SEND = """
import json, mmap, socket, sys, time
orders = json.load(sys.stdin)
sent = mmap.mmap(int(sys.argv[1]), 8)
ends = []
for flow in orders["flows"]:
    opened = socket.socket(socket.AF_INET6 if ":" in flow["target"] else socket.AF_INET, socket.SOCK_DGRAM)
    opened.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND: an address that comes later
    opened.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER: never DF, what is too large goes in fragments
    opened.bind((flow["source"], 0))
    mark = b"<covered packet>%b." % flow["name"].encode()
    ends.append((opened, (flow["target"], flow["port"]), mark, flow["octets"]))
number = orders["first"]
for _ in range(orders["rounds"]) if orders["rounds"] else iter(int, 1):
    for opened, target, mark, octets in ends:
        text = b"%b%d;" % (mark, number)
        number += 1
        sent[:] = number.to_bytes(8, "big")  # before it is sent: nobody sees a number that isn't there yet
        try:
            opened.sendto(text * (octets // len(text)) or text, target)
        except OSError:
            pass
    time.sleep(orders["gap"])
"""


@dataclass(frozen=True, slots=True)
class Flow:
    """UDP from an address of the place that sends to another one. ``name`` stands in each packet, and in each fragment
    of one; packets of about ``octets`` hold nothing else."""

    source: str
    target: str
    name: str
    port: int = 4001
    octets: int = 0


class Sender:
    """Sends one packet of each flow in turn from ``place``, then rests for ``gap`` seconds; ``rounds`` times, or while
    it is entered. The packets have consecutive numbers from ``first`` on."""

    def __init__(
        self, sites: Sites, place: str, flows: Sequence[Flow], *, gap: float, rounds: int = 0, first: int = 0
    ) -> None:
        self._sites, self._place = sites, place
        self._orders = {"flows": [asdict(flow) for flow in flows], "gap": gap, "rounds": rounds, "first": first}
        self._first = first

    def __enter__(self) -> Self:
        shared = os.memfd_create("sent")
        os.ftruncate(shared, 8)
        self._sent = mmap.mmap(shared, 8)
        self._sent[:] = self._first.to_bytes(8, "big")
        command = [sys.executable, "-c", _SEND, str(shared)]
        self._process = self._sites.popen(
            self._place, command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, pass_fds=[shared]
        )
        os.close(shared)
        assert self._process.stdin is not None
        json.dump(self._orders, self._process.stdin)
        self._process.stdin.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def sent(self) -> int:
        """The number of the next packet."""
        return int.from_bytes(self._sent[:], "big")

    def finish(self) -> None:
        """Wait for the last round."""
        assert self._process.wait(60) == 0


class Flood(Sender):
    """UDP from ``place`` along each flow, a pair of source and target, every ``gap`` seconds while it is entered."""

    def __init__(self, sites: Sites, place: str, *flows: tuple[str, str], gap: float = 0.001) -> None:
        super().__init__(sites, place, [Flow(*flow, place) for flow in flows], gap=gap)


def in_clear(wan: Capture) -> list[str]:
    """The numbers of the packets that left by this link in clear so far, behind who sent them."""
    return _numbers(wan, outgoing=True)


def arrived(link: Capture) -> list[str]:
    """The numbers of the packets that came by this link so far, behind who sent them."""
    return _numbers(link, outgoing=False)


def _numbers(link: Capture, *, outgoing: bool) -> list[str]:
    link.read()
    return [number for seen in link.seen if seen.outgoing == outgoing for number in numbers_in(seen.packet)]


def numbers_in(packet: bytes) -> list[str]:
    """The numbers in what crosses a link as one packet: when a gateway is behind, that may be several, which the last
    kernel on the way cuts (UDP segmentation offload)."""
    found = dict.fromkeys(match.group(1, 2) for match in MARKED.finditer(packet))
    return [f"{name.decode()}{number.decode()}" for name, number in found]


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
