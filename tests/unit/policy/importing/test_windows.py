"""The objects of a Windows policy store, those of a real domain controller first."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ipsecd.policy.check import check
from ipsecd.policy.importing.formats import format_of
from ipsecd.policy.writing import to_yaml
from tests.unit.crypto.vectors import FOLDER
from tests.unit.policy.importing.imports import imported, mistakes, remarks

PREDEFINED = (FOLDER / "windows-2000-policies.json").read_text()
ALL_IP = {"name": "All IP", "filters": [{"source": "me", "destination": "any", "mirrored": True}]}


def store(**rule: Any) -> str:
    """A store of one policy with one rule."""
    whole = {"filter_action": {"name": "A", "action": "permit"}, "filter_list": ALL_IP, **rule}
    return json.dumps({"policies": [{"name": "p", "rules": [whole]}]})


def rule_of(**rule: Any) -> Any:
    tree: Any = imported("windows", store(**rule)).tree
    return tree["policies"]["p"]["rules"][0]


def test_the_predefined_policies_are_what_the_manuals_say() -> None:
    tree: Any = imported("windows", PREDEFINED).tree
    assert list(tree["policies"]) == [
        "client-respond-only",
        "server-request-security",
        "secure-server-require-security",
    ]
    assert tree["policies"]["client-respond-only"]["rules"] == []
    for policy in tree["policies"].values():
        assert policy["default_response"]["authentication"] == [{"kerberos": "machine"}]
        assert policy["default_response"]["security_methods"][-1] == {"ah": {"integrity": "md5"}}
        assert policy["key_exchange"] == {
            "versions": ["ikev2", "ikev1"],
            "proposals": [
                {"encryption": "3des", "integrity": "sha1", "prf": "prfsha1", "groups": "modp1024"},
                {"encryption": "3des", "integrity": "md5", "prf": "prfmd5", "groups": "modp1024"},
                {"encryption": "des", "integrity": "sha1", "prf": "prfsha1", "groups": "modp768"},
                {"encryption": "des", "integrity": "md5", "prf": "prfmd5", "groups": "modp768"},
            ],
        }
    assert tree["policies"]["server-request-security"]["rules"] == [
        {
            "name": "permit-unsecure-icmp-packets-to-pass-through",
            "action": "permit",
            "filter_list": "all-icmp-traffic",
        },
        {
            "name": "request-security-optional-rule",
            "action": "request-security-optional",
            "filter_list": "all-ip-traffic",
            "authentication": [{"kerberos": "machine"}],
        },
    ]
    assert tree["filter_lists"] == {
        "all-icmp-traffic": [{"source": "me", "destination": "any", "protocol": "icmp"}],
        "all-ip-traffic": [{"source": "me", "destination": "any"}],
    }


def test_the_predefined_actions_keep_their_methods_lifetimes_and_laxity() -> None:
    tree: Any = imported("windows", PREDEFINED).tree
    request, require = tree["filter_actions"].values()
    assert list(tree["filter_actions"]) == ["request-security-optional", "require-security-2"]  # that name is built in
    lifetime = {"seconds": 900, "kilobytes": 100_000}
    short = {"seconds": 300, "kilobytes": 100_000}
    assert request["security_methods"] == [
        {"esp": {"encryption": "3des", "integrity": "sha1"}, "lifetime": lifetime},
        {"esp": {"encryption": "des", "integrity": "sha1"}, "lifetime": lifetime},
        {"ah": {"integrity": "sha1"}, "lifetime": short},
        {"ah": {"integrity": "md5"}, "lifetime": short},
    ]
    assert (request["inbound_passthrough"], request["fallback_to_clear"]) == (True, True)
    assert require["lifetime"] == lifetime
    assert (require["inbound_passthrough"], "fallback_to_clear" in require) == (True, False)


def test_nothing_of_the_predefined_policies_is_lost_but_names_and_old_age_is_told() -> None:
    told = {line.partition(": ")[2].partition("is called")[0] for line in remarks("windows", PREDEFINED)}
    assert {line for line in told if "'" not in line} == {
        (
            "Windows of that time speaks IKEv1 alone: it is allowed, behind IKEv2 (take ikev1 away where all peers "
            "speak IKEv2)"
        ),
        *(
            f"offers what is obsolete: {words} (kept as legacy; remove it where no peer needs it)"
            for words in ("3des, modp1024, md5, des, modp768", "3des, md5, des", "3des, des, md5")
        ),
    }


def test_the_format_is_known_by_its_content() -> None:
    assert format_of(PREDEFINED) == "windows"
    assert format_of("rem x\n  netsh ipsec static add policy p") == "netsh"
    assert format_of("pushd ipsec static\nadd policy p") == "netsh"
    assert format_of("add filterlist name=l") == "netsh"
    assert format_of("c:\\tools\\IPSECCMD.EXE -f 0+*") == "ipsecpol"
    assert format_of("policies: {}") == "yaml"
    assert format_of('{"policies": {}}') == "yaml"
    assert format_of("{\n assigned: p, policies: {}}") == "yaml"
    assert format_of("# ours\nassigned : p") == "yaml"
    assert format_of("") == ""
    assert format_of("hello") == ""


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"connection_type": "lan"}, {"connections": "lan"}),
        ({"connection_type": 0xFFFF_FFFF}, {"connections": "remote-access"}),
        ({"connection_type": 0xFFFF_FFFD}, {}),
        ({"active": False}, {"enabled": False}),
        ({"name": "Über alles", "description": "x"}, {"name": "ber-alles", "description": "x"}),
    ],
)
def test_what_a_rule_says_is_carried_over(given: dict[str, Any], made: dict[str, Any]) -> None:
    assert rule_of(**given) == {"name": "all-ip", "filter_list": "all-ip-2", "action": "permit"} | made


@pytest.mark.parametrize(
    ("special", "sides"), [(1, ("dns", "any")), (0x84, ("me", "default-gateway")), (0x82, ("me", "wins"))]
)
def test_special_filters_name_the_servers_of_the_machine(special: int, sides: tuple[str, str]) -> None:
    """[MS-GPIPSEC] 2.2.1.5.1, Legacy-Special-Filter."""
    filters = [{"source": "me", "destination": "any", "special": special, "mirrored": True}]
    tree: Any = imported("windows", store(filter_list={"name": "l", "filters": filters})).tree
    assert tree["filter_lists"] == {"l": [{"source": sides[0], "destination": sides[1]}]}


def test_a_tunnel_of_two_rules_with_keys_and_authorities() -> None:
    def one(name: str, source: str, destination: str, end: str) -> dict[str, Any]:
        each = {"source": source, "destination": destination, "mirrored": False, "tunnel": True}
        return {
            "name": name,
            "is_tunnel": True,
            "tunnel_endpoint": end,
            "auth_methods": [{"psk": "a secret key"}, {"certificate": "CN=Root, O=Example"}],
            "filter_list": {"name": f"{name} list", "filters": [each]},
            "filter_action": {
                "name": "Secure",
                "action": "negotiate",
                "security_methods": [
                    {"algorithms": [{"protocol": "AH", "hash": "SHA1"},
                                    {"protocol": "ESP", "encryption": "3DES", "integrity": "MD5"}], "pfs_field": 1}
                ],
            },
        }  # fmt: skip

    rules = [
        one("in", "10.2.0.0/16", "me", "192.0.2.1"),
        one("out", "me", "10.2.0.0/255.255.0.0", "198.51.100.1"),
    ]
    text = json.dumps({"policies": [{"name": "p", "assigned": True, "rules": rules}]})
    found = imported("windows", text)
    assert to_yaml(found.tree) == (
        """\
