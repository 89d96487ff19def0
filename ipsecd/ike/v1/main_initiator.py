"""Main mode with a pre-shared key as initiator (RFC 2409 sections 5 and 5.4).

::

    initiator                                   responder
    1  HDR, SA, VID...                    -->
                                          <--   2  HDR, SA, VID...
    3  HDR, KE, Ni, NAT-D, NAT-D          -->
                                          <--   4  HDR, KE, Nr, NAT-D, NAT-D
    5  HDR*, IDii, HASH_I, [N]            -->   to port 4500 if there is a NAT
                                          <--   6  HDR*, IDir, HASH_R

The initiator alone repeats messages by the clock. Nothing that isn't authentic ends the attempt; its own time does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ipsecd import limits
from ipsecd.crypto.exchange import KeyPair
from ipsecd.errors import PeerError, Refused
from ipsecd.ike.config import Path
from ipsecd.ike.core import Core
from ipsecd.ike.effects import Send
from ipsecd.ike.nat import floated
from ipsecd.ike.repeats import Repeats
from ipsecd.ike.v1 import natt
from ipsecd.ike.v1.phase_1 import WRONG_PROOF, Agreed, IsakmpSa, Terms, agree, established
from ipsecd.ike.v1.presence import ANSWERS
from ipsecd.ike.v1.rows import MAIN_2, MAIN_4, MAIN_6
from ipsecd.ike.v1.suites import IsakmpSuite, accepted, describe, offer
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_bodies import encode_body
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.ikev1_payloads import Hash, Ke, NatD, Nonce, Notify, Sa, VendorId
from ipsecd.wire.registry_v1 import Exchange, NotifyType


@dataclass(slots=True)
class _Taken:
    """What the responder took, and what we have for the exchange of values."""

    suite: IsakmpSuite
    revision: natt.Revision | None
    vendor_ids: tuple[bytes, ...]
    pair: KeyPair
    nonce: bytes


class MainModeInitiator:
    """``done`` gets the ISAKMP SA; ``failed`` the reason in plain words, when the time is over or the peer isn't who we
    want. One of them is called, once."""

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
        self._offer = offer(terms.suites, terms.seconds)
        self._sent = b""
        self._taken: _Taken | None = None
        self._agreed: Agreed | None = None
        self._complaint = ""
        self._over = False
        self._repeats = self._say(ikev1.encode(self._header(), [self._offer, *natt.OFFERED, ANSWERS]))

    # --- saying it ---

    def _say(self, message: bytes) -> Repeats:
        self._sent = message
        self._transmit()
        return Repeats(self._core, limits.RETRANSMIT_TRIES, self._transmit, self._gave_up)

    def _transmit(self) -> None:
        self._core.emit(Send(self._sent, self._path))

    def _say_next(self, message: bytes) -> None:
        self._repeats.stop()
        self._repeats = self._say(message)

    def _header(self) -> ikev1.Header:
        return ikev1.Header(*self._cookies, Exchange.MAIN)

    # --- hearing the answer ---

    def hear(self, message: ikev1.Message, path: Path) -> None:
        """A message from the responder, or from anybody. PeerError or Refused with the reason why it has no effect."""
        if not message.header.begun_by(self._cookies[0]):
            raise PeerError("unknown-ike-spi", "another initiator's cookie")
        if self._over:
            raise PeerError("phase-1-over")
        if message.header.exchange == Exchange.INFORMATIONAL:
            self._note(message)
        elif self._taken is None:
            self._take_suite(message)
        elif self._agreed is None:
            self._take_value(message, self._taken, path)
        else:
            self._take_proof(message, self._taken, self._agreed, path)

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

    def _take_suite(self, message: ikev1.Message) -> None:
        MAIN_2.fits(message)
        (cookie_i, _), cookie_r = self._cookies, message.header.cookie_r
        if cookie_r in (ikev1.NO_COOKIE, cookie_i):
            raise PeerError("zero-spi" if cookie_r == ikev1.NO_COOKIE else "reflected", "not a responder's cookie")
        admitted = MAIN_2.admit(message.chain)
        suite = accepted(self._terms.suites, admitted.one(Sa))
        said = admitted.all(VendorId)
        pair = self._core.entropy.key_pair(suite.group.id)
        nonce = self._core.entropy.octets(limits.NONCE_OCTETS)
        revision = natt.common(said)
        self._taken = _Taken(suite, revision, tuple(each.data for each in said), pair, nonce)
        self._cookies = (cookie_i, cookie_r)
        self._say_next(ikev1.encode(self._header(), [Ke(pair.public), Nonce(nonce), *self._about_path(self._taken)]))

    def _about_path(self, taken: _Taken) -> tuple[NatD, ...]:
        if taken.revision is None:
            return ()
        force_udp = self._terms.force_udp
        return natt.payloads(
            taken.revision, taken.suite.prf.id, self._cookies, self._path, self._core.entropy, force_udp=force_udp
        )

    def _take_value(self, message: ikev1.Message, taken: _Taken, path: Path) -> None:
        self._check(message)
        MAIN_4.fits(message)
        admitted = MAIN_4.admit(message.chain)
        value, revision = admitted.one(Ke).data, taken.revision
        found = natt.detect(revision, taken.suite.prf.id, self._cookies, path, admitted.all(NatD)) if revision else None
        agreed = agree(
            taken.suite,
            self._terms,
            self._cookies,
            encode_body(self._offer),
            (taken.pair.public, value),
            (taken.nonce, admitted.one(Nonce).data),
            taken.pair.shared(value),
            (revision, found),
        )
        if found is not None and (found.found or self._terms.force_udp):
            self._path = floated(self._path, self._core.config.natt_port)
        us = Id.of(self._terms.local_id)
        alone = (Notify(NotifyType.INITIAL_CONTACT, spi=b"".join(self._cookies)),) if self._terms.first else ()
        self._agreed = agreed
        self._say_next(agreed.seal((us, Hash(agreed.proof(us, of_initiator=True)), *alone)))

    def _take_proof(self, message: ikev1.Message, taken: _Taken, agreed: Agreed, path: Path) -> None:
        self._check(message)
        MAIN_6.fits(message)
        try:
            admitted = agreed.proved(message, MAIN_6, self._terms, of_initiator=False)
        except PeerError:
            self._complaint = WRONG_PROOF
            raise
        except Refused as refusal:
            self._fail(refusal.detail)
            raise
        self._finish()
        sa = established(
            agreed, admitted, initiator=True, seconds=self._terms.seconds, path=path, vendor_ids=taken.vendor_ids
        )
        self._done(sa)

    def _check(self, message: ikev1.Message) -> None:
        if not message.header.belongs_to(self._cookies):
            raise PeerError("unknown-ike-spi", "another responder's cookie")

    # --- the end ---

    def _gave_up(self) -> None:
        silence = "the peer doesn't answer"
        if self._agreed is not None:  # which is all that a responder does about a proof that it can't read
            silence += " our proof: perhaps the pre-shared keys differ, or it doesn't know our identity"
        self._fail(self._complaint or silence)

    def _fail(self, reason: str) -> None:
        self._finish()
        if self._agreed is not None:
            self._agreed.keys.wipe()
        self._failed(reason)

    def _finish(self) -> None:
        self._over = True
        self._repeats.stop()
