"""The keywords of algorithms, as strongSwan's proposals spell them, and what stands behind each in the registry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from ipsecd.policy.complaint import complaint, did_you_mean, folded, quoted
from ipsecd.wire.registry import Encr, Group, Integ, Prf

Cipher: TypeAlias = tuple[Encr, int | None]  # with the key length in bits where the algorithm has several

_KEYS = (128, 192, 256)
_ICVS = {8: Encr.AES_GCM_8, 12: Encr.AES_GCM_12, 16: Encr.AES_GCM_16}
_CCM = {8: Encr.AES_CCM_8, 12: Encr.AES_CCM_12, 16: Encr.AES_CCM_16}

ENCRYPTION: Final[Mapping[str, Cipher]] = {
    **{f"aes{bits}gcm{icv}": (encr, bits) for icv, encr in reversed(_ICVS.items()) for bits in _KEYS},
    "chacha20poly1305": (Encr.CHACHA20_POLY1305, None),
    **{f"aes{bits}ccm{icv}": (encr, bits) for icv, encr in reversed(_CCM.items()) for bits in _KEYS},
    **{f"aes{bits}": (Encr.AES_CBC, bits) for bits in _KEYS},
    **{f"aes{bits}ctr": (Encr.AES_CTR, bits) for bits in _KEYS},
    **{f"camellia{bits}": (Encr.CAMELLIA_CBC, bits) for bits in _KEYS},
    "3des": (Encr.TRIPLE_DES, None),
    "des": (Encr.DES, None),
    **{f"aes{bits}gmac": (Encr.NULL_AUTH_AES_GMAC, bits) for bits in _KEYS},
    "null": (Encr.NULL, None),
}
# What only authenticates is no encryption for IKE (RFC 8247 section 2.1).
UNENCRYPTED: Final = frozenset({"null", *(f"aes{bits}gmac" for bits in _KEYS)})
IKE_ENCRYPTION: Final[Mapping[str, Cipher]] = {
    name: cipher for name, cipher in ENCRYPTION.items() if name not in UNENCRYPTED
}
INTEGRITY: Final[Mapping[str, Integ]] = {
    "sha256": Integ.HMAC_SHA2_256_128,
    "sha384": Integ.HMAC_SHA2_384_192,
    "sha512": Integ.HMAC_SHA2_512_256,
    "sha1": Integ.HMAC_SHA1_96,
    "aesxcbc": Integ.AES_XCBC_96,
    "aescmac": Integ.AES_CMAC_96,
    "aes128gmac": Integ.AES_128_GMAC,
    "aes192gmac": Integ.AES_192_GMAC,
    "aes256gmac": Integ.AES_256_GMAC,
    "md5": Integ.HMAC_MD5_96,
}
# With ESP, GMAC is an encryption that only authenticates; as a MAC it is for AH alone (RFC 4543 section 9).
MACS: Final[Mapping[str, Integ]] = {name: mac for name, mac in INTEGRITY.items() if "gmac" not in name}
PRF: Final[Mapping[str, Prf]] = {
    "prfsha256": Prf.HMAC_SHA2_256,
    "prfsha384": Prf.HMAC_SHA2_384,
    "prfsha512": Prf.HMAC_SHA2_512,
    "prfsha1": Prf.HMAC_SHA1,
    "prfaesxcbc": Prf.AES128_XCBC,
    "prfaescmac": Prf.AES128_CMAC,
    "prfmd5": Prf.HMAC_MD5,
}
GROUPS: Final[Mapping[str, Group]] = {
    "x25519": Group.CURVE25519,
    "x448": Group.CURVE448,
    "ecp256": Group.ECP_256,
    "ecp384": Group.ECP_384,
    "ecp521": Group.ECP_521,
    "modp2048": Group.MODP_2048,
    "modp3072": Group.MODP_3072,
    "modp4096": Group.MODP_4096,
    "modp6144": Group.MODP_6144,
    "modp8192": Group.MODP_8192,
    "ecp256bp": Group.BRAINPOOL_256,
    "ecp384bp": Group.BRAINPOOL_384,
    "ecp512bp": Group.BRAINPOOL_512,
    "mlkem512": Group.ML_KEM_512,
    "mlkem768": Group.ML_KEM_768,
    "mlkem1024": Group.ML_KEM_1024,
    "modp1536": Group.MODP_1536,
    "modp1024": Group.MODP_1024,
    "modp768": Group.MODP_768,
}

# Recognised, so that a policy may name them, and declined by this release.
NOT_YET: Final = frozenset(name for name in GROUPS if name.startswith("mlkem"))

# MUST NOT or SHOULD NOT be used: RFC 8221 sections 5 and 6, RFC 8247 section 2.
OBSOLETE: Final = frozenset({"des", "3des", "md5", "prfmd5", "modp768", "modp1024", "modp1536"})

# IKEv1 has numbers for CBC ciphers and HMACs alone in phase 1 (RFC 2409 appendix A), and none for these in phase 2.
IKEV1_ENCRYPTION: Final = frozenset(
    name
    for name, (encr, _) in IKE_ENCRYPTION.items()
    if encr in (Encr.DES, Encr.TRIPLE_DES, Encr.AES_CBC, Encr.CAMELLIA_CBC)
)
IKEV1_PRF: Final = frozenset(name for name in PRF if name not in ("prfaesxcbc", "prfaescmac"))
NOT_IN_IKEV1: Final = frozenset({"chacha20poly1305", "aescmac"})

# What others call them; named in hints only, so that a policy has one spelling.
_ELSEWHERE: Final[Mapping[str, str]] = {
    "aes": "aes128",
    "sha": "sha1",
    "sha2-256": "sha256",
    "sha2_256": "sha256",
    "sha2-384": "sha384",
    "sha2_384": "sha384",
    "sha2-512": "sha512",
    "sha2_512": "sha512",
    "curve25519": "x25519",
    "curve448": "x448",
    **{f"{word}{group.value}": name for name, group in GROUPS.items() for word in ("group", "dh")},
    **{f"aes{bits}gcm": f"aes{bits}gcm16" for bits in _KEYS},
    **{f"aes-{bits}-gcm": f"aes{bits}gcm16" for bits in _KEYS},
    **{f"aes-{bits}": f"aes{bits}" for bits in _KEYS},
    **{f"aes{bits}cbc": f"aes{bits}" for bits in _KEYS},
}

_AEADS = frozenset(
    {*_ICVS.values(), *_CCM.values(), Encr.CHACHA20_POLY1305, Encr.NULL_AUTH_AES_GMAC}
)  # RFC 5282 section 8, RFC 4543: they bring their own integrity


def is_aead(name: str) -> bool:
    """Whether this encryption brings its own integrity."""
    return ENCRYPTION[name][0] in _AEADS


def keyword(value: object, table: Iterable[str], what: str) -> str:
    """A keyword of this table in its one spelling; raises Complaint."""
    known = tuple(table)
    if not isinstance(value, str):
        raise complaint(f"expected a keyword for {what}", f"such as {known[0]}")
    word = folded(value)
    if word in known:
        return word
    elsewhere = _ELSEWHERE.get(word, "")
    hint = f"write {elsewhere}" if elsewhere in known else did_you_mean(word, known)
    raise complaint(f"{quoted(value)} isn't a keyword for {what}", hint or f"such as {known[0]}")
