"""How long a control process keeps others waiting: it is asked something, again and again, and each answer is timed.

What is timed is more than its event loop's stall: the way there and back and this program's own waking are in it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

PAUSE = 0.001  # seconds between an answer and the next question

Asking = Callable[[], AbstractContextManager[Callable[[], object]]]
"""Opens what asks one question each time it is called."""


class Stalls:
    """While this is entered, ``asking`` is used; ``milliseconds`` has how long each answer took."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._ended = threading.Event()
        self.milliseconds: list[float] = []

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, name="stalls", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        with self._asking() as ask:
            while not self._ended.wait(PAUSE):
                began = time.perf_counter()
                ask()
                self.milliseconds.append((time.perf_counter() - began) * 1e3)
