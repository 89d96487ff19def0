"""The outside: the interfaces that lead to the peers, and to everybody else."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from ipsecd.io.netlink import Address, Netlink

# To ask the kernel with how everybody is reached; nothing is ever sent there. Several, as one may be null-routed here,
# or our own: addresses of nobody (RFC 5737, RFC 3849), and of root name servers, to which everybody has a route.
EVERYBODY: tuple[Address, ...] = (
    IPv4Address("198.51.100.1"),
    IPv4Address("203.0.113.1"),
    IPv4Address("198.41.0.4"),
    IPv4Address("193.0.14.129"),
    IPv6Address("2001:db8:ffff::1"),
    IPv6Address("2001:503:ba3e::2:30"),
    IPv6Address("2001:7fd::1"),
)


class Outside:
    """What is known of it. While an address can't be reached, it is taken to be where it was last."""

    def __init__(self, netlink: Netlink) -> None:
        self._netlink = netlink
        self._ways: dict[Address, tuple[str, ...]] = {}

    async def look(self, peers: Iterable[Address], mark: int, tun: str) -> tuple[str, ...]:
        """The names of the interfaces by which these and everybody else are reached now, with the mark of our own
        sockets. ``tun`` is never one of them."""
        addresses = [address for address in (*peers, *EVERYBODY) if address.version in self._netlink.versions]
        names = {link.index: link.name for link in await self._netlink.links() if link.name not in {"lo", tun}}
        ways = {}
        for address in dict.fromkeys(addresses):
            indexes = await self._netlink.interfaces_to(address, mark)
            found = tuple(names[index] for index in indexes if index in names)
            ways[address] = found or self._ways.get(address, ())
        self._ways = ways
        return tuple(sorted({name for found in ways.values() for name in found}))
