"""What is said of single packets; tests/property/test_policy_judging.py holds it to the floor and to a slow matcher."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd.ipsec.selectors import Flow
from ipsecd.policy.deciding import Way
from ipsecd.policy.judging import Here, Judgement, Verdict, judge, ways
from ipsecd.policy.plan import Action, Entry, Plan
from ipsecd.wire.selector import Address, Selector
from tests.unit.policy.texts import HOSTS, planned, with_filters

OURS: frozenset[Address] = frozenset(map(ip_address, ("192.0.2.1", "10.1.0.1", "2001:db8::1")))
NET_A, NET_B, EVERYTHING = Selector.net("10.1.0.0/16"), Selector.net("10.2.0.0/16"), Selector.net("0.0.0.0/0")
SITE = Entry("site/1", "site", Action.PROTECT, ((NET_A, NET_B),), child="site/1")
REST = Entry("default-action", "", Action.BLOCK, ((EVERYTHING, EVERYTHING),))
ERROR = "an error about what a rule protects is dropped all the same"


def tcp(source: str, destination: str, *ports: int) -> Flow:
    return Flow.build(ip_address(source), ip_address(destination), 6, *ports)


def said(way: Way, flow: Flow, *entries: Entry) -> Judgement:
    return judge(Plan(entries=entries), flow, way, Here(OURS))


def short(judgement: Judgement) -> tuple[Verdict, str, list[tuple[str, str]]]:
    """Verdict, winner, and each runner-up with the reason."""
    runners_up = [(entry.name, why) for entry, why in judgement.runners_up]
    return judgement.verdict, judgement.winner.name if judgement.winner else "", runners_up


@pytest.mark.parametrize(
    ("source", "destination", "leaving", "arriving"),
    [
        ("192.0.2.1", "10.2.0.2", [Way.SENT], [Way.ENTERING]),
        ("0.0.0.0", "255.255.255.255", [Way.SENT], [Way.RECEIVED]),
        ("10.2.0.2", "192.0.2.1", [Way.RECEIVED], [Way.RECEIVED]),
        ("10.2.0.2", "224.0.0.251", [Way.RECEIVED], [Way.RECEIVED]),
        ("10.1.0.2", "10.2.0.2", [Way.ENTERING, Way.LEAVING], [Way.ENTERING]),
        ("fd01::2", "2001:db8::1", [Way.RECEIVED], [Way.RECEIVED]),
    ],
)
def test_the_addresses_of_the_machine_tell_which_way_a_packet_goes(
    source: str, destination: str, leaving: list[Way], arriving: list[Way]
) -> None:
    assert [*ways(tcp(source, destination), Here(OURS), arriving=False)] == leaving
    assert [*ways(tcp(source, destination), Here(OURS), arriving=True)] == arriving


def test_the_first_that_covers_a_packet_decides_and_the_others_are_told_why_not() -> None:
    web = Entry("web/1", "web", Action.BLOCK, ((Selector.net("10.1.0.0/16", 6), Selector.net("10.2.0.0/16", 6)),))
    told = said(Way.SENT, tcp("10.1.0.1", "10.2.0.2", 1_024, 80), web, SITE, REST)
    site, rest = ("site/1", "a named protocol before any"), ("default-action", "the default action comes last")
    assert short(told) == (Verdict.BLOCK, "web/1", [site, rest])
    assert short(said(Way.SENT, tcp("10.1.0.1", "10.9.0.2"), web, SITE)) == (Verdict.CLEAR, "", [])
    told = said(Way.RECEIVED, tcp("10.2.0.2", "10.1.0.1", 80, 1_024), SITE)
    assert (told.verdict, told.child) == (Verdict.PROTECT, "site/1")


def test_what_comes_out_of_a_tunnel_goes_on_in_clear_though_all_else_is_blocked() -> None:
    back = tcp("10.2.0.2", "10.1.0.2", 80, 1_024)
    assert short(said(Way.ENTERING, back, SITE, REST))[:2] == (Verdict.PROTECT, "site/1")
    told = said(Way.LEAVING, back, SITE, REST)
    assert short(told) == (Verdict.CLEAR, "site/1", [("default-action", "it stands back for site/1")])
    assert told.why == ("site/1 covers it as it arrives, and goes before default-action: the default action comes last")
    assert said(Way.LEAVING, back, SITE).winner is None
    assert short(said(Way.LEAVING, tcp("10.9.0.2", "10.1.0.2", 1, 2), SITE, REST))[:2] == (
        Verdict.BLOCK,
        "default-action",
    )


def test_a_block_of_one_direction_counts_on_both_ways_of_what_is_forwarded() -> None:
    one_way = replace(REST, name="shut/1", rule="shut", inbound=False)
    for way in (Way.ENTERING, Way.LEAVING):
        assert said(way, tcp("10.8.0.2", "10.9.0.2", 1, 2), one_way).verdict is Verdict.BLOCK
    assert said(Way.RECEIVED, tcp("10.8.0.2", "10.1.0.1", 1, 2), one_way).verdict is Verdict.CLEAR


ME = Selector.net("0.0.0.0/32")
MINE = Entry("mine/1", "mine", Action.PROTECT, ((Selector.net("192.0.2.1"), NET_B),), child="mine/1", me=((ME, NET_B),))


def test_what_me_protects_waits_until_ipsecd_knows_the_address() -> None:
    told = said(Way.SENT, tcp("192.0.2.1", "10.2.0.2", 1, 2), MINE)
    assert (told.verdict, told.child) == (Verdict.PROTECT, "mine/1")
    told = said(Way.SENT, tcp("10.1.0.1", "10.2.0.2", 1, 2), MINE)
    assert (told.verdict, told.why) == (
        Verdict.DROP,
        "ipsecd hasn't taken notice yet of an address that this machine has got",
    )
    told = said(Way.SENT, tcp("10.1.0.1", "10.2.0.2", 1, 2), MINE, SITE)
    assert short(told) == (
        Verdict.PROTECT,
        "site/1",
        [("mine/1", "ipsecd hasn't taken notice yet of an address that this machine has got")],
    )


def test_what_is_sent_from_an_address_that_is_gone_is_dropped_for_its_destination() -> None:
    told = said(Way.SENT, tcp("203.0.113.9", "10.2.0.2", 1, 2), MINE)
    assert (told.verdict, told.why) == (
        Verdict.DROP,
        "it has the address of another machine, or one that this machine has lost",
    )
    assert said(Way.SENT, tcp("203.0.113.9", "10.3.0.2", 1, 2), MINE).verdict is Verdict.CLEAR
    assert said(Way.LEAVING, tcp("203.0.113.9", "10.2.0.2", 1, 2), MINE).verdict is Verdict.CLEAR


@pytest.mark.parametrize(
    ("way", "source", "destination", "why"),
    [
        (Way.SENT, "10.1.0.1", "10.2.0.2", ""),
        (Way.RECEIVED, "10.2.0.2", "10.1.0.1", ""),
        (Way.ENTERING, "10.1.0.2", "10.2.0.2", "a rule without a tunnel protects nothing that goes between others"),
        (Way.LEAVING, "10.2.0.2", "10.1.0.2", "a rule without a tunnel protects nothing that goes between others"),
        (Way.SENT, "10.1.0.9", "10.2.0.2", "it has the address of another machine, or one that this machine has lost"),
    ],
)
def test_a_rule_without_a_tunnel_protects_this_machine_and_drops_what_else_it_covers(
    way: Way, source: str, destination: str, why: str
) -> None:
    plan = planned(with_filters("{source: 10.1.0.0/16, destination: 10.2.0.0/16}", rule=HOSTS))
    told = judge(plan, tcp(source, destination, 80, 1_024), way, Here(OURS))
    assert (told.verdict, told.why) == (Verdict.DROP if why else Verdict.PROTECT, why)
    assert told.winner is not None
    assert told.winner.rule == "r"


@pytest.mark.parametrize(("source", "destination"), [("fe80::1", "fe80::2"), ("2001:db8::1", "fe80::2")])
def test_between_link_local_addresses_of_ipv6_nothing_is_protected(source: str, destination: str) -> None:
    plan = planned(with_filters("{source: me, destination: any}", rule=HOSTS), me=("fe80::1", "2001:db8::1"))
    here = Here(OURS | {ip_address("fe80::1")})
    told = judge(plan, tcp(source, destination, 80, 80), Way.SENT, here)
    assert (told.verdict, told.why) == (Verdict.DROP, "nobody negotiates between link-local addresses")


def test_without_a_tunnel_an_address_is_protected_once_ipsecd_knows_that_it_is_this_machines() -> None:
    plan = planned(with_filters("{source: 10.1.0.0/16, destination: 10.2.0.0/16}", rule=HOSTS))
    here = Here(OURS | {ip_address("10.1.0.9")})
    told = judge(plan, tcp("10.1.0.9", "10.2.0.2", 80, 80), Way.SENT, here)
    assert (told.verdict, told.why) == (
        Verdict.DROP,
        "ipsecd hasn't taken notice yet of an address that this machine has got",
    )


def test_what_goes_to_many_is_protected_by_nobody() -> None:
    everything = Entry("all/1", "all", Action.PROTECT, ((EVERYTHING, EVERYTHING),), child="all/1")
    for destination in ("224.0.0.251", "255.255.255.255"):
        told = said(Way.SENT, tcp("192.0.2.1", destination, 1, 2), everything)
        assert (told.verdict, told.why) == (
            Verdict.DROP,
            "no tunnel takes what goes to a group of hosts, or to all of them",
        )


WEB = Selector.net("10.2.0.0/16", 6, (443, 443))


def test_of_a_packet_without_ports_the_strictest_that_may_be_meant_counts() -> None:
    piece = tcp("10.1.0.2", "10.2.0.2")
    permit = Entry("open/1", "open", Action.PERMIT, ((Selector.net("10.1.0.0/16", 6), WEB),))
    block = replace(permit, name="shut/1", rule="shut", action=Action.BLOCK)
    remark = "it shows no ports: the strictest that may be meant counts"
    told = said(Way.LEAVING, piece, permit, block)
    assert short(told) == (Verdict.BLOCK, "shut/1", [("open/1", "it may not be meant: no ports are seen")])
    assert told.why == remark
    told = said(Way.LEAVING, piece, permit, SITE)
    assert short(told) == (Verdict.PROTECT, "site/1", [("open/1", "it may not be meant: no ports are seen")])
    everything = Entry("all/1", "all", Action.PERMIT, ((NET_A, NET_B),))
    assert short(said(Way.LEAVING, piece, everything, SITE))[:2] == (Verdict.PERMIT, "all/1")
    told = said(Way.LEAVING, piece, permit)
    assert (told.verdict, told.why) == (Verdict.CLEAR, "it shows no ports, and no rule covers it without")
    protect = replace(permit, name="tls/1", rule="tls", action=Action.PROTECT, child="tls/1")
    told = said(Way.LEAVING, piece, protect)
    assert (told.verdict, told.why) == (Verdict.DROP, "it shows no ports, and they decide about it")


def test_of_an_error_it_is_said_that_what_it_is_about_counts_too() -> None:
    unreachable = Flow.build(ip_address("10.9.0.1"), ip_address("10.1.0.2"), 1, 3 * 256)
    answer = Flow.build(ip_address("10.9.0.1"), ip_address("10.1.0.2"), 1, 0)
    permit = Entry("icmp/1", "icmp", Action.PERMIT, ((EVERYTHING, Selector.net("0.0.0.0/0")),))
    assert said(Way.LEAVING, unreachable, SITE).why == f"no rule covers it; {ERROR}"
    assert said(Way.LEAVING, unreachable, SITE, permit).why == ERROR
    assert said(Way.LEAVING, unreachable, permit).why == ""
    assert said(Way.LEAVING, answer, SITE).why == "no rule covers it"


def test_of_what_passes_in_clear_it_is_said_that_it_also_comes_back_inside_an_sa_of_the_other_direction() -> None:
    back, out = tcp("10.2.0.2", "10.1.0.1", 2, 1), tcp("10.1.0.1", "10.2.0.2", 1, 2)
    one_way = replace(SITE, inbound=False)
    too = "inside an SA of site/1, which is for the other direction, it passes too"
    told = said(Way.RECEIVED, back, one_way)
    assert (told.verdict, told.why) == (Verdict.CLEAR, f"no rule covers it; {too}")
    permit = Entry("web/1", "web", Action.PERMIT, ((NET_A, NET_B),), outbound=False)
    assert said(Way.RECEIVED, back, one_way, permit).why == too
    assert said(Way.SENT, out, replace(SITE, outbound=False)).why == "no rule covers it"
    assert said(Way.RECEIVED, tcp("10.9.0.2", "10.1.0.1", 2, 1), one_way).why == "no rule covers it"
    assert said(Way.RECEIVED, back, one_way, REST).verdict is Verdict.BLOCK


BY_LAN, BY_REMOTE, BY_EITHER, BY_NEW = map(frozenset, (["lan"], ["remote-access"], ["lan", "remote-access"], [""]))
FAR = replace(SITE, connections="remote-access")
UNTOLD = "told without the rules for one type of connection: no route says by which it goes, or several do"
NEW = "by an interface that has just come, and of which no type of connection is known yet"


def said_by(forth: frozenset[str], back: frozenset[str], way: Way, flow: Flow, *entries: Entry) -> Judgement:
    return judge(Plan(entries=entries), flow, way, Here(OURS, forth=forth, back=back))


def test_where_either_type_may_be_meant_no_sa_takes_what_a_rule_for_one_would_have_taken_from_another() -> None:
    """The floor knows by which of several next hops a packet goes; who sees no interface doesn't."""
    out, every = tcp("10.1.0.1", "10.2.0.2", 1, 2), replace(SITE, name="every/1", rule="every")
    told = said_by(BY_EITHER, BY_LAN, Way.SENT, out, FAR, every)
    why = "no SA is for it where a rule for one type of connection may be meant: a route says that it goes by either"
    assert (told.verdict, told.winner, told.why) == (Verdict.DROP, every, why)
    told = said_by(BY_EITHER, BY_LAN, Way.SENT, out, every, FAR)
    assert (told.verdict, told.winner) == (Verdict.PROTECT, every)


