"""The way of a message inside an IKE SA: window, seal, row, handler, answer (RFC 7296 sections 2.1 to 2.3 and 2.21).

1. A request is new, a repeat, or neither, by its message ID. A repeat gets the same octets again.
2. It is opened; what isn't authentic has no effect.
3. Its exchange and content choose a row; the row admits its payloads.
4. The handler's payloads, or an error notify, are the response.
"""

from __future__ import annotations

from collections.abc import Callable

from ipsecd import limits
from ipsecd.errors import PeerError, Refused
from ipsecd.ike import reports
from ipsecd.ike.config import Path
from ipsecd.ike.exchange import (
    AUTH_REQUEST,
    CHILD_REQUEST,
    INFORMATIONAL_REQUEST,
    REKEY_IKE_REQUEST,
    Admitted,
    Row,
    refuse_critical,
)
from ipsecd.ike.moving import move
from ipsecd.ike.sa import IkeSa
from ipsecd.ike.stage import Stage
from ipsecd.ike.succession import spoken_by
from ipsecd.ike.task import Task
from ipsecd.ike.v2.auth import answer_auth
from ipsecd.ike.v2.child import answer_child
from ipsecd.ike.v2.informational import answer_informational, ike_refused
from ipsecd.ike.v2.rekey_child import answer_rekey_child
from ipsecd.ike.v2.rekey_ike import answer_rekey_ike
from ipsecd.ike.v2.reply import Reply
from ipsecd.ike.v2.sa_init import SaInit
from ipsecd.ike.window import Arrival
from ipsecd.wire.ike import Header
from ipsecd.wire.ikev2 import Message, decode_chain
from ipsecd.wire.payloads import AnyPayload, Delete, Notify, Sa, Sk, Skf
from ipsecd.wire.registry import Exchange, NotifyType, Protocol

_Handler = Callable[[IkeSa, Admitted], Reply]
_Opened = tuple[int, bytes] | PeerError  # the first payload's type and all octets, or why they can't be read
_AFTER_AUTH = (Stage.SPARE, Stage.ESTABLISHED, Stage.REPLACED, Stage.CLOSING)


def deliver(sa: IkeSa, message: Message, data: bytes, path: Path) -> None:
    """A message that carries this SA's SPIs. Raises PeerError with the reason why it has no effect."""
    if message.header.is_response:
        _response(sa, message, data, path)
    else:
        _request(sa, message, path)


# --- requests ----------------------------------------------------------------------------------------------------


def _request(sa: IkeSa, message: Message, path: Path) -> None:
    header = message.header
    arrival = sa.window.judge(header.message_id)
    if message.sealed is None:
        raise PeerError("not-sealed", str(header.exchange))
    # an initiator's message 0, on an SA that no rekey made, is IKE_SA_INIT in clear: a sealed one can't repeat it
    in_clear = sa.first and header.from_initiator and header.message_id == 0
    if arrival is Arrival.OUTSIDE or not sa.has_keys or in_clear:
        raise PeerError("message-id", f"{header.message_id}, expected {sa.window.expected}")
    if arrival is Arrival.REPEAT:
        _repeat(sa, message.sealed, path)
        return
    if sa.stage is Stage.HALF_OPEN:
        # RFC 7296 section 2.21.2, and the lesson of CVE-2014-2338: nothing but IKE_AUTH until both are known
        if header.exchange != Exchange.IKE_AUTH:
            raise PeerError("not-authenticated", str(header.exchange))
    elif sa.stage not in _AFTER_AUTH:
        raise PeerError("not-authenticated" if sa.stage is Stage.CONNECTING else "sa-gone", str(header.exchange))
    opened = _open(sa, message.sealed, header)
    if opened is None:
        return
    authenticating = sa.stage is Stage.HALF_OPEN
    if authenticating:
        move(sa, path)  # the initiator has gone over to port 4500 (2.23)
    sa.heard(path)
    reply = _answer(sa, header.exchange, opened, path)
    sa.respond(header.exchange, reply.payloads, path)
    if reply.then is not None:
        reply.then()
    if authenticating and sa.stage is Stage.HALF_OPEN:
        sa.vanish("it failed to authenticate", linger=limits.IKE_LINGER)
    sa.pump()


def _repeat(sa: IkeSa, sealed: Sk | Skf, path: Path) -> None:
    """2.1; of a fragmented request only the first fragment counts (RFC 7383 section 2.6.1)."""
    if isinstance(sealed, Skf) and sealed.number != 1:
        raise PeerError("fragment-repeated")
    sa.secured.protection.open(sealed)
    sa.core.drop("request-repeated")
    sa.transmit(sa.window.response, path)


def _answer(sa: IkeSa, exchange: Exchange, opened: _Opened, path: Path) -> Reply:
    try:
        payloads = _payloads(opened)
        if not _ends_ike(payloads):
            spoken_by(sa)
        refuse_critical(payloads)
        row, handler = _row(sa, exchange, payloads, path)
        return handler(sa, row.admit(payloads))
    except (PeerError, Refused) as error:
        return _refusal(sa, exchange, error)


def _row(sa: IkeSa, exchange: Exchange, payloads: tuple[AnyPayload, ...], path: Path) -> tuple[Row, _Handler]:
    """The row of a request, and who answers it."""
    if sa.stage is Stage.HALF_OPEN:
        if sa.nat.found and not path.natt:
            why = "there is a NAT between us, and the peer stays on port 500 (RFC 7296 section 2.23)"
            raise Refused("not-floated", why, notify=NotifyType.INVALID_SYNTAX)
        return AUTH_REQUEST, lambda sa, request: answer_auth(sa, request, path)
    if exchange == Exchange.INFORMATIONAL:
        return INFORMATIONAL_REQUEST, answer_informational
    if exchange == Exchange.CREATE_CHILD_SA:
        which = _rekeyed(payloads)
        if which is not None:
            return CHILD_REQUEST, lambda sa, request: answer_rekey_child(sa, request, which)
        return (REKEY_IKE_REQUEST, answer_rekey_ike) if _offers_ike(payloads) else (CHILD_REQUEST, answer_child)
    raise PeerError("wrong-exchange", str(exchange), notify=NotifyType.INVALID_SYNTAX)


