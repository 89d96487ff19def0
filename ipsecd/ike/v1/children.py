"""The SAs that quick modes with one peer have made, whatever ISAKMP SA made them: they outlive it.

Rules of order, all for the sake of no lost packet:

1. A responder takes packets by new SAs before it answers, an initiator before its last message leaves.
2. Each side sends by the new ones as soon as the other can be supposed to take it: a responder when the last message,
   or a packet by them, is there; an initiator when a packet by them is there or ``limits.QUICK_SETTLES`` have passed,
   as many responders take nothing before they have read the last message. Until then it sends by what they replace.
3. What is replaced goes on receiving. Who has begun what replaces it deletes it soon after a packet has come by its
   successor, or after ``limits.QUICK_REPLACED``; if it doesn't, as many don't, the other side does.
4. What the peer deletes still receives for ``limits.OLD_INBOUND_KEPT``, if something has replaced it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from ipsecd import limits
from ipsecd.errors import PeerError
from ipsecd.ike.config import Path
from ipsecd.ike.core import Core
from ipsecd.ike.inactivity import UNUSED
from ipsecd.ike.timers import back_off
from ipsecd.ike.v1.child_pair import ChildPair
from ipsecd.ike.v1.holder import Holder, Wish
from ipsecd.ike.v1.lineage import Lineage, Traffic, traffic_of
from ipsecd.ike.v1.live_pair import LivePair
from ipsecd.ike.v1.quick_terms import Ends, QuickTerms
from ipsecd.ike.v1.session import Session
from ipsecd.wire import registry_v1
from ipsecd.wire.form import Form


class Children:
    """``ask`` takes a wish; ``tell`` tells the peer of a pair that is no more; ``changed`` is called when any ends."""

    def __init__(
        self,
        core: Core,
        terms: tuple[QuickTerms, ...],
        holder: Holder,
        ask: Callable[[Wish], None],
        tell: Callable[[LivePair], None],
        changed: Callable[[], None],
    ) -> None:
        self._core = core
        self._terms = terms
        self._holder = holder
        self._ask = ask
        self._tell = tell
        self._changed = changed
        self._lines: dict[Traffic, Lineage] = {}

    def __iter__(self) -> Iterator[LivePair]:
        for line in self._lines.values():
            yield from line.pairs

    def __bool__(self) -> bool:
        return any(line.pairs for line in self._lines.values())

    @property
    def count(self) -> int:
        """Pairs that there are, and those that are being made."""
        return sum(len(line.pairs) + line.coming for line in self._lines.values())

    def pursues(self, child: str) -> bool:
        """Whether a quick mode for it goes on, or is to."""
        return any(traffic[0] == child and line.coming for traffic, line in self._lines.items())

    # --- quick modes ---

    def want(self, terms: QuickTerms, ends: Ends) -> None:
        """SAs for this traffic, if it has none and none are being made."""
        line = self._lines.setdefault((terms.child, ends.local, ends.remote), Lineage())
        if line.current is None and not line.coming:
            self._begin(line, terms, ends)
        elif line.current is None and not line.asking:
            line.wanted = terms, ends

    def _begin(self, line: Lineage, terms: QuickTerms, ends: Ends) -> None:
        def failed(reason: str) -> None:
            line.asked_in_vain()
            self._holder.failed(terms, ends, reason)
            self._again(line)
            self._tidy()
            self._changed()

        line.ask()
        self._ask(Wish(terms, ends, self.made, failed))

    def making(self, pair: ChildPair) -> None:
        self._holder.opened(pair)
        self._lines.setdefault(traffic_of(pair), Lineage()).theirs(pair)

    def withdrawn(self, pair: ChildPair) -> None:
        line = self._lines[traffic_of(pair)]
        line.theirs_in_vain(pair)
        self._holder.closed(pair)
        wanted, line.wanted = line.wanted, None
        if wanted is not None and line.current is None and not line.coming:
            self._begin(line, *wanted)
        self._again(line)
        self._tidy()
        self._changed()

    def made(self, session: Session, pair: ChildPair) -> None:
        """A quick mode has led to this, whoever has begun it."""
        pair.follow(self._core, session.sa.path)  # which has perhaps changed meanwhile
        line = self._lines.setdefault(traffic_of(pair), Lineage())
        new = LivePair(self._core, pair, session, self)
        if line.current is not None:
            new.inactivity.follow(line.current.inactivity)
        self._holder.opened(pair)
        first = line.current is None
        replaced = line.enter(new)
        if replaced is not None:
            self._delete_later(line, replaced)
        if first:
            self._holder.up(pair)
        elif replaced is not new:
            self._holder.rekeyed(pair)

    def _delete_later(self, line: Lineage, replaced: LivePair) -> None:
        delay = limits.QUICK_REPLACED if replaced.ours_to_delete else limits.REPLACED_KEPT
        replaced.delete_after(delay, partial(self._delete, replaced))
        self._delete_needless(line)

    def _delete_needless(self, line: Lineage) -> None:
        """The peer sends by what has replaced them, and what we have sent by them arrives yet."""
        if line.current is not None and line.current.heard is not None:
            for each in line.replaced:
                if each.ours_to_delete:
                    each.delete_after(limits.QUICK_SETTLES, partial(self._delete, each))

    def _delete(self, live: LivePair) -> None:
        self._tell(live)
        self._end(live)

    def _end(self, live: LivePair) -> None:
        line = self._lines[traffic_of(live.pair)]
        line.leave(live)
        self._again(line)
        self._tidy()
        self._changed()

    def _end_all(self, line: Lineage, reason: str, *, told: bool, linger: float = 0.0) -> None:
        """It had SAs, and has none any more. ``linger``: packets are taken for so long."""
        current = line.current
        for each in tuple(line.pairs):
            if told:
                self._tell(each)
        line.cut_off(linger)
        self._tidy()
        if current is not None:
            self._holder.down(current.pair, reason)
        self._changed()

    def _tidy(self) -> None:
        self._lines = {traffic: line for traffic, line in self._lines.items() if not line.empty}

    def closed(self, live: LivePair) -> None:
        self._holder.closed(live.pair)

    # --- what is due ---

    def soft(self, live: LivePair) -> None:
        line = self._lines[traffic_of(live.pair)]
        if live is line.current and not line.coming:
            self._rekey(line, live)

    def _rekey(self, line: Lineage, live: LivePair) -> None:
        pair = live.pair
        terms = next((each for each in self._terms if each.child == pair.terms.child), None)
        if terms is not None:  # else the policy has changed: it ends when its time has come
            self._begin(line, terms, Ends(pair.ends.local, pair.ends.remote, Form(transport=pair.ends.form.transport)))

    def _again(self, line: Lineage) -> None:
        """What is due and came to nothing is tried again after a while."""

        def retry() -> None:
            if line.current is not None and line.current.due and not line.coming:
                self._rekey(line, line.current)

        if line.current is not None and line.current.due:
            delay = back_off(limits.TEMPORARY_FAILURE_FIRST, limits.TEMPORARY_FAILURE_LAST, line.failures)
            self._core.after(self._core.jittered(delay, 0.5), retry)

    def hard(self, live: LivePair) -> None:
        self._end_one(live, "its lifetime is over", told=True)

    def idle(self, live: LivePair) -> None:
        line = self._lines[traffic_of(live.pair)]
        if live is line.current:
            self._end_all(line, UNUSED, told=True, linger=limits.OLD_INBOUND_KEPT)

    def _end_one(self, live: LivePair, reason: str, *, told: bool) -> None:
        """One of them is of no use any more."""
        line = self._lines[traffic_of(live.pair)]
        if line.pairs == [live]:
            self._end_all(line, reason, told=told)
            return
        if told:
            self._tell(live)
        self._end(live)

    # --- what the peer says ---

    def deleted(self, protocol: registry_v1.Protocol, spis: tuple[bytes, ...]) -> None:
        """It has ended what we send by with these SPIs. PeerError("delete-of-unknown-spi") if that is nothing."""
        meant = {spi: [live for live in self if live.pair.has_outbound(protocol, spi)] for spi in spis}
        for live in dict.fromkeys(live for found in meant.values() for live in found):
            self._end_one(live, "the peer has ended it", told=False)
        if not all(meant.values()):
            raise PeerError("delete-of-unknown-spi", ", ".join(spi.hex() for spi, found in meant.items() if not found))

    # --- what the data plane tells ---

    def of(self, spis: tuple[bytes, ...]) -> tuple[LivePair, ...]:
        """The pairs with these inbound SPIs, each once."""
        wanted = frozenset(spis)
        return tuple(live for live in self if not wanted.isdisjoint(live.pair.spis))

    def heard(self, spis: tuple[bytes, ...]) -> None:
        """Packets came in by them lately."""
        for live in self.of(spis):
            live.hear()
            line = self._lines[traffic_of(live.pair)]
            left = line.follow(live, self._core.now)
            if left is not None:
                self._delete_later(line, left)
                self._again(line)
            elif live is line.current:
                self._delete_needless(line)

    def used(self, spis: tuple[bytes, ...]) -> None:
        """Packets have gone by them lately, in one of both directions."""
        for live in self.of(spis):
            live.inactivity.used()

    def move(self, path: Path) -> None:
        """What is in UDP goes there from now on. SAs in transport mode are for two addresses: if one of both isn't
        there any more, they end."""
        for line in tuple(self._lines.values()):
            moved = [live for live in line.pairs if live.pair.path.natt]
            between_hosts = any(live.pair.ends.form.transport for live in moved)
            if between_hosts and any(live.pair.path.remote.address != path.remote.address for live in moved):
                self._end_all(line, "the peer has another address", told=True)
            for live in line.pairs:
                live.pair.follow(self._core, path)

    def lost(self, spis: tuple[bytes, ...], reason: str) -> None:
        """The data plane doesn't have them any more, or they have reached a hard limit."""
        for live in self.of(spis):
            self._end_one(live, reason, told=True)

    # --- commands ---

    def put_down(self, child: str, reason: str) -> None:
        """No SAs for this child any more."""
        for traffic, line in tuple(self._lines.items()):
            if traffic[0] == child and line.pairs:
                self._end_all(line, reason, told=True)

    def rekey(self, child: str) -> None:
        for traffic, line in tuple(self._lines.items()):
            if traffic[0] == child and line.current is not None:
                line.current.reach_soft()

    def reconfigure(self, terms: tuple[QuickTerms, ...]) -> None:
        """What may be made from now on, and stay. What is hidden otherwise, or ends otherwise when
        nothing goes by it, is rekeyed."""
        self._terms = terms
        by_child = {each.child: each for each in terms}
        for (child, _, _), line in tuple(self._lines.items()):
            allowed = by_child.get(child)
            if allowed is None or not all(allowed.allow(live.pair.suite, live.pair.ends) for live in line.pairs):
                if line.pairs:
                    self._end_all(line, "the policy has changed", told=True)
                continue
            before = line.current.pair.terms if line.current is not None else allowed
            otherwise = (before.tfc, before.idle) != (allowed.tfc, allowed.idle)
            for live in line.pairs:
                live.pair.terms = allowed
            if otherwise and line.current is not None:
                line.current.reach_soft()

    def close(self, reason: str) -> None:
        """All end, and the peer is told."""
        for line in tuple(self._lines.values()):
            if line.pairs:
                self._end_all(line, reason, told=True)

    def cut_off(self, reason: str, before: float = float("inf")) -> None:
        """All that were made by then are of no use any more, and nobody is told."""
        for line in tuple(self._lines.values()):
            if line.pairs and all(each.since < before for each in line.pairs):
                self._end_all(line, reason, told=False)
            else:
                for each in tuple(line.pairs):
                    if each.since < before:
                        self._end(each)
