"""IKEv1's keys and hashes against NIST CAVP's samples and what strongSwan computed."""

from __future__ import annotations

import pytest

from ipsecd.crypto import keymat_v1
from ipsecd.crypto.algorithms import Encryption
from ipsecd.crypto.secret import Secret
from ipsecd.errors import LocalError
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.ikev1_payloads import Hash, Ke, Nonce, Sa
from ipsecd.wire.registry import Encr, Integ, Prf
from ipsecd.wire.registry_v1 import Exchange
from tests.unit.crypto.captured_v1 import CAPTURED, Captured
from tests.unit.crypto.suites import cipher, mac
from tests.unit.crypto.vectors import octets, vectors

NIST = vectors("nist-cavp-ike-kdf")
each_session = pytest.mark.parametrize("session", CAPTURED.values(), ids=CAPTURED)
each_psk = pytest.mark.parametrize(
    "session", [session for session in CAPTURED.values() if session.name != "rsa"], ids=lambda session: session.name
)


AES_128 = cipher(Encr.AES_CBC, 128)


def nist_keys(case: dict[str, str], skeyid: Secret) -> keymat_v1.IsakmpKeys:
    shared, cookies = Secret(octets(case["gxy"])), (octets(case["cky_i"]), octets(case["cky_r"]))
    return keymat_v1.derive_isakmp(Prf.HMAC_SHA1, AES_128, skeyid, shared, *cookies)


def names(keys: keymat_v1.IsakmpKeys) -> list[str]:
    return [getattr(keys, name).reveal().hex() for name in ("skeyid", "d", "a", "e")]


def test_a_pre_shared_key_gives_the_keys_of_nist() -> None:
    case = NIST["ikev1_psk"]
    psk, ni, nr = Secret(octets(case["psk"])), octets(case["ni"]), octets(case["nr"])
    keys = nist_keys(case, keymat_v1.skeyid_of_psk(Prf.HMAC_SHA1, psk, ni, nr))
    assert names(keys) == [case["skeyid"], case["skeyid_d"], case["skeyid_a"], case["skeyid_e"]]


def test_signatures_give_the_keys_of_nist() -> None:
    case = NIST["ikev1_signatures"]
    shared, ni, nr = Secret(octets(case["gxy"])), octets(case["ni"]), octets(case["nr"])
    keys = nist_keys(case, keymat_v1.skeyid_of_signatures(Prf.HMAC_SHA1, shared, ni, nr))
    assert names(keys) == [case["skeyid"], case["skeyid_d"], case["skeyid_a"], case["skeyid_e"]]


def keys_of(session: Captured) -> keymat_v1.IsakmpKeys:
    nonces = session.body(True, Nonce), session.body(False, Nonce)
    shared = session.secret("shared")
    if session.name == "rsa":
        skeyid = keymat_v1.skeyid_of_signatures(session.prf, shared, *nonces)
    else:
        skeyid = keymat_v1.skeyid_of_psk(session.prf, session.secret("psk"), *nonces)
    return keymat_v1.derive_isakmp(session.prf, session.encryption, skeyid, shared, *session.cookies)


@each_session
def test_a_session_of_strongswan_gives_its_keys(session: Captured) -> None:
    keys = keys_of(session)
    assert names(keys) == [session.values[name] for name in ("skeyid", "skeyid_d", "skeyid_a", "skeyid_e")]
    assert keys.cipher == session.secret("key")


def test_a_cipher_key_longer_than_the_prf_is_fed_back() -> None:
    """RFC 2409 appendix B: Triple DES takes 24 octets, HMAC-MD5 gives 16."""
    session = CAPTURED["aggressive"]
    assert (len(session.octets("skeyid_e")), len(session.octets("key"))) == (16, 24)
    assert keys_of(session).cipher.reveal() != session.octets("skeyid_e") + session.octets("skeyid_e")[:8]


