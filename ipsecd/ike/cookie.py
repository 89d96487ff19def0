"""Cookies: an initiator shows that it receives what we send, before we keep or compute anything (RFC 7296 section 2.6).

Cookie = version of the secret | truncated HMAC-SHA-256(secret, Ni | IPi | port | SPIi)
"""

from __future__ import annotations

import hmac

from ipsecd import limits
from ipsecd.crypto.entropy import Entropy
from ipsecd.crypto.secret import equal
from ipsecd.errors import WireError
from ipsecd.ike.config import Endpoint
from ipsecd.wire.ike import HEADER_OCTETS
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry import NotifyType, Payload

_SECRET_OCTETS = 32
_MAC_OCTETS = 16
_NOTIFY_HEADER = "!BBH"


def peek(first: int, data: bytes) -> tuple[bytes | None, bytes]:
    """The cookie and the nonce of an IKE_SA_INIT request; nothing else of it is decoded. Raises WireError."""
    cookie, nonce = None, b""
    r = Reader(data)
    r.take(HEADER_OCTETS)
    kind = first
    for _ in range(limits.MAX_PAYLOADS):
        if kind == Payload.NONE:
            break
        kind_of_this = kind
        kind, _, length = r.unpack("!BBH")
        body = r.take(length - 4) if length >= 4 else b""
        if length < 4:
            raise WireError("truncated", "a payload shorter than its header", offset=r.offset)
        if kind_of_this == Payload.NONCE:
            nonce = body
        elif kind_of_this == Payload.NOTIFY and cookie is None:
            cookie = _cookie_of(body)
    if not limits.MIN_NONCE <= len(nonce) <= limits.MAX_NONCE:
        raise WireError("bad-nonce", f"{len(nonce)} octets")
    return cookie, nonce


def _cookie_of(body: bytes) -> bytes | None:
    r = Reader(body)
    _, spi_octets, kind = r.unpack(_NOTIFY_HEADER)
    if kind != NotifyType.COOKIE:
        return None
    r.take(spi_octets)
    return r.rest()


class CookieJar:
    """The present secret and the one before. A secret is used for ``COOKIE_SECRET_LIFETIME`` after its first use, and
    good for as long again. ``equal`` compares without telling how much was right."""

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._version = 0
        self._secrets: dict[int, bytes] = {}
        self._since = 0.0

    def bake(self, nonce: bytes, remote: Endpoint, spi_i: bytes, now: float) -> bytes:
        self._renew(now)
        return self._cookie(self._version, nonce, remote, spi_i)

    def good(self, cookie: bytes, nonce: bytes, remote: Endpoint, spi_i: bytes, now: float) -> bool:
        if not cookie or cookie[0] not in self._secrets:
            return False
        self._renew(now)
        version = cookie[0]
        return version in self._secrets and equal(cookie, self._cookie(version, nonce, remote, spi_i))

    def _renew(self, now: float) -> None:
        age = now - self._since
        if self._secrets and age < limits.COOKIE_SECRET_LIFETIME:
            return
        previous = self._secrets.get(self._version) if age < 2 * limits.COOKIE_SECRET_LIFETIME else None
        old, self._version = self._version, (self._version + 1) % 256
        self._secrets = {self._version: self._entropy.octets(_SECRET_OCTETS)}
        if previous is not None:
            self._secrets[old] = previous
        self._since = now

    def _cookie(self, version: int, nonce: bytes, remote: Endpoint, spi_i: bytes) -> bytes:
        seed = nonce + remote.address.packed + remote.port.to_bytes(2, "big") + spi_i
        return bytes([version]) + hmac.digest(self._secrets[version], seed, "sha256")[:_MAC_OCTETS]
