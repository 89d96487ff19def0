"""What last went wrong with each rule, for those who ask later than the log was read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ipsecd.ike.effects import Report
from ipsecd.wire.hostpair import hosts_named

_OVER = ("child-established", "child-rekeyed")  # what shows that a rule works
_AS_BEFORE = ("child-rekeyed", "child-narrowed")  # a rekey has the selectors of before, and the peer allows no more
_HEARSAY = ("ike-unreachable", "sa-init-refused")  # anybody can cause it, with packets in the peer's name
_SERIOUS = ("warning", "error")


@dataclass(frozen=True, slots=True)
class Failure:
    """``since`` is the time of the report, in the clock's seconds; ``peer`` whom it is about, as reports call it."""

    event: str
    reason: str
    since: float
    peer: str = ""


class Failures:
    """The last failure of each rule, until an SA of it shows that it's over; of a rule without a tunnel, one with the
    same host."""

    def __init__(self) -> None:
        self._last: dict[str, Failure] = {}

    def note(self, report: Report, now: float) -> None:
        """A report of the negotiation, which may be about several rules of one peer."""
        rules, reason, peer = (str(report.fields.get(name, "")) for name in ("rule", "reason", "peer"))
        for rule in rules.split(", "):
            last = self._last.get(rule)
            if report.event in _OVER:
                if last is not None and (report.event, last.event) != _AS_BEFORE and not _elsewhere(last, peer):
                    del self._last[rule]
            elif rule and report.level in _SERIOUS and "reason" in report.fields:
                self._last[rule] = Failure(report.event, reason, now, peer)

    def of(self, rule: str, *, up: bool = False) -> Failure | None:
        """The last failure of a rule. If it's ``up``, what nobody vouches for says nothing."""
        failure = self._last.get(rule)
        return None if failure is not None and up and failure.event in _HEARSAY else failure

    def keep(self, rules: Iterable[str]) -> None:
        """Forget all other rules: they are no longer in force, or not as they were."""
        kept = set(rules)
        self._last = {rule: failure for rule, failure in self._last.items() if rule in kept}


def _elsewhere(failure: Failure, peer: str) -> bool:
    """Whether it is about one host of many, and the peer is another."""
    about, other = hosts_named(failure.peer), hosts_named(peer)
    return about is not None and (other is None or about[1] != other[1])
