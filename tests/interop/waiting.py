"""Waiting for something outside this process to come true."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(question: Callable[[], T], what: str, within: float = 60.0) -> T:
    """The first true answer. ``within`` is no measure of speed: it only ends a wait for what never comes."""
    end = time.monotonic() + within
    while not (answer := question()):
        if time.monotonic() > end:
            raise AssertionError(f"never came true: {what}")
        time.sleep(0.02)
    return answer
