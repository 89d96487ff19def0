"""Where randomness enters: the one thing, besides time and datagrams, that the negotiation is handed from outside."""

from __future__ import annotations

import secrets
from typing import Protocol

from ipsecd.crypto.exchange import KeyPair, generate
from ipsecd.wire.registry import Group


class Entropy(Protocol):
    """Random octets and fresh key pairs. Tests dictate them."""

    def octets(self, count: int) -> bytes:
        """So many octets nobody can predict: nonces, SPIs, cookie secrets, IVs for CBC."""

    def key_pair(self, group: Group) -> KeyPair:
        """A fresh key pair of a group we offer."""


class SystemEntropy:
    """The kernel's generator, and the library's, which is seeded from it."""

    def octets(self, count: int) -> bytes:
        return secrets.token_bytes(count)

    def key_pair(self, group: Group) -> KeyPair:
        return generate(group)
