"""What became of the last attempts to have an SA with one peer, in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ipsecd.daemon.failures import Failures
from ipsecd.ike.status import IkeSaStatus
from ipsecd.wire.hostpair import hosts_named
from ipsecd.wire.selector import Address


@dataclass(frozen=True, slots=True)
class Attempts:
    """``now`` is the clock's time."""

    failures: Failures
    now: float

    def told(self, sas: Iterable[IkeSaStatus], rule: str, peer: str, remote: Address | None) -> str:
        """Of the peer of a rule, or of the host at ``remote`` if there is one for each; empty if nothing is known."""
        calls = [sa.unanswered for sa in sas if sa.unanswered is not None and _is_with(sa, peer, remote)]
        failure = self.failures.of(rule) if remote is None else self.failures.of_host(rule, remote)
        found = [f"{max(calls):.0f} s without an answer so far"] if calls else []
        if failure is not None:
            found.append(f"it failed {self.now - failure.since:.0f} s ago: {failure.reason}")
        return "; ".join(found)

    def in_vain(self, rule: str, remote: Address | None) -> str:
        """That packets don't get there, though there is an SA; empty if nothing of the kind is known."""
        failure = self.failures.in_vain(rule, remote, self.now)
        return f"{failure.reason}, {self.now - failure.since:.0f} s ago" if failure is not None else ""


def _is_with(sa: IkeSaStatus, peer: str, remote: Address | None) -> bool:
    host = hosts_named(sa.peer)
    return sa.peer == peer if remote is None else sa.pattern == peer and host is not None and host[1] == remote
