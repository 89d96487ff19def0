"""What the floods of tests/netns read in a frame."""

from __future__ import annotations

from tests.netns.flood import MARK, numbers_in


def test_a_frame_that_stands_for_several_packets_shows_all_their_numbers() -> None:
    """As a gateway that is behind hands them to its kernel."""
    run = b"header" + b"".join(MARK + b"ha.%d;" % number for number in (3, 6, 9))
    assert numbers_in(run) == ["ha3", "ha6", "ha9"]


def test_a_large_packet_has_one_number() -> None:
    assert numbers_in(b"header" + (MARK + b"ga.12;") * 50) == ["ga12"]
    assert numbers_in(b"something else") == []
