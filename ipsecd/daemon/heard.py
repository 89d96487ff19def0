"""Which peers have spoken IKE since the policy was assigned. They are never talked to in clear, so it outlives the
process: a restart doesn't make a peer that has answered into one that can't.
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


class HeardPeers:
    """Their addresses, in ``kept`` with the name of the policy they belong to. What can't be read, or would be too much
    to remember, counts as everybody. Nobody is ever forgotten to make room."""

    def __init__(self, kept: StateFile) -> None:
        self._kept = kept
        self._policy: str | None = None
        self._heard: set[Address] = set()
        self._everybody = ""
        self._there = False  # something is kept
        self._before: tuple[str | None, set[Address], str] = (None, set(), "")

    def assign(self, policy: str) -> None:
        """This policy is in force from now on; of another one's peers nothing counts. Going back to the one before, as
        long as it isn't ``over``, goes back to what was known under it."""
        if policy == self._policy:
            return
        first, known = self._policy is None, self._before
        self._before = self._policy, self._heard, self._everybody
        self._policy, self._heard, self._everybody = policy, set(), ""
        if first and self._load():
            return
        if known[0] == policy:
            _, self._heard, self._everybody = known
        self._save()

    def over(self) -> None:
        """Nobody goes back to the policy before: if it is assigned again, it begins anew."""
        self._before = (None, set(), "")

    def add(self, remotes: Iterable[Address]) -> None:
        """These have spoken."""
        news = set(remotes) - self._heard
        if len(self._heard) + len(news) > limits.MAX_HEARD:
            self._everybody = _FULL
        elif news:
            self._heard |= news
        else:
            return
        self._save()

    def bars(self, remote: Address) -> str:
        """Why this peer isn't talked to in clear; empty if nothing is known against it."""
        return self._everybody or ("it has answered since the policy was assigned" if remote in self._heard else "")

    def _save(self) -> None:
        if not (self._there or self._heard or self._everybody):
            return
        self._there = True
        heard = [str(each) for each in sorted(self._heard, key=lambda each: (each.version, int(each)))]
        text = json.dumps({"policy": self._policy, "everybody": self._everybody, "heard": heard}, indent=1)
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
            self._everybody = str(found["everybody"])
        except (KernelError, ValueError, TypeError, AttributeError, KeyError) as error:
            self._everybody = _UNREADABLE
            log.warning("heard-not-loaded", reason=str(error))
        return True
