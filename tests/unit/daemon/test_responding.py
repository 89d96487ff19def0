"""What hosts have negotiated by the default response stands in the floor before their SAs do, and goes with them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from structlog.testing import capture_logs

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.prepare import Prepared
from ipsecd.daemon.responding import Responding
from ipsecd.errors import KernelError, LocalError
from ipsecd.ike.config import Endpoint, Lifetime, Path
from ipsecd.ike.effects import ChildKeys, InstallInbound
from ipsecd.policy.connections import Interfaces
from ipsecd.policy.floor import ruleset
from ipsecd.policy.reach import Reach
from ipsecd.wire.hostpair import pair_id
from ipsecd.wire.registry import Encr, Integ
from ipsecd.wire.selector import ANY_PORT, Selector
from tests.unit.policy.test_response import ANSWERING, WITH_RULES
from tests.unit.policy.texts import planned

HERE, HOST, OTHER = "192.0.2.1", "192.0.2.9", "192.0.2.10"
KEYS = ChildKeys(Encr.AES_GCM_16, 128, Integ.NONE, False, Secret(b"e" * 20), Secret(b""))
ME = (HERE,)
PAIR = pair_id("7", ip_address(HERE), ip_address(HOST))


def prepared(text: str = ANSWERING, me: tuple[str, ...] = ME) -> Prepared:
    """As much of it as counts."""
    plan, nothing = planned(text, me=me), Any
    ids = {child.name: "7" for peer in plan.peers for child in peer.children}
    known = plan, ruleset(plan), frozenset[str](), frozenset[str](), (), Interfaces(), Reach()
    return Prepared(nothing, nothing, *known, {}, {}, ids, nothing, (), nothing, {})


def sa(
    spi: int = 1,
    remote: str = HOST,
    *,
    local: str = HERE,
    protocol: int = 0,
    ports: tuple[int, int] = ANY_PORT,
    child: str = "",
) -> InstallInbound:
    """One of the default response with this host, for some of its ports."""
    here, there = ip_address(local), ip_address(remote)
    path = Path(Endpoint(here, 500), Endpoint(there, 500))
    ours, theirs = (Selector.net(local, protocol),), (Selector.net(remote, protocol, ports),)
    name = child or pair_id("7", here, there)
    return InstallInbound(
        spi.to_bytes(4, "big"), name, "default-response@x", KEYS, ours, theirs, path, Lifetime(1), Lifetime(2)
    )


class World:
    """A kernel that has a floor, and what has gone on."""

    def __init__(self, start: Prepared) -> None:
        self.floor, self.kept = start.floor, start.floor
        self.raised = 0
        self.refuses: list[Exception] = []
        self.went: list[str] = []  # why not, of each that waited
        self.turns = 0
        self.open = asyncio.Event()
        self.open.set()
        self.guard = Guard()
        self.responding = Responding(self, start, self._turned, self.guard, lambda: 1_000.0)

    def _turned(self) -> None:
        self.turns += 1

    async def raise_floor(self, text: str, *, kept: str) -> None:
        await self.open.wait()
        if self.refuses:
            raise self.refuses.pop()
        self.raised += 1
        self.floor, self.kept = text, kept

    def waits(self, effect: InstallInbound) -> bool:
        return self.responding.waits(effect, lambda refusal, now: self.went.append(refusal))

    async def install(self, *effects: InstallInbound) -> None:
        for effect in effects:
            self.waits(effect)
            await settled()

    async def gone(self, *effects: InstallInbound) -> None:
        for effect in effects:
            self.responding.gone(effect.spi)
        await asyncio.sleep(0.0)
        await settled()

    @property
    def entries(self) -> list[tuple[str, list[str]]]:
        """What is said to be in the floor by the default response."""
        found = [entry for entry in self.responding.plan.entries if entry.rule == "default-response"]
        return [(entry.name, [f"{local} = {remote}" for local, remote in entry.pairs]) for entry in found]


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def run(scenario: Callable[[World], Awaitable[None]], start: Prepared | None = None) -> list[dict[str, Any]]:
    """What was logged."""

    async def main() -> None:
        world = World(start or prepared())
        await scenario(world)
        await world.responding.close()

    with capture_logs() as logged:
        asyncio.run(main())
    return [dict(line) for line in logged]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept for a moment is kept for none."""
    monkeypatch.setattr(limits, "RESPONSE_KEPT", 0.0)


