"""Peers made after a pattern, each for one pair of hosts (RFC 4301 section 4.4.1.2, populate from packet).

Of the pattern's selectors such a peer keeps nothing but the two addresses, with the protocols and ports there are. So
whoever proves to be one of these hosts gets no SA for the traffic of another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from ipsecd.ike.config import Child, Hosts, Path, Peer
from ipsecd.ike.narrowing import Selectors, meets
from ipsecd.wire.hostpair import pair_id, pair_name
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import IdType
from ipsecd.wire.selector import Address, Selector, outermost

_BROADCAST = IPv4Address("255.255.255.255")


def pair(hosts: Hosts, local: Address, remote: Address) -> Peer | None:
    """The peer of two hosts, with those of the pattern's children that hold both; None if none does, or if ``unfit``
    says that there can't be one. Its names are those of the pattern with the remote address, and with ours if the
    pattern has several: they are unique as those are. As long as somebody has it, it is made once."""
    peer = hosts.made.get((local, remote))
    if peer is None and (peer := _made(hosts, local, remote)) is not None:
        hosts.made[local, remote] = peer
    return peer


def pairs(patterns: Iterable[Hosts], local: Address, remote: Address) -> tuple[Peer, ...]:
    """The peers of two hosts."""
    return tuple(peer for hosts in patterns if (peer := pair(hosts, local, remote)) is not None)


def pairs_with(peer: Peer, patterns: Iterable[Hosts], path: Path) -> tuple[Peer, ...]:
    """The peers of the same two hosts as ``peer``. Where an IKE SA leads to by now doesn't count, unless the policy has
    that address: whoever is authentic may let a message seem to come from anybody."""
    if peer.pattern and peer.local is not None:
        return pairs(patterns, peer.local, peer.remotes[0])
    if path.remote.address in peer.remotes:
        return pairs(patterns, path.local.address, path.remote.address)
    return ()


def unfit(local: Address, remote: Address) -> str:
    """Why two hosts can't negotiate, whatever the configuration says; empty if nothing is against it."""
    if local.version != remote.version:
        return f"{local} and {remote} are of two IP versions"
    if remote.is_multicast or remote == _BROADCAST:
        return f"{remote} is the address of many hosts at once"
    if remote.is_unspecified or remote.is_loopback:
        return f"{remote} is no address of another host"
    if remote == local:
        return f"{remote} is an address of this machine"
    if isinstance(remote, IPv6Address) and (remote.is_link_local or local.is_link_local):
        return f"IKE can't tell on which link {remote if remote.is_link_local else local} is"
    return ""


def why_none(hosts: Hosts, local: Address, remote: Address) -> str:
    """Why the pattern makes no peer of these two."""
    if reason := unfit(local, remote):
        return reason
    ours = any(holds(child.local, local) for child in hosts.children)
    return f"the rule isn't for {remote}" if ours else f"{local} is no address of ours in the rule"


def holds(selectors: Selectors, address: Address) -> bool:
    """Whether the address lies inside one of them, whatever their protocols and ports."""
    return next(_holding(selectors, address), None) is not None


def _made(hosts: Hosts, local: Address, remote: Address) -> Peer | None:
    if unfit(local, remote):
        return None
    named = _named(hosts, local)
    children = tuple(_children(hosts, local, remote, named))
    return _peer(hosts, local, remote, named, children) if children else None


def caller(hosts: Hosts, local: Address, remote: Address) -> Peer | None:
    """As ``pair``, but of its children with one at most, of AH if there is such: who may be anybody must not have us
    make all of them, and whether there is AH decides what it's shown of a NAT."""
    known = hosts.made.get((local, remote))
    if known is not None or unfit(local, remote):
        return known
    named = _named(hosts, local)
    for wanted in (hosts.with_ah, None):
        child = next(_children(hosts, local, remote, named, wanted), None)
        if child is not None:
            return _peer(hosts, local, remote, named, (child,))
    return None


def _named(hosts: Hosts, local: Address) -> Address | None:
    """Our address, if a name has to say which one of ours it is."""
    return None if hosts.ours[local.version] == {(local, local)} else local


def _children(
    hosts: Hosts, local: Address, remote: Address, named: Address | None, wanted: frozenset[int] | None = None
) -> Iterator[Child]:
    """Those of the wanted places, or of all."""
    for place in hosts.reach.holding(remote) if wanted is None or wanted else ():
        if wanted is not None and place not in wanted:
            continue
        child = _between(hosts.children[place], local, remote, named)
        if child is not None:
            yield child


def _peer(hosts: Hosts, local: Address, remote: Address, named: Address | None, children: tuple[Child, ...]) -> Peer:
    return Peer(
        name=pair_name(hosts.name, remote, named),
        local=local,
        remotes=(remote,),
        local_id=hosts.local_id or _identity(local),
        remote_id=hosts.remote_id or _identity(remote),
        shared_keys=hosts.shared_keys,
        proposals=hosts.proposals,
        children=children,
        lifetime=hosts.lifetime,
        dpd=hosts.dpd,
        encapsulation=hosts.encapsulation,
        fragmentation=hosts.fragmentation,
        sessions=hosts.sessions,
        keylog=hosts.keylog,
        pattern=hosts.name,
        responds=hosts.responds,
        versions=hosts.versions,
        special=hosts.special,
    )


def _between(child: Child, local: Address, remote: Address, named: Address | None) -> Child | None:
    here, there = _cut(child.local, local), _cut(child.remote, remote)
    if not meets(here, there):
        return None
    key, name = pair_id(child.id, local, remote), pair_name(child.name, remote, named)
    return replace(child, id=key, name=name, local=here, remote=there)


def _cut(selectors: Selectors, address: Address) -> Selectors:
    """What they say of this address alone."""
    found = tuple(Selector(address, address, each.protocol, each.ports) for each in _holding(selectors, address))
    return outermost(found) if len(found) > 1 else found


def _holding(selectors: Selectors, address: Address) -> Iterator[Selector]:
    number, version = int(address), address.version
    return (each for each in selectors if each.version == version and int(each.start) <= number <= int(each.end))


def _identity(address: Address) -> Identity:
    return Identity(IdType.IPV4_ADDR if address.version == 4 else IdType.IPV6_ADDR, address.packed)