def test_a_rule_for_one_type_of_connection_is_for_what_goes_by_such_interfaces() -> None:
    out, back = tcp("10.1.0.1", "10.2.0.2", 1, 2), tcp("10.2.0.2", "10.1.0.1", 2, 1)
    for way, flow in ((Way.SENT, out), (Way.RECEIVED, back)):
        ours, theirs = (BY_REMOTE, BY_LAN) if way.outbound else (BY_LAN, BY_REMOTE)
        assert short(said_by(ours, theirs, way, flow, FAR, REST)) == (
            Verdict.PROTECT,
            "site/1",
            [("default-action", "the default action comes last")],
        )
        other = ("site/1", "it is for remote-access connections, and this packet goes by lan")
        assert short(said_by(theirs, ours, way, flow, FAR, REST)) == (Verdict.BLOCK, "default-action", [other])
    piece = tcp("10.2.0.2", "10.1.0.1")
    assert said_by(BY_REMOTE, BY_LAN, Way.RECEIVED, piece, FAR, REST).verdict is Verdict.BLOCK
    assert said_by(BY_LAN, BY_REMOTE, Way.RECEIVED, piece, FAR, REST).verdict is Verdict.PROTECT


def test_a_permit_for_one_type_of_connection_leaves_what_is_inside_an_sa_alone() -> None:
    """What isn't for it in clear is for the protecting entry behind it, as if it weren't there."""
    permit = Entry("near/1", "near", Action.PERMIT, ((NET_A, Selector.net("10.2.0.2/32")),), connections="lan")
    out, back = tcp("10.1.0.1", "10.2.0.2", 1, 2), tcp("10.2.0.2", "10.1.0.1", 2, 1)
    for way, flow in ((Way.SENT, out), (Way.RECEIVED, back)):
        lan, remote = (
            said_by(BY_LAN, BY_LAN, way, flow, permit, SITE),
            said_by(BY_REMOTE, BY_REMOTE, way, flow, permit, SITE),
        )
        assert (lan.verdict, lan.winner) == (Verdict.PERMIT, permit)
        assert (remote.verdict, remote.child) == (Verdict.PROTECT, "site/1")


