"""Which peers have spoken IKE since the policy was assigned. They are never talked to in clear, so it outlives the
process: a restart doesn't make a peer that has answered into one that can't. Nor does the DNS, which nobody vouches
for: a peer that the policy calls by a name is known by it too, wherever that leads.

All peers are remembered, as an edit may let any of them fall back to clear. As long as the policy lets none, that is in
memory alone. What is kept is a JSON object, and behind it one a line for those who have answered since: a new peer
costs the same however many there are. With each start and each other policy there is one object again.
"""

from __future__ import annotations

import contextlib
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
        self._goes_on = False  # and it ends where another line may begin

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
        more = _Known(known.policy, everybody=_FULL) if full else _Known(known.policy, told, called, known.everybody)
        known.heard |= more.heard
        known.names |= more.names
        known.everybody = more.everybody
        if self._falls:
            self._save_more(more)

    def has_heard(self, remote: Address) -> bool:
        """Whether this peer is known to have spoken."""
        return remote in self._known.heard

    def bars(self, remote: Address, name: str = "") -> str:
        """Why this peer isn't talked to in clear; empty if nothing is known against it."""
        known = self._known
        if remote in known.heard:
            return known.everybody or HAS_ANSWERED
        elsewhere = f"{name} has answered by another address since the policy was assigned"
        return known.everybody or (elsewhere if name in known.names else "")

    def _save_more(self, more: _Known) -> None:
        """Keep what is new beside what is kept; all of it anew where that can't be gone on with."""
        if self._goes_on:
            self._goes_on = False
            with contextlib.suppress(KernelError):
                self._kept.append(_encode(more))
                self._goes_on = True
        if not self._goes_on:
            self._save()

    def _save(self) -> None:
        known = self._known
        if not (self._there or known.heard or known.everybody):
            return
        self._there = True
        self._goes_on = False
        try:
            self._kept.save(_encode(known))
            self._goes_on = True
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


def _encode(known: _Known) -> str:
    heard = [str(each) for each in sorted(known.heard, key=lambda each: (each.version, int(each)))]
    told = {"policy": known.policy, "everybody": known.everybody, "heard": heard, "names": sorted(known.names)}
    return json.dumps(told) + "\n"


def _decode(text: str) -> _Known:
    """All that is told. The last line may have been cut off by a fault of the machine, before what it says had any
    effect: what can't be read of it counts for nothing."""
    first, end = json.JSONDecoder().raw_decode(text)
    *lines, cut_off = text[end:].split("\n")
    told = [first, *(json.loads(line) for line in lines if line)]
    with contextlib.suppress(ValueError):
        told.append(json.loads(cut_off))
    heard = {ip_address(each) for part in told for each in part["heard"]}
    names = {str(each) for part in told for each in part["names"]}
    return _Known(str(told[-1]["policy"]), heard, names, str(told[-1]["everybody"]))
