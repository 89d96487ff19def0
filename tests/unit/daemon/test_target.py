"""A name means a rule's children, one child, or, written peer:NAME, a peer with its IKE SA."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.unit.daemon.daemons import PATIENCE, Daemon, beside, pair, policy, rule, settled

# two rules with one peer, which bears the name of the first; and one with children in one SA, named as the rule is
OURS = policy(
    rule("first", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"),
    rule("second", "10.1.0.0/16", "10.4.0.0/16"),
    rule("whole", "10.1.0.0/16", "10.5.0.0/16", "10.6.0.0/16", children="merged"),
    "{name: none, filters: [{source: me, destination: 10.9.0.0/16}], action: block}",
)
ENDS = {"here": "192.0.2.2", "there": "192.0.2.1"}
THEIRS = policy(
    rule("separate", ("10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16"), "10.1.0.0/16", **ENDS),
    rule("whole", ("10.5.0.0/16", "10.6.0.0/16"), "10.1.0.0/16", children="merged", **ENDS),
)
ALL = ["first/1", "first/2", "second/1", "whole"]


def children(daemon: Daemon) -> list[str]:
    return sorted(child.name for sa in daemon.protection.sas() for child in sa.children if child.stage == "up")


def spis(daemon: Daemon) -> dict[str, str]:
    """Of the IKE SA, under "", and of each child by name."""
    (sa,) = [sa for sa in daemon.protection.sas() if sa.stage == "established"]
    return {"": sa.spi_i} | {child.name: child.spi_in for child in sa.children if child.stage == "up"}


async def names(daemon: Daemon, *words: str) -> list[str]:
    return sorted(json.loads((await daemon.ctl(*words, "--json")).output)["names"])


def with_all_up(folder: Path, scenario: Callable[[Daemon, Daemon], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(folder, OURS, THEIRS) as (a, b):
            assert await names(a, "up", "peer:first", "--wait", "30") == ALL
            assert children(a) == ALL
            await scenario(a, b)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("first", ["first/1", "first/2"]),
        ("first/2", ["first/2"]),
        ("second", ["second/1"]),
        ("whole", ["whole"]),
        ("peer:first", ALL),
    ],
)
def test_down_and_up_touch_what_is_named_and_nothing_else(tmp_path: Path, name: str, meant: list[str]) -> None:
    async def scenario(a: Daemon, b: Daemon) -> None:
        before = spis(a)
        others = [child for child in ALL if child not in meant]
        assert await names(a, "down", name) == meant
        assert children(a) == others
        await settled()
        assert len(children(b)) == len(others)
        assert len(a.protection.sas()) == (1 if others else 0)
        assert [child for child in ALL if a.protection.held(child)] == meant
        assert await names(a, "up", name, "--wait", "30") == meant
        assert children(a) == ALL
        assert {child: spi for child, spi in spis(a).items() if child in others} == {
            child: spi for child, spi in before.items() if child in others
        }

    with_all_up(tmp_path, scenario)


@pytest.mark.parametrize(
    ("name", "replaced"),
    [
        ("first", ["first/1", "first/2"]),
        ("first/2", ["first/2"]),
        ("whole", ["whole"]),
        ("peer:first", [""]),
    ],
)
def test_rekey_replaces_the_keys_of_what_is_named_and_no_others(tmp_path: Path, name: str, replaced: list[str]) -> None:
    async def scenario(a: Daemon, b: Daemon) -> None:
        before = spis(a)
        assert await names(a, "rekey", name) == ([name] if name.startswith("peer:") else replaced)
        await settled()
        after = spis(a)
        assert sorted(child for child in after if after[child] != before[child]) == replaced

    with_all_up(tmp_path, scenario)


def test_a_rule_that_is_alone_with_its_peer_takes_the_ike_sa_down_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path) as (a, b):
            await names(a, "up", "site", "--wait", "30")
            await names(a, "down", "site/1")
            assert [sa.stage for sa in a.protection.sas()] == ["established"]
            await names(a, "up", "site", "--wait", "30")
            await names(a, "down", "site")
            await settled()
            assert (a.protection.sas(), b.protection.sas()) == ([], [])

    asyncio.run(main())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("up", "nobody"), "nothing is called 'nobody' (there is first, second, whole)"),
        (("up", "first/7"), "nothing is called 'first/7' (there is first/1, first/2)"),
        (("up", "none/1"), "nothing is called 'none/1' (there is first, second, whole)"),
        (("down", "peer:second"), "nothing is called 'peer:second' (there is peer:first)"),
        (("up", "a\x1b[31mb"), "nothing is called 'a\\x1b[31mb' (there is first, second, whole)"),
        (("up", "none"), "rule none negotiates nothing: its action is block"),
        (("rekey", "first"), "first/1 has no SA to rekey (ipsecctl up first/1 makes one)"),
        (("rekey", "peer:first"), "peer:first has no SA to rekey (ipsecctl up peer:first makes one)"),
    ],
)
def test_what_can_not_be_done_is_told_by_name(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    async def scenario(daemon: Daemon) -> None:
        assert (await daemon.ctl(*words, code=1)).output == f"ipsecctl: {told}\n"

    beside(tmp_path, scenario, OURS)


def test_a_rule_without_its_key_can_not_be_used_and_says_why(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        (daemon.folder / "peer.psk").unlink()
        await daemon.ctl("reload", code=5)
        for name in ("first", "peer:first"):
            told = (await daemon.ctl("up", name, code=1)).output
            assert told.startswith(f"ipsecctl: {name} can't be used: credential peer: the key file ")

    beside(tmp_path, scenario, OURS)
