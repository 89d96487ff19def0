"""What the network says of ESP and AH packets that don't get there, in words for an operator.

ICMP errors are as good as their senders, whom nobody knows, so nothing comes of them but a line, and of each SA no more
than one in a while. It has to be about a packet of an SA that goes to just where that packet went: who can say so has
seen it, or sent it on.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from ipsecd import limits
from ipsecd.daemon.paths import Paths
from ipsecd.dataplane.messages import NATIVE
from ipsecd.io.udp_errors import PathError
from ipsecd.wire.registry import IpProtocol, Protocol

# ICMP: protocol unreachable, or port unreachable, which firewalls say of anything (RFC 792). ICMPv6: an unknown next
# header (RFC 4443 section 3.4), administratively prohibited, or port unreachable (section 3.1)
_REFUSED: Final = {4: (errno.ENOPROTOOPT, errno.ECONNREFUSED), 6: (errno.EPROTO, errno.EACCES, errno.ECONNREFUSED)}
# ICMP: administratively prohibited (RFC 1812 section 5.2.7.1), which the kernel gives the number of an unreachable host
_FILTERED: Final = {4: (errno.EHOSTUNREACH,), 6: ()}
_NUMBERS = {Protocol.ESP: IpProtocol.ESP, Protocol.AH: IpProtocol.AH}
_IN_UDP = {  # what to do about it
    Protocol.ESP: "encapsulation: udp does without that protocol",
    Protocol.AH: "encapsulation: udp does without that protocol, if the peer is an ipsecd",
}


class Unreached:
    """Remembers of which SAs it was told lately. ``paths`` know all there are."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._told: dict[bytes, float] = {}  # when, by inbound SPI; oldest first

    def about(self, error: PathError, port: int, now: float) -> tuple[bytes, str] | None:
        """The inbound SPI of the pair whose packet didn't get there, and why; None if that isn't one of ours, or has
        been told. The packet left by ``port``."""
        sa = self._paths.quoted(error, port)
        if sa is None or now - self._told.get(sa.inbound, -limits.UNREACHED_AGAIN) < limits.UNREACHED_AGAIN:
            return None
        self._told.pop(sa.inbound, None)
        self._told[sa.inbound] = now
        self._forget(now)
        return (
            sa.inbound,
            f"{sa.protocol} doesn't get to {error.remote}, says an ICMP error: {_why(error, sa.protocol, port)}",
        )

    def _forget(self, now: float) -> None:
        """What may be told again. The oldest are first, so thousands of SAs at once aren't gone through for each."""
        while now - self._told[oldest := next(iter(self._told))] >= limits.UNREACHED_AGAIN:
            del self._told[oldest]


def _why(error: PathError, protocol: Protocol, port: int) -> str:
    refuses = f"refuses IP protocol {_NUMBERS[protocol]:d} ({_IN_UDP[protocol]})"
    if port == NATIVE and error.errno in _REFUSED[error.remote.version]:
        return f"its host, or a firewall before it, {refuses}"
    if port == NATIVE and error.errno in _FILTERED[error.remote.version]:
        return f"{os.strerror(error.errno)}, or a firewall before it {refuses}"
    return os.strerror(error.errno)
