"""What is remembered of floors changes nothing but the time that they take."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import pytest

from ipsecd import limits
from ipsecd.policy.classify import Flow
from ipsecd.policy.floor import ruleset
from ipsecd.policy.memory import MEMORY, Memory
from ipsecd.policy.plan import Action, Entry, Plan
from ipsecd.wire.selector import Selector

NEAR, FAR = Selector.net("10.1.0.0/16"), Selector.net("10.2.0.0/16")
ENTRIES = tuple(
    Entry(f"e{number}/1", "e", action, ((NEAR, Selector.net(f"10.{number}.0.0/16")),))
    for number, action in zip(range(2, 62), [Action.PROTECT, Action.BLOCK, Action.PERMIT] * 20, strict=True)
)
PLAN = Plan("p", entries=ENTRIES)
OTHERS = [
    replace(PLAN, entries=(*ENTRIES[:31], replace(ENTRIES[31], action=Action.PROTECT), *ENTRIES[32:])),
    replace(PLAN, entries=(*ENTRIES[30:], *ENTRIES[:30])),
    replace(PLAN, entries=ENTRIES[1:]),
]


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    with patch.object(limits, "REMEMBERED_PARTS", -1):
        MEMORY.begin()


def made_anew(plan: Plan) -> str:
    with patch.object(limits, "REMEMBERED_PARTS", -1):
        return ruleset(plan)


def test_a_floor_is_the_same_whatever_was_made_before() -> None:
    wanted = [made_anew(plan) for plan in OTHERS]
    ruleset(PLAN)
    assert [ruleset(plan) for plan in OTHERS] == wanted


def test_what_a_change_does_not_touch_is_not_made_again() -> None:
    ruleset(PLAN)
    first = len(MEMORY.trees)
    ruleset(replace(PLAN))
    assert len(MEMORY.trees) == first
    ruleset(OTHERS[0])
    assert first < len(MEMORY.trees) < first * 7 // 4


def test_what_is_remembered_is_bounded() -> None:
    ruleset(PLAN)
    first = len(MEMORY.trees)
    with patch.object(limits, "REMEMBERED_PARTS", first):
        ruleset(OTHERS[0])
        assert len(MEMORY.trees) > first
        ruleset(PLAN)
        assert len(MEMORY.trees) == first


def test_a_flow_has_a_number_that_no_other_ever_gets() -> None:
    memory = Memory()
    one, other = Flow(Action.BLOCK, NEAR, FAR, "drop"), Flow(Action.BLOCK, FAR, NEAR, "drop")
    first, second, again = memory.flows([one, other, replace(one)])
    assert (first.flow, again.number) == (one, first.number)
    assert second.number != first.number
    assert memory.flows([replace(one, me="saddr")])[0].number not in {first.number, second.number}
    with patch.object(limits, "REMEMBERED_PARTS", -1):
        memory.begin()
    assert memory.flows([one])[0].number > second.number
