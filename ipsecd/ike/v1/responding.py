"""What main mode and aggressive mode have in common for the responder: it answers, and repeats nothing by the clock.
What it hears again, it answers again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from ipsecd import limits
from ipsecd.errors import PeerError, Refused
from ipsecd.ike.config import Path
from ipsecd.ike.core import Core
from ipsecd.ike.effects import Send
from ipsecd.ike.nat import Nat
from ipsecd.ike.timers import Timer
from ipsecd.ike.v1 import durations, fragments, natt
from ipsecd.ike.v1.candidates import Candidates, Ways
from ipsecd.ike.v1.extended import KNOWS_XAUTH
from ipsecd.ike.v1.phase_1 import Agreed, Claim, IsakmpSa, Proved, Values, established
from ipsecd.ike.v1.presence import ANSWERS
from ipsecd.ike.v1.rows import Admitted, Row
from ipsecd.ike.v1.suites import Choice, IsakmpSuite
from ipsecd.ike.v1.terms import Terms
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_payloads import AnyPayload, Ke, NatD, Nonce, VendorId
from ipsecd.wire.registry_v1 import Exchange
from ipsecd.wire.selector import Address


class Responder(ABC):
    """Begins with the initiator's first message. ``candidates`` are the terms that may be meant.

    ``done`` gets the ISAKMP SA; from then on this only answers repeats. ``failed`` gets the reason in plain words, when
    the time is over or the peer isn't who we want. One of them is called, once.
    """

    exchange: ClassVar[Exchange]

    def __init__(
        self,
        core: Core,
        candidates: Candidates,
        cookie: bytes,
        done: Callable[[IsakmpSa], None],
        failed: Callable[[str], None],
    ) -> None:
        self._core = core
        self._candidates = candidates
        self._cookie = cookie
        self._done = done
        self._failed = failed
        self._cookies = (b"", b"")
        self._heard = b""
        self._said: tuple[bytes, ...] = ()
        self._went_to: Address | None = None
        self._answers = self._left = 0
        self._vendor_ids: tuple[bytes, ...] = ()
        self._began_on_500 = False  # and whoever leaves that sees a NAT, whether or not we do
        self._ways: Ways | None = None
        self._complaint = ""
        self._over = False
        self._expiry = self._wait()

    def hear(self, message: ikev1.Message, data: bytes, path: Path) -> None:
        """A message with these cookies, or the first one. PeerError or Refused with the reason why it has no effect;
        a Refused with a ``notify`` may be answered, in clear."""
        if data == self._heard:
            self._repeat(path)
            raise PeerError("request-repeated", "it's answered the same way")
        if self._over:
            raise PeerError("phase-1-over", "nothing but the last message is answered again")
        if self._cookies[1] and not message.header.belongs_to(self._cookies):
            raise PeerError("unknown-ike-spi", "not the cookies of this phase 1")
        self._take(message, data, path)

    @abstractmethod
    def _take(self, message: ikev1.Message, data: bytes, path: Path) -> None:
        """The next message of the initiator, if it's that."""

    def _new_cookies(self, message: ikev1.Message) -> tuple[bytes, bytes]:
        """Both cookies, by the initiator's first message."""
        if message.header.cookie_r != ikev1.NO_COOKIE or message.header.begun_by(self._cookie):
            raise PeerError("reflected", "the first message has a responder's cookie, or ours")
        return message.header.cookie_i, self._cookie

    def _exchange(
        self,
        suite: IsakmpSuite,
        sa_body: bytes,
        theirs: Admitted,
        revision: natt.Revision | None,
        found: Nat | None,
    ) -> tuple[Values, tuple[Ke, Nonce]]:
        """The values of both sides, and what says ours."""
        pair, value = self._core.entropy.key_pair(suite.group.id), theirs.one(Ke).data
        nonce = self._core.entropy.octets(limits.NONCE_OCTETS)
        publics, nonces = (value, pair.public), (theirs.one(Nonce).data, nonce)
        values = Values(suite, self._cookies, sa_body, publics, nonces, pair.shared(value), revision, found)
        return values, (Ke(pair.public), Nonce(nonce))

    # --- saying it ---

    def _clear(self, *payloads: AnyPayload) -> bytes:
        return ikev1.encode(self._header(), payloads)

    def _header(self) -> ikev1.Header:
        return ikev1.Header(*self._cookies, self.exchange)

    def _able_to(self, revision: natt.Revision | None) -> tuple[VendorId, ...]:
        confirmed = () if revision is None else (VendorId(revision.vendor_id),)
        extended = (KNOWS_XAUTH,) if self._candidates.extended else ()
        joins = (fragments.JOINS,) if self._candidates.fragmentation else ()
        return (*confirmed, ANSWERS, *joins, *extended)

    def _about_path(self, suite: IsakmpSuite, revision: natt.Revision | None, path: Path) -> tuple[NatD, ...]:
        force_udp = self._candidates.force_udp
        return natt.payloads(revision, suite.prf.id, self._cookies, path, self._core.entropy, force_udp=force_udp)

    def _answer(self, heard: bytes, said: bytes, path: Path) -> None:
        """It's cut for a peer that has said that it can join it."""
        if not self._answers:
            self._began_on_500 = not path.natt
        self._answers += 1
        self._left = limits.MAX_V1_REPEATS
        joined_there = self._candidates.fragmentation and fragments.joins(self._vendor_ids)
        self._heard, self._went_to = heard, path.remote.address
        self._said = fragments.in_parts(said, self._header(), self._answers, path) if joined_there else (said,)
        self._transmit(path)
        self._expiry.cancel()
        self._expiry = self._wait()

    def _repeat(self, path: Path) -> None:
        """Not without end, and to nobody else than who got it before: who has seen the question may ask for anybody,
        and the answer may be longer."""
        if self._left and self._is_for(path):
            self._left -= 1
            self._transmit(path)

    def _is_for(self, path: Path) -> bool:
        """Whether the last answer went there."""
        return path.remote.address == self._went_to

    def _transmit(self, path: Path) -> None:
        for datagram in self._said:
            self._core.emit(Send(datagram, path))

    # --- the end ---

    @property
    @abstractmethod
    def shown(self) -> bool:
        """Whether the initiator has shown that it gets what is sent to its address."""

    @property
    def complaint(self) -> str:
        """What was wrong with its proof, for people; empty if none has come."""
        return self._complaint

    def drop(self) -> None:
        """Nothing comes of it."""
        self._finish()
        if self._ways is not None:
            self._ways.wipe()

    def _proved(
        self, ways: Ways, message: ikev1.Message, row: Row, claim: Claim | None = None
    ) -> tuple[Agreed, Terms, Proved]:
        """Who the peer is. What proves nothing is remembered for people, and what proves another one is the end."""
        try:
            return ways.proved(message, row, claim)
        except PeerError as error:
            self._complaint = error.detail or self._complaint
            raise
        except Refused as refusal:
            self._complaint = refusal.detail
            self._fail(refusal.detail)
            raise

    def _establish(self, agreed: Agreed, terms: Terms, peer: Proved, choice: Choice, path: Path) -> None:
        self._finish()
        if self._ways is not None:
            self._ways.wipe(but=agreed)
        sa = established(
            terms,
            agreed,
            peer,
            initiator=False,
            lifetime=durations.shorter(terms.lifetime, choice.lifetime),
            path=path,
            in_udp=path.natt and (self._began_on_500 or agreed.in_udp(bent=self._candidates.force_udp)),
            vendor_ids=self._vendor_ids,
        )
        self._done(sa)

    def _wait(self) -> Timer:
        return self._core.after(limits.HALF_OPEN_LIFETIME, self._expired)

    def _expired(self) -> None:
        self._fail(self._complaint or "the initiator didn't go on")

    def _fail(self, reason: str) -> None:
        self.drop()
        self._failed(reason)

    def _finish(self) -> None:
        self._over = True
        self._expiry.cancel()


def stays_behind_nat(agreed: Agreed, path: Path) -> bool:
    """Whether the initiator should have gone to port 4500 and hasn't (RFC 3947 section 4)."""
    return agreed.nat is not None and agreed.nat.found and not path.natt
