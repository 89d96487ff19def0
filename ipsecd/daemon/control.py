"""The control socket: who may connect, how many, how long, and the stream of events."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from ipsecd import limits
from ipsecd.daemon.control_place import Place
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.log import Log
from ipsecd.daemon.protocol import (
    COMMANDS,
    BadRequest,
    Request,
    encode_error,
    encode_event,
    encode_result,
    parse_request,
)
from ipsecd.errors import IpsecdError, LocalError

log = structlog.get_logger()

SO_PEERGROUPS = 59  # asm-generic/socket.h; Python's socket module doesn't name it
MAX_GROUPS = 256  # what getsockopt in Python can take; a caller in more counts by its primary group

Handler = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is at the other end of a control connection, as the kernel says."""

    pid: int
    uid: int
    groups: frozenset[int]


@dataclass(frozen=True, slots=True)
class Access:
    """Who may give commands: root, the daemon's own user, and members of the group."""

    uid: int
    group: int | None

    def admits(self, caller: Caller) -> bool:
        """Whether this caller may connect at all."""
        return caller.uid in (0, self.uid) or self.group in caller.groups


class ControlServer:
    """Answers control lines; ``handlers`` has one for each command but ``monitor``."""

    def __init__(self, handlers: Mapping[str, Handler], journal: Log, guard: Guard, access: Access) -> None:
        self._handlers = handlers
        self._journal = journal
        self._guard = guard
        self._access = access
        self._clients: set[asyncio.Task[None]] = set()
        self._place: Place | None = None
        self._server: asyncio.Server | None = None

    def claim(self, path: Path) -> None:
        """Make the socket at ``path``; whoever connects waits for ``start``. Raises OperatorError."""
        self._place = Place(path, self._access.group)

    async def start(self) -> None:
        """Answer from now on. Raises LocalError if nothing was claimed."""
        if self._place is None:
            raise LocalError("no place for the control socket was claimed")
        listener = self._place.listener
        self._server = await asyncio.start_unix_server(self._accepted, sock=listener, limit=limits.CONTROL_LINE)

    async def close(self) -> None:
        """Stop listening, and hang up on everybody."""
        if self._place is None:
            return
        self._place.leave()
        if self._server is not None:
            self._server.close()
        self._place.listener.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:  # pragma: no cover - asyncio always runs this in a task
            return
        self._clients.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, TimeoutError):
            pass  # the client went away, or asked nothing for too long
        except asyncio.CancelledError:
            pass  # close hangs up; asyncio takes a connection that is cancelled for a fault (until Python 3.12)
        finally:
            self._clients.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = caller_of(writer.get_extra_info("socket"))
        if not self._access.admits(caller):
            log.warning("control-refused", uid=caller.uid, pid=caller.pid)
            writer.write(encode_error(None, BadRequest("permission", "you may not control ipsecd", "be root")))
            return
        if len(self._clients) > limits.CONTROL_CLIENTS:
            writer.write(encode_error(None, BadRequest("too-many-clients", "ipsecd has too many control clients")))
            return
        patience = limits.CONTROL_FIRST_REQUEST
        while True:
            try:
                async with asyncio.timeout(patience):  # wait_for can swallow a cancellation (until Python 3.12)
                    line = await reader.readline()
            except ValueError:  # StreamReader's word for a line beyond its limit
                message = f"a line may have {limits.CONTROL_LINE} octets"
                writer.write(encode_error(None, BadRequest("line-too-long", message)))
                return
            if not line.endswith(b"\n"):  # the end of the connection, maybe in the middle of a line
                return
            request = await self._answer(line, caller, writer)
            if request is not None and request.command == "monitor":
                await self._stream(request, reader, writer)
                return
            async with asyncio.timeout(limits.CONTROL_IDLE):
                await writer.drain()
            await asyncio.sleep(0)  # neither readline nor drain waits while there is more: packets have their turn here
            patience = limits.CONTROL_IDLE

    async def _answer(self, line: bytes, caller: Caller, writer: asyncio.StreamWriter) -> Request | None:
        """Carry out one line and write its answer; the request, if it was a good one."""
        try:
            request = _permitted(parse_request(line), caller)
        except BadRequest as error:
            writer.write(encode_error(error.request_id, error))
            return None
        with self._guard.over("a control line", command=request.command) as watch:
            try:
                result = (
                    await self._handlers[request.command](request.arguments) if request.command != "monitor" else {}
                )
                writer.write(encode_result(request.id, result))
            except LocalError:  # a fault, for the guard to count and log
                raise
            except IpsecdError as error:
                writer.write(encode_error(request.id, error))
        if watch.error is not None:
            writer.write(encode_error(request.id, watch.error))
        return request

    async def _stream(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Events as they happen, until the client hangs up or reads too slowly."""

        def tap(event: dict[str, Any]) -> None:
            if writer.transport.get_write_buffer_size() > limits.CONTROL_BACKLOG:
                writer.transport.abort()
            elif not writer.is_closing():
                writer.write(encode_event(event))

        self._journal.add_tap(tap, request.arguments.get("level", "info"))
        try:
            while await reader.read(4_096):
                pass
        finally:
            self._journal.remove_tap(tap)


def _permitted(request: Request, caller: Caller) -> Request:
    if COMMANDS[request.command].root and caller.uid != 0:
        raise BadRequest("permission", f"{request.command} is for root alone", request_id=request.id)
    return request


def caller_of(connection: socket.socket) -> Caller:
    """Who connected, by SO_PEERCRED and SO_PEERGROUPS (unix(7))."""
    pid, uid, gid = struct.unpack("iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    groups = {gid}
    with contextlib.suppress(OSError):
        octets = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 4 * MAX_GROUPS)
        groups.update(struct.unpack(f"{len(octets) // 4}I", octets))
    return Caller(pid, uid, frozenset(groups))
