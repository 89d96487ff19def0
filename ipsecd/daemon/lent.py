"""Addresses that gateways have given us by mode config: they are put on the TUN device, where they are ours like any
other, so that filters with ``me`` cover them, and taken off again; with routes, so that programs use them for what lies
behind the gateway. The device ends with this process, and they with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, summarize_address_range
from itertools import islice

import structlog

from ipsecd import limits
from ipsecd.daemon.guard import Guard
from ipsecd.errors import KernelError
from ipsecd.ike.config import Peer
from ipsecd.ike.effects import Given
from ipsecd.io.kernel_state import KernelState
from ipsecd.io.lent import Lent
from ipsecd.io.netlink import DEFAULT_ROUTE, Network
from ipsecd.wire.selector import Address, Selector

log = structlog.get_logger()


class LentAddresses:
    """The kernel is told in a task of its own, always of what is ours then. ``behind`` says which networks the SAs of
    a peer lead to."""

    def __init__(self, kernel: KernelState, behind: Callable[[str], Iterable[Network]], guard: Guard) -> None:
        self._kernel = kernel
        self._behind = behind
        self._guard = guard
        self._given: dict[str, tuple[Address, ...]] = {}  # by the gateway
        self._told = Lent()
        self._telling: asyncio.Task[None] | None = None

    def given(self, effect: Given) -> None:
        """In the place of what that gateway has given before. Names and services are for the operator to use: nobody
        else is told of them."""
        self._given[effect.peer] = effect.addresses
        log.info(
            "address-given",
            peer=effect.peer,
            addresses=_listed(effect.addresses),
            dns=_listed(effect.dns),
            nbns=_listed(effect.nbns),
            subnets=_listed(effect.subnets),
        )
        self._tell()

    def taken_back(self, peer: str) -> None:
        addresses = self._given.pop(peer, ())
        if addresses:
            log.info("address-taken-back", peer=peer, addresses=_listed(addresses))
        self._tell()

    async def close(self) -> None:
        """The device is about to go."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait([self._telling])

    def _tell(self) -> None:
        if self._telling is None and self._ours != self._told:
            self._telling = asyncio.get_running_loop().create_task(self._change())

    @property
    def _ours(self) -> Lent:
        return Lent(
            frozenset(address for addresses in self._given.values() for address in addresses),
            frozenset(self._sources()),
        )

    def _sources(self) -> Iterator[tuple[Network, Address]]:
        """Two gateways may lead to one network: then the first one's address is used. A default route stays what it is:
        the gateways themselves are reached by that."""
        known: set[Network] = set()
        for peer, addresses in self._given.items():
            for network in self._behind(peer):
                source = next((each for each in addresses if each.version == network.version), None)
                if source is not None and network not in known and network.prefixlen > DEFAULT_ROUTE:
                    known.add(network)
                    yield network, source

    async def _change(self) -> None:
        with self._guard.over("addresses that were given"):
            while (ours := self._ours) != self._told:
                self._told = ours  # what fails isn't tried again until it becomes another
                try:
                    await self._kernel.lend(ours)
                except KernelError as error:
                    log.warning("address-not-put", addresses=_listed(ours.addresses), reason=str(error))
        self._telling = None


def networks_behind(peer: Peer) -> frozenset[Network]:
    """Those that its children are for, but for any that it's in itself: there its own packets have to go by the routes
    that there are."""
    found = {
        network
        for child in peer.children
        for each in child.remote[: limits.MAX_LENT_ROUTES]
        for network in islice(_networks(each), limits.MAX_LENT_ROUTES)
        if not any(remote.version == network.version and remote in network for remote in peer.remotes)
    }
    return frozenset(sorted(found, key=lambda each: (each.version, each))[: limits.MAX_LENT_ROUTES])


def _networks(selector: Selector) -> Iterator[Network]:
    match selector.start, selector.end:
        case (IPv4Address() as first, IPv4Address() as last):
            yield from summarize_address_range(first, last)
        case (IPv6Address() as first6, IPv6Address() as last6):
            yield from summarize_address_range(first6, last6)
        case _:
            return


def _listed(values: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, values))) or "none"
