"""The text of the table: what is written for which policy. What it does is tested on a kernel."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd.policy.floor import ruleset
from ipsecd.policy.marks import asking_mark, inside_mark
from ipsecd.policy.plan import Action, Entry, Plan, Settings
from ipsecd.policy.sides import local_networks
from ipsecd.wire.selector import Selector
from tests.netns.places import HB, NET_A, NET_B

LOCAL, REMOTE, ALL = map(Selector.net, ("10.1.0.0/16", "10.2.0.0/16", "0.0.0.0/0"))
PROTECT = Entry("a/1", "a", Action.PROTECT, ((LOCAL, REMOTE),))
BLOCK = Entry("b/1", "b", Action.BLOCK, ((ALL, ALL),))
ANYWHERE = Entry("c/1", "c", Action.PROTECT, ((ALL, REMOTE),))
OURS = Entry("d/1", "d", Action.PROTECT, (), me=((Selector.net("0.0.0.0/32"), REMOTE),))


def chain(name: str, *entries: Entry, outside: tuple[str, ...] = ("wan0",), inside: tuple[str, ...] = ()) -> list[str]:
    """The rules of a chain of the table for these entries."""
    lines = ruleset(Plan("p", entries=entries, settings=Settings(inside=inside)), outside).splitlines()
    start = lines.index(f"\tchain {name} {{")
    return [line.strip() for line in lines[start + 1 : lines.index("\t}", start)]]


@pytest.mark.parametrize(
    ("entries", "apart"), [((PROTECT,), False), ((PROTECT, BLOCK), True), ((PROTECT, OURS), True), ((), False)]
)
def test_forwarded_packets_have_chains_of_their_own_only_where_those_differ(
    entries: tuple[Entry, ...], apart: bool
) -> None:
    assert ("_crossing" in ruleset(Plan("p", entries=entries))) is apart


def test_a_rule_asks_for_a_route_of_its_own_unless_any_address_is_local() -> None:
    mark = "meta mark set meta mark & 0xf8ffffff |"
    assert chain("steer", PROTECT, ANYWHERE) == [
        f'ip saddr 10.1.0.0/16 ip daddr 10.2.0.0/16 {mark} 0x04000000 counter name "hits.a/1" return',
        f'ip daddr 10.2.0.0/16 {mark} 0x01000000 counter name "hits.c/1" return',
    ]


@pytest.mark.parametrize(
    ("version", "arriving", "entering"),
    [
        (4, ["17 return", "1 return", "6 drop", "return", "drop"], ["1 return", "6 mark", "return", "mark"]),
        (6, ["return", "return", "return", "drop"], ["return", "mark"]),
    ],
)
def test_a_fragment_is_judged_by_what_it_shows(version: int, arriving: list[str], entering: list[str]) -> None:
    """Its protocol if it is of IPv4, and never its ports; what blocks is left to the whole packet."""
    here, there, near = (NET_A[version], NET_B[version], HB[version])
    rest = Selector.net(near)
    far = [Selector.net(there, 17, (53, 53)), Selector.net(there, 1), Selector.net(there, 6), rest, Selector.net(there)]
    actions = [Action.PERMIT, Action.PERMIT, Action.PROTECT, Action.PERMIT, Action.PROTECT]
    entries = [
        Entry(f"e/{index}", "e", action, ((Selector.net(here, each.protocol), each),))
        for index, (action, each) in enumerate(zip(actions, far, strict=True))
    ]
    block = Entry("b/1", "b", Action.BLOCK, ((Selector.net(here), Selector.net(near)),))
    found = {name: chain(name, block, *entries) for name in ("arriving_pieces", "entering_pieces")}

    def said(rules: list[str]) -> list[str]:
        words = [(re.search(r"l4proto (\d+)", rule), rule.split()) for rule in rules]
        return [
            f"{protocol[1] + ' ' if protocol else ''}{'mark' if 'mark' in rule else rule[-1]}"
            for protocol, rule in words
        ]

    assert said(found["arriving_pieces"]) == arriving
    assert said(found["entering_pieces"]) == entering


APART = "ct zone set 4500 accept"


def test_exempt_fragments_with_addresses_of_what_is_protected_are_joined_apart() -> None:
    """They aren't dropped, as IKE with the peer may be among them. The same without
    a tunnel: a peer that declines transport mode has tunnel mode."""
    assert chain("exempt_pieces") == ["jump joined_apart", "accept"]
    assert chain("joined_apart", PROTECT) == chain("joined_apart", replace(PROTECT, each=True))
    assert chain("joined_apart", PROTECT) == chain("joined_apart", replace(PROTECT, inbound=False))
    assert chain("joined_apart", PROTECT) == [f"{BACK} {APART}"]
    assert chain("joined_apart", OURS) == [f"ip saddr 10.2.0.0/16 fib daddr type @ours {APART}"]
    assert chain("joined_apart", BLOCK) == []


def test_which_ports_a_rule_is_for_no_fragment_tells() -> None:
    web = Entry("w/1", "w", Action.PROTECT, ((LOCAL, Selector.net("10.2.0.0/16", 17, (80, 80))),))
    assert chain("joined_apart", web) == [f"{BACK} meta l4proto 17 {APART}"]


def test_exempt_fragments_of_what_passes_in_clear_anyhow_are_joined_with_all_others() -> None:
    """So that another table still knows the connections that they are of."""
    for other in (replace(PROTECT, action=Action.PERMIT), LET_IN):
        assert chain("joined_apart", other, ANYWHERE) == [f"{BACK} return", f"ip saddr 10.2.0.0/16 {APART}"]
    for_a_port = Entry("w/1", "w", Action.PERMIT, ((LOCAL, Selector.net("10.2.0.0/16", 17, (80, 80))),))
    assert chain("joined_apart", for_a_port, PROTECT) == [f"{BACK} {APART}"]
    soft = chain("joined_apart", replace(PROTECT, fallback=True))
    assert soft == [f"{BACK} ip saddr @clear_ipv4 return", f"{BACK} {APART}"]


def test_me_hears_what_goes_to_all_routers_and_says_nothing_in_their_name() -> None:
    assert chain("arriving", OURS)[0].startswith("ip saddr 10.2.0.0/16 fib daddr type @ours counter")
    assert chain("leaving", OURS)[0].startswith("ip daddr 10.2.0.0/16 fib saddr type local counter")


LET_IN = replace(PROTECT, passthrough=True)
BACK, DROP = "ip saddr 10.2.0.0/16 ip daddr 10.1.0.0/16", 'counter name "drops.a/1" drop'


@pytest.mark.parametrize("name", ["arriving", "arriving_pieces"])
def test_a_passthrough_lets_in_what_arrives_in_clear(name: str) -> None:
    assert (chain(name, PROTECT), chain(name, LET_IN)) == ([f"{BACK} {DROP}"], [f"{BACK} return"])


@pytest.mark.parametrize("name", ["steer", "leaving", "leaving_quoted_v4", "arriving_quoted_v4", "entering_pieces"])
def test_a_passthrough_lets_nothing_out_and_believes_no_error_about_what_went_out_protected(name: str) -> None:
    assert chain(name, LET_IN) == chain(name, PROTECT)
    assert chain(name, LET_IN)


def test_a_passthrough_is_let_in_across_this_machine_before_a_block_of_all() -> None:
    assert chain("blocked", LET_IN, BLOCK)[1] == chain("arriving_crossing", LET_IN, BLOCK)[0] == f"{BACK} return"
    assert chain("leaving_crossing", LET_IN, BLOCK) == chain("leaving_crossing", PROTECT, BLOCK)


def test_a_packet_let_in_and_sent_elsewhere_is_one_that_is_let_in() -> None:
    """By what it was before destination NAT, too."""
    assert (chain("arriving_original", PROTECT), chain("arriving_original", LET_IN)) == (
        [f"ct original ip saddr 10.2.0.0/16 ct original ip daddr 10.1.0.0/16 {DROP}"],
        ["ct original ip saddr 10.2.0.0/16 ct original ip daddr 10.1.0.0/16 return"],
    )


def test_a_packet_that_hides_its_ports_is_let_in_only_if_no_stricter_entry_may_be_meant() -> None:
    web = Entry("web/1", "web", Action.PROTECT, ((LOCAL, Selector.net("10.2.0.0/16", 6, (80, 80))),), passthrough=True)
    assert chain("arriving_opaque", web, PROTECT) == [f"{BACK} {DROP.replace('.0.', '.1.')}"]
    assert chain("arriving_opaque", replace(web, passthrough=False), LET_IN) == [
        f"{BACK} {DROP.replace('a/1', 'web/1')}",
        f"{BACK} return",
    ]


PEER = Selector.net("192.0.2.2/32")
FALLBACK = Entry("a/1", "a", Action.PROTECT, ((LOCAL, PEER),), fallback=True)
THERE, HERE = "ip saddr 10.1.0.0/16 ip daddr 192.0.2.2", "ip saddr 192.0.2.2 ip daddr 10.1.0.0/16"


@pytest.mark.parametrize(
    ("name", "match"),
    [("steer", THERE), ("leaving", THERE), ("entering_pieces", THERE), ("arriving", HERE), ("arriving_pieces", HERE)],
)
def test_what_may_fall_back_passes_while_its_peer_is_in_the_set(name: str, match: str) -> None:
    side = "daddr" if match is THERE else "saddr"
    plain = chain(name, replace(FALLBACK, fallback=False))
    assert chain(name, FALLBACK) == [f"{match} ip {side} @clear_ipv4 return", *plain]
    assert len(plain) == 1


def test_errors_about_what_passes_are_those_of_this_machine_and_the_peer_alone() -> None:
    """Their own addresses have to be in the set: a quoted one can't be looked up."""
    quoted = "@th,192,32 0xa010000-0xa01ffff @th,160,32 0xc0000202"
    assert chain("leaving_quoted_v4", FALLBACK) == [f"{quoted} ip daddr @clear_ipv4 return", f"{quoted} {DROP}"]
    quoted = "@th,192,32 0xc0000202 @th,160,32 0xa010000-0xa01ffff"
    assert chain("arriving_quoted_v4", FALLBACK)[2:] == [f"{quoted} ip saddr @clear_ipv4 return", f"{quoted} {DROP}"]


