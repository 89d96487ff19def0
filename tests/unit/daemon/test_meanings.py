"""What names mean is remembered: while nobody answers, when the answer is no, and over a restart."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ipsecd import limits
from ipsecd.daemon.meanings import Meanings
from ipsecd.io.state_file import StateFile
from ipsecd.wire.selector import Address

ONE, TWO = ip_address("192.0.2.1"), ip_address("2001:db8::2")


@pytest.fixture
def kept(tmp_path: Path) -> StateFile:
    return StateFile(tmp_path / "names.json", "answers", "that is a pity")


def test_an_answer_is_known_from_then_on_and_a_change_is_told(kept: StateFile) -> None:
    meanings = Meanings(kept, "the set ")
    assert meanings.known == {}
    with capture_logs() as logs:
        assert meanings.learn("hq", (ONE,))
        assert not meanings.learn("hq", (ONE,))
    assert meanings.known == {"hq": (ONE,)}
    assert [(log["event"], log["name"], log["addresses"]) for log in logs] == [
        ("name-resolved", "the set hq", "192.0.2.1")
    ]
    assert meanings.learn("hq", (ONE, TWO))
    assert meanings.known == {"hq": (ONE, TWO)}


def test_a_name_that_no_longer_exists_is_gone_and_keeps_what_it_meant(kept: StateFile) -> None:
    meanings = Meanings(kept)
    meanings.learn("hq", (ONE,))
    with capture_logs() as logs:
        assert [meanings.learn(name, ()) for name in ("hq", "new", "hq", "new")] == [True, True, False, False]
    assert meanings.known == {"hq": (ONE,)}
    assert meanings.gone == {"hq", "new"}
    assert [(log["event"], log["name"]) for log in logs] == [("name-gone", "hq"), ("name-unknown", "new")]
    assert meanings.learn("hq", (ONE,))
    assert meanings.gone == {"new"}


def test_what_was_known_outlives_the_process_whatever_is_said_to_the_next(kept: StateFile) -> None:
    first = Meanings(kept)
    first.learn("hq", (ONE, TWO))
    assert Meanings(kept).known == {}
    first.save()
    second = Meanings(kept)
    assert second.known == {"hq": (ONE, TWO)}
    second.learn("hq", ())
    second.save()
    third = Meanings(kept)
    assert third.known == {"hq": (ONE, TWO)}
    third.learn("hq", (TWO,))
    third.save()
    assert Meanings(kept).known == {"hq": (TWO,)}


def test_what_has_not_changed_is_not_written_again(kept: StateFile) -> None:
    meanings = Meanings(kept)
    meanings.learn("hq", (ONE,))
    meanings.save()
    kept.remove()
    meanings.learn("hq", (ONE,))
    meanings.learn("hq", ())
    meanings.save()
    assert kept.load() is None


def learnt(kept: StateFile, **answers: tuple[Address, ...]) -> Meanings:
    meanings = Meanings(kept)
    for name, found in answers.items():
        meanings.learn(name, found)
    return meanings


def test_a_name_that_the_policy_no_longer_has_is_remembered_for_a_day(kept: StateFile) -> None:
    meanings = learnt(kept, hq=(ONE,), old=(TWO,), gone=())
    meanings.learn("old", ())
    meanings.retain(frozenset({"hq"}), 100.0)
    meanings.retain(frozenset({"hq"}), 86_499.0)
    assert [meanings.of(name, 86_499.0) for name in ("hq", "old", "gone")] == [(ONE,), (TWO,), ()]
    assert meanings.gone == {"old"}, "to permit, it still means nothing"
    assert [meanings.of(name, 86_500.0) for name in ("hq", "old")] == [(ONE,), ()], "before anybody looks after it"
    meanings.retain(frozenset({"hq"}), 86_500.0)
    for each in (meanings, Meanings(kept)):
        assert (each.known, each.gone) == ({"hq": (ONE,)}, frozenset())


def test_a_name_that_a_policy_has_again_is_as_if_it_had_never_been_without(kept: StateFile) -> None:
    meanings = learnt(kept, hq=(ONE,))
    for now, names in ((0.0, frozenset[str]()), (80_000.0, frozenset({"hq"})), (160_000.0, frozenset[str]())):
        meanings.retain(names, now)
    assert meanings.of("hq", 240_000.0) == (ONE,)


def test_of_many_names_that_no_policy_has_those_left_last_are_remembered(
    kept: StateFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_MEANINGS", 1)
    meanings = learnt(kept, one=(ONE,), two=(TWO,))
    meanings.retain(frozenset({"one"}), 1.0)
    meanings.retain(frozenset(), 2.0)
    assert meanings.known == {"one": (ONE,)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        pytest.param("[" * 100_000, id="deep"),
        "{",
        '{"hq": 7}',
        '{"hq": ["nonsense"]}',
        '{"hq": [[]]}',
        "null",
    ],
)
def test_a_file_that_says_nothing_sensible_costs_a_warning(kept: StateFile, text: str) -> None:
    kept.save(text)
    with capture_logs() as logs:
        assert Meanings(kept).known == {}
    assert [log["event"] for log in logs] == ["names-not-loaded"] * bool(text)


def test_answers_that_can_not_be_kept_count_all_the_same(tmp_path: Path) -> None:
    meanings = Meanings(StateFile(tmp_path / "missing" / "names.json", "answers", "a pity"))
    with capture_logs() as logs:
        assert meanings.learn("hq", (ONE,))
        meanings.save()
    assert meanings.known == {"hq": (ONE,)}
    assert [log["event"] for log in logs] == ["name-resolved", "names-not-saved"]