def test_each_way_of_what_is_forwarded_goes_by_its_own_interface() -> None:
    """A block of what comes by one counts, too, as it leaves by another."""
    shut = replace(REST, name="shut/1", rule="shut", connections="lan", outbound=False)
    on = tcp("10.8.0.2", "10.9.0.2", 1, 2)
    for way in (Way.ENTERING, Way.LEAVING):
        assert said_by(BY_REMOTE, BY_LAN, way, on, shut).verdict is Verdict.BLOCK
        assert said_by(BY_LAN, BY_REMOTE, way, on, shut).verdict is Verdict.CLEAR


def test_where_no_route_tells_the_type_that_is_said() -> None:
    out = tcp("10.1.0.1", "10.2.0.2", 1, 2)
    for types in (frozenset[str](), BY_EITHER):
        told = said_by(types, BY_LAN, Way.SENT, out, FAR)
        assert (told.verdict, told.why) == (Verdict.CLEAR, f"no rule covers it; {UNTOLD}")
        whether = "it is for remote-access connections, and whether this packet goes by one isn't known"
        assert short(told) == (Verdict.CLEAR, "", [("site/1", whether)])
        told = said_by(types, BY_LAN, Way.SENT, out, FAR, REST)
        assert (told.verdict, told.why) == (Verdict.BLOCK, UNTOLD)
    told = said_by(BY_LAN, BY_EITHER, Way.SENT, out, FAR)
    other = ("site/1", "it is for remote-access connections, and this packet goes by lan")
    assert (told.why, short(told)) == ("no rule covers it", (Verdict.CLEAR, "", [other]))
    assert said_by(BY_EITHER, BY_LAN, Way.SENT, tcp("10.1.0.1", "10.3.0.2", 1, 2), FAR).why == "no rule covers it"


