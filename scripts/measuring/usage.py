"""What daemons use while something goes on: processor time and memory, with all processes they have started."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

PROC = Path("/proc")
INTERVAL = 0.5  # seconds from one look at the memory to the next: each costs a walk through page tables
GONE = (FileNotFoundError, ProcessLookupError)


@dataclass(frozen=True, slots=True)
class Stat:
    """A process: its parent, and the ticks that it and its children that ended have run, as user and in the kernel."""

    parent: int
    ticks: int


def parse(line: str) -> Stat:
    """A line of /proc/PID/stat, see proc(5); the name in it may hold anything, brackets too."""
    words = line.rpartition(")")[2].split()
    return Stat(int(words[1]), sum(map(int, words[11:15])))


def family(root: int, stats: Mapping[int, Stat]) -> list[int]:
    """A process and all that descend from it."""
    found = [root]
    for pid in found:
        found += [child for child, stat in stats.items() if stat.parent == pid]
    return found


def proportional(rollup: str) -> int:
    """The proportional set size of /proc/PID/smaps_rollup, in octets."""
    found = re.search(r"^Pss:\s+(\d+) kB$", rollup, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def cpu_seconds(roots: Iterable[int]) -> float:
    stats = _stats()
    ticks = sum(stats[pid].ticks for root in roots for pid in family(root, stats) if pid in stats)
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(root: int) -> int:
    """Octets of a daemon, by the proportional set size of each of its processes."""
    octets = 0
    for pid in family(root, _stats()):
        with suppress(*GONE):
            octets += proportional((PROC / str(pid) / "smaps_rollup").read_text())
    return octets


def _stats() -> dict[int, Stat]:
    found = {}
    for path in PROC.glob("[0-9]*/stat"):
        with suppress(*GONE):
            found[int(path.parent.name)] = parse(path.read_text())
    return found


class Meter:
    """What ``roots`` use while this is entered: afterwards ``seconds`` of processor time of all of them together, and
    ``peak``, the octets of the largest of them when it was largest."""

    def __init__(self, roots: Sequence[int], look: Callable[[int], int] = memory) -> None:
        self._roots, self._look = roots, look
        self.seconds = 0.0
        self.peak = 0

    def __enter__(self) -> Self:
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="memory", daemon=True)
        self._before = cpu_seconds(self._roots)
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = cpu_seconds(self._roots) - self._before
        self._ended.set()
        self._watcher.join()

    def look(self) -> None:
        """Look how large they are now."""
        self.peak = max([self.peak, *map(self._look, self._roots)])

    def _watch(self) -> None:
        while not self._ended.wait(INTERVAL):
            self.look()
