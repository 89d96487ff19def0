"""ESP packets: published ones to the octet, and what every suite owes with and without extended sequence numbers."""

from __future__ import annotations

from typing import Any

import pytest

from ipsecd.crypto import algorithms
from ipsecd.crypto.algorithms import Encryption
from ipsecd.crypto.esp_cipher import EspCipher
from ipsecd.crypto.mac import Mac
from ipsecd.errors import LocalError, PeerError
from ipsecd.wire.registry import Encr, Integ
from tests.unit.crypto.suites import SUITES, Suite
from tests.unit.crypto.vectors import cases, octets, vectors

HEADER = bytes.fromhex("0102030400000005")
HIGH = bytes.fromhex("00000007")
PLAINTEXT = bytes(range(64))
SHA256 = algorithms.integrity(Integ.HMAC_SHA2_256_128)


def cipher(id_: Encr, key: bytes, salt: bytes = b"") -> EspCipher:
    bits = None if id_ == Encr.CHACHA20_POLY1305 else 8 * len(key)
    found = algorithms.encryption(id_, bits)
    assert found is not None
    return EspCipher(found, None if found.aead else SHA256, key + salt, b"" if found.aead else bytes(32))


def of(suite: Suite) -> EspCipher:
    return EspCipher(suite.encryption, suite.integrity, suite.key_e, suite.key_a)


def iv_of(suite: Suite) -> bytes:
    return bytes(range(0xC0, 0xC0 + suite.encryption.iv_octets))


every_suite = pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)


@pytest.mark.parametrize("case", cases("draft-mcgrew-gcm-test-01"), ids=lambda case: str(case["case"]))
def test_aes_gcm_gives_the_packets_of_the_mcgrew_draft(case: dict[str, Any]) -> None:
    gcm = cipher(Encr.AES_GCM_16, octets(case["key"]), octets(case["salt"]))
    packet, sequence = octets(case["packet"]), octets(case["seq"])
    high = sequence[:-4]
    assert bool(high) == case["esn"]
    assert gcm.seal(packet[:8], high, octets(case["iv"]), octets(case["plaintext"])) == packet[8:]
    assert gcm.open(packet, high) == octets(case["plaintext"])


@pytest.mark.parametrize("case", cases("draft-mcgrew-gcm-test-01-gmac"), ids=lambda case: str(case["case"]))
def test_aes_gmac_gives_the_packet_of_the_mcgrew_draft_which_shows_what_it_carries(case: dict[str, Any]) -> None:
    gmac = cipher(Encr.NULL_AUTH_AES_GMAC, octets(case["key"]), octets(case["salt"]))
    header, iv, plaintext = octets(case["header"]), octets(case["iv"]), octets(case["plaintext"])
    sealed = iv + plaintext + octets(case["icv"])
    assert gmac.seal(header, b"", iv, plaintext) == sealed
    assert gmac.open(header + sealed, b"") == plaintext


def test_chacha20_poly1305_gives_the_packet_of_rfc_7634() -> None:
    case = vectors("rfc7634-chacha20poly1305")
    keymat, packet = octets(case["keymat"]), octets(case["esp"]["packet"])[20:]  # behind the outer IPv4 header
    chacha = cipher(Encr.CHACHA20_POLY1305, keymat[:32], keymat[32:])
    assert chacha.seal(packet[:8], b"", octets(case["iv"]), octets(case["esp"]["plaintext"])) == packet[8:]
    assert chacha.open(packet, b"") == octets(case["esp"]["plaintext"])


@pytest.mark.parametrize("case", cases("rfc3602-aes-cbc")[4:], ids=lambda case: str(case["case"]))
def test_aes_cbc_gives_the_packets_of_rfc_3602_and_an_icv_behind(case: dict[str, Any]) -> None:
    cbc = cipher(Encr.AES_CBC, octets(case["key"]))
    packet = octets(case["packet"])[20:]
    sealed = cbc.seal(packet[:8], b"", octets(case["iv"]), octets(case["plaintext"]))
    assert sealed[:-16] == packet[8:]
    assert cbc.open(packet[:8] + sealed, b"") == octets(case["plaintext"])


