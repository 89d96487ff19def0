"""What ``ipsecd check`` says of a file beyond its mistakes."""

from __future__ import annotations

import pytest

from ipsecd import limits
from ipsecd.policy.check import Verdict, check
from tests.unit.policy.texts import HOSTS, TUNNEL, blocks, with_rules


def lines(text: str) -> list[str]:
    verdict = check(text, "p.yaml")
    assert verdict.good
    return [line.removeprefix("p.yaml:") for line in verdict.lines()]


def two(first: str, second: str, actions: tuple[str, str] = ("permit", "block")) -> str:
    """Two rules of one filter each, in lines 6 and 7."""
    rule = "- {{name: {}, filters: [{{{}}}], action: {}}}\n"
    return with_rules(rule.format("a", first, actions[0]) + rule.format("b", second, actions[1])).replace(
        "credentials: {hq: {psk: {file: hq.psk}}}", "description: two"
    )


def test_a_file_with_mistakes_gets_its_mistakes_alone() -> None:
    verdict = check("assigned: x\nsettings: {mtu: 1}\n", "p.yaml")
    assert not verdict.good
    assert verdict.lines() == (
        "p.yaml:1:11: assigned: there is no policy 'x'",
        "p.yaml:2:17: settings.mtu: 1 is out of range (at least 1280)",
    )


def test_a_file_without_fault_gets_no_lines() -> None:
    assert lines(with_rules("- name: r\n  filters: [{source: me, destination: 10.2.0.0/16}]\n" + TUNNEL)) == []


def test_a_name_of_one_word_and_equal_identities_are_noted() -> None:
    text = """\
assigned: p
credentials: {hq: {psk: {file: hq.psk}}}
filter_lists: {hosts: [{source: me, destination: www}, {source: me, destination: www.}]}
policies:
  p:
    rules:
      - {name: a, filters: [{source: hq, destination: gateway}], action: block, enabled: false}
      - name: b
        filter_list: hosts
        action: require-security
        tunnel: {local: 192.0.2.1, remote: gw}
        identity: {remote: 192.0.2.1}
        authentication: [{psk: hq}]
      - name: c
        filter_list: hosts
        action: require-security
        tunnel: {remote: gw.example}
        identity: {local: GW.example}
        authentication: [{psk: hq}]
"""
    same = "both sides have the same identity: neither can tell the other from itself"
    gateway = "write gateway. if it is one; the set is default-gateway"
    assert [line for line in lines(text) if "line" not in line] == [
        "3:50: filter_lists.hosts.0.destination: 'www' is taken for a DNS name (write www. if it is one) [note]",
        "7:38: policies.p.rules.0.filters.0.source: 'hq' is taken for a DNS name (write hq. if it is one) [note]",
        f"7:55: policies.p.rules.0.filters.0.destination: 'gateway' is taken for a DNS name ({gateway}) [note]",
        "11:44: policies.p.rules.1.tunnel.remote: 'gw' is taken for a DNS name (write gw. if it is one) [note]",
        f"12:28: policies.p.rules.1.identity.remote: {same} [note]",
        f"18:27: policies.p.rules.2.identity.local: {same} [note]",
    ]


def test_a_far_side_that_holds_the_near_side_is_noted_unless_the_near_side_is_permitted() -> None:
    def rules(*more: str, far: str = "10.0.0.0/8") -> str:
        filters = f"[{{source: 10.1.0.0/24, destination: {far}}}]"
        first = f"- name: r\n  filters: {filters}\n" + TUNNEL
        return with_rules(first + "".join(f"- {{name: p{n}, {rule}}}\n" for n, rule in enumerate(more)))

    covers = "covers what 10.1.0.0/24 sends to itself too: its hosts and this machine don't reach each other"
    hint = "if it is behind this machine, a rule that permits 10.1.0.0/24 to 10.1.0.0/24 leaves that out"
    noted = [f"7:19: policies.p.rules.0.filters.0: {covers} ({hint}) [note]"]
    assert lines(rules()) == lines(rules(far="any")) == noted
    assert lines(rules(far="10.1.0.0/25")) == lines(rules(far="10.2.0.0/16")) == []
    among = "filters: [{source: 10.1.0.0/24, destination: 10.1.0.0/16}], action: permit"
    part = "filters: [{source: 10.1.0.0/25, destination: 10.1.0.0/24}], action: permit"
    icmp = "filters: [{source: 10.1.0.0/24, destination: 10.1.0.0/24, protocol: icmp}], action: permit"
    assert lines(rules(among)) == []
    assert lines(rules(part)) == lines(rules(icmp)) == noted


