"""The messages to the kernel that nft makes of a text, in what ``nft --check --debug=mnl`` prints of them.

nft has a socket of its own for each run. A table with an owner takes changes from its owner's socket alone
(``owner.py``), so there nft translates, and somebody else sends.

What is printed (mnl_nlmsg_fprintf of libmnl) is each message whole, four octets a line, but for some flags; those
follow from the type. It is a hundred octets for each four, of few different lines.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from ipsecd.errors import KernelError
from ipsecd.io.netlink_parts import HEADER

KNOWN = "known to work: nftables 1.0.6"

# linux/netlink.h, linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h
_REQUEST, _CREATE, _APPEND = 0x001, 0x400, 0x800
_BATCH_BEGIN, _BATCH_END = 0x0010, 0x0011
_CHAIN, RULE, _SET, _ELEMENTS, _NO_ELEMENTS, _OBJECT = 0x0A03, 0x0A06, 0x0A09, 0x0A0C, 0x0A0E, 0x0A12
_NO_CHAIN, _NO_RULE, _NO_OBJECT = 0x0A05, 0x0A08, 0x0A14
NEW_TABLE, DELETE_TABLE = 0x0A00, 0x0A02
_FLAGS = {
    NEW_TABLE: _CREATE,
    DELETE_TABLE: 0,
    _CHAIN: _CREATE,
    RULE: _CREATE | _APPEND,
    _SET: _CREATE,
    _ELEMENTS: _CREATE,
    _NO_ELEMENTS: 0,
    _OBJECT: _CREATE,
    _NO_CHAIN: 0,
    _NO_RULE: 0,
    _NO_OBJECT: 0,
}
_PAIR, _NUMBER = struct.Struct("=HH"), struct.Struct("=I")
_NESTED, _ORDER = 0x8000, 0x4000
_COLOUR = re.compile(rb"\x1b\[[\d;]*m")
_LINE = re.compile(
    rb"(?P<between>-+\t-+)"
    rb"|\|  (?P<number>\d{10})  \|\t\|(?: message length | sequence number|     port ID    )\|"
    rb"|\| (?P<kind>\d{5}) \| .{4} \|\t\|  type \| flags  \|"
    rb"|\| (?P<octets>[0-9a-f]{2}(?: [0-9a-f]{2}){3})  \|\t\|  (?:extra header|    data    )  \|.*"
    rb"|\|(?P<size>\d{5})\|(?P<nested>[N-])(?P<order>[B-])\|(?P<name>\d{5})\|\t\|len \|flags\| type\|"
)


class Message(NamedTuple):
    """A request to nf_tables; ``body`` is what stands behind the netlink header."""

    kind: int
    flags: int
    body: bytes


class Unreadable(KernelError):
    """This isn't what nft 1.0.6 with libmnl 1.0.5 prints."""


class Compiled:
    """Takes what is printed, piece by piece."""

    def __init__(self) -> None:
        self._lines = _Lines()
        self._rest = b""
        self._octets = bytearray()

    def take(self, piece: bytes) -> None:
        """Raises Unreadable."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        self._octets += b"".join(map(self._lines.__getitem__, lines))

    def messages(self) -> list[Message]:
        """Those of the transaction, without what begins and ends it; none if nft hasn't come so far. Raises
        Unreadable."""
        found: list[Message] = []
        within, start = False, 0
        while start < len(self._octets):
            length, kind, *_ = HEADER.unpack(self._octets[start : start + HEADER.size].ljust(HEADER.size, b"\0"))
            if not HEADER.size <= length <= len(self._octets) - start:
                raise Unreadable(_OTHERWISE, KNOWN)
            if kind in {_BATCH_BEGIN, _BATCH_END}:
                within = kind == _BATCH_BEGIN
            elif within:
                if kind not in _FLAGS:
                    raise Unreadable(_OTHERWISE, KNOWN)
                body = bytes(self._octets[start + HEADER.size : start + length])
                found.append(Message(kind, _REQUEST | _FLAGS[kind], body))
            start += length
        if self._rest:
            raise Unreadable(_OTHERWISE, KNOWN)
        return found


class _Lines(dict[bytes, bytes]):
    """The octets of a message that a line tells of; each line is looked at once."""

    def __missing__(self, line: bytes) -> bytes:
        octets = self[line] = _octets(line)
        return octets


def _octets(line: bytes) -> bytes:
    told = _LINE.fullmatch(_COLOUR.sub(b"", line))
    if told is None:
        raise Unreadable(_OTHERWISE, KNOWN)
    if told["between"]:
        return b""
    if told["number"]:
        return _NUMBER.pack(int(told["number"]))
    if told["kind"]:
        return _PAIR.pack(int(told["kind"]), 0)
    if told["octets"]:
        return bytes.fromhex(told["octets"].decode())
    flags = (_NESTED if told["nested"] == b"N" else 0) | (_ORDER if told["order"] == b"B" else 0)
    return _PAIR.pack(int(told["size"]), int(told["name"]) | flags)


_OTHERWISE = "nft says what it makes of the rules in another way than is known"