assigned: p

credentials:
  out: {psk: {file: secrets/out.psk}}
  root: {certificate: {chain: tls/machine.pem, key: tls/machine.key, authorities: [tls/root.pem]}}

filter_actions:
  secure:
    action: negotiate
    security_methods:
      - {esp: {encryption: 3des, integrity: md5}, ah: {integrity: sha1}}
    pfs: true

policies:
  p:
    rules:
      - name: out
        filters:
          - {source: me, destination: 10.2.0.0/16}
        action: secure
        tunnel: {local: 192.0.2.1, remote: 198.51.100.1}
        authentication: [{psk: out}, {certificate: root}]
    key_exchange: {versions: [ikev1]}
"""
    )
    by_ikev1 = "and so does this policy: by IKEv2 certificates aren't supported yet"
    assert [str(each) for each in found.remarks if by_ikev1 in str(each)] == [
        f"f:1:24: Windows of that time speaks IKEv1 alone, {by_ikev1} (with pre-shared keys it could allow ikev2 too)"
    ]
    assert "a secret key" not in "".join(map(str, found.remarks)) + repr(found)


def test_every_mistake_is_named_at_once_with_its_place() -> None:
    text = """\
{"policies": [
  {"name": "p", "main_mode": {"methods": [{"encryption": "RC4", "hash": "SHA1", "oakley_group": 2}]},
   "rules": [
    {"connection_type": "moon", "auth_methods": ["trust me", {"psk": 7}],
     "filter_action": {"action": "wish", "security_methods": [{"algorithms": [{"protocol": "ROT"}]}]},
     "filter_list": {"filters": [{"source": "10.1.0.0/255.0.255.0", "destination": "any"}]}},
    {"is_tunnel": true, "connection_type": [], "filter_action": {"action": "block"}},
    7
   ]}
]}
"""
    assert mistakes("windows", text) == [
        "2:58: 'rc4' isn't a cipher of Windows' (one of none, des, 3des, aes128, aes192, aes256)",
        "4:25: this isn't a type of connection (all, lan or dial-up)",
        (
            '4:50: this isn\'t an authentication method ("kerberos", {"psk": "..."} or {"certificate": "name of the '
            'authority"})'
        ),
        (
            '4:62: this isn\'t an authentication method ("kerberos", {"psk": "..."} or {"certificate": "name of the '
            'authority"})'
        ),
        "5:34: this isn't a filter action (permit, block, negotiate, negotiate+inbound-passthrough)",
        "5:79: this is neither ESP nor AH",
        "6:45: '255.0.255.0' isn't a mask of '10.1.0.0' (such as 255.255.0.0, or 16)",
        "7:5: expected an object",
        "7:5: this can't be the end of a tunnel (an address or a DNS name)",
        "7:44: this isn't a type of connection (all, lan or dial-up)",
        "8:5: expected an object",
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ('{"policies": [', "1:15: isn't JSON (the objects decoded, not the blobs)"),
        ("[]", "1:1: expected an object"),
        ("{}", '1:1: there are no policies here (an object with "policies")'),
        ("[" * 5000, "1:1: isn't JSON (the objects decoded, not the blobs)"),
    ],
)
def test_what_is_no_store_is_refused(text: str, mistake: str) -> None:
    assert mistake in mistakes("windows", text)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"policies": [{"name": "p \U0001f512\x80\u2028 a/b", "rules": [7]}]}, indent="\t"),
        '{"policies":\t[\n{\n"name": "p \x80\u2028\U0001f512 \\/ \\\\u00e9",\n\t"rules": [\n 7]}]}',
    ],
)
def test_json_that_is_no_yaml_is_read_all_the_same(text: str) -> None:
    """Its places are those that an editor shows."""
    (mistake,) = mistakes("windows", text)
    line = next(number for number, line in enumerate(text.split("\n"), start=1) if line.strip().startswith("7"))
    assert mistake == f"{line}:{text.split(chr(10))[line - 1].index('7') + 1}: expected an object"


def test_what_was_yaml_stays_what_it_was() -> None:
    text = "assigned: p\npolicies: {p: {rules: []}}\n"
    assert imported("yaml", text).tree == {"assigned": "p", "policies": {"p": {"rules": []}}}
    assert check(to_yaml(imported("yaml", text).tree), "y").good
