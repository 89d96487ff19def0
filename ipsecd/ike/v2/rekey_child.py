"""CREATE_CHILD_SA for the successor of a child SA, also when both ends ask (RFC 7296 sections 1.3.3 and 2.8.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipsecd import limits
from ipsecd.errors import PeerError, Refused
from ipsecd.ike import reports
from ipsecd.ike.child_sa import ChildSa, ChildStage, Rival
from ipsecd.ike.current import overtaken
from ipsecd.ike.exchange import Admitted
from ipsecd.ike.narrowing import narrow_again
from ipsecd.ike.v2.ask import Ask
from ipsecd.ike.v2.child import TEMPORARY_FAILURE, AskingForChild, CreateChild
from ipsecd.ike.v2.grant import grant
from ipsecd.ike.v2.informational import DeleteUnmade
from ipsecd.ike.v2.reply import Reply
from ipsecd.ike.v2.transport import narrowed
from ipsecd.wire.payloads import AnyPayload, Nonce, Notify
from ipsecd.wire.registry import NotifyType

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa


class RekeyChild(AskingForChild):
    """Ask for the successor of a child SA, then have the old one deleted."""

    def __init__(self, old: ChildSa) -> None:
        super().__init__()
        self._old = old

    def build(self, sa: IkeSa) -> tuple[AnyPayload, ...] | None:
        old = self._old
        if old.stage is not ChildStage.UP:
            return None
        if old.awaits_peer:
            # the peer may not know this SA yet: our response that made it can still be on its way, or lost
            sa.submit(self, limits.TEMPORARY_FAILURE_FIRST)
            return None
        old.rekeying = True
        old.rival = None
        # 2.9.2: the same selectors, so that the successor takes all the traffic, and the same mode
        kept = (old.local, old.remote)
        ask = Ask.later(sa, old.peer, old.config, kept, self.group, transport=old.form.transport)
        return (Notify(NotifyType.REKEY_SA, b"", old.protocol, old.spi_in), *self.sends(sa, ask))

    def process(self, sa: IkeSa, answer: Admitted) -> None:
        old = self._old
        ask = self.answered(sa)
        old.rekeying = False
        if answer.error is not None:
            self._refused(sa, ask, answer.error)
            return
        if overtaken(sa, ask.child):
            sa.submit(DeleteUnmade(ask.spis[0], ask.protocols))
            sa.rekey_child(old)  # if it isn't on its way out already
            return
        try:
            nonces = (ask.nonce, answer.one(Nonce).data)
            new = ask.accept(sa, answer, nonces)
        except (PeerError, Refused) as error:
            self._failed(sa, reports.ME, self.undo(sa, ask, error))
            return
        if new is not None:
            self._replace(sa, new, min(nonces))
        elif not old.settle_rival():
            sa.rekey_child(old, limits.TEMPORARY_FAILURE_LAST)  # the peer has deleted it at once

    def _replace(self, sa: IkeSa, new: ChildSa, lowest_nonce: bytes) -> None:
        """2.8.1: of two successors, the one made with the lowest of the four nonces is closed by its maker."""
        old = self._old
        new.open_inbound()
        rival = old.rival
        if rival is not None and lowest_nonce < rival.lowest_nonce:
            settled = old.settle_rival()
            sa.delete_child(new)
            if not settled:
                # the peer's has ended meanwhile, and yet it sends nothing by ours
                sa.rekey_child(old, limits.TEMPORARY_FAILURE_LAST)
                sa.core.wanted.lost(old.config.id)
            return
        if rival is not None:
            rival.child.stay_silent()
        old.replaced_by(new)
        new.open_outbound()
        sa.core.report("child-rekeyed", "info", **new.story())
        sa.delete_child(old)
        if sa.core.wanted.held(old.config.id):
            sa.delete_child(new)  # it was put down while we asked

    def _refused(self, sa: IkeSa, ask: Ask, error: Notify) -> None:
        old = self._old
        if old.settle_rival() or old.stage is not ChildStage.UP:
            return  # the peer's own rekey, or its Delete, has settled it
        if error.type == NotifyType.CHILD_SA_NOT_FOUND:
            # 2.25: it doesn't exist over there, so it goes here without a word, and another is made from scratch
            old.close()
            sa.submit(CreateChild(old.peer, old.config, None))
        elif not self.asks_again(sa, error, ask.groups):
            self._failed(sa, reports.PEER, ask.refusal(error))

    def _failed(self, sa: IkeSa, point: str, reason: str) -> None:
        old = self._old
        reports.child_failed(sa.core, "child-rekey-failed", old.peer, old.config, point, reason)
        sa.rekey_child(old, limits.TEMPORARY_FAILURE_LAST)
        sa.core.wanted.renew(sa)

    def abandon(self, sa: IkeSa, reason: str) -> None:
        self.take_back(sa)
        self._old.rekeying = False


def answer_rekey_child(sa: IkeSa, request: Admitted, which: Notify) -> Reply:
    """The peer wants a successor for the SA by which it receives what we send with ``which.spi``."""
    if sa.rekeying or not sa.live:
        return TEMPORARY_FAILURE  # 2.25.2
    old = next((child for child in sa.children.values() if _is_named(child, which)), None)
    if old is None and sa.changing_children:
        return TEMPORARY_FAILURE  # it may be the one that the answer we wait for makes
    if old is None:
        return Reply((Notify(NotifyType.CHILD_SA_NOT_FOUND, b"", which.protocol, which.spi),))
    if old.stage is not ChildStage.UP or old.standing_rival is not None:
        return TEMPORARY_FAILURE  # 2.25.1: it is on its way out, or has a successor already
    if len(sa.children) >= limits.MAX_REKEYED_PER_IKE_SA:
        raise Refused("too-many-children", "the peer rekeys and deletes nothing", notify=NotifyType.NO_ADDITIONAL_SAS)
    best, form = narrowed(sa, request, lambda local, remote: narrow_again(old.peer, old.config, local, remote))
    nonce = sa.core.entropy.octets(limits.NONCE_OCTETS)
    new, payloads = grant(sa, request, best, form, nonce)
    if old.rekeying:
        old.rival = Rival(new, min(nonce, request.one(Nonce).data))
    else:
        old.replaced_by(new)
        sa.core.report("child-rekeyed", "info", **new.story())
    return Reply(payloads, new.await_peer)


def _is_named(child: ChildSa, which: Notify) -> bool:
    return any((part.protocol, part.spi_out) == (which.protocol, which.spi) for part in child.parts)
