"""The log: structlog events with fields, from whoever has one to the journal, a terminal, or a JSON reader.

Each event is a stable hyphenated word with plain fields. On its way it is cleaned (text from outside is escaped and
cut), limited (lines that anybody on the network can cause), turned into a sentence (``story.py``), given what auditors
look for (``audit.py``), offered to ``ipsecctl monitor``, filtered by level, and queued for the sink.
"""

from __future__ import annotations

import json
import logging
import os
import time
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from datetime import datetime
from typing import Any

import structlog
from structlog.typing import EventDict

from ipsecd import limits
from ipsecd.daemon import audit
from ipsecd.daemon.log_sinks import JournalSink, Line, Sink, StreamSink, Writer, stderr_is_journal
from ipsecd.daemon.story import is_unauthenticated, sentence
from ipsecd.errors import OperatorError
from ipsecd.printable import printable, quoted

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
FORMATS = ("auto", "terminal", "plain", "json", "journal")
TRACEBACK_LINES = 40
_COLOURS = {"debug": "\x1b[2m", "info": "", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[1;31m"}

Tap = Callable[[dict[str, Any]], None]


class Limiter:
    """Lets ``rate`` lines a second through and counts the rest."""

    def __init__(self, clock: Callable[[], float], rate: float = limits.UNAUTHENTICATED_LOG_RATE) -> None:
        self._clock = clock
        self._rate = rate
        self._tokens = rate
        self._filled = clock()
        self.suppressed = 0

    def admit(self) -> bool:
        """Whether one more line may be written now."""
        now = self._clock()
        self._tokens = min(self._rate, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        if self._tokens < 1:
            self.suppressed += 1
            return False
        self._tokens -= 1
        return True

    def take_suppressed(self) -> int:
        """How many lines were held back since the last call."""
        count, self.suppressed = self.suppressed, 0
        return count


class Log:
    """The chain of processors, and what can be changed about it at run time."""

    def __init__(
        self,
        writer: Writer,
        *,
        kind: str = "plain",
        level: str = "info",
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer
        self._render = {"terminal": _coloured, "plain": _plain, "json": _json, "journal": _message}[kind]
        self._wall = wall
        self._taps: dict[Tap, str] = {}
        self._limiter = Limiter(clock)
        self.level = level

    @property
    def dropped(self) -> int:
        """Lines lost because whoever reads the log was too slow."""
        return self._writer.dropped

    @property
    def taps(self) -> int:
        """How many read along."""
        return len(self._taps)

    def set_level(self, level: str) -> None:
        """Write events of this level and above from now on; raises OperatorError for an unknown level."""
        if level not in LEVELS:
            raise OperatorError(f"there is no log level {quoted(level)}", f"one of {', '.join(LEVELS)}")
        self.level = level

    def add_tap(self, tap: Tap, level: str) -> None:
        """Hand each event of this level and above to ``tap`` too, whatever the log's own level."""
        self._taps[tap] = level

    def remove_tap(self, tap: Tap) -> None:
        self._taps.pop(tap, None)

    def emit(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        """One event on its way through the chain."""
        weight = LEVELS[level]
        taps = [tap for tap, wanted in self._taps.items() if weight >= LEVELS[wanted]]
        written = weight >= LEVELS[self.level]
        if not (written or taps):
            return
        if is_unauthenticated(event) and not self._limiter.admit():
            return
        clean = {name: _reason(value) if name == "reason" else _clean(value) for name, value in fields.items()}
        now = self._wall()
        text = sentence(event, clean)
        clean |= audit.facts(event)
        for tap in taps:
            tap({"event": event, "level": level, "time": _iso(now), "text": text, "fields": clean})
        if written:
            self._writer.put(Line(level, event, self._render(now, level, event, text, clean), clean))

    def tell_suppressed(self) -> None:
        """Say how many lines the limiter held back since it was last asked; to be called now and then."""
        count = self._limiter.take_suppressed()
        if count:
            self.emit("warning", "lines-suppressed", {"count": count})

    def close(self) -> None:
        self._writer.close()


def choose_format(wanted: str, environment: Mapping[str, str], descriptor: int = 2) -> str:
    """What ``auto`` means here: the journal under systemd, colours on a terminal, plain lines elsewhere."""
    if wanted != "auto":
        return wanted
    if stderr_is_journal(environment, descriptor):
        return "journal"
    return "terminal" if os.isatty(descriptor) and "NO_COLOR" not in environment else "plain"


def start(wanted: str, level: str, environment: Mapping[str, str], descriptor: int = 2) -> Log:
    """Open the sink, start its thread, and make structlog and the standard library's logging use it."""
    kind = choose_format(wanted, environment, descriptor)
    sink: Sink = JournalSink() if kind == "journal" else StreamSink(descriptor)
    log = Log(Writer(sink), kind=kind, level=level)
    use(log)
    return log


def use(log: Log) -> None:
    """Make ``structlog.get_logger()`` and ``logging`` anywhere in this process write to this log."""
    structlog.configure(
        processors=[_Handover(log)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_LibraryHandler(log)]
    root.setLevel(logging.WARNING)


class _Handover:
    """The one structlog processor: hands the event to our chain and ends structlog's."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def __call__(self, _logger: object, method: str, event_dict: MutableMapping[str, Any]) -> EventDict:
        event = str(event_dict.pop("event"))
        self._log.emit(method, event, event_dict)
        raise structlog.DropEvent


class _LibraryHandler(logging.Handler):
    """What asyncio and pyroute2 log comes out as our event ``library``."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"library": record.name, "message": record.getMessage()}
        if record.exc_info and record.exc_info[1]:
            fields["traceback"] = traceback_lines(record.exc_info[1])
        level = max(
            (name for name in LEVELS if LEVELS[name] <= record.levelno), key=LEVELS.__getitem__, default="debug"
        )
        self._log.emit(level, "library", fields)


def traceback_lines(error: BaseException) -> list[str]:
    """The last lines of an error's traceback, for the one case where an operator should send it to us."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return lines[-TRACEBACK_LINES:]


def _clean(value: object) -> Any:
    """A plain value, its text escaped and cut."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        return value[: limits.LOGGED_TEXT // 2].hex()
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item) for item in list(value)[:TRACEBACK_LINES]]
    if isinstance(value, Mapping):
        return {printable(str(name)): _clean(item) for name, item in list(value.items())[:TRACEBACK_LINES]}
    return printable(str(value))


def _reason(value: object) -> str:
    """A reason is our own words around what the peer chose, so it may be longer."""
    return printable(str(value), limits.LOGGED_REASON)


def _iso(now: float) -> str:
    return datetime.fromtimestamp(now).astimezone().isoformat(timespec="milliseconds")


def _message(_now: float, _level: str, _event: str, text: str, fields: Mapping[str, Any]) -> str:
    """The sentence, and under it an error's traceback, indented so that no line of it can pass for one of ours."""
    return "\n    ".join([text, *fields.get("traceback", ())])


def _plain(now: float, level: str, event: str, text: str, fields: Mapping[str, Any]) -> str:
    clock = datetime.fromtimestamp(now).astimezone().strftime("%H:%M:%S.%f")[:-3]
    return f"{clock} {level:8}{_message(now, level, event, text, fields)}"


def _coloured(now: float, level: str, event: str, text: str, fields: Mapping[str, Any]) -> str:
    return f"{_COLOURS[level]}{_plain(now, level, event, text, fields)}\x1b[0m"


def _json(now: float, level: str, event: str, text: str, fields: Mapping[str, Any]) -> str:
    return json.dumps({"time": _iso(now), "level": level, "event": event, "text": text, **fields}, ensure_ascii=True)