HOSTS = replace(FALLBACK, pairs=((LOCAL, Selector.net("192.0.2.0/24")),), each=True)
TO_ALL = Entry("a/1", "a", Action.PROTECT, (), me=((Selector.net("0.0.0.0/32"), Selector.net("0.0.0.0/0")),))


def test_without_a_tunnel_exactly_the_peer_in_the_set_is_excepted_and_for_this_machine_alone() -> None:
    to, back = "ip saddr 10.1.0.0/16 ip daddr 192.0.2.0/24", "ip saddr 192.0.2.0/24 ip daddr 10.1.0.0/16"
    for name in ("steer", "leaving", "leaving_crossing"):
        assert chain(name, HOSTS, BLOCK)[0] == f"{to} fib saddr type local ip daddr @clear_ipv4 return"
    for name in ("arriving", "arriving_pieces", "arriving_crossing"):
        assert chain(name, HOSTS, BLOCK)[0] == f"{back} fib daddr type @ours ip saddr @clear_ipv4 return"
    anybody = replace(TO_ALL, fallback=True, each=True)
    assert chain("leaving", anybody)[:2] == [
        "meta nfproto ipv4 fib saddr type local ip daddr @clear_ipv4 return",
        f"meta nfproto ipv4 fib saddr type local {DROP}",
    ]
    assert chain("arriving", anybody) == [
        "meta nfproto ipv4 fib daddr type @ours ip saddr @clear_ipv4 return",
        f"meta nfproto ipv4 fib daddr type @ours {DROP}",
    ]


