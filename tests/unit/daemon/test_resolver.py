"""DNS names: asked for outside the event loop, remembered while the DNS is silent."""

import asyncio
import socket
import threading
from ipaddress import ip_address

import pytest
from structlog.testing import capture_logs

from ipsecd import limits
from ipsecd.daemon.resolver import NotAnswered, Resolver, ask_system
from ipsecd.wire.selector import Address

ONE, TWO = ip_address("192.0.2.1"), ip_address("2001:db8::2")


class Dns:
    def __init__(self, **answers: tuple[Address, ...]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, name: str) -> tuple[Address, ...]:
        self.asked.append(name)
        if name not in self.answers:
            raise NotAnswered("server failure")
        return self.answers[name]


def refresh(resolver: Resolver, *names: str) -> bool:
    return asyncio.run(resolver.refresh(names))


def test_an_answer_is_known_from_then_on_and_a_change_is_told() -> None:
    dns = Dns(hq=(ONE,))
    resolver = Resolver(dns)
    assert resolver.addresses("hq") == ()
    with capture_logs() as logs:
        assert refresh(resolver, "hq")
        assert not refresh(resolver, "hq")
    assert resolver.addresses("hq") == (ONE,)
    assert [log["event"] for log in logs] == ["name-resolved"]
    dns.answers["hq"] = (ONE, TWO)
    assert refresh(resolver, "hq")
    assert resolver.addresses("hq") == (ONE, TWO)


def test_what_was_known_stays_while_the_dns_is_silent() -> None:
    dns = Dns(hq=(ONE,))
    resolver = Resolver(dns)
    refresh(resolver, "hq")
    dns.answers.clear()
    with capture_logs() as logs:
        assert not refresh(resolver, "hq")
    assert resolver.addresses("hq") == (ONE,)
    assert logs == [
        {"event": "name-unanswered", "log_level": "warning", "name": "hq", "reason": "server failure"},
    ]


def test_a_name_that_no_longer_exists_loses_its_addresses() -> None:
    dns = Dns(hq=(ONE,))
    resolver = Resolver(dns)
    refresh(resolver, "hq")
    dns.answers["hq"] = ()
    with capture_logs() as logs:
        assert refresh(resolver, "hq")
    assert resolver.addresses("hq") == ()
    assert [log["event"] for log in logs] == ["name-unknown"]


def test_only_names_that_the_newest_plan_asked_for_are_of_interest() -> None:
    resolver = Resolver(Dns())
    resolver.addresses("old")
    resolver.forget()
    resolver.addresses("hq")
    assert resolver.names == {"hq"}


def test_a_resolver_that_hangs_costs_its_time_limit_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RESOLVE_TIME", 0.05)
    gate = threading.Event()

    def hang(_: str) -> tuple[Address, ...]:
        gate.wait()
        return (ONE,)

    with capture_logs() as logs:
        assert not refresh(Resolver(hang), "hq")
    assert [log["reason"] for log in logs] == ["no answer in time"]
    gate.set()


def test_an_answer_that_comes_too_late_disturbs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RESOLVE_TIME", 0.05)
    gate, done = threading.Event(), threading.Event()

    def late(_: str) -> tuple[Address, ...]:
        gate.wait()
        done.set()
        return (ONE,)

    async def main() -> None:
        resolver = Resolver(late)
        assert not await resolver.refresh(["hq"])
        gate.set()
        await asyncio.to_thread(done.wait)
        await asyncio.sleep(0)
        assert resolver.addresses("hq") == ()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ([(2, 2, 17, "", ("192.0.2.1", 0)), (10, 2, 17, "", ("fe80::1%eth0", 0, 0, 2))], ("192.0.2.1", "fe80::1")),
        ([(10, 2, 17, "", ("2001:db8::2", 0, 0, 0)), (2, 2, 17, "", ("192.0.2.9", 0))], ("192.0.2.9", "2001:db8::2")),
        (socket.gaierror(socket.EAI_NONAME, "unknown"), ()),
    ],
)
def test_the_system_is_asked(monkeypatch: pytest.MonkeyPatch, answer: object, found: tuple[str, ...]) -> None:
    def getaddrinfo(*_: object, **__: object) -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert ask_system("hq") == tuple(ip_address(text) for text in found)


@pytest.mark.parametrize("error", [socket.gaierror(socket.EAI_AGAIN, "try again"), UnicodeError("label too long")])
def test_a_system_that_can_not_tell_is_not_taken_for_a_no(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def getaddrinfo(*_: object, **__: object) -> object:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(NotAnswered):
        ask_system("hq")
