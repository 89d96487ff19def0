"""Every key that IKEv2 derives: for the IKE SA, for its successor, for child SAs, and for AUTH.

RFC 7296 sections 2.13, 2.14, 2.15, 2.17 and 2.18; the salt of AEADs and counter mode is the end of the encryption
key (RFC 5282 section 7.1, RFC 5930 section 3, RFC 4106 section 8.1, RFC 3686 section 5.1). The two PRFs of AES take
only the first 64 bits of each nonce for SKEYSEED, and all of both for what follows (section 2.14).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ipsecd.crypto.algorithms import Encryption, Integrity, integrity_octets
from ipsecd.crypto.prf import algorithm, prf, prf_plus
from ipsecd.crypto.secret import Secret
from ipsecd.errors import LocalError
from ipsecd.wire.registry import Prf

_KEY_PAD = b"Key Pad for IKEv2"  # RFC 7296 section 2.15


@dataclass(frozen=True, slots=True)
class IkeKeys:
    """SK_d, SK_ai, SK_ar, SK_ei, SK_er, SK_pi and SK_pr (RFC 7296 section 2.14).

    ``i`` keys protect and prove what the original initiator of this IKE SA sends. ``ai`` and ``ar`` are empty with an
    AEAD (RFC 5282 section 7.1).
    """

    d: Secret
    ai: Secret
    ar: Secret
    ei: Secret
    er: Secret
    pi: Secret
    pr: Secret

    def wipe(self) -> None:
        """Overwrite our copies, when the SA is gone."""
        for secret in (self.d, self.ai, self.ar, self.ei, self.er, self.pi, self.pr):
            secret.wipe()


@dataclass(frozen=True, slots=True)
class ChildKeyMaterial:
    """The keys of a child SA pair; ``i`` is the direction from the initiator *of the exchange* that made it."""

    ei: Secret
    ai: Secret
    er: Secret
    ar: Secret

    def wipe(self) -> None:
        """Overwrite our copies, when they have been handed on."""
        for secret in (self.ei, self.ai, self.er, self.ar):
            secret.wipe()


# RFC 7296 section 2.14: SKEYSEED = prf(Ni | Nr, g^ir)
def derive_ike(
    prf_id: Prf,
    encryption: Encryption,
    integrity: Integrity | None,
    nonce_i: bytes,
    nonce_r: bytes,
    shared: Secret,
    spi_i: bytes,
    spi_r: bytes,
) -> IkeKeys:
    """The keys of an IKE SA that IKE_SA_INIT made. ``integrity`` is None exactly when ``encryption`` is an AEAD."""
    part = algorithm(prf_id).nonce_octets
    skeyseed = prf(prf_id, nonce_i[:part] + nonce_r[:part], shared.reveal())
    return _expand_ike(prf_id, encryption, integrity, skeyseed, nonce_i + nonce_r + spi_i + spi_r)


# RFC 7296 section 2.18: SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr), by the old SA's PRF; the rest by the new one
def derive_ike_rekey(
    old_prf: Prf,
    old_d: Secret,
    prf_id: Prf,
    encryption: Encryption,
    integrity: Integrity | None,
    nonce_i: bytes,
    nonce_r: bytes,
    shared: Secret,
    spi_i: bytes,
    spi_r: bytes,
) -> IkeKeys:
    """The keys of an IKE SA that replaces another. SPIs and nonces are those of the CREATE_CHILD_SA exchange."""
    skeyseed = prf(old_prf, old_d, shared.reveal() + nonce_i + nonce_r)
    return _expand_ike(prf_id, encryption, integrity, skeyseed, nonce_i + nonce_r + spi_i + spi_r)


# RFC 7296 section 2.17: KEYMAT = prf+(SK_d, [g^ir (new) |] Ni | Nr); all keys of the initiator's direction first; of
# several protocols, in the order of their headers; of each, encryption first
def derive_children(
    prf_id: Prf,
    d: Secret,
    layers: Sequence[tuple[Encryption | None, Integrity | None]],
    nonce_i: bytes,
    nonce_r: bytes,
    shared: Secret | None = None,
) -> tuple[ChildKeyMaterial, ...]:
    """The keys of a child SA, of each of its protocols, outermost first. Without an encryption it is AH, whose key is
    that of integrity alone, with its salt behind it for GMAC (RFC 4543 section 5). ``shared`` only where the exchange
    had a key exchange of its own (PFS)."""
    fresh = shared.reveal() if shared is not None else b""
    one_way = tuple(size for layer in layers for size in _layer_octets(*layer))
    keys = _cut(prf_plus(prf_id, d, fresh + nonce_i + nonce_r, 2 * sum(one_way)), one_way * 2)
    of_initiator, of_responder = keys[: len(one_way)], keys[len(one_way) :]
    return tuple(
        ChildKeyMaterial(*of_initiator[at : at + 2], *of_responder[at : at + 2]) for at in range(0, len(one_way), 2)
    )


def _layer_octets(encryption: Encryption | None, integrity: Integrity | None) -> tuple[int, int]:
    if encryption is not None:
        return encryption.material_octets, integrity_octets(encryption, integrity)
    if integrity is None:
        raise LocalError("AH without integrity isn't a suite")
    return 0, integrity.material_octets


# RFC 7296 section 2.15: RealMessage | the other side's nonce | prf(SK_p, RestOfIDPayload)
def signed_octets(message: bytes, peer_nonce: bytes, prf_id: Prf, sk_p: Secret, id_body: bytes) -> bytes:
    """What one side proves. ``message`` is its own IKE_SA_INIT message (the latest one sent), ``peer_nonce`` the value
    of the other side's nonce, ``sk_p`` its own SK_pi or SK_pr, ``id_body`` its ID payload without the fixed header."""
    return message + peer_nonce + prf(prf_id, sk_p, id_body)


# RFC 7296 section 2.15: AUTH = prf(prf(Shared Secret, "Key Pad for IKEv2"), SignedOctets)
def shared_key_auth(prf_id: Prf, key: Secret, octets: bytes) -> bytes:
    """The AUTH data of a pre-shared key over ``octets``, which ``signed_octets`` made."""
    return prf(prf_id, prf(prf_id, key, _KEY_PAD), octets)


def _expand_ike(
    prf_id: Prf, encryption: Encryption, integrity: Integrity | None, skeyseed: bytes, seed: bytes
) -> IkeKeys:
    own = algorithm(prf_id).key_octets
    mac = integrity_octets(encryption, integrity)
    cipher = encryption.material_octets
    sizes = (own, mac, mac, cipher, cipher, own, own)
    return IkeKeys(*_cut(prf_plus(prf_id, skeyseed, seed, sum(sizes)), sizes))


def _cut(stream: bytes, sizes: tuple[int, ...]) -> list[Secret]:
    keys = []
    start = 0
    for size in sizes:
        keys.append(Secret(stream[start : start + size]))
        start += size
    return keys
