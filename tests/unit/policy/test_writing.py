"""How a policy file looks that ipsecd writes."""

from __future__ import annotations

from typing import Any

import pytest

from ipsecd.policy.parsing import parse
from ipsecd.policy.writing import entry, to_yaml
from tests.unit.policy.reference import ROOT

BRANCH = """\
assigned: branch

credentials:
  hq: {psk: {file: secrets/hq.psk}}

policies:
  branch:
    description: Branch office to headquarters
    rules:
      - name: to-hq
        filters:
          - {source: 10.1.0.0/16, destination: 10.2.0.0/16}
        action: require-security
        tunnel: {local: 192.0.2.1, remote: 198.51.100.1}
        identity: {local: gw.branch.example, remote: gw.hq.example}
        authentication: [{psk: hq}]
      - name: no-file-sharing
        filters:
          - {source: 10.1.0.0/16, destination: 10.2.0.0/16, protocol: tcp, destination_port: 445}
        action: block
"""


def test_the_example_of_the_document_is_written_as_it_stands_there() -> None:
    shown = (ROOT / "docs" / "policy.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    tree: Any = parse(shown, "f").value
    assert to_yaml(tree) == BRANCH
    assert "".join(f"{line.partition('  #')[0].rstrip()}\n" for line in shown.splitlines()) == BRANCH


def test_fields_stand_in_the_order_of_the_schema_and_names_in_their_own() -> None:
    tree: Any = {
        "policies": {"z": {}, "a": {"rules": [], "description": "first"}},
        "settings": {"table": 220, "tun": "vpn0"},
        "assigned": "z",
        "unheard-of": 1,
    }
    assert to_yaml(tree) == (
        "assigned: z\nsettings: {tun: vpn0, table: 220}\nunheard-of: 1\n\n"
        "policies:\n  z: {}\n  a:\n    description: first\n    rules: []\n"
    )


def test_what_is_too_long_for_a_line_becomes_a_block() -> None:
    method = {"esp": {"encryption": "aes128gcm16"}, "lifetime": {"seconds": 3600, "kilobytes": 100_000}}
    tree: Any = {"policies": {"p": {"default_response": {"security_methods": [method, method, method]}}}}
    assert to_yaml(tree) == (
        "policies:\n  p:\n    default_response:\n      security_methods:\n"
        + "        - {esp: {encryption: aes128gcm16}, lifetime: {seconds: 3600, kilobytes: 100000}}\n" * 3
    )


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("All IP traffic, to anywhere (Kerberos)", "All IP traffic, to anywhere (Kerberos)"),
        ("no", '"no"'),
        ("12:30", '"12:30"'),
        ("010", '"010"'),
        ("445", '"445"'),
        ("fd01::/64", '"fd01::/64"'),
        ("keyid:hq-7", "keyid:hq-7"),
        ("to: here", '"to: here"'),
        ("two\nlines and a \"word\"", r'"two\nlines and a \"word\""'),
        ("\u2028\x85\U0001f512", '"\\u2028\\x85\U0001f512"'),
        ("", '""'),
    ],
)  # fmt: skip
def test_text_is_quoted_where_it_could_be_taken_for_anything_else(text: str, written: str) -> None:
    assert entry("description", text, (), "  ") == [f"  description: {written}"]
