"""Two ends of a tunnel, each with both roads inline, for tests.

10.1.0.0/16, 2001:db8:1::/48  --  near 192.0.2.1  ==  far 198.51.100.1  --  10.2.0.0/16, 2001:db8:2::/48
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address
from typing import TypeVar

from ipsecd.dataplane import messages as m
from ipsecd.dataplane.inline import InlineRoads
from ipsecd.dataplane.results import Out, Result, ToTun
from ipsecd.ipsec import esp
from ipsecd.ipsec.tunnel import AS_INNER
from ipsecd.wire.form import TUNNEL
from ipsecd.wire.selector import Address, Selector
from tests.unit.crypto.suites import Suite
from tests.unit.ipsec.pairs import GCM, fixed_iv, keys

NEAR_NETS = (Selector.net("10.1.0.0/16"), Selector.net("2001:db8:1::/48"))
FAR_NETS = (Selector.net("10.2.0.0/16"), Selector.net("2001:db8:2::/48"))
OUTER = {
    4: (ip_address("192.0.2.1"), ip_address("198.51.100.1")),
    6: (ip_address("2001:db8::1"), ip_address("2001:db8::2")),
}
TUN_MTU = 1_400
NEAR_SPI, FAR_SPI = 0x0000_1111, 0x0000_2222  # each end's inbound SPI

Of = TypeVar("Of")


def only(results: Iterable[Result], kind: type[Of]) -> list[Of]:
    """The results of one kind."""
    return [result for result in results if isinstance(result, kind)]


def protect(*pairs: tuple[Selector, Selector], child: str = "child", header: m.OuterHeader = AS_INNER) -> m.SpdEntry:
    return m.SpdEntry("all", "rule", "protect", pairs, child, header=header)


class End:
    """One end: its roads, and what it knows of the other end."""

    def __init__(self, *, near: bool, outer: int = 4, suite: Suite = GCM, esn: bool = False) -> None:
        here, there = OUTER[outer] if near else OUTER[outer][::-1]
        self.outside = m.Outside(here, 4500, there, 4500)
        self.local, self.remote = (NEAR_NETS, FAR_NETS) if near else (FAR_NETS, NEAR_NETS)
        self.inbound, self.outbound = (NEAR_SPI, FAR_SPI) if near else (FAR_SPI, NEAR_SPI)
        self.keys: m.EspKeys | m.AhKeys = keys(suite, esn=esn)
        self.form = TUNNEL
        self.roads = InlineRoads(fixed_iv, tun_mtu=TUN_MTU)
        self._generation = 0

    def policy(self, *entries: m.SpdEntry) -> list[Result]:
        """Replace the SPD; without entries the one that protects the nets."""
        self._generation += 1
        pairs = tuple(zip(self.local, self.remote, strict=True))
        return self.roads.handle(m.SetSpd(self._generation, entries or (protect(*pairs),)), 0.0)

    def install_inbound(self, now: float = 0.0, *, spi: int = 0, child: str = "child", **given: object) -> list[Result]:
        kept = {"local": self.local, "remote": self.remote, "keys": self.keys, "form": self.form, "limits": m.Limits()}
        return self.roads.handle(
            m.InstallInbound(spi or self.inbound, child, outside=self.outside, window=1_024, **(kept | given)),  # type: ignore[arg-type]  # the caller's care
            now,
        )

    def install_outbound(
        self, now: float = 0.0, *, spi: int = 0, inbound: int = 0, child: str = "child", **given: object
    ) -> list[Result]:
        kept = {"local": self.local, "remote": self.remote, "keys": self.keys, "form": self.form, "limits": m.Limits()}
        names = spi or self.outbound, inbound or self.inbound
        return self.roads.handle(
            m.InstallOutbound(*names, child, outside=self.outside, **(kept | given)),  # type: ignore[arg-type]  # the caller's care
            now,
        )

    def send(self, *packets: bytes, now: float = 0.0) -> list[Result]:
        """One by one, as the roads for single packets take them; likewise ``receive``."""
        return self.roads._outbound.carry(packets, now)

    def receive(
        self, datagram: bytes, now: float = 0.0, *, tos: int = 0, source: tuple[Address, int] | None = None
    ) -> list[Result]:
        remote, port = source or (self.outside.remote, self.outside.remote_port)
        outside = replace(self.outside, remote=remote, remote_port=port)
        return self.roads._inbound.carry(datagram, outside, tos, now, natt=True)

    def counters(self) -> m.Counters:
        (counters,) = self.roads.handle(m.AskCounters(), 0.0)
        assert isinstance(counters, m.Counters)
        return counters

    @property
    def drops(self) -> dict[str, int]:
        return self.counters().drops

    @property
    def paths(self) -> Counter[str]:
        return Counter(self.counters().paths)


def up() -> End:
    """The near end of a tunnel, ready to send."""
    end = End(near=True)
    end.policy()
    end.install_outbound()
    return end


def tunnel(*, outer: int = 4, suite: Suite = GCM, esn: bool = False) -> tuple[End, End]:
    """Near and far end of a tunnel that is up."""
    ends = End(near=True, outer=outer, suite=suite, esn=esn), End(near=False, outer=outer, suite=suite, esn=esn)
    for end in ends:
        end.policy()
        end.install_inbound()
        end.install_outbound()
    return ends


def carry(sender: End, receiver: End, packet: bytes) -> list[bytes]:
    """What comes out of the receiver's TUN device when the packet goes into the sender's."""
    arrived: list[bytes] = []
    for out in only(sender.send(packet), Out):
        arrived += [result.packet for result in only(receiver.receive(out.datagram, tos=out.tos), ToTun)]
    return arrived


def authentic(near: End, next_header: int, payload: bytes) -> bytes:
    """A datagram that only the peer can make, with anything inside."""
    (sa,) = (sa for sa in near.roads._outbound._sad if not sa.form.outer)
    number = sa.take(1)
    assert number is not None
    return esp.seal(sa, number, next_header, payload, fixed_iv)[0]
