"""Addresses of a network, lent to hosts that come in from elsewhere: one to each name.

A name gets the address that it had, as long as nobody else needed it. Those that nobody had come first, then those that
have been free for longest. Nothing is counted through, so that a network may be as large as IPv6 has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address

from ipsecd.wire.selector import Address


class AddressPool:
    """The first and the last address of a network are nobody's (of IPv6 the first alone), unless there are no others.
    ``reserved`` are others that aren't lent, such as the gateway's own."""

    def __init__(self, network: IPv4Network | IPv6Network, reserved: Iterable[Address] = ()) -> None:
        self.network = network
        self._reserved = frozenset(reserved)
        first, last = network.network_address, network.broadcast_address
        edges = (0, 0) if network.num_addresses <= 2 else (1, 1 if network.version == 4 else 0)
        self._next, self._last = int(first) + edges[0], int(last) - edges[1]
        self._first = self._next
        self._held: dict[str, tuple[Address, int]] = {}  # by name: the address, and how often it's held
        self._lent: set[Address] = set()
        self._free: dict[Address, str] = {}  # given back, and by whom; the longest first
        self._had: dict[str, Address] = {}  # by whom each of those was given back

    def __len__(self) -> int:
        """Addresses that are lent."""
        return len(self._held)

    def lease(self, name: str, wish: Address | None = None) -> Address | None:
        """An address for this name: that which it holds, had, or wishes, if it's free, else another; None if there is
        none. Whoever takes one gives it back with ``release``, as often as it was taken."""
        held = self._held.get(name)
        if held is not None:
            self._held[name] = held[0], held[1] + 1
            return held[0]
        address = self._chosen(name, wish)
        if address is None:
            return None
        self._lend(address)
        self._held[name] = address, 1
        return address

    def release(self, name: str) -> None:
        """One of those who hold the address of this name doesn't any more."""
        address, times = self._held.pop(name)
        if times > 1:
            self._held[name] = address, times - 1
            return
        self._lent.discard(address)
        self._free[address] = name
        self._had[name] = address

    def _chosen(self, name: str, wish: Address | None) -> Address | None:
        had = self._had.get(name)
        if had is not None:
            return had
        if wish is not None and self._may_lend(wish):
            return wish
        return self._unused() or next(iter(self._free), None)

    def _may_lend(self, address: Address) -> bool:
        inside = address.version == self.network.version and self._first <= int(address) <= self._last
        return inside and address not in self._lent and address not in self._reserved

    def _unused(self) -> Address | None:
        while self._next <= self._last:
            address = _address(self._next, self.network.version)
            if self._may_lend(address) and address not in self._free:
                return address
            self._next += 1
        return None

    def _lend(self, address: Address) -> None:
        self._lent.add(address)
        by = self._free.pop(address, None)
        if by is not None:
            del self._had[by]


def _address(number: int, version: int) -> Address:
    return ip_address(number.to_bytes(4 if version == 4 else 16, "big"))
