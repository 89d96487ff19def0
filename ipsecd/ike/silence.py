"""Peers that say nothing at all, and those that have been heard: what falling back to clear depends on.

A peer is silent if a call has had no response for as long as the policy says. It is heard if anything comes back that
carries the SPI of our call, whatever it says and however broken it is, or if it has proven by an authentic message that
it speaks IKE. Nobody vouches for the former, but whoever makes it up only keeps us from talking in clear.

Where its policy has two versions of IKE, its time begins with the call by the last of them: nothing is said in clear
before both were tried.

While this machine sleeps nobody can answer it: the time begins anew when it wakes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

from ipsecd import limits
from ipsecd.ike.config import Child, Path, Peer, Version
from ipsecd.ike.effects import Heard, Silent
from ipsecd.ike.spans import Spans
from ipsecd.wire.hostpair import pattern_id
from ipsecd.wire.selector import Address

if TYPE_CHECKING:
    from ipsecd.ike.core import Core


class Party(Protocol):
    """Who is at the other end: of an IKE SA, or of an ISAKMP SA."""

    @property
    def path(self) -> Path: ...

    @property
    def peers(self) -> tuple[Peer, ...]: ...


class Calling(Party, Protocol):
    """A call of ours, by either version, which begins what the party is of. ``spi`` is ours, or our cookie."""

    @property
    def version(self) -> Version: ...

    @property
    def spi(self) -> bytes: ...

    @property
    def begun(self) -> float: ...

    @property
    def connecting(self) -> bool:
        """Whether it's still under way."""


class _Places:
    """Where peers are: at their addresses, or wherever the hosts may be that ``patterns`` are for."""

    def __init__(self, peers: Iterable[Peer] = (), patterns: Iterable[Child] = ()) -> None:
        self._addresses = frozenset(remote for peer in peers for remote in peer.remotes)
        self._hosts = Spans(child.remote for child in patterns)

    def __contains__(self, remote: Address) -> bool:
        return remote in self._addresses or bool(self._hosts.holding(remote))


class Silence:
    """Only peers with children that may fall back can be silent. All are heard, as another configuration may let them
    fall back: ``Heard`` is told once for each address, but for those beyond the number that whoever is told
    remembers."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._peers = _Places()  # all of them
        self._falling = _Places()  # those with children that may fall back
        # seconds, by the identifier of a child that may fall back, or of its pattern
        self._after: dict[str, float] = {}
        self._heard: set[Address] = set()
        # where and whose they were when they were heard last: as a rule the next message brings no news
        self._last: WeakKeyDictionary[Party, tuple[Path, tuple[Peer, ...]]] = WeakKeyDictionary()
        self._calls: dict[bytes, Calling] = {}  # of IKEv1, by our cookies
        self._answered: set[bytes] = set()  # SPIs of ours, of the calls that somebody has answered
        self._waiting: WeakKeyDictionary[Calling, set[str]] = WeakKeyDictionary()  # children that packets wait for
        self._woke = float("-inf")

    def configure(self) -> None:
        """The configuration is new, and whoever is told may have forgotten what was before: tell again of the SAs there
        are, and of calls under way that have been answered. An SA that has just ended and lingers counts too: its peer
        was there a moment ago."""
        config = self._core.config
        made_after = [child for hosts in config.hosts for child in hosts.children]
        self._peers = _Places(config.peers, made_after)
        peers = [peer for peer in config.peers if any(child.fallback is not None for child in peer.children)]
        patterns = [child for child in made_after if child.fallback is not None]
        self._falling = _Places(peers, patterns)
        children = (*(child for peer in peers for child in peer.children), *patterns)
        self._after = {child.id: child.fallback for child in children if child.fallback is not None}
        self._heard.clear()
        self._last.clear()
        of_v2 = [sa for spi, sa in self._core.ikes.items() if sa.settled or spi in self._answered]
        of_v1 = [call for spi, call in self._calls.items() if spi in self._answered]
        self._note([*of_v2, *of_v1, *self._core.desk.heard()])

    def calling(self, call: Calling) -> None:
        """A call of IKEv1 has begun; those of IKEv2 are known without."""
        self._calls = {spi: other for spi, other in self._calls.items() if other.connecting}
        self._calls[call.spi] = call

    def wanted(self, call: Calling, child: Child) -> None:
        """A packet waits for this child, and what this call leads to is to carry it."""
        if call.connecting:
            self._waiting.setdefault(call, set()).add(child.id)
            if pattern_id(child.id) in self._after:
                self._wait(call, child.id)

    def waiting(self, call: Calling) -> frozenset[str]:
        """The children that packets wait for."""
        return frozenset(self._waiting.get(call, ()))

    def _wait(self, call: Calling, child: str) -> None:
        due = max(self._core.now, self._due(call, child))
        self._core.timers.at(due, lambda: self._ask(call, child, due))

    def _due(self, call: Calling, child: str) -> float:
        """Until when the peer may take its time, as the policy is now."""
        return max(call.begun, self._woke) + self._after[pattern_id(child)]

    def woke(self) -> None:
        """This machine has slept until now."""
        self._woke = self._core.now

    def _ask(self, call: Calling, child: str, due: float) -> None:
        if self._core.now - due >= limits.SLEPT:  # so late that it has slept, and nobody has said so yet
            self.woke()
        if pattern_id(child) not in self._after or not call.connecting:
            return
        if self._core.now < self._due(call, child):  # it has slept, or a new configuration gives the peer more time
            self._wait(call, child)
            return
        remote = call.path.remote.address
        # where the policy has another version left to try, the peer's time begins with that call
        of_it = (peer for peer in call.peers if any(each.id == child for each in peer.children))
        last = self._core.versions.is_last(next(of_it, call.peers[0]), call.version)
        if last and remote in self._falling:
            self._core.emit(Silent(child, remote, heard=remote in self._heard))

    def answered(self, spi: bytes) -> None:
        """A datagram begins with this SPI, as responses to calls of ours do."""
        sa = self._core.ikes.get(spi)
        call = sa if sa is not None and sa.initiator else self._calls.get(spi)
        if call is not None:
            if spi not in self._answered:
                self._answered = {each for each in self._answered if each in self._core.ikes or each in self._calls}
                self._answered.add(spi)  # of those that are gone nobody asks
            self.heard(call)

    def unanswered(self, call: Calling) -> float | None:
        """For how many seconds nobody has said anything to this call; None if it is none, or somebody has."""
        return self._core.now - call.begun if call.connecting and call.spi not in self._answered else None

    def heard(self, sa: Party) -> None:
        """The peer has said something: that is news of all its addresses."""
        path, peers = self._last.get(sa, (None, ()))
        if path is not sa.path or peers is not sa.peers:
            self._last[sa] = sa.path, sa.peers
            self._note((sa,))

    def _note(self, sas: Collection[Party]) -> None:
        """Those of many SAs are told at once, as whoever is told may write them down each time."""
        if len(self._heard) > limits.MAX_HEARD:
            return
        addresses = {sa.path.remote.address for sa in sas}
        addresses.update(remote for sa in sas for peer in sa.peers for remote in peer.remotes)
        news = [remote for remote in addresses if remote not in self._heard and remote in self._peers]
        if news:
            self._heard.update(news)
            self._core.emit(Heard(tuple(sorted(news, key=lambda each: (each.version, int(each))))))
