"""Where the packets of a run stand in a buffer, a row each: what one length of packet needs of it.

A layout has views for what is done row by row, and columns for what numpy writes of all rows at once. Layouts are kept,
the least recently used forgotten first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ipsecd.dataplane.columns import MOST, Octets
from ipsecd.dataplane.cutting import Shape, shape
from ipsecd.dataplane.heading import Own
from ipsecd.wire.offload import Cut

RUN_OCTETS = 65_450  # UDP payload that leaves as segments; a little more is taken, and goes out one by one
ROOM = 2 * RUN_OCTETS  # what the kernel hands over at once may need two calls, as each datagram has a header
LAYOUTS = 64  # of each kind that are kept


@dataclass(slots=True, eq=False)
class Layout:
    """``rows`` begin with the packets inside, or in transport mode with what their IP headers carry, ``inner`` octets
    each; at most ``most`` of them. ``own`` is where these headers go if they leave as well. ``datagrams`` are what
    leaves, ``octets`` each, and ``fit`` of them leave in one call. ``shapes`` are the columns of the packets inside, by
    their headers."""

    inner: int
    octets: int
    most: int
    fit: int
    rows: Octets
    own: Own | None
    datagrams: Octets
    shapes: dict[tuple[int, bool, int, int], Shape] = field(default_factory=dict, init=False)

    def shape(self, cut: Cut) -> Shape:
        """The columns of segments cut so, each as long as a packet of this layout."""
        headers = cut.version, cut.tcp, cut.transport, cut.header
        try:
            return self.shapes[headers]
        except KeyError:
            ahead = cut.header + cut.segment - self.inner
            found = self.shapes[headers] = shape(self.rows, cut, ahead, self.own)
            return found

    def fill(self, packets: Sequence[bytes]) -> None:
        """Write these packets of one length, for which there is room."""
        count = len(packets)
        given = np.frombuffer(b"".join(packets), np.uint8).reshape(count, len(packets[0]))
        ahead = given.shape[1] - self.inner
        self.rows[:count, : self.inner] = given[:, ahead:]
        if self.own is not None:
            self.own.keep(given[:, :ahead])


def most_of(octets: int) -> int:
    """How many datagrams of so many octets leave in one call."""
    return min(RUN_OCTETS // octets, MOST // 2)
