"""The JSON schema: what an editor is told is what ipsecd accepts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ipsecd.policy.check import check
from ipsecd.policy.parsing import parse
from ipsecd.policy.schema import json_schema, schema_json
from tests.unit.policy.texts import TUNNEL, blocks, with_filters, with_rules

VALIDATOR = Draft202012Validator(json_schema())


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Every mapping inside the schema, itself included."""
    if isinstance(schema, dict):
        yield schema
        for part in schema.values():
            yield from parts(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from parts(part)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(json_schema())
    assert json.loads(schema_json()) == json_schema()
    assert schema_json().endswith("}\n")
    assert json_schema()["title"] == "ipsecd policy"


def test_every_field_is_described_and_unknown_ones_are_refused() -> None:
    schema = json_schema()
    for name, definition in {"File": schema, **schema["$defs"]}.items():
        assert definition["additionalProperties"] is False, name
        assert definition["description"], name
        for field, about in definition["properties"].items():
            assert about["description"].endswith("."), f"{name}.{field}"


def test_no_field_takes_null() -> None:
    assert [
        part for part in parts(json_schema()) if part.get("type") == "null" or part.get("default", "") is None
    ] == []


def test_every_default_is_what_its_own_field_takes() -> None:
    schema = json_schema()
    found = 0
    for definition in (schema, *schema["$defs"].values()):
        for field, about in definition["properties"].items():
            if "default" in about:
                validator = Draft202012Validator({**about, "$defs": schema["$defs"]})
                assert [error.message for error in validator.iter_errors(about["default"])] == [], field
                found += 1
    assert found > 40


def test_patterns_are_those_of_every_dialect() -> None:
    """No look-ahead, which some engines don't have, and no escape that a strict one refuses."""
    patterns = [part["pattern"] for part in parts(json_schema()) if isinstance(part.get("pattern"), str)]
    assert len(patterns) > 20
    assert [pattern for pattern in patterns if "(?" in pattern or re.search(r"\\[^nsSu]", pattern)] == []


@pytest.mark.parametrize(
    "text",
    [
        *(text for text, _ in blocks("unsupported.txt")),
        with_filters(
            "{source: me, destination: any}",
            "{source: 10.1.0.1-10.1.0.9, destination: www.example, protocol: tcp, source_port: 1024-65535, "
            "destination_port: 443, mirrored: true, description: web}",
            "{source: me, destination: any, protocol: icmp, icmp_type: echo-request, icmp_code: 0}",
            "{source: me, destination: any, protocol: 47}",
            rule=TUNNEL + "  identity: {local: a.example}\n  start: always\n  children: merged\n",
        ),
        with_rules(
            "- {name: a, filter_list: all-ip, action: own, authentication: [{psk: hq}]}\n",
            "filter_actions: {own: {action: negotiate, pfs: X25519, lifetime: {kilobytes: 100000}, security_methods: "
            "[{esp: {encryption: [AES128GCM16, aes256gcm16]}}, {esp: {encryption: Aes128, integrity: SHA256}}]}}\n",
        ),
        with_filters(
            "{source: ME, destination: Any, protocol: TCP, source_port: ANY, destination_port: 1-2}",
            "{source: me, destination: any, protocol: ICMP, icmp_type: Echo-Request}",
            "{source: me, destination: any, protocol: 1, icmp_type: 255}",
            "{source: me, destination: any, source_port: any}",
        ),
        (
            "filter_actions: {a: {action: negotiate, inactivity: 5, tfc: {padding: mtu, dummies: 1000}}, "
            "b: {action: negotiate, tfc: {padding: 64}, security_methods: "
            "[{ah: {integrity: sha1}}, {esp: {encryption: [aes128gmac, aes128gcm16]}}]}}"
        ),
        "credentials: {a: {psk: {command: [/bin/x, ' ', 'two\\nlines']}}}",
        'policies: {p: {description: "two\\nlines"}}',
    ],
)
def test_what_ipsecd_accepts_the_schema_accepts(text: str) -> None:
    assert check(text, "p").good
    assert [error.message for error in VALIDATOR.iter_errors(parse(text, "p").value)] == []


@pytest.mark.parametrize(
    "text",
    [
        "assigned: 5",
        "unknown: 1",
        "credentials: {a: {psk: secret}}",
        "credentials: {a: {}}",
        "credentials: {'1a': {psk: {file: f}}}",
        "filter_lists: {a: []}",
        "filter_lists: {a: [{source: me}]}",
        "filter_lists: {a: [{source: me, destination: any, protocol: tcpp}]}",
        "filter_lists: {a: [{source: me, destination: any, icmp_type: 256}]}",
        "filter_actions: {a: {action: deny}}",
        "filter_actions: {a: {action: negotiate, security_methods: [{esp: {encryption: rot13}}]}}",
        "filter_actions: {a: {action: negotiate, security_methods: [{}]}}",
        "filter_actions: {a: {action: negotiate, fallback_to_clear: 5}}",
        "filter_actions: {a: {action: negotiate, inactivity: 4}}",
        "filter_actions: {a: {action: permit, inactivity: 300}}",
        "filter_actions: {a: {action: negotiate, tfc: {}}}",
        "filter_actions: {a: {action: negotiate, tfc: {padding: 63}}}",
        "filter_actions: {a: {action: negotiate, tfc: {padding: MTU}}}",
        "filter_actions: {a: {action: negotiate, tfc: {dummies: 1001}}}",
        "filter_actions: {a: {action: permit, tfc: {dummies: 1}}}",
        "filter_actions: {a: {action: negotiate, tfc: {dummies: 1}, security_methods: [{ah: {integrity: sha1}}]}}",
        (
            "filter_actions: {a: {action: negotiate, tfc: {dummies: 1}, security_methods: "
            "[{esp: {encryption: [aes128gmac, AES256gmac]}}]}}"
        ),
        "policies: {p: {rules: [{name: r, filter_list: all-ip, action: block, connections: wan}]}}",
        "settings: {mtu: 5}",
        "settings: {tun: 'a name'}",
        "settings: {tun: lo}",
        "settings: {tun: all}",
        "settings: {table: 254}",
        # a line end at the end of a name
        'policies: {"p\\n": {}}',
        'settings: {tun: "ipsec0\\n"}',
        'credentials: {a: {psk: {systemd: "a\\n"}}}',
        'filter_lists: {a: [{source: me, destination: any, protocol: "tcp\\n"}]}',
        'filter_lists: {a: [{source: me, destination: any, protocol: tcp, source_port: "1-2\\n"}]}',
        # paths and text
        "credentials: {a: {psk: {file: ''}}}",
        "credentials: {a: {psk: {file: '  '}}}",
        'credentials: {a: {psk: {file: "a\\nb"}}}',
        'credentials: {a: {psk: {file: "b\\n"}}}',
        "credentials: {a: {psk: {command: []}}}",
        "credentials: {a: {psk: {command: [pass]}}}",
        'credentials: {a: {psk: {command: ["/bin/a\\n"]}}}',
        f"policies: {{p: {{description: {'x' * 4097}}}}}",
        'policies: {p: {description: "\\t"}}',
        # filters
        "filter_lists: {a: [{source: me, destination: Me}]}",
        "filter_lists: {a: [{source: me, destination: any, protocol: icmp, icmp_code: 1}]}",
        "filter_lists: {a: [{source: me, destination: any, icmp_type: 8}]}",
        "filter_lists: {a: [{source: me, destination: any, protocol: tcp, icmp_type: 8}]}",
        "filter_lists: {a: [{source: me, destination: any, protocol: icmp, icmp_type: packet-too-big}]}",
        "filter_lists: {a: [{source: me, destination: any, destination_port: 80}]}",
        "filter_lists: {a: [{source: me, destination: any, protocol: gre, source_port: 1-2}]}",
        *(
            f"filter_lists: {{a: [{{source: me, destination: any, protocol: tcp, source_port: {port}}}]}}"
            for port in ("0", "65536", "'80'", "0-80", "1-65536", "080-090", "http", "'1-'")
        ),
        # algorithms
        *(
            f"filter_actions: {{a: {{action: negotiate, security_methods: [{{esp: {{{esp}}}}}]}}}}"
            for esp in (
                "encryption: aes128gcm16, integrity: sha256",
                "encryption: aes128",
                "encryption: [aes128gcm16, aes128], integrity: sha256",
                "encryption: [aes128gcm16, aes128gcm16]",
                "encryption: []",
            )
        ),
        "policies: {p: {key_exchange: {proposals: [{encryption: aes128, groups: x25519}]}}}",
        "policies: {p: {key_exchange: {versions: [ikev2, ikev2]}}}",
        # what says nothing where it stands
        "filter_actions: {a: {action: permit, pfs: true}}",
        "filter_actions: {a: {action: block, lifetime: {}}}",
        with_rules("- {name: r, filter_list: all-ip, action: block, start: always}\n"),
        with_rules("- {name: r, action: block}\n"),
        with_rules("- {name: r, action: block, filter_list: all-ip, filters: [{source: me, destination: any}]}\n"),
        with_rules("- {name: r, filter_list: all-ip, action: require-security}\n"),
        with_rules("- {name: r, filter_list: all-ip, action: require-security, authentication: []}\n"),
        with_rules("- name: r\n  filter_list: all-ip\n" + TUNNEL.replace("[{psk: hq}]", "[{psk: hq}, {psk: hq}]")),
        with_rules("- name: r\n  filter_list: all-ip\n" + TUNNEL.replace("192.0.2.2", "any")),
        with_rules("- name: r\n  filter_list: all-ip\n" + TUNNEL.replace("local: 192.0.2.1, ", "")),
        with_rules(
            "- name: r\n  filter_list: all-ip\n  identity: {local: a.example, remote: b.example}\n  start: always\n"
            + TUNNEL.replace("192.0.2.2", "ANY")
        ),
        with_rules(
            "- name: r\n  filter_list: all-ip\n  identity: {local: a.example, remote: b.example}\n"
            + TUNNEL.replace("192.0.2.2", "any, remote_port: 500")
        ),
    ],
)
def test_what_has_the_wrong_shape_the_schema_refuses_too(text: str) -> None:
    assert not check(text, "p").good
    assert not VALIDATOR.is_valid(parse(text, "p").value)


def test_an_editor_is_offered_the_built_in_names() -> None:
    rule = json_schema()["$defs"]["Rule"]["properties"]
    assert rule["action"]["anyOf"][0] == {"enum": ["permit", "block", "request-security", "require-security"]}
    assert rule["filter_list"]["anyOf"][0] == {"enum": ["all-ip", "all-icmp"]}
