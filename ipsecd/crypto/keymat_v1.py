"""Every key and hash of IKEv1: for the ISAKMP SA, for its exchanges, and for the SAs that they make.

RFC 2409 sections 5, 5.5 and 5.7 and appendix B. The prf is the HMAC of the hash that was negotiated. Where its output
is shorter than a key, its results are fed back into it. Cookies have eight octets, message IDs are numbers; ``Ni`` and
``Nr`` are bodies of nonce payloads, and public values are bodies of KE payloads.
"""

from __future__ import annotations

from dataclasses import dataclass

from ipsecd.crypto.algorithms import Encryption, Integrity, integrity_octets
from ipsecd.crypto.prf import prf
from ipsecd.crypto.secret import Secret
from ipsecd.errors import LocalError
from ipsecd.wire.registry import Prf
from ipsecd.wire.registry_v1 import Protocol

_SPI_OCTETS = 4


@dataclass(frozen=True, slots=True)
class IsakmpKeys:
    """SKEYID, SKEYID_d, SKEYID_a and SKEYID_e, and the key of the cipher that SKEYID_e makes."""

    skeyid: Secret
    d: Secret
    a: Secret
    e: Secret
    cipher: Secret

    def wipe(self) -> None:
        """Overwrite our copies, when the SA is gone."""
        for secret in (self.skeyid, self.d, self.a, self.e, self.cipher):
            secret.wipe()


@dataclass(frozen=True, slots=True)
class SaKeys:
    """The keys of one SA, which protects one direction by one protocol. ``e`` is empty for AH, ``a`` for an AEAD."""

    e: Secret
    a: Secret


# Section 5: SKEYID = prf(pre-shared-key, Ni_b | Nr_b)
def skeyid_of_psk(prf_id: Prf, key: Secret, nonce_i: bytes, nonce_r: bytes) -> Secret:
    """SKEYID with a pre-shared key."""
    return Secret(prf(prf_id, key, nonce_i + nonce_r))


# Section 5: SKEYID = prf(Ni_b | Nr_b, g^xy)
def skeyid_of_signatures(prf_id: Prf, shared: Secret, nonce_i: bytes, nonce_r: bytes) -> Secret:
    """SKEYID with signatures."""
    return Secret(prf(prf_id, nonce_i + nonce_r, shared.reveal()))


# Section 5: SKEYID_d = prf(SKEYID, g^xy | CKY-I | CKY-R | 0); in front of g^xy stand SKEYID_d for SKEYID_a, which ends
# in 1, and SKEYID_a for SKEYID_e, which ends in 2
def derive_isakmp(
    prf_id: Prf, encryption: Encryption, skeyid: Secret, shared: Secret, cookie_i: bytes, cookie_r: bytes
) -> IsakmpKeys:
    """The keys of an ISAKMP SA."""
    common = shared.reveal() + cookie_i + cookie_r
    d = prf(prf_id, skeyid, common + b"\x00")
    a = prf(prf_id, skeyid, d + common + b"\x01")
    e = prf(prf_id, skeyid, a + common + b"\x02")
    return IsakmpKeys(skeyid, Secret(d), Secret(a), Secret(e), Secret(_cipher_key(prf_id, e, encryption.key_octets)))


# Section 5: HASH_I = prf(SKEYID, g^xi | g^xr | CKY-I | CKY-R | SAi_b | IDii_b)
# and HASH_R = prf(SKEYID, g^xr | g^xi | CKY-R | CKY-I | SAi_b | IDir_b)
def phase_1_hash(
    prf_id: Prf,
    skeyid: Secret,
    publics: tuple[bytes, bytes],
    cookies: tuple[bytes, bytes],
    sa_body: bytes,
    id_body: bytes,
) -> bytes:
    """What proves, or what is signed, in phase 1. Of ``publics`` and ``cookies`` those of the side that proves come
    first. ``sa_body`` is the SA payload of the initiator, of both sides' hashes; ``id_body`` the ID payload of the side
    that proves; both as they were sent, without their generic header."""
    return prf(prf_id, skeyid, b"".join((*publics, *cookies, sa_body, id_body)))


