"""CREATE_CHILD_SA for one more child SA, and what IKE_AUTH and rekeying share with it (RFC 7296 section 1.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipsecd import limits
from ipsecd.crypto.exchange import KeyPair
from ipsecd.crypto.keymat import derive_child
from ipsecd.crypto.secret import Secret
from ipsecd.errors import LocalError, PeerError, Refused
from ipsecd.ike import reports
from ipsecd.ike.child_sa import ChildSa, Rival, directions
from ipsecd.ike.config import Child, Peer
from ipsecd.ike.current import current, overtaken
from ipsecd.ike.exchange import CHILD_RESPONSE, Admitted
from ipsecd.ike.narrowing import Packet, Selectors, check_answer, covers, narrow_in, offer_for, show, takes
from ipsecd.ike.negotiate import accepted, esp_menus, esp_suite, groups_of, offer, pick
from ipsecd.ike.sessions import may_grant, spent
from ipsecd.ike.suites import EspSuite
from ipsecd.ike.v2.asking import Asking, other_group_wanted
from ipsecd.ike.v2.informational import DeleteUnmade
from ipsecd.ike.v2.reply import Reply
from ipsecd.wire.payloads import AnyPayload, Ke, Nonce, Notify, Proposal, Sa, TsI, TsR
from ipsecd.wire.registry import Group, NotifyType, Protocol

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa

_SPI_OCTETS = 4
TEMPORARY_FAILURE = Reply((Notify(NotifyType.TEMPORARY_FAILURE),))


# --- asking ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ask:
    """What one request for a child SA says, kept for its answer. ``pair`` is there with PFS."""

    peer: Peer
    child: Child
    spi: bytes
    sa: Sa
    local: Selectors
    remote: Selectors
    nonce: bytes
    pair: KeyPair | None

    @classmethod
    def first(cls, sa: IkeSa, peer: Peer, child: Child, packet: Packet | None) -> Ask:
        """For IKE_AUTH: keys come from the nonces of IKE_SA_INIT, without a key exchange (1.2)."""
        spi = sa.core.fresh_child_spi()
        proposals = offer(esp_menus(child.proposals, pfs=False), Protocol.ESP, spi)
        return cls(peer, child, spi, proposals, *offer_for(child, packet), sa.secured.nonces[0], None)

    @classmethod
    def later(
        cls, sa: IkeSa, peer: Peer, child: Child, selectors: tuple[Selectors, Selectors], group: Group | None
    ) -> Ask:
        """For CREATE_CHILD_SA. ``group``: the peer has asked for this one (1.3)."""
        spi = sa.core.fresh_child_spi()
        menus = esp_menus(child.proposals, pfs=True)
        groups = groups_of(menus)
        chosen = group if group in groups else next(iter(groups), None)
        pair = sa.core.entropy.key_pair(chosen) if chosen is not None else None
        nonce = sa.core.entropy.octets(limits.NONCE_OCTETS)
        return cls(peer, child, spi, offer(menus, Protocol.ESP, spi), *selectors, nonce, pair)

    def payloads(self) -> tuple[AnyPayload, ...]:
        """SA, Ni, [KEi,] TSi, TSr."""
        ke = (Ke(self.pair.group, self.pair.public),) if self.pair else ()
        return (self.sa, Nonce(self.nonce), *ke, TsI(self.local), TsR(self.remote))

    def payloads_of_auth(self) -> tuple[AnyPayload, ...]:
        """SA, TSi, TSr."""
        return (self.sa, TsI(self.local), TsR(self.remote))

    @property
    def groups(self) -> tuple[Group, ...]:
        """Those offered, the one tried first."""
        offered = groups_of(esp_menus(self.child.proposals, pfs=True))
        return tuple(sorted(offered, key=lambda group: self.pair is None or group != self.pair.group))

    def refusal(self, error: Notify) -> str:
        """Why the peer doesn't make it, in plain words: with the selectors if it's those that it refuses."""
        asked = f": we ask for {show(self.local)} = {show(self.remote)}"
        return f"{reports.meaning(error)}{asked if error.type == NotifyType.TS_UNACCEPTABLE else ''}"

    def accept(self, sa: IkeSa, answer: Admitted, nonces: tuple[bytes, bytes]) -> ChildSa | None:
        """The child SA that the answer makes, nothing of it installed yet. None if its Delete came before its answer.

        Raises PeerError if the answer isn't one to what we asked.
        """
        proposal, picked = accepted(self.sa, answer.one(Sa), _SPI_OCTETS)
        if _reserved(proposal.spi):
            raise PeerError("bad-spi", proposal.spi.hex())
        suite = esp_suite(picked)
        local = check_answer(self.local, answer.one(TsI).selectors, "TSi")
        remote = check_answer(self.remote, answer.one(TsR).selectors, "TSr")
        if proposal.spi in sa.deleted_early:
            return None
        shared = self._shared(suite, answer)
        peer, child = current(sa, self.child)
        spis = (self.spi, proposal.spi)
        return _make(sa, peer, child, suite, spis, (local, remote), nonces, shared, initiator=True)

    def _shared(self, suite: EspSuite, answer: Admitted) -> Secret | None:
        if suite.group is None:
            return None
        ke = answer.maybe(Ke)
        if self.pair is None or ke is None or ke.group != suite.group.id or ke.group != self.pair.group:
            raise PeerError("wrong-ke-group", f"{ke.group if ke else 'no KE payload'} for {suite}")
        return self.pair.shared(ke.data)


class AskingForChild(Asking):
    """What asking for a new child SA and asking for the successor of one have in common."""

    response = CHILD_RESPONSE
    on_child = True

    def __init__(self) -> None:
        super().__init__()
        self._ask: Ask | None = None

    def sends(self, sa: IkeSa, ask: Ask) -> tuple[AnyPayload, ...]:
        self._ask = ask
        self.promise(sa, ask.spi)
        return ask.payloads()

    def answered(self, sa: IkeSa) -> Ask:
        """The ask whose answer is here."""
        self.take_back(sa)
        if self._ask is None:
            raise LocalError("an answer to a child SA that was never asked for")
        return self._ask

    @staticmethod
    def undo(sa: IkeSa, ask: Ask, error: PeerError) -> str:
        """The answer was no good, but the peer has installed something: have it removed. The reason in plain words.

        Raises the error again if it ends the IKE SA.
        """
        if error.reason == "bad-public-value":
            raise error  # RFC 6989 section 2.5
        sa.core.drop(error.reason)
        sa.submit(DeleteUnmade(ask.spi))
        return f"the peer's answer doesn't fit what we asked: {error}"


class CreateChild(AskingForChild):
    """One more child SA, perhaps because of a packet."""

    def __init__(self, peer: Peer, child: Child, packet: Packet | None) -> None:
        super().__init__()
        self.makes = child.id
        self.peer = peer
        self.child = child
        self._packet = packet
        self._rival: Rival | None = None

    def note_rival(self, made: ChildSa, lowest_nonce: bytes) -> None:
        """The peer asks for the same child at the same time, and has got it."""
        self._rival = Rival(made, lowest_nonce)

    def anew(self) -> CreateChild:
        """The same from the beginning, for another IKE SA."""
        return CreateChild(self.peer, self.child, self._packet)

    def build(self, sa: IkeSa) -> tuple[AnyPayload, ...] | None:
        try:
            self.peer, self.child = current(sa, self.child)
        except Refused as refusal:
            self.abandon(sa, refusal.detail)
            return None
        if served(sa, self.child, self._packet):
            sa.core.wanted.made(self.child)
            return None
        if spent(sa):
            sa.core.wanted.elsewhere(self.child, self._packet)
            return None
        offered = offer_for(self.child, self._packet)
        return self.sends(sa, Ask.later(sa, self.peer, self.child, offered, self.group))

    def process(self, sa: IkeSa, answer: Admitted) -> None:
        ask = self.answered(sa)
        if answer.error is not None and answer.error.type == NotifyType.NO_ADDITIONAL_SAS:
            sa.sessions.refused = True
            sa.core.wanted.elsewhere(self.child, self._packet)
            return
        if answer.error is not None:
            if not self.asks_again(sa, answer.error, ask.groups):
                self._failed(sa, reports.PEER, ask.refusal(answer.error))
                if answer.error.type == NotifyType.TEMPORARY_FAILURE:
                    sa.core.wanted.renew(sa)
            return
        if overtaken(sa, ask.child):
            start_over(sa, ask, self._packet)
            return
        nonces = (ask.nonce, answer.one(Nonce).data)
        try:
            new = ask.accept(sa, answer, nonces)
        except PeerError as error:
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
        made(new, self._packet)
        if sa.core.wanted.held(self.child.id):
            sa.delete_child(new)  # it was put down while we asked

    def _one_too_many(self, sa: IkeSa, new: ChildSa, lowest_nonce: bytes) -> bool:
        """Of two that both ends have asked for, the one made with the lowest of the four nonces is closed by its maker,
        as in a rekey (2.8.1). And one narrowed to what there is already is of no use to the packet that asked (2.9)."""
        if self._rival is not None and self._rival.outlasts(new, lowest_nonce):
            return True
        return not holds(new, self._packet) and any(
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
    sa.submit(DeleteUnmade(ask.spi))
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
    best = narrow_in(sa.peers, local=request.one(TsR).selectors, remote=request.one(TsI).selectors)
    nonce = sa.core.entropy.octets(limits.NONCE_OCTETS)
    new, payloads = grant(sa, request, best.peer, best.child, (best.local, best.remote), nonce)
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


def grant(
    sa: IkeSa, request: Admitted, peer: Peer, child: Child, selectors: tuple[Selectors, Selectors], nonce: bytes
) -> tuple[ChildSa, tuple[AnyPayload, ...]]:
    """Make the child SA a CREATE_CHILD_SA request asks for and open its inbound half; the payloads of the response."""
    ke = request.maybe(Ke)
    menus = esp_menus(child.proposals, pfs=True)
    chosen, picked = pick(menus, request.one(Sa), Protocol.ESP, sent_group=ke.group if ke else None)
    suite = esp_suite(picked)
    shared, answer_ke = _exchange_keys(sa, suite, ke)
    nonces = (request.one(Nonce).data, nonce)
    new, answer = _grant(sa, peer, child, chosen, suite, selectors, nonces, shared)
    return new, (answer, Nonce(nonce), *answer_ke, TsI(new.remote), TsR(new.local))


def grant_first(
    sa: IkeSa, offered: Sa, peer: Peer, child: Child, selectors: tuple[Selectors, Selectors]
) -> tuple[ChildSa, tuple[AnyPayload, ...]]:
    """The same for IKE_AUTH, where a child has neither nonces nor a key exchange of its own (1.2)."""
    menus = esp_menus(child.proposals, pfs=False)
    chosen, picked = pick(menus, offered, Protocol.ESP, sent_group=None, ignore_groups=True)
    new, answer = _grant(sa, peer, child, chosen, esp_suite(picked), selectors, sa.secured.nonces, None)
    return new, (answer, TsI(new.remote), TsR(new.local))


def _exchange_keys(sa: IkeSa, suite: EspSuite, ke: Ke | None) -> tuple[Secret | None, tuple[Ke, ...]]:
    if suite.group is None:
        return None, ()
    if ke is None or ke.group != suite.group.id:
        raise other_group_wanted(suite.group)
    pair = sa.core.entropy.key_pair(suite.group.id)
    return pair.shared(ke.data), (Ke(pair.group, pair.public),)


def _grant(
    sa: IkeSa,
    peer: Peer,
    child: Child,
    chosen: Proposal,
    suite: EspSuite,
    selectors: tuple[Selectors, Selectors],
    nonces: tuple[bytes, bytes],
    shared: Secret | None,
) -> tuple[ChildSa, Sa]:
    if len(chosen.spi) != _SPI_OCTETS:
        raise PeerError("bad-spi", "an ESP SPI has four octets", notify=NotifyType.INVALID_SYNTAX)
    if _reserved(chosen.spi):
        raise Refused("bad-spi", f"{chosen.spi.hex()} is reserved", notify=NotifyType.NO_PROPOSAL_CHOSEN)
    spi = sa.core.fresh_child_spi()
    new = _make(sa, peer, child, suite, (spi, chosen.spi), selectors, nonces, shared, initiator=False)
    new.open_inbound()
    return new, Sa((Proposal(chosen.number, Protocol.ESP, spi, chosen.transforms),))


def _reserved(spi: bytes) -> bool:
    """RFC 4303 section 2.1."""
    return int.from_bytes(spi, "big") <= 255


def _make(
    sa: IkeSa,
    peer: Peer,
    child: Child,
    suite: EspSuite,
    spis: tuple[bytes, bytes],
    selectors: tuple[Selectors, Selectors],
    nonces: tuple[bytes, bytes],
    shared: Secret | None,
    *,
    initiator: bool,
) -> ChildSa:
    prf, sk_d = sa.secured.suite.prf.id, sa.secured.keys.d
    material = derive_child(prf, sk_d, suite.encryption, suite.integrity, *nonces, shared)
    return ChildSa(sa, peer, child, suite, spis, selectors, directions(suite, material, initiator=initiator))
