"""The pseudorandom functions of IKEv2 and prf+ (RFC 7296 section 2.13). All offered PRFs are HMACs (RFC 2104)."""

from __future__ import annotations

import hmac

from ipsecd.crypto import algorithms
from ipsecd.crypto.secret import Secret
from ipsecd.errors import LocalError
from ipsecd.wire.registry import Prf


def algorithm(id_: Prf) -> algorithms.PrfAlgorithm:
    """The sizes of a PRF; LocalError for one we never negotiate."""
    found = algorithms.prf(id_)
    if found is None:
        raise LocalError(f"{id_} isn't offered, so it can't have been negotiated")
    return found


def prf(id_: Prf, key: bytes | Secret, data: bytes) -> bytes:
    """prf(key, data): as many octets as the hash gives. The key may have any length."""
    return hmac.digest(_octets(key), data, algorithm(id_).hash)


def prf_plus(id_: Prf, key: bytes | Secret, seed: bytes, octets: int) -> bytes:
    """The first ``octets`` of prf+(key, seed). LocalError beyond 255 outputs, where prf+ isn't defined."""
    known = algorithm(id_)
    if octets > 255 * known.output_octets:
        raise LocalError(f"prf+ of {known.name} ends at {255 * known.output_octets} octets")
    secret = _octets(key)
    stream = bytearray()
    block = b""
    count = 0
    while len(stream) < octets:
        count += 1
        block = hmac.digest(secret, block + seed + bytes([count]), known.hash)
        stream += block
    return bytes(stream[:octets])


def _octets(key: bytes | Secret) -> bytes:
    return key.reveal() if isinstance(key, Secret) else key