@pytest.mark.parametrize("each", ["10.0.0.0/8, destination: 10.0.0.0/8", "10.1.0.0/24, destination: any"])
def test_hosts_that_protect_what_they_send_each_other_are_what_a_rule_without_a_tunnel_is_for(each: str) -> None:
    assert lines(with_rules(f"- name: r\n  filters: [{{source: {each}}}]\n{HOSTS}")) == []


def test_an_identity_that_several_hosts_would_have_is_noted() -> None:
    def told(filters: str, identity: str) -> list[str]:
        return lines(with_rules(f"- name: r\n{filters}{HOSTS}  identity: {{{identity}}}\n"))

    same = "both sides have the same identity: neither can tell the other from itself"
    shared = "without a tunnel every host has to be this one: of two that call, the later takes the other's place"
    where, hint = "policies.p.rules.0.identity.remote", "leave it out: each is known by its address"
    everybody, one = "  filter_list: all-ip\n", "  filters: [{source: me, destination: 192.0.2.9}]\n"
    assert told(everybody, "remote: b.example") == [f"10:28: {where}: {shared} ({hint}) [note]"]
    assert told(everybody, "local: a.example") == told(one, "remote: b.example") == []
    assert told(one, "local: a.example, remote: a.example") == [f"10:46: {where}: {same} [note]"]


def test_what_is_obsolete_or_lets_in_cleartext_is_noted_wherever_it_stands() -> None:
    text = """\
credentials: {hq: {psk: {file: hq.psk}}}
filter_actions:
  own:
    action: negotiate
    security_methods: [{esp: {encryption: [aes128, 3des], integrity: [sha256, md5]}}, {ah: {integrity: md5}}]
    inbound_passthrough: true
  good: {action: negotiate, security_methods: [{esp: {encryption: aes128, integrity: sha1}}], fallback_to_clear: true}
policies:
  p:
    key_exchange: {proposals: [{encryption: des, integrity: sha1, prf: prfmd5, groups: [modp1536, modp1024]}]}
    default_response: {security_methods: [{esp: {encryption: 3des, integrity: sha1}}], authentication: [{psk: hq}]}
"""
    obsolete, hint = "offers what is broken or obsolete", "for peers that know nothing better, as long as there are any"
    passthrough = "what comes in clear is let in, from anybody and under any address that the rule covers"
    assert [line for line in lines(text) if "not supported yet" not in line and "used" not in line][1:] == [
        f"5:23: filter_actions.own.security_methods: {obsolete}: 3des, md5 ({hint}) [note]",
        f"6:26: filter_actions.own.inbound_passthrough: {passthrough} [note]",
        f"10:31: policies.p.key_exchange.proposals: {obsolete}: des, prfmd5, modp1536, modp1024 ({hint}) [note]",
        f"11:42: policies.p.default_response.security_methods: {obsolete}: 3des ({hint}) [note]",
    ]


def test_what_is_authenticated_and_not_encrypted_is_noted() -> None:
    text = """\
filter_actions:
  own:
    action: negotiate
    security_methods: [{esp: {encryption: [aes128gcm16, aes128gmac]}}, {esp: {encryption: "null", integrity: sha256}}]
policies: {}
"""
    told = "offers packets that are authenticated, not encrypted: aes128gmac, null"
    assert f"4:23: filter_actions.own.security_methods: {told} [note]" in lines(text)


