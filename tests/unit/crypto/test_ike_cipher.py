"""The inside of encrypted payloads: RFC 7634 appendix B to the octet, padding, IVs, and every way to be wrong."""

from __future__ import annotations

import pytest

from ipsecd.crypto import algorithms
from ipsecd.crypto.algorithms import Encryption
from ipsecd.crypto.ike_cipher import IkeCipher
from ipsecd.crypto.mac import Mac
from ipsecd.crypto.sealing import sealing
from ipsecd.crypto.secret import Secret
from ipsecd.errors import LocalError, PeerError
from ipsecd.wire.registry import Encr, NotifyType
from tests.unit.crypto.suites import ENCRYPTING, SUITES, Suite
from tests.unit.crypto.vectors import octets, vectors

PREFIX = bytes(range(32))
every_suite = pytest.mark.parametrize("suite", ENCRYPTING, ids=lambda suite: suite.name)


def no_randomness(count: int) -> bytes:
    raise AssertionError(f"asked for {count} random octets")


def constant(count: int) -> bytes:
    return b"\xa5" * count


def of(suite: Suite) -> IkeCipher:
    source = no_randomness if suite.encryption.counter_iv else constant
    return IkeCipher(suite.encryption, suite.integrity, Secret(suite.key_e), Secret(suite.key_a), source)


def from_peer(suite: Suite, padded: bytes) -> bytes:
    """A body whose padding the peer chose."""
    sealed = sealing(suite.encryption, suite.integrity, suite.key_e, suite.key_a)
    return sealed.seal(PREFIX, b"", bytes(suite.encryption.iv_octets), padded)


def chacha() -> Encryption:
    found = algorithms.encryption(Encr.CHACHA20_POLY1305, None)
    assert found is not None
    return found


def test_chacha20_poly1305_opens_the_message_of_rfc_7634() -> None:
    case = vectors("rfc7634-chacha20poly1305")
    cipher = IkeCipher(chacha(), None, Secret(octets(case["keymat"])), Secret(b""), no_randomness)
    message, aad = octets(case["ikev2"]["message"]), octets(case["ikev2"]["aad"])
    assert message[: len(aad)] == aad
    assert cipher.open(aad, message[len(aad) :]) == octets(case["ikev2"]["plaintext"])[:-1]


def test_chacha20_poly1305_seals_the_message_of_rfc_7634(monkeypatch: pytest.MonkeyPatch) -> None:
    case = vectors("rfc7634-chacha20poly1305")
    cipher = IkeCipher(chacha(), None, Secret(octets(case["keymat"])), Secret(b""), no_randomness)
    monkeypatch.setattr(cipher, "_count", int(case["iv"], 16))
    aad, plaintext = octets(case["ikev2"]["aad"]), octets(case["ikev2"]["plaintext"])
    assert aad + cipher.seal(aad, plaintext[:-1]) == octets(case["ikev2"]["message"])


@every_suite
def test_every_suite_opens_what_it_sealed_and_says_its_size_before(suite: Suite) -> None:
    sender, receiver = of(suite), of(suite)
    for size in (0, 1, 14, 15, 16, 17, 31, 32, 255, 256, 1200, 40_000):
        body = sender.seal(PREFIX, bytes(size))
        assert len(body) == sender.sealed_octets(size)
        assert receiver.open(PREFIX, body) == bytes(size)
        assert receiver.open(memoryview(PREFIX), memoryview(body)) == bytes(size)


def test_sizes_are_those_of_the_figures() -> None:
    """IV, payloads, padding to the block, pad length, ICV (RFC 7296 section 3.14); no padding without blocks."""
    sizes = {suite.name: [of(suite).sealed_octets(size) for size in (0, 15, 16)] for suite in ENCRYPTING}
    assert sizes["aes128-sha256"] == [16 + 16 + 16, 16 + 16 + 16, 16 + 32 + 16]
    assert sizes["aes256-sha1"] == [16 + 16 + 12, 16 + 16 + 12, 16 + 32 + 12]
    assert sizes["aes128ctr-sha512"] == [8 + 1 + 32, 8 + 16 + 32, 8 + 17 + 32]
    assert sizes["aes256gcm16"] == [8 + 1 + 16, 8 + 16 + 16, 8 + 17 + 16]
    assert sizes["aes256gcm8"] == [8 + 1 + 8, 8 + 16 + 8, 8 + 17 + 8]
    assert sizes["aes128ccm12"] == [8 + 1 + 12, 8 + 16 + 12, 8 + 17 + 12]
    assert sizes["chacha20poly1305"] == [8 + 1 + 16, 8 + 16 + 16, 8 + 17 + 16]


@pytest.mark.parametrize("suite", [suite for suite in ENCRYPTING if suite.encryption.counter_iv], ids=lambda s: s.name)
def test_no_nonce_comes_twice(suite: Suite) -> None:
    """The IV is a counter of this key alone, even when the same message is sealed again."""
    cipher = of(suite)
    ivs = [cipher.seal(PREFIX, b"same")[:8] for _ in range(300)]
    assert ivs == [count.to_bytes(8, "big") for count in range(300)]


@pytest.mark.parametrize("name", ["aes128gcm16", "aes128ctr-sha1"])
def test_the_counter_of_ivs_ends_instead_of_starting_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cipher = of(next(suite for suite in SUITES if suite.name == name))
    monkeypatch.setattr(cipher, "_count", 2**64 - 1)
    assert cipher.seal(PREFIX, b"last")[:8] == b"\xff" * 8
    for _ in range(2):
        with pytest.raises(LocalError):
            cipher.seal(PREFIX, b"one too many")


