"""What was dropped, told every now and then: cleartext that a rule protects, and packets that fail the checks of the
way in. Counters have all of it at any time; an auditor reads events, as Windows has them (4960 to 4965)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import structlog

from ipsecd import limits
from ipsecd.daemon.drops import MEANINGS
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.protection import Protection
from ipsecd.errors import KernelError
from ipsecd.ike.narrowing import show
from ipsecd.ike.reports import PEER
from ipsecd.io.nftables import Nftables
from ipsecd.policy.floor import TABLE, entry_counters
from ipsecd.policy.plan import Action, Entry, Plan

log = structlog.get_logger()

OF_THE_WAY_IN: Final = {
    "bad-icv": "integrity-failed",
    "replayed": "replay-found",
    "behind-window": "replay-late",
    "unknown-spi": "spi-unknown",
}


class Losses:
    """Remembers what was told. Counters that begin anew count from there."""

    def __init__(self) -> None:
        self._before: dict[str, int] = {}

    def since(
        self, plan: Plan, table: Mapping[str, int], way_in: Mapping[str, int]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Events and their fields, of what these counters of the floor's table and of the way in have more than last
        time."""
        counted = entry_counters(plan, table)
        known = {*map(_name, plan.entries), *OF_THE_WAY_IN}  # hosts of the default response come and go
        self._before = {name: count for name, count in self._before.items() if name in known}
        for entry in plan.entries:
            if entry.action is Action.PROTECT and (count := self._more(_name(entry), counted[entry.name].drops)):
                reason = "in clear, though the rule protects it"
                yield "clear-dropped", {"rule": entry.rule, "filter": _filter(entry), "count": count, "reason": reason}
        for name, event in OF_THE_WAY_IN.items():
            if count := self._more(name, way_in.get(name, 0)):
                yield event, {"count": count, "point": PEER, "reason": MEANINGS[name]}

    def _more(self, name: str, now: int) -> int:
        before = self._before.get(name, 0)
        self._before[name] = now
        return now - before if now >= before else now


def _name(entry: Entry) -> str:
    return f"entry {entry.name}"


def _filter(entry: Entry) -> str:
    local, remote = zip(*(entry.pairs or entry.me), strict=True)
    return f"{show(tuple(dict.fromkeys(local)))} = {show(tuple(dict.fromkeys(remote)))}"


async def tell_losses(protection: Callable[[], Protection | None], guard: Guard) -> None:
    """For ever."""
    losses = Losses()
    while True:
        await asyncio.sleep(limits.LOSSES_INTERVAL)
        with guard.over("what was dropped"):
            if (now := protection()) is not None:
                way_in = (await now.counters()).drops
                for event, fields in losses.since(now.plan, await _table(), way_in):
                    log.warning(event, **fields)


async def _table() -> dict[str, int]:
    """None where nft fails: all else is told without them."""
    try:
        return await Nftables(TABLE).counters()
    except KernelError:
        return {}
