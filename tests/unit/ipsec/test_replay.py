"""The anti-replay window, as a numbered table of (sequence, verdict), and the inference of high halves."""

from __future__ import annotations

import pytest

from ipsecd import limits
from ipsecd.errors import LocalError
from ipsecd.ipsec.replay import ReplayWindow, Verdict

W = limits.REPLAY_WINDOW
FRESH, REPLAYED, BEHIND = Verdict.FRESH, Verdict.REPLAYED, Verdict.BEHIND
LAST = (1 << 64) - 1

TABLE = [
    (0, REPLAYED),  # 1: no packet is numbered 0
    (1, FRESH),  # 2
    (1, REPLAYED),  # 3
    (9, FRESH),  # 4: a gap
    (8, FRESH),  # 5: inside the gap, backwards
    (7, FRESH),  # 6
    (7, REPLAYED),  # 7
    (W, FRESH),  # 8: the window is full, 1 is its oldest number
    (1, REPLAYED),  # 9
    (W - 1, FRESH),  # 10
    (W - 1, REPLAYED),  # 11
    (2, FRESH),  # 12: still inside
    (W + 2, FRESH),  # 13: 1 and 2 fall out
    (2, BEHIND),  # 14: seen, but that is forgotten
    (3, FRESH),  # 15: the oldest inside
    (3, REPLAYED),  # 16
    (W + 17, FRESH),  # 17
    (17, BEHIND),  # 18: one step outside
    (18, FRESH),  # 19: the oldest inside
    (W + 17, REPLAYED),  # 20
    (4 * W, FRESH),  # 21: a jump over the whole window
    (4 * W - W, BEHIND),  # 22
    (4 * W - W + 1, FRESH),  # 23: what the jump entered is clean
    (4 * W - W + 1, REPLAYED),  # 24
    (4 * W - 1, FRESH),  # 25
    (10, BEHIND),  # 26
    (0, BEHIND),  # 27
    (4 * W + 64, FRESH),  # 28: exactly one block on
    (4 * W + 63, FRESH),  # 29: the block left behind is kept
    (4 * W, REPLAYED),  # 30
    (2**32, FRESH),  # 31: into the next subspace
    (2**32 - 1, FRESH),  # 32: and back over the border
    (2**32 - W, BEHIND),  # 33
    (LAST, FRESH),  # 34
    (LAST, REPLAYED),  # 35
    (LAST - W, BEHIND),  # 36
    (LAST - W + 1, FRESH),  # 37
    (2**32, BEHIND),  # 38
]


def test_the_table() -> None:
    window = ReplayWindow(W)
    for line, (sequence, verdict) in enumerate(TABLE, 1):
        assert window.check(sequence) is verdict, line
        assert window.commit(sequence) is verdict, line


def test_checking_changes_nothing() -> None:
    window = ReplayWindow(W)
    assert window.check(5_000_000) is FRESH
    assert window.top == 0
    assert window.check(1) is FRESH
    assert window.check(5_000_000) is FRESH


def test_every_number_of_a_window_passes_once_forwards_and_backwards() -> None:
    for order in (range(1, W + 1), range(W, 0, -1)):
        window = ReplayWindow(W)
        assert [window.commit(number) for number in order] == [FRESH] * W
        assert [window.commit(number) for number in order] == [REPLAYED] * W


@pytest.mark.parametrize("jump", [63, 64, 65, 128, 500, 1_000])
def test_what_a_jump_passes_over_is_fresh_however_often_the_ring_went_round(jump: int) -> None:
    window = ReplayWindow(W)
    for number in range(1, 5_001):
        window.commit(number)
    assert window.commit(5_000 + jump) is FRESH
    assert {window.check(number) for number in range(5_001, 5_000 + jump)} == {FRESH}
    assert {window.check(number) for number in range(5_000 + jump - W + 1, 5_001)} == {REPLAYED}


@pytest.mark.parametrize("size", [limits.REPLAY_WINDOW_MIN, 65, 127, 128, 1_000, limits.REPLAY_WINDOW_MAX])
@pytest.mark.parametrize("top", [1, 63, 64, 65, 8_191, 100_000, 2**32 + 5])
def test_a_window_is_exactly_as_wide_as_asked(size: int, top: int) -> None:
    window = ReplayWindow(size)
    window.commit(top + size)
    assert window.check(top) is BEHIND
    assert window.check(top + 1) is FRESH


def test_a_size_out_of_bounds_is_our_own_mistake() -> None:
    for size in (0, limits.REPLAY_WINDOW_MIN - 1, limits.REPLAY_WINDOW_MAX + 1):
        with pytest.raises(LocalError):
            ReplayWindow(size)


EXTENSIONS = [  # (T, Seql, Seq) for W = 1,024: RFC 4303 appendix A2.2
    (0, 1, 1),  # nothing received yet
    (0, 0xFFFFFFFF, 0xFFFFFFFF),  # there is no subspace before the first
    (1_022, 0xFFFFFFFF, 0xFFFFFFFF),
    (1_023, 0, 0),  # case A starts, with a window that begins at 0
    (1_024, 0, 0x1_00000000),  # what lies before the window is the next subspace
    (1_023, 0xFFFFFFFF, 0xFFFFFFFF),
    (5_000, 3_977, 3_977),  # the bottom of the window
    (5_000, 3_976, 0x1_00000F88),  # one below it
    (0xFFFFFFFF, 0xFFFFFC00, 0xFFFFFC00),
    (0xFFFFFFFF, 0, 0x1_00000000),
    (0x1_00000000, 0xFFFFFC01, 0xFFFFFC01),  # case B: the window spans two subspaces
    (0x1_00000000, 0xFFFFFC00, 0x1_FFFFFC00),
    (0x1_00000000, 1, 0x1_00000001),
    (0x1_000003FE, 0xFFFFFFFF, 0xFFFFFFFF),  # the last of case B
    (0x1_000003FF, 0xFFFFFFFF, 0x1_FFFFFFFF),  # the first of case A
    (0x7_00000005, 5, 0x7_00000005),
    (0xFFFFFFFF_FFFFFFF0, 0xFFFFFFFF, LAST),
    (0xFFFFFFFF_FFFFFFFF, 0, 0),  # there is no subspace behind the last
]


@pytest.mark.parametrize(("top", "low", "sequence"), EXTENSIONS)
def test_the_high_half_is_inferred_as_appendix_a2_says(top: int, low: int, sequence: int) -> None:
    window = ReplayWindow(W)
    window.top = top
    assert window.extend(low) == sequence


def test_a_number_behind_the_last_subspace_is_never_fresh() -> None:
    window = ReplayWindow(W)
    window.commit(LAST)
    assert window.check(window.extend(0)) is BEHIND
