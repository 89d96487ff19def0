"""Aggressive mode as responder; ``aggressive_initiator.py`` shows the messages.

The first message alone makes us compute a shared secret, and with signatures sign, before anything is known of who sent
it. Whoever calls this has asked ``Guard.admit_phase_1`` before, which knows how much of that strangers may cause.
"""

from __future__ import annotations

from dataclasses import dataclass

from ipsecd import limits
from ipsecd.crypto.exchange import check_public
from ipsecd.errors import PeerError
from ipsecd.ike.config import Path
from ipsecd.ike.nat import Nat
from ipsecd.ike.v1 import natt
from ipsecd.ike.v1.candidates import Candidates, Ways
from ipsecd.ike.v1.phase_1 import Agreed, Claim
from ipsecd.ike.v1.responding import Responder, stays_behind_nat
from ipsecd.ike.v1.rows import AGGRESSIVE_1, AGGRESSIVE_3, Admitted
from ipsecd.ike.v1.suites import Choice
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.ikev1_payloads import AnyPayload, Ke, NatD, Sa, VendorId
from ipsecd.wire.registry_v1 import Exchange


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the initiator's first message has led to."""

    choice: Choice
    claim: Claim
    ways: Ways
    path: Path


class AggressiveResponder(Responder):
    """Which terms are meant the identity in the first message says. Of those that don't accept what aggressive mode
    shows that message raises Refused, and isn't answered."""

    exchange = Exchange.AGGRESSIVE

    _asked: _Asked | None = None
    _reminders = limits.RETRANSMIT_TRIES

    @property
    def shown(self) -> bool:
        """By its proof alone, with which this is over."""
        return False

    def _take(self, message: ikev1.Message, data: bytes, path: Path) -> None:
        if self._asked is None:
            self._take_offer(message, data, path)
        elif message.header.exchange != self.exchange and message.sealed:
            if message.header.exchange == Exchange.INFORMATIONAL:
                self._note_doubt(self._asked)
            self._remind(path)
        else:
            self._take_proof(message, self._asked, data, path)

    def _take_offer(self, message: ikev1.Message, data: bytes, path: Path) -> None:
        AGGRESSIVE_1.fits(message)
        cookies = self._new_cookies(message)
        admitted = AGGRESSIVE_1.admit(message.chain)
        claim = Claim.of(admitted)
        called = self._candidates.called(claim)
        choice, able = called.choose_exposed(admitted.one(Sa), admitted.vendor_ids)
        check_public(choice.suite.group.id, admitted.one(Ke).data)
        self._cookies = cookies
        try:
            self._answer_offer(admitted, choice, able.first, claim, data, path)
        except PeerError:
            self._cookies = (b"", b"")
            raise

    def _answer_offer(
        self, admitted: Admitted, choice: Choice, chosen: Candidates, claim: Claim, data: bytes, path: Path
    ) -> None:
        suite, revision = choice.suite, natt.common(admitted.all(VendorId))
        values, ours = self._exchange(suite, admitted.body(Sa), admitted, revision, None)
        ways = chosen.agree(values)
        ((agreed, (terms,)),) = ways.all
        us, method = Id.of(terms.local_id), agreed.method
        self._candidates, self._ways = chosen, ways
        self._asked, self._vendor_ids = _Asked(choice, claim, ways, path), admitted.vendor_ids
        said: list[AnyPayload] = [choice.answer, *ours, us]
        said += [*method.certificates, *method.requests]
        said += [*self._able_to(revision), *self._about_path(suite, revision, path)]
        self._answer(data, self._clear(*said, agreed.proof(us, of_initiator=False)), path)

    def _take_proof(self, message: ikev1.Message, asked: _Asked, data: bytes, path: Path) -> None:
        AGGRESSIVE_3.fits(message)
        agreed, terms, peer = self._proved(asked.ways, message, AGGRESSIVE_3, asked.claim)
        agreed.nat = self._detected(agreed, peer.admitted.all(NatD), asked.path, path)
        if stays_behind_nat(agreed, path):
            raise PeerError("not-floated", "there is a NAT, and the peer stays on port 500")
        agreed.accept(message)
        self._heard, self._said = data, ()
        self._establish(agreed, terms, peer, asked.choice, path)

    def _detected(self, agreed: Agreed, said: tuple[NatD, ...], *paths: Path) -> Nat | None:
        """By the ports of the first message or those of this one: peers have hashed the one or the other."""
        prf_id = agreed.suite.prf.id
        found = [natt.detect(agreed.revision, prf_id, self._cookies, path, said) for path in paths]
        seen = [each for each in found if each is not None]
        if not seen:
            return None
        return Nat(here=all(each.here for each in seen), there=all(each.there for each in seen))

    def _note_doubt(self, asked: _Asked) -> None:
        """Who says something else where its proof is due, under keys that may be others, perhaps says why."""
        ((agreed, _),) = asked.ways.all
        self._complaint = self._complaint or f"the peer doesn't take our proof: perhaps {agreed.method.doubt}"

    def _remind(self, path: Path) -> None:
        """Who goes on behind phase 1 has lost its last message on the way: it's said again to who hears ours again."""
        if self._reminders and self._is_for(path):
            self._reminders -= 1
            self._transmit(path)
        raise PeerError("not-authenticated", "behind a phase 1 whose last message isn't here")
