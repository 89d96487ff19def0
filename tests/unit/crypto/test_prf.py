"""PRFs and prf+ against RFC 2202, RFC 4231, RFC 4434, RFC 4615 and RFC 4868, and integrity algorithms against RFC 3566
and RFC 4493 too."""

from __future__ import annotations

from typing import Any

import pytest

from ipsecd.crypto import algorithms
from ipsecd.crypto.aes_mac import Xcbc, cmac
from ipsecd.crypto.mac import Mac
from ipsecd.crypto.prf import algorithm, prf, prf_plus
from ipsecd.crypto.secret import Secret
from ipsecd.errors import LocalError
from ipsecd.wire.registry import Integ, Prf
from tests.unit.crypto.vectors import cases, octets

SHA2 = {"256": Prf.HMAC_SHA2_256, "384": Prf.HMAC_SHA2_384, "512": Prf.HMAC_SHA2_512}
INTEGRITY = {
    "256": Integ.HMAC_SHA2_256_128,
    "384": Integ.HMAC_SHA2_384_192,
    "512": Integ.HMAC_SHA2_512_256,
}


def mac(id_: Integ, key: bytes) -> Mac:
    found = algorithms.integrity(id_)
    assert found is not None
    return Mac(found, key)


@pytest.mark.parametrize("case", cases("rfc2202-hmac-sha1"), ids=lambda case: str(case["case"]))
def test_sha1_gives_the_digests_of_rfc_2202(case: dict[str, Any]) -> None:
    assert prf(Prf.HMAC_SHA1, octets(case["key"]), octets(case["data"])) == octets(case["digest"])
    assert mac(Integ.HMAC_SHA1_96, octets(case["key"])).icv(octets(case["data"])) == octets(case["digest"])[:12]


def test_sha1_is_truncated_to_96_bits_as_rfc_2202_does() -> None:
    (case,) = (case for case in cases("rfc2202-hmac-sha1") if "digest_96" in case)
    assert mac(Integ.HMAC_SHA1_96, octets(case["key"])).icv(octets(case["data"])) == octets(case["digest_96"])


@pytest.mark.parametrize("case", cases("rfc2202-hmac-md5"), ids=lambda case: str(case["case"]))
def test_md5_gives_the_digests_of_rfc_2202(case: dict[str, Any]) -> None:
    assert prf(Prf.HMAC_MD5, octets(case["key"]), octets(case["data"])) == octets(case["digest"])
    icv = octets(case.get("digest_96") or case["digest"][:24])
    assert mac(Integ.HMAC_MD5_96, octets(case["key"])).icv(octets(case["data"])) == icv


MACS_OF_AES = {"rfc3566-aes-xcbc": (Integ.AES_XCBC_96, Xcbc), "rfc4493-aes-cmac": (Integ.AES_CMAC_96, cmac)}
PRFS_OF_AES = {"rfc4434-prf-aes-xcbc": Prf.AES128_XCBC, "rfc4615-prf-aes-cmac": Prf.AES128_CMAC}


@pytest.mark.parametrize(
    ("file", "case"),
    [pytest.param(file, case, id=f"{file}-{case['case']}") for file in MACS_OF_AES for case in cases(file)],
)
def test_macs_of_aes_give_the_values_of_their_rfcs(file: str, case: dict[str, Any]) -> None:
    id_, whole = MACS_OF_AES[file]
    key, message, expected = (octets(case[name]) for name in ("key", "message", "mac"))
    keyed = mac(id_, key)
    for _ in range(2):
        assert keyed.icv(message) == expected[:12]
        assert keyed.icv(message[:7], memoryview(message)[7:]) == expected[:12]
    state = whole(key)
    state.update(message)
    assert state.finalize() == expected


@pytest.mark.parametrize(
    ("file", "case"),
    [pytest.param(file, case, id=f"{file}-{case['case']}") for file in PRFS_OF_AES for case in cases(file)],
)
def test_prfs_of_aes_give_the_values_of_their_rfcs_for_keys_of_any_length(file: str, case: dict[str, Any]) -> None:
    assert prf(PRFS_OF_AES[file], octets(case["key"]), octets(case["message"])) == octets(case["output"])


@pytest.mark.parametrize("size", SHA2)
@pytest.mark.parametrize("case", cases("rfc4231-hmac-sha2"), ids=lambda case: str(case["case"]))
def test_sha2_gives_the_digests_of_rfc_4231(case: dict[str, Any], size: str) -> None:
    expected = octets(case[f"sha{size}"])  # case 5 gives the beginning only
    assert prf(SHA2[size], octets(case["key"]), octets(case["data"]))[: len(expected)] == expected


