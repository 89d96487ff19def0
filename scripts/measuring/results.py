"""What a run has found, as it goes into the JSON file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any


@dataclass(frozen=True, slots=True)
class Turn:
    """A contestant in a round. ``values`` are by the names of QUANTITIES, ``raw`` by figure; ``error`` says why some
    are missing."""

    round: int
    contestant: str
    load: float  # of the machine, when the turn began
    values: dict[str, float] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True)
class Results:
    """``machine`` and ``options`` say where and how, ``versions`` who."""

    machine: Mapping[str, str]
    options: Mapping[str, Any]
    versions: Mapping[str, str]
    turns: list[Turn] = field(default_factory=list)

    def values(self, contestant: str, quantity: str) -> dict[int, float]:
        """By round."""
        return {
            turn.round: turn.values[quantity]
            for turn in self.turns
            if turn.contestant == contestant and quantity in turn.values
        }

    def best(self, contestants: Sequence[str], quantity: str, *, more_is_better: bool) -> dict[int, float]:
        """The best value of any of them, by round; only rounds in which all of them have one."""
        found = [self.values(contestant, quantity) for contestant in contestants]
        found = [values for values in found if values]
        rounds = set.intersection(*map(set, found)) if found else set()
        choose = max if more_is_better else min
        return {number: choose(values[number] for values in found) for number in sorted(rounds)}


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some values, and the quartiles below and above it."""

    median: float
    lower: float
    upper: float


def spread(values: Sequence[float]) -> Spread:
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    lower, _, upper = quantiles(values, n=4, method="inclusive")
    return Spread(median(values), lower, upper)


def ratios(ours: Mapping[int, float], theirs: Mapping[int, float]) -> list[float]:
    """Of values of the same round, so that what the machine did meanwhile touches both."""
    return [ours[number] / theirs[number] for number in sorted(ours) if theirs.get(number)]
