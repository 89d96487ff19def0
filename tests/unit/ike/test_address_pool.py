"""Addresses that are lent."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from ipsecd.ike.address_pool import AddressPool


def pool(network: str, *reserved: str) -> AddressPool:
    return AddressPool(ip_network(network), map(ip_address, reserved))


def leases(lent: AddressPool, *names: str) -> list[str]:
    return [str(lent.lease(name)) for name in names]


def test_the_network_and_the_broadcast_address_are_nobodys() -> None:
    assert leases(pool("10.3.0.0/29"), *"abcdefg") == [f"10.3.0.{n}" for n in range(1, 7)] + ["None"]


@pytest.mark.parametrize(
    ("network", "found"),
    [
        ("10.3.0.4/31", ["10.3.0.4", "10.3.0.5", "None"]),
        ("10.3.0.4/32", ["10.3.0.4", "None", "None"]),
        ("2001:db8::/126", ["2001:db8::1", "2001:db8::2", "2001:db8::3"]),
        ("2001:db8::/64", ["2001:db8::1", "2001:db8::2", "2001:db8::3"]),
    ],
)
def test_of_small_networks_all_are_lent_and_of_ipv6_all_but_the_first(network: str, found: list[str]) -> None:
    assert leases(pool(network), *"abc") == found


def test_what_is_reserved_is_not_lent() -> None:
    lent = pool("10.3.0.0/29", "10.3.0.1", "10.3.0.3")
    assert leases(lent, *"abc") == ["10.3.0.2", "10.3.0.4", "10.3.0.5"]
    assert lent.lease("d", ip_address("10.3.0.1")) == ip_address("10.3.0.6")


def test_a_name_has_one_address_however_often_it_is_taken() -> None:
    lent = pool("10.3.0.0/30")
    assert leases(lent, "a", "a", "b", "c") == ["10.3.0.1", "10.3.0.1", "10.3.0.2", "None"]
    lent.release("a")
    assert leases(lent, "c") == ["None"]
    lent.release("a")
    assert leases(lent, "c") == ["10.3.0.1"]
    assert len(lent) == 2


def test_who_comes_back_has_what_he_had_as_long_as_nobody_needed_it() -> None:
    lent = pool("10.3.0.0/29")
    assert leases(lent, *"abc") == ["10.3.0.1", "10.3.0.2", "10.3.0.3"]
    for name in "ba":
        lent.release(name)
    assert leases(lent, "d", "a", "b") == ["10.3.0.4", "10.3.0.1", "10.3.0.2"]
    for name in "bac":
        lent.release(name)
    assert leases(lent, *"efgh") == ["10.3.0.5", "10.3.0.6", "10.3.0.2", "10.3.0.1"]  # the longest free first
    assert leases(lent, "b", "c", "a") == ["10.3.0.3", "None", "None"]


def test_a_wish_is_granted_if_it_is_free() -> None:
    lent = pool("10.3.0.0/29")
    assert lent.lease("a", ip_address("10.3.0.5")) == ip_address("10.3.0.5")
    assert lent.lease("b", ip_address("10.3.0.5")) == ip_address("10.3.0.1")
    for number, wish in enumerate(("10.3.0.0", "10.3.0.7", "10.4.0.1", "2001:db8::1"), 2):
        assert lent.lease(wish, ip_address(wish)) == ip_address(f"10.3.0.{number if number < 5 else 6}")


def test_a_wish_may_be_what_another_has_given_back() -> None:
    lent = pool("10.3.0.0/29")
    lent.lease("a")
    lent.release("a")
    assert lent.lease("b", ip_address("10.3.0.1")) == ip_address("10.3.0.1")
    assert lent.lease("a") == ip_address("10.3.0.2")


def test_a_name_that_was_somebody_s_has_one_address_to_come_back_to() -> None:
    """Whatever comes and goes, nothing is lent twice, and what is remembered is bounded by the network."""
    lent = pool("10.3.0.0/28")
    held: dict[str, object] = {}
    for turn in range(500):
        name = f"user {turn * 7 % 23}"
        if name in held:
            lent.release(name)
            del held[name]
        else:
            address = lent.lease(name)
            assert (address is None) == (len(held) == 14)
            if address is not None:
                assert address not in held.values()
                held[name] = address
    assert len(lent._had) == len(lent._free) <= 14