RFC_4868 = [
    pytest.param(case, size, id=f"{case['case']}-{size}")
    for case in cases("rfc4868-hmac-sha2")
    for size in SHA2
    if f"prf_sha{size}" in case
]
RFC_4868_ICV = [
    pytest.param(case, size, id=f"{case['case']}-{size}")
    for case in cases("rfc4868-hmac-sha2")
    for size in SHA2
    if f"icv_sha{size}" in case
]


def test_rfc_4868_has_thirty_values_for_prfs_and_twelve_for_integrity() -> None:
    assert (len(RFC_4868), len(RFC_4868_ICV)) == (30, 12)


@pytest.mark.parametrize(("case", "size"), RFC_4868)
def test_sha2_prfs_give_the_values_of_rfc_4868(case: dict[str, Any], size: str) -> None:
    assert prf(SHA2[size], octets(case["key"]), octets(case["data"])) == octets(case[f"prf_sha{size}"])


@pytest.mark.parametrize(("case", "size"), RFC_4868_ICV)
def test_sha2_icvs_are_those_of_rfc_4868(case: dict[str, Any], size: str) -> None:
    expected = octets(case[f"icv_sha{size}"])
    assert mac(INTEGRITY[size], octets(case["key"])).icv(octets(case["data"])) == expected
    assert mac(INTEGRITY[size], octets(case["key"])).verify(expected, octets(case["data"]))


def test_a_mac_covers_its_parts_as_one_string() -> None:
    keyed = mac(Integ.HMAC_SHA2_256_128, bytes(32))
    assert keyed.icv(b"one", b"", memoryview(b"two")) == keyed.icv(b"onetwo")


def test_a_mac_keeps_no_trace_of_the_message_before() -> None:
    keyed = mac(Integ.HMAC_SHA2_256_128, bytes(32))
    first = keyed.icv(b"message")
    keyed.icv(b"another")
    assert keyed.icv(b"message") == first


@pytest.mark.parametrize("wrong", [b"", bytes(15), bytes(16), bytes(17), bytes(32)])
def test_a_mac_refuses_any_other_icv(wrong: bytes) -> None:
    assert not mac(Integ.HMAC_SHA2_256_128, bytes(32)).verify(wrong, b"message")


def test_a_prf_takes_its_key_as_a_secret_or_as_octets() -> None:
    assert prf(Prf.HMAC_SHA2_256, Secret(b"Jefe"), b"x") == prf(Prf.HMAC_SHA2_256, b"Jefe", b"x")
    assert prf_plus(Prf.HMAC_SHA2_256, Secret(b"Jefe"), b"x", 40) == prf_plus(Prf.HMAC_SHA2_256, b"Jefe", b"x", 40)


# RFC 7296 section 2.13: T1 = prf(K, S | 0x01), T2 = prf(K, T1 | S | 0x02)
@pytest.mark.parametrize("id_", [Prf.HMAC_SHA1, *SHA2.values(), *PRFS_OF_AES.values(), Prf.HMAC_MD5])
def test_prf_plus_chains_its_blocks(id_: Prf) -> None:
    first = prf(id_, b"key", b"seed\x01")
    second = prf(id_, b"key", first + b"seed\x02")
    third = prf(id_, b"key", second + b"seed\x03")
    size = algorithm(id_).output_octets
    assert prf_plus(id_, b"key", b"seed", 3 * size) == first + second + third
    assert prf_plus(id_, b"key", b"seed", size + 1) == first + second[:1]
    assert prf_plus(id_, b"key", b"seed", 0) == b""


def test_prf_plus_ends_at_255_blocks() -> None:
    assert len(prf_plus(Prf.HMAC_SHA1, b"key", b"seed", 255 * 20)) == 5100
    with pytest.raises(LocalError):
        prf_plus(Prf.HMAC_SHA1, b"key", b"seed", 255 * 20 + 1)


@pytest.mark.parametrize("id_", [Prf.HMAC_TIGER, Prf(4242)])
def test_a_prf_that_is_not_offered_is_our_own_mistake(id_: Prf) -> None:
    with pytest.raises(LocalError):
        prf(id_, b"key", b"data")
    with pytest.raises(LocalError):
        prf_plus(id_, b"key", b"data", 20)
