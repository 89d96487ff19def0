"""Native packets with ESP that are alike, read one behind the other, so that they can be opened together.

The kernel gives a raw socket one packet in each call. What they have in common must be all that is told of them: so
here the packets of a run have the same headers but for lengths, and in IPv4 for Identification, TTL and checksum.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

from ipsecd.io.ipv6_front import in_front_of
from ipsecd.io.native import Address, NativeReceiver, Told, ends_of
from ipsecd.io.native_open import ESP
from ipsecd.limits import NATIVE_BUFFER

_V4 = struct.Struct("!H4xHxB2x8s")  # version, header length and TOS; flags and offset; protocol; addresses
_V6_OCTETS = 40
_Head: TypeAlias = tuple[int, int, int, bytes]
_Like: TypeAlias = _Head | Told


class NativeRun(NamedTuple):
    """``octets`` of whole IP packets, ``segment`` each but for the last, which may have less, and their addresses: the
    same objects while they are the same."""

    octets: int
    segment: int
    local: Address
    remote: Address


class RunReceiver(NativeReceiver):
    """Around a socket for ESP of ``native_open.open_receiving``."""

    def __init__(self, opened: socket.socket) -> None:
        super().__init__(opened)
        ipv4 = opened.family == socket.AF_INET
        self._into: Callable[[memoryview], tuple[int, _Like] | None] = self._ipv4_into if ipv4 else self._ipv6_into
        self._held: tuple[bytes, _Like] | None = None

    @property
    def holds(self) -> bool:
        """Whether a packet is held that wasn't like those before it: it is the next run, of which no event tells."""
        return self._held is not None

    def receive_run(self, buffer: memoryview, most: int) -> NativeRun | None:
        """The next packets, ``most`` at most, as long as they are alike; None if none waits. ``buffer`` has room for
        NATIVE_BUFFER octets or more. The rest as in ``receive``."""
        if self._held is not None:
            packet, before = self._held
            self._held = None
            buffer[: len(packet)] = packet
            return NativeRun(len(packet), len(packet), *_ends(before))
        first = self._met(partial(self._into, buffer))
        if first is None:
            return None
        segment, like = first
        local, remote = _ends(like)
        at, last = segment, min(len(buffer) - NATIVE_BUFFER, (most - 1) * segment)
        into, octets = self._into, segment
        while octets == segment and at <= last:
            try:
                read = into(buffer[at:])
            except BlockingIOError:
                break
            except OSError:
                self.heard["error-met"] += 1
                continue
            if read is None:
                continue
            octets, other = read
            if octets > segment or other != like:
                self._held = bytes(buffer[at : at + octets]), other
                break
            at += octets
        return NativeRun(at, segment, local, remote)

    def _ipv4_into(self, buffer: memoryview) -> tuple[int, _Head]:
        return self._socket.recv_into(buffer), _V4.unpack_from(buffer)

    def _ipv6_into(self, buffer: memoryview) -> tuple[int, Told] | None:
        octets, told = self._payload_into(buffer[_V6_OCTETS:])
        if told is None:
            return None
        headers = in_front_of(octets, told.front.headers)
        start = len(headers)
        if start != _V6_OCTETS:
            buffer[start : start + octets] = bytes(buffer[_V6_OCTETS : _V6_OCTETS + octets])
        buffer[:start] = headers
        return start + octets, told


def receiver(opened: socket.socket) -> NativeReceiver:
    """By the protocol that the socket reads."""
    return RunReceiver(opened) if opened.proto == ESP else NativeReceiver(opened)


def _ends(like: _Like) -> tuple[Address, Address]:
    """Where it goes, and where it comes from."""
    if isinstance(like, Told):
        return like.front.destination, like.remote
    return ends_of(like[-1])
