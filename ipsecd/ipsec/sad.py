"""The security association database (RFC 4301 section 4.4.2), one half for each direction.

Coming in, an SA is found by its SPI alone. Going out, the newest SA of the child whose selectors hold the packet is
used; older ones stay until they are removed. Both halves know when time will next end something.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator
from itertools import chain
from typing import Generic, TypeVar

from ipsecd.errors import LocalError
from ipsecd.ipsec.sa import InboundSa, OutboundSa
from ipsecd.ipsec.selectors import Flow

Name = TypeVar("Name", bound=Hashable)

_SPARE = 64


def sooner(one: float | None, other: float | None) -> float | None:
    """The earlier of two moments that may never come."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


class Alarms(Generic[Name]):
    """At most one moment per name, the earliest first. Memory follows the names that have one, not history."""

    def __init__(self) -> None:
        self._when: dict[Name, float] = {}
        self._heap: list[tuple[float, int, Name]] = []
        self._count = 0

    def set(self, name: Name, when: float | None) -> None:
        """Put the name's moment at ``when``, or take it away."""
        if when is None:
            self._when.pop(name, None)
            return
        self._when[name] = when
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, name))
        if len(self._heap) > 2 * len(self._when) + _SPARE:
            self._heap = [item for item in self._heap if self._when.get(item[2]) == item[0]]
            heapq.heapify(self._heap)

    def next(self) -> float | None:
        """The earliest moment."""
        heap = self._heap
        while heap and self._when.get(heap[0][2]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def due(self, now: float) -> Iterator[Name]:
        """The names whose moment has come, each taken away as it's given."""
        while (when := self.next()) is not None and when <= now:
            name = heapq.heappop(self._heap)[2]
            del self._when[name]
            yield name


_Either = TypeVar("_Either", InboundSa, OutboundSa)


def _outer(found: _Either | None, spi: int) -> _Either:
    """The SA of AH that another is to be within; ``spi`` is the inbound one of its pair."""
    if found is None or not found.form.outer:
        raise LocalError(f"no SA of AH with inbound SPI {spi:08x} to be within")
    return found


class InboundSad:
    """The SAs we receive on, by SPI."""

    def __init__(self) -> None:
        self._by_spi: dict[int, InboundSa] = {}
        self.alarms: Alarms[int] = Alarms()

    def add(self, sa: InboundSa) -> None:
        """Raises LocalError if the SPI is taken, as two SAs can't be told apart, or if there is no SA that it is to be
        within."""
        if sa.spi in self._by_spi:
            raise LocalError(f"inbound SPI {sa.spi:08x} is in use")
        if within := sa.form.within:
            sa.around = _outer(self._by_spi.get(within), within)
        self._by_spi[sa.spi] = sa
        self.alarms.set(sa.spi, sa.lifetime.deadline())

    def remove(self, spi: int) -> None:
        """Forget an SA; it's fine if there is none."""
        self._by_spi.pop(spi, None)
        self.alarms.set(spi, None)

    def get(self, spi: int) -> InboundSa | None:
        return self._by_spi.get(spi)

    def due(self, now: float) -> Iterator[InboundSa]:
        """The SAs that time has brought to a limit. Whoever asks has them told of it before the next."""
        for spi in self.alarms.due(now):
            yield self._by_spi[spi]
            self.alarms.set(spi, self._by_spi[spi].lifetime.deadline())

    def __iter__(self) -> Iterator[InboundSa]:
        return iter(self._by_spi.values())


class OutboundSad:
    """The SAs we send on, by child, the newest first."""

    def __init__(self) -> None:
        self._by_child: dict[str, list[OutboundSa]] = {}
        self._by_name: dict[tuple[int, int], OutboundSa] = {}
        self._outer: dict[int, OutboundSa] = {}  # by inbound SPI
        self.alarms: Alarms[tuple[int, int]] = Alarms()

    def add(self, sa: OutboundSa) -> None:
        """Raises LocalError if there is one of this name, as its numbers would be used twice, or if there is no SA that
        it is to be within."""
        name = (sa.spi, sa.inbound)
        if name in self._by_name:
            raise LocalError(f"outbound SPI {sa.spi:08x} of inbound {sa.inbound:08x} is in use")
        if within := sa.form.within:
            sa.around = _outer(self._outer.get(within), within)
        if sa.form.outer:
            self._outer[sa.inbound] = sa
        self._by_name[name] = sa
        self._by_child.setdefault(sa.child, []).insert(0, sa)
        self.alarms.set(name, sa.lifetime.deadline())

    def remove(self, spi: int, inbound: int) -> OutboundSa | None:
        """Forget an SA, and hand it back; it's fine if there is none. What is within it goes no more."""
        sa = self._by_name.pop((spi, inbound), None)
        self.alarms.set((spi, inbound), None)
        if sa is None:
            return None
        if sa.form.outer:
            self._outer.pop(inbound, None)
            sa.lifetime.over = True
        rest = [other for other in self._by_child[sa.child] if other is not sa]
        if rest:
            self._by_child[sa.child] = rest
        else:
            del self._by_child[sa.child]
        return sa

    def due(self, now: float) -> Iterator[OutboundSa]:
        """The SAs that time has brought to a limit. Whoever asks has them told of it before the next."""
        for name in self.alarms.due(now):
            yield self._by_name[name]
            self.alarms.set(name, self._by_name[name].lifetime.deadline())

    def choose(self, child: str, flow: Flow) -> OutboundSa | None:
        """The newest SA of the child that may carry this flow and isn't over."""
        for sa in self._by_child.get(child, ()):
            if not sa.over and sa.selectors.hold_outbound(flow):
                return sa
        return None

    def replaced(self, sa: OutboundSa) -> bool:
        """Whether a newer SA of its child carries all that this one would."""
        ends = sa.selectors.local, sa.selectors.remote
        for other in self._by_child.get(sa.child, ()):
            if other is sa:
                break
            if not other.over and (other.selectors.local, other.selectors.remote) == ends:
                return True
        return False

    def __iter__(self) -> Iterator[OutboundSa]:
        return chain.from_iterable(self._by_child.values())
