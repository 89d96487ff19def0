"""Whether a password is a user's: scrypt takes a tenth of a second, so a thread of its own does it, one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import MappingProxyType

import structlog

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.users_file import Users

log = structlog.get_logger()

Then = Callable[[bool], None]
Resume = Callable[[Callable[[], None]], None]
"""Has the negotiation do something in a turn of its own."""


class Judging:
    """One for all that a daemon ever puts in force. ``serve`` says for whom: the users there are now, by the path of
    their file."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._users: Mapping[str, Users] = MappingProxyType({})
        self._resume: Resume | None = None
        self._works: set[Future[bool]] = set()
        self._thread = ThreadPoolExecutor(1, "passwords")

    def serve(self, users: Mapping[str, Users], resume: Resume) -> None:
        """These are the users from now on, and so the negotiation hears what becomes of their passwords. What another
        one has asked for is of no use any more."""
        self._users, self._resume = users, resume

    def over(self) -> None:
        """There is no negotiation any more: passwords that wait aren't looked at."""
        self._users, self._resume = MappingProxyType({}), None
        for work in tuple(self._works):
            work.cancel()

    def judge(self, path: str, user: str, password: Secret, then: Then) -> None:
        """``then`` is called in a later turn, or at once if nobody has time for it. Of a user that isn't there it takes
        as long."""
        users = self._users.get(path)
        if users is None or len(self._works) >= limits.MAX_PASSWORDS_WAITING:
            log.warning("password-not-judged", user=user, reason=_NO_FILE if users is None else _TOO_MANY)
            then(False)
            return
        work = self._thread.submit(users.table.verify, user, password)
        self._works.add(work)
        asyncio.wrap_future(work).add_done_callback(partial(self._judged, work, self._resume, then))

    def _judged(self, work: Future[bool], resume: Resume | None, then: Then, judged: asyncio.Future[bool]) -> None:
        self._works.discard(work)
        if judged.cancelled():
            return
        right = False
        with self._guard.over("a user's password"):
            right = judged.result()
        if resume is not None and resume == self._resume:
            resume(partial(then, right))


_NO_FILE = "its file of users isn't there any more"
_TOO_MANY = "too many passwords are being looked at"
