"""One association and the peers that it's with: those that one credential has opened, perhaps in one place of many.

Rules with the same identities may share all there is with a peer; whoever calls from anywhere shares nothing with
others, whatever identity they have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from ipsecd.errors import Refused
from ipsecd.ike import reports
from ipsecd.ike.config import Child, Path, Peer, Version
from ipsecd.ike.core import Core
from ipsecd.ike.narrowing import Packet, takes
from ipsecd.ike.v1 import telling
from ipsecd.ike.v1.association import Association
from ipsecd.ike.v1.calling import Calling
from ipsecd.ike.v1.calls import Caller
from ipsecd.ike.v1.child_pair import ChildPair
from ipsecd.ike.v1.fragments import Joining
from ipsecd.ike.v1.menu import Menu, special_of
from ipsecd.ike.v1.outcome import NOT_INSTALLED, Outcome
from ipsecd.ike.v1.parties import Parties
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.quick_terms import Ends, QuickTerms
from ipsecd.ike.v1.ringing import Ringing
from ipsecd.ike.v1.session import Session, Settings
from ipsecd.ike.v1.waiting import Waiting
from ipsecd.wire import ikev1
from ipsecd.wire.hostpair import pattern_id
from ipsecd.wire.registry_v1 import Payload
from ipsecd.wire.selector import ANY_PORT, Address, Selector

Place = tuple[Address, int]  # where somebody is who calls from anywhere; port 0: that of IKE itself


class Party:
    """``peers`` are all that one credential opens, the one first that it was made for. ``place`` is None for those that
    have an address of their own. ``left`` is called when nothing is left of it."""

    def __init__(
        self,
        core: Core,
        parties: Parties,
        menu: Menu,
        peers: tuple[Peer, ...],
        place: Place | None,
        admitted: Callable[[Party, IsakmpSa], None],
    ) -> None:
        self._core = core
        self._parties = parties
        self._admitted = admitted
        self.peers = peers
        self.place = place
        self.children: dict[str, tuple[Peer, Child]] = {}
        self._former: dict[str, tuple[Peer, Child]] = {}  # that are over, or nearly
        self._terms: dict[str, QuickTerms] = {}
        self._learn(menu)
        self.calling = Calling(core, menu, peers[0], self._alone, self._begun)
        self._outcome = Outcome(core, self, self._look)
        self.association = Association(core, self._settings(), self._caller, self._outcome)
        self.ringing: Ringing | None = None  # our last call
        self._joining = Joining(core)
        self._waiting = Waiting(core, self)
        self._broken: set[bytes] = set()  # SPIs that couldn't be installed, of pairs that aren't made yet
        self._modes: dict[tuple[bytes, bytes], str] = {}
        parties.file(self)

    # --- its peers ---

    def _learn(self, menu: Menu) -> None:
        self._former |= self.children
        self.children = {child.id: (peer, child) for peer in self.peers for child in peer.children}
        self._terms = {key: menu.quick_terms(peer, child) for key, (peer, child) in self.children.items()}

    def _settings(self) -> Settings:
        sessions = [peer.sessions for peer in self.peers if peer.sessions]
        return Settings(
            tuple(self._terms.values()),
            dpd=min(peer.dpd for peer in self.peers),
            quick_modes=min(sessions, default=0),
            access=special_of(self.first).access,
            keylog=any(peer.keylog for peer in self.peers),
            within=next((peer.within for peer in self.peers if peer.within is not None), None),
        )

    def change(self, peers: tuple[Peer, ...], menu: Menu) -> None:
        """What they are by another configuration. SAs that it doesn't allow any more end."""
        live = {each.pair.terms.child for each in self.association.pairs}
        self._former = {key: each for key, each in self._former.items() if key in live or self.pursues(key)}
        self.peers = peers
        self._learn(menu)
        self._parties.file(self)
        self.calling.change(menu, peers)
        self.association.calls.change(self._caller)
        self.association.reconfigure(self._settings())
        self._outcome.renamed()
        self._waiting.change()

    @property
    def first(self) -> Peer:
        return self.peers[0]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(peer.name for peer in self.peers)

    @property
    def key(self) -> tuple[frozenset[str], Place | None]:
        return self.names, self.place

    @property
    def group(self) -> str:
        """What it has in common with many hosts that one credential may be of."""
        return self.first.pattern or (self.first.name if self.place else "")

    @property
    def _caller(self) -> Caller | None:
        return None if self.place or all(peer.responds for peer in self.peers) else self.calling

    def known(self, key: str) -> tuple[Peer, Child]:
        """A child of this, or one that was, and whose it is."""
        return self.children.get(key) or self._former[key]

    def _alone(self) -> bool:
        """Whether there is nothing else with this peer."""
        return all(other.association.empty for other in self._parties.beside(self))

    def _begun(self, cookie: bytes) -> None:
        """We call it, with this cookie of ours."""
        self._parties.call(cookie, self)
        self.ringing = Ringing(self, cookie, self._core.now)
        self._core.silence.calling(self.ringing)

    @property
    def path(self) -> Path:
        """Where it is, or where it's called."""
        return self.association.path or self.calling.path

    # --- commands ---

    def want(self, peer: Peer, child: Child, packet: Packet | None, remote: Address | None) -> None:
        """SAs for this child. If there have to be calls for that, they go to ``remote``."""
        if remote is not None and not self.association.calls.calling and not self.place:
            self.calling.aim(peer, remote, child)
        self._waiting.want(child, packet)

    def begin(self, key: str, found: tuple[Ends, ...]) -> None:
        """Quick modes for this child, unless there are or have been some."""
        for ends in found:
            self.association.want(self._terms[key], ends)

    @property
    def given_to_us(self) -> tuple[Address, ...]:
        """The addresses that mode config has given us."""
        return self._outcome.given

    @property
    def leased(self) -> tuple[Address, ...]:
        """The addresses that it has been given, by us."""
        return tuple(dict.fromkeys(each for session in self.association.sessions for each in session.leased))

    def lent(self) -> None:
        """It has been given other addresses."""
        self._parties.file(self)

    @property
    def given(self) -> tuple[Address, ...]:
        """Those that mode config has given, to us or to the peer."""
        return self._outcome.given or self.leased

    def carries(self, key: str, packet: Packet | None) -> bool:
        """Whether there is a pair of SAs that is sent by and takes the packet."""
        return any(
            live.sending
            and live.pair.terms.child == key
            and (packet is None or takes((live.pair.ends.local,), (live.pair.ends.remote,), packet))
            for live in self.association.pairs
        )

    def pursues(self, key: str) -> bool:
        return key in self._waiting or self.association.pursues(key)

    def put_down(self, keys: Iterable[str], reason: str) -> None:
        for key in keys:
            self._waiting.put_down(key, reason)
            self.association.put_down(key, reason)

    def leave(self, keys: list[str], reason: str) -> None:
        """These children aren't had any more. With the last ones, told once, all ends."""
        if len(keys) == len(self.children):
            self.close(reason)
        else:
            self.put_down(keys, reason)

    def close(self, reason: str) -> None:
        """All with it ends, told once."""
        self._waiting.fail(reason)
        self.association.close(reason)
        self._outcome.take_back()
        self._look()

    # --- what comes in ---

    def hear(self, message: ikev1.Message, path: Path) -> None:
        """A message with a cookie of ours. PeerError or Refused with the reason why it has no effect."""
        if message.first == Payload.FRAGMENT:
            whole = self._joining.add(message)
            if whole is None:
                return
            message = ikev1.decode(whole)
        try:
            session = self.association.hear(message, path)
        except Refused as refusal:
            telling.quick_mode_refused(self._core, self.first, refusal.detail)
            raise
        if session is not None:
            self.calling.heard(session.sa)
            self._core.silence.heard(self)
            self._follow()

    def join(self, sa: IsakmpSa, begun: float, mode: str) -> None:
        """A phase 1 that the peer has begun then is through."""
        self._modes[sa.cookies] = mode
        self._parties.call(sa.cookies[1], self)
        self.association.join(sa, begun)

    def mode_of(self, sa: IsakmpSa) -> str:
        """Main or aggressive."""
        return self._modes.get(sa.cookies) or self.calling.mode

    # --- what becomes of it ---

    def established(self, sa: IsakmpSa) -> None:
        live = {session.sa.cookies for session in self.association.sessions}
        self._modes = {cookies: mode for cookies, mode in self._modes.items() if cookies in live}
        self._admitted(self, sa)
        self._core.silence.heard(self)
        self._waiting.go_on()

    def turned_away(self, reason: str) -> None:
        if not self.association.reachable:
            self._waiting.fail(reason)

    def unreached(self, reason: str) -> bool:
        """Our call came to nothing. Whether what it was for is had by another version of IKE."""
        instead = self._core.versions.unanswered(self.calling.peer, Version.IKEV1)
        self.calling.failed(reason, final=not instead)
        if instead:
            for key, packet in self._waiting.hand_in().items():
                self.have_instead(key, packet)
        else:
            self._waiting.fail(reason)
        return instead

    def have_instead(self, key: str, packet: Packet | None) -> None:
        if self.ringing is not None:
            self._core.wanted.instead(self.ringing, self.known(key)[1], packet)

    def opened(self, pair: ChildPair) -> None:
        self._parties.open(pair, self)

    def closed(self, pair: ChildPair) -> None:
        self._broken.difference_update(pair.spis)
        self._parties.shut(pair)

    def _look(self) -> None:
        """It's forgotten when nothing is left; not in the midst of what ends it."""
        self._core.after(0.0, self._leave_if_empty)

    def _leave_if_empty(self) -> None:
        if self.association.empty and not self._waiting:
            self._joining.clear()
            self._parties.leave(self)

    # --- where it is ---

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Those that are its own, of who has called from anywhere."""
        return (self.place[0], *self.leased) if self.place is not None else ()

    def reaches(self, address: Address) -> bool:
        """Whether it has SAs for this address."""
        far = (live.pair.ends.remote for live in self.association.pairs)
        return any(replace(each, protocol=0, ports=ANY_PORT).contains(Selector(address, address)) for each in far)

    def moved(self, spi: bytes, path: Path) -> None:
        """A fresh authentic packet came along another path."""
        self.association.moved(spi, path)
        self._follow()

    def _follow(self) -> None:
        """It's where the association has seen it last."""
        path = self.association.path
        if self.place is not None and self.place[1] and path is not None:
            place = path.remote.address, path.remote.port
            if place != self.place:
                self.place = place
                self._parties.file(self)

    # --- what the data plane tells ---

    def install_failed(self, spi: bytes, reason: str) -> None:
        found = self.association.having(spi)
        for live in found:
            self.association.lost((spi,), reason)
            self._core.wanted.failed(live.pair.terms.child, reason)
        if not found:
            self._broken.add(spi)

    def made(self, pair: ChildPair) -> None:
        """It's up. What couldn't be installed before ends now, as the peer thinks that it's there."""
        broken = self._broken.intersection(pair.spis)
        for spi in broken:
            self._core.after(0.0, partial(self.install_failed, spi, f"{NOT_INSTALLED}the data plane couldn't take it"))

    def unreached_by(self, spi: bytes, reason: str) -> None:
        for live in self.association.having(spi):
            peer, child = self.known(live.pair.terms.child)
            fields = telling.of_pair(peer, child, live.pair)
            self._core.report("child-unreached", "warning", **fields, point=reports.PEER, reason=reason)

    # --- for people ---

    def made_after(self, pattern: str) -> list[str]:
        """Its children of pairs of hosts that are made after this one."""
        return [key for key in self.children if key != pattern and pattern_id(key) == pattern]

    @property
    def name(self) -> str:
        return ", ".join(peer.name for peer in self.peers)

    @property
    def calls_alone(self) -> bool:
        """Whether all there is is a call of ours."""
        return self.association.calls.calling and not self.sessions

    @property
    def sessions(self) -> tuple[Session, ...]:
        return self.association.sessions
