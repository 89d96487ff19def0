"""Packets of one flow and one length joined into big ones, which the kernel takes apart again.

Only packets that come out of that unchanged, octet by octet, are joined: all that isn't counted on from one to the next
(sequence number, identification) is equal, and every checksum is right. Joining writes checksums anew, and would make a
damaged packet sound.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ipsecd.dataplane.columns import INDEX, MOST, Numbers, Octets, column, sums
from ipsecd.wire.checksum import checksum, ones_sum
from ipsecd.wire.offload import NEEDS_CHECKSUM, Gso, Offload, pseudo_sum
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.tcp import ACK, CWR, FIN, FLAGS_AT, PSH

Flags = npt.NDArray[np.bool_]  # one for each row
Spans = tuple[tuple[int, int], ...]  # from this octet up to that one, each

_MOST_OCTETS = 65_535
_ONES = np.int64(0xFFFF)
_BARE = 0  # instead of an IP version: rows of transport mode, without IP headers
_WITHOUT_OPTIONS = {4: 20, 6: 40, _BARE: 0}
_KIND = {4: Gso.TCP4, 6: Gso.TCP6}
_TCP_OCTETS, _UDP_OCTETS = 20, 8
_TCP_CHECKSUM, _UDP_CHECKSUM = 16, 6
_WORTH_UDP = 8  # UDP packets that one by one would cost more; of TCP's, the answers to each cost more still
_SIZES = 64  # of which it is remembered how numbers count on
_COUNTED = INDEX.astype(np.uint16).tobytes()
_BEFORE_ADDRESSES = {4: 12, 6: 8, _BARE: 0}
_ACKS = bytes([ACK]) * MOST
_ALL = 1 << 16  # as far as headers reach
_FLOW: dict[int, Spans] = {
    4: ((0, 4), (6, 10), (12, 24)),
    6: ((0, 44),),
    _BARE: ((0, 4),),
}  # to the ports, but for what counts on
_SAME: dict[tuple[int, int], Spans] = {  # likewise, to the payload
    (4, IpProtocol.TCP): ((0, 4), (6, 10), (12, 24), (28, 33), (34, 36), (38, _ALL)),
    (4, IpProtocol.UDP): ((0, 4), (6, 10), (12, 26)),
    (6, IpProtocol.TCP): ((0, 44), (48, 53), (54, 56), (58, _ALL)),
    (6, IpProtocol.UDP): ((0, 46),),
    (_BARE, IpProtocol.TCP): ((0, 4), (8, 13), (14, 16), (18, _ALL)),
    (_BARE, IpProtocol.UDP): ((0, 6),),
}


class Missing(NamedTuple):
    """What rows without IP headers lack: such a header, ``octets`` long, as ``of`` gives it for each row, and the sum
    of the ``addresses`` that their checksums are over."""

    octets: int
    of: Callable[[int], bytes]
    addresses: int


class Heads(NamedTuple):
    """The headers of rows of one flow: IP version, protocol, where the transport begins and where the payload does.
    ``differ`` has the bits that aren't the same in all rows, an octet for each of the headers', as one number."""

    version: int
    protocol: int
    at: int
    header: int
    differ: int
    missing: Missing | None = None

    def differing(self, at: int) -> int:
        """The bits of one octet that aren't the same in all rows."""
        return self.differ >> 8 * (self.header - 1 - at) & 0xFF


class Joined(NamedTuple):
    """Rows ``start`` to ``end``, as one write: virtio header, IP and transport header; the payload is theirs."""

    start: int
    end: int
    head: bytes
    header: bytes


def same_flow(rows: Octets, version: int, protocol: int, missing: Missing | None = None) -> Heads | None:
    """The headers of all rows, if they have the first one's addresses, protocol, ports and everything else that policy
    looks at; the first is a plain packet of TCP or UDP."""
    if missing is not None:
        version = _BARE
    at = _WITHOUT_OPTIONS[version]
    header = at + _UDP_OCTETS
    if protocol == IpProtocol.TCP:
        header = at + max(int(rows[0, at + 12] >> 4) * 4, _TCP_OCTETS)
    octets = min(header, rows.shape[1]) & ~3
    words = rows[:, :octets].view(np.uint32)
    differ = int.from_bytes(np.bitwise_or.reduce(words ^ words[0], axis=0).tobytes(), "big")
    differ <<= 8 * (header - octets)
    of_flow, _ = _masks(version, protocol, header)
    return None if differ & of_flow else Heads(version, protocol, at, header, differ, missing)


def joined(rows: Octets, heads: Heads) -> list[Joined]:
    """How rows of one flow go to the kernel: in order, each part two or more rows that belong together. What isn't in
    any part goes as it is."""
    tcp, at, header = heads.protocol == IpProtocol.TCP, heads.at, heads.header
    size = rows.shape[1] - header
    count = len(rows)
    if size < 1 or count < (2 if tcp else _WORTH_UDP) or (tcp and int(rows[0, at + 12] >> 4) * 4 < _TCP_OCTETS):
        return []
    if _all_follow(rows, heads, size):
        breaks = [count]
    else:
        follows = _follow_in_ip(rows, heads.version) & (_follow_in_tcp(rows, at, header, size) if tcp else True)
        follows &= _sound(rows, heads)
        if not follows.any():
            return []
        breaks = [*(np.flatnonzero(~follows[1:]) + 1).tolist(), count]
    most = (_MOST_OCTETS - header - (heads.missing.octets if heads.missing else 0)) // size
    parts: list[Joined] = []
    start = 0
    for row in breaks:
        for first in range(start, row, most):
            last = min(first + most, row)
            if last - first > 1:
                parts.append(_part(rows, heads, first, last, size))
        start = row
    return parts


