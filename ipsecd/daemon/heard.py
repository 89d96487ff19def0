"""Which peers have spoken IKE since the policy was assigned. They are never talked to in clear, so it outlives the
process: a restart doesn't make a peer that has answered into one that can't. Nor does the DNS, which nobody vouches
for: a peer that the policy calls by a name is known by it too, wherever that leads.

All peers are remembered, as an edit may let any of them fall back to clear. As long as the policy lets none, that is in
memory alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
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


@dataclass(slots=True)
class _Known:
    """Who has answered under a policy, or why everybody counts as if."""

    policy: str | None = None
    heard: set[Address] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    everybody: str = ""

    def under(
        self, policy: str, remotes: frozenset[Address], names: frozenset[str], hosts: tuple[Selector, ...]
    ) -> _Known:
        """What of it counts under this policy, with those peers of persistent rules."""
        if policy == self.policy:
            return self
        heard = {remote for remote in self.heard if remote in remotes or holds(hosts, remote)}
        return _Known(policy, heard, self.names & names, self.everybody if remotes or names or hosts else "")


class HeardPeers:
    """Their addresses and DNS names, in ``kept`` with the name of the policy they belong to. What can't be read, or
    would be too much to remember, counts as everybody. Nobody is ever forgotten to make room."""

    def __init__(self, kept: StateFile) -> None:
        self._kept = kept
        self._known = self._before = _Known()
        self._falls = False  # some rule of the policy may fall back
        self._there = False  # something is kept

    def assign(
        self,
        policy: str,
        remotes: frozenset[Address] = frozenset(),
        names: frozenset[str] = frozenset(),
        hosts: tuple[Selector, ...] = (),
        *,
        falls: bool,
    ) -> None:
        """This policy is in force from now on; of another one's peers nothing counts, but for those at ``remotes`` and
        of ``names``, and ``hosts``, which persistent rules have: they are in force whatever the policy is. Going back
        to the one before, as long as it isn't ``over``, goes back to what was known under it. Unless some rule of it
        ``falls`` back, nothing more is kept."""
        begins, self._falls = falls and not self._falls, falls
        if policy == self._known.policy:
            if begins:
                self._save()
            return
        last, before = self._known, self._before
        found = (self._load(policy) if last.policy is None else last).under(policy, remotes, names, hosts)
        if before.policy == policy:
            found = replace(before, heard=before.heard | found.heard, names=before.names | found.names)
        self._known, self._before = found, last
        if falls or self._there:  # what is kept belongs to the policy before
            self._save()

    def over(self) -> None:
        """Nobody goes back to the policy before: if it is assigned again, it begins anew."""
        self._before = _Known()

    def add(self, remotes: Iterable[Address], names: Iterable[str] = ()) -> None:
        """These have spoken; ``names`` are what the policy calls them."""
        known = self._known
        told, called = set(remotes) - known.heard, set(names) - known.names
        full = len(known.heard) + len(told) > limits.MAX_HEARD
        if not (told or called) or (full and known.everybody == _FULL):
            return
        if full:
            known.everybody = _FULL
        else:
            known.heard |= told
            known.names |= called
        if self._falls:
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
    return _Known(str(found["policy"]), set(heard), set(names), str(found["everybody"]))
