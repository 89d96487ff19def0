"""The bodies of the IKEv2 payloads: what stands behind the generic payload header (RFC 7296 sections 3.3 to 3.16).

::

    KE      | group (2) | reserved (2) | public value            CERT     | encoding (1) | certificate
    IDi/r   | type (1)  | reserved (3) | identity                CERTREQ  | encoding (1) | authorities
    AUTH    | method (1)| reserved (3) | data                    Ni/Nr, V | data
    N       | protocol (1) | SPI size (1) | type (2)  | SPI | data
    D       | protocol (1) | SPI size (1) | count (2) | SPIs
    CP      | type (1)  | reserved (3) | attributes: | R, type (2) | length (2) | value |
    EAP     | code (1)  | identifier (1) | length (2) | type and data, of requests and responses

SA and TS have modules of their own. Each function pair stands for one section; ``decode_body`` and ``encode_body``
choose by the table at the end. Reserved fields are ignored when read and zero when written (section 2.5).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ipsecd import limits
from ipsecd.errors import LocalError, WireError
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
    Sa,
    TsI,
    TsR,
    Unknown,
    VendorId,
)
from ipsecd.wire.proposal import decode_sa, encode_sa
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry import (
    AuthMethod,
    CertEncoding,
    ConfigType,
    Group,
    NotifyType,
    Payload,
    Protocol,
)
from ipsecd.wire.traffic import decode_selectors, encode_selectors

_SPI_OF_CHILD = 4
_EAP_REQUEST, _EAP_RESPONSE, _EAP_SUCCESS, _EAP_FAILURE = 1, 2, 3, 4


# Section 3.4. Whether the value fits its group is for whoever knows the group.
def _decode_ke(r: Reader) -> Ke:
    group, _ = r.unpack("!HH")
    return Ke(Group(group), r.bounded(limits.MAX_IKE_MESSAGE, "empty-key-exchange", least=1))


def _encode_ke(ke: Ke) -> bytes:
    return struct.pack("!H2x", ke.group) + ke.data


# Section 3.5.
def _decode_identity(r: Reader) -> tuple[Identity, bytes]:
    body = r.bounded(4 + limits.MAX_IDENTITY, "bad-identity-length", least=4)
    return Identity.decode(body), body[1:4]


def _encode_identity(payload: IdI | IdR) -> bytes:
    return payload.body


# Section 3.6.
def _decode_cert(r: Reader) -> Cert:
    return Cert(CertEncoding(r.u8()), r.bounded(limits.MAX_CERTIFICATE, "certificate-too-long"))


def _encode_cert(cert: Cert) -> bytes:
    return struct.pack("!B", cert.encoding) + cert.data


# Section 3.7.
def _decode_certreq(r: Reader) -> CertReq:
    return CertReq(CertEncoding(r.u8()), r.rest())


def _encode_certreq(request: CertReq) -> bytes:
    return struct.pack("!B", request.encoding) + request.authorities


# Section 3.8.
def _decode_auth(r: Reader) -> Auth:
    method, _ = r.unpack("!B3s")
    return Auth(AuthMethod(method), r.rest())


def _encode_auth(auth: Auth) -> bytes:
    return struct.pack("!B3x", auth.method) + auth.data


# Section 3.9.
def _decode_nonce(r: Reader) -> Nonce:
    return Nonce(r.bounded(limits.MAX_NONCE, "bad-nonce-length", least=limits.MIN_NONCE))


# Section 3.10. Without an SPI the protocol has no meaning and must be ignored; it's read as NONE.
def _decode_notify(r: Reader) -> Notify:
    protocol, spi_octets, kind = r.unpack("!BBH")
    right = {Protocol.IKE: 0, Protocol.AH: _SPI_OF_CHILD, Protocol.ESP: _SPI_OF_CHILD}.get(protocol, spi_octets)
    if spi_octets not in (0, right):
        raise WireError("bad-spi-size", f"{spi_octets} octets for {Protocol(protocol)}", offset=r.offset)
    spi = r.take(spi_octets)
    data = r.beginning(limits.MAX_NOTIFY_DATA)
    return Notify(NotifyType(kind), data, Protocol(protocol) if spi else Protocol.NONE, spi)


def _encode_notify(notify: Notify) -> bytes:
    return struct.pack("!BBH", notify.protocol, len(notify.spi), notify.type) + notify.spi + notify.data


# Section 3.11. The count is checked against the octets before anything is counted with it.
def _decode_delete(r: Reader) -> Delete:
    number, spi_octets, count = r.unpack("!BBH")
    protocol = Protocol(number)
    right = {Protocol.IKE: 0, Protocol.AH: _SPI_OF_CHILD, Protocol.ESP: _SPI_OF_CHILD}.get(protocol)
    if right is None:
        raise WireError("bad-protocol", f"nothing of {protocol} can be deleted", offset=r.offset)
    if spi_octets != right:
        raise WireError("bad-spi-size", f"{spi_octets} octets for {protocol}", offset=r.offset)
    if count * _SPI_OF_CHILD != r.remaining or (count and not spi_octets):  # the IKE SA's SPIs stand in the header
        raise WireError("spi-count", f"count says {count}, {r.remaining} octets", offset=r.offset)
    if count > limits.MAX_CHILDREN_PER_IKE_SA:
        raise WireError("too-many-spis", f"{count}", offset=r.offset)
    spis: list[bytes] = []
    while r.remaining:
        spis.append(r.take(_SPI_OF_CHILD))
    return Delete(protocol, tuple(spis))


def _encode_delete(delete: Delete) -> bytes:
    size = 0 if delete.protocol == Protocol.IKE else _SPI_OF_CHILD
    if any(len(spi) != size for spi in delete.spis):
        raise ValueError("an SPI of the wrong size")
    return struct.pack("!BBH", delete.protocol, size, len(delete.spis)) + b"".join(delete.spis)


# Section 3.12.
def _decode_vendor(r: Reader) -> VendorId:
    return VendorId(r.beginning(limits.MAX_VENDOR_ID))


# Section 3.15. The attribute's first bit is reserved.
def _decode_cp(r: Reader) -> Cp:
    kind, _ = r.unpack("!B3s")
    attributes: list[tuple[int, bytes]] = []
    while r.remaining:
        if len(attributes) == limits.MAX_CONFIG_ATTRIBUTES:
            raise WireError("too-many-attributes", offset=r.offset)
        attribute = r.u16() & 0x7FFF
        attributes.append((attribute, r.take(r.u16())))
    return Cp(ConfigType(kind), tuple(attributes))


def _encode_cp(cp: Cp) -> bytes:
    parts = [struct.pack("!HH", kind & 0x7FFF, len(value)) + value for kind, value in cp.attributes]
    return struct.pack("!B3x", cp.type) + b"".join(parts)


# Section 3.16. The length stands twice; requests and responses have a type, success and failure nothing more.
def _decode_eap(r: Reader) -> Eap:
    start, octets = r.offset, r.remaining
    head = r.take(4)
    code, length = head[0], int.from_bytes(head[2:], "big")
    if length != octets:
        raise WireError("bad-length", f"EAP length {length}, payload has {octets}", offset=start)
    if code in (_EAP_REQUEST, _EAP_RESPONSE):
        return Eap(head + bytes([r.u8()]) + r.rest())
    if code in (_EAP_SUCCESS, _EAP_FAILURE):
        return Eap(head)
    raise WireError("bad-eap-code", f"{code}", offset=start)


@dataclass(frozen=True, slots=True)
class _Body:
    """How one payload type is read and written, and the class of its values."""

    of: type
    decode: Callable[[Reader], AnyPayload]
    encode: Callable[[Any], bytes]


_BODIES: dict[int, _Body] = {
    Payload.SA: _Body(Sa, decode_sa, encode_sa),
    Payload.KE: _Body(Ke, _decode_ke, _encode_ke),
    Payload.IDI: _Body(IdI, lambda r: IdI(*_decode_identity(r)), _encode_identity),
    Payload.IDR: _Body(IdR, lambda r: IdR(*_decode_identity(r)), _encode_identity),
    Payload.CERT: _Body(Cert, _decode_cert, _encode_cert),
    Payload.CERTREQ: _Body(CertReq, _decode_certreq, _encode_certreq),
    Payload.AUTH: _Body(Auth, _decode_auth, _encode_auth),
    Payload.NONCE: _Body(Nonce, _decode_nonce, lambda nonce: nonce.data),
    Payload.NOTIFY: _Body(Notify, _decode_notify, _encode_notify),
    Payload.DELETE: _Body(Delete, _decode_delete, _encode_delete),
    Payload.VENDOR_ID: _Body(VendorId, _decode_vendor, lambda vendor: vendor.data),
    Payload.TSI: _Body(TsI, lambda r: TsI(*decode_selectors(r)), lambda ts: encode_selectors(ts.selectors, ts.unknown)),
    Payload.TSR: _Body(TsR, lambda r: TsR(*decode_selectors(r)), lambda ts: encode_selectors(ts.selectors, ts.unknown)),
    Payload.CP: _Body(Cp, _decode_cp, _encode_cp),
    Payload.EAP: _Body(Eap, _decode_eap, lambda eap: eap.message),
}
_TYPES: dict[type, int] = {body.of: kind for kind, body in _BODIES.items()}


def payload_type(payload: AnyPayload) -> int:
    """The number that announces this payload in the header before it."""
    return payload.type if isinstance(payload, Unknown) else _TYPES[type(payload)]


def decode_body(kind: int, critical: bool, r: Reader) -> AnyPayload:
    """The payload of type ``kind`` whose body ``r`` holds. Types without a table entry become Unknown; the critical
    bit of the others is ignored (section 3.2). Raises WireError; whoever opened ``r`` checks that it was read whole."""
    body = _BODIES.get(kind)
    return Unknown(kind, critical, r.rest()) if body is None else body.decode(r)


def encode_body(payload: AnyPayload) -> bytes:
    """The octets behind the payload header. Raises LocalError if a value doesn't fit its field."""
    if isinstance(payload, Unknown):
        return payload.body
    try:
        return _BODIES[_TYPES[type(payload)]].encode(payload)
    except (struct.error, ValueError) as error:
        raise LocalError(f"{type(payload).__name__} can't be encoded: {error}") from error
