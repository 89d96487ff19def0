"""Traffic selectors as boxes that intersect (RFC 7296 sections 2.9 and 3.13.1, RFC 4301 section 4.4.1.1)."""

from ipaddress import ip_address

import pytest

from ipsecd import limits
from ipsecd.wire.selector import ANY_PORT, OPAQUE, Selector, narrow, outermost

LAN = Selector.net("10.1.0.0/16")
HOST = Selector.net("10.1.2.3/32")
WEB = Selector.net("10.1.0.0/16", 6, (80, 80))
OTHER = Selector.net("10.2.0.0/16")


@pytest.mark.parametrize(
    ("start", "end", "protocol", "ports"),
    [
        ("10.0.0.2", "10.0.0.1", 0, ANY_PORT),
        ("10.0.0.1", "::1", 0, ANY_PORT),
        ("10.0.0.1", "10.0.0.1", 256, ANY_PORT),
        ("10.0.0.1", "10.0.0.1", -1, ANY_PORT),
        ("10.0.0.1", "10.0.0.1", 6, (0, 65_536)),
        ("10.0.0.1", "10.0.0.1", 6, (-1, 5)),
        ("10.0.0.1", "10.0.0.1", 6, (81, 80)),
    ],
)
def test_a_box_that_cannot_be_is_not_made(start: str, end: str, protocol: int, ports: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"reversed|range"):
        Selector(ip_address(start), ip_address(end), protocol, ports)


@pytest.mark.parametrize(
    ("one", "two", "both"),
    [
        (LAN, HOST, HOST),
        (LAN, OTHER, None),
        (LAN, Selector.net("::/0"), None),
        (LAN, WEB, WEB),
        (WEB, Selector.net("10.1.0.0/16", 17), None),
        (WEB, Selector.net("0.0.0.0/0", 6, (79, 81)), WEB),
        (WEB, Selector.net("0.0.0.0/0", 6, (81, 90)), None),
        (WEB, Selector.net("0.0.0.0/0", 6, OPAQUE), None),
        (LAN, Selector.net("10.1.0.0/16", 0, OPAQUE), Selector.net("10.1.0.0/16", 0, OPAQUE)),
        (
            Selector(ip_address("10.0.0.5"), ip_address("10.0.0.20")),
            Selector(ip_address("10.0.0.10"), ip_address("10.0.0.30")),
            Selector(ip_address("10.0.0.10"), ip_address("10.0.0.20")),
        ),
        (Selector.net("2001:db8::/32"), Selector.net("2001:db8:1::/48", 58), Selector.net("2001:db8:1::/48", 58)),
    ],
)
def test_two_boxes_share_a_box_or_nothing(one: Selector, two: Selector, both: Selector | None) -> None:
    assert one.intersect(two) == both
    assert two.intersect(one) == both


def test_a_box_contains_what_it_does_not_cut() -> None:
    assert LAN.contains(HOST)
    assert LAN.contains(LAN)
    assert LAN.contains(WEB)
    assert not WEB.contains(LAN)
    assert not HOST.contains(LAN)
    assert not LAN.contains(OTHER)


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        (HOST, "10.1.2.3"),
        (LAN, "10.1.0.0/16"),
        (WEB, "10.1.0.0/16[tcp/80]"),
        (Selector.net("10.1.0.0/16", 17, (1, 9)), "10.1.0.0/16[udp/1-9]"),
        (Selector.net("2001:db8::1", 58), "2001:db8::1[icmpv6]"),
        (Selector.net("10.1.0.0/16", 0, OPAQUE), "10.1.0.0/16[any/opaque]"),
        (Selector.net("10.1.0.0/16", 200), "10.1.0.0/16[ipprotocol_200]"),
        (Selector(ip_address("10.0.0.5"), ip_address("10.0.0.20")), "10.0.0.5-10.0.0.20"),
        (Selector(ip_address("10.0.0.2"), ip_address("10.0.0.5")), "10.0.0.2-10.0.0.5"),
        (Selector(ip_address("0.0.0.3"), ip_address("0.0.0.5")), "0.0.0.3-0.0.0.5"),
        (Selector(ip_address("10.0.0.4"), ip_address("10.0.0.9")), "10.0.0.4-10.0.0.9"),
        (Selector(ip_address("::1"), ip_address("::ffff")), "::1-::ffff"),
        (Selector.net("2001:db8::/32"), "2001:db8::/32"),
        (Selector.net("0.0.0.0/0"), "0.0.0.0/0"),
        (Selector.net("::/0"), "::/0"),
    ],
)
def test_a_box_reads_like_a_subnet(selector: Selector, text: str) -> None:
    assert str(selector) == text


def test_narrowing_keeps_what_both_want_in_offered_order() -> None:
    assert narrow((OTHER, LAN), (HOST, OTHER)) == (OTHER, HOST)
    assert narrow((LAN,), (OTHER,)) == ()
    assert narrow((), (LAN,)) == ()
    assert narrow((LAN,), ()) == ()


def test_narrowing_says_nothing_twice() -> None:
    """An offer often starts with the packet's own selector, and then the subnet that holds it (section 2.9)."""
    assert narrow((HOST, LAN), (LAN,)) == (LAN,)
    assert narrow((LAN, HOST), (LAN,)) == (LAN,)
    assert narrow((LAN, LAN), (HOST, LAN)) == (LAN,)


def test_what_lies_inside_another_says_nothing_of_its_own() -> None:
    assert outermost((HOST, OTHER, LAN, WEB, OTHER)) == (OTHER, LAN)
    assert outermost((WEB, HOST)) == (WEB, HOST)
    assert outermost(()) == ()


def test_narrowing_ends_with_as_many_results_as_a_payload_holds_and_begins_with_what_was_offered_first() -> None:
    ports = tuple(Selector.net("10.0.0.0/8", 17, (port, port)) for port in range(64))
    subnets = tuple(Selector.net(f"10.1.{number}.0/24") for number in range(64))
    narrowed = narrow(ports, subnets)
    assert len(narrowed) == limits.MAX_SELECTORS == 64
    assert narrowed == tuple(Selector.net(f"10.1.{number}.0/24", 17, (0, 0)) for number in range(64))
