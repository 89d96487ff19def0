"""Opening UDP sockets: what the kernel is to do with them, and how they get their port."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address

from ipsecd.errors import KernelError
from ipsecd.limits import SOCKET_BUFFER

Address = IPv4Address | IPv6Address

# linux/in.h, linux/in6.h, linux/udp.h, asm/socket.h; what Python's socket module doesn't name
IP_PKTINFO = 8
IP_RECVERR = 11
IP_RECVTOS = 13
IPV6_RECVERR = 25
UDP_SEGMENT = 103
UDP_GRO = 104
SO_ATTACH_FILTER = 26
SO_RCVBUFFORCE = 33

SEGMENT, GRO = "udp-segment", "udp-gro"

_DROP_ALL = struct.pack("=HBBI", 0x06, 0, 0, 0)  # struct sock_filter: return 0 octets


def open_one(address: Address, port: int, mark: int) -> socket.socket:
    """Bound, marked, non-blocking, and telling all there is to tell about what it receives. Raises KernelError."""
    opened = _open(address, port, mark)
    with _or_closed(port, opened):
        _hear(opened)
        opened.bind((str(address), port))
    return opened


def open_pair(address: Address, port: int, mark: int) -> tuple[socket.socket, socket.socket]:
    """One that receives, as ``open_one`` gives it, and one that only sends, of the same address and port. Raises
    KernelError, also if anybody has that port.

    Of two that fit a datagram as well the kernel takes the one bound last, for ICMP errors too. The first is bound as
    if it were alone, so that it fails where another program is. From then on until the second is bound, another that
    sets SO_REUSEADDR can still get the port: it has to try in just that moment, and does no more harm than by having
    bound it before us.
    """
    sending = _open(address, port, mark)
    with _or_closed(port, sending):
        hear_nothing(sending)
        sending.bind((str(address), port))
        receiving = _open(address, port, mark)
        with _or_closed(port, receiving):
            _hear(receiving)
            for one in (receiving, sending):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            receiving.bind((str(address), sending.getsockname()[1]))
            for one in (sending, receiving):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    return receiving, sending


def ask(opened: socket.socket, offloads: Collection[str]) -> frozenset[str]:
    """Ask for these, and which of them there are."""
    return frozenset(
        name for name, option in ((SEGMENT, UDP_SEGMENT), (GRO, UDP_GRO)) if name in offloads and _can(opened, option)
    )


def _open(address: Address, port: int, mark: int) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    except OSError as error:
        raise KernelError(
            f"no UDP socket for IPv{address.version}: {error.strerror}", "is that protocol switched off?"
        ) from error
    with _or_closed(port, opened):
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        if family == socket.AF_INET:
            opened.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        else:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            opened.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    return opened


def _hear(opened: socket.socket) -> None:
    """Ask for what is told of a datagram that arrives, and for room."""
    opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER)
    if opened.family == socket.AF_INET:
        opened.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        opened.setsockopt(socket.IPPROTO_IP, IP_RECVTOS, 1)
    else:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)


def hear_nothing(opened: socket.socket) -> None:
    """Broadcasts go to every socket of a port: where nobody reads them, they'd take the room of errors."""
    filtering = ctypes.create_string_buffer(_DROP_ALL, len(_DROP_ALL))
    opened.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", 1, ctypes.addressof(filtering)))


def _can(opened: socket.socket, option: int) -> bool:
    """Ask for GRO, and whether there is UDP_SEGMENT, which goes with each call."""
    try:
        opened.setsockopt(socket.SOL_UDP, option, int(option == UDP_GRO))
    except OSError:
        return False
    return True


@contextmanager
def _or_closed(port: int, opened: socket.socket) -> Iterator[None]:
    """What fails inside closes the socket and is a KernelError that says what to do."""
    try:
        yield
    except OSError as error:
        opened.close()
        raise _refused(port, error) from error
    except KernelError:
        opened.close()
        raise


def _refused(port: int, error: OSError) -> KernelError:
    hints = {
        errno.EADDRINUSE: f"ss -ulpn 'sport = :{port}' shows who has it",
        errno.EACCES: "ipsecd needs CAP_NET_BIND_SERVICE for ports below 1024",
        errno.EPERM: "ipsecd needs CAP_NET_ADMIN to mark its sockets",
        errno.EADDRNOTAVAIL: "no interface has that address",
    }
    number = error.errno or 0
    return KernelError(f"can't open UDP port {port}: {os.strerror(number)}", hints.get(number, ""), errno=number)
