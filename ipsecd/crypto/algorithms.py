"""What each transform of RFC 7296 section 3.3.2 needs: key, IV, ICV and block sizes, and its keyword.

A transform is *offered* when it stands in one of these tables. Everything else in the registry is recognised (it has
a name and is decoded) and declined: the look-up answers None. The keywords are those of strongSwan's proposals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from ipsecd.errors import LocalError
from ipsecd.wire.registry import Encr, Group, Integ, Prf


@dataclass(frozen=True, slots=True)
class Encryption:
    """A cipher at one key length. Sizes are octets.

    ``key_bits`` is the key length attribute, or None for a transform that must not carry one (RFC 7296 section 3.3.5).
    ``key_octets`` is the cipher's own key; ``salt_octets`` follow it in the keying material (RFC 4106 section 8.1,
    RFC 3686 section 5.1, RFC 4309 section 4, RFC 7634 section 2). ``icv_octets`` is 0 unless ``aead``: integrity is
    then a transform of its own. ``block_octets`` is what the plaintext, padding included, must be a multiple of.
    """

    id: Encr
    key_bits: int | None
    name: str
    key_octets: int
    salt_octets: int
    iv_octets: int
    icv_octets: int
    block_octets: int
    aead: bool

    @property
    def material_octets(self) -> int:
        """Keying material of one direction: the key and its salt."""
        return self.key_octets + self.salt_octets

    @property
    def counter_iv(self) -> bool:
        """Whether its IV is a number that must not come twice. Else it is one that nobody may predict, or there is
        none."""
        return self.iv_octets > 0 and self.block_octets == 1

    @property
    def encrypts(self) -> bool:
        """Whether it hides anything. What doesn't is for ESP alone (RFC 2410, RFC 4543, RFC 8247 section 2.1)."""
        return self.id not in (Encr.NULL, Encr.NULL_AUTH_AES_GMAC)


@dataclass(frozen=True, slots=True)
class Integrity:
    """A MAC, its key and its truncated output in octets (RFC 2404, RFC 4868). ``hash`` is hashlib's name of what an
    HMAC is made of, empty for those made of AES. One that takes a nonce has ``salt_octets`` of it behind the key in the
    keying material, and ``iv_octets`` in each packet (RFC 4543 sections 4 and 5)."""

    id: Integ
    name: str
    key_octets: int
    icv_octets: int
    hash: str
    salt_octets: int = 0
    iv_octets: int = 0

    @property
    def material_octets(self) -> int:
        """Keying material of one direction: the key and its salt."""
        return self.key_octets + self.salt_octets


@dataclass(frozen=True, slots=True)
class PrfAlgorithm:
    """A MAC as PRF: preferred key and output in octets (RFC 7296 section 2.13). ``hash`` is the same as of Integrity;
    ``nonce_octets`` is how much of each nonce makes the first key, None for all of it (section 2.14)."""

    id: Prf
    name: str
    key_octets: int
    output_octets: int
    hash: str
    nonce_octets: int | None = None


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """A key exchange method and the exact octets of its public value (RFC 7296 section 3.4)."""

    id: Group
    name: str
    public_octets: int


Algorithm = Encryption | Integrity | PrfAlgorithm | GroupInfo