def test_the_floor_stands_before_the_sa_is_installed() -> None:
    async def scenario(world: World) -> None:
        world.open.clear()
        assert world.waits(sa())
        await settled()
        assert (world.went, world.entries) == ([], [])
        world.open.set()
        await settled()
        assert (world.went, world.turns) == ([""], 1)
        assert world.entries == [("default-response/1@192.0.2.9", ["192.0.2.1 = 192.0.2.9"])]
        assert HOST in world.floor
        assert not world.waits(sa()), "it stands now"

    lines = run(scenario)
    begun = {"rule": "default-response", "child": "default-response/1@192.0.2.9", "filter": "192.0.2.1 = 192.0.2.9"}
    assert lines[0] == {"event": "response-begun", "log_level": "info", **begun}
    assert lines[1] == {"event": "response-over", "log_level": "info", **begun}


def test_the_next_boot_begins_without_it() -> None:
    async def scenario(world: World) -> None:
        before = world.floor
        await world.install(sa())
        assert world.floor != before
        assert world.kept == before

    run(scenario)


def test_an_sa_of_a_rule_waits_for_nothing() -> None:
    async def scenario(world: World) -> None:
        assert not world.waits(sa(child="8"))
        assert not world.waits(sa(child=pair_id("8", ip_address(HERE), ip_address(HOST))))
        await settled()
        assert world.raised == 0

    run(scenario)


@pytest.mark.usefixtures("at_once")
def test_when_the_last_sa_is_gone_the_floor_is_as_before() -> None:
    async def scenario(world: World) -> None:
        before = world.floor
        await world.install(sa(1), sa(2))
        await world.gone(sa(1))
        assert world.entries != []
        await world.gone(sa(2), sa(2))
        assert (world.entries, world.floor, world.raised) == ([], before, 2)

    run(scenario)


def test_who_begins_anew_at_once_leaves_no_gap_and_costs_no_other_floor() -> None:
    async def scenario(world: World) -> None:
        await world.install(sa(1))
        await world.gone(sa(1))
        assert world.entries != []
        assert not world.waits(sa(2))
        assert world.raised == 1

    run(scenario)


@pytest.mark.usefixtures("at_once")
def test_who_begins_anew_while_the_floor_goes_back_waits_for_another() -> None:
    async def scenario(world: World) -> None:
        await world.install(sa(1))
        world.open.clear()
        await world.gone(sa(1))
        assert world.waits(sa(2)), "what stands now is about to go"
        world.open.set()
        await settled()
        assert world.went == ["", ""]
        assert HOST in world.floor

    run(scenario)


def test_a_rekey_costs_no_other_floor() -> None:
    async def scenario(world: World) -> None:
        await world.install(sa(1))
        assert not world.waits(sa(2))
        await world.gone(sa(1))
        assert world.raised == 1

    run(scenario)


def test_an_sa_for_more_than_the_one_before_waits_again_and_both_count() -> None:
    async def scenario(world: World) -> None:
        await world.install(sa(1, protocol=6, ports=(445, 445)))
        assert world.waits(sa(2, protocol=6, ports=(22, 22)))
        await settled()
        assert world.entries == [
            (
                "default-response/1@192.0.2.9",
                ["192.0.2.1[tcp] = 192.0.2.9[tcp/445]", "192.0.2.1[tcp] = 192.0.2.9[tcp/22]"],
            )
        ]

    run(scenario)


def test_hosts_that_ask_at_a_time_share_one_floor() -> None:
    async def scenario(world: World) -> None:
        world.open.clear()
        for number in range(20):
            assert world.waits(sa(number, f"198.51.100.{number + 1}"))
        await settled()
        world.open.set()
        await settled()
        assert world.went == [""] * 20
        assert (world.raised, len(world.entries)) == (1, 20)

    run(scenario)


def test_a_floor_that_cannot_be_raised_is_no_sa() -> None:
    async def scenario(world: World) -> None:
        world.refuses = [KernelError("nft is gone")]
        await world.install(sa())
        assert world.went == ["its floor can't be raised: nft is gone"]
        assert (world.entries, world.raised) == ([], 0)
        world.refuses = [RuntimeError("a fault")]
        await world.install(sa())
        assert world.went[1:] == ["its floor can't be raised"]
        assert world.guard.faults == {"the floor of the default response": 1}

    assert [line["event"] for line in run(scenario)] == ["response-failed", "fault", "response-failed"]


