"""What of this machine decides about a packet: its addresses, and the ways to either end of the packet; and the ways to
all addresses, for those who see no packet's interface."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ipsecd import limits
from ipsecd.daemon.surroundings import Surroundings
from ipsecd.errors import KernelError
from ipsecd.io.netlink_values import Link
from ipsecd.ipsec.selectors import Flow
from ipsecd.policy.connections import Interfaces, connection
from ipsecd.policy.judging import Here
from ipsecd.policy.plan import Peer, Plan
from ipsecd.policy.reach import Reach, Types, parts
from ipsecd.wire.selector import Address


async def here(around: Surroundings, interfaces: Interfaces, flow: Flow) -> Here:
    """This machine as the kernel knows it now. ``interfaces`` are those that the floor knows. Raises KernelError."""
    source, destination = flow.addresses()
    names = await _names(around)
    return Here(
        frozenset(address for _, address in await around.addresses()),
        frozenset(await around.broadcasts()),
        forth=await _types(around, interfaces, names, destination),
        back=await _types(around, interfaces, names, source),
        anycasts=frozenset(await around.anycasts()),
    )


async def reach(around: Surroundings, interfaces: Interfaces) -> Reach:
    """By which types of connection all addresses are reached now. Raises KernelError, also if there are too many routes
    to ask for each."""
    names, every = await _names(around), list(parts(await around.named()))
    if len(every) > limits.MAX_PARTS:
        what = f"the routes tell {len(every)} parts of all addresses apart, more than {limits.MAX_PARTS}"
        raise KernelError(f"{what}: by which type of connection each is reached can't be followed", _FEWER)
    told = []
    for first, last in every:
        middle = type(first)((int(first) + int(last) + 1) // 2)
        told.append(((first, last), await _types(around, interfaces, names, middle)))
    return Reach.of(told)


async def in_reach(peer: Peer, plan: Plan, links: Iterable[Link], around: Surroundings) -> tuple[Peer, str]:
    """The peer with those of its addresses that are reached by the type of connection its rules are for, and, if none
    is, why nothing can be negotiated with it. What the rules cover stays covered."""
    if not peer.connections or not peer.remotes:
        return peer, ""
    kinds = {link.index: connection(plan.settings, link.name, link.kind) for link in links}
    ways = {
        remote: {kinds.get(index, "unknown") for index in await around.interfaces_to(remote, plan.settings.own_mark)}
        for remote in peer.remotes
    }
    near = tuple(remote for remote, found in ways.items() if found == {peer.connections})
    if near:
        return replace(peer, remotes=near), ""
    remote, found = next(iter(ways.items()))
    how = f"is reached by a connection of type {' and '.join(sorted(found))}" if found else "isn't reached"
    return replace(peer, remotes=()), f"{remote} {how}, and the rule is for {peer.connections} connections"


_FEWER = "rules with connections: all need none of that"


async def _names(around: Surroundings) -> dict[int, str]:
    return {link.index: link.name for link in await around.links()}


async def _types(around: Surroundings, interfaces: Interfaces, names: dict[int, str], address: Address) -> Types:
    """The types of connection by which an address is reached in clear."""
    indexes = await around.interfaces_to(address, 0)
    return frozenset(interfaces.type_of(names.get(index, "")) for index in indexes)
