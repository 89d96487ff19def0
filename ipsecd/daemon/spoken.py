"""Who has ever proved to us by IKEv2 who it is. By IKEv1 it is never spoken to again: else whoever can keep our
messages from it could have us speak the older protocol, whose holes are known. So this outlives the process, and holds
for all policies.

What is kept is one identity a line, as a JSON text, so that an operator can take out the line of a peer that has become
one of IKEv1 again. No packet waits until it's on disk. So a crash may lose those who have proved themselves in the
moment before it, usually less than a second; they count again once they do the next time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import structlog

from ipsecd import limits
from ipsecd.errors import KernelError
from ipsecd.io.state_file import StateFile

log = structlog.get_logger()


class SpokenPeers:
    """``known`` are their identities, as people write them. ``doubt`` says why not all are known, if they aren't: then
    nobody may be called by IKEv1 who speaks IKEv2 too, and ``doubted`` is called when it comes to that."""

    def __init__(self, kept: StateFile, doubted: Callable[[], None]) -> None:
        self.doubt = ""
        self._kept = kept
        self._doubted = doubted
        self._new: list[str] = []
        self._goes_on = False  # what is kept ends where another line may begin
        self._writing: asyncio.Future[None] | None = None
        self.known = self._load()

    def add(self, identity: str) -> None:
        """It has proved itself. It's written by another thread, with all those that come until that has time."""
        if identity in self.known or self.doubt:
            return
        if len(self.known) >= limits.MAX_SPOKEN:
            self._doubt(f"more than {limits.MAX_SPOKEN} peers do")
            self._doubted()
            return
        self.known[identity] = None
        self._new.append(identity)
        if self._writing is None:
            self._write()

    async def close(self) -> None:
        """What is told until now is on disk when this returns."""
        while self._writing is not None:
            await asyncio.wait([self._writing])
            await asyncio.sleep(0)  # it looks for more first

    def _write(self) -> None:
        new, self._new = self._new, []
        whole = list(self.known)
        self._writing = asyncio.get_running_loop().run_in_executor(None, self._keep, new, whole)
        self._writing.add_done_callback(self._written)

    def _written(self, work: asyncio.Future[None]) -> None:
        self._writing = None
        if not work.cancelled() and (error := work.exception()) is not None:
            if not isinstance(error, KernelError):
                raise error
            log.warning("spoken-not-saved", reason=str(error))
        elif self._new:
            self._write()

    def _keep(self, new: list[str], whole: list[str]) -> None:
        """Append what is new; all of it anew where that can't be gone on with. Raises KernelError."""
        if self._goes_on:
            self._goes_on = False
            try:
                self._kept.append(_encode(new))
            except KernelError:
                pass
            else:
                self._goes_on = True
        if not self._goes_on:
            self._kept.save(_encode(whole))
            self._goes_on = True

    def _load(self) -> dict[str, None]:
        try:
            text = self._kept.load()
            if text is None:
                return {}
            found = _decode(text)
        except (KernelError, ValueError, RecursionError) as error:
            self._doubt(str(error))
            return {}
        self._goes_on = text.endswith("\n")
        return found

    def _doubt(self, reason: str) -> None:
        self.doubt = reason
        log.warning("spoken-not-known", reason=reason)


def _encode(identities: list[str]) -> str:
    return "".join(f"{json.dumps(identity)}\n" for identity in identities)


def _decode(text: str) -> dict[str, None]:
    """The last line may have been cut off by a fault of the machine. ValueError for any other that isn't one."""
    *lines, cut_off = text.split("\n")
    found = [json.loads(line) for line in lines if line.strip()]
    if not all(isinstance(each, str) for each in found):
        raise ValueError("a line of it isn't a text in quotation marks")
    try:
        last = json.loads(cut_off)
    except ValueError:
        last = None
    return dict.fromkeys([*found, last] if isinstance(last, str) else found)