@pytest.mark.parametrize("word", ["aes128gmac", '"null", integrity: sha256'])
def test_ike_has_to_be_encrypted(word: str) -> None:
    text = f"policies: {{p: {{key_exchange: {{proposals: [{{encryption: {word}, groups: x25519}}]}}}}}}\n"
    (mistake,) = check(text, "p.yaml").mistakes
    assert mistake.message.endswith("isn't a keyword for encryption in IKE")


@pytest.mark.parametrize(
    ("each", "said"),
    [
        ("{source: any, destination: 127.0.0.1}", "loopback"),
        ('{source: "::1", destination: any}', "loopback"),
        ("{source: 224.0.0.0/24, destination: any, mirrored: false}", "from such an address"),
        ("{source: any, destination: 224.0.0.0/24, mirrored: false}", ""),
        ("{source: any, destination: 224.0.0.251}", ""),
        ("{source: me, destination: 126.0.0.0-127.255.255.255}", ""),
    ],
)
def test_a_filter_that_covers_nothing_is_noted(each: str, said: str) -> None:
    loopback = "covers nothing: packets of the loopback never leave this machine, and pass whatever a filter says"
    one_way = "covers nothing: no packet comes from such an address, and the way back isn't covered"
    told = {"loopback": [loopback], "from such an address": [one_way], "": []}[said]
    text = with_rules(f"- {{name: r, filters: [{each}], action: block}}\n")
    assert [line.partition("filters.0: ")[2] for line in lines(text) if "hq" not in line] == [
        f"{one} [note]" for one in told
    ]


@pytest.mark.parametrize("many", ["224.0.0.251", "255.255.255.255", '"ff02::fb"'])
def test_to_protect_what_goes_to_many_is_noted(many: str) -> None:
    text = with_rules(f"- name: r\n  filters: [{{source: me, destination: {many}}}]\n{TUNNEL}")
    told = "what goes to many can't be protected, as an SA has one peer: unless it is exempt, it is dropped"
    assert lines(text) == [f"7:19: policies.p.rules.0.filters.0: {told} [note]"]


@pytest.mark.parametrize("action", ["permit", "block"])
def test_an_address_that_stands_for_one_of_ipv4_is_noted(action: str) -> None:
    text = with_rules(
        f'- {{name: r, filters: [{{source: me, destination: "::ffff:10.0.0.0/104"}}], action: {action}}}\n'
    )
    told = "covers nothing: no packet has such an address, which stands for one of IPv4: write that [note]"
    assert [line.partition("filters.0: ")[2] for line in lines(text) if "hq" not in line] == [told]


@pytest.mark.parametrize("filters", ['source: me, destination: "fe80::/10"', 'source: "fe80::9", destination: me'])
def test_to_protect_hosts_of_a_link_without_a_tunnel_is_noted(filters: str) -> None:
    text = with_rules(f"- name: r\n  filters: [{{{filters}}}]\n{TUNNEL}")
    assert lines(text) == []
    without = "\n".join(line for line in text.splitlines() if "tunnel:" not in line) + "\n"
    told = "without a tunnel nobody negotiates between link-local addresses: unless it is exempt, it is dropped"
    assert lines(without) == [f"7:19: policies.p.rules.0.filters.0: {told} [note]"]


@pytest.mark.parametrize(
    ("filters", "noted"),
    [
        ("source: me, destination: any", True),
        ("source: 192.0.2.1, destination: 192.0.2.0/24", True),
        ("source: me, destination: 192.0.2.3, protocol: udp", True),
        ("source: me, destination: 192.0.2.3, protocol: tcp", False),
        ("source: 10.1.0.0/16, destination: 192.0.2.0/24", False),  # our end isn't there
        ("source: me, destination: 10.0.0.0/8", False),
    ],
)
def test_the_end_of_a_tunnel_that_another_rule_protects_is_noted(filters: str, noted: bool) -> None:
    other = TUNNEL.replace("192.0.2.2", "192.0.2.3")
    text = with_rules(
        f"- name: all\n  filters: [{{{filters}}}]\n{TUNNEL}"
        f"- name: partner\n  filters: [{{source: 172.16.0.0/16, destination: 172.17.0.0/16}}]\n{other}"
    )
    told = (
        "the filter in line 7 of rule 'all' covers what goes there: IKE, ESP and AH of this tunnel are exempt from it"
    )
    said = [f"14:44: policies.p.rules.1.tunnel.remote: {told}, all else isn't [note]"]
    assert lines(text) == (said if noted else [])
    assert lines(text.replace("192.0.2.3}", "192.0.2.2}")) == []  # by the same tunnel


