"""C24: replay, extended sequence numbers, IV reuse. The window's own table is in tests/unit/ipsec/test_replay.py."""

from __future__ import annotations

import itertools

import pytest

from ipsecd import limits
from ipsecd.dataplane import messages as m
from ipsecd.dataplane.results import Out, ToTun
from ipsecd.ipsec import esp
from tests.unit.crypto.suites import SUITES, Suite
from tests.unit.dataplane.ends import End, only, tunnel
from tests.unit.ipsec.packets import udp
from tests.unit.ipsec.pairs import CBC, GCM, fixed_iv, outbound

PACKET = udp("10.1.0.1", "10.2.0.1")


def datagrams(near: End, count: int) -> list[bytes]:
    return [out.datagram for out in only(near.send(*[PACKET] * count), Out)]


def delivered(far: End, datagram: bytes) -> bool:
    return bool(only(far.receive(datagram), ToTun))


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_a_recorded_datagram_is_delivered_once(suite: Suite) -> None:
    near, far = tunnel(suite=suite)
    recorded = datagrams(near, 20)
    assert [delivered(far, datagram) for datagram in recorded] == [True] * 20
    for _ in range(3):
        assert [delivered(far, datagram) for datagram in reversed(recorded)] == [False] * 20
    assert far.drops == {"replayed": 60}


@pytest.mark.parametrize("esn", [False, True])
def test_an_unauthenticated_high_sequence_number_does_not_move_the_window(esn: bool) -> None:
    near, far = tunnel(esn=esn)
    first, second = datagrams(near, 2)
    assert delivered(far, first)
    for number in (3, 1_026, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF):
        forged = second[:4] + number.to_bytes(4, "big") + second[8:]
        assert far.receive(forged) == []
    assert delivered(far, second)
    assert far.drops == {"bad-icv": 5}


def test_an_authentic_jump_ahead_leaves_what_is_within_the_window_and_nothing_behind_it() -> None:
    near, far = tunnel()
    early = datagrams(near, 3)
    (sa,) = near.roads._outbound._sad
    sa.sequence = limits.REPLAY_WINDOW + 1
    assert delivered(far, datagrams(near, 1)[0])  # number W + 2
    assert [delivered(far, datagram) for datagram in early] == [False, False, True]
    assert far.drops == {"behind-window": 2}


@pytest.mark.parametrize("suite", [GCM, CBC], ids=lambda suite: suite.name)
def test_extended_numbers_cross_2_to_the_32_on_both_sides(suite: Suite) -> None:
    near, far = tunnel(suite=suite, esn=True)
    (sender,), (receiver,) = near.roads._outbound._sad, far.roads._inbound._sad
    sender.sequence = receiver.window.top = 2**32 - 50
    recorded = datagrams(near, 100)
    assert recorded[48][4:8] == b"\xff\xff\xff\xff"
    assert recorded[49][4:8] == b"\x00\x00\x00\x00"
    order = sorted(range(100), key=lambda at: (at % 7, at))
    assert all(delivered(far, recorded[at]) for at in order)
    assert not any(delivered(far, datagram) for datagram in recorded)
    assert receiver.window.top == 2**32 + 50


def test_without_extension_the_numbers_end_and_the_sa_with_them() -> None:
    near, far = tunnel()
    (sa,) = near.roads._outbound._sad
    sa.sequence = 2**32 - 3
    results = near.send(*[PACKET] * 4)
    sent = [out.datagram[4:8].hex() for out in only(results, Out)]
    assert sent == ["fffffffe", "ffffffff"]
    assert only(results, m.HardExpired) == [m.HardExpired(near.inbound, "packets")]
    assert len(only(results, m.Acquire)) == 1
    assert sa.sequence == 2**32 - 1
    assert near.drops == {"sequence-exhausted": 1}
    assert far.drops == {}


def test_an_sa_is_reported_soft_and_hard_before_its_numbers_end_even_without_limits() -> None:
    near, _ = tunnel()
    (sa,) = near.roads._outbound._sad
    sa.lifetime.packets = sa.sequence = limits.SOFT_PACKETS - 1
    assert only(near.send(PACKET), m.SoftExpired) == [m.SoftExpired(near.inbound, "packets")]
    sa.lifetime.packets = sa.sequence = limits.HARD_PACKETS - 1
    assert only(near.send(PACKET), m.HardExpired) == [m.HardExpired(near.inbound, "packets")]
    assert sa.sequence == limits.HARD_PACKETS < sa.last


def test_no_sequence_number_and_no_iv_is_used_twice_with_a_key_in_a_million_packets() -> None:
    """Numbers are taken one by one and in runs; for all ciphers but CBC the IV is the number."""
    sa = outbound()
    expected = 1
    for count in itertools.cycle((1, 1, 2, 44, 64)):
        first = sa.take(count)
        assert first == expected
        expected += count
        if expected > 1_000_000:
            break
    ivs = set()
    for _ in range(2_000):
        number = sa.take(1)
        assert number is not None
        datagram, _ = esp.seal(sa, number, 4, b"", fixed_iv)
        assert datagram[8:16] == number.to_bytes(8, "big")
        ivs.add(datagram[8:16])
    assert len(ivs) == 2_000


def test_an_sa_is_not_taken_up_again_while_it_lives() -> None:
    """A second copy of an SA would begin at number one, with the same key."""
    near, far = tunnel()
    datagrams(near, 3)
    (refused,) = near.install_outbound()
    assert isinstance(refused, m.Done)
    assert refused.error.endswith("is in use")
    assert datagrams(near, 1)[0][4:8].hex() == "00000004"
    (refused,) = far.install_inbound()
    assert isinstance(refused, m.Done)
    assert refused.error.endswith("is in use")
