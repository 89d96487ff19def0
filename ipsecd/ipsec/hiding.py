"""Sizes that hide those of packets: padding behind them (RFC 4303 section 2.7), and packets of nothing (section 2.6).

The receiver cuts off what stands behind a packet that says how long it is. So does one in a tunnel. In transport mode
what the packet carries has to say it, and only UDP and IP do: all else goes as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ipsecd.ipsec.pmtu import room
from ipsecd.ipsec.sa import OutboundSa
from ipsecd.wire.ip import IPV4_OCTETS, IPV6_OCTETS
from ipsecd.wire.registry import IpProtocol

Chance = Callable[[int], bytes]
"""So many octets that nobody can predict."""

_IP_HEADER: Final = {4: IPV4_OCTETS, 6: IPV6_OCTETS}
_IP_IN_IP: Final = (IpProtocol.IPV4, IpProtocol.IPV6)
_LEAST: Final = IPV4_OCTETS  # no packet is shorter
_DRAWN = 4  # octets: many times as many values as there are sizes


def padded(sa: OutboundSa, next_header: int, payload: bytes, front: int, most: int) -> bytes:
    """What ESP carries, with padding behind it. ``front`` octets of the packet stay in front of ESP, and ``most`` is
    how large a packet the path takes."""
    missing = min(sa.tfc.padding, most) - front - len(payload)
    if missing <= 0 or (sa.form.transport and not _says_its_length(next_header, payload)):
        return payload
    return payload + bytes(missing)


def dummy_octets(sa: OutboundSa, path_mtu: int, chance: Chance) -> int:
    """What a dummy carries: as much as a packet that is padded, or without padding any size that the path takes. Less
    than one if it takes none."""
    front = _IP_HEADER[sa.outside.remote.version] if sa.form.transport else 0
    most = room(sa, path_mtu) - front
    if sa.tfc.padding:
        return min(sa.tfc.padding - front, most)
    sizes = max(most - _LEAST + 1, 1)
    return min(_LEAST + int.from_bytes(chance(_DRAWN), "big") % sizes, most)


def _says_its_length(next_header: int, payload: bytes) -> bool:
    """Whether what stands behind this isn't taken for a part of it. Of UDP something may stand there already."""
    if next_header == IpProtocol.UDP:
        return int.from_bytes(payload[4:6], "big") == len(payload)
    return next_header in _IP_IN_IP
