"""One table of nftables as the kernel tells of it, without nft: what is in it, to be held against what was in it
before, and the generation that all tables are of.

Each transaction, whoever makes it, is one generation more. So while the generation stays, no table has changed; and if
it is one more than before a transaction of ours, there was no other one in between.

What the kernel says of a table is compared octet by octet, with the handles it has given: also what is put back as it
was is something else then. What counters have counted, and members of named sets, change by themselves and are left
out; those of unnamed sets, which belong to a rule, and of constant ones the kernel lets nobody change.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from ipsecd.errors import KernelError
from ipsecd.io.netlink_parts import NETFILTER, NFTABLES, attribute, attributes, message, messages
from ipsecd.limits import NFT_TIME, TABLE_READS

_INET = 1  # linux/netfilter/nfnetlink.h: NFPROTO_INET
_TABLE, _CHAIN, _RULE, _SET, _GENERATION, _OBJECT = 1, 4, 7, 10, 16, 19  # linux/netfilter/nf_tables.h
_REQUEST, _DUMP = 0x001, 0x300  # linux/netlink.h
_ERROR, _DONE = 2, 3
_GENERIC = struct.Struct("!BBH")
_ATTRIBUTE, _CODE = struct.Struct("=HH"), struct.Struct("=i")
_OF_TABLE, _ID = 1, 1  # the first attribute of all, and of a generation
_STEADY = {_SET: (1, 2, 3, 4, 5, 16), _OBJECT: (1, 2, 3)}  # names, flags, types, and the handle
_READ = 1_048_576


@dataclass(frozen=True, slots=True)
class Content:
    """``rules`` is how many stand in each chain; ``digest`` is of all that the kernel says, empty if there is no such
    table."""

    generation: int
    digest: bytes
    rules: Counter[str]


def generation() -> int:
    """That of all tables of the network namespace this thread is in. Raises KernelError."""
    with _open() as opened:
        return _generation(opened)


def following(generation: int) -> int:
    """The generation behind one; the kernel passes over 0."""
    return (generation + 1) & 0xFFFF_FFFF or 1


def content(table: str) -> Content:
    """What is in the table ``inet <table>``, all of one generation. Raises KernelError."""
    with _open() as opened:
        for _ in range(TABLE_READS):
            before = _generation(opened)
            digest, rules = _content(opened, table.encode() + b"\0")
            if before == _generation(opened):
                return Content(before, digest, rules)
    raise KernelError("somebody changes nftables all the time", "nft monitor shows what is changed")


def _content(opened: socket.socket, table: bytes) -> tuple[bytes, Counter[str]]:
    asked, told = attribute(_OF_TABLE, table), blake2b()
    there = False
    for kind in (_TABLE, _CHAIN, _SET, _OBJECT):
        for body in _ask(opened, kind, asked, dump=True):
            said = dict(attributes(body))
            if said[_OF_TABLE] == table:
                there = True
                for each in _STEADY.get(kind, said):
                    told.update(attribute(each, said.get(each, b"")))
    start = len(asked)  # each rule names its table first, and then its chain
    rules: Counter[bytes] = Counter()
    for body in _ask(opened, _RULE, asked, dump=True):
        told.update(body)
        (length, _) = _ATTRIBUTE.unpack_from(body, start)
        rules[body[start + _ATTRIBUTE.size : start + length]] += 1
    named = Counter({chain[:-1].decode(): number for chain, number in rules.items()})
    return told.digest() if there else b"", named


def _generation(opened: socket.socket) -> int:
    (body,) = _ask(opened, _GENERATION, b"", dump=False)
    return int.from_bytes(dict(attributes(body))[_ID])


def _ask(opened: socket.socket, kind: int, asked: bytes, *, dump: bool) -> Iterator[bytes]:
    """The attributes of each answer of the kernel; none if what was asked for isn't there."""
    body = _GENERIC.pack(_INET if dump else 0, 0, 0) + asked
    flags = _REQUEST | (_DUMP if dump else 0)
    try:
        opened.send(message(NFTABLES << 8 | kind, flags, 0, body))
        while True:
            for answer, told in messages(opened.recv(_READ)):
                if answer == _DONE:
                    return
                if answer == _ERROR:
                    _raise_unless_absent(told)
                    return
                yield told[_GENERIC.size :]
            if not dump:
                return
    except OSError as error:
        raise KernelError(f"can't read nftables: {error.strerror or error}") from error


def _raise_unless_absent(told: bytes) -> None:
    (code,) = _CODE.unpack_from(told)
    if -code != errno.ENOENT:
        raise KernelError(f"can't read nftables: {os.strerror(-code)}", "ipsecd needs CAP_NET_ADMIN")


def _open() -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETFILTER)
    opened.settimeout(NFT_TIME)
    opened.bind((0, 0))
    return opened
