"""DNS names of a policy to addresses, without ever holding up the event loop or an exit.

What a name last meant stays in force while the DNS doesn't answer. A name that the DNS says doesn't exist has no
address.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterable
from ipaddress import ip_address

import structlog

from ipsecd import limits
from ipsecd.wire.selector import Address

log = structlog.get_logger()

Lookup = Callable[[str], tuple[Address, ...]]


class NotAnswered(Exception):
    """The DNS gave no answer, neither yes nor no."""


def ask_system(name: str) -> tuple[Address, ...]:
    """The addresses of a name as the system's resolver knows them; blocks. Raises NotAnswered."""
    try:
        answers = socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
            return ()
        raise NotAnswered(error.strerror) from error
    except (OSError, UnicodeError) as error:
        raise NotAnswered(str(error)) from error
    found = {ip_address(str(address[4][0]).partition("%")[0]) for address in answers}
    return tuple(sorted(found, key=lambda address: (address.version, int(address))))


class Resolver:
    """What names mean now. ``addresses`` answers at once and remembers which names were asked for."""

    def __init__(self, lookup: Lookup = ask_system) -> None:
        self._lookup = lookup
        self._known: dict[str, tuple[Address, ...]] = {}
        self._wanted: set[str] = set()

    @property
    def names(self) -> frozenset[str]:
        """The names that were asked for since ``forget``."""
        return frozenset(self._wanted)

    def addresses(self, name: str) -> tuple[Address, ...]:
        """What is known of this name, maybe nothing."""
        self._wanted.add(name)
        return self._known.get(name, ())

    def forget(self) -> None:
        """A plan is about to be made anew: only the names it asks for are of interest from now on."""
        self._wanted.clear()

    async def refresh(self, names: Iterable[str]) -> bool:
        """Ask for these names, all at once, for at most RESOLVE_TIME; whether any now means something else."""
        changes = await asyncio.gather(*(self._one(name) for name in sorted(names)))
        return any(changes)

    async def _one(self, name: str) -> bool:
        before = self._known.get(name)
        try:
            async with asyncio.timeout(limits.RESOLVE_TIME):
                found = await _in_thread(self._lookup, name)
        except (NotAnswered, TimeoutError) as error:
            log.warning("name-unanswered", name=name, reason=str(error) or "no answer in time")
            return False
        self._known[name] = found
        if found == before:
            return False
        shown = ", ".join(str(address) for address in found)
        if found:
            log.info("name-resolved", name=name, addresses=shown)
        else:
            log.warning("name-unknown", name=name)
        return True


async def _in_thread(lookup: Lookup, name: str) -> tuple[Address, ...]:
    """Like asyncio.to_thread, but in a thread of its own that an exit doesn't wait for."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[tuple[Address, ...]] = loop.create_future()

    def settle(found: tuple[Address, ...] | None, error: Exception | None) -> None:
        if future.done():  # nobody waits any more
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(found or ())

    def run() -> None:
        found, error = None, None
        try:
            found = lookup(name)
        except NotAnswered as unanswered:
            error = unanswered
        with contextlib.suppress(RuntimeError):  # the loop is closed: the daemon has gone on without the answer
            loop.call_soon_threadsafe(settle, found, error)

    threading.Thread(target=run, name=f"resolve {name}", daemon=True).start()
    return await future
