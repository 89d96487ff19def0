"""What a name stands for in ``up``, ``down`` and ``rekey``.

to-hq         the rule: all its children       (a peer bears the name of its first rule, so it is written
to-hq/1       one child                         otherwise: other rules may share it)
peer:to-hq    the peer: its IKE SA, and the children of all rules that use it

A rule without a tunnel has a peer, and its children, for each pair of hosts. Its own names stand for all of them, and
these for those of one host, behind which one of our own addresses may stand, ``lan@192.0.2.9,192.0.2.1``:

lan@192.0.2.9, lan/1@192.0.2.9, peer:lan@192.0.2.9
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ipsecd.daemon.identifiers import Ids
from ipsecd.daemon.prepare import Prepared
from ipsecd.errors import OperatorError
from ipsecd.ike.config import Hosts
from ipsecd.ike.hosts import pair, why_none
from ipsecd.policy.plan import Action, Peer, Plan, Rule
from ipsecd.printable import printable, quoted
from ipsecd.wire.hostpair import hosts_named, pattern_id
from ipsecd.wire.selector import Address

_PEER = "peer:"


@dataclass(frozen=True, slots=True)
class Target:
    """``children`` are those meant, their identifiers by name. ``whole``: the peer has no others, so that its IKE SA is
    left without any; ``ike``: the IKE SA itself was named. ``each``: what is meant is all that is made after these, for
    whatever hosts; ``responds``: they have to call us."""

    peer: str
    children: Ids
    whole: bool
    ike: bool = False
    each: bool = False
    responds: bool = False

    @property
    def names(self) -> list[str]:
        """What was meant, as names to ask for again."""
        return [f"{_PEER}{self.peer}"] if self.ike else list(self.children)


def find(prepared: Prepared, name: str, source: Address | None = None) -> Target:
    """``source`` is the address that this machine would send from to the host that is named. Raises OperatorError if
    nothing that can be negotiated has that name."""
    kind = _PEER if name.startswith(_PEER) else ""
    named = hosts_named(name.removeprefix(kind))
    after = name if named is None else kind + named[0]
    plan, ids = prepared.plan, prepared.ids
    target = _of_peer(plan, after.removeprefix(kind), ids) if kind else _of_rule(plan, after, ids)
    if target.peer in prepared.unusable:
        raise OperatorError(f"{printable(name)} can't be used: {prepared.unusable[target.peer]}")
    if named is None:
        return target
    hosts = next((hosts for hosts in prepared.config.hosts if hosts.name == target.peer), None)
    if hosts is None:
        raise OperatorError(f"{after} has a tunnel, and so one peer", f"its own name means all of it: {after}")
    _, remote, local = named
    return _between(hosts, target, local or _ours(hosts, name, remote, source), remote, single=after in target.children)


def _of_peer(plan: Plan, name: str, ids: Ids) -> Target:
    for peer in plan.peers:
        if peer.name == name:
            return Target(name, _children(peer, ids), True, ike=True, each=peer.each, responds=peer.responds)
    raise _nothing(f"{_PEER}{name}", [f"{_PEER}{peer.name}" for peer in plan.peers])


def _of_rule(plan: Plan, name: str, ids: Ids) -> Target:
    for rule in plan.rules:
        if name == rule.name:
            return _target(plan, rule, rule.children, ids)
        if name in rule.children:
            return replace(_target(plan, rule, (name,), ids), whole=False)  # this child and nothing else
    rules = [rule for rule in plan.rules if rule.action is Action.PROTECT]
    siblings = [child for rule in rules if name.startswith(f"{rule.name}/") for child in rule.children]
    raise _nothing(name, siblings or [rule.name for rule in rules])


def _target(plan: Plan, rule: Rule, children: tuple[str, ...], ids: Ids) -> Target:
    if rule.action is not Action.PROTECT:
        raise OperatorError(f"rule {rule.name} negotiates nothing: its action is {rule.action_name}")
    peer = next(peer for peer in plan.peers if peer.name == rule.peer)
    meant = {child: ids[child] for child in children}
    return Target(rule.peer, meant, meant == _children(peer, ids), each=peer.each, responds=peer.responds)


def _children(peer: Peer, ids: Ids) -> Ids:
    return {child.name: ids[child.name] for child in peer.children}


def _between(hosts: Hosts, after: Target, local: Address, remote: Address, *, single: bool) -> Target:
    """What is meant of one host. ``single``: it is one child, and not a rule."""
    peer = pair(hosts, local, remote)
    made = {child.name: child.id for child in peer.children} if peer is not None else {}
    meant = {name: key for name, key in made.items() if pattern_id(key) in after.children.values()}
    if peer is None or not meant:
        raise OperatorError(f"nothing can be negotiated between {local} and {remote}", why_none(hosts, local, remote))
    return replace(after, peer=peer.name, children=meant, whole=meant == made and not single, each=False)


def _ours(hosts: Hosts, name: str, remote: Address, source: Address | None) -> Address:
    """Our end, where the name leaves it open."""
    ours = {each.start for child in hosts.children for each in child.local if each.version == remote.version}
    if source is not None and source in ours:
        return source
    if not ours:
        raise OperatorError(f"this machine has no IPv{remote.version} address that the rule is for")
    first = min(ours, key=int)
    if len(ours) > 1:
        hint = f"one of them behind the name says which, as in {name},{first}"
        raise OperatorError(f"no route says which of this machine's addresses leads to {remote}", hint)
    return first


def _nothing(name: str, known: list[str]) -> OperatorError:
    return OperatorError(f"nothing is called {quoted(name)}", f"there is {', '.join(known)}" if known else "")