def test_an_interface_of_no_known_type_carries_nothing_in_clear_if_a_rule_asks() -> None:
    out, back = tcp("10.1.0.1", "10.3.0.2", 1, 2), tcp("10.3.0.2", "10.1.0.1", 2, 1)
    permit = replace(REST, name="open/1", rule="open", action=Action.PERMIT)
    why = "an interface that isn't known yet counts first"
    for way, flow, forth, come in ((Way.SENT, out, BY_NEW, BY_LAN), (Way.RECEIVED, back, BY_LAN, BY_NEW)):
        told = said_by(forth, come, way, flow, FAR, permit)
        assert (told.why, short(told)) == (NEW, (Verdict.DROP, "", [("open/1", why)]))
        assert said_by(forth, come, way, flow, permit).verdict is Verdict.PERMIT
        assert said_by(come, forth, way, flow, FAR, permit).verdict is Verdict.PERMIT
    assert said_by(BY_NEW, BY_LAN, Way.SENT, out, FAR, REST).verdict is Verdict.BLOCK
    let_in = replace(SITE, passthrough=True)
    told = said_by(BY_LAN, BY_NEW, Way.RECEIVED, tcp("10.2.0.2", "10.1.0.1", 2, 1), let_in, FAR)
    assert (told.verdict, told.child, told.clear_too) == (Verdict.PROTECT, "site/1", False)


