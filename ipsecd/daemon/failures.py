"""What last went wrong with each rule, and with each host of a rule without a tunnel, for those who ask later than the
log was read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from ipsecd import limits
from ipsecd.ike.effects import Report
from ipsecd.wire.hostpair import hosts_named
from ipsecd.wire.selector import Address

_OVER = ("child-established", "child-rekeyed")  # what shows that a rule works
_AS_BEFORE = ("child-rekeyed", "child-narrowed")  # a rekey has the selectors of before, and the peer allows no more
_HEARSAY = ("ike-unreachable", "sa-init-refused")  # anybody can cause it, with packets in the peer's name
_UNREACHED = "child-unreached"  # of an SA that there is, and said again as long as it's so
_SERIOUS = ("warning", "error")
_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True)
class Failure:
    """``since`` is the time of the report, in the clock's seconds; ``peer`` whom it is about, as reports call it."""

    event: str
    reason: str
    since: float
    peer: str = ""


class Failures:
    """The last failure of each rule, until an SA of it shows that it's over; of a rule without a tunnel, one with the
    same host. Of the hosts of such rules those are remembered with which something went wrong last.

    That packets don't get there is kept apart: nobody vouches for it, so what is known otherwise stays known."""

    def __init__(self) -> None:
        self._last: dict[str, Failure] = {}
        self._hosts: dict[tuple[str, Address], Failure] = {}  # oldest first
        self._unreached: dict[tuple[str, Address | None], Failure] = {}  # likewise; of tunnels without an address

    def note(self, report: Report, now: float) -> None:
        """A report of the negotiation, which may be about several rules of one peer."""
        rules, reason, peer = (str(report.fields.get(name, "")) for name in ("rule", "reason", "peer"))
        host = hosts_named(peer)
        for rule in rules.split(", "):
            key = (rule, host[1]) if host is not None else None
            if report.event in _OVER:
                self._over(report.event, rule, peer, key)
            elif rule and report.level in _SERIOUS and "reason" in report.fields:
                failure = Failure(report.event, reason, now, peer)
                if report.event == _UNREACHED:
                    _remember(self._unreached, key or (rule, None), failure)
                    continue
                self._last[rule] = failure
                if key is not None:
                    _remember(self._hosts, key, failure)

    def _over(self, event: str, rule: str, peer: str, key: tuple[str, Address] | None) -> None:
        last = self._last.get(rule)
        if last is not None and (event, last.event) != _AS_BEFORE and not _elsewhere(last, peer):
            del self._last[rule]
        if key in self._hosts and (event, self._hosts[key].event) != _AS_BEFORE:
            del self._hosts[key]
        self._unreached.pop(key or (rule, None), None)

    def of(self, rule: str) -> Failure | None:
        """The last failure of a rule."""
        return self._last.get(rule)

    def of_one_up(self, rule: str, now: float) -> Failure | None:
        """The same of a rule that is up: that its packets don't get there, if that was said lately; of all else what
        nobody vouches for says nothing."""
        failure = self._last.get(rule)
        known = failure if failure is not None and failure.event not in _HEARSAY else None
        return self.in_vain(rule, None, now) or known

    def in_vain(self, rule: str, remote: Address | None, now: float) -> Failure | None:
        """That packets of an SA of a rule, or of the one with the host at ``remote``, don't get there now."""
        found = reversed(self._unreached.items())
        told = (failure for (of, host), failure in found if of == rule and (remote is None or host in (remote, None)))
        failure = next(told, None)
        return failure if failure is not None and now - failure.since < limits.UNREACHED_KNOWN else None

    def of_host(self, rule: str, remote: Address) -> Failure | None:
        """The last failure with this host of a rule without a tunnel, or of the rule if that was about no host."""
        failure = self._last.get(rule)
        about_all = failure is not None and hosts_named(failure.peer) is None
        return self._hosts.get((rule, remote), failure if about_all else None)

    def of_hosts(self, rule: str) -> list[tuple[Address, Failure]]:
        """The last failure with each host of a rule without a tunnel, the latest first."""
        return [(remote, failure) for (of, remote), failure in reversed(self._hosts.items()) if of == rule]

    def keep(self, rules: Iterable[str]) -> None:
        """Forget all other rules: they are no longer in force, or not as they were."""
        kept = set(rules)
        self._last = {rule: failure for rule, failure in self._last.items() if rule in kept}
        self._hosts = {key: failure for key, failure in self._hosts.items() if key[0] in kept}
        self._unreached = {key: failure for key, failure in self._unreached.items() if key[0] in kept}


def _remember(known: dict[_Key, Failure], key: _Key, failure: Failure) -> None:
    """As the last of not too many."""
    known.pop(key, None)
    known[key] = failure
    if len(known) > limits.MAX_FAILED_HOSTS:
        del known[next(iter(known))]


def _elsewhere(failure: Failure, peer: str) -> bool:
    """Whether it is about one host of many, and the peer is another."""
    about, other = hosts_named(failure.peer), hosts_named(peer)
    return about is not None and (other is None or about[1] != other[1])
