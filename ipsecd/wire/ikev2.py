"""IKEv2 messages: the header and a chain of payloads, the last maybe sealed (RFC 7296 sections 3.1, 3.2, 3.14).

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                    IKE header (28 octets)                     |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    | Next Payload  |C|  RESERVED   |         Payload Length        |  generic payload header,
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+  once for each payload;
    ~                             body                              ~  the type of a payload
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+  stands in the one before
    | First inside  |C|  RESERVED   |         Payload Length        |  SK and SKF, always last
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |        Fragment Number        |        Total Fragments        |  SKF alone (RFC 7383)
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    ~              IV, sealed payloads, padding, ICV                ~
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

A malformed chain inside SK raises a WireError whose ``notify`` is INVALID_SYNTAX; a malformed clear message raises one
without, because that notify answers only what was authenticated (section 3.10.1).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ipsecd import limits
from ipsecd.errors import LocalError, WireError
from ipsecd.wire.bodies import decode_body, encode_body, payload_type
from ipsecd.wire.ike import HEADER_OCTETS, Header, decode_header
from ipsecd.wire.payloads import AnyPayload, Cert, Sk, Skf, Unknown
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry import NotifyType, Payload

MAJOR_VERSION = 2
_CRITICAL = 0x80
_PAYLOAD_HEADER = "!BBH"
_PAYLOAD_HEADER_OCTETS = 4
_FRAGMENT_OCTETS = 4  # number and total
_CHAIN_ENDS = (Payload.NONE, Payload.SK, Payload.SKF)


@dataclass(frozen=True, slots=True)
class Message:
    """``payloads`` are the clear ones; ``sealed`` is the last payload if it was SK or SKF."""

    header: Header
    payloads: tuple[AnyPayload, ...]
    sealed: Sk | Skf | None = None


def decode(data: bytes) -> Message:
    """A datagram as a message. Raises WireError: those of ``decode_header``, ``major-version``, those of payloads."""
    header = decode_header(data)
    if header.major != MAJOR_VERSION:
        raise WireError("major-version", f"{header.major}.{header.minor}", offset=17)
    r = Reader(data)
    r.take(HEADER_OCTETS)
    payloads, last = _walk(header.next_payload, r)
    return Message(header, payloads, _decode_sealed(last, r, data) if last != Payload.NONE else None)


def decode_chain(first: int, data: bytes) -> tuple[AnyPayload, ...]:
    """The payloads inside SK, or inside all SKF of a message together; ``first`` is the type of the first one."""
    try:
        return _decode_inside(first, data)
    except WireError as error:
        error.notify = NotifyType.INVALID_SYNTAX
        raise


def _decode_inside(first: int, data: bytes) -> tuple[AnyPayload, ...]:
    if len(data) > limits.MAX_IKE_MESSAGE:
        raise WireError("too-long", f"{len(data)} octets")
    r = Reader(data)
    payloads, last = _walk(first, r)
    if last != Payload.NONE:  # section 3.14
        raise WireError("sealed-inside-sealed", offset=r.offset)
    return payloads


def _walk(kind: int, r: Reader) -> tuple[tuple[AnyPayload, ...], int]:
    """The payloads up to the end of the chain or to a sealed payload, and which of NONE, SK and SKF ended it."""
    payloads: list[AnyPayload] = []
    certificates = 0
    while kind not in _CHAIN_ENDS:
        if len(payloads) == limits.MAX_PAYLOADS:
            raise WireError("too-many-payloads", offset=r.offset)
        following, flags, length = r.unpack(_PAYLOAD_HEADER)
        with r.window(length - _PAYLOAD_HEADER_OCTETS) as body:
            payload = decode_body(kind, bool(flags & _CRITICAL), body)
        certificates += isinstance(payload, Cert)
        if certificates > limits.MAX_CERTIFICATES:
            raise WireError("too-many-certificates", offset=r.offset)
        payloads.append(payload)
        kind = following
    if kind == Payload.NONE:
        r.end()
    return tuple(payloads), kind


def _decode_sealed(kind: int, r: Reader, data: bytes) -> Sk | Skf:
    """SK or SKF, which must be the last payload of the message (section 3.14, RFC 7383 section 2.5)."""
    first, _, length = r.unpack(_PAYLOAD_HEADER)
    with r.window(length - _PAYLOAD_HEADER_OCTETS) as body:
        if r.remaining:
            raise WireError("sealed-not-last", f"{r.remaining} octets behind it", offset=r.offset)
        if kind == Payload.SK:
            return Sk(first, data[: body.offset], body.rest())
        number, total = body.unpack("!HH")
        if not 1 <= number <= total:
            raise WireError("bad-fragment-number", f"{number} of {total}", offset=body.offset)
        if total > limits.MAX_FRAGMENTS:
            raise WireError("too-many-fragments", f"{total}", offset=body.offset)
        return Skf(first, number, total, data[: body.offset], body.rest())


def encode_chain(payloads: Iterable[AnyPayload]) -> tuple[int, bytes]:
    """The type of the first payload (NONE without any) and the octets of all. Raises LocalError."""
    chain = tuple(payloads)
    kinds = [payload_type(payload) for payload in chain] + [Payload.NONE]
    parts: list[bytes] = []
    for payload, following in zip(chain, kinds[1:], strict=True):
        body = encode_body(payload)
        flags = _CRITICAL if isinstance(payload, Unknown) and payload.critical else 0
        parts += [_payload_header(following, flags, len(body)), body]
    return kinds[0], b"".join(parts)


def encode(header: Header, payloads: Iterable[AnyPayload]) -> bytes:
    """A clear message; next payload and length of ``header`` are filled in. Raises LocalError."""
    first, octets = encode_chain(payloads)
    return replace(header, next_payload=first, length=HEADER_OCTETS + len(octets)).encode() + octets


def sk_prefix(header: Header, first: int, sealed_octets: int) -> bytes:
    """The IKE header and the SK header in front of a body of ``sealed_octets`` (IV to ICV), all lengths final. This is
    what the cipher covers beside the body (section 3.14, RFC 5282 section 5.1)."""
    return _sealed_prefix(header, Payload.SK, _payload_header(first, 0, sealed_octets), sealed_octets)


def skf_prefix(header: Header, first: int, number: int, total: int, sealed_octets: int) -> bytes:
    """As ``sk_prefix`` for fragment ``number`` of ``total``. ``first`` is sent in the first fragment, zero in the
    others (RFC 7383 section 2.5)."""
    if not 1 <= number <= total <= limits.MAX_FRAGMENTS:
        raise LocalError(f"fragment {number} of {total}")
    kind = first if number == 1 else Payload.NONE
    head = _payload_header(kind, 0, _FRAGMENT_OCTETS + sealed_octets) + struct.pack("!HH", number, total)
    return _sealed_prefix(header, Payload.SKF, head, sealed_octets)


def _sealed_prefix(header: Header, kind: Payload, head: bytes, sealed_octets: int) -> bytes:
    length = HEADER_OCTETS + len(head) + sealed_octets
    return replace(header, next_payload=kind, length=length).encode() + head


def _payload_header(following: int, flags: int, body_octets: int) -> bytes:
    try:
        return struct.pack(_PAYLOAD_HEADER, following, flags, _PAYLOAD_HEADER_OCTETS + body_octets)
    except struct.error as error:
        raise LocalError(f"a payload of {body_octets} octets doesn't fit its length field") from error
