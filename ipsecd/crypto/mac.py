"""Integrity algorithms: HMAC (RFC 2403 with MD5, RFC 2404 with SHA-1, RFC 4868 with SHA-2), AES-XCBC (RFC 3566) and
AES-CMAC (RFC 4494), truncated to the ICV."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography.hazmat.primitives import hashes, hmac

from ipsecd.crypto.aes_mac import State, Xcbc, cmac
from ipsecd.crypto.algorithms import Integrity
from ipsecd.crypto.secret import equal
from ipsecd.wire.registry import Integ

Octets = bytes | memoryview

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "md5": hashes.MD5(),  # noqa: S303  # as HMAC too, and only where a policy names it (RFC 6151 section 2.3)
    "sha1": hashes.SHA1(),  # noqa: S303  # as HMAC, where collisions don't matter (RFC 6194 section 3.3)
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


class Mac:
    """The integrity check values of one key. The keyed state is computed once and copied for each message, which
    saves two compressions of the hash and the set-up of the library's context."""

    __slots__ = ("_keyed", "octets")

    def __init__(self, integrity: Integrity, key: bytes) -> None:
        self.octets = integrity.icv_octets
        self._keyed = _keyed(integrity, key)

    def icv(self, *parts: Octets) -> bytes:
        """The ICV over the parts in order."""
        state = self._keyed.copy()
        for part in parts:
            state.update(part)
        return state.finalize()[: self.octets]

    def icvs(self, ahead: Octets, messages: Iterable[Octets], behind: Iterable[bytes]) -> list[bytes]:
        """The ICVs of many messages at once: each over ``ahead``, the message, and what ``behind`` has for it. The
        shorter of the two ends it."""
        keyed, octets = self._keyed, self.octets
        if ahead:
            keyed = keyed.copy()
            keyed.update(ahead)
        copy, found = keyed.copy, []
        for message, rest in zip(messages, behind, strict=False):
            state = copy()
            state.update(message)
            if rest:
                state.update(rest)
            found.append(state.finalize()[:octets])
        return found

    def verify(self, icv: Octets, *parts: Octets) -> bool:
        """Whether ``icv`` is the ICV over the parts, in constant time."""
        return equal(self.icv(*parts), icv)


def _keyed(integrity: Integrity, key: bytes) -> State:
    if integrity.hash:
        return hmac.HMAC(key, _HASHES[integrity.hash])
    return Xcbc(key) if integrity.id == Integ.AES_XCBC_96 else cmac(key)
