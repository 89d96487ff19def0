"""The encryption of IKEv1 messages: sessions of strongSwan, opened and sealed again to the octet."""

from __future__ import annotations

import pytest

from ipsecd.crypto import algorithms
from ipsecd.crypto.isakmp_cipher import IsakmpCipher, IvChain, plain_hash
from ipsecd.crypto.secret import Secret
from ipsecd.errors import LocalError, PeerError
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_payloads import Cert, Fragment, Hash, Ke, Signature
from ipsecd.wire.registry import Encr, Prf
from tests.unit.crypto.captured_v1 import CAPTURED, Captured
from tests.unit.crypto.vectors import octets

each_session = pytest.mark.parametrize("session", CAPTURED.values(), ids=CAPTURED)


def cipher_of(session: Captured) -> IsakmpCipher:
    return IsakmpCipher(session.prf, session.encryption, session.secret("key"))


def phase_1_of(session: Captured, cipher: IsakmpCipher) -> IvChain:
    return cipher.phase_1(session.body(True, Ke), session.body(False, Ke))


def datagrams(session: Captured) -> list[bytes]:
    """As they were before strongSwan cut them."""
    found: list[bytes] = []
    parts: list[Fragment] = []
    for _, datagram, _ in session.messages:
        chain = ikev1.decode(datagram).chain
        fragments = [payload for payload in chain.payloads if isinstance(payload, Fragment)]
        parts += fragments
        if not fragments:
            found.append(datagram)
        elif fragments[0].last:
            found.append(b"".join(part.data for part in parts))
    return found


def opened(session: Captured) -> list[tuple[ikev1.Message, bytes]]:
    """Every encrypted message of a session in order, and what the chains of its exchanges make of it."""
    cipher = cipher_of(session)
    phase_1 = phase_1_of(session, cipher)
    chains: dict[int, IvChain] = {0: phase_1}
    found = []
    for datagram in datagrams(session):
        message = ikev1.decode(datagram)
        if message.sealed:
            id_ = message.header.message_id
            chain = chains.setdefault(id_, cipher.phase_2(phase_1, id_))
            found.append((message, chain.open(message.sealed)))
            chain.accept(message.sealed)
    return found


@each_session
def test_a_session_of_strongswan_opens_to_what_it_logged(session: Captured) -> None:
    logged = {ikev1.decode(datagram).sealed: plain for _, datagram, plain in session.messages if plain}
    messages = opened(session)
    assert len(messages) == {"psk": 11, "rsa": 7, "aggressive": 8, "ah": 6, "xauth": 5}[session.name]
    for message, plaintext in messages:
        expected = logged.get(message.sealed)
        if expected is not None:
            assert plaintext[: len(expected)] == expected
            assert not any(plaintext[len(expected) :])


def test_certificates_and_signatures_open_behind_fragments() -> None:
    """Which strongSwan has cut before they were logged."""
    five, six = (ikev1.decode_chain(m.first, plaintext) for m, plaintext in opened(CAPTURED["rsa"])[:2])
    for chain in (five, six):
        assert [type(payload) for payload in chain.payloads][1:3] == [Cert, Signature]
        assert len(chain.bodies[2]) == 256


@each_session
def test_the_ivs_are_those_of_strongswan(session: Captured) -> None:
    cipher = cipher_of(session)
    phase_1 = phase_1_of(session, cipher)
    assert phase_1.iv == session.octets("iv")
    for message, _ in opened(session):
        if not message.header.message_id:
            phase_1.accept(message.sealed)
    firsts = dict(reversed([(id_, iv) for id_, iv in session.values["phase_2_ivs"]]))
    assert {id_: cipher.phase_2(phase_1, id_).iv.hex() for id_ in firsts} == firsts


@each_session
def test_what_was_opened_seals_to_the_same_octets(session: Captured) -> None:
    """With the padding of strongSwan, which adds a whole block to whole blocks."""
    cipher = cipher_of(session)
    phase_1 = phase_1_of(session, cipher)
    chains: dict[int, IvChain] = {0: phase_1}
    for message, plaintext in opened(session):
        id_ = message.header.message_id
        assert chains.setdefault(id_, cipher.phase_2(phase_1, id_)).seal(plaintext) == message.sealed


