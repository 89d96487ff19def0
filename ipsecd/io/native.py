"""ESP and AH as IP protocols 50 and 51: whole IP packets in and out, without UDP around them.

What comes is read by one socket for each IP version and protocol, what leaves goes by one for each IP version. As with
UDP (``udp.py``), packets go by the MTU of the link alone, and what routers claim about the path is handed on with the
start of the packet it speaks of, to be judged by whoever knows the SAs.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple, TypeVar

from ipsecd.io.ipv6_front import Front, front, with_payload
from ipsecd.io.native_open import AH
from ipsecd.io.outgoing import Refusal, coming_from, target_of, try_to_send
from ipsecd.io.udp_errors import ErrorQueue, PathError
from ipsecd.limits import RECEIVE_BUFFER, SOCKET_ERRORS, UDP_ENDS

Address = IPv4Address | IPv6Address
T = TypeVar("T")

ANCILLARY = 8_192  # extension headers of up to 2,048 octets each, as many as the kernel takes
_PLAIN = 3  # pieces of it without any: addresses, hop limit, flow
_ENDS_V4 = slice(12, 20)
_AH_SPI = 4  # octets of AH in front of its SPI (RFC 4302 section 2)
_CTRUNC, _TRUNC = int(socket.MSG_CTRUNC), int(socket.MSG_TRUNC)  # an enumeration would be looked at in Python
DROPS = {
    "unfinished-route": "its IPv6 extension headers came incomplete from the kernel, so its AH can't be verified",
}


class NativePacket(NamedTuple):
    """A whole IP packet and the addresses in its header; those of IPv6 are the same objects while they are the same,
    and so are those of IPv4."""

    packet: bytes
    local: Address
    remote: Address


class Told(NamedTuple):
    """Where an IPv6 packet comes from, and its headers."""

    remote: IPv6Address
    front: Front


class NativeReceiver:
    """Around a socket of ``native_open.open_receiving``, opened here or by another process of ours."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self.protocol = opened.proto
        self._buffer = memoryview(bytearray(RECEIVE_BUFFER))
        self._read = self._read_ipv4 if opened.family == socket.AF_INET else self._read_ipv6
        self.drops: Counter[str] = Counter()  # packets that couldn't be read, by reason
        self.heard: Counter[str] = Counter()  # errors about packets that were sent
        self._errors = ErrorQueue(opened, self.heard)

    def fileno(self) -> int:
        """For the event loop: readable when a packet or an error waits; and for handing it on."""
        return self._socket.fileno()

    def receive(self) -> NativePacket | None:
        """The next packet that waits; None if none does. Of what can't be used, and of errors that are met in its
        place, the counters tell. IPv6 headers are put together anew (``ipv6_front``); an ESP packet has none but the
        fixed one where they are incomplete."""
        return self._met(self._read)

    def _met(self, read: Callable[[], T | None]) -> T | None:
        """What the first read gives that isn't in vain; None if nothing waits."""
        for _ in range(SOCKET_ERRORS):
            try:
                found = read()
            except BlockingIOError:
                return None
            except OSError:  # an ICMP error shows itself here once; what it says stands in the error queue
                self.heard["error-met"] += 1
                continue
            if found is not None:
                return found
        return None

    def _read_ipv4(self) -> NativePacket:
        octets = self._socket.recv_into(self._buffer)
        packet = bytes(self._buffer[:octets])
        return NativePacket(packet, *ends_of(packet[_ENDS_V4]))

    def _read_ipv6(self) -> NativePacket | None:
        octets, told = self._payload_into(self._buffer)
        if told is None:
            return None
        remote, found = told
        return NativePacket(with_payload(found.headers, self._buffer[:octets]), found.destination, remote)

    def _payload_into(self, buffer: memoryview) -> tuple[int, Told | None]:
        """How many octets of payload an IPv6 packet has, and what the kernel tells beside it; None if that won't do."""
        octets, ancillary, flags, sender = self._socket.recvmsg_into((buffer,), ANCILLARY)
        return octets, self._usable(sender[0], tuple(ancillary), flags)

    def _usable(self, sender: str, ancillary: tuple[tuple[int, int, bytes], ...], flags: int) -> Told | None:
        told = _told if len(ancillary) <= _PLAIN else _told.__wrapped__  # what is kept must be small
        remote, found = told(sender, self.protocol, ancillary, bool(flags & _CTRUNC))
        if found is None or flags & _TRUNC:
            self.drops["receive-truncated"] += 1
            return None
        if not found.complete and self.protocol == AH:
            self.drops["unfinished-route"] += 1
            return None
        return Told(remote, found)

    def errors(self, limit: int) -> list[PathError]:
        """At most ``limit`` entries of the error queue; what a packet begins with is its SPI, of either protocol."""
        found = self._errors.take(limit)
        if self.protocol != AH:
            return found
        return [PathError(e.errno, e.reported, e.remote, e.remote_port, e.mtu, e.data[_AH_SPI:]) for e in found]

    def close(self) -> None:
        self._socket.close()


