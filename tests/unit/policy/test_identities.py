"""Identities in rules: what is understood without a prefix, and what is said of the rest."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ipsecd.policy.addresses import TunnelEnd
from ipsecd.policy.complaint import Complaint
from ipsecd.policy.identities import identity, identity_of
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import IdType


@pytest.mark.parametrize(
    ("text", "kind", "data"),
    [
        ("gw.example.org", IdType.FQDN, b"gw.example.org"),
        (" gw ", IdType.FQDN, b"gw"),
        ("_gw-7.example", IdType.FQDN, b"_gw-7.example"),
        ("192.0.2.7", IdType.IPV4_ADDR, bytes([192, 0, 2, 7])),
        ("2001:db8::7", IdType.IPV6_ADDR, bytes.fromhex("20010db8") + bytes(11) + b"\x07"),
        ("user.name+tag@example.org", IdType.RFC822_ADDR, b"user.name+tag@example.org"),
        ("user%host@gw", IdType.RFC822_ADDR, b"user%host@gw"),
        # with a prefix, what stands there is meant
        ("fqdn:any", IdType.FQDN, b"any"),
        ("FQDN:*.example.org", IdType.FQDN, b"*.example.org"),
        ("@x..y", IdType.FQDN, b"x..y"),
        ("email:*@example", IdType.RFC822_ADDR, b"*@example"),
        ("keyid:10.0.0.0/8", IdType.KEY_ID, b"10.0.0.0/8"),
        ("keyid:me", IdType.KEY_ID, b"me"),
    ],
)
def test_names_addresses_and_explicit_forms_are_identities(text: str, kind: IdType, data: bytes) -> None:
    assert identity(text) == Identity(kind, data)


def test_distinguished_names_are_identities() -> None:
    assert str(identity("c=ch, O=Example, CN=gw")) == "C=ch, O=Example, CN=gw"
    assert identity("dn:2.5.4.3=gw") == identity("CN=gw")


ONE = "give each peer a rule with its own identity"
NEITHER = "is neither a domain name nor an address"
MEANT = "if it is meant as it stands"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (7, "expected an identity as text (quote it if it is a number)"),
        ("", "an identity needs text"),
        (" ", "an identity needs text"),
        ("any", f"'any' is everyone, and an identity is one peer's ({ONE})"),
        ("%ANY", f"'%ANY' is everyone, and an identity is one peer's ({ONE})"),
        ("*", f"'*' is everyone, and an identity is one peer's ({ONE})"),
        ("0.0.0.0", f"'0.0.0.0' is everyone, and an identity is one peer's ({ONE})"),
        ("me", "'me' is no identity (such as gw.example.org, or leave it out)"),
        ("*.example.org", f"'*.example.org' is a pattern, and an identity is one peer's ({ONE})"),
        ("*@example.org", f"'*@example.org' is a pattern, and an identity is one peer's ({ONE})"),
        ("CN=*", f"'CN=*' is a pattern, and an identity is one peer's ({ONE})"),
        ("10.0.0.0/8", f"'10.0.0.0/8' is a subnet, and an identity is one address (write keyid:10.0.0.0/8 {MEANT})"),
        ("010.1.1.1", f"'010.1.1.1' {NEITHER} (write fqdn:010.1.1.1 or keyid:010.1.1.1 {MEANT})"),
        ("1.2.3", f"'1.2.3' {NEITHER} (write fqdn:1.2.3 or keyid:1.2.3 {MEANT})"),
        ("x..y", f"'x..y' {NEITHER} (write fqdn:x..y or keyid:x..y {MEANT})"),
        ("two words", f"'two words' {NEITHER} (write keyid:two words {MEANT})"),
        ("ipv4:gw", f"'ipv4:gw' {NEITHER} (write fqdn:ipv4:gw or keyid:ipv4:gw {MEANT})"),
        ("a" * 300, f"'{'a' * 59}…' {NEITHER} (write fqdn: or keyid: in front {MEANT})"),
        ("\u202e", f"'\\u202e' {NEITHER} (write keyid: in front {MEANT})"),
        ("gw.example.org.", "'gw.example.org.' ends with a dot, and identities have none (leave it out)"),
        ("fe80::1%eth0", "'fe80::1%eth0' has a scope, which an identity can't carry (write fe80::1)"),
        ("ff02::1", f"ff02::1 is nobody's address ({ONE})"),
        ("a@x..y", f"'a@x..y' isn't an e-mail address (write email:a@x..y or keyid:a@x..y {MEANT})"),
        ("a@b@c", f"'a@b@c' isn't an e-mail address (write email:a@b@c or keyid:a@b@c {MEANT})"),
        ("C=CHX, O=Example", "'CHX' isn't a country (two letters, such as CH)"),
        ("dn:C=CHX", "'CHX' isn't a country (two letters, such as CH)"),
        ("C=CH, O=", "O has no value"),
        ("CN=", "CN has no value"),
        ("dn:CN=\\20", "CN has no value"),
        ("x=y", "'x=y' isn't an attribute of a distinguished name like CN=gateway"),
        ("keyid:0xzz", "'0xzz' starts like hexadecimal digits but isn't an even number of them"),
        ("keyid:0x" + "z" * 300, "'0x" + "z" * 252 + "…"),
        ("fqdn:", "an identity needs printable text without spaces, not ''"),
    ],
)  # fmt: skip
def test_what_nobody_can_be_is_told_with_what_would_do(value: object, said: str) -> None:
    with pytest.raises(Complaint) as caught:
        identity(value)
    [remark] = caught.value.remarks
    assert (f"{remark.message} ({remark.hint})" if remark.hint else remark.message) == said


def test_an_end_of_a_tunnel_is_known_by_its_address_or_name() -> None:
    assert identity_of(TunnelEnd(ip_address("192.0.2.1"))) == Identity.parse("192.0.2.1")
    assert identity_of(TunnelEnd(name="gw.example")) == Identity.parse("fqdn:gw.example")
