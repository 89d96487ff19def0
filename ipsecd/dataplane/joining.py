"""Packets of one flow and one length joined into big ones, which the kernel takes apart again.

Only packets that come out of that unchanged, octet by octet, are joined: all that isn't counted on from one to the next
(sequence number, identification) is equal, and every checksum is right. Joining writes checksums anew, and would make a
damaged packet sound.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ipsecd.dataplane.columns import Octets, column, sums
from ipsecd.wire.checksum import checksum
from ipsecd.wire.ip import IpPacket
from ipsecd.wire.offload import NEEDS_CHECKSUM, Gso, Offload, pseudo_sum
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.tcp import ACK, CWR, FIN, FLAGS_AT, PSH

Flags = npt.NDArray[np.bool_]  # one for each row

_MOST_OCTETS = 65_535
_WITHOUT_OPTIONS = {4: 20, 6: 40}
_LEAST: dict[int, int] = {IpProtocol.TCP: 20, IpProtocol.UDP: 8}
_KIND = {4: Gso.TCP4, 6: Gso.TCP6}


class Joined(NamedTuple):
    """Rows ``start`` to ``end``, as one write: virtio header, IP and transport header; the payload is theirs."""

    start: int
    end: int
    offload: Offload
    header: bytes


def same_flow(rows: Octets, packet: IpPacket) -> bool:
    """Whether all rows have the first one's addresses, protocol, ports and everything else that policy looks at; the
    first is ``packet``. Fragments, options and headers cut short never have."""
    at = packet.transport_offset
    if packet.total_octets < at + _LEAST.get(packet.protocol, 0):
        return False
    if packet.protocol not in _LEAST or at != _WITHOUT_OPTIONS[packet.version] or packet.is_fragment:
        return False
    fixed = [(0, 4), (6, 10), (12, 20)] if packet.version == 4 else [(0, 40)]
    spans = [*fixed, (at, at + 4)]
    return all(bool((rows[:, start:end] == rows[0, start:end]).all()) for start, end in spans)


def joined(rows: Octets, packet: IpPacket) -> list[Joined]:
    """How rows of one flow go to the kernel: in order, each part two or more rows that belong together. What isn't in
    any part goes as it is."""
    tcp = packet.protocol == IpProtocol.TCP
    at = packet.transport_offset
    header = at + (int(rows[0, at + 12] >> 4) * 4 if tcp else 8)
    size = rows.shape[1] - header
    count = len(rows)
    if size < 1 or count < 2 or (tcp and header < at + 20):
        return []
    follows = _follow_in_ip(rows, packet) & (_follow_in_tcp(rows, at, header, size) if tcp else True)
    follows &= _sound(rows, packet, at)
    if not follows.any():
        return []
    most = (_MOST_OCTETS - header) // size
    parts: list[Joined] = []
    start = 0
    for row in [*(np.flatnonzero(~follows[1:]) + 1).tolist(), count]:
        for first in range(start, row, most):
            last = min(first + most, row)
            if last - first > 1:
                parts.append(_part(rows, packet, first, last, header, size, tcp=tcp))
        start = row
    return parts


def _follow_in_ip(rows: Octets, packet: IpPacket) -> Flags:
    """Which rows count on from the one before."""
    follows = np.ones(len(rows), np.bool_)
    if packet.version == 4:
        identifications = column(rows, 4, ">u2").astype(np.int64)
        follows[1:] = (np.diff(identifications) & 0xFFFF) == 1
    return follows


def _follow_in_tcp(rows: Octets, at: int, header: int, size: int) -> Flags:
    follows = np.ones(len(rows), np.bool_)
    sequences = column(rows, at + 4, ">u4").astype(np.int64)
    follows[1:] = (np.diff(sequences) & 0xFFFF_FFFF) == size
    same = (rows[1:, at + 8 : at + 13] == rows[:-1, at + 8 : at + 13]).all(axis=1)
    same &= (rows[1:, at + 14 : at + 16] == rows[:-1, at + 14 : at + 16]).all(axis=1)
    same &= (rows[1:, at + 18 : header] == rows[:-1, at + 18 : header]).all(axis=1)
    flags = rows[:, at + FLAGS_AT]
    same &= flags[:-1] & ~np.uint8(CWR) == ACK  # nothing else but in the last, and CWR in the first
    same &= flags[1:] & ~np.uint8(FIN | PSH) == ACK
    follows[1:] &= same
    return follows


def _sound(rows: Octets, packet: IpPacket, at: int) -> Flags:
    """Which rows, and the ones before them, have right checksums."""
    octets = rows.shape[1] - at
    pseudo = pseudo_sum(memoryview(rows[0]), packet.version, packet.protocol, octets)
    good: Flags = (sums(rows, at, rows.shape[1]) + pseudo) % 0xFFFF == 0
    if packet.version == 4:
        good &= sums(rows, 0, at) % 0xFFFF == 0
    if packet.protocol == IpProtocol.UDP:
        good &= (column(rows, at + 6, "=u2") != 0) & (column(rows, at + 4, ">u2") == octets)
    both: Flags = good.copy()
    both[1:] &= good[:-1]
    return both


def _part(rows: Octets, packet: IpPacket, start: int, end: int, header: int, size: int, *, tcp: bool) -> Joined:
    """The headers of rows ``start`` to ``end`` as those of one big packet."""
    at = packet.transport_offset
    octets = header + (end - start) * size
    head = bytearray(rows[start, :header].tobytes())
    if packet.version == 4:
        head[2:4] = octets.to_bytes(2, "big")
        head[10:12] = bytes(2)
        head[10:12] = checksum(memoryview(head)[:at]).to_bytes(2, "big")
    else:
        head[4:6] = (octets - 40).to_bytes(2, "big")
    if tcp:
        head[at + FLAGS_AT] |= int(rows[end - 1, at + FLAGS_AT])
    else:
        head[at + 4 : at + 6] = (octets - at).to_bytes(2, "big")
    field = 16 if tcp else 6
    head[at + field : at + field + 2] = pseudo_sum(head, packet.version, packet.protocol, octets - at).to_bytes(
        2, "big"
    )
    kind = _KIND[packet.version] if tcp else Gso.UDP_DATAGRAMS
    return Joined(start, end, Offload(NEEDS_CHECKSUM, kind, header, size, at, field), bytes(head))
