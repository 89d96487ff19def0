"""The other payloads of IKEv1, octet by octet (RFC 2408 section 3, RFC 3947, [MS-IKEE] section 2.2)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ipsecd import limits
from ipsecd.errors import LocalError, WireError
from ipsecd.wire.ikev1_attributes import Attribute, basic
from ipsecd.wire.ikev1_bodies import decode_body, encode_body, payload_type
from ipsecd.wire.ikev1_payloads import (
    AnyPayload,
    Attributes,
    Cert,
    CertReq,
    Delete,
    Fragment,
    Hash,
    Ke,
    NatD,
    NatOa,
    Nonce,
    Notify,
    Signature,
    Unknown,
    VendorId,
)
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry import ConfigType
from ipsecd.wire.registry_v1 import CertEncoding, ConfigAttribute, NotifyType, Payload, Protocol

COOKIES = bytes.fromhex("c0c1c2c3c4c5c6c7d0d1d2d3d4d5d6d7")


def read(kind: int, octets: str) -> AnyPayload:
    data = bytes.fromhex(octets)
    with Reader(data).window(len(data)) as body:
        return decode_body(kind, body)


def reason(kind: int, octets: str) -> str:
    with pytest.raises(WireError) as caught:
        read(kind, octets)
    return caught.value.reason


WITH_ID, BOUNDARY = b"abcd\1\2\3\4", b"\0\0\0\1"


def of_esp(kind: NotifyType, data: bytes, spi: bytes) -> Notify:
    return Notify(kind, data, Protocol.ESP, spi)


@pytest.mark.parametrize(
    ("kind", "octets", "payload"),
    [
        (4, "0001", Ke(b"\0\1")),
        (6, "04 3000", Cert(CertEncoding.X509_SIGNATURE, b"\x30\0")),
        (7, "04", CertReq(CertEncoding.X509_SIGNATURE, b"")),
        (7, "07 3000", CertReq(CertEncoding.CRL, b"\x30\0")),
        (8, "0001", Hash(b"\0\1")),
        (9, "0001", Signature(b"\0\1")),
        (10, "3132333435363738", Nonce(b"12345678")),
        (11, "00000001 01 10 6002" + COOKIES.hex(), Notify(NotifyType.INITIAL_CONTACT, spi=COOKIES)),
        (11, "00000000 00 00 0018", Notify(NotifyType.AUTHENTICATION_FAILED, protocol=Protocol.NONE, doi=0)),
        (11, "00000001 03 04 6000 61626364 80010001", of_esp(NotifyType.RESPONDER_LIFETIME, b"\x80\1\0\1", b"abcd")),
        (11, "00000001 01 00 9c43 0000274c", Notify(NotifyType.MS_STATUS, b"\0\0\x27\x4c")),
        (11, "00000001 01 00 9c44" + COOKIES[8:].hex(), Notify(NotifyType.MS_DOS_COOKIE, COOKIES[8:])),
        (11, "00000001 03 08 9c45 6162636401020304 00000001", of_esp(NotifyType.MS_EXCHANGE_INFO, BOUNDARY, WITH_ID)),
        (12, "00000001 01 10 0001" + COOKIES.hex(), Delete(Protocol.ISAKMP, (COOKIES,))),
        (12, "00000001 03 04 0002 61626364 65666768", Delete(Protocol.ESP, (b"abcd", b"efgh"))),
        (12, "00000001 02 04 0000", Delete(Protocol.AH, ())),
        (13, "", VendorId(b"")),
        (13, "616263", VendorId(b"abc")),
        (14, "01 00 0007 0001 0000", Attributes(ConfigType.REQUEST, 7, (Attribute(1, b""),))),
        (14, "03 00 0000 c08f 0001", Attributes(ConfigType.SET, 0, (basic(ConfigAttribute.XAUTH_STATUS, 1),))),
        (15, "0001", NatD(b"\0\1", Payload.NAT_D_LATER_DRAFTS)),
        (20, "0001", NatD(b"\0\1")),
        (130, "0001", NatD(b"\0\1", Payload.NAT_D_DRAFTS)),
        (16, "01000000 c0000201", NatOa(ip_address("192.0.2.1"), Payload.NAT_OA_LATER_DRAFTS)),
        (21, "05000000 20010db8000000000000000000000001", NatOa(ip_address("2001:db8::1"))),
        (131, "01000000 c0000201", NatOa(ip_address("192.0.2.1"), Payload.NAT_OA_DRAFTS)),
        (132, "0007 01 00 616263", Fragment(7, 1, False, b"abc")),
        (132, "0007 40 01 61", Fragment(7, 64, True, b"a")),
        (129, "6062", Unknown(129, b"\x60\x62")),
    ],
)  # fmt: skip
def test_a_payload_is_read_and_written_to_the_octet(kind: int, octets: str, payload: AnyPayload) -> None:
    assert read(kind, octets) == payload
    assert payload_type(payload) == kind
    assert encode_body(payload) == bytes.fromhex(octets)


@pytest.mark.parametrize(
    ("kind", "octets", "expected"),
    [
        (4, "", "empty-key-exchange"),
        (6, "", "truncated"),
        (6, "04" + "00" * (limits.MAX_CERTIFICATE + 1), "certificate-too-long"),
        (7, "", "truncated"),
        (8, "", "bad-hash-length"),
        (8, "00" * 65, "bad-hash-length"),
        (9, "", "bad-signature-length"),
        (9, "00" * (limits.MAX_SIGNATURE + 1), "bad-signature-length"),
        (10, "00" * 7, "bad-nonce-length"),
        (10, "00" * 257, "bad-nonce-length"),
        (11, "00000001 01 10 60", "truncated"),
        (11, "00000001 01 10 6002 c0", "truncated"),
        (11, "00000001 01 11 6002" + "00" * 17, "bad-spi-size"),
        (12, "00000001 01 00 0000", "bad-spi-size"),
        (12, "00000001 01 08 0001" + "00" * 8, "bad-spi-size"),
        (12, "00000001 03 00 ffff", "bad-spi-size"),
        (12, "00000001 03 10 0001" + "00" * 16, "bad-spi-size"),
        (12, "00000001 00 00 0000", "bad-protocol"),
        (12, "00000001 04 02 0001 0001", "bad-protocol"),
        (12, "00000001 03 04 0002 61626364", "spi-count"),
        (12, "00000001 03 04 0001 61626364 65", "spi-count"),
        (12, "00000001 03 04 ffff 61626364", "spi-count"),
        (12, "00000001 03 04 0401" + "61626364" * 1025, "too-many-spis"),
        (14, "01 00 00", "truncated"),
        (14, "01 00 0000 0001", "truncated"),
        (14, "01 00 0000 0001 0001", "truncated"),
        (14, "01 00 0000" + "80010001" * 65, "too-many-attributes"),
        (20, "", "bad-hash-length"),
        (130, "00" * 65, "bad-hash-length"),
        (21, "01000000 c00002", "bad-identity-length"),
        (21, "01000000 c000020100", "bad-identity-length"),
        (21, "02000000 6162", "bad-identity-type"),
        (131, "010000", "truncated"),
        (132, "0007 00 00 61", "bad-fragment-number"),
        (132, "0007 41 00 61", "too-many-fragments"),
        (132, "0007 01 00", "bad-fragment-length"),
        (132, "0007 01 00" + "00" * (limits.MAX_IKE_DATAGRAM + 1), "bad-fragment-length"),
    ],
)
def test_what_does_not_add_up_is_refused(kind: int, octets: str, expected: str) -> None:
    assert reason(kind, octets) == expected


def test_reserved_octets_and_other_flags_are_ignored_and_sent_as_zero() -> None:
    assert encode_body(read(14, "01 ff 0007")) == bytes.fromhex("01 00 0007")
    assert encode_body(read(21, "01ffffff c0000201")) == bytes.fromhex("01000000 c0000201")
    assert encode_body(read(132, "0007 01 fe 61")) == bytes.fromhex("0007 01 00 61")


def test_of_long_notifies_and_vendor_ids_the_beginning_is_kept() -> None:
    assert read(13, "61" * 300) == VendorId(b"a" * limits.MAX_VENDOR_ID)
    notify = read(11, "00000001 01 00 000e" + "61" * 2000)
    assert notify == Notify(NotifyType.NO_PROPOSAL_CHOSEN, b"a" * limits.MAX_NOTIFY_DATA)


def test_passwords_do_not_show_themselves() -> None:
    payload = Attributes(ConfigType.REPLY, 0, (Attribute(ConfigAttribute.XAUTH_USER_PASSWORD, b"hunter2"),))
    assert "hunter2" not in repr(payload)


@pytest.mark.parametrize(
    "payload",
    [
        Delete(Protocol.ESP, (b"abc",)),
        Delete(Protocol.ISAKMP, (b"abcd",)),
        Delete(Protocol.IPCOMP, (b"ab",)),
        Notify(NotifyType.CONNECTED, spi=bytes(256)),
        Fragment(7, 256, False, b""),
        Attributes(ConfigType.SET, 0x10000, ()),
    ],
)
def test_what_does_not_fit_is_our_own_mistake(payload: AnyPayload) -> None:
    with pytest.raises(LocalError):
        encode_body(payload)