@pytest.mark.parametrize("name", ["leaving_quoted_v4", "arriving_quoted_v4"])
def test_who_is_excepted_among_others_sends_and_gets_no_errors_about_those(name: str) -> None:
    for entry in (HOSTS, replace(TO_ALL, fallback=True, each=True)):
        assert chain(name, entry) == chain(name, replace(entry, fallback=False)) != []


def test_a_rule_without_a_tunnel_lets_nothing_go_on_to_everybody() -> None:
    assert chain("anywhere", ANYWHERE) != []
    assert chain("anywhere", replace(ANYWHERE, each=True)) == []


def test_of_ipv6_there_is_a_set_of_its_own_and_neither_has_any_member() -> None:
    six = Entry(
        "a/1", "a", Action.PROTECT, ((Selector.net("fd01::/64"), Selector.net("2001:db8::2/128")),), fallback=True
    )
    match = "ip6 saddr 2001:db8::2 ip6 daddr fd01::/64"
    assert chain("arriving", six) == [f"{match} ip6 saddr @clear_ipv6 return", f"{match} {DROP}"]
    text = ruleset(Plan("p", entries=(six,)))
    assert "\tset clear_ipv4 {\n\t\ttype ipv4_addr\n\t\tflags timeout\n\t}\n" in text
    assert "\tset clear_ipv6 {\n\t\ttype ipv6_addr\n\t\tflags timeout\n\t}\n" in text


