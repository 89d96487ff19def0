"""Daemons that allow both versions of IKE: what they remember of each other, and what they do in doubt."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ipsecd import limits
from ipsecd.ike.config import Version
from tests.unit.daemon.daemons import PATIENCE, Daemon, mirrored, pair, policy, settled

BOTH = "{versions: [ikev2, ikev1]}"
OF_A, OF_B = policy(key_exchange=BOTH), policy(mirrored(), key_exchange=BOTH)
OLD = policy(key_exchange="{versions: [ikev1]}")


def versions(daemon: Daemon) -> list[tuple[Version, ...]]:
    return [peer.versions for peer in daemon.protection.prepared.config.peers]


def test_who_proves_itself_by_ikev2_is_remembered_by_both(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path, OF_A, OF_B) as (a, b):
            await a.ctl("up", "site", "--wait", "30")
            assert [sa.version for sa in b.protection.sas()] == ["IKEv2"]
        assert a.options.spoken.load() == '"192.0.2.2"\n'
        assert b.options.spoken.load() == '"192.0.2.1"\n'

    asyncio.run(main())


def test_by_ikev1_nobody_is_remembered(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path, OLD, OF_B) as (a, b):
            await a.ctl("up", "site", "--wait", "30")
            assert [sa.version for sa in b.protection.sas()] == ["IKEv1"]
        assert a.options.spoken.load() is b.options.spoken.load() is None

    asyncio.run(main())


def test_when_there_are_too_many_to_remember_both_become_ikev2_alone_and_sas_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_SPOKEN", 0)

    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path, OF_A, OF_B) as (a, b):
            await a.ctl("up", "site", "--wait", "30")
            await settled()
            assert versions(a) == versions(b) == [(Version.IKEV2,)]
            assert [len(sa.children) for sa in a.protection.sas()] == [1]
            assert len(a.texts("spoken-not-known")) == 1
            await a.ctl("reload")
            assert versions(a) == [(Version.IKEV2,)]
            assert a.app.guard.faults == {}

    asyncio.run(main())


def test_a_rule_of_ikev1_alone_speaks_it_though_memory_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "a" / "state").mkdir(parents=True)
    (tmp_path / "a" / "state" / "spoken.json").write_text("damaged\n")

    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path, OLD, OF_B) as (a, _):
            assert len(a.texts("spoken-not-known")) == 1
            await a.ctl("up", "site", "--wait", "30")

    asyncio.run(main())
