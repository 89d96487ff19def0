"""The highest rate that loses next to nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

TOLERATED = 0.01  # of the packets sent
STRIDE = 2.0  # from rate to rate, until one is too high and one isn't
CLOSE = 1.05  # how near those two come to each other
REACHED = 0.95  # of the rate asked for; a sender that doesn't get there is itself the limit


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a rate; everything in packets a second. ``asked`` is infinite for as fast as it goes."""

    asked: float
    sent: float
    delivered: float

    @property
    def lost(self) -> float:
        """The part of the packets that didn't arrive."""
        return 1 - self.delivered / self.sent if self.sent else 1.0

    @property
    def good(self) -> bool:
        return self.lost < TOLERATED


def trials(attempt: Callable[[float], Trial], start: float, most: int = 12) -> list[Trial]:
    """Try rates from ``start`` on: in strides up or down, then halving what is left between a good rate and a bad one.
    Ends when those are close, when the sender can't go faster, or after ``most`` trials."""
    made: list[Trial] = []
    good, bad, rate = 0.0, math.inf, start
    while len(made) < most:
        trial = attempt(rate)
        made.append(trial)
        if trial.good:
            good = rate
            if trial.sent < rate * REACHED:
                break
        else:
            bad = rate
        if bad <= good * CLOSE:
            break
        rate = _between(good, bad)
    return made


def _between(good: float, bad: float) -> float:
    if bad == math.inf:
        return good * STRIDE
    return math.sqrt(good * bad) if good else bad / STRIDE


def best(made: Sequence[Trial]) -> float:
    """The most packets a second that a good trial delivered; 0 if none was good."""
    return max((trial.delivered for trial in made if trial.good), default=0.0)
