"""The payloads of IKEv1 as frozen values. Their octets are read and written in ``ikev1_bodies.py`` and
``ikev1_sa.py``."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby

from ipsecd.wire.ikev1_attributes import Attribute
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.registry import ConfigType
from ipsecd.wire.registry_v1 import IPSEC_DOI, CertEncoding, NotifyType, Payload, Protocol
from ipsecd.wire.selector import Address


@dataclass(frozen=True, slots=True)
class Transform:
    """RFC 2408 section 3.6. ``id`` is an OakleyTransform, AhTransform or EspTransform by the proposal's protocol."""

    number: int
    id: int
    attributes: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """RFC 2408 section 3.5. Of ``transforms`` one is chosen; proposals of one number are chosen together."""

    number: int
    protocol: Protocol
    spi: bytes
    transforms: tuple[Transform, ...]


@dataclass(frozen=True, slots=True)
class Sa:
    """RFC 2408 section 3.4, RFC 2407 section 4.6.1: of the IPsec DOI and the situation SIT_IDENTITY_ONLY, always."""

    proposals: tuple[Proposal, ...]

    @property
    def bundles(self) -> tuple[tuple[Proposal, ...], ...]:
        """What can be chosen, in order of preference: the proposals of one number, all of them or none (RFC 2408
        section 4.2). More than one are a bundle, such as AH and ESP."""
        return tuple(tuple(bundle) for _, bundle in groupby(self.proposals, lambda proposal: proposal.number))


@dataclass(frozen=True, slots=True)
class Ke:
    """RFC 2408 section 3.7. Its group stands in the SA payload."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Cert:
    encoding: CertEncoding
    data: bytes


@dataclass(frozen=True, slots=True)
class CertReq:
    """RFC 2408 section 3.10. ``authority`` is a name in DER, or empty for any."""

    encoding: CertEncoding
    authority: bytes


@dataclass(frozen=True, slots=True)
class Hash:
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Signature:
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Nonce:
    data: bytes


@dataclass(frozen=True, slots=True)
class Notify:
    """RFC 2408 section 3.14. ``spi`` has up to 16 octets: both cookies, if it concerns the ISAKMP SA."""

    type: NotifyType
    data: bytes = b""
    protocol: Protocol = Protocol.ISAKMP
    spi: bytes = b""
    doi: int = IPSEC_DOI


@dataclass(frozen=True, slots=True)
class Delete:
    """RFC 2408 section 3.15. SPIs of 16 octets (both cookies) for ISAKMP, of four for AH and ESP."""

    protocol: Protocol
    spis: tuple[bytes, ...]
    doi: int = IPSEC_DOI


@dataclass(frozen=True, slots=True)
class VendorId:
    """RFC 2408 section 3.16. ``vendor_ids.py`` knows what they mean."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Attributes:
    """draft-dukes-ike-mode-cfg-02 section 3.2. Passwords of XAUTH are among them, so they don't show themselves."""

    type: ConfigType
    identifier: int
    attributes: tuple[Attribute, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class NatD:
    """RFC 3947 section 3.2: the hash of an address and a port. ``numbering`` is the payload number in use: NAT_D,
    NAT_D_DRAFTS or NAT_D_LATER_DRAFTS."""

    hash: bytes
    numbering: Payload = Payload.NAT_D


@dataclass(frozen=True, slots=True)
class NatOa:
    """RFC 3947 section 5.2: an address as its owner sees it. ``numbering`` as in NatD: NAT_OA, NAT_OA_DRAFTS or
    NAT_OA_LATER_DRAFTS."""

    address: Address
    numbering: Payload = Payload.NAT_OA


@dataclass(frozen=True, slots=True)
class Fragment:
    """[MS-IKEE] section 2.2.3.1: a part of a message, header and all. ``number`` counts from 1; ``id`` is the same in
    all parts of a message."""

    id: int
    number: int
    last: bool
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A payload of a type that we don't know."""

    type: int
    body: bytes


AnyPayload = (
    Sa
    | Ke
    | Id
    | Cert
    | CertReq
    | Hash
    | Signature
    | Nonce
    | Notify
    | Delete
    | VendorId
    | Attributes
    | NatD
    | NatOa
    | Fragment
    | Unknown
)
