"""The first process of a guest: makes the little there has to be, then runs what it is told over the serial line.

The tests' interpreter runs it, without their packages, in a file system that is this machine's own, read only. Only its
folder, which is its one argument, is shared both ways. There it finds:

    modules       the kernel modules to load, in order: a path in each line
    N.command     a command: words that NULs end
    N.input       what it reads, if anything
    N.output      what it says, and in N.errors

It hears ``run N``, ``end N SIGNAL``, which is for all that command N has started too, and ``off``, which is the end. It
says ``N STATUS`` when a command has ended, and first of all that of command 0: it is ready.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import tty
from pathlib import Path

FINIT_MODULE = 313  # the system call's number on x86-64, the only machine that user-mode-linux is for
READY = "0"
POWER_OFF = 0x4321FEDC
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": "/run", "LC_ALL": "C"}

_LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    folder = Path(sys.argv[1])
    os.environ.update(ENVIRONMENT)  # where programs are looked for
    for kind, place in (("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/run"), ("hostfs", str(folder))):
        data = place if kind == "hostfs" else ""
        _checked(_LIBC.mount(b"none", place.encode(), kind.encode(), 0, data.encode()), place)
    for path in (folder / "modules").read_text().split():
        _load(path)
    Agent(folder).serve()


def _load(module: str) -> None:
    handle = os.open(module, os.O_RDONLY)
    _checked(_LIBC.syscall(FINIT_MODULE, handle, b"", 0), module)
    os.close(handle)


def _checked(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


class Agent:
    """Runs commands side by side and tells how they end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[int, str] = {}
        self._line = os.open("/dev/ttyS0", os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._line)
        self._ended, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        self._tell(f"{READY} 0")
        begun = b""
        while True:
            ready, _, _ = select.select([self._line, self._ended], [], [])
            if self._ended in ready:
                os.read(self._ended, 1024)
                self._reap()
            if self._line in ready:
                heard = os.read(self._line, 4096) or b"off\n"  # who has started us is gone
                *lines, begun = (begun + heard).split(b"\n")
                for line in lines:
                    self._obey(*line.decode().split())

    def _obey(self, word: str, name: str = "", number: str = "") -> None:
        if word == "run":
            self._run(name)
        elif word == "end":
            for pid in [pid for pid, running in self._running.items() if running == name]:
                os.killpg(pid, int(number))
        else:
            os.sync()
            _LIBC.reboot(POWER_OFF)

    def _run(self, name: str) -> None:
        command = [word.decode() for word in self._path(name, "command").read_bytes().split(b"\0")[:-1]]
        given = self._path(name, "input")
        made = os.O_WRONLY | os.O_CREAT
        files = [
            (os.POSIX_SPAWN_OPEN, 0, str(given) if given.exists() else "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(self._path(name, "output")), made, 0o644),
            (os.POSIX_SPAWN_OPEN, 2, str(self._path(name, "errors")), made, 0o644),
        ]
        try:
            pid = os.posix_spawnp(command[0], command, os.environ, file_actions=files, setsid=True)
        except OSError as error:
            self._path(name, "errors").write_text(f"{command[0]}: {error}\n")
            self._tell(f"{name} 127")
        else:
            self._running[pid] = name

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                if (name := self._running.pop(pid, None)) is not None:
                    self._tell(f"{name} {os.waitstatus_to_exitcode(status)}")

    def _path(self, name: str, kind: str) -> Path:
        return self._folder / f"{name}.{kind}"

    def _tell(self, line: str) -> None:
        os.write(self._line, line.encode() + b"\n")


if __name__ == "__main__":
    main()