def test_only_a_few_policies_are_listed_to_choose_from() -> None:
    text = "policies: {" + ", ".join(f"p{number}: {{}}" for number in range(9)) + "}\n"
    assert lines(text) == ["1:1: no policy is assigned: nothing is protected [note]"]


@pytest.mark.parametrize(
    ("text", "said"), blocks("unsupported.txt"), ids=[said[0] for _, said in blocks("unsupported.txt")]
)
def test_what_is_not_supported_yet_is_noted_and_the_file_is_good(text: str, said: list[str]) -> None:
    verdict = check(text, "p.yaml")
    assert verdict.good
    assert [str(mistake).removeprefix("p.yaml:") for mistake in verdict.refused] == said
    told = {line.replace("not supported", "run refuses this: not supported") for line in said}
    assert {f"p.yaml:{line} [note]" for line in told} <= set(verdict.lines())


def test_what_other_policies_use_is_a_note_and_nothing_is_refused() -> None:
    text = """\
assigned: p
credentials: {m: {kerberos: {}}}
policies: {p: {}, q: {default_response: {authentication: [{kerberos: m}]}}}
"""
    assert check(text, "p.yaml").refused == ()
    assert lines(text) == ["3:59: policies.q.default_response.authentication.0: not supported yet: Kerberos [note]"]


def test_that_nothing_is_protected_is_noted() -> None:
    assert lines("policies: {p: {}, q: {}}\n") == [
        "1:1: no policy is assigned: nothing is protected (assigned: one of p, q) [note]"
    ]
    assert lines("policies: {}\n") == ["1:1: no policy is assigned: nothing is protected [note]"]


def test_sets_are_compared_with_themselves_alone() -> None:
    dns, gateway, host = (f"source: me, destination: {each}" for each in ("dns", "default-gateway", "192.0.2.1"))
    assert lines(two(dns, gateway)) == lines(two(dns, host)) == []
    assert len(lines(two(dns, dns))) == 1


def test_what_is_never_used_is_noted_at_its_name() -> None:
    text = """\
assigned: p
credentials:
  hq: {psk: {file: hq.psk}}
  old: {psk: {file: old.psk}}
  machine: {kerberos: {}}
filter_lists:
  web: [{source: me, destination: any, protocol: tcp, destination_port: 443}]
filter_actions:
  weak: {action: permit}
  used: {action: permit}
policies:
  p:
    rules:
      - {name: r, filter_list: all-ip, action: used}
    default_response: {active: false, authentication: [{kerberos: machine}]}
persistent:
  rules:
    - {name: s, filter_list: all-icmp, action: require-security, authentication: [{psk: hq}]}
"""
    assert [line for line in lines(text) if "never used" in line] == [
        "4:3: credentials.old: is never used [note]",
        "7:3: filter_lists.web: is never used [note]",
        "9:3: filter_actions.weak: is never used [note]",
    ]


def test_that_keys_are_kept_is_noted() -> None:
    assert lines("assigned: p\npolicies: {p: {keylog: true}}\n") == [
        "2:24: policies.p.keylog: keys are kept for export: whoever gets them reads the traffic [note]"
    ]


