"""Granting a child SA that the peer asks for (RFC 7296 sections 1.2 and 1.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipsecd.crypto.secret import Secret
from ipsecd.errors import PeerError, Refused
from ipsecd.ike.carriage import carried
from ipsecd.ike.child_sa import ChildSa
from ipsecd.ike.exchange import Admitted
from ipsecd.ike.menus import child_menus
from ipsecd.ike.narrowing import Narrowed
from ipsecd.ike.negotiate import SPI_OCTETS, Chosen, Offer, pick_child
from ipsecd.ike.parts import reserved
from ipsecd.ike.suites import ChildSuite
from ipsecd.ike.v2 import around, transport
from ipsecd.ike.v2.asking import other_group_wanted
from ipsecd.ike.v2.making import make
from ipsecd.wire.form import Form
from ipsecd.wire.payloads import AnyPayload, Ke, Nonce, Notify, Sa, TsI, TsR
from ipsecd.wire.registry import NotifyType

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa


def grant(
    sa: IkeSa, request: Admitted, best: Narrowed, form: Form, nonce: bytes
) -> tuple[ChildSa, tuple[AnyPayload, ...]]:
    """Make the child SA a CREATE_CHILD_SA request asks for and open its inbound half; the payloads of the response."""
    ke = request.maybe(Ke)
    menus = child_menus(carried(sa, best.peer, best.child), pfs=True)
    chosen = pick_child(menus, _offer(sa, request), sent_group=ke.group if ke else None)
    shared, answer_ke = _exchange_keys(sa, chosen.suite, ke)
    nonces = (request.one(Nonce).data, nonce)
    new, answer = _grant(sa, request, best, chosen, nonces, shared, form)
    mode = transport.said(transport=form.transport)
    return new, (*mode, *answer, Nonce(nonces[1]), *answer_ke, TsI(new.remote), TsR(new.local))


def grant_first(sa: IkeSa, request: Admitted, best: Narrowed, form: Form) -> tuple[ChildSa, tuple[AnyPayload, ...]]:
    """The same for IKE_AUTH, where a child has neither nonces nor a key exchange of its own (1.2)."""
    menus = child_menus(carried(sa, best.peer, best.child), pfs=False)
    chosen = pick_child(menus, _offer(sa, request), sent_group=None, ignore_groups=True)
    new, answer = _grant(sa, request, best, chosen, sa.secured.nonces, None, form)
    return new, (*transport.said(transport=form.transport), *answer, TsI(new.remote), TsR(new.local))


def _offer(sa: IkeSa, request: Admitted) -> Offer:
    return around.heard(request, ipsecd=sa.carriage.ipsecd)


def _exchange_keys(sa: IkeSa, suite: ChildSuite, ke: Ke | None) -> tuple[Secret | None, tuple[Ke, ...]]:
    if suite.group is None:
        return None, ()
    if ke is None or ke.group != suite.group.id:
        raise other_group_wanted(suite.group)
    pair = sa.core.entropy.key_pair(suite.group.id)
    return pair.shared(ke.data), (Ke(pair.group, pair.public),)


def _grant(
    sa: IkeSa,
    request: Admitted,
    best: Narrowed,
    chosen: Chosen,
    nonces: tuple[bytes, bytes],
    shared: Secret | None,
    form: Form,
) -> tuple[ChildSa, tuple[Sa | Notify, ...]]:
    theirs = chosen.spis
    for spi in theirs:
        if len(spi) != SPI_OCTETS:
            raise PeerError("bad-spi", "an SPI of ESP or AH has four octets", notify=NotifyType.INVALID_SYNTAX)
        if reserved(spi):
            raise Refused("bad-spi", f"{spi.hex()} is reserved", notify=NotifyType.NO_PROPOSAL_CHOSEN)
    ours = sa.core.fresh_child_spis(len(theirs))
    new = make(sa, best, chosen.suite, (ours, theirs), nonces, shared, form, request, initiator=False)
    new.open_inbound()
    return new, around.said(chosen.answer(ours))
