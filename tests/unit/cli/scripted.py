"""A server at a control socket that says what a test wants it to say."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

STATUS = {
    "version": "0.1.0",
    "pid": 7,
    "uptime": 61,
    "policy": None,
    "file": "/etc/ipsecd/policy.yaml",
    "rules": [],
    "unresolved": [],
    "exempt": [],
    "assigned": {"policy": None, "by": "file", "file_says": None},
    "bare": False,
    "drops": {},
    "drop_reasons": {},
    "faults": {},
    "log_lines_lost": 0,
}


class Scripted:
    """Answers each line with what ``says`` makes of it, octets as they are, anything else as the result of that
    request; hangs up on None, and behind octets that end in the middle of a line. ``asked`` are the requests."""

    def __init__(self, path: Path, says: Callable[[dict[str, Any]], object]) -> None:
        self.path = path
        self.asked: list[dict[str, Any]] = []
        self.heard = threading.Event()
        self._says = says
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rwb") as lines:  # it may hang up
            self._answer(lines)

    def _answer(self, lines: Any) -> None:
        for line in lines:
            request = json.loads(line)
            self.asked.append(request)
            self.heard.set()
            said = self._says(request)
            if said is None:
                return
            if not isinstance(said, bytes):
                said = json.dumps({"id": request["id"], "result": said}).encode() + b"\n"
            lines.write(said)
            lines.flush()
            if not said.endswith(b"\n"):
                return


def always(said: object) -> Callable[[dict[str, Any]], object]:
    return lambda _: said


def in_turn(answers: Iterable[object]) -> Callable[[dict[str, Any]], object]:
    """One answer after the other."""
    left = iter(answers)
    return lambda _: next(left)