# Section 5.5: HASH(1) = prf(SKEYID_a, M-ID | SA | Ni [ | KE ] [ | IDci | IDcr ])
def hash_1(prf_id: Prf, a: Secret, message_id: int, tail: bytes) -> bytes:
    """The hash in front of the first message of a quick mode, and of each message of an informational exchange
    (section 5.7) or a mode config (draft-dukes-ike-mode-cfg-02 section 3.1). ``tail`` are the payloads behind it."""
    return prf(prf_id, a, message_id.to_bytes(4, "big") + tail)


# Section 5.5: HASH(2) = prf(SKEYID_a, M-ID | Ni_b | SA | Nr [ | KE ] [ | IDci | IDcr ])
def hash_2(prf_id: Prf, a: Secret, message_id: int, nonce_i: bytes, tail: bytes) -> bytes:
    """The hash in front of the second message of a quick mode."""
    return prf(prf_id, a, message_id.to_bytes(4, "big") + nonce_i + tail)


# Section 5.5: HASH(3) = prf(SKEYID_a, 0 | M-ID | Ni_b | Nr_b)
def hash_3(prf_id: Prf, a: Secret, message_id: int, nonce_i: bytes, nonce_r: bytes) -> bytes:
    """The third message of a quick mode."""
    return prf(prf_id, a, b"\x00" + message_id.to_bytes(4, "big") + nonce_i + nonce_r)


# [MS-IKEE] section 3.8.5.1: HASH(2) = prf(SKEYID_a, Ni | M-ID | Nr | Delete), where others have M-ID in front
def hash_2_of_delete(prf_id: Prf, a: Secret, message_id: int, nonce_i: bytes, tail: bytes) -> bytes:
    """The hash in front of what says that a delete is known."""
    return prf(prf_id, a, nonce_i + message_id.to_bytes(4, "big") + tail)


def derive_esp(
    prf_id: Prf,
    d: Secret,
    encryption: Encryption,
    integrity: Integrity | None,
    spi: bytes,
    nonces: tuple[bytes, bytes],
    shared: Secret | None = None,
) -> SaKeys:
    """The keys of what is sent by ESP to the side that chose ``spi``: encryption first. ``nonces`` are the initiator's
    and the responder's; ``shared`` is of the quick mode's own key exchange, if it had one (PFS)."""
    split = encryption.material_octets
    octets = split + integrity_octets(encryption, integrity)
    material = _keymat(prf_id, d, Protocol.ESP, spi, nonces, shared, octets)
    return SaKeys(Secret(material[:split]), Secret(material[split:]))


def derive_ah(
    prf_id: Prf,
    d: Secret,
    integrity: Integrity,
    spi: bytes,
    nonces: tuple[bytes, bytes],
    shared: Secret | None = None,
) -> SaKeys:
    """As ``derive_esp``, for AH."""
    material = _keymat(prf_id, d, Protocol.AH, spi, nonces, shared, integrity.material_octets)
    return SaKeys(Secret(b""), Secret(material))


# Section 5.5: KEYMAT = prf(SKEYID_d, [ g(qm)^xy | ] protocol | SPI | Ni_b | Nr_b); longer, it is K1 | K2 | ..., where
# K1 is that, and K2 = prf(SKEYID_d, K1 | [ g(qm)^xy | ] protocol | SPI | Ni_b | Nr_b)
def _keymat(
    prf_id: Prf,
    d: Secret,
    protocol: Protocol,
    spi: bytes,
    nonces: tuple[bytes, bytes],
    shared: Secret | None,
    octets: int,
) -> bytes:
    if len(spi) != _SPI_OCTETS:
        raise LocalError(f"{protocol} has SPIs of {_SPI_OCTETS} octets, not {len(spi)}")
    fresh = shared.reveal() if shared is not None else b""
    seed = fresh + bytes([protocol]) + spi + b"".join(nonces)
    block = prf(prf_id, d, seed)
    material = block
    while len(material) < octets:
        block = prf(prf_id, d, block + seed)
        material += block
    return material[:octets]


# Appendix B: Ka = K1 | K2 | ..., where K1 = prf(SKEYID_e, 0) and K2 = prf(SKEYID_e, K1)
def _cipher_key(prf_id: Prf, e: bytes, octets: int) -> bytes:
    if len(e) >= octets:
        return e[:octets]
    block = prf(prf_id, e, b"\x00")
    key = block
    while len(key) < octets:
        block = prf(prf_id, e, block)
        key += block
    return key[:octets]
