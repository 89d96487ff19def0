"""What a policy depends on besides its file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from ipsecd.daemon.keyring import Sources
from ipsecd.daemon.resolver import Resolver
from ipsecd.daemon.wellknown import WellKnown
from ipsecd.io.netlink import Network
from ipsecd.io.netlink_values import Link
from ipsecd.wire.selector import Address


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a plan depends on besides the file. ``addresses`` are those of this machine, ``broadcasts`` those by which
    all hosts of its networks are reached, ``anycasts`` those that it hears among other routers; ``source_for`` is the
    address the kernel would send from to reach a peer, with a mark; ``outside`` are the interfaces by which it would
    reach those peers and everybody else, with a mark and a TUN; ``links`` are all interfaces, and ``interfaces_to`` the
    indexes of those by which it would reach an address, with a mark; ``named`` are the networks that its routes tell
    apart."""

    resolver: Resolver
    well_known: WellKnown
    sources: Sources
    addresses: Callable[[], Awaitable[tuple[tuple[str, Address], ...]]]
    source_for: Callable[[Address, int], Awaitable[Address | None]]
    outside: Callable[[Iterable[Address], int, str], Awaitable[tuple[str, ...]]]
    broadcasts: Callable[[], Awaitable[tuple[Address, ...]]]
    anycasts: Callable[[], Awaitable[tuple[Address, ...]]]
    links: Callable[[], Awaitable[tuple[Link, ...]]]
    interfaces_to: Callable[[Address, int], Awaitable[tuple[int, ...]]]
    named: Callable[[], Awaitable[tuple[Network, ...]]]
