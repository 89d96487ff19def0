"""Boxes parted in two."""

from __future__ import annotations

import pytest

from ipsecd.policy.extents import Span
from ipsecd.policy.parting import Cut, Parting, round_number


@pytest.mark.parametrize(
    ("span", "own", "others"),
    [((4, 4), [0], [1, 2]), ((5, 5), [1, 2], [0, 2]), ((5, 6), [1, 2], [0]), ((6, 6), [2], [0, 1, 2])],
)
def test_what_reaches_out_of_the_box_is_in_no_half_for_that(span: Span, own: list[int], others: list[int]) -> None:
    """Else a half would have flows that aren't in it at all, and looking for its edge would never end."""
    parting = Parting([((0, 4),), ((5, 5),), ((5, 9),)])
    assert parting.parted([0, 1, 2], Cut(0, span), ((4, 6),)) == (own, others)


@pytest.mark.parametrize(
    ("low", "high", "number"), [(0, 9, 8), (8, 11, 10), (9, 15, 12), (12, 13, 13), (7, 8, 8), (5, 5, 5), (6, 2, 6)]
)
def test_the_roundest_number_is_taken(low: int, high: int, number: int) -> None:
    assert round_number(low, high) == number


EVERYTHING = ((0, 0xFFFF_FFFF),)
HOSTS = [((host << 8, host << 8),) for host in range(100, 200)]


@pytest.mark.parametrize("new", [0, 101, 149, 199, 500])
def test_a_box_more_moves_no_cut(new: int) -> None:
    with_it = [*HOSTS, (((new << 8) + 7, (new << 8) + 7),)]
    assert [Parting(boxes).cut(list(range(len(boxes))), EVERYTHING, 10, len(boxes)) for boxes in (HOSTS, with_it)] == [
        Cut(0, (160 << 8, 0xFFFF_FFFF))
    ] * 2


def test_far_edges_stay_where_they_are_when_a_box_comes_beyond_the_others() -> None:
    for boxes in (HOSTS, [*HOSTS, ((202 << 8, 202 << 8),)]):
        assert Parting(boxes).edge(list(range(len(boxes))), EVERYTHING) == Cut(0, (256 << 8, 0xFFFF_FFFF))
