"""Identities as rules name them. Without a prefix only what is sure to be meant is understood; ``fqdn:``, ``email:``,
``dn:`` and ``keyid:`` say that a text is meant as it stands."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network

from ipsecd.errors import WireError
from ipsecd.policy.addresses import TunnelEnd, is_dns_name
from ipsecd.policy.complaint import complaint, quoted
from ipsecd.printable import printable
from ipsecd.wire import dn
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import IdType

_EXPLICIT = re.compile(r"(?i:fqdn|email|keyid|dn):|@")
_ANYONE = ("any", "%any", "%any4", "%any6", "*", "0.0.0.0", "::")  # noqa: S104 - nobody binds to it
_SHOWN = 60
_ONE_PEER = "give each peer a rule with its own identity"


def identity(value: object) -> Identity:
    """Who a rule's text names; raises Complaint."""
    if not isinstance(value, str):
        raise complaint("expected an identity as text", "quote it if it is a number")
    text = value.strip()
    if not _EXPLICIT.match(text):
        _check(text)
    try:
        found = Identity.parse(text)
    except ValueError as error:
        raise complaint(printable(str(error))) from None
    if found.type == IdType.DER_ASN1_DN:
        _check_name(found)
    return found


def identity_of(end: TunnelEnd) -> Identity:
    """How an end of a tunnel is known without an identity of its own: by its address, or its DNS name."""
    return Identity.parse(f"fqdn:{end.name}" if end.name else str(end))


def _check(text: str) -> None:
    """Raises Complaint for text that, without a prefix, is nobody's identity."""
    if not text:
        raise complaint("an identity needs text")
    if text.lower() in _ANYONE:
        raise complaint(f"{quoted(text)} is everyone, and an identity is one peer's", _ONE_PEER)
    if text.lower() == "me":
        raise complaint("'me' is no identity", "such as gw.example.org, or leave it out")
    if "*" in text:
        raise complaint(f"{quoted(text)} is a pattern, and an identity is one peer's", _ONE_PEER)
    if dn.looks_like_name(text):
        return
    if _is_network(text):
        raise complaint(f"{quoted(text)} is a subnet, and an identity is one address", _as_it_is(text, "keyid"))
    if _is_address(text):
        return
    mailbox, at, domain = text.rpartition("@")
    if at and (not mailbox or "@" in mailbox or not is_dns_name(domain)):
        raise complaint(f"{quoted(text)} isn't an e-mail address", _as_it_is(text, "email", "keyid"))
    if text.endswith("."):
        raise complaint(f"{quoted(text)} ends with a dot, and identities have none", "leave it out")
    if not is_dns_name(domain) or domain.rpartition(".")[2].isdigit():
        raise complaint(f"{quoted(text)} is neither a domain name nor an address", _as_it_is(text, "fqdn", "keyid"))


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def _is_address(text: str) -> bool:
    """Whether it is an address that somebody may have; raises Complaint for another."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if "%" in text:
        raise complaint(f"{quoted(text)} has a scope, which an identity can't carry", f"write {text.partition('%')[0]}")
    if address.is_multicast or address.is_unspecified:
        raise complaint(f"{text} is nobody's address", _ONE_PEER)
    return True


def _check_name(found: Identity) -> None:
    """What X.520 asks of attributes: some text, and two letters for a country. Raises Complaint."""
    try:
        parts = [part for rdn in dn.decode(found.data) for part in rdn]
    except WireError as error:
        raise complaint(f"this isn't a distinguished name: {error.detail}") from None
    for kind, text in parts:
        if not text.strip():
            raise complaint(f"{kind} has no value")
        if kind == "C" and not re.fullmatch(r"[A-Za-z]{2}", text):
            raise complaint(f"{quoted(text)} isn't a country", "two letters, such as CH")


def _as_it_is(text: str, *prefixes: str) -> str:
    """A hint at the prefixes with which this text would be an identity."""
    fit = [prefix for prefix in prefixes if _is_identity(f"{prefix}:{text}")]
    if len(text) > _SHOWN or not text.isprintable():
        return f"write {' or '.join(f'{prefix}:' for prefix in fit)} in front if it is meant as it stands"
    return f"write {' or '.join(f'{prefix}:{text}' for prefix in fit)} if it is meant as it stands"


def _is_identity(text: str) -> bool:
    try:
        Identity.parse(text)
    except ValueError:
        return False
    return True
