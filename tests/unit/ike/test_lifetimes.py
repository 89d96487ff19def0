"""When SAs are rekeyed and when they end (RFC 7296 section 2.8)."""

from __future__ import annotations

import pytest

from ipsecd.crypto import algorithms
from ipsecd.ike.config import Lifetime
from ipsecd.ike.lifetimes import child_limits, soft_seconds
from ipsecd.ike.suites import EspSuite
from ipsecd.wire.registry import Encr


def suite(cipher: Encr = Encr.AES_GCM_16, key_bits: int | None = 128, *, esn: bool) -> EspSuite:
    encryption = algorithms.encryption(cipher, key_bits)
    assert encryption is not None
    return EspSuite(encryption, None, None, esn)


@pytest.mark.parametrize(
    ("seconds", "earliest", "latest"),
    [
        (28_800.0, 27_990.0, 28_260.0),  # 540 s before, and up to half as much again
        (3_600.0, 2_790.0, 3_060.0),
        (1_200.0, 930.0, 1_020.0),  # 15 % before
        (300.0, 165.0, 210.0),  # 90 s before
        (100.0, 50.0, 50.0),  # never before half of it
        (10.0, 5.0, 5.0),
    ],
)
def test_the_margin_before_the_end_is_stretched_by_chance(seconds: float, earliest: float, latest: float) -> None:
    assert soft_seconds(seconds, 1.0) == pytest.approx(earliest)
    assert soft_seconds(seconds, 0.0) == pytest.approx(latest)


def test_octets_and_packets_have_margins_in_proportion() -> None:
    soft, hard = child_limits(Lifetime(3_600.0, 1_000_000, 10_000), suite(esn=True), 0.0)
    assert hard == Lifetime(3_600.0, 1_000_000, 10_000)
    assert soft == Lifetime(3_060.0, 850_000, 8_500)
    soft, _ = child_limits(Lifetime(3_600.0, 1_000_000, 10_000), suite(esn=True), 1.0)
    assert soft == Lifetime(2_790.0, 775_000, 7_750)


def test_sequence_numbers_set_a_limit_where_the_policy_sets_none() -> None:
    # RFC 4303 section 3.3.3: the counter must not cycle; with 64 bits it can't be reached, but the cipher should rest
    assert child_limits(Lifetime(None), suite(esn=False), 0.5) == (
        Lifetime(None, None, 2_147_483_648),
        Lifetime(None, None, 4_294_901_760),
    )
    assert child_limits(Lifetime(None), suite(esn=True), 0.5) == (Lifetime(None, None, 2_147_483_648), Lifetime(None))


def test_the_least_of_the_limits_counts() -> None:
    soft, hard = child_limits(Lifetime(None, None, 1 << 40), suite(esn=False), 0.0)
    assert (soft.packets, hard.packets) == (2_147_483_648, 4_294_901_760)
    soft, hard = child_limits(Lifetime(None, None, 1_000), suite(esn=False), 0.0)
    assert (soft.packets, hard.packets) == (850, 1_000)


@pytest.mark.parametrize("cipher", [Encr.DES, Encr.TRIPLE_DES])
def test_a_key_of_a_cipher_with_small_blocks_carries_a_gibibyte_at_most(cipher: Encr) -> None:
    soft, hard = child_limits(Lifetime(None), suite(cipher, None, esn=False), 0.0)
    assert (soft.octets, hard.octets) == (912_680_550, 1_073_741_824)
    soft, hard = child_limits(Lifetime(None, 1 << 40), suite(cipher, None, esn=False), 0.0)
    assert (soft.octets, hard.octets) == (912_680_550, 1_073_741_824)
    soft, hard = child_limits(Lifetime(None, 1_000_000), suite(cipher, None, esn=False), 0.0)
    assert (soft.octets, hard.octets) == (850_000, 1_000_000)


def test_nothing_but_the_policy_limits_the_octets_of_other_ciphers() -> None:
    for cipher, bits in ((Encr.AES_CBC, 128), (Encr.NULL, None), (Encr.CAMELLIA_CBC, 256)):
        assert child_limits(Lifetime(None), suite(cipher, bits, esn=False), 0.0)[1].octets is None
