"""Who begins a phase 1 with us, and which party it turns out to be."""

from __future__ import annotations

from collections.abc import Callable

from ipsecd import limits
from ipsecd.errors import PeerError, Refused
from ipsecd.ike.config import Path, Peer
from ipsecd.ike.core import Core
from ipsecd.ike.v1 import telling
from ipsecd.ike.v1.aggressive_responder import AggressiveResponder
from ipsecd.ike.v1.book import Book
from ipsecd.ike.v1.complaints import Complaints
from ipsecd.ike.v1.door import Door, Ending, Visit
from ipsecd.ike.v1.main_responder import MainModeResponder
from ipsecd.ike.v1.parties import Parties
from ipsecd.ike.v1.party import Party, Place
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.responding import Responder
from ipsecd.wire import ikev1
from ipsecd.wire.registry_v1 import Exchange

_IKE_PORTS = (500, 4500)


class Entering:
    """``party`` makes the party of these peers in this place, or finds it."""

    def __init__(
        self,
        core: Core,
        parties: Parties,
        book: Book,
        party: Callable[[tuple[Peer, ...], Place | None], Party],
    ) -> None:
        self._core = core
        self._parties = parties
        self._book = book
        self._party = party
        self._complaints = Complaints(core)
        self.door = Door(core, self._answer, self._joined, self._came_to_nothing)

    def begin(self, message: ikev1.Message, data: bytes, path: Path) -> None:
        """A message without a cookie of ours. PeerError or Refused with the reason why it has no effect."""
        try:
            self.door.first(message, data, path)
        except Refused as refusal:
            if self._complaints.refuse(message.header, len(data), path, refusal):
                self._tell("sa-init-refused", path, refusal.detail)
            raise

    def _tell(self, event: str, path: Path, reason: str) -> None:
        telling.stranger_failed(self._core, event, self._book.rules.callers(path), path.remote, reason)

    # --- while it isn't known who it is ---

    def _answer(self, header: ikev1.Header, path: Path, cookie: bytes, ends: Ending) -> Responder:
        if len(self._core.ikes) + len(self._parties) >= limits.MAX_IKE_SAS:
            raise PeerError("too-many-ike-sas")
        candidates = self._book.candidates(path)
        kind = AggressiveResponder if header.exchange == Exchange.AGGRESSIVE else MainModeResponder
        return kind(self._core, candidates, cookie, ends.done, ends.failed)

    def _came_to_nothing(self, visit: Visit, reason: str) -> None:
        """Only what is wrong with a proof is worth telling: others may just have lost a message."""
        if visit.responder.complaint:
            barred = self._book.barred(visit.path)  # whoever that is, it can't have proved itself
            self._tell("auth-failed", visit.path, f"{reason}; {barred}" if barred else reason)
        else:
            self._core.drop("half-open-expired")

    # --- and when it is ---

    def _joined(self, sa: IsakmpSa, begun: float, exchange: Exchange) -> None:
        """The party is that of all that the credential opens."""
        peers = self._book.opened(sa)
        if not peers:  # the policy has changed meanwhile
            sa.keys.wipe()
            raise Refused("no-rule-for-peer", "the rule that it was begun for isn't there any more")
        place = _place(sa) if all(not peer.remotes for peer in peers) else None
        party = self._crossed(peers) or self._party(peers, place)
        party.join(sa, begun, telling.mode_of_phase_1(exchange))
        self._make_room(party)

    def _crossed(self, peers: tuple[Peer, ...]) -> Party | None:
        """With which of these there is nothing but a call of ours, which this one crosses."""
        names = {peer.name for peer in peers}
        for party in (each for peer in peers if peer.remotes for each in self._parties.of_peer(peer.name)):
            nothing = not (party.sessions or party.association.pairs or party.place)
            if nothing and names.issuperset(peer.name for peer in party.peers):
                party.change(peers, self._book.menu)
                return party
        return None

    def _make_room(self, party: Party) -> None:
        """Of all hosts of one credential, one that isn't through XAUTH or has no SAs goes, else the oldest."""
        if self._parties.count_of_group(party) <= limits.MAX_IKE_SAS_PER_PATTERN:
            return
        others = [other for other in self._parties.of_group(party) if other is not party]
        outside = (other for other in others if not other.association.isakmp_sas)
        idle = (other for other in others if not other.association.pairs)
        needless = next(outside, None) or next(idle, others[0])
        needless.close("the hosts of the rule have made too many others since")


def _place(sa: IsakmpSa) -> Place:
    """Without a NAT both ports of IKE are one."""
    remote = sa.path.remote
    behind_nat = sa.nat is not None and sa.nat.there
    return remote.address, remote.port if behind_nat or remote.port not in _IKE_PORTS else 0
