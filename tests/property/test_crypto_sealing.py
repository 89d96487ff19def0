"""For every suite, any plaintext, header and order of messages: what is sealed opens, what is changed doesn't."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from hypothesis import given
from hypothesis import strategies as st

from ipsecd.crypto.ciphers import Cbc
from ipsecd.crypto.esp_cipher import EspCipher
from ipsecd.crypto.ike_cipher import IkeCipher
from ipsecd.crypto.secret import Secret
from ipsecd.errors import PeerError
from tests.unit.crypto.suites import ENCRYPTING, SUITES, Suite

suites = st.sampled_from(SUITES)
encrypting = st.sampled_from(ENCRYPTING)
headers = st.binary(min_size=8, max_size=8)
highs = st.one_of(st.just(b""), st.binary(min_size=4, max_size=4))
prefixes = st.binary(min_size=32, max_size=200)


def esp(suite: Suite) -> EspCipher:
    return EspCipher(suite.encryption, suite.integrity, suite.key_e, suite.key_a)


def ike(suite: Suite) -> IkeCipher:
    return IkeCipher(suite.encryption, suite.integrity, Secret(suite.key_e), Secret(suite.key_a), bytes)


@given(suites, headers, highs, st.integers(1, 100), st.data())
def test_an_esp_packet_opens_to_what_was_sealed(
    suite: Suite, header: bytes, high: bytes, blocks: int, data: st.DataObject
) -> None:
    cipher = esp(suite)
    plaintext = data.draw(st.binary(min_size=blocks * cipher.align, max_size=blocks * cipher.align))
    iv = data.draw(st.binary(min_size=cipher.iv_octets, max_size=cipher.iv_octets))
    sealed = cipher.seal(header, high, iv, plaintext)
    assert len(sealed) == cipher.iv_octets + len(plaintext) + cipher.icv_octets
    assert esp(suite).open(header + sealed, high) == plaintext


@given(suites, st.binary(max_size=200), highs)
def test_octets_nobody_sealed_are_refused_with_one_reason(suite: Suite, packet: bytes, high: bytes) -> None:
    with pytest.raises(PeerError) as caught:
        esp(suite).open(packet, high)
    assert caught.value.reason == "bad-icv"


@given(encrypting, prefixes, st.lists(st.binary(max_size=300), min_size=1, max_size=8))
def test_ike_messages_open_in_any_order_and_any_number_of_times(
    suite: Suite, prefix: bytes, messages: list[bytes]
) -> None:
    sender, receiver = ike(suite), ike(suite)
    bodies = [sender.seal(prefix, message) for message in messages]
    assert [len(body) for body in bodies] == [sender.sealed_octets(len(message)) for message in messages]
    for body, message in [*zip(bodies, messages, strict=True)][::-1] * 2:
        assert receiver.open(prefix, body) == message


@given(encrypting, prefixes, st.binary(max_size=100), st.data())
def test_no_bit_of_an_ike_message_can_be_changed(
    suite: Suite, prefix: bytes, message: bytes, data: st.DataObject
) -> None:
    cipher = ike(suite)
    whole = bytearray(prefix + cipher.seal(prefix, message))
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[bit // 8] ^= 1 << bit % 8
    with pytest.raises(PeerError) as caught:
        cipher.open(bytes(whole[: len(prefix)]), bytes(whole[len(prefix) :]))
    assert caught.value.reason == "bad-icv"


@given(
    st.sampled_from([16, 24, 32]).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
    st.lists(st.tuples(st.booleans(), st.binary(min_size=16, max_size=16), st.integers(1, 9)), max_size=12),
)
def test_one_cbc_object_equals_a_fresh_one_for_each_message(
    key: bytes, messages: list[tuple[bool, bytes, int]]
) -> None:
    one = Cbc(AES(key))
    for encrypts, iv, blocks in messages:
        text = iv[::-1] * blocks
        fresh = Cipher(AES(key), modes.CBC(iv))
        if encrypts:
            assert one.encrypt(iv, text) == fresh.encryptor().update(text)
        else:
            assert one.decrypt(iv, text) == fresh.decryptor().update(text)
