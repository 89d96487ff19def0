"""Both roads of a gateway in processes of their own, and SAs whose keys nobody has negotiated."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Self

from ipsecd.daemon.guard import Guard
from ipsecd.daemon.native_sockets import NativeSockets
from ipsecd.daemon.plane import Apart, Measures
from ipsecd.daemon.sockets import Sockets
from ipsecd.dataplane import messages as m
from ipsecd.dataplane.results import Result
from ipsecd.io.clock import Clock
from ipsecd.policy.plan import Action, Plan, Settings
from ipsecd.wire.form import Form
from ipsecd.wire.selector import Selector
from tests.netns.gateway import Gateway, entry
from tests.netns.places import GA_WAN, GB_WAN, NET_A, NET_B
from tests.unit.dataplane.shapes import AROUND, Shape
from tests.unit.ipsec.pairs import ah_keys, keys

SPI_OF_A, SPI_OF_B = 0xA000_0001, 0xB000_0001
_SPIS = {"ga": (SPI_OF_A, SPI_OF_B), "gb": (SPI_OF_B, SPI_OF_A)}  # inbound, outbound
_PORT = 4500
_WANS = {version: (ip_address(GA_WAN[version]), ip_address(GB_WAN[version])) for version in (4, 6)}
ENDS = {"ga": _WANS, "gb": {version: pair[::-1] for version, pair in _WANS.items()}}


def plan(place: str, **settings: Any) -> Plan:
    """What the gateway there protects: whatever goes between the networks, and between the gateways themselves."""
    near, far = (NET_A, NET_B) if place == "ga" else (NET_B, NET_A)
    nets = [entry(Action.PROTECT, Selector.net(near[v]), Selector.net(far[v]), f"nets/{v}") for v in (4, 6)]
    hosts = [entry(Action.PROTECT, *(Selector(e, e) for e in ENDS[place][v]), f"hosts/{v}") for v in (4, 6)]
    return Plan(policy="test", entries=(*nets, *hosts), settings=Settings(**settings))


class StaticKeys:
    """``gateway`` has its floor, its TUN and its routes. What is heard of paths is believed."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._clock = Clock().now
        self._waiting: deque[asyncio.Future[str]] = deque()
        self.heard: list[m.Heard] = []
        self.told: list[Result] = []  # but for what answers a message

    def __enter__(self) -> Self:
        self._gateway.do(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gateway.do(self._stop())

    async def _start(self) -> None:
        mark = self._gateway.plan.settings.own_mark
        self.sockets = Sockets(500, _PORT, mark, native=NativeSockets.opened(mark, needed=True), apart=True)
        measures = Measures(self._gateway.state.settings.mtu, 600.0)
        self.plane = Apart(measures, self._gateway.tun, self, Guard(), self._clock)
        await self.plane.start(self._gateway.tun, self.sockets)
        entries = (m.SpdEntry(e.name, e.rule, "protect", e.pairs, e.name) for e in self._gateway.plan.entries)
        await self._tell(m.SetSpd(1, tuple(entries)))

    async def _stop(self) -> None:
        await self.plane.stop()
        self.sockets.close()

    # --- what the processes say -----------------------------------------------------------------------------------

    def results(self, results: Iterable[Result], _now: float) -> None:
        for result in results:
            if isinstance(result, m.Done):
                self._waiting.popleft().set_result(result.error)
            else:
                self.told.append(result)

    def path_heard(self, heard: m.Heard) -> None:
        self.heard.append(heard)
        if heard.mtu:
            kind = m.SetPathMtu if heard.reported else m.SetLinkMtu
            asyncio.get_running_loop().create_task(self._tell(kind(heard.remote, heard.mtu)))

    def tun_lost(self, reason: str) -> None:
        raise AssertionError(reason)

    def plane_again(self) -> None:
        raise AssertionError("a process has died")

    def plane_failed(self, reason: str) -> None:
        raise AssertionError(reason)

    # --- what they are told ---------------------------------------------------------------------------------------

    def tell(self, *messages: m.ToRoads) -> None:
        """Each is done when this returns."""
        self._gateway.do(self._tell(*messages))

    async def _tell(self, *messages: m.ToRoads) -> None:
        for message in messages:
            done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            self._waiting.append(done)
            self.results(self.plane.roads.handle(message, self._clock()), 0.0)
            assert not await done

    def counters(self) -> m.Counters:
        return self._gateway.do(self.plane.counters())

    def install(self, shape: Shape, inner: int) -> None:
        """Both directions of an SA of this shape between the gateways. ``inner`` is the IP version of the networks in
        it; in transport mode it's that of the gateways themselves."""
        self.tell(*self._around(shape), *self._pair(shape, inner))

    def remove(self, shape: Shape) -> None:
        inbound, outbound = _SPIS[self._gateway.place]
        for more in (0, AROUND) if shape.protocol == "both" else (0,):
            self.tell(m.RemoveOutbound(outbound + more, inbound + more), m.RemoveInbound(inbound + more))

    def _around(self, shape: Shape) -> list[m.ToRoads]:
        if shape.protocol != "both":
            return []
        return self._both_ways(
            shape, AROUND, ah_keys(shape.mac, esn=shape.esn), Form(transport=True, outer=True), shape.outer
        )

    def _pair(self, shape: Shape, inner: int) -> list[m.ToRoads]:
        given = ah_keys(shape.mac, esn=shape.esn) if shape.protocol == "ah" else keys(shape.suite, esn=shape.esn)
        within = _SPIS[self._gateway.place][0] + AROUND if shape.protocol == "both" else 0
        return self._both_ways(shape, 0, given, Form(shape.transport, within=within), inner)

    def _both_ways(
        self, shape: Shape, more: int, given: m.EspKeys | m.AhKeys, form: Form, inner: int
    ) -> list[m.ToRoads]:
        place, port = self._gateway.place, 0 if shape.native else _PORT
        here, there = ENDS[place][shape.outer]
        outside = m.Outside(here, port, there, port)
        near, far = (
            (Selector(end, end) for end in (here, there))
            if shape.transport
            else (Selector.net(net[inner]) for net in ((NET_A, NET_B) if place == "ga" else (NET_B, NET_A)))
        )
        inbound, outbound = (spi + more for spi in _SPIS[place])
        child = f"{'hosts' if shape.transport else 'nets'}/{inner}"
        common = (child, given, (near,), (far,), outside, m.Limits())
        return [
            m.InstallInbound(inbound, *common, 1_024, form),
            m.InstallOutbound(outbound, inbound, *common, form),
        ]
