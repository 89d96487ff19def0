"""UDP sockets for IKE and ESP: port 500 and port 4500, IPv4 and IPv6.

A socket is bound to the wildcard address and tells for each datagram which of our addresses it came to; each datagram
is sent from an address of the caller's choice.

What routers claim about the path is heard but not obeyed here, as ICMP isn't authenticated (RFC 4301 section 8.2):
datagrams go by the MTU of the link. The claim comes out of ``errors`` with the start of the datagram it speaks of,
and whoever knows the SAs judges it. Only IPv6 datagrams that may be fragmented go by what the kernel has heard of the
path, as nobody but their sender can cut them, and it believes no less than the 1,280 octets that any path carries.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections import Counter
from collections.abc import Callable, Collection
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple, Self

from ipsecd.io.outgoing import REFUSED, Ancillary, Refusal, coming_from, target_of, try_to_send
from ipsecd.io.udp_errors import ErrorQueue, PathError
from ipsecd.io.udp_open import (
    GRO,
    SEGMENT,
    UDP_SEGMENT,
    Address,
    ask,
    open_one,
    open_pair,
)
from ipsecd.limits import SOCKET_ERRORS, UDP_ENDS

# linux/in.h, linux/in6.h
IP_MTU_DISCOVER = 10
IPV6_MTU_DISCOVER = 23
PMTUDISC_WANT = 1  # fragments by what the kernel takes for the path's MTU
PMTUDISC_PROBE = 3  # sets DF and takes only the link's MTU into account
PMTUDISC_OMIT = 5  # leaves DF clear; ICMP never changes the path MTU

_ANCILLARY = 256
_ANY_IPV6_LINK = 1_280 - 40 - 8  # octets of a UDP datagram (RFC 8200 section 5)
_NOT_OF_CUTTING = frozenset(
    {"send-forbidden", "send-full", "send-unreachable"}
)  # sending one by one would do no better
_INCOMPLETE = int(socket.MSG_CTRUNC | socket.MSG_TRUNC)  # an enumeration would do this in Python
DROPS = {**REFUSED, "receive-truncated": "the kernel handed it over incomplete"}


class Received(NamedTuple):
    """What one read gave: ``octets``, as datagrams of ``segment`` octets each but for the last, which may have less.
    ``local`` is the address of ours they were sent to, ``traffic_class`` the TOS octet or IPv6 traffic class with its
    ECN bits (RFC 3168)."""

    octets: int
    segment: int
    remote: Address
    remote_port: int
    local: Address
    traffic_class: int


class UdpSocket:
    """A bound, marked, non-blocking socket. ``address`` gives the family, and is usually 0.0.0.0 or ``::``; ``natt``
    says whether this is the port where IKE carries the non-ESP marker (RFC 3948 section 2.2). ``offloads`` names what
    the kernel does for us: ``SEGMENT``, ``GRO``; ``without`` names what it isn't asked for."""

    def __init__(self, address: Address, port: int, mark: int, natt: bool, without: Collection[str] = ()) -> None:
        """Raises KernelError."""
        opened = open_one(address, port, mark)
        self._take(opened, natt, ask(opened, {SEGMENT, GRO} - set(without)), sending=False)

    @classmethod
    def adopt(cls, opened: socket.socket, *, natt: bool, offloads: frozenset[str], sending: bool) -> Self:
        """Around one that another process has opened, here or as one of a ``pair``; ``sending`` says that it's the one
        that only sends. Needs no right, and no call that a worker doesn't have once it is shut in."""
        self = cls.__new__(cls)
        self._take(opened, natt, offloads, sending=sending)
        return self

    def _take(self, opened: socket.socket, natt: bool, offloads: frozenset[str], *, sending: bool) -> None:
        self._socket = opened
        self._version = 4 if opened.family == socket.AF_INET else 6
        self.port: int = opened.getsockname()[1]
        self.natt = natt
        self.offloads = offloads
        self.drops: Counter[str] = Counter()  # datagrams that weren't sent or couldn't be read, by reason
        self.heard: Counter[str] = Counter()  # errors about datagrams that were sent
        self._errors = ErrorQueue(opened, self.heard)
        # Between two sends the mode says what ICMP may do, and is that at rest: with OMIT it changes no path MTU of the
        # kernel's. For IPv6 the kernel then doesn't tell us either; with PROBE it tells, and our own datagrams still go
        # by the link's MTU alone. No ICMP comes to a socket that only sends: there the mode is about the next datagram
        # alone, and stays until one wants another.
        self._rest = PMTUDISC_OMIT if self._version == 4 else PMTUDISC_PROBE
        self._stays = sending
        self._discover(self._rest)

    def fileno(self) -> int:
        """For the event loop: readable when a datagram or an error waits; and for handing it on."""
        return self._socket.fileno()

    def receive_into(self, buffer: memoryview) -> Received | None:
        """What waits, in order of arrival; None if nothing does. Of what can't be used, and of errors that are met in
        its place, the counters tell."""
        for _ in range(SOCKET_ERRORS):
            try:
                octets, ancillary, flags, sender = self._socket.recvmsg_into((buffer,), _ANCILLARY)
            except BlockingIOError:
                return None
            except OSError:  # an ICMP error shows itself here once; what it says stands in the error queue
                self.heard["error-met"] += 1
                continue
            remote, remote_port, local, traffic_class, segment = _told(sender, tuple(ancillary))
            if local is None or flags & _INCOMPLETE:
                self.drops["receive-truncated"] += 1
                continue
            return Received(octets, segment or octets, remote, remote_port, local, traffic_class)
        return None

    def send(
        self,
        data: bytes | memoryview,
        remote: Address,
        remote_port: int,
        *,
        local: Address | None = None,
        traffic_class: int = 0,
        may_fragment: bool = True,
        segment: int = 0,
    ) -> Refusal | None:
        """Send one datagram; None, or why it wasn't sent, which is counted in ``drops`` too.

        ``local`` None leaves the source address to the kernel. ``may_fragment`` False sets DF (IPv4), and refuses
        with ``send-too-big`` what doesn't fit the link. With ``segment`` they are several, one behind the other, of so
        many octets each but for the last, which may have less: None, or the refusal of the first if it doesn't fit the
        link, and then none is sent; others are just counted.
        """
        target = target_of(self._version, int(remote), remote_port)
        source = None if local is None else int(local)
        mode = PMTUDISC_PROBE
        if may_fragment:
            too_long = self._version == 6 and (segment or len(data)) > _ANY_IPV6_LINK
            mode = PMTUDISC_WANT if too_long else self._rest
        if segment:
            return self._send_run(memoryview(data), segment, source, traffic_class, target, mode)
        refusal = self._send(data, _says(self._version, source, traffic_class, 0), target, mode)
        if refusal is not None:
            self.drops[refusal.reason] += 1
        return refusal

    def repeat(
        self, remote: Address, remote_port: int, *, local: Address, traffic_class: int, may_fragment: bool, segment: int
    ) -> Callable[[bytes | memoryview], bool] | None:
        """What sends more that is to go just like what has been sent a moment ago: it says False if it can't, and
        ``send`` has to see why. None where each call has something to decide."""
        mode = self._mode
        whole = segment and SEGMENT not in self.offloads
        if not self._stays or whole or mode != (self._rest if may_fragment else PMTUDISC_PROBE):
            return None
        if may_fragment and self._version == 6:
            return None
        sendmsg, target = self._socket.sendmsg, target_of(self._version, int(remote), remote_port)
        ancillary = _says(self._version, int(local), traffic_class, segment)

        def again(data: bytes | memoryview) -> bool:
            if self._mode != mode:
                return False
            try:
                sendmsg((data,), ancillary, 0, target)
            except OSError:
                return False
            return True

        return again

    def _send_run(
        self,
        data: memoryview,
        octets: int,
        source: int | None,
        traffic_class: int,
        target: tuple[str, int],
        mode: int,
    ) -> Refusal | None:
        """In one call where the kernel can cut them, else one by one."""
        if SEGMENT in self.offloads:
            refusal = self._send(data, _says(self._version, source, traffic_class, octets), target, mode)
            if refusal is None:
                return None
            if refusal.reason in _NOT_OF_CUTTING:
                self.drops[refusal.reason] += -(-len(data) // octets)
                return None
        ancillary = _says(self._version, source, traffic_class, 0)
        for at in range(0, len(data), octets):
            refusal = self._send(data[at : at + octets], ancillary, target, mode)
            if refusal is None:
                continue
            self.drops[refusal.reason] += 1
            if refusal.mtu and not at:
                return refusal
        return None

    def _send(
        self, data: bytes | memoryview, ancillary: Ancillary, target: tuple[str, int], mode: int
    ) -> Refusal | None:
        if mode != self._mode:
            self._discover(mode)
        refusal = try_to_send(self._socket, self._errors, data, ancillary, target)
        if not self._stays and mode != self._rest:
            self._discover(self._rest)
        return refusal

    def _discover(self, mode: int) -> None:
        """Whether datagrams may be fragmented is the socket's to say, not the datagram's."""
        if self._version == 4:
            self._socket.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, mode)
        else:
            self._socket.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, mode)
        self._mode = mode

    def errors(self, limit: int) -> list[PathError]:
        """At most ``limit`` entries of the error queue."""
        return self._errors.take(limit)

    def close(self) -> None:
        self._socket.close()


