"""What a policy may say already and ipsecd doesn't do yet: noted where it stands, refused only where it is used."""

from __future__ import annotations

import pytest

from ipsecd.errors import ConfigError
from ipsecd.policy.unsupported import unsupported
from tests.unit.policy.texts import TUNNEL, blocks, load, planned, with_filters, with_rules

FILTER = "{source: me, destination: 10.2.0.0/16}"
RULE = "- name: r\n  filters: [" + FILTER + "]\n"


def refused(text: str) -> list[str]:
    return [str(mistake).removeprefix("p.yaml:") for mistake in unsupported(load(text))]


def with_policy(field: str) -> str:
    return "assigned: p\npolicies:\n  p:\n    " + field + "\n"


def with_method(field: str) -> str:
    return with_rules(RULE + TUNNEL.replace("require-security", "own"), f"filter_actions: {{own: {{{field}}}}}\n")


@pytest.mark.parametrize(
    ("text", "said"), blocks("unsupported.txt"), ids=[said[0] for _, said in blocks("unsupported.txt")]
)
def test_what_is_not_done_yet_is_refused_where_it_stands(text: str, said: list[str]) -> None:
    assert refused(text) == said
    with pytest.raises(ConfigError, match="not supported yet"):
        planned(text)


@pytest.mark.parametrize("kind", ["certificate", "kerberos"])
def test_credentials_of_later_kinds_are_refused_where_a_rule_uses_them(kind: str) -> None:
    source = {"certificate": "{chain: c.pem, key: k.pem, authorities: [a.pem]}", "kerberos": "{}"}[kind]
    text = with_rules(RULE + TUNNEL.replace("psk: hq", f"{kind}: other")).replace(
        "{hq:", f"{{other: {{{kind}: {source}}}, hq:"
    )
    what = {"certificate": "certificates by IKEv2, which this policy allows", "kerberos": "Kerberos"}[kind]
    assert refused(text) == [f"10:26: policies.p.rules.0.authentication.0: not supported yet: {what}"]


@pytest.mark.parametrize(
    "text",
    [
        with_policy("default_response: {active: false}"),
        with_policy("key_exchange: {versions: [ikev2], master_key_pfs: false, sessions: 0}"),
        with_method("action: negotiate, fallback_to_clear: false, inbound_passthrough: false, pfs: true"),
        with_rules(RULE + TUNNEL + "  encapsulation: udp\n  connections: all\n  enabled: true\n"),
        with_filters("{source: any, destination: me, mirrored: false}", rule="  action: block\n"),
        with_rules(
            "- {name: near, filters: [{source: me, destination: 10.2.0.9}], action: permit, connections: lan}\n"
            + RULE
            + TUNNEL
        ),
    ],
)
def test_saying_the_default_aloud_is_supported(text: str) -> None:
    assert refused(text) == []


def test_what_the_assigned_policy_does_not_use_is_not_refused() -> None:
    text = """\
    assigned: p
    credentials:
      machine: {kerberos: {keytab: /etc/krb5.keytab}}
    filter_lists:
      resolvers: [{source: me, destination: dns}]
    filter_actions:
      signed: {action: negotiate, security_methods: [{ah: {integrity: sha256}}]}
    policies:
      p:
        rules:
          - {name: off, enabled: false, filter_list: resolvers, action: signed, authentication: [{kerberos: machine}]}
      other:
        rules:
          - {name: k, filter_list: all-ip, action: request-security, authentication: [{kerberos: machine}]}
    """.replace("name: off", "name: later")
    assert refused(text) == []
    assert [mistake.line for mistake in unsupported(load(text), "other")] == [14]


@pytest.mark.parametrize("action", ["require-security", "request-security"])
def test_a_rule_without_a_tunnel_is_supported_and_one_that_falls_back_to_clear_too(action: str) -> None:
    rule = f"  action: {action}\n  authentication: [{{psk: hq}}]\n"
    for each in ("{source: me, destination: any}", "{source: 10.1.0.0/16, destination: both.example}"):
        assert refused(with_filters(each, rule=rule)) == []


def test_nothing_assigned_uses_nothing() -> None:
    text = "credentials: {m: {kerberos: {}}}\npolicies: {p: {default_response: {authentication: [{kerberos: m}]}}}"
    assert refused(text) == []
