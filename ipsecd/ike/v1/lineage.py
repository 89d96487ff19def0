"""The pairs of SAs that one kind of traffic has: the one that we send by, and those that it has replaced.

A quick mode doesn't say that it's a rekey (RFC 2409): each new pair for the same traffic replaces those before it. Two
that both ends have begun at once, so that each was asked while its own question was on its way, are *rivals*: both ends
keep the one that wasn't made with the lowest of the four nonces, as in IKEv2 (RFC 7296 section 2.8.1). Other peers keep
another one perhaps, which works as well: what is replaced goes on receiving.

If messages are lost, one side may take for a successor what the other knows to be a rival, and never hear that it's
deleted. It sees then that the peer sends by the one that it holds for replaced, and by no other: it *follows*.
"""

from __future__ import annotations

from ipsecd import limits
from ipsecd.ike.v1.child_pair import ChildPair
from ipsecd.ike.v1.live_pair import LivePair, Stage
from ipsecd.ike.v1.quick_terms import Ends, QuickTerms
from ipsecd.wire.selector import Selector

Traffic = tuple[str, Selector, Selector]  # the identifier of a child, and what it carries here and there


def traffic_of(pair: ChildPair) -> Traffic:
    return pair.terms.child, pair.ends.local, pair.ends.remote


class Lineage:
    """``asking``: a quick mode of ours for it is asked for or under way. ``failures`` are those in a row that came to
    nothing."""

    def __init__(self) -> None:
        self.pairs: list[LivePair] = []  # in the order of their making
        self.current: LivePair | None = None
        self.asking = False
        self.failures = 0
        self.wanted: tuple[QuickTerms, Ends] | None = None  # by us, if what the peer has begun comes to nothing
        self._theirs: set[bytes] = set()  # SPIs of ours, of quick modes of the peer's that are under way
        self._rivals: set[bytes] = set()  # of them, those that were begun while ours was under way
        self._crossed: LivePair | None = None  # what ours has led to

    @property
    def empty(self) -> bool:
        """Whether there is nothing, and nothing is to come."""
        return not (self.pairs or self.asking or self._theirs)

    @property
    def coming(self) -> bool:
        """Whether a pair is being made."""
        return self.asking or bool(self._theirs)

    # --- quick modes ---

    def ask(self) -> None:
        self.asking = True

    def asked_in_vain(self) -> None:
        self.asking = False
        self.failures += 1
        self._settle()

    def theirs(self, pair: ChildPair) -> None:
        """The peer has begun a quick mode that will lead to this."""
        self._theirs.add(pair.spi)
        if self.asking:
            self._rivals.add(pair.spi)

    def theirs_in_vain(self, pair: ChildPair) -> None:
        self._theirs.discard(pair.spi)
        self._rivals.discard(pair.spi)
        if not self.coming:
            self._settle()

    # --- pairs ---

    def enter(self, new: LivePair) -> LivePair | None:
        """A new one, which is sent by unless it's the rival that gives way. The one that isn't, if there are two: it's
        deleted by who has begun its successor, of two rivals by who has begun it."""
        old = self.current
        rivals = old is not None and self._are_rivals(old, new)
        self.pairs.append(new)
        self._note(new)
        if old is None:
            self._send_by(new)
            return None
        given = new if rivals and new.pair.lowest_nonce < old.pair.lowest_nonce else old
        if given is old:
            self._send_by(new)
        given.ours_to_delete = given.pair.ours if rivals else new.pair.ours
        given.replace()
        return given

    def follow(self, live: LivePair, now: float) -> LivePair | None:
        """Packets come by this one: it's sent by if the peer has settled on it. The one that isn't any more then."""
        old = self.current
        if old is None or live.stage is not Stage.REPLACED or live.pair.ours == old.pair.ours:
            return None
        silent = max(old.since, old.heard or 0.0) + limits.FOLLOW_PEER <= now
        if not silent or live.pair.lowest_nonce < old.pair.lowest_nonce:
            return None
        self._send_by(live)
        old.ours_to_delete = old.pair.ours
        old.replace()
        return old

    def _are_rivals(self, old: LivePair, new: LivePair) -> bool:
        return old.pair.spi in self._rivals if new.pair.ours else old is self._crossed and new.pair.spi in self._rivals

    def _note(self, new: LivePair) -> None:
        self.failures = 0
        self.wanted = None
        self._theirs.discard(new.pair.spi)
        if new.pair.ours:
            self.asking = False
            self._crossed = new if self._rivals else None
        if not self.coming:
            self._settle()

    def _settle(self) -> None:
        self._rivals.clear()
        self._crossed = None

    def _send_by(self, live: LivePair) -> None:
        self.current = live
        live.open_outbound()

    def leave(self, gone: LivePair) -> None:
        """It ends. If it was sent by, the last one that it has replaced is again, as far as there is one."""
        self.pairs.remove(gone)
        if gone is self.current:
            self.current = None
            if self.pairs:
                self._send_by(self.pairs[-1])
        gone.close(limits.OLD_INBOUND_KEPT if self.current is not None else 0.0)

    def cut_off(self, linger: float = 0.0) -> None:
        """All end at once; packets are taken for so long."""
        gone, self.pairs, self.current = self.pairs, [], None
        for each in gone:
            each.close(linger)

    @property
    def replaced(self) -> tuple[LivePair, ...]:
        return tuple(each for each in self.pairs if each.stage is Stage.REPLACED)
