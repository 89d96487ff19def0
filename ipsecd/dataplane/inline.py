"""Both roads in one process, behind the same messages as roads in processes of their own.

The owner reads the TUN device and the sockets, calls in, and carries out what comes back, in order. Every call takes
the time; nothing here waits, sends or reads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ipsecd import limits
from ipsecd.dataplane.messages import (
    AskCounters,
    Counters,
    Done,
    GiveUp,
    InstallInbound,
    InstallOutbound,
    MovePath,
    Outside,
    RemoveInbound,
    RemoveOutbound,
    SetLinkMtu,
    SetPathMtu,
    SetSpd,
    ToRoads,
)
from ipsecd.dataplane.results import Result
from ipsecd.dataplane.runs_in import RunsIn
from ipsecd.dataplane.runs_out import RunsOut
from ipsecd.errors import LocalError
from ipsecd.ipsec.esp import IvSource
from ipsecd.ipsec.spd import Spd


class InlineRoads:
    """``iv_source`` gives octets nobody can predict, for CBC. ``tun_mtu`` is the TUN device's; ``pmtu_age`` is for how
    many seconds a path MTU that ICMP has told counts. ``joins`` has the protocols of which the TUN device takes packets
    that stand for many."""

    def __init__(
        self, iv_source: IvSource, *, tun_mtu: int, pmtu_age: float = limits.PMTU_AGE, joins: Collection[int] = ()
    ) -> None:
        self._outbound = RunsOut(iv_source, tun_mtu=tun_mtu, pmtu_age=pmtu_age)
        self._inbound = RunsIn(tun_mtu=tun_mtu, pmtu_age=pmtu_age, joins=joins)
        self._generation = 0
        self._handled = 0

    def handle(self, message: ToRoads, now: float) -> list[Result]:
        """Do what the control side says. The last result is Done with the message's number, or for AskCounters the
        Counters; before it may stand packets that waited for what was installed."""
        self._handled += 1
        self._outbound.forget()
        try:
            results = self._do(message, now)
        except LocalError as error:
            return [Done(self._handled, str(error))]
        return results if isinstance(message, AskCounters) else [*results, Done(self._handled)]

    def from_tun_read(self, packet: memoryview, head: bytes | bytearray, now: float) -> Iterable[Result]:
        """Send what one read from the TUN device gave: a packet, or one that stands for many, as its virtio header
        says. Each result is to be carried out before the next is taken, and all before the next read."""
        return self._outbound.carry_read(packet, head, now)

    def from_tun_end(self, now: float) -> Iterable[Result]:
        """Nothing more waits in the TUN device: send what waits for others like it."""
        return self._outbound.end(now)

    def again(self, packet: bytes, now: float) -> list[Result]:
        """Send a packet that didn't fit the link, now that SetLinkMtu has told what does."""
        return self._outbound.carry_again(packet, now)

    @property
    def received(self) -> memoryview:
        """Where one read from a socket is to put what it gives."""
        return self._inbound.received

    def from_udp_read(
        self, octets: int, segment: int, outside: Outside, tos: int, natt: bool, now: float
    ) -> Iterable[Result]:
        """Receive what one read from a socket put into ``received``: datagrams of ``segment`` octets each, of which the
        last may have less. Each result is to be carried out before the next is taken. Single datagrams wait for others
        like them until ``from_udp_end``, or until something else comes."""
        return self._inbound.carry_read(octets, segment, outside, tos, now, natt=natt)

    def from_udp_end(self, now: float) -> Iterable[Result]:
        """Nothing more waits in the socket: receive what waits for others like it."""
        return self._inbound.end(now)

    def timer(self, now: float) -> list[Result]:
        """What time alone has brought about; to be called at ``deadline`` or later."""
        return self._outbound.timer(now) + self._inbound.timer(now)

    def deadline(self) -> float | None:
        """When ``timer`` has something to do next; None: not until something else happens."""
        moments = (self._outbound.deadline(), self._inbound.deadline())
        return min((moment for moment in moments if moment is not None), default=None)

    def _do(self, message: ToRoads, now: float) -> list[Result]:
        match message:
            case InstallInbound():
                self._inbound.install(message, now)
            case InstallOutbound():
                return self._outbound.install(message, now)
            case RemoveInbound(spi):
                self._inbound.remove(spi)
            case RemoveOutbound(spi, inbound):
                self._outbound.remove(spi, inbound)
            case MovePath(inbound, outside):
                self._outbound.move(inbound, outside)
                self._inbound.move(inbound, outside)
            case SetSpd(generation, entries):
                self._set_spd(generation, Spd(entries))
            case GiveUp(child):
                self._outbound.give_up(child)
            case SetLinkMtu(remote, mtu):
                self._outbound.set_link_mtu(remote, mtu)
                self._inbound.set_link_mtu(remote, mtu)
            case SetPathMtu(remote, mtu):
                self._outbound.set_path_mtu(remote, mtu, now)
                self._inbound.set_path_mtu(remote, mtu, now)
            case AskCounters():
                return [self._counters()]
            case _:
                raise LocalError(f"{type(message).__name__} is no message to the roads")
        return []

    def _set_spd(self, generation: int, spd: Spd) -> None:
        if generation <= self._generation:
            raise LocalError(f"SPD generation {generation} after {self._generation}")
        self._generation = generation
        self._outbound.set_spd(spd)
        self._inbound.set_spd(spd)

    def _counters(self) -> Counters:
        out, into = self._outbound, self._inbound
        return Counters(
            sas=out.counters() + into.counters(),
            drops=dict(out.tally.drops + into.tally.drops),
            paths=dict(out.tally.paths + into.tally.paths) | {"waiting": out.waiting, "held": out.held},
            entries=dict(out.tally.entries + into.tally.entries),
        )
