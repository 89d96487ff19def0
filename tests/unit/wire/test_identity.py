"""Identities (RFC 7296 section 3.5)."""

import pytest

from ipsecd import limits
from ipsecd.errors import WireError
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import IdType


@pytest.mark.parametrize(
    ("written", "kind", "data"),
    [
        ("192.0.2.1", IdType.IPV4_ADDR, bytes([192, 0, 2, 1])),
        (" 192.0.2.1 ", IdType.IPV4_ADDR, bytes([192, 0, 2, 1])),
        ("2001:db8::1", IdType.IPV6_ADDR, bytes.fromhex("20010db8000000000000000000000001")),
        ("gw.branch.example", IdType.FQDN, b"gw.branch.example"),
        ("@gw.branch.example", IdType.FQDN, b"gw.branch.example"),
        ("fqdn:10.0.0.1", IdType.FQDN, b"10.0.0.1"),
        ("FQDN:gw", IdType.FQDN, b"gw"),
        ("jsmith@example.com", IdType.RFC822_ADDR, b"jsmith@example.com"),
        ("email:jürg@example.com", IdType.RFC822_ADDR, "jürg@example.com".encode()),
        ("keyid:branch 7", IdType.KEY_ID, b"branch 7"),
        ("keyid:0x00ff", IdType.KEY_ID, b"\x00\xff"),
        ("CN=gw", IdType.DER_ASN1_DN, bytes.fromhex("300d 310b 3009 0603550403 0c02 6777")),
        ("dn: CN=gw", IdType.DER_ASN1_DN, bytes.fromhex("300d 310b 3009 0603550403 0c02 6777")),
        ("gw:7", IdType.FQDN, b"gw:7"),
    ],
)
def test_a_policys_text_says_what_kind_of_identity_it_is(written: str, kind: IdType, data: bytes) -> None:
    assert Identity.parse(written) == Identity(kind, data)


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("", "printable text"),
        ("@", "printable text"),
        ("gw .example", "without spaces"),
        ("gw\n.example", "printable text"),
        ("zürich.example", "xn--"),
        ("jsmith@", "isn't an e-mail address"),
        ("email:@example.com", "isn't an e-mail address"),
        ("keyid:0xabc", "hexadecimal"),
        ("keyid:0xgg", "hexadecimal"),
        ("keyid:", "1 to 1024 octets"),
        ("keyid:" + "a" * (limits.MAX_IDENTITY + 1), "1 to 1024 octets"),
        ("dn:gw", "isn't an attribute"),
        ("XX=gw", "isn't an attribute"),
    ],
)
def test_a_text_that_is_no_identity_is_explained(written: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Identity.parse(written)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (IdType.FQDN, b"gw.example"),
        (IdType.IPV4_ADDR, bytes([192, 0, 2, 1])),
        (IdType.IPV6_ADDR, bytes.fromhex("20010db8000000000000000000000001")),
    ],
)
def test_octets_keep_what_they_say(kind: IdType, data: bytes) -> None:
    body = bytes([kind, 0, 0, 0]) + data
    assert Identity.decode(body) == Identity(kind, data)
    assert Identity.decode(body).encode() == body


