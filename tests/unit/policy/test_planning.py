"""From a policy to its plan: who may negotiate what with whom."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ipsecd.errors import ConfigError
from ipsecd.policy.plan import (
    Action,
    AhEspProposal,
    AhProposal,
    Credential,
    Encapsulation,
    EspProposal,
    Fallback,
    IkeProposal,
    Lifetime,
    Plan,
    Settings,
)
from ipsecd.policy.planning import plan
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import Encr, Group, Integ, Prf
from ipsecd.wire.tfc import Tfc
from tests.unit.policy.texts import HOSTS, TUNNEL, load, planned, with_filters, with_rules

FILTER = "{source: 10.1.0.0/16, destination: 10.2.0.0/16}"
RULE = f"- name: r\n  filters: [{FILTER}]\n"

WHOLE = ((Encr.AES_GCM_16, 128), (Encr.AES_GCM_16, 256), (Encr.CHACHA20_POLY1305, None))
BARE = ((Encr.AES_CBC, 128), (Encr.AES_CBC, 256))
MACS = (Integ.HMAC_SHA2_256_128, Integ.HMAC_SHA2_384_192, Integ.HMAC_SHA2_512_256)
PRFS = (Prf.HMAC_SHA2_256, Prf.HMAC_SHA2_384, Prf.HMAC_SHA2_512)
GROUPS = (
    *(Group.CURVE25519, Group.ECP_256, Group.ECP_384, Group.ECP_521, Group.CURVE448),
    *(Group.MODP_2048, Group.MODP_3072, Group.MODP_4096),
)


def with_tunnel(tunnel: str, more: str = "") -> str:
    return with_rules(RULE + TUNNEL.replace("{local: 192.0.2.1, remote: 192.0.2.2}", tunnel) + more)


def test_no_assigned_policy_makes_an_empty_plan() -> None:
    assert planned("policies: {p: {rules: []}}") == Plan()
    assert planned("settings: {tun: vpn0}").settings == Settings(tun="vpn0")


def test_a_rule_becomes_a_peer_with_a_child_and_an_entry() -> None:
    plan = planned(with_filters(FILTER))
    [rule], [entry], [peer] = plan.rules, plan.entries, plan.peers
    [child] = peer.children
    assert (plan.policy, rule.name, rule.action_name, rule.action) == ("p", "r", "require-security", Action.PROTECT)
    assert (rule.peer, rule.children, rule.entries, rule.line) == ("r", ("r/1",), ("r/1",), 6)
    assert (entry.name, entry.rule, entry.action, entry.child, entry.line) == ("r/1", "r", Action.PROTECT, "r/1", 8)
    assert (entry.outbound, entry.inbound) == (True, True)
    assert [tuple(map(str, pair)) for pair in entry.pairs] == [("10.1.0.0/16", "10.2.0.0/16")]
    assert (child.name, child.rule, child.start) == ("r/1", "r", False)
    assert (tuple(map(str, child.local)), tuple(map(str, child.remote))) == (("10.1.0.0/16",), ("10.2.0.0/16",))
    assert (peer.name, peer.local, peer.remotes) == ("r", ip_address("192.0.2.1"), (ip_address("192.0.2.2"),))
    assert (peer.anywhere, peer.remote_name, peer.remote_port) == (False, "", 500)
    assert plan.credentials == (Credential("hq", file="hq.psk"),)
    assert (plan.ike_port, plan.natt_port, plan.cookie_threshold, plan.unresolved) == (500, 4500, 30, ())


def test_a_passthrough_is_the_entries_of_its_rule() -> None:
    own = "filter_actions: {own: {action: negotiate, inbound_passthrough: true}}\n"
    text = with_rules(RULE + TUNNEL.replace("require-security", "own"), own)
    assert [entry.passthrough for entry in planned(text).entries] == [True]
    assert [entry.passthrough for entry in planned(with_filters(FILTER)).entries] == [False]


def test_what_may_fall_back_is_said_of_entries_and_of_children() -> None:
    rule = RULE.replace("10.2.0.0/16", "192.0.2.2")
    own = "filter_actions: {own: {action: negotiate, fallback_to_clear: {after: 5, lifetime: 60}}}\n"
    for action, expected in (("own", Fallback(5.0, 60.0)), ("request-security", Fallback(3.0, 300.0))):
        found = planned(with_rules(rule + TUNNEL.replace("require-security", action), own))
        assert [entry.fallback for entry in found.entries] == [True]
        assert [child.fallback for peer in found.peers for child in peer.children] == [expected]
    found = planned(with_filters(FILTER))
    assert [entry.fallback for entry in found.entries] == [False]
    assert [child.fallback for peer in found.peers for child in peer.children] == [None]


def test_identities_are_the_ends_of_the_tunnel_unless_given() -> None:
    [peer] = planned(with_filters(FILTER)).peers
    assert (peer.local_id, peer.remote_id) == (Identity.parse("192.0.2.1"), Identity.parse("192.0.2.2"))
    [peer] = planned(with_tunnel("{local: both.example, remote: one.example}")).peers
    assert (peer.local_id, peer.remote_id) == (Identity.parse("fqdn:both.example"), Identity.parse("fqdn:one.example"))
    [peer] = planned(with_filters(FILTER, rule=TUNNEL + "  identity: {local: a@x.example, remote: 'keyid:7'}\n")).peers
    assert (peer.local_id, peer.remote_id) == (Identity.parse("a@x.example"), Identity.parse("keyid:7"))


@pytest.mark.parametrize(
    ("tunnel", "local", "remotes", "anywhere", "name"),
    [
        ("{remote: 192.0.2.2}", None, ["192.0.2.2"], False, ""),
        ("{local: any, remote: any}", None, [], True, ""),
        ("{local: 192.0.2.1, remote: any}", "192.0.2.1", [], True, ""),
        # of a name, the addresses that our end can reach
        ("{remote: both.example}", None, ["198.51.100.7", "198.51.100.8", "2001:db8::7"], False, "both.example"),
        ("{local: 192.0.2.1, remote: both.example}",
         "192.0.2.1", ["198.51.100.7", "198.51.100.8"], False, "both.example"),
        ("{local: '2001:db8::1', remote: both.example}", "2001:db8::1", ["2001:db8::7"], False, "both.example"),
        ("{local: both.example, remote: six.example}", "2001:db8::7", ["2001:db8::9"], False, "six.example"),
        ("{local: both.example, remote: any}", "198.51.100.7", [], True, ""),
        # without an address nothing may be negotiated, and it is told whose is missing
        ("{remote: none.example}", None, [], False, "none.example"),
        ("{local: 192.0.2.1, remote: none.example}", None, [], False, "none.example"),
        ("{local: 192.0.2.1, remote: six.example}", None, [], False, "six.example"),
        ("{local: none.example, remote: 192.0.2.2}", None, [], False, "none.example"),
        ("{local: none.example, remote: any}", None, [], False, "none.example"),
        ("{local: six.example, remote: one.example}", None, [], False, "six.example"),
    ],
)  # fmt: skip
def test_the_ends_of_a_tunnel_are_resolved(
    tunnel: str, local: str | None, remotes: list[str], anywhere: bool, name: str
) -> None:
    [peer] = planned(with_tunnel(tunnel, "  identity: {local: a.example, remote: b.example}\n")).peers
    assert peer.local == (None if local is None else ip_address(local))
    assert (peer.remotes, peer.anywhere, peer.remote_name) == (tuple(map(ip_address, remotes)), anywhere, name)


def test_names_without_an_address_are_told() -> None:
    plan = planned(
        with_rules(
            RULE + TUNNEL.replace("192.0.2.2", "none.example")
            + "- name: s\n  action: block\n  filters:\n"
            "    - {source: me, destination: gone.example}\n    - {source: me, destination: one.example}\n"
        )
    )  # fmt: skip
    assert plan.unresolved == ("none.example", "gone.example")
    assert [entry.name for entry in plan.entries] == ["s/2", "r/1"]


def test_rules_of_one_peer_share_it() -> None:
    plan = planned(
        with_rules(
            "".join(
                f"- name: {name}\n  filters: [{{source: 10.1.{number}.0/24, destination: 10.2.0.0/16}}]\n{tunnel}"
                for number, (name, tunnel) in enumerate(
                    {
                        "a": TUNNEL,
                        "b": TUNNEL + "  start: always\n",
                        "c": TUNNEL.replace("192.0.2.2", "192.0.2.3"),
                        "d": TUNNEL + "  identity: {remote: d.example}\n",
                        "e": TUNNEL + "  encapsulation: udp\n",
                        "f": TUNNEL.replace("192.0.2.2}", "192.0.2.2, remote_port: 5500}"),
                    }.items()
                )
            )
        )
    )
    assert {peer.name: tuple(child.name for child in peer.children) for peer in plan.peers} == {
        "a": ("a/1", "b/1"),
        "c": ("c/1",),
        "d": ("d/1",),
        "e": ("e/1",),
        "f": ("f/1",),
    }
    assert {rule.name: rule.peer for rule in plan.rules} == {"a": "a", "b": "a", "c": "c", "d": "d", "e": "e", "f": "f"}
    assert [child.start for child in plan.peers[0].children] == [False, True]
    assert plan.peers[3].encapsulation is Encapsulation.UDP
    assert plan.peers[4].remote_port == 5500


def test_each_filter_has_a_child_of_its_own_unless_the_rule_merges_them() -> None:
    filters = (
        "{source: 10.1.0.0/24, destination: 10.2.0.0/24, protocol: tcp, destination_port: 443}",
        "{source: 10.1.1.0/24, destination: 10.2.1.0/24}",
        "{source: 'fd01::/64', destination: 'fd02::/64'}",
        "{source: 10.1.1.0/24, destination: 10.3.0.0/24}",
    )
    plan = planned(with_filters(*filters))
    assert [child.name for child in plan.peers[0].children] == ["r/1", "r/2", "r/3", "r/4"]
    plan = planned(with_filters(*filters, rule=TUNNEL + "  children: merged\n"))
    [child] = plan.peers[0].children
    assert child.name == "r"
    assert [str(selector) for selector in child.local] == ["10.1.0.0/24[tcp]", "10.1.1.0/24", "fd01::/64"]
    assert [str(selector) for selector in child.remote] == [
        *("10.2.0.0/24[tcp/443]", "10.2.1.0/24", "fd02::/64", "10.3.0.0/24")
    ]
    assert {entry.name: entry.child for entry in plan.entries} == {f"r/{number}": "r" for number in (1, 2, 3, 4)}
    assert plan.rules[0].children == ("r",)


def test_a_filter_of_both_families_has_a_child_for_each() -> None:
    plan = planned(with_filters("{source: me, destination: any}"))
    assert {child.name: tuple(map(str, child.local)) for child in plan.peers[0].children} == {
        "r/1": ("192.0.2.1", "10.1.0.1"),
        "r/1-v6": ("2001:db8::1",),
    }
    assert [tuple(map(str, child.remote)) for child in plan.peers[0].children] == [("0.0.0.0/0",), ("::/0",)]


def test_a_rule_without_a_tunnel_is_what_the_peers_of_pairs_of_hosts_are_made_after() -> None:
    plan = planned(with_filters("{source: me, destination: 10.2.0.0/16, protocol: tcp}", rule=HOSTS))
    [rule], [entry], [peer] = plan.rules, plan.entries, plan.peers
    [child] = peer.children
    assert (peer.each, peer.responds, peer.local, peer.remotes, peer.anywhere) == (True, False, None, (), False)
    assert (peer.local_id, peer.remote_id, peer.shared_keys) == (None, None, ("hq",))
    assert (rule.peer, rule.children, entry.child, entry.each) == ("r", ("r/1",), "r/1", True)
    assert (tuple(map(str, child.local)), tuple(map(str, child.remote))) == (
        ("192.0.2.1[tcp]", "10.1.0.1[tcp]"),
        ("10.2.0.0/16[tcp]",),
    )
    assert [entry.each for entry in planned(with_filters(FILTER)).entries] == [False]


def test_without_a_tunnel_only_what_is_this_machines_may_be_negotiated_and_all_of_the_filter_is_covered() -> None:
    plan = planned(with_filters(FILTER, rule=HOSTS))
    assert {child.name: tuple(map(str, child.local)) for child in plan.peers[0].children} == {
        "r/1": ("10.1.0.1",),
        "r/1-back": (),
    }
    assert [tuple(map(str, child.remote)) for child in plan.peers[0].children] == [("10.2.0.0/16",), ("10.1.0.0/16",)]
    assert {entry.child: [tuple(map(str, pair)) for pair in entry.pairs] for entry in plan.entries} == {
        "r/1": [("10.1.0.0/16", "10.2.0.0/16")],
        "r/1-back": [("10.2.0.0/16", "10.1.0.0/16")],
    }


def test_nobody_negotiates_from_a_link_local_address_of_ipv6() -> None:
    plan = planned(with_filters("{source: me, destination: any}", rule=HOSTS), me=("fe80::1", "fd01::1", "169.254.0.1"))
    assert {child.name: tuple(map(str, child.local)) for child in plan.peers[0].children} == {
        "r/1": ("169.254.0.1",),
        "r/1-v6": ("fd01::1",),
    }
    assert [str(local) for entry in plan.entries for local, _ in entry.pairs] == ["169.254.0.1", "fe80::1", "fd01::1"]


def test_identities_given_without_a_tunnel_are_those_of_every_pair() -> None:
    identity = "  identity: {local: a.example, remote: b.example}\n"
    [peer] = planned(with_filters("{source: me, destination: any}", rule=HOSTS + identity)).peers
    assert (peer.local_id, peer.remote_id) == (Identity.parse("fqdn:a.example"), Identity.parse("fqdn:b.example"))


def test_rules_without_a_tunnel_share_a_peer_and_none_with_those_that_have_one() -> None:
    rules = (
        f"- name: {name}\n  filters: [{{source: me, destination: 10.{number}.0.0/16}}]\n{rest}"
        for number, (name, rest) in enumerate(
            {"a": HOSTS, "b": HOSTS, "c": TUNNEL, "d": HOSTS + "  identity: {remote: d.example}\n"}.items()
        )
    )
    plan = planned(with_rules("".join(rules)))
    assert {rule.name: rule.peer for rule in plan.rules} == {"a": "a", "b": "a", "c": "c", "d": "d"}


def test_a_machine_of_many_addresses_may_negotiate_from_each() -> None:
    """An SA of two hosts has one address on each side."""
    me = tuple(f"192.0.2.{number}" for number in range(1, 101))
    [peer] = planned(with_filters("{source: me, destination: 10.2.0.0/16}", rule=HOSTS), me=me).peers
    assert len(peer.children[0].local) == 100


MERGED = TUNNEL + "  children: merged\n"
TOO_MANY = "p.yaml:6:9: policies.p.rules.0: 65 selectors; one SA holds 64 (make it several rules)"


@pytest.mark.parametrize(
    "each",
    [
        "{{source: 10.1.{}.0/24, destination: 10.2.0.0/16}}",
        "{{source: me, destination: 10.1.{}.0/24}}",
        "{{source: 0.0.0.0/0, destination: any, protocol: tcp, destination_port: {}}}",
    ],
)
def test_an_sa_has_no_more_selectors_than_ike_can_carry(each: str) -> None:
    filters = [each.format(number) for number in range(1, 66)]
    with pytest.raises(ConfigError) as caught:
        load(with_filters(*filters, rule=MERGED).replace("assigned: p\n", "description: x\n"))
    assert str(caught.value) == TOO_MANY
    assert len(planned(with_filters(*filters)).rules[0].children) >= 65
    half = filters[:32]
    assert len(planned(with_filters(*half, rule=MERGED)).peers[0].children) == 1
    assert load(with_filters(*filters, rule=MERGED + "  enabled: false\n")).assigned is not None


def test_names_with_more_addresses_than_an_sa_can_carry_are_met_only_when_they_are_resolved() -> None:
    policy_file = load(with_filters("{source: me, destination: www.example}"))
    many = tuple(ip_address("198.51.100.1") + number for number in range(65))
    with pytest.raises(ConfigError) as caught:
        plan(policy_file, lambda _: many, (ip_address("10.1.0.1"),))
    assert str(caught.value) == TOO_MANY
    assert len(plan(policy_file, lambda _: many[:64], (ip_address("10.1.0.1"),)).peers[0].children[0].remote) == 64


def test_what_is_offered_without_saying_is_modern() -> None:
    [peer] = planned(with_filters(FILTER)).peers
    assert peer.proposals == (IkeProposal(WHOLE, (), PRFS, GROUPS), IkeProposal(BARE, MACS, PRFS, GROUPS))
    assert peer.children[0].proposals == (EspProposal(WHOLE, (), (), True), EspProposal(BARE, MACS, (), True))
    assert peer.lifetime == Lifetime(28800.0)
    assert peer.children[0].lifetime == Lifetime(3600.0)
    assert (peer.dpd, peer.fragmentation, peer.keylog, peer.encapsulation) == (30.0, True, False, Encapsulation.AUTO)


def test_what_is_said_is_offered_in_its_order() -> None:
    text = with_rules(
        RULE + TUNNEL.replace("require-security", "own"),
        """\
            key_exchange:
              proposals:
                - {encryption: [aes256gcm16, aes128gcm8], prf: prfsha384, groups: [ecp384, x448]}
                - {encryption: aes192ctr, integrity: sha1, prf: prfsha1, groups: [modp2048, ecp384]}
              lifetime: {seconds: 7200}
              dpd: 5
              fragmentation: false
              ports: {ike: 1500, nat_traversal: 14500}
              cookie_threshold: 0
            keylog: true
        settings: {esn: false, mtu: 1400, mark: 0x1, own_mark: 0x2, mask: 0xF, pmtu_age: 60, believe_icmp: []}
        filter_actions:
          own:
            action: negotiate
            security_methods:
              - {esp: {encryption: [chacha20poly1305, aes256gcm12]}}
              - {esp: {encryption: aes192, integrity: [sha512, sha1]}}
            lifetime: {seconds: 900, kilobytes: 100000, packets: 1000000}
            pfs: true
            df: set
            dscp: 46
        """,
    )
    plan = planned(text)
    [peer] = plan.peers
    assert peer.proposals == (
        IkeProposal(
            ((Encr.AES_GCM_16, 256), (Encr.AES_GCM_8, 128)), (), (Prf.HMAC_SHA2_384,), (Group.ECP_384, Group.CURVE448)
        ),
        IkeProposal(((Encr.AES_CTR, 192),), (Integ.HMAC_SHA1_96,), (Prf.HMAC_SHA1,), (Group.MODP_2048, Group.ECP_384)),
    )
    pfs = (Group.ECP_384, Group.CURVE448, Group.MODP_2048)
    assert peer.children[0].proposals == (
        EspProposal(((Encr.CHACHA20_POLY1305, None), (Encr.AES_GCM_12, 256)), (), pfs, False),
        EspProposal(((Encr.AES_CBC, 192),), (Integ.HMAC_SHA2_512_256, Integ.HMAC_SHA1_96), pfs, False),
    )
    assert peer.children[0].lifetime == Lifetime(900.0, 102_400_000, 1_000_000)
    assert (peer.lifetime, peer.dpd, peer.fragmentation, peer.keylog) == (Lifetime(7200.0), 5.0, False, True)
    assert (plan.ike_port, plan.natt_port, plan.cookie_threshold) == (1500, 14500, 0)
    assert (peer.children[0].df, peer.children[0].dscp) == ("set", 46)
    assert plan.settings == Settings(mtu=1400, mark=1, own_mark=2, mask=15, pmtu_age=60, believe_icmp=())


def test_the_outer_header_is_a_copy_of_the_inner_one_unless_something_is_said() -> None:
    [child] = planned(with_filters(FILTER)).peers[0].children
    assert (child.df, child.dscp) == ("copy", None)
    own = with_rules(
        RULE + TUNNEL.replace("require-security", "own"),
        "filter_actions: {own: {action: negotiate, df: clear, dscp: copy}}\n",
    )
    [child] = planned(own).peers[0].children
    assert (child.df, child.dscp) == ("clear", None)
    settings = planned(own).settings
    assert (settings.pmtu_age, settings.believe_icmp) == (600, ("packet-too-big",))


@pytest.mark.parametrize(
    ("tfc", "meant"),
    [
        ("{padding: mtu, dummies: 5}", Tfc(65_535, 5)),
        ("{padding: 1400}", Tfc(1_400, 0)),
        ("{dummies: 1000}", Tfc(0, 1_000)),
    ],
)
def test_a_child_hides_what_its_action_says(tfc: str, meant: Tfc) -> None:
    assert planned(with_filters(FILTER)).peers[0].children[0].tfc == Tfc()
    text = with_rules(
        RULE + TUNNEL.replace("require-security", "own"),
        f"filter_actions: {{own: {{action: negotiate, tfc: {tfc}}}}}\n",
    )
    assert planned(text).peers[0].children[0].tfc == meant


def test_the_sas_of_a_child_end_when_nothing_goes_by_them_if_its_action_says_so() -> None:
    assert planned(with_filters(FILTER)).peers[0].children[0].inactivity is None
    text = with_rules(
        RULE + TUNNEL.replace("require-security", "own"),
        "filter_actions: {own: {action: negotiate, inactivity: 300}}\n",
    )
    assert planned(text).peers[0].children[0].inactivity == 300


def test_pfs_may_name_its_groups() -> None:
    text = with_rules(
        RULE + TUNNEL.replace("require-security", "own"),
        "filter_actions: {own: {action: negotiate, pfs: [x25519, modp3072]}}\n",
    )
    [child] = planned(text).peers[0].children
    assert [proposal.groups for proposal in child.proposals] == [(Group.CURVE25519, Group.MODP_3072)] * 2


def test_a_security_method_may_have_a_lifetime_of_its_own() -> None:
    text = with_rules(
        RULE + TUNNEL.replace("require-security", "own"),
        "filter_actions: {own: {action: negotiate, lifetime: {seconds: 900}, security_methods: "
        "[{esp: {encryption: aes128gcm16}}, "
        "{esp: {encryption: aes256gcm16}, lifetime: {seconds: 60, kilobytes: 20480, packets: 5000}}]}}\n",
    )
    [child] = planned(text).peers[0].children
    assert child.lifetime == Lifetime(900.0)
    first, second = child.proposals
    assert isinstance(first, EspProposal)
    assert isinstance(second, EspProposal)
    assert (first.lifetime, second.lifetime) == (None, Lifetime(60.0, 20_971_520, 5_000))


def test_methods_of_ah_of_esp_and_of_both_stand_in_the_order_of_the_file() -> None:
    text = with_rules(
        RULE + TUNNEL.replace("require-security", "own"),
        "settings: {esn: false}\n"
        "filter_actions: {own: {action: negotiate, pfs: x25519, security_methods: "
        "[{ah: {integrity: sha256}, esp: {encryption: aes128, integrity: sha1}, lifetime: {seconds: 60}}, "
        "{ah: {integrity: [aes256gmac, md5]}, lifetime: {seconds: 70}}, "
        "{esp: {encryption: aes256gcm16}}]}}\n",
    )
    [child] = planned(text).peers[0].children
    groups = (Group.CURVE25519,)
    inside = EspProposal(((Encr.AES_CBC, 128),), (Integ.HMAC_SHA1_96,), groups, False, Lifetime(60.0))
    assert child.proposals == (
        AhEspProposal((Integ.HMAC_SHA2_256_128,), inside),
        AhProposal((Integ.AES_256_GMAC, Integ.HMAC_MD5_96), groups, False, Lifetime(70.0)),
        EspProposal(((Encr.AES_GCM_16, 256),), (), groups, False),
    )


@pytest.mark.parametrize(
    ("given", "sessions"), [("sessions: 3", 3), ("master_key_pfs: true", 1), ("sessions: 3, master_key_pfs: true", 1)]
)
def test_how_many_child_sas_an_ike_sa_makes(given: str, sessions: int) -> None:
    text = with_filters(FILTER).replace("  p:\n", f"  p:\n    key_exchange: {{{given}}}\n")
    assert [peer.sessions for peer in planned(text).peers] == [sessions]
    assert [peer.sessions for peer in planned(with_filters(FILTER)).peers] == [0]


def test_credentials_are_those_that_peers_use_and_say_where_keys_are() -> None:
    text = with_rules(RULE + TUNNEL.replace("[{psk: hq}]", "[{psk: b}, {psk: a}]")).replace(
        "{hq: {psk: {file: hq.psk}}}",
        "{a: {psk: {command: [/bin/pass, hq]}}, b: {psk: {systemd: hq-key}}, c: {psk: {file: c.psk}}}",
    )
    plan = planned(text)
    assert plan.peers[0].shared_keys == ("b", "a")
    assert plan.credentials == (Credential("b", systemd="hq-key"), Credential("a", command=("/bin/pass", "hq")))
    assert [credential.line for credential in plan.credentials] == [2, 2]


def test_a_rule_that_is_not_enabled_is_not_in_the_plan() -> None:
    assert planned(with_filters(FILTER, rule=TUNNEL + "  enabled: false\n")) == Plan(policy="p")


def test_shared_and_built_in_filter_lists_are_written_out() -> None:
    text = with_rules(
        "- {name: a, filter_list: all-icmp, action: permit}\n"
        "- {name: b, filter_list: nets, action: block}\n"
        "- {name: c, filter_list: all-ip, action: block}\n",
        "filter_lists: {nets: [{source: 10.1.0.0/16, destination: 10.2.0.0/16}]}\n",
    )
    plan = planned(text, me=("10.1.0.1", "fd01::1"))
    assert [(entry.name, entry.line, *map(str, entry.pairs[0])) for entry in plan.entries] == [
        ("a/1", 6, "10.1.0.1[icmp]", "0.0.0.0/0[icmp]"),
        ("b/1", 9, "10.1.0.0/16", "10.2.0.0/16"),
        ("c/1", 8, "10.1.0.1", "0.0.0.0/0"),
        ("a/2", 6, "fd01::1[icmpv6]", "::/0[icmpv6]"),
        ("c/1-v6", 8, "fd01::1", "::/0"),
    ]
    assert [rule.action for rule in plan.rules] == [Action.PERMIT, Action.BLOCK, Action.BLOCK]
    assert plan.peers == ()
    assert plan.credentials == ()


def test_a_default_action_of_block_stands_behind_all_entries() -> None:
    text = with_rules(
        "- {name: a, filters: [{source: any, destination: any}], action: permit}\n",
        "    default_action: block\nsettings: {}\n",
    )
    plan = planned(text)
    assert [(entry.name, entry.rule, entry.action.value, entry.line) for entry in plan.entries] == [
        ("a/1", "a", "permit", 6),
        ("a/1-v6", "a", "permit", 6),
        ("default-action", "", "block", 7),
        ("default-action-v6", "", "block", 7),
    ]
    assert [tuple(map(str, entry.pairs[0])) for entry in plan.entries[2:]] == [("0.0.0.0/0",) * 2, ("::/0",) * 2]
    assert all(entry.outbound and entry.inbound for entry in plan.entries)


def test_the_same_policy_makes_the_same_plan() -> None:
    text = with_filters("{source: me, destination: both.example}", FILTER)
    assert planned(text) == planned(text)
    assert planned(text, me=("10.1.0.1", "10.1.0.1")) == planned(text, me=("10.1.0.1",))
