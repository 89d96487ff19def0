"""The figures that can be asked for, and how each is measured on a tunnel that is up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from scripts.measuring import iperf, pings, search, usage
from scripts.measuring.contestants.contestant import Running
from scripts.measuring.ends import Ends
from scripts.measuring.stalls import Stalls
from tests.netns.sites import Sites

STREAMS = {"tcp1": 1, "tcp4": 4}
SIZES = {"udp64": 64, "udp1372": 1_372, "blast64": 64, "blast1372": 1_372}
START = 40_000.0  # packets a second: where the search begins
RENEWALS = 200  # IKE SAs for a figure: some tenths of a second of processor time, counted in hundredths
MEBI = 1 << 20


@dataclass(frozen=True, slots=True)
class Track:
    """Where a figure is measured, and for how long."""

    sites: Sites
    ends: Ends
    seconds: int
    running: Running


@dataclass(frozen=True, slots=True)
class Found:
    """``values`` by the names of QUANTITIES, and what they were reckoned from."""

    values: Mapping[str, float]
    raw: Mapping[str, Any] = field(default_factory=dict)


def _tcp(track: Track, name: str) -> Found:
    """Both ways, one after the other; what the daemons use is counted on the way from near to far."""
    with usage.Meter(track.running.daemons) as meter:
        there = iperf.transfer(track.sites, track.ends, track.seconds, STREAMS[name])
    back = iperf.transfer(track.sites, track.ends, track.seconds, STREAMS[name], back=True)
    values = {name: there.rate / 1e6, f"{name}-back": back.rate / 1e6}
    if track.running.daemons:
        values |= {f"{name}-cpu": meter.seconds / (there.octets / 1e9), f"{name}-memory": meter.peak / MEBI}
    return Found(values, {"octets": there.octets, "octets_back": back.octets, "cpu": meter.seconds})


def _udp(track: Track, name: str) -> Found:
    """The rate at which less than one packet in a hundred is lost, each rate tried for a second."""
    size = SIZES[name]
    made = search.trials(lambda rate: iperf.datagrams(track.sites, track.ends, 1, size, rate), START)
    return Found({name: _packets(search.best(made), size)}, {"trials": [asdict(trial) for trial in made]})


def _blast(track: Track, name: str) -> Found:
    """What arrives when the sender sends as fast as it can."""
    size = SIZES[name]
    with usage.Meter(track.running.daemons) as meter:
        trial = iperf.datagrams(track.sites, track.ends, track.seconds, size)
    values = {name: _packets(trial.delivered, size)}
    if track.running.daemons and trial.delivered:
        packets = trial.delivered * track.seconds
        values |= {f"{name}-cpu": meter.seconds / packets * 1e6, f"{name}-memory": meter.peak / MEBI}
    return Found(values, {"sent": trial.sent, "delivered": trial.delivered, "cpu": meter.seconds})


def _packets(rate: float, size: int) -> float:
    """Small packets are counted in thousands a second, large ones by their payload in Mbit/s."""
    return rate / 1e3 if size < 1_000 else rate * size * 8 / 1e6


def _ping(track: Track, name: str) -> Found:
    times = pings.measure(track.sites, track.ends, track.seconds)
    values = {f"{name}-p{percent}": pings.percentile(times.milliseconds, percent) for percent in (50, 99)}
    return Found(values, {"asked": times.asked, "lost": times.lost})


def _loaded_ping(track: Track, name: str) -> Found:
    with iperf.flow(track.sites, track.ends):
        return _ping(track, name)


def _ike(track: Track, name: str) -> Found:
    """IKE SAs made, each with its child SA, and ended by turns; side a calls, and side b's processor time counts. One
    after the other, so that nothing waits in a queue."""
    with usage.Meter(track.running.daemons[1:]) as meter:
        made = _renew(track.running)
    return Found({name: made / meter.seconds} if made and meter.seconds else {}, {"made": made, "cpu": meter.seconds})


def _ike_stall(track: Track, name: str) -> Found:
    """How long side b's control process keeps others waiting meanwhile."""
    if track.running.ask is None:
        return Found({})
    with Stalls(track.running.ask) as stalls:
        made = _renew(track.running)
    return Found({name: pings.percentile(stalls.milliseconds, 99.9)}, {"made": made, "asked": len(stalls.milliseconds)})


def _renew(running: Running) -> int:
    if running.renew is None:
        return 0
    for _ in range(RENEWALS):
        running.renew()
    return RENEWALS


# The set-up comes with every turn, before all others.
FIGURES: Mapping[str, Callable[[Track, str], Found]] = {
    "tcp1": _tcp,
    "tcp4": _tcp,
    "udp64": _udp,
    "udp1372": _udp,
    "blast64": _blast,
    "blast1372": _blast,
    "ping": _ping,
    "loaded-ping": _loaded_ping,
    "ike": _ike,
    "ike-stall": _ike_stall,
}