class NativeSender:
    """Around a socket of ``native_open.open_sending``."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._version = 4 if opened.family == socket.AF_INET else 6
        self.drops: Counter[str] = Counter()  # packets that weren't sent, by reason
        self.heard: Counter[str] = Counter()
        self._errors = ErrorQueue(opened, self.heard)

    def fileno(self) -> int:
        """For the event loop, and for handing it on."""
        return self._socket.fileno()

    def send(self, packets: bytes | memoryview, local: Address, remote: Address, *, segment: int = 0) -> Refusal | None:
        """Send one whole packet, header included, between the addresses that stand in it, or with ``segment`` packets
        of so many octets each, of which the last may have less: None, or why the first wasn't sent, and then no other
        is. What isn't sent is counted in ``drops`` too. ``send-too-big`` is what doesn't fit the link, whether it may
        be fragmented or not: nobody but its sender does that."""
        segment = segment or len(packets)
        refusal = self._try(packets[:segment], local, remote)
        if refusal is None:
            self._send_rest(packets, segment, local, remote, segment)
        else:
            self.drops[refusal.reason] += -(-len(packets) // segment)
        return refusal

    def repeat(self, local: Address, remote: Address, *, segment: int = 0) -> Callable[[bytes | memoryview], bool]:
        """What sends more between the same addresses, cut likewise: it says False if it can't, and ``send`` has to see
        why."""
        sendmsg, target = self._socket.sendmsg, target_of(self._version, int(remote), 0)
        source = coming_from(self._version, int(local))

        def again(packet: bytes | memoryview) -> bool:
            try:
                sendmsg((packet,), source, 0, target)
            except OSError:
                return False
            return True

        def all_again(packets: bytes | memoryview) -> bool:
            if not again(packets[:segment]):
                return False
            self._send_rest(packets, segment, local, remote, segment)
            return True

        return all_again if segment else again

    def _send_rest(self, packets: bytes | memoryview, segment: int, local: Address, remote: Address, sent: int) -> None:
        """All but the octets that are ``sent``. Whatever happens, that is sent, so what can't be is lost, as on a
        narrow link."""
        for at in range(sent, len(packets), segment):
            refusal = self._try(packets[at : at + segment], local, remote)
            if refusal is not None:
                self.drops[refusal.reason] += 1

    def _try(self, packet: bytes | memoryview, local: Address, remote: Address) -> Refusal | None:
        source = coming_from(self._version, int(local))
        return try_to_send(self._socket, self._errors, packet, source, target_of(self._version, int(remote), 0))

    def errors(self, limit: int) -> list[PathError]:
        """At most ``limit`` entries of the error queue, all of them this machine's own."""
        return self._errors.take(limit)

    def close(self) -> None:
        self._socket.close()


@lru_cache(maxsize=UDP_ENDS)
def ends_of(addresses: bytes) -> tuple[IPv4Address, IPv4Address]:
    """Of an IPv4 header: where it goes, and where it comes from."""
    return IPv4Address(addresses[4:]), IPv4Address(addresses[:4])


@lru_cache(maxsize=UDP_ENDS)
def _told(
    sender: str, protocol: int, ancillary: tuple[tuple[int, int, bytes], ...], truncated: bool
) -> tuple[IPv6Address, Front | None]:
    remote = IPv6Address(sender.partition("%")[0])
    return remote, front(remote, protocol, ancillary, truncated=truncated)
