"""AH around ESP between two ipsecd ends: a proposal of ESP with a status notify of the private range beside it.

IKEv2 has no way to say "both, or neither": proposals of an SA payload exclude each other (RFC 7296 section 3.3). So
what an offer has of AH stands in a notify for each ESP proposal that goes inside of it, and in the answer likewise. The
notify's data is the body of an SA payload with one proposal of AH, which has the number of the ESP proposal. It counts
only between two of us, who know each other by the vendor ID, and whoever answers without it hasn't granted AH.
"""

from __future__ import annotations

from ipsecd.errors import PeerError, WireError
from ipsecd.ike.exchange import Admitted
from ipsecd.ike.negotiate import Offer
from ipsecd.wire.payloads import Notify, Proposal, Sa
from ipsecd.wire.proposal import decode_sa, encode_sa
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry import NotifyType, Protocol

AROUND = NotifyType(40_970)  # private use (RFC 7296 section 3.10.1)


def said(offer: Offer) -> tuple[Sa | Notify, ...]:
    """The payloads that say an offer, or the answer to one."""
    return (offer.sa, *(Notify(AROUND, encode_sa(Sa((each,)))) for each in offer.around.values()))


def heard(message: Admitted, *, ipsecd: bool) -> Offer:
    """The offer, or the answer, in a message; ``ipsecd``: the sender is one of us. Raises PeerError."""
    notifies = [notify for notify in message.notifies if notify.type == AROUND and ipsecd]
    around = [_proposal(notify.data) for notify in notifies]
    found = {each.number: each for each in around}
    if len(found) != len(around):
        raise PeerError("bad-around", "twice around one proposal", notify=NotifyType.INVALID_SYNTAX)
    return Offer(message.one(Sa), found)


def _proposal(data: bytes) -> Proposal:
    reader = Reader(data)
    try:
        proposals = decode_sa(reader).proposals
        reader.end()
    except WireError as error:
        raise PeerError("bad-around", str(error), notify=NotifyType.INVALID_SYNTAX) from error
    if len(proposals) != 1 or proposals[0].protocol != Protocol.AH:
        raise PeerError("bad-around", "not one proposal of AH", notify=NotifyType.INVALID_SYNTAX)
    return proposals[0]
