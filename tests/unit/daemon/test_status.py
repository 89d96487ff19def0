"""What the daemon shows of itself, in each of its states."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from ipsecd.errors import KernelError
from tests.unit.daemon.daemons import PATIENCE, Daemon, beside, pair, policies_by, policy, rule, settled

RULES = policy(
    rule("site"),
    rule("keyless", "10.1.0.0/16", "10.3.0.0/16", psk="none"),
    "{name: stop, filters: [{source: me, destination: 10.9.0.0/16}], action: block}",
    "{name: pass, filters: [{source: me, destination: 10.8.0.0/16}], action: permit}",
).replace("{peer:", "{none: {psk: {file: none.psk}}, peer:")


PING = bytes.fromhex(  # 10.1.0.2 to 10.2.0.2, an echo request
    "4500001c000100004001 66da 0a010002 0a020002 0800f7ff00000000"
)


async def status(daemon: Daemon) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((await daemon.ctl("status", "--json")).output)
    return told


async def states(daemon: Daemon) -> dict[str, str]:
    return {rule["name"]: rule["state"] for rule in (await status(daemon))["rules"]}


def test_a_rule_is_in_one_of_seven_states(tmp_path: Path) -> None:
    others = {"keyless": "unusable", "stop": "block", "pass": "permit"}

    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path, RULES) as (a, b):
            assert await states(a) == {"site": "down", **others}
            a.network.daemons.clear()
            await a.ctl("up", "site")
            assert await states(a) == {"site": "negotiating", **others}
            await a.ctl("down", "site")
            assert await states(a) == {"site": "held", **others}
            a.network.daemons |= {a.address: a, b.address: b}
            await a.ctl("up", "site", "--wait", "30")
            assert await states(a) == {"site": "up", **others}
            (reason,) = [rule["reason"] for rule in (await status(a))["rules"] if rule["name"] == "keyless"]
            assert reason.startswith("credential none: the key file ")

    asyncio.run(main())


def test_without_a_policy_there_is_the_daemon_alone(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        told = await status(daemon)
        assert {name: told[name] for name in ("policy", "rules", "ike_sas", "child_sas", "drops", "faults")} == {
            "policy": None,
            "rules": [],
            "ike_sas": 0,
            "child_sas": 0,
            "drops": {},
            "faults": {},
        }
        assert "tun" not in told
        assert json.loads((await daemon.ctl("sas", "--json")).output) == {"sas": []}

    beside(tmp_path, scenario, policy().replace("assigned: sites\n", ""))


def test_what_was_carried_is_counted_by_sa_and_what_was_not_by_reason(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path) as (a, b):
            await a.ctl("up", "site", "--wait", "30")
            tun: Any = a.kernel.tun
            for _ in range(3):
                tun.send(PING)
            tun.send(b"nonsense")
            while len(b.kernel.arrived) < 3:  # noqa: ASYNC110  an arrival comes with no other sign
                await asyncio.sleep(0)
            await settled()
            (sa,) = json.loads((await a.ctl("sas", "--json")).output)["sas"]
            (child,) = sa["children"]
            assert child["out"]["packets"] == 3
            assert child["out"]["octets"] >= 3 * len(PING)
            assert child["out"]["idle"] >= 0
            assert child["in"] == {"packets": 0, "octets": 0, "idle": None, "dummies": 0}
            assert sum((await status(a))["drops"].values()) == 1

    asyncio.run(main())


def test_of_ah_around_esp_both_are_counted(tmp_path: Path) -> None:
    own = policies_by("{ah: {integrity: sha256}, esp: {encryption: aes128gcm16}}")

    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path, *own) as (a, b):
            await a.ctl("up", "site", "--wait", "30")
            tun: Any = a.kernel.tun
            for _ in range(3):
                tun.send(PING)
            while len(b.kernel.arrived) < 3:  # noqa: ASYNC110  an arrival comes with no other sign
                await asyncio.sleep(0)
            await settled()
            ours, theirs = [
                json.loads((await daemon.ctl("sas", "--json")).output)["sas"][0]["children"][0] for daemon in (a, b)
            ]
            ((ah,), (ah_there,)) = ours["around"], theirs["around"]
            assert (ah["protocol"], ah["out"]["packets"], ah["in"]["packets"]) == ("AH", 3, 0)
            assert (ah_there["in"]["packets"], ah_there["in"]["octets"]) == (3, ah["out"]["octets"])
            assert (ah["spi_out"], ah["spi_in"]) == (ah_there["spi_in"], ah_there["spi_out"])
            assert ah["out"]["octets"] > ours["out"]["octets"] >= 3 * len(PING)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("tfc", "shown"),
    [
        ("{padding: mtu}", {"padding": "mtu", "declined": False, "dummies": 0}),
        ("{padding: 1400, dummies: 7}", {"padding": 1_400, "declined": False, "dummies": 7}),
    ],
)
def test_sas_show_what_hides_them(tmp_path: Path, tfc: str, shown: dict[str, object]) -> None:
    hidden = policy(rule("site", action="own")) + f"filter_actions: {{own: {{action: negotiate, tfc: {tfc}}}}}\n"

    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path, hidden) as (a, b):
            await a.ctl("up", "site", "--wait", "30")
            for daemon, expected in ((a, shown), (b, {"padding": 0, "declined": False, "dummies": 0})):
                (sa,) = json.loads((await daemon.ctl("sas", "--json")).output)["sas"]
                assert [child["tfc"] for child in sa["children"]] == [expected]

    asyncio.run(main())


COUNTED = {"not-inside": 3, "wrong-side": 0, "hits.site/1": 7, "drops.site/1": 5}


def test_what_the_floor_has_dropped_is_among_the_drops_and_each_is_told_in_words(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        daemon.table.counted = COUNTED
        told = await status(daemon)
        assert told["drops"] == {"not-inside": 3}
        assert told["drop_reasons"] == {
            "not-inside": "out of a tunnel, but no route of its own leads to where it goes, or one that leads outside"
        }
        daemon.table.counted = KernelError("nft took longer than 30 s")
        told = await status(daemon)
        assert (told["drops"], told["drop_reasons"], told["policy"]) == ({}, {}, "sites")

    beside(tmp_path, scenario)


def test_a_floor_without_a_policy_tells_what_it_drops(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        daemon.table.counted = COUNTED
        assert (await status(daemon))["drops"] == {"not-inside": 3}

    beside(tmp_path, scenario, policy().replace("assigned: sites\n", ""))
