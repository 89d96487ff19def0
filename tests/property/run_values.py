"""Packets that stand for many, as the kernel hands them over, for property tests."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address
from random import Random
from typing import TypeVar

from hypothesis import strategies as st

from ipsecd.wire.checksum import pseudo_checksum
from ipsecd.wire.offload import Gso, Offload, segments
from tests.unit.ipsec.packets import ipv4, ipv6

ADDRESSES = {4: ("10.1.0.1", "10.2.0.1"), 6: ("2001:db8:1::1", "2001:db8:2::1")}
T = TypeVar("T")

FIN, SYN, PSH, ACK, CWR = 0x01, 0x02, 0x08, 0x10, 0x80


@dataclass(frozen=True)
class Big:
    """A TCP or UDP packet of one flow, to be cut into ``count`` segments of ``segment`` octets and one of ``tail``."""

    version: int = 4
    tcp: bool = True
    segment: int = 1_000
    count: int = 3
    tail: int = 0
    options: int = 12
    flags: int = ACK
    tos: int = 0
    df: bool = True
    seed: int = 0
    sequence: int = 0
    identification: int = 0
    window: int = 500

    @property
    def head(self) -> bytes:
        """The virtio header."""
        kind = {(4, True): Gso.TCP4, (6, True): Gso.TCP6}.get((self.version, self.tcp), Gso.UDP_DATAGRAMS)
        start = 20 if self.version == 4 else 40
        header = start + (20 + self.options if self.tcp else 8)
        return Offload(1, kind, header, self.segment, start, 16 if self.tcp else 6).encode()

    @property
    def packet(self) -> bytes:
        """The packet behind it; its checksums are for whoever cuts it to finish."""
        random = Random(self.seed)
        data = random.randbytes(self.count * self.segment + self.tail)
        ports = struct.pack("!HH", 40_000, 443)
        if self.tcp:
            numbers = struct.pack("!I", self.sequence) + random.randbytes(4)
            offset = (20 + self.options) // 4 << 4
            options = random.randbytes(self.options)
            body = ports + numbers + struct.pack("!BBHHH", offset, self.flags, self.window, 0, 0) + options + data
        else:
            body = ports + struct.pack("!HH", 8 + self.segment, 0) + data
        source, destination = ADDRESSES[self.version]
        protocol, number, at = 6 if self.tcp else 17, self.identification, 16 if self.tcp else 6
        pseudo = pseudo_checksum(ip_address(source), ip_address(destination), protocol, len(body)) % 0xFFFF
        body = body[:at] + pseudo.to_bytes(2, "big") + body[at + 2 :]
        if self.version == 6:
            return ipv6(source, destination, protocol, body, tos=self.tos)
        return ipv4(source, destination, protocol, body, tos=self.tos, df=self.df, identification=number)

    def segments(self) -> list[bytes]:
        """What it stands for."""
        decoded = Offload(*struct.unpack("=BBHHHH", self.head))
        return segments(self.packet, decoded)


def often(one: st.SearchStrategy[T], other: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """Mostly of the one kind, sometimes of the other."""
    return st.integers(0, 9).flatmap(lambda number: one if number else other)


@st.composite
def bigs(draw: st.DrawFn, most: int = 1_358) -> Big:
    """Whatever the kernel may hand over."""
    tcp = draw(st.booleans())
    segment = draw(st.one_of(st.integers(1, most), st.sampled_from([1, 2, 3, 4, 5, 536, most])))
    count = min(draw(often(st.integers(2, 64), st.integers(1, 127))), 60_000 // segment)
    return Big(
        version=draw(st.sampled_from([4, 6])),
        tcp=tcp,
        segment=segment,
        count=count,
        tail=draw(st.one_of(st.just(0), st.integers(0, segment - 1))),
        options=draw(st.sampled_from([0, 4, 12, 40])) if tcp else 0,
        flags=draw(often(st.sampled_from([ACK, ACK | PSH, ACK | FIN, ACK | CWR | PSH]), st.integers(0, 255))),
        tos=draw(often(st.just(0), st.integers(0, 255))),
        df=draw(st.booleans()),
        seed=draw(st.integers(0, 1 << 16)),
        sequence=draw(st.sampled_from([0, (1 << 31) - 5, (1 << 32) - 1])),
        identification=draw(st.sampled_from([0, 0xABCD, 0xFFFF])),
    )
