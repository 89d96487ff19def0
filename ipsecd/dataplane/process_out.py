"""The road out in a process of its own: from the TUN device to the sockets that ESP and AH leave by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from errno import EMSGSIZE
from functools import partial

from ipsecd import limits
from ipsecd.dataplane.commands import outbound_counters, tell_outbound
from ipsecd.dataplane.messages import NATIVE, Counters, ToRoads
from ipsecd.dataplane.process import Hears, RoadProcess, heard
from ipsecd.dataplane.results import Out, OutRun, Result
from ipsecd.dataplane.runs_out import RunsOut
from ipsecd.dataplane.sending import Sending, Sockets, on_the_wire
from ipsecd.errors import KernelError
from ipsecd.io.channel import Channel
from ipsecd.io.native import NativeSender
from ipsecd.io.tun import TunEnd
from ipsecd.io.udp import UdpSocket
from ipsecd.io.udp_errors import PathError
from ipsecd.ipsec.spd import Spd

_CROWD = 2  # packets in one turn that wait for others


class OutboundProcess(RoadProcess):
    """Sends by these sockets; whole IP packets by those of ``native``, by IP version."""

    def __init__(
        self, channel: Channel, tun: TunEnd, road: RunsOut, sockets: Sockets, native: Mapping[int, NativeSender]
    ) -> None:
        super().__init__(channel, tun)
        self._road = road
        self._sockets = sockets
        self._native = native
        self._sending = Sending(sockets, native)
        self._calm = True  # the last turn brought no more than one packet
        self._begun = False
        for (_, port), opened in sockets.items():
            self._watch(opened.fileno(), partial(self._hear, opened, port))
        for sender in native.values():
            self._watch(sender.fileno(), partial(self._hear, sender, NATIVE))

    def use_tun(self, tun: TunEnd) -> None:
        """Read it, once there is a policy: until then packets wait in the kernel."""
        if self._begun:
            self._watch(tun.fileno(), self._from_tun)

    def _from_tun(self, now: float, _: int) -> None:
        self.guarded("packets from the TUN", self._carry, now)
        self.guarded("packets from the TUN", self._end, now)

    def _carry(self, now: float) -> None:
        """A bounded number of packets, so that messages and time have their turn. Where they come one by one, the first
        doesn't wait until it's known that there is no second."""
        tun, road, carry_out, left = self._tun, self._road, self.carry_out, limits.BURST_OCTETS
        count = 0
        while tun is not None and count < limits.BURST and left > 0:
            try:
                read = tun.read()
            except KernelError as error:
                self.tun_lost(error)
                break
            if read is None:
                break
            packet, head = read
            carry_out(road.carry_read(packet, head, now), now)
            if self._calm and not count:
                carry_out(road.end(now), now)
            count += 1
            left -= len(packet)
        self._calm = count < _CROWD

    def _end(self, now: float) -> None:
        self.carry_out(self._road.end(now), now)

    def carry_out(self, results: Iterable[Result], now: float) -> None:
        for result in results:
            if isinstance(result, Out | OutRun):
                if mtu := self._sending.send(result):
                    self._too_big(result, mtu, now)
            else:
                self.common(result)

    def _too_big(self, out: Out | OutRun, mtu: int, now: float) -> None:
        """The kernel knows the link better than we did. Once the road knows too, it cuts what was inside, or tells its
        sender; what it makes of it is smaller, so this ends. The road in learns it from the control process."""
        remote, packets = out.outside.remote, out.packets()
        self._road.set_link_mtu(remote, mtu)
        self._road.forget()
        self.say(heard(out.outside.local_port, PathError(EMSGSIZE, False, remote, out.outside.remote_port, mtu, b"")))
        if on_the_wire(out) > mtu:
            for packet in packets:
                self.carry_out(self._road.carry_again(packet, now), now)

    def _hear(self, opened: UdpSocket | NativeSender, port: int, _now: float, _event: int) -> None:
        """Only what the kernel says of a datagram that didn't fit, and was let go, comes here."""
        for error in opened.errors(limits.SOCKET_ERRORS):
            self.say(heard(port, error))

    def tell(self, message: ToRoads, now: float, spd: Spd | None) -> list[Result]:
        self._road.forget()
        results = tell_outbound(self._road, message, now, spd)
        if spd is not None and not self._begun:
            self._begun = True
            if self._tun is not None:
                self.use_tun(self._tun)
        return results

    def timer(self, now: float) -> list[Result]:
        return self._road.timer(now)

    def deadline(self) -> float | None:
        return self._road.deadline()

    def counters(self) -> Counters:
        opened: list[Hears] = [*self._sockets.values(), *self._native.values()]
        return self.with_ours(outbound_counters(self._road), opened, self._sending.drops())
