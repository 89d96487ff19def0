"""What was dropped becomes events: how much more since the last look, and of what."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import chain, repeat
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from ipsecd import limits
from ipsecd.daemon import losses as losses_module
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.losses import Losses
from ipsecd.errors import KernelError
from ipsecd.policy.plan import Action, Entry, Plan
from ipsecd.wire.selector import Selector

NET_A, NET_B, ANY = Selector.net("10.1.0.0/16"), Selector.net("10.2.0.0/16"), Selector.net("0.0.0.0/0")
SITE = Entry("site/1", "site", Action.PROTECT, ((NET_A, NET_B),), child="site/1")
MINE = Entry("mine/1", "mine", Action.PROTECT, (), me=((Selector.net("0.0.0.0/32"), NET_B),))
BLOCK = Entry("shut/1", "shut", Action.BLOCK, ((NET_A, ANY),))
PLAN = Plan(entries=(SITE, BLOCK, MINE))


def since(losses: Losses, table: dict[str, int], **way_in: int) -> list[tuple[str, dict[str, Any]]]:
    return [*losses.since(PLAN, table, {name.replace("_", "-"): count for name, count in way_in.items()})]


def test_cleartext_that_a_rule_protects_is_told_with_the_rule_and_its_traffic() -> None:
    table = {"drops.site/1": 3, "drops.shut/1": 9, "drops.mine/1": 1, "hits.site/1": 5}
    reason = "in clear, though the rule protects it"
    site = {"rule": "site", "filter": "10.1.0.0/16 = 10.2.0.0/16", "count": 3, "reason": reason}
    mine = {"rule": "mine", "filter": "0.0.0.0 = 10.2.0.0/16", "count": 1, "reason": reason}
    assert since(Losses(), table) == [("clear-dropped", site), ("clear-dropped", mine)]


def test_packets_that_fail_the_checks_of_the_way_in_are_told_by_check() -> None:
    found = since(Losses(), {}, bad_icv=1, replayed=2, behind_window=3, unknown_spi=4, runt=5)
    assert [(event, fields["count"], fields["point"]) for event, fields in found] == [
        ("integrity-failed", 1, "peer"),
        ("replay-found", 2, "peer"),
        ("replay-late", 3, "peer"),
        ("spi-unknown", 4, "peer"),
    ]
    assert found[0][1]["reason"] == "its integrity check value is wrong"


def test_only_what_came_since_the_last_look_is_told() -> None:
    losses = Losses()
    assert len(since(losses, {"drops.site/1": 3}, bad_icv=2)) == 2
    assert since(losses, {"drops.site/1": 3}, bad_icv=2) == []
    assert [fields["count"] for _, fields in since(losses, {"drops.site/1": 10}, bad_icv=7)] == [7, 5]


def test_counters_of_a_new_floor_begin_anew() -> None:
    losses = Losses()
    since(losses, {"drops.site/1": 30})
    assert [fields["count"] for _, fields in since(losses, {"drops.site/1": 2})] == [2]
    assert since(losses, {}) == []


def test_an_entry_that_has_moved_keeps_its_count() -> None:
    losses = Losses()
    since(losses, {"drops.site/1": 3})
    moved = Plan(entries=(BLOCK, replace(SITE, line=7)))
    assert [fields["count"] for _, fields in losses.since(moved, {"drops.site/1": 4}, {})] == [1]


def test_of_an_entry_that_is_gone_nothing_is_remembered() -> None:
    losses = Losses()
    since(losses, {"drops.site/1": 3}, replayed=2)
    assert [*losses.since(Plan(entries=(BLOCK,)), {}, {"replayed": 2})] == []
    assert [fields["count"] for _, fields in since(losses, {"drops.site/1": 4}, replayed=2)] == [4]


class Kernel:
    """The floor's table, which can't be read the first time."""

    looks = 0

    def __init__(self, _table: str) -> None:
        pass

    async def counters(self) -> dict[str, int]:
        Kernel.looks += 1
        if Kernel.looks == 1:
            raise KernelError("nft has no time")
        return {"drops.site/1": 3}


def test_they_are_told_again_and_again_and_what_fails_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def carried() -> Any:
        return SimpleNamespace(drops={"replayed": 2})

    now: Any = SimpleNamespace(counters=carried, plan=PLAN)  # with what hosts have by the default response
    in_force = chain([None], repeat(now))

    async def scenario() -> None:
        task = asyncio.create_task(losses_module.tell_losses(lambda: next(in_force), Guard()))
        async with asyncio.timeout(30):
            while Kernel.looks < 3:  # noqa: ASYNC110  it comes with no other sign
                await asyncio.sleep(0)
        task.cancel()

    monkeypatch.setattr(limits, "LOSSES_INTERVAL", 0.0)
    monkeypatch.setattr(losses_module, "Nftables", Kernel)
    with capture_logs() as logs:
        asyncio.run(scenario())
    assert [line["event"] for line in logs] == ["replay-found", "clear-dropped"]