@pytest.mark.parametrize("case", cases("rfc3686-aes-ctr"), ids=lambda case: str(case["case"]))
def test_counter_mode_gives_the_ciphertexts_of_rfc_3686_and_an_icv_behind(case: dict[str, Any]) -> None:
    ctr = cipher(Encr.AES_CTR, octets(case["key"]), octets(case["nonce"]))
    sealed = ctr.seal(HEADER, b"", octets(case["iv"]), octets(case["plaintext"]))
    assert sealed[:-16] == octets(case["iv"]) + octets(case["ciphertext"])


@every_suite
@pytest.mark.parametrize("high", [b"", HIGH], ids=["32-bit", "64-bit"])
def test_every_suite_opens_what_it_sealed(suite: Suite, high: bytes) -> None:
    sender, receiver = of(suite), of(suite)
    for size in (16, 64, 16, 1408):
        sealed = sender.seal(HEADER, high, iv_of(suite), bytes(size))
        assert len(sealed) == sender.iv_octets + size + sender.icv_octets
        assert sealed[: sender.iv_octets] == iv_of(suite)
        assert receiver.open(HEADER + sealed, high) == bytes(size)
        assert receiver.open(memoryview(HEADER + sealed), high) == bytes(size)
        assert sender.seal(HEADER, high, iv_of(suite), memoryview(bytes(size))) == sealed


@every_suite
def test_every_suite_says_what_a_packet_grows_by(suite: Suite) -> None:
    esp = of(suite)
    assert esp.iv_octets == suite.encryption.iv_octets
    assert esp.icv_octets == suite.icv_octets
    assert esp.align == max(suite.encryption.block_octets, 4)


@every_suite
@pytest.mark.parametrize("high", [b"", HIGH], ids=["32-bit", "64-bit"])
def test_no_octet_of_a_packet_can_be_changed(suite: Suite, high: bytes) -> None:
    esp = of(suite)
    packet = HEADER + esp.seal(HEADER, high, iv_of(suite), PLAINTEXT)
    for position in range(len(packet)):
        forged = bytearray(packet)
        forged[position] ^= 0x10
        with pytest.raises(PeerError) as caught:
            esp.open(bytes(forged), high)
        assert (caught.value.reason, caught.value.notify) == ("bad-icv", None)
    assert esp.open(packet, high) == PLAINTEXT


@every_suite
def test_the_high_half_of_an_extended_sequence_number_is_protected_but_not_sent(suite: Suite) -> None:
    """RFC 4303 section 2.2.1."""
    esp = of(suite)
    extended = HEADER + esp.seal(HEADER, HIGH, iv_of(suite), PLAINTEXT)
    plain = HEADER + esp.seal(HEADER, b"", iv_of(suite), PLAINTEXT)
    assert len(extended) == len(plain)
    for wrong in (b"", bytes(4), bytes.fromhex("00000008")):
        with pytest.raises(PeerError):
            esp.open(extended, wrong)
    with pytest.raises(PeerError):
        esp.open(plain, HIGH)


@every_suite
def test_a_packet_cut_anywhere_is_not_authentic(suite: Suite) -> None:
    esp = of(suite)
    packet = HEADER + esp.seal(HEADER, b"", iv_of(suite), PLAINTEXT)
    for size in range(len(packet)):
        with pytest.raises(PeerError) as caught:
            esp.open(packet[:size], b"")
        assert caught.value.reason == "bad-icv"


@every_suite
def test_a_forgery_leaves_the_cipher_as_it_was(suite: Suite) -> None:
    sender, receiver = of(suite), of(suite)
    first = sender.seal(HEADER, b"", iv_of(suite), PLAINTEXT)
    with pytest.raises(PeerError):
        receiver.open(HEADER + first[:-1] + bytes([first[-1] ^ 1]), b"")
    assert receiver.open(HEADER + first, b"") == PLAINTEXT
    assert receiver.seal(HEADER, b"", iv_of(suite), PLAINTEXT) == first


