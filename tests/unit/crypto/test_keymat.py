"""Key derivation against NIST CAVP's IKEv2 samples, and where each key is cut from the stream."""

from __future__ import annotations

import pickle

import pytest

from ipsecd.crypto import algorithms, keymat
from ipsecd.crypto.algorithms import Encryption, Integrity
from ipsecd.crypto.prf import prf, prf_plus
from ipsecd.crypto.secret import Secret
from ipsecd.errors import LocalError
from ipsecd.wire.registry import Encr, Integ, Prf
from tests.unit.crypto.suites import cipher, mac
from tests.unit.crypto.vectors import octets, vectors

NIST = vectors("nist-cavp-ike-kdf")["ikev2"]
NI, NR = octets(NIST["ni"]), octets(NIST["nr"])
SPI_I, SPI_R = octets(NIST["spi_i"]), octets(NIST["spi_r"])
SHARED, FRESH = Secret(octets(NIST["gir"])), Secret(octets(NIST["gir_new"]))
DKM = octets(NIST["dkm"])


AES_128, SHA1 = cipher(Encr.AES_CBC, 128), mac(Integ.HMAC_SHA1_96)
GCM_256, CTR_192 = cipher(Encr.AES_GCM_16, 256), cipher(Encr.AES_CTR, 192)
NIST_KEYS = keymat.derive_ike(Prf.HMAC_SHA1, AES_128, SHA1, NI, NR, SHARED, SPI_I, SPI_R)


def revealed(keys: keymat.IkeKeys | keymat.ChildKeyMaterial) -> list[bytes]:
    return [getattr(keys, name).reveal() for name in keys.__slots__]


def child(
    encryption: Encryption,
    integrity: Integrity | None,
    nonce_i: bytes,
    nonce_r: bytes,
    shared: Secret | None = None,
    prf_id: Prf = Prf.HMAC_SHA1,
) -> keymat.ChildKeyMaterial:
    """Of one protocol."""
    (made,) = keymat.derive_children(prf_id, NIST_KEYS.d, ((encryption, integrity),), nonce_i, nonce_r, shared)
    return made


def test_skeyseed_and_prf_plus_give_the_values_of_nist() -> None:
    skeyseed = prf(Prf.HMAC_SHA1, NI + NR, SHARED.reveal())
    assert skeyseed == octets(NIST["skeyseed"])
    assert prf_plus(Prf.HMAC_SHA1, skeyseed, NI + NR + SPI_I + SPI_R, len(DKM)) == DKM


def test_an_ike_sa_gets_its_seven_keys_from_the_stream_of_nist_in_order() -> None:
    """SK_d, SK_ai, SK_ar, SK_ei, SK_er, SK_pi, SK_pr: the 132 octets are AES-CBC-128 with HMAC-SHA1 to the octet."""
    assert b"".join(revealed(NIST_KEYS)) == DKM
    assert [len(key) for key in revealed(NIST_KEYS)] == [20, 20, 20, 16, 16, 20, 20]


@pytest.mark.parametrize("id_", [Prf.AES128_XCBC, Prf.AES128_CMAC])
def test_prfs_of_aes_take_the_beginning_of_each_nonce_for_skeyseed_and_all_of_both_for_the_rest(id_: Prf) -> None:
    """RFC 7296 section 2.14."""
    one, other = bytes(range(32)), bytes(range(100, 120))
    keys = keymat.derive_ike(id_, AES_128, SHA1, one, other, SHARED, SPI_I, SPI_R)
    skeyseed = prf(id_, bytes((0, 1, 2, 3, 4, 5, 6, 7, 100, 101, 102, 103, 104, 105, 106, 107)), SHARED.reveal())
    stream = prf_plus(id_, skeyseed, one + other + SPI_I + SPI_R, 3 * 16 + 2 * 36)
    assert b"".join(revealed(keys)) == stream
    assert [len(key) for key in revealed(keys)] == [16, 20, 20, 16, 16, 16, 16]


def test_a_child_without_key_exchange_gets_the_stream_of_nist() -> None:
    keys = child(AES_128, SHA1, NI, NR)
    assert b"".join(revealed(keys)) == octets(NIST["dkm_child_sa"])[:72]
    assert [len(key) for key in revealed(keys)] == [16, 20, 16, 20]  # initiator's first, encryption before integrity


def test_a_child_with_key_exchange_gets_the_stream_of_nist() -> None:
    keys = child(AES_128, SHA1, NI, NR, FRESH)
    assert b"".join(revealed(keys)) == octets(NIST["dkm_child_sa_dh"])[:72]


def test_a_rekeyed_ike_sa_starts_from_the_skeyseed_of_nist() -> None:
    seed = octets(NIST["skeyseed_rekey"])
    keys = keymat.derive_ike_rekey(
        Prf.HMAC_SHA1, NIST_KEYS.d, Prf.HMAC_SHA1, AES_128, SHA1, NI, NR, FRESH, b"\x01" * 8, b"\x02" * 8
    )
    stream = prf_plus(Prf.HMAC_SHA1, seed, NI + NR + b"\x01" * 8 + b"\x02" * 8, 132)
    assert b"".join(revealed(keys)) == stream


