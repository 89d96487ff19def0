"""Filters that can't do what they say, as no packet has such addresses, or no SA could carry it; and tunnels that
another rule seems to protect.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final, TypeAlias

from ipsecd.policy.boxes import Place, Work, boxes, overlapping
from ipsecd.policy.complaint import quoted
from ipsecd.policy.paths import Path
from ipsecd.policy.plan import Action, Entry
from ipsecd.policy.rules import Rule
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.selector import Address, Selector

Networks: TypeAlias = tuple[IPv4Network | IPv6Network, ...]

_LOOPBACK: Final = tuple(map(ip_network, ("127.0.0.0/8", "::1/128")))
_MANY: Final = tuple(map(ip_network, ("224.0.0.0/4", "255.255.255.255/32", "ff00::/8")))
_MAPPED: Final = (ip_network("::ffff:0:0/96"),)  # RFC 4291 section 2.5.5.2
_ONE_LINK: Final = (ip_network("fe80::/10"),)
_THIS_HOST: Final[dict[int, Address]] = {4: IPv4Address(0), 6: IPv6Address(0)}


def futile(places: Iterable[Place]) -> dict[Path, str]:
    """What is said of filters that do nothing, or not what they say."""
    told: dict[Path, str] = {}
    for place in places:
        if message := _futile(place.entry):
            told.setdefault(place.path, message)
    return told


def _futile(entry: Entry) -> str:
    pairs = entry.me or entry.pairs
    if all(_inside(local, _LOOPBACK) or _inside(remote, _LOOPBACK) for local, remote in pairs):
        return "covers nothing: packets of the loopback never leave this machine, and pass whatever a filter says"
    if all(_inside(local, _MAPPED) or _inside(remote, _MAPPED) for local, remote in pairs):
        return "covers nothing: no packet has such an address, which stands for one of IPv4: write that"
    if entry.outbound != entry.inbound and all(_inside(pair[not entry.outbound], _MANY) for pair in pairs):
        return "covers nothing: no packet comes from such an address, and the way back isn't covered"
    if entry.action is Action.PROTECT and any(_inside(side, _MANY) for pair in pairs for side in pair):
        return "what goes to many can't be protected, as an SA has one peer: unless it is exempt, it is dropped"
    if entry.each and any(_inside(side, _ONE_LINK) for pair in pairs for side in pair):
        return "without a tunnel nobody negotiates between link-local addresses: unless it is exempt, it is dropped"
    return ""


def _inside(selector: Selector, networks: Networks) -> bool:
    return any(
        network.version == selector.version
        and int(network[0]) <= int(selector.start)
        and int(selector.end) <= int(network[-1])
        for network in networks
    )


def nested(rules: Iterable[tuple[Path, Rule]], places: Sequence[Place], work: Work) -> Iterator[tuple[Path, str]]:
    """What is said of the ends of tunnels that lie in what another rule protects, by another tunnel."""
    remotes = {rule.name: rule.tunnel.remote for _, rule in rules if rule.tunnel}
    ends = {id(place): place for path, rule in rules for place in _end(path, rule)}
    protecting = [place for place in places if place.entry.action is Action.PROTECT]
    told: dict[Path, Place] = {}
    found = [box for place in (*ends.values(), *protecting) for box in boxes(place)]
    for pair in overlapping(found if ends else [], work):
        for end, other in (pair[0].place, pair[1].place), (pair[1].place, pair[0].place):
            if id(end) not in ends or id(other) in ends or remotes[end.entry.rule] == remotes.get(other.entry.rule):
                continue
            if end.path not in told or other.number < told[end.path].number:
                told[end.path] = other
    for path, other in told.items():
        whose = f"the filter in line {other.entry.line} of rule {quoted(other.entry.rule)}"
        yield path, f"{whose} covers what goes there: IKE, ESP and AH of this tunnel are exempt from it, all else isn't"


def _end(path: Path, rule: Rule) -> Iterator[Place]:
    """The packets of a tunnel whose far end is known, from me, and from its near end if that is."""
    tunnel = rule.tunnel
    if tunnel is None or tunnel.remote.address is None:
        return
    remote = tunnel.remote.address
    here = [address for address in (_THIS_HOST[remote.version], tunnel.local.address) if address]
    pairs = tuple((_udp(address), _udp(remote)) for address in here)
    yield Place(-1, Entry("", rule.name, Action.PROTECT, pairs), (*path, "tunnel", "remote"), 0)


def _udp(address: Address) -> Selector:
    return Selector(address, address, IpProtocol.UDP)
