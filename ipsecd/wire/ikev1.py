"""IKEv1 messages: the header and a chain of payloads, in clear or encrypted whole (RFC 2408 sections 3.1 and 3.2).

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |          header (28 octets), as that of IKEv2, with           |
    |     cookies for SPIs, and the flags E(ncryption), C, A        |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    | Next Payload  |   RESERVED    |         Payload Length        |  generic payload header,
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+  once for each payload
    ~                             body                              ~
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    ~           padding, of an encrypted message alone              ~
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

Hashes cover octets as they were sent, so a chain keeps them beside what they mean. A malformed chain that was encrypted
raises a WireError whose ``notify`` is PAYLOAD_MALFORMED, unless another one says it better.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ipsecd import limits
from ipsecd.errors import LocalError, WireError
from ipsecd.wire import ike, registry
from ipsecd.wire.ikev1_bodies import decode_body, encode_body, payload_type
from ipsecd.wire.ikev1_payloads import AnyPayload, Cert, Hash
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry_v1 import Exchange, Flag, NotifyType, Payload

MAJOR_VERSION = 1
NO_COOKIE = ike.NO_SPI  # the responder's while the initiator doesn't know it
_PAYLOAD_HEADER = "!BBH"
_PAYLOAD_HEADER_OCTETS = 4


@dataclass(frozen=True, slots=True)
class Header:
    """``cookie_i`` and ``cookie_r`` have eight octets. ``message_id`` is 0 in phase 1."""

    cookie_i: bytes
    cookie_r: bytes
    exchange: Exchange
    flags: Flag = Flag.NONE
    message_id: int = 0

    @property
    def encrypted(self) -> bool:
        return bool(self.flags & Flag.ENCRYPTION)

    def begun_by(self, cookie_i: bytes) -> bool:
        return self.cookie_i == cookie_i

    def belongs_to(self, cookies: tuple[bytes, bytes]) -> bool:
        """Whether it's of this SA, whose name cookies are: no secret, as SPIs are none."""
        return (self.cookie_i, self.cookie_r) == cookies


@dataclass(frozen=True, slots=True)
class Chain:
    """``bodies`` are the octets of each payload behind its header: what SAi_b, IDii_b and the like are in RFC 2409.
    ``tail`` are all octets behind the first payload and in front of the padding, which the hash in front covers."""

    payloads: tuple[AnyPayload, ...]
    bodies: tuple[bytes, ...] = field(repr=False, compare=False)
    tail: bytes = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Message:
    """``first`` is the type of the first payload. Of an encrypted message ``chain`` is empty, and ``sealed`` all that
    stands behind the header."""

    header: Header
    first: Payload
    chain: Chain
    sealed: bytes = field(default=b"", repr=False)


_NOTHING = Chain((), (), b"")


def decode(data: bytes) -> Message:
    """A datagram, or a message joined from fragments. Raises WireError: those of ``decode_header``; ``major-version``
    and ``minor-version``; ``empty-sealed``; those of payloads."""
    outer = ike.decode_header(data)
    if outer.major != MAJOR_VERSION:
        raise WireError("major-version", f"{outer.major}.{outer.minor}", offset=17)
    if outer.minor:  # RFC 2408 section 3.1
        raise WireError("minor-version", f"1.{outer.minor}", offset=17)
    exchange, flags = Exchange(outer.exchange), Flag(outer.flags)
    header = Header(outer.spi_i, outer.spi_r, exchange, flags, outer.message_id)
    first = Payload(outer.next_payload)
    r = Reader(data)
    r.take(ike.HEADER_OCTETS)
    # fragments are never encrypted, only what they are parts of; some peers leave the flag of that on them
    if header.encrypted and first != Payload.FRAGMENT:
        if not r.remaining:
            raise WireError("empty-sealed", offset=r.offset)
        return Message(header, first, _NOTHING, r.rest())
    chain = _walk(first, r, data)
    r.end()
    return Message(header, first, chain)


