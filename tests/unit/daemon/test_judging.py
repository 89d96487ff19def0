"""Passwords are judged by a thread, one at a time, and the answer comes in a turn of the negotiation."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.crypto.user_table import UserTable
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.judging import Judging
from ipsecd.daemon.users_file import Users

PATIENCE = 30


class Table(UserTable):
    """Waits until ``go`` is set; the password is right if it's ``sesame``."""

    def __init__(self) -> None:
        super().__init__("", "users")
        self.go = threading.Event()
        self.asked: list[str] = []
        self.threads: set[int] = set()

    def verify(self, user: str, password: Secret) -> bool:
        self.asked.append(user)
        self.threads.add(threading.get_ident())
        assert self.go.wait(PATIENCE)
        if user == "broken":
            raise MemoryError
        return password.reveal() == b"sesame"


class Scene:
    def __init__(self) -> None:
        self.table = Table()
        self.guard = Guard()
        self.judging = Judging(self.guard)
        self.answers: list[tuple[str, bool]] = []
        self.turns = 0
        self.all_there = asyncio.Event()
        self.serve()

    def serve(self) -> None:
        self.judging.serve({"users.txt": Users(Secret(b""), self.table)}, self.resume)

    def resume(self, action: Callable[[], None]) -> None:
        self.turns += 1
        action()

    def ask(self, user: str, password: bytes = b"sesame", path: str = "users.txt") -> None:
        def then(right: bool) -> None:
            self.answers.append((user, right))
            self.all_there.set()

        self.judging.judge(path, user, Secret(password), then)

    async def answered(self, number: int) -> list[tuple[str, bool]]:
        async with asyncio.timeout(PATIENCE):
            while len(self.answers) < number:
                self.all_there.clear()
                await self.all_there.wait()
        return self.answers


def test_answers_come_in_turns_in_the_order_of_the_questions_by_another_thread() -> None:
    async def main() -> None:
        scene = Scene()
        scene.ask("alice")
        scene.ask("bob", b"wrong")
        scene.ask("broken")
        assert scene.answers == []
        scene.table.go.set()
        assert await scene.answered(3) == [("alice", True), ("bob", False), ("broken", False)]
        assert scene.turns == 3
        assert len(scene.table.threads) == 1
        assert threading.get_ident() not in scene.table.threads
        assert scene.guard.faults == {"a user's password": 1}

    asyncio.run(main())


def test_more_than_may_wait_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_PASSWORDS_WAITING", 2)

    async def main() -> None:
        scene = Scene()
        with capture_logs() as logs:
            for user in ("a", "b", "c"):
                scene.ask(user)
        reason = "too many passwords are being looked at"
        assert logs == [{"event": "password-not-judged", "log_level": "warning", "user": "c", "reason": reason}]
        assert scene.answers == [("c", False)]
        scene.table.go.set()
        await scene.answered(3)
        scene.ask("d")
        assert (await scene.answered(4))[-1] == ("d", True)

    asyncio.run(main())


def test_nobody_is_a_user_of_a_file_that_isnt_there() -> None:
    async def main() -> None:
        scene = Scene()
        scene.ask("alice", path="other.txt")
        assert scene.answers == [("alice", False)]

    asyncio.run(main())


def test_what_was_asked_for_a_negotiation_that_is_over_is_answered_to_nobody() -> None:
    async def main() -> None:
        scene = Scene()
        scene.ask("alice")
        scene.ask("bob")
        scene.judging.over()
        scene.table.go.set()
        scene.serve()
        scene.judging.serve({"users.txt": Users(Secret(b""), scene.table)}, lambda action: action())
        scene.ask("carol")
        assert await scene.answered(1) == [("carol", True)]
        assert scene.table.asked == ["alice", "carol"]
        assert scene.turns == 0

    asyncio.run(main())
