"""Main mode as initiator, with a pre-shared key or with signatures (RFC 2409 sections 5, 5.1 and 5.4).

::

    initiator                                   responder
    1  HDR, SA, VID...                    -->
                                          <--   2  HDR, SA, VID...
    3  HDR, KE, Ni, NAT-D, NAT-D          -->
                                          <--   4  HDR, KE, Nr, [CERTREQ,] NAT-D, NAT-D
    5  HDR*, IDii, proof, [CERTREQ,] [N]  -->   to port 4500 if there is a NAT
                                          <--   6  HDR*, IDir, proof

    proof: HASH_I or HASH_R; with signatures [CERT,] SIG_I or SIG_R
"""

from __future__ import annotations

from dataclasses import dataclass

from ipsecd import limits
from ipsecd.crypto.exchange import KeyPair
from ipsecd.errors import PeerError
from ipsecd.ike.config import Path
from ipsecd.ike.v1 import natt
from ipsecd.ike.v1.initiating import Initiator
from ipsecd.ike.v1.phase_1 import Agreed
from ipsecd.ike.v1.rows import MAIN_2, MAIN_4, MAIN_6
from ipsecd.ike.v1.suites import IsakmpSuite, accepted
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.ikev1_payloads import Ke, Nonce, Sa, VendorId
from ipsecd.wire.registry_v1 import Exchange


@dataclass(slots=True)
class _Taken:
    """What the responder took, and what we have for the exchange of values."""

    suite: IsakmpSuite
    revision: natt.Revision | None
    pair: KeyPair
    nonce: bytes


class MainModeInitiator(Initiator):
    exchange = Exchange.MAIN

    _taken: _Taken | None = None

    def _offered(self) -> tuple[IsakmpSuite, ...]:
        return self._terms.offered

    def _begin(self) -> None:
        self._say(ikev1.encode(self._header(), [self._offer, *self._able_to()]))

    def _take(self, message: ikev1.Message, path: Path) -> None:
        if self._taken is None:
            self._take_suite(message)
        elif self._agreed is None:
            self._take_value(message, self._taken, path)
        else:
            self._take_proof(message, self._agreed, path)

    def _take_suite(self, message: ikev1.Message) -> None:
        MAIN_2.fits(message)
        cookies = self._take_cookie(message)
        admitted = MAIN_2.admit(message.chain)
        suite = accepted(self._suites, admitted.one(Sa))
        pair = self._core.entropy.key_pair(suite.group.id)
        self._taken = _Taken(
            suite, natt.common(admitted.all(VendorId)), pair, self._core.entropy.octets(limits.NONCE_OCTETS)
        )
        self._cookies, self._vendor_ids = cookies, admitted.vendor_ids
        about_path = self._about_path(suite, self._taken.revision)
        self._say(ikev1.encode(self._header(), [Ke(pair.public), Nonce(self._taken.nonce), *about_path]))

    def _take_value(self, message: ikev1.Message, taken: _Taken, path: Path) -> None:
        self._check(message)
        MAIN_4.fits(message)
        admitted = MAIN_4.admit(message.chain)
        ours = taken.pair, taken.nonce
        agreed = self._agree(taken.suite, self._cookies, ours, admitted, taken.revision, path)
        self._float(agreed)
        us = Id.of(self._terms.local_id)
        proof = agreed.proof(us, of_initiator=True)
        self._agreed = agreed
        method = agreed.method
        self._say(agreed.seal(self.exchange, (us, *method.certificates, proof, *method.requests, *self._alone())))

    def _take_proof(self, message: ikev1.Message, agreed: Agreed, path: Path) -> None:
        self._check(message)
        MAIN_6.fits(message)
        if self._path.natt and not path.natt:
            raise PeerError("not-floated", "all goes to port 4500, and the peer stays on port 500")
        peer = self._proved(agreed, message, MAIN_6)
        agreed.accept(message)
        self._finish()
        self._establish(agreed, peer, path if natt.follows(agreed.nat, self._path, path) else self._path)

    def _check(self, message: ikev1.Message) -> None:
        if not message.header.belongs_to(self._cookies):
            raise PeerError("unknown-ike-spi", "another responder's cookie")
