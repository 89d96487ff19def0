"""What the control side's messages do to each of the two roads."""

from __future__ import annotations

from collections import Counter

from ipsecd.dataplane.inbound import Inbound
from ipsecd.dataplane.messages import (
    Coming,
    Counters,
    GiveUp,
    InstallInbound,
    InstallOutbound,
    MovePath,
    Probe,
    Release,
    RemoveInbound,
    RemoveOutbound,
    SetLinkMtu,
    SetPathMtu,
    SetSpd,
    ToRoads,
)
from ipsecd.dataplane.outbound import Outbound
from ipsecd.dataplane.results import Result
from ipsecd.errors import LocalError
from ipsecd.ipsec.spd import Spd

OUTBOUND_ALONE = (InstallOutbound, RemoveOutbound, GiveUp, Coming, Release)  # messages that only this road is told
INBOUND_ALONE = (InstallInbound, RemoveInbound)


class Generations:
    """The generations of SPDs, which only count up."""

    def __init__(self) -> None:
        self._last = 0

    def take(self, generation: int) -> None:
        """LocalError if it isn't newer than all before."""
        if generation <= self._last:
            raise LocalError(f"SPD generation {generation} after {self._last}")
        self._last = generation


def tell_outbound(road: Outbound, message: ToRoads, now: float, spd: Spd | None) -> list[Result]:
    """``spd`` is that of a SetSpd. LocalError if it can't be done."""
    match message:
        case InstallOutbound():
            return road.install(message, now)
        case RemoveOutbound(spi, inbound):
            road.remove(spi, inbound)
        case GiveUp(child):
            road.give_up(child)
        case Coming(child):
            road.coming(child, now)
        case Release(child):
            return road.release(child)
        case _:
            _tell_either(road, message, now, spd)
    return []


def tell_inbound(road: Inbound, message: ToRoads, now: float, spd: Spd | None) -> None:
    """``spd`` is that of a SetSpd. LocalError if it can't be done."""
    match message:
        case InstallInbound():
            road.install(message, now)
        case RemoveInbound(spi):
            road.remove(spi)
        case _:
            _tell_either(road, message, now, spd)


def _tell_either(road: Outbound | Inbound, message: ToRoads, now: float, spd: Spd | None) -> None:
    match message:
        case MovePath(inbound_spis, outside):
            road.move(inbound_spis, outside)
        case SetSpd() if spd is not None:
            road.set_spd(spd)
        case SetLinkMtu(remote, mtu):
            road.set_link_mtu(remote, mtu)
        case SetPathMtu(remote, mtu):
            road.set_path_mtu(remote, mtu, now)
        case Probe():
            pass
        case _:
            raise LocalError(f"{type(message).__name__} is no message to the roads")


def outbound_counters(road: Outbound) -> Counters:
    tally = road.tally
    paths = dict(tally.paths) | {"waiting": road.waiting, "held": road.held}
    return Counters(road.counters(), dict(tally.drops), paths, dict(tally.entries))


def inbound_counters(road: Inbound) -> Counters:
    tally = road.tally
    return Counters(road.counters(), dict(tally.drops), dict(tally.paths), dict(tally.entries))


def together(parts: list[Counters]) -> Counters:
    """The counters of several roads as those of one data plane."""
    drops, paths, entries = Counter[str](), Counter[str](), Counter[str]()
    for part in parts:
        drops.update(part.drops)
        paths.update(part.paths)
        entries.update(part.entries)
    return Counters(tuple(sa for part in parts for sa in part.sas), dict(+drops), dict(paths), dict(entries))
