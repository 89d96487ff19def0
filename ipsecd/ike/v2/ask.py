"""What one request for a child SA says, and what its answer makes (RFC 7296 sections 1.2 and 1.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipsecd import limits
from ipsecd.crypto.exchange import KeyPair
from ipsecd.crypto.secret import Secret
from ipsecd.errors import PeerError
from ipsecd.ike import reports
from ipsecd.ike.carriage import carried
from ipsecd.ike.child_sa import ChildSa
from ipsecd.ike.config import Child, Peer
from ipsecd.ike.current import current
from ipsecd.ike.exchange import Admitted
from ipsecd.ike.menus import Menu, child_menus
from ipsecd.ike.narrowing import Narrowed, Packet, Selectors, check_answer, offer_for, show
from ipsecd.ike.negotiate import Offer, accepted_child, child_offer, groups_of
from ipsecd.ike.parts import reserved
from ipsecd.ike.suites import ChildSuite
from ipsecd.ike.v2 import around
from ipsecd.ike.v2.making import make
from ipsecd.ike.v2.transport import Seen, between_hosts, said, seen, stay_apart, wants
from ipsecd.wire.form import TUNNEL
from ipsecd.wire.payloads import AnyPayload, Ke, Nonce, Notify, TsI, TsR
from ipsecd.wire.registry import Group, NotifyType, Protocol, TransformType

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa


@dataclass(frozen=True, slots=True)
class Ask:
    """What one request for a child SA says, kept for its answer. ``spis`` are ours: that of the proposals, and where AH
    around ESP is offered that of AH behind it. ``pair`` is there with PFS."""

    peer: Peer
    child: Child
    spis: tuple[bytes, ...]
    offer: Offer
    local: Selectors
    remote: Selectors
    nonce: bytes
    pair: KeyPair | None
    transport: bool  # it asks for that mode

    @classmethod
    def first(cls, sa: IkeSa, peer: Peer, child: Child, packet: Packet | None) -> Ask:
        """For IKE_AUTH: keys come from the nonces of IKE_SA_INIT, without a key exchange (1.2)."""
        menus = child_menus(carried(sa, peer, child), pfs=False)
        local, remote = offer_for(child, packet)
        wanted = child.transport and between_hosts(sa, local, remote)
        return cls(peer, child, *_offered(sa, menus), local, remote, sa.secured.nonces[0], None, wanted)

    @classmethod
    def later(
        cls,
        sa: IkeSa,
        peer: Peer,
        child: Child,
        selectors: tuple[Selectors, Selectors],
        group: Group | None,
        *,
        transport: bool,
    ) -> Ask:
        """For CREATE_CHILD_SA. ``group``: the peer has asked for this one (1.3). ``transport``: that mode is wanted, as
        far as the selectors are for it."""
        menus = child_menus(carried(sa, peer, child), pfs=True)
        groups = groups_of(menus)
        chosen = group if group in groups else next(iter(groups), None)
        pair = sa.core.entropy.key_pair(chosen) if chosen is not None else None
        nonce = sa.core.entropy.octets(limits.NONCE_OCTETS)
        wanted = transport and between_hosts(sa, *selectors)
        return cls(peer, child, *_offered(sa, menus), *selectors, nonce, pair, wanted)

    def payloads(self) -> tuple[AnyPayload, ...]:
        """[N(USE_TRANSPORT_MODE),] SA, [N(AROUND), ...] Ni, [KEi,] TSi, TSr."""
        ke = (Ke(self.pair.group, self.pair.public),) if self.pair else ()
        return (*self._said(), Nonce(self.nonce), *ke, TsI(self.local), TsR(self.remote))

    def payloads_of_auth(self) -> tuple[AnyPayload, ...]:
        """[N(USE_TRANSPORT_MODE),] SA, [N(AROUND), ...] TSi, TSr."""
        return (*self._said(), TsI(self.local), TsR(self.remote))

    def _said(self) -> tuple[AnyPayload, ...]:
        return (*said(transport=self.transport), *around.said(self.offer))

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """Those offered with our first SPI, of which the peer may have made an SA."""
        return tuple(dict.fromkeys(proposal.protocol for proposal in self.offer.sa.proposals))

    @property
    def groups(self) -> tuple[Group, ...]:
        """Those offered, the one tried first."""
        offered = {
            transform.id: None
            for proposal in self.offer.sa.proposals
            for transform in proposal.transforms
            if transform.type == TransformType.DH
        }
        return tuple(sorted(map(Group, offered), key=lambda group: self.pair is None or group != self.pair.group))

    def refusal(self, error: Notify) -> str:
        """Why the peer doesn't make it, in plain words: with the selectors or the algorithms that it refuses."""
        said = reports.meaning(error)
        if error.type == NotifyType.TS_UNACCEPTABLE:
            return f"{said}: we ask for {show(self.local)} = {show(self.remote)}"
        if error.type == NotifyType.NO_PROPOSAL_CHOSEN:
            return f"{said}: we offer {self.offer}"
        return said

    def accept(self, sa: IkeSa, answer: Admitted, nonces: tuple[bytes, bytes]) -> ChildSa | None:
        """The child SA that the answer makes, nothing of it installed yet. None if its Delete came before its answer.

        Raises PeerError if the answer isn't one to what we asked.
        """
        chosen = accepted_child(self.offer, around.heard(answer, ipsecd=sa.carriage.ipsecd))
        if any(map(reserved, chosen.spis)):
            raise PeerError("bad-spi", ", ".join(spi.hex() for spi in chosen.spis))
        granted = self._granted(sa, answer)
        local = check_answer(self.local, granted.local, "TSi")
        remote = check_answer(self.remote, granted.remote, "TSr")
        if self.child.transport:
            stay_apart(sa, local, remote)
        if (chosen.proposal.protocol, chosen.proposal.spi) in sa.deleted_early:
            return None
        shared = self._shared(chosen.suite, answer)
        agreed = Narrowed(*current(sa, self.child), local, remote, more=False)
        ours = self.spis[: len(chosen.spis)][::-1]
        spis = (ours, chosen.spis)
        return make(sa, agreed, chosen.suite, spis, nonces, shared, granted.form, answer, initiator=True)

    def _granted(self, sa: IkeSa, answer: Admitted) -> Seen:
        """The selectors of the answer, and the mode: that of transport if both ends say so, tunnel mode if the peer
        doesn't (1.3.1)."""
        local, remote = answer.one(TsI).selectors, answer.one(TsR).selectors
        if not wants(answer):
            return Seen(local, remote, TUNNEL)
        if not self.transport:
            raise PeerError("mode-unasked", "it grants transport mode, which we haven't asked for")
        return seen(sa, local, remote)

    def _shared(self, suite: ChildSuite, answer: Admitted) -> Secret | None:
        if suite.group is None:
            return None
        ke = answer.maybe(Ke)
        if self.pair is None or ke is None or ke.group != suite.group.id or ke.group != self.pair.group:
            raise PeerError("wrong-ke-group", f"{ke.group if ke else 'no KE payload'} for {suite}")
        return self.pair.shared(ke.data)


def _offered(sa: IkeSa, menus: tuple[Menu, ...]) -> tuple[tuple[bytes, ...], Offer]:
    """SPIs of ours, and the proposals that have them."""
    spis = sa.core.fresh_child_spis(2 if any(menu.around for menu in menus) else 1)
    return spis, child_offer(menus, spis[0], spis[-1])
