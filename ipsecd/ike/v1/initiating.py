"""What main mode and aggressive mode have in common for the initiator: it says something and repeats it by the clock,
until the answer is there. Nothing that isn't authentic ends the attempt; its own time does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from ipsecd import limits
from ipsecd.crypto.exchange import KeyPair
from ipsecd.errors import PeerError
from ipsecd.ike.config import Path
from ipsecd.ike.core import Core
from ipsecd.ike.effects import Send
from ipsecd.ike.nat import floated
from ipsecd.ike.repeats import Repeats
from ipsecd.ike.v1 import fragments, natt
from ipsecd.ike.v1.extended import KNOWS_XAUTH
from ipsecd.ike.v1.phase_1 import Agreed, IsakmpSa, Proved, Values, agree, established
from ipsecd.ike.v1.presence import ANSWERS
from ipsecd.ike.v1.rows import Admitted, Row
from ipsecd.ike.v1.suites import IsakmpSuite, describe, offer
from ipsecd.ike.v1.terms import Terms
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_bodies import encode_body
from ipsecd.wire.ikev1_payloads import Ke, NatD, Nonce, Notify, VendorId
from ipsecd.wire.registry_v1 import Exchange, NotifyType


class Initiator(ABC):
    """``done`` gets the ISAKMP SA; ``failed`` the reason in plain words, when the time is over or the peer isn't who we
    want. One of them is called, once."""

    exchange: ClassVar[Exchange]

    def __init__(
        self,
        core: Core,
        terms: Terms,
        path: Path,
        cookie: bytes,
        done: Callable[[IsakmpSa], None],
        failed: Callable[[str], None],
    ) -> None:
        self._core = core
        self._terms = terms
        self._path = path
        self._done = done
        self._failed = failed
        self._cookies = (cookie, ikev1.NO_COOKIE)
        self._suites = self._offered()
        self._offer = offer(self._suites, terms.lifetime)
        self._sent: tuple[bytes, ...] = ()
        self._said = 0
        self._vendor_ids: tuple[bytes, ...] = ()
        self._agreed: Agreed | None = None
        self._complaint = ""
        self._over = False
        self._repeats: Repeats | None = None
        self._begin()

    @abstractmethod
    def _offered(self) -> tuple[IsakmpSuite, ...]:
        """The suites to be offered, in order."""

    @abstractmethod
    def _begin(self) -> None:
        """The first message."""

    def hear(self, message: ikev1.Message, path: Path) -> None:
        """A message from the responder, or from anybody. PeerError or Refused with the reason why it has no effect."""
        if not message.header.begun_by(self._cookies[0]):
            raise PeerError("unknown-ike-spi", "another initiator's cookie")
        if self._path.local.address.is_unspecified:  # whoever sends has filled it in
            self._path = replace(self._path, local=replace(self._path.local, address=path.local.address))
        if self._over:
            self._take_late(message)
        elif message.header.exchange == Exchange.INFORMATIONAL:
            self._note(message)
        else:
            self._take(message, path)

    @abstractmethod
    def _take(self, message: ikev1.Message, path: Path) -> None:
        """The next message of the responder, if it's that."""

    def _take_late(self, _: ikev1.Message, /) -> None:
        """What comes when all is over. PeerError with the reason why it has no effect."""
        raise PeerError("phase-1-over")

    # --- saying it ---

    def _say(self, message: bytes) -> None:
        """Until the next one is said. It's cut for a peer that has said that it can join it."""
        self._said += 1
        joined_there = self._terms.fragmentation and fragments.joins(self._vendor_ids)
        self._sent = fragments.in_parts(message, self._header(), self._said, self._path) if joined_there else (message,)
        self._transmit()
        self._stop()
        self._repeats = Repeats(self._core, limits.RETRANSMIT_TRIES, self._transmit, self._gave_up)

    def _transmit(self) -> None:
        for datagram in self._sent:
            self._core.emit(Send(datagram, self._path))

    def _header(self) -> ikev1.Header:
        return ikev1.Header(*self._cookies, self.exchange)

    def _able_to(self) -> tuple[VendorId, ...]:
        joins = (fragments.JOINS,) if self._terms.fragmentation else ()
        return (*natt.OFFERED, ANSWERS, *joins, *([KNOWS_XAUTH] if self._terms.extended else []))

    def _about_path(self, suite: IsakmpSuite, revision: natt.Revision | None) -> tuple[NatD, ...]:
        force_udp = self._terms.force_udp
        return natt.payloads(revision, suite.prf.id, self._cookies, self._path, self._core.entropy, force_udp=force_udp)

    def _alone(self) -> tuple[Notify, ...]:
        """That we have no other SA with the peer, where it can't be read or changed by others."""
        spi = b"".join(self._cookies)
        return (Notify(NotifyType.INITIAL_CONTACT, spi=spi),) if self._terms.first else ()

    def _float(self, agreed: Agreed) -> None:
        """To port 4500, from now on, if ESP goes there (RFC 3947 section 4)."""
        if agreed.in_udp(bent=self._terms.force_udp):
            self._path = floated(self._path, self._core.config.natt_port)

    # --- hearing the answer ---

    def _note(self, message: ikev1.Message) -> None:
        """Anybody could have said so, as it's in clear until phase 1 is over."""
        errors = [each for each in message.chain.payloads if isinstance(each, Notify) and each.type.is_error]
        if not errors:
            raise PeerError("not-authenticated", f"{message.header.exchange} before the peer has proved itself")
        said = f"the peer says {errors[0].type}"
        if errors[0].type == NotifyType.NO_PROPOSAL_CHOSEN:
            said += f": no common proposal; we offer {describe(self._offer)}"
        self._complaint = self._complaint or said
        raise PeerError("unauthenticated-error", str(errors[0].type))

    def _take_cookie(self, message: ikev1.Message) -> tuple[bytes, bytes]:
        """Both cookies, by the responder's first message."""
        cookie_i, cookie_r = self._cookies[0], message.header.cookie_r
        if cookie_r in (ikev1.NO_COOKIE, cookie_i):
            raise PeerError("zero-spi" if cookie_r == ikev1.NO_COOKIE else "reflected", "not a responder's cookie")
        return cookie_i, cookie_r

    def _agree(
        self,
        suite: IsakmpSuite,
        cookies: tuple[bytes, bytes],
        ours: tuple[KeyPair, bytes],
        theirs: Admitted,
        revision: natt.Revision | None,
        path: Path,
    ) -> Agreed:
        """By the values of both sides; ``ours`` are a key pair and a nonce, and theirs came along this path."""
        (pair, nonce), value = ours, theirs.one(Ke).data
        found = natt.detect(revision, suite.prf.id, cookies, path, theirs.all(NatD))
        publics, nonces = (pair.public, value), (nonce, theirs.one(Nonce).data)
        values = Values(suite, cookies, encode_body(self._offer), publics, nonces, pair.shared(value), revision, found)
        return agree(self._terms.method(suite, initiator=True), values)

    def _proved(self, agreed: Agreed, message: ikev1.Message, row: Row) -> Proved:
        """Who the peer is. What proves nothing is remembered for people, and what proves another one is the end."""
        try:
            peer = agreed.proved(message, row, of_initiator=False)
        except PeerError as error:
            self._complaint = error.detail or self._complaint
            raise
        refusal = peer.claim.refusal((self._terms,))
        if refusal is not None:
            self._fail(refusal.detail)
            raise refusal
        return peer

    # --- the end ---

    def _establish(self, agreed: Agreed, peer: Proved, path: Path) -> None:
        terms = self._terms
        sa = established(
            terms,
            agreed,
            peer,
            initiator=True,
            lifetime=terms.lifetime,
            path=path,
            in_udp=agreed.in_udp(bent=terms.force_udp),
            vendor_ids=self._vendor_ids,
        )
        self._done(sa)

    @property
    def path(self) -> Path:
        """Where the last message went."""
        return self._path

    @property
    def proving(self) -> bool:
        """Whether all is agreed on but who both ends are."""
        return self._agreed is not None

    def drop(self) -> None:
        """It isn't wanted any more: nothing comes of it."""
        self._finish()
        if self._agreed is not None:
            self._agreed.keys.wipe()

    def _gave_up(self) -> None:
        silence = "the peer doesn't answer"
        if self._agreed is not None:  # which is all that a responder does about a proof that it can't read
            silence += f" our proof: perhaps {self._agreed.method.doubt}, or it doesn't know our identity"
        self._fail(self._complaint or silence)

    def _fail(self, reason: str) -> None:
        self._finish()
        if self._agreed is not None:
            self._agreed.keys.wipe()
        self._failed(reason)

    def _finish(self) -> None:
        self._over = True
        self._stop()

    def _stop(self) -> None:
        if self._repeats is not None:
            self._repeats.stop()
