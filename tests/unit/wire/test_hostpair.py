"""What the child of two hosts is known by."""

from ipaddress import ip_address

import pytest

from ipsecd.wire.hostpair import hosts_named, hosts_of, pair_id, pair_name, pattern_id

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


@pytest.mark.parametrize(
    ("remote", "local", "name"),
    [
        (FOUR[1], None, "lan@192.0.2.9"),
        (FOUR[1], FOUR[0], "lan@192.0.2.9,192.0.2.1"),
        (SIX[1], None, "lan@2001:db8::9"),
        (SIX[1], SIX[0], "lan@2001:db8::9,2001:db8::1"),
    ],
)
def test_people_name_the_remote_host_and_ours_where_that_is_not_clear(remote, local, name) -> None:  # type: ignore[no-untyped-def]
    assert pair_name("lan", remote, local) == name
    assert hosts_named(name) == ("lan", remote, local)


@pytest.mark.parametrize(
    "name",
    ["lan", "lan@", "lan@hq", "lan@192.0.2.9,", "192.0.2.9", "lan@192.0.2.9,a", "lan@192.0.2.9,192.0.2.1,192.0.2.2"],
)
def test_nothing_else_is_the_name_of_two_hosts(name: str) -> None:
    assert hosts_named(name) is None
