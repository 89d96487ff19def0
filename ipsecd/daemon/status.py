"""What the daemon shows of itself: plain values for the control protocol, never a secret."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import ipsecd
from ipsecd.daemon import drops
from ipsecd.daemon.app import App
from ipsecd.daemon.options import OFFLOADS
from ipsecd.daemon.protection import Protection
from ipsecd.daemon.softsas import SoftSa
from ipsecd.daemon.troubled import Troubled
from ipsecd.dataplane.messages import Counters, SaCounters
from ipsecd.ike.status import ChildSaStatus, IkeSaStatus, PartStatus
from ipsecd.policy.plan import DEFAULT_RESPONSE, Action, Rule
from ipsecd.wire.tfc import PATH_MTU

_NOTHING = {"packets": 0, "octets": 0, "idle": None, "dummies": 0}


def status(app: App, table: Mapping[str, int], counters: Counters | None) -> dict[str, Any]:
    """The daemon as a whole, and each rule of the policy in force. ``table`` are the counters of the kernel's table, by
    name, ``counters`` those of the data plane."""
    protection = app.protection
    dropped = Counter(drops.of_the_floor(table)) + (_dropped(protection, counters) if protection else Counter())
    return {
        "version": ipsecd.__version__,
        "pid": os.getpid(),
        "uptime": app.clock.now() - app.started,
        "policy": protection.prepared.plan.policy if protection else None,
        "assigned": assigned(app),
        "bare": app.bare,
        "file": str(app.options.policy),
        "log_level": app.journal.level,
        "monitors": app.journal.taps,
        "log_lines_lost": app.journal.dropped,
        "faults": dict(app.guard.faults),
        "unresolved": list(protection.prepared.plan.unresolved) if protection else [],
        "exempt": list(protection.prepared.plan.exempt.names) if protection else [],
        "drops": dict(sorted(dropped.items())),
        "drop_reasons": drops.meanings(sorted(dropped)),
        **(
            _in_force(app, protection, counters)
            if protection
            else {"rules": [], "soft_sas": [], "ike_sas": 0, "child_sas": 0}
        ),
    }


def assigned(app: App) -> dict[str, Any]:
    """Which policy is assigned, by whom, and what the policy file says."""
    found = app.assigned
    by = "unknown" if found.doubt else "ipsecctl" if found.chosen else "file"
    return {"policy": found.policy, "by": by, "file_says": found.said}


def sas(app: App, counters: Counters | None) -> dict[str, Any]:
    """Every IKE SA with its children, and what these have carried."""
    protection = app.protection
    if protection is None:
        return {"sas": []}
    counted = _counted(counters)
    now = app.clock.now()
    return {"sas": [_ike(sa, counted, now) for sa in protection.sas()]}


def _in_force(app: App, protection: Protection, counters: Counters | None) -> dict[str, Any]:
    sas = protection.sas()
    settings = protection.kernel.settings
    return {
        "rules": _rules(app, protection, sas),
        "soft_sas": [_soft(soft, app.clock.now()) for soft in protection.soft.standing()],
        "soft_sa_counts": dict(protection.soft.counters),
        "ike_sas": sum(sa.stage == "established" for sa in sas),
        "child_sas": sum(len(sa.children) for sa in sas),
        "packets": (dict(counters.paths) if counters else {}) | protection.heard(),
        "tun": {"name": settings.tun, "mtu": settings.mtu},
        "data_plane": protection.data_plane,
        "processes": protection.processes(),
        "offloads": {name: name in protection.offloads for name in OFFLOADS},
    }


def _dropped(protection: Protection, counters: Counters | None) -> Counter[str]:
    return protection.drops() + Counter(counters.drops if counters else {})


@dataclass(frozen=True, slots=True)
class _Now:
    """What there is now: names of children with an SA, all and by the rule that they are called after; peers that are
    being called or call; what the children of those are made after that are hosts of a rule without a tunnel; and the
    rules by which something passes in clear."""

    children: frozenset[str]
    called_after: Mapping[str, set[str]]
    calling: frozenset[str]
    patterns: frozenset[str]
    clear: frozenset[str]

    @classmethod
    def of(cls, sas: Iterable[IkeSaStatus], clear: frozenset[str]) -> _Now:
        called_after: dict[str, set[str]] = {}
        calling: set[str] = set()
        patterns: set[str] = set()
        for sa in sas:
            if sa.stage in {"connecting", "half-open"}:
                calling.add(sa.peer)
                patterns |= sa.patterns
            for child in sa.children:
                if child.stage == "up":
                    called_after.setdefault(child.rule, set()).add(child.name)
        up = frozenset().union(*called_after.values())
        return cls(up, called_after, frozenset(calling), frozenset(patterns), clear)

    def up(self, rule: Rule) -> set[str]:
        """Those of a rule; what is made of the halves of two rules is called after the first one."""
        return self.called_after.get(rule.name, set()) | self.children.intersection(rule.children)

    def negotiating(self, rule: Rule) -> bool:
        """Whether its peer is called or calls, or one of the hosts that it is for."""
        return rule.peer in self.calling or not self.patterns.isdisjoint(rule.children)


def _rules(app: App, protection: Protection, sas: Sequence[IkeSaStatus]) -> list[dict[str, Any]]:
    now = _Now.of(sas, protection.soft.rules())
    plan = protection.prepared.plan
    each = {peer.name for peer in plan.peers if peer.each}
    put_down, in_clear = protection.negotiation.hosts_put_down(), protection.soft.remotes()
    troubled = Troubled(sas, app.failures, put_down, in_clear, app.clock.now())
    return [
        _rule(rule, app, protection, now) | {"each": rule.peer in each} | troubled.told(rule) for rule in plan.rules
    ]


def _rule(rule: Rule, app: App, protection: Protection, now: _Now) -> dict[str, Any]:
    up = now.up(rule)
    unusable = protection.prepared.unusable.get(rule.peer, "")
    absent = "" if up else protection.prepared.absent.get(rule.peer, "")
    failure = app.failures.of_one_up(rule.name, app.clock.now()) if up else app.failures.of(rule.name)
    return {
        "name": rule.name,
        "description": rule.description,
        "action": rule.action_name,
        "peer": rule.peer,
        "state": _state(rule, now, unusable, protection, up=bool(up)),
        "reason": unusable or absent,
        "not_clear": "" if up else protection.soft.refused(rule.name),
        "children": list(rule.children),
        "up": sorted(up),
        "last_failure": failure
        and {
            "event": failure.event,
            "peer": failure.peer,
            "reason": failure.reason,
            "ago": app.clock.now() - failure.since,
        },
    }


def _soft(soft: SoftSa, now: float) -> dict[str, Any]:
    names = {"rule": soft.rule, "peer": soft.peer, "child": soft.child, "remote": str(soft.remote)}
    return {**names, "age": now - soft.since, "left": max(0.0, soft.until - now)}


def _state(rule: Rule, now: _Now, unusable: str, protection: Protection, *, up: bool) -> str:
    """In one word; of a rule that protects nothing, or nothing now, what it does instead."""
    if rule.action is not Action.PROTECT:
        return str(rule.action.value)
    if up:
        return "up"
    if rule.name in now.clear:
        return "clear"
    if unusable:
        return "unusable"
    idle = "waiting" if rule.name == DEFAULT_RESPONSE else "down"  # for a host that asks, whoever has put it down
    if idle == "down" and rule.children and all(protection.held(child) for child in rule.children):
        return "held"
    return "negotiating" if now.negotiating(rule) else idle


def _counted(counters: Counters | None) -> dict[tuple[str, str], SaCounters]:
    """What the roads know of each SA, by direction and SPI as the negotiation writes it."""
    found = counters.sas if counters else ()
    return {
        (each.direction, f"{each.inbound:08x}" if each.direction == "out" else f"{each.spi:08x}"): each
        for each in found
    }


def _ike(sa: IkeSaStatus, counted: dict[tuple[str, str], SaCounters], now: float) -> dict[str, Any]:
    shown = asdict(sa) | {"children": [_child(child, counted, now) for child in sa.children]}
    del shown["patterns"]
    return shown


def _child(child: ChildSaStatus, counted: dict[tuple[str, str], SaCounters], now: float) -> dict[str, Any]:
    selectors = {"local": [str(each) for each in child.local], "remote": [str(each) for each in child.remote]}
    around = {"around": [asdict(part) | _traffic(part, counted, now) for part in child.around]}
    padding = "mtu" if child.tfc.padding == PATH_MTU else child.tfc.padding
    tfc = {"tfc": {"padding": padding, "declined": child.padding_declined, "dummies": child.tfc.dummies}}
    shown = asdict(child) | selectors | around | _traffic(child, counted, now) | tfc
    del shown["id"], shown["padding_declined"]
    return shown


def _traffic(
    pair: ChildSaStatus | PartStatus, counted: dict[tuple[str, str], SaCounters], now: float
) -> dict[str, dict[str, Any]]:
    return {direction: _carried(counted.get((direction, pair.spi_in)), now) for direction in ("in", "out")}


def _carried(counters: SaCounters | None, now: float) -> dict[str, Any]:
    if counters is None:
        return dict(_NOTHING)
    idle = None if counters.last_used is None else now - counters.last_used
    return {"packets": counters.packets, "octets": counters.octets, "idle": idle, "dummies": counters.dummies}
