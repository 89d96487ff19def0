"""UDP sockets for IKE and ESP: port 500 and port 4500, IPv4 and IPv6.

A socket is bound to the wildcard address and tells for each datagram which of our addresses it came to; each datagram
is sent from an address of the caller's choice.

What routers claim about the path is heard but not obeyed here, as ICMP isn't authenticated (RFC 4301 section 8.2):
datagrams go by the MTU of the link. The claim comes out of ``errors`` with the start of the datagram it speaks of,
and whoever knows the SAs judges it. Only IPv6 datagrams that may be fragmented go by what the kernel has heard of the
path, as nobody but their sender can cut them, and it believes no less than the 1,280 octets that any path carries.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections import Counter, deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from ipsecd.errors import KernelError
from ipsecd.limits import MAX_UDP_DATAGRAM, SEND_TRIES, SOCKET_BUFFER, SOCKET_ERRORS

Address = IPv4Address | IPv6Address

# linux/in.h, linux/in6.h, linux/errqueue.h; what Python's socket module doesn't name
IP_PKTINFO = 8
IP_MTU_DISCOVER = 10
IP_RECVERR = 11
IP_RECVTOS = 13
IPV6_MTU_DISCOVER = 23
UDP_SEGMENT = 103
UDP_GRO = 104
SEGMENT, GRO = "udp-segment", "udp-gro"
_OFFLOADS = {SEGMENT: UDP_SEGMENT, GRO: UDP_GRO}
IPV6_RECVERR = 25
PMTUDISC_WANT = 1  # fragments by what the kernel takes for the path's MTU
PMTUDISC_PROBE = 3  # sets DF and takes only the link's MTU into account
PMTUDISC_OMIT = 5  # leaves DF clear; ICMP never changes the path MTU
SO_EE_ORIGIN_LOCAL = 1
SO_RCVBUFFORCE = 33

Ancillary = list[tuple[int, int, bytes]]

_ANCILLARY = 256
_ANY_IPV6_LINK = 1_280 - 40 - 8  # octets of a UDP datagram (RFC 8200 section 5)
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
_NOT_OF_CUTTING = frozenset(
    {"send-forbidden", "send-full", "send-unreachable"}
)  # sending one by one would do no better
_REASONS = {
    errno.EPERM: "send-forbidden",  # a netfilter rule
    errno.EMSGSIZE: "send-too-big",
    errno.ENOBUFS: "send-full",
    errno.EAGAIN: "send-full",
    errno.ENETUNREACH: "send-unreachable",
    errno.EHOSTUNREACH: "send-unreachable",
    errno.EINVAL: "send-bad-source",  # the local address is no longer ours
    errno.EADDRNOTAVAIL: "send-bad-source",
}
DROPS = {
    "send-forbidden": "a packet filter of this machine forbids to send it",
    "send-too-big": "it's larger than the link to the peer carries",
    "send-full": "the kernel has no room left for what is to be sent",
    "send-unreachable": "no route leads to the peer",
    "send-bad-source": "the address it should be sent from isn't this machine's any more",
    "send-failed": "the kernel didn't send it, for another reason",
    "receive-truncated": "the kernel handed it over incomplete",
}
# What an ICMP error makes of the next call on the socket, whoever that is for.
_FROM_ICMP = frozenset(
    {
        errno.EMSGSIZE,
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.ECONNREFUSED,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.EHOSTDOWN,
        errno.ENONET,
        errno.EPROTO,
        errno.EACCES,
    }
)


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


@dataclass(frozen=True, slots=True)
class PathError:
    """What the kernel (``reported`` False) or a router (True) says of a datagram that was sent earlier.

    ``mtu`` is 0 unless it was too big. ``data`` is the beginning of that datagram, as much as came back.
    """

    errno: int
    reported: bool
    remote: Address
    remote_port: int
    mtu: int
    data: bytes


class Refusal(NamedTuple):
    """Why a datagram wasn't sent; ``mtu`` is that of the link if it is too narrow, 0 if nobody says."""

    reason: str
    mtu: int = 0


