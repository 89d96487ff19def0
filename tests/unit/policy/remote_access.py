"""Policy texts with IKEv1 alone: a gateway for hosts that come in from elsewhere, and one of these."""

from __future__ import annotations

HEAD = """\
assigned: p
credentials:
  hq: {psk: {file: hq.psk}}
  alice: {psk: {systemd: alice}}
  gw: {certificate: {chain: gw.pem, key: gw.key, authorities: [ca.pem, old.pem]}}
  ca: {certificate: {authorities: [ca.pem]}}
policies:
  p:
    key_exchange: {versions: [ikev1]}
    rules:
"""
GATEWAY = """\
      - name: staff
        filters: [{source: 10.1.0.0/16, destination: 10.3.0.0/16}, {source: "fd01::/64", destination: "fd03::/64"}]
        action: require-security
        tunnel: {local: 192.0.2.1, remote: any}
        identity: {local: gw.example, remote: "keyid:staff"}
        authentication: [{psk: hq}]
"""
CLIENT = """\
      - name: hq
        filters: [{source: me, destination: 10.1.0.0/16}]
        action: require-security
        tunnel: {remote: 192.0.2.2}
        identity: {local: "keyid:staff", remote: gw.example}
        authentication: [{psk: hq}]
"""
HOSTS = "      - {name: hosts, filter_list: all-ip, action: require-security, authentication: [{psk: hq}]}\n"


def with_fields(rule: str, *fields: str) -> str:
    return HEAD + rule + "".join(f"        {field}\n" for field in fields)
