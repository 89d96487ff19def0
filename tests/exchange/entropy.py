"""Randomness that a seed decides. Key pairs are reused between runs, and so is what they agree upon: that would be most
of a handshake's time."""

from __future__ import annotations

from collections import Counter
from functools import cache
from random import Random

from ipsecd.crypto.exchange import KeyPair, generate
from ipsecd.crypto.secret import Secret
from ipsecd.wire.registry import Group

_PAIRS = 8


class Remembering:
    """A key pair that computes what it shares with each public value once."""

    def __init__(self, pair: KeyPair) -> None:
        self.group = pair.group
        self.public = pair.public
        self._pair = pair
        self._shared: dict[bytes, bytes] = {}

    def shared(self, peer_public: bytes, /) -> Secret:
        if peer_public not in self._shared:
            self._shared[peer_public] = self._pair.shared(peer_public).reveal()
        return Secret(self._shared[peer_public])


@cache
def _pair(group: Group, number: int) -> KeyPair:
    return Remembering(generate(group))


class SeededEntropy:
    """``dictated`` octets are handed out first, whatever they are for; tests choose nonces that way."""

    def __init__(self, seed: int | str) -> None:
        self._random = Random(seed)
        self.dictated: dict[int, list[bytes]] = {}
        self.key_pairs: Counter[Group] = Counter()

    def dictate(self, *octets: bytes) -> None:
        """The next requests for so many octets get these."""
        for each in octets:
            self.dictated.setdefault(len(each), []).append(each)

    def octets(self, count: int) -> bytes:
        queued = self.dictated.get(count)
        return queued.pop(0) if queued else self._random.randbytes(count)

    def key_pair(self, group: Group) -> KeyPair:
        self.key_pairs[group] += 1
        return _pair(group, self._random.randrange(_PAIRS))