def test_cbc_asks_for_a_fresh_iv_for_each_message() -> None:
    suite = next(suite for suite in SUITES if suite.name == "aes256-sha256")
    asked: list[int] = []

    def source(count: int) -> bytes:
        asked.append(count)
        return bytes([len(asked)] * count)

    cipher = IkeCipher(suite.encryption, suite.integrity, Secret(suite.key_e), Secret(suite.key_a), source)
    assert [cipher.seal(PREFIX, b"x")[:16] for _ in range(3)] == [b"\x01" * 16, b"\x02" * 16, b"\x03" * 16]
    assert asked == [16, 16, 16]


def test_a_source_of_too_few_octets_is_our_own_mistake() -> None:
    suite = next(suite for suite in SUITES if suite.name == "aes256-sha256")
    cipher = IkeCipher(suite.encryption, suite.integrity, Secret(suite.key_e), Secret(suite.key_a), lambda count: b"x")
    with pytest.raises(LocalError):
        cipher.seal(PREFIX, b"payloads")


@every_suite
@pytest.mark.parametrize("padding", [0, 1, 15, 16, 254, 255])
def test_any_padding_that_fits_is_accepted_whatever_is_in_it(suite: Suite, padding: int) -> None:
    """RFC 7296 section 3.14, RFC 5282 section 3, RFC 7634 section 3."""
    block = suite.encryption.block_octets
    payloads = b"p" * (32 + -(32 + padding + 1) % block)
    body = from_peer(suite, payloads + b"\xff" * padding + bytes([padding]))
    assert of(suite).open(PREFIX, body) == payloads


@every_suite
def test_padding_longer_than_the_message_is_the_peers_mistake(suite: Suite) -> None:
    for padded in (b"\x00" * 15 + b"\x10", b"\xff" * 16, b"\x00" * 31 + b"\x20"):
        with pytest.raises(PeerError) as caught:
            of(suite).open(PREFIX, from_peer(suite, padded))
        assert (caught.value.reason, caught.value.notify) == ("bad-padding", NotifyType.INVALID_SYNTAX)
    assert of(suite).open(PREFIX, from_peer(suite, b"\x00" * 15 + b"\x0f")) == b""


@pytest.mark.parametrize("size", [0, 1, 15, 17])
def test_an_authentic_body_of_partial_blocks_is_the_peers_mistake(size: int) -> None:
    suite = next(suite for suite in SUITES if suite.name == "aes256-sha256")
    assert suite.integrity is not None
    body = bytes(16 + size)
    body += Mac(suite.integrity, suite.key_a).icv(PREFIX + body)
    with pytest.raises(PeerError) as caught:
        of(suite).open(PREFIX, body)
    assert (caught.value.reason, caught.value.notify) == ("bad-padding", NotifyType.INVALID_SYNTAX)


@pytest.mark.parametrize("name", ["aes128gcm16", "aes128gcm8", "chacha20poly1305"])
def test_an_authentic_body_of_nothing_lacks_its_pad_length(name: str) -> None:
    suite = next(suite for suite in SUITES if suite.name == name)
    with pytest.raises(PeerError) as caught:
        of(suite).open(PREFIX, from_peer(suite, b""))
    assert caught.value.reason == "bad-padding"


@every_suite
def test_nothing_of_a_message_can_be_changed(suite: Suite) -> None:
    cipher = of(suite)
    body = cipher.seal(PREFIX, b"payloads")
    whole = PREFIX + body
    for position in range(len(whole)):
        forged = bytearray(whole)
        forged[position] ^= 0x01
        with pytest.raises(PeerError) as caught:
            cipher.open(bytes(forged[:32]), bytes(forged[32:]))
        assert (caught.value.reason, caught.value.notify) == ("bad-icv", None)
    with pytest.raises(PeerError):
        cipher.open(PREFIX[:-1], PREFIX[-1:] + body)
    assert cipher.open(PREFIX, body) == b"payloads"


@every_suite
def test_a_body_cut_anywhere_is_not_authentic(suite: Suite) -> None:
    cipher = of(suite)
    body = cipher.seal(PREFIX, b"payloads")
    for size in range(len(body)):
        with pytest.raises(PeerError) as caught:
            cipher.open(PREFIX, body[:size])
        assert caught.value.reason == "bad-icv"


@every_suite
def test_the_keys_of_the_other_direction_open_nothing(suite: Suite) -> None:
    body = of(suite).seal(PREFIX, b"payloads")
    other = IkeCipher(
        suite.encryption, suite.integrity, Secret(suite.key_e[::-1]), Secret(suite.key_a[::-1]), no_randomness
    )
    with pytest.raises(PeerError) as caught:
        other.open(PREFIX, body)
    assert caught.value.reason == "bad-icv"


def test_keys_of_the_wrong_length_are_our_own_mistake() -> None:
    with pytest.raises(LocalError):
        IkeCipher(chacha(), None, Secret(bytes(32)), Secret(b""), no_randomness)
    with pytest.raises(LocalError):
        IkeCipher(chacha(), None, Secret(bytes(36)), Secret(bytes(20)), no_randomness)


def test_what_does_not_encrypt_is_not_for_ike() -> None:
    """RFC 8247 section 2.1."""
    open_ones = [suite for suite in SUITES if suite not in ENCRYPTING]
    assert {suite.encryption.name for suite in open_ones} == {"aes128gmac", "aes192gmac", "aes256gmac", "null"}
    for suite in open_ones:
        with pytest.raises(LocalError, match="is for ESP alone"):
            of(suite)
