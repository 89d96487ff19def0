"""What a decoder is to the tests that enumerate them all (``decoders.py``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Decoder:
    """``samples`` are accepted by ``decode``, and between them reach its branches."""

    name: str
    decode: Callable[[bytes], object]
    encode: Callable[[Any], bytes] | None
    samples: tuple[bytes, ...]


def samples(*texts: str) -> tuple[bytes, ...]:
    """Octets written in hexadecimal."""
    return tuple(bytes.fromhex(text) for text in texts)