def test_an_exception_opens_neither_what_stands_before_its_entry_nor_what_may_be_meant_instead() -> None:
    web = Entry("web/1", "web", Action.PROTECT, ((LOCAL, Selector.net("192.0.2.2/32", 6, (80, 80))),), fallback=True)
    rest = Entry("rest/1", "rest", Action.PROTECT, ((LOCAL, PEER),))
    assert chain("leaving_clear", BLOCK, web, rest)[:2] == [
        'meta nfproto ipv4 counter name "drops.b/1" drop',
        f"{THERE} meta l4proto 6 th dport 80 ip daddr @clear_ipv4 return",
    ]
    assert not any("@clear" in rule for rule in chain("leaving_opaque", web, rest))


def test_a_stray_address_of_this_machine_passes_nowhere() -> None:
    """Where only the destination tells that it is from ``me``."""
    mine = Entry("d/1", "d", Action.PROTECT, (), me=((Selector.net("0.0.0.0/32"), PEER),), fallback=True)
    assert [rule for rule in chain("leaving", mine) if "@clear" in rule] == [
        "ip daddr 192.0.2.2 fib saddr type local ip daddr @clear_ipv4 return"
    ]


def test_what_comes_back_from_a_tunnel_of_the_way_out_may_go_anywhere_too() -> None:
    assert chain("anywhere", replace(ANYWHERE, inbound=False)) == chain("anywhere", ANYWHERE)


QUOTES_OUT = "@th,192,32 0xa020000-0xa02ffff @th,160,32 0xa010000-0xa01ffff"  # in an error that arrives
QUOTES_IN = "@th,192,32 0xa010000-0xa01ffff @th,160,32 0xa020000-0xa02ffff"  # in one that leaves


def test_one_direction_is_steered_or_asked_for_and_the_other_is_left_to_others() -> None:
    out, into = replace(PROTECT, inbound=False), replace(PROTECT, outbound=False)
    names = ("steer", "leaving", "arriving", "arriving_pieces", "entering_pieces")
    assert [len(chain(name, out)) for name in names] == [1, 1, 0, 0, 1]
    assert [len(chain(name, into)) for name in names] == [0, 0, 1, 1, 0]


