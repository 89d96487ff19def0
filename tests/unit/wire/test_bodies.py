"""The body of each payload (RFC 7296 sections 3.4 to 3.12, 3.15, 3.16), in octets written out by hand."""

import pytest

from ipsecd import limits
from ipsecd.errors import LocalError, WireError
from ipsecd.wire.bodies import decode_body, encode_body, payload_type
from ipsecd.wire.identity import Identity
from ipsecd.wire.payloads import (
    AnyPayload,
    Auth,
    Cert,
    CertReq,
    Cp,
    Delete,
    Eap,
    IdI,
    IdR,
    Ke,
    Nonce,
    Notify,
    Proposal,
    Sa,
    Transform,
    TsI,
    TsR,
    Unknown,
    VendorId,
)
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry import (
    AuthMethod,
    CertEncoding,
    ConfigAttribute,
    ConfigType,
    Group,
    IdType,
    NotifyType,
    Payload,
    Protocol,
    TransformType,
)
from ipsecd.wire.selector import Selector

GATEWAY = Identity(IdType.FQDN, b"gw.example")


def read(kind: int, octets: str) -> AnyPayload:
    data = bytes.fromhex(octets)
    with Reader(data).window(len(data)) as body:
        return decode_body(kind, False, body)


CASES: list[tuple[AnyPayload, int, str]] = [
    (
        Sa((Proposal(1, Protocol.ESP, b"spi1", (Transform(TransformType.ENCR, 20, 128),)),)),
        Payload.SA,
        "00000018 01030401 73706931 0000000c 01000014 800e0080",
    ),
    (Ke(Group.CURVE25519, b"public"), Payload.KE, "001f 0000 7075626c6963"),
    (IdI(GATEWAY), Payload.IDI, "02 000000 67772e6578616d706c65"),
    (IdR(GATEWAY, b"\1\2\3"), Payload.IDR, "02 010203 67772e6578616d706c65"),
    (Cert(CertEncoding.X509_SIGNATURE, b"DER"), Payload.CERT, "04 444552"),
    (CertReq(CertEncoding.X509_SIGNATURE, bytes(20)), Payload.CERTREQ, "04" + "00" * 20),
    (CertReq(CertEncoding.HASH_URL_X509, b""), Payload.CERTREQ, "0c"),
    (Auth(AuthMethod.SHARED_KEY, b"mac"), Payload.AUTH, "02 000000 6d6163"),
    (Nonce(b"0123456789abcdef"), Payload.NONCE, "30313233343536373839616263646566"),
    (Notify(NotifyType.INVALID_KE_PAYLOAD, b"\0\x13"), Payload.NOTIFY, "00 00 0011 0013"),
    (Notify(NotifyType.REKEY_SA, b"", Protocol.ESP, b"spi1"), Payload.NOTIFY, "03 04 4009 73706931"),
    (Notify(NotifyType(12345), b"data", Protocol(9), b"another"), Payload.NOTIFY, "09 07 3039 616e6f74686572 64617461"),
    (Delete(Protocol.IKE), Payload.DELETE, "01 00 0000"),
    (Delete(Protocol.ESP, (b"spi1", b"spi2")), Payload.DELETE, "03 04 0002 73706931 73706932"),
    (Delete(Protocol.AH), Payload.DELETE, "02 04 0000"),
    (VendorId(b""), Payload.VENDOR_ID, ""),
    (TsI((Selector.net("192.0.2.0/24"),)), Payload.TSI, "01000000 07 00 0010 0000 ffff c0000200 c00002ff"),
    (TsR((Selector.net("192.0.2.0/24"),)), Payload.TSR, "01000000 07 00 0010 0000 ffff c0000200 c00002ff"),
    (
        Cp(ConfigType.REQUEST, ((ConfigAttribute.INTERNAL_IP4_ADDRESS, b""), (8, b"ipv6"))),
        Payload.CP,
        "01 000000 0001 0000 0008 0004 69707636",
    ),
    (Cp(ConfigType.ACK, ()), Payload.CP, "04 000000"),
    (Eap(b"\x01\x07\x00\x06\x01!"), Payload.EAP, "01 07 0006 01 21"),
    (Eap(b"\x04\x07\x00\x04"), Payload.EAP, "04 07 0004"),
    (Unknown(99, False, b"body"), 99, "626f6479"),
]


