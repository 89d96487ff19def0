"""Messages of IKEv1 in parts ([MS-IKEE] sections 2.2.3.1 and 3.3): each a payload alone in a message, in clear.

::

    header as of the whole message, without E | generic header | id | number | last | part of the whole, header and all

Nothing proves a part, so one that contradicts those before it begins anew: what has been put together proves itself, or
is repeated. Whoever sends them has to know both cookies, and finds the little memory that strangers share.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ipsecd import limits
from ipsecd.errors import PeerError
from ipsecd.ike.config import Path
from ipsecd.ike.core import Core
from ipsecd.ike.fragments import cut, largest_message
from ipsecd.ike.timers import Timer
from ipsecd.wire import ike, ikev1, vendor_ids
from ipsecd.wire.ikev1_payloads import Fragment, VendorId
from ipsecd.wire.registry_v1 import Payload

JOINS = VendorId(vendor_ids.FRAGMENTATION)  # in phase 1: whoever says so puts parts together, and may be sent them
_FLAGS = slice(len(JOINS.data), None)  # strongSwan's and Cisco's; of others there are none
_OF_MAIN_MODE = 0x80
_AROUND = 36  # octets of the header, of the generic payload header and of what stands in front of the part


def joins(said: Iterable[bytes]) -> bool:
    """Whether somebody who says these vendor IDs puts parts together."""
    flags = [each[_FLAGS] for each in said if each.startswith(JOINS.data)]
    return any(not each or each[0] & _OF_MAIN_MODE for each in flags)


def in_parts(message: bytes, header: ikev1.Header, id_: int, path: Path) -> tuple[bytes, ...]:
    """Datagrams of a message of ours; it alone if it's short enough for one. Other messages have other ``id_``."""
    most = largest_message(path)
    if len(message) <= most:
        return (message,)
    parts = cut(message, most - _AROUND)
    fragments = [Fragment(id_, number, number == len(parts), part) for number, part in enumerate(parts, 1)]
    return tuple(ikev1.encode(header, [fragment]) for fragment in fragments)


@dataclass(slots=True, eq=False)
class _Queue:
    """The parts of one message that have come so far, ``of`` an SA's cookies and with one ID. ``last`` is the number of
    the last one, once that is known."""

    of: tuple[bytes, bytes, int]
    joining: Joining
    timer: Timer
    last: int = 0
    parts: dict[int, bytes] = field(default_factory=dict)
    octets: int = 0

    def contradicted_by(self, of: tuple[bytes, bytes, int], fragment: Fragment) -> bool:
        number = fragment.number
        if fragment.last:
            other_end = self.last not in (0, number) or any(each > number for each in self.parts)
        else:
            other_end = 0 < self.last <= number
        return self.of != of or other_end or self.parts.get(number, fragment.data) != fragment.data

    def displaced(self) -> None:
        self.joining.lose("fragments-displaced")


class Joining:
    """What one peer sends in parts: one message at a time. It's for those whose phase 1 or ISAKMP SA is known by its
    cookies."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._pool = core.fragments.strangers
        self._queue: _Queue | None = None

    def add(self, message: ikev1.Message) -> bytes | None:
        """A message that begins with a fragment: the whole that it was the last missing part of, as octets to be
        decoded, or None. PeerError with the reason why it has no effect."""
        if message.first != Payload.FRAGMENT or len(message.chain.payloads) != 1:
            raise PeerError("bad-fragment", "a fragment stands alone in its message")
        fragment = message.chain.payloads[0]
        if not isinstance(fragment, Fragment):
            raise PeerError("bad-fragment", "another payload by its number")
        queue = self._queue_for(message.header, fragment)
        if fragment.number in queue.parts:
            raise PeerError("fragment-repeated")
        if queue.octets + len(fragment.data) > min(limits.MAX_IKE_DATAGRAM, self._pool.of_each):
            self.clear()
            raise PeerError("fragments-too-large")
        self._pool.keep(queue, len(fragment.data))
        queue.parts[fragment.number] = fragment.data
        queue.last = fragment.number if fragment.last else queue.last
        if len(queue.parts) != queue.last:
            return None
        self.clear()
        return _whole(message, b"".join(queue.parts[number] for number in sorted(queue.parts)))

    def clear(self) -> None:
        """Forget what isn't whole, when the peer is gone."""
        if self._queue is not None:
            self._queue.timer.cancel()
            self._pool.release(self._queue)
            self._queue = None

    def lose(self, reason: str) -> None:
        self._core.drop(reason)
        self.clear()

    def _queue_for(self, header: ikev1.Header, fragment: Fragment) -> _Queue:
        of = (header.cookie_i, header.cookie_r, fragment.id)
        if self._queue is not None and not self._queue.contradicted_by(of, fragment):
            return self._queue
        self.clear()
        timer = self._core.after(limits.FRAGMENT_TIMEOUT, lambda: self.lose("fragments-incomplete"))
        self._queue = _Queue(of, self, timer)
        return self._queue


def _whole(part: ikev1.Message, data: bytes) -> bytes:
    """It has to be a message of the same SA, and no part of another one."""
    header = ike.decode_header(data)
    if not part.header.belongs_to((header.spi_i, header.spi_r)) or header.next_payload == Payload.FRAGMENT:
        raise PeerError("bad-fragment", "what was put together is of another SA, or a fragment itself")
    return data
