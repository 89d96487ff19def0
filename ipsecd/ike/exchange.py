"""Which payloads may stand in which message, as rows that read as sentences.

A row is checked once, before any handler sees a payload: what isn't declared never reaches a handler, what must be
there is there, and what may stand once stands once. What must come sealed is looked for inside SK alone, so an AUTH
payload in clear doesn't exist for us.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from ipsecd.errors import PeerError
from ipsecd.wire.payloads import (
    AnyPayload,
    Auth,
    Cert,
    CertReq,
    Cp,
    Delete,
    Eap,
    IdI,
    IdR,
    Ke,
    Nonce,
    Notify,
    Sa,
    TsI,
    TsR,
    Unknown,
    VendorId,
)
from ipsecd.wire.registry import Exchange, NotifyType

_MANY = (Notify, Delete, VendorId, Cert, CertReq)  # everything else stands at most once
_P = TypeVar("_P", Sa, Ke, IdI, IdR, Auth, Nonce, TsI, TsR, Cp, Eap)


@dataclass(frozen=True, slots=True)
class Row:
    """One message of one exchange. ``sealed``: its payloads stand inside SK."""

    story: str
    exchange: Exchange
    response: bool
    sealed: bool
    required: tuple[type, ...]
    optional: tuple[type, ...] = ()
    instead: NotifyType | None = None  # in a response: this notify may stand in place of all the rest, as errors may

    def admit(self, payloads: Iterable[AnyPayload]) -> Admitted:
        """The declared payloads. PeerError("unknown-critical-payload" | "payload-repeated" | "payload-missing").

        A response with an error notify may lack what it would otherwise have to hold.
        """
        payloads = tuple(payloads)
        if not self.response:
            refuse_critical(payloads)
        declared = (*self.required, *self.optional)
        kept = tuple(payload for payload in payloads if isinstance(payload, declared))
        kinds = [type(payload) for payload in kept if not isinstance(payload, _MANY)]
        if len(set(kinds)) != len(kinds):
            raise PeerError("payload-repeated", self.story, notify=NotifyType.INVALID_SYNTAX)
        admitted = Admitted(kept)
        missing = [kind.__name__ for kind in self.required if not any(isinstance(payload, kind) for payload in kept)]
        if missing and not (self.response and (admitted.error or (self.instead and admitted.notify(self.instead)))):
            raise PeerError("payload-missing", f"{', '.join(missing)}: {self.story}", notify=NotifyType.INVALID_SYNTAX)
        return admitted


def refuse_critical(payloads: Iterable[AnyPayload]) -> None:
    """RFC 7296 section 2.5: a request with a critical payload that we don't know is refused whole, naming its type.
    Responses must not carry any, so there the flag says nothing and the payload is skipped."""
    for payload in payloads:
        if isinstance(payload, Unknown) and payload.critical:
            raise PeerError(
                "unknown-critical-payload",
                f"type {payload.type}",
                notify=NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD,
                data=bytes([payload.type]),
            )


@dataclass(frozen=True, slots=True)
class Admitted:
    """The payloads of a message that its row lets through."""

    payloads: tuple[AnyPayload, ...]

    def one(self, kind: type[_P]) -> _P:
        """The payload of a kind its row requires."""
        found = self.maybe(kind)
        if found is None:
            raise PeerError("payload-missing", kind.__name__, notify=NotifyType.INVALID_SYNTAX)
        return found

    def maybe(self, kind: type[_P]) -> _P | None:
        for payload in self.payloads:
            if isinstance(payload, kind):
                return payload
        return None

    def count(self, *kinds: type) -> int:
        """How many payloads are of these kinds."""
        return sum(isinstance(payload, kinds) for payload in self.payloads)

    @property
    def notifies(self) -> tuple[Notify, ...]:
        return tuple(payload for payload in self.payloads if isinstance(payload, Notify))

    @property
    def deletes(self) -> tuple[Delete, ...]:
        return tuple(payload for payload in self.payloads if isinstance(payload, Delete))

    def notify(self, kind: NotifyType) -> Notify | None:
        for notify in self.notifies:
            if notify.type == kind:
                return notify
        return None

    @property
    def error(self) -> Notify | None:
        """The first error notify, known or not (RFC 7296 section 3.10.1)."""
        for notify in self.notifies:
            if notify.type.is_error:
                return notify
        return None


_SIDE = (Notify, VendorId)

SA_INIT_REQUEST = Row(
    "the initiator offers algorithms for an IKE SA, a public value and a nonce",
    Exchange.IKE_SA_INIT,
    response=False,
    sealed=False,
    required=(Sa, Ke, Nonce),
    optional=_SIDE,
)
SA_INIT_RESPONSE = Row(
    "the responder picks algorithms and sends its public value and its nonce",
    Exchange.IKE_SA_INIT,
    response=True,
    sealed=False,
    required=(Sa, Ke, Nonce),
    optional=(CertReq, *_SIDE),
    instead=NotifyType.COOKIE,
)
AUTH_REQUEST = Row(
    "the initiator says who it is, proves it, and may ask for the first child SA",
    Exchange.IKE_AUTH,
    response=False,
    sealed=True,
    required=(IdI,),
    optional=(IdR, Auth, Sa, TsI, TsR, Cert, CertReq, Cp, *_SIDE),  # without AUTH: it asks for EAP
)
AUTH_RESPONSE = Row(
    "the responder says who it is, proves it, and grants or refuses the child SA",
    Exchange.IKE_AUTH,
    response=True,
    sealed=True,
    required=(IdR, Auth),
    optional=(Sa, TsI, TsR, Cert, Cp, *_SIDE),
)
CHILD_REQUEST = Row(
    "either side asks for one more child SA, or with REKEY_SA for the successor of one",
    Exchange.CREATE_CHILD_SA,
    response=False,
    sealed=True,
    required=(Sa, Nonce, TsI, TsR),
    optional=(Ke, *_SIDE),
)
CHILD_RESPONSE = Row(
    "the other side grants the child SA, its selectors perhaps narrowed",
    Exchange.CREATE_CHILD_SA,
    response=True,
    sealed=True,
    required=(Sa, Nonce, TsI, TsR),
    optional=(Ke, *_SIDE),
)
REKEY_IKE_REQUEST = Row(
    "either side asks for the successor of the IKE SA",
    Exchange.CREATE_CHILD_SA,
    response=False,
    sealed=True,
    required=(Sa, Nonce, Ke),
    optional=_SIDE,
)
REKEY_IKE_RESPONSE = Row(
    "the other side grants the successor of the IKE SA",
    Exchange.CREATE_CHILD_SA,
    response=True,
    sealed=True,
    required=(Sa, Nonce, Ke),
    optional=_SIDE,
)
INFORMATIONAL_REQUEST = Row(
    "either side deletes SAs, tells something, or asks whether the other is there",
    Exchange.INFORMATIONAL,
    response=False,
    sealed=True,
    required=(),
    optional=(Delete, Cp, *_SIDE),
)
INFORMATIONAL_RESPONSE = Row(
    "the other side is there, and says which halves it deletes",
    Exchange.INFORMATIONAL,
    response=True,
    sealed=True,
    required=(),
    optional=(Delete, Cp, *_SIDE),
)
