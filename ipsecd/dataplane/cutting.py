"""A big packet cut into all its full segments at once: what ``wire.offload.segments`` does one after the other.

The headers are written into a template that has what all segments share, its share of the checksums included, and each
column adds what differs: the identification, the sequence number, and the sum of the payload.
"""

from __future__ import annotations

import numpy as np

from ipsecd.dataplane.columns import INDEX, Octets, checksums, column, sums
from ipsecd.wire.checksum import ones_sum
from ipsecd.wire.offload import Cut
from ipsecd.wire.tcp import CWR, FIN, FLAGS_AT, PSH

_LAST = FIN | PSH  # which only the last of several shows, as only the first shows CWR


def cut_full(packet: memoryview, cut: Cut, rows: Octets, first: int = 0) -> None:
    """Write full segments of ``packet``, from the one numbered ``first`` on, into the first columns of ``rows``."""
    octets, transport, count = cut.header + cut.segment, cut.transport, len(rows)
    template = bytearray(packet[: cut.header])
    index = INDEX[:count] + first
    payload = np.frombuffer(packet, np.uint8, count * cut.segment, cut.header + first * cut.segment)
    rows[:, cut.header : octets] = payload.reshape(count, cut.segment)
    if cut.version == 4:
        template[2:4] = octets.to_bytes(2, "big")
        identifications = index + int.from_bytes(template[4:6], "big") & 0xFFFF
        template[4:6] = template[10:12] = bytes(2)
        head = ones_sum(memoryview(template)[:transport])
    else:
        template[4:6] = (octets - 40).to_bytes(2, "big")
    if cut.tcp:
        sequences = index * cut.segment + int.from_bytes(template[transport + 4 : transport + 8], "big") & 0xFFFF_FFFF
        flags = template[transport + FLAGS_AT]
        template[transport + 4 : transport + 8] = bytes(4)
        template[transport + FLAGS_AT] = flags & ~(_LAST | CWR)
    else:
        template[transport + 4 : transport + 6] = (octets - transport).to_bytes(2, "big")
    template[cut.checksum : cut.checksum + 2] = bytes(2)
    pseudo = cut.pseudo + octets - transport

    rows[:, : cut.header] = np.frombuffer(template, np.uint8)
    total = sums(rows, cut.header, octets) + (ones_sum(memoryview(template)[transport:]) + pseudo)
    if cut.version == 4:
        column(rows, 4, ">u2")[:] = identifications
        column(rows, 10, ">u2")[:] = checksums(identifications + head)
    if cut.tcp:
        column(rows, transport + 4, ">u4")[:] = sequences
        total += sequences
        last = not cut.tail and first + count == cut.full
        for row, kept in ((0, 0 if first else flags & CWR), (-1, flags & _LAST if last else 0)):
            rows[row, transport + FLAGS_AT] |= kept
            total[row] += kept
    check = checksums(total)
    if not cut.tcp:
        check[check == 0] = 0xFFFF  # RFC 768: 0 says that there is none
    column(rows, cut.checksum, ">u2")[:] = check
