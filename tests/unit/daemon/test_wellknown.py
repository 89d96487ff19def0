"""Well-known sets: looked at, remembered, and followed without a word from anybody."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ipsecd import limits
from ipsecd.daemon.meanings import Addresses
from ipsecd.daemon.wellknown import SOURCES, Look, WellKnown
from ipsecd.errors import KernelError
from ipsecd.io.state_file import StateFile
from ipsecd.policy.addresses import WELL_KNOWN
from ipsecd.policy.expand import Sets
from tests.unit.daemon.daemons import PATIENCE, Daemon, policy

ONE, TWO = ip_address("192.0.2.53"), ip_address("2001:db8::53")
USED = frozenset({"dns"})


@pytest.fixture
def kept(tmp_path: Path) -> StateFile:
    return StateFile(tmp_path / "sets.json", "sets", "that is a pity")


def source(*found: Addresses | KernelError) -> Look:
    """What is seen one look after the other, and the last from then on."""
    left = list(found)

    async def look() -> Addresses:
        seen = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(seen, KernelError):
            raise seen
        return seen

    return look


def test_what_a_policy_may_name_can_be_looked_at() -> None:
    assert SOURCES.keys() == set(WELL_KNOWN)


def look(sets: WellKnown) -> bool:
    return asyncio.run(sets.look(USED))


def test_a_set_is_what_it_was_last_and_empty_while_it_is_nothing(kept: StateFile) -> None:
    sets = WellKnown(kept, {"dns": source((ONE,), (ONE, TWO), (ONE, TWO), (), (TWO,))})
    assert sets.sets == Sets({}, frozenset())
    assert [look(sets) for _ in range(3)] == [True, True, False]
    assert sets.sets == Sets({"dns": (ONE, TWO)}, frozenset())
    with capture_logs() as logs:
        assert look(sets)
    assert [(log["event"], log["name"]) for log in logs] == [("name-gone", "the set dns")]
    assert sets.sets == Sets({"dns": (ONE, TWO)}, USED)
    assert WellKnown(kept).sets == Sets({"dns": (ONE, TWO)}, frozenset())
    assert look(sets)
    assert sets.sets == Sets({"dns": (TWO,)}, frozenset())


def test_a_set_that_can_not_be_looked_at_stays_what_it_was(kept: StateFile) -> None:
    sets = WellKnown(
        kept, {"dns": source((ONE,), KernelError("closed"), KernelError("closed"), (ONE,), KernelError("x"))}
    )
    with capture_logs() as logs:
        assert [look(sets) for _ in range(5)] == [True, False, False, False, False]
    assert sets.sets == Sets({"dns": (ONE,)}, frozenset())
    assert [(log["event"], log.get("reason")) for log in logs] == [
        ("name-resolved", None),
        ("set-unseen", "closed"),
        ("set-unseen", "x"),
    ]


def test_a_set_that_the_policy_no_longer_has_means_what_it_did_to_the_next_that_has_it(kept: StateFile) -> None:
    sets = WellKnown(kept, {"dns": source((ONE,), (), ())})
    look(sets)
    look(sets)
    sets.retain(frozenset())
    look(sets)
    assert sets.sets == Sets({"dns": (ONE,)}, frozenset({"dns"}))
    assert WellKnown(kept).sets == Sets({"dns": (ONE,)}, frozenset())


PERMIT = "{name: dns, filters: [{source: me, destination: dns, protocol: udp, destination_port: 53}], action: permit}"
BLOCK = "{name: dns, filters: [{source: me, destination: dns}], action: block}"


def remote(daemon: Daemon) -> list[str]:
    entries = daemon.protection.prepared.plan.entries
    return [str(remote).partition("[")[0] for entry in entries for _, remote in entry.pairs or entry.me]


@pytest.mark.parametrize(("rule", "last"), [(PERMIT, []), (BLOCK, ["192.0.2.99"])])
def test_a_policy_follows_a_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str, last: list[str]) -> None:
    monkeypatch.setattr(limits, "SETS_AGAIN", 0.0)
    monkeypatch.setattr(limits, "SETS_SHARE", 0.0)
    now: list[Addresses] = [(ONE,)]

    async def servers() -> Addresses:
        return now[0]

    async def follows(daemon: Daemon, expected: list[str]) -> None:
        while remote(daemon) != expected:  # noqa: ASYNC110  nothing else tells when it has been seen
            await asyncio.sleep(0)

    async def main() -> None:
        daemon = Daemon(tmp_path, policy(rule))
        daemon.app._well_known.sources = {"dns": servers}
        async with asyncio.timeout(PATIENCE), daemon:
            assert remote(daemon) == ["192.0.2.53"], "from the start on"
            now[0] = (ip_address("192.0.2.99"),)
            await follows(daemon, ["192.0.2.99"])
            assert "192.0.2.99" in daemon.kernel.floor
            assert "192.0.2.53" not in daemon.kernel.floor
            assert "192.0.2.99" in daemon.options.sets.load()
            now[0] = ()
            while "name-gone" not in daemon.events:  # noqa: ASYNC110
                await asyncio.sleep(0)
            await follows(daemon, last)
            assert daemon.texts("name-gone") == [
                "the set dns has no address any more; what protects or blocks it still means 192.0.2.99"
            ]

    asyncio.run(main())
