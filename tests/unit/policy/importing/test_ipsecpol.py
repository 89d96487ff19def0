"""Command lines of ipsecpol and ipseccmd."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.policy.importing.imports import imported, mistakes, remarks, written

BRANCH = r"""
    rem the branch, as seen from its gateway
    ipseccmd -w REG -p "Branch:30" -r "Out" -f 10.1.*.*=10.2.0.0/255.255.0.0 -t 198.51.100.1 ^
             -n ESP[3DES,SHA]900S/100000K AH[SHA] -a PRESHARE:"a \"secret\" key" -1s 3DES-SHA-2 -1k 10Q/3600S
    ipseccmd -w REG -p "branch" -r "Back" -f 10.2.*.*=10.1.*.* -t 192.0.2.1 -n ESP[3DES,SHA]900S/100000K AH[SHA] -a p:"a \"secret\" key"
    IPSECCMD.EXE -w REG -p Branch -r Holes -f (0+192.0.2.53:53:UDP) [0:*+*:445:TCP] -lan -x
"""  # noqa: E501 - as it stands in a batch file


def test_two_rules_of_a_tunnel_become_one_and_all_else_keeps_its_meaning() -> None:
    assert written("ipsecpol", BRANCH) == (
        """\
assigned: branch

credentials:
  out: {psk: {file: secrets/out.psk}}

filter_actions:
  out:
    action: negotiate
    security_methods:
      - {esp: {encryption: 3des, integrity: sha1}, lifetime: {seconds: 900, kilobytes: 100000}}
      - {ah: {integrity: sha1}}

policies:
  branch:
    rules:
      - name: out
        filters:
          - {source: 10.1.0.0/16, destination: 10.2.0.0/16}
        action: out
        tunnel: {local: 192.0.2.1, remote: 198.51.100.1}
        authentication: [{psk: out}]
      - name: holes-permit
        filters:
          - {source: me, destination: 192.0.2.53, protocol: udp, destination_port: 53}
        action: permit
        connections: lan
      - name: holes-block
        filters:
          - {source: me, destination: any, protocol: tcp, destination_port: 445}
        action: block
        connections: lan
    key_exchange:
      versions: [ikev2, ikev1]
      proposals:
        - {encryption: 3des, integrity: sha1, prf: prfsha1, groups: modp1024}
      lifetime: {seconds: 3600}
      sessions: 10
