"""Which child an offer is narrowed in, and what is said of it (RFC 7296 section 2.9)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd import limits
from ipsecd.errors import Refused
from ipsecd.ike.config import Child, Peer
from ipsecd.ike.narrowing import meets, narrow_again, narrow_in, offer_for, show
from ipsecd.wire.registry import NotifyType
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import NET_A, NET_B, child_of_a, peer_b

HOST_A, HOST_B = Selector.net("10.1.0.7"), Selector.net("10.2.0.9")
ELSEWHERE = Selector.net("10.9.0.0/16")
WEB = Selector.net("10.1.0.7", 6, (40_000, 40_000))
ANYWHERE = Selector.net("0.0.0.0/0")


def child(name: str, local: str, remote: str = "10.2.0.0/16") -> Child:
    return child_of_a(name, local=(Selector.net(local),), remote=(Selector.net(remote),))


def chosen(children: tuple[Child, ...], *local: Selector) -> tuple[str, bool]:
    best = narrow_in([peer_b(*children)], local, (NET_B,))
    return best.child.name, best.more


def test_the_offers_first_selector_decides_before_the_order_of_the_policy() -> None:
    children = (child("wide", "10.0.0.0/8"), child("one", "10.1.0.0/16"), child("two", "10.9.0.0/16"))
    assert chosen(children[1:], HOST_A, NET_A, ELSEWHERE) == ("one", True)
    assert chosen(children[1:], ELSEWHERE, HOST_A, NET_A) == ("two", True)


def test_a_child_that_takes_the_whole_offer_goes_before_one_that_takes_its_first_selector_alone() -> None:
    children = (child("one", "10.1.0.0/16"), child("wide", "10.0.0.0/8"))
    assert chosen(children, HOST_A, NET_A, ELSEWHERE) == ("wide", False)


def test_among_equals_the_order_of_the_policy_decides() -> None:
    children = (child("first", "10.1.0.0/16"), child("second", "10.1.0.0/16"))
    assert chosen(children, NET_A) == ("first", False)
    assert chosen(children[::-1], NET_A) == ("second", False)


def test_more_is_said_only_if_another_child_would_take_what_was_cut_off() -> None:
    one, two = child("one", "10.1.0.0/16"), child("two", "10.9.0.0/16")
    assert chosen((one,), NET_A, ELSEWHERE) == ("one", False)
    assert chosen((one, two), NET_A, ELSEWHERE) == ("one", True)
    assert chosen((one, two), NET_A) == ("one", False)


def test_an_offer_is_granted_within_one_child_and_never_across_two() -> None:
    # 10.1.0.0/16 only to 10.2.0.0/16, 10.9.0.0/16 only to 10.8.0.0/16
    children = (child("one", "10.1.0.0/16"), child("two", "10.9.0.0/16", "10.8.0.0/16"))
    with pytest.raises(Refused) as caught:
        narrow_in([peer_b(*children)], (NET_A,), (Selector.net("10.8.0.0/16"),))
    assert caught.value.notify == NotifyType.TS_UNACCEPTABLE


def test_the_first_choice_stays_in_where_the_rest_is_too_much_for_one_payload() -> None:
    # 64 subnets of 10.1.0.0/16 would fill the payload before the 10.9.0.0/16 that holds the packet comes
    subnets = tuple(Selector.net(f"10.1.{number}.0/24") for number in range(limits.MAX_SELECTORS - 1))
    merged = child_of_a(local=(*subnets, ELSEWHERE))
    packet = Selector.net("10.9.0.1", 17, (53, 53))
    offer = (packet, Selector.net("10.1.0.0/16", 6), Selector.net("10.1.0.0/16", 17), ELSEWHERE)
    best = narrow_in([peer_b(merged)], offer, (NET_B,))
    assert best.local[0] == packet
    assert len(best.local) == limits.MAX_SELECTORS


def test_what_lies_inside_a_later_selector_takes_no_room_from_it() -> None:
    hosts = tuple(Selector.net(f"10.1.0.{number}") for number in range(limits.MAX_SELECTORS - 1))
    web, dns = Selector.net("10.1.0.0/16", 6), Selector.net("10.1.0.0/16", 17)
    best = narrow_in([peer_b(child_of_a(local=(web, dns)))], (*hosts, NET_A), (NET_B,))
    assert best.local == (web, dns)


def test_families_and_protocols_that_never_meet_are_no_child() -> None:
    six = Selector.net("2001:db8::/32")
    tcp, udp = Selector.net("10.1.0.0/16", 6), Selector.net("10.2.0.0/16", 17)
    assert not meets((NET_A,), (six,))
    assert not meets((tcp,), (udp,))
    assert meets((tcp, six), (udp, NET_B))
    assert not meets((), (NET_B,))
    with pytest.raises(Refused):
        narrow_in([peer_b()], (tcp,), (udp,))
    with pytest.raises(Refused):
        narrow_again(peer_b(), child_of_a(), (tcp,), (udp,))


def test_a_rekey_is_narrowed_in_its_own_child_alone() -> None:
    again = narrow_again(peer_b(), child_of_a(), (HOST_A, ANYWHERE), (ANYWHERE,))
    assert (again.local, again.remote) == ((NET_A,), (NET_B,))
    with pytest.raises(Refused) as caught:
        narrow_again(peer_b(), child_of_a(), (ELSEWHERE,), (NET_B,))
    assert caught.value.notify == NotifyType.TS_UNACCEPTABLE
    assert caught.value.detail == "the peer wants to rekey net with 10.9.0.0/16 and 10.2.0.0/16"


def test_the_packet_that_asks_leads_the_offer_with_both_its_ends() -> None:
    packet = (WEB, Selector.net("10.2.0.9", 6, (443, 443)))
    assert offer_for(child_of_a(), packet) == ((packet[0], NET_A), (packet[1], NET_B))
    assert offer_for(child_of_a(), None) == ((NET_A,), (NET_B,))


def test_a_packet_that_is_a_selector_of_the_child_leads_too_and_is_not_said_twice() -> None:
    hosts = tuple(Selector.net(f"10.1.0.{number}") for number in range(limits.MAX_SELECTORS))
    full = child_of_a(local=hosts, remote=(HOST_B,))
    assert offer_for(full, (hosts[5], HOST_B)) == ((hosts[5], *hosts[:5], *hosts[6:]), (HOST_B,))
    local, _ = offer_for(full, (WEB, HOST_B))
    assert local == (WEB, *hosts[:-1])


def test_a_long_list_is_shown_by_its_beginning() -> None:
    hosts = tuple(Selector.net(f"10.1.0.{number}") for number in range(1, 8))
    assert show(hosts) == "10.1.0.1, 10.1.0.2, 10.1.0.3, 10.1.0.4 and 3 more"
    assert show(hosts[:4]) == "10.1.0.1, 10.1.0.2, 10.1.0.3, 10.1.0.4"
    assert show(()) == "nothing"


SMB, DNS = Selector.net("10.2.0.9", 6, (445, 445)), Selector.net("10.2.0.9", 17, (53, 53))


def answering(*rules: Child) -> list[Peer]:
    """Peers of one pair of identities: of the default response between NET_A and anybody, and of rules."""
    anybody = child_of_a("anybody", remote=(ANYWHERE,))
    return [replace(peer_b(anybody), name="default-response", responds=True), peer_b(*rules)]


def test_the_default_response_gets_what_no_rule_is_for() -> None:
    for peers in (answering(child("smb", "10.9.0.0/16")), answering(child("smb", "10.9.0.0/16"))[:1]):
        best = narrow_in(peers, (NET_A,), (HOST_B,))
        assert (best.child.name, best.local, best.remote, best.more) == ("anybody", (NET_A,), (HOST_B,), False)


def test_the_default_response_gets_nothing_of_what_a_rule_is_for() -> None:
    rule = child_of_a("smb", remote=(SMB,))
    best = narrow_in(answering(rule), (NET_A,), (HOST_B,))
    assert (best.child.name, best.remote) == ("smb", (SMB,))
    best = narrow_in(answering(rule), (NET_A,), (SMB, HOST_B))
    assert (best.child.name, best.remote) == ("smb", (SMB,))


def test_of_an_offer_that_a_rule_takes_a_part_of_the_default_response_takes_what_is_asked_for_first_alone() -> None:
    best = narrow_in(answering(child_of_a("smb", remote=(SMB,))), (NET_A,), (DNS, HOST_B))
    assert (best.child.name, best.local, best.remote, best.more) == ("anybody", (NET_A,), (DNS,), True)


def test_what_neither_a_rule_nor_the_default_response_is_for_is_refused() -> None:
    with pytest.raises(Refused):
        narrow_in(answering(child_of_a("smb", remote=(SMB,))), (ELSEWHERE,), (HOST_B,))
