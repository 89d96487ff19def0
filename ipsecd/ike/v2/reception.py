"""Messages of IKEv2 as they come in: those of IKE SAs find them; strangers are let in, answered in clear, or neither.

RFC 7296 sections 1.5, 2.1, 2.5, 2.6, 2.21.1 and 2.21.4. What strangers may cost us stands in ``guard.py``.
"""

from __future__ import annotations

from collections import deque

from ipsecd import limits
from ipsecd.errors import PeerError, Refused, WireError
from ipsecd.ike import reports
from ipsecd.ike.config import Endpoint, Path
from ipsecd.ike.core import Core
from ipsecd.ike.dispatch import deliver
from ipsecd.ike.effects import Send
from ipsecd.ike.protect import Envelope
from ipsecd.ike.sa import IkeSa
from ipsecd.ike.stage import Stage
from ipsecd.ike.v2.sa_init_responder import answer_sa_init
from ipsecd.wire.ike import NO_SPI, Header
from ipsecd.wire.ikev2 import decode, encode
from ipsecd.wire.payloads import Notify
from ipsecd.wire.registry import Exchange, Flag, NotifyType, Payload


class Reception:
    """PeerError or Refused, with the reason why a message has no effect, come out of ``receive``."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._asked: dict[bytes, IkeSa] = {}  # IKE_SA_INIT requests answered lately, whole (RFC 7296 section 2.1)
        self._refused: deque[bytes] = deque(maxlen=limits.REFUSALS_REMEMBERED)  # SPIs: a repeat is no news
        self._strangers: dict[bytes, Endpoint] = {}  # by SPI: SAs counted as half-open, and where they came from

    def receive(self, header: Header, data: bytes, path: Path) -> None:
        if header.exchange == Exchange.IKE_SA_INIT and not header.is_response and header.spi_r == NO_SPI:
            self._begin(header, data, path)
            return
        self._note_answer(header, data)
        sa = self._find(header, path)
        deliver(sa, decode(data), data, path)
        if sa.settled:
            self._known(sa)

    def _note_answer(self, header: Header, data: bytes) -> None:
        """Whatever comes back to a call of ours, whoever says it, there is IKEv2 at the other end; but for the one word
        that there is none (2.5)."""
        sa = self._core.ikes.get(header.spi_i)
        if sa is not None and sa.initiator and sa.connecting and not sa.heard_back:
            sa.heard_back = not _knows_no_such_version(header, data)

    def _find(self, header: Header, path: Path) -> IkeSa:
        """2.6: by our own SPI, which is the second one if the sender is the original initiator."""
        ours, theirs = (header.spi_r, header.spi_i) if header.from_initiator else (header.spi_i, header.spi_r)
        sa = self._core.candidates.get((ours, theirs)) or self._core.ikes.get(ours)
        if sa is not None and sa.initiator != header.from_initiator:
            known = sa.spi_r if sa.initiator else sa.spi_i
            if known in (theirs, NO_SPI):
                return sa
        if not header.is_response and ours not in self._core.promised and not self._core.ending:
            self._complain(header, path, Notify(NotifyType.INVALID_IKE_SPI))
        raise PeerError("unknown-ike-spi", ours.hex())

    def refuse_newer(self, header: Header, path: Path) -> None:
        """2.5: a higher version than ours is told, in answer to a request."""
        if not header.is_response:
            self._complain(header, path, Notify(NotifyType.INVALID_MAJOR_VERSION))
        raise PeerError("major-version", str(header.major))

    def _complain(self, header: Header, path: Path, notify: Notify) -> bool:
        """An error in clear (1.5, 2.21.4), seldom, and never longer than what it answers; whether it was sent."""
        answer = _in_clear(header, notify)
        if len(answer) > header.length or not self._core.guard.may_complain(path.remote, self._core.now):
            self._core.drop("complaint-withheld")
            return False
        self._core.emit(Send(answer, path))
        return True

    # --- IKE_SA_INIT ---

    def _begin(self, header: Header, data: bytes, path: Path) -> None:
        core = self._core
        if core.ending:
            raise PeerError("ending", core.ending)
        if header.flags & Flag.INITIATOR == 0 or header.message_id != 0:
            raise PeerError("bad-sa-init", f"flags {header.flags!r}, message ID {header.message_id}")
        known = self._asked.get(data)
        if known is not None:
            self._repeat(known, path)
            return
        cookie = self._core.guard.admit(
            header.next_payload, header.spi_i, data, path.remote, core.config.cookie_threshold, core.now
        )
        if cookie is not None:
            self._ask_for(cookie, header, path)
            return
        if len(core.ikes) >= limits.MAX_IKE_SAS:
            raise PeerError("too-many-ike-sas")
        try:
            sa = answer_sa_init(core, decode(data), data, path)
        except (PeerError, Refused) as error:
            if error.reason != "other-version":  # which costs little, and a cookie would say that IKEv2 is spoken here
                self._core.guard.failed(path.remote, core.now)
            self._refuse(header, path, error)
            raise
        self._asked[data] = sa
        self._core.guard.opened(path.remote)
        self._strangers[sa.spi] = path.remote
        core.after(limits.HALF_OPEN_LIFETIME, lambda: self._half_open_over(data, sa))

    def _ask_for(self, cookie: bytes, header: Header, path: Path) -> None:
        answer = _in_clear(header, Notify(NotifyType.COOKIE, cookie))
        if len(answer) > limits.COOKIE_SHARE * header.length:
            raise PeerError("sa-init-too-short", f"{header.length} octets")  # no request that we could take is
        self._core.drop("cookie-asked")
        self._core.emit(Send(answer, path))

    def _repeat(self, sa: IkeSa, path: Path) -> None:
        """2.1: the same response as long as IKE_AUTH hasn't come, then none. It goes nowhere but where it went first,
        since whoever has seen the request could have it sent to anybody."""
        if sa.stage is not Stage.HALF_OPEN:
            raise PeerError("sa-init-late")
        if path.remote.address != self._strangers[sa.spi].address:
            raise PeerError("sa-init-elsewhere", str(path.remote))
        if not self._core.guard.may_repeat(path.remote, self._core.now):
            raise PeerError("repeat-rate")
        self._core.drop("request-repeated")
        sa.transmit(sa.window.response, path)

    def _refuse(self, header: Header, path: Path, error: PeerError | Refused) -> None:
        """2.21.1: errors that help an honest peer are told; what is malformed gets no answer (3.10.1)."""
        told = False
        if error.notify is not None and error.notify != NotifyType.INVALID_SYNTAX:
            told = self._complain(header, path, Notify(NotifyType(error.notify), error.data))
        new = header.spi_i not in self._refused
        self._refused.append(header.spi_i)
        if told and new and isinstance(error, Refused) and error.reason != "other-group-wanted":
            reports.stranger_failed(self._core, "sa-init-refused", path.remote, error.detail)

    def _known(self, sa: IkeSa) -> None:
        """It no longer counts as half-open. What failed to authenticate counts on until its time is over."""
        remote = self._strangers.pop(sa.spi, None)
        if remote is not None:
            self._core.guard.closed(remote)

    def _half_open_over(self, data: bytes, sa: IkeSa) -> None:
        del self._asked[data]
        self._known(sa)
        if sa.stage is Stage.HALF_OPEN:
            self._core.drop("half-open-expired")
            sa.vanish("nobody authenticated")


def _knows_no_such_version(header: Header, data: bytes) -> bool:
    """Whether nothing else is said by this message."""
    if header.next_payload != Payload.NOTIFY:
        return False
    try:
        (payload,) = decode(data).payloads
    except (WireError, ValueError):
        return False
    return isinstance(payload, Notify) and payload.type == NotifyType.INVALID_MAJOR_VERSION


def _in_clear(header: Header, notify: Notify) -> bytes:
    """A response outside of any IKE SA: SPIs, exchange and message ID are those of the request."""
    back = Envelope(
        header.spi_i,
        header.spi_r,
        header.exchange,
        from_initiator=not header.from_initiator,
        response=True,
        message_id=header.message_id,
    )
    return encode(back.header(), (notify,))
