"""What others change in the kernel: multicast news of rtnetlink and nftables, sorted only as far as to know what to
look at again."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from enum import Enum

from ipsecd.errors import KernelError
from ipsecd.io.netlink import DEFAULT_ROUTE
from ipsecd.io.netlink_parts import NETFILTER, NFTABLES, attributes, messages

_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_ROUTE_GROUPS = (1, 5, 9, 7, 11, 8, 19)  # link, IPv4 and IPv6 address, IPv4 and IPv6 route, IPv4 and IPv6 rule
_NFTABLES_GROUP = 7
_READ = 65_536


class Change(Enum):
    """Something of this kind changed, or news of it was lost."""

    LINK = "link"
    ADDRESS = "address"
    ROUTE = "route"
    UPLINK = "uplink"  # a default route, in whatever table
    ELSEWHERE = "elsewhere"  # another route, in another table
    RULE = "rule"


_KINDS = {
    16: Change.LINK,
    17: Change.LINK,
    20: Change.ADDRESS,
    21: Change.ADDRESS,
    24: Change.ROUTE,
    25: Change.ROUTE,
    32: Change.RULE,
    33: Change.RULE,
}
_NEW_TABLE, _DEL_TABLE = 0, 2  # linux/netfilter/nf_tables.h


class RoutingWatch:
    """Waits for changes of links, addresses, routes and rules in the network namespace it was opened in. ROUTE is of
    the routing table given alone."""

    def __init__(self, routes: int) -> None:
        self._noticed: set[Change] = set()
        self._news = asyncio.Event()
        self._compat = routes if routes < 256 else 252  # RT_TABLE_COMPAT: the header has one octet for the table
        self._socket = _listen(socket.NETLINK_ROUTE, _ROUTE_GROUPS)

    def close(self) -> None:
        self._socket.close()

    async def wait(self) -> frozenset[Change]:
        """The next changes; several that come together are reported together."""
        loop = asyncio.get_running_loop()
        while True:
            loop.add_reader(self._socket, self._news.set)
            try:
                await self._news.wait()
            finally:
                loop.remove_reader(self._socket)
            self._news.clear()
            if changes := self._read():
                return changes

    def notice(self, change: Change) -> None:
        """Somebody else has seen this: whoever waits is told as if the kernel had."""
        self._noticed.add(change)
        self._news.set()

    def _read(self) -> frozenset[Change]:
        changes, self._noticed = self._noticed, set()
        for data in _drain(self._socket):
            changes |= set(Change) if data is None else self._routing(data)
        return frozenset(changes)

    def _routing(self, data: bytes) -> set[Change]:
        changes = set()
        for kind, body in messages(data):
            change = _KINDS.get(kind)
            # struct rtmsg: family, length of the prefix, of the source's, TOS, then the table
            if change is Change.ROUTE and body[1] <= DEFAULT_ROUTE:
                changes.add(Change.UPLINK)
            elif change is Change.ROUTE and body[4] != self._compat:
                changes.add(Change.ELSEWHERE)
            if change is not None and (change is not Change.ROUTE or body[4] == self._compat):
                changes.add(change)
        return changes


class TableWatch:
    """Waits for changes of one nftables table in the network namespace it was opened in."""

    def __init__(self, table: str) -> None:
        self._table = table.encode() + b"\0"
        self._socket = _listen(NETFILTER, (_NFTABLES_GROUP,))

    def close(self) -> None:
        self._socket.close()

    async def wait(self) -> bool:
        """The next change: whether the table was removed and not made again. News that was lost counts as a change."""
        while True:
            await _readable(self._socket)
            changed = gone = False
            for data in _drain(self._socket):
                changed, gone = (True, False) if data is None else self._judge(data, changed, gone)
            if changed:
                return gone

    def _judge(self, data: bytes, changed: bool, gone: bool) -> tuple[bool, bool]:
        """Every nftables object names its table in its first attribute."""
        for kind, body in messages(data):
            if kind >> 8 == NFTABLES and (1, self._table) in attributes(body[4:]):
                changed = True
                gone = kind & 0xFF == _DEL_TABLE or (gone and kind & 0xFF != _NEW_TABLE)
        return changed, gone


async def _readable(opened: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    news = asyncio.Event()
    loop.add_reader(opened, news.set)
    try:
        await news.wait()
    finally:
        loop.remove_reader(opened)


def _listen(protocol: int, groups: tuple[int, ...]) -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
    try:
        opened.bind((0, 0))
        for group in groups:
            opened.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    except OSError as error:
        opened.close()
        raise KernelError(f"can't watch the kernel's state: {error.strerror}", "ipsecd needs CAP_NET_ADMIN") from error
    return opened


def _drain(opened: socket.socket) -> Iterator[bytes | None]:
    """Waiting datagrams; None where the kernel had to throw some away."""
    while True:
        try:
            yield opened.recv(_READ)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise KernelError(f"can't watch the kernel's state: {error.strerror}") from error
            yield None
