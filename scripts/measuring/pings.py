"""Round trips, by ping."""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.measuring.ends import Ends
from tests.interop.waiting import eventually
from tests.netns.sites import Sites

INTERVAL = 0.002  # seconds from one echo request to the next
MARK = b"readable to all."  # what echo requests carry, again and again


@dataclass(frozen=True, slots=True)
class Times:
    """Round trips in milliseconds, and how many of ``asked`` requests got no answer."""

    asked: int
    milliseconds: tuple[float, ...]

    @property
    def lost(self) -> int:
        return self.asked - len(self.milliseconds)


def measure(sites: Sites, ends: Ends, seconds: int) -> Times:
    """Ask for so many seconds."""
    count = round(seconds / INTERVAL)
    done = sites.run(ends.near, [*_ping(ends), "-c", str(count)], check=False, timeout=seconds + 60)
    times = Times(count, round_trips(done.stdout))
    if not times.milliseconds:
        raise RuntimeError(f"no ping was answered: {done.stdout[-500:]}{done.stderr}")
    return times


def round_trips(told: str) -> tuple[float, ...]:
    return tuple(float(time) for time in re.findall(r"^.*bytes from .* time=([\d.]+) ms$", told, re.MULTILINE))


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of the values that so many percent of them don't exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


class FirstAnswer:
    """Pings that go on until one is answered."""

    def __init__(self, told: Path, ping: subprocess.Popen[str]) -> None:
        self._told, self._ping = told, ping
        self._moment = 0.0

    def moment(self) -> float:
        """Wait for it; when it came, in seconds since the epoch."""
        eventually(self._look, "a ping is answered")
        return self._moment

    def _look(self) -> bool:
        ended = self._ping.poll() is not None
        self._moment = answered_at(self._told.read_text())
        if ended and not self._moment:
            raise RuntimeError(f"ping ended: {self._told.read_text()[-500:]}")
        return self._moment > 0


def answered_at(told: str) -> float:
    """The time before the first answer in the output of ``ping -D``; 0 if there is none yet."""
    found = re.search(r"^\[([\d.]+)\] \d+ bytes from .* time=", told, re.MULTILINE)
    return float(found[1]) if found else 0.0


@contextmanager
def first_answer(sites: Sites, ends: Ends, folder: Path) -> Iterator[FirstAnswer]:
    """Ask for an answer while this is entered; the requests carry MARK."""
    told = folder / "first-answer"
    with told.open("w") as output:
        command = ["stdbuf", "-oL", *_ping(ends), "-D", "-p", MARK.hex()]
        ping = sites.popen(ends.near, command, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield FirstAnswer(told, ping)
    finally:
        ping.kill()
        ping.wait()


def _ping(ends: Ends) -> list[str]:
    return ["ping", "-n", "-i", str(INTERVAL), "-I", ends.near_address, ends.far_address]
