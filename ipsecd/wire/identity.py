"""Identities (RFC 7296 section 3.5): what a peer calls itself, as a value that compares, prints and encodes.

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |   ID Type     |                 RESERVED                      |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    ~                   Identification Data                         ~
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address

from ipsecd import limits
from ipsecd.errors import WireError
from ipsecd.printable import printable
from ipsecd.wire import dn
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry import IdType

_ADDRESS_OCTETS = {IdType.IPV4_ADDR: 4, IdType.IPV6_ADDR: 16}
_TEXTS = (IdType.FQDN, IdType.RFC822_ADDR)
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Identity:
    """An ID payload's type and data. ``parse`` and ``str`` are for people; equality is of octets, ``matches`` is what
    decides whether a peer is who policy names."""

    type: IdType
    data: bytes

    @classmethod
    def parse(cls, text: str) -> Identity:
        """The identity a policy's text means. Raises ValueError with a sentence.

        ``192.0.2.1`` and ``2001:db8::1`` are addresses, ``a@b`` is an e-mail address, ``C=CH, CN=gw`` a distinguished
        name, anything else a domain name. ``fqdn:``, ``@``, ``email:``, ``dn:`` and ``keyid:`` (text, or octets as
        ``0x`` and hex digits) in front say so.
        """
        text = text.strip()
        prefix, colon, rest = text.partition(":")
        explicit = _EXPLICIT.get(prefix.lower()) if colon else None
        if explicit:
            return explicit(rest)
        try:
            address = ip_address(text)
        except ValueError:
            pass
        else:
            return cls(IdType.IPV4_ADDR if address.version == 4 else IdType.IPV6_ADDR, address.packed)
        if text.startswith("@"):
            return _fqdn(text[1:])
        if dn.looks_like_name(text):
            return _name(text)
        return _mail(text) if "@" in text else _fqdn(text)

    @classmethod
    def decode(cls, body: bytes) -> Identity:
        """The identity in an ID payload's body, its four header octets included.

        Raises WireError: ``truncated``; ``bad-identity-length`` for an address of the wrong size or more than
        MAX_IDENTITY; ``bad-identity`` for an empty name or one with terminators in it.
        """
        r = Reader(body)
        kind, _ = r.unpack("!B3s")
        identity = cls(IdType(kind), r.rest())
        octets = len(identity.data)
        if octets != _ADDRESS_OCTETS.get(identity.type, octets) or octets > limits.MAX_IDENTITY:
            raise WireError("bad-identity-length", f"{octets} octets of {identity.type}", offset=4)
        if identity.type in _TEXTS and (not identity.data or _CONTROL.search(identity.data)):
            raise WireError("bad-identity", "an empty name or a terminator in it", offset=4)
        return identity

    def encode(self) -> bytes:
        """The ID payload's body."""
        return bytes([self.type, 0, 0, 0]) + self.data

    def matches(self, other: Identity) -> bool:
        """Whether both name the same peer: domain names, and the domains of e-mail addresses, whatever the case of
        their letters; distinguished names as RFC 5280 section 7.1 says; everything else octet by octet."""
        if self.type != other.type:
            return False
        if self.type == IdType.DER_ASN1_DN and self.data != other.data:
            try:
                return dn.same(dn.decode(self.data), dn.decode(other.data))
            except WireError:
                return False
        return self._folded() == other._folded()

    def _folded(self) -> bytes:
        if self.type == IdType.FQDN:
            return self.data.lower()
        if self.type == IdType.RFC822_ADDR:
            mailbox, at, domain = self.data.rpartition(b"@")
            return mailbox + at + domain.lower()
        return self.data

    def __str__(self) -> str:
        """Fit for logs and tables: printable, at most LOGGED_TEXT characters. ``parse`` reads it back, unless it had to
        be cut or names a type that policies can't."""
        return printable(_TO_TEXT.get(self.type, _other_text)(self))


def _fqdn(text: str) -> Identity:
    if not text.isascii():
        raise ValueError(f"{text!r} isn't ASCII; write a domain name in its xn-- form")
    return _text(IdType.FQDN, text)


def _mail(text: str) -> Identity:
    if not all(text.rpartition("@")[::2]):
        raise ValueError(f"{text!r} isn't an e-mail address")
    return _text(IdType.RFC822_ADDR, text)


def _text(kind: IdType, text: str) -> Identity:
    if not text or not text.isprintable() or " " in text:
        raise ValueError(f"an identity needs printable text without spaces, not {text!r}")
    return _sized(kind, text.encode())


def _key_id(text: str) -> Identity:
    if not text.lower().startswith("0x"):
        return _sized(IdType.KEY_ID, text.encode())
    try:
        return _sized(IdType.KEY_ID, bytes.fromhex(text[2:]))
    except ValueError:
        raise ValueError(f"{text!r} starts like hexadecimal digits but isn't an even number of them") from None


def _name(text: str) -> Identity:
    return _sized(IdType.DER_ASN1_DN, dn.encode(dn.parse(text)))


def _sized(kind: IdType, data: bytes) -> Identity:
    if not 1 <= len(data) <= limits.MAX_IDENTITY:
        raise ValueError(f"an identity has 1 to {limits.MAX_IDENTITY} octets, not {len(data)}")
    return Identity(kind, data)


_EXPLICIT = {"fqdn": _fqdn, "email": _mail, "keyid": _key_id, "dn": _name}


def _address_text(identity: Identity) -> str:
    kind = IPv4Address if identity.type == IdType.IPV4_ADDR else IPv6Address
    try:
        return str(kind(identity.data))
    except AddressValueError:
        return _other_text(identity)


def _plain_text(identity: Identity) -> str:
    """As it is, with its type in front where it would be read as something else."""
    text = identity.data.decode("utf-8", "backslashreplace")
    try:
        plain = Identity.parse(text) == identity
    except ValueError:
        plain = False
    prefix = "fqdn:" if identity.type == IdType.FQDN else "email:"
    return text if plain else prefix + text


def _key_id_text(identity: Identity) -> str:
    try:
        text = identity.data.decode()
    except UnicodeDecodeError:
        text = ""
    plain = text.isascii() and text.isprintable() and text == text.strip() and text[:2].lower() not in ("", "0x")
    return f"keyid:{text}" if plain else f"keyid:0x{identity.data.hex()}"


def _name_text(identity: Identity) -> str:
    try:
        text = dn.text(dn.decode(identity.data))
    except WireError:
        return f"dn:0x{identity.data.hex()}"
    return text if dn.looks_like_name(text) else f"dn:{text}"


def _other_text(identity: Identity) -> str:
    return f"{identity.type}:0x{identity.data.hex()}"


_TO_TEXT = {
    IdType.IPV4_ADDR: _address_text,
    IdType.IPV6_ADDR: _address_text,
    IdType.FQDN: _plain_text,
    IdType.RFC822_ADDR: _plain_text,
    IdType.KEY_ID: _key_id_text,
    IdType.DER_ASN1_DN: _name_text,
}
