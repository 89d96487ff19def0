"""The bodies of the payloads of IKEv1: what stands behind the generic payload header (RFC 2408 sections 3.7 to 3.16).

::

    KE, HASH, SIG, NONCE, VID | data                CERT, CERTREQ | encoding (1) | data
    N       | DOI (4)  | protocol (1) | SPI size (1) | type (2)  | SPI | data
    D       | DOI (4)  | protocol (1) | SPI size (1) | count (2) | SPIs
    ATTR    | type (1) | reserved (1) | identifier (2) | attributes
    NAT-D   | hash                                  NAT-OA  | ID type (1) | reserved (3) | address
    FRAG    | id (2) | number (1) | flags (1) | part of a message

SA, ID and attributes have modules of their own. ``decode_body`` and ``encode_body`` choose by the table at the end.
Reserved fields are ignored when read and zero when written.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from ipsecd import limits
from ipsecd.errors import LocalError, WireError
from ipsecd.wire.ikev1_attributes import decode_attributes, encode_attributes
from ipsecd.wire.ikev1_identity import Id, decode_id
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
    Sa,
    Signature,
    Unknown,
    VendorId,
)
from ipsecd.wire.ikev1_sa import MOST_COOKIE_OCTETS, decode_sa, encode_sa
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry import ConfigType
from ipsecd.wire.registry_v1 import CertEncoding, IdType, NotifyType, Payload, Protocol
from ipsecd.wire.selector import Address

_DELETED = {Protocol.ISAKMP: MOST_COOKIE_OCTETS, Protocol.AH: 4, Protocol.ESP: 4}
_ADDRESS_OCTETS = {IdType.IPV4_ADDR: 4, IdType.IPV6_ADDR: 16}
_LAST_FRAGMENT = 1


@dataclass(frozen=True, slots=True)
class _Body:
    """How one payload type is read and written, and the class of its values."""

    of: type
    decode: Callable[[Reader], AnyPayload]
    encode: Callable[[Any], bytes]


# RFC 2408 section 3.7.
def _decode_ke(r: Reader) -> Ke:
    return Ke(r.bounded(limits.MAX_IKE_MESSAGE, "empty-key-exchange", least=1))


# RFC 2408 sections 3.9 and 3.10.
def _decode_cert(r: Reader) -> Cert:
    return Cert(CertEncoding(r.u8()), r.bounded(limits.MAX_CERTIFICATE, "certificate-too-long"))


def _encode_cert(cert: Cert) -> bytes:
    return struct.pack("!B", cert.encoding) + cert.data


def _decode_certreq(r: Reader) -> CertReq:
    return CertReq(CertEncoding(r.u8()), r.rest())


def _encode_certreq(request: CertReq) -> bytes:
    return struct.pack("!B", request.encoding) + request.authority


# RFC 2408 sections 3.11, 3.12, 3.13; RFC 2409 section 5 for the octets of a nonce.
def _decode_hash(r: Reader) -> Hash:
    return Hash(r.bounded(limits.MAX_HASH, "bad-hash-length", least=1))


def _decode_signature(r: Reader) -> Signature:
    return Signature(r.bounded(limits.MAX_SIGNATURE, "bad-signature-length", least=1))


def _decode_nonce(r: Reader) -> Nonce:
    return Nonce(r.bounded(limits.MAX_NONCE, "bad-nonce-length", least=limits.MIN_V1_NONCE))


# RFC 2408 section 3.14.
def _decode_notify(r: Reader) -> Notify:
    doi, number, spi_octets, kind = r.unpack("!IBBH")
    protocol = Protocol(number)
    # an error may concern an SA that has no SPI yet; Windows appends a message ID to the SPI ([MS-IKEE] 2.2.6)
    if spi_octets > MOST_COOKIE_OCTETS:
        raise WireError("bad-spi-size", f"{spi_octets} octets for {protocol}", offset=r.offset)
    spi = r.take(spi_octets)
    return Notify(NotifyType(kind), r.beginning(limits.MAX_NOTIFY_DATA), protocol, spi, doi)


def _encode_notify(notify: Notify) -> bytes:
    head = struct.pack("!IBBH", notify.doi, notify.protocol, len(notify.spi), notify.type)
    return head + notify.spi + notify.data


# RFC 2408 section 3.15. The count is checked against the octets before anything is counted with it.
def _decode_delete(r: Reader) -> Delete:
    doi, number, spi_octets, count = r.unpack("!IBBH")
    protocol = Protocol(number)
    right = _DELETED.get(protocol)
    if right is None:
        raise WireError("bad-protocol", f"nothing of {protocol} can be deleted", offset=r.offset)
    if spi_octets != right:
        raise WireError("bad-spi-size", f"{spi_octets} octets for {protocol}", offset=r.offset)
    if count * right != r.remaining:
        raise WireError("spi-count", f"count says {count}, {r.remaining} octets", offset=r.offset)
    if count > limits.MAX_CHILDREN_PER_IKE_SA:
        raise WireError("too-many-spis", f"{count}", offset=r.offset)
    return Delete(protocol, tuple(r.take(right) for _ in range(count)), doi)


def _encode_delete(delete: Delete) -> bytes:
    size = _DELETED[delete.protocol]
    if any(len(spi) != size for spi in delete.spis):
        raise ValueError("an SPI of the wrong size")
    return struct.pack("!IBBH", delete.doi, delete.protocol, size, len(delete.spis)) + b"".join(delete.spis)


# RFC 2408 section 3.16.
def _decode_vendor(r: Reader) -> VendorId:
    return VendorId(r.beginning(limits.MAX_VENDOR_ID))


# draft-dukes-ike-mode-cfg-02 section 3.2.
def _decode_config(r: Reader) -> Attributes:
    kind, _, identifier = r.unpack("!BBH")
    return Attributes(ConfigType(kind), identifier, decode_attributes(r, limits.MAX_CONFIG_ATTRIBUTES))


def _encode_config(config: Attributes) -> bytes:
    return struct.pack("!BxH", config.type, config.identifier) + encode_attributes(config.attributes)


# RFC 3947 section 3.2.
def _nat_d(numbering: Payload) -> _Body:
    def decode(r: Reader) -> NatD:
        return NatD(r.bounded(limits.MAX_HASH, "bad-hash-length", least=1), numbering)

    return _Body(NatD, decode, lambda nat_d: nat_d.hash)


# RFC 3947 section 5.2.
def _nat_oa(numbering: Payload) -> _Body:
    return _Body(NatOa, lambda r: NatOa(_decode_address(r), numbering), _encode_nat_oa)


def _decode_address(r: Reader) -> Address:
    number, _ = r.unpack("!B3s")
    kind = IdType(number)
    octets = _ADDRESS_OCTETS.get(kind)
    if octets is None:
        raise WireError("bad-identity-type", f"{kind} as original address", offset=r.offset)
    return ip_address(r.bounded(octets, "bad-identity-length", least=octets))


def _encode_nat_oa(original: NatOa) -> bytes:
    kind = IdType.IPV4_ADDR if original.address.version == 4 else IdType.IPV6_ADDR
    return struct.pack("!B3x", kind) + original.address.packed


# [MS-IKEE] section 2.2.3.1. All flags but one are ignored.
def _decode_fragment(r: Reader) -> Fragment:
    id_, number, flags = r.unpack("!HBB")
    if not number:
        raise WireError("bad-fragment-number", "0", offset=r.offset)
    if number > limits.MAX_FRAGMENTS:
        raise WireError("too-many-fragments", f"{number}", offset=r.offset)
    data = r.bounded(limits.MAX_IKE_DATAGRAM, "bad-fragment-length", least=1)
    return Fragment(id_, number, bool(flags & _LAST_FRAGMENT), data)


def _encode_fragment(fragment: Fragment) -> bytes:
    return struct.pack("!HBB", fragment.id, fragment.number, fragment.last * _LAST_FRAGMENT) + fragment.data


_BODIES: dict[int, _Body] = {
    Payload.SA: _Body(Sa, decode_sa, encode_sa),
    Payload.KE: _Body(Ke, _decode_ke, lambda ke: ke.data),
    Payload.ID: _Body(Id, decode_id, Id.encode),
    Payload.CERT: _Body(Cert, _decode_cert, _encode_cert),
    Payload.CERTREQ: _Body(CertReq, _decode_certreq, _encode_certreq),
    Payload.HASH: _Body(Hash, _decode_hash, lambda hash_: hash_.data),
    Payload.SIGNATURE: _Body(Signature, _decode_signature, lambda signature: signature.data),
    Payload.NONCE: _Body(Nonce, _decode_nonce, lambda nonce: nonce.data),
    Payload.NOTIFY: _Body(Notify, _decode_notify, _encode_notify),
    Payload.DELETE: _Body(Delete, _decode_delete, _encode_delete),
    Payload.VENDOR_ID: _Body(VendorId, _decode_vendor, lambda vendor: vendor.data),
    Payload.ATTRIBUTES: _Body(Attributes, _decode_config, _encode_config),
    Payload.FRAGMENT: _Body(Fragment, _decode_fragment, _encode_fragment),
    **{number: _nat_d(number) for number in (Payload.NAT_D, Payload.NAT_D_DRAFTS, Payload.NAT_D_LATER_DRAFTS)},
    **{number: _nat_oa(number) for number in (Payload.NAT_OA, Payload.NAT_OA_DRAFTS, Payload.NAT_OA_LATER_DRAFTS)},
}
_TYPES: dict[type, int] = {body.of: kind for kind, body in _BODIES.items()}


def payload_type(payload: AnyPayload) -> int:
    """The number that announces this payload in the header before it."""
    if isinstance(payload, Unknown):
        return payload.type
    return payload.numbering if isinstance(payload, NatD | NatOa) else _TYPES[type(payload)]


def decode_body(kind: int, r: Reader) -> AnyPayload:
    """The payload of type ``kind`` whose body ``r`` holds; types without a table entry become Unknown. Raises
    WireError; whoever opened ``r`` checks that it was read whole."""
    body = _BODIES.get(kind)
    return Unknown(kind, r.rest()) if body is None else body.decode(r)


def encode_body(payload: AnyPayload) -> bytes:
    """The octets behind the payload header, which the hashes of phase 1 cover (RFC 2409 section 5). Raises LocalError
    if a value doesn't fit its field."""
    if isinstance(payload, Unknown):
        return payload.body
    try:
        return _BODIES[payload_type(payload)].encode(payload)
    except (struct.error, ValueError, KeyError) as error:
        raise LocalError(f"{type(payload).__name__} can't be encoded: {error}") from error
