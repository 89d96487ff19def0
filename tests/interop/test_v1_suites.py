"""IKEv1: every suite that both have, either side calling. The tunnel comes up with what was meant, and carries."""

from __future__ import annotations

import pytest

from tests.interop.standing import Standing
from tests.interop.test_suites import words
from tests.interop.v1_terms import keyed

pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.xdist_group("v1 inline")]

# what a policy and strongSwan call it, and what strongSwan tells of it then
CIPHERS = {
    "aes128": "AES_CBC 128",
    "aes192": "AES_CBC 192",
    "aes256": "AES_CBC 256",
    "camellia128": "CAMELLIA_CBC 128",
    "camellia192": "CAMELLIA_CBC 192",
    "camellia256": "CAMELLIA_CBC 256",
}
HASHES = {
    "sha256": "HMAC_SHA2_256_128 PRF_HMAC_SHA2_256",
    "sha384": "HMAC_SHA2_384_192 PRF_HMAC_SHA2_384",
    "sha512": "HMAC_SHA2_512_256 PRF_HMAC_SHA2_512",
    "sha1": "HMAC_SHA1_96 PRF_HMAC_SHA1",
}
GROUPS = {
    "modp2048": "MODP_2048",
    "modp3072": "MODP_3072",
    "modp4096": "MODP_4096",
    "modp6144": "MODP_6144",
    "modp8192": "MODP_8192",
    "ecp256": "ECP_256",
    "ecp384": "ECP_384",
    "ecp521": "ECP_521",
    "x25519": "CURVE_25519",
    "x448": "CURVE_448",
    "ecp256bp": "ECP_256_BP",
    "ecp384bp": "ECP_384_BP",
    "ecp512bp": "ECP_512_BP",
}
# those of quick mode; the last are legacy, or protect nothing from being read
ESP = {
    "aes128gcm16": "AES_GCM_16 128 -",
    "aes192gcm16": "AES_GCM_16 192 -",
    "aes256gcm16": "AES_GCM_16 256 -",
    "aes128gcm12": "AES_GCM_12 128 -",
    "aes256gcm8": "AES_GCM_8 256 -",
    "aes128ccm16": "AES_CCM_16 128 -",
    "aes256ccm12": "AES_CCM_12 256 -",
    "aes192ccm8": "AES_CCM_8 192 -",
    "aes128-sha256": "AES_CBC 128 HMAC_SHA2_256_128",
    "aes192-sha384": "AES_CBC 192 HMAC_SHA2_384_192",
    "aes256-sha512": "AES_CBC 256 HMAC_SHA2_512_256",
    "aes128-sha1": "AES_CBC 128 HMAC_SHA1_96",
    "aes128-aesxcbc": "AES_CBC 128 AES_XCBC_96",
    "aes128ctr-sha256": "AES_CTR 128 HMAC_SHA2_256_128",
    "aes192ctr-sha512": "AES_CTR 192 HMAC_SHA2_512_256",
    "aes256ctr-sha1": "AES_CTR 256 HMAC_SHA1_96",
    "camellia128-sha256": "CAMELLIA_CBC 128 HMAC_SHA2_256_128",
    "camellia192-sha1": "CAMELLIA_CBC 192 HMAC_SHA1_96",
    "camellia256-sha512": "CAMELLIA_CBC 256 HMAC_SHA2_512_256",
    "null-sha256": "NULL - HMAC_SHA2_256_128",
    "3des-sha1": "3DES_CBC - HMAC_SHA1_96",
    "des-md5": "DES_CBC - HMAC_MD5_96",
}
LEGACY = (
    ("3des", "md5", "modp1024", "3DES_CBC - HMAC_MD5_96 PRF_HMAC_MD5 MODP_1024"),
    ("3des", "sha1", "modp1536", "3DES_CBC - HMAC_SHA1_96 PRF_HMAC_SHA1 MODP_1536"),
    ("des", "md5", "modp768", "DES_CBC - HMAC_MD5_96 PRF_HMAC_MD5 MODP_768"),
)
INITIATORS = ("ours", "theirs")


@pytest.mark.parametrize("group", GROUPS)
def test_phase_1(v1_inline: Standing, group: str) -> None:
    """Each cipher with each group and with each hash, and each hash with each group, each side calling in turn."""
    turn = list(GROUPS).index(group)
    for row, cipher in enumerate(CIPHERS):
        hashed, initiator = list(HASHES)[(row + turn) % len(HASHES)], INITIATORS[(row + turn // 2) % 2]
        expected = f"{CIPHERS[cipher]} {HASHES[hashed]} {GROUPS[group]}"
        assert phase_1(v1_inline, initiator, cipher, hashed, group) == expected


@pytest.mark.parametrize("initiator", INITIATORS)
@pytest.mark.parametrize(("cipher", "hashed", "group", "expected"), LEGACY, ids=[suite[0] for suite in LEGACY])
def test_legacy_that_a_policy_names(
    v1_inline: Standing, cipher: str, hashed: str, group: str, expected: str, initiator: str
) -> None:
    assert phase_1(v1_inline, initiator, cipher, hashed, group) == expected


@pytest.mark.parametrize("initiator", INITIATORS)
@pytest.mark.parametrize("esp", ESP)
def test_quick_mode(v1_inline: Standing, esp: str, initiator: str) -> None:
    with v1_inline.told(keyed(esp=esp)) as both:
        both.up(initiator)
        assert both.carries()
        (child,) = both.theirs.children()
    assert words(child, "encr-alg", "encr-keysize", "integ-alg", "dh-group") == f"{ESP[esp]} -"


@pytest.mark.parametrize("initiator", INITIATORS)
@pytest.mark.parametrize("group", GROUPS)
def test_perfect_forward_secrecy(v1_inline: Standing, group: str, initiator: str) -> None:
    with v1_inline.told(keyed(ike="aes128-sha256-prfsha256-ecp256", esp=f"aes128gcm16-{group}")) as both:
        both.up(initiator)
        assert both.carries()
        (child,) = both.theirs.children()
    assert words(child, "encr-alg", "encr-keysize", "dh-group") == f"AES_GCM_16 128 {GROUPS[group]}"


def phase_1(standing: Standing, initiator: str, cipher: str, hashed: str, group: str) -> str:
    """What came of it, by strongSwan."""
    with standing.told(keyed(ike=f"{cipher}-{hashed}-prf{hashed}-{group}", esp="aes128-sha256")) as both:
        both.up(initiator)
        assert both.carries()
        (sa,) = both.theirs.sas()
    return words(sa, "encr-alg", "encr-keysize", "integ-alg", "prf-alg", "dh-group")
