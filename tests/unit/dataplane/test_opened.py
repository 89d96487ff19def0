"""What is cut out of packets that were opened together."""

from __future__ import annotations

from ipsecd.dataplane.opened import Cuts


def test_what_is_cut_out_of_packets_is_made_once() -> None:
    cuts = Cuts([memoryview(b"one packet"), memoryview(b"two packet")])
    found = cuts.between(0, 3)
    assert [bytes(view) for view in found] == [b"one", b"two"]
    assert cuts.between(0, 3) is found
    assert [bytes(view) for view in cuts.between(4, 10)] == [b"packet", b"packet"]


def test_few_of_all_the_ways_to_cut_are_kept() -> None:
    """The padding that a peer chooses decides where packets end (RFC 4303 section 2.4)."""
    cuts = Cuts([memoryview(bytes(300))])
    for end in range(300):
        assert len(cuts.between(0, end)[0]) == end
        assert len(cuts._made) <= 8
