"""Filters of one rank that have packets in common are found without comparing each with each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ipsecd import limits
from ipsecd.policy.boxes import Work
from ipsecd.policy.check import check
from ipsecd.policy.notes import places
from ipsecd.policy.ties import ties
from tests.unit.policy.texts import load

MANY = 1_000


def net(number: int) -> str:
    return f"10.{number >> 8}.{number & 255}.0/24"


def text(each: Callable[[int], str], filters: int = MANY, rules: int = 3) -> str:
    """A policy whose rules, which permit and block in turn, have such filters."""
    lines = [
        f"      - {{name: r{rule}, action: {('permit', 'block')[rule % 2]}, filters: ["
        + ", ".join(f"{{{each(number)}}}" for number in range(rule, filters, rules))
        + "]}\n"
        for rule in range(rules)
    ]
    return "assigned: p\npolicies:\n  p:\n    rules:\n" + "".join(lines)


def square(number: int) -> str:
    return f"source: {net(number // 50)}, destination: {net(20_000 + number % 50)}, mirrored: false"


SHAPES = {
    "branches": lambda number: f"source: 172.16.0.0/16, destination: {net(number)}",
    "ports": lambda number: f"source: me, destination: any, protocol: tcp, destination_port: {number + 1}",
    "names": lambda number: f"source: me, destination: h{number}.example",
    "a grid": square,
    "narrow on either side": lambda number: (
        f"source: 172.16.0.0/16, destination: {net(number)}"
        if number % 2
        else f"source: {net(number)}, destination: 172.16.0.0/16"
    ),
    "ranges that touch the next": lambda number: (
        f"source: 172.16.0.0/16, destination: 10.0.{number >> 8}.{number & 255}"
        f"-10.0.{number + 1 >> 8}.{number + 1 & 255}, mirrored: false"
    ),
    "the same again": lambda _: "source: 10.1.0.0/16, destination: 10.2.0.0/16",
    "one protocol each": lambda number: f"source: any, destination: any, protocol: {number % 190 + 60}",
}


@pytest.mark.parametrize("shape", list(SHAPES))
def test_a_long_policy_takes_steps_in_proportion_to_its_length(shape: str) -> None:
    work = Work()
    ties(places(load(text(SHAPES[shape])), "p"), work)
    assert work.complete
    assert limits.MAX_OVERLAP_STEPS - work.left <= 20 * MANY


def all_overlap(number: int) -> str:
    return f"source: 10.0.{number >> 8}.{number & 255}-10.9.{number >> 8}.{number & 255}, destination: 172.16.0.0/16"


def test_where_everything_overlaps_the_work_ends_at_its_bound_and_that_is_told() -> None:
    work = Work(left=20_000)
    found = ties(places(load(text(all_overlap)), "p"), work)
    assert not work.complete
    assert 0 <= work.left < 20_000
    assert len(found) > 10


def test_that_not_all_were_compared_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    message = "so many filters overlap that not all of them were compared"
    assert not any(note.message == message for note in check(text(all_overlap, 100), "p.yaml").notes)
    monkeypatch.setattr("ipsecd.policy.notes.Work", lambda: Work(left=1_000))
    assert [note.line for note in check(text(all_overlap, 100), "p.yaml").notes if note.message == message] == [4]


def test_all_filters_together_are_bounded_those_of_lists_as_often_as_they_are_used() -> None:
    shared = "filter_lists:\n  big:\n" + "".join(
        f"    - {{source: me, destination: {net(number)}}}\n" for number in range(100)
    )
    rules = "".join(f"      - {{name: r{number}, filter_list: big, action: block}}\n" for number in range(100))
    good = shared + "policies:\n  p:\n    rules:\n" + rules
    assert check(good, "p.yaml").good
    one_more = good + "  q:\n    rules:\n      - {name: r, filter_list: all-ip, action: block}\n"
    [told] = check(one_more, "p.yaml").lines()
    hint = "those of a filter list count for each rule that uses it"
    assert told == f"p.yaml:104:3: policies: 10001 filters; 10000 are allowed ({hint})"