def test_an_error_is_judged_by_the_direction_of_what_it_quotes() -> None:
    """What left inside an SA is no stranger's to speak of; what arrived inside one is not to be quoted in clear."""
    out, into = replace(PROTECT, inbound=False), replace(PROTECT, outbound=False)
    assert chain("arriving_quoted_v4", out)[2:] == [f"{QUOTES_OUT} {DROP}"]
    assert chain("leaving_quoted_v4", out) == []
    assert chain("leaving_quoted_v4", into) == [f"{QUOTES_IN} {DROP}"]
    assert chain("arriving_quoted_v4", into)[2:] == []
    web = Entry("web/1", "web", Action.PERMIT, ((LOCAL, Selector.net("10.2.0.0/16")),), inbound=False)
    assert chain("leaving_quoted_v4", web, PROTECT) == chain("leaving_quoted_v4", BLOCK, PROTECT)[1:]
    assert chain("arriving_quoted_v4", web, PROTECT)[2] == f"{QUOTES_OUT} return"


def test_what_may_go_anywhere_is_only_what_such_a_rule_lets_and_no_narrower_one() -> None:
    assert chain("anywhere", PROTECT, BLOCK) == []
    assert chain("anywhere", PROTECT, ANYWHERE, PROTECT, BLOCK) == [
        "ip saddr 10.2.0.0/16 ip daddr 10.1.0.0/16 return",
        "ip saddr 10.2.0.0/16 accept",
    ]


@pytest.mark.parametrize(
    ("outside", "inside", "rules"),
    [
        (("wan0", "wan1"), (), ['oifname { "wan0", "wan1" } counter name "not-inside" drop']),
        (("wan0",), ("lan0",), ['oifname != { "lan0" } counter name "not-inside" drop']),
        ((), (), []),
    ],
)
def test_what_came_out_of_the_tunnel_leaves_by_no_interface_of_the_outside(
    outside: tuple[str, ...], inside: tuple[str, ...], rules: list[str]
) -> None:
    assert chain("leaving_tun", PROTECT, outside=outside, inside=inside) == ["jump anywhere", *rules]


@pytest.mark.parametrize(
    ("settings", "inside", "asking"),
    [
        (Settings(), 0x0300_0000, 0x0400_0000),
        (Settings(mark=4, own_mark=1, mask=7), 5, 2),
        (Settings(mark=3, own_mark=1, mask=7), 2, 4),
        (Settings(mark=6, own_mark=5, mask=7), 3, 1),
        (Settings(mark=16, own_mark=32, mask=0xF0), 48, 64),
    ],
)
def test_the_marks_that_follow_from_those_that_are_given_are_others_and_inside_the_mask(
    settings: Settings, inside: int, asking: int
) -> None:
    assert (inside_mark(settings), asking_mark(settings)) == (inside, asking)


def test_what_has_to_be_inside_is_what_is_local_to_rules() -> None:
    entries = (
        PROTECT,
        BLOCK,
        ANYWHERE,
        OURS,
        replace(ANYWHERE, name="h/1", pairs=((Selector.net("10.9.0.0/16"), Selector.net("10.8.0.0/16")),), each=True),
        Entry("e/1", "e", Action.PROTECT, ((Selector.net("fd01::7/128"), Selector.net("::/0")),)),
    )
    assert local_networks(Plan("p", entries=entries)) == {
        "10.1.0.0/16": (ip_address("10.1.0.0"), ip_address("10.1.255.255")),
        "fd01::7": (ip_address("fd01::7"), ip_address("fd01::7")),
    }


def counters(*names: str) -> list[str]:
    text = ruleset(Plan("p", entries=tuple(replace(BLOCK, name=name) for name in names)))
    return re.findall(r"counter ((?:drops|hits)\S+) \{", text)


def test_a_counter_is_called_after_its_entry_whatever_stands_before_it() -> None:
    assert counters("a/1", "b/1") == ["drops.a/1", "drops.b/1"]
    assert counters("new/1", "b/1") == ["drops.new/1", "drops.b/1"]


def test_names_that_nft_does_not_take_are_told_apart() -> None:
    assert counters("a_b/1", "a b/1", "a@b/1") == [
        "drops.a_b/1",
        "drops-7ba36744c3a4ec92.a_b/1",
        "drops-1b9f7da2f2664ecc.a_b/1",
    ]
    long = "x" * 101
    assert len({*counters(long, long + "y", long[:-1])}) == 3
