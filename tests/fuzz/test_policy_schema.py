"""What an editor is told of a policy file is what ipsecd says of it, but for rules that JSON schema can't say.

Whatever ``check`` accepts the schema accepts; whatever it refuses the schema refuses, unless each mistake is of those
rules.
"""

from __future__ import annotations

import copy
import json
import os
import re
from random import Random
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ipsecd.errors import ConfigError
from ipsecd.policy.load import load_policy
from ipsecd.policy.parsing import parse
from ipsecd.policy.schema import json_schema
from tests.fuzz.bending import GOOD, LATER, bend, places
from tests.unit.policy.texts import TUNNEL, with_filters, with_rules

SEED = int(os.environ.get("IPSECD_FUZZ_SEED", "1"))
FILES = 50_000 if os.environ.get("IPSECD_PROFILE") == "long" else 1_600
PARTS = 8
VALIDATOR = Draft202012Validator(json_schema())

RULE = "- {name: r, filter_list: all-ip, action: block}\n"


def own_filter(fields: str) -> str:
    return f"filter_lists: {{a: [{{{fields}}}]}}\n"


def by_ikev1(fields: str, *more: str, authentication: str = "[{psk: hq}]") -> str:
    """A gateway's rules that differ in what is the peer's identity, with these fields of IKEv1."""
    rules = "".join(
        f"- {{name: r{number}, filters: [{{source: any, destination: any}}], action: require-security, tunnel: "
        f"{{remote: any}}, identity: {{local: gw.example, remote: 'keyid:{number}'}}, "
        f"authentication: {authentication}, {each}}}\n"
        for number, each in enumerate((fields, *more))
    )
    certificates = "{own: {certificate: {chain: c, key: k}}, ca: {certificate: {authorities: [a]}}, hq:"
    text = with_rules(rules).replace("  p:\n", "  p:\n    key_exchange: {versions: [ikev1]}\n")
    return text.replace("{hq:", certificates)


def identified(identity: str) -> str:
    return with_filters("{source: me, destination: any}", rule=TUNNEL + f"  identity: {{remote: {identity}}}\n")


