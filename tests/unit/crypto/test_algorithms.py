"""The tables of transforms: what is offered, with which sizes, and what is recognised and declined."""

from __future__ import annotations

import pytest

from ipsecd.crypto import algorithms
from ipsecd.crypto.algorithms import Encryption, Integrity, PrfAlgorithm
from ipsecd.errors import LocalError
from ipsecd.wire.registry import Encr, Group, Integ, Prf

# number, key length, keyword, then octets of key, salt, IV, ICV and block
ENCRYPTIONS = [
    (20, 128, "aes128gcm16", 16, 4, 8, 16, 1),
    (20, 192, "aes192gcm16", 24, 4, 8, 16, 1),
    (20, 256, "aes256gcm16", 32, 4, 8, 16, 1),
    (19, 128, "aes128gcm12", 16, 4, 8, 12, 1),
    (19, 192, "aes192gcm12", 24, 4, 8, 12, 1),
    (19, 256, "aes256gcm12", 32, 4, 8, 12, 1),
    (18, 128, "aes128gcm8", 16, 4, 8, 8, 1),
    (18, 192, "aes192gcm8", 24, 4, 8, 8, 1),
    (18, 256, "aes256gcm8", 32, 4, 8, 8, 1),
    (16, 128, "aes128ccm16", 16, 3, 8, 16, 1),
    (16, 192, "aes192ccm16", 24, 3, 8, 16, 1),
    (16, 256, "aes256ccm16", 32, 3, 8, 16, 1),
    (15, 128, "aes128ccm12", 16, 3, 8, 12, 1),
    (15, 192, "aes192ccm12", 24, 3, 8, 12, 1),
    (15, 256, "aes256ccm12", 32, 3, 8, 12, 1),
    (14, 128, "aes128ccm8", 16, 3, 8, 8, 1),
    (14, 192, "aes192ccm8", 24, 3, 8, 8, 1),
    (14, 256, "aes256ccm8", 32, 3, 8, 8, 1),
    (21, 128, "aes128gmac", 16, 4, 8, 16, 1),
    (21, 192, "aes192gmac", 24, 4, 8, 16, 1),
    (21, 256, "aes256gmac", 32, 4, 8, 16, 1),
    (12, 128, "aes128", 16, 0, 16, 0, 16),
    (12, 192, "aes192", 24, 0, 16, 0, 16),
    (12, 256, "aes256", 32, 0, 16, 0, 16),
    (13, 128, "aes128ctr", 16, 4, 8, 0, 1),
    (13, 192, "aes192ctr", 24, 4, 8, 0, 1),
    (13, 256, "aes256ctr", 32, 4, 8, 0, 1),
    (23, 128, "camellia128", 16, 0, 16, 0, 16),
    (23, 192, "camellia192", 24, 0, 16, 0, 16),
    (23, 256, "camellia256", 32, 0, 16, 0, 16),
    (3, None, "3des", 24, 0, 8, 0, 8),
    (2, None, "des", 8, 0, 8, 0, 8),
    (11, None, "null", 0, 0, 0, 0, 1),
    (28, None, "chacha20poly1305", 32, 4, 8, 16, 1),
]


@pytest.mark.parametrize(("number", "bits", "name", "key", "salt", "iv", "icv", "block"), ENCRYPTIONS)
def test_ciphers_have_the_sizes_their_rfcs_give(
    number: int, bits: int | None, name: str, key: int, salt: int, iv: int, icv: int, block: int
) -> None:
    found = algorithms.encryption(number, bits)
    assert found == Encryption(Encr(number), bits, name, key, salt, iv, icv, block, aead=icv > 0)
    assert found.material_octets == key + salt
    assert algorithms.offered()[name] is found


@pytest.mark.parametrize(
    ("number", "name", "key", "icv"),
    [(1, "md5", 16, 12), (2, "sha1", 20, 12), (12, "sha256", 32, 16), (13, "sha384", 48, 24), (14, "sha512", 64, 32)],
)
def test_integrity_algorithms_have_the_sizes_of_rfc_2404_and_rfc_4868(
    number: int, name: str, key: int, icv: int
) -> None:
    assert algorithms.integrity(number) == Integrity(Integ(number), name, key, icv, name)
    assert algorithms.offered()[name] == algorithms.integrity(number)


@pytest.mark.parametrize(
    ("number", "name", "size"),
    [(2, "prfsha1", 20), (5, "prfsha256", 32), (6, "prfsha384", 48), (7, "prfsha512", 64), (1, "prfmd5", 16)],
)
def test_prfs_prefer_a_key_as_long_as_their_output(number: int, name: str, size: int) -> None:
    found = algorithms.prf(number)
    assert found is not None
    assert (found.id, found.name, found.key_octets, found.output_octets) == (Prf(number), name, size, size)
    assert algorithms.offered()[name] is found


def test_macs_and_prfs_of_aes_have_the_sizes_of_their_rfcs() -> None:
    """RFC 3566 section 4.2, RFC 4494 section 2, RFC 4434, RFC 4615; RFC 7296 section 2.14 for the nonces."""
    assert algorithms.integrity(5) == Integrity(Integ.AES_XCBC_96, "aesxcbc", 16, 12, "")
    assert algorithms.integrity(8) == Integrity(Integ.AES_CMAC_96, "aescmac", 16, 12, "")
    assert algorithms.prf(4) == PrfAlgorithm(Prf.AES128_XCBC, "prfaesxcbc", 16, 16, "", 8)
    assert algorithms.prf(8) == PrfAlgorithm(Prf.AES128_CMAC, "prfaescmac", 16, 16, "", 8)


