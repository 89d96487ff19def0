"""Transaction exchanges: a REQUEST and its REPLY, or a SET and its ACK, each exchange with a message ID of its own
(draft-dukes-ike-mode-cfg-02 sections 2 and 3.1).

::

    one end                  the other
    HDR*, HASH, ATTR   -->
                       <--   HDR*, HASH, ATTR

Whoever begins says it again until it's answered; what is heard again is answered again in the same octets. Nothing is
said or heard in clear, although the draft would allow it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ipsecd import limits
from ipsecd.crypto.keymat_v1 import hash_1
from ipsecd.errors import PeerError
from ipsecd.ike.core import Core
from ipsecd.ike.effects import Send
from ipsecd.ike.repeats import Repeats
from ipsecd.ike.v1.message_ids import MessageIds
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.protected import Protected
from ipsecd.ike.v1.rows import TRANSACTION_1, TRANSACTION_2, Row
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_payloads import Attributes
from ipsecd.wire.registry import ConfigType
from ipsecd.wire.registry_v1 import Exchange

Answer = tuple[Attributes, Callable[[], None]]  # and what is to be done once it's sent
Take = Callable[[Attributes], Answer]
Done = Callable[[Attributes], None]
Failed = Callable[[str], None]

_ANSWERS = {ConfigType.REQUEST: ConfigType.REPLY, ConfigType.SET: ConfigType.ACK}


@dataclass(slots=True)
class _Begun:
    """One of ours that isn't answered."""

    exchange: Protected
    said: Attributes
    repeats: Repeats
    done: Done
    failed: Failed


@dataclass(frozen=True, slots=True)
class _Answered:
    """One of the peer's, and what we have answered."""

    sealed: bytes
    answer: bytes


class Transactions:
    """Those of one ISAKMP SA. ``take`` is given each REQUEST and SET of the peer's, once; a PeerError of it leaves that
    without an answer and without effect, as if it hadn't come."""

    def __init__(self, core: Core, sa: IsakmpSa, ids: MessageIds, take: Take) -> None:
        self._core = core
        self._sa = sa
        self._ids = ids
        self._take = take
        self._begun: dict[int, _Begun] = {}
        self._answered: dict[int, _Answered] = {}

    def begin(self, said: Attributes, done: Done, failed: Failed) -> None:
        """One of ours, a REQUEST or a SET. ``done`` gets what the peer answers, or ``failed`` a reason in plain words.
        What has the keys and answers something else ends it, too."""
        exchange = Protected(self._sa, Exchange.TRANSACTION, self._ids.fresh())
        data = self._seal(exchange, said)
        repeats = Repeats(
            self._core,
            limits.RETRANSMIT_TRIES,
            lambda: self._send(data),
            lambda: self._begun.pop(exchange.id).failed("the peer doesn't answer behind phase 1"),
        )
        self._begun[exchange.id] = _Begun(exchange, said, repeats, done, failed)
        self._send(data)

    def hear(self, message: ikev1.Message) -> None:
        """A message of a transaction exchange. PeerError with the reason why it has no effect."""
        id_ = message.header.message_id
        begun, answered = self._begun.get(id_), self._answered.get(id_)
        if begun is not None:
            self._hear_answer(begun, message)
        elif answered is not None and answered.sealed == message.sealed:
            self._send(answered.answer)
            raise PeerError("request-repeated", "it's answered the same way")
        else:
            self._hear_question(id_, message)

    def stop(self) -> None:
        """Nothing is said again, and nothing answered."""
        for begun in self._begun.values():
            begun.repeats.stop()
        self._begun.clear()
        self._answered.clear()

    def _hear_answer(self, begun: _Begun, message: ikev1.Message) -> None:
        answer = self._open(begun.exchange, message, TRANSACTION_2)
        begun.repeats.stop()
        del self._begun[begun.exchange.id]
        # the message ID says what it answers; some, as strongSwan's client in XAUTH, don't send our identifier back
        if answer.type == _ANSWERS[begun.said.type]:
            begun.done(answer)
        else:
            begun.failed(f"the peer answers a {begun.said.type} by {answer.type}")

    def _hear_question(self, id_: int, message: ikev1.Message) -> None:
        self._ids.check(id_)
        if len(self._answered) >= limits.MAX_TRANSACTIONS:
            raise PeerError("too-many-exchanges", "of one ISAKMP SA, at once")
        exchange = Protected(self._sa, Exchange.TRANSACTION, id_)
        said = self._open(exchange, message, TRANSACTION_1)
        if said.type not in _ANSWERS:
            raise PeerError("bad-config-type", f"{said.type} begins nothing")
        answer, then = self._take(said)
        self._ids.use(id_)
        data = self._seal(exchange, answer)
        self._answered[id_] = _Answered(message.sealed, data)
        self._core.after(limits.QUICK_MODE_KEPT, lambda: self._forget(id_))
        self._send(data)
        then()

    def _open(self, exchange: Protected, message: ikev1.Message, row: Row) -> Attributes:
        prf_id, a = self._sa.suite.prf.id, self._sa.keys.a
        admitted = exchange.open(message, row, lambda found: hash_1(prf_id, a, exchange.id, found.chain.tail))
        return admitted.one(Attributes)

    def _seal(self, exchange: Protected, said: Attributes) -> bytes:
        prf_id, a = self._sa.suite.prf.id, self._sa.keys.a
        return exchange.seal((said,), lambda tail: hash_1(prf_id, a, exchange.id, tail))

    def _forget(self, id_: int) -> None:
        self._answered.pop(id_, None)

    def _send(self, data: bytes) -> None:
        self._core.emit(Send(data, self._sa.path))
