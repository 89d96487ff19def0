"""The boot mode: what is added to the floor from a boot on until a policy is in force, and by the next boot."""

from __future__ import annotations

import structlog

from ipsecd.daemon.options import Options
from ipsecd.errors import KernelError
from ipsecd.io.state_file import StateFile
from ipsecd.policy.boot import ADDED, STRICTEST, after_start

log = structlog.get_logger()


class Boot:
    """``added`` is what the mode adds to each floor now. What it adds by the next boot is kept in the state folder, and
    what it still adds since the last one where a boot clears it: ``systemd/floor`` reads both."""

    def __init__(self, options: Options) -> None:
        self.added = ""
        self._next = options.boot
        self._now = options.booted
        self._over = False

    def begin(self) -> None:
        """At a start, before there is any floor of ours."""
        now = self._read(self._now)
        self._over = now == ""
        if now is not None:
            self.added = now
            return
        mode = self._read(self._next) or ""
        self.added = after_start(mode)
        if self.added != mode:
            self._save(self._now, self.added)

    def _read(self, file: StateFile) -> str | None:
        """What this file says of a mode; the strictest if it can't be told."""
        try:
            text = file.load()
            if text is None or (text in ADDED.values() and (text or file is self._now)):  # that one is emptied
                return text
            reason = f"{file.path} doesn't hold one of ipsecd's boot modes"
        except KernelError as error:
            reason = str(error)
        log.error("boot-not-loaded", reason=reason)
        return STRICTEST

    def over(self) -> None:
        """A policy is in force, or was taken out of force by command: the mode counts no more until the next boot."""
        self.added = ""
        if not self._over:
            self._over = self._save(self._now, "")

    def keep(self, mode: str) -> None:
        """See that the next boot is in this mode."""
        if ADDED[mode]:
            self._save(self._next, ADDED[mode])
            return
        try:
            self._next.remove()
        except KernelError as error:
            log.warning("boot-not-saved", reason=str(error))

    def _save(self, file: StateFile, text: str) -> bool:
        """Whether it is kept; that it isn't is told."""
        try:
            file.save(text)
        except KernelError as error:
            log.warning("boot-not-saved", reason=str(error))
            return False
        return True