@pytest.mark.parametrize(
    ("number", "name", "size"),
    [
        (1, "modp768", 96),
        (2, "modp1024", 128),
        (5, "modp1536", 192),
        (14, "modp2048", 256),
        (15, "modp3072", 384),
        (16, "modp4096", 512),
        (17, "modp6144", 768),
        (18, "modp8192", 1024),
        (19, "ecp256", 64),
        (20, "ecp384", 96),
        (21, "ecp521", 132),
        (28, "ecp256bp", 64),
        (29, "ecp384bp", 96),
        (30, "ecp512bp", 128),
        (31, "x25519", 32),
        (32, "x448", 56),
    ],
)
def test_groups_have_public_values_of_one_length(number: int, name: str, size: int) -> None:
    found = algorithms.group(number)
    assert found is not None
    assert (found.id, found.name, found.public_octets) == (Group(number), name, size)
    assert algorithms.offered()[name] is found


def test_gmac_is_a_mac_of_ah_alone_with_salt_and_iv() -> None:
    """RFC 4543 sections 4, 5.3 and 9."""
    for number, bits, key in ((9, 128, 16), (10, 192, 24), (11, 256, 32)):
        found = algorithms.ah_integrity(number)
        assert found == Integrity(Integ(number), f"aes{bits}gmac", key, 16, "", salt_octets=4, iv_octets=8)
        assert found.material_octets == key + 4
    assert [n for n in range(2048) if algorithms.ah_integrity(n)] == [1, 2, 5, 8, 9, 10, 11, 12, 13, 14]
    assert algorithms.ah_integrity(12) is algorithms.integrity(12)


@pytest.mark.usefixtures("nothing_withdrawn")
def test_gmac_that_fails_its_self_test_is_withdrawn_from_esp_and_ah() -> None:
    algorithms.withdraw("aes192gmac")
    assert algorithms.encryption(Encr.NULL_AUTH_AES_GMAC, 192) is None
    assert algorithms.ah_integrity(Integ.AES_192_GMAC) is None
    assert algorithms.ah_integrity(Integ.AES_128_GMAC) is not None


def test_nothing_else_is_offered() -> None:
    ciphers = {
        (n, b) for n in range(256) for b in (None, 0, 64, 128, 160, 192, 256, 512) if algorithms.encryption(n, b)
    }
    assert ciphers == {(row[0], row[1]) for row in ENCRYPTIONS}
    assert [n for n in range(2048) if algorithms.integrity(n)] == [1, 2, 5, 8, 12, 13, 14]
    assert [n for n in range(2048) if algorithms.prf(n)] == [1, 2, 4, 5, 6, 7, 8]
    assert [n for n in range(2048) if algorithms.group(n)] == [1, 2, 5, *range(14, 22), 28, 29, 30, 31, 32]
    assert len(algorithms.offered()) == 34 + 7 + 7 + 16


@pytest.mark.parametrize("number", [0, 255, 1023, 1025, 65535, -1, 1 << 40])
def test_numbers_of_no_registry_are_declined_like_any_other(number: int) -> None:
    assert algorithms.encryption(number, 128) is None
    assert algorithms.integrity(number) is None
    assert algorithms.prf(number) is None
    assert algorithms.group(number) is None


def test_a_key_length_is_needed_for_aes_and_forbidden_for_chacha20() -> None:
    """RFC 7296 section 3.3.5, RFC 7634 section 4."""
    assert algorithms.encryption(Encr.AES_GCM_16, None) is None
    assert algorithms.encryption(Encr.CHACHA20_POLY1305, 256) is None


@pytest.mark.parametrize("name", ["aes256gcm16", "sha256", "prfsha256", "x25519"])
@pytest.mark.usefixtures("nothing_withdrawn")
def test_a_withdrawn_algorithm_is_declined_everywhere(name: str) -> None:
    algorithm = algorithms.offered()[name]
    algorithms.withdraw(name)
    assert name not in algorithms.offered()
    found = {
        Encr: lambda: algorithms.encryption(Encr.AES_GCM_16, 256),
        Integ: lambda: algorithms.integrity(Integ.HMAC_SHA2_256_128),
        Prf: lambda: algorithms.prf(Prf.HMAC_SHA2_256),
        Group: lambda: algorithms.group(Group.CURVE25519),
    }[type(algorithm.id)]()
    assert found is None


def test_an_aead_goes_without_integrity_and_everything_else_needs_one() -> None:
    gcm, cbc = algorithms.encryption(Encr.AES_GCM_16, 128), algorithms.encryption(Encr.AES_CBC, 128)
    sha256 = algorithms.integrity(Integ.HMAC_SHA2_256_128)
    assert gcm is not None
    assert cbc is not None
    assert algorithms.integrity_octets(gcm, None) == 0
    assert algorithms.integrity_octets(cbc, sha256) == 32
    with pytest.raises(LocalError, match="aes128gcm16 with sha256 isn't a suite"):
        algorithms.integrity_octets(gcm, sha256)
    with pytest.raises(LocalError, match="aes128 with no integrity isn't a suite"):
        algorithms.integrity_octets(cbc, None)
