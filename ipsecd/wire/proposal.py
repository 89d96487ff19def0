"""The body of the Security Association payload (RFC 7296 section 3.3): proposals, transforms, attributes.

::

    proposal                                  transform
    +------+-----+----------+                 +------+-----+----------+
    | 0, 2 |  0  |  length  |                 | 0, 3 |  0  |  length  |
    +------+-----+----------+                 +------+-----+----------+
    | num  | prot| SPI | n  |                 | type |  0  |    id    |
    +------+-----+-----+----+                 +------+-----+----------+
    ~ SPI (0, 4, 8 octets)  ~                 ~ attributes            ~
    +-----------------------+                 +-----------------------+
    ~ n transforms          ~                 attribute
    +-----------------------+                 +-+---------+-----------+
    first octet: 0 in the last one,           |1|  type   |   value   |   TV, or
    2 (proposal) or 3 (transform) else        |0|  type   |   length  |   TLV and the value
                                              +-+---------+-----------+
"""

from __future__ import annotations

import struct

from ipsecd import limits
from ipsecd.errors import WireError
from ipsecd.wire.payloads import Proposal, Sa, Transform
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry import AttributeType, Protocol, TransformType
from ipsecd.wire.substructure import MORE_PROPOSALS, MORE_TRANSFORMS, decode_list, encode_list

_SHORT = 0x8000  # the AF bit: type and two octets of value (TV)
_KEY_LENGTH = _SHORT | AttributeType.KEY_LENGTH
_SPI_SIZES = {Protocol.IKE: (0, 8), Protocol.AH: (4,), Protocol.ESP: (4,)}  # section 3.3.1


def decode_sa(r: Reader) -> Sa:
    """The SA payload's body. What isn't understood (a protocol, a transform type, an attribute) is kept, because it
    makes only that proposal or transform unacceptable (section 3.3.6)."""
    proposals = decode_list(r, MORE_PROPOSALS, limits.MAX_PROPOSALS, "too-many-proposals", _decode_proposal)
    # Section 3.3.1: an offer counts from one. An answer is one proposal, with the number it had in the offer.
    numbers = [proposal.number for proposal in proposals]
    if numbers != list(range(1, len(numbers) + 1)) and (len(numbers) > 1 or numbers == [0]):
        raise WireError("bad-proposal-number", f"{numbers}", offset=r.offset)
    return Sa(proposals)


def _decode_proposal(r: Reader) -> Proposal:
    number, protocol, spi_octets, count = r.unpack("!BBBB")
    if spi_octets not in _SPI_SIZES.get(Protocol(protocol), (spi_octets,)):
        raise WireError("bad-spi-size", f"{spi_octets} octets for {Protocol(protocol)}", offset=r.offset)
    spi = r.take(spi_octets)
    transforms = decode_list(r, MORE_TRANSFORMS, limits.MAX_TRANSFORMS, "too-many-transforms", _decode_transform)
    if len(transforms) != count:
        raise WireError("transform-count", f"{len(transforms)} transforms, count says {count}", offset=r.offset)
    return Proposal(number, Protocol(protocol), spi, transforms)


def _decode_transform(r: Reader) -> Transform:
    kind, _, number = r.unpack("!BBH")
    key_bits: int | None = None
    unknown: list[tuple[int, bytes]] = []
    attributes = 0
    while r.remaining:
        if attributes == limits.MAX_ATTRIBUTES:
            raise WireError("too-many-attributes", offset=r.offset)
        attributes += 1
        field = r.u16()
        if field == _KEY_LENGTH and key_bits is None:
            key_bits = r.u16()
        else:  # a key length in TLV form or a second one is as little understood as any other attribute
            unknown.append((field, r.take(2 if field & _SHORT else r.u16())))
    return Transform(TransformType(kind), number, key_bits, tuple(unknown))


def encode_sa(sa: Sa) -> bytes:
    bodies = [_encode_proposal(proposal) for proposal in sa.proposals]
    return encode_list(bodies, MORE_PROPOSALS)


def _encode_proposal(proposal: Proposal) -> bytes:
    bodies = [_encode_transform(transform) for transform in proposal.transforms]
    head = struct.pack("!BBBB", proposal.number, proposal.protocol, len(proposal.spi), len(bodies))
    return head + proposal.spi + encode_list(bodies, MORE_TRANSFORMS)


def _encode_transform(transform: Transform) -> bytes:
    body = struct.pack("!BBH", transform.type, 0, transform.id)
    if transform.key_bits is not None:
        body += struct.pack("!HH", _KEY_LENGTH, transform.key_bits)
    for field, value in transform.unknown:
        body += struct.pack("!H", field) + (b"" if field & _SHORT else struct.pack("!H", len(value))) + value
    return body