def test_a_mistake_is_told_behind_the_header() -> None:
    for octets in ("01000000 c0", "02000000"):
        with pytest.raises(WireError) as caught:
            Identity.decode(bytes.fromhex(octets))
        assert caught.value.offset == 4


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("020000", "truncated"),
        ("01000000 c00002", "bad-identity-length"),
        ("01000000 c000020100", "bad-identity-length"),
        ("05000000 c0000201", "bad-identity-length"),
        ("0b000000" + "61" * (limits.MAX_IDENTITY + 1), "bad-identity-length"),
        ("02000000", "bad-identity"),
        ("03000000", "bad-identity"),
        ("02000000 677700", "bad-identity"),
        ("02000000 67770a", "bad-identity"),
        ("03000000 614062 7f", "bad-identity"),
    ],
)
def test_octets_that_are_no_identity_are_refused(octets: str, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        Identity.decode(bytes.fromhex(octets))
    assert caught.value.reason == reason


@pytest.mark.parametrize("kind", [IdType.KEY_ID, IdType.NULL, IdType.DER_ASN1_GN, IdType(200)])
def test_opaque_identities_may_hold_anything(kind: IdType) -> None:
    for data in (b"", b"\0\n", b"\xff" * limits.MAX_IDENTITY):
        assert Identity.decode(bytes([kind, 0, 0, 0]) + data) == Identity(kind, data)


@pytest.mark.parametrize(
    ("one", "two", "equal"),
    [
        ("gw.example", "GW.Example", True),
        ("gw.example", "gw.example.", False),
        ("a@b.example", "a@B.Example", True),
        ("a@b.example", "A@b.example", False),
        ("keyid:a", "keyid:A", False),
        ("keyid:gw.example", "gw.example", False),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "fqdn:192.0.2.1", False),
        ("CN=Moon, O=Example", "CN=moon, O=example", True),
        ("CN=moon", "CN=sun", False),
    ],
)
def test_identities_match_as_their_type_says(one: str, two: str, equal: bool) -> None:
    assert Identity.parse(one).matches(Identity.parse(two)) is equal
    assert Identity.parse(two).matches(Identity.parse(one)) is equal


def test_octets_that_are_no_name_match_only_themselves() -> None:
    broken, other = Identity(IdType.DER_ASN1_DN, b"\x30\x01"), Identity(IdType.DER_ASN1_DN, b"\x30\x02")
    assert broken.matches(broken)
    assert not broken.matches(other)
    assert not broken.matches(Identity.parse("CN=moon"))


@pytest.mark.parametrize(
    ("identity", "text"),
    [
        (Identity(IdType.IPV4_ADDR, bytes([192, 0, 2, 1])), "192.0.2.1"),
        (Identity(IdType.FQDN, b"gw.example"), "gw.example"),
        (Identity(IdType.FQDN, b"192.0.2.1"), "fqdn:192.0.2.1"),
        (Identity(IdType.FQDN, b"a@b"), "fqdn:a@b"),
        (Identity(IdType.FQDN, b"keyid:a"), "fqdn:keyid:a"),
        (Identity(IdType.FQDN, b"gw\xff"), "fqdn:gw\\xff"),
        (Identity(IdType.RFC822_ADDR, b"a@b"), "a@b"),
        (Identity(IdType.RFC822_ADDR, b"nobody"), "email:nobody"),
        (Identity(IdType.KEY_ID, b"branch 7"), "keyid:branch 7"),
        (Identity(IdType.KEY_ID, b"0x41"), "keyid:0x30783431"),
        (Identity(IdType.KEY_ID, b" a"), "keyid:0x2061"),
        (Identity(IdType.KEY_ID, b"\x00\xff"), "keyid:0x00ff"),
        (Identity(IdType.KEY_ID, "é".encode()), "keyid:0xc3a9"),
        (Identity.parse("C=CH, CN=moon"), "C=CH, CN=moon"),
        (Identity(IdType.DER_ASN1_DN, b"\x30\x01"), "dn:0x3001"),
        (Identity(IdType.DER_ASN1_DN, b"\x30\x00"), "dn:"),
        (Identity(IdType.DER_ASN1_GN, b"\x82\x01a"), "DER_ASN1_GN:0x820161"),
        (Identity(IdType.NULL, b""), "NULL:0x"),
        (Identity(IdType(200), b"\x01"), "IDTYPE_200:0x01"),
        (Identity(IdType.IPV4_ADDR, b"\x01"), "IPV4_ADDR:0x01"),
    ],
)
def test_an_identity_prints_as_what_it_is_and_as_nothing_else(identity: Identity, text: str) -> None:
    assert str(identity) == text


def test_what_a_peer_chose_cannot_write_into_our_log() -> None:
    hostile = Identity.decode(bytes.fromhex("03000000") + "a\u202eb\u200b@c".encode() + b"x" * 900)
    shown = str(hostile)
    assert shown.isprintable()
    assert shown.startswith("email:a\\u202eb\\u200b@cxxx")
    assert len(shown) == limits.LOGGED_TEXT
