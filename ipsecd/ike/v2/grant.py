"""Granting a child SA that the peer asks for (RFC 7296 sections 1.2 and 1.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipsecd.crypto.secret import Secret
from ipsecd.errors import PeerError, Refused
from ipsecd.ike.child_sa import ChildSa
from ipsecd.ike.exchange import Admitted
from ipsecd.ike.narrowing import Narrowed
from ipsecd.ike.negotiate import esp_menus, esp_suite, pick
from ipsecd.ike.suites import EspSuite
from ipsecd.ike.v2.asking import other_group_wanted
from ipsecd.ike.v2.making import SPI_OCTETS, make, reserved
from ipsecd.ike.v2.transport import said
from ipsecd.wire.form import Form
from ipsecd.wire.payloads import AnyPayload, Ke, Nonce, Proposal, Sa, TsI, TsR
from ipsecd.wire.registry import NotifyType, Protocol

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa


def grant(
    sa: IkeSa, request: Admitted, best: Narrowed, form: Form, nonce: bytes
) -> tuple[ChildSa, tuple[AnyPayload, ...]]:
    """Make the child SA a CREATE_CHILD_SA request asks for and open its inbound half; the payloads of the response."""
    ke = request.maybe(Ke)
    menus = esp_menus(best.child.proposals, pfs=True)
    chosen, picked = pick(menus, request.one(Sa), Protocol.ESP, sent_group=ke.group if ke else None)
    suite = esp_suite(picked)
    shared, answer_ke = _exchange_keys(sa, suite, ke)
    nonces = (request.one(Nonce).data, nonce)
    new, answer = _grant(sa, best, chosen, suite, nonces, shared, form)
    mode = said(transport=form.transport)
    return new, (*mode, answer, Nonce(nonce), *answer_ke, TsI(new.remote), TsR(new.local))


def grant_first(sa: IkeSa, request: Admitted, best: Narrowed, form: Form) -> tuple[ChildSa, tuple[AnyPayload, ...]]:
    """The same for IKE_AUTH, where a child has neither nonces nor a key exchange of its own (1.2)."""
    menus = esp_menus(best.child.proposals, pfs=False)
    chosen, picked = pick(menus, request.one(Sa), Protocol.ESP, sent_group=None, ignore_groups=True)
    new, answer = _grant(sa, best, chosen, esp_suite(picked), sa.secured.nonces, None, form)
    return new, (*said(transport=form.transport), answer, TsI(new.remote), TsR(new.local))


def _exchange_keys(sa: IkeSa, suite: EspSuite, ke: Ke | None) -> tuple[Secret | None, tuple[Ke, ...]]:
    if suite.group is None:
        return None, ()
    if ke is None or ke.group != suite.group.id:
        raise other_group_wanted(suite.group)
    pair = sa.core.entropy.key_pair(suite.group.id)
    return pair.shared(ke.data), (Ke(pair.group, pair.public),)


def _grant(
    sa: IkeSa,
    best: Narrowed,
    chosen: Proposal,
    suite: EspSuite,
    nonces: tuple[bytes, bytes],
    shared: Secret | None,
    form: Form,
) -> tuple[ChildSa, Sa]:
    if len(chosen.spi) != SPI_OCTETS:
        raise PeerError("bad-spi", "an ESP SPI has four octets", notify=NotifyType.INVALID_SYNTAX)
    if reserved(chosen.spi):
        raise Refused("bad-spi", f"{chosen.spi.hex()} is reserved", notify=NotifyType.NO_PROPOSAL_CHOSEN)
    spi = sa.core.fresh_child_spi()
    spis, selectors = (spi, chosen.spi), (best.local, best.remote)
    new = make(sa, best.peer, best.child, suite, spis, selectors, nonces, shared, form, initiator=False)
    new.open_inbound()
    return new, Sa((Proposal(chosen.number, Protocol.ESP, spi, chosen.transforms),))
