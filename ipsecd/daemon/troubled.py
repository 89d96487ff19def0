"""Hosts of rules without a tunnel that have no SA though somebody wanted one: put down by command, negotiating, or
failed. Such a rule has one state for all its hosts, which says little about any of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ipsecd import limits
from ipsecd.daemon.failures import Failure, Failures
from ipsecd.ike.status import IkeSaStatus
from ipsecd.policy.plan import Rule
from ipsecd.wire.hostpair import hosts_named, pair_name
from ipsecd.wire.selector import Address

_BEGINNING = ("connecting", "half-open")


class Troubled:
    """``put_down`` are the names of hosts that an operator has put down, by rule; those ``in_clear`` are told
    elsewhere. ``now`` is the clock's time."""

    def __init__(
        self,
        sas: Iterable[IkeSaStatus],
        failures: Failures,
        put_down: Mapping[str, Iterable[str]],
        in_clear: Iterable[Address],
        now: float,
    ) -> None:
        self._failures = failures
        self._put_down = put_down
        self._now = now
        self._fine = set(in_clear)
        self._called: dict[str, list[str]] = {}  # names by what their children are made after
        for sa in sas:
            if sa.patterns and sa.stage in _BEGINNING:
                for pattern in sa.patterns:
                    self._called.setdefault(pattern, []).append(sa.peer)
            elif any(child.stage == "up" for child in sa.children) and (host := hosts_named(sa.peer)) is not None:
                self._fine.add(host[1])

    def told(self, rule: Rule) -> dict[str, Any]:
        """The first of them, and how many there are more: who was put down, then whose attempt failed last."""
        failed = {_name(rule, *found): found[1] for found in self._failures.of_hosts(rule.name)}
        states = dict.fromkeys(self._put_down.get(rule.name, ()), "held")
        states |= {name: "failed" for name in failed if name not in states}
        called = (name for child in rule.children for name in self._called.get(child, ()))
        states |= {name: "negotiating" for name in called if states.get(name) != "held"}
        names = [name for name in states if (host := hosts_named(name)) is not None and host[1] not in self._fine]
        shown = [self._one(name, states[name], failed.get(name)) for name in names[: limits.SHOWN_HOSTS]]
        return {"hosts": shown, "more_hosts": len(names) - len(shown)}

    def _one(self, name: str, state: str, failure: Failure | None) -> dict[str, Any]:
        reason, ago = (failure.reason, self._now - failure.since) if failure is not None else ("", None)
        return {"peer": name, "state": state, "reason": reason, "ago": ago}


def _name(rule: Rule, remote: Address, failure: Failure) -> str:
    """What the host is called; a report may be about several rules, and call it after each."""
    return failure.peer if ", " not in failure.peer else pair_name(rule.peer, remote)
