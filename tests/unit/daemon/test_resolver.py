"""DNS names: asked for outside the event loop, remembered while the DNS is silent or says no, and over a restart."""

import asyncio
import socket
import threading
from ipaddress import ip_address
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ipsecd import limits
from ipsecd.daemon.resolver import NotAnswered, Resolver, ask_system
from ipsecd.io.state_file import StateFile
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


@pytest.fixture
def kept(tmp_path: Path) -> StateFile:
    return StateFile(tmp_path / "names.json", "answers", "that is a pity")


def refresh(resolver: Resolver, *names: str) -> bool:
    return asyncio.run(resolver.refresh(names))


def test_an_answer_is_known_from_then_on_and_a_change_is_told(kept: StateFile) -> None:
    dns = Dns(hq=(ONE,))
    resolver = Resolver(kept, dns)
    assert resolver.addresses("hq") == ()
    with capture_logs() as logs:
        assert refresh(resolver, "hq")
        assert not refresh(resolver, "hq")
    assert resolver.addresses("hq") == (ONE,)
    assert [log["event"] for log in logs] == ["name-resolved"]
    dns.answers["hq"] = (ONE, TWO)
    assert refresh(resolver, "hq")
    assert resolver.addresses("hq") == (ONE, TWO)


def test_what_was_known_stays_while_the_dns_is_silent(kept: StateFile) -> None:
    dns = Dns(hq=(ONE,))
    resolver = Resolver(kept, dns)
    refresh(resolver, "hq")
    dns.answers.clear()
    with capture_logs() as logs:
        assert not refresh(resolver, "hq")
    assert resolver.addresses("hq") == (ONE,)
    assert logs == [
        {"event": "name-unanswered", "log_level": "warning", "name": "hq", "reason": "server failure"},
    ]


def test_a_name_that_no_longer_exists_is_gone_and_keeps_what_it_meant(kept: StateFile) -> None:
    dns = Dns(hq=(ONE,), new=())
    resolver = Resolver(kept, dns)
    refresh(resolver, "hq")
    dns.answers["hq"] = ()
    with capture_logs() as logs:
        assert refresh(resolver, "hq", "new")
        assert not refresh(resolver, "hq", "new")
    assert (resolver.addresses("hq"), resolver.addresses("new")) == ((ONE,), ())
    assert resolver.gone == {"hq", "new"}
    assert [(log["event"], log["name"]) for log in logs] == [("name-gone", "hq"), ("name-unknown", "new")]
    dns.answers["hq"] = (ONE,)
    assert refresh(resolver, "hq")
    assert resolver.gone == {"new"}


def test_what_was_known_outlives_the_process_whatever_the_dns_says_to_the_next(kept: StateFile) -> None:
    dns = Dns(hq=(ONE, TWO))
    refresh(Resolver(kept, dns), "hq")
    for answer in ({}, {"hq": ()}):
        dns.answers = answer
        resolver = Resolver(kept, dns)
        assert resolver.addresses("hq") == (ONE, TWO)
        refresh(resolver, "hq")
        assert resolver.addresses("hq") == (ONE, TWO)
    dns.answers = {"hq": (TWO,)}
    refresh(Resolver(kept, dns), "hq")
    assert Resolver(kept, dns).addresses("hq") == (TWO,)


def test_of_names_that_the_policy_no_longer_has_nothing_is_remembered(kept: StateFile) -> None:
    resolver = Resolver(kept, Dns(hq=(ONE,), old=(TWO,), gone=()))
    refresh(resolver, "hq", "old", "gone")
    resolver.retain(frozenset({"hq"}))
    for each in (resolver, Resolver(kept)):
        assert (each.addresses("hq"), each.addresses("old"), each.gone) == ((ONE,), (), frozenset())


@pytest.mark.parametrize("text", ["", "[]", "{", '{"hq": 7}', '{"hq": ["nonsense"]}', '{"hq": [[]]}', "null"])
def test_a_file_that_says_nothing_sensible_costs_a_warning(kept: StateFile, text: str) -> None:
    kept.save(text)
    with capture_logs() as logs:
        assert Resolver(kept).addresses("hq") == ()
    assert [log["event"] for log in logs] == ["names-not-loaded"] * bool(text)


def test_answers_that_can_not_be_kept_count_all_the_same(tmp_path: Path) -> None:
    resolver = Resolver(StateFile(tmp_path / "missing" / "names.json", "answers", "a pity"), Dns(hq=(ONE,)))
    with capture_logs() as logs:
        assert refresh(resolver, "hq")
    assert resolver.addresses("hq") == (ONE,)
    assert [log["event"] for log in logs] == ["name-resolved", "names-not-saved"]


def test_a_resolver_that_hangs_costs_its_time_limit_and_no_more(
    kept: StateFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RESOLVE_TIME", 0.05)
    gate = threading.Event()

    def hang(_: str) -> tuple[Address, ...]:
        gate.wait()
        return (ONE,)

    with capture_logs() as logs:
        assert not refresh(Resolver(kept, hang), "hq")
    assert [log["reason"] for log in logs] == ["no answer in time"]
    gate.set()


def test_an_answer_that_comes_too_late_disturbs_nobody(kept: StateFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RESOLVE_TIME", 0.05)
    gate, done = threading.Event(), threading.Event()

    def late(_: str) -> tuple[Address, ...]:
        gate.wait()
        done.set()
        return (ONE,)

    async def main() -> None:
        resolver = Resolver(kept, late)
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