def test_a_passthrough_lets_in_no_error_about_what_it_protects() -> None:
    unreachable = Flow.build(ip_address("10.2.0.2"), ip_address("10.1.0.1"), 1, 3 * 256)
    told = said(Way.RECEIVED, unreachable, replace(SITE, passthrough=True))
    assert (told.verdict, told.clear_too, told.why) == (Verdict.PROTECT, True, ERROR)
    assert said(Way.RECEIVED, tcp("10.2.0.2", "10.1.0.1", 1, 2), replace(SITE, passthrough=True)).why == ""


# --- soft SAs -----------------------------------------------------------------------------------------------------

PEER = ip_address("10.2.0.2")
FALLS = Entry("far/1", "far", Action.PROTECT, ((NET_A, Selector.net("10.2.0.2")),), child="far/1", fallback=True)
OUT, BACK = tcp("10.1.0.1", "10.2.0.2", 1, 2), tcp("10.2.0.2", "10.1.0.1", 2, 1)


def softly(way: Way, flow: Flow, *entries: Entry, by: frozenset[str] = frozenset()) -> Judgement:
    """What is said while the peer has a soft SA."""
    return judge(Plan(entries=entries), flow, way, Here(OURS, forth=by, back=by, excepted=frozenset({PEER})))


def test_what_a_peer_without_an_answer_is_sent_passes_in_clear_and_so_does_what_it_sends() -> None:
    for way, flow in ((Way.SENT, OUT), (Way.RECEIVED, BACK)):
        assert said(way, flow, FALLS, REST).verdict is Verdict.PROTECT
        told = softly(way, flow, FALLS, REST)
        assert (told.verdict, told.child, told.clear_too) == (Verdict.SOFT, "far/1", False)
        assert short(told)[2] == [("default-action", "the default action comes last")]
        assert softly(way, flow, replace(FALLS, fallback=False)).verdict is Verdict.PROTECT


