"""The body of the SA payload of IKEv1 (RFC 2408 sections 3.4 to 3.6 and 4.2, RFC 2407 section 4.6.1).

::

    +---------------------------------------+
    | DOI (4): 1, IPsec                     |   proposal                            transform
    | situation (4): 1, SIT_IDENTITY_ONLY   |   +------+-----+----------+           +------+-----+----------+
    ~ proposals                             ~   | 0, 2 |  0  |  length  |           | 0, 3 |  0  |  length  |
    +---------------------------------------+   +------+-----+-----+----+           +------+-----+----------+
                                                | num  | prot| SPI | n  |           | num  | id  | reserved |
                                                +------+-----+-----+----+           +------+-----+----------+
                                                ~ SPI                   ~           ~ attributes            ~
                                                ~ n transforms          ~           +-----------------------+
                                                +-----------------------+

Proposals of one number are one offer, which is taken whole: AH and ESP, each with an SPI of its own. Transforms of one
proposal are alternatives.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise

from ipsecd import limits
from ipsecd.errors import WireError
from ipsecd.wire.ikev1_attributes import decode_attributes, encode_attributes
from ipsecd.wire.ikev1_payloads import Proposal, Sa, Transform
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry_v1 import IDENTITY_ONLY, IPSEC_DOI, NotifyType, Protocol
from ipsecd.wire.substructure import MORE_PROPOSALS, MORE_TRANSFORMS, decode_list, encode_list

MOST_COOKIE_OCTETS = 16  # RFC 2408 section 3.5: of ISAKMP the SPI is both cookies, or part of them, and is ignored
# RFC 2407 section 4.6.3 for IPsec; RFC 3173 section 4.1: a CPI alone, or in front of it two octets of zero
_SPI_SIZES = {Protocol.AH: (4,), Protocol.ESP: (4,), Protocol.IPCOMP: (2, 4)}


def decode_sa(r: Reader) -> Sa:
    """What isn't understood (a protocol, a transform, an attribute) is kept: it makes only that transform unacceptable.

    Raises WireError, beside those of lists and lengths: ``bad-doi`` and ``bad-situation``, which a notify answers;
    ``bad-spi-size``; ``transform-count``; ``bad-proposal-number`` and ``bad-transform-number``, unless they rise, of
    proposals but for equal ones beside each other (RFC 2408 section 4.2).
    """
    doi, situation = r.u32(), r.u32()
    if doi != IPSEC_DOI:
        raise WireError("bad-doi", f"{doi}", offset=r.offset, notify=NotifyType.DOI_NOT_SUPPORTED)
    if situation != IDENTITY_ONLY:  # the other two have levels and categories of secrecy behind them
        raise WireError("bad-situation", f"{situation}", offset=r.offset, notify=NotifyType.SITUATION_NOT_SUPPORTED)
    proposals = decode_list(r, MORE_PROPOSALS, limits.MAX_PROPOSALS, "too-many-proposals", _decode_proposal)
    numbers = [proposal.number for proposal in proposals]
    if numbers != sorted(numbers):
        raise WireError("bad-proposal-number", f"{numbers}", offset=r.offset)
    return Sa(proposals)


def _decode_proposal(r: Reader) -> Proposal:
    number, protocol_number, spi_octets, count = r.unpack("!BBBB")
    protocol = Protocol(protocol_number)
    if not _spi_fits(protocol, spi_octets):
        raise WireError("bad-spi-size", f"{spi_octets} octets for {protocol}", offset=r.offset)
    spi = r.take(spi_octets)
    transforms = decode_list(r, MORE_TRANSFORMS, limits.MAX_TRANSFORMS, "too-many-transforms", _decode_transform)
    if len(transforms) != count:
        raise WireError("transform-count", f"{len(transforms)} transforms, count says {count}", offset=r.offset)
    if not _rising([transform.number for transform in transforms]):
        raise WireError("bad-transform-number", f"in proposal {number}", offset=r.offset)
    return Proposal(number, protocol, spi, transforms)


def _spi_fits(protocol: Protocol, octets: int) -> bool:
    sizes = _SPI_SIZES.get(protocol)
    return octets in sizes if sizes else octets <= MOST_COOKIE_OCTETS


def _decode_transform(r: Reader) -> Transform:
    number, id_, _ = r.unpack("!BBH")
    return Transform(number, id_, decode_attributes(r, limits.MAX_V1_ATTRIBUTES))


def _rising(numbers: Sequence[int]) -> bool:
    return all(one < other for one, other in pairwise(numbers))


def encode_sa(sa: Sa) -> bytes:
    """Raises ValueError or struct.error for what doesn't fit its field."""
    bodies = [_encode_proposal(proposal) for proposal in sa.proposals]
    return struct.pack("!II", IPSEC_DOI, IDENTITY_ONLY) + encode_list(bodies, MORE_PROPOSALS)


def _encode_proposal(proposal: Proposal) -> bytes:
    bodies = [_encode_transform(transform) for transform in proposal.transforms]
    head = struct.pack("!BBBB", proposal.number, proposal.protocol, len(proposal.spi), len(bodies))
    return head + proposal.spi + encode_list(bodies, MORE_TRANSFORMS)


def _encode_transform(transform: Transform) -> bytes:
    return struct.pack("!BBH", transform.number, transform.id, 0) + encode_attributes(transform.attributes)
