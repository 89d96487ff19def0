"""Which socket ESP leaves by, one packet or a run in each call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ipsecd.dataplane.messages import Outside
from ipsecd.dataplane.results import Out, OutRun
from ipsecd.io.udp import UdpSocket

Sockets = Mapping[tuple[int, int], UdpSocket]
"""By IP version and port."""


class _Like(NamedTuple):
    """What was sent last, as far as what follows may be like it, and what sends that."""

    outside: Outside
    tos: int
    df: bool
    segment: int
    again: Callable[[bytes | memoryview], bool]


class Sending:
    """Sends by these sockets."""

    def __init__(self, sockets: Sockets) -> None:
        self._sockets = sockets
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
        outside, tos, df = out.outside, out.tos, out.df
        opened = self._sockets.get((outside.local.version, outside.local_port))
        if opened is None:
            self._drops["send-no-socket"] += -(-len(data) // out.octets)
            return 0
        refusal = opened.send(
            data,
            outside.remote,
            outside.remote_port,
            local=outside.local,
            traffic_class=tos,
            may_fragment=not df,
            segment=segment,
        )
        if refusal is not None:
            return refusal.mtu
        again = opened.repeat(
            outside.remote,
            outside.remote_port,
            local=outside.local,
            traffic_class=tos,
            may_fragment=not df,
            segment=segment,
        )
        self._last = None if again is None else _Like(outside, tos, df, segment, again)
        return 0

    def drops(self) -> Counter[str]:
        """What wasn't sent, by reason."""
        return sum((opened.drops for opened in self._sockets.values()), Counter(self._drops))
