"""The marks that packets carry in the bits that are ours, and how nft sets them and asks for them.

Three single bits at least: ``mark`` (to be steered into the TUN) and ``own_mark`` (sent by our own sockets) are given;
two more values follow from them.
"""

from __future__ import annotations

from ipsecd.policy.plan import Settings


def inside_mark(settings: Settings) -> int:
    """The mark of packets that came out of the TUN: not to be steered by, but to look up their way back with."""
    return settings.mark ^ settings.own_mark


def asking_mark(settings: Settings) -> int:
    """The mark that routes are asked for with that lead somewhere of their own: with it there is no default route."""
    taken = {settings.mark, settings.own_mark, inside_mark(settings)}
    bits = (1 << place for place in range(settings.mask.bit_length()))
    return next(bit for bit in bits if bit & settings.mask and bit not in taken)


def set_mark(settings: Settings, value: int) -> str:
    """Give a packet this mark in place of another of ours; the bits of others stay."""
    return f"meta mark set meta mark & {~settings.mask & 0xFFFF_FFFF:#010x} | {value:#010x}"


def has_mark(settings: Settings, value: int) -> str:
    """Match packets of this mark."""
    return f"meta mark & {settings.mask:#010x} == {value:#010x}"


def clear_mark(settings: Settings) -> str:
    """Take any mark of ours from a packet."""
    return f"meta mark & {settings.mask:#010x} != 0x00000000 {set_mark(settings, 0)}"
