"""The replay window held against a set of numbers, and the inference of high halves against the truth."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipsecd import limits
from ipsecd.ipsec.replay import ReplayWindow, Verdict

sizes = st.sampled_from([64, 65, 100, 128, 1_000, 1_024, 8_192])
LAST = (1 << 64) - 1


def slow(seen: set[int], size: int, number: int) -> Verdict:
    """What RFC 4303 section 3.4.3 says, with nothing forgotten."""
    top = max(seen)
    if number in seen and number > top - size:
        return Verdict.REPLAYED
    return Verdict.BEHIND if number <= top - size else Verdict.FRESH


@given(
    sizes,
    st.lists(st.one_of(st.integers(0, 300), st.integers(-9_000, 9_000), st.integers(0, 1 << 33)), max_size=80),
)
def test_the_window_agrees_with_a_set_of_all_numbers(size: int, steps: list[int]) -> None:
    window = ReplayWindow(size)
    seen = {0}
    for step in steps:
        number = min(max(max(seen) + step - size // 2, 0), LAST)
        expected = slow(seen, size, number)
        assert window.check(number) is expected
        assert window.commit(number) is expected
        if expected is Verdict.FRESH:
            seen.add(number)
        assert window.top == max(seen)


@given(sizes, st.lists(st.tuples(st.integers(1, 9_000), st.integers(1, 200)), max_size=8), st.integers(0, 1 << 40))
def test_many_numbers_in_a_row_are_marked_as_one_by_one(size: int, runs: list[tuple[int, int]], start: int) -> None:
    one, two = ReplayWindow(size), ReplayWindow(size)
    for window in (one, two):
        window.commit(start)
    for gap, count in runs:
        first = one.top + gap
        one.commit_run(first, count)
        for number in range(first, first + count):
            two.commit(number)
        assert (one.top, one._blocks) == (two.top, two._blocks)


@given(sizes, st.lists(st.integers(1, 3_000), max_size=60))
def test_no_number_passes_twice(size: int, numbers: list[int]) -> None:
    window = ReplayWindow(size)
    passed = [number for number in numbers if window.commit(number) is Verdict.FRESH]
    assert len(passed) == len(set(passed))


@given(sizes, st.integers(0, LAST), st.integers(-8_192, (1 << 32) - 8_193))
def test_a_number_near_the_window_is_inferred_from_its_low_half(size: int, top: int, distance: int) -> None:
    """RFC 4303 appendix A2: anything from the bottom of the window to 2^32 numbers above it."""
    number = top + distance
    if not (top - size < number <= min(top - size + (1 << 32), LAST) and number >= 0):
        return
    window = ReplayWindow(size)
    window.top = top
    assert window.extend(number & 0xFFFF_FFFF) == number


@given(sizes, st.integers(0, LAST), st.integers(0, 0xFFFF_FFFF))
def test_what_is_inferred_is_always_a_number_and_never_fresh_behind_the_window(size: int, top: int, low: int) -> None:
    window = ReplayWindow(size)
    window.top = top
    number = window.extend(low)
    assert 0 <= number <= LAST
    assert number & 0xFFFF_FFFF == low
    assert (window.check(number) is Verdict.BEHIND) == (number <= top - size)


def test_the_default_window_is_within_its_bounds() -> None:
    assert limits.REPLAY_WINDOW_MIN <= limits.REPLAY_WINDOW <= limits.REPLAY_WINDOW_MAX
