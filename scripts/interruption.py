"""How a script that has built much leaves when it is told to: it cleans up, once, and leaves no process behind."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from types import FrameType

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def expect() -> None:
    """From now on the signals that end a program raise KeyboardInterrupt, once."""
    for number in ENDINGS:
        signal.signal(number, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Leave what goes on; a second Ctrl-C doesn't break into the cleaning up that follows."""
    for number in ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def end_what_was_starting() -> None:
    """A process that Popen was just starting when the interruption came is held by nobody, and missed the signal."""
    for path in Path("/proc").glob("[0-9]*/status"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it is gone by itself
            if f"\nPPid:\t{os.getpid()}\n" in path.read_text():
                os.kill(int(path.parent.name), signal.SIGKILL)
                os.waitpid(int(path.parent.name), 0)
