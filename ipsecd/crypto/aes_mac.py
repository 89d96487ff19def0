"""MACs made of AES with a key of 128 bits, 16 octets long: CMAC (RFC 4493) and XCBC (RFC 3566)."""

from __future__ import annotations

from typing import Protocol, Self

from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from ipsecd.crypto.ciphers import Cbc

KEY_OCTETS = 16
_BLOCK = 16


class State(Protocol):
    """A keyed MAC, begun. ``copy`` keeps it for the next message; ``finalize`` ends it."""

    def copy(self) -> Self: ...

    def update(self, data: bytes | memoryview, /) -> None: ...

    def finalize(self) -> bytes: ...


def cmac(key: bytes) -> State:
    """CMAC by the library."""
    return CMAC(AES(key))  # type: ignore[return-value]  # update takes any buffer, though it is typed for bytes


def any_length(key: bytes, *, xcbc: bool) -> bytes:
    """The key of one of these MACs from one of a PRF, which may have any length: CMAC by RFC 4615 section 3, XCBC by
    RFC 4434 section 2, which fills up short keys with zeros."""
    if len(key) == KEY_OCTETS:
        return key
    if xcbc and len(key) < KEY_OCTETS:
        return key.ljust(KEY_OCTETS, b"\0")
    state = Xcbc(bytes(KEY_OCTETS)) if xcbc else cmac(bytes(KEY_OCTETS))
    state.update(key)
    return state.finalize()


class Xcbc:
    """AES-XCBC-MAC (RFC 3566 section 4): CBC from zeros under one derived key, the last block changed by another."""

    __slots__ = ("_cbc", "_data", "_padded", "_whole")

    def __init__(self, key: bytes) -> None:
        derive = Cbc(AES(key))
        first, whole, padded = (derive.encrypt(bytes(_BLOCK), bytes([number] * _BLOCK)) for number in (1, 2, 3))
        self._cbc = Cbc(AES(first))
        self._whole = int.from_bytes(whole, "big")
        self._padded = int.from_bytes(padded, "big")
        self._data = bytearray()

    def copy(self) -> Self:
        other = object.__new__(type(self))
        other._cbc, other._whole, other._padded = self._cbc, self._whole, self._padded
        other._data = bytearray(self._data)
        return other

    def update(self, data: bytes | memoryview, /) -> None:
        self._data += data

    def finalize(self) -> bytes:
        data = self._data
        mask = self._whole
        if not data or len(data) % _BLOCK:
            data += b"\x80"
            data += bytes(-len(data) % _BLOCK)
            mask = self._padded
        last = int.from_bytes(data[-_BLOCK:], "big") ^ mask
        data[-_BLOCK:] = last.to_bytes(_BLOCK, "big")
        return self._cbc.encrypt(bytes(_BLOCK), data)[-_BLOCK:]