"""
    )


def test_what_is_another_than_it_was_is_remarked_at_its_line() -> None:
    assert remarks("ipsecpol", BRANCH) == [
        "3:1: offers what is obsolete: 3des (kept as legacy; remove it where no peer needs it)",
        (
            "3:20: Windows of that time speaks IKEv1 alone: it is allowed, behind IKEv2 "
            "(take ikev1 away where all peers speak IKEv2)"
        ),
        "3:20: offers what is obsolete: 3des, modp1024 (kept as legacy; remove it where no peer needs it)",
        (
            "3:35: taken for the way out, to the peer 198.51.100.1, as it stands first (if 192.0.2.1 is the peer, "
            "exchange source and destination, and the tunnel's ends)"
        ),
        (
            "4:50: the pre-shared key isn't carried over: write it into secrets/out.psk, beside the policy file "
            "(nothing but the key, readable by its owner alone)"
        ),
        "5:32: joined with the rule of line 3: here one rule is for both directions",
    ]


def test_a_key_is_told_apart_from_others_and_repeated_nowhere() -> None:
    text = """
        ipseccmd -w REG -p p -r one -f 0+10.0.0.1 -a PRESHARE:"first key"
        ipseccmd -w REG -p p -r two -f 0+10.0.0.2 -a PRESHARE:"second key" K
        ipseccmd -w REG -p p -r three -f 0+10.0.0.3 -a PRESHARE:"first key" CERT:"C=US, O=Example, CN=Root CA"
    """
    found = imported("ipsecpol", text)
    assert found.tree["credentials"] == {
        "one": {"psk": {"file": "secrets/one.psk"}},
        "two": {"psk": {"file": "secrets/two.psk"}},
        "machine": {"kerberos": {}},
        "root-ca": {
            "certificate": {"chain": "tls/machine.pem", "key": "tls/machine.key", "authorities": ["tls/root-ca.pem"]}
        },
    }
    told = written("ipsecpol", text) + "\n".join(remarks("ipsecpol", text)) + repr(found)
    assert "authentication: [{psk: one}, {certificate: root-ca}]" in told
    assert "first" not in told
    assert "second" not in told


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ("-f 0+* -n PASS", {"filters": [{"source": "me", "destination": "any"}], "action": "permit"}),
        ("-f 0:137=*::UDP -n BLOCK", {"filters": [
            {"source": "me", "destination": "any", "protocol": "udp", "source_port": 137, "mirrored": False}
        ], "action": "block"}),
        ("-f www.example+10.9.0.0/16::47 -n PASS", {"filters": [
            {"source": "www.example", "destination": "10.9.0.0/16", "protocol": "gre"}
        ], "action": "permit"}),
        ("-f 0+* -n PASS -dialup", {"filters": [{"source": "me", "destination": "any"}], "action": "permit",
                                    "connections": "remote-access"}),
    ],
)  # fmt: skip
def test_filters_take_all_their_forms(options: str, rule: dict[str, object]) -> None:
    tree = imported("ipsecpol", f"ipsecpol -w REG -p p -r r {options}").tree
    assert tree["policies"] == {"p": {"rules": [{"name": "r", **rule}]}}


def test_soft_negotiation_and_inbound_passthrough_are_said_in_our_words() -> None:
    text = "ipsecpol -w REG -p p -r r -f 0+* -n INPASS ESP[DES,MD5] ESP[NONE,SHA]P1 -soft -1e 600 -1p"
    tree = imported("ipsecpol", text).tree
    assert tree["filter_actions"] == {
        "r": {
            "action": "negotiate",
            "security_methods": [
                {"esp": {"encryption": "des", "integrity": "md5"}},
                {"esp": {"encryption": "null", "integrity": "sha1"}},
            ],
            "pfs": "modp768",
            "inbound_passthrough": True,
            "fallback_to_clear": {"lifetime": 600},
        }
    }
    policy = {"rules": [{"name": "r", "filters": [{"source": "me", "destination": "any"}], "action": "r",
                         "authentication": [{"kerberos": "machine"}]}],
              "key_exchange": {"versions": ["ikev2", "ikev1"], "master_key_pfs": True}}  # fmt: skip
    assert tree["policies"] == {"p": policy}


def test_a_tunnel_without_its_way_back_is_carried_over_as_far_as_it_is_known() -> None:
    text = "ipsecpol -f 0=10.9.9.9 -t 192.0.2.99 -n ESP[DES,SHA]"
    tree = imported("ipsecpol", text).tree
    rule = {
        "name": "rule",
        "filters": [{"source": "me", "destination": "10.9.9.9", "mirrored": False}],
        "action": "dynamic-action",
        "tunnel": {"remote": "192.0.2.99"},
        "identity": {"local": "keyid:rule"},
        "authentication": [{"kerberos": "machine"}],
    }
    assert tree["policies"] == {"dynamic": {"rules": [rule], "key_exchange": {"versions": ["ikev2", "ikev1"]}}}
    advice = "write tunnel.local, our address, and take identity.local away"
    told = (
        "1:1: there is no rule for the way back of this tunnel, which would name our end: what isn't mirrored is "
        f"protected on its way out alone ({advice})"
    )
    assert told in remarks("ipsecpol", text)


def test_a_tunnel_for_what_comes_in_alone_keeps_its_direction_where_the_grammar_has_it() -> None:
    text = "ipsecpol -f 10.9.9.9=0 10.8.0.0/255.255.0.0=10.1.0.0/255.255.0.0 -t 192.0.2.99 -n ESP[DES,SHA]"
    tree: Any = imported("ipsecpol", text).tree
    (rule,) = tree["policies"]["dynamic"]["rules"]
    assert rule["tunnel"] == {"remote": "any", "local": "192.0.2.99"}
    assert rule["filters"] == [
        {"source": "10.9.9.9", "destination": "me", "mirrored": False},
        {"source": "10.1.0.0/16", "destination": "10.8.0.0/16"},
    ]


def test_the_default_response_has_the_methods_and_authentication_of_its_line() -> None:
    policies = imported("ipsecpol", "ipsecpol -w REG -p p -f default -n ESP[DES,SHA]300S -a K").tree["policies"]
    response = {
        "security_methods": [{"esp": {"encryption": "des", "integrity": "sha1"}, "lifetime": {"seconds": 300}}],
        "authentication": [{"kerberos": "machine"}],
    }
    exchange = {"versions": ["ikev2", "ikev1"]}
    assert policies == {"p": {"rules": [], "default_response": response, "key_exchange": exchange}}


def test_what_is_assigned_in_persistent_storage_becomes_persistent_rules() -> None:
    text = """
        ipseccmd -w PERS -p always -r ping -f 0+*::ICMP -n PASS
        ipseccmd -w PERS -p always -x
        ipseccmd -w REG -p p -r all -f 0+* -n BLOCK -x
    """
    ping = {"source": "me", "destination": "any", "protocol": "icmp"}
    every = {"source": "me", "destination": "any"}
    assert imported("ipsecpol", text).tree == {
        "assigned": "p",
        "policies": {"p": {"rules": [{"name": "all", "filters": [every], "action": "block"}]}},
        "persistent": {"rules": [{"name": "ping", "filters": [ping], "action": "permit"}]},
    }


def test_what_a_line_deletes_is_gone_and_a_policy_that_one_unassigns_stays() -> None:
    text = """
        ipseccmd -w REG -p old -r r -f 0+* -n PASS -x
        ipseccmd -w REG -p old -o
        ipseccmd -w REG -p new -r r -f 0+* -n PASS -x
        ipseccmd -w REG -p new -r s -f 0+10.0.0.1 -n PASS
        ipseccmd -w REG -p new -r R -o
        ipseccmd -w REG -p new -y
        ipseccmd show filters
    """
    tree = imported("ipsecpol", text).tree
    rule = {"name": "s", "filters": [{"source": "me", "destination": "10.0.0.1"}], "action": "permit"}
    assert tree == {"policies": {"new": {"rules": [rule]}}}


def test_every_mistake_is_named_at_once_with_its_place_and_a_hint() -> None:
    text = """\
        ipseccmd -w REG -r r -f 0+* -n PASS
        ipseccmd -p p -f 0-* -n ESP[FOO,SHA] ESP[none,none] AH -1s 3DES-SHA -1k often
        ipseccmd -p p -f 10.1.0.0/255.0.255.0+0:99999 -a PRESHRE:"my key" -t "my key" -q "my key
        something else
        ipseccmd -p p -f
    """
    assert mistakes("ipsecpol", text) == [
        "1:1: -w needs the policy's name (-p NAME)",
        "2:18: this isn't a filter (such as 10.1.0.0/255.255.0.0+10.2.0.0/255.255.0.0:80:TCP)",
        "2:25: 'FOO' isn't a cipher of Windows' (one of none, des, 3des, aes128, aes192, aes256)",
        "2:38: ESP[None,None] protects nothing (such as ESP[3DES,SHA]3600S/100000K)",
        "2:53: this isn't a security method (such as ESP[3DES,SHA]3600S/100000K)",
        "2:60: this isn't a key exchange method (such as 3DES-SHA-2)",
        "2:73: this isn't how often keys are renewed (such as 10Q/3600S)",
        "3:18: '255.0.255.0' isn't a mask of '10.1.0.0' (such as 255.255.0.0, or 16)",
        '3:50: this isn\'t an authentication method (KERBEROS, PRESHARE:"key" or CERT:"name of the authority")',
        "3:70: this can't be the end of a tunnel (an address or a DNS name)",
        (
            "3:79: there is no such option (-f, -n, -t, -a, -1s, -1k, -1f, -1e, -w, -p, -r, -1p, -soft, -confirm, "
            "-dialup, -lan, -x, -y, -o, -u, -?)"
        ),
        "3:82: a quotation mark that isn't closed (close it with \")",
        "4:1: this isn't a line of ipsecpol or ipseccmd (such as ipseccmd -f ...)",
        "5:15: -f needs a value",
    ]
