"""Randomness of a session that has taken place, as far as it's known."""

from __future__ import annotations

from ipsecd.crypto.secret import Secret
from ipsecd.wire.registry import Group
from tests.exchange.entropy import SeededEntropy


class TheirPair:
    """A key pair of strongSwan's: all that is known of it is what came out."""

    def __init__(self, group: Group, public: bytes, peer: bytes, shared: bytes) -> None:
        self.group = group
        self.public = public
        self._peer = peer
        self._shared = shared

    def shared(self, peer_public: bytes, /) -> Secret:
        assert peer_public == self._peer
        return Secret(self._shared)


class TheirEntropy(SeededEntropy):
    """What a session of strongSwan's took from its own."""

    def __init__(self, pair: TheirPair, *octets: bytes) -> None:
        super().__init__(0)
        self.dictate(*octets)
        self._pair = pair

    def key_pair(self, group: Group) -> TheirPair:  # type: ignore[override]  # as much of one as is needed
        assert group == self._pair.group
        return self._pair
