"""The one place where an error that nobody expected ends: it costs one datagram, packet, timer or control line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import TracebackType

import structlog

from ipsecd import limits
from ipsecd.daemon.log import traceback_lines

log = structlog.get_logger()


class Guard:
    """Counts and logs what escapes from the work it stands around, and lets the daemon go on.

    ``faults`` counts by what was being done. Cancellation and interrupts pass.
    """

    def __init__(self) -> None:
        self.faults: Counter[str] = Counter()

    def over(self, what: str, **fields: object) -> Watch:
        """A context to do ``what`` in; ``fields`` say with whom."""
        return Watch(self, what, fields)

    def told(self, what: str, error: str, traceback: Sequence[str]) -> None:
        """Count and log what has escaped in another process of ours; without a traceback, only count it. What it says
        is bounded, as that process reads what strangers send."""
        if what not in self.faults and len(self.faults) >= limits.PLANE_FAULT_KINDS:
            what = "something else"
        self.faults[what] += 1
        if traceback:
            log.error("fault", what=what, error=error, traceback=list(traceback))


class Watch:
    """One piece of work under the guard. ``error`` is what went wrong in it, or None."""

    def __init__(self, guard: Guard, what: str, fields: dict[str, object]) -> None:
        self._guard = guard
        self._what = what
        self._fields = fields
        self.error: Exception | None = None

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self.error = error
        self._guard.faults[self._what] += 1
        log.error("fault", what=self._what, error=repr(error), traceback=traceback_lines(error), **self._fields)
        return True
