"""The payloads of IKEv2 as frozen values (RFC 7296 section 3). Their octets are read and written in ``bodies.py``."""

from __future__ import annotations

from dataclasses import dataclass, field

from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import (
    AuthMethod,
    CertEncoding,
    ConfigType,
    Group,
    NotifyType,
    Protocol,
    TransformType,
)
from ipsecd.wire.selector import Selector


@dataclass(frozen=True, slots=True)
class Transform:
    """RFC 7296 section 3.3.2. ``key_bits`` is the key length attribute or None; ``unknown`` holds other attributes as
    (type with its AF bit, value)."""

    type: TransformType
    id: int  # Encr, Prf, Integ, Group or Esn by type
    key_bits: int | None = None
    unknown: tuple[tuple[int, bytes], ...] = ()  # a transform with one of these must not be chosen (3.3.6)


@dataclass(frozen=True, slots=True)
class Proposal:
    """RFC 7296 section 3.3.1. ``number`` counts from 1; ``spi`` has 0, 4 or 8 octets."""

    number: int
    protocol: Protocol
    spi: bytes
    transforms: tuple[Transform, ...]


@dataclass(frozen=True, slots=True)
class Sa:
    proposals: tuple[Proposal, ...]


@dataclass(frozen=True, slots=True)
class Ke:
    group: Group
    data: bytes


@dataclass(frozen=True, slots=True)
class IdI:
    """RFC 7296 section 3.5. ``reserved`` is ignored, but AUTH covers it as it was sent (section 2.15)."""

    identity: Identity
    reserved: bytes = bytes(3)

    @property
    def body(self) -> bytes:
        """IDType | RESERVED | InitIDData: what the AUTH of section 2.15 covers."""
        return bytes([self.identity.type]) + self.reserved + self.identity.data


@dataclass(frozen=True, slots=True)
class IdR:
    """As IdI, for the responder."""

    identity: Identity
    reserved: bytes = bytes(3)

    @property
    def body(self) -> bytes:
        """IDType | RESERVED | RespIDData: what the AUTH of section 2.15 covers."""
        return bytes([self.identity.type]) + self.reserved + self.identity.data


@dataclass(frozen=True, slots=True)
class Cert:
    encoding: CertEncoding
    data: bytes


@dataclass(frozen=True, slots=True)
class CertReq:
    encoding: CertEncoding
    authorities: bytes


@dataclass(frozen=True, slots=True)
class Auth:
    method: AuthMethod
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Nonce:
    data: bytes


@dataclass(frozen=True, slots=True)
class Notify:
    """RFC 7296 section 3.10. ``protocol`` is NONE and ``spi`` empty unless it concerns an existing child SA."""

    type: NotifyType
    data: bytes = b""
    protocol: Protocol = Protocol.NONE
    spi: bytes = b""


@dataclass(frozen=True, slots=True)
class Delete:
    """RFC 7296 section 3.11. Without SPIs for IKE; four-octet SPIs for AH and ESP."""

    protocol: Protocol
    spis: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class VendorId:
    data: bytes


@dataclass(frozen=True, slots=True)
class TsI:
    """RFC 7296 section 3.13. ``unknown`` holds selectors of types we don't know as (type, octets behind the type and
    without the length); narrowing leaves them out."""

    selectors: tuple[Selector, ...]
    unknown: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class TsR:
    """As TsI, for the addresses at the responder's end."""

    selectors: tuple[Selector, ...]
    unknown: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Cp:
    """RFC 7296 section 3.15: a configuration payload's type and its attributes as (type, value)."""

    type: ConfigType
    attributes: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Eap:
    """RFC 7296 section 3.16: one EAP message, header included."""

    message: bytes


@dataclass(frozen=True, slots=True)
class Unknown:
    """A payload of a type we don't know, or of another version; ``critical`` decides what the receiver does."""

    type: int
    critical: bool
    body: bytes


@dataclass(frozen=True, slots=True)
class Sk:
    """RFC 7296 section 3.14, still sealed. ``first`` is the type of the first payload inside; ``prefix`` all octets
    from the start of the IKE header to the end of this payload's header, which the integrity check covers."""

    first: int
    prefix: bytes
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Skf:
    """RFC 7383 section 2.5, still sealed: fragment ``number`` of ``total``, counting from 1."""

    first: int
    number: int
    total: int
    prefix: bytes
    body: bytes = field(repr=False)


AnyPayload = (
    Sa | Ke | IdI | IdR | Cert | CertReq | Auth | Nonce | Notify | Delete | VendorId | TsI | TsR | Cp | Eap | Unknown
)
