"""What all parts of one negotiation core share: configuration, entropy, time, tables, and the effects of this turn.

A *turn* is one call from outside: a datagram, a timer, a command. It sets ``now``, lets the parts act, and hands out
the effects they left here, in order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

from ipsecd.crypto.entropy import Entropy
from ipsecd.errors import PeerError, Refused
from ipsecd.ike.config import IkeConfig
from ipsecd.ike.effects import Effect, Report
from ipsecd.ike.fragments import Memory
from ipsecd.ike.guard import Guard
from ipsecd.ike.own_keys import OwnKeys
from ipsecd.ike.parts import reserved
from ipsecd.ike.silence import Silence
from ipsecd.ike.table import IkeTable
from ipsecd.ike.timers import Timer, Timers

if TYPE_CHECKING:
    from ipsecd.ike.child_sa import ChildSa
    from ipsecd.ike.sa import IkeSa
    from ipsecd.ike.v1.desk import Desk
    from ipsecd.ike.versions import Versions
    from ipsecd.ike.wanted import Wanted


class Core:
    """``ikes`` is the table of IKE SAs by our own SPI, ``children`` that of child SAs by our inbound SPI.

    ``candidates`` holds the answers to IKE_SA_INIT requests of ours, by both SPIs, until one of them proves itself.
    ``ending`` says why nothing new is begun or answered any more; it's empty as long as something may be.
    """

    def __init__(self, config: IkeConfig, entropy: Entropy) -> None:
        self.config = config
        self.entropy = entropy
        self.now = 0.0
        self.timers = Timers()
        self.counters: Counter[str] = Counter()
        self.ikes = IkeTable()
        self.candidates: dict[tuple[bytes, bytes], IkeSa] = {}
        self.children: dict[bytes, ChildSa] = {}
        self.promised: set[bytes] = set()  # SPIs, of IKE and of children, in proposals that aren't answered yet
        self.fragments = Memory()
        self.own_keys = OwnKeys()
        self.guard = Guard(entropy)
        self.ending = ""
        self.silence = Silence(self)
        self.wanted: Wanted
        self.versions: Versions
        self.desk: Desk
        self._effects: list[Effect] = []

    def emit(self, effect: Effect) -> None:
        self._effects.append(effect)

    def take_effects(self) -> list[Effect]:
        """What this turn has led to so far; the next turn starts empty."""
        effects, self._effects = self._effects, []
        return effects

    def report(self, event: str, level: str, **fields: Any) -> None:  # what a log field may hold
        self.emit(Report(event, level, fields))

    def drop(self, reason: str) -> None:
        """Count a datagram, or a part of one, that has no effect."""
        self.counters[reason] += 1

    def guarded(self, what: str, action: Callable[[], None]) -> None:
        """The one guard: whatever goes wrong in one action, the others of this turn and the next turns take place. What
        the peer did wrong is counted under its reason; everything else is a bug of ours."""
        try:
            action()
        except (PeerError, Refused) as error:
            self.drop(error.reason)
        except Exception as error:  # noqa: BLE001  # see above
            self.drop("internal-error")
            self.report("internal-error", "error", error=_place(error), what=what)

    def after(self, delay: float, action: Callable[[], None]) -> Timer:
        return self.timers.at(self.now + delay, action)

    # RFC 7296 section 2.6: never zero, and unique among ours
    def fresh_ike_spi(self) -> bytes:
        while True:
            spi = self.entropy.octets(8)
            if any(spi) and spi not in self.ikes and spi not in self.promised:
                return spi

    # an SPI whose low half is zero would look like an AH header in UDP
    def fresh_child_spis(self, count: int) -> tuple[bytes, ...]:
        """One name space for ESP and AH: what comes in is found by its SPI alone."""
        found: dict[bytes, None] = {}
        while len(found) < count:
            spi = self.entropy.octets(4)
            taken = spi in self.children or spi in self.promised
            if any(spi[2:]) and not reserved(spi) and not taken:
                found[spi] = None
        return tuple(found)

    def fraction(self) -> float:
        """An unpredictable number from 0 to below 1, for jitter."""
        return int.from_bytes(self.entropy.octets(4), "big") / (1 << 32)

    def jittered(self, delay: float, part: float) -> float:
        """The delay, up to ``part`` of it shorter or longer."""
        return delay * (1.0 + part * (2.0 * self.fraction() - 1.0))


def _place(error: Exception) -> str:
    """The kind of an error and where it was raised: no more, for its text might hold a secret."""
    *_, (frame, line) = walk_tb(error.__traceback__)
    return f"{type(error).__name__} in {frame.f_globals.get('__name__')}, line {line}"
