"""The MODP groups of RFC 2409 and RFC 3526, and Diffie-Hellman in them by integer arithmetic.

The arithmetic is a fallback for the day the library has none (its finite-field Diffie-Hellman is deprecated). It is
several times slower and not constant-time; keys are used for one exchange, and a peer's value is blinded first.
"""

from __future__ import annotations

from functools import cache

from ipsecd.wire.registry import Group

GENERATOR = 2

# RFC 2409 sections 6.1 and 6.2, RFC 3526 sections 2 to 7: size of the prime in bits, the constant in its formula;
# RFC 3526 section 8: octets of an exponent twice as long as the larger estimate of the group's strength, rounded up. It
# has none for the smallest two, whose strength is below that of any exponent here
_GROUPS = {
    Group.MODP_768: (768, 149686, 30),
    Group.MODP_1024: (1024, 129093, 30),
    Group.MODP_1536: (1536, 741804, 30),
    Group.MODP_2048: (2048, 124476, 40),
    Group.MODP_3072: (3072, 1690314, 53),
    Group.MODP_4096: (4096, 240904, 60),
    Group.MODP_6144: (6144, 929484, 68),
    Group.MODP_8192: (8192, 4743158, 78),
}


@cache
def prime(group: Group) -> int:
    """The prime of a group: 2^n - 2^(n-64) - 1 + 2^64 * ([2^(n-130) pi] + c), as both RFCs define it."""
    bits, constant, _ = _GROUPS[group]
    return (1 << bits) - (1 << bits - 64) - 1 + (_pi(bits - 130) + constant << 64)


def exponent_octets(group: Group) -> int:
    """How many random octets make a private exponent (RFC 3526 section 8)."""
    return _GROUPS[group][2]


def in_range(value: int, group: Group) -> bool:
    """RFC 6989 section 2.1: 1 < r < p-1 is all that a safe prime needs checked."""
    return 1 < value < prime(group) - 1


def public(exponent: int, group: Group) -> int:
    """g^x mod p."""
    return pow(GENERATOR, exponent, prime(group))


def shared(peer: int, exponent: int, own: int, blind: int, group: Group) -> int:
    """y^x mod p, for a ``peer`` value y that is in range and our ``own`` g^x. It is computed as (y g^b)^x (g^x)^-b
    with a random ``blind`` b, so that the peer doesn't choose the base whose power can be timed."""
    modulus = prime(group)
    blinded = peer * pow(GENERATOR, blind, modulus) % modulus
    return pow(blinded, exponent, modulus) * pow(own, -blind, modulus) % modulus


def _pi(bits: int) -> int:
    """[2^bits pi], by Machin's formula: pi = 16 arctan(1/5) - 4 arctan(1/239)."""
    guard = 64  # more than the rounding of some thousand terms can reach
    one = 1 << (bits + guard)
    return (16 * _arctan_inverse(5, one) - 4 * _arctan_inverse(239, one)) >> guard


def _arctan_inverse(x: int, one: int) -> int:
    """``one`` times arctan(1/x): 1/x - 1/(3 x^3) + 1/(5 x^5) - ..."""
    power = one // x
    total = 0
    odd, sign = 1, 1
    while power:
        total += sign * (power // odd)
        power //= x * x
        odd, sign = odd + 2, -sign
    return total
