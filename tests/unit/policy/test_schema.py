"""The JSON schema: what an editor is told is what ipsecd accepts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

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
            "- {name: a, filter_list: all-ip, action: own}\n",
            "filter_actions: {own: {action: negotiate, pfs: true, lifetime: {kilobytes: 100000}}}\n",
        ),
    ],
)
def test_what_ipsecd_accepts_the_schema_accepts(text: str) -> None:
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
        "policies: {p: {rules: [{name: r, filter_list: all-ip, action: block, connections: wan}]}}",
        "settings: {mtu: 5}",
        "settings: {tun: 'a name'}",
    ],
)
def test_what_has_the_wrong_shape_the_schema_refuses_too(text: str) -> None:
    assert not VALIDATOR.is_valid(parse(text, "p").value)


def test_an_editor_is_offered_the_built_in_names() -> None:
    rule = json_schema()["$defs"]["Rule"]["properties"]
    assert rule["action"]["anyOf"][0] == {"enum": ["permit", "block", "request-security", "require-security"]}
    assert rule["filter_list"]["anyOf"][0] == {"enum": ["all-ip", "all-icmp"]}
