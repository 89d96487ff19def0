"""IKEv1 by configurations: two desks find each other, by the rules that they have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd.crypto.secret import Secret
from ipsecd.ike.config import Encapsulation, IkeConfig, Lifetime, SharedKey
from ipsecd.ike.v1.special import Special
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import Encr, Group, Integ, Prf
from ipsecd.wire.registry_v1 import Exchange
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import ESP_CLASSIC, ESP_GCM, ESP_PFS, KEY, NET_A, NET_B, A, B, child_of_a, mirrored
from tests.exchange.network import Link
from tests.exchange.v1_desks import IKE_CBC, Desks, End, pair, peer_a, peer_b

OTHER_KEY = SharedKey("other", Secret(b"another key, which is long enough as well"))
EXPOSED = Special(i_accept_offline_guessing=True)


def told(end: End, event: str) -> str:
    """The reason of the only report of this event."""
    (report,) = end.events(event)
    return str(report.fields["reason"])


# --- what two find in common --------------------------------------------------------------------------------------


def test_main_mode_with_a_key_leads_to_sas_on_both_sides() -> None:
    net = pair()
    net.want(net.a).run(5.0)
    assert net.agree(1)
    assert (net.a.told, net.b.told) == ([("made", "net")], [("granted", "net")])
    assert [report.event for report in net.a.reports] == ["ike-calling", "ike-established", "child-established"]
    assert [report.event for report in net.b.reports] == ["ike-established", "child-established"]
    assert (net.a.desk.up("net"), net.b.desk.up("net")) == (True, True)
    assert (net.a.desk.pursued("net"), net.a.desk.fits(net.a.core.config.peers[0])) == (False, True)
    (established,) = net.a.events("ike-established")
    assert established.fields["version"] == "IKEv1"
    assert established.fields["exchange"] == "main"
    assert established.fields["identity"] == "b.example"
    assert established.fields["encapsulation"] == "udp"


def test_what_is_wanted_is_pursued_until_it_is_there() -> None:
    net = pair()
    assert not net.a.desk.pursued("net")
    net.want(net.a)
    assert net.a.desk.pursued("net")
    assert net.a.desk.fits(net.a.core.config.peers[0])
    (calling,) = net.a.desk.status()
    assert (calling.stage, calling.peer, calling.version) == ("connecting", "b", "IKEv1")
    assert calling.remote == "198.51.100.1:500"


def test_the_one_that_was_called_may_call_the_next_time() -> None:
    net = pair()
    net.want(net.a).run(5.0)
    net.do(net.a, lambda desk: desk.put_down_peer("b", "enough"))
    net.run(5.0)
    assert (net.a.inbound, net.b.inbound, net.a.established, net.b.established) == ({}, {}, 0, 0)
    net.want(net.b).run(5.0)
    assert net.agree(1)


def test_a_status_says_what_there_is() -> None:
    net = pair()
    net.want(net.a).run(10.0)
    (status,) = net.b.desk.status()
    assert (status.peer, status.stage, status.initiator, status.version) == ("a", "established", False, "IKEv1")
    assert (status.local_id, status.remote_id) == ("b.example", "a.example")
    assert (status.local, status.remote) == ("198.51.100.1:4500", "192.0.2.1:4500")
    assert status.suite == "aes128-sha256-x25519"
    assert (status.given, status.user, status.nat_here) == ((), "", False)
    (child,) = status.children
    assert (child.id, child.rule, child.stage, child.sending) == ("net", "rule-net", "up", True)
    assert (child.local, child.remote) == ((NET_B,), (NET_A,))
    assert (child.protocol, child.mode, child.encapsulation) == ("ESP", "tunnel", "udp")


@pytest.mark.parametrize("proposal", [ESP_GCM, ESP_PFS, ESP_CLASSIC])
def test_children_have_what_their_proposals_say(proposal: object) -> None:
    child = child_of_a(proposals=(proposal,))
    net = pair(peer_b(child), peer_a(mirrored(child)))
    net.want(net.a).run(5.0)
    assert net.agree(1)


@pytest.mark.parametrize("encapsulation", [Encapsulation.NATIVE, Encapsulation.UDP])
def test_packets_go_as_the_rule_says(encapsulation: Encapsulation) -> None:
    net = pair(peer_b(encapsulation=encapsulation), peer_a(encapsulation=encapsulation))
    net.want(net.a).run(5.0)
    assert net.agree(1)
    (installed,) = net.a.inbound.values()
    assert installed.path.natt is (encapsulation is Encapsulation.UDP)


def test_without_raw_sockets_what_may_go_in_udp_goes_in_udp() -> None:
    child = child_of_a(proposals=(ESP_CLASSIC,))
    config = IkeConfig((peer_b(child, encapsulation=Encapsulation.AUTO),), native=False)
    net = Desks((A, config), (B, IkeConfig((peer_a(mirrored(child)),))))
    net.want(net.a).run(5.0)
    (installed,) = net.a.inbound.values()
    assert installed.path.natt


def test_several_rules_with_one_credential_share_an_isakmp_sa_whoever_calls() -> None:
    elsewhere = child_of_a("else", local=(Selector.net("10.3.0.0/16"),))
    of_a = (peer_b(), peer_b(elsewhere, name="b2", dpd=10.0))
    of_b = (peer_a(), peer_a(mirrored(elsewhere), name="a2", dpd=10.0))
    for first in (0, 1):
        net = Desks((A, IkeConfig(of_a)), (B, IkeConfig(of_b)), seed=first)
        net.want(net.ends[first]).run(5.0)
        net.want(net.a, child="else").run(5.0)
        net.want(net.b, child="else").run(5.0)
        assert net.agree(2)
        assert (net.a.established, net.b.established) == (1, 1)


def test_a_credential_opens_nothing_of_a_rule_that_does_not_name_it() -> None:
    elsewhere = child_of_a("else", local=(Selector.net("10.3.0.0/16"),))
    of_a = (peer_b(child_of_a(), elsewhere),)
    of_b = (peer_a(), peer_a(mirrored(elsewhere), name="a2", shared_keys=(OTHER_KEY,)))
    net = Desks((A, IkeConfig(of_a)), (B, IkeConfig(of_b)))
    net.want(net.a).run(5.0)
    net.want(net.a, child="else").run(5.0)
    assert net.agree(1)
    assert "no rule has whole" in next(iter(net.b.core.counters)) or net.b.core.counters["no-such-traffic"] == 1
    assert told(net.a, "child-failed") == "the peer says INVALID_ID_INFORMATION"
    assert "which no rule has whole" in told(net.b, "child-failed")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_each_key_of_each_rule_of_an_address_is_tried(place: int) -> None:
    keys = [SharedKey(f"k{number}", Secret(b"one key of those there are %d" % number)) for number in range(3)]
    of_b = (
        peer_a(name="first", shared_keys=(keys[0],)),
        peer_a(mirrored(child_of_a("else")), name="second", shared_keys=(keys[1], keys[2])),
    )
    child = child_of_a("net" if place == 0 else "else")
    net = Desks((A, IkeConfig((peer_b(child, shared_keys=(keys[place],)),))), (B, IkeConfig(of_b)))
    net.want(net.a, child=child.id).run(5.0)
    assert net.agree(1)


def test_who_calls_with_a_key_that_the_peer_does_not_have_tries_the_next_one_the_next_time() -> None:
    net = pair(peer_b(shared_keys=(OTHER_KEY, KEY)))
    net.want(net.a).run(120.0)
    assert not net.agree(1)
    assert told(net.a, "auth-failed") == (
        "the peer doesn't answer our proof: perhaps the pre-shared keys differ, or it doesn't know our identity"
    )
    net.want(net.a).run(5.0)
    assert net.agree(1)


# --- aggressive mode ----------------------------------------------------------------------------------------------


def test_aggressive_mode_is_used_where_both_accept_what_it_shows() -> None:
    net = pair(peer_b(special=EXPOSED), peer_a(special=EXPOSED))
    net.want(net.a).run(5.0)
    assert net.agree(1)
    assert [end.events("ike-established")[0].fields["exchange"] for end in net.ends] == ["aggressive", "aggressive"]


def test_aggressive_mode_is_refused_where_it_is_not_accepted_and_nothing_is_shown() -> None:
    net = pair(peer_b(special=EXPOSED), peer_a())
    net.want(net.a).run(120.0)
    assert (net.agree(1), net.b.sent) == (False, [])
    assert net.b.core.counters["aggressive-not-accepted"] > 0
    assert told(net.a, "ike-failed") == "the peer doesn't answer"


# --- what goes wrong, and what is said of it ----------------------------------------------------------------------


def test_another_key_is_told_on_both_sides() -> None:
    net = pair(peer_b(shared_keys=(OTHER_KEY,)))
    net.want(net.a).run(120.0)
    assert told(net.b, "auth-failed") == "the peer's proof can't be read or is wrong: the pre-shared keys differ"
    assert net.b.events("auth-failed")[0].fields["rule"] == "rule-net"
    assert told(net.a, "auth-failed").startswith("the peer doesn't answer our proof")
    assert net.a.told == [("failed", f"net: {told(net.a, 'auth-failed')}")]
    assert net.a.events("child-failed") == []  # which would only say the same again


def test_another_identity_is_told_by_who_sees_it() -> None:
    net = pair(of_b=peer_a(remote_id=Identity.parse("c.example")))
    net.want(net.a).run(120.0)
    assert told(net.b, "auth-failed") == "the peer is a.example; we want c.example"
    net = pair(peer_b(remote_id=Identity.parse("c.example")))
    net.want(net.a).run(120.0)
    assert told(net.a, "auth-failed") == "the peer is b.example; we want c.example"


def test_no_common_proposal_is_told_with_both_lists() -> None:
    other = replace(IKE_CBC, encryption=((Encr.AES_CBC, 256),), prf=(Prf.HMAC_SHA2_512,), groups=(Group.ECP_256,))
    net = pair(of_b=peer_a(proposals=(other,)))
    net.want(net.a).run(120.0)
    assert told(net.b, "sa-init-refused") == (
        "no common proposal; the peer offers aes128-sha256-x25519 by PSK; we take aes256-sha512-ecp256"
    )
    assert told(net.a, "ike-failed") == (
        "the peer says NO_PROPOSAL_CHOSEN: no common proposal; we offer aes128-sha256-x25519 by PSK"
    )


def test_a_stranger_is_told_that_there_is_no_rule_for_it_and_never_with_more_than_it_said() -> None:
    net = pair(of_b=peer_a(remotes=(Selector.net("203.0.113.9/32").start,)))
    net.want(net.a).run(120.0)
    assert net.b.core.counters["no-rule-for-peer"] > 0
    assert 0 < len(net.b.sent) <= net.b.core.counters["no-rule-for-peer"]
    assert max(map(len, net.b.sent)) < min(map(len, net.a.sent))


def test_a_rule_with_nothing_that_ikev1_can_say_is_told() -> None:
    modern = replace(IKE_CBC, encryption=((Encr.AES_GCM_16, 128),), integrity=())
    net = pair(peer_b(proposals=(modern,)))
    net.want(net.a).run(5.0)
    assert told(net.a, "ike-failed") == "the rule has no proposal for IKE that IKEv1 can say"
    assert net.a.told == [("failed", "net: the rule has no proposal for IKE that IKEv1 can say")]


def test_a_range_of_ports_is_refused_with_what_to_do() -> None:
    web = Selector(NET_B.start, NET_B.end, 6, (80, 90))
    net = pair(peer_b(child_of_a(remote=(web,), local=(replace(NET_A, protocol=6),))))
    net.want(net.a).run(5.0)
    assert told(net.a, "child-failed") == (
        "IKEv1 can't negotiate 10.2.0.0/16[tcp/80-90]: only a single port, or all of them; "
        "a filter for each port can be, or one for all, or IKEv2 be used"
    )
    assert net.a.sent == []


def test_no_answer_is_told_once_for_all_that_waits() -> None:
    net = Desks((A, IkeConfig((peer_b(child_of_a(), child_of_a("else", local=(Selector.net("10.3.0.0/16"),))),))))
    net.want(net.a)
    net.want(net.a, child="else").run(120.0)
    assert told(net.a, "ike-failed") == "the peer doesn't answer"
    assert net.a.told == [("failed", "net: the peer doesn't answer"), ("failed", "else: the peer doesn't answer")]
    assert net.a.desk.status() == []


# --- traffic ------------------------------------------------------------------------------------------------------

THIRD, FOURTH = Selector.net("10.3.0.0/16"), Selector.net("10.4.0.0/16")


def test_a_child_has_a_pair_of_sas_for_each_pair_of_its_selectors() -> None:
    child = child_of_a(local=(NET_A, THIRD), remote=(NET_B, FOURTH))
    net = pair(peer_b(child), peer_a(mirrored(child)))
    net.want(net.a).run(5.0)
    assert net.agree(4)
    found = {(str(each.local[0]), str(each.remote[0])) for each in net.a.outbound.values()}
    assert found == {
        ("10.1.0.0/16", "10.2.0.0/16"),
        ("10.1.0.0/16", "10.4.0.0/16"),
        ("10.3.0.0/16", "10.2.0.0/16"),
        ("10.3.0.0/16", "10.4.0.0/16"),
    }


def test_for_a_packet_there_is_the_pair_that_takes_it() -> None:
    child = child_of_a(local=(NET_A, THIRD), remote=(NET_B, FOURTH))
    net = pair(peer_b(child), peer_a(mirrored(child)))
    packet = Selector.net("10.3.0.7/32", 6, (1024, 1024)), Selector.net("10.2.0.9/32", 6, (80, 80))
    net.want(net.a, packet).run(5.0)
    assert net.agree(1)
    (installed,) = net.a.outbound.values()
    assert (installed.local, installed.remote) == ((THIRD,), (NET_B,))
    assert net.a.desk.up("net", packet)
    assert not net.a.desk.up("net", (Selector.net("10.1.0.7/32"), packet[1]))


# --- commands -----------------------------------------------------------------------------------------------------


def test_a_child_is_put_down_and_the_isakmp_sa_stays() -> None:
    net = pair()
    net.want(net.a).run(5.0)
    net.do(net.a, lambda desk: desk.put_down({"net"}, "put down by command")).run(1.0)
    assert (net.a.inbound, net.b.outbound, net.a.established, net.b.established) == ({}, {}, 1, 1)
    assert told(net.a, "child-closed") == "put down by command"
    assert net.a.told[1:] == [("ended", "net"), ("lost", "net")]


def test_a_child_that_is_put_down_while_it_is_called_for_is_not_called_for_any_more() -> None:
    net = Desks((A, IkeConfig((peer_b(),))))
    net.want(net.a).run(1.0)
    sent = len(net.a.sent)
    net.do(net.a, lambda desk: desk.put_down({"net"}, "put down by command"))
    assert not net.a.desk.pursued("net")
    net.run(200.0)
    assert len(net.a.sent) == sent
    assert net.a.told == [("failed", "net: put down by command")]


def test_a_peer_is_put_down_at_once() -> None:
    net = pair()
    net.want(net.a).run(5.0)
    net.do(net.a, lambda desk: desk.put_down_peer("b", "put down by command"))
    assert (net.a.inbound, net.a.established) == ({}, 0)
    net.run(1.0)
    assert (net.b.inbound, net.b.established) == ({}, 0)
    net.want(net.a).run(30.0)  # and nothing of that ends what comes after it
    assert net.agree(1)


def test_a_child_and_an_isakmp_sa_are_rekeyed_by_command() -> None:
    net = pair()
    net.want(net.a).run(5.0)
    before = set(net.a.inbound)
    net.do(net.a, lambda desk: desk.rekey({"net"})).run(5.0)
    assert len(set(net.a.inbound) - before) == 1
    assert [len(end.events("child-rekeyed")) for end in net.ends] == [1, 1]
    net.do(net.b, lambda desk: desk.rekey_peer("a")).run(60.0)
    assert [len(end.events("ike-rekeyed")) for end in net.ends] == [1, 1]
    assert (net.a.established, net.b.established) == (1, 1)


def test_a_shutdown_tells_each_peer_once_and_answers_nobody_any_more() -> None:
    net = pair()
    net.want(net.a).run(5.0)
    net.b.core.ending = "going"
    net.do(net.b, lambda desk: desk.shutdown("going"))
    assert (net.b.inbound, net.b.established) == ({}, 0)
    net.run(1.0)
    assert (net.a.inbound, net.a.established) == ({}, 0)
    net.want(net.a).run(3.0)
    assert net.b.core.counters["ending"] > 0


def test_nothing_is_left_of_what_is_over() -> None:
    net = pair()
    net.want(net.a).run(5.0)
    net.do(net.a, lambda desk: desk.put_down_peer("b", "enough"))
    net.run(400.0)
    for end in net.ends:
        assert (len(end.desk._parties), end.desk.inbound_spis(), end.core.promised) == (0, (), set())
        assert end.core.guard.half_open == 0


# --- what the data plane tells ------------------------------------------------------------------------------------


def test_what_the_data_plane_tells_finds_its_pair() -> None:
    net = pair()
    net.want(net.a).run(5.0)
    (spi,) = net.a.desk.inbound_spis()
    assert (net.a.desk.knows(spi), net.a.desk.knows(b"none")) == (True, False)
    net.do(net.a, lambda desk: desk.soft_expired(spi)).run(1.0)
    assert len(net.a.events("child-rekeyed")) == 1
    net.do(net.a, lambda desk: desk.unreached(spi, "no route"))
    assert told(net.a, "child-unreached") == "no route"
    new = next(each.inbound for each in net.a.outbound.values())
    net.do(net.a, lambda desk: desk.lost((new, spi, b"gone")))
    assert len(net.a.events("child-lost")) >= 1
    assert net.a.told[-1] == ("lost", "net")


def test_what_can_not_be_installed_is_told_and_ends() -> None:
    net = pair()
    net.want(net.a).run(5.0)
    (spi,) = net.a.desk.inbound_spis()
    net.do(net.a, lambda desk: desk.install_failed(spi, "no room")).run(1.0)
    assert told(net.a, "install-failed") == "it couldn't be installed: no room"
    assert ("failed", "net: it couldn't be installed: no room") in net.a.told
    assert (net.a.inbound, net.b.inbound) == ({}, {})


def test_after_a_sleep_the_peer_is_asked_whether_it_is_there() -> None:
    net = pair()
    net.want(net.a).run(5.0)
    sent = len(net.b.sent)
    net.do(net.a, lambda desk: desk.woke()).run(1.0)
    assert len(net.b.sent) == sent + 1  # its answer
    net.ends.remove(net.b)
    net.do(net.a, lambda desk: desk.woke())
    net.run(30.0)
    assert (net.a.inbound, net.a.established) == ({}, 0)
    assert told(net.a, "peer-dead") == "the peer isn't there any more"


# --- reload -------------------------------------------------------------------------------------------------------


def test_a_policy_that_still_allows_it_leaves_all_as_it_is() -> None:
    net = pair()
    net.want(net.a).run(5.0)
    spis = set(net.a.inbound)
    child = replace(child_of_a(), rule="new name", name="another")
    net.reload(net.a, IkeConfig((peer_b(child, name="renamed", dpd=7.0, lifetime=Lifetime(9_000)),)))
    assert (set(net.a.inbound), net.a.established) == (spis, 1)
    assert net.a.desk.status()[0].peer == "renamed"
    net.do(net.a, lambda desk: desk.rekey({"net"})).run(5.0)
    assert net.agree(1)


@pytest.mark.parametrize(
    "changes",
    [
        {"shared_keys": (OTHER_KEY,)},
        {"remote_id": Identity.parse("c.example")},
        {"proposals": (replace(IKE_CBC, groups=(Group.ECP_256,)),)},
        {"remotes": (Selector.net("203.0.113.9/32").start,)},
        {"special": EXPOSED},
        {"versions": ()},
    ],
)
def test_a_policy_that_does_not_allow_it_ends_it(changes: dict[str, object]) -> None:
    net = pair()
    net.want(net.a).run(5.0)
    net.reload(net.a, IkeConfig((peer_b(**changes),)))
    assert (net.a.inbound, net.a.established) == ({}, 0)
    assert told(net.a, "ike-closed") == "the policy has changed"
    net.run(1.0)
    assert net.b.inbound == {}


@pytest.mark.parametrize("deleted", [False, True])
def test_what_is_wanted_right_behind_a_reload_is_had_by_the_new_rules(deleted: bool) -> None:
    """Though a peer that deletes its SAs is still answered for a while, by what was before."""
    net = pair()
    net.want(net.a).run(5.0)
    if deleted:
        net.do(net.b, lambda desk: desk.put_down_peer("a", "enough")).run(1.0)
    for end, peer in ((net.a, peer_b), (net.b, peer_a)):
        child = replace(end.core.config.peers[0].children[0], id="other", proposals=(ESP_CLASSIC,))
        net.reload(end, IkeConfig((peer(child, shared_keys=(OTHER_KEY,)),)))
    net.want(net.a, child="other").run(5.0)
    assert net.agree(1)
    assert net.a.desk.up("other")


def test_what_a_new_rule_opens_is_for_the_isakmp_sa_there_is() -> None:
    elsewhere = child_of_a("else", local=(THIRD,))
    net = pair()
    net.want(net.a).run(5.0)
    for end, old, new in (
        (net.a, peer_b(), peer_b(elsewhere, name="b2", dpd=9.0)),
        (net.b, peer_a(), peer_a(mirrored(elsewhere), name="a2", dpd=9.0)),
    ):
        net.reload(end, IkeConfig((old, new)))
    net.want(net.a, child="else").run(5.0)
    assert net.agree(2)
    assert net.a.established == 1


def test_a_call_goes_on_over_a_reload_unless_nobody_is_to_be_called() -> None:
    net = pair()
    net.want(net.a)
    net.reload(net.a, IkeConfig((peer_b(dpd=9.0),)))
    net.run(5.0)
    assert net.agree(1)
    net = pair()
    net.want(net.a)
    net.reload(net.a, IkeConfig((peer_b(shared_keys=(OTHER_KEY,)),)))
    net.run(5.0)
    assert (net.a.established, net.a.desk.pursued("net")) == (0, False)


# --- a network as it is -------------------------------------------------------------------------------------------


def test_messages_may_be_lost_doubled_and_overtake_each_other() -> None:
    link = Link(loss=0.2, duplication=0.1, delay=(0.01, 0.4))
    up = 0
    for seed in range(100):
        net = pair(seed=seed, link=link)
        net.want(net.a)
        up += net.run(60.0, until=lambda net=net: net.agree(1))  # type: ignore[misc]  # of this round
    assert up >= 98


def test_both_may_call_at_once() -> None:
    for seed in range(30):
        net = pair(seed=seed, link=Link(loss=0.1, duplication=0.1, delay=(0.01, 0.2)))
        net.want(net.a)
        net.want(net.b)
        net.run(150.0)
        assert net.a.desk.up("net"), seed
        assert net.b.desk.up("net"), seed
        assert {spi for spi, _ in net.a.outbound} <= set(net.b.inbound)
        assert {spi for spi, _ in net.b.outbound} <= set(net.a.inbound)


def test_integrity_of_a_proposal_is_of_no_matter_to_ikev1() -> None:
    net = pair(of_b=peer_a(proposals=(replace(IKE_CBC, integrity=(Integ.HMAC_SHA2_512_256,)),)))
    net.want(net.a).run(5.0)
    assert net.agree(1)


def test_no_message_is_sent_in_parts_where_a_rule_does_not_want_that() -> None:
    net = pair(peer_b(fragmentation=False))
    net.want(net.a).run(5.0)
    assert net.agree(1)
    assert [end.desk.status()[0].fragmentation for end in net.ends] == [True, False]


def test_what_can_not_be_installed_before_the_peer_goes_on_ends_when_it_does() -> None:
    net = pair()
    failed: list[bytes] = []

    def fail() -> bool:
        if not failed and (spis := net.b.desk.inbound_spis()):
            failed.extend(spis)
            net.do(net.b, lambda desk: desk.install_failed(failed[0], "no room"))
            assert net.b.told == []
        return bool(failed)

    net.want(net.a).run(5.0, until=fail)
    net.run(5.0)
    assert told(net.b, "install-failed") == "it couldn't be installed: the data plane couldn't take it"
    assert (net.a.inbound, net.b.inbound) == ({}, {})


def test_hosts_have_transport_mode_also_by_ipv6() -> None:
    for ours, theirs in (("192.0.2.1", "198.51.100.1"), ("2001:db8::1", "2001:db8::2")):
        here, there = Selector.net(ours), Selector.net(theirs)
        child = child_of_a(local=(here,), remote=(there,), transport=True)
        of_a = peer_b(child, local=here.start, remotes=(there.start,))
        of_b = peer_a(mirrored(child), local=there.start, remotes=(here.start,))
        net = Desks((ours, IkeConfig((of_a,))), (theirs, IkeConfig((of_b,))))
        net.want(net.a).run(5.0)
        assert net.agree(1)
        assert net.b.desk.status()[0].children[0].mode == "transport"


def test_of_what_the_peer_has_ended_in_a_message_that_was_lost_nothing_is_left_once_it_is_called_again() -> None:
    net = pair()
    net.want(net.a).run(5.0)
    told: list[bytes] = []

    def lose_the_first(end: End, data: bytes) -> bytes | None:
        if end is net.b and data[18] == Exchange.INFORMATIONAL:
            told.append(data)
            return None if len(told) == 1 else data
        return data

    net.alter = lose_the_first
    net.do(net.b, lambda desk: desk.put_down_peer("a", "enough")).run(0.5)
    assert (len(net.b.inbound), len(net.a.inbound), net.a.established) == (0, 1, 0)
    assert net.run(60.0, until=lambda: net.agree(1))
    assert net.a.events("child-rekeyed")