def _rekeyed(payloads: tuple[AnyPayload, ...]) -> Notify | None:
    for payload in payloads:
        if isinstance(payload, Notify) and payload.type == NotifyType.REKEY_SA:
            return payload
    return None


def _ends_ike(payloads: tuple[AnyPayload, ...]) -> bool:
    return any(isinstance(payload, Delete) and payload.protocol == Protocol.IKE for payload in payloads)


def _offers_ike(payloads: tuple[AnyPayload, ...]) -> bool:
    return any(
        isinstance(payload, Sa) and any(proposal.protocol == Protocol.IKE for proposal in payload.proposals)
        for payload in payloads
    )


def _refusal(sa: IkeSa, exchange: Exchange, error: PeerError | Refused) -> Reply:
    """The error notify that answers a request (2.21.3). INVALID_SYNTAX ends the SA on both sides."""
    sa.core.drop(error.reason)
    notify = NotifyType(error.notify) if error.notify is not None else NotifyType.INVALID_SYNTAX
    if error.reason != "other-group-wanted":
        _report(sa, exchange, error)
    then = None
    if notify == NotifyType.INVALID_SYNTAX and sa.stage is not Stage.HALF_OPEN:
        then = lambda: sa.vanish("the peer sent a malformed request", linger=limits.IKE_LINGER)  # noqa: E731
    return Reply((Notify(notify, error.data),), then)


def _report(sa: IkeSa, exchange: Exchange, error: PeerError | Refused) -> None:
    event = {Exchange.IKE_AUTH: "auth-failed", Exchange.CREATE_CHILD_SA: "child-failed"}.get(exchange, "bad-request")
    why = error.detail or error.reason
    if sa.peers:
        reports.ike_failed(sa.core, event, sa.peer, reports.ME, why, remote=str(sa.path.remote))
    else:
        reports.stranger_failed(sa.core, event, sa.path.remote, why, sa.claim)


# --- responses ---------------------------------------------------------------------------------------------------


def _disowned(message: Message) -> bool:
    """2.21.4: whether it says in clear that the peer doesn't know this IKE SA. Anybody could: it's a hint, no more."""
    notifies = (payload for payload in message.payloads if isinstance(payload, Notify))
    return message.sealed is None and any(notify.type == NotifyType.INVALID_IKE_SPI for notify in notifies)


def _response(sa: IkeSa, message: Message, data: bytes, path: Path) -> None:
    header = message.header
    if sa.settled and _disowned(message):
        sa.liveness.doubted()
        raise PeerError("not-sealed", "INVALID_IKE_SPI")
    to_first = isinstance(sa.active, SaInit) and header.message_id == 0
    if not to_first and not sa.window.awaits(header.message_id):
        raise PeerError("unexpected-response", f"{header.exchange} {header.message_id}")
    if isinstance(sa.active, SaInit):
        if message.sealed is not None or header.exchange != Exchange.IKE_SA_INIT:
            raise PeerError("wrong-exchange", str(header.exchange))
        sa.active.hear(message, data, path)
        return
    if message.sealed is None:
        raise PeerError("not-sealed", str(header.exchange))
    if sa.active is not None and header.exchange != sa.active.response.exchange:
        raise PeerError("wrong-exchange", str(header.exchange))
    opened = _open(sa, message.sealed, header)
    if opened is None:
        return
    sa.heard(path)
    task = sa.finish()
    if task is not None:
        try:
            _process(sa, task, task.response.admit(_payloads(opened)))
        except PeerError as error:
            # 2.21: no error message back, but the two sides no longer agree
            sa.core.drop(error.reason)
            task.abandon(sa, f"the peer's answer is malformed: {error}")
            sa.close(f"the peer's answer is malformed: {error}")
    sa.deleted_early.clear()
    sa.pump()


def _process(sa: IkeSa, task: Task, answer: Admitted) -> None:
    malformed = answer.notify(NotifyType.INVALID_SYNTAX)
    if malformed is not None and sa.settled:
        task.abandon(sa, reports.meaning(malformed))
        ike_refused(sa, malformed)
    else:
        task.process(sa, answer)


# --- both --------------------------------------------------------------------------------------------------------


def _open(sa: IkeSa, sealed: Sk | Skf, header: Header) -> _Opened | None:
    """What is inside; None while fragments are missing. Raises PeerError if it isn't authentic."""
    if isinstance(sealed, Skf) and not sa.fragmentation:
        raise PeerError("fragment-unasked")
    try:
        if isinstance(sealed, Sk):
            return sealed.first, sa.secured.protection.open(sealed)
        response, known = header.is_response, sa.established is not None
        sa.reassembly.screen(response, header.message_id, sealed)
        piece = sa.secured.protection.open(sealed)
        return sa.reassembly.add(response, header.message_id, sealed, piece, known=known)
    except PeerError as error:
        if error.notify is None:
            raise
        return error  # authentic, so it counts as heard, and as a request it must be answered (2.21.3)


def _payloads(opened: _Opened) -> tuple[AnyPayload, ...]:
    if isinstance(opened, PeerError):
        raise opened
    return decode_chain(*opened)
