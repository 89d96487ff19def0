"""Which payloads must stand in which message of IKEv1, as rows that read as sentences (RFC 2409 section 5).

As in IKEv2 a row is checked before any handler sees a payload. What a row requires stands once. Others may stand there
too: whoever knows one looks for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from ipsecd.errors import PeerError
from ipsecd.wire.ikev1 import Chain, Message
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.ikev1_payloads import AnyPayload, Attributes, Hash, Ke, Nonce, Notify, Sa, VendorId
from ipsecd.wire.registry_v1 import Exchange, NotifyType

_P = TypeVar("_P", bound=AnyPayload)


@dataclass(frozen=True, slots=True)
class Admitted:
    """The payloads that a row has let through, and their octets as they were sent."""

    chain: Chain

    def one(self, kind: type[_P]) -> _P:
        """The payload of a kind that its row requires."""
        return self.all(kind)[0]

    def all(self, kind: type[_P]) -> tuple[_P, ...]:
        return tuple(payload for payload in self.chain.payloads if isinstance(payload, kind))

    def body(self, kind: type) -> bytes:
        """The octets of a payload that its row requires, without its generic header."""
        pairs = zip(self.chain.payloads, self.chain.bodies, strict=True)
        return next(body for payload, body in pairs if isinstance(payload, kind))

    @property
    def vendor_ids(self) -> tuple[bytes, ...]:
        return tuple(payload.data for payload in self.all(VendorId))

    def notify(self, kind: NotifyType) -> Notify | None:
        return next((notify for notify in self.all(Notify) if notify.type == kind), None)


@dataclass(frozen=True, slots=True)
class Row:
    """One message of one exchange. ``sealed``: it is encrypted whole; None: it may be or not."""

    story: str
    exchange: Exchange
    sealed: bool | None
    required: tuple[type, ...]

    def fits(self, message: Message) -> None:
        """PeerError("wrong-exchange" | "not-sealed" | "sealed-too-soon") if it isn't this message by its header."""
        if message.header.exchange != self.exchange:
            raise PeerError("wrong-exchange", f"{message.header.exchange}: {self.story}")
        if self.sealed is not None and message.header.encrypted != self.sealed:
            raise PeerError("not-sealed" if self.sealed else "sealed-too-soon", self.story)

    def admit(self, chain: Chain, *proofs: type) -> Admitted:
        """``proofs`` are required too, as what was agreed on wants them. PeerError("payload-missing" |
        "payload-repeated")."""
        kinds = [type(payload) for payload in chain.payloads]
        required = (*self.required, *proofs)
        missing = [kind.__name__ for kind in required if kind not in kinds]
        if missing:
            raise PeerError("payload-missing", f"{', '.join(missing)}: {self.story}")
        if any(kinds.count(kind) > 1 for kind in required):
            raise PeerError("payload-repeated", self.story)
        return Admitted(chain)


MAIN_1 = Row("the initiator offers suites for an ISAKMP SA", Exchange.MAIN, sealed=False, required=(Sa,))
MAIN_2 = Row("the responder takes one of them", Exchange.MAIN, sealed=False, required=(Sa,))
MAIN_3 = Row("the initiator sends its public value and its nonce", Exchange.MAIN, sealed=False, required=(Ke, Nonce))
MAIN_4 = Row("the responder sends its public value and its nonce", Exchange.MAIN, sealed=False, required=(Ke, Nonce))
MAIN_5 = Row("the initiator says who it is and proves it", Exchange.MAIN, sealed=True, required=(Id,))
MAIN_6 = Row("the responder says who it is and proves it", Exchange.MAIN, sealed=True, required=(Id,))
AGGRESSIVE_1 = Row(
    "the initiator offers suites, and says who it is", Exchange.AGGRESSIVE, sealed=False, required=(Sa, Ke, Nonce, Id)
)
AGGRESSIVE_2 = Row(
    "the responder takes one, says who it is and proves it",
    Exchange.AGGRESSIVE,
    sealed=False,
    required=(Sa, Ke, Nonce, Id),
)
AGGRESSIVE_3 = Row("the initiator proves who it is", Exchange.AGGRESSIVE, sealed=None, required=())
INFORMATIONAL = Row("one end tells the other", Exchange.INFORMATIONAL, sealed=True, required=(Hash,))
QUICK_1 = Row("the initiator offers SAs for traffic", Exchange.QUICK, sealed=True, required=(Hash, Sa, Nonce))
QUICK_2 = Row("the responder takes one of the offers", Exchange.QUICK, sealed=True, required=(Hash, Sa, Nonce))
QUICK_3 = Row("the initiator proves that it is there", Exchange.QUICK, sealed=True, required=(Hash,))
QUICK_4 = Row("the responder says that it is ready", Exchange.QUICK, sealed=True, required=(Hash, Notify))
TRANSACTION_1 = Row(
    "one end asks the other, or sets something", Exchange.TRANSACTION, sealed=True, required=(Hash, Attributes)
)
TRANSACTION_2 = Row("the other answers it", Exchange.TRANSACTION, sealed=True, required=(Hash, Attributes))
DELETE_2 = Row("one end has heard what the other deletes", Exchange.INFORMATIONAL, sealed=True, required=(Hash, Nonce))
