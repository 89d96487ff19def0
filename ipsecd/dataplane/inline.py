"""Both roads in one process, behind the same messages as roads in processes of their own.

The owner reads the TUN device and the sockets, calls in, and carries out what comes back, in order. Every call takes
the time; nothing here waits, sends or reads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ipsecd import limits
from ipsecd.dataplane.commands import (
    INBOUND_ALONE,
    OUTBOUND_ALONE,
    Generations,
    inbound_counters,
    outbound_counters,
    tell_inbound,
    tell_outbound,
    together,
)
from ipsecd.dataplane.messages import AskCounters, Counters, Done, Outside, SetSpd, ToRoads
from ipsecd.dataplane.results import Result
from ipsecd.dataplane.runs_in import RunsIn
from ipsecd.dataplane.runs_out import RunsOut
from ipsecd.errors import LocalError
from ipsecd.ipsec.esp import IvSource
from ipsecd.ipsec.sad import sooner
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
        self._generations = Generations()
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

    @property
    def room(self) -> memoryview:
        """Where native packets go, one behind the other."""
        return self._inbound.room

    def from_native_reads(self, octets: int, segment: int, outside: Outside, now: float) -> Iterable[Result]:
        """Receive what was read into ``room``: packets of ``segment`` octets each, of which the last may have less, and
        the rest as ``from_udp_read``."""
        return self._inbound.carry_native_read(octets, segment, outside, now)

    def from_native_read(self, packet: bytes, outside: Outside, now: float) -> list[Result]:
        """Receive one IP packet of protocol 50 or 51, its header included; the ports of ``outside`` are 0."""
        return self._inbound.carry_native(packet, outside, now)

    def timer(self, now: float) -> list[Result]:
        """What time alone has brought about; to be called at ``deadline`` or later."""
        return self._outbound.timer(now) + self._inbound.timer(now)

    def deadline(self) -> float | None:
        """When ``timer`` has something to do next; None: not until something else happens."""
        return sooner(self._outbound.deadline(), self._inbound.deadline())

    def counters(self) -> Counters:
        """What both roads have counted."""
        return together([outbound_counters(self._outbound), inbound_counters(self._inbound)])

    def _do(self, message: ToRoads, now: float) -> list[Result]:
        results: list[Result] = []
        if isinstance(message, AskCounters):
            return [self.counters()]
        spd = None
        if isinstance(message, SetSpd):
            self._generations.take(message.generation)
            spd = Spd(message.entries)
        if not isinstance(message, OUTBOUND_ALONE):
            tell_inbound(self._inbound, message, now, spd)
        if not isinstance(message, INBOUND_ALONE):
            results = tell_outbound(self._outbound, message, now, spd)
        return results
