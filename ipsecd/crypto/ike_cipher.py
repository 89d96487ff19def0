"""The cipher of one IKE SA, one direction: the inside of SK and SKF payloads.

RFC 7296 section 3.14, RFC 5282 for AEADs, RFC 5930 for counter mode, RFC 7634 section 3 for ChaCha20-Poly1305.
"""

from __future__ import annotations

from collections.abc import Callable

from ipsecd.crypto.algorithms import Encryption, Integrity
from ipsecd.crypto.sealing import Octets, sealing
from ipsecd.crypto.secret import Secret
from ipsecd.errors import LocalError, PeerError
from ipsecd.wire.registry import NotifyType


class IkeCipher:
    """Seals what we send or opens what the peer sends, with SK_e and SK_a of that direction.

    **IVs.** With an AEAD or in counter mode a nonce must never come twice with a key, so the IV is a counter of this
    object's own, from 0, and it alone must seal with its key: keep it as long as the SA, send a retransmission as the
    same octets, don't build a second one from the same keys. CBC wants an IV nobody can predict (RFC 7296
    section 3.14): it comes from ``iv_source``, which is asked for a number of random octets and for nothing else.
    """

    __slots__ = ("_block", "_count", "_iv_source", "_random_iv", "_sealing")

    def __init__(
        self,
        encryption: Encryption,
        integrity: Integrity | None,
        key_e: Secret,
        key_a: Secret,
        iv_source: Callable[[int], bytes],
    ) -> None:
        if not encryption.encrypts:
            raise LocalError(f"{encryption.name} is for ESP alone")
        self._sealing = sealing(encryption, integrity, key_e.reveal(), key_a.reveal())
        self._block = encryption.block_octets
        self._iv_source = iv_source
        self._random_iv = not encryption.counter_iv
        self._count = 0

    def sealed_octets(self, plain_octets: int) -> int:
        """What ``seal`` makes of so many octets: IV, payloads, padding, pad length and ICV."""
        padded = plain_octets + self._padding(plain_octets) + 1
        return self._sealing.iv_octets + padded + self._sealing.icv_octets

    def seal(self, prefix: bytes, plaintext: bytes) -> bytes:
        """The body of an encrypted payload. ``prefix`` is the message up to the end of that payload's header, its
        lengths already final; ``plaintext`` the payloads inside."""
        padding = self._padding(len(plaintext))
        padded = plaintext + bytes(padding) + bytes([padding])
        return self._sealing.seal(prefix, b"", self._next_iv(), padded)

    def open(self, prefix: Octets, body: Octets) -> bytes:
        """The payloads inside an encrypted payload. PeerError("bad-icv") if the message isn't authentic;
        PeerError("bad-padding") if it is, but its padding can't be."""
        padded = self._sealing.open(prefix, b"", body)
        # RFC 7296 section 3.14, RFC 5282 section 3: any padding that fits must be accepted, whatever is in it
        if not padded or padded[-1] >= len(padded):
            raise PeerError("bad-padding", notify=NotifyType.INVALID_SYNTAX)
        return padded[: len(padded) - 1 - padded[-1]]

    def _padding(self, plain_octets: int) -> int:
        return -(plain_octets + 1) % self._block

    def _next_iv(self) -> bytes:
        octets = self._sealing.iv_octets
        if self._random_iv:
            return self._iv_source(octets)
        if self._count >> 8 * octets:  # out of reach: message IDs end long before (RFC 7296 section 2.2)
            raise LocalError("this key has used up its IVs")
        iv = self._count.to_bytes(octets, "big")
        self._count += 1
        return iv