def _all_follow(rows: Octets, heads: Heads, size: int) -> bool:
    """Whether each row counts on from the one before, and all are sound. False may also be said of odd ones."""
    version, protocol, at, header, differ, _ = heads
    _, of_all = _masks(version, protocol, header)
    if differ & of_all:
        return False
    count, octets = rows.shape
    words = rows[:, : at + _UDP_OCTETS].view(">u2")
    if protocol == IpProtocol.TCP:
        if not _tcp_follows(rows, at, size):
            return False
    elif words[0, at // 2 + 2] != octets - at or np.count_nonzero(words[:, at // 2 + 3]) < count:
        return False  # of another length, or without a checksum (RFC 768)
    totals = _totals(rows, heads)
    if version == 4:
        identifications = words[:, 2].astype(np.uint16)
        counted = (identifications - identifications[0]).tobytes() == _COUNTED[: identifications.nbytes]
        if not counted or ones_sum(rows[0, :at].data) != 0xFFFF:
            return False
        # with all else the same, a header's sum is that of these two: for all rows as for the first, where it's right
        both = words[:, 5].astype(np.int64)
        both += identifications
        both -= both[0]
        totals = np.concatenate((totals, both))
    return not np.count_nonzero(np.remainder(totals, _ONES, out=totals))


def _tcp_follows(rows: Octets, at: int, size: int) -> bool:
    flags = rows[:, at + FLAGS_AT].tobytes()
    if flags[0] & ~CWR != ACK or flags[-1] & ~(FIN | PSH) != ACK or flags[1:-1] != _ACKS[: len(flags) - 2]:
        return False  # nothing else but in the last, and CWR in the first
    sequences = rows[:, at + 4 : at + 8].view(">u4").astype(np.uint32)
    return bool((sequences - sequences[0]).tobytes() == _steps(size)[: sequences.nbytes])


def _totals(rows: Octets, heads: Heads) -> Numbers:
    """Multiples of 65,535 for rows whose transport checksum is right. It is over the addresses too (RFC 9293 section
    3.1)."""
    octets = rows.shape[1]
    total = sums(rows, _BEFORE_ADDRESSES[heads.version], octets)
    total += octets - heads.at + heads.protocol
    if heads.missing is not None:
        total += heads.missing.addresses
    return total


def _good(rows: Octets, heads: Heads) -> Flags:
    """Which rows have right checksums."""
    version, protocol, at, _, _, _ = heads
    good: Flags = _totals(rows, heads) % _ONES == 0
    if version == 4:
        good &= sums(rows, 0, at) % _ONES == 0
    if protocol == IpProtocol.UDP:
        good &= column(rows, at + _UDP_CHECKSUM, "=u2") != 0
        good &= column(rows, at + 4, ">u2") == rows.shape[1] - at
    return good


@lru_cache(maxsize=_SIZES)
def _steps(size: int) -> bytes:
    """How far each row's sequence number is from the first one's."""
    return (INDEX * size).astype(np.uint32).tobytes()


@lru_cache(maxsize=_SIZES)
def _masks(version: int, protocol: int, header: int) -> tuple[int, int]:
    """The bits of ``differ`` that mustn't be set in rows of one flow, and in rows that belong together."""
    return _mask(_FLOW[version], header), _mask(_SAME[version, protocol], header)


def _mask(spans: Spans, octets: int) -> int:
    """These octets as bits of a number of so many; what lies behind them doesn't count."""
    bits = bytearray(octets)
    for start, end in spans:
        stop = min(end, octets)
        bits[start:stop] = b"\xff" * (stop - start)
    return int.from_bytes(bits, "big")


def _follow_in_ip(rows: Octets, version: int) -> Flags:
    """Which rows count on from the one before."""
    follows = np.ones(len(rows), np.bool_)
    if version == 4:
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


def _sound(rows: Octets, heads: Heads) -> Flags:
    """Which rows, and the ones before them, have right checksums."""
    good = _good(rows, heads)
    both: Flags = good.copy()
    both[1:] &= good[:-1]
    return both


def _part(rows: Octets, heads: Heads, start: int, end: int, size: int) -> Joined:
    """The headers of rows ``start`` to ``end`` as those of one big packet."""
    version, protocol, at, header, _, missing = heads
    tcp = protocol == IpProtocol.TCP
    head = bytearray(rows[start, :header].tobytes())
    if missing is not None:
        head[:0] = missing.of(start)
        version, at, header = head[0] >> 4, at + missing.octets, header + missing.octets
    octets = header + (end - start) * size
    if version == 4:
        head[2:4] = octets.to_bytes(2, "big")
        head[10:12] = bytes(2)
        head[10:12] = checksum(memoryview(head)[:at]).to_bytes(2, "big")
    else:
        head[4:6] = (octets - 40).to_bytes(2, "big")
    if tcp:
        head[at + FLAGS_AT] |= int(rows[end - 1, heads.at + FLAGS_AT])
    else:
        head[at + 4 : at + 6] = (octets - at).to_bytes(2, "big")
    field = at + (_TCP_CHECKSUM if tcp else _UDP_CHECKSUM)
    head[field : field + 2] = pseudo_sum(head, version, protocol, octets - at).to_bytes(2, "big")
    return Joined(start, end, _virtio(version, protocol, at, header, size), bytes(head))


@lru_cache(maxsize=_SIZES)
def _virtio(version: int, protocol: int, at: int, header: int, size: int) -> bytes:
    if protocol == IpProtocol.TCP:
        return Offload(NEEDS_CHECKSUM, _KIND[version], header, size, at, _TCP_CHECKSUM).encode()
    return Offload(NEEDS_CHECKSUM, Gso.UDP_DATAGRAMS, header, size, at, _UDP_CHECKSUM).encode()
