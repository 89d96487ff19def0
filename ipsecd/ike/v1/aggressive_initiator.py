"""Aggressive mode as initiator (RFC 2409 sections 5.1 and 5.4, RFC 3947 section 3.2).

::

    initiator                                   responder
    1  HDR, SA, KE, Ni, IDii, [CERTREQ,] VID...  -->
                     <--   2  HDR, SA, KE, Nr, IDir, [CERT,] [CERTREQ,] VID..., NAT-D, NAT-D, proof
    3  HDR*, [CERT,] NAT-D, NAT-D, proof, [N]    -->   to port 4500 if there is a NAT

    proof: HASH_I or HASH_R; with signatures SIG_I or SIG_R

All suites of the offer have one group, as its public value comes with it. A responder's answer counts once it is
proved: until then another one may come. The last message has no answer of its own, so it's repeated for a while, unless
something comes from the peer that shows that it is there.
"""

from __future__ import annotations

from ipsecd import limits
from ipsecd.errors import LocalError, PeerError, Refused
from ipsecd.ike.config import Path
from ipsecd.ike.v1 import natt
from ipsecd.ike.v1.initiating import Initiator
from ipsecd.ike.v1.phase_1 import Agreed
from ipsecd.ike.v1.rows import AGGRESSIVE_2
from ipsecd.ike.v1.suites import IsakmpSuite, accepted
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.ikev1_payloads import CertReq, Ke, Nonce, Sa, VendorId
from ipsecd.wire.registry_v1 import Exchange


class AggressiveInitiator(Initiator):
    """LocalError unless the terms accept what aggressive mode shows of one of their suites."""

    exchange = Exchange.AGGRESSIVE

    def _offered(self) -> tuple[IsakmpSuite, ...]:
        return _of_one_group(self._terms.exposed(self._terms.offered))

    def _begin(self) -> None:
        self._id = Id.of(self._terms.local_id)
        self._pair = self._core.entropy.key_pair(self._suites[0].group.id)
        self._nonce = self._core.entropy.octets(limits.NONCE_OCTETS)
        self._tries = 0
        self._answer = b""
        values = (Ke(self._pair.public), Nonce(self._nonce), self._id)
        self._say(ikev1.encode(self._header(), [self._offer, *values, *self._requests(), *self._able_to()]))

    def heard(self) -> None:
        """Something that the peer alone can have said, behind phase 1: it has our last message."""
        if self._over:
            self._stop()

    def _requests(self) -> tuple[CertReq, ...]:
        """For the certificates of all methods that the responder may choose."""
        return tuple(
            dict.fromkeys(each for suite in self._suites for each in self._terms.method(suite, initiator=True).requests)
        )

    def _transmit(self) -> None:
        self._tries = 0
        super()._transmit()

    def _take(self, message: ikev1.Message, path: Path) -> None:
        AGGRESSIVE_2.fits(message)
        cookies = self._take_cookie(message)
        admitted = AGGRESSIVE_2.admit(message.chain)
        suite = accepted(self._suites, admitted.one(Sa))
        # each answer that anybody makes up costs a power in the group
        if self._tries == limits.MAX_SA_INIT_ANSWERS:
            raise PeerError("too-many-answers")
        self._tries += 1
        revision = natt.common(admitted.all(VendorId))
        agreed = self._agree(suite, cookies, (self._pair, self._nonce), admitted, revision, path)
        try:
            peer = self._proved(agreed, message, AGGRESSIVE_2)
        except (PeerError, Refused):
            agreed.keys.wipe()
            raise
        self._cookies, self._vendor_ids, self._agreed = cookies, admitted.vendor_ids, agreed
        self._answer = message.chain.tail
        self._prove(agreed)
        self._over = True
        self._establish(agreed, peer, self._path)

    def _prove(self, agreed: Agreed) -> None:
        self._float(agreed)
        about_path = self._about_path(agreed.suite, agreed.revision) if agreed.nat is not None else ()
        proof = agreed.proof(self._id, of_initiator=True)
        payloads = (*agreed.method.certificates, *about_path, proof, *self._alone())
        self._say(agreed.seal(self.exchange, payloads))

    def _take_late(self, message: ikev1.Message, /) -> None:
        """The responder's message once more says that it hasn't ours."""
        if self._answer and message.header.belongs_to(self._cookies) and message.chain.tail == self._answer:
            self._transmit()
            raise PeerError("request-repeated", "it's answered the same way")
        super()._take_late(message)

    def _gave_up(self) -> None:
        if not self._over:
            super()._gave_up()


def _of_one_group(suites: tuple[IsakmpSuite, ...]) -> tuple[IsakmpSuite, ...]:
    """Those that have the group of the first one."""
    if not suites:
        raise LocalError("aggressive mode shows what these terms don't accept to be shown")
    return tuple(suite for suite in suites if suite.group == suites[0].group)
