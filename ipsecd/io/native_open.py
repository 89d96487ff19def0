"""Opening raw sockets for IP protocols 50 and 51: what the kernel is to do with them."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from ipsecd.errors import KernelError
from ipsecd.io.ipv6_front import ask_for_headers
from ipsecd.io.udp_open import IP_RECVERR, IPV6_RECVERR, SO_RCVBUFFORCE, hear_nothing
from ipsecd.limits import SOCKET_BUFFER

ESP, AH = 50, 51
PROTOCOLS = (ESP, AH)

# linux/in.h, linux/in6.h
_IP_NODEFRAG = 22
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER = 10, 23
_PMTUDISC_OMIT, _PMTUDISC_PROBE = 5, 3  # what ICMP says of the path changes nothing for what leaves here
_IPV6_HDRINCL = 36
# linux/icmpv6.h; RFC 3542 section 3.2: a bit for each type of message that is not handed over
_ICMP6_FILTER = 1
_ERRORS = sum(1 << kind for kind in (1, 2, 3, 4))  # RFC 4443 section 3
_ONLY_ERRORS = struct.pack("=8I", 0xFFFFFFFF & ~_ERRORS, *[0xFFFFFFFF] * 7)

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def open_receiving(version: int, protocol: int, mark: int) -> socket.socket:
    """Reads every packet of that protocol which comes to this machine, and what ICMP says of those that left it: that
    comes to whoever reads the protocol, whatever the socket they left by. The kernel puts fragments together before,
    and answers no packet any more with an ICMP error that says it doesn't know the protocol. Raises KernelError."""
    opened = _open(version, protocol)
    with _or_closed(version, opened):
        _mark(opened, mark)
        opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER)
        if version == 6:
            ask_for_headers(opened)
    return opened


def open_errors(mark: int) -> socket.socket:
    """Reads every ICMPv6 error, and nothing else. Raises KernelError."""
    opened = _open(6, socket.IPPROTO_ICMPV6)
    with _or_closed(6, opened):
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        opened.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, _ONLY_ERRORS)
    return opened


def open_sending(version: int, mark: int) -> socket.socket:
    """Sends whole packets of either protocol, and hears no more than what the kernel says of its own link. Raises
    KernelError."""
    opened = open_header_included(version)
    with _or_closed(version, opened):
        _mark(opened, mark)
        hear_nothing(opened)  # packets of the protocol number 255 would fill it
        if version == 4:  # else connection tracking joins our fragments again, and cuts them as it likes
            opened.setsockopt(socket.IPPROTO_IP, _IP_NODEFRAG, 1)
    return opened


def open_header_included(version: int) -> socket.socket:
    """Sends whole packets of any protocol (raw(7), IPPROTO_RAW). Raises KernelError."""
    opened = _open(version, socket.IPPROTO_RAW)
    with _or_closed(version, opened):
        if version == 6:
            opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_HDRINCL, 1)
    return opened


def _open(version: int, protocol: int) -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    try:
        return socket.socket(_FAMILIES[version], kind, protocol)
    except OSError as error:
        raise _refused(version, error) from error


def _mark(opened: socket.socket, mark: int) -> None:
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    if opened.family == socket.AF_INET:
        opened.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        opened.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_OMIT)
    else:
        opened.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)


@contextmanager
def _or_closed(version: int, opened: socket.socket) -> Iterator[None]:
    """What fails inside closes the socket."""
    try:
        yield
    except OSError as error:
        opened.close()
        raise _refused(version, error) from error


def _refused(version: int, error: OSError) -> KernelError:
    number = error.errno or 0
    hints = {
        errno.EPERM: "ipsecd needs CAP_NET_RAW for native ESP and AH, and CAP_NET_ADMIN to mark its sockets",
        errno.EAFNOSUPPORT: "is that protocol switched off?",
    }
    return KernelError(
        f"can't open a raw socket for IPv{version}: {os.strerror(number)}", hints.get(number, ""), errno=number
    )