def test_a_rekeyed_ike_sa_takes_skeyseed_from_the_old_prf_and_keys_from_the_new() -> None:
    """RFC 7296 section 2.18."""
    keys = keymat.derive_ike_rekey(
        Prf.HMAC_SHA1, NIST_KEYS.d, Prf.HMAC_SHA2_256, GCM_256, None, NI, NR, FRESH, SPI_I, SPI_R
    )
    stream = prf_plus(Prf.HMAC_SHA2_256, octets(NIST["skeyseed_rekey"]), NI + NR + SPI_I + SPI_R, 3 * 32 + 2 * 36)
    assert b"".join(revealed(keys)) == stream
    assert [len(key) for key in revealed(keys)] == [32, 0, 0, 36, 36, 32, 32]


def test_an_aead_takes_no_integrity_keys_and_its_salt_with_the_key() -> None:
    """RFC 5282 section 7.1."""
    keys = keymat.derive_ike(Prf.HMAC_SHA2_384, GCM_256, None, NI, NR, SHARED, SPI_I, SPI_R)
    assert [len(key) for key in revealed(keys)] == [48, 0, 0, 36, 36, 48, 48]
    made = child(GCM_256, None, NI, NR, prf_id=Prf.HMAC_SHA2_384)
    assert [len(key) for key in revealed(made)] == [36, 0, 36, 0]


def test_counter_mode_takes_its_nonce_with_the_key() -> None:
    """RFC 3686 section 5.1."""
    made = child(CTR_192, SHA1, NI, NR)
    assert [len(key) for key in revealed(made)] == [28, 20, 28, 20]


def test_no_two_keys_of_an_sa_are_the_same() -> None:
    keys = [
        *revealed(NIST_KEYS),
        *revealed(child(AES_128, SHA1, NI, NR)),
        *revealed(child(AES_128, SHA1, NI, NR, FRESH)),
        *revealed(child(AES_128, SHA1, NR, NI)),
    ]
    assert len({key[:16] for key in keys}) == len(keys)


# RFC 7296 section 2.15
def test_each_side_signs_its_message_the_others_nonce_and_its_own_identity() -> None:
    signed = keymat.signed_octets(b"message one", NR, Prf.HMAC_SHA1, NIST_KEYS.pi, b"\x02\x00\x00\x00gw.example")
    maced = prf(Prf.HMAC_SHA1, NIST_KEYS.pi.reveal(), b"\x02\x00\x00\x00gw.example")
    assert signed == b"message one" + NR + maced


def test_a_shared_key_is_padded_before_it_proves_anything() -> None:
    padded = prf(Prf.HMAC_SHA2_256, b"correct horse", b"Key Pad for IKEv2")
    assert keymat.shared_key_auth(Prf.HMAC_SHA2_256, Secret(b"correct horse"), b"octets") == prf(
        Prf.HMAC_SHA2_256, padded, b"octets"
    )


def test_auth_data_stand_for_one_key_one_nonce_and_one_identity() -> None:
    def auth(key: bytes = b"key", message: bytes = b"m", nonce: bytes = NR, body: bytes = b"id") -> bytes:
        signed = keymat.signed_octets(message, nonce, Prf.HMAC_SHA2_256, NIST_KEYS.pi, body)
        return keymat.shared_key_auth(Prf.HMAC_SHA2_256, Secret(key), signed)

    values = {auth(), auth(key=b"kez"), auth(message=b"n"), auth(nonce=NI), auth(body=b"ie")}
    assert len(values) == 5


@pytest.mark.parametrize(("encryption", "integrity"), [(GCM_256, SHA1), (AES_128, None)])
def test_what_is_no_suite_gets_no_keys(encryption: Encryption, integrity: Integrity | None) -> None:
    with pytest.raises(LocalError):
        keymat.derive_ike(Prf.HMAC_SHA1, encryption, integrity, NI, NR, SHARED, SPI_I, SPI_R)
    with pytest.raises(LocalError):
        child(encryption, integrity, NI, NR)


def test_keys_do_not_show_themselves() -> None:
    made = child(AES_128, SHA1, NI, NR)
    assert repr(made) == "ChildKeyMaterial(ei=Secret(16), ai=Secret(20), er=Secret(16), ar=Secret(20))"
    for keys in (NIST_KEYS, made):
        with pytest.raises(TypeError):
            pickle.dumps(keys)


def test_keys_are_wiped_on_request() -> None:
    keys = keymat.derive_ike(Prf.HMAC_SHA1, AES_128, SHA1, NI, NR, SHARED, SPI_I, SPI_R)
    made = child(AES_128, SHA1, NI, NR)
    keys.wipe()
    made.wipe()
    assert set(b"".join(revealed(keys) + revealed(made))) == {0}


def test_of_ah_around_esp_the_keys_come_in_the_order_of_the_headers_and_all_of_one_direction_first() -> None:
    """RFC 7296 section 2.17; AH has no encryption key, and GMAC's has its salt behind it (RFC 4543 section 5)."""
    gmac = algorithms.ah_integrity(Integ.AES_128_GMAC)
    stream = prf_plus(Prf.HMAC_SHA1, NIST_KEYS.d, NI + NR, 2 * (20 + 16 + 20))
    layers = ((None, gmac), (AES_128, SHA1))
    ah, esp = keymat.derive_children(Prf.HMAC_SHA1, NIST_KEYS.d, layers, NI, NR)
    assert revealed(ah) == [b"", stream[:20], b"", stream[56:76]]
    assert revealed(esp) == [stream[20:36], stream[36:56], stream[76:92], stream[92:]]
    with pytest.raises(LocalError):
        keymat.derive_children(Prf.HMAC_SHA1, NIST_KEYS.d, ((None, None),), NI, NR)
