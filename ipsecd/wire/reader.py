"""The one way octets from the network are read: in order, inside bounds that can't be overrun or left unread.

A structure inside a structure is a window inside a window::

    with r.window(r.u16() - 4) as proposal:              # can't read past its end, must be read to its end
        number, protocol, size, count = proposal.unpack("!BBBB")
        spi = proposal.take(size)
        while proposal.remaining:                        # loops are bounded by octets, never by a count
            transforms.append(_transform(proposal))

So a length field is believed only inside the window that surrounds it, and a length bug becomes a WireError.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ipsecd.errors import WireError


class Reader:
    """Reads big-endian fields from ``data``. ``base`` is where ``data`` stands in the outermost buffer, for errors.

    Every method raises WireError("truncated") if it would read past the end, WireError("bad-length") if asked for
    a negative number of octets.
    """

    __slots__ = ("_at", "_base", "_data")

    def __init__(self, data: bytes | memoryview, base: int = 0) -> None:
        self._data = memoryview(data)
        self._base = base
        self._at = 0

    @property
    def remaining(self) -> int:
        """Octets not read yet."""
        return len(self._data) - self._at

    @property
    def offset(self) -> int:
        """Where the next octet stands, counted from the start of the outermost buffer."""
        return self._base + self._at

    def u8(self) -> int:
        return self._claim(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self._claim(2), "big")

    def u32(self) -> int:
        return int.from_bytes(self._claim(4), "big")

    def u64(self) -> int:
        return int.from_bytes(self._claim(8), "big")

    def take(self, octets: int) -> bytes:
        """The next ``octets`` octets."""
        return bytes(self._claim(octets))

    def rest(self) -> bytes:
        """All octets not read yet."""
        return bytes(self._claim(self.remaining))

    def bounded(self, most: int, reason: str, least: int = 0) -> bytes:
        """All octets not read yet. WireError(``reason``) unless they are ``least`` to ``most``."""
        if not least <= self.remaining <= most:
            raise WireError(reason, f"{self.remaining} octets, not {least} to {most}", offset=self.offset)
        return self.rest()

    def beginning(self, most: int) -> bytes:
        """All octets not read yet are read, and the first ``most`` of them kept: what is said beyond them concerns
        nobody, and a message isn't malformed for it."""
        return self.rest()[:most]

    def peek(self, ahead: int) -> int:
        """The octet ``ahead`` octets behind the next one, left where it is."""
        if ahead >= self.remaining:
            raise WireError("truncated", f"{self.remaining} octets left", offset=self.offset)
        return self._data[self._at + ahead]

    def unpack(self, layout: str) -> tuple[Any, ...]:
        """The next fields in the notation of ``struct``, which must start with ``!``: network order, no padding."""
        return struct.unpack(layout, self._claim(struct.calcsize(layout)))

    @contextmanager
    def window(self, octets: int) -> Iterator[Reader]:
        """A Reader of exactly the next ``octets`` octets. Leaving it with octets unread raises
        WireError("trailing-octets")."""
        start = self.offset
        inner = Reader(self._claim(octets), start)
        yield inner
        inner.end()

    def end(self) -> None:
        """Raises WireError("trailing-octets") unless everything was read."""
        if self.remaining:
            raise WireError("trailing-octets", f"{self.remaining} octets left", offset=self.offset)

    def _claim(self, octets: int) -> memoryview:
        if octets < 0:
            raise WireError("bad-length", "a length is smaller than the header it counts", offset=self.offset)
        if octets > self.remaining:
            raise WireError("truncated", f"{octets} octets wanted, {self.remaining} left", offset=self.offset)
        start = self._at
        self._at += octets
        return self._data[start : self._at]
