"""Boxes parted in two."""

from __future__ import annotations

import pytest

from ipsecd.policy.extents import Span
from ipsecd.policy.parting import Cut, Parting


@pytest.mark.parametrize(
    ("span", "own", "others"),
    [((4, 4), [0], [1, 2]), ((5, 5), [1, 2], [0, 2]), ((5, 6), [1, 2], [0]), ((6, 6), [2], [0, 1, 2])],
)
def test_what_reaches_out_of_the_box_is_in_no_half_for_that(span: Span, own: list[int], others: list[int]) -> None:
    """Else a half would have flows that aren't in it at all, and looking for its edge would never end."""
    parting = Parting([((0, 4),), ((5, 5),), ((5, 9),)])
    assert parting.parted([0, 1, 2], Cut(0, span), ((4, 6),)) == (own, others)
