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
from ipsecd.wire.registry import NotifyType

Octets = bytes | memoryview

_SPI = 4


class Sealing(Protocol):
    """One direction's keys at work. Sealing adds ``iv_octets`` and ``icv_octets`` to the plaintext."""

    @property
    def iv_octets(self) -> int: ...

    @property
    def icv_octets(self) -> int: ...

    def seal(self, header: bytes, high: bytes, iv: bytes, plaintext: Octets, /) -> bytes:
        """IV | ciphertext | ICV. An IV must never come twice with an AEAD or in counter mode; LocalError if it hasn't
        the cipher's length."""

    def open(self, header: Octets, high: bytes, sealed: Octets, /) -> bytes:
        """The plaintext. PeerError("bad-icv") if it isn't authentic, ("bad-padding") if its sender broke the cipher's
        alignment; the notify of that is IKE's, ESP answers nothing."""


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
    """RFC 4106, RFC 4309, RFC 4543, RFC 7634 and, in IKE, RFC 5282: the nonce is salt | IV."""

    __slots__ = ("_aead", "_salt", "icv_octets", "iv_octets")

    def __init__(self, encryption: Encryption, aead: ciphers.Aead, salt: bytes) -> None:
        self._aead = aead
        self._salt = salt
        self.iv_octets = encryption.iv_octets
        self.icv_octets = encryption.icv_octets

    def seal(self, header: bytes, high: bytes, iv: bytes, plaintext: Octets, /) -> bytes:
        if len(iv) != self.iv_octets:
            raise _wrong_iv(iv, self.iv_octets)
        return iv + self._aead.encrypt(self._salt + iv, plaintext, self._associated(header, high))

    def open(self, header: Octets, high: bytes, sealed: Octets, /) -> bytes:
        if len(sealed) < self.iv_octets + self.icv_octets:
            raise _too_short(sealed)
        nonce = self._salt + sealed[: self.iv_octets]
        try:
            return self._aead.decrypt(nonce, sealed[self.iv_octets :], self._associated(header, high))
        except InvalidTag:
            raise PeerError("bad-icv") from None

    # RFC 4106 section 5: SPI | sequence number, of 64 bits if it's extended. RFC 5282 section 5.1: the IKE header.
    def _associated(self, header: Octets, high: bytes) -> Octets:
        return bytes(header[:_SPI]) + high + header[_SPI:] if high else header


class MacSealing:
    """A cipher and a MAC: RFC 4303 section 3.3.2.1 and 3.4.4.1, RFC 7296 section 3.14. The MAC is checked first, so
    nothing is learned from how a forgery decrypts."""

    __slots__ = ("_block", "_mac", "_mode", "icv_octets", "iv_octets")

    def __init__(self, encryption: Encryption, mode: ciphers.Mode, mac: Mac) -> None:
        self._mode = mode
        self._mac = mac
        self._block = encryption.block_octets
        self.iv_octets = encryption.iv_octets
        self.icv_octets = mac.octets

    def seal(self, header: bytes, high: bytes, iv: bytes, plaintext: Octets, /) -> bytes:
        if len(iv) != self.iv_octets:
            raise _wrong_iv(iv, self.iv_octets)
        sealed = iv + self._mode.encrypt(iv, plaintext)
        return sealed + self._mac.icv(header, sealed, high)

    def open(self, header: Octets, high: bytes, sealed: Octets, /) -> bytes:
        if len(sealed) < self.iv_octets + self.icv_octets:
            raise _too_short(sealed)
        covered, icv = sealed[: -self.icv_octets], sealed[-self.icv_octets :]
        if not self._mac.verify(icv, header, covered, high):
            raise PeerError("bad-icv")
        iv, ciphertext = covered[: self.iv_octets], covered[self.iv_octets :]
        if not ciphertext or len(ciphertext) % self._block:
            detail = f"{len(ciphertext)} octets of ciphertext aren't whole blocks"
            raise PeerError("bad-padding", detail, notify=NotifyType.INVALID_SYNTAX)
        return self._mode.decrypt(iv, ciphertext)


def _wrong_iv(iv: bytes, octets: int) -> LocalError:
    # the library takes GCM nonces of other lengths too, and would seal what nobody can open
    return LocalError(f"an IV of {len(iv)} octets where {octets} belong")


def _too_short(sealed: Octets) -> PeerError:
    return PeerError("bad-icv", f"{len(sealed)} octets can't hold an IV and an ICV")
