"""The other end of the control socket."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from ipsecd.daemon.protocol import encode_request
from ipsecd.printable import printable

FAILED, NOT_RUNNING, NO_PERMISSION = 1, 3, 4  # exit codes; 2 is click's for wrong usage
_PATIENCE = 120.0  # seconds: a reload may run credential commands


class Failure(Exception):
    """The daemon said no, or isn't there. ``code`` is what ipsecctl exits with; ``lines`` are more to print."""

    def __init__(self, code: int, message: str, hint: str = "", lines: tuple[str, ...] = ()) -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.code = code
        self.lines = lines


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
        self._lines.close()
        self._socket.close()

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """What the daemon answers to a command."""
        self._requests += 1
        with contextlib.suppress(OSError):  # what it had to say before it hung up may still be there to read
            self._socket.sendall(encode_request(self._requests, command, arguments))
        answer = self._read()
        if "error" in answer:
            _refused(answer["error"])
        result: dict[str, Any] = answer["result"]
        return result

    def events(self) -> Iterator[dict[str, Any]]:
        """What the daemon reports from now on, for as long as it lives."""
        self._socket.settimeout(None)
        while True:
            yield self._read()["event"]

    def _read(self) -> dict[str, Any]:
        try:
            line = self._lines.readline()
        except TimeoutError:
            raise Failure(FAILED, f"no answer within {_PATIENCE:.0f} s") from None
        except OSError as error:
            raise Failure(NOT_RUNNING, f"ipsecd hung up: {error.strerror}") from None
        if not line.endswith(b"\n"):
            raise Failure(NOT_RUNNING, "ipsecd hung up", "is it being stopped?")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _not_connected(path: Path, error: OSError) -> NoReturn:
    match error:
        case FileNotFoundError() | ConnectionRefusedError():
            hint = "systemctl start ipsecd, or name its socket with --control"
            raise Failure(NOT_RUNNING, f"no ipsecd listens at {path}", hint) from None
        case PermissionError():
            raise Failure(NO_PERMISSION, f"you may not use {path}", "be root or in its group") from None
        case _:
            raise Failure(NOT_RUNNING, f"can't connect to {path}: {error.strerror or error}") from None


def _refused(error: dict[str, Any]) -> NoReturn:
    code = NO_PERMISSION if error["reason"] == "permission" else FAILED
    lines = tuple(printable(line, 1_024) for line in error.get("mistakes", ()))
    raise Failure(code, printable(error["message"], 1_024), printable(error["hint"], 1_024), lines)