@pytest.mark.parametrize(
    ("exemptions", "said"),
    [
        ("level: 0", ["level"]),
        ("level: 1", []),
        ("level: 2", ["level"]),
        ("level: 2, kerberos: false", []),
        ("level: 1, kerberos: true", ["kerberos"]),
        ("multicast: true, broadcast: true, rsvp: true", []),
    ],
)
def test_that_port_88_opens_everything_is_noted_where_it_is_said(exemptions: str, said: list[str]) -> None:
    what = "whoever sends from port 88, TCP or UDP, reaches this machine past every rule"
    hint = "a rule that permits port 88 of the KDC alone opens less"
    found = [
        line.partition(": ")[2] for line in lines(f"assigned: p\npolicies: {{p: {{exemptions: {{{exemptions}}}}}}}\n")
    ]
    assert found == [f"policies.p.exemptions.{field}: {what} ({hint}) [note]" for field in said]


def test_what_keeps_a_machine_on_its_network_is_missed() -> None:
    text = "assigned: p\npolicies: {p: {exemptions: {neighbour_discovery: false, dhcp: false}}}\n"
    where, lost = "where a rule covers it, this machine", "and may fall off the network [note]"
    assert lines(text) == [
        f"2:50: policies.p.exemptions.neighbour_discovery: {where} finds no IPv6 neighbour and no router, {lost}",
        f"2:63: policies.p.exemptions.dhcp: {where} gets no address by DHCP, {lost}",
    ]


FIRST = "in line 6 of rule 'a'"
NETS = "source: 10.1.0.0/16, destination: 10.2.0.0/16"
BACK = "source: 10.2.0.0/16, destination: 10.1.0.0/16"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (NETS, NETS),
        (NETS, BACK),
        (f"{NETS}, protocol: tcp", f"{NETS}, protocol: 6, description: again"),
        ("source: me, destination: www.example", "source: me, destination: www.example"),
        ("source: me, destination: any", "source: any, destination: me"),
        (f"{NETS}, mirrored: false", f"{NETS}, mirrored: false"),
        ("source: 10.1.0.0/16, destination: 10.2.0.0-10.2.255.255", NETS),
    ],
)
def test_a_filter_that_covers_what_an_earlier_one_covers_is_noted_with_both_lines(first: str, second: str) -> None:
    said = (
        f"7:29: policies.p.rules.1.filters.0: never matches: the filter {FIRST} covers the same and comes first [note]"
    )
    assert lines(two(first, second)) == [said]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (NETS, "source: any, destination: 10.2.3.4"),
        (f"{NETS}, mirrored: false", "source: any, destination: 10.2.3.4, mirrored: false"),
        ("source: me, destination: any, protocol: tcp, source_port: 5",
         "source: me, destination: any, protocol: tcp, destination_port: 5"),
        ("source: any, destination: www.example", "source: me, destination: any"),
    ],
)  # fmt: skip
def test_filters_that_are_equally_specific_and_overlap_are_noted_with_both_lines(first: str, second: str) -> None:
    how = "comes first and wins where both match"
    said = f"7:29: policies.p.rules.1.filters.0: is as specific as the filter {FIRST}, which {how} [note]"
    assert lines(two(first, second)) == [said]


