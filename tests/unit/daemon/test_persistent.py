"""Persistent rules hold with any policy and with none: through assign, unassign, reload, restart and failures."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.unit.daemon.daemons import Daemon, beside, policy, rule

PERSISTENT = """\
persistent:
  rules:
    - {name: telnet, filters: [{source: any, destination: any, protocol: tcp, destination_port: 23}], action: block}
"""
GATE = (
    "    - {name: gate, filters: [{source: 10.1.0.0/16, destination: 10.9.0.0/16}], action: require-security, "
    "tunnel: {local: 192.0.2.1, remote: 192.0.2.2}, authentication: [{psk: peer}]}\n"
)
FILE = policy() + PERSISTENT
ALONE = FILE.replace("assigned: sites\n", "")
NONE = policy().replace("assigned: sites\n", "")


def in_force(daemon: Daemon) -> list[str]:
    return [rule.name for rule in daemon.protection.prepared.plan.rules]


def test_unassign_leaves_them_and_assign_puts_the_policy_behind_them(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        assert in_force(daemon) == ["persistent:telnet", "site"]
        told = (await daemon.ctl("unassign")).output
        assert told == "no policy is in force, until ipsecctl assign, also after a restart; the persistent rules are\n"
        assert in_force(daemon) == ["persistent:telnet"]
        assert daemon.texts("unassigned-but-persistent") == [
            "No policy is in force any more, by command, but the persistent rules are"
        ]
        assert "dport 23" in daemon.kernel.floor
        assert "10.2.0.0/16" not in daemon.kernel.floor
        assert daemon.options.floor.load() == daemon.kernel.floor
        assert daemon.app.summary() == "no policy is assigned, persistent rules hold, 1 rule, 0 child SAs"
        await daemon.ctl("reload")
        assert in_force(daemon) == ["persistent:telnet"]
        await daemon.ctl("assign", "sites")
        assert in_force(daemon) == ["persistent:telnet", "site"]
        assert len(daemon.kernels) == 1, "in one step"

    beside(tmp_path, scenario, FILE)


def test_they_are_in_force_alone_from_the_start_where_the_file_assigns_nothing(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        assert in_force(daemon) == ["persistent:telnet"]

    beside(tmp_path, scenario, ALONE)
    beside(tmp_path, scenario, ALONE)  # the floor that stands then is their own

    async def unassign(daemon: Daemon) -> None:
        await daemon.ctl("unassign")

    beside(tmp_path / "unassigned", unassign, FILE)
    beside(tmp_path / "unassigned", scenario, FILE)


def test_a_file_does_not_take_a_policy_away_by_having_them_alone(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        daemon.write("policy.yaml", ALONE)
        assert "ipsecctl unassign takes protection away" in (await daemon.ctl("reload", code=1)).output
        assert in_force(daemon) == ["persistent:telnet", "site"]

    beside(tmp_path, scenario, FILE)

    async def restarted(daemon: Daemon) -> None:
        assert daemon.app.bare
        assert "10.2.0.0/16" in daemon.table.there
        assert "dport 23" in daemon.table.there, "what they block is blocked by the floor that was left"
        await daemon.ctl("unassign")
        assert in_force(daemon) == ["persistent:telnet"]
        assert not daemon.app.bare

    beside(tmp_path, restarted, ALONE)


def test_a_file_without_them_takes_them_away_only_with_unassign(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        daemon.write("policy.yaml", NONE)
        assert "ipsecctl unassign takes protection away" in (await daemon.ctl("reload", code=1)).output
        assert in_force(daemon) == ["persistent:telnet"]
        assert (await daemon.ctl("unassign")).output.startswith("the persistent rules are out of force: ")
        assert daemon.app.protection is None
        assert daemon.kernel.lowered

    beside(tmp_path, scenario, ALONE)


def test_unassign_keeps_those_in_force_if_the_file_has_mistakes(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        daemon.write("policy.yaml", "assigned: [")
        await daemon.ctl("unassign")
        assert in_force(daemon) == ["persistent:telnet"]

    beside(tmp_path, scenario, FILE)


def test_an_unassign_that_fails_leaves_the_policy_in_force(tmp_path: Path) -> None:
    ports = policy(key_exchange="{ports: {ike: 5000, nat_traversal: 5001}}") + PERSISTENT

    async def scenario(daemon: Daemon) -> None:
        assert "can't change while ipsecd runs" in (await daemon.ctl("unassign", code=1)).output
        assert in_force(daemon) == ["persistent:telnet", "site"]
        assert len(daemon.texts("unassign-failed")) == 1

    beside(tmp_path, scenario, ports)


def test_a_start_that_fails_leaves_them_in_the_last_floor(tmp_path: Path) -> None:
    async def nothing(_: Daemon) -> None:
        pass

    beside(tmp_path, nothing, FILE)
    broken = Daemon(tmp_path, "assigned: [")
    with pytest.raises(Exception, match="policy"):
        asyncio.run(broken.__aenter__())
    assert "dport 23" in broken.table.there


def test_a_protecting_one_is_negotiated_with_and_without_a_policy(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        (peer,) = daemon.protection.prepared.config.peers
        assert [child.rule for child in peer.children] == ["persistent:gate", "site"]
        await daemon.ctl("unassign")
        (peer,) = daemon.protection.prepared.config.peers
        assert [child.rule for child in peer.children] == ["persistent:gate"]
        assert "persistent:gate" in (await daemon.ctl("status")).output

    beside(tmp_path, scenario, policy(rule()) + PERSISTENT + GATE)