def _by_key(id_: Encr, name: str, salt: int, iv: int, icv: int, block: int) -> tuple[Encryption, ...]:
    return tuple(
        Encryption(id_, bits, name.format(bits), bits // 8, salt, iv, icv, block, aead=icv > 0)
        for bits in (128, 192, 256)
    )


_ENCRYPTION: dict[tuple[int, int | None], Encryption] = {
    (transform.id, transform.key_bits): transform
    for transform in (
        *_by_key(Encr.AES_GCM_16, "aes{}gcm16", 4, 8, 16, 1),  # RFC 4106
        *_by_key(Encr.AES_GCM_12, "aes{}gcm12", 4, 8, 12, 1),
        *_by_key(Encr.AES_GCM_8, "aes{}gcm8", 4, 8, 8, 1),
        *_by_key(Encr.AES_CCM_16, "aes{}ccm16", 3, 8, 16, 1),  # RFC 4309
        *_by_key(Encr.AES_CCM_12, "aes{}ccm12", 3, 8, 12, 1),
        *_by_key(Encr.AES_CCM_8, "aes{}ccm8", 3, 8, 8, 1),
        *_by_key(Encr.NULL_AUTH_AES_GMAC, "aes{}gmac", 4, 8, 16, 1),  # RFC 4543
        *_by_key(Encr.AES_CBC, "aes{}", 0, 16, 0, 16),  # RFC 3602
        *_by_key(Encr.AES_CTR, "aes{}ctr", 4, 8, 0, 1),  # RFC 3686, RFC 5930
        *_by_key(Encr.CAMELLIA_CBC, "camellia{}", 0, 16, 0, 16),  # RFC 4312, RFC 5529
        Encryption(Encr.TRIPLE_DES, None, "3des", 24, 0, 8, 0, 8, aead=False),  # RFC 2451
        Encryption(Encr.DES, None, "des", 8, 0, 8, 0, 8, aead=False),  # RFC 2405
        Encryption(Encr.NULL, None, "null", 0, 0, 0, 0, 1, aead=False),  # RFC 2410
        Encryption(Encr.CHACHA20_POLY1305, None, "chacha20poly1305", 32, 4, 8, 16, 1, aead=True),  # RFC 7634
    )
}
_INTEGRITY: dict[int, Integrity] = {
    transform.id: transform
    for transform in (
        Integrity(Integ.HMAC_SHA1_96, "sha1", 20, 12, "sha1"),  # RFC 2404
        Integrity(Integ.HMAC_SHA2_256_128, "sha256", 32, 16, "sha256"),  # RFC 4868
        Integrity(Integ.HMAC_SHA2_384_192, "sha384", 48, 24, "sha384"),
        Integrity(Integ.HMAC_SHA2_512_256, "sha512", 64, 32, "sha512"),
        Integrity(Integ.AES_XCBC_96, "aesxcbc", 16, 12, ""),  # RFC 3566
        Integrity(Integ.AES_CMAC_96, "aescmac", 16, 12, ""),  # RFC 4494
        Integrity(Integ.HMAC_MD5_96, "md5", 16, 12, "md5"),  # RFC 2403
    )
}
# With ESP, GMAC is an encryption that only authenticates (RFC 4543 section 9). Both have one keyword and one self-test.
_AH_ALONE: dict[int, Integrity] = {
    id_: Integrity(id_, f"aes{bits}gmac", bits // 8, 16, "", salt_octets=4, iv_octets=8)
    for id_, bits in ((Integ.AES_128_GMAC, 128), (Integ.AES_192_GMAC, 192), (Integ.AES_256_GMAC, 256))
}
_PRF: dict[int, PrfAlgorithm] = {
    transform.id: transform
    for transform in (
        PrfAlgorithm(Prf.HMAC_SHA1, "prfsha1", 20, 20, "sha1"),  # RFC 2104
        PrfAlgorithm(Prf.HMAC_SHA2_256, "prfsha256", 32, 32, "sha256"),  # RFC 4868
        PrfAlgorithm(Prf.HMAC_SHA2_384, "prfsha384", 48, 48, "sha384"),
        PrfAlgorithm(Prf.HMAC_SHA2_512, "prfsha512", 64, 64, "sha512"),
        PrfAlgorithm(Prf.AES128_XCBC, "prfaesxcbc", 16, 16, "", nonce_octets=8),  # RFC 4434
        PrfAlgorithm(Prf.AES128_CMAC, "prfaescmac", 16, 16, "", nonce_octets=8),  # RFC 4615
        PrfAlgorithm(Prf.HMAC_MD5, "prfmd5", 16, 16, "md5"),  # RFC 2104
    )
}
_GROUP: dict[int, GroupInfo] = {
    method.id: method
    for method in (
        GroupInfo(Group.MODP_768, "modp768", 96),  # RFC 2409: of old peers of IKEv1, where a policy names them
        GroupInfo(Group.MODP_1024, "modp1024", 128),
        GroupInfo(Group.MODP_1536, "modp1536", 192),  # RFC 3526
        GroupInfo(Group.MODP_2048, "modp2048", 256),
        GroupInfo(Group.MODP_3072, "modp3072", 384),
        GroupInfo(Group.MODP_4096, "modp4096", 512),
        GroupInfo(Group.MODP_6144, "modp6144", 768),
        GroupInfo(Group.MODP_8192, "modp8192", 1024),
        GroupInfo(Group.ECP_256, "ecp256", 64),  # RFC 5903
        GroupInfo(Group.ECP_384, "ecp384", 96),
        GroupInfo(Group.ECP_521, "ecp521", 132),
        GroupInfo(Group.BRAINPOOL_256, "ecp256bp", 64),  # RFC 6954
        GroupInfo(Group.BRAINPOOL_384, "ecp384bp", 96),
        GroupInfo(Group.BRAINPOOL_512, "ecp512bp", 128),
        GroupInfo(Group.CURVE25519, "x25519", 32),  # RFC 8031
        GroupInfo(Group.CURVE448, "x448", 56),
    )
}

_withdrawn: set[str] = set()
_A = TypeVar("_A", Encryption, Integrity, PrfAlgorithm, GroupInfo)


def encryption(id_: int, key_bits: int | None) -> Encryption | None:
    """The cipher with this number and key length attribute; None if we decline it."""
    return _unless_withdrawn(_ENCRYPTION.get((id_, key_bits)))


def integrity(id_: int) -> Integrity | None:
    """The integrity algorithm with this number; None if we decline it (``Integ.NONE`` too: there is no MAC)."""
    return _unless_withdrawn(_INTEGRITY.get(id_))


def ah_integrity(id_: int) -> Integrity | None:
    """The integrity algorithm of AH with this number: what ``integrity`` knows, and GMAC; None if we decline it."""
    return integrity(id_) or _unless_withdrawn(_AH_ALONE.get(id_))


def prf(id_: int) -> PrfAlgorithm | None:
    """The PRF with this number; None if we decline it."""
    return _unless_withdrawn(_PRF.get(id_))


def group(id_: int) -> GroupInfo | None:
    """The key exchange method with this number; None if we decline it."""
    return _unless_withdrawn(_GROUP.get(id_))


def offered() -> dict[str, Algorithm]:
    """Every algorithm we offer, by keyword."""
    return {name: algorithm for name, algorithm in _all().items() if name not in _withdrawn}


def withdrawn() -> dict[str, Algorithm]:
    """Every algorithm we would offer if its self-test hadn't failed, by keyword."""
    return {name: algorithm for name, algorithm in _all().items() if name in _withdrawn}


def _all() -> dict[str, Algorithm]:
    tables: tuple[Algorithm, ...] = (*_ENCRYPTION.values(), *_INTEGRITY.values(), *_PRF.values(), *_GROUP.values())
    return {algorithm.name: algorithm for algorithm in tables}


def withdraw(name: str) -> None:
    """Stop offering the algorithm with this keyword until the process ends: its self-test failed."""
    _withdrawn.add(name)


def _unless_withdrawn(found: _A | None) -> _A | None:
    return None if found is None or found.name in _withdrawn else found


def integrity_octets(encryption: Encryption, integrity: Integrity | None) -> int:
    """Octets of the integrity key of a suite. LocalError for what isn't a suite: an AEAD does without a MAC
    (RFC 5282 section 8, RFC 4106), everything else needs one."""
    if encryption.aead != (integrity is None):
        raise LocalError(f"{encryption.name} with {integrity.name if integrity else 'no integrity'} isn't a suite")
    return integrity.key_octets if integrity is not None else 0
