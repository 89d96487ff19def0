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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from ipsecd.errors import KernelError
from ipsecd.io.netlink_parts import NETFILTER, NFTABLES, attribute, attributes, message, messages
from ipsecd.limits import NFT_TIME, TABLE_READS

_INET = 1  # linux/netfilter/nfnetlink.h: NFPROTO_INET
_TABLE, _CHAIN, _RULE, _SET, _GENERATION, _OBJECT = 1, 4, 7, 10, 16, 19  # linux/netfilter/nf_tables.h
_REQUEST, _DUMP = 0x001, 0x300  # linux/netlink.h
_ERROR, _DONE = 2, 3
_GENERIC = struct.Struct("!BBH")
_ATTRIBUTE, _CODE = struct.Struct("=HH"), struct.Struct("=i")
_OF_TABLE, _OF_CHAIN, _ID = 1, 2, 1  # the first attribute of all, the second of a rule, and that of a generation
_STEADY = {_SET: (1, 2, 3, 4, 5, 16), _OBJECT: (1, 2, 3)}  # names, flags, types, and the handle
_READ = 1_048_576


class Chain(NamedTuple):
    """``rules`` is how many stand in it, ``digest`` is of what the kernel says of them."""

    rules: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Content:
    """Of a table: ``digest`` is of all that the kernel says but for the rules, empty if there is no such table;
    ``chains`` are those that have rules."""

    generation: int
    digest: bytes
    chains: Mapping[str, Chain]

    @property
    def rules(self) -> Counter[str]:
        """How many stand in each chain."""
        return Counter({name: chain.rules for name, chain in self.chains.items()})

    def same(self, other: Content) -> bool:
        """Whether nothing differs but the generation."""
        return (self.digest, self.chains) == (other.digest, other.chains)


def generation() -> int:
    """That of all tables of the network namespace this thread is in. Raises KernelError."""
    with _open() as opened:
        return _generation(opened)


def following(generation: int) -> int:
    """The generation behind one; the kernel passes over 0."""
    return (generation + 1) & 0xFFFF_FFFF or 1


def content(table: str) -> Content:
    """What is in the table ``inet <table>``, all of one generation. Raises KernelError."""
    return _read(table, None, {})


def content_after(before: Content, table: str, changed: Iterable[str], gone: Iterable[str]) -> Content:
    """The same, where nothing has changed since ``before`` but the rules of these chains, and those are gone: no other
    rules are read. Raises KernelError."""
    changed = tuple(changed)
    left = before.chains.keys() - {*changed, *gone}
    return _read(table, changed, {name: before.chains[name] for name in left})


def _read(table: str, chains: Sequence[str] | None, known: dict[str, Chain]) -> Content:
    """With the rules of these chains, or all, and what is known of others."""
    name = table.encode() + b"\0"
    with _open() as opened:
        for _ in range(TABLE_READS):
            before = _generation(opened)
            digest = _digest(opened, name)
            found = _chains(opened, name, chains)
            if before == _generation(opened):
                return Content(before, digest, known | found)
    raise KernelError("somebody changes nftables all the time", "nft monitor shows what is changed")


def _digest(opened: socket.socket, table: bytes) -> bytes:
    asked, told = attribute(_OF_TABLE, table), blake2b()
    there = False
    for kind in (_TABLE, _CHAIN, _SET, _OBJECT):
        for body in _ask(opened, kind, asked, dump=True):
            said = dict(attributes(body))
            if said[_OF_TABLE] == table:
                there = True
                for each in _STEADY.get(kind, said):
                    told.update(attribute(each, said.get(each, b"")))
    return told.digest() if there else b""


def _chains(opened: socket.socket, table: bytes, names: Sequence[str] | None) -> dict[str, Chain]:
    asked = attribute(_OF_TABLE, table)
    start = len(asked)  # each rule names its table first, and then its chain
    found: dict[bytes, list[bytes]] = {}
    for words in (asked,) if names is None else (asked + attribute(_OF_CHAIN, name.encode() + b"\0") for name in names):
        for body in _ask(opened, _RULE, words, dump=True):
            (length, _) = _ATTRIBUTE.unpack_from(body, start)
            found.setdefault(body[start + _ATTRIBUTE.size : start + length], []).append(body)
    return {chain[:-1].decode(): Chain(len(rules), blake2b(b"".join(rules)).digest()) for chain, rules in found.items()}


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
