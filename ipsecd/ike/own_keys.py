"""Which of a peer's pre-shared keys we prove ourselves with.

The policy's list is one of preference, as Windows' authentication methods are. A peer that refuses one key is called
again with the next, each once; what it took is tried first from then on. An initiator proves itself with one key alone
(RFC 7296 section 2.15), so each needs an IKE SA of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ipsecd import limits
from ipsecd.ike.config import Peer, SharedKey


@dataclass(slots=True)
class _Tried:
    """What came of the keys of one list."""

    keys: tuple[SharedKey, ...]
    taken: SharedKey | None = None
    refused: list[SharedKey] = field(default_factory=list)

    def left(self) -> list[SharedKey]:
        best = [self.taken] if self.taken is not None else []
        return [key for key in (*best, *self.keys) if key not in self.refused]


class OwnKeys:
    """Of all peers, by name: of so many as there may be IKE SAs, those longest unasked for are forgotten first."""

    def __init__(self) -> None:
        self._tried: dict[str, _Tried] = {}

    def best(self, peer: Peer) -> SharedKey:
        """The key to prove ourselves with in the next attempt."""
        return self._of(peer).left()[0]

    def taken(self, peer: Peer, key: SharedKey) -> None:
        """The peer believes who we are."""
        tried = self._of(peer)
        tried.taken = key
        tried.refused.clear()

    def refused(self, peer: Peer, key: SharedKey) -> SharedKey | None:
        """The peer doesn't. The key to try next; None after the last one, and then the list begins anew."""
        tried = self._of(peer)
        tried.refused.append(key)
        left = tried.left()
        if left:
            return left[0]
        tried.refused.clear()
        return None

    def is_last(self, peer: Peer, key: SharedKey) -> bool:
        """Whether there is none to try when this one is refused."""
        return not [other for other in self._of(peer).left() if other != key]

    def forget_others(self, peers: Iterable[Peer]) -> None:
        """Only these are configured now."""
        names = {peer.name for peer in peers}
        self._tried = {name: tried for name, tried in self._tried.items() if name in names}

    def _of(self, peer: Peer) -> _Tried:
        tried = self._tried.pop(peer.name, None)
        if tried is None or tried.keys != peer.shared_keys:
            tried = _Tried(peer.shared_keys)
        self._tried[peer.name] = tried
        if len(self._tried) > limits.MAX_IKE_SAS:
            del self._tried[next(iter(self._tried))]
        return tried
