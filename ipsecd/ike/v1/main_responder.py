"""Main mode as responder; ``main_initiator.py`` shows the messages."""

from __future__ import annotations

from dataclasses import dataclass

from ipsecd.errors import PeerError
from ipsecd.ike.config import Path
from ipsecd.ike.v1 import natt
from ipsecd.ike.v1.candidates import Ways
from ipsecd.ike.v1.responding import Responder, stays_behind_nat
from ipsecd.ike.v1.rows import MAIN_1, MAIN_3, MAIN_5
from ipsecd.ike.v1.suites import Choice
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.ikev1_payloads import NatD, Sa, VendorId
from ipsecd.wire.registry_v1 import Exchange


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the initiator's first message has led to."""

    choice: Choice
    sa_body: bytes
    revision: natt.Revision | None


class MainModeResponder(Responder):
    exchange = Exchange.MAIN

    _asked: _Asked | None = None

    @property
    def shown(self) -> bool:
        return self._ways is not None

    def _take(self, message: ikev1.Message, data: bytes, path: Path) -> None:
        if self._asked is None:
            self._take_offer(message, data, path)
        elif self._ways is None:
            self._take_value(message, self._asked, data, path)
        else:
            self._take_proof(message, self._asked, self._ways, data, path)

    def _take_offer(self, message: ikev1.Message, data: bytes, path: Path) -> None:
        MAIN_1.fits(message)
        cookies = self._new_cookies(message)
        admitted = MAIN_1.admit(message.chain)
        choice, self._candidates = self._candidates.choose(admitted.one(Sa), admitted.vendor_ids)
        revision = natt.common(admitted.all(VendorId))
        self._asked = _Asked(choice, admitted.body(Sa), revision)
        self._cookies, self._vendor_ids = cookies, admitted.vendor_ids
        self._answer(data, self._clear(choice.answer, *self._able_to(revision)), path)

    def _take_value(self, message: ikev1.Message, asked: _Asked, data: bytes, path: Path) -> None:
        MAIN_3.fits(message)
        admitted = MAIN_3.admit(message.chain)
        suite, revision = asked.choice.suite, asked.revision
        found = natt.detect(revision, suite.prf.id, self._cookies, path, admitted.all(NatD))
        values, ours = self._exchange(suite, asked.sa_body, admitted, revision, found)
        self._ways = self._candidates.agree(values)
        about = self._about_path(suite, revision, path) if found else ()
        self._answer(data, self._clear(*ours, *self._ways.requests, *about), path)

    def _take_proof(self, message: ikev1.Message, asked: _Asked, ways: Ways, data: bytes, path: Path) -> None:
        MAIN_5.fits(message)
        agreed, terms, peer = self._proved(ways, message, MAIN_5)
        if stays_behind_nat(agreed, path):
            raise PeerError("not-floated", "there is a NAT, and the peer stays on port 500")
        agreed.accept(message)
        us = Id.of(terms.local_id)
        proof = agreed.proof(us, of_initiator=False)
        self._answer(data, agreed.seal(self.exchange, (us, *agreed.method.certificates, proof)), path)
        self._establish(agreed, terms, peer, asked.choice, path)
