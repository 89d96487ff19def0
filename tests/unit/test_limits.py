"""Bounds that hold each other: what is waited for before a policy follows what it depends on is less than promised."""

from __future__ import annotations

import pytest

from ipsecd import limits

FOLLOWED = 5.0  # seconds, of which some are left to ask, to plan and to write


@pytest.mark.parametrize(
    "waits",
    [
        (limits.RESOLVE_LEAST, limits.RESOLVE_TTL_TIME, limits.RESOLVE_REST),  # a DNS name, beyond its TTL
        (limits.RESOLVE_UNTOLD, limits.RESOLVE_TTL_TIME, limits.RESOLVE_REST),  # one without a TTL
        (limits.SETS_AGAIN,),  # a DNS server
        (limits.ADDRESS_REST,),  # an address, an interface, a default gateway
        (limits.ROUTES_REST, limits.ADDRESS_REST),  # another route
    ],
)
def test_a_change_waits_less_than_it_may_take_to_be_followed(waits: tuple[float, ...]) -> None:
    assert sum(waits) < FOLLOWED
