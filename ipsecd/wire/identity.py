"""Identities (RFC 7296 section 3.5): what a peer calls itself, as a value that compares, prints and encodes."""

from __future__ import annotations

from dataclasses import dataclass

from ipsecd.wire.registry import IdType


@dataclass(frozen=True, slots=True)
class Identity:
    """An ID payload's type and data. ``parse`` and ``str`` are for people; equality is of octets."""

    type: IdType
    data: bytes
