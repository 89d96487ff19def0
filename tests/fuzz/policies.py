"""Policy files, read as far as the daemon reads them before anything is done."""

from __future__ import annotations

from ipaddress import ip_address

from ipsecd.policy.floor import ruleset
from ipsecd.policy.load import load_policy
from ipsecd.policy.planning import plan
from tests.unit.policy.texts import NAMES

_ME = tuple(map(ip_address, ("192.0.2.1", "10.1.0.1", "2001:db8::1")))

TEXTS = tuple(
    text.encode()
    for text in (
        """\
assigned: branch
credentials:
  hq: {psk: {file: secrets/hq.psk}}
  other: {psk: {command: [/usr/bin/secret, hq]}}
policies:
  branch:
    description: Branch office to headquarters
    rules:
      - name: to-hq
        filters:
          - {source: 10.1.0.0/16, destination: 10.2.0.0/16}
          - {source: me, destination: both.example, protocol: tcp, destination_port: 443}
        action: require-security
        tunnel: {local: 192.0.2.1, remote: 198.51.100.1}
        identity: {local: gw.branch.example, remote: gw.hq.example}
        authentication: [{psk: hq}, {psk: other}]
        connections: all
      - name: quiet
        filters: [{source: any, destination: 10.9.0.0-10.9.0.7, protocol: udp, mirrored: false}]
        action: block
""",
        """\
assigned: v6
credentials:
  hq: {psk: {systemd: hq}}
filter_lists:
  lans:
    - {source: 2001:db8:1::/48, destination: 2001:db8:2::/48}
policies:
  v6:
    rules:
      - name: to-hq
        filter_list: lans
        action: require-security
        tunnel: {local: 2001:db8::1, remote: six.example}
        authentication: [{psk: hq}]
      - {name: pings, filters: [{source: any, destination: any, protocol: icmp}], action: permit}
""",
        "policies: {}\n",
    )
)


def enforced(data: bytes) -> str:
    """The table that enforces the policy in ``data``. Raises ConfigError."""
    policy_file = load_policy(data.decode("utf-8", "replace"), "policy.yaml")
    return ruleset(plan(policy_file, lambda name: tuple(map(ip_address, NAMES.get(name, ()))), _ME))
