"""CREATE_CHILD_SA for one more child SA, and what IKE_AUTH and rekeying share with it (RFC 7296 section 1.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipsecd import limits
from ipsecd.errors import LocalError, PeerError, Refused
from ipsecd.ike import reports
from ipsecd.ike.child_sa import ChildSa, Rival
from ipsecd.ike.config import Child, Peer
from ipsecd.ike.current import current, overtaken
from ipsecd.ike.exchange import CHILD_RESPONSE, Admitted
from ipsecd.ike.narrowing import (
    Packet,
    covers,
    narrow_in,
    offer_for,
    takes,
)
from ipsecd.ike.sessions import may_grant, spent
from ipsecd.ike.v2.ask import Ask
from ipsecd.ike.v2.asking import Asking
from ipsecd.ike.v2.grant import grant
from ipsecd.ike.v2.informational import DeleteUnmade
from ipsecd.ike.v2.reply import Reply
from ipsecd.ike.v2.transport import narrowed
from ipsecd.wire.payloads import AnyPayload, Nonce, Notify
from ipsecd.wire.registry import NotifyType

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa

TEMPORARY_FAILURE = Reply((Notify(NotifyType.TEMPORARY_FAILURE),))


# --- asking ------------------------------------------------------------------------------------------------------


class AskingForChild(Asking):
    """What asking for a new child SA and asking for the successor of one have in common."""

    response = CHILD_RESPONSE
    on_child = True

    def __init__(self) -> None:
        super().__init__()
        self._ask: Ask | None = None

    def sends(self, sa: IkeSa, ask: Ask) -> tuple[AnyPayload, ...]:
        self._ask = ask
        self.promise(sa, *ask.spis)
        return ask.payloads()

    def answered(self, sa: IkeSa) -> Ask:
        """The ask whose answer is here."""
        self.take_back(sa)
        if self._ask is None:
            raise LocalError("an answer to a child SA that was never asked for")
        return self._ask

    @staticmethod
    def undo(sa: IkeSa, ask: Ask, error: PeerError | Refused) -> str:
        """The answer was no good, but the peer has installed something: have it removed. The reason in plain words.

        Raises the error again if it ends the IKE SA.
        """
        if error.reason == "bad-public-value":
            raise error  # RFC 6989 section 2.5
        sa.core.drop(error.reason)
        sa.submit(DeleteUnmade(ask.spis[0], ask.protocols))
        return f"the peer's answer doesn't fit what we asked: {error}"


class CreateChild(AskingForChild):
    """One more child SA, perhaps because of a packet."""

    def __init__(self, peer: Peer, child: Child, packet: Packet | None) -> None:
        super().__init__()
        self.makes = child.id
        self.peer = peer
        self.child = child
        self.packet = packet
        self._rival: Rival | None = None

    def note_rival(self, made: ChildSa, lowest_nonce: bytes) -> None:
        """The peer asks for the same child at the same time, and has got it."""
        self._rival = Rival(made, lowest_nonce)

    def anew(self) -> CreateChild:
        """The same from the beginning, for another IKE SA."""
        return CreateChild(self.peer, self.child, self.packet)

    def build(self, sa: IkeSa) -> tuple[AnyPayload, ...] | None:
        try:
            self.peer, self.child = current(sa, self.child)
        except Refused as refusal:
            self.abandon(sa, refusal.detail)
            return None
        if served(sa, self.child, self.packet):
            sa.core.wanted.made(self.child)
            return None
        if spent(sa):
            sa.core.wanted.elsewhere(self.child, self.packet)
            return None
        offered = offer_for(self.child, self.packet)
        transport = self.child.transport
        return self.sends(sa, Ask.later(sa, self.peer, self.child, offered, self.group, transport=transport))

    def process(self, sa: IkeSa, answer: Admitted) -> None:
        ask = self.answered(sa)
        if answer.error is not None and answer.error.type == NotifyType.NO_ADDITIONAL_SAS:
            sa.sessions.refused = True
            sa.core.wanted.elsewhere(self.child, self.packet)
            return
        if answer.error is not None:
            if not self.asks_again(sa, answer.error, ask.groups):
                self._failed(sa, reports.PEER, ask.refusal(answer.error))
                if answer.error.type == NotifyType.TEMPORARY_FAILURE:
                    sa.core.wanted.renew(sa)
            return
        if overtaken(sa, ask.child):
            start_over(sa, ask, self.packet)
            return
        nonces = (ask.nonce, answer.one(Nonce).data)
        try:
            new = ask.accept(sa, answer, nonces)
        except (PeerError, Refused) as error:
            self._failed(sa, reports.ME, self.undo(sa, ask, error))
            return
        if new is None:
            sa.core.wanted.failed(self.child.id, "the peer has deleted it at once")
            return
        if self._one_too_many(sa, new, min(nonces)):
            new.open_inbound()
            sa.delete_child(new)
        else:
            begin(new)
        made(new, self.packet)
        if sa.core.wanted.held(self.child.id):
            sa.delete_child(new)  # it was put down while we asked

    def _one_too_many(self, sa: IkeSa, new: ChildSa, lowest_nonce: bytes) -> bool:
        """Of two that both ends have asked for, the one made with the lowest of the four nonces is closed by its maker,
        as in a rekey (2.8.1). And one narrowed to what there is already is of no use to the packet that asked (2.9)."""
        if self._rival is not None and self._rival.outlasts(new, lowest_nonce):
            return True
        return not holds(new, self.packet) and any(
            other.config.id == new.config.id
            and other.usable
            and covers(other.local, new.local)
            and covers(other.remote, new.remote)
            for other in sa.children.values()
        )

    def abandon(self, sa: IkeSa, reason: str) -> None:
        self.take_back(sa)
        sa.core.wanted.failed(self.child.id, reason)

    def _failed(self, sa: IkeSa, point: str, reason: str) -> None:
        reports.child_failed(sa.core, "child-failed", self.peer, self.child, point, reason)
        sa.core.wanted.failed(self.child.id, reason)


def start_over(sa: IkeSa, ask: Ask, packet: Packet | None) -> None:
    """The peer has made what isn't wanted any more, or not in this way: have it removed, and ask for what is wanted."""
    sa.submit(DeleteUnmade(ask.spis[0], ask.protocols))
    sa.submit(CreateChild(ask.peer, ask.child, packet))