def test_a_soft_sa_opens_no_other_filter_and_no_address_that_is_lost() -> None:
    shut = Entry("shut/1", "shut", Action.BLOCK, ((NET_A, Selector.net("10.2.0.2", 6)),))
    assert softly(Way.SENT, OUT, shut, FALLS).verdict is Verdict.BLOCK
    mine = replace(FALLS, pairs=((Selector.net("10.1.0.1"), Selector.net("10.2.0.2")),),
                   me=((ME, Selector.net("10.2.0.2")),))  # fmt: skip
    assert softly(Way.SENT, OUT, mine).verdict is Verdict.SOFT
    assert softly(Way.SENT, tcp("203.0.113.9", "10.2.0.2", 1, 2), mine).verdict is Verdict.DROP


def test_a_soft_sa_of_a_rule_without_a_tunnel_is_for_this_machine_alone() -> None:
    hosts = replace(FALLS, each=True)
    assert softly(Way.SENT, OUT, hosts).verdict is Verdict.SOFT
    assert softly(Way.RECEIVED, BACK, hosts).verdict is Verdict.SOFT
    for way, flow in ((Way.LEAVING, ("10.1.0.2", "10.2.0.2")), (Way.ENTERING, ("10.2.0.2", "10.1.0.2"))):
        assert softly(way, tcp(*flow, 1, 2), FALLS).verdict is Verdict.SOFT
        assert softly(way, tcp(*flow, 1, 2), hosts).verdict is Verdict.DROP


def test_a_passthrough_lets_in_as_ever_and_a_soft_sa_lets_out() -> None:
    both = replace(FALLS, passthrough=True)
    told = softly(Way.RECEIVED, BACK, both)
    assert (told.verdict, told.clear_too) == (Verdict.PROTECT, True)
    assert softly(Way.SENT, OUT, both).verdict is Verdict.SOFT


def test_an_interface_of_no_known_type_carries_nothing_by_a_soft_sa_either() -> None:
    permit = replace(REST, name="lan/1", rule="lan", action=Action.PERMIT, connections="lan")
    for way, flow, entry in ((Way.SENT, OUT, FALLS), (Way.LEAVING, tcp("10.1.0.2", "10.2.0.2", 1, 2), FALLS)):
        told = softly(way, flow, entry, permit, by=BY_NEW)
        assert (told.verdict, told.why) == (Verdict.DROP, NEW)
        assert softly(way, flow, entry, permit, by=BY_LAN).verdict is Verdict.SOFT
    told = softly(Way.RECEIVED, BACK, FALLS, permit, by=BY_NEW)
    assert (told.verdict, told.child) == (Verdict.PROTECT, "far/1")  # inside an SA, if there is one


# --- anycast --------------------------------------------------------------------------------------------------------

ANYCAST = ip_address("2001:db8::")
MY_V6 = Entry(
    "mine/1", "mine", Action.PROTECT, ((Selector.net("2001:db8::1"), Selector.net("fd02::/48")),), child="mine/1",
    me=((Selector.net("::/128"), Selector.net("fd02::/48")),),
)  # fmt: skip


def test_what_goes_to_an_address_that_routers_share_is_for_this_machine_and_covered_by_me() -> None:
    flow = tcp("fd02::2", "2001:db8::", 1, 2)
    here = Here(OURS, anycasts=frozenset({ANYCAST}))
    assert ways(flow, here, arriving=False) == (Way.RECEIVED,)
    told = judge(Plan(entries=(MY_V6,)), flow, Way.RECEIVED, here)
    assert (told.verdict, told.why) == (
        Verdict.DROP,
        "no SA is for it: it goes to the address by which any router of its network is reached (anycast)",
    )
    blocked = replace(MY_V6, action=Action.BLOCK, child="")
    assert judge(Plan(entries=(blocked,)), flow, Way.RECEIVED, here).verdict is Verdict.BLOCK
    net = replace(MY_V6, pairs=((Selector.net("2001:db8::/64"), Selector.net("fd02::/48")),), me=())
    assert judge(Plan(entries=(net,)), flow, Way.RECEIVED, here).verdict is Verdict.PROTECT
    own = tcp("2001:db8::1", "2001:db8::", 1, 2)
    assert judge(Plan(entries=(blocked,)), own, Way.SENT, here).why == "loopback, which never leaves this machine"
