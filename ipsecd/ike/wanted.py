"""Which children somebody wants, and bringing them up: at start, by command, for a packet, and again after a loss."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from ipsecd import limits
from ipsecd.ike import reports, upgrade
from ipsecd.ike.child_sa import ChildSa
from ipsecd.ike.config import Child, Peer, Version
from ipsecd.ike.core import Core
from ipsecd.ike.effects import GiveUp
from ipsecd.ike.less import Less
from ipsecd.ike.menus import nothing_left
from ipsecd.ike.narrowing import Packet, left_out, takes
from ipsecd.ike.patterns import Patterns
from ipsecd.ike.sa import IkeSa
from ipsecd.ike.sessions import has_room
from ipsecd.ike.silence import Calling
from ipsecd.ike.stage import Stage
from ipsecd.ike.timers import Timer, back_off
from ipsecd.ike.v2 import calls
from ipsecd.ike.v2.child import CreateChild
from ipsecd.wire.hostpair import pattern_id
from ipsecd.wire.selector import Address


@dataclass(slots=True)
class _Want:
    """What is known of one configured child."""

    peer: Peer
    child: Child
    held: bool = False  # an operator has put it down
    raised: bool = False  # an operator wants it, of all that were put down with its pattern
    failures: int = 0
    again: Timer | None = None
    less: Less | None = None
    told: str = ""  # why it can't be had, as long as that is no news

    def rest(self) -> None:
        if self.again is not None:
            self.again.cancel()
            self.again = None


class Wanted:
    """All configured children by identifier; of those that each pair of hosts has one of, the ones that have an SA, are
    being negotiated, or that an operator has put down."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._patterns = Patterns(core)
        self._wants: dict[str, _Want] = {}

    # --- configuration ---

    def configure(self) -> None:
        """The configuration is new: learn what may be wanted, forget what is no longer configured."""
        configured = {child.id: (peer, child) for peer in self._core.config.peers for child in peer.children}
        configured |= self._made_again()
        gone = [self._wants.pop(key) for key in [key for key in self._wants if key not in configured]]
        for want in gone:
            want.rest()
        held = {want.child.name for want in gone if want.held}  # an operator's word about a name outlasts what it names
        for key, (peer, child) in configured.items():
            want = self._wants.setdefault(key, _Want(peer, child, held=child.name in held))
            if (want.peer, want.child) != (peer, child):
                want.peer, want.child, want.less, want.told = peer, child, None, ""

    def _made_again(self) -> dict[str, tuple[Peer, Child]]:
        """What becomes of the children of pairs of hosts, as the patterns are now."""
        self._patterns.configure()
        known = [key for key, want in self._wants.items() if want.peer.pattern]
        return {key: found for key in known if (found := self._patterns.between(key)) is not None}

    def pairs(self) -> tuple[Peer, ...]:
        """The peers of pairs of hosts that something is known of."""
        return tuple(want.peer for want in self._wants.values() if want.peer.pattern)

    def begin(self) -> None:
        """Bring up what is to be up from the start and isn't."""
        for key, want in self._wants.items():
            if want.child.start and not want.held and not self.is_up(key):
                self._pursue(want, None)

    # --- who wants ---

    def up(self, key: str) -> None:
        """An operator wants it, whatever was before; of a pattern, those pairs of hosts that were put down."""
        meant = self._of(key) if key in self._patterns else [self._known(key)]
        self._patterns.held.discard(key)
        for want in meant:
            if want is not None:
                want.held, want.raised = False, pattern_id(want.child.id) in self._patterns.held
                want.failures = 0
                want.less, want.told = None, ""
                want.rest()
                if not self.is_up(want.child.id):
                    self._pursue(want, None)

    def acquire(self, key: str, packet: Packet | None, *, known: bool) -> None:
        """A packet wants it. ``known``: the peer has answered before."""
        why_not = self._core.ending or self._barred(key, known=known)
        want = None if why_not else self._known(key)
        if why_not:
            self._core.emit(GiveUp(key, why_not))
        elif want is None:
            self._core.emit(GiveUp(key, self._patterns.why_none(key)))
        elif want.held:
            self._core.emit(GiveUp(key, "it was put down by command"))
        elif want.less is not None and want.less.leaves_out(packet, self._core.now):
            self._core.emit(GiveUp(key, want.less.reason))
        elif not self.is_up(key, packet):
            self._pursue(want, packet)
            self._listen(want)

    def _barred(self, key: str, *, known: bool) -> str:
        """Why a pair of hosts of which nothing is known yet isn't begun with; empty if it may be."""
        pattern = pattern_id(key)
        if key in self._wants or pattern not in self._patterns:
            return ""
        if pattern in self._patterns.held:
            return "it was put down by command"
        return self._patterns.full(key, known=known)

    def _known(self, key: str) -> _Want | None:
        """What is known of it. A child of two hosts is known from now on, if there can be one."""
        want = self._wants.get(key)
        if want is None and (found := self._patterns.between(key)) is not None:
            want = self._wants[key] = _Want(*found)
        return want

    def _of(self, pattern: str) -> list[_Want]:
        """The children made after this one."""
        return [want for key, want in self._wants.items() if want.peer.pattern and pattern_id(key) == pattern]

    def _forget_idle(self, want: _Want) -> None:
        """Of two hosts nothing is kept once nothing is left between them."""
        key = want.child.id
        said = want.held or (want.raised and pattern_id(key) in self._patterns.held)
        if want.peer.pattern and not (said or want.again or self.pursued(key) or self.is_up(key)):
            self._wants.pop(key, None)

    def _listen(self, want: _Want) -> None:
        """Packets wait: they may be told that nobody answers."""
        key = want.child.id
        for sa in self._sas(key):
            if any(task.makes == key for task in sa.tasks):
                self._core.silence.wanted(sa, want.child)
        call = self._core.desk.calling(want.peer)
        if call is not None and self._core.desk.pursued(key):
            self._core.silence.wanted(call, want.child)

    def hold(self, key: str) -> None:
        """An operator wants it down, and down it stays until somebody wants it up. A pattern: all pairs of hosts."""
        if key in self._patterns:
            self._patterns.held.add(key)
        for want in self._of(key) if key in self._patterns else [self._known(key)]:
            if want is not None:
                want.held, want.raised = True, False
                want.rest()

    def held(self, key: str) -> bool:
        want = self._wants.get(key)
        return pattern_id(key) in self._patterns.held if want is None else want.held

    def put_down(self) -> list[tuple[Peer, Child]]:
        """The children of pairs of hosts that an operator has put down."""
        return [(want.peer, want.child) for want in self._wants.values() if want.held and want.peer.pattern]

    def called(self, key: str) -> str:
        return self._wants[key].child.name if key in self._wants else self._patterns.called(key)

    def made_after(self, pattern: str) -> list[str]:
        """What people call the children that are made after this one, as far as they are known."""
        return [want.child.name for want in self._of(pattern)]

    def meant(self, key: str) -> set[str]:
        """This child, and those that are known of the ones made after it."""
        return {key, *(want.child.id for want in self._of(key))}

    def of_peer(self, name: str) -> set[str]:
        """The children of the peer, or of the pattern, of this name."""
        return self._patterns.of_peer(name) | {key for key, want in self._wants.items() if want.peer.name == name}

    # --- what became of it ---

    def made(self, child: Child) -> None:
        """A child SA is there, and the packet that asked fits it."""
        want = self._wants.get(child.id)
        if want is not None:
            want.failures = 0
            want.told = ""
            want.rest()
            if len(want.peer.versions) > 1:
                self._core.after(0.0, partial(upgrade.settle, self._core, child.id))

    def narrowed(self, new: ChildSa, packet: Packet) -> None:
        """A child SA is there, but the packet that asked is outside. So may be those behind it, and as the answer would
        be the same, they ask for it seldom."""
        reason = left_out(new.local, new.remote, packet)
        self._core.emit(GiveUp(new.config.id, reason))
        want = self._wants.get(new.config.id)
        if want is None:
            return
        want.failures = 0
        want.rest()
        allowed = (new.ike.call, new.local, new.remote)
        if want.less is None or want.less.allowed != allowed:
            want.less = Less(allowed, reason)
            reports.child_failed(self._core, "child-narrowed", new.peer, new.config, reports.PEER, reason)
        want.less.once_more(self._core.now)

    def granted(self, child: Child) -> None:
        """The peer has asked for a child SA and has got it. So it is wanted, whoever has put it down before."""
        want = self._known(child.id)
        if want is not None:
            want.held = False
        self.made(child)

    def failed(self, key: str, reason: str) -> None:
        """A negotiation has ended without a child SA."""
        self._core.emit(GiveUp(key, reason))
        want = self._wants.get(key)
        if want is not None:
            self._later(want)
            self._forget_idle(want)

    def ended(self, key: str) -> None:
        """A child SA is gone, whoever wanted it to go."""
        want = self._wants.get(key)
        if want is not None:
            self._forget_idle(want)

    def lost(self, key: str) -> None:
        """A child SA is gone that nobody here wanted to go."""
        want = self._wants.get(key)
        if want is not None and want.less is not None:
            want.less.until = self._core.now  # the peer may have another mind now
        if want is not None and not self.pursued(key) and not self.is_up(key):
            self._later(want)

    def _later(self, want: _Want) -> None:
        """Bring it back with back-off if it is to be up."""
        if not want.child.start or want.held or want.again is not None:
            return
        delay = back_off(limits.RECONNECT_FIRST, limits.RECONNECT_LAST, want.failures)
        want.failures += 1
        want.again = self._core.after(self._core.jittered(delay, 0.5), lambda: self._again(want))

    def _again(self, want: _Want) -> None:
        want.again = None
        if not want.held and not self.is_up(want.child.id):
            self._pursue(want, None)

    def answered(self, sa: IkeSa) -> None:
        """A peer has called us. Where we are calling it too and it hasn't answered yet, our call is needless, unless it
        is for children that the peer's IKE SA has no room for."""
        if not has_room(sa):
            return
        for name in {peer.name: None for peer in sa.peers}:
            for other in list(self._core.ikes.of_peer(name)):
                if other.stage is Stage.CONNECTING and not other.answered and other.peer.name == name:
                    other.give_way(sa)

    # --- bringing it up ---

    def pursued(self, key: str) -> bool:
        """Whether a negotiation for it is under way, in line or put off."""
        return any(task.makes == key for sa in self._sas(key) for task in sa.tasks) or self._core.desk.pursued(key)

    def is_up(self, key: str, packet: Packet | None = None, *, without: IkeSa | None = None) -> bool:
        """Whether there is an SA that is of use, for this packet, and not on that IKE SA."""
        return self.is_up_by_v2(key, packet, without=without) or self._core.desk.up(key, packet)

    def is_up_by_v2(self, key: str, packet: Packet | None = None, *, without: IkeSa | None = None) -> bool:
        return any(
            child.config.id == key and child.usable and (packet is None or takes(child.local, child.remote, packet))
            for sa in self._sas(key)
            if sa is not without
            for child in sa.children.values()
        )

    def _sas(self, key: str) -> Collection[IkeSa]:
        """The IKE SAs that may carry it."""
        want = self._wants.get(key)
        return self._core.ikes.of_peer(want.peer.name) if want is not None else ()

    def _pursue(self, want: _Want, packet: Packet | None) -> None:
        if self._core.ending or self.pursued(want.child.id):
            return
        want.rest()
        peer = want.peer
        nothing = nothing_left(peer.proposals, want.child.proposals)
        sa = calls.carrier(self._core, peer)
        by_v1 = self._core.versions.answers(peer, Version.IKEV1) and self._core.desk.fits(peer)
        if nothing:
            self._cannot(want, nothing)
        elif peer.responds:
            self._cannot(want, "it is the peer that has to ask for it")
        elif sa is not None and (sa.settled or not by_v1):
            sa.submit(CreateChild(peer, want.child, packet))
        elif not by_v1 and not peer.remotes:
            self._cannot(want, "the peer's address isn't known; it has to call us")
        elif why_not := self._core.versions.none_left(peer):
            self._cannot(want, why_not)
        elif by_v1 or self._core.versions.of(peer) is Version.IKEV1:
            self._core.desk.want(peer, want.child, packet, self._remote(want) if peer.remotes else None)
        else:
            calls.begin(self._core, peer, want.child, packet, self._remote(want))

    def elsewhere(self, child: Child, packet: Packet | None) -> None:
        """It was to be made by what makes no more: have it by another IKE SA, or another version."""
        want = self._known(child.id)
        if want is not None and not want.held and not self.is_up(child.id, packet):
            self._pursue(want, packet)

    def call_again(self, sa: IkeSa, child: Child, packet: Packet | None) -> bool:
        """The peer has refused a credential and is to be tried with another, on an IKE SA in the place of this one.
        False if the child isn't wanted any more."""
        want = self._wants.get(child.id)
        if want is None or want.held or self._core.ending:
            return False
        new = calls.begin(self._core, want.peer, want.child, packet, self._remote(want))
        new.heard_back = sa.heard_back
        sa.give_way(new)
        return True

    def unanswered(self, sa: IkeSa) -> bool:
        """Our call has had its time. If nobody has said anything of IKEv2, and the policy has another version, that one
        is tried, and True."""
        needed = any(task.makes and not self._core.desk.up(task.makes) for task in sa.tasks)
        if sa.heard_back or not self._core.versions.unanswered(sa.peer, sa.version, needed=needed):
            return False
        for task in sa.hand_in():
            left = task.elsewhere()
            if isinstance(left, CreateChild):
                self.instead(sa, left.child, left.packet)
        return True

    def instead(self, call: Calling, child: Child, packet: Packet | None) -> None:
        """Nobody has answered this call, and what it was for is had by another version of IKE."""
        want = self._wants.get(child.id)
        if want is None or want.held:
            self.failed(child.id, "it isn't wanted any more")
            return
        self.elsewhere(child, packet)
        if child.id in self._core.silence.waiting(call):
            self._listen(want)

    def try_first_version(self, name: str) -> None:
        """What this peer has by the version that took the place of IKEv2 may be had by that again: somebody may have
        kept us from it then. Nothing ends until the peer has answered."""
        of_it = (want for want in self._wants.values() if want.peer.name == name)
        want = next((each for each in of_it if self._core.desk.up(each.child.id)), None)
        if want is None or want.held or want.peer.responds or not want.peer.remotes:
            return
        if want.peer.versions[0] is Version.IKEV2 and calls.carrier(self._core, want.peer) is None:
            calls.begin(self._core, want.peer, want.child, None, self._remote(want))

    def _remote(self, want: _Want) -> Address:
        """After each failure another of the peer's addresses is tried."""
        return want.peer.remotes[want.failures % len(want.peer.remotes)]

    def _cannot(self, want: _Want, reason: str) -> None:
        news = self._patterns.is_news(want.child.id, reason) if want.peer.pattern else reason != want.told
        want.told = reason
        if news:
            reports.child_failed(self._core, "child-failed", want.peer, want.child, reports.ME, reason)
        self._core.emit(GiveUp(want.child.id, reason))
        self._forget_idle(want)

    def renew(self, sa: IkeSa) -> None:
        """The peer rekeys nothing on this IKE SA any more."""
        calls.renew(sa)