@pytest.mark.parametrize(
    ("first", "second", "actions"),
    [
        # equally specific, and nothing in common
        (NETS, "source: 10.1.0.0/16, destination: 10.3.0.0/16", ("permit", "block")),
        (f"{NETS}, protocol: tcp", f"{NETS}, protocol: udp", ("permit", "block")),
        ("source: me, destination: one.example", "source: me, destination: two.example", ("permit", "block")),
        # a name may be anything: nothing is claimed
        (
            "source: a.example, destination: 10.2.0.0/16",
            "source: 10.1.0.1, destination: 10.2.0.0/16",
            ("permit", "block"),
        ),
        # one is inside the other, which is what order is for
        (NETS, "source: 10.1.0.0/16, destination: 10.2.0.0/24", ("permit", "block")),
        (NETS, f"{NETS}, mirrored: false", ("permit", "block")),
        (f"{NETS}, mirrored: false", NETS, ("permit", "block")),
        # the outcome is the same
        (NETS, "source: any, destination: 10.2.3.4", ("block", "block")),
        # one way each
        (f"{NETS}, mirrored: false", f"{BACK}, mirrored: false", ("permit", "block")),
    ],
)
def test_filters_that_do_not_compete_are_not_noted(first: str, second: str, actions: tuple[str, str]) -> None:
    assert lines(two(first, second, actions)) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("source: me, destination: 10.2.0.0/16", "source: 10.1.0.1, destination: 10.2.0.0/16"),
        ("source: 10.1.0.1, destination: 10.2.0.0/16", "source: me, destination: 10.2.0.0/16"),
        ("source: 10.1.0.1, destination: www.example", "source: www.example, destination: me"),
        (
            "source: me, destination: 10.2.0.0/16, mirrored: false",
            "source: 10.1.0.1, destination: 10.2.0.0-10.2.255.255, mirrored: false",
        ),
    ],
)
def test_me_against_an_address_is_noted_as_it_may_be_the_same(first: str, second: str) -> None:
    how = "which comes first and wins where both match, if 10.1.0.1 is this machine's"
    said = f"7:29: policies.p.rules.1.filters.0: is as specific as the filter {FIRST}, {how} [note]"
    assert lines(two(first, second)) == [said]
    assert lines(two(first, second, ("block", "block"))) == []
    assert lines(two(first + ", protocol: tcp", second)) == []


@pytest.mark.parametrize(
    ("filters", "lines_of_a"),
    [
        # two halves
        (["source: 10.1.0.0/17, destination: 10.2.0.0/16", "source: 10.1.128.0/17, destination: 10.2.0.0/16", NETS],
         "in line 6 of rule 'r0' and in line 7 of rule 'r1'"),
        # a way each
        ([f"{NETS}, mirrored: false", f"{BACK}, mirrored: false", NETS],
         "in line 6 of rule 'r0' and in line 7 of rule 'r1'"),
        # four parts, one of which isn't needed
        (["source: 10.1.0.0/18, destination: 10.2.0.0/16", "source: 10.1.64.0-10.1.99.255, destination: 10.2.0.0/16",
          "source: 10.1.100.0-10.1.255.255, destination: 10.2.0.0/17",
          "source: 10.1.100.0-10.1.255.255, destination: 10.2.128.0/17",
          "source: 10.1.0.0/20, destination: 10.2.0.0/20", NETS],
         "in line 6 of rule 'r0', in line 7 of rule 'r1', in line 8 of rule 'r2' and others"),
        # ports
        ([f"{NETS}, protocol: tcp, destination_port: 1-100", f"{NETS}, protocol: tcp, destination_port: 101-200",
          f"{NETS}, protocol: tcp, destination_port: 1-200"],
         "in line 6 of rule 'r0' and in line 7 of rule 'r1'"),
    ],
)  # fmt: skip
def test_a_filter_that_several_cover_together_is_noted_with_their_lines(filters: list[str], lines_of_a: str) -> None:
    rules = [f"- {{name: r{n}, filters: [{{{each}}}], action: block}}\n" for n, each in enumerate(filters)]
    said = [line for line in lines(with_rules("".join(rules))) if "hq" not in line]
    last = len(filters) - 1
    never = f"never matches: the filters {lines_of_a} cover all of it and come first"
    assert said == [f"{6 + last}:30: policies.p.rules.{last}.filters.0: {never} [note]"]


