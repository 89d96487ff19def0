"""The road in in a process of its own: from the sockets where ESP and AH arrive to the TUN device."""

from __future__ import annotations

import select
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from ipaddress import IPv4Address

from ipsecd import limits
from ipsecd.dataplane.commands import inbound_counters, tell_inbound
from ipsecd.dataplane.messages import NATIVE, Counters, Outside, ToRoads
from ipsecd.dataplane.process import Hears, RoadProcess, heard
from ipsecd.dataplane.results import Result
from ipsecd.dataplane.runs_in import RunsIn
from ipsecd.dataplane.sending import Sockets
from ipsecd.io.ah_errors import AhErrors
from ipsecd.io.channel import Channel
from ipsecd.io.native_runs import RunReceiver
from ipsecd.io.tun import TunEnd
from ipsecd.io.udp import UdpSocket
from ipsecd.ipsec.spd import Spd
from ipsecd.wire.selector import Address

_CROWD = 2  # reads in one turn that wait for others
_NOWHERE = Outside(IPv4Address(0), 0, IPv4Address(0), 0)


class InboundProcess(RoadProcess):
    """Reads these sockets: datagrams; whole packets by ``native``; what routers say of some of those by ``routers``."""

    def __init__(
        self,
        channel: Channel,
        tun: TunEnd,
        road: RunsIn,
        sockets: Sockets,
        native: Sequence[RunReceiver],
        routers: Sequence[AhErrors],
    ) -> None:
        super().__init__(channel, tun)
        self._road = road
        self._sockets = sockets
        self._native, self._routers = native, routers
        self._outside = _NOWHERE  # of the last datagram; the same object as long as it is the same
        self._calm = True  # the last turn brought no more than one read
        for (_, port), opened in sockets.items():
            self._watch(opened.fileno(), partial(self._from_socket, opened, port))
        for receiver in native:
            self._watch(receiver.fileno(), partial(self._from_native, receiver))
        for router in routers:
            self._watch(router.fileno(), partial(self._from_router, router))

    def use_tun(self, tun: TunEnd) -> None:
        """It is only written to."""

    def _from_socket(self, opened: UdpSocket, port: int, now: float, event: int) -> None:
        """Errors are read in every turn, however many datagrams there are: they fill the same buffer."""
        self.guarded("datagrams", self._receive, opened, port, now)
        self.guarded("datagrams", self._end, now)
        if event & select.POLLERR:
            self._tell_errors(opened, port)

    def _receive(self, opened: UdpSocket, port: int, now: float) -> None:
        """A bounded number of datagrams, so that messages and time have their turn. Where they come one by one, the
        first doesn't wait until it's known that there is no second."""
        road, carry_out, left = self._road, self.carry_out, limits.BURST_OCTETS
        count = 0
        while count < limits.BURST and left > 0 and (read := opened.receive_into(road.received)) is not None:
            octets, segment, remote, remote_port, local, tos = read
            outside = self._outside
            same = remote is outside.remote and local is outside.local and remote_port == outside.remote_port
            if not same or port != outside.local_port:
                outside = self._outside = Outside(local, port, remote, remote_port)
            carry_out(road.carry_read(octets, segment, outside, tos, now, natt=True), now)
            if self._calm and not count and octets == segment:
                carry_out(road.end(now), now)
            count += 1
            left -= octets
        self._calm = count < _CROWD

    def _from_native(self, receiver: RunReceiver, now: float, event: int) -> None:
        self.guarded("native packets", self._receive_packets, receiver, now)
        self.guarded("native packets", self._end, now)
        if event & select.POLLERR:
            self._tell_errors(receiver, NATIVE)

    def _receive_packets(self, receiver: RunReceiver, now: float) -> None:
        """Likewise. Nobody wakes us for one that is held; for what comes after all was read, somebody does."""
        road, left, turns = self._road, limits.BURST_OCTETS, 0
        more = True
        while more and (read := receiver.receive_run(road.room, limits.BURST)) is not None:
            octets, segment, local, remote = read
            outside = self._natively(local, remote)
            self.carry_out(road.carry_native_read(octets, segment, outside, now), now)
            turns += octets // segment
            left -= octets
            more = receiver.holds or (turns < limits.BURST and left > 0 and not receiver.drained)

    def _natively(self, local: Address, remote: Address) -> Outside:
        outside = self._outside
        if remote is not outside.remote or local is not outside.local or outside.local_port != NATIVE:
            outside = self._outside = Outside(local, NATIVE, remote, NATIVE)
        return outside

    def _from_router(self, router: AhErrors, _now: float, _event: int) -> None:
        self._tell_errors(router, NATIVE)

    def _tell_errors(self, opened: UdpSocket | RunReceiver | AhErrors, port: int) -> None:
        for error in opened.errors(limits.SOCKET_ERRORS):
            self.say(heard(port, error))

    def _end(self, now: float) -> None:
        self.carry_out(self._road.end(now), now)

    def carry_out(self, results: Iterable[Result], now: float) -> None:  # noqa: ARG002  the road out needs the time
        for result in results:
            self.common(result)

    def tell(self, message: ToRoads, now: float, spd: Spd | None) -> list[Result]:
        tell_inbound(self._road, message, now, spd)
        return []

    def timer(self, now: float) -> list[Result]:
        return self._road.timer(now)

    def deadline(self) -> float | None:
        return self._road.deadline()

    def counters(self) -> Counters:
        unread = sum((opened.drops for opened in self._sockets.values()), Counter[str]())
        unread = sum((receiver.drops for receiver in self._native), unread)
        opened: list[Hears] = [*self._sockets.values(), *self._native, *self._routers]
        return self.with_ours(inbound_counters(self._road), opened, unread)
