"""The integrity algorithm of one AH SA, one direction: a MAC of ``mac``, or AES-GMAC (RFC 4543), which takes an IV."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ipsecd.crypto.algorithms import Integrity
from ipsecd.crypto.mac import Mac
from ipsecd.crypto.secret import equal
from ipsecd.errors import LocalError

_Parts = bytes | memoryview


class AhMac(Protocol):
    """ICVs over parts in order. ``iv`` has ``iv_octets``, and must never come twice with the same key."""

    @property
    def iv_octets(self) -> int: ...

    @property
    def icv_octets(self) -> int: ...

    def icv(self, iv: bytes, /, *parts: _Parts) -> bytes:
        """The ICV over the parts."""

    def icvs(
        self, ivs: Iterable[bytes], ahead: _Parts, messages: Iterable[_Parts], behind: Iterable[bytes]
    ) -> list[bytes]:
        """The ICVs of many messages at once, as ``Mac.icvs`` has them, each with an IV of its own."""

    def verify(self, iv: bytes, icv: bytes | memoryview, /, *parts: _Parts) -> bool:
        """Whether ``icv`` is the ICV over the parts, in constant time."""


def ah_mac(integrity: Integrity, key: bytes) -> AhMac:
    """The MAC with this key, its salt behind it if it takes one. LocalError for a key of another length."""
    if len(key) != integrity.material_octets:
        raise LocalError(f"{integrity.name} with {len(key)} octets of key; it takes {integrity.material_octets}")
    return Gmac(integrity, key) if integrity.iv_octets else WithoutIv(integrity, key)


class WithoutIv:
    """What needs the key alone."""

    __slots__ = ("_mac", "icv_octets", "iv_octets")

    def __init__(self, integrity: Integrity, key: bytes) -> None:
        self._mac = Mac(integrity, key)
        self.iv_octets = 0
        self.icv_octets = integrity.icv_octets

    def icv(self, _: bytes, /, *parts: _Parts) -> bytes:
        return self._mac.icv(*parts)

    def icvs(
        self, _: Iterable[bytes], ahead: _Parts, messages: Iterable[_Parts], behind: Iterable[bytes]
    ) -> list[bytes]:
        return self._mac.icvs(ahead, messages, behind)

    def verify(self, _: bytes, icv: bytes | memoryview, /, *parts: _Parts) -> bool:
        return self._mac.verify(icv, *parts)


class Gmac:
    """AES-GCM of nothing, the parts being its associated data; the nonce is salt | IV (RFC 4543 sections 2 and 3.2)."""

    __slots__ = ("_gcm", "_salt", "icv_octets", "iv_octets")

    def __init__(self, integrity: Integrity, key: bytes) -> None:
        self._gcm = AESGCM(key[: integrity.key_octets])
        self._salt = key[integrity.key_octets :]
        self.iv_octets = integrity.iv_octets
        self.icv_octets = integrity.icv_octets

    def icv(self, iv: bytes, /, *parts: _Parts) -> bytes:
        if len(iv) != self.iv_octets:  # the library takes nonces of other lengths too
            raise LocalError(f"an IV of {len(iv)} octets where {self.iv_octets} belong")
        return self._gcm.encrypt(self._salt + iv, b"", b"".join(parts))

    def icvs(
        self, ivs: Iterable[bytes], ahead: _Parts, messages: Iterable[_Parts], behind: Iterable[bytes]
    ) -> list[bytes]:
        return [self.icv(iv, ahead, message, rest) for iv, message, rest in zip(ivs, messages, behind, strict=False)]

    def verify(self, iv: bytes, icv: bytes | memoryview, /, *parts: _Parts) -> bool:
        return equal(self.icv(iv, *parts), icv)