def begin(new: ChildSa) -> None:
    """Both halves of a child SA that we asked for."""
    new.open_inbound()
    new.open_outbound()
    new.ike.sessions.made += 1
    new.ike.core.report("child-established", "info", **new.story())


def made(new: ChildSa, packet: Packet | None) -> None:
    """A child SA that we asked for is there, perhaps because of a packet."""
    wanted = new.ike.core.wanted
    if packet is not None and not holds(new, packet):
        wanted.narrowed(new, packet)
    else:
        wanted.made(new.config)


def served(sa: IkeSa, child: Child, packet: Packet | None) -> bool:
    """Whether the child has an SA by now, and one that the packet fits."""
    return any(other.config.id == child.id and other.usable and holds(other, packet) for other in sa.children.values())


def holds(child: ChildSa, packet: Packet | None) -> bool:
    return packet is None or takes(child.local, child.remote, packet)


# --- answering ---------------------------------------------------------------------------------------------------


def answer_child(sa: IkeSa, request: Admitted) -> Reply:
    """The peer wants one more child SA (1.3.1)."""
    if sa.rekeying or not sa.live:
        return TEMPORARY_FAILURE  # 2.25.2
    if len(sa.children) >= limits.MAX_CHILDREN_PER_IKE_SA or not may_grant(sa):
        raise Refused("too-many-children", "this IKE SA has all it may have", notify=NotifyType.NO_ADDITIONAL_SAS)
    best, form = narrowed(sa, request, lambda local, remote: narrow_in(sa.peers, local, remote))
    nonce = sa.core.entropy.octets(limits.NONCE_OCTETS)
    new, payloads = grant(sa, request, best, form, nonce)
    if isinstance(sa.active, CreateChild) and sa.active.makes == best.child.id:
        sa.active.note_rival(new, min(nonce, request.one(Nonce).data))
    if best.more:
        payloads = (*payloads, Notify(NotifyType.ADDITIONAL_TS_POSSIBLE))
    return Reply(payloads, lambda: granted(new))


def granted(new: ChildSa) -> None:
    """Our response with a new child SA has left."""
    new.open_outbound()
    new.ike.sessions.made += 1
    new.ike.core.report("child-established", "info", **new.story())
    new.ike.core.wanted.granted(new.config)
