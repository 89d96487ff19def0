"""Whether a policy needs a machine that forwards, and whether this one does."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ipsecd.io.advice import forwarding
from ipsecd.io.netlink_values import Link

OWN = [ip_address(text) for text in ("10.1.0.0", "10.1.0.1", "192.0.2.1", "fd01::1")]


def tun(*kept: int) -> Link:
    return Link(7, "ipsecd0", "tun", 1_438, True, True, False, 4_500, 0, kept)


@pytest.mark.parametrize(
    ("first", "last", "versions"),
    [
        ("10.1.0.0", "10.1.255.255", ["IPv4"]),
        ("0.0.0.0", "255.255.255.255", ["IPv4"]),
        ("10.1.0.2", "10.1.0.2", ["IPv4"]),
        ("fd01::", "fd01::ffff", ["IPv6"]),
        ("192.0.2.1", "192.0.2.1", []),
        ("10.1.0.0", "10.1.0.1", []),
        ("fd01::1", "fd01::1", []),
    ],
)
def test_a_range_with_others_than_this_machine_wants_forwarding(first: str, last: str, versions: list[str]) -> None:
    told = list(forwarding(tun(4, 6), [(ip_address(first), ip_address(last))], OWN))
    assert [problem.split()[4].rstrip(",") for problem in told] == versions


def test_only_the_version_that_is_not_forwarded_is_named() -> None:
    ranges = [(ip_address("10.1.0.0"), ip_address("10.1.0.9")), (ip_address("fd01::"), ip_address("fd01::9"))]
    assert list(forwarding(tun(), ranges, OWN)) == []
    (told,) = forwarding(tun(6), ranges, OWN)
    assert told == (
        "this machine forwards no IPv6, and a rule is for a network behind it: sysctl -w net.ipv6.conf.all.forwarding=1"
    )
