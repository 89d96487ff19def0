"""What the child of two hosts is known by."""

from ipaddress import ip_address

import pytest

from ipsecd.wire.hostpair import hosts_of, pair_id, pattern_id

FOUR = ip_address("192.0.2.1"), ip_address("192.0.2.9")
SIX = ip_address("2001:db8::1"), ip_address("2001:db8::9")


@pytest.mark.parametrize(
    ("ends", "known_by"), [(FOUR, "7@192.0.2.1@192.0.2.9"), (SIX, "7@2001:db8::1@2001:db8::9")], ids=["IPv4", "IPv6"]
)
def test_it_says_after_what_it_is_made_and_between_whom(ends: tuple, known_by: str) -> None:  # type: ignore[type-arg]
    made = pair_id("7", *ends)
    assert made == known_by
    assert pattern_id(made) == "7"
    assert hosts_of(made) == ends


def test_any_other_child_is_its_own_pattern_and_between_no_two_hosts() -> None:
    assert pattern_id("7") == "7"
    assert hosts_of("7") is None
