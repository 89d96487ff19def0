"""Which socket ESP and AH leave by, one packet or a run in each call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ipsecd.dataplane.messages import Outside
from ipsecd.dataplane.results import Out, OutRun
from ipsecd.io.native import NativeSender
from ipsecd.io.outgoing import Refusal
from ipsecd.io.udp import UdpSocket
from ipsecd.ipsec.pmtu import outer_octets

Sockets = Mapping[tuple[int, int], UdpSocket]
"""By IP version and port."""


class _Like(NamedTuple):
    """What was sent last, as far as what follows may be like it, and what sends that."""

    outside: Outside
    tos: int
    df: bool
    segment: int
    again: Again


Again = Callable[[bytes | memoryview], bool]


def on_the_wire(out: Out | OutRun) -> int:
    """The size of the IP packet that it leaves in, or each of them."""
    outside = out.outside
    return out.octets if outside.native else outer_octets(out.octets, outside.remote.version)


class Sending:
    """Sends by these sockets; whole IP packets by those of ``native``, by IP version."""

    def __init__(self, sockets: Sockets, native: Mapping[int, NativeSender]) -> None:
        self._sockets = sockets
        self._native = native
        self._last: _Like | None = None
        self._drops: Counter[str] = Counter()  # what there was no socket for

    def send(self, out: Out | OutRun) -> int:
        """The MTU of the link if the kernel says that it is too narrow, else 0; then none of a run is sent."""
        data, segment = (out.datagrams, out.octets) if isinstance(out, OutRun) else (out.datagram, 0)
        last, outside = self._last, out.outside
        if (
            last is not None
            and outside is last.outside
            and (out.tos, out.df, segment) == (last.tos, last.df, last.segment)
            and last.again(data)
        ):
            return 0
        return self._send(data, segment, out)

    def _send(self, data: bytes | memoryview, segment: int, out: Out | OutRun) -> int:
        by = self._send_packets if out.outside.native else self._send_datagrams
        refusal, again = by(data, segment, out)
        if refusal is not None:
            return refusal.mtu
        self._last = None if again is None else _Like(out.outside, out.tos, out.df, segment, again)
        return 0

    def _send_datagrams(
        self, data: bytes | memoryview, segment: int, out: Out | OutRun
    ) -> tuple[Refusal | None, Again | None]:
        """Why it wasn't sent; or what sends more like it, if anything does."""
        outside = out.outside
        opened = self._sockets.get((outside.local.version, outside.local_port))
        if opened is None:
            return self._no_socket(-(-len(data) // out.octets)), None
        ends = (outside.remote, outside.remote_port)
        refusal = opened.send(
            data, *ends, local=outside.local, traffic_class=out.tos, may_fragment=not out.df, segment=segment
        )
        if refusal is not None:
            return refusal, None
        return None, opened.repeat(
            *ends, local=outside.local, traffic_class=out.tos, may_fragment=not out.df, segment=segment
        )

    def _send_packets(
        self, data: bytes | memoryview, segment: int, out: Out | OutRun
    ) -> tuple[Refusal | None, Again | None]:
        """Likewise. All that their headers say stands in them."""
        outside = out.outside
        opened = self._native.get(outside.local.version)
        if opened is None:
            return self._no_socket(-(-len(data) // out.octets)), None
        ends = outside.local, outside.remote
        refusal = opened.send(data, *ends, segment=segment)
        return (refusal, None) if refusal is not None else (None, opened.repeat(*ends, segment=segment))

    def _no_socket(self, count: int) -> Refusal:
        self._drops["send-no-socket"] += count
        return Refusal("send-no-socket")

    def drops(self) -> Counter[str]:
        """What wasn't sent, by reason."""
        total = sum((opened.drops for opened in self._sockets.values()), Counter(self._drops))
        return sum((opened.drops for opened in self._native.values()), total)
