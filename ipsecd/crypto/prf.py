"""The pseudorandom functions of IKEv2 and prf+ (RFC 7296 section 2.13). They are HMACs (RFC 2104), or
MACs of AES with keys of any length (RFC 4434, RFC 4615)."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from ipsecd.crypto import aes_mac, algorithms
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
    """prf(key, data): as many octets as the algorithm gives. The key may have any length."""
    return _keyed(algorithm(id_), _octets(key))(data)


def prf_plus(id_: Prf, key: bytes | Secret, seed: bytes, octets: int) -> bytes:
    """The first ``octets`` of prf+(key, seed). LocalError beyond 255 outputs, where prf+ isn't defined."""
    known = algorithm(id_)
    if octets > 255 * known.output_octets:
        raise LocalError(f"prf+ of {known.name} ends at {255 * known.output_octets} octets")
    keyed = _keyed(known, _octets(key))
    stream = bytearray()
    block = b""
    count = 0
    while len(stream) < octets:
        count += 1
        block = keyed(block + seed + bytes([count]))
        stream += block
    return bytes(stream[:octets])


def _keyed(known: algorithms.PrfAlgorithm, key: bytes) -> Callable[[bytes], bytes]:
    if known.hash:
        return lambda data: hmac.digest(key, data, known.hash)
    xcbc = known.id == Prf.AES128_XCBC
    fitting = aes_mac.any_length(key, xcbc=xcbc)
    keyed = aes_mac.Xcbc(fitting) if xcbc else aes_mac.cmac(fitting)

    def compute(data: bytes) -> bytes:
        state = keyed.copy()
        state.update(data)
        return state.finalize()

    return compute


def _octets(key: bytes | Secret) -> bytes:
    return key.reveal() if isinstance(key, Secret) else key
