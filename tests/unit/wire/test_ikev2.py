"""IKEv2 messages as octets and back, clear and sealed (RFC 7296 sections 3.1, 3.2, 3.14; RFC 7383 section 2.5)."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ipsecd import limits
from ipsecd.errors import LocalError, WireError
from ipsecd.wire.ike import NO_SPI, Header
from ipsecd.wire.ikev2 import Message, decode, decode_chain, encode, encode_chain, sk_prefix, skf_prefix
from ipsecd.wire.payloads import AnyPayload, Cert, Nonce, Notify, Sk, Skf, Unknown, VendorId
from ipsecd.wire.registry import CertEncoding, Exchange, Flag, NotifyType, Payload

HEADER = Header(b"initiate", NO_SPI, 0, 2, 0, Exchange.IKE_SA_INIT, Flag.INITIATOR, 0, 0)
VECTORS = Path(__file__).parents[2] / "vectors"


def with_length(data: bytes) -> bytes:
    """A message whose length field is right, whatever was done to its end."""
    return data[:24] + len(data).to_bytes(4, "big") + data[28:]


class TestThePublishedMessage:
    """RFC 7634 appendix B: an INFORMATIONAL request with SK{ N(SET_WINDOW_SIZE) }."""

    vector = json.loads((VECTORS / "rfc7634-chacha20poly1305.json").read_text())["ikev2"]
    octets = bytes.fromhex(vector["message"])

    def test_it_decodes(self) -> None:
        message = decode(self.octets)
        assert message.header == Header(
            bytes.fromhex("c0c1c2c3c4c5c6c7"),
            bytes.fromhex("d0d1d2d3d4d5d6d7"),
            Payload.SK,
            2,
            0,
            Exchange.INFORMATIONAL,
            Flag(0),
            9,
            69,
        )
        aad, iv = bytes.fromhex(self.vector["aad"]), bytes.fromhex("1011121314151617")
        body = iv + bytes.fromhex(self.vector["ciphertext"] + self.vector["icv"])
        assert message == Message(message.header, (), Sk(Payload.NOTIFY, aad, body))

    def test_its_prefix_is_what_we_would_send(self) -> None:
        header = replace(decode(self.octets).header, next_payload=0, length=0)
        assert sk_prefix(header, Payload.NOTIFY, 37).hex() == self.vector["aad"]

    def test_its_inside_decodes_and_encodes(self) -> None:
        opened = bytes.fromhex(self.vector["plaintext"])
        inside = opened[: -1 - opened[-1]]  # pad length
        payloads = (Notify(NotifyType.SET_WINDOW_SIZE, bytes.fromhex("0000000a")),)
        assert decode_chain(Payload.NOTIFY, inside) == payloads
        assert encode_chain(payloads) == (Payload.NOTIFY, inside)


def test_a_clear_message_comes_back_as_it_was() -> None:
    payloads = (Nonce(bytes(range(32))), Notify(NotifyType.COOKIE, b"crumbs"), Unknown(200, True, b"?"))
    data = encode(HEADER, payloads)
    message = decode(data)
    assert message.payloads == payloads
    assert message.header == replace(HEADER, next_payload=Payload.NONCE, length=len(data))
    assert message.sealed is None


def test_a_message_without_payloads_is_its_header() -> None:
    assert decode(encode(HEADER, ())) == Message(replace(HEADER, length=28), ())


def test_a_sealed_message_keeps_the_octets_the_cipher_covers() -> None:
    prefix = sk_prefix(HEADER, Payload.IDI, 40)
    assert len(prefix) == 32
    assert decode(prefix + bytes(40)).sealed == Sk(Payload.IDI, prefix, bytes(40))


def test_payloads_before_a_sealed_one_are_kept_apart() -> None:
    clear = encode(HEADER, [Unknown(Payload.NOTIFY, False, bytes.fromhex("00004000"))])
    sealed = bytes.fromhex("23 00 000c") + b"sealed!!"
    data = with_length(clear[:28] + bytes([Payload.SK]) + clear[29:] + sealed)
    message = decode(data)
    assert message.payloads == (Notify(NotifyType.INITIAL_CONTACT),)
    assert message.sealed == Sk(Payload.IDI, data[:-8], b"sealed!!")


def test_only_the_first_fragment_names_the_first_payload_inside() -> None:
    first, second = (skf_prefix(HEADER, Payload.IDI, number, 2, 40) for number in (1, 2))
    assert decode(first + bytes(40)).sealed == Skf(Payload.IDI, 1, 2, first, bytes(40))
    assert decode(second + bytes(40)).sealed == Skf(Payload.NONE, 2, 2, second, bytes(40))
    assert first[28:] == bytes.fromhex("23 00 0030 0001 0002")


@pytest.mark.parametrize(("number", "total"), [(0, 1), (2, 1), (0, 0), (1, 0), (65_535, 1)])
def test_a_fragment_has_a_number_from_one_to_the_total(number: int, total: int) -> None:
    good = skf_prefix(HEADER, Payload.IDI, 1, 1, 8) + bytes(8)
    numbers = number.to_bytes(2, "big") + total.to_bytes(2, "big")
    with pytest.raises(WireError, match=r"^bad-fragment-number"):
        decode(good[:32] + numbers + good[36:])
    with pytest.raises(LocalError):
        skf_prefix(HEADER, Payload.IDI, number, total, 8)


def test_a_message_of_more_fragments_than_we_hold_is_refused_at_the_first() -> None:
    good = skf_prefix(HEADER, Payload.IDI, 1, limits.MAX_FRAGMENTS, 8) + bytes(8)
    assert decode(good).sealed is not None
    more = (limits.MAX_FRAGMENTS + 1).to_bytes(2, "big")
    with pytest.raises(WireError, match=r"^too-many-fragments"):
        decode(good[:34] + more + good[36:])


def test_a_sealed_payload_is_the_last_one() -> None:
    data = sk_prefix(HEADER, Payload.IDI, 8) + bytes(8)
    with pytest.raises(WireError, match=r"^sealed-not-last: 1 octets behind it"):
        decode(with_length(data + b"\0"))


@pytest.mark.parametrize("kind", [Payload.SK, Payload.SKF])
def test_a_sealed_payload_holds_no_sealed_payload(kind: Payload) -> None:
    with pytest.raises(WireError, match=r"^sealed-inside-sealed"):
        decode_chain(kind, bytes.fromhex("2900000c 00010001 00000000"))


def test_a_malformed_inside_wants_invalid_syntax_and_a_malformed_clear_message_no_answer() -> None:
    nonce = bytes.fromhex("0000000c 0001020304050607")  # too short a nonce
    with pytest.raises(WireError, match=r"^bad-nonce-length") as inside:
        decode_chain(Payload.NONCE, nonce)
    assert inside.value.notify == NotifyType.INVALID_SYNTAX
    clear = replace(HEADER, next_payload=Payload.NONCE, length=40).encode() + nonce
    with pytest.raises(WireError, match=r"^bad-nonce-length") as outside:
        decode(clear)
    assert outside.value.notify is None
    assert (inside.value.offset, outside.value.offset) == (4, 32)


def test_an_empty_chain_has_no_payloads() -> None:
    assert encode_chain(()) == (Payload.NONE, b"")
    assert decode_chain(Payload.NONE, b"") == ()


def test_octets_behind_the_last_payload_are_an_error() -> None:
    with pytest.raises(WireError, match=r"^trailing-octets"):
        decode_chain(Payload.NONE, b"\0")


def test_a_chain_that_promises_another_payload_must_have_it() -> None:
    with pytest.raises(WireError, match=r"^truncated"):
        decode_chain(Payload.VENDOR_ID, bytes.fromhex("2b000005 61"))


def test_the_critical_bit_counts_only_where_the_type_is_not_known() -> None:
    chain = bytes.fromhex("c8 80 0005 61  c9 80 0004  00 7f 0004")
    known, critical, ignored = decode_chain(Payload.VENDOR_ID, chain)
    assert known == VendorId(b"a")
    assert critical == Unknown(200, True, b"")
    assert ignored == Unknown(201, False, b"")


def test_reserved_bits_of_a_payload_header_are_sent_as_zero() -> None:
    assert encode_chain([Unknown(200, False, b""), Unknown(201, True, b"")])[1].hex() == "c900000400800004"


def test_payload_types_of_ikev1_mean_nothing_here() -> None:
    for kind in range(1, 33):
        assert decode_chain(kind, bytes.fromhex("00000008 01020304")) == (Unknown(kind, False, b"\1\2\3\4"),)


@pytest.mark.parametrize("version", [0x10, 0x1F, 0x30, 0xF0, 0x00])
def test_another_major_version_is_not_read_as_ours(version: int) -> None:
    data = encode(HEADER, ())
    with pytest.raises(WireError, match=r"^major-version"):
        decode(data[:17] + bytes([version]) + data[18:])


def test_a_higher_minor_version_is_read_as_ours() -> None:
    data = encode(HEADER, ())
    assert decode(data[:17] + b"\x2f" + data[18:]).header.minor == 15


def test_a_message_has_so_many_payloads_and_no_more() -> None:
    most: list[AnyPayload] = [VendorId(b"")] * limits.MAX_PAYLOADS
    assert len(decode(encode(HEADER, most)).payloads) == limits.MAX_PAYLOADS
    with pytest.raises(WireError, match=r"^too-many-payloads"):
        decode(encode(HEADER, [*most, VendorId(b"")]))


def test_a_message_has_so_many_certificates_and_no_more() -> None:
    most = [Cert(CertEncoding.X509_SIGNATURE, b"0")] * limits.MAX_CERTIFICATES
    assert len(decode_chain(*encode_chain(most))) == limits.MAX_CERTIFICATES
    with pytest.raises(WireError, match=r"^too-many-certificates"):
        decode_chain(*encode_chain([*most, most[0]]))


def test_a_reassembled_message_has_a_limit_too() -> None:
    with pytest.raises(WireError, match=r"^too-long") as caught:
        decode_chain(Payload.NONE, bytes(limits.MAX_IKE_MESSAGE + 1))
    assert caught.value.notify == NotifyType.INVALID_SYNTAX


def test_a_payload_too_long_for_its_length_field_is_our_own_mistake() -> None:
    assert len(encode_chain([Unknown(200, False, bytes(65_531))])[1]) == 65_535
    with pytest.raises(LocalError, match=r"65532 octets"):
        encode_chain([Unknown(200, False, bytes(65_532))])


def test_sealed_octets_are_in_no_repr() -> None:
    prefix = sk_prefix(HEADER, Payload.IDI, 8)
    assert "hush" not in repr(decode(prefix + b"hushhush"))
