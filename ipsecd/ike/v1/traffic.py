"""What quick modes are begun for: of a child, the pairs of its selectors that IKEv1 can say, one for each pair of SAs.

A quick mode names one selector of each side (RFC 2409 section 5.5), with one port or with all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, product

from ipsecd import limits
from ipsecd.ike.config import Child
from ipsecd.ike.narrowing import Packet, Selectors, meets, show
from ipsecd.ike.v1.quick_terms import Ends
from ipsecd.wire.form import Form
from ipsecd.wire.selector import ANY_PORT, Address, Selector


class CannotBeSaid(Exception):
    """Why there can be no quick mode."""


class NotOurs(CannotBeSaid):
    """The same, as nothing here is for the addresses that mode config has given us; which may be so in a moment, as
    they become ours."""


def ends_of(
    child: Child, packet: Packet | None, here: tuple[Address, ...] = (), there: tuple[Address, ...] = ()
) -> tuple[Ends, ...]:
    """Those that the packet needs; without one, all of the child. ``here`` and ``there`` are the addresses that mode
    config has given us, or the peer: then it's for those alone. CannotBeSaid if there are none."""
    local, remote = _at(child.local, here), _at(child.remote, there)
    if not local:
        given = ", ".join(map(str, here))
        raise NotOurs(
            f"the gateway has given us {given}, which isn't in {show(child.local)}, the near side of the rule"
        )
    if packet is None:
        found = tuple(islice(_sayable(child, local, remote), limits.MAX_V1_PAIRS))
        if not found:
            raise CannotBeSaid(_reason(local, remote))
        return found
    near = tuple(each for each in local if each.contains(packet[0]))
    far = tuple(each for each in remote if each.contains(packet[1]))
    if not near or not far:
        only = f"{show(local)} here and {show(remote)} there"
        raise CannotBeSaid(f"by the addresses that mode config has given there may be SAs for {only} alone")
    first = next(_sayable(child, near, far), None)
    if first is None:
        raise CannotBeSaid(_reason(near, far))
    return (first,)


def as_of(packet: Packet, given: tuple[Address, ...]) -> Packet:
    """The packet as it would be from the address of its family that mode config has given us."""
    local, remote = packet
    fitting = [address for address in given if address.version == local.start.version]
    if not fitting or local.start in fitting:
        return packet
    return replace(local, start=fitting[0], end=fitting[0]), remote


def _at(side: Selectors, addresses: tuple[Address, ...]) -> Selectors:
    if not addresses:
        return side
    return tuple(
        replace(each, start=address, end=address)
        for each, address in product(side, addresses)
        if each.contains(replace(each, start=address, end=address))
    )


def _sayable(child: Child, local: Selectors, remote: Selectors) -> Iterator[Ends]:
    form = Form(transport=child.transport)
    for ours, theirs in product(local, remote):
        if meets((ours,), (theirs,)) and _port_fits(ours) and _port_fits(theirs):
            protocol = ours.protocol or theirs.protocol  # both identities say it
            yield Ends(replace(ours, protocol=protocol), replace(theirs, protocol=protocol), form)


def _port_fits(selector: Selector) -> bool:
    """One port, or all: 0 stands for those."""
    first, last = selector.ports
    return selector.ports == ANY_PORT or first == last != 0


def _reason(local: Selectors, remote: Selectors) -> str:
    ranges = [each for each in (*local, *remote) if not _port_fits(each)]
    if ranges:
        what = f"{show(tuple(ranges))}: only a single port, or all of them"
        return f"IKEv1 can't negotiate {what}; a filter for each port can be, or one for all, or IKEv2 be used"
    return f"nothing can go between {show(local)} and {show(remote)}"
