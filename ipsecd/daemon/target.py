"""What a name stands for in ``up``, ``down`` and ``rekey``.

to-hq         the rule: all its children       (a peer bears the name of its first rule, so it is written
to-hq/1       one child                         otherwise: other rules may share it)
peer:to-hq    the peer: its IKE SA, and the children of all rules that use it
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ipsecd.daemon.prepare import Prepared
from ipsecd.errors import OperatorError
from ipsecd.policy.plan import Action, Peer, Plan, Rule
from ipsecd.printable import printable, quoted

_PEER = "peer:"


@dataclass(frozen=True, slots=True)
class Target:
    """``children`` are those meant. ``whole``: the peer has no others, so that its IKE SA is left without any;
    ``ike``: the IKE SA itself was named."""

    peer: str
    children: tuple[str, ...]
    whole: bool
    ike: bool = False

    @property
    def names(self) -> list[str]:
        """What was meant, as names to ask for again."""
        return [f"{_PEER}{self.peer}"] if self.ike else list(self.children)


def find(prepared: Prepared, name: str) -> Target:
    """Raises OperatorError if nothing that can be negotiated has that name."""
    plan = prepared.plan
    target = _of_peer(plan, name.removeprefix(_PEER)) if name.startswith(_PEER) else _of_rule(plan, name)
    if target.peer in prepared.unusable:
        raise OperatorError(f"{printable(name)} can't be used: {prepared.unusable[target.peer]}")
    return target


def _of_peer(plan: Plan, name: str) -> Target:
    for peer in plan.peers:
        if peer.name == name:
            return Target(name, _children(peer), whole=True, ike=True)
    raise _nothing(f"{_PEER}{name}", [f"{_PEER}{peer.name}" for peer in plan.peers])


def _of_rule(plan: Plan, name: str) -> Target:
    for rule in plan.rules:
        if name == rule.name:
            return _target(plan, rule, rule.children)
        if name in rule.children:
            return replace(_target(plan, rule, (name,)), whole=False)  # this child and nothing else
    rules = [rule for rule in plan.rules if rule.action is Action.PROTECT]
    siblings = [child for rule in rules if name.startswith(f"{rule.name}/") for child in rule.children]
    raise _nothing(name, siblings or [rule.name for rule in rules])


def _target(plan: Plan, rule: Rule, children: tuple[str, ...]) -> Target:
    if rule.action is not Action.PROTECT:
        raise OperatorError(f"rule {rule.name} negotiates nothing: its action is {rule.action_name}")
    everything = next(_children(peer) for peer in plan.peers if peer.name == rule.peer)
    return Target(rule.peer, children, whole=set(children) == set(everything))


def _children(peer: Peer) -> tuple[str, ...]:
    return tuple(child.name for child in peer.children)


def _nothing(name: str, known: list[str]) -> OperatorError:
    return OperatorError(f"nothing is called {quoted(name)}", f"there is {', '.join(known)}" if known else "")
