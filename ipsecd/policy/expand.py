"""Filters to entries: names become addresses, each family gets its own entry, and each way a packet can go is said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeAlias

from ipsecd.policy import traffic
from ipsecd.policy.addresses import AddressSet, Kind
from ipsecd.policy.filters import Filter
from ipsecd.policy.halves import NONE, Halves
from ipsecd.policy.model import PolicyFile
from ipsecd.policy.paths import Path
from ipsecd.policy.plan import Action, Entry
from ipsecd.policy.rules import Rule
from ipsecd.wire.selector import ANY_PORT, Address, Selector

Span: TypeAlias = tuple[Address, Address]
Pairs: TypeAlias = tuple[tuple[Selector, Selector], ...]

CONNECTIONS: Final = {"all": "", "lan": "lan", "remote-access": "remote-access"}
ACTIONS: Final = {"permit": Action.PERMIT, "block": Action.BLOCK, "negotiate": Action.PROTECT}


@dataclass(frozen=True, slots=True)
class Sets:
    """``known`` has what each well-known set meant when it last had an address; ``empty`` are those that have none
    now."""

    known: Mapping[str, tuple[Address, ...]] = field(default_factory=dict)
    empty: frozenset[str] = frozenset()


NO_SETS: Final = Sets()


@dataclass(slots=True)
class Surroundings:
    """What a policy's names mean here and now: this machine's addresses, and a resolver that answers at once.

    ``gone`` are names of which the DNS says that they have no address any more, whatever they meant before.
    ``unresolved`` gathers the DNS names and the well-known sets there was no address for.
    """

    resolve: Callable[[str], tuple[Address, ...]]
    me: tuple[Address, ...]
    gone: frozenset[str] = frozenset()
    sets: Sets = NO_SETS
    unresolved: dict[str, None] = field(default_factory=dict)

    def addresses(self, name: str, *, lasting: bool = True) -> tuple[Address, ...]:
        """The addresses of a DNS name, in a fixed order; none are noted. With ``lasting`` a name that is gone means
        what it meant before."""
        return self._noted(name, self.resolve(name) if lasting or name not in self.gone else ())

    def members(self, known_set: str, *, lasting: bool = True) -> tuple[Address, ...]:
        """The same of a well-known set."""
        sets = self.sets
        return self._noted(known_set, sets.known.get(known_set, ()) if lasting or known_set not in sets.empty else ())

    def _noted(self, name: str, found: Iterable[Address]) -> tuple[Address, ...]:
        addresses = tuple(sorted(set(found), key=lambda address: (address.version, int(address))))
        if not addresses:
            self.unresolved[name] = None
        return addresses

    def spans(self, addresses: AddressSet, version: int, *, lasting: bool = True) -> tuple[Span, ...]:
        """The address ranges of one family that one side of a filter covers; all are of one size."""
        if addresses.first is not None and addresses.last is not None:
            return ((addresses.first, addresses.last),) if addresses.version == version else ()
        if addresses.kind is Kind.ANY:
            return (
                (IPv4Address(0), IPv4Address(2**32 - 1)) if version == 4 else (IPv6Address(0), IPv6Address(2**128 - 1)),
            )
        found = self._found(addresses, lasting=lasting)
        return tuple((address, address) for address in dict.fromkeys(found) if address.version == version)

    def _found(self, addresses: AddressSet, *, lasting: bool) -> tuple[Address, ...]:
        if addresses.kind is Kind.ME:
            return self.me
        if addresses.kind is Kind.WELL_KNOWN:
            return self.members(addresses.text, lasting=lasting)
        return self.addresses(addresses.text, lasting=lasting)


_THIS_HOST: Final[dict[int, tuple[Span, ...]]] = {
    4: ((IPv4Address(0), IPv4Address(0)),),
    6: ((IPv6Address(0), IPv6Address(0)),),
}


def of_rule(
    policy_file: PolicyFile, path: Path, rule: Rule, around: Surroundings, halves: Halves = NONE
) -> Iterator[tuple[Path, Entry]]:
    """The entries of the rule at this path, each with the path of its filter, which is empty for a built-in one."""
    given = policy_file.action(rule)
    action = ACTIONS[given.action]
    hosts = action is Action.PROTECT and rule.tunnel is None
    for number, (place, each) in enumerate(policy_file.filters(path, rule), start=1):
        half = halves.get(f"{rule.name}/{number}")
        for entry in entries(f"{rule.name}/{number}", each, action, around, hosts=hosts, half=half):
            told = replace(
                entry,
                rule=rule.name,
                passthrough=given.inbound_passthrough,
                fallback=given.fallback_to_clear is not None,
                connections=CONNECTIONS[rule.connections],
                each=hosts,
                line=policy_file.line(place or (*path, "filter_list")),
            )
            yield place, told


def entries(
    name: str, each: Filter, action: Action, around: Surroundings, *, hosts: bool, half: bool | None = None
) -> Iterator[Entry]:
    """The entries of one filter, by family; none for a family in which it covers nothing at present. ``me`` always
    covers something, as this machine can get an address at any moment. ``hosts``: it is of a rule without a tunnel.
    ``half``: it is one of two (``halves.py``), and whether it covers what arrives.

    A DNS name that is gone, or a well-known set that is empty now, still protects and blocks what it meant before, but
    it permits nothing.
    """
    for version in (4, 6):
        if each.version not in (None, version):
            continue
        sources, destinations = (
            around.spans(side, version, lasting=action is not Action.PERMIT) for side in (each.source, each.destination)
        )
        ports = _ports(each, both=each.mirrored or half is not None)
        forth = _pairs(sources, destinations, each.protocol, ports)
        me = _pairs(*_symbolic(each, version, sources, destinations), each.protocol, ports)
        arriving = each.destination.kind is Kind.ME or (half is True and not hosts)
        family = "-v6" if version == 6 and each.version is None else ""
        for (suffix, pairs, outbound, inbound), (_, ours, _, _) in zip(
            _directions(each, action, forth, hosts=hosts, arriving=arriving),
            _directions(each, action, me, hosts=hosts, arriving=arriving),
            strict=True,
        ):
            if pairs or ours:
                yield Entry(f"{name}{family}{suffix}", "", action, pairs, outbound, inbound, me=ours)


def _symbolic(
    each: Filter, version: int, sources: tuple[Span, ...], destinations: tuple[Span, ...]
) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """The two sides with this host in the place of ``me``; nothing if neither is ``me``."""
    if each.destination.kind is Kind.ME:
        return sources, _THIS_HOST[version]
    return (_THIS_HOST[version], destinations) if each.source.kind is Kind.ME else ((), ())


def _pairs(
    sources: Iterable[Span], destinations: Iterable[Span], protocol: int, ports: tuple[traffic.Ports, traffic.Ports]
) -> Pairs:
    """(source, destination) of packets that a filter covers as it is written."""
    source_ports, destination_ports = ports
    destinations = tuple(destinations)
    return tuple(
        (Selector(*source, protocol, source_ports), Selector(*destination, protocol, destination_ports))
        for source in sources
        for destination in destinations
    )


def _ports(each: Filter, *, both: bool) -> tuple[traffic.Ports, traffic.Ports]:
    """RFC 4301 section 4.4.1.3: the type and code of ICMP stand on the side of the sender, on ``both`` if either may
    send."""
    message = None if each.icmp_type is None else traffic.icmp_number(each.protocol, each.icmp_type)
    if message is None:
        return each.source_port, each.destination_port
    first = message * 256 + (each.icmp_code or 0)
    span = (first, first if each.icmp_code is not None else first + 255)
    return span, span if both else ANY_PORT


def _directions(
    each: Filter, action: Action, forth: Pairs, *, hosts: bool, arriving: bool
) -> Iterator[tuple[str, Pairs, bool, bool]]:
    """Which pairs are (local, remote), and whether packets that leave and that arrive are covered. ``arriving``: the
    destination is our side."""
    back = tuple((destination, source) for source, destination in forth)
    if arriving:
        yield "", back, each.mirrored, True
    elif each.source.kind is Kind.ME or action is Action.PROTECT:
        yield "", forth, True, each.mirrored
        if hosts and each.source.kind is not Kind.ME:  # this machine may be on either side
            others = tuple(pair for pair in back if pair not in forth)
            yield ("-back", others, True, True) if each.mirrored else ("-in", back, False, True)
    elif each.mirrored:
        yield "", tuple(dict.fromkeys((*forth, *back))), True, True
    else:
        yield "", forth, True, False
        yield "-in", back, False, True