@pytest.mark.parametrize("size", [1, 15, 17, 33])
def test_an_authentic_packet_of_partial_blocks_is_the_peers_mistake(size: int) -> None:
    """Its sender has the keys, but no right alignment: sealed here with the integrity key of a CBC suite."""
    suite = next(suite for suite in SUITES if suite.name == "aes128-sha256")
    esp = of(suite)
    forged = HEADER + iv_of(suite) + bytes(size)
    assert suite.integrity is not None
    forged += Mac(suite.integrity, suite.key_a).icv(forged)
    with pytest.raises(PeerError) as caught:
        esp.open(forged, b"")
    assert caught.value.reason == "bad-padding"
    assert esp.open(HEADER + esp.seal(HEADER, b"", iv_of(suite), PLAINTEXT), b"") == PLAINTEXT


@every_suite
def test_keys_of_any_other_length_are_our_own_mistake_and_are_not_shown(suite: Suite) -> None:
    of_another = (b"", suite.key_e[:-1], suite.key_e + b"x", suite.key_e[: -suite.encryption.salt_octets or -16])
    for key_e in set(of_another) - {suite.key_e}:
        with pytest.raises(LocalError) as caught:
            EspCipher(suite.encryption, suite.integrity, key_e, suite.key_a)
        assert "encryption key" in str(caught.value)
    for key_a in (suite.key_a[:-1] if suite.key_a else b"x", suite.key_a + b"x"):
        with pytest.raises(LocalError) as caught:
            EspCipher(suite.encryption, suite.integrity, suite.key_e, key_a)
        assert "integrity key" in str(caught.value)


@every_suite
def test_ivs_of_any_other_length_are_our_own_mistake(suite: Suite) -> None:
    esp = of(suite)
    for iv in {b"", iv_of(suite)[:-1], iv_of(suite) + b"x", bytes(12)} - {iv_of(suite)}:
        with pytest.raises(LocalError):
            esp.seal(HEADER, b"", iv, PLAINTEXT)


@every_suite
def test_sealing_and_opening_leave_their_arguments_alone(suite: Suite) -> None:
    """A view of a buffer that is used again for the next packet is as good as octets of one's own."""
    esp = of(suite)
    buffer = bytearray(PLAINTEXT)
    sealed = esp.seal(HEADER, b"", iv_of(suite), memoryview(buffer))
    assert buffer == PLAINTEXT
    packet = bytearray(HEADER + sealed)
    opened = esp.open(memoryview(packet), b"")
    assert packet == HEADER + sealed
    packet[:] = bytes(len(packet))
    buffer[:] = bytes(len(buffer))
    assert opened == PLAINTEXT
    assert esp.open(HEADER + sealed, b"") == PLAINTEXT


def test_runs_are_for_ciphers_whose_salt_and_iv_have_their_place_there() -> None:
    able = {suite.encryption.name for suite in SUITES if of(suite).run is not None}
    assert able == {"aes128gcm16", "aes192gcm16", "aes256gcm16", "chacha20poly1305"}


@pytest.mark.parametrize("name", ["aes128gcm16", "aes128ccm16", "aes128gmac", "chacha20poly1305"])
def test_an_aead_with_a_mac_is_no_suite(name: str) -> None:
    aead = algorithms.offered()[name]
    assert isinstance(aead, Encryption)
    with pytest.raises(LocalError, match="isn't a suite"):
        EspCipher(aead, SHA256, bytes(aead.material_octets), bytes(32))


def test_a_cipher_without_a_mac_is_no_suite() -> None:
    ctr = algorithms.encryption(Encr.AES_CTR, 128)
    assert ctr is not None
    with pytest.raises(LocalError, match="isn't a suite"):
        EspCipher(ctr, None, bytes(20), b"")


def test_each_suite_seals_to_other_octets() -> None:
    """The keys begin alike, so any two suites that differ in nothing but a name would show here."""
    sealed = {of(suite).seal(HEADER, b"", iv_of(suite), PLAINTEXT) for suite in SUITES}
    assert len(sealed) == len(SUITES)


def test_a_cipher_does_not_show_its_keys() -> None:
    for suite in SUITES:
        shown = repr(of(suite))
        assert "4041" not in shown
        assert repr(suite.key_e) not in shown
