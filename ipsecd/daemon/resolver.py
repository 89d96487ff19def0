"""DNS names of a policy to addresses, without ever holding up the event loop or an exit.

What a name last meant stays known: while the DNS doesn't answer, when it says that there is no such name any more,
and over a restart. Only another answer takes its place, or a policy that no longer has the name.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address

import structlog

from ipsecd import limits
from ipsecd.errors import KernelError
from ipsecd.io.state_file import StateFile
from ipsecd.wire.selector import Address

log = structlog.get_logger()

Addresses = tuple[Address, ...]
Lookup = Callable[[str], Addresses]


class NotAnswered(Exception):
    """The DNS gave no answer, neither yes nor no."""


def ask_system(name: str) -> Addresses:
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
    """What names mean now. ``kept`` outlives the process."""

    def __init__(self, kept: StateFile, lookup: Lookup = ask_system) -> None:
        self._kept = kept
        self._lookup = lookup
        self._known = _load(kept)
        self._gone: set[str] = set()

    @property
    def gone(self) -> frozenset[str]:
        """Names of which the DNS last said that they have no address."""
        return frozenset(self._gone)

    def addresses(self, name: str) -> Addresses:
        """What this name meant when it last had an address; nothing if that isn't known. Answers at once."""
        return self._known.get(name, ())

    def retain(self, names: frozenset[str]) -> None:
        """These are the names of the policy in force: of others nothing is remembered."""
        self._gone &= names
        if not self._known.keys() <= names:
            self._known = {name: found for name, found in self._known.items() if name in names}
            self._save()

    async def refresh(self, names: Iterable[str]) -> bool:
        """Ask for these names, all at once, for at most RESOLVE_TIME; whether any now means something else."""
        changes = await asyncio.gather(*(self._one(name) for name in sorted(names)))
        if any(changes):
            self._save()
        return any(changes)

    async def _one(self, name: str) -> bool:
        try:
            async with asyncio.timeout(limits.RESOLVE_TIME):
                found = await _in_thread(self._lookup, name)
        except (NotAnswered, TimeoutError) as error:
            log.warning("name-unanswered", name=name, reason=str(error) or "no answer in time")
            return False
        return self._answered(name, found) if found else self._denied(name)

    def _answered(self, name: str, found: Addresses) -> bool:
        if found == self._known.get(name) and name not in self._gone:
            return False
        self._gone.discard(name)
        self._known[name] = found
        log.info("name-resolved", name=name, addresses=_shown(found))
        return True

    def _denied(self, name: str) -> bool:
        if name in self._gone:
            return False
        self._gone.add(name)
        if name in self._known:
            log.warning("name-gone", name=name, addresses=_shown(self._known[name]))
        else:
            log.warning("name-unknown", name=name)
        return True

    def _save(self) -> None:
        try:
            self._kept.save(_encode(self._known))
        except KernelError as error:
            log.warning("names-not-saved", reason=str(error))


def _shown(addresses: Addresses) -> str:
    return ", ".join(str(address) for address in addresses)


def _encode(known: Mapping[str, Addresses]) -> str:
    texts = {name: [str(address) for address in known[name]] for name in sorted(known)}
    return json.dumps(texts, indent=1) + "\n"


def _load(kept: StateFile) -> dict[str, Addresses]:
    """What was saved; nothing, with a warning, if that can't be read."""
    try:
        texts = json.loads(kept.load() or "{}")
        return {str(name): tuple(ip_address(text) for text in found) for name, found in texts.items() if found}
    except (KernelError, ValueError, TypeError, AttributeError) as error:
        log.warning("names-not-loaded", reason=str(error))
        return {}


async def _in_thread(lookup: Lookup, name: str) -> Addresses:
    """Like asyncio.to_thread, but in a thread of its own that an exit doesn't wait for."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Addresses] = loop.create_future()

    def settle(found: Addresses | None, error: Exception | None) -> None:
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
