"""The Internet checksum (RFC 1071) and its repair after a changed word (RFC 1624)."""

from __future__ import annotations

from ipsecd.wire.selector import Address


def ones_sum(data: bytes | memoryview) -> int:
    """The one's-complement sum of big-endian words, an odd last octet padded with zero. 0 only if all is zero.

    A number is congruent modulo 65,535 to the sum of its 16-bit digits, so one division folds them all.
    """
    number = int.from_bytes(data, "big") << 8 * (len(data) & 1)
    return number % 0xFFFF or (0xFFFF if number else 0)


def checksum(data: bytes | memoryview, partial: int = 0) -> int:
    """The checksum to write into a field that was zero; 0 over data that carries its right checksum. ``partial`` is a
    one's-complement sum of what stands before, such as ``pseudo_checksum``."""
    total = partial + ones_sum(data)
    return 0xFFFF ^ (total % 0xFFFF or (0xFFFF if total else 0))


def pseudo_checksum(source: Address, destination: Address, protocol: int, octets: int) -> int:
    """The one's-complement sum of the pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1) before ``octets``
    octets of ``protocol``."""
    return ones_sum(source.packed + destination.packed + octets.to_bytes(4, "big") + protocol.to_bytes(4, "big"))


def repair(old_checksum: int, old_word: int, new_word: int) -> int:
    """The checksum after one aligned 16-bit word changed: HC' = ~(~HC + ~m + m') (RFC 1624 section 3, equation 3), over
    data that isn't all zero, as no packet is."""
    total = (0xFFFF ^ old_checksum) + (0xFFFF ^ old_word) + new_word
    total = (total >> 16) + (total & 0xFFFF)
    total = (total >> 16) + (total & 0xFFFF)
    return 0xFFFF ^ total
