"""One datagram or packet on its way to the kernel, whatever socket it leaves by: where to, where from, and why not."""

from __future__ import annotations

import errno
import socket
import struct
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from ipsecd.io.udp_errors import ErrorQueue
from ipsecd.io.udp_open import IP_PKTINFO
from ipsecd.limits import SEND_TRIES, UDP_ENDS

Ancillary = tuple[tuple[int, int, bytes], ...]

REASONS = {
    errno.EPERM: "send-forbidden",  # a netfilter rule
    errno.EMSGSIZE: "send-too-big",
    errno.ENOBUFS: "send-full",
    errno.EAGAIN: "send-full",
    errno.ENETUNREACH: "send-unreachable",
    errno.EHOSTUNREACH: "send-unreachable",
    errno.EINVAL: "send-bad-source",  # the local address is no longer ours
    errno.EADDRNOTAVAIL: "send-bad-source",
}
REFUSED = {
    "send-forbidden": "a packet filter of this machine forbids to send it",
    "send-too-big": "it's larger than the link to the peer carries",
    "send-full": "the kernel has no room left for what is to be sent",
    "send-unreachable": "no route leads to the peer",
    "send-bad-source": "the address it should be sent from isn't this machine's any more",
    "send-failed": "the kernel didn't send it, for another reason",
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


class Refusal(NamedTuple):
    """Why it wasn't sent; ``mtu`` is that of the link if it is too narrow, 0 if nobody says."""

    reason: str
    mtu: int = 0


def try_to_send(
    opened: socket.socket, errors: ErrorQueue, data: bytes | memoryview, ancillary: Ancillary, target: tuple[str, int]
) -> Refusal | None:
    """Again as long as an error may be another datagram's, as anybody can make those come."""
    reason = ""
    for _ in range(SEND_TRIES):
        try:
            opened.sendmsg((data,), ancillary, 0, target)
        except OSError as error:
            number = error.errno or 0
        else:
            return None
        reason = REASONS.get(number, "send-failed")
        if number not in _FROM_ICMP:
            break
        if number == errno.EMSGSIZE and (mtu := errors.link_mtu()):
            return Refusal(reason, mtu)
        opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # the one that waits now, if one does
    return Refusal(reason)


# Numbers in the place of addresses: their hashes are ready, those of addresses are made in Python.
@lru_cache(maxsize=UDP_ENDS)
def target_of(version: int, number: int, port: int) -> tuple[str, int]:
    """An address and a port, as a call wants them."""
    return str(IPv4Address(number) if version == 4 else IPv6Address(number)), port


@lru_cache(maxsize=UDP_ENDS)
def coming_from(version: int, number: int) -> Ancillary:
    """What says which address of ours it leaves from: the kernel routes by it, and refuses what isn't ours, but for
    whole IPv4 packets."""
    if version == 4:
        return ((socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=I4s4s", 0, number.to_bytes(4, "big"), bytes(4))),)
    return ((socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, number.to_bytes(16, "big") + bytes(4)),)