@pytest.mark.parametrize(("payload", "kind", "octets"), CASES, ids=[type(case[0]).__name__ for case in CASES])
def test_a_payload_and_its_octets_are_the_same_thing(payload: AnyPayload, kind: int, octets: str) -> None:
    assert read(kind, octets) == payload
    assert encode_body(payload) == bytes.fromhex(octets)
    assert payload_type(payload) == kind


@pytest.mark.parametrize(
    ("kind", "octets", "reason"),
    [
        (Payload.KE, "001f 0000", "empty-key-exchange"),
        (Payload.KE, "001f 00", "truncated"),
        (Payload.IDI, "020000", "bad-identity-length"),
        (Payload.IDI, "02000000", "bad-identity"),
        (Payload.IDI, "01000000 c00002", "bad-identity-length"),
        (Payload.IDR, "02000000" + "61" * (limits.MAX_IDENTITY + 1), "bad-identity-length"),
        (Payload.CERT, "", "truncated"),
        (Payload.CERT, "04" + "30" * (limits.MAX_CERTIFICATE + 1), "certificate-too-long"),
        (Payload.CERTREQ, "", "truncated"),
        (Payload.AUTH, "020000", "truncated"),
        (Payload.NONCE, "00" * (limits.MIN_NONCE - 1), "bad-nonce-length"),
        (Payload.NONCE, "00" * (limits.MAX_NONCE + 1), "bad-nonce-length"),
        (Payload.NOTIFY, "00 00 40", "truncated"),
        (Payload.NOTIFY, "00 04 4009 737069", "truncated"),
        (Payload.NOTIFY, "03 08 4009 7370693173706931", "bad-spi-size"),
        (Payload.NOTIFY, "01 08 4009 7370693173706931", "bad-spi-size"),
        (Payload.DELETE, "00 00 0000", "bad-protocol"),
        (Payload.DELETE, "04 04 0001 73706931", "bad-protocol"),
        (Payload.DELETE, "01 08 0001 7370693173706931", "bad-spi-size"),
        (Payload.DELETE, "03 08 0001 7370693173706931", "bad-spi-size"),
        (Payload.DELETE, "03 00 ffff", "bad-spi-size"),
        (Payload.DELETE, "01 00 ffff", "spi-count"),
        (Payload.DELETE, "01 00 0001 73706931", "spi-count"),
        (Payload.DELETE, "03 04 0001", "spi-count"),
        (Payload.DELETE, "03 04 0001 7370693173706932", "spi-count"),
        (Payload.DELETE, "03 04 0401" + "73706931" * (limits.MAX_CHILDREN_PER_IKE_SA + 1), "too-many-spis"),
        (Payload.CP, "010000", "truncated"),
        (Payload.CP, "01000000 0001", "truncated"),
        (Payload.CP, "01000000 0001 0004 c00002", "truncated"),
        (Payload.CP, "01000000" + "00010000" * (limits.MAX_CONFIG_ATTRIBUTES + 1), "too-many-attributes"),
        (Payload.EAP, "010700", "truncated"),
        (Payload.EAP, "01 07 0004", "truncated"),
        (Payload.EAP, "01 07 0007 0121", "bad-length"),
        (Payload.EAP, "03 07 0005 00", "trailing-octets"),
        (Payload.EAP, "05 07 0005 01", "bad-eap-code"),
        (Payload.EAP, "00 07 0004", "bad-eap-code"),
    ],
)
def test_a_body_that_cannot_be_is_named(kind: int, octets: str, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        read(kind, octets)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("kind", "octets"),
    [
        (Payload.IDI, "02000000" + "61" * limits.MAX_IDENTITY),
        (Payload.CERT, "04" + "30" * limits.MAX_CERTIFICATE),
        (Payload.NONCE, "00" * limits.MIN_NONCE),
        (Payload.NONCE, "00" * limits.MAX_NONCE),
        (Payload.NOTIFY, "00 00 4006" + "00" * limits.MAX_NOTIFY_DATA),
        (Payload.DELETE, "03 04 0400" + "73706931" * limits.MAX_CHILDREN_PER_IKE_SA),
        (Payload.VENDOR_ID, "00" * limits.MAX_VENDOR_ID),
        (Payload.CP, "01000000" + "00010000" * limits.MAX_CONFIG_ATTRIBUTES),
    ],
)
def test_what_is_exactly_at_its_limit_is_accepted(kind: int, octets: str) -> None:
    assert encode_body(read(kind, octets)) == bytes.fromhex(octets)


