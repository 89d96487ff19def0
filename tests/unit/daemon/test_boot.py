"""The boot mode is kept beside the floor, for the unit that raises it; the daemon's own floor knows nothing of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ipsecd.errors import IpsecdError
from ipsecd.policy.boot import ADDED
from tests.unit.daemon.daemons import Daemon, beside, policy

FLOOR = "table inet ipsecd { the floor of the last policy }\n"


def test_the_boot_mode_is_kept_and_goes_with_the_line(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        kept = daemon.options.boot
        assert kept.load() == ADDED["stateful"]
        assert "boot_" not in daemon.kernel.floor
        for mode in ("block", "permit"):
            daemon.write("policy.yaml", policy() + f"boot: {mode}\n")
            await daemon.ctl("reload")
            assert kept.load() == ADDED[mode]
        daemon.write("policy.yaml", policy())
        await daemon.ctl("reload")
        assert kept.load() is None

    beside(tmp_path, scenario, policy() + "boot: stateful\n")


def test_a_boot_mode_that_can_not_be_kept_is_told(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        daemon.options.boot.path.mkdir()
        daemon.write("policy.yaml", policy() + "boot: block\n")
        await daemon.ctl("reload")
        (told,) = daemon.texts("boot-not-saved")
        assert told.startswith("The boot mode stays what it was: can't keep the boot mode in ")

    beside(tmp_path, scenario)


@pytest.mark.parametrize(("mode", "stands"), [("stateful", ADDED["stateful"]), ("last", ""), ("permit", "")])
def test_a_start_that_fails_leaves_what_the_boot_has_raised(tmp_path: Path, mode: str, stands: str) -> None:
    async def start(daemon: Daemon) -> None:
        async with daemon:
            pass

    daemon = Daemon(tmp_path, "assigned: [")
    daemon.options.state.mkdir()
    daemon.options.floor.save(FLOOR)
    if ADDED[mode]:
        daemon.options.boot.save(ADDED[mode])
    with pytest.raises(IpsecdError):
        asyncio.run(start(daemon))
    assert daemon.table.there == FLOOR + stands
