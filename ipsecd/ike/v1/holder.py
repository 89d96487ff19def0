"""Who wants SAs by IKEv1, and is told what becomes of them; and what it wants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ipsecd.ike.v1.child_pair import ChildPair
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.quick_terms import Ends, QuickTerms
from ipsecd.ike.v1.session import Session
from ipsecd.wire.mode_config import NetworkSettings


class Holder(Protocol):
    """Who holds an association."""

    def established(self, sa: IsakmpSa) -> None:
        """The peer has proved who it is, and so has its user if he is asked for."""

    def configured(self, sa: IsakmpSa, settings: NetworkSettings) -> None:
        """By mode config a client has been given this: we, or the peer if it's that. ``established`` follows."""

    def turned_away(self, sa: IsakmpSa, reason: str) -> None:
        """An ISAKMP SA ends that never was of use: XAUTH or mode config came to nothing, here or there."""

    def ended(self, sa: IsakmpSa, reason: str) -> None:
        """An ISAKMP SA is over."""

    def unreached(self, reason: str) -> None:
        """A phase 1 of ours came to nothing."""

    def opened(self, pair: ChildPair) -> None:
        """Packets come in by it from now on; perhaps it's not up yet."""

    def closed(self, pair: ChildPair) -> None:
        """None does any more."""

    def up(self, pair: ChildPair) -> None:
        """Traffic that had none has SAs now."""

    def rekeyed(self, pair: ChildPair) -> None:
        """It has others now."""

    def down(self, pair: ChildPair, reason: str) -> None:
        """It had these, and has none any more."""

    def failed(self, terms: QuickTerms, ends: Ends, reason: str) -> None:
        """A quick mode came to nothing. What the traffic has stays, and is rekeyed later; for traffic that has none
        nothing more is done."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A quick mode of ours that needs an ISAKMP SA."""

    terms: QuickTerms
    ends: Ends
    done: Callable[[Session, ChildPair], None]
    failed: Callable[[str], None]
