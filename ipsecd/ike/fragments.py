"""IKE fragmentation (RFC 7383): cutting a message into SKF payloads, and putting received ones together."""

from __future__ import annotations

from dataclasses import dataclass, field

from ipsecd import limits
from ipsecd.errors import PeerError
from ipsecd.ike.config import Path
from ipsecd.ike.core import Core
from ipsecd.ike.timers import Timer
from ipsecd.wire.payloads import Skf
from ipsecd.wire.udpencap import NON_ESP_MARKER

_UDP_OCTETS = 8
_IP_OCTETS = {4: 20, 6: 40}


def largest_message(path: Path) -> int:
    """Octets of an IKE message that fit the fragmentation threshold (2.5.1) on this path."""
    version = path.remote.address.version
    datagram = limits.FRAGMENT_SIZE_V4 if version == 4 else limits.FRAGMENT_SIZE_V6
    return datagram - _IP_OCTETS[version] - _UDP_OCTETS - (len(NON_ESP_MARKER) if path.natt else 0)


def cut(plaintext: bytes, octets: int) -> list[bytes]:
    """The plaintext in pieces of so many octets; the last may be shorter."""
    return [plaintext[start : start + octets] for start in range(0, len(plaintext), octets)] or [b""]


@dataclass(slots=True)
class _Queue:
    """The pieces of one message that have come so far."""

    message_id: int
    total: int
    timer: Timer
    first: int = 0  # the type of the first payload inside; only fragment 1 says it
    pieces: dict[int, bytes] = field(default_factory=dict)
    octets: int = 0


class Reassembly:
    """One direction's queue of one IKE SA. There is one message at a time: the window is one."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._queue: _Queue | None = None

    def screen(self, message_id: int, fragment: Skf) -> None:
        """The checks of 2.6 against what has come before; they stand before the integrity check. PeerError."""
        queue = self._queue
        if queue is None or queue.message_id != message_id:
            return
        if fragment.total < queue.total:
            raise PeerError("bad-fragment-number", f"total {fragment.total} after {queue.total}")
        if fragment.total == queue.total and fragment.number in queue.pieces:
            raise PeerError("fragment-repeated")

    def add(self, message_id: int, fragment: Skf, piece: bytes) -> tuple[int, bytes] | None:
        """Keep an authentic piece. The first payload's type and the whole plaintext once all are there."""
        queue = self._queue
        if queue is None or queue.message_id != message_id or fragment.total > queue.total:
            self.clear()
            timer = self._core.after(limits.FRAGMENT_TIMEOUT, self._expired)
            queue = self._queue = _Queue(message_id, fragment.total, timer)
        if queue.octets + len(piece) > limits.MAX_IKE_MESSAGE:
            self.clear()
            raise PeerError("fragments-too-large")
        if self._core.fragment_octets + len(piece) > limits.MAX_FRAGMENTS_TOTAL:
            raise PeerError("fragment-memory")
        queue.pieces[fragment.number] = piece
        queue.octets += len(piece)
        self._core.fragment_octets += len(piece)
        if fragment.number == 1:
            queue.first = fragment.first
        if len(queue.pieces) < queue.total:
            return None
        whole = b"".join(queue.pieces[number] for number in range(1, queue.total + 1))
        first = queue.first
        self.clear()
        return first, whole

    def clear(self) -> None:
        if self._queue is not None:
            self._queue.timer.cancel()
            self._core.fragment_octets -= self._queue.octets
            self._queue = None

    def _expired(self) -> None:
        self._core.drop("fragments-incomplete")
        self.clear()
