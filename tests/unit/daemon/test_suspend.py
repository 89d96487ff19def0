"""A machine that slept: keys have got older, peers may be gone, and the event loop's clock knows nothing of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ipsecd.daemon import app as app_module
from ipsecd.io.clock import Clock
from tests.interop.waiting import eventually
from tests.unit.daemon.daemons import PATIENCE, Daemon, pair


class Sleeper(Clock):
    """A clock whose machine sleeps when it's told."""

    def __init__(self) -> None:
        super().__init__()
        self._asleep = self._untold = 0.0

    def now(self) -> float:
        return super().now() + self._asleep

    def sleep(self, seconds: float) -> None:
        self._asleep += seconds
        self._untold += seconds

    def slept(self) -> float:
        told, self._untold = self._untold, 0.0
        return told


def spis(daemon: Daemon) -> set[str]:
    return {child.spi_in for sa in daemon.protection.sas() for child in sa.children if child.stage == "up"}


async def sleep(daemon: Daemon, seconds: float) -> None:
    """And give it time to notice, and to hear from its peer."""
    assert isinstance(daemon.app.clock, Sleeper)
    daemon.app.clock.sleep(seconds)
    await asyncio.to_thread(eventually, lambda: "slept" in daemon.events, "it notices")
    for _ in range(100):
        await asyncio.sleep(0)


def with_a_tunnel(
    folder: Path, monkeypatch: pytest.MonkeyPatch, scenario: Callable[[Daemon, Daemon], Awaitable[None]]
) -> None:
    monkeypatch.setattr(app_module, "Clock", Sleeper)

    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(folder) as (a, b):
            a.manager.watchdog_interval = 0.01  # so often it looks
            await a.ctl("up", "site", "--wait", "30")
            await scenario(a, b)

    asyncio.run(main())


def test_after_a_short_sleep_the_peer_is_asked_at_once_and_the_tunnel_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(a: Daemon, b: Daemon) -> None:
        before, sent = spis(a), len(a.network.sent)
        await asyncio.sleep(0)
        assert len(a.network.sent) == sent  # without a reason nobody asks
        await sleep(a, 5.0)
        assert len(a.network.sent) == sent + 2  # a request and its answer
        assert a.texts("slept") == ["The machine has slept for 5 s: looking whether the peers are still there"]
        assert spis(a) == before == {child for sa in b.protection.sas() for child in (c.spi_out for c in sa.children)}

    with_a_tunnel(tmp_path, monkeypatch, scenario)


def test_a_long_sleep_counts_in_the_lifetime_of_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(a: Daemon, b: Daemon) -> None:
        a.network.daemons.clear()  # nobody there to rekey with
        await sleep(a, 3_601.0)
        assert "child-expired" in a.events

    with_a_tunnel(tmp_path, monkeypatch, scenario)


def test_the_clock_goes_on_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = {time.CLOCK_MONOTONIC: 1_000.0, time.CLOCK_BOOTTIME: 1_500.0}
    monkeypatch.setattr(time, "clock_gettime", clocks.__getitem__)
    clock = Clock()
    assert (clock.now(), clock.slept()) == (1_500.0, 0.0)
    clocks[time.CLOCK_MONOTONIC] += 10.0
    clocks[time.CLOCK_BOOTTIME] += 610.0
    assert (clock.now(), clock.slept(), clock.slept()) == (2_110.0, 600.0, 0.0)
