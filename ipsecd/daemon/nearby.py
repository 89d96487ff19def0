"""What of this machine decides about a packet: its addresses, and the ways to either end of the packet."""

from __future__ import annotations

from ipsecd.daemon.prepare import Surroundings
from ipsecd.ipsec.selectors import Flow
from ipsecd.policy.connections import Interfaces
from ipsecd.policy.judging import Here
from ipsecd.wire.selector import Address


async def here(around: Surroundings, interfaces: Interfaces, flow: Flow) -> Here:
    """This machine as the kernel knows it now. ``interfaces`` are those that the floor knows. Raises KernelError."""
    source, destination = flow.addresses()
    return Here(
        frozenset(address for _, address in await around.addresses()),
        frozenset(await around.broadcasts()),
        forth=await _types(around, interfaces, destination),
        back=await _types(around, interfaces, source),
        anycasts=frozenset(await around.anycasts()),
    )


async def _types(around: Surroundings, interfaces: Interfaces, address: Address) -> frozenset[str]:
    """The types of connection by which an address is reached in clear."""
    names = {link.index: link.name for link in await around.links()}
    indexes = await around.interfaces_to(address, 0)
    return frozenset(interfaces.type_of(names.get(index, "")) for index in indexes)