@pytest.mark.usefixtures("at_once")
def test_a_floor_that_does_not_go_back_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RESTORE_PAUSE", 0.0)

    async def scenario(world: World) -> None:
        before = world.floor
        await world.install(sa())
        world.refuses = [KernelError("nft is busy")]
        await world.gone(sa())
        await asyncio.sleep(0)
        await settled()
        assert (world.floor, world.entries) == (before, [])

    assert "response-failed" in [line["event"] for line in run(scenario)]


def test_one_host_has_only_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_RESPONSE_PAIRS", 2)

    async def scenario(world: World) -> None:
        await world.install(*(sa(port, protocol=6, ports=(port, port)) for port in (1, 2, 3)))
        assert world.went == ["", "", "of one host the default response protects 2 pairs of selectors at most"]
        await world.install(sa(4, OTHER))
        assert world.went[3:] == [""]
        assert not world.waits(sa(5, protocol=6, ports=(2, 2))), "what stands costs nothing"

    run(scenario)


def test_all_hosts_together_have_only_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_RESPONSES", 2)

    async def scenario(world: World) -> None:
        await world.install(*(sa(number, f"198.51.100.{number}") for number in (1, 2, 3)))
        assert world.went == ["", "", "the default response protects 2 pairs of selectors already, and no more"]
        assert len(world.entries) == 2

    run(scenario)


def test_an_sa_for_the_traffic_of_another_host_is_a_fault_and_changes_nothing() -> None:
    async def scenario(world: World) -> None:
        with pytest.raises(
            LocalError, match=r"is for 192\.0\.2\.1 = 192\.0\.2\.10, and its child is 7@192\.0\.2\.1@192\.0\.2\.9"
        ):
            world.waits(sa(remote=OTHER, child=PAIR))
        with pytest.raises(LocalError):
            world.waits(sa(local="192.0.2.2", child=PAIR))
        with pytest.raises(LocalError):
            world.waits(replace(sa(child=PAIR), remote=(Selector.net("192.0.2.8/30"),)))
        await settled()
        assert (world.entries, world.raised) == ([], 0)

    run(scenario)


def test_our_own_address_is_in_the_name_where_there_are_several() -> None:
    async def scenario(world: World) -> None:
        await world.install(sa())
        assert [name for name, _ in world.entries] == ["default-response/1@192.0.2.9,192.0.2.1"]

    run(scenario, prepared(me=(HERE, "10.1.0.1")))


def test_another_policy_with_a_default_response_protects_it_too_and_one_without_does_not() -> None:
    async def scenario(world: World) -> None:
        await world.install(sa())
        for text, expected in ((WITH_RULES, 1), ("policies: {p: {}}", 0), (ANSWERING, 1)):
            new = prepared(text)
            async with world.responding.alone:
                await world.responding.stand(new)
                world.responding.assign(new)
            assert len(world.entries) == expected
            assert (HOST in world.floor) == bool(expected)
            assert world.kept == new.floor

    run(scenario)


def test_what_is_asked_for_while_the_policy_changes_stands_in_the_floor_of_the_new_one() -> None:
    async def scenario(world: World) -> None:
        new = prepared(WITH_RULES)
        async with world.responding.alone:
            await world.responding.stand(new)
            assert world.waits(sa())
            await settled()
            assert world.went == []
            world.responding.assign(new)
        await settled()
        assert (world.went, len(world.entries)) == ([""], 1)
        assert "telnet" in world.floor
        assert HOST in world.floor

    run(scenario)


def test_at_a_stop_the_floor_is_left_as_the_policy_alone_has_it() -> None:
    async def scenario(world: World) -> None:
        before = world.floor
        await world.install(sa())
        await world.responding.close()
        assert world.floor == before
        assert world.waits(sa(2)), "and nothing is installed any more"

    run(scenario)


def test_what_was_taken_out_of_the_kernel_is_not_put_there_again() -> None:
    async def scenario(world: World) -> None:
        await world.install(sa())
        world.floor = ""
        await world.responding.close()
        assert (world.floor, world.raised) == ("", 1)

    run(scenario)


def test_who_asks_while_the_floor_is_taken_away_gets_no_sa_and_what_waits_behind_it_goes_on() -> None:
    async def scenario(world: World) -> None:
        floor = world.floor
        async with world.responding.alone:
            world.floor = ""
            assert world.waits(sa())
            await settled()
            world.floor = floor  # it couldn't be taken away
        await settled()
        assert world.went == [""]
        async with world.responding.alone:
            world.floor = ""
            assert world.waits(sa(2, OTHER))
        await settled()
        assert world.went == ["", "no policy is in force any more"]
        assert world.floor == ""

    run(scenario)
