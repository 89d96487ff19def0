"""Who comes in from elsewhere, across the rules of a policy: addresses that gateways lend, and whose rules these are.

A peer that has been given an address gets SAs for that alone, so a rule has to protect it. Rules for the same peer are
one to whoever negotiates: if one asked for a user and another didn't, nobody would have to name one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from ipsecd.errors import Mistake
from ipsecd.policy.addresses import Kind
from ipsecd.policy.complaint import quoted
from ipsecd.policy.filters import Filter
from ipsecd.policy.halves import halves
from ipsecd.policy.identities import identity_of
from ipsecd.policy.model import PolicyFile
from ipsecd.policy.paths import Path
from ipsecd.policy.rules import Rule, Tunnel
from ipsecd.wire.mode_config import Network

Pool: TypeAlias = tuple[Network, Path]


def unfit_access(policy_file: PolicyFile) -> Iterator[Mistake]:
    """What is wrong with rules for hosts that come in from elsewhere. Persistent ones never are."""
    for policy in policy_file.content.policies:
        rules = [(path, rule) for path, rule in policy_file.rules(policy) if policy_file.is_negotiated(rule)]
        for path, rule in rules:
            yield from _outside(policy_file, policy, path, rule)
        yield from _overlapping(policy_file, rules)
        yield from _unlike(policy_file, rules)


def beside_the_gate(policy_file: PolicyFile) -> Iterator[Mistake]:
    """What is noted of keys that every client has, and that also open what asks for no user."""
    for name, policy in policy_file.content.policies.items():
        rules = [(path, rule) for path, rule in policy_file.rules(name) if policy_file.is_negotiated(rule)]
        asking = {
            method.psk: rule.name
            for _, rule in rules
            if rule.xauth is not None and rule.xauth.users is not None
            for method in rule.authentication
            if method.psk
        }
        opened = [(path, rule.authentication) for path, rule in rules if rule.xauth is None and _from_anywhere(rule)]
        if policy.default_response is not None and policy.default_response.active:
            opened.append((("policies", name, "default_response"), policy.default_response.authentication))
        for path, methods in opened:
            for index, method in enumerate(methods):
                if method.psk in asking:
                    message = f"this is the key of every client of rule {quoted(asking[method.psk])}"
                    told = f"{message}: whoever has it comes in here without a user"
                    yield policy_file.mistake((*path, "authentication", index), told, "use another key")


def _from_anywhere(rule: Rule) -> bool:
    return rule.tunnel is None or rule.tunnel.remote.is_any


def _pools(path: Path, rule: Rule) -> Iterator[Pool]:
    given = rule.mode_config.pools if rule.mode_config else None
    return ((pool, (*path, "mode_config", "pools", index)) for index, pool in enumerate(given or ()))


def _outside(policy_file: PolicyFile, policy: str, path: Path, rule: Rule) -> Iterator[Mistake]:
    """Pools that no filter of the rule has whole on its far side."""
    pools = list(_pools(path, rule))
    if not pools:
        return
    known = halves(policy_file, policy)
    filters = [each for _, each in policy_file.filters(path, rule)]
    both = [(each, known.get(f"{rule.name}/{number}")) for number, each in enumerate(filters, start=1)]
    for pool, where in pools:
        if not any(_reaches(each, pool, half=half) for each, half in both):
            message = f"no filter of this rule has all traffic of {pool} on its far side"
            yield policy_file.mistake(where, message, f"such as one with destination: {pool}")


def _reaches(each: Filter, pool: Network, *, half: bool | None) -> bool:
    far = each.source if each.destination.kind is Kind.ME or half else each.destination
    if each.protocol:
        return False
    if far.first is None or far.last is None:
        return far.kind is Kind.ANY and each.version in (None, pool.version)
    first, last = int(pool.network_address), int(pool.broadcast_address)
    return far.version == pool.version and int(far.first) <= first and last <= int(far.last)


def _overlapping(policy_file: PolicyFile, rules: list[tuple[Path, Rule]]) -> Iterator[Mistake]:
    """Pools that share some addresses, and not all: whoever has one of them would have another host's. The same pool in
    several rules is one pool."""
    first: dict[Network, Path] = {}
    for pool, where in (pool for path, rule in rules for pool in _pools(path, rule)):
        first.setdefault(pool, where)
    in_order = sorted(first, key=lambda pool: (pool.version, int(pool.network_address), pool.prefixlen))
    outer: Network | None = None
    for pool in in_order:
        if outer is not None and outer.version == pool.version and pool.network_address in outer:
            line = policy_file.line(first[outer])
            message = f"{pool} lies in {outer}, which is a pool in line {line}: two hosts could have the same address"
            yield policy_file.mistake(first[pool], message, "pools are the same or apart")
        else:
            outer = pool


def _unlike(policy_file: PolicyFile, rules: list[tuple[Path, Rule]]) -> Iterator[Mistake]:
    """Rules for the same peer that differ in how it comes in."""
    first: dict[object, tuple[Path, Rule]] = {}
    for path, rule in rules:
        if rule.tunnel is None:
            continue
        found, other = first.setdefault(_peer(rule, rule.tunnel), (path, rule))
        field = next((name for name in ("xauth", "mode_config") if getattr(rule, name) != getattr(other, name)), "")
        if field:
            whose = f"rule {quoted(other.name)} in line {policy_file.line(found)}"
            message = f"{whose} is for the same peer, and doesn't say the same of {field}"
            where = (*path, field) if getattr(rule, field) else path
            yield policy_file.mistake(where, message, "say the same in both, or give them identities of their own")


def _peer(rule: Rule, tunnel: Tunnel) -> object:
    return tunnel.remote, rule.identity.remote or identity_of(tunnel.remote)
