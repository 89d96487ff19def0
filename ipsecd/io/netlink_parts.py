"""What a datagram of netlink consists of (netlink(7)): messages, and in their bodies attributes behind a fixed head."""

from __future__ import annotations

import struct
from collections.abc import Iterator

NETFILTER, NFTABLES = 12, 10  # the family, and its subsystem: linux/netlink.h, linux/netfilter/nfnetlink.h
HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, port
_ATTRIBUTE = struct.Struct("=HH")


def message(kind: int, flags: int, number: int, body: bytes) -> bytes:
    """One message to the kernel, with a sequence number."""
    return HEADER.pack(HEADER.size + len(body), kind, flags, number, 0) + body


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and body of each netlink message."""
    start = 0
    while len(data) - start >= HEADER.size:
        length, kind, _, _, _ = HEADER.unpack_from(data, start)
        if not HEADER.size <= length <= len(data) - start:
            return
        yield kind, data[start + HEADER.size : start + length]
        start += (length + 3) & ~3


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and content of each attribute."""
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if not _ATTRIBUTE.size <= length <= len(data):
            return
        yield kind & 0x3FFF, data[_ATTRIBUTE.size : length]
        data = data[(length + 3) & ~3 :]
