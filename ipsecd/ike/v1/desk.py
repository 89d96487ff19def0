"""IKEv1 as one object, beside the one for IKEv2: datagrams, wishes and commands come here and find their party.

::

    datagram -> a phase 1 that somebody begins?  door: guard, rules of the address, responder
             -> a cookie of ours?                party -> association -> session -> exchange
    wanted   -> party of the peer, or a new one -> association: a quick mode, by a phase 1 if there is none
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ipsecd import limits
from ipsecd.errors import PeerError
from ipsecd.ike import reports
from ipsecd.ike.config import Child, Path, Peer
from ipsecd.ike.core import Core
from ipsecd.ike.narrowing import Packet
from ipsecd.ike.status import IkeSaStatus
from ipsecd.ike.v1 import shown, telling
from ipsecd.ike.v1.book import Book
from ipsecd.ike.v1.calling import path_to
from ipsecd.ike.v1.entering import Entering
from ipsecd.ike.v1.outcome import LIFETIME_OVER, NOT_INSTALLED, PLANE_LOST
from ipsecd.ike.v1.parties import Parties
from ipsecd.ike.v1.party import Party, Place
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.reloading import become
from ipsecd.ike.v1.ringing import Ringing
from ipsecd.wire import ikev1
from ipsecd.wire.registry_v1 import Exchange
from ipsecd.wire.selector import Address

_SPOKEN = (Exchange.MAIN, Exchange.AGGRESSIVE, Exchange.INFORMATIONAL, Exchange.TRANSACTION, Exchange.QUICK)


class Desk:
    """Each method is a part of a turn: effects are left in ``core``. PeerError or Refused come out of ``receive`` with
    the reason why a datagram has no effect."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._parties = Parties()
        self._book = Book(core)
        self._entering = Entering(core, self._parties, self._book, self._party)
        self._door = self._entering.door

    def configure(self) -> None:
        """``core.config`` is new: what it still allows stays, the rest ends."""
        self._book.configure()
        unwanted = []
        for party in self._parties.in_use:
            peers = become(party, self._book.rules, self._book.menu)
            if peers:
                party.change(peers, self._book.menu)
            else:
                unwanted.append(party)
        for party in unwanted:
            party.close("the policy has changed")
            self._parties.retire(party)

    # --- datagrams ---

    def receive(self, data: bytes, path: Path) -> None:
        """A datagram whose header has major version 1. AuthIP and others that we don't speak are answered with
        nothing."""
        message = ikev1.decode(data)
        header = message.header
        if header.exchange not in _SPOKEN:
            raise PeerError("wrong-exchange", str(header.exchange))
        if self._door.takes(header):
            self._door.hear(message, data, path)
            return
        party = self._parties.of_cookies((header.cookie_i, header.cookie_r))
        if party is not None:
            party.hear(message, path)
        elif header.cookie_r == ikev1.NO_COOKIE:
            self._entering.begin(message, data, path)
        else:
            raise PeerError("unknown-ike-spi", header.cookie_r.hex())

    # --- parties ---

    def _party(self, peers: tuple[Peer, ...], place: Place | None) -> Party:
        """The one that there is, or a new one."""
        known = self._parties.at((frozenset(peer.name for peer in peers), place))
        return known or Party(self._core, self._parties, self._book.menu, peers, place, self._admitted)

    def _admitted(self, party: Party, sa: IsakmpSa) -> None:
        """An ISAKMP SA of this party's is of use."""
        if sa.alone:
            begun = next(each.begun for each in party.sessions if each.sa is sa)
            for other in self._parties.beside(party):
                other.association.forget_before(begun, "the peer has begun anew")
        if sa.initiator and party.place is None:
            self._fit(party, sa)

    def _fit(self, party: Party, sa: IsakmpSa) -> None:
        """To what the credential has opened, which wasn't sure when it was called: not all of its peers may have this
        one, and others may have it, too."""
        menu = self._book.menu
        peers = [peer for peer in party.peers if menu.opens(peer, sa)] or list(party.peers[:1])
        if len(party.sessions) == 1:
            peers += [peer for peer in self._book.opened(sa) if peer.name not in party.names]
        if {peer.name for peer in peers} != party.names:
            party.change(tuple(peers), menu)

    # --- what is wanted ---

    def want(self, peer: Peer, child: Child, packet: Packet | None, remote: Address | None) -> None:
        """SAs for this child, or for this packet; by a phase 1 with ``remote`` if there is no ISAKMP SA."""
        found = self._parties.of_peer(peer.name)
        if packet is not None and found and found[0].place is not None:
            found = self._at(peer, packet[1].start, found)
            if not found:
                self._core.wanted.failed(child.id, f"nobody who has called is at {packet[1].start}")
                return
        party = self._best(found)
        if party is not None:
            party.want(peer, child, packet, remote)
        elif remote is not None and peer.remotes:
            self._new(peer, remote).want(peer, child, packet, remote)
        else:
            self._cannot(peer, child, "the peer's address isn't known; it has to call us")

    def _cannot(self, peer: Peer, child: Child, reason: str) -> None:
        telling.child_failed(self._core, "child-failed", peer, child, reports.ME, reason)
        self._core.wanted.failed(child.id, reason)

    def _at(self, peer: Peer, address: Address, found: tuple[Party, ...]) -> tuple[Party, ...]:
        """Of those who have called by this rule from anywhere, who is where packets for this address go to: they are
        found by their own address, or by what we have lent them; else, if they are few, by what they have SAs for, and
        one alone by being it."""
        at = tuple(party for party in self._parties.at_address(address) if peer.name in party.names)
        if at or len(found) > limits.FEW_CALLERS:
            return at
        behind = tuple(party for party in found if party.reaches(address))
        return behind or (found if len(found) == 1 and not found[0].leased else ())

    def _best(self, found: tuple[Party, ...]) -> Party | None:
        """The newest that a quick mode may go by now, or soon."""
        usable = [party for party in found if party.association.reachable]
        return next(iter(reversed(usable or list(found))), None)

    def _new(self, peer: Peer, remote: Address) -> Party:
        """With all that its credential will open, as far as that is sure before."""
        near = self._book.rules.callers(path_to(self._core.config, peer, remote))
        also = (other for other in near if other is not peer and self._book.menu.opens_too(peer, other))
        return self._party((peer, *also), None)

    def fits(self, peer: Peer) -> bool:
        """Whether there is an ISAKMP SA of use, or one coming, with this peer."""
        return any(party.association.reachable for party in self._parties.of_peer(peer.name))

    def up(self, key: str, packet: Packet | None = None) -> bool:
        """Whether there is a pair that is sent by and takes the packet."""
        return any(party.carries(key, packet) for party in self._parties.of_child(key))

    def pursued(self, key: str) -> bool:
        """Whether a quick mode or a call for it goes on."""
        return any(party.pursues(key) for party in self._parties.of_child(key))

    def calls(self) -> int:
        """How many are calls to hosts after a pattern, and nothing else yet."""
        return self._parties.calls()

    def calling(self, peer: Peer) -> Ringing | None:
        """Our call to this peer that is under way."""
        ringing = (party.ringing for party in self._parties.of_peer(peer.name))
        return next((each for each in ringing if each is not None and each.connecting), None)

    def heard(self) -> tuple[Party, ...]:
        """Those that there is an ISAKMP SA with."""
        return tuple(party for party in self._parties if party.association.isakmp_sas)

    # --- commands ---

    def put_down(self, keys: set[str], reason: str) -> None:
        for party, meant in self._having(keys):
            party.put_down(meant, reason)

    def put_down_peer(self, name: str, reason: str) -> None:
        """All with it, told once."""
        for party in self._parties.of_peer(name):
            party.leave([key for key, (peer, _) in party.children.items() if name in (peer.name, peer.pattern)], reason)

    def leaving(self, peer: Peer, reason: str) -> Callable[[], None]:
        """What ends all that there is with it now, whatever it's called by the time it's done."""
        found, keys = self._parties.of_peer(peer.name), [child.id for child in peer.children]

        def leave() -> None:
            for party in found:
                party.leave([key for key in keys if key in party.children], reason)

        return leave

    def rekey(self, keys: set[str]) -> None:
        for party, meant in self._having(keys):
            for key in meant:
                party.association.rekey(key)

    def rekey_peer(self, name: str) -> None:
        for party in self._parties.of_peer(name):
            if party.association.isakmp_sas:
                party.association.renew()

    def _having(self, keys: Iterable[str]) -> list[tuple[Party, list[str]]]:
        """Those with these children, or with children that are made after these."""
        found: dict[Party, list[str]] = {}
        for key in keys:
            for party in self._parties.of_child(key):
                found.setdefault(party, []).append(key)
            for party in self._parties.made_after(key):
                found.setdefault(party, []).extend(party.made_after(key))
        return list(found.items())

    def shutdown(self, reason: str) -> None:
        self._door.close()
        for party in self._parties:
            party.close(reason)

    def woke(self) -> None:
        """This machine has slept: the peers are asked whether they are still there."""
        for party in self._parties:
            party.association.woke()

    # --- what the data plane tells ---

    def knows(self, spi: bytes) -> bool:
        """Whether it's an inbound SPI of one of the pairs here."""
        return self._parties.of_spi(spi) is not None

    def inbound_spis(self) -> tuple[bytes, ...]:
        return self._parties.spis

    def soft_expired(self, spi: bytes) -> None:
        if party := self._parties.of_spi(spi):
            party.association.soft_expired((spi,))

    def hard_expired(self, spi: bytes) -> None:
        if party := self._parties.of_spi(spi):
            party.association.lost((spi,), LIFETIME_OVER)

    def lost(self, spis: tuple[bytes, ...]) -> None:
        for party, meant in self._of_spis(spis).items():
            party.association.lost(tuple(meant), PLANE_LOST)

    def inbound_used(self, spi: bytes) -> None:
        if party := self._parties.of_spi(spi):
            party.association.inbound_used(spi)

    def alive(self, spis: tuple[bytes, ...]) -> None:
        """Authentic packets came in by these lately."""
        for party, meant in self._of_spis(spis).items():
            party.association.alive(tuple(meant))

    def used(self, spis: tuple[bytes, ...]) -> None:
        """Packets went by the pairs with these lately, in one of both directions."""
        for party, meant in self._of_spis(spis).items():
            party.association.used(tuple(meant))

    def _of_spis(self, spis: tuple[bytes, ...]) -> dict[Party, list[bytes]]:
        found: dict[Party, list[bytes]] = {}
        for spi in spis:
            if party := self._parties.of_spi(spi):
                found.setdefault(party, []).append(spi)
        return found

    def moved(self, spi: bytes, path: Path) -> None:
        """A fresh authentic packet of this SPI came along another path."""
        if party := self._parties.of_spi(spi):
            party.moved(spi, path)

    def install_failed(self, spi: bytes, reason: str) -> None:
        """The data plane couldn't install the pair with this inbound SPI."""
        if party := self._parties.of_spi(spi):
            party.install_failed(spi, f"{NOT_INSTALLED}{reason}")

    def unreached(self, spi: bytes, reason: str) -> None:
        """A packet of the pair with this inbound SPI didn't get there, says the network, for which nobody vouches."""
        if party := self._parties.of_spi(spi):
            party.unreached_by(spi, reason)

    # --- for people ---

    def status(self) -> list[IkeSaStatus]:
        return shown.describe(self._core, self._parties, self._door)
