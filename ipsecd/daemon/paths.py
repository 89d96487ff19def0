"""The paths that our outbound SAs take: what their links carry, and who is believed about the rest of the way.

The kernel is, about the link. An ICMP error from the outside isn't authenticated, so it may be believed or not (RFC
4301 section 6.1.1), and only about a packet of an SA that goes to just where that packet went (section 8.2.1): knowing
some SPI of ours, as any of our peers does, isn't enough. Routers that quote no more than RFC 792 demands don't show the
SPI; they are believed about a path that an SA takes, but a good deal less far.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from ipsecd import limits
from ipsecd.daemon import translate
from ipsecd.dataplane import messages
from ipsecd.dataplane.messages import Outside, SetLinkMtu, SetPathMtu
from ipsecd.ike import effects
from ipsecd.io.udp_errors import PathError
from ipsecd.wire.registry import Protocol
from ipsecd.wire.selector import Address

LinkMtu = Callable[[Address, Address], int | None]
"""What the link towards the first address carries, of packets that come from the second; None if nobody knows."""

_SPI_OCTETS = 4


class _Ends(NamedTuple):
    """Where ESP packets go, and the port of ours that they leave by."""

    remote: Address
    remote_port: int
    local_port: int


class Known(NamedTuple):
    """An outbound SA: its SPI, that of its other half, and where its packets go."""

    spi: bytes
    inbound: bytes
    protocol: Protocol
    outside: Outside

    @property
    def ends(self) -> _Ends:
        return _Ends(self.outside.remote, self.outside.remote_port, self.outside.local_port)


def _ends(error: PathError, port: int) -> _Ends:
    return _Ends(error.remote, error.remote_port, port)


def _spi(data: bytes, port: int) -> bytes:
    """Of what a packet that left by this port begins with. In UDP the first word is ESP's SPI, or begins AH (RFC 4302
    section 2), whose reserved field is zero, as the low half of an SPI between two ends of ours never is."""
    ah = port != messages.NATIVE and any(data[:2]) and data[2:_SPI_OCTETS] == b"\0\0"
    return data[_SPI_OCTETS : 2 * _SPI_OCTETS] if ah else data[:_SPI_OCTETS]


class Paths:
    """Follows the effects on SAs. ``believe``: whether ICMP errors may narrow a path at all."""

    def __init__(self, link_mtu: LinkMtu, *, believe: bool) -> None:
        self._link_mtu = link_mtu
        self._believe = believe
        self._sas: dict[bytes, Known] = {}  # by the SPI of their other half
        self._by_spi: dict[bytes, set[bytes]] = {}
        self._ends: Counter[_Ends] = Counter()
        self._told: dict[Address, int] = {}
        self._all_alike = True  # no link so far has another MTU than the roads begin with
        self.heard: Counter[str] = Counter()  # errors about datagrams that were too big

    def follow(self, effect: translate.SaEffect) -> list[SetLinkMtu]:
        """Note what an effect changes; the messages that have to go before it."""
        match effect:
            case effects.InstallOutbound(spi, inbound):
                protocol = Protocol.AH if isinstance(effect.keys, effects.AhChildKeys) else Protocol.ESP
                return self._enter(Known(spi, inbound, protocol, translate.outside(effect.path)))
            case effects.RemoveOutbound(spi, inbound):
                if inbound in self._sas and self._sas[inbound].spi == spi:
                    self._leave(inbound)
            case effects.MovePath(moved, path):
                outside = translate.outside(path)
                known = [self._sas[inbound] for inbound in moved if inbound in self._sas]
                return [message for sa in known for message in self._enter(sa._replace(outside=outside))]
            case _:
                pass
        return []

    def ways(self) -> list[Outside]:
        """One way to each peer there is an SA with, to ``ask`` about when links or routes may have changed."""
        return list({sa.outside.remote: sa.outside for sa in self._sas.values()}.values())

    def forget(self) -> None:
        """What the roads were told, they know no more."""
        self._told.clear()
        self._all_alike = True

    def ask(self, way: Outside) -> list[SetLinkMtu]:
        """What the link on this way carries now: the message about it, if that is news."""
        mtu = self._link_mtu(way.remote, way.local)
        known = self._told.get(way.remote, limits.LINK_MTU if self._all_alike else None)
        if mtu is None:
            return []
        self._told[way.remote] = mtu
        return [] if mtu == known else [self._tell(way.remote, mtu)]

    def refused(self, remote: Address, mtu: int) -> SetLinkMtu:
        """The kernel has just refused a datagram: its link carries no more than that."""
        self.heard["link-too-narrow"] += 1
        return self._tell(remote, mtu)

    def judge(self, error: PathError, port: int) -> SetLinkMtu | SetPathMtu | None:
        """What to tell the roads of an error about a datagram that left by ``port``, if it is believed."""
        if not error.mtu:
            return None
        if not error.reported:
            return self.refused(error.remote, error.mtu)
        mtu = error.mtu
        if len(_spi(error.data, port)) < _SPI_OCTETS:
            ours, mtu = _ends(error, port) in self._ends, max(mtu, limits.PMTU_FLOOR_BLIND)
        else:
            ours = self.quoted(error, port) is not None
        believed = ours and self._believe
        self.heard["path-mtu-believed" if believed else "path-mtu-doubted"] += 1
        return SetPathMtu(error.remote, mtu) if believed else None

    def quoted(self, error: PathError, port: int) -> Known | None:
        """The SA whose packet, which left by ``port``, a router or the far end speaks of; None if that isn't to be
        seen, or went elsewhere."""
        if not error.reported:
            return None
        found = (self._sas[inbound] for inbound in self._by_spi.get(_spi(error.data, port), ()))
        return next((sa for sa in found if sa.ends == _ends(error, port)), None)

    def _tell(self, remote: Address, mtu: int) -> SetLinkMtu:
        self._told[remote] = mtu
        self._all_alike &= mtu == limits.LINK_MTU
        return SetLinkMtu(remote, mtu)

    def _enter(self, sa: Known) -> list[SetLinkMtu]:
        if sa.inbound in self._sas:
            self._leave(sa.inbound)
        self._sas[sa.inbound] = sa
        self._by_spi.setdefault(sa.spi, set()).add(sa.inbound)
        self._ends[sa.ends] += 1
        return self.ask(sa.outside)

    def _leave(self, inbound: bytes) -> None:
        sa = self._sas.pop(inbound)
        self._by_spi[sa.spi].discard(inbound)
        if not self._by_spi[sa.spi]:
            del self._by_spi[sa.spi]
        self._ends[sa.ends] -= 1
        if not self._ends[sa.ends]:
            del self._ends[sa.ends]
            self._told.pop(sa.outside.remote, None)  # if others go there too, they are told once more
