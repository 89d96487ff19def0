"""Informational exchanges (RFC 2408 section 4.8, RFC 2409 section 5.7): one protected message each, without an answer
but for deletes of Windows.

Nothing that isn't proved acts: what is said in clear behind phase 1 is counted, and that's all. What is proved acts
once, as its message ID doesn't come twice.
"""

from __future__ import annotations

from typing import Protocol

from ipsecd.crypto.keymat_v1 import hash_1
from ipsecd.errors import PeerError
from ipsecd.ike.core import Core
from ipsecd.ike.effects import Send
from ipsecd.ike.v1.acknowledged import AcknowledgedDeletes, answers_deletes
from ipsecd.ike.v1.message_ids import MessageIds
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.protected import Protected
from ipsecd.ike.v1.rows import INFORMATIONAL, Admitted
from ipsecd.wire import ikev1, registry_v1
from ipsecd.wire.ikev1_payloads import AnyPayload, Delete, Nonce, Notify
from ipsecd.wire.registry_v1 import Exchange, NotifyType

_SEQUENCE_OCTETS = 4


class Listener(Protocol):
    """Who acts on what the peer says. SPIs are the peer's own: of what we send by."""

    def deleted(self, protocol: registry_v1.Protocol, spis: tuple[bytes, ...]) -> None:
        """The peer has ended these SAs."""

    def ended(self) -> None:
        """The peer has ended the ISAKMP SA."""

    def refused(self, notify: Notify) -> None:
        """An error, which concerns the SA or the offer with its SPI."""

    def alone(self) -> None:
        """The peer has no other SA with us (RFC 2407 section 4.6.3.3)."""

    def alive(self, sequence: int) -> None:
        """It answers a question of ours whether it's there (RFC 3706)."""

    def settled(self) -> None:
        """No delete of ours waits for an answer any more."""


class Informational:
    def __init__(self, core: Core, sa: IsakmpSa, ids: MessageIds, listener: Listener) -> None:
        self._core = core
        self._sa = sa
        self._ids = ids
        self._listener = listener
        self.deletes = AcknowledgedDeletes(core, sa, ids, listener.settled)

    # --- saying it ---

    def say(self, *payloads: AnyPayload) -> None:
        """One message of ours. It's said once: nothing tells whether it has arrived."""
        exchange = Protected(self._sa, Exchange.INFORMATIONAL, self._ids.fresh())
        data = exchange.seal(payloads, lambda tail: self._hash(exchange.id, tail))
        self._core.emit(Send(data, self._sa.path))

    def about_us(self, kind: NotifyType, sequence: int) -> None:
        """A question whether the peer is there, or the answer to one (RFC 3706 section 5.3)."""
        self.say(Notify(kind, sequence.to_bytes(_SEQUENCE_OCTETS, "big"), spi=self._sa.spi))

    def delete(self, *deletes: Delete) -> None:
        """SAs that the peer sends by, or this one, are no more."""
        if answers_deletes(self._sa):
            self.deletes.say(*deletes)
        else:
            self.say(*deletes)

    # --- hearing it ---

    def hear(self, message: ikev1.Message) -> None:
        """A message with the cookies of this SA. PeerError with the reason why it, or a part of it, has no effect."""
        if not message.header.encrypted:
            raise PeerError("not-authenticated", "said in clear, although there are keys")
        id_ = message.header.message_id
        if self.deletes.awaits(id_):
            self.deletes.hear(message)
            return
        self.deletes.repeat(message)
        self._ids.check(id_)
        exchange = Protected(self._sa, Exchange.INFORMATIONAL, id_)
        admitted = exchange.open(message, INFORMATIONAL, lambda found: self._hash(id_, found.chain.tail))
        self._ids.use(id_)
        if admitted.all(Delete) and len(admitted.all(Nonce)) == 1 and answers_deletes(self._sa):
            self.deletes.answer(exchange, admitted, message)
        self._act(admitted)

    def _hash(self, id_: int, tail: bytes) -> bytes:
        return hash_1(self._sa.suite.prf.id, self._sa.keys.a, id_, tail)

    def _act(self, admitted: Admitted) -> None:
        """Each part acts, whatever is wrong with others; what ends this SA is last."""
        deletes = sorted(admitted.all(Delete), key=lambda each: each.protocol == registry_v1.Protocol.ISAKMP)
        wrong: list[PeerError] = []
        parts: tuple[Notify | Delete, ...] = (*admitted.all(Notify), *deletes)
        for part in parts:
            try:
                self._act_on(part)
            except PeerError as error:
                wrong.append(error)
        if wrong:
            raise wrong[0]

    def _act_on(self, part: Notify | Delete) -> None:
        if isinstance(part, Notify):
            self._note(part)
        else:
            self._delete(part)

    def _note(self, notify: Notify) -> None:
        if notify.type in (NotifyType.R_U_THERE, NotifyType.R_U_THERE_ACK):
            self._presence(notify)
        elif notify.type == NotifyType.INITIAL_CONTACT and notify.spi in (b"", self._sa.spi):
            self._listener.alone()
        elif notify.type.is_error:
            self._listener.refused(notify)

    def _presence(self, notify: Notify) -> None:
        if notify.spi != self._sa.spi or len(notify.data) != _SEQUENCE_OCTETS:
            raise PeerError("bad-presence", "whether the peer is there, of another SA or without a number")
        sequence = int.from_bytes(notify.data, "big")
        if notify.type == NotifyType.R_U_THERE:
            self.about_us(NotifyType.R_U_THERE_ACK, sequence)
        else:
            self._listener.alive(sequence)

    def _delete(self, delete: Delete) -> None:
        if delete.protocol != registry_v1.Protocol.ISAKMP:
            self._listener.deleted(delete.protocol, delete.spis)
        elif self._sa.spi in delete.spis:
            self._listener.ended()
        else:
            raise PeerError("delete-of-another", "an ISAKMP SA is ended by itself alone")