@pytest.mark.parametrize(
    ("kind", "head", "kept"), [(Payload.NOTIFY, "00 00 0027", 1_024), (Payload.VENDOR_ID, "", 256)]
)
def test_of_what_only_tells_something_the_beginning_is_enough(kind: int, head: str, kept: int) -> None:
    """Longer notifies and vendor IDs than anybody sends are no reason to refuse a message."""
    begun = bytes.fromhex(head) + bytes(range(256)) * (kept // 256)
    for more in (b"\xff", bytes(5_000)):
        assert encode_body(read(kind, (begun + more).hex())) == begun


@pytest.mark.parametrize(
    ("kind", "octets", "sent"),
    [
        (Payload.KE, "001f aaaa 61", "001f 0000 61"),
        (Payload.AUTH, "02 aaaaaa 61", "02 000000 61"),
        (Payload.CP, "01 aaaaaa 8001 0000", "01 000000 0001 0000"),
        (Payload.TSI, "01aaaaaa 07000010 0000ffff c0000200 c00002ff", "01000000 07000010 0000ffff c0000200 c00002ff"),
    ],
)
def test_reserved_fields_are_ignored_and_sent_as_zero(kind: int, octets: str, sent: str) -> None:
    assert encode_body(read(kind, octets)) == bytes.fromhex(sent)


def test_the_reserved_field_of_an_identity_is_kept_because_auth_covers_it() -> None:
    payload = read(Payload.IDI, "02 aabbcc 67772e6578616d706c65")
    assert isinstance(payload, IdI)
    assert payload.identity == GATEWAY
    assert payload.body == bytes.fromhex("02 aabbcc 67772e6578616d706c65")


def test_the_protocol_of_a_notify_without_spi_is_ignored() -> None:
    assert read(Payload.NOTIFY, "01 00 4000") == Notify(NotifyType.INITIAL_CONTACT)
    assert read(Payload.NOTIFY, "03 00 4009") == Notify(NotifyType.REKEY_SA)


def test_authentication_data_is_in_no_repr() -> None:
    assert repr(read(Payload.AUTH, "02 000000 68757368")) == "Auth(method=<AuthMethod.SHARED_KEY: 2>)"


@pytest.mark.parametrize(
    "payload",
    [
        Sa(()),
        Sa((Proposal(256, Protocol.IKE, b"", (Transform(TransformType.ENCR, 20),)),)),
        Sa((Proposal(1, Protocol.IKE, b"", (Transform(TransformType.ENCR, 1 << 16),)),)),
        Sa((Proposal(1, Protocol.IKE, b"", ()),)),
        Delete(Protocol.ESP, (b"spi",)),
        Delete(Protocol.IKE, (b"spi1",)),
        Notify(NotifyType.REKEY_SA, b"", Protocol.ESP, bytes(256)),
        Cp(ConfigType.REPLY, ((1, bytes(1 << 16)),)),
        TsI((Selector.net("192.0.2.0/24"),) * 256),
    ],
    ids=repr,
)
def test_a_value_that_has_no_octets_is_our_own_mistake(payload: AnyPayload) -> None:
    with pytest.raises(LocalError, match=r"can't be encoded"):
        encode_body(payload)
