"""What signs AH: the MACs that ESP has too, and GMAC with its IV."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from ipsecd.crypto.ah_mac import AhMac, ah_mac
from ipsecd.crypto.algorithms import Integrity, ah_integrity
from ipsecd.crypto.mac import Mac
from ipsecd.errors import LocalError
from ipsecd.wire.registry import Integ
from tests.unit.crypto.suites import AH_INTEGRITIES, INTEGRITIES
from tests.unit.crypto.vectors import cases, octets

IV = bytes.fromhex("0102030405060708")

each = pytest.mark.parametrize("integrity", AH_INTEGRITIES, ids=lambda integrity: integrity.name)


def made(integrity: Integrity) -> AhMac:
    return ah_mac(integrity, bytes(range(integrity.material_octets)))


def iv_of(integrity: Integrity) -> bytes:
    return IV[: integrity.iv_octets]


@pytest.mark.parametrize("case", cases("draft-mcgrew-gcm-test-01-gmac"), ids=lambda case: str(case["case"]))
def test_gmac_gives_the_icv_of_the_mcgrew_draft(case: dict[str, Any]) -> None:
    gmac = ah_integrity(Integ.AES_128_GMAC)
    assert gmac is not None
    mac = ah_mac(gmac, octets(case["key"]) + octets(case["salt"]))
    iv = octets(case["iv"])
    assert mac.icv(iv, octets(case["header"]), iv, octets(case["plaintext"])) == octets(case["icv"])


@pytest.mark.parametrize("number", [Integ.AES_128_GMAC, Integ.AES_192_GMAC, Integ.AES_256_GMAC])
def test_gmac_is_the_tag_of_gcm_over_nothing(number: Integ) -> None:
    gmac = ah_integrity(number)
    assert gmac is not None
    key, salt = bytes(range(gmac.key_octets)), b"salt"
    other = Cipher(AES(key), modes.GCM(salt + IV)).encryptor()
    other.authenticate_additional_data(b"headers and payload")
    other.finalize()
    assert ah_mac(gmac, key + salt).icv(IV, b"headers ", b"and payload") == other.tag


@pytest.mark.parametrize("integrity", INTEGRITIES, ids=lambda integrity: integrity.name)
def test_all_others_sign_as_they_do_for_esp(integrity: Integrity) -> None:
    key = bytes(range(integrity.key_octets))
    assert ah_mac(integrity, key).icv(b"", b"head", b"body") == Mac(integrity, key).icv(b"head", b"body")


@each
@pytest.mark.parametrize("ahead", [b"", b"what all have in common "])
def test_many_are_signed_at_once_as_they_are_one_by_one(integrity: Integrity, ahead: bytes) -> None:
    mac, ivs = made(integrity), [bytes([number] * integrity.iv_octets) for number in (1, 2, 3, 4)]
    messages, highs = (
        [memoryview(b"first message"), memoryview(b"second one"), memoryview(b"")],
        [b"", b"high", b"high"],
    )
    expected = [mac.icv(*each) for each in zip(ivs, (ahead,) * 3, messages, highs, strict=False)]
    assert mac.icvs(ivs, ahead, messages, highs) == expected
    assert len(set(expected)) == 3
    assert mac.icvs(ivs, ahead, messages, highs[:2]) == expected[:2]


@each
def test_one_verifies_what_the_other_signs_and_nothing_else(integrity: Integrity) -> None:
    sender, receiver, iv = made(integrity), made(integrity), iv_of(integrity)
    icv = sender.icv(iv, b"head", b"body")
    assert len(icv) == sender.icv_octets == integrity.icv_octets
    assert sender.iv_octets == len(iv)
    assert receiver.verify(iv, icv, b"headbody")
    assert not receiver.verify(iv, icv, b"headbodx")
    assert not receiver.verify(iv, icv[:-1] + bytes([icv[-1] ^ 1]), b"headbody")
    if iv:
        assert not receiver.verify(iv[:-1] + b"\0", icv, b"headbody")


@each
def test_a_key_of_another_length_is_refused(integrity: Integrity) -> None:
    for octets_more in (-1, 1):
        with pytest.raises(LocalError, match=f"it takes {integrity.material_octets}"):
            ah_mac(integrity, bytes(integrity.material_octets + octets_more))


def test_an_iv_of_another_length_is_refused() -> None:
    gmac = ah_integrity(Integ.AES_128_GMAC)
    assert gmac is not None
    with pytest.raises(LocalError, match="an IV of 12 octets where 8 belong"):
        made(gmac).icv(bytes(12), b"")
