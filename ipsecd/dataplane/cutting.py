"""A big packet cut into all its full segments at once: what ``wire.offload.segments`` does one after the other.

The headers are written into a template that has what all segments share, and each column adds what differs: the
identification, the sequence number, the checksums. The columns of one shape of segment are found once.

The sum of a segment is one over machine words that end where it ends. So they may leave out some octets at the start of
its transport header, which are ports and the same in all; and where its length is odd each of them is a word of the
other byte order: see ``columns``.
"""

from __future__ import annotations

import struct
import sys
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ipsecd.dataplane.columns import MOST, Octets, column
from ipsecd.dataplane.heading import PROTOCOL_AT, Own, identified, identify
from ipsecd.wire.offload import Cut
from ipsecd.wire.tcp import CWR, FIN, FLAGS_AT, PSH

_U32 = struct.Struct("!I")
_LAST = FIN | PSH  # which only the last of several shows, as only the first shows CWR
_WORD = 4
_ANY_SUM = 0xFFFF << 32  # a multiple of 65,535 that no sum of a segment's words reaches
_MODULUS = np.uint64(0xFFFF)
_STEPS = np.arange(MOST, dtype=np.uint32)

Column = npt.NDArray[Any]


class _Tcp(NamedTuple):
    """``steps`` are how far each sequence number is ahead of the first."""

    steps: npt.NDArray[np.uint32]
    sequences: Column
    flags: Octets


class Shape(NamedTuple):
    """The columns of segments: their headers whole, but for the first ``ahead`` octets, which may have a place of their
    ``own``, and their payloads; of IPv4 the identifications and checksums, side by side, and what TCP adds; the words
    that are summed, of which the first begins at ``start``; and the checksums, in the order of those words: ``swap``
    makes sums of big-endian words such sums, and ``odd`` shifts what stands in front to where it belongs in those."""

    ahead: int
    own: Own | None
    headers: Column
    payloads: Octets
    v4: Column | None
    tcp: _Tcp | None
    start: int
    words: npt.NDArray[np.uint32]
    checks: Column
    swap: int
    odd: int


def shape(rows: Octets, cut: Cut, ahead: int = 0, own: Own | None = None) -> Shape:
    """The columns of segments cut so, which stand at the start of ``rows``, but for the first ``ahead`` octets: those
    are IP headers, which go to ``own`` if they go anywhere."""
    transport, header = cut.transport - ahead, cut.header - ahead
    octets = header + cut.segment
    over = octets - transport
    start = octets - over // _WORD * _WORD
    odd = over % 2 == 1
    heads = own.heads if own is not None else rows if not ahead else None
    tcp = None
    if cut.tcp:
        steps = _STEPS * np.uint32(cut.segment)
        tcp = _Tcp(steps, column(rows, transport + 4, ">u4"), column(rows, transport + FLAGS_AT, "u1"))
    return Shape(
        ahead,
        own,
        column(rows, 0, f"V{header}"),
        rows[:, header:octets],
        identified(heads) if heads is not None and cut.version == 4 else None,
        tcp,
        start + ahead,
        rows[:, start:octets].view(np.uint32),
        column(rows, cut.checksum - ahead, ">u2" if odd == (sys.byteorder == "little") else "<u2"),
        256 if odd == (sys.byteorder == "big") else 1,
        8 * odd,
    )


def cut_full(packet: memoryview, cut: Cut, columns: Shape, count: int, first: int = 0) -> None:
    """Write ``count`` full segments of ``packet``, from the one numbered ``first`` on, into these columns."""
    octets, transport, segment = cut.header + cut.segment, cut.transport, cut.segment
    whole, own = octets - transport, columns.own
    template = bytearray(packet[: cut.header])
    if own is not None:
        octets = own.octets
        template[PROTOCOL_AT[cut.version]] = own.protocol
    columns.payloads[:count] = np.ndarray((count, segment), np.uint8, packet, cut.header + first * segment)
    head = identification = sequence = flags = 0
    if cut.version == 4:
        identification = (template[4] << 8 | template[5]) + first & 0xFFFF
        _U32.pack_into(template, 2, octets << 16)  # the length, and nothing yet where the identification stands
        template[10:12] = b"\0\0"
        head = int.from_bytes(template[:transport], "big") % 0xFFFF or 0xFFFF
    else:
        template[4:6] = (octets - 40).to_bytes(2, "big")
    if cut.tcp:
        sequence = _U32.unpack_from(template, transport + 4)[0] + first * segment & 0xFFFF_FFFF
        flags = template[transport + FLAGS_AT]
        template[transport + FLAGS_AT] = flags & ~(_LAST | CWR)
    else:
        template[transport + 4 : transport + 6] = whole.to_bytes(2, "big")
    template[cut.checksum : cut.checksum + 2] = b"\0\0"

    columns.headers[:count] = np.frombuffer(template, columns.headers.dtype, offset=columns.ahead)
    if own is not None:
        own.heads[:count] = np.frombuffer(template, np.uint8, transport)
    v4, tcp = columns.v4, columns.tcp
    if v4 is not None:
        identify(v4[:count], identification, head)
    if tcp is not None:
        tcp.sequences[:count] = tcp.steps[:count] + np.uint32(sequence)
        if first == 0 and flags & CWR:
            tcp.flags[0] |= CWR
        if flags & _LAST and first + count == cut.full and not cut.tail:
            tcp.flags[count - 1] |= flags & _LAST
    totals = columns.words[:count].sum(axis=1, dtype=np.uint64)
    ports = int.from_bytes(template[transport : columns.start], "big") << columns.odd
    rest = (cut.pseudo + whole + ports) * columns.swap % 0xFFFF
    if tcp is not None:
        columns.checks[:count] = (np.uint64(_ANY_SUM - rest) - totals) % _MODULUS
    else:
        columns.checks[:count] = _MODULUS - (totals + np.uint64(rest)) % _MODULUS  # RFC 768: 0 says that there is none
