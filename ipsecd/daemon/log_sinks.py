"""Where finished log lines go: the journal, a terminal, a pipe.

Whoever logs never waits for whoever reads. A thread writes, fed by a bounded queue; when the reader is stuck the queue
fills and further lines are dropped and counted.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ipsecd import limits

JOURNAL_SOCKET = "/run/systemd/journal/socket"
PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}  # syslog(3)


@dataclass(frozen=True, slots=True)
class Line:
    """One log event, rendered: what people read, and the fields that programs search."""

    level: str
    event: str
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)


class Sink(Protocol):
    """Takes lines one by one, may block, raises OSError when it can't."""

    def write(self, line: Line) -> None: ...


class StreamSink:
    """One line of text for each event on a file descriptor, as a rule standard error."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, line: Line) -> None:
        octets = line.text.encode("utf-8", "backslashreplace") + b"\n"
        while octets:
            octets = octets[os.write(self._descriptor, octets) :]


class JournalSink:
    """journald's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL), so that each field can be searched.

    cysystemd's ``send`` isn't used: it holds Python's global lock while journald's socket is full, and so would stop
    the daemon with the journal. systemd-python needs a compiler and headers to install.
    """

    def __init__(self, path: str = JOURNAL_SOCKET) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def write(self, line: Line) -> None:
        self._socket.sendto(encode_journal(line), self._path)


def encode_journal(line: Line) -> bytes:
    """The datagram for journald. A value with a newline in it goes behind its length, so it can't end the field."""
    entry: dict[str, object] = {
        "MESSAGE": line.text,
        "PRIORITY": PRIORITY[line.level],
        "SYSLOG_IDENTIFIER": "ipsecd",
        "IPSECD_EVENT": line.event,
    }
    entry |= {f"IPSECD_{_field_name(name)}": value for name, value in line.fields.items()}
    return b"".join(_journal_field(name, str(value)) for name, value in entry.items())


def _field_name(name: str) -> str:
    """Journal field names hold capitals, digits and underscores, 64 characters at most."""
    return "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name.upper())[:48]


def _journal_field(name: str, value: str) -> bytes:
    octets = value.encode("utf-8", "backslashreplace")
    if b"\n" not in octets:
        return name.encode() + b"=" + octets + b"\n"
    return name.encode() + b"\n" + len(octets).to_bytes(8, "little") + octets + b"\n"


def stderr_is_journal(environment: Mapping[str, str], descriptor: int = 2) -> bool:
    """Whether systemd connected this descriptor to the journal (systemd.exec(5), JOURNAL_STREAM)."""
    device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    with contextlib.suppress(OSError):
        status = os.fstat(descriptor)
        return (device, inode) == (str(status.st_dev), str(status.st_ino)) and Path(JOURNAL_SOCKET).exists()
    return False


class Writer:
    """The queue and the thread between those who log and a sink that may block."""

    def __init__(self, sink: Sink, capacity: int = limits.LOG_QUEUE) -> None:
        self._sink = sink
        self._lines: deque[Line] = deque()
        self._capacity = capacity
        self._wake = threading.Condition()
        self._closing = False
        self.dropped = 0  # lines lost because the reader was too slow or gone
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def put(self, line: Line) -> None:
        """Queue one line; never blocks, and drops the line when the queue is full."""
        with self._wake:
            if len(self._lines) >= self._capacity:
                self.dropped += 1
                return
            self._lines.append(line)
            self._wake.notify()

    def close(self, timeout: float = limits.LOG_FLUSH) -> None:
        """Write what is queued, for at most ``timeout`` seconds."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._lines:
                    if self._closing:
                        return
                    self._wake.wait()
                line = self._lines.popleft()
            try:
                self._sink.write(line)
            except OSError:  # nowhere left to tell but the counter that status shows
                self.dropped += 1
