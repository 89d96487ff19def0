"""What gateways have lent this machine: addresses on the TUN, and routes that have programs use them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ipsecd.io.netlink import MAIN_TABLE, Address, Netlink, Network
from ipsecd.io.netlink_values import Route


@dataclass(frozen=True, slots=True)
class Lent:
    """``sources``: what goes to one of these networks has this address, unless a program chooses another itself. The
    routes of the main table are for that alone: what is to be protected is steered by its mark."""

    addresses: frozenset[Address] = frozenset()
    sources: frozenset[tuple[Network, Address]] = frozenset()

    def routes(self, link: int) -> Iterator[Route]:
        for network, source in self.sources:
            yield Route(network.version, MAIN_TABLE, "unicast", link, destination=str(network), source=str(source))


async def put(lent: Lent, netlink: Netlink, tun: str, link: int) -> bool:
    """Add what is missing; True if something was. Raises KernelError."""
    if not lent.addresses:
        return False
    there = {address for name, address in await netlink.addresses() if name == tun}
    missing = lent.addresses - there
    for address in missing:
        await netlink.add_address(link, address)
    known = await netlink.routes()
    routes = [route for route in lent.routes(link) if route not in known]
    for route in routes:
        await netlink.add_route(route)
    return bool(missing or routes)


async def take(lent: Lent, still: Lent, netlink: Netlink, link: int) -> None:
    """Remove what isn't to be there any more. Raises KernelError."""
    stay = set(still.routes(link))
    for route in lent.routes(link):
        if route not in stay:
            await netlink.remove_route(route)
    for address in lent.addresses - still.addresses:
        await netlink.remove_address(link, address)
