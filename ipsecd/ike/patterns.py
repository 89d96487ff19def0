"""The children of which each pair of hosts has one of its own: what is made after them, and what an operator has said
of all of them at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipsecd import limits
from ipsecd.ike import reports
from ipsecd.ike.config import Child, Hosts, Peer
from ipsecd.ike.hosts import pair, why_none
from ipsecd.wire.hostpair import hosts_of, pattern_id
from ipsecd.wire.selector import Address

if TYPE_CHECKING:
    from ipsecd.ike.core import Core

_TOO_MANY = "too many hosts are being called"


class Patterns:
    """Children are known by their identifiers, those of the patterns or those of pairs of hosts. ``held`` are the
    patterns that an operator has put down."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._known: dict[str, tuple[Hosts, Child]] = {}
        self._told: dict[str, str] = {}  # why there could be no child, by pattern
        self.held: set[str] = set()

    def configure(self) -> None:
        """The configuration is new. An operator's word about a name outlasts what it names."""
        held = {self._known[key][1].name for key in self.held}
        before = self.held
        self._known = {child.id: (hosts, child) for hosts in self._core.config.hosts for child in hosts.children}
        self._told.clear()
        self.held = {key for key, (_, child) in self._known.items() if key in before or child.name in held}

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def called(self, key: str) -> str:
        """What people call the pattern; nothing if it is none."""
        return self._known[key][1].name if key in self._known else ""

    def of_peer(self, name: str) -> set[str]:
        """The children of the pattern of this name."""
        return {key for key, (hosts, _) in self._known.items() if hosts.name == name}

    def between(self, key: str) -> tuple[Peer, Child] | None:
        """The child of two hosts, and whose it is; None if there can't be one."""
        hosts, ends = self._after(key)
        peer = pair(hosts, *ends) if hosts is not None and ends is not None else None
        return next(((peer, child) for child in peer.children if child.id == key), None) if peer is not None else None

    def why_none(self, key: str) -> str:
        """Why there can't be one."""
        hosts, ends = self._after(key)
        return why_none(hosts, *ends) if hosts is not None and ends is not None else "no such child is configured"

    def _after(self, key: str) -> tuple[Hosts | None, tuple[Address, Address] | None]:
        hosts, _ = self._known.get(pattern_id(key), (None, None))
        return hosts, hosts_of(key)

    def is_news(self, key: str, reason: str) -> bool:
        """Whether this is another reason than the last one for which a child of the pattern couldn't be had."""
        pattern = pattern_id(key)
        news = self._told.get(pattern) != reason
        self._told[pattern] = reason
        return news

    def full(self, key: str, *, known: bool) -> str:
        """Why another host can't be called now; empty if it can. ``known``: it has answered before."""
        called, pattern = self._core.ikes.calls() + self._core.desk.calls(), pattern_id(key)
        if called < limits.MAX_NEW_HOSTS_CALLED / 2 and self._told.get(pattern) == _TOO_MANY:
            del self._told[pattern]
        if called < (limits.MAX_HOSTS_CALLED if known else limits.MAX_NEW_HOSTS_CALLED):
            return ""
        reason = f"{called} hosts are being called already"
        if called < limits.MAX_HOSTS_CALLED:
            reason += f", and the rest of {limits.MAX_HOSTS_CALLED} is for those that have answered before"
        hosts, child = self._known[pattern]
        if self.is_news(key, _TOO_MANY):
            reports.child_failed(self._core, "child-failed", hosts, child, reports.ME, reason)
        return reason
