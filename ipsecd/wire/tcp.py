"""A TCP header's flags, and the maximum segment size a SYN announces (RFC 9293 section 3.7.1), found and lowered.

::

    | 15 16 17 18 ...  data offset, flags, window |  checksum (2) | urgent (2) | options ...
    option 0 ends the list, option 1 is one octet of padding; all others: | kind | length | length - 2 octets |
    MSS: | 2 | 4 | maximum segment size (2) |
"""

from __future__ import annotations

from ipsecd.wire.checksum import repair
from ipsecd.wire.ip import IpPacket
from ipsecd.wire.registry import IpProtocol

HEADER_OCTETS = 20
FLAGS_AT = 13  # octets behind the header's start
FIN, SYN, PSH, ACK, CWR = 0x01, 0x02, 0x08, 0x10, 0x80
_END, _PADDING, _MSS = 0, 1, 2


def mss_offset(packet: IpPacket, data: bytes | memoryview) -> int | None:
    """Where the two octets of the MSS stand in a packet that is a SYN and has the option; else None. An option list
    that doesn't add up is the receiver's to judge: it counts as having none."""
    start = packet.transport_offset
    if packet.protocol != IpProtocol.TCP or packet.fragment_offset or packet.total_octets < start + HEADER_OCTETS:
        return None
    end = min(start + (data[start + 12] >> 4) * 4, packet.total_octets)
    if not data[start + FLAGS_AT] & SYN:
        return None
    at = start + HEADER_OCTETS
    while at < end and data[at] != _END:
        if data[at] == _PADDING:
            at += 1
            continue
        length = data[at + 1] if at + 1 < end else 0
        if length < 2 or at + length > end:
            return None
        if data[at] == _MSS:
            return at + 2 if length == 4 else None
        at += length
    return None


def clamp_mss(packet: IpPacket, data: bytes, most: int) -> bytes:
    """The packet with an announced MSS above ``most`` lowered to it and the TCP checksum repaired (RFC 1624); else the
    packet as it was."""
    at = mss_offset(packet, data)
    if at is None:
        return data
    announced = int.from_bytes(data[at : at + 2], "big")
    if announced <= most:
        return data
    field = packet.transport_offset + 16
    old = int.from_bytes(data[field : field + 2], "big")
    swapped = (at - packet.transport_offset) % 2 == 1  # the option may stand across two of the words that are summed
    words = (_swap(announced), _swap(most)) if swapped else (announced, most)
    changed = bytearray(data)
    changed[at : at + 2] = most.to_bytes(2, "big")
    changed[field : field + 2] = repair(old, *words).to_bytes(2, "big")
    return bytes(changed)


def _swap(word: int) -> int:
    return (word & 0xFF) << 8 | word >> 8
