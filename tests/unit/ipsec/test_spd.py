"""The ordered policy database."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd import limits
from ipsecd.errors import LocalError
from ipsecd.ipsec.selectors import UNSEEN, Flow
from ipsecd.ipsec.spd import Direction, Spd, SpdEntry
from ipsecd.wire.hostpair import pair_id, pattern_id
from ipsecd.wire.selector import OPAQUE, Selector

OUT, IN = Direction.OUTBOUND, Direction.INBOUND
NEAR, FAR = Selector.net("10.1.0.0/16"), Selector.net("10.2.0.0/16")
A, B = ip_address("10.1.0.1"), ip_address("10.2.0.1")

WEB = SpdEntry("web", "rule 1", "discard", ((NEAR, Selector.net("10.2.0.0/16", 6, (80, 80))),))
HOST = SpdEntry("host", "rule 2", "bypass", ((Selector.net("10.1.0.9"), FAR),))
ALL = SpdEntry("all", "rule 3", "protect", ((NEAR, FAR), (FAR, NEAR)), "hq")
ONE_WAY = SpdEntry("one-way", "rule 4", "protect", ((NEAR, Selector.net("0.0.0.0/0")),), "rest", inbound=False)
SPD = Spd((WEB, HOST, ALL, ONE_WAY), 7)


def tcp(destination_port: int | None, source: str = "10.1.0.1", destination: str = "10.2.0.1") -> Flow:
    return Flow.build(ip_address(source), ip_address(destination), 6, 40_000, destination_port)


def test_the_first_entry_that_holds_a_packet_wins() -> None:
    assert SPD.lookup(tcp(80), OUT) is WEB
    assert SPD.lookup(tcp(443), OUT) is ALL
    assert SPD.lookup(tcp(443, source="10.1.0.9"), OUT) is HOST
    assert SPD.lookup(tcp(443, destination="10.3.0.1"), OUT) is ONE_WAY
    assert SPD.lookup(tcp(443, source="10.9.0.1"), OUT) is None


@pytest.mark.parametrize(
    ("source", "destination", "held"),
    [
        ("10.1.0.0", "10.2.0.0", True),
        ("10.1.255.255", "10.2.255.255", True),
        ("10.0.255.255", "10.2.0.0", False),
        ("10.2.0.0", "10.2.0.0", False),
        ("10.1.0.0", "10.1.255.255", False),
        ("10.1.0.0", "10.3.0.0", False),
    ],
)
def test_both_ends_of_a_range_are_inside(source: str, destination: str, held: bool) -> None:
    entry = SpdEntry("x", "r", "discard", ((NEAR, FAR),))
    assert (Spd((entry,)).lookup(tcp(1, source, destination), OUT) is entry) is held


ANY = SpdEntry("any", "rule 5", "protect", ((NEAR, FAR),), "hq")


@pytest.mark.parametrize(
    ("entries", "protocol", "decide"),
    [
        ((ANY,), 6, False),
        ((WEB, ANY), 6, True),
        ((WEB, ANY), 17, False),
        ((WEB, ANY), UNSEEN, True),
        ((ANY, WEB), 6, False),
        ((ANY, WEB), UNSEEN, False),
        ((WEB,), 6, True),
        ((WEB,), 17, False),
        ((SpdEntry("tcp", "r", "discard", ((NEAR, Selector.net("10.2.0.0/16", 6)),)), WEB), 6, False),
        ((SpdEntry("tcp", "r", "discard", ((NEAR, Selector.net("10.2.0.0/16", 6)),)), WEB), UNSEEN, True),
        ((SpdEntry("opaque", "r", "discard", ((NEAR, Selector.net("10.2.0.0/16", 6, OPAQUE)),)), WEB), 6, False),
        ((SpdEntry("far", "r", "discard", ((NEAR, Selector.net("10.9.0.0/16", 6, (80, 80))),)),), 6, False),
        ((), 6, False),
    ],
)
def test_whether_ports_decide(entries: tuple[SpdEntry, ...], protocol: int, decide: bool) -> None:
    """RFC 4301 section 7: then a fragment that shows none may belong to the same entry as the first, or to another."""
    flow = Flow.build(A, B, protocol)
    assert Spd(entries).ports_decide(flow, OUT) is decide
    assert Spd(entries).ports_decide(flow.answer(), IN) is decide
    assert not Spd(entries).ports_decide(flow, IN)


def test_coming_in_the_sides_change_places() -> None:
    back = Flow.build(B, A, 6, 80, 40_000)
    assert SPD.lookup(back, IN) is WEB
    assert SPD.lookup(back, OUT) is ALL  # by its second pair, which is the other way round
    assert SPD.lookup(tcp(80), IN) is ALL


def test_an_entry_may_apply_to_one_direction_only() -> None:
    assert SPD.lookup(tcp(443, destination="10.3.0.1"), OUT) is ONE_WAY
    assert SPD.lookup(Flow.build(ip_address("10.3.0.1"), A, 6, 443, 40_000), IN) is None
    inward = Spd((SpdEntry("in", "r", "protect", ((NEAR, FAR),), "c", outbound=False),))
    assert inward.lookup(tcp(1), OUT) is None
    assert inward.lookup(Flow.build(B, A, 6, 1, 2), IN) is inward.entries[0]


def test_what_came_inside_an_sa_of_the_way_out_passes_unless_another_entry_takes_it() -> None:
    back = tcp(443, source="10.9.0.1", destination="10.1.0.1")
    assert SPD.lookup(back, IN) is None
    assert SPD.received(back, "rest") == replace(ONE_WAY, inbound=True)
    assert SPD.received(back, "hq") is None  # inside an SA of another child
    assert SPD.received(tcp(443, source="10.9.0.1", destination="10.7.0.1"), "rest") is None
    assert SPD.received(tcp(443, source="10.2.0.1", destination="10.1.0.1"), "rest") is ALL
    clear = SpdEntry("clear", "rule 5", "bypass", ((NEAR, Selector.net("10.9.0.0/16")),))
    assert Spd((clear, ONE_WAY)).received(back, "rest") == replace(ONE_WAY, inbound=True)
    assert Spd((clear, ONE_WAY)).received(back, "hq") is clear
    stop = replace(clear, action="discard")
    assert Spd((ONE_WAY, stop)).received(back, "rest") is stop
    assert Spd((replace(ONE_WAY, action="bypass"),)).received(back, "rest") is None


def test_the_way_back_of_two_hosts_is_that_of_their_own_child() -> None:
    spd = Spd((replace(ONE_WAY, each=True),))
    back = tcp(443, source="10.9.0.1", destination="10.1.0.1")
    child = pair_id("rest", ip_address("10.1.0.1"), ip_address("10.9.0.1"))
    assert spd.received(back, "rest") is None
    found = spd.received(back, child)
    assert found is not None
    assert found.child == child


def test_a_fragment_without_ports_passes_over_entries_with_ports() -> None:
    fragment = Flow.build(A, B, 6, None, None)
    assert SPD.lookup(fragment, OUT) is ALL
    opaque = SpdEntry("fragments", "r", "discard", ((NEAR, Selector.net("10.2.0.0/16", 6, OPAQUE)),))
    assert Spd((WEB, opaque, ALL)).lookup(fragment, OUT) is opaque
    assert Spd((WEB, opaque, ALL)).lookup(tcp(443), OUT) is ALL


def test_a_pair_that_no_packet_can_have_matches_nothing() -> None:
    odd = SpdEntry(
        "odd",
        "r",
        "discard",
        ((NEAR, Selector.net("::/0")), (Selector.net("10.1.0.0/16", 6), Selector.net("10.2.0.0/16", 17))),
    )
    assert Spd((odd,)).lookup(tcp(80), OUT) is None


def test_one_side_may_name_the_protocol_for_both() -> None:
    for pair in ((Selector.net("10.1.0.0/16", 6), FAR), (NEAR, Selector.net("10.2.0.0/16", 6))):
        spd = Spd((SpdEntry("tcp", "r", "discard", (pair,)),))
        assert spd.lookup(tcp(80), OUT) is spd.entries[0]
        assert spd.lookup(Flow.build(A, B, 17, 1, 2), OUT) is None


def test_icmp_types_belong_to_the_senders_side() -> None:
    """RFC 4301 section 4.4.1.3: willing to ping, not to be pinged."""
    ping = SpdEntry("ping", "r", "bypass", ((Selector.net("10.1.0.0/16", 1, (0x0800, 0x08FF)), FAR_OPAQUE_ICMP),))
    spd = Spd((ping,))
    assert spd.lookup(Flow.build(A, B, 1, 0x0800), OUT) is ping
    assert spd.lookup(Flow.build(B, A, 1, 0x0800), IN) is None


FAR_OPAQUE_ICMP = Selector.net("10.2.0.0/16", 1, OPAQUE)


def test_answers_are_remembered_and_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_FLOWS", 4)
    spd = Spd((ALL,))
    for port in range(10):
        assert spd.lookup(tcp(port), OUT) is ALL
    assert [flow.destination_port for flow in spd._cache[OUT]] == [6, 7, 8, 9]
    assert spd.lookup(tcp(9, source="10.9.0.1"), OUT) is None
    assert None in spd._cache[OUT].values()
    assert not spd._cache[IN]


def test_a_remembered_answer_is_not_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    spd = Spd((ALL,))
    assert spd.lookup(tcp(80), OUT) is ALL
    monkeypatch.setattr(spd, "_rows", {})
    assert spd.lookup(tcp(80), OUT) is ALL


def test_an_empty_policy_holds_nothing() -> None:
    assert Spd().lookup(tcp(80), OUT) is None
    assert Spd().generation == 0
    assert SPD.generation == 7


@pytest.mark.parametrize(
    "entry", [SpdEntry("x", "r", "allow", ((NEAR, FAR),)), SpdEntry("x", "r", "protect", ((NEAR, FAR),))]
)
def test_an_entry_that_makes_no_sense_is_our_own_mistake(entry: SpdEntry) -> None:
    with pytest.raises(LocalError, match="SPD entry x"):
        Spd((entry,))


def test_an_entry_for_each_pair_of_hosts_names_the_child_of_those_two() -> None:
    each = SpdEntry("each", "rule 5", "protect", ((NEAR, FAR),), "7", each=True)
    spd = Spd((each,))
    out, back = spd.lookup(tcp(443), OUT), spd.lookup(tcp(443).answer(), IN)
    assert out == back == SpdEntry("each", "rule 5", "protect", ((NEAR, FAR),), "7@10.1.0.1@10.2.0.1")
    assert spd.lookup(tcp(443), OUT) is out
    other = spd.lookup(tcp(443, destination="10.2.0.2"), OUT)
    assert other is not None
    assert other.child == "7@10.1.0.1@10.2.0.2"
    assert pattern_id(other.child) == "7" == pattern_id("7")
