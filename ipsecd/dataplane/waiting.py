"""Packets that wait for their child to be negotiated: a few per child, and one acquire for all of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Set
from dataclasses import dataclass, field
from typing import NamedTuple

from ipsecd import limits
from ipsecd.ratelimit import RateLimit
from ipsecd.wire.hostpair import pattern_id


class Entered(NamedTuple):
    """What a packet without an SA brings about: whether its child is to be asked for, and why a packet is dropped, the
    oldest that waits or this one; empty if none is."""

    acquire: bool
    drop: str = ""


@dataclass(slots=True)
class _Child:
    asked: float
    pending: bool = True  # an acquire is out, and neither an SA nor a refusal has come back
    served: bool = False  # it has had an SA
    lost: bool = False  # what came back has carried packets, and has gone since
    losses: RateLimit = field(default_factory=lambda: RateLimit(1 / limits.ACQUIRE_AGAIN, limits.ACQUIRE_LOSSES))
    packets: deque[bytes] = field(default_factory=deque)

    def may_ask(self, now: float) -> bool:
        """At once if an SA that was of use is lost, but not for ever if each is lost; else after a while."""
        if self.lost and not self.pending:
            return self.losses.take(now)
        return now - self.asked >= (limits.ACQUIRE_STALE if self.pending else limits.ACQUIRE_AGAIN)

    def may_forget(self, now: float) -> bool:
        return not self.pending and now - self.asked >= limits.ACQUIRE_AGAIN


class WaitingRoom:
    """One bounded queue per child, and a bounded number of children of two hosts. A child is asked for once; again if
    what came of it is gone, or, not at once, if nothing came of it."""

    def __init__(self) -> None:
        self._children: dict[str, _Child] = {}
        self._octets = 0  # of all packets that wait
        self._looked = float("-inf")  # for what can be forgotten

    def enter(self, child: str, packet: bytes, now: float) -> Entered:
        """Take in a packet that has no SA."""
        room = self._children.get(child)
        if room is None:
            if child != pattern_id(child) and not self._has_room(now):
                return Entered(acquire=False, drop="too-many-wait")
            room = self._children[child] = _Child(now)
            acquire = True
        else:
            acquire = room.may_ask(now)
            if not (room.pending or acquire):
                return Entered(acquire=False, drop="acquire-throttled")
        if acquire:
            room.asked, room.pending, room.lost = now, True, False
        overflow = len(room.packets) >= limits.ACQUIRE_QUEUE
        if overflow:
            self._octets -= len(room.packets.popleft())
        if self._octets + len(packet) > limits.WAITING_OCTETS:
            return Entered(acquire, "too-many-wait")
        self._octets += len(packet)
        room.packets.append(packet)
        return Entered(acquire, "queue-overflow" if overflow else "")

    def leave(self, child: str) -> list[bytes]:
        """The packets of a child whose negotiation is over, oldest first."""
        room = self._children.get(child)
        if room is None:
            return []
        packets, room.packets, room.pending = list(room.packets), deque(), False
        self._octets -= sum(map(len, packets))
        return packets

    def coming(self, child: str, now: float) -> None:
        """It has an SA in a moment, as if somebody had asked for it now."""
        room = self._children.get(child)
        if room is None and len(self._children) < limits.MAX_WAITING:
            room = self._children[child] = _Child(now)
        if room is not None:
            room.asked, room.pending, room.lost = now, True, False

    def served(self, child: str) -> list[bytes]:
        """The packets of a child that has an SA now, oldest first."""
        if child not in self._children and len(self._children) < limits.MAX_WAITING:
            self._children[child] = _Child(float("-inf"))
        packets = self.leave(child)
        if (room := self._children.get(child)) is not None:
            room.served = True
        return packets

    def release(self, child: str) -> list[bytes]:
        """The packets of a child that go another way now, oldest first. One that comes late may ask at once."""
        packets = self.leave(child)
        if (room := self._children.get(child)) is not None:
            room.asked = -limits.ACQUIRE_AGAIN
        return packets

    def _has_room(self, now: float) -> bool:
        """Whether another child of two hosts may be taken in. If not, those are forgotten for which nothing waits, and
        which may be asked for at once as if never before, but not the last ones that have had an SA: seldom, as a look
        takes as long as there are children, and whoever tries hosts one by one sends many packets."""
        if len(self._children) >= limits.MAX_WAITING and now - self._looked >= limits.WAITING_REST:
            self._looked = now
            idle = [
                (child, room) for child, room in self._children.items() if not room.packets and room.may_forget(now)
            ]
            served = [child for child, room in idle if room.served]
            for child in (*(child for child, room in idle if not room.served), *served[: -limits.WAITING_SERVED]):
                del self._children[child]
        return len(self._children) < limits.MAX_WAITING

    def lost(self, child: str) -> None:
        """An SA of this child that has carried packets is gone."""
        room = self._children.get(child)
        if room is not None:
            room.lost = True

    def keep_only(self, children: Set[str]) -> int:
        """Forget the children that are gone, with those of two hosts made after them; returns how many packets waited
        for them."""
        gone = [name for name in self._children if children.isdisjoint((name, pattern_id(name)))]
        waited = sum(len(self.leave(name)) for name in gone)
        for name in gone:
            del self._children[name]
        return waited

    def __len__(self) -> int:
        """How many packets wait now."""
        return sum(len(room.packets) for room in self._children.values())