def decode_chain(first: int, data: bytes) -> Chain:
    """What was encrypted, padding included; ``first`` is the type of the first payload. Raises WireError:
    ``too-much-padding``; those of payloads."""
    try:
        return _decode_inside(first, data)
    except WireError as error:
        error.notify = error.notify or NotifyType.PAYLOAD_MALFORMED
        raise


def _decode_inside(first: int, data: bytes) -> Chain:
    r = Reader(data)
    chain = _walk(first, r, data)
    # RFC 2409 appendix B wants zeros up to a whole block. No hash covers them, so they can mean nothing
    if r.remaining > limits.MAX_V1_PADDING:
        raise WireError("too-much-padding", f"{r.remaining} octets", offset=r.offset)
    return chain


def _walk(kind: int, r: Reader, data: bytes) -> Chain:
    """The payloads up to the end of the chain; ``r`` reads ``data``."""
    payloads: list[AnyPayload] = []
    bodies: list[bytes] = []
    certificates = tail = 0
    while kind != Payload.NONE:
        if len(payloads) == limits.MAX_PAYLOADS:
            raise WireError("too-many-payloads", offset=r.offset)
        following, reserved, length = r.unpack(_PAYLOAD_HEADER)
        if reserved:  # RFC 2408 section 5.3; also what decryption with a wrong key looks like
            raise WireError("reserved-not-zero", f"{reserved}", offset=r.offset)
        start = r.offset
        with r.window(length - _PAYLOAD_HEADER_OCTETS) as body:
            payload = decode_body(kind, body)
        certificates += isinstance(payload, Cert)
        if certificates > limits.MAX_CERTIFICATES:
            raise WireError("too-many-certificates", offset=r.offset)
        payloads.append(payload)
        bodies.append(data[start : r.offset])
        tail = tail or r.offset
        kind = following
    return Chain(tuple(payloads), tuple(bodies), data[tail : r.offset] if payloads else b"")


def encode_chain(payloads: Iterable[AnyPayload]) -> tuple[int, bytes]:
    """The type of the first payload (NONE without any) and the octets of all. Raises LocalError."""
    chain = tuple(payloads)
    kinds = [payload_type(payload) for payload in chain] + [Payload.NONE]
    parts = [_with_header(kind, encode_body(payload)) for payload, kind in zip(chain, kinds[1:], strict=True)]
    return kinds[0], b"".join(parts)


def encode_hashed(payloads: Iterable[AnyPayload], hash_of: Callable[[bytes], bytes]) -> bytes:
    """A chain whose first payload is a HASH over the others, in octets (RFC 2409 sections 5.5 and 5.7)."""
    following, tail = encode_chain(payloads)
    return _with_header(following, encode_body(Hash(hash_of(tail)))) + tail


def encode(header: Header, payloads: Iterable[AnyPayload]) -> bytes:
    """A message in clear. Raises LocalError."""
    first, octets = encode_chain(payloads)
    return _message(header, first, octets)


def encode_sealed(header: Header, first: int, sealed: bytes) -> bytes:
    """An encrypted message, which gets the flag for it. Raises LocalError."""
    return _message(header, first, sealed, Flag.ENCRYPTION)


def _message(header: Header, first: int, octets: bytes, flags: Flag = Flag.NONE) -> bytes:
    outer = ike.Header(
        header.cookie_i,
        header.cookie_r,
        first,
        MAJOR_VERSION,
        0,
        registry.Exchange(header.exchange),
        registry.Flag(header.flags | flags),
        header.message_id,
        ike.HEADER_OCTETS + len(octets),
    )
    return outer.encode() + octets


def _with_header(following: int, body: bytes) -> bytes:
    try:
        return struct.pack(_PAYLOAD_HEADER, following, 0, len(body) + _PAYLOAD_HEADER_OCTETS) + body
    except struct.error as error:
        raise LocalError(f"a payload of {len(body)} octets doesn't fit its length field") from error
