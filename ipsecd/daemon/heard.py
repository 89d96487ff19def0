"""Which peers have spoken IKE since the policy was assigned. They are never talked to in clear, so it outlives the
process: a restart doesn't make a peer that has answered into one that can't. Nor does the DNS, which nobody vouches
for: a peer that the policy calls by a name is known by it too, wherever that leads.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from ipaddress import ip_address

import structlog

from ipsecd import limits
from ipsecd.errors import KernelError
from ipsecd.io.state_file import StateFile
from ipsecd.wire.selector import Address

log = structlog.get_logger()

_UNREADABLE = "which peers have answered before isn't known"
_FULL = "too many peers have answered for all to be remembered"

_NOTHING: tuple[str | None, set[Address], set[str], str] = (None, set(), set(), "")


class HeardPeers:
    """Their addresses and DNS names, in ``kept`` with the name of the policy they belong to. What can't be read, or
    would be too much to remember, counts as everybody. Nobody is ever forgotten to make room."""

    def __init__(self, kept: StateFile) -> None:
        self._kept = kept
        self._policy: str | None = None
        self._heard: set[Address] = set()
        self._names: set[str] = set()
        self._everybody = ""
        self._there = False  # something is kept
        self._before = _NOTHING

    def assign(self, policy: str) -> None:
        """This policy is in force from now on; of another one's peers nothing counts. Going back to the one before, as
        long as it isn't ``over``, goes back to what was known under it."""
        if policy == self._policy:
            return
        first, known = self._policy is None, self._before
        self._before = self._policy, self._heard, self._names, self._everybody
        self._policy, self._heard, self._names, self._everybody = policy, set(), set(), ""
        if first and self._load():
            return
        if known[0] == policy:
            _, self._heard, self._names, self._everybody = known
        self._save()

    def over(self) -> None:
        """Nobody goes back to the policy before: if it is assigned again, it begins anew."""
        self._before = _NOTHING

    def add(self, remotes: Iterable[Address], names: Iterable[str] = ()) -> None:
        """These have spoken; ``names`` are what the policy calls them."""
        news, new_names = set(remotes) - self._heard, set(names) - self._names
        if len(self._heard) + len(news) > limits.MAX_HEARD:
            self._everybody = _FULL
        elif news or new_names:
            self._heard |= news
            self._names |= new_names
        else:
            return
        self._save()

    def bars(self, remote: Address, name: str = "") -> str:
        """Why this peer isn't talked to in clear; empty if nothing is known against it."""
        if remote in self._heard:
            return self._everybody or "it has answered since the policy was assigned"
        elsewhere = f"{name} has answered by another address since the policy was assigned"
        return self._everybody or (elsewhere if name in self._names else "")

    def _save(self) -> None:
        if not (self._there or self._heard or self._everybody):
            return
        self._there = True
        heard = [str(each) for each in sorted(self._heard, key=lambda each: (each.version, int(each)))]
        known = {"policy": self._policy, "everybody": self._everybody, "heard": heard, "names": sorted(self._names)}
        text = json.dumps(known, indent=1)
        try:
            self._kept.save(text + "\n")
        except KernelError as error:
            log.warning("heard-not-saved", reason=str(error))

    def _load(self) -> bool:
        """What is kept of this policy; False if nothing is."""
        try:
            text = self._kept.load()
            self._there = text is not None
            found = json.loads(text or "{}")
            if found.get("policy") != self._policy:
                return False
            self._heard = {ip_address(text) for text in found["heard"]}
            self._names = {str(name) for name in found["names"]}
            self._everybody = str(found["everybody"])
        except (KernelError, ValueError, TypeError, AttributeError, KeyError) as error:
            self._everybody = _UNREADABLE
            log.warning("heard-not-loaded", reason=str(error))
        return True
