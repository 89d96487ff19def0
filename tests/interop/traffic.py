"""What goes through a tunnel while a test watches."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.interop.waiting import eventually
from tests.netns.sites import Sites

PATIENCE, SILENCE = 30, 3  # seconds: for an answer that will come, and for none


def answers(sites: Sites, place: str, target: str, count: int = 3, size: int = 56, *, patience: int = PATIENCE) -> int:
    """How many of ``count`` echo requests from ``place`` were answered, the last at most ``patience`` seconds later."""
    return received(sites.run(place, at_once(target, size, count, patience), check=False).stdout)


def at_once(target: str, size: int = 56, count: int = 3, patience: int = PATIENCE) -> list[str]:
    """A ping whose requests leave at once. It waits for the last answer as long as for the first; one with an interval
    gives up when that has passed."""
    command = ["ping", "-n", "-c", count, "-l", count, "-i", patience, "-W", patience, "-s", size, target]
    return [str(word) for word in command]


def received(told: str) -> int:
    """How many answers ping tells of at its end."""
    found = re.search(r"(\d+) received", told)
    return int(found[1]) if found else 0


def silent(sites: Sites, place: str, target: str) -> bool:
    """Whether nobody answers."""
    return answers(sites, place, target, patience=SILENCE) == 0


class Ping:
    """A ping that runs all the while; afterwards ``gaps`` are the sequence numbers that stayed without answer."""

    def __init__(self, sites: Sites, place: str, target: str, log: Path) -> None:
        self._sites, self._place, self._target, self._log = sites, place, target, log

    def __enter__(self) -> Self:
        command = ["stdbuf", "-oL", "ping", "-n", "-i", "0.02", self._target]
        self._process = self._sites.popen(self._place, command, stdout=self._log.open("w"), stderr=subprocess.STDOUT)
        self.flows()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(10)

    def answered(self) -> list[int]:
        return [int(number) for number in re.findall(r"icmp_seq=(\d+) ttl=", self._log.read_text())]

    def flows(self, more: int = 10) -> None:
        """Wait until so many more answers have come."""
        before = len(self.answered())
        eventually(lambda: len(self.answered()) >= before + more, f"{more} more answers from {self._target}")

    @property
    def gaps(self) -> list[int]:
        """What was asked before the last answer came, and never answered."""
        answered = self.answered()
        return sorted(set(range(1, max(answered, default=0) + 1)) - set(answered))
