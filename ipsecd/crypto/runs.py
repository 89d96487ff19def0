"""An AEAD over many packets of one length, from buffer to buffer."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Protocol

from cryptography.exceptions import InvalidTag

from ipsecd.crypto.algorithms import Encryption
from ipsecd.crypto.ciphers import Buffer, aead

Views = Iterable[memoryview]


class _Into(Protocol):
    """What the library's AEADs have: the result goes into the last argument, which has exactly its size, or is new."""

    def encrypt(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, /) -> bytes: ...

    def encrypt_into(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, buf: Buffer, /) -> int: ...

    def decrypt_into(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, buf: Buffer, /) -> int: ...


_SALT, _IV = 4, 8  # what runs have in front of their packets


class RunCipher:
    """One key. ``salt`` stands before the IV in each nonce (RFC 4106 section 4, RFC 7634 section 2)."""

    __slots__ = ("_aead", "salt")

    def __init__(self, library: _Into, salt: bytes) -> None:
        self._aead = library
        self.salt = salt

    def seal(self, nonces: Views, plain: Views, associated: Views, sealed: Views) -> None:
        """Encrypt each of ``plain`` into one of ``sealed``, ICV included; the shortest of the lists ends it."""
        deque(map(self._aead.encrypt_into, nonces, plain, associated, sealed), maxlen=0)

    def seal_one(self, iv: bytes, plain: bytes, associated: bytes) -> bytes:
        """One packet by itself: ciphertext and ICV."""
        return self._aead.encrypt(self.salt + iv, plain, associated)

    def open(self, nonces: Views, sealed: Views, associated: Views, plain: Views) -> bool:
        """Decrypt each of ``sealed`` into one of ``plain``; False as soon as an ICV is wrong."""
        try:
            deque(map(self._aead.decrypt_into, nonces, sealed, associated, plain), maxlen=0)
        except InvalidTag:
            return False
        return True

    def open_one(self, iv: memoryview, sealed: memoryview, associated: Buffer, plain: memoryview) -> bool:
        """Decrypt one; False if its ICV is wrong."""
        try:
            self._aead.decrypt_into(self.salt + iv, sealed, associated, plain)
        except InvalidTag:
            return False
        return True


def run_cipher(encryption: Encryption, key_e: bytes) -> RunCipher | None:
    """The cipher for runs with this key and salt; None where there is none that works so."""
    if not encryption.aead or (encryption.salt_octets, encryption.iv_octets) != (_SALT, _IV):
        return None
    library = aead(encryption, key_e[: encryption.key_octets])
    if not hasattr(library, "encrypt_into"):
        return None
    into: _Into = library  # type: ignore[assignment]  # that was just looked at
    return RunCipher(into, key_e[encryption.key_octets :])
