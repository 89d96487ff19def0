"""The messages of one exchange behind phase 1: encrypted in a chain of their own, each led by a hash that proves it
(RFC 2409 sections 5.5 and 5.7, appendix B)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ipsecd.crypto.secret import equal
from ipsecd.errors import PeerError
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.rows import Admitted, Row
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_payloads import AnyPayload, Hash
from ipsecd.wire.registry_v1 import Exchange, Payload


class Protected:
    """``id`` is the message ID, which each exchange has one of (RFC 2408 section 3.1)."""

    def __init__(self, sa: IsakmpSa, exchange: Exchange, id_: int) -> None:
        self.id = id_
        self._sa = sa
        self._header = ikev1.Header(*sa.cookies, exchange, message_id=id_)
        self._chain = sa.cipher.phase_2(sa.chain, id_)

    def open(self, message: ikev1.Message, row: Row, hash_of: Callable[[Admitted], bytes]) -> Admitted:
        """What is in a message of the peer's that hasn't been here before. The chain moves behind it only when it's
        proved, by ``hash_of`` what is in it. PeerError("wrong-hash") if it isn't, those of ``row``, and those of octets
        that can't be read."""
        row.fits(message)
        chain = ikev1.decode_chain(message.first, self._chain.open(message.sealed))
        admitted = row.admit(chain)
        # a hash covers what stands behind it
        if not isinstance(chain.payloads[0], Hash):
            raise PeerError("hash-not-first", row.story)
        if not equal(hash_of(admitted), admitted.one(Hash).data):
            raise PeerError("wrong-hash", row.story)
        self._chain.accept(message.sealed)
        self._sa.count(message.sealed)
        self._sa.proved()
        return admitted

    def seal(self, payloads: Iterable[AnyPayload], hash_of: Callable[[bytes], bytes]) -> bytes:
        """A message of ours. ``hash_of`` is given the octets behind the hash."""
        sealed = self._chain.seal(ikev1.encode_hashed(payloads, hash_of))
        self._sa.count(sealed)
        return ikev1.encode_sealed(self._header, Payload.HASH, sealed)
