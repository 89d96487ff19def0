"""The index of boxes."""

from __future__ import annotations

import pytest

from ipsecd import limits
from ipsecd.ipsec.boxes import Boxes

SQUARES = [((0, 9), (0, 9)), ((5, 5), (0, 3)), ((9, 20), (9, 9)), ((0, 9), (0, 9))]


class Counted(int):
    """A number that knows how often such numbers were compared."""

    comparisons = 0

    def __lt__(self, other: int) -> bool:
        Counted.comparisons += 1
        return int(self) < other


@pytest.mark.parametrize("block", [1, 2, 3, 512])
@pytest.mark.parametrize(
    ("point", "places"),
    [
        ((0, 0), [0, 3]),
        ((5, 3), [0, 1, 3]),
        ((5, 4), [0, 3]),
        ((9, 9), [0, 2, 3]),
        ((10, 9), [2]),
        ((21, 9), []),
        ((-1, 0), []),
        ((5,), [0, 1, 3]),
    ],
)
def test_the_boxes_that_hold_a_point_are_found_in_order(
    monkeypatch: pytest.MonkeyPatch, block: int, point: tuple[int, ...], places: list[int]
) -> None:
    monkeypatch.setattr(limits, "BOXES_IN_A_BLOCK", block)
    assert list(Boxes(SQUARES).holding(point)) == places


def test_no_boxes_hold_nothing() -> None:
    assert list(Boxes([]).holding((1, 2))) == []


@pytest.mark.parametrize("boxes", [10, 1_000, 10_000])
def test_a_look_up_compares_a_few_numbers_however_many_boxes_there_are(boxes: int) -> None:
    apart = Boxes([((10 * number, 10 * number + 5), (0, number)) for number in range(boxes)])
    Counted.comparisons = 0
    assert list(apart.holding((Counted(10 * boxes - 8), Counted(3)))) == [boxes - 1]
    blocks = -(-boxes // limits.BOXES_IN_A_BLOCK)
    assert Counted.comparisons <= blocks * 2 * (2 * limits.BOXES_IN_A_BLOCK).bit_length()
