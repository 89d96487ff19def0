"""Phase 1s that others begin. Who has begun one isn't known before it's through, so they stand here until then.

IKEv1 knows no cookies before there is state, and whoever sends a first message may be anybody, for any address. So what
it leads to in main mode is cheap until the next message shows that the sender gets what is sent to its address: until
then the oldest gives way where there are too many. Whoever is there goes on within a round trip; so what others make up
doesn't keep it out, nor does it count among what IKEv2 or a peer's own calls have room for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ipsecd import limits
from ipsecd.errors import PeerError, Refused
from ipsecd.ike.config import Path
from ipsecd.ike.core import Core
from ipsecd.ike.guard import Rate, source_of
from ipsecd.ike.v1.fragments import Joining
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.responding import Responder
from ipsecd.wire import ikev1
from ipsecd.wire.registry_v1 import Exchange, Payload
from ipsecd.wire.selector import Address

_PHASE_1 = (Exchange.MAIN, Exchange.AGGRESSIVE)


@dataclass(frozen=True, slots=True)
class Ending:
    """What a responder calls when it's over."""

    done: Callable[[IsakmpSa], None]
    failed: Callable[[str], None]


class Begin(Protocol):
    def __call__(self, header: ikev1.Header, path: Path, cookie: bytes, ends: Ending, /) -> Responder:
        """Who answers a first message with this header, that came along this path, with this cookie of ours. PeerError
        or Refused if nobody does."""


@dataclass(slots=True, eq=False)
class Visit:
    """One of them. ``counted`` among those that are half-open, by the guard."""

    path: Path
    cookies: tuple[bytes, bytes]
    begun: float
    joining: Joining
    responder: Responder = field(init=False)
    counted: bool = False
    through: bool = False


