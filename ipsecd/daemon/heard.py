"""Which peers have spoken IKE since the policy was assigned. They are never talked to in clear, so it outlives the
process: a restart doesn't make a peer that has answered into one that can't. Nor does the DNS, which nobody vouches
for: a peer that the policy calls by a name is known by it too, wherever that leads.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address

import structlog

from ipsecd import limits
from ipsecd.errors import KernelError
from ipsecd.ike.hosts import holds
from ipsecd.io.state_file import StateFile
from ipsecd.wire.selector import Address, Selector

log = structlog.get_logger()

HAS_ANSWERED = "it has answered since the policy was assigned"
_UNREADABLE = "which peers have answered before isn't known"
_FULL = "too many peers have answered for all to be remembered"


@dataclass(frozen=True, slots=True)
class _Known:
    """Who has answered under a policy, or why everybody counts as if."""

    policy: str | None = None
    heard: frozenset[Address] = frozenset()
    names: frozenset[str] = frozenset()
    everybody: str = ""

    def under(
        self, policy: str, remotes: frozenset[Address], names: frozenset[str], hosts: tuple[Selector, ...]
    ) -> _Known:
        """What of it counts under this policy, with those peers of persistent rules."""
        if policy == self.policy:
            return self
        heard = frozenset(remote for remote in self.heard if remote in remotes or holds(hosts, remote))
        return _Known(policy, heard, self.names & names, self.everybody if remotes or names or hosts else "")


class HeardPeers:
    """Their addresses and DNS names, in ``kept`` with the name of the policy they belong to. What can't be read, or
    would be too much to remember, counts as everybody. Nobody is ever forgotten to make room."""

    def __init__(self, kept: StateFile) -> None:
        self._kept = kept
        self._known = self._before = _Known()
        self._there = False  # something is kept

    def assign(
        self,
        policy: str,
        remotes: frozenset[Address] = frozenset(),
        names: frozenset[str] = frozenset(),
        hosts: tuple[Selector, ...] = (),
    ) -> None:
        """This policy is in force from now on; of another one's peers nothing counts, but for those at ``remotes`` and
        of ``names``, and ``hosts``, which persistent rules have: they are in force whatever the policy is. Going back
        to the one before, as long as it isn't ``over``, goes back to what was known under it."""
        if policy == self._known.policy:
            return
        last, before = self._known, self._before
        found = (self._load(policy) if last.policy is None else last).under(policy, remotes, names, hosts)
        if before.policy == policy:
            found = replace(before, heard=before.heard | found.heard, names=before.names | found.names)
        self._known, self._before = found, last
        self._save()

    def over(self) -> None:
        """Nobody goes back to the policy before: if it is assigned again, it begins anew."""
        self._before = _Known()

    def add(self, remotes: Iterable[Address], names: Iterable[str] = ()) -> None:
        """These have spoken; ``names`` are what the policy calls them."""
        known = self._known
        found = replace(known, heard=known.heard.union(remotes), names=known.names.union(names))
        if len(found.heard) > limits.MAX_HEARD:
            found = replace(known, everybody=_FULL)
        if found != known:
            self._known = found
            self._save()

    def bars(self, remote: Address, name: str = "") -> str:
        """Why this peer isn't talked to in clear; empty if nothing is known against it."""
        known = self._known
        if remote in known.heard:
            return known.everybody or HAS_ANSWERED
        elsewhere = f"{name} has answered by another address since the policy was assigned"
        return known.everybody or (elsewhere if name in known.names else "")

    def _save(self) -> None:
        known = self._known
        if not (self._there or known.heard or known.everybody):
            return
        self._there = True
        heard = [str(each) for each in sorted(known.heard, key=lambda each: (each.version, int(each)))]
        told = {"policy": known.policy, "everybody": known.everybody, "heard": heard, "names": sorted(known.names)}
        text = json.dumps(told, indent=1)
        try:
            self._kept.save(text + "\n")
        except KernelError as error:
            log.warning("heard-not-saved", reason=str(error))

    def _load(self, policy: str) -> _Known:
        """What is kept; if it can't be read, as of this policy."""
        try:
            text = self._kept.load()
            self._there = text is not None
            return _decode(text) if text is not None else _Known()
        except (KernelError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            log.warning("heard-not-loaded", reason=str(error))
            return _Known(policy, everybody=_UNREADABLE)


def _decode(text: str) -> _Known:
    found = json.loads(text)
    heard, names = map(ip_address, found["heard"]), map(str, found["names"])
    return _Known(str(found["policy"]), frozenset(heard), frozenset(names), str(found["everybody"]))