# What a rule says of a file, and a file that has nothing else against it and that the schema accepts.
INEXPRESSIBLE: dict[str, str] = {
    # names that stand elsewhere in the file
    r"there is no policy '": "assigned: p\n",
    r"there is no filter (list|action) '": with_rules(RULE.replace("all-ip", "x").replace("block", "permit")),
    r"there is no such credential": with_rules(
        "- name: r\n  filter_list: all-ip\n" + TUNNEL.replace("psk: hq", "psk: other")
    ),
    r"is another kind of credential": with_rules(
        "- name: r\n  filter_list: all-ip\n" + TUNNEL.replace("psk: hq", "kerberos: hq")
    ),
    r"another rule is called '": with_rules(RULE + RULE),
    r"is built in": "filter_actions: {permit: {action: permit}}\n",
    # what a filter action of the file does decides about a rule
    r"means nothing in a rule that is to (permit|block)": with_rules(
        "- {name: r, filter_list: all-ip, action: quiet, encapsulation: udp}\n",
        "filter_actions: {quiet: {action: block}}\n",
    ),
    r"to negotiate needs authentication": with_rules(
        "- {name: r, filter_list: all-ip, action: own}\n", "filter_actions: {own: {action: negotiate}}\n"
    ),
    r"a peer from anywhere must be known|our address isn't known here|nobody can call a peer whose": with_rules(
        "- {name: r, filter_list: all-ip, action: own, tunnel: {remote: any}, start: always, "
        "authentication: [{psk: hq}]}\n",
        "filter_actions: {own: {action: negotiate}}\n",
    ),
    # values that belong together
    r"the source is IPv\d, the destination IPv\d": own_filter("source: 10.0.0.1, destination: '::1'"),
    r"IPv[46] has another ICMP": own_filter("source: 10.0.0.1, destination: any, protocol: icmpv6"),
    r"can't reach each other: IPv4 and IPv6|both ends are the same": with_rules(
        "- name: r\n  filter_list: all-ip\n" + TUNNEL.replace("192.0.2.2", "192.0.2.1")
    ),
    r"IKE and NAT traversal need a port each": "policies: {p: {key_exchange: {ports: {ike: 4500}}}}\n",
    r"has bits outside the mask|our own packets would be steered too": "settings: {mark: 1, own_mark: 1, mask: 7}\n",
    r"the range \d+-\d+ is reversed": own_filter("source: me, destination: any, protocol: tcp, source_port: 9-8"),
    r"'\w+' stands here twice": "filter_actions: {a: {action: negotiate, pfs: [x25519, X25519]}}\n",
    # how many of something there are in different places
    r"selectors; one SA holds": with_filters(
        *(f"{{source: 10.1.{number}.0/24, destination: any}}" for number in range(65)),
        rule=TUNNEL + "  children: merged\n",
    ),
    r"\d+ filters; \d+ are allowed": with_rules(
        "".join(f"- {{name: r{number}, filter_list: big, action: block}}\n" for number in range(101)),
        own_filter("x").replace("a:", "big:").replace("{x}", ", ".join(["{source: me, destination: any}"] * 100)),
    ),
    # which certificates there are, and what IKEv1 has numbers for
    r"has no certificate of our own": by_ikev1("enabled: true", authentication="[{certificate: ca}]"),
    r"names no authority": by_ikev1("enabled: true", authentication="[{certificate: own}]"),
    r"IKEv1 has none of these": (
        "policies: {p: {key_exchange: {versions: [ikev1], proposals: [{encryption: aes128gcm16, groups: x25519}]}}}\n"
    ),
    # networks that belong together, or mustn't
    r"another pool of IPv": by_ikev1("mode_config: {pools: [10.3.0.0/24, 10.4.0.0/24]}"),
    r"has all traffic of .* on its far side": by_ikev1("mode_config: {pools: [10.3.0.0/24]}").replace(
        "destination: any", "destination: 10.4.0.0/16"
    ),
    r"two hosts could have the same address": by_ikev1(
        "mode_config: {pools: [10.3.0.0/24]}", "mode_config: {pools: [10.3.0.0/25]}"
    ),
    r"is for the same peer": by_ikev1("xauth: {users: u}", "xauth: {users: v}").replace("keyid:1", "keyid:0"),
    r"expected at most 256 octets": by_ikev1(f"xauth: {{user: {'é' * 129}, password: hq}}").replace(
        "remote: any}", "remote: gw.example}"
    ),
    # what makes text an address, a name or readable
    r"isn't an? (address|subnet|DNS name|netmask|prefix length)|has bits set behind its prefix|is reversed \(write|"
    r"begins in IPv|means nothing here|can't be the end of a tunnel|me may be several|no (other )?host has": own_filter(
        "source: me, destination: 10.1.0.5/16"
    ),
    r"is everyone, and|is no identity|is a pattern, and|is a subnet, and|isn't an e-mail address|ends with a dot|"
    r"is neither a domain name|has a scope|is nobody's address|isn't a country|has no value$|distinguished name|"
    r"starts like hexadecimal|an identity (has|needs)|isn't ASCII|isn't an object identifier|backslash": identified(
        "a..b"
    ),
    r"expected readable text": 'policies: {p: {description: "\\u202e"}}\n',
}
PATTERN = re.compile("|".join(f"(?:{rule})" for rule in INEXPRESSIBLE))


def mistakes(text: str) -> list[str]:
    try:
        load_policy(text, "p.yaml")
    except ConfigError as error:
        return [
            f"{mistake.message} ({mistake.hint})" if mistake.hint else mistake.message for mistake in error.mistakes
        ]
    return []


def objections(value: Any) -> list[str]:
    return [error.message[:300] for error in VALIDATOR.iter_errors(value)]


@pytest.mark.parametrize("rule", list(INEXPRESSIBLE))
def test_a_rule_that_json_schema_cannot_say_is_left_to_check(rule: str) -> None:
    text = INEXPRESSIBLE[rule]
    found = mistakes(text)
    assert found
    assert [mistake for mistake in found if not re.search(rule, mistake)] == []
    assert objections(parse(text, "p").value) == []


@pytest.mark.parametrize("part", range(PARTS))
def test_the_schema_and_check_agree(part: int) -> None:
    chance = Random(SEED * 1_000 + part)
    ends = {"good": 0, "refused by both": 0, "left to check": 0}
    for number in range(FILES // PARTS):
        tree = copy.deepcopy(chance.choice((*GOOD, *LATER)))
        for _ in range(chance.choice((0, 1, 1, 1, 2))):
            if isinstance(tree, dict | list) and list(places(tree)):
                bend(tree, chance)
        text = json.dumps(tree)
        found, said = mistakes(text), objections(tree)
        told = f"seed {SEED}, part {part}, number {number}:\n{text}\ncheck: {found}\nschema: {said}"
        if not found:
            assert not said, told
            ends["good"] += 1
        elif all(PATTERN.search(mistake) for mistake in found):
            ends["left to check" if not said else "refused by both"] += 1
        else:
            assert said, told
            ends["refused by both"] += 1
    assert min(ends.values()) > 0, ends
