"""Sees what crosses a link, and puts packets on it: packet sockets below every filter."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.netns.sites import Sites

ETH_P_ALL = 0x0003
ETHERNET_OCTETS = 14
PATIENCE = 10.0  # seconds to wait for what must come; no measure of speed


@dataclass(frozen=True, slots=True)
class Seen:
    """One IP packet on the link; ``outgoing``: sent by the place it was seen at."""

    packet: bytes
    outgoing: bool


def packet_socket(sites: Sites, place: str, interface: str, *, room: int = 1 << 24) -> socket.socket:
    """A socket that gets every frame of an interface, in and out, and doesn't block. The kernel keeps so many octets of
    frames, and of what it needs for them, until they are read."""

    def opened() -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(ETH_P_ALL))
        made.setsockopt(socket.SOL_SOCKET, 33, room)  # SO_RCVBUFFORCE
        made.bind((interface, 0))
        return made

    return sites.inside(place, opened)


class Capture:
    """Everything that crosses an interface while this is entered, in order."""

    def __init__(self, sites: Sites, place: str, interface: str) -> None:
        self._sites, self._place, self._interface = sites, place, interface
        self.seen: list[Seen] = []

    def __enter__(self) -> Self:
        self._socket = packet_socket(self._sites, self._place, self._interface)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def read(self) -> None:
        """Take in what has come."""
        while True:
            try:
                frame, (_, protocol, kind, *_) = self._socket.recvfrom(65_536)
            except BlockingIOError:
                return
            if protocol in {0x0800, 0x86DD}:
                self.seen.append(Seen(frame[ETHERNET_OCTETS:], kind == socket.PACKET_OUTGOING))

    def count(self, mark: bytes) -> int:
        """How many packets held these octets so far."""
        self.read()
        return sum(mark in seen.packet for seen in self.seen)

    def wait_for(self, mark: bytes) -> Seen:
        """The first packet with these octets; fails if none comes."""
        return self.wait(lambda seen: mark in seen.packet, f"a packet with {mark!r}")

    def wait(self, wanted: Callable[[Seen], bool], what: str) -> Seen:
        end = time.monotonic() + PATIENCE
        while True:
            self.read()
            for seen in self.seen:
                if wanted(seen):
                    return seen
            if time.monotonic() > end:
                raise AssertionError(f"{what} never crossed {self._interface} of {self._place}")
            select.select([self._socket], [], [], 0.2)


def send(sites: Sites, place: str, *packets: bytes) -> None:
    """Send whole IP packets from a place by its own routing, header included."""

    def go() -> None:
        for packet in packets:
            version = packet[0] >> 4
            family, level = (
                (socket.AF_INET, socket.IPPROTO_RAW) if version == 4 else (socket.AF_INET6, socket.IPPROTO_RAW)
            )
            with socket.socket(family, socket.SOCK_RAW, level) as opened:
                if version == 4:
                    opened.sendto(packet, (socket.inet_ntop(family, packet[16:20]), 0))
                else:
                    opened.setsockopt(socket.IPPROTO_IPV6, 36, 1)  # IPV6_HDRINCL
                    opened.sendto(packet, (socket.inet_ntop(family, packet[24:40]), 0))

    sites.inside(place, go)


def inject(sites: Sites, place: str, interface: str, to: str, *packets: bytes) -> None:
    """Put IP packets on a link as if they came from anywhere; ``to`` is the Ethernet address at the other end."""

    def go() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as opened:
            opened.bind((interface, 0))
            for packet in packets:
                ethertype = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
                opened.send(bytes.fromhex(to.replace(":", "")) + bytes.fromhex("020000000001") + ethertype + packet)

    sites.inside(place, go)
