"""The tasks of an IKE SA that aren't under way: those in line for its window of one, and those put off for a while."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from ipsecd.ike.core import Core
from ipsecd.ike.task import Task
from ipsecd.ike.timers import Timer


class Agenda:
    """``due`` is given each task that was put off, when its time has come."""

    def __init__(self, core: Core, due: Callable[[Task], None]) -> None:
        self._core = core
        self._due = due
        self._line: deque[Task] = deque()
        self._put_off: dict[Task, Timer] = {}

    def __iter__(self) -> Iterator[Task]:
        yield from self._line
        yield from self._put_off

    def add(self, task: Task) -> None:
        self._line.append(task)

    def put_off(self, task: Task, delay: float) -> None:
        """For about ``delay`` seconds."""
        self._put_off[task] = self._core.after(self._core.jittered(delay, 0.5), lambda: self._ring(task))

    def next(self) -> Task | None:
        """The first in line, which leaves it."""
        return self._line.popleft() if self._line else None

    def hand_in(self) -> list[Task]:
        """All of them; nothing stays here."""
        tasks = list(self)
        for timer in self._put_off.values():
            timer.cancel()
        self._line.clear()
        self._put_off.clear()
        return tasks

    def _ring(self, task: Task) -> None:
        del self._put_off[task]
        self._due(task)