@each_session
def test_the_hashes_of_phase_1_are_those_of_strongswan(session: Captured) -> None:
    skeyid, sa = session.secret("skeyid"), session.body(True, Sa)
    publics, cookies = (session.body(True, Ke), session.body(False, Ke)), session.cookies
    if session.name == "rsa":  # where they were signed, under an ID that wasn't logged in clear
        bodies = {True: b"\x02\x00\x00\x00a.peers.test", False: b"\x02\x00\x00\x00b.peers.test"}
    else:
        bodies = {side: session.body(side, Id) for side in (True, False)}
    hash_i = keymat_v1.phase_1_hash(session.prf, skeyid, publics, cookies, sa, bodies[True])
    hash_r = keymat_v1.phase_1_hash(session.prf, skeyid, publics[::-1], cookies[::-1], sa, bodies[False])
    assert (hash_i.hex(), hash_r.hex()) == (session.values["hash_i"], session.values["hash_r"])


@each_psk
def test_the_hashes_of_phase_1_are_what_was_sent(session: Captured) -> None:
    assert session.body(True, Hash) == session.octets("hash_i")
    assert session.body(False, Hash) == session.octets("hash_r")


@each_session
def test_every_hash_of_strongswan_behind_phase_1_comes_out(session: Captured) -> None:
    a = session.secret("skeyid_a")
    quick: list[bytes] = []  # nonces of the quick mode so far
    checked = 0
    for _, message, chain in session.decoded():
        id_ = message.header.message_id
        if not id_:
            continue
        nonces = [body for p, body in zip(chain.payloads, chain.bodies, strict=True) if isinstance(p, Nonce)]
        if message.header.exchange != Exchange.QUICK or not quick:
            expected = keymat_v1.hash_1(session.prf, a, id_, chain.tail)
        elif len(quick) == 1:
            expected = keymat_v1.hash_2(session.prf, a, id_, quick[0], chain.tail)
        else:
            expected = keymat_v1.hash_3(session.prf, a, id_, quick[0], quick[1])
        quick += nonces
        assert chain.payloads[0] == Hash(expected)
        checked += 1
    assert checked == {"psk": 9, "rsa": 5, "aggressive": 7, "ah": 4, "xauth": 4}[session.name]


def quick_nonces(session: Captured) -> tuple[bytes, bytes]:
    chains = [chain for _, message, chain in session.decoded() if message.header.exchange == Exchange.QUICK]
    first, second = (
        next(body for p, body in zip(chain.payloads, chain.bodies, strict=True) if isinstance(p, Nonce))
        for chain in chains[:2]
    )
    return first, second


def quick_spis(session: Captured) -> tuple[bytes, bytes]:
    chains = [chain for _, message, chain in session.decoded() if message.header.exchange == Exchange.QUICK]
    first, second = (next(p for p in chain.payloads if isinstance(p, Sa)).proposals[0].spi for chain in chains[:2])
    return first, second


ESP_SUITES = {
    "psk": (AES_128, Integ.HMAC_SHA1_96),
    "rsa": (cipher(Encr.AES_CBC, 256), Integ.HMAC_SHA2_256_128),
    "aggressive": (cipher(Encr.TRIPLE_DES, None), Integ.HMAC_MD5_96),
}


@pytest.mark.parametrize("name", ESP_SUITES)
def test_the_keys_of_an_esp_pair_are_those_of_strongswan(name: str) -> None:
    """With a key exchange of its own in the first, and without in the others. What the initiator sends goes by the SPI
    of the responder."""
    session, (encryption, integ) = CAPTURED[name], ESP_SUITES[name]
    quick = session.values["quick"]
    shared = Secret(octets(quick["shared"])) if "shared" in quick else None
    assert (shared is not None) == (name == "psk")
    spi_i, spi_r = quick_spis(session)
    d, nonces = session.secret("skeyid_d"), quick_nonces(session)
    of_i = keymat_v1.derive_esp(session.prf, d, encryption, mac(integ), spi_r, nonces, shared)
    of_r = keymat_v1.derive_esp(session.prf, d, encryption, mac(integ), spi_i, nonces, shared)
    assert [key.reveal().hex() for key in (of_i.e, of_i.a)] == [quick["encr_i"], quick["integ_i"]]
    assert [key.reveal().hex() for key in (of_r.e, of_r.a)] == [quick["encr_r"], quick["integ_r"]]