@pytest.mark.parametrize(
    "filters",
    [
        # something is left: an address, a direction, port 0 and what shows no ports
        ["source: 10.1.0.0/17, destination: 10.2.0.0/16",
         "source: 10.1.128.0-10.1.255.254, destination: 10.2.0.0/16", NETS],
        [f"{NETS}, mirrored: false", NETS],
        [f"{NETS}, protocol: tcp, destination_port: 1-65535", f"{NETS}, protocol: tcp"],
        ["source: me, destination: 10.2.0.0/17", "source: 10.1.0.1, destination: 10.2.128.0/17",
         "source: me, destination: 10.2.0.0/16"],
    ],
)  # fmt: skip
def test_a_filter_of_which_something_is_left_is_not_noted(filters: list[str]) -> None:
    rules = [f"- {{name: r{n}, filters: [{{{each}}}], action: block}}\n" for n, each in enumerate(filters)]
    assert [line for line in lines(with_rules("".join(rules))) if "hq" not in line] == []


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        (NETS, "source: any, destination: any, protocol: tcp, destination_port: 445", "fewer addresses"),
        ("source: me, destination: 10.2.0.0/16", "source: any, destination: 10.2.0.5", "fewer addresses"),
        ("source: me, destination: 10.2.0.0/16", "source: me, destination: any, protocol: icmp", "fewer addresses"),
        (f"{NETS}, protocol: tcp, source_port: 1-10", f"{NETS}, protocol: tcp, destination_port: 80-99", "fewer ports"),
        (
            f"{NETS}, protocol: tcp, mirrored: false",
            "source: any, destination: 10.2.3.4",
            "a named protocol before any",
        ),
    ],
)
def test_filters_that_cross_are_noted_at_the_one_that_comes_behind(first: str, second: str, why: str) -> None:
    how = f"where both match, the filter {FIRST} decides: {why}"
    assert lines(two(first, second)) == [f"7:29: policies.p.rules.1.filters.0: {how} [note]"]
    assert lines(two(first, second, ("block", "block"))) == []


def test_a_filter_that_many_cross_is_noted_once() -> None:
    rules = [f"- {{name: r{n}, filters: [{{source: 10.1.0.0/16, destination: 10.{n}.0.0/16}}], action: permit}}\n"
             for n in range(2, 8)]  # fmt: skip
    rules.append("- {name: smb, filters: [{source: any, destination: any, protocol: tcp}], action: block}\n")
    named = "in line 6 of rule 'r2', in line 7 of rule 'r3', in line 8 of rule 'r4' and others"
    assert [line.partition("filters.0: ")[2] for line in lines(with_rules("".join(rules))) if "hq" not in line] == [
        f"where others match too, the filters {named} decide, as they come first [note]"
    ]


def test_filters_of_one_line_that_cross_another_are_named_once() -> None:
    sites = ", ".join(f"{{source: 10.1.0.0/16, destination: 10.{n}.0.0/16}}" for n in (2, 3))
    rules = f"- {{name: sites, filters: [{sites}], action: permit}}\n"
    rules += "- {name: smb, filters: [{source: any, destination: any, protocol: tcp}], action: block}\n"
    assert [line.partition("filters.0: ")[2] for line in lines(with_rules(rules)) if "hq" not in line] == [
        "where others match too, the filters in line 6 of rule 'sites' decide, as they come first [note]"
    ]


def test_persistent_rules_come_before_a_policys() -> None:
    def said(kept: str, each: str) -> list[str]:
        text = with_rules(f"- {{name: r, filters: [{{{each}}}], action: block}}\n")
        text += f"persistent: {{rules: [{{name: k, filters: [{{{kept}}}], action: permit}}]}}\n"
        return [line for line in lines(text) if "hq" not in line]

    kept = "the filter in line 7 of rule 'persistent:k'"
    where = "6:29: policies.p.rules.0.filters.0"
    assert said(NETS, NETS) == [f"{where}: never matches: {kept} covers the same and comes first [note]"]
    assert said(f"{NETS}, mirrored: false", "source: any, destination: 10.2.3.4") == [
        f"{where}: where both match, {kept} decides: persistent rules come first [note]"
    ]
    assert said(NETS, "source: any, destination: 10.0.0.0/8") == []


