"""Main mode with a pre-shared key as responder; ``main_initiator.py`` shows the messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ipsecd import limits
from ipsecd.errors import PeerError, Refused
from ipsecd.ike.config import Path
from ipsecd.ike.core import Core
from ipsecd.ike.effects import Send
from ipsecd.ike.timers import Timer
from ipsecd.ike.v1 import natt
from ipsecd.ike.v1.phase_1 import WRONG_PROOF, Agreed, IsakmpSa, Terms, agree, established
from ipsecd.ike.v1.presence import ANSWERS
from ipsecd.ike.v1.rows import MAIN_1, MAIN_3, MAIN_5
from ipsecd.ike.v1.suites import Choice, choose
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.ikev1_payloads import AnyPayload, Hash, Ke, NatD, Nonce, Sa, VendorId
from ipsecd.wire.registry import Prf
from ipsecd.wire.registry_v1 import Exchange


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the initiator's first message has led to."""

    choice: Choice
    sa_body: bytes
    revision: natt.Revision | None
    vendor_ids: tuple[bytes, ...]


class MainModeResponder:
    """Begins with the initiator's first message. It never repeats by the clock: what it hears again, it answers again.

    ``done`` gets the ISAKMP SA, behind the effect that sends the last message; from then on this only answers repeats.
    ``failed`` gets the reason in plain words, when the time is over or the peer isn't who we want. One of them is
    called, once.
    """

    def __init__(
        self, core: Core, terms: Terms, cookie: bytes, done: Callable[[IsakmpSa], None], failed: Callable[[str], None]
    ) -> None:
        self._core = core
        self._terms = terms
        self._cookie = cookie
        self._done = done
        self._failed = failed
        self._cookies = (b"", b"")
        self._heard = self._said = b""
        self._asked: _Asked | None = None
        self._agreed: Agreed | None = None
        self._complaint = ""
        self._over = False
        self._expiry = self._wait()

    def hear(self, message: ikev1.Message, data: bytes, path: Path) -> None:
        """A message with these cookies, or the first one. PeerError or Refused with the reason why it has no effect;
        a Refused with a ``notify`` may be answered, in clear."""
        if data == self._heard:
            self._core.emit(Send(self._said, path))
            raise PeerError("request-repeated", "it's answered the same way")
        if self._over:
            raise PeerError("phase-1-over", "nothing but the last message is answered again")
        if self._asked is None:
            self._take_offer(message, data, path)
            return
        if not message.header.belongs_to(self._cookies):
            raise PeerError("unknown-ike-spi", "not the cookies of this main mode")
        if self._agreed is None:
            self._take_value(message, self._asked, data, path)
        else:
            self._take_proof(message, self._asked, self._agreed, data, path)

    def _take_offer(self, message: ikev1.Message, data: bytes, path: Path) -> None:
        MAIN_1.fits(message)
        cookie_i = message.header.cookie_i
        if message.header.cookie_r != ikev1.NO_COOKIE or message.header.begun_by(self._cookie):
            raise PeerError("reflected", "the first message has a responder's cookie, or ours")
        admitted = MAIN_1.admit(message.chain)
        choice = choose(admitted.one(Sa), self._terms.suites)
        said = admitted.all(VendorId)
        revision = natt.common(said)
        self._asked = _Asked(choice, admitted.body(Sa), revision, tuple(each.data for each in said))
        self._cookies = (cookie_i, self._cookie)
        confirmed = () if revision is None else (VendorId(revision.vendor_id),)
        self._answer(data, self._clear(choice.answer, *confirmed, ANSWERS), path)

    def _take_value(self, message: ikev1.Message, asked: _Asked, data: bytes, path: Path) -> None:
        MAIN_3.fits(message)
        admitted = MAIN_3.admit(message.chain)
        suite, revision = asked.choice.suite, asked.revision
        pair, value = self._core.entropy.key_pair(suite.group.id), admitted.one(Ke).data
        nonce = self._core.entropy.octets(limits.NONCE_OCTETS)
        found = natt.detect(revision, suite.prf.id, self._cookies, path, admitted.all(NatD)) if revision else None
        self._agreed = agree(
            suite,
            self._terms,
            self._cookies,
            asked.sa_body,
            (value, pair.public),
            (admitted.one(Nonce).data, nonce),
            pair.shared(value),
            (revision, found),
        )
        about = self._about_path(revision, suite.prf.id, path) if revision and found else ()
        self._answer(data, self._clear(Ke(pair.public), Nonce(nonce), *about), path)

    def _about_path(self, revision: natt.Revision, prf_id: Prf, path: Path) -> tuple[NatD, ...]:
        force_udp = self._terms.force_udp
        return natt.payloads(revision, prf_id, self._cookies, path, self._core.entropy, force_udp=force_udp)

    def _take_proof(self, message: ikev1.Message, asked: _Asked, agreed: Agreed, data: bytes, path: Path) -> None:
        MAIN_5.fits(message)
        if agreed.nat is not None and agreed.nat.found and not path.natt:  # RFC 3947 section 4
            raise PeerError("not-floated", "there is a NAT, and the peer stays on port 500")
        try:
            admitted = agreed.proved(message, MAIN_5, self._terms, of_initiator=True)
        except PeerError:
            self._complaint = WRONG_PROOF
            raise
        except Refused as refusal:
            self._fail(refusal.detail)
            raise
        us = Id.of(self._terms.local_id)
        self._answer(data, agreed.seal((us, Hash(agreed.proof(us, of_initiator=False)))), path)
        self._finish()
        offered = asked.choice.seconds
        seconds = self._terms.seconds if offered is None else min(self._terms.seconds, offered)
        self._done(
            established(agreed, admitted, initiator=False, seconds=seconds, path=path, vendor_ids=asked.vendor_ids)
        )

    def _clear(self, *payloads: AnyPayload) -> bytes:
        return ikev1.encode(ikev1.Header(*self._cookies, Exchange.MAIN), payloads)

    def _wait(self) -> Timer:
        return self._core.after(limits.HALF_OPEN_LIFETIME, self._expired)

    def _answer(self, heard: bytes, said: bytes, path: Path) -> None:
        self._heard, self._said = heard, said
        self._core.emit(Send(said, path))
        self._expiry.cancel()
        self._expiry = self._wait()

    def _expired(self) -> None:
        self._fail(self._complaint or "the initiator didn't go on")

    def _fail(self, reason: str) -> None:
        self._finish()
        if self._agreed is not None:
            self._agreed.keys.wipe()
        self._failed(reason)

    def _finish(self) -> None:
        self._over = True
        self._expiry.cancel()
