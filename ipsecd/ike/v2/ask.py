"""What one request for a child SA says, and what its answer makes (RFC 7296 sections 1.2 and 1.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipsecd import limits
from ipsecd.crypto.exchange import KeyPair
from ipsecd.crypto.secret import Secret
from ipsecd.errors import PeerError
from ipsecd.ike import reports
from ipsecd.ike.child_sa import ChildSa
from ipsecd.ike.config import Child, Peer
from ipsecd.ike.current import current
from ipsecd.ike.exchange import Admitted
from ipsecd.ike.narrowing import Packet, Selectors, check_answer, offer_for, show
from ipsecd.ike.negotiate import accepted, esp_menus, esp_suite, groups_of, offer
from ipsecd.ike.suites import EspSuite
from ipsecd.ike.v2.making import SPI_OCTETS, make, reserved
from ipsecd.ike.v2.transport import Seen, between_hosts, said, seen, stay_apart, wants
from ipsecd.wire.form import TUNNEL
from ipsecd.wire.payloads import AnyPayload, Ke, Nonce, Notify, Sa, TsI, TsR
from ipsecd.wire.registry import Group, NotifyType, Protocol

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa


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
    transport: bool  # it asks for that mode

    @classmethod
    def first(cls, sa: IkeSa, peer: Peer, child: Child, packet: Packet | None) -> Ask:
        """For IKE_AUTH: keys come from the nonces of IKE_SA_INIT, without a key exchange (1.2)."""
        spi = sa.core.fresh_child_spi()
        proposals = offer(esp_menus(child.proposals, pfs=False), Protocol.ESP, spi)
        local, remote = offer_for(child, packet)
        transport = child.transport and between_hosts(sa, local, remote)
        return cls(peer, child, spi, proposals, local, remote, sa.secured.nonces[0], None, transport)

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
        spi = sa.core.fresh_child_spi()
        menus = esp_menus(child.proposals, pfs=True)
        groups = groups_of(menus)
        chosen = group if group in groups else next(iter(groups), None)
        pair = sa.core.entropy.key_pair(chosen) if chosen is not None else None
        nonce = sa.core.entropy.octets(limits.NONCE_OCTETS)
        transport = transport and between_hosts(sa, *selectors)
        return cls(peer, child, spi, offer(menus, Protocol.ESP, spi), *selectors, nonce, pair, transport)

    def payloads(self) -> tuple[AnyPayload, ...]:
        """[N(USE_TRANSPORT_MODE),] SA, Ni, [KEi,] TSi, TSr."""
        ke = (Ke(self.pair.group, self.pair.public),) if self.pair else ()
        mode = said(transport=self.transport)
        return (*mode, self.sa, Nonce(self.nonce), *ke, TsI(self.local), TsR(self.remote))

    def payloads_of_auth(self) -> tuple[AnyPayload, ...]:
        """[N(USE_TRANSPORT_MODE),] SA, TSi, TSr."""
        return (*said(transport=self.transport), self.sa, TsI(self.local), TsR(self.remote))

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
        proposal, picked = accepted(self.sa, answer.one(Sa), SPI_OCTETS)
        if reserved(proposal.spi):
            raise PeerError("bad-spi", proposal.spi.hex())
        suite = esp_suite(picked)
        granted = self._granted(sa, answer)
        local = check_answer(self.local, granted.local, "TSi")
        remote = check_answer(self.remote, granted.remote, "TSr")
        if granted.form.transport:
            stay_apart(sa, local, remote)
        if proposal.spi in sa.deleted_early:
            return None
        shared = self._shared(suite, answer)
        peer, child = current(sa, self.child)
        spis = (self.spi, proposal.spi)
        return make(sa, peer, child, suite, spis, (local, remote), nonces, shared, granted.form, initiator=True)

    def _granted(self, sa: IkeSa, answer: Admitted) -> Seen:
        """The selectors of the answer, and the mode: that of transport if both ends say so, tunnel mode if the peer
        doesn't (1.3.1)."""
        local, remote = answer.one(TsI).selectors, answer.one(TsR).selectors
        if not wants(answer):
            return Seen(local, remote, TUNNEL)
        if not self.transport:
            raise PeerError("mode-unasked", "it grants transport mode, which we haven't asked for")
        return seen(sa, local, remote)

    def _shared(self, suite: EspSuite, answer: Admitted) -> Secret | None:
        if suite.group is None:
            return None
        ke = answer.maybe(Ke)
        if self.pair is None or ke is None or ke.group != suite.group.id or ke.group != self.pair.group:
            raise PeerError("wrong-ke-group", f"{ke.group if ke else 'no KE payload'} for {suite}")
        return self.pair.shared(ke.data)
