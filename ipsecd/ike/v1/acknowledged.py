"""Deletes that are answered ([MS-IKEE] section 3.8), with peers that say that they are Windows.

::

    HDR*, HASH(1), Ni, D  -->
                          <--  HDR*, HASH(2), Nr, D

It's said again until it's answered; what comes again is answered the same way. With others a delete is said once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ipsecd import limits
from ipsecd.crypto.keymat_v1 import hash_1, hash_2_of_delete
from ipsecd.errors import PeerError
from ipsecd.ike.core import Core
from ipsecd.ike.effects import Send
from ipsecd.ike.repeats import Repeats
from ipsecd.ike.v1.message_ids import MessageIds
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.protected import Protected
from ipsecd.ike.v1.rows import DELETE_2, Admitted
from ipsecd.wire import ikev1, vendor_ids
from ipsecd.wire.ikev1_payloads import Delete, Nonce
from ipsecd.wire.registry_v1 import Exchange


def answers_deletes(sa: IsakmpSa) -> bool:
    """Whether the peer says that it is Windows, of any version."""
    return any(each.startswith(vendor_ids.WINDOWS) for each in sa.vendor_ids)


@dataclass(slots=True)
class _Told:
    """One of ours that isn't answered."""

    exchange: Protected
    nonce: bytes
    repeats: Repeats


@dataclass(frozen=True, slots=True)
class _Heard:
    """One of the peer's, and what we have answered."""

    sealed: bytes
    answer: bytes


class AcknowledgedDeletes:
    """``settled`` is called each time that none of ours is open any more."""

    def __init__(self, core: Core, sa: IsakmpSa, ids: MessageIds, settled: Callable[[], None]) -> None:
        self._core = core
        self._sa = sa
        self._ids = ids
        self._settled = settled
        self._told: dict[int, _Told] = {}
        self._heard: dict[int, _Heard] = {}

    @property
    def open(self) -> bool:
        """Whether one of ours isn't answered."""
        return bool(self._told)

    def say(self, *deletes: Delete) -> None:
        exchange = Protected(self._sa, Exchange.INFORMATIONAL, self._ids.fresh())
        nonce = self._core.entropy.octets(limits.NONCE_OCTETS)
        prf_id, a = self._sa.suite.prf.id, self._sa.keys.a
        data = exchange.seal((Nonce(nonce), *deletes), lambda tail: hash_1(prf_id, a, exchange.id, tail))
        repeats = Repeats(self._core, limits.DELETE_TRIES, lambda: self._send(data), lambda: self._over(exchange.id))
        self._told[exchange.id] = _Told(exchange, nonce, repeats)
        self._send(data)

    def awaits(self, id_: int) -> bool:
        """Whether a message with this ID may be the answer to one of ours."""
        return id_ in self._told

    def hear(self, message: ikev1.Message) -> None:
        """The answer. PeerError if it isn't proved."""
        id_ = message.header.message_id
        told = self._told[id_]
        told.exchange.open(message, DELETE_2, lambda answer: self._hash_2(id_, told.nonce, answer.chain.tail))
        told.repeats.stop()
        self._over(id_)

    def answer(self, exchange: Protected, request: Admitted, message: ikev1.Message) -> None:
        """A delete of the peer's that it wants to be answered."""
        nonce, ours = request.one(Nonce).data, Nonce(self._core.entropy.octets(limits.NONCE_OCTETS))
        data = exchange.seal((ours, *request.all(Delete)), lambda tail: self._hash_2(exchange.id, nonce, tail))
        self._heard[exchange.id] = _Heard(message.sealed, data)
        self._core.after(limits.IKE_LINGER, lambda: self._forget(exchange.id))
        self._send(data)

    def repeat(self, message: ikev1.Message) -> None:
        """PeerError("request-repeated") if it's a delete that we have answered, which is answered the same way."""
        known = self._heard.get(message.header.message_id)
        if known is not None and known.sealed == message.sealed:
            self._send(known.answer)
            raise PeerError("request-repeated", "it's answered the same way")

    def stop(self) -> None:
        """Nothing is said again."""
        for told in self._told.values():
            told.repeats.stop()
        self._told.clear()

    def _hash_2(self, id_: int, nonce: bytes, tail: bytes) -> bytes:
        return hash_2_of_delete(self._sa.suite.prf.id, self._sa.keys.a, id_, nonce, tail)

    def _over(self, id_: int) -> None:
        del self._told[id_]
        if not self._told:
            self._settled()

    def _forget(self, id_: int) -> None:
        self._heard.pop(id_, None)

    def _send(self, data: bytes) -> None:
        self._core.emit(Send(data, self._sa.path))
