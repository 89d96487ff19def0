"""Which raw sockets there are, and what it means if there can't be any."""

from __future__ import annotations

import errno
import socket
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from ipsecd.daemon import native_sockets
from ipsecd.daemon.native_sockets import NativeSockets
from ipsecd.errors import KernelError

MARK = 0x0200_0000


class World:
    """Opens what it isn't told to refuse, and numbers it; ``closed`` are the numbers of what was closed again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: list[tuple[Any, ...]] = []
        self.closed: list[int] = []
        self.refused: dict[tuple[Any, ...], int] = {}
        for name in ("open_sending", "open_receiving", "open_errors"):
            monkeypatch.setattr(native_sockets, name, self.opener(name.removeprefix("open_")))

    def opener(self, what: str) -> Callable[..., Any]:
        def opens(*arguments: Any) -> Any:
            if number := self.refused.get((what, *arguments)):
                raise KernelError("can't open a raw socket", errno=number)
            self.opened.append((what, *arguments))
            number, family = len(self.opened), socket.AF_INET6 if arguments[0] == 6 else socket.AF_INET
            return SimpleNamespace(
                fileno=lambda: number, close=lambda: self.closed.append(number), family=family, proto=50
            )

        return opens


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_there_is_one_for_each_version_and_protocol_and_one_that_hears_routers(world: World) -> None:
    opened = NativeSockets.opened(MARK, needed=False)
    assert world.opened == [
        ("sending", 4, MARK),
        ("receiving", 4, 50, MARK),
        ("receiving", 4, 51, MARK),
        ("sending", 6, MARK),
        ("receiving", 6, 50, MARK),
        ("receiving", 6, 51, MARK),
        ("errors", MARK),
    ]
    assert opened.versions == (4, 6)
    assert opened.descriptors(sending=True) == (1, 4)
    assert opened.descriptors(sending=False) == (2, 3, 5, 6, 7)
    opened.close()
    assert sorted(world.closed) == [1, 2, 3, 4, 5, 6, 7]


def test_a_machine_without_ipv6_has_those_of_ipv4(world: World) -> None:
    world.refused["sending", 6, MARK] = errno.EAFNOSUPPORT
    with capture_logs() as logs:
        opened = NativeSockets.opened(MARK, needed=True)
    assert (opened.versions, opened.descriptors(sending=False)) == ((4,), (2, 3))
    assert logs == []  # its UDP sockets have told already


@pytest.mark.parametrize("refused", [("sending", 4, MARK), ("receiving", 4, 51, MARK), ("sending", 6, MARK)])
def test_without_the_right_to_any_there_are_none_which_is_told(world: World, refused: tuple[Any, ...]) -> None:
    world.refused[refused] = errno.EPERM
    with capture_logs() as logs:
        opened = NativeSockets.opened(MARK, needed=False)
    assert (opened.versions, opened.descriptors(sending=True), opened.descriptors(sending=False)) == ((), (), ())
    assert sorted(world.closed) == list(range(1, len(world.opened) + 1))
    assert [(line["event"], line["reason"]) for line in logs] == [("no-native", "can't open a raw socket")]


def test_where_a_rule_says_native_it_is_an_error(world: World) -> None:
    world.refused["receiving", 4, 50, MARK] = errno.EPERM
    with pytest.raises(KernelError, match="raw socket"):
        NativeSockets.opened(MARK, needed=True)
    assert world.closed == [1]


def test_what_they_count_is_put_together(world: World) -> None:
    opened = NativeSockets.opened(MARK, needed=False)
    opened.receivers[1].drops["unfinished-route"] += 1
    opened.receivers[3].drops["unfinished-route"] += 1
    for each in opened:
        each.heard["error-read"] += 1
    assert opened.unread() == Counter({"unfinished-route": 2})
    assert opened.heard() == Counter({"error-read": 7})
