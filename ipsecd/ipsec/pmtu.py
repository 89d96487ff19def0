"""Path MTUs to peers (RFC 4301 section 8.2) and what they leave for the packets inside.

Nobody vouches for an ICMP error on the outside, so a path is never taken for narrower than the floor of its family,
and what was learned is forgotten after a while and may be learned anew.
"""

from __future__ import annotations

from collections import OrderedDict

from ipsecd import limits
from ipsecd.crypto.esp_cipher import EspCipher
from ipsecd.ipsec.esp import largest_payload
from ipsecd.wire.selector import Address

_UDP_HEADER = 8
_IP_HEADER = {4: 20, 6: 40}
_TCP_HEADER = 20
_FLOOR = {4: limits.PMTU_FLOOR_V4, 6: limits.PMTU_FLOOR_V6}


class PathMtus:
    """What is known of the path to each outer address, in octets of the outer IP packet. ``link_mtu`` is what a path
    has that nobody has said anything about."""

    def __init__(self, link_mtu: int = limits.LINK_MTU) -> None:
        self.link_mtu = link_mtu
        self._learned: OrderedDict[Address, tuple[int, float]] = OrderedDict()

    def learn(self, remote: Address, mtu: int, now: float) -> None:
        """Someone says that no packet over ``mtu`` octets gets through. It only ever lowers a path; with time the
        path rises again by itself (RFC 4301 section 8.2.2)."""
        mtu = max(mtu, _FLOOR[remote.version])
        if mtu > self.to(remote, now):
            return
        self._learned[remote] = (mtu, now + limits.PMTU_AGE)
        self._learned.move_to_end(remote)
        if len(self._learned) > limits.MAX_PATHS:
            self._learned.popitem(last=False)

    def to(self, remote: Address, now: float) -> int:
        """The path MTU to this address."""
        mtu, until = self._learned.get(remote, (self.link_mtu, now))
        return min(mtu, self.link_mtu) if now < until else self.link_mtu


def tunnel_mtu(path_mtu: int, outer_version: int, cipher: EspCipher) -> int:
    """The largest inner packet that leaves as one outer packet of at most ``path_mtu`` octets."""
    return largest_payload(cipher, path_mtu - _IP_HEADER[outer_version] - _UDP_HEADER)


def tcp_mss(mtu: int, version: int) -> int:
    """The largest TCP segment in an IP packet of ``mtu`` octets, neither header with options (RFC 9293 3.7.1)."""
    return mtu - _IP_HEADER[version] - _TCP_HEADER
