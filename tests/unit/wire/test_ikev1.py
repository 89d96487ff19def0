"""IKEv1 messages: header, chain, encryption flag, padding (RFC 2408 sections 3.1 and 3.2)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd import limits
from ipsecd.errors import LocalError, WireError
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_payloads import Fragment, Hash, Ke, Nonce, Notify, Unknown
from ipsecd.wire.registry_v1 import Exchange, Flag, NotifyType, Payload

COOKIES = "c0c1c2c3c4c5c6c7 d0d1d2d3d4d5d6d7"
HEADER = ikev1.Header(bytes.fromhex("c0c1c2c3c4c5c6c7"), bytes.fromhex("d0d1d2d3d4d5d6d7"), Exchange.MAIN)
NONCE = Nonce(b"12345678")


def datagram(head: str, inside: str = "") -> bytes:
    """``head`` is next payload, version, exchange and flags; the length is right."""
    octets = bytes.fromhex(inside)
    return bytes.fromhex(f"{COOKIES} {head} 00000000") + (28 + len(octets)).to_bytes(4, "big") + octets


def reason(data: bytes) -> str:
    with pytest.raises(WireError) as caught:
        ikev1.decode(data)
    return caught.value.reason


def test_a_message_in_clear() -> None:
    data = datagram("04 10 02 00", "0a000006 abcd 0000000c 3132333435363738")
    message = ikev1.decode(data)
    assert (message.header, message.first, message.sealed) == (HEADER, Payload.KE, b"")
    assert message.chain.payloads == (Ke(b"\xab\xcd"), NONCE)
    assert ikev1.encode(HEADER, message.chain.payloads) == data


def test_a_chain_keeps_what_hashes_cover() -> None:
    chain = ikev1.decode(datagram("04 10 02 00", "0a000006 abcd 0000000c 3132333435363738")).chain
    assert chain.bodies == (b"\xab\xcd", b"12345678")
    assert chain.tail == bytes.fromhex("0000000c 3132333435363738")


def test_a_hash_stands_in_front_of_what_it_covers_and_not_of_the_padding() -> None:
    covered: list[bytes] = []

    def hash_of(octets: bytes) -> bytes:
        covered.append(octets)
        return b"hash"

    octets = ikev1.encode_hashed([NONCE, Notify(NotifyType.CONNECTED)], hash_of)
    assert octets == bytes.fromhex("0a000008 68617368 0b00000c 3132333435363738 0000000c 00000001 01 00 4000")
    chain = ikev1.decode_chain(Payload.HASH, octets + bytes(7))
    assert [chain.tail] == covered == [octets[8:]]
    assert chain.payloads[0] == Hash(b"hash")


def test_a_hash_alone_covers_nothing() -> None:
    assert ikev1.encode_hashed([], lambda octets: octets + b"hash") == bytes.fromhex("00000008 68617368")


def test_an_encrypted_message_is_left_as_it_is() -> None:
    data = datagram("08 10 20 01", "00" * 16)
    message = ikev1.decode(data)
    assert (message.header.encrypted, message.first, message.chain.payloads) == (True, Payload.HASH, ())
    assert message.sealed == bytes(16)
    assert ikev1.encode_sealed(replace(message.header, flags=Flag.NONE), Payload.HASH, bytes(16)) == data


def test_an_encrypted_message_has_something_in_it() -> None:
    assert reason(datagram("08 10 20 01")) == "empty-sealed"


@pytest.mark.parametrize("flags", ["00", "01"])
def test_fragments_are_in_clear_whatever_flag_they_kept(flags: str) -> None:
    message = ikev1.decode(datagram(f"84 10 02 {flags}", "0000000b 0007 02 01 616263"))
    assert message.chain.payloads == (Fragment(7, 2, True, b"abc"),)


def test_flags_and_message_ids_are_kept() -> None:
    header = ikev1.Header(b"initiate", b"responds", Exchange.QUICK, Flag.COMMIT | Flag.ENCRYPTION, 0x01020304)
    assert ikev1.decode(ikev1.encode_sealed(header, Payload.HASH, bytes(8))).header == header


@pytest.mark.parametrize(
    ("head", "inside", "expected"),
    [
        ("00 20 02 00", "", "major-version"),
        ("00 00 02 00", "", "major-version"),
        ("00 11 02 00", "", "minor-version"),
        ("0a 10 02 00", "", "truncated"),
        ("0a 10 02 00", "0001000c 3132333435363738", "reserved-not-zero"),
        ("0a 10 02 00", "00000003 3132333435363738", "bad-length"),
        ("0a 10 02 00", "0000000d 3132333435363738", "truncated"),
        ("0a 10 02 00", "0000000c 3132333435363738 00", "trailing-octets"),
        ("0a 10 02 00", "0a00000c 3132333435363738", "truncated"),
        ("00 10 02 00", "00", "trailing-octets"),
    ],
)
def test_what_does_not_add_up_is_refused(head: str, inside: str, expected: str) -> None:
    assert reason(datagram(head, inside)) == expected


def test_a_header_is_that_of_ike() -> None:
    assert reason(bytes(28)) == "bad-length"
    assert reason(bytes(8) + datagram("00 10 02 00")[8:]) == "zero-spi"
    assert reason(b"short") == "truncated"


def test_there_are_so_many_payloads_and_no_more() -> None:
    most = (NONCE,) * limits.MAX_PAYLOADS
    assert ikev1.decode(ikev1.encode(HEADER, most)).chain.payloads == most
    assert reason(ikev1.encode(HEADER, (*most, NONCE))) == "too-many-payloads"


def test_there_are_so_many_certificates_and_no_more() -> None:
    certificate = "00000005 04"
    for count, fits in ((limits.MAX_CERTIFICATES, True), (limits.MAX_CERTIFICATES + 1, False)):
        data = datagram("06 10 02 00", f"0600{certificate[4:]}" * (count - 1) + certificate)
        if fits:
            assert len(ikev1.decode(data).chain.payloads) == count
        else:
            assert reason(data) == "too-many-certificates"


@pytest.mark.parametrize("padding", [b"", bytes(7), b"\x00\x01\x02\x07", bytes(limits.MAX_V1_PADDING)])
def test_any_padding_is_taken_and_means_nothing(padding: bytes) -> None:
    plaintext = bytes.fromhex("0000000c 3132333435363738")
    assert ikev1.decode_chain(Payload.NONCE, plaintext + padding) == ikev1.decode_chain(Payload.NONCE, plaintext)


def test_padding_has_an_end() -> None:
    with pytest.raises(WireError, match=r"^too-much-padding"):
        ikev1.decode_chain(Payload.NONE, bytes(limits.MAX_V1_PADDING + 1))


def test_what_was_encrypted_and_is_malformed_can_be_answered() -> None:
    with pytest.raises(WireError) as caught:
        ikev1.decode_chain(Payload.NONCE, bytes(4))
    assert (caught.value.reason, caught.value.notify) == ("bad-length", NotifyType.PAYLOAD_MALFORMED)
    with pytest.raises(WireError) as caught:
        ikev1.decode_chain(Payload.SA, bytes.fromhex("0000000c 00000002 00000001"))
    assert (caught.value.reason, caught.value.notify) == ("bad-doi", NotifyType.DOI_NOT_SUPPORTED)


def test_what_was_in_clear_and_is_malformed_is_not_answered() -> None:
    with pytest.raises(WireError) as caught:
        ikev1.decode(datagram("0a 10 02 00", "00000004"))
    assert (caught.value.reason, caught.value.notify) == ("bad-nonce-length", None)


@pytest.mark.parametrize("kind", [2, 3, 17, 22, 33, 53, 129, 200, 255])
def test_payloads_that_we_do_not_know_are_passed_over(kind: int) -> None:
    """Those of IKEv2 among them."""
    data = ikev1.encode(HEADER, (Unknown(kind, b"body"), NONCE))
    assert ikev1.decode(data).chain.payloads == (Unknown(kind, b"body"), NONCE)


@pytest.mark.parametrize("exchange", [1, 3, 33, 34, 243, 246, 255])
def test_exchanges_of_others_are_read_and_keep_their_number(exchange: int) -> None:
    """What to do with them is for who gets the message."""
    assert ikev1.decode(datagram(f"00 10 {exchange:02x} 00")).header.exchange == exchange


def test_what_does_not_fit_is_our_own_mistake() -> None:
    with pytest.raises(LocalError):
        ikev1.encode(HEADER, (Ke(bytes(65_532)),))
    with pytest.raises(LocalError):
        ikev1.encode(replace(HEADER, message_id=1 << 32), ())
    with pytest.raises(LocalError):
        ikev1.encode(replace(HEADER, cookie_i=b"short"), ())
