"""The addresses of filters and tunnels, and what is said of those that aren't."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ipsecd.policy.addresses import AddressSet, Kind, TunnelEnd, address_set, tunnel_end
from ipsecd.policy.complaint import Complaint


def said(check: object, value: object) -> str:
    with pytest.raises(Complaint) as caught:
        check(value)  # type: ignore[operator]  # one of the two functions under test
    [remark] = caught.value.remarks
    return f"{remark.message} ({remark.hint})" if remark.hint else remark.message


@pytest.mark.parametrize(
    ("text", "first", "last", "shown"),
    [
        ("10.1.0.0/16", "10.1.0.0", "10.1.255.255", "10.1.0.0/16"),
        ("10.1.0.0/255.255.0.0", "10.1.0.0", "10.1.255.255", "10.1.0.0/16"),
        ("10.1.0.7", "10.1.0.7", "10.1.0.7", "10.1.0.7"),
        ("0.0.0.0/0", "0.0.0.0", "255.255.255.255", "0.0.0.0/0"),
        ("10.1.0.1-10.1.0.9", "10.1.0.1", "10.1.0.9", "10.1.0.1-10.1.0.9"),
        ("10.1.0.1 - 10.1.0.9", "10.1.0.1", "10.1.0.9", "10.1.0.1-10.1.0.9"),
        (" fd01::/64 ", "fd01::", "fd01::ffff:ffff:ffff:ffff", "fd01::/64"),
        ("FD01::1", "fd01::1", "fd01::1", "fd01::1"),
        ("fd01::1-fd01::9", "fd01::1", "fd01::9", "fd01::1-fd01::9"),
    ],
)
def test_addresses_subnets_and_ranges_are_ranges(text: str, first: str, last: str, shown: str) -> None:
    found = address_set(text)
    assert (found.kind, found.first, found.last) == (Kind.RANGE, ip_address(first), ip_address(last))
    assert str(found) == shown
    assert found.version == ip_address(first).version


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("me", AddressSet(Kind.ME, "me")),
        ("ME", AddressSet(Kind.ME, "me")),
        ("any", AddressSet(Kind.ANY, "any")),
        ("dns", AddressSet(Kind.WELL_KNOWN, "dns")),
        ("dhcp", AddressSet(Kind.WELL_KNOWN, "dhcp")),
        ("WINS", AddressSet(Kind.WELL_KNOWN, "wins")),
        ("wins.", AddressSet(Kind.NAME, "wins")),
        ("anyy.", AddressSet(Kind.NAME, "anyy")),
        ("may", AddressSet(Kind.NAME, "may")),
        ("Default-Gateway", AddressSet(Kind.WELL_KNOWN, "default-gateway")),
        ("dns.", AddressSet(Kind.NAME, "dns")),
        ("www.Example.org", AddressSet(Kind.NAME, "www.example.org")),
        ("host-7", AddressSet(Kind.NAME, "host-7")),
        ("_x.example", AddressSet(Kind.NAME, "_x.example")),
    ],
)
def test_words_and_names_are_told_apart(text: str, found: AddressSet) -> None:
    assert address_set(text) == found
    assert found.version is None


def test_names_of_one_word_are_told_from_those_that_are_sure_to_be_names() -> None:
    assert [address_set(text).bare for text in ("host-7", "host-7.", "a.example", "me", "10.1.0.1")] == [
        *(True, False, False, False, False)
    ]
    assert [tunnel_end(text).bare for text in ("gw", "gw.", "a.example", "any", "192.0.2.1")] == [
        *(True, False, False, False, False)
    ]


def slip(word: str, meant: str) -> str:
    hint = f"did you mean {meant!r}? a host that is called so is written with a dot: {word}."
    return f"{word!r} means nothing here ({hint})"


FORMS = "expected an address, a subnet, a range first-last, a DNS name, me or any"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5, FORMS),
        (True, FORMS),
        ([], f"{FORMS} (one filter for each)"),
        ("", f"'' isn't a DNS name ({FORMS})"),
        ("10.1.0.5/16", "10.1.0.5/16 has bits set behind its prefix (the subnet is 10.1.0.0/16, the address 10.1.0.5)"),
        ("fd01::5/64", "fd01::5/64 has bits set behind its prefix (the subnet is fd01::/64, the address fd01::5)"),
        ("10.1.0.0/33", "'33' isn't a prefix length or netmask of IPv4"),
        ("fd01::/129", "'129' isn't a prefix length or netmask of IPv6"),
        ("10.1.0.0/", "'' isn't a prefix length or netmask of IPv4"),
        ("10.1.0.0/255.0.255.0", "'255.0.255.0' isn't a prefix length or netmask of IPv4"),
        ("10.0.0.0/0.255.255.255", "'0.255.255.255' isn't a netmask (write 10.0.0.0/8 if you mean 10.0.0.0/8)"),
        ("host/24", "'host/24' isn't a subnet (such as 10.1.0.0/16 or fd01::/64)"),
        ("10.1.0.9-10.1.0.1", "10.1.0.9-10.1.0.1 is reversed (write 10.1.0.1-10.1.0.9)"),
        ("10.1.0.9-fd01::1", "10.1.0.9-fd01::1 begins in IPv4 and ends in IPv6"),
        ("10.1.0.9-12", "'12' isn't an address (a range is written first-last)"),
        ("10.1.0.300", f"'10.1.0.300' isn't an address ({FORMS})"),
        ("10.1.0.300-10.1.0.301", f"'10.1.0.300-10.1.0.301' isn't an address ({FORMS})"),
        ("010.1.0.1", f"'010.1.0.1' isn't an address ({FORMS})"),
        ("fe80::1%eth0", f"'fe80::1%eth0' isn't an address ({FORMS})"),
        ("two words", f"'two words' isn't a DNS name ({FORMS})"),
        ("anyy", slip("anyy", "any")),
        ("mee", slip("mee", "me")),
        ("default-gatway", slip("default-gatway", "default-gateway")),
        ("-x.example", f"'-x.example' isn't a DNS name ({FORMS})"),
        ("a" * 64 + ".example", f"'{'a' * 59}…' isn't a DNS name ({FORMS})"),
        ("bücher.example", f"'bücher.example' isn't a DNS name ({FORMS})"),
    ],
)
def test_what_is_no_address_is_told_with_what_would_be(value: object, message: str) -> None:
    assert said(address_set, value) == message


@pytest.mark.parametrize(
    ("text", "found", "shown"),
    [
        ("any", TunnelEnd(), "any"),
        ("192.0.2.1", TunnelEnd(ip_address("192.0.2.1")), "192.0.2.1"),
        ("2001:DB8::1", TunnelEnd(ip_address("2001:db8::1")), "2001:db8::1"),
        ("GW.Example.org.", TunnelEnd(name="gw.example.org"), "gw.example.org"),
    ],
)
def test_ends_of_tunnels(text: str, found: TunnelEnd, shown: str) -> None:
    assert tunnel_end(text) == found
    assert str(found) == shown
    assert found.is_any == (text == "any")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (7, "expected an address, a DNS name, or any"),
        ("me", "me may be several addresses (write any: the route to the peer then decides)"),
        ("0.0.0.0", "0.0.0.0 can't be the end of a tunnel (write any for an end whose address isn't known)"),
        ("ff02::1", "ff02::1 can't be the end of a tunnel (write any for an end whose address isn't known)"),
        ("10.0.0.0/8", "'10.0.0.0/8' isn't a DNS name (expected an address, a DNS name, or any)"),
        ("1.2.3", "'1.2.3' isn't an address (expected an address, a DNS name, or any)"),
        ("%any", "'%any' isn't a DNS name (expected an address, a DNS name, or any)"),
        ("anny", slip("anny", "any")),
    ],
)
def test_what_is_no_end_of_a_tunnel_is_told(value: object, message: str) -> None:
    assert said(tunnel_end, value) == message
