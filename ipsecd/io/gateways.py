"""The default gateways: the next hops of the default routes in the main routing table. Where those of nexthop objects
aren't shown (nexthop_compat_mode of ip-sysctl is 0) they aren't known.

A router of the Internet has a million routes, of which the kernel hands over all: so each is looked at no further than
needed, and others have their turn in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

from ipsecd import limits
from ipsecd.errors import KernelError
from ipsecd.io.netlink import MAIN_TABLE
from ipsecd.io.netlink_parts import attributes, messages

Address = IPv4Address | IPv6Address

_GET_ROUTE, _ROUTE, _DONE, _ERROR = 26, 24, 3, 2  # rtnetlink(7), netlink(7)
_REQUEST_DUMP = 0x301
_ASK = struct.Struct("=IHHIIBBBBBBBBI")  # struct nlmsghdr, then struct rtmsg
_RTMSG = 12
_CODE = struct.Struct("=i")  # struct nlmsgerr
_UNICAST = 1
_GATEWAY, _MULTIPATH, _VIA = 5, 9, 18  # RTA_*
_HOP = struct.Struct("=HBBi")  # struct rtnexthop
_SOL_NETLINK, _STRICT = 270, 12  # NETLINK_GET_STRICT_CHK: the kernel leaves other tables out, where it can
_READ = 65_536


async def gateways() -> tuple[Address, ...]:
    """Their addresses now, of both families. Raises KernelError."""
    found: dict[Address, None] = {}
    try:
        for family in (socket.AF_INET, socket.AF_INET6):
            async for body in _routes(family):
                found.update(dict.fromkeys(_next_hops(body[_RTMSG:])))
    except OSError as error:
        raise KernelError(f"can't look at the default routes: {error.strerror}") from error
    return tuple(found)[: limits.MAX_SET]


async def _routes(family: int) -> AsyncIterator[bytes]:
    """The default routes of the main table, each from its struct rtmsg on."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE) as opened:
        with contextlib.suppress(OSError):
            opened.setsockopt(_SOL_NETLINK, _STRICT, 1)
        route = (family, 0, 0, 0, MAIN_TABLE, 0, 0, 0, 0)
        opened.sendto(_ASK.pack(_ASK.size, _GET_ROUTE, _REQUEST_DUMP, 1, 0, *route), (0, 0))
        while True:
            for kind, body in messages(await asyncio.get_running_loop().sock_recv(opened, _READ)):
                if kind == _ERROR:
                    error = -_CODE.unpack_from(body)[0]
                    raise OSError(error, os.strerror(error))
                if kind == _DONE:
                    return
                # struct rtmsg: family, length of the prefix, of the source's, TOS, table, protocol, scope, type, flags
                if kind == _ROUTE and (body[1], body[4], body[7]) == (0, MAIN_TABLE, _UNICAST):
                    yield body


def _next_hops(route: bytes) -> Iterator[Address]:
    """Those of a route, by its attributes."""
    for kind, content in attributes(route):
        if kind == _MULTIPATH:
            yield from _several(content)
        elif kind == _GATEWAY:
            yield ip_address(content)
        elif kind == _VIA:  # of the other family, which stands in front of it (RFC 5549)
            yield ip_address(content[2:])


def _several(hops: bytes) -> Iterator[Address]:
    """Each has its attributes behind a struct rtnexthop."""
    while len(hops) >= _HOP.size:
        length, *_ = _HOP.unpack_from(hops)
        if not _HOP.size <= length <= len(hops):
            return
        yield from _next_hops(hops[_HOP.size : length])
        hops = hops[(length + 3) & ~3 :]
