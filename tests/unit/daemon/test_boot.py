"""The boot mode is kept beside the floor, for the unit that raises it; the daemon's own floor knows nothing of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ipsecd.daemon import force
from ipsecd.errors import IpsecdError, KernelError, OperatorError
from ipsecd.policy.boot import ADDED
from tests.unit.daemon.daemons import Daemon, Kernel, beside, policy

ASSIGNS_NONE = policy().replace("assigned: sites\n", "")
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


# --- what it adds until a policy is in force ------------------------------------------------------------------------


def booted(folder: Path, text: str, mode: str) -> Daemon:
    """A daemon that finds what a boot in this mode has read."""
    daemon = Daemon(folder, text)
    daemon.options.state.mkdir(exist_ok=True)
    daemon.options.floor.save(FLOOR)
    if ADDED[mode]:
        daemon.options.boot.save(ADDED[mode])
    return daemon


def fails(daemon: Daemon) -> None:
    """Its start."""

    async def start() -> None:
        async with daemon:
            pass

    with pytest.raises(IpsecdError):
        asyncio.run(start())


@pytest.mark.parametrize(
    ("mode", "stands", "now"), [("stateful", ADDED["stateful"], None), ("last", "", None), ("permit", "", "")]
)
def test_a_start_that_fails_leaves_what_the_boot_has_raised(
    tmp_path: Path, mode: str, stands: str, now: str | None
) -> None:
    daemon = booted(tmp_path, "assigned: [", mode)
    fails(daemon)
    assert daemon.table.there == FLOOR + stands
    assert daemon.options.booted.load() == now, "whoever removes every table takes no floor away any more"


@pytest.mark.parametrize("mode", ["stateful", "block", "permit"])
def test_by_day_the_boot_mode_counts_no_more(tmp_path: Path, mode: str) -> None:
    async def scenario(daemon: Daemon) -> None:
        assert "boot_" not in daemon.table.there
        assert daemon.options.booted.load() == ""

    beside(tmp_path, scenario, policy() + f"boot: {mode}\n")
    daemon = booted(tmp_path, "assigned: [", mode)
    fails(daemon)
    assert daemon.table.there == FLOOR
    assert daemon.options.boot.load() == ADDED[mode]
    daemon.options.booted.remove()  # as a boot does
    again = Daemon(tmp_path, "assigned: [")
    fails(again)
    assert again.table.there == FLOOR + ("" if mode == "permit" else ADDED[mode])


def test_it_counts_until_a_start_is_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is behind the floor may fail, and then no policy is in force."""

    async def refuse(_: Kernel) -> None:
        raise KernelError("no TUN today")

    monkeypatch.setattr(Kernel, "raise_tun", refuse)
    daemon = booted(tmp_path, policy(), "block")
    fails(daemon)
    assert "10.2.0.0/16" in daemon.table.there
    assert daemon.table.there.endswith(ADDED["block"])
    assert daemon.table.there == f"{daemon.options.floor.load()}{ADDED['block']}"


@pytest.mark.parametrize("command", [("assign", "sites"), ("unassign",)])
def test_while_no_policy_is_assigned_it_stands_with_the_floor_that_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    async def refuse(*_: object) -> None:
        raise OperatorError("no keys today")

    async def main() -> None:
        async with booted(tmp_path, ASSIGNS_NONE, "block") as daemon:
            with monkeypatch.context() as patch:
                patch.setattr(force, "prepare", refuse)
                await daemon.ctl("assign", "sites", code=1)
            assert daemon.table.there == FLOOR + ADDED["block"]
            assert daemon.options.floor.load() == FLOOR
            await daemon.ctl(*command)
            assert "boot_" not in daemon.table.there
            assert daemon.options.booted.load() == ""

    asyncio.run(main())


@pytest.mark.parametrize("text", ["", "nonsense\n", ADDED["stateful"][:80], "\0\0\0"])
def test_a_mode_that_is_damaged_counts_as_the_strictest_until_a_policy_is_in_force(tmp_path: Path, text: str) -> None:
    daemon = booted(tmp_path / "fails", "assigned: [", "last")
    daemon.options.boot.path.write_text(text)
    fails(daemon)
    assert daemon.table.there == FLOOR + ADDED["block"]
    (told,) = daemon.texts("boot-not-loaded")
    assert told == (
        "The boot mode isn't known, so nothing but the exemptions passes until a policy is in force: "
        f"{daemon.options.boot.path} doesn't hold one of ipsecd's boot modes"
    )

    async def main() -> None:
        daemon = booted(tmp_path / "starts", policy() + "boot: stateful\n", "last")
        daemon.options.boot.path.write_text(text)
        async with daemon:
            assert "boot_" not in daemon.table.there
            assert daemon.options.boot.load() == ADDED["stateful"]

    asyncio.run(main())


def test_a_mode_that_cant_be_read_counts_as_the_strictest_and_is_told(tmp_path: Path) -> None:
    daemon = booted(tmp_path, "assigned: [", "last")
    daemon.options.boot.path.mkdir()
    fails(daemon)
    assert daemon.table.there == FLOOR + ADDED["block"]
    assert "boot-not-loaded" in daemon.events


def test_by_day_no_mode_counts_however_damaged_it_is(tmp_path: Path) -> None:
    daemon = booted(tmp_path, "assigned: [", "last")
    daemon.options.booted.save("")
    daemon.options.boot.path.write_text("nonsense\n")
    fails(daemon)
    assert daemon.table.there == FLOOR
    assert "boot-not-loaded" not in daemon.events


def test_what_is_left_of_a_mode_by_day_and_is_damaged_counts_as_the_strictest(tmp_path: Path) -> None:
    daemon = booted(tmp_path, "assigned: [", "stateful")
    daemon.options.booted.save("nonsense\n")
    fails(daemon)
    assert daemon.table.there == FLOOR + ADDED["block"]
