"""The two ways to seal a message, the same for ESP and IKE: an AEAD, or a cipher and then a MAC over its output.

A sealed message is IV | ciphertext | ICV. ``header`` is what precedes it in clear and is protected too: SPI and
sequence number of ESP, or everything up to the end of the encrypted payload's header in IKE. ``high`` is the high half
of an extended sequence number, which is protected but not sent (RFC 4303 section 2.2.1), else empty.
"""

from __future__ import annotations

from typing import Protocol

from cryptography.exceptions import InvalidTag

from ipsecd.crypto import ciphers
from ipsecd.crypto.algorithms import Encryption, Integrity, integrity_octets
from ipsecd.crypto.mac import Mac
from ipsecd.errors import LocalError, PeerError

Octets = bytes | memoryview

_SPI = 4


class Sealing(Protocol):
    def seal(self, header: bytes, high: bytes, iv: bytes, plaintext: Octets, /) -> bytes:
        """IV | ciphertext | ICV. An IV must never come twice with an AEAD or in counter mode; LocalError if it hasn't
        the cipher's length."""

    def open(self, header: Octets, high: bytes, sealed: Octets, /) -> bytes:
        """The plaintext. PeerError("bad-icv") if it isn't authentic, ("bad-padding") if its sender broke the cipher's
        alignment."""


def sealing(encryption: Encryption, integrity: Integrity | None, key_e: bytes, key_a: bytes) -> Sealing:
    """The sealing of one direction. ``key_e`` ends with the salt; ``key_a`` is empty with an AEAD.

    LocalError for keys of the wrong length, or an integrity that doesn't go with the encryption.
    """
    for name, key, octets in (
        ("encryption", key_e, encryption.material_octets),
        ("integrity", key_a, integrity_octets(encryption, integrity)),
    ):
        if len(key) != octets:
            raise LocalError(f"{encryption.name} with {len(key)} octets of {name} key; it takes {octets}")
    key, salt = key_e[: encryption.key_octets], key_e[encryption.key_octets :]
    if integrity is None:
        return AeadSealing(encryption, ciphers.aead(encryption, key), salt)
    return MacSealing(encryption, ciphers.mode(encryption, key, salt), Mac(integrity, key_a))


class AeadSealing:
    """RFC 4106, RFC 7634 and, in IKE, RFC 5282: the nonce is salt | IV."""

    __slots__ = ("_aead", "_iv_octets", "_least", "_salt")

    def __init__(self, encryption: Encryption, aead: ciphers.Aead, salt: bytes) -> None:
        self._aead = aead
        self._salt = salt
        self._iv_octets = encryption.iv_octets
        self._least = encryption.iv_octets + encryption.icv_octets

    def seal(self, header: bytes, high: bytes, iv: bytes, plaintext: Octets, /) -> bytes:
        _check_iv(iv, self._iv_octets)
        return iv + self._aead.encrypt(self._salt + iv, plaintext, self._associated(header, high))

    def open(self, header: Octets, high: bytes, sealed: Octets, /) -> bytes:
        if len(sealed) < self._least:
            raise PeerError("bad-icv", f"{len(sealed)} octets can't hold an IV and an ICV")
        nonce = self._salt + sealed[: self._iv_octets]
        try:
            return self._aead.decrypt(nonce, sealed[self._iv_octets :], self._associated(header, high))
        except InvalidTag:
            raise PeerError("bad-icv") from None

    # RFC 4106 section 5: SPI | sequence number, of 64 bits if it's extended. RFC 5282 section 5.1: the IKE header.
    def _associated(self, header: Octets, high: bytes) -> Octets:
        return b"".join((header[:_SPI], high, header[_SPI:])) if high else header


class MacSealing:
    """A cipher and a MAC: RFC 4303 section 3.3.2.1 and 3.4.4.1, RFC 7296 section 3.14. The MAC is checked first, so
    nothing is learned from how a forgery decrypts."""

    __slots__ = ("_block", "_iv_octets", "_least", "_mac", "_mode")

    def __init__(self, encryption: Encryption, mode: ciphers.Mode, mac: Mac) -> None:
        self._mode = mode
        self._mac = mac
        self._block = encryption.block_octets
        self._iv_octets = encryption.iv_octets
        self._least = encryption.iv_octets + mac.octets

    def seal(self, header: bytes, high: bytes, iv: bytes, plaintext: Octets, /) -> bytes:
        _check_iv(iv, self._iv_octets)
        sealed = iv + self._mode.encrypt(iv, plaintext)
        return sealed + self._mac.icv(header, sealed, high)

    def open(self, header: Octets, high: bytes, sealed: Octets, /) -> bytes:
        if len(sealed) < self._least:
            raise PeerError("bad-icv", f"{len(sealed)} octets can't hold an IV and an ICV")
        covered, icv = sealed[: -self._mac.octets], sealed[-self._mac.octets :]
        if not self._mac.verify(icv, header, covered, high):
            raise PeerError("bad-icv")
        iv, ciphertext = covered[: self._iv_octets], covered[self._iv_octets :]
        if not ciphertext or len(ciphertext) % self._block:
            raise PeerError("bad-padding", f"{len(ciphertext)} octets of ciphertext aren't whole blocks")
        return self._mode.decrypt(iv, ciphertext)


def _check_iv(iv: bytes, octets: int) -> None:
    # the library takes GCM nonces of other lengths too, and would seal what nobody can open
    if len(iv) != octets:
        raise LocalError(f"an IV of {len(iv)} octets where {octets} belong")
