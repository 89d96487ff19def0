"""Octets and text that are nearly right: what a broken or hostile sender makes of a good message."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

_BYTES = (0x00, 0x01, 0x02, 0x03, 0x04, 0x07, 0x08, 0x7F, 0x80, 0xFE, 0xFF)
_WORDS = (0, 1, 3, 4, 7, 8, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)

Operation = Callable[[bytearray, Random, Sequence[bytes]], None]


def _flip_bit(data: bytearray, rng: Random, _: Sequence[bytes]) -> None:
    at = rng.randrange(len(data))
    data[at] ^= 1 << rng.randrange(8)


def _set_byte(data: bytearray, rng: Random, _: Sequence[bytes]) -> None:
    data[rng.randrange(len(data))] = rng.choice(_BYTES)


def _randomise_byte(data: bytearray, rng: Random, _: Sequence[bytes]) -> None:
    data[rng.randrange(len(data))] = rng.randrange(256)


def _set_word(data: bytearray, rng: Random, _: Sequence[bytes]) -> None:
    """A length or count field at its edges."""
    at = rng.randrange(len(data))
    words = (*_WORDS, len(data), len(data) - at, len(data) - at - 2, len(data) - at + 1)
    data[at : at + 2] = (rng.choice(words) & 0xFFFF).to_bytes(2, "big")


def _step_word(data: bytearray, rng: Random, _: Sequence[bytes]) -> None:
    """A length or count field one off."""
    at = rng.randrange(len(data))
    word = int.from_bytes(data[at : at + 2], "big") + rng.choice((-4, -1, 1, 4))
    data[at : at + 2] = (word & 0xFFFF).to_bytes(2, "big")


def _cut(data: bytearray, rng: Random, _: Sequence[bytes]) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.randint(1, 8)]


def _truncate(data: bytearray, rng: Random, _: Sequence[bytes]) -> None:
    del data[rng.randrange(len(data)) :]


def _insert(data: bytearray, rng: Random, _: Sequence[bytes]) -> None:
    at = rng.randint(0, len(data))
    data[at:at] = rng.randbytes(rng.randint(1, 8))


def _repeat(data: bytearray, rng: Random, _: Sequence[bytes]) -> None:
    start = rng.randrange(len(data))
    piece = data[start : start + rng.randint(1, 48)]
    at = rng.randint(0, len(data))
    data[at:at] = piece * rng.choice((1, 1, 2, 40))


def _splice(data: bytearray, rng: Random, pool: Sequence[bytes]) -> None:
    """The beginning of one message and the end of another."""
    other = rng.choice(pool)
    data[rng.randint(0, len(data)) :] = other[rng.randint(0, len(other)) :]


_OPERATIONS: tuple[Operation, ...] = (
    _flip_bit,
    _set_byte,
    _randomise_byte,
    _set_word,
    _step_word,
    _cut,
    _truncate,
    _insert,
    _repeat,
    _splice,
)


def mutated(rng: Random, pool: Sequence[bytes]) -> bytes:
    """One of ``pool`` with one to four changes."""
    data = bytearray(rng.choice(pool))
    for _ in range(rng.choice((1, 1, 2, 2, 3, 4))):
        operation = rng.choice(_OPERATIONS) if data else _insert
        operation(data, rng, pool)
    return bytes(data)


_WORD = re.compile(r"[^\s{}\[\],:#]+")
_ODD_WORDS = (
    *(
        "no",
        "yes",
        "~",
        "null",
        "12:30",
        "0o17",
        "1e3",
        ".inf",
        "-1",
        "0",
        "65536",
        "4294967296",
        "*",
        "&a",
        "*a",
        "<<",
    ),
    *("!!python/none", "''", '"', "'", "{", "}", "[", "]", ",", ":", "- ", "? ", "|", ">", "%TAG", "---", "...", "\t"),
    *(
        "::/0",
        "0.0.0.0/0",
        "10.0.0.1-10.0.0.0",
        "2001:db8::1%eth0",
        "any",
        "me",
        "[]",
        "{}",
        "\x00",
        "\u202e",
        "\ud7ff",
    ),
)


def mutated_text(rng: Random, pool: Sequence[bytes]) -> bytes:
    """A text of ``pool`` with one to four changes to its words and lines: one left out, doubled, moved to another
    depth, or replaced by one that a text of the pool has in some place, or that YAML reads in a way of its own."""
    text = rng.choice(pool).decode()
    for _ in range(rng.randint(1, 4)):
        lines = text.splitlines(keepends=True) or ["\n"]
        at = rng.randrange(len(lines))
        match rng.randrange(6):
            case 0:
                del lines[at]
            case 1:
                lines.insert(rng.randint(0, len(lines)), lines[at])
            case 2:
                lines[at] = " " * rng.randrange(8) + lines[at].lstrip(" ")
            case 3:
                lines[at:] = rng.choice(pool).decode().splitlines(keepends=True)[at:]
            case _:
                lines[at] = _with_another_word(lines[at], rng, pool)
        text = "".join(lines)
    return text.encode()


def _with_another_word(line: str, rng: Random, pool: Sequence[bytes]) -> str:
    words = list(_WORD.finditer(line))
    others = _ODD_WORDS if rng.random() < 0.5 else _WORD.findall(rng.choice(pool).decode())
    start, end = rng.choice(words).span() if words else (0, 0)
    return line[:start] + rng.choice(others) + line[end:]
