"""CREATE_CHILD_SA for the successor of the IKE SA, also when both ends ask (RFC 7296 sections 1.3.2, 2.8.2, 2.18)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipsecd import limits
from ipsecd.crypto.exchange import KeyPair
from ipsecd.crypto.keymat import derive_ike_rekey
from ipsecd.crypto.secret import Secret
from ipsecd.errors import LocalError, PeerError, Refused
from ipsecd.ike import reports
from ipsecd.ike.exchange import REKEY_IKE_RESPONSE, Admitted
from ipsecd.ike.menus import ike_menus
from ipsecd.ike.negotiate import accepted, groups_of, ike_suite, offer, pick
from ipsecd.ike.stage import Stage
from ipsecd.ike.succession import hand_over, note_rival
from ipsecd.ike.suites import IkeSuite
from ipsecd.ike.v2.asking import Asking, other_group_wanted
from ipsecd.ike.v2.child import TEMPORARY_FAILURE
from ipsecd.ike.v2.reply import Reply
from ipsecd.wire.payloads import AnyPayload, Ke, Nonce, Notify, Proposal, Sa
from ipsecd.wire.registry import Group, NotifyType, Protocol

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa

_SPI_OCTETS = 8


class RekeyIke(Asking):
    """Ask for the heir of an IKE SA, hand everything over, then have the old one deleted."""

    response = REKEY_IKE_RESPONSE
    on_ike = True

    def __init__(self) -> None:
        super().__init__()
        self._offer = Sa(())
        self._nonce = b""
        self._new_spi = b""
        self._pair: KeyPair | None = None

    def build(self, sa: IkeSa) -> tuple[AnyPayload, ...] | None:
        menus = ike_menus(sa.peer.proposals)
        self._new_spi = sa.core.fresh_ike_spi()
        self.promise(sa, self._new_spi)
        self._pair = sa.core.entropy.key_pair(self._groups(sa)[0])
        self._nonce = sa.core.entropy.octets(limits.NONCE_OCTETS)
        self._offer = offer(menus, self._new_spi)
        return (self._offer, Nonce(self._nonce), Ke(self._pair.group, self._pair.public))

    def _groups(self, sa: IkeSa) -> tuple[Group, ...]:
        """Those we offer: first the one asked for, else the present one, which both have."""
        best = self.group or sa.secured.suite.group.id
        return tuple(sorted(groups_of(ike_menus(sa.peer.proposals)), key=lambda group: group != best))

    def process(self, sa: IkeSa, answer: Admitted) -> None:
        self.take_back(sa)
        if answer.error is not None:
            self._refused(sa, answer.error)
            return
        nonces = (self._nonce, answer.one(Nonce).data)
        new = self._heir(sa, answer, nonces)
        if sa.stage is not Stage.ESTABLISHED:
            new.close("it was closed while it was rekeyed")
            return
        rival = sa.rival
        if rival is None or min(nonces) >= rival.lowest_nonce:
            hand_over(sa, new)
            sa.close("it was rekeyed")
            return
        # 2.8.2: the one made with the lowest of the four nonces is deleted by its maker
        new.close("the peer rekeyed the IKE SA too")
        if rival.stands:
            hand_over(sa, rival.sa)
        else:
            sa.close("the peer has closed the one that replaces it")

    def _heir(self, sa: IkeSa, answer: Admitted, nonces: tuple[bytes, bytes]) -> IkeSa:
        chosen, picked = accepted(self._offer, answer.one(Sa), _SPI_OCTETS)
        suite = ike_suite(picked)
        ke = answer.one(Ke)
        if self._pair is None:
            raise LocalError("an answer to a rekey that was never asked for")
        if not any(chosen.spi) or ke.group != suite.group.id or ke.group != self._pair.group:
            raise PeerError("bad-rekey-answer", f"group {ke.group}, SPI {chosen.spi.hex()}")
        shared = self._pair.shared(ke.data)
        new = sa.successor(initiator=True, spi_i=self._new_spi, spi_r=chosen.spi)
        _protect(sa, new, suite, nonces, shared)
        return new

    def _refused(self, sa: IkeSa, error: Notify) -> None:
        if sa.stage is not Stage.ESTABLISHED:
            return
        if sa.rival is not None and sa.rival.stands:
            hand_over(sa, sa.rival.sa)
        elif not self.asks_again(sa, error, self._groups(sa)):
            reports.ike_failed(sa.core, "ike-rekey-failed", sa.peer, reports.PEER, reports.meaning(error))
            sa.submit(RekeyIke(), limits.TEMPORARY_FAILURE_LAST)
            sa.core.wanted.renew(sa)

    def elsewhere(self) -> None:
        """That is a new SA already."""

    def abandon(self, sa: IkeSa, reason: str) -> None:
        self.take_back(sa)


def answer_rekey_ike(sa: IkeSa, request: Admitted) -> Reply:
    """The peer wants an heir for this IKE SA."""
    # 2.25.1, 2.25.2: not while it is being closed, or a child of it made, rekeyed or closed
    if not sa.live or sa.changing_children or sa.rival is not None:
        return TEMPORARY_FAILURE
    if len(sa.core.ikes) >= limits.MAX_IKE_SAS:
        raise Refused("too-many-ike-sas", notify=NotifyType.NO_ADDITIONAL_SAS)
    ke = request.one(Ke)
    menus = ike_menus(sa.peer.proposals)
    chosen, picked = pick(menus, request.one(Sa), sent_group=ke.group)
    suite = ike_suite(picked)
    if len(chosen.spi) != _SPI_OCTETS or not any(chosen.spi):
        raise PeerError("bad-spi", "an IKE SPI has eight octets", notify=NotifyType.INVALID_SYNTAX)
    if ke.group != suite.group.id:
        raise other_group_wanted(suite.group)
    pair = sa.core.entropy.key_pair(suite.group.id)
    shared = pair.shared(ke.data)
    nonces = (request.one(Nonce).data, sa.core.entropy.octets(limits.NONCE_OCTETS))
    new = sa.successor(initiator=False, spi_i=chosen.spi, spi_r=sa.core.fresh_ike_spi())
    _protect(sa, new, suite, nonces, shared)
    answer = Proposal(chosen.number, Protocol.IKE, new.spi_r, chosen.transforms)
    payloads = (Sa((answer,)), Nonce(nonces[1]), Ke(pair.group, pair.public))
    if sa.rekeying:
        # which of the two stays is known when our own answer comes (2.8.2)
        note_rival(sa, new, min(nonces))
        return Reply(payloads)
    return Reply(payloads, lambda: hand_over(sa, new))


def _protect(sa: IkeSa, new: IkeSa, suite: IkeSuite, nonces: tuple[bytes, bytes], shared: Secret) -> None:
    keys = derive_ike_rekey(
        sa.secured.suite.prf.id,
        sa.secured.keys.d,
        suite.prf.id,
        suite.encryption,
        suite.integrity,
        *nonces,
        shared,
        new.spi_i,
        new.spi_r,
    )
    new.secure(suite, keys, nonces)
