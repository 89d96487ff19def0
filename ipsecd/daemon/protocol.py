"""The control protocol: one JSON object a line, over a UNIX stream socket (docs/control-protocol.md).

-> {"id": 1, "command": "explain", "source": "10.1.0.2", "destination": "10.2.0.2"}
<- {"id": 1, "result": {...}}            or  {"id": 1, "error": {"reason": ..., "message": ..., "hint": ...}}
-> {"id": 2, "command": "monitor"}
<- {"id": 2, "result": {}}   <- {"event": {...}}   <- {"event": {...}}   ... until the client hangs up
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ipsecd import limits
from ipsecd.errors import ConfigError, IpsecdError, KernelError, OperatorError, PeerError, Refused
from ipsecd.printable import printable, quoted

MAX_TEXT = 1_024  # characters of one argument


class BadRequest(IpsecdError):
    """A control line that can't be carried out as it stands. ``reason`` is a stable hyphenated word."""

    def __init__(self, reason: str, message: str, hint: str = "", *, request_id: int | None = None) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.hint = hint
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a command: text (any, or one of ``choices``), or a whole number in ``span``."""

    required: bool = False
    choices: tuple[str, ...] = ()
    span: tuple[int, int] | None = None

    def check(self, name: str, value: object) -> None:
        """Raises BadRequest if the value isn't what the command wants."""
        if self.span is not None:
            low, high = self.span
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise BadRequest("bad-argument", f"{name} must be a whole number from {low} to {high}")
        elif not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
            raise BadRequest("bad-argument", f"{name} must be text of 1 to {MAX_TEXT} characters")
        elif self.choices and value not in self.choices:
            raise BadRequest("bad-argument", f"{name} can't be {quoted(value)}", f"one of {_listed(self.choices)}")


@dataclass(frozen=True, slots=True)
class Command:
    """What a command takes; ``root``: root alone may give it."""

    arguments: Mapping[str, Argument] = field(default_factory=dict)
    root: bool = False


LEVELS = ("debug", "info", "warning", "error")
_NAME = {"name": Argument(required=True)}

COMMANDS: dict[str, Command] = {
    "status": Command(),
    "sas": Command(),
    "policy": Command(),
    "explain": Command(
        {
            "source": Argument(required=True),
            "destination": Argument(required=True),
            "protocol": Argument(),
            "source_port": Argument(span=(0, 65_535)),
            "destination_port": Argument(span=(0, 65_535)),
            "icmp_type": Argument(),
            "icmp_code": Argument(span=(0, 255)),
            "direction": Argument(choices=("in", "out")),
        }
    ),
    "up": Command(_NAME),
    "down": Command(_NAME),
    "rekey": Command(_NAME),
    "reload": Command(),
    "assign": Command(_NAME),
    "monitor": Command({"level": Argument(choices=LEVELS)}),
    "log-level": Command({"level": Argument(choices=LEVELS)}),
    "keys-export": Command(root=True),
    "unassign": Command(),
}


@dataclass(frozen=True, slots=True)
class Request:
    """A control line that names a known command and only arguments of the right form."""

    id: int | None
    command: str
    arguments: Mapping[str, Any]


def parse_request(line: bytes) -> Request:
    """One control line, without or with its newline. Raises BadRequest and nothing else."""
    request = _object(line)
    request_id = request.pop("id", None)
    if request_id is not None and (isinstance(request_id, bool) or not isinstance(request_id, int)):
        raise BadRequest("bad-id", "id must be a whole number")
    try:
        return _checked(request_id, request)
    except BadRequest as error:
        error.request_id = request_id
        raise


def _checked(request_id: int | None, request: dict[str, Any]) -> Request:
    name = request.pop("command", None)
    command = COMMANDS.get(name) if isinstance(name, str) else None
    if command is None:
        raise BadRequest("unknown-command", "no such command", f"one of {_listed(COMMANDS)}")
    for extra in request.keys() - command.arguments.keys():
        raise BadRequest("unknown-argument", f"{name} has no argument {quoted(extra)}")
    for argument, rule in command.arguments.items():
        if request.get(argument) is not None:
            rule.check(argument, request[argument])
        elif rule.required:
            raise BadRequest("missing-argument", f"{name} needs {argument}")
    return Request(request_id, name, {key: value for key, value in request.items() if value is not None})


def _object(line: bytes) -> dict[str, Any]:
    if len(line) > limits.CONTROL_LINE:
        raise BadRequest("line-too-long", f"a line may have {limits.CONTROL_LINE} octets")
    try:
        value = json.loads(line.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:  # bad UTF-8 and bad JSON are ValueErrors
        raise BadRequest("not-json", f"not a JSON object: {printable(str(error))}") from None
    if not isinstance(value, dict):
        raise BadRequest("not-an-object", "each line must be one JSON object")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} isn't JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _listed(names: Mapping[str, Command] | tuple[str, ...]) -> str:
    return ", ".join(names)


def encode_request(request_id: int, command: str, arguments: Mapping[str, Any]) -> bytes:
    """The line that asks for a command."""
    return _line({"id": request_id, "command": command, **arguments})


def encode_result(request_id: int | None, result: Mapping[str, Any]) -> bytes:
    """The line that answers a command which was carried out."""
    return _line({"id": request_id, "result": result})


def encode_event(event: Mapping[str, Any]) -> bytes:
    """One line of the event stream."""
    return _line({"event": event})


def encode_error(request_id: int | None, error: Exception) -> bytes:
    """The line that answers a command which couldn't be carried out."""
    return _line({"id": request_id, "error": describe(error)})


def describe(error: Exception) -> dict[str, Any]:
    """An error as the protocol shows it: a stable reason, a message for people, a hint what to do next."""
    match error:
        case BadRequest():
            return {"reason": error.reason, "message": error.message, "hint": error.hint}
        case ConfigError():
            lines = [str(mistake) for mistake in error.mistakes]
            return {"reason": "bad-policy", "message": error.summary, "hint": "", "mistakes": lines}
        case OperatorError():
            return {"reason": "refused", "message": error.message, "hint": error.hint}
        case KernelError():
            return {"reason": "kernel", "message": error.message, "hint": error.hint}
        case PeerError() | Refused():
            return {"reason": error.reason, "message": error.detail or error.reason, "hint": ""}
        case _:
            return {"reason": "fault", "message": "ipsecd met an error of its own", "hint": "the log has the details"}


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"
