"""Packets in one buffer whose SPIs are the same and whose sequence numbers follow each other, of ESP or AH.

Only such are opened together: the replay window is asked once for all of them, and moved once.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ipsecd.dataplane.columns import INDEX, Octets, column, matrix
from ipsecd.ipsec.sa import InboundSa

LAYOUTS = 64  # shapes of runs of which it is remembered where everything stands
SMALLEST = 8  # rows of these
_FAR = 1 << 62  # numbers beyond it are for the other road
_LOW = 0xFFFF_FFFF
_COUNTED = INDEX.astype(np.uint64).tobytes()


class Grouping:
    """Of packets in ``received``."""

    def __init__(self, received: Octets) -> None:
        self._received = received
        self._numbers = lru_cache(maxsize=LAYOUTS)(self._find_numbers)

    def stretches(self, at: int, octets: int, count: int, spi_at: int = 0) -> list[tuple[int, int]]:
        """Where packets of one SPI begin whose numbers follow each other, and how many they are; of ``count`` packets,
        MOST at most, of ``octets`` each, the first ``at``. SPI and number stand behind the first ``spi_at`` of each."""
        numbers = self._numbers(at, octets, count, spi_at).astype(np.uint64)
        if (numbers - numbers[0]).tobytes() == _COUNTED[: numbers.nbytes]:
            return [(at, count)]
        edges = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), count]
        return [(at + first * octets, end - first) for first, end in pairwise(edges)]

    def _find_numbers(self, at: int, octets: int, count: int, spi_at: int) -> npt.NDArray[Any]:
        """SPI and sequence number of each, as one number."""
        return column(matrix(self._received, count, octets, at=at), spi_at, ">u8")


def first_number(sa: InboundSa, low: int, count: int) -> int | None:
    """The first of ``count`` numbers in a row, which shows ``low`` as its low half; None if they aren't all higher than
    any that was seen."""
    first = sa.window.extend(low) if sa.esn else low
    # two SPIs in a row may look like one, where the numbers of the first end
    if first <= sa.window.top or not 0 < first < _FAR or low + count - 1 > _LOW:
        return None
    return first


def rows_for(count: int) -> int:
    """How many rows a layout has that serves this many packets, and others."""
    return max(1 << (count - 1).bit_length(), SMALLEST)
