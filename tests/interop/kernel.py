"""A Linux kernel with IPsec of its own: Debian's user-mode-linux, which is a process like any other.

The reference machine's kernel has no ESP and no AH; a guest's has both. Its root is this machine's file system, read
only, so that it has the same programs. ``kernel_init.py`` is its first process and runs commands for us.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, NamedTuple, Self

from tests.interop import kernel_init, kernel_modules

PYTHON = os.path.realpath(sys.executable)
ALONE = ("-I", "-S")  # without packages and settings of whoever runs the tests
LINUX = "/usr/bin/linux.uml"
PATIENCE = 120.0  # seconds for what takes one or two; it only ends a wait for what never comes
# Half a second of processor time, to find the fastest way to do sums of a file system that no guest has.
WITHOUT = "initcall_blacklist=raid6_select_algo,calibrate_xor_blocks,init_btrfs_fs"
SETTINGS = ("quiet", "mem=128M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "con=null", WITHOUT)

Launch = Callable[..., "subprocess.Popen[Any]"]
"""Starts a process as Popen does; that of ``Sites.popen`` in a namespace."""


class Answer(NamedTuple):
    """How a command of the guest ended; the status is negative for a signal."""

    status: int
    output: str
    errors: str


class Guest:
    """Runs while it is entered. It makes ``folder``, where both sides see the same files at the same path. ``links``
    are its interfaces vec0, vec1 and so on, in user-mode-linux's words, and ``descriptors`` those of this process that
    they speak of. If it doesn't boot, or ends, RuntimeError tells what is on its console."""

    def __init__(
        self, folder: Path, links: Sequence[str], *, launch: Launch = subprocess.Popen, descriptors: Sequence[int] = ()
    ) -> None:
        self.folder = folder
        self._links, self._launch, self._descriptors = links, launch, descriptors
        self._names = itertools.count(1)
        self._statuses: dict[str, int] = {}
        self._begun = b""  # of a line that it reports

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        modules = kernel_modules.in_order()
        (self.folder / "modules").write_text("\n".join(map(str, modules)))
        self._boot()
        try:
            self._wait(kernel_init.READY, "it boots")
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._say("off")
        select.select([self._life], [], [], PATIENCE)
        self._kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    def run(self, *command: str | Path, given: str = "", check: bool = True) -> Answer:
        """Run a command to its end. With ``check``, a failure raises with what it said."""
        name = self.start(*command, given=given)
        words = " ".join(map(str, command))
        self._wait(name, words)
        answer = Answer(self._statuses[name], self.said(name, "output"), self.said(name, "errors"))
        if check and answer.status:
            raise RuntimeError(f"guest: {words}: status {answer.status}\n{answer.output}{answer.errors}")
        return answer

    def start(self, *command: str | Path, given: str = "") -> str:
        """Start a command, and the name by which it is known."""
        name = str(next(self._names))
        self._file(name, "command").write_bytes(b"".join(os.fsencode(word) + b"\0" for word in command))
        if given:
            self._file(name, "input").write_text(given)
        self._say(f"run {name}")
        return name

    def end(self, name: str, number: int = signal.SIGTERM) -> None:
        """Send a signal to a command that was started, and to what it has started in turn; wait for its end."""
        self._say(f"end {name} {int(number)}")
        self._wait(name, f"signal {number} ends command {name}")

    def ended(self, name: str) -> bool:
        """Whether a command that was started has come to its end."""
        self._listen(0)
        return name in self._statuses

    def said(self, name: str, kind: str = "output") -> str:
        """What a command that has ended said: its ``output`` or ``errors``."""
        return self._file(name, kind).read_text(errors="replace")

    def ip(self, lines: Sequence[str]) -> None:
        """Have `ip` do what each line says."""
        self.run("ip", "-batch", "-", given="\n".join(lines) + "\n")

    def python(self, module: ModuleType, given: str = "") -> Answer:
        """Run a module that needs no other package as a program."""
        return self.run(PYTHON, *ALONE, str(module.__file__), given=given)

    def console(self) -> str:
        return (self.folder / "console").read_text(errors="replace")

    # --- inside -------------------------------------------------------------------------------------------------------

    def _boot(self) -> None:
        theirs, self._bell = os.pipe()
        self._reports, answering = os.pipe()
        words = [LINUX, *SETTINGS, f"uml_dir={self.folder}/", "umid=guest", "con0=null,fd:1"]
        words += [f"ssl0=fd:{theirs},fd:{answering}", f"init={PYTHON}"]
        words += [f"vec{number}:{link}" for number, link in enumerate(self._links)]
        words += ["--", *ALONE, kernel_init.__file__, str(self.folder)]
        with (self.folder / "console").open("wb") as console:
            self._process = self._launch(
                words,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs, answering, *self._descriptors),
                start_new_session=True,  # a group of processes of its own
                env={"PATH": os.environ["PATH"]},  # and its memory where it is fastest, wherever files should be
            )
        self._life = os.pidfd_open(self._process.pid)  # readable from its death on
        os.close(theirs)
        os.close(answering)

    def _say(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # then it has ended, which is told when it is waited for something
            os.write(self._bell, line.encode() + b"\n")

    def _wait(self, name: str, what: str) -> None:
        """Wait for the end of a command."""
        end = time.monotonic() + PATIENCE
        while name not in self._statuses:
            if not self._listen(end - time.monotonic()):
                raise RuntimeError(f"guest: never came true: {what}\n--- its console\n{self.console()}")

    def _listen(self, seconds: float) -> bool:
        """Take in what it reports, for which it is waited so long; whether there was something."""
        ready, _, _ = select.select([self._reports, self._life], [], [], max(seconds, 0))
        heard = os.read(self._reports, 4096) if self._reports in ready else b""
        *lines, self._begun = (self._begun + heard).split(b"\n")
        for line in lines:
            name, _, status = line.decode().partition(" ")
            self._statuses[name] = int(status)
        return bool(heard)

    def _file(self, name: str, kind: str) -> Path:
        return self.folder / f"{name}.{kind}"

    def _kill(self) -> None:
        """What is left of it goes: each of its processes is one of ours, in its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()  # not before: nobody else can have its number until then
        for descriptor in (self._life, self._bell, self._reports):
            os.close(descriptor)
