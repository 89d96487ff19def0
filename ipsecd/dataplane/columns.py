"""Packets of one length as the rows of a matrix, and what is done to all of them at once.

The Internet checksum is arithmetic modulo 65,535: a 32-bit word counts as itself, since 65,536 is congruent to 1, and a
sum of words of the other byte order is 256 times the sum. So one sum over machine words and one remainder make the
checksums of all rows (RFC 1071 section 2).
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

Octets = npt.NDArray[np.uint8]  # one row a packet, or one octet after the other
Numbers = npt.NDArray[np.int64]  # one for each row

MOST = 128  # rows that are ever handled at once: what the kernel takes in one call (UDP_MAX_SEGMENTS)
INDEX: npt.NDArray[np.uint64] = np.arange(MOST, dtype=np.uint64)

_SWAPPED = 256 if sys.byteorder == "little" else 1


def matrix(buffer: Octets, count: int, octets: int, *, at: int = 0) -> Octets:
    """A view of ``count`` rows of ``octets`` each, one behind the other from ``at`` on."""
    return buffer[at : at + count * octets].reshape(count, octets)


def column(rows: Octets, at: int, kind: str) -> npt.NDArray[Any]:
    """The field of ``kind`` that stands ``at`` octets behind the start of each row, to be read or written."""
    return rows[:, at : at + np.dtype(kind).itemsize].view(kind)[:, 0]


def sums(rows: Octets, at: int, end: int) -> Numbers:
    """Numbers congruent modulo 65,535 to the sums of the big-endian words from ``at`` to ``end`` of each row, an odd
    last octet padded with zero."""
    whole = at + (end - at) // 4 * 4
    total: Numbers = rows[:, at:whole].view(np.uint32).sum(axis=1, dtype=np.int64)
    if end - whole >= 2:
        total += column(rows, whole, "=u2")
        whole += 2
    if end > whole:
        total += rows[:, whole] if _SWAPPED > 1 else rows[:, whole].astype(np.int64) << 8
    return total * _SWAPPED


def checksums(total: Numbers) -> Numbers:
    """The checksums that go with these sums: 0 where there is a sum of 65,535, as no packet is all zero."""
    return np.remainder(-total, 0xFFFF)