def test_the_keys_of_an_ah_pair_are_those_of_strongswan() -> None:
    session = CAPTURED["ah"]
    quick, (spi_i, spi_r) = session.values["quick"], quick_spis(session)
    d, nonces, integrity = session.secret("skeyid_d"), quick_nonces(session), mac(Integ.HMAC_SHA2_256_128)
    of_i = keymat_v1.derive_ah(session.prf, d, integrity, spi_r, nonces)
    of_r = keymat_v1.derive_ah(session.prf, d, integrity, spi_i, nonces)
    assert [keys.a.reveal().hex() for keys in (of_i, of_r)] == [quick["integ_i"], quick["integ_r"]]
    assert len(of_i.e) == len(of_r.e) == 0


D, NONCES = Secret(b"d" * 20), (b"i" * 16, b"r" * 16)


def test_each_sa_of_a_bundle_has_keys_of_its_own_even_with_one_spi() -> None:
    esp = keymat_v1.derive_esp(Prf.HMAC_SHA1, D, AES_128, mac(Integ.HMAC_SHA1_96), b"spi1", NONCES)
    ah = keymat_v1.derive_ah(Prf.HMAC_SHA1, D, mac(Integ.HMAC_SHA1_96), b"spi1", NONCES)
    other = keymat_v1.derive_ah(Prf.HMAC_SHA1, D, mac(Integ.HMAC_SHA1_96), b"spi2", NONCES)
    fresh = keymat_v1.derive_ah(Prf.HMAC_SHA1, D, mac(Integ.HMAC_SHA1_96), b"spi2", NONCES, Secret(b"g"))
    firsts = {keys.reveal()[:16] for keys in (esp.e, esp.a, ah.a, other.a, fresh.a)}
    assert len(firsts) == 5


@pytest.mark.parametrize(
    ("encryption", "integ", "octets_e", "octets_a"),
    [
        (cipher(Encr.AES_GCM_16, 256), None, 36, 0),  # RFC 4106 section 8.1
        (cipher(Encr.AES_CTR, 128), Integ.HMAC_SHA1_96, 20, 20),  # RFC 3686 section 5.1
        (cipher(Encr.NULL, None), Integ.HMAC_SHA2_512_256, 0, 64),
    ],
)
def test_a_cipher_takes_its_salt_with_the_key(
    encryption: Encryption, integ: Integ | None, octets_e: int, octets_a: int
) -> None:
    integrity = None if integ is None else mac(integ)
    keys = keymat_v1.derive_esp(Prf.HMAC_MD5, D, encryption, integrity, b"spi1", NONCES)
    assert (len(keys.e), len(keys.a)) == (octets_e, octets_a)


def test_gmac_of_ah_takes_its_salt_too() -> None:
    assert len(keymat_v1.derive_ah(Prf.HMAC_SHA1, D, mac(Integ.AES_256_GMAC), b"spi1", NONCES).a) == 36


def test_what_is_no_suite_and_what_is_no_spi_gets_no_keys() -> None:
    with pytest.raises(LocalError):
        keymat_v1.derive_esp(Prf.HMAC_SHA1, D, AES_128, None, b"spi1", NONCES)
    with pytest.raises(LocalError):
        keymat_v1.derive_ah(Prf.HMAC_SHA1, D, mac(Integ.HMAC_SHA1_96), b"spi", NONCES)


def test_keys_are_wiped_on_request() -> None:
    keys = keys_of(CAPTURED["psk"])
    keys.wipe()
    wiped = (keys.skeyid, keys.d, keys.a, keys.e, keys.cipher)
    assert set(b"".join(secret.reveal() for secret in wiped)) == {0}


def test_keys_of_an_sa_do_not_show_themselves() -> None:
    sa = keymat_v1.derive_esp(Prf.HMAC_SHA1, D, AES_128, mac(Integ.HMAC_SHA1_96), b"spi1", NONCES)
    assert repr(sa) == "SaKeys(e=Secret(16), a=Secret(20))"