class UdpSocket:
    """A bound, marked, non-blocking socket. ``address`` gives the family, and is usually 0.0.0.0 or ``::``; ``natt``
    says whether this is the port where IKE carries the non-ESP marker (RFC 3948 section 2.2). ``offloads`` names what
    the kernel does for us: ``SEGMENT``, ``GRO``; ``without`` names what it isn't asked for."""

    def __init__(self, address: Address, port: int, mark: int, natt: bool, without: Collection[str] = ()) -> None:
        self.family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        self.natt = natt
        # The mode between two sends: with OMIT, ICMP changes no path MTU of the kernel's. For IPv6 the kernel then
        # doesn't tell us either; with PROBE it tells, and our own datagrams still go by the link's MTU alone.
        self._rest = PMTUDISC_OMIT if address.version == 4 else PMTUDISC_PROBE
        self.drops: Counter[str] = Counter()  # datagrams that weren't sent or couldn't be read, by reason
        self.heard: Counter[str] = Counter()  # errors about datagrams that were sent
        self._errors: deque[PathError] = deque(maxlen=SOCKET_ERRORS)  # read, and not yet handed out
        try:
            self._socket = socket.socket(self.family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        except OSError as error:
            raise KernelError(
                f"no UDP socket for IPv{address.version}: {error.strerror}", "is that protocol switched off?"
            ) from error
        try:
            self._configure(mark)
            self._socket.bind((str(address), port))
        except OSError as error:
            self._socket.close()
            raise _refused(port, error) from error
        self.port: int = self._socket.getsockname()[1]
        self.offloads = frozenset(
            name
            for name, option in ((SEGMENT, UDP_SEGMENT), (GRO, UDP_GRO))
            if name not in without and self._can(option)
        )

    def _can(self, option: int) -> bool:
        """Ask for GRO, and whether there is UDP_SEGMENT, which goes with each call."""
        try:
            self._socket.setsockopt(socket.SOL_UDP, option, int(option == UDP_GRO))
        except OSError:
            return False
        return True

    def _configure(self, mark: int) -> None:
        opened = self._socket
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER)
        if self.family == socket.AF_INET:
            opened.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            opened.setsockopt(socket.IPPROTO_IP, IP_RECVTOS, 1)
            opened.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        else:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
            opened.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        self._discover(self._rest)

    def fileno(self) -> int:
        """For the event loop: readable when a datagram or an error waits."""
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
            local, traffic_class, segment = self._told(ancillary)
            if local is None or flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC):
                self.drops["receive-truncated"] += 1
                continue
            return Received(octets, segment or octets, _address(sender[0]), sender[1], local, traffic_class)
        return None

    def _told(self, ancillary: Ancillary) -> tuple[Address | None, int, int]:
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
        return local, traffic_class, segment

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
        ancillary = self._says(local, traffic_class)
        target, mode = (str(remote), remote_port), self._mode(segment or len(data), may_fragment=may_fragment)
        if segment:
            return self._send_run(memoryview(data), segment, ancillary, target, mode)
        refusal = self._send(data, ancillary, target, mode)
        if refusal is not None:
            self.drops[refusal.reason] += 1
        return refusal

    def _send_run(
        self, data: memoryview, octets: int, ancillary: Ancillary, target: tuple[str, int], mode: int
    ) -> Refusal | None:
        """In one call where the kernel can cut them, else one by one."""
        if SEGMENT in self.offloads:
            cut = (socket.SOL_UDP, UDP_SEGMENT, struct.pack("=H", octets))
            refusal = self._send(data, [*ancillary, cut], target, mode)
            if refusal is None or refusal.reason in _NOT_OF_CUTTING:
                self.drops.update({refusal.reason: -(-len(data) // octets)} if refusal else {})
                return None
        for at in range(0, len(data), octets):
            refusal = self._send(data[at : at + octets], ancillary, target, mode)
            if refusal is not None and refusal.mtu and not at:
                self.drops[refusal.reason] += 1
                return refusal
            self.drops.update({refusal.reason: 1} if refusal else {})
        return None

    def _says(self, local: Address | None, traffic_class: int) -> Ancillary:
        """What goes with a datagram: where it comes from, and its TOS octet."""
        ancillary: Ancillary
        if self.family == socket.AF_INET:
            ancillary = [(socket.IPPROTO_IP, socket.IP_TOS, struct.pack("=i", traffic_class))]
            if local is not None:
                ancillary.append((socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=I4s4s", 0, local.packed, bytes(4))))
        else:
            ancillary = [(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, struct.pack("=i", traffic_class))]
            if local is not None:
                ancillary.append((socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, local.packed + bytes(4)))
        return ancillary

    def _send(
        self, data: bytes | memoryview, ancillary: Ancillary, target: tuple[str, int], mode: int
    ) -> Refusal | None:
        if mode != self._rest:
            self._discover(mode)
        refusal = self._try(data, ancillary, target)
        if mode != self._rest:
            self._discover(self._rest)
        return refusal

    def _mode(self, octets: int, *, may_fragment: bool) -> int:
        if not may_fragment:
            return PMTUDISC_PROBE
        if self.family == socket.AF_INET6 and octets > _ANY_IPV6_LINK:
            return PMTUDISC_WANT
        return self._rest

    def _try(self, data: bytes | memoryview, ancillary: Ancillary, target: tuple[str, int]) -> Refusal | None:
        """Again as long as an error may be another datagram's, as anybody can make those come."""
        reason = ""
        for _ in range(SEND_TRIES):
            try:
                self._socket.sendmsg((data,), ancillary, 0, target)
            except OSError as error:
                number = error.errno or 0
            else:
                return None
            reason = _REASONS.get(number, "send-failed")
            if number not in _FROM_ICMP:
                break
            if number == errno.EMSGSIZE and (mtu := self._link_mtu()):
                return Refusal(reason, mtu)
            self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # the one that waits now, if one does
        return Refusal(reason)

    def _link_mtu(self) -> int:
        """What the kernel has just said of the link in the error queue, 0 if nothing: then the error was none of its
        own. The routers' entries before it are kept."""
        for _ in range(SOCKET_ERRORS):
            if (error := self._read_error()) is None:
                return 0
            if not error.reported and error.mtu:
                return error.mtu
            self._errors.append(error)
        return 0

    def _discover(self, mode: int) -> None:
        """Whether datagrams may be fragmented is the socket's to say, not the datagram's."""
        if self.family == socket.AF_INET:
            self._socket.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, mode)
        else:
            self._socket.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, mode)

    def errors(self, limit: int) -> list[PathError]:
        """At most ``limit`` entries of the error queue (ip(7), IP_RECVERR)."""
        found = [self._errors.popleft() for _ in range(min(limit, len(self._errors)))]
        while len(found) < limit and (error := self._read_error()) is not None:
            found.append(error)
        return found

    def _read_error(self) -> PathError | None:
        try:
            data, ancillary, _, target = self._socket.recvmsg(MAX_UDP_DATAGRAM, 512, socket.MSG_ERRQUEUE)
        except OSError:  # it's empty
            return None
        self.heard["error-read"] += 1
        return next(_path_errors(ancillary, data, target), None)

    def close(self) -> None:
        self._socket.close()


@lru_cache(maxsize=1_024)
def _address(text: str) -> Address:
    return ip_address(text.partition("%")[0])


def _path_errors(ancillary: Ancillary, data: bytes, target: tuple[str, int]) -> Iterator[PathError]:
    for level, kind, content in ancillary:
        if (level, kind) not in {(socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)}:
            continue
        number, origin, _, _, _, info, _ = _EXTENDED_ERROR.unpack_from(content)
        yield PathError(
            errno=number,
            reported=origin != SO_EE_ORIGIN_LOCAL,
            remote=ip_address(target[0].partition("%")[0]),
            remote_port=target[1],
            mtu=info if number == errno.EMSGSIZE else 0,
            data=data,
        )


def _refused(port: int, error: OSError) -> KernelError:
    hints = {
        errno.EADDRINUSE: f"ss -ulpn 'sport = :{port}' shows who has it",
        errno.EACCES: "ipsecd needs CAP_NET_BIND_SERVICE for ports below 1024",
        errno.EPERM: "ipsecd needs CAP_NET_ADMIN to mark its sockets",
        errno.EADDRNOTAVAIL: "no interface has that address",
    }
    number = error.errno or 0
    return KernelError(f"can't open UDP port {port}: {os.strerror(number)}", hints.get(number, ""), errno=number)
