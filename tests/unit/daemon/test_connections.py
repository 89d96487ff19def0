"""Rules for one type of connection, as this machine's interfaces and its way out change."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from ipsecd import limits
from tests.unit.daemon.daemons import PATIENCE, Daemon, pair, policy, rule

ROAD = policy(
    rule("site", connections="remote-access"),
    "{name: office, filters: [{source: 10.1.0.0/16, destination: 10.2.0.0/16}], action: block, connections: lan}",
)
AWAY = "192.0.2.2 is reached by a connection of type lan, and the rule is for remote-access connections"


async def moved(daemon: Daemon, way_out: str) -> None:
    """As when the kernel has told of another way out."""
    daemon.way_out = way_out
    await asyncio.create_task(daemon.app._follow(), context=daemon.context)


async def asked(daemon: Daemon, *words: str) -> Any:
    return json.loads((await daemon.ctl(*words, "--json")).output)


def test_a_tunnel_for_one_type_is_negotiated_only_by_that_type(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path, of_a=ROAD) as (daemon, _):
            daemon.interfaces = ("lo", "wan0", "ppp0")
            for way_out, state, reason in (
                ("wan0", "unusable", AWAY),
                ("ppp0", "down", ""),
                ("wan0", "unusable", AWAY),
            ):
                await moved(daemon, way_out)
                [site, office] = (await asked(daemon, "status"))["rules"]
                assert (site["state"], site["reason"], office["state"]) == (state, reason, "block")
                assert not (await asked(daemon, "reload"))["incomplete"]
            await moved(daemon, "ppp0")
            await daemon.ctl("up", "site", "--wait", "30")
            assert (await asked(daemon, "status"))["child_sas"] == 1
            await moved(daemon, "wan0")
            assert (await asked(daemon, "status"))["child_sas"] == 0

    asyncio.run(main())


def test_which_rule_decides_depends_on_the_interface(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), Daemon(tmp_path, ROAD) as daemon:
            daemon.interfaces = ("lo", "wan0", "ppp0")
            for way_out, outbound, inbound in (("wan0", "office/1", "office/1"), ("ppp0", "site/1", "site/1")):
                await moved(daemon, way_out)
                assert (await asked(daemon, "explain", "10.1.0.2", "10.2.0.2"))["outbound"]["entry"] == outbound
                assert (await asked(daemon, "explain", "10.2.0.2", "10.1.0.2"))["inbound"]["entry"] == inbound
            connections = {entry["name"]: entry["connections"] for entry in (await asked(daemon, "policy"))["entries"]}
            assert connections == {"site/1": "remote-access", "office/1": "lan"}

    asyncio.run(main())


HOSTS = (
    (
        "{name: office, filters: [{source: me, destination: 10.2.0.0/16}], action: require-security, "
        "authentication: [{psk: peer}], connections: lan}"
    ),
    "{name: road, filters: [{source: me, destination: 10.2.0.0/16}], action: block, connections: remote-access}",
)


def inside(daemon: Daemon) -> list[tuple[str, str, list[str]]]:
    """The SPD."""
    assert daemon.app.protection is not None
    found = daemon.app.protection.prepared.entries
    return [(entry.name, entry.action, [str(remote) for _, remote in entry.pairs]) for entry in found]


def test_the_spd_and_the_negotiation_have_a_rule_for_one_type_as_the_routes_are(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), Daemon(tmp_path, policy(*HOSTS)) as daemon:
            daemon.interfaces = ("lo", "wan0", "ppp0")
            assert inside(daemon) == [("office/1", "protect", ["10.2.0.0/16"])]
            daemon.routes = {"10.2.128.0/17": "ppp0"}
            await moved(daemon, "wan0")
            assert inside(daemon) == [
                ("office/1", "protect", ["10.2.0.0/17"]),
                ("road/1", "discard", ["10.2.128.0/17"]),
            ]
            text = "Which addresses are reached by which type of connection has changed"
            assert daemon.texts("reach-changed") == [text]
            await daemon.ctl("up", "office@10.2.0.7")
            refused = (await daemon.ctl("up", "office@10.2.200.7", code=1)).output
            assert (
                "nothing can be negotiated between 192.0.2.1 and 10.2.200.7 (the rule isn't for 10.2.200.7)" in refused
            )
            daemon.routes = {}
            await moved(daemon, "ppp0")
            assert inside(daemon) == [("road/1", "discard", ["10.2.0.0/16"])]
            [office, _] = (await asked(daemon, "status"))["rules"]
            assert (office["state"], office["reason"]) == ("unusable", "nobody it is for is reached by lan connections")
            assert daemon.texts("policy-follows") == []

    asyncio.run(main())


def test_more_routes_than_can_be_asked_for_each_are_told_and_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), Daemon(tmp_path, policy(*HOSTS)) as daemon:
            before = inside(daemon)
            monkeypatch.setattr(limits, "MAX_PARTS", 15)
            daemon.routes = {f"10.3.{number}.0/24": "wan0" for number in range(3)}
            await moved(daemon, "wan1")
            assert inside(daemon) == before
            [told] = daemon.texts("policy-does-not-follow")
            assert "the routes tell 16 parts of all addresses apart, more than 15" in told

    asyncio.run(main())


def test_an_interface_that_comes_is_in_the_floor_and_one_that_goes_is_not(tmp_path: Path) -> None:
    async def main() -> None:
        async with Daemon(tmp_path, ROAD) as daemon:
            assert 'elements = { "wan0", "wan1", "ipsecd0" }' in daemon.kernel.floor
            daemon.interfaces = ("lo", "wan0", "ppp7")
            await moved(daemon, "wan0")
            assert 'elements = { "wan0", "ipsecd0" }' in daemon.kernel.floor
            assert 'elements = { "ppp7", "ipsecd0" }' in daemon.kernel.floor
            assert "wan1" not in daemon.kernel.floor
            assert daemon.texts("interfaces-changed") == [
                "Interfaces by type of connection are now: lan: wan0; remote-access: ppp7"
            ]

    asyncio.run(main())