class Door:
    """``joined`` gets each ISAKMP SA, when its phase 1 was begun, and in which mode; ``failed`` what has come to
    nothing, and why."""

    def __init__(
        self,
        core: Core,
        begin: Begin,
        joined: Callable[[IsakmpSa, float, Exchange], None],
        failed: Callable[[Visit, str], None],
    ) -> None:
        self._core = core
        self._begin = begin
        self._joined = joined
        self._failed = failed
        self._rate = Rate(limits.PHASE_1_RATE, limits.PHASE_1_BURST, 1)
        self._by_first: dict[tuple[bytes, Address], Visit] = {}  # by the initiator's cookie and where it comes from
        self._by_cookie: dict[bytes, Visit] = {}  # by ours
        self._unshown: dict[Visit, None] = {}  # whose senders may be anybody, the oldest first
        self._unshown_of: dict[bytes, dict[Visit, None]] = {}  # the same, by source

    @property
    def half_open(self) -> tuple[Visit, ...]:
        """Those that aren't through."""
        return tuple(visit for visit in self._by_cookie.values() if not visit.through)

    def takes(self, header: ikev1.Header) -> bool:
        """Whether a message with this header is for a phase 1 here, and for nothing that has come of it."""
        visit = self._by_cookie.get(header.cookie_r)
        return visit is not None and (header.exchange in _PHASE_1 or not visit.through)

    # --- messages ---

    def first(self, message: ikev1.Message, data: bytes, path: Path) -> None:
        """A message without a cookie of ours. PeerError or Refused with the reason why it has no effect."""
        header, core = message.header, self._core
        if header.exchange not in _PHASE_1:
            raise PeerError("unknown-ike-spi", "a first message that begins no phase 1")
        known = self._by_first.get((header.cookie_i, path.remote.address))
        if known is not None:
            self._repeat(known, message, data, path)
            return
        if core.ending:
            raise PeerError("ending", core.ending)
        aggressive = header.exchange == Exchange.AGGRESSIVE
        core.guard.admit_phase_1(path.remote, core.config.cookie_threshold, core.now, aggressive=aggressive)
        if not self._rate.allows(b"", core.now):
            raise PeerError("phase-1-rate", "of all together")
        try:
            self._enter(message, data, path)
        except (PeerError, Refused):
            core.guard.failed(path.remote, core.now)
            raise

    def _repeat(self, visit: Visit, message: ikev1.Message, data: bytes, path: Path) -> None:
        if not self._core.guard.may_repeat(path.remote, self._core.now):
            raise PeerError("repeat-rate")
        visit.responder.hear(message, data, path)

    def hear(self, message: ikev1.Message, data: bytes, path: Path) -> None:
        """One with a cookie of ours that this ``takes``. PeerError or Refused as of ``first``."""
        visit = self._by_cookie[message.header.cookie_r]
        if message.first == Payload.FRAGMENT:
            whole = visit.joining.add(message)
            if whole is None:
                return
            message, data = ikev1.decode(whole), whole
        if visit in self._unshown and self._core.guard.is_full(visit.path.remote):
            raise PeerError("half-open-limit")
        visit.responder.hear(message, data, path)
        if visit in self._unshown and visit.responder.shown:
            self._take_out(visit)
            self._count(visit)

    def _enter(self, message: ikev1.Message, data: bytes, path: Path) -> None:
        header, spi = message.header, self._core.fresh_ike_spi()
        visit = Visit(path, (header.cookie_i, spi), self._core.now, Joining(self._core))
        ends = Ending(lambda sa: self._through(visit, sa), lambda reason: self._fail(visit, reason))
        visit.responder = self._begin(header, path, spi, ends)
        try:
            visit.responder.hear(message, data, path)
        except (PeerError, Refused):
            visit.responder.drop()
            raise
        self._core.promised.add(spi)
        self._by_first[header.cookie_i, path.remote.address] = visit
        self._by_cookie[spi] = visit
        if header.exchange == Exchange.AGGRESSIVE:  # which has cost a key exchange by now
            self._count(visit)
        else:
            self._wait(visit)

    # --- those that may be anybody's ---

    def _wait(self, visit: Visit) -> None:
        of_source = self._unshown_of.setdefault(source_of(visit.path.remote.address), {})
        self._unshown[visit] = of_source[visit] = None
        if len(of_source) > limits.MAX_HALF_OPEN_PER_ADDRESS:
            self._drive_out(next(iter(of_source)))
        elif len(self._unshown) > limits.MAX_HALF_OPEN:
            self._drive_out(next(iter(self._unshown)))

    def _drive_out(self, visit: Visit) -> None:
        self._core.drop("half-open-displaced")
        visit.responder.drop()
        self._forget(visit)

    def _take_out(self, visit: Visit) -> None:
        if visit in self._unshown:
            source = source_of(visit.path.remote.address)
            del self._unshown[visit], self._unshown_of[source][visit]
            if not self._unshown_of[source]:
                del self._unshown_of[source]

    def _count(self, visit: Visit) -> None:
        visit.counted = True
        self._core.guard.opened(visit.path.remote)

    # --- the end ---

    def _through(self, visit: Visit, sa: IsakmpSa) -> None:
        visit.through = True
        self._uncount(visit)
        self._core.after(limits.QUICK_MODE_KEPT, lambda: self._forget(visit))
        self._joined(sa, visit.begun, visit.responder.exchange)

    def _fail(self, visit: Visit, reason: str) -> None:
        self._forget(visit)
        self._failed(visit, reason)

    def _uncount(self, visit: Visit) -> None:
        if visit.counted:
            visit.counted = False
            self._core.guard.closed(visit.path.remote)

    def _forget(self, visit: Visit) -> None:
        self._take_out(visit)
        self._uncount(visit)
        visit.joining.clear()
        cookie_i, spi = visit.cookies
        self._by_first.pop((cookie_i, visit.path.remote.address), None)
        self._by_cookie.pop(spi, None)
        self._core.promised.discard(spi)

    def close(self) -> None:
        """None of those that aren't through comes to anything."""
        for visit in self.half_open:
            visit.responder.drop()
            self._forget(visit)
