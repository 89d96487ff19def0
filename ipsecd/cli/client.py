"""The other end of the control socket."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import ipsecd
from ipsecd import limits
from ipsecd.cli.program import FAILED, NO_PERMISSION, NOT_RUNNING, Failure
from ipsecd.daemon.protocol import encode_request
from ipsecd.printable import printable

_PATIENCE = 120.0  # seconds: a reload may run credential commands


class Client:
    """A connection to a daemon. Raises Failure."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(_PATIENCE)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            _not_connected(path, error)
        self._lines = self._socket.makefile("rb")
        self._requests = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # else a thread that reads would hold up what follows
        self._lines.close()
        self._socket.close()

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """What the daemon answers to a command."""
        self._requests += 1
        with contextlib.suppress(OSError):  # what it had to say before it hung up may still be there to read
            self._socket.sendall(encode_request(self._requests, command, arguments))
        match self._read():
            case {"error": {"reason": str(reason), "message": str(message), "hint": str(hint)} as error}:
                _refused(reason, message, hint, error.get("mistakes", []))
            case {"id": self._requests, "result": dict(result)}:
                return result
        raise _not_understood()

    def events(self) -> Iterator[dict[str, Any]]:
        """What the daemon reports from now on, for as long as it lives."""
        self._socket.settimeout(None)
        while True:
            match self._read():
                case {"event": {"level": str(), "time": str(), "text": str()} as event}:
                    yield event
                case _:
                    raise _not_understood()

    def _read(self) -> Any:
        try:
            line = self._lines.readline(limits.CONTROL_ANSWER)
        except TimeoutError:
            raise Failure(FAILED, f"no answer within {_PATIENCE:.0f} s") from None
        except OSError as error:
            raise Failure(NOT_RUNNING, f"ipsecd hung up: {error.strerror}") from None
        if not line.endswith(b"\n"):
            if len(line) == limits.CONTROL_ANSWER:
                raise _not_understood()
            raise Failure(NOT_RUNNING, "ipsecd hung up", "is it being stopped?")
        try:
            return json.loads(line)
        except (ValueError, RecursionError):  # bad UTF-8 and bad JSON are ValueErrors
            raise _not_understood() from None


@contextlib.contextmanager
def taking_apart() -> Iterator[None]:
    """Around whatever looks into an answer: one that lacks something is a Failure."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError):
        raise _not_understood() from None


def _not_understood() -> Failure:
    return Failure(FAILED, "the answer makes no sense", f"is it an ipsecd {ipsecd.__version__} that listens there?")


def _not_connected(path: Path, error: OSError) -> NoReturn:
    match error:
        case FileNotFoundError() | ConnectionRefusedError():
            hint = (
                "systemctl start ipsecd; journalctl -u ipsecd says why it doesn't run; --control names another socket"
            )
            raise Failure(NOT_RUNNING, f"no ipsecd listens at {path}", hint) from None
        case PermissionError():
            raise Failure(NO_PERMISSION, f"you may not use {path}", "be root or in its group") from None
        case _:
            raise Failure(NOT_RUNNING, f"can't connect to {path}: {error.strerror or error}") from None


def _refused(reason: str, message: str, hint: str, mistakes: Any) -> NoReturn:
    code = NO_PERMISSION if reason == "permission" else FAILED
    with taking_apart():
        lines = tuple(printable(line, 1_024) for line in mistakes)
    raise Failure(code, printable(message, 1_024), printable(hint, 1_024), lines)