def pair(address: Address, port: int, mark: int, without: Collection[str] = ()) -> tuple[UdpSocket, UdpSocket]:
    """Two for the port where ESP comes and goes: all that arrives comes to the first, datagrams and what ICMP says of
    either's; the second only sends, and its errors are those of this machine alone. So two processes may have one
    each, and what they send by is their own. Raises KernelError, also if another program has the port."""
    receiving, sending = open_pair(address, port, mark)
    wanted = {SEGMENT, GRO} - set(without)
    return (
        UdpSocket.adopt(receiving, natt=True, offloads=ask(receiving, wanted), sending=False),
        UdpSocket.adopt(sending, natt=True, offloads=ask(sending, wanted - {GRO}), sending=True),
    )


@lru_cache(maxsize=UDP_ENDS)
def _says(version: int, source: int | None, traffic_class: int, segment: int) -> Ancillary:
    """What goes with a datagram: its TOS octet, where it comes from, and the size of the pieces it's cut into."""
    four = version == 4
    level, kind = (socket.IPPROTO_IP, socket.IP_TOS) if four else (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)
    said = [(level, kind, struct.pack("=i", traffic_class))]
    if source is not None:
        said += coming_from(version, source)
    if segment:
        said.append((socket.SOL_UDP, UDP_SEGMENT, struct.pack("=H", segment)))
    return tuple(said)


@lru_cache(maxsize=UDP_ENDS)
def _told(sender: tuple[str, int], ancillary: Ancillary) -> tuple[Address, int, Address | None, int, int]:
    """Of a datagram that came: from where, from which port, to which address of ours if that is told, its TOS octet,
    and the size of the pieces it was put together from, 0 if it wasn't."""
    local: Address | None = None
    traffic_class = segment = 0
    for level, kind, data in ancillary:
        match level, kind:
            case socket.IPPROTO_IP, 8:  # IP_PKTINFO: interface, our address for answers, the header's destination
                local = IPv4Address(data[8:12])
            case socket.IPPROTO_IP, socket.IP_TOS:
                traffic_class = data[0]
            case socket.IPPROTO_IPV6, socket.IPV6_PKTINFO:
                local = IPv6Address(data[:16])
            case socket.IPPROTO_IPV6, socket.IPV6_TCLASS:
                traffic_class = int.from_bytes(data[:4], sys.byteorder)
            case socket.SOL_UDP, 104:  # UDP_GRO
                segment = int.from_bytes(data[:4], sys.byteorder)
    return ip_address(sender[0].partition("%")[0]), sender[1], local, traffic_class, segment
