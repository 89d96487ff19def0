"""IKE fragmentation (RFC 7383): cutting a message into SKF payloads, and putting received ones together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ipsecd import limits
from ipsecd.errors import PeerError
from ipsecd.ike.config import Path
from ipsecd.ike.timers import Timer
from ipsecd.wire.payloads import Skf
from ipsecd.wire.udpencap import NON_ESP_MARKER

if TYPE_CHECKING:
    from ipsecd.ike.core import Core

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


class Memory:
    """For messages that aren't whole yet. Whoever has proven nothing gets little of it, and nothing of what is kept for
    those who have."""

    def __init__(self) -> None:
        self.known = Pool(limits.MAX_FRAGMENTS_PER_SA, limits.MAX_FRAGMENTS_TOTAL)
        self.strangers = Pool(limits.MAX_FRAGMENTS_HALF_OPEN, limits.MAX_FRAGMENTS_HALF_OPEN_TOTAL)


class Kept(Protocol):
    """A message that isn't whole yet, with ``octets`` of it that are here. ``displaced``: there is no room any more."""

    octets: int

    def displaced(self) -> None: ...


class Pool:
    """Octets that many IKE SAs share, ``of_each`` at most for one. When it's full the oldest message goes: whoever
    fills it can only hinder those who take longer than that for theirs."""

    def __init__(self, of_each: int, of_all: int) -> None:
        self.of_each = of_each
        self._of_all = of_all
        self._queues: dict[Kept, None] = {}  # oldest first
        self.octets = 0

    def keep(self, queue: Kept, octets: int) -> None:
        """Make room for a piece of a message."""
        self._queues.setdefault(queue)
        while self.octets + octets > self._of_all:
            next(other for other in self._queues if other is not queue).displaced()
        queue.octets += octets
        self.octets += octets

    def release(self, queue: Kept) -> None:
        self._queues.pop(queue, None)
        self.octets -= queue.octets


@dataclass(slots=True, eq=False)
class _Queue:
    """The pieces of one message that have come so far."""

    message_id: int
    total: int
    pool: Pool
    timer: Timer
    displaced: Callable[[], None]
    first: int = 0  # the type of the first payload inside; only fragment 1 says it
    pieces: dict[int, bytes] = field(default_factory=dict)
    octets: int = 0


class Reassembly:
    """The messages of one IKE SA that aren't whole yet: at most one of each direction, since windows are one.
    ``response`` tells the two apart."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._queues: dict[bool, _Queue] = {}

    def screen(self, response: bool, message_id: int, fragment: Skf) -> None:
        """The checks of 2.6 against what has come before; they stand before the integrity check. PeerError."""
        queue = self._queues.get(response)
        if queue is None or queue.message_id != message_id:
            return
        if fragment.total < queue.total:
            raise PeerError("bad-fragment-number", f"total {fragment.total} after {queue.total}")
        if fragment.total == queue.total and fragment.number in queue.pieces:
            raise PeerError("fragment-repeated")

    def add(
        self, response: bool, message_id: int, fragment: Skf, piece: bytes, *, known: bool
    ) -> tuple[int, bytes] | None:
        """Keep an authentic piece. The first payload's type and the whole plaintext once all are there. ``known``: its
        sender has proven who it is."""
        queue = self._queues.get(response)
        if queue is None or queue.message_id != message_id or fragment.total > queue.total:
            queue = self._begin(response, message_id, fragment.total, known=known)
        held = sum(each.octets for each in self._queues.values())
        if queue.octets + len(piece) > limits.MAX_IKE_MESSAGE or held + len(piece) > queue.pool.of_each:
            self._drop(response)
            raise PeerError("fragments-too-large")
        queue.pool.keep(queue, len(piece))
        queue.pieces[fragment.number] = piece
        if fragment.number == 1:
            queue.first = fragment.first
        if len(queue.pieces) < queue.total:
            return None
        whole = b"".join(queue.pieces[number] for number in range(1, queue.total + 1))
        self._drop(response)
        return queue.first, whole

    def clear(self) -> None:
        for response in list(self._queues):
            self._drop(response)

    def _begin(self, response: bool, message_id: int, total: int, *, known: bool) -> _Queue:
        self._drop(response)
        memory = self._core.fragments
        timer = self._core.after(limits.FRAGMENT_TIMEOUT, lambda: self._lose(response, "fragments-incomplete"))
        queue = _Queue(
            message_id,
            total,
            memory.known if known else memory.strangers,
            timer,
            lambda: self._lose(response, "fragments-displaced"),
        )
        self._queues[response] = queue
        return queue

    def _lose(self, response: bool, reason: str) -> None:
        self._core.drop(reason)
        self._drop(response)

    def _drop(self, response: bool) -> None:
        queue = self._queues.pop(response, None)
        if queue is not None:
            queue.timer.cancel()
            queue.pool.release(queue)