@each_session
def test_nat_d_hashes_are_those_of_strongswan(session: Captured) -> None:
    for pair in session.values["nat_d"]:
        assert plain_hash(session.prf, octets(pair["data"])).hex() == pair["hash"]


def cipher(id_: Encr, bits: int | None, prf_id: Prf = Prf.HMAC_SHA1) -> IsakmpCipher:
    encryption = algorithms.encryption(id_, bits)
    assert encryption is not None
    return IsakmpCipher(prf_id, encryption, Secret(bytes(range(encryption.key_octets))))


BLOCKS = {
    (Encr.AES_CBC, 192): 16,
    (Encr.CAMELLIA_CBC, 256): 16,
    (Encr.TRIPLE_DES, None): 8,
    (Encr.DES, None): 8,
}


@pytest.mark.parametrize(("suite", "block"), BLOCKS.items(), ids=str)
def test_messages_are_padded_with_zeros_to_whole_blocks_and_chained(suite: tuple[Encr, int | None], block: int) -> None:
    ours, theirs = (cipher(*suite).phase_1(b"public i", b"public r") for _ in range(2))
    assert len(ours.iv) == block
    for size in (1, block - 1, block, block + 1):
        plaintext = b"\xff" * size
        sealed = ours.seal(plaintext)
        assert theirs.open(sealed) == plaintext + bytes(-size % block)
        theirs.accept(sealed)
        assert ours.iv == theirs.iv == sealed[-block:]


def test_what_nobody_has_proved_leaves_the_chain_where_it_is() -> None:
    ours, theirs = (cipher(Encr.AES_CBC, 128).phase_1(b"i", b"r") for _ in range(2))
    sealed = ours.seal(b"authentic")
    theirs.open(b"forged block 16o")
    assert theirs.open(sealed)[:9] == b"authentic"


def test_exchanges_do_not_disturb_each_other() -> None:
    ours, theirs = (cipher(Encr.AES_CBC, 128) for _ in range(2))
    of_ours, of_theirs = ours.phase_1(b"i", b"r"), theirs.phase_1(b"i", b"r")
    one, two = ours.phase_2(of_ours, 1), ours.phase_2(of_ours, 2)
    sealed = one.seal(b"first"), two.seal(b"second")
    assert [theirs.phase_2(of_theirs, id_).open(each)[:5] for id_, each in ((2, sealed[1]), (1, sealed[0]))] == [
        b"secon",
        b"first",
    ]


@pytest.mark.parametrize("octets_sent", [0, 1, 15, 17])
def test_what_is_not_whole_blocks_was_never_encrypted(octets_sent: int) -> None:
    with pytest.raises(PeerError, match=r"^not-whole-blocks"):
        cipher(Encr.AES_CBC, 128).phase_1(b"i", b"r").open(bytes(octets_sent))


@pytest.mark.parametrize(
    "suite", [(Encr.AES_GCM_16, 128), (Encr.AES_CTR, 128), (Encr.CHACHA20_POLY1305, None), (Encr.NULL, None)]
)
def test_ciphers_without_blocks_are_refused(suite: tuple[Encr, int | None]) -> None:
    with pytest.raises(LocalError):
        cipher(*suite)


def test_a_prf_that_is_no_hmac_has_no_hash() -> None:
    with pytest.raises(LocalError):
        plain_hash(Prf.AES128_XCBC, b"")


def test_a_wrong_key_makes_no_payloads() -> None:
    """What a wrong pre-shared key looks like to both sides."""
    session = CAPTURED["psk"]
    wrong = IsakmpCipher(session.prf, session.encryption, Secret(bytes(16)))
    message = ikev1.decode(datagrams(session)[4])
    with pytest.raises(PeerError):
        ikev1.decode_chain(message.first, phase_1_of(session, wrong).open(message.sealed))


def test_hashes_show_nothing_of_themselves() -> None:
    assert repr(Hash(b"secret")) == "Hash()"
