"""One contestant in one round: set up on a wire of its own, looked at, measured, taken down."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ipsecd.cli.program import Failure
from scripts.measuring import pings
from scripts.measuring.contestants.contestant import Contestant
from scripts.measuring.ends import TOPOLOGIES
from scripts.measuring.figures import FIGURES, Found, Track
from scripts.measuring.quantities import QUANTITIES
from scripts.measuring.results import Turn
from scripts.measuring.table import number as number_text
from tests.interop.wire import Wire, kind
from tests.netns.sites import Sites

FAILURES = (AssertionError, Failure, OSError, RuntimeError, subprocess.SubprocessError)


@dataclass(frozen=True, slots=True)
class Course:
    """How everybody is measured."""

    figures: tuple[str, ...]
    topology: str
    offload: bool
    seconds: int


def take(number: int, name: str, contestant: Contestant, course: Course, tell: Callable[[str], None]) -> Turn:
    """Measure what can be measured: what goes wrong ends the turn, and is told in it."""
    found: dict[str, Found] = {}

    def keep(figure: str, each: Found) -> None:
        found[figure] = each
        tell("; ".join(_told(quantity, value) for quantity, value in each.values.items()) or f"{figure}: none")

    load, error = os.getloadavg()[0], ""
    try:
        _measure(contestant, course, keep)
    except FAILURES as failure:
        error = f"{type(failure).__name__}: {failure}"
        tell(error)
    values = {quantity: value for each in found.values() for quantity, value in each.values.items()}
    return Turn(number, name, load, values, {figure: dict(each.raw) for figure, each in found.items()}, error)


def _measure(contestant: Contestant, course: Course, keep: Callable[[str, Found], None]) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="ipsecd-bench-") as folder,
        Sites(offload=course.offload, **contestant.sites) as sites,
        contestant.run(sites, Path(folder)) as running,
    ):
        track = Track(sites, TOPOLOGIES[course.topology], course.seconds, running)
        keep("setup", _set_up(track, Path(folder), in_clear=contestant.in_clear))
        for name in course.figures:
            keep(name, FIGURES[name](track, name))


def _set_up(track: Track, folder: Path, *, in_clear: bool) -> Found:
    """From the first packet that crosses the wire to the first answer to a ping. Pings go on all the while, so that
    those who keep a packet until the tunnel is there and those who don't are measured alike."""
    with Wire(track.sites) as wire, pings.first_answer(track.sites, track.ends, folder) as answer:
        track.running.call()
        moment = answer.moment()
    crossed = [(when, frame) for when, frame in wire.frames if kind(frame) != "link"]
    look_at((frame for _, frame in crossed), in_clear=in_clear)
    return Found({"setup": max(0.0, moment - crossed[0][0]) * 1e3}, {"frames": len(crossed)})


def look_at(frames: Iterable[bytes], *, in_clear: bool) -> None:
    """Raise RuntimeError if pings that were not to go in clear can be read in a frame, or those that were in none."""
    if any(pings.MARK in frame for frame in frames) != in_clear:
        raise RuntimeError(f"pings crossed the wire {'hidden' if in_clear else 'in clear'}")


def _told(quantity: str, value: float) -> str:
    known = QUANTITIES[quantity]
    return f"{known.title} {number_text(value)} {known.unit}"
