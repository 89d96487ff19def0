"""When names are asked for: by their TTL, within bounds, and not too often whatever the reason."""

from __future__ import annotations

import pytest

from ipsecd.daemon.questions import Questions

START = 1_000.0


def asked(ttl: float | None) -> Questions:
    """Of one name, which was answered 0.5 s after it was asked for."""
    questions = Questions()
    questions.retain(frozenset({"hq"}), START)
    assert not questions.ask("hq", START)
    questions.answered("hq", ttl, START + 0.5)
    return questions


def test_a_new_name_is_due_at_once_and_an_old_one_when_it_was() -> None:
    questions = asked(30.0)
    questions.retain(frozenset({"hq", "new"}), START + 1.0)
    assert (questions.due(START + 1.0), questions.next) == (("new",), START + 1.0)
    questions.retain(frozenset({"hq"}), START + 2.0)
    assert (questions.due(START + 30.4), questions.next) == ((), START + 30.5)
    questions.retain(frozenset(), START + 3.0)
    assert questions.next == float("inf")


@pytest.mark.parametrize(
    ("ttl", "wait"),
    [(30.0, 30.0), (7.0, 7.0), (1.0, 2.0), (0.0, 2.0), (300.0, 300.0), (86_400.0, 300.0), (None, 3.0)],
)
def test_a_name_is_asked_for_again_when_its_ttl_ends_within_bounds(ttl: float | None, wait: float) -> None:
    questions = asked(ttl)
    assert questions.due(START + 0.5 + wait - 0.01) == ()
    assert questions.due(START + 0.5 + wait) == ("hq",)


def test_a_question_that_stays_open_has_failed_after_ten_seconds() -> None:
    questions = Questions()
    questions.retain(frozenset({"hq"}), START)
    assert not questions.ask("hq", START)
    assert questions.due(START + 9.9) == ()
    assert questions.due(START + 10.0) == ("hq",)
    assert questions.ask("hq", START + 10.0)


def test_a_reason_makes_names_due_but_not_again_and_again() -> None:
    questions = asked(300.0)
    questions.hurry()
    assert questions.next == START + 2.0
    questions.ask("hq", START + 3.0)
    questions.hurry()  # it's being asked for
    assert questions.due(START + 6.0) == ()
    questions.answered("hq", 300.0, START + 6.0)
    questions.hurry()
    assert questions.due(START + 6.0) == ("hq",)


def test_a_reason_makes_nothing_later() -> None:
    questions = asked(1.0)
    questions.hurry()
    assert questions.next == START + 2.0


def test_those_that_have_waited_longest_come_first() -> None:
    questions = Questions()
    for number, name in enumerate("cab"):
        questions.retain(frozenset("cab"[: number + 1]), START + number)
        assert name in questions.due(START + number)
    assert questions.due(START + 9.0) == ("c", "a", "b")


def test_an_answer_about_a_name_that_nobody_has_any_more_counts_for_nothing() -> None:
    questions = asked(30.0)
    questions.retain(frozenset(), START + 1.0)
    questions.answered("hq", 30.0, START + 2.0)
    assert questions.next == float("inf")