def test_of_a_shared_list_the_filter_that_never_matches_is_named() -> None:
    text = with_rules(
        f"- {{name: a, filters: [{{{NETS}}}], action: permit}}\n- {{name: b, filter_list: nets, action: block}}\n",
        f"filter_lists: {{nets: [{{source: 10.3.0.0/16, destination: 10.2.0.0/16}}, {{{NETS}}}]}}\n",
    )
    never = f"its filter 2 never matches: the filter {FIRST} covers the same and comes first"
    assert [line.partition("filter_list: ")[2] for line in lines(text) if "hq" not in line] == [f"{never} [note]"]


def test_within_a_rule_a_filter_that_never_matches_is_noted_and_an_overlap_is_not() -> None:
    filters = f"{{{NETS}}}, {{source: any, destination: 10.2.3.4}}, {{{BACK}}}"
    rule = f"- {{name: r, action: block, filters: [{filters}]}}\n"
    assert [line.partition(" covers")[0] for line in lines(with_rules(rule)) if "hq" not in line] == [
        "6:131: policies.p.rules.0.filters.2: never matches: the filter in line 6"
    ]


def test_a_clash_of_a_shared_filter_list_is_noted_where_the_list_is_used() -> None:
    text = with_rules(
        "- {name: a, filter_list: nets, action: permit}\n- {name: b, filter_list: nets, action: block}\n",
        "filter_lists: {nets: [{source: 10.1.0.0/16, destination: 10.2.0.0/16}]}\n",
    )
    where = "7:32: policies.p.rules.1.filter_list"
    said = f"{where}: never matches: the filter {FIRST} covers the same and comes first [note]"
    assert [line for line in lines(text) if "hq" not in line] == [said]


def test_two_tunnels_for_overlapping_traffic_are_noted() -> None:
    text = with_rules(
        f"- name: a\n  filters: [{{{NETS}}}]\n{TUNNEL}- name: b\n"
        f"  filters: [{{source: 0.0.0.0/0, destination: 10.2.3.4}}]\n{TUNNEL.replace('192.0.2.2', '192.0.2.3')}"
    )
    assert len(lines(text)) == 1


def test_a_filter_of_which_a_part_still_matches_is_not_said_to_never_match() -> None:
    """The second filter is of both families; the first covers all of one."""
    [said] = lines(two("source: 0.0.0.0/0, destination: any", "source: any, destination: any"))
    how = "comes first and wins where both match"
    assert said == f"7:29: policies.p.rules.1.filters.0: is as specific as the filter {FIRST}, which {how} [note]"
    assert lines(two("source: 0.0.0.0/0, destination: any", "source: any, destination: any", ("block", "block"))) == []


def test_of_several_filters_that_come_first_the_first_is_named() -> None:
    rule = "- {{name: {}, filters: [{{{}}}], action: {}}}\n"
    text = with_rules(
        rule.format("a", NETS, "block")
        + rule.format("b", "source: any, destination: 10.2.3.4", "permit")
        + rule.format("c", "source: 10.1.2.3, destination: any", "block")
    )
    said = [line.partition(":")[2] for line in lines(text) if "hq" not in line]
    how = "which comes first and wins where both match [note]"
    assert [line.partition("filters.0: ")[2] for line in said] == [
        f"is as specific as the filter in line 6 of rule 'a', {how}",
        f"is as specific as the filter in line 7 of rule 'b', {how}",
    ]


def test_notes_are_bounded_and_in_file_order() -> None:
    text = "policies: {}\ncredentials:\n" + "".join(f"  c{number}: {{psk: {{file: f}}}}\n" for number in range(200))
    verdict = check(text, "p.yaml")
    assert len(verdict.lines()) == limits.MAX_MISTAKES + 1
    assert verdict.lines()[-1] == "p.yaml:102:3: 101 more notes from here on [note]"
    assert verdict.lines()[:3] == (
        "p.yaml:1:1: no policy is assigned: nothing is protected [note]",
        "p.yaml:3:3: credentials.c0: is never used [note]",
        "p.yaml:4:3: credentials.c1: is never used [note]",
    )


def test_an_empty_verdict_is_a_good_one() -> None:
    assert Verdict().good
    assert Verdict().lines() == ()
