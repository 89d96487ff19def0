"""Message IDs, repeats and retransmission (RFC 7296 sections 2.1 to 2.3). Our window is one in both directions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from ipsecd import limits
from ipsecd.ike.core import Core
from ipsecd.ike.repeats import Repeats

LAST_MESSAGE_ID = 0xFFFF_FFFF
REKEY_MESSAGE_ID = 0x8000_0000  # RFC 7296 section 2.2: the IKE SA must be rekeyed before message IDs run out


class Arrival(Enum):
    """What a request's message ID makes of it."""

    NEW = "new"
    REPEAT = "repeat"
    OUTSIDE = "outside"


@dataclass(slots=True)
class _Outstanding:
    message_id: int
    datagrams: tuple[bytes, ...]
    repeats: Repeats


class Window:
    """One IKE SA's counters, its one request under way, and its last response.

    ``transmit`` sends datagrams along the SA's present path; ``gave_up`` is told when a request stays unanswered.
    """

    def __init__(
        self, core: Core, transmit: Callable[[tuple[bytes, ...]], None], gave_up: Callable[[], None], first: int
    ) -> None:
        self._core = core
        self._transmit = transmit
        self._gave_up = gave_up
        self.next_request = first
        self.expected = first
        self._outstanding: _Outstanding | None = None
        self._response: tuple[bytes, ...] = ()

    # --- requests of ours ---

    @property
    def idle(self) -> bool:
        return self._outstanding is None

    def request(self, datagrams: tuple[bytes, ...], tries: int = limits.RETRANSMIT_TRIES) -> None:
        """Send a request and repeat it, bit by bit the same, until it's answered (2.1)."""
        repeats = Repeats(self._core, tries, self._again, self._silence)
        self._outstanding = _Outstanding(self.next_request, datagrams, repeats)
        self.next_request += 1
        self._transmit(datagrams)

    def awaits(self, message_id: int) -> bool:
        """Whether a response with this message ID answers our request."""
        return self._outstanding is not None and self._outstanding.message_id == message_id

    def drop_request(self) -> None:
        """It was answered, or its answer no longer matters."""
        if self._outstanding is not None:
            self._outstanding.repeats.stop()
            self._outstanding = None

    def _again(self) -> None:
        if self._outstanding is not None:
            self._transmit(self._outstanding.datagrams)

    def _silence(self) -> None:
        self._outstanding = None
        self._gave_up()

    # --- requests of the peer ---

    def judge(self, message_id: int) -> Arrival:
        if message_id == self.expected:
            return Arrival.NEW
        if message_id == self.expected - 1 and self._response:
            return Arrival.REPEAT
        return Arrival.OUTSIDE

    def answer(self, datagrams: tuple[bytes, ...]) -> None:
        """Keep the response to the expected request until the next request comes (2.1)."""
        self.expected += 1
        self._response = datagrams

    @property
    def response(self) -> tuple[bytes, ...]:
        return self._response
