"""What nft needn't translate for an owner (``owner.py``): rules that it has translated before, and those that stand in
a text more than once. Saying what it makes of a rule takes it longer than making it.

What a rule says is in its message behind the names of its table and its chain, and is the same in every chain. Not so
where a rule has a set of its own, which is known by a number in that transaction.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from ipsecd.errors import REPORT
from ipsecd.io.compiled import KNOWN, RULE, Message, Unreadable
from ipsecd.io.netlink_parts import attribute

_GENERIC = 4  # octets before the first attribute
_ATTRIBUTE = struct.Struct("=HH")
_TABLE, _CHAIN = 1, 2  # linux/netfilter/nf_tables.h: the first attributes of a rule


class Known(NamedTuple):
    """A rule without the names of its table and chain: the flags of its message, and what is behind those names."""

    flags: int
    rest: bytes


class _Line(NamedTuple):
    """A rule of a text, and the chain it stands in."""

    chain: str
    rule: str


class Shortened:
    """A text of nft without the rules that are ``known``, but for the last of each block: there come all of its rules.
    ``text`` is what nft has to translate."""

    def __init__(self, text: str, table: str, known: dict[str, Known]) -> None:
        self._table, self._known = table, dict(known)
        self._rules: list[_Line] = []
        self._given: set[int] = set()  # which of them nft translates
        lines: list[str] = []
        told = set(known)
        left: tuple[int, str] | None = None  # the last rule of this block, if it was left out
        for line, chain in _placed(text):
            if line == "}" and left is not None:
                number, rule = left
                lines += [f"\tchain {self._rules[number].chain} {{", rule, "\t}"]
                self._given.add(number)
                left = None
            if chain:
                number = len(self._rules)
                self._rules.append(_Line(chain, line))
                left = (number, line) if line in told else None
                if left is not None:
                    continue
                self._given.add(number)
                if "{" not in line:
                    told.add(line)
            lines.append(line)
        self.text = "\n".join([*lines, ""])

    def messages(self, translated: list[Message]) -> tuple[list[Message], dict[str, Known]]:
        """Those of the whole text, from those of the shortened one; and its rules, to be known from now on. Raises
        Unreadable."""
        found: list[Message] = []
        now: dict[str, Known] = {}
        coming = iter(translated)
        ahead: list[Message] = []  # what comes before the next rule that nft has translated, and that
        for number, (chain, line) in enumerate(self._rules):
            if not ahead:
                ahead = list(_up_to_a_rule(coming))
                found += ahead[:-1]
            if number in self._given:
                rule = ahead[-1]
                ahead = []
                self._known[line] = Known(rule.flags, _rest(rule.body, chain))
                found.append(rule)
            else:
                found.append(self._made(chain, self._known[line]))
            if "{" not in line:
                now[line] = self._known[line]
        return [*found, *coming], now

    def _made(self, chain: str, known: Known) -> Message:
        names = attribute(_TABLE, self._table.encode() + b"\0") + attribute(_CHAIN, chain.encode() + b"\0")
        return Message(RULE, known.flags, _HEAD + names + known.rest)


_HEAD = b"\x01\0\0\0"  # struct nfgenmsg: inet


def _placed(text: str) -> Iterator[tuple[str, str]]:
    """Each line, and of a rule the chain it is in."""
    chain = ""
    for line in text.splitlines():
        if line.startswith("\tchain "):
            chain = line.split()[1]
            yield line, ""
        elif line.startswith("\t}"):
            chain = ""
            yield line, ""
        else:
            yield line, chain if line.startswith("\t\t") and not line.startswith("\t\ttype ") else ""


def _up_to_a_rule(messages: Iterator[Message]) -> Iterator[Message]:
    for message in messages:
        yield message
        if message.kind == RULE:
            return
    raise Unreadable("nft makes fewer rules of a text than stand in it", REPORT)


def _rest(body: bytes, chain: str) -> bytes:
    """What is behind the chain's name."""
    start = _GENERIC
    for kind in (_TABLE, _CHAIN):
        length, found = _ATTRIBUTE.unpack_from(body, start)
        if found != kind:
            raise Unreadable("nft names table and chain of a rule elsewhere than is known", KNOWN)
        name = body[start + _ATTRIBUTE.size : start + length - 1]
        start += (length + 3) & ~3
    if name != chain.encode():
        raise Unreadable("nft puts rules in another order than they stand in", REPORT)
    return body[start:]
