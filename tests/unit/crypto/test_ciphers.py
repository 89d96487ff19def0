"""The ciphers themselves: RFC 3602, RFC 3686, RFC 8439; and that one object per key behaves like one per message."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from ipsecd.crypto import algorithms, ciphers
from ipsecd.errors import LocalError
from ipsecd.wire.registry import Encr
from tests.unit.crypto.vectors import cases, octets


@pytest.mark.parametrize("case", cases("rfc3602-aes-cbc"), ids=lambda case: str(case["case"]))
def test_cbc_gives_the_ciphertexts_of_rfc_3602(case: dict[str, Any]) -> None:
    cbc = ciphers.Cbc(AES(octets(case["key"])))
    iv, plaintext, ciphertext = (octets(case[name]) for name in ("iv", "plaintext", "ciphertext"))
    assert cbc.encrypt(iv, plaintext) == ciphertext
    assert cbc.decrypt(iv, ciphertext) == plaintext


OTHERS = {"openssl-camellia-cbc": Encr.CAMELLIA_CBC, "nist-cavp-tdes-cbc": Encr.TRIPLE_DES, "fips81-des-cbc": Encr.DES}


@pytest.mark.parametrize(
    ("id_", "case"),
    [pytest.param(id_, case, id=f"{id_.name}-{case['case']}") for file, id_ in OTHERS.items() for case in cases(file)],
)
def test_cbc_of_other_ciphers_gives_the_published_ciphertexts(id_: Encr, case: dict[str, Any]) -> None:
    bits = 4 * len(case["key"]) if id_ == Encr.CAMELLIA_CBC else None
    found = algorithms.encryption(id_, bits)
    assert found is not None
    mode = ciphers.mode(found, octets(case["key"]), b"")
    iv, plaintext, ciphertext = (octets(case[name]) for name in ("iv", "plaintext", "ciphertext"))
    for _ in range(2):
        assert mode.encrypt(iv, plaintext) == ciphertext
        assert mode.decrypt(iv, ciphertext) == plaintext


@pytest.mark.parametrize("case", cases("rfc3686-aes-ctr"), ids=lambda case: str(case["case"]))
def test_counter_mode_gives_the_ciphertexts_of_rfc_3686(case: dict[str, Any]) -> None:
    ctr = ciphers.Ctr(octets(case["key"]), octets(case["nonce"]))
    iv, plaintext, ciphertext = (octets(case[name]) for name in ("iv", "plaintext", "ciphertext"))
    assert ctr.encrypt(iv, plaintext) == ciphertext
    assert ctr.decrypt(iv, ciphertext) == plaintext


@pytest.mark.parametrize("case", cases("rfc8439-chacha20poly1305"), ids=lambda case: str(case["case"]))
def test_chacha20_poly1305_gives_the_ciphertexts_of_rfc_8439(case: dict[str, Any]) -> None:
    chacha = algorithms.encryption(Encr.CHACHA20_POLY1305, None)
    assert chacha is not None
    aead = ciphers.aead(chacha, octets(case["key"]))
    nonce, aad, plaintext = (octets(case[name]) for name in ("nonce", "aad", "plaintext"))
    sealed = octets(case["ciphertext"]) + octets(case["tag"])
    assert aead.encrypt(nonce, plaintext, aad) == sealed
    assert aead.decrypt(nonce, sealed, aad) == plaintext


@pytest.mark.parametrize("case", cases("nist-cavp-aes-ccm"), ids=lambda case: str(case["case"]))
def test_ccm_gives_the_ciphertexts_of_nist(case: dict[str, Any]) -> None:
    ids = {8: Encr.AES_CCM_8, 12: Encr.AES_CCM_12, 16: Encr.AES_CCM_16}
    ccm = algorithms.encryption(ids[case["icv"]], 4 * len(case["key"]))
    assert ccm is not None
    aead = ciphers.aead(ccm, octets(case["key"]))
    nonce, aad, plaintext, sealed = (octets(case[name]) for name in ("nonce", "aad", "plaintext", "sealed"))
    assert aead.encrypt(nonce, plaintext, aad) == sealed
    assert aead.decrypt(nonce, sealed, aad) == plaintext


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_messages_of_one_cbc_object_do_not_depend_on_each_other(bits: int) -> None:
    key = bytes(range(bits // 8))
    cbc = ciphers.Cbc(AES(key))
    for count in (1, 2, 1, 90, 3):
        iv = bytes([count] * 16)
        plaintext = bytes(range(16)) * count
        fresh = Cipher(AES(key), modes.CBC(iv)).encryptor().update(plaintext)
        assert cbc.encrypt(iv, plaintext) == fresh
        assert cbc.encrypt(iv, plaintext) == fresh
        assert cbc.decrypt(iv, fresh) == plaintext
        assert cbc.decrypt(memoryview(iv), memoryview(fresh)) == plaintext


@pytest.mark.parametrize(("iv", "data"), [(16, 15), (16, 17), (16, 0), (15, 16), (0, 16), (17, 16), (8, 32)])
def test_cbc_refuses_partial_blocks_and_stays_usable(iv: int, data: int) -> None:
    cbc = ciphers.Cbc(AES(bytes(16)))
    before = cbc.encrypt(bytes(16), bytes(32))
    with pytest.raises(LocalError):
        cbc.encrypt(bytes(iv), bytes(data))
    with pytest.raises(LocalError):
        cbc.decrypt(bytes(iv), bytes(data))
    assert cbc.encrypt(bytes(16), bytes(32)) == before
    assert cbc.decrypt(bytes(16), before) == bytes(32)


def test_the_block_counter_of_counter_mode_starts_at_one_for_each_message() -> None:
    """RFC 3686 section 4."""
    ctr = ciphers.Ctr(bytes(16), b"salt")
    block = Cipher(AES(bytes(16)), modes.ECB()).encryptor()
    stream = block.update(b"salt" + b"iv-iv-iv" + b"\0\0\0\1" + b"salt" + b"iv-iv-iv" + b"\0\0\0\2")
    assert ctr.encrypt(b"iv-iv-iv", bytes(32)) == stream
    assert ctr.encrypt(b"iv-iv-iv", bytes(20)) == stream[:20]


@pytest.mark.parametrize("bits", [128, 192, 256])
@pytest.mark.parametrize("tag", [8, 12])
def test_a_short_tag_is_the_beginning_of_the_full_one(bits: int, tag: int) -> None:
    """NIST SP 800-38D section 7.1."""
    key = bytes(range(bits // 8))
    full = algorithms.encryption(Encr.AES_GCM_16, bits)
    short = algorithms.encryption({8: Encr.AES_GCM_8, 12: Encr.AES_GCM_12}[tag], bits)
    assert full is not None
    assert short is not None
    aead = ciphers.aead(short, key)
    for size in (0, 1, 16, 1400):
        sealed = aead.encrypt(b"salt" + bytes(8), bytes(size), b"aad")
        assert sealed == ciphers.aead(full, key).encrypt(b"salt" + bytes(8), bytes(size), b"aad")[: size + tag]
        assert aead.decrypt(b"salt" + bytes(8), sealed, b"aad") == bytes(size)
        assert aead.decrypt(bytearray(b"salt" + bytes(8)), memoryview(sealed), memoryview(b"aad")) == bytes(size)


@pytest.mark.parametrize("tag", [8, 12])
def test_a_short_tag_is_checked_to_its_last_bit(tag: int) -> None:
    aead = ciphers.ShortTagGcm(bytes(16), tag)
    sealed = aead.encrypt(bytes(12), b"plaintext", None)
    assert aead.decrypt(bytes(12), sealed, None) == b"plaintext"
    for position in range(8 * len(sealed)):
        forged = bytearray(sealed)
        forged[position // 8] ^= 1 << position % 8
        with pytest.raises(InvalidTag):
            aead.decrypt(bytes(12), bytes(forged), None)
    with pytest.raises(InvalidTag):
        aead.decrypt(bytes(12), sealed, b"other")


@pytest.mark.parametrize("shift", [0, 8])
@pytest.mark.parametrize("name", ["aes128gcm16", "aes256gcm16", "chacha20poly1305"])
def test_the_library_works_in_place(name: str, shift: int) -> None:
    """It doesn't promise to. Whoever seals runs of packets where they lie learns here when it ends."""
    found = algorithms.offered()[name]
    assert isinstance(found, algorithms.Encryption)
    aead: Any = ciphers.aead(found, bytes(found.key_octets))
    for size in (1, 16, 1400):
        plaintext = bytes(index % 251 for index in range(size))
        sealed = aead.encrypt(bytes(12), plaintext, b"aad")
        buffer = bytearray(shift) + plaintext + bytes(16)
        view = memoryview(buffer)
        assert aead.encrypt_into(bytes(12), view[shift : shift + size], b"aad", view[: size + 16]) == size + 16
        assert buffer[: size + 16] == sealed
        buffer[shift : shift + size + 16] = sealed
        view = memoryview(buffer)
        assert aead.decrypt_into(bytes(12), view[shift : shift + size + 16], b"aad", view[:size]) == size
        assert buffer[:size] == plaintext
