"""The default response: who may ask, and where what has been negotiated stands among the rules."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ipsecd.ipsec.selectors import Flow
from ipsecd.policy.deciding import Way
from ipsecd.policy.floor import ruleset
from ipsecd.policy.judging import Here, Verdict, judge
from ipsecd.policy.plan import Action, Lifetime, Plan
from ipsecd.policy.response import answered, entry, facing, patterns
from ipsecd.wire.registry import Encr
from ipsecd.wire.selector import ANY_PORT, OPAQUE, Selector
from tests.unit.policy.texts import planned

ANSWERING = """\
assigned: p
credentials: {hq: {psk: {file: hq.psk}}, own: {psk: {file: own.psk}}}
policies:
  p:
    default_response: {authentication: [{psk: hq}, {psk: own}]}
"""
HERE, HOST, OTHER = "192.0.2.1", "192.0.2.9", "192.0.2.10"
WITH_RULES = (
    ANSWERING
    + """\
    default_action: block
    rules:
      - {name: ssh, filters: [{source: any, destination: me, protocol: tcp, destination_port: 22}], action: permit}
      - {name: telnet, filters: [{source: any, destination: me, protocol: tcp, destination_port: 23}], action: block}
"""
)


def side(address: str, protocol: int = 0, ports: tuple[int, int] = ANY_PORT) -> Selector:
    return Selector.net(address, protocol, ports)


def with_host(text: str, *pairs: tuple[Selector, Selector]) -> Plan:
    """The plan of this text, when a host has negotiated what these pairs hold."""
    plan, pairs = planned(text), pairs or ((side(HERE), side(HOST)),)
    [child] = patterns(plan)
    return answered(plan, (entry("default-response/1@192.0.2.9", child, pairs, 5),))


def verdict(plan: Plan, source: str, destination: str, way: Way, port: int = 80) -> tuple[Verdict, str]:
    flow = Flow.build(ip_address(source), ip_address(destination), 6, 50_000, port)
    judgement = judge(plan, flow, way, Here(frozenset({ip_address(HERE)})))
    return judgement.verdict, judgement.winner.name if judgement.winner else ""


def test_whoever_may_ask_is_a_peer_for_each_host_that_is_never_called() -> None:
    plan = planned(ANSWERING, me=("192.0.2.1", "10.1.0.1", "2001:db8::1", "fe80::1"))
    [rule], [peer] = plan.rules, plan.peers
    [child] = peer.children
    assert plan.entries == ()
    assert (rule.name, rule.action_name, rule.action, rule.peer) == (
        "default-response",
        "default-response",
        Action.PROTECT,
        "default-response",
    )
    assert (rule.children, rule.entries, rule.line) == (("default-response/1",), (), 5)
    assert (peer.each, peer.responds, peer.anywhere, peer.local, peer.remotes) == (True, True, False, None, ())
    assert (peer.local_id, peer.remote_id, peer.shared_keys) == (None, None, ("hq", "own"))
    assert [credential.name for credential in plan.credentials] == ["hq", "own"]
    assert [str(each) for each in child.local] == ["192.0.2.1", "10.1.0.1", "2001:db8::1"]
    assert [str(each) for each in child.remote] == ["0.0.0.0/0", "::/0"]
    assert (child.rule, child.start, child.fallback, child.lifetime) == (
        "default-response",
        False,
        None,
        Lifetime(3600),
    )
    assert patterns(plan) == (child,)


def test_it_has_security_methods_and_key_exchange_like_a_rule() -> None:
    method = "{esp: {encryption: aes256gcm16}, lifetime: {seconds: 900, kilobytes: 2048}}"
    text = ANSWERING.replace("{authentication", f"{{security_methods: [{method}], authentication")
    exchange = "    key_exchange: {dpd: 7, lifetime: {seconds: 600}}\n    keylog: true\n"
    [peer] = planned(text + exchange).peers
    [child] = peer.children
    [proposal] = child.proposals
    assert (proposal.encryption, proposal.lifetime) == (((Encr.AES_GCM_16, 256),), Lifetime(900, 2_097_152, None))
    assert (peer.dpd, peer.lifetime, peer.keylog) == (7, Lifetime(600), True)


@pytest.mark.parametrize(
    "text", [ANSWERING.replace("{authentication", "{active: false, authentication"), "policies: {p: {}}"]
)
def test_without_it_nobody_may_ask(text: str) -> None:
    plan = planned(text)
    assert (plan.rules, plan.peers, patterns(plan)) == ((), (), ())


def test_a_machine_of_one_family_answers_in_that_family_alone_and_one_without_an_address_nobody() -> None:
    for me, remote in ((("2001:db8::1",), ["::/0"]), ((), [])):
        [child] = patterns(planned(ANSWERING, me=me))
        assert [str(each) for each in child.remote] == remote


def test_what_a_host_has_negotiated_stands_behind_every_rule_and_before_the_default_action() -> None:
    assert [each.name for each in with_host(WITH_RULES).entries] == [
        "ssh/1",
        "telnet/1",
        "ssh/1-v6",
        "telnet/1-v6",
        "default-response/1@192.0.2.9",
        "default-action",
        "default-action-v6",
    ]


def test_before_a_host_has_asked_everything_is_as_the_rules_have_it() -> None:
    plan = planned(ANSWERING)
    assert answered(plan, ()) is plan
    assert verdict(plan, HERE, HOST, Way.SENT) == (Verdict.CLEAR, "")
    assert verdict(plan, HOST, HERE, Way.RECEIVED) == (Verdict.CLEAR, "")


@pytest.mark.parametrize(("source", "destination", "way"), [(HERE, HOST, Way.SENT), (HOST, HERE, Way.RECEIVED)])
def test_what_it_has_negotiated_is_protected_both_ways_and_nothing_of_others(
    source: str, destination: str, way: Way
) -> None:
    plan = with_host(ANSWERING)
    assert verdict(plan, source, destination, way) == (Verdict.PROTECT, "default-response/1@192.0.2.9")
    other = (OTHER if each == HOST else each for each in (source, destination))
    assert verdict(plan, *other, way) == (Verdict.CLEAR, "")


def test_of_a_host_that_has_negotiated_a_port_the_rest_stays_as_it_was() -> None:
    plan = with_host(ANSWERING, (side(HERE, 6), side(HOST, 6, (445, 445))))
    assert verdict(plan, HERE, HOST, Way.SENT, 445) == (Verdict.PROTECT, "default-response/1@192.0.2.9")
    assert verdict(plan, HERE, HOST, Way.SENT, 80) == (Verdict.CLEAR, "")


@pytest.mark.parametrize(("port", "expected"), [(22, Verdict.PERMIT), (23, Verdict.BLOCK), (80, Verdict.PROTECT)])
def test_what_a_rule_says_a_host_cannot_lift_by_negotiating(port: int, expected: Verdict) -> None:
    assert verdict(with_host(WITH_RULES), HOST, HERE, Way.RECEIVED, port)[0] is expected


def test_the_rules_before_it_are_named_with_the_reason() -> None:
    flow = Flow.build(ip_address(HOST), ip_address(HERE), 6, 50_000, 23)
    judgement = judge(with_host(WITH_RULES), flow, Way.RECEIVED, Here(frozenset({ip_address(HERE)})))
    assert [(each.entry.name, each.why) for each in judgement.runners_up] == [
        ("default-response/1@192.0.2.9", "every rule goes before the default response"),
        ("default-action", "the default action comes last"),
    ]


def test_the_floor_drops_in_clear_and_steers_what_was_negotiated_and_without_it_says_nothing_of_the_host() -> None:
    text = ruleset(with_host(ANSWERING))
    drop = 'counter name "drops-8e262a832c318c90.default-response/1_192.0.2.9" drop'
    assert f"ip saddr 192.0.2.9 ip daddr 192.0.2.1 {drop}" in text
    assert "ip saddr 192.0.2.1 ip daddr 192.0.2.9 meta mark set" in text
    assert HOST not in ruleset(planned(ANSWERING))


@pytest.mark.parametrize("protocol", [0, 1, 6])
def test_what_a_host_asks_for_that_has_no_ports_to_see_stands_where_ports_arent_asked_for(protocol: int) -> None:
    text = ruleset(with_host(ANSWERING, (side(HERE, protocol, OPAQUE), side(HOST, protocol, OPAQUE))))
    assert "65535-0" not in text, "which nft refuses, and with it all that others have asked for"
    arriving = text.partition("chain arriving_opaque {")[2].partition("}")[0]
    assert "ip saddr 192.0.2.9 ip daddr 192.0.2.1" in arriving


@pytest.mark.parametrize(
    ("protocol", "says"), [(47, "meta l4proto 47 "), (0, "meta l4proto != @with_ports_or_types ")], ids=["gre", "any"]
)
@pytest.mark.parametrize("others", [0, 20], ids=["a few hosts", "many hosts"])
def test_what_has_no_ports_at_all_is_among_it(protocol: int, says: str, others: int) -> None:
    many = [(side(HERE, 6), side(f"192.0.2.{20 + each}", 6, (80 + each, 80 + each))) for each in range(others)]
    plan = with_host(ANSWERING, *many, (side(HERE, protocol, OPAQUE), side(HOST, protocol, OPAQUE)))
    text = ruleset(plan)
    assert f'ip saddr 192.0.2.9 ip daddr 192.0.2.1 {says}counter name "drops-' in text
    assert f"ip saddr 192.0.2.1 ip daddr 192.0.2.9 {says}meta mark set" in text
    assert "65535-0" not in text
    gre, tcp = (Flow.build(ip_address(HOST), ip_address(HERE), *rest) for rest in ((47,), (6, 50_000, 80)))
    told = [judge(plan, flow, Way.RECEIVED, Here(frozenset({ip_address(HERE)}))).verdict for flow in (gre, tcp)]
    assert told == [Verdict.PROTECT, Verdict.CLEAR]


def test_a_port_on_one_side_and_none_on_the_other_is_no_packet() -> None:
    text = ruleset(with_host(ANSWERING, (side(HERE, 0, (445, 445)), side(HOST, 0, OPAQUE))))
    clear = text.partition("chain arriving_clear {")[2].partition("}")[0]
    assert "192.0.2.9" not in clear


def test_packets_go_only_between_sides_of_one_family_and_one_protocol() -> None:
    local = (side("192.0.2.1", 6), side("2001:db8::1"))
    remote = (side("192.0.2.9", 6, (445, 445)), side("192.0.2.9", 17), side("2001:db8::9", 17))
    assert [tuple(map(str, pair)) for pair in facing(local, remote)] == [
        ("192.0.2.1[tcp]", "192.0.2.9[tcp/445]"),
        ("2001:db8::1", "2001:db8::9[udp]"),
    ]
