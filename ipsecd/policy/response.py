"""The default response rule: this machine answers hosts that ask for security where no rule says anything.

It never asks for any itself, and covers nothing until a host has negotiated an SA. What the SA's selectors hold,
between that host and this machine alone, is then protected as long as the SA lasts: Windows makes filters from the
negotiation, too. Every rule of the policy goes before it, and the default action behind it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain, product
from typing import TypeAlias

from ipsecd.policy import expand, peering
from ipsecd.policy import plan as planned
from ipsecd.policy.plan import DEFAULT_RESPONSE, Action, Entry, Plan
from ipsecd.policy.rules import Rule
from ipsecd.policy.schema import DefaultResponse, Policy
from ipsecd.wire.selector import Selector

Pair: TypeAlias = tuple[Selector, Selector]  # (local, remote)
Pairs: TypeAlias = tuple[Pair, ...]

_EVERYBODY = {4: Selector.net("0.0.0.0/0"), 6: Selector.net("::/0")}


def rule(line: int) -> planned.Rule:
    """The rule as an operator knows it; ``line`` is that of the policy file."""
    return planned.Rule(
        name=DEFAULT_RESPONSE,
        description="",
        action_name=DEFAULT_RESPONSE,
        action=Action.PROTECT,
        peer=DEFAULT_RESPONSE,
        children=(f"{DEFAULT_RESPONSE}/1",),
        entries=(),
        line=line,
    )


def peer(
    given: DefaultResponse,
    policy: Policy,
    around: expand.Surroundings,
    proposals: tuple[planned.ChildProposal, ...],
    lifetime: planned.Lifetime,
) -> planned.Peer:
    """Whoever may ask: the peer of a rule without a tunnel, for all traffic of this machine, that calls nobody."""
    local = tuple(peering.ours(_EVERYBODY.values(), around.me))
    child = planned.Child(
        name=f"{DEFAULT_RESPONSE}/1",
        rule=DEFAULT_RESPONSE,
        local=local,
        remote=tuple(_EVERYBODY[version] for version in sorted({each.version for each in local})),
        proposals=proposals,
        lifetime=lifetime,
        start=False,
    )
    like = Rule(
        name=DEFAULT_RESPONSE, filter_list="all-ip", action="require-security", authentication=given.authentication
    )
    return replace(peering.peer(like, policy, around), name=DEFAULT_RESPONSE, children=(child,), responds=True)


def patterns(plan: Plan) -> tuple[planned.Child, ...]:
    """The children that those of the hosts that ask are made after."""
    return tuple(chain.from_iterable(each.children for each in plan.peers if each.responds))


def entry(name: str, child: planned.Child, pairs: Pairs, line: int = 0) -> Entry:
    """The entry of what is protected by a child that is made after this one, or by all of them."""
    return Entry(name, DEFAULT_RESPONSE, Action.PROTECT, pairs, child=child.name, each=True, line=line)


def facing(local: Iterable[Selector], remote: Iterable[Selector]) -> Pairs:
    """The pairs, one of each side, between which a packet can go at all."""
    return tuple(
        (here, there)
        for here, there in product(local, remote)
        if here.version == there.version and (here.protocol == there.protocol or 0 in (here.protocol, there.protocol))
    )


def answered(plan: Plan, entries: tuple[Entry, ...]) -> Plan:
    """The plan with what hosts have negotiated by its default response: behind every rule, before the default
    action."""
    if not entries:
        return plan
    rules = tuple(each for each in plan.entries if each.rule)
    return replace(plan, entries=(*rules, *entries, *plan.entries[len(rules) :]))
