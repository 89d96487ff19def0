"""Every suite, either side calling: the tunnel comes up with what was meant, and carries traffic both ways."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.pair import Terms, pair

pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.usefixtures("inline")]

# IKE proposal, ESP proposal, what strongSwan calls the IKE SA's and the child's algorithms
SUITES = [
    ("aes128gcm16-prfsha256-x25519", "aes128gcm16-x25519", "AES_GCM_16 128 - CURVE_25519", "AES_GCM_16 128 -"),
    ("aes256gcm16-prfsha384-ecp384", "aes256gcm16-ecp384", "AES_GCM_16 256 - ECP_384", "AES_GCM_16 256 -"),
    ("aes256gcm8-prfsha512-ecp521", "aes256gcm12", "AES_GCM_8 256 - ECP_521", "AES_GCM_12 256 -"),
    ("chacha20poly1305-prfsha256-ecp256", "chacha20poly1305", "CHACHA20_POLY1305 - - ECP_256", "CHACHA20_POLY1305 - -"),
    (
        "aes128-sha256-prfsha256-modp2048",
        "aes128-sha256-modp2048",
        "AES_CBC 128 HMAC_SHA2_256_128 MODP_2048",
        "AES_CBC 128 HMAC_SHA2_256_128",
    ),
    (
        "aes256-sha512-prfsha512-modp3072",
        "aes256-sha384",
        "AES_CBC 256 HMAC_SHA2_512_256 MODP_3072",
        "AES_CBC 256 HMAC_SHA2_384_192",
    ),
    ("aes256ccm16-prfsha256-ecp256", "aes128ccm12", "AES_CCM_16 256 - ECP_256", "AES_CCM_12 128 -"),
    ("aes192ccm8-prfsha384-ecp256", "aes192ccm8-ecp256", "AES_CCM_8 192 - ECP_256", "AES_CCM_8 192 -"),
    (
        "camellia256-sha256-prfsha256-ecp256",
        "camellia128-sha256",
        "CAMELLIA_CBC 256 HMAC_SHA2_256_128 ECP_256",
        "CAMELLIA_CBC 128 HMAC_SHA2_256_128",
    ),
    ("aes128gcm16-prfsha256-ecp256bp", "aes128gcm16-ecp256bp", "AES_GCM_16 128 - ECP_256_BP", "AES_GCM_16 128 -"),
    ("aes128gcm16-prfsha384-ecp384bp", "aes128gcm16", "AES_GCM_16 128 - ECP_384_BP", "AES_GCM_16 128 -"),
    ("aes128gcm16-prfsha512-ecp512bp", "aes128gcm16", "AES_GCM_16 128 - ECP_512_BP", "AES_GCM_16 128 -"),
    ("3des-sha1-prfsha1-modp1536", "3des-sha1", "3DES_CBC - HMAC_SHA1_96 MODP_1536", "3DES_CBC - HMAC_SHA1_96"),
    ("aes128-sha256-prfsha256-ecp256", "des-sha1", "AES_CBC 128 HMAC_SHA2_256_128 ECP_256", "DES_CBC - HMAC_SHA1_96"),
    (
        "aes128-aesxcbc-prfaesxcbc-ecp256",
        "aes256-aesxcbc",
        "AES_CBC 128 AES_XCBC_96 ECP_256",
        "AES_CBC 256 AES_XCBC_96",
    ),
    (
        "aes256-aescmac-prfaescmac-ecp256",
        "aes128-aescmac",
        "AES_CBC 256 AES_CMAC_96 ECP_256",
        "AES_CBC 128 AES_CMAC_96",
    ),
    ("aes128-md5-prfmd5-ecp256", "aes128-md5", "AES_CBC 128 HMAC_MD5_96 ECP_256", "AES_CBC 128 HMAC_MD5_96"),
    (
        "aes128-sha1-prfsha1-ecp256",
        "null-sha256",
        "AES_CBC 128 HMAC_SHA1_96 ECP_256",
        "NULL - HMAC_SHA2_256_128",
    ),
    (
        "aes192ctr-sha1-prfsha1-ecp256",
        "aes128ctr-sha512",
        "AES_CTR 192 HMAC_SHA1_96 ECP_256",
        "AES_CTR 128 HMAC_SHA2_512_256",
    ),
]


def words(sa: dict[str, str], *names: str) -> str:
    return " ".join(sa.get(name, "-") for name in names)


@pytest.mark.parametrize("initiator", ["ours", "theirs"])
@pytest.mark.parametrize(("ike", "esp", "ike_sa", "child_sa"), SUITES, ids=[suite[0] for suite in SUITES])
def test_suite(tmp_path: Path, initiator: str, ike: str, esp: str, ike_sa: str, child_sa: str) -> None:
    with pair(tmp_path, Terms(ike=ike, esp=esp)) as both:
        both.up(initiator)
        assert both.carries()
        (sa,) = both.theirs.sas()
        (child,) = both.theirs.children()
    assert words(sa, "encr-alg", "encr-keysize", "integ-alg", "dh-group") == ike_sa
    assert words(child, "encr-alg", "encr-keysize", "integ-alg") == child_sa
