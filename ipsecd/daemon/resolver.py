"""DNS names of a policy to addresses, without ever holding up the event loop or an exit, or one name for another."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable

import structlog

from ipsecd import limits
from ipsecd.daemon.meanings import Addresses, Meanings
from ipsecd.daemon.questions import Questions
from ipsecd.io.lookup import Answer, NotAnswered, look_up
from ipsecd.io.state_file import StateFile

log = structlog.get_logger()

Lookup = Callable[[str], Answer]


class Resolver:
    """What the names of the policy in force mean now. ``kept`` outlives the process; ``now`` is a clock that never goes
    back; ``lookup`` answers for a name, may take as long as it likes, and raises NotAnswered."""

    def __init__(self, kept: StateFile, now: Callable[[], float], lookup: Lookup = look_up) -> None:
        self._meanings = Meanings(kept)
        self._lookup = lookup
        self._now = now
        self._questions = Questions()
        self._threads = 0
        self._asking: dict[str, object] = {}  # what tells the last question for each name from those before
        self._silent: set[str] = set()  # names about which nobody says anything, which has been told
        self._changed = False
        self._news = asyncio.Event()

    @property
    def gone(self) -> frozenset[str]:
        """Names of which the DNS last said that they have no address."""
        return self._meanings.gone

    def addresses(self, name: str) -> Addresses:
        """What this name meant when it last had an address; nothing if that isn't known. Answers at once."""
        return self._meanings.of(name, self._now())

    def retain(self, names: frozenset[str]) -> None:
        """These are the names of the policy in force: they alone are asked for."""
        self._meanings.retain(names, self._now())
        self._questions.retain(names, self._now())
        self._silent &= names
        self._asking = {name: question for name, question in self._asking.items() if name in names}
        self._news.set()

    def hurry(self) -> None:
        """There is a reason to ask again before it's time."""
        self._questions.hurry()
        self._news.set()

    async def follow(self) -> None:
        """Ask for each name when it's time, until some name means something else."""
        while not self._changed:
            self._news.clear()
            self._ask()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._rest()):
                    await self._news.wait()
        self._changed = False
        self._meanings.save()

    def _rest(self) -> float | None:
        """Seconds until there is something to ask and a thread to do it; None: until there is news."""
        until = self._questions.next - self._now()
        return None if until == float("inf") or self._threads >= limits.RESOLVE_THREADS else max(until, 0.0)

    def _ask(self) -> None:
        now = self._now()
        for name in self._questions.due(now)[: limits.RESOLVE_THREADS - self._threads]:
            if self._questions.ask(name, now):
                self._unanswered(name, "no answer in time")
            self._asking[name] = question = object()
            work = (self._in_thread, asyncio.get_running_loop(), name, question)
            run = contextvars.copy_context().run
            # in a thread of its own that an exit doesn't wait for
            threading.Thread(target=run, args=work, name=f"resolve {name}", daemon=True).start()
            self._threads += 1

    def _in_thread(self, loop: asyncio.AbstractEventLoop, name: str, question: object) -> None:
        answer: Answer | NotAnswered = NotAnswered("the question failed")
        try:
            answer = self._lookup(name)
        except NotAnswered as unanswered:
            answer = unanswered
        finally:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the daemon has gone on without the answer
                loop.call_soon_threadsafe(self._settle, name, question, answer)

    def _settle(self, name: str, question: object, answer: Answer | NotAnswered) -> None:
        self._threads -= 1
        self._news.set()
        if self._asking.get(name) is not question:  # nobody waits for it any more
            return
        del self._asking[name]
        if isinstance(answer, NotAnswered):
            self._questions.answered(name, None, self._now())
            self._unanswered(name, str(answer))
            return
        self._questions.answered(name, answer.ttl, self._now())
        self._silent.discard(name)
        self._changed |= self._meanings.learn(name, answer.addresses)

    def _unanswered(self, name: str, reason: str) -> None:
        if name not in self._silent:
            self._silent.add(name)
            log.warning("name-unanswered", name=name, reason=reason)
