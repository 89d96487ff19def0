"""What IKEv1 can't say of a policy that allows it, what it shows, and what it has numbers for."""

from __future__ import annotations

import pytest

from ipsecd.crypto import algorithms
from ipsecd.ike.config import AhProposal, EspProposal
from ipsecd.ike.v1 import suites
from ipsecd.ike.v1.child_menu import suites_of
from ipsecd.policy import builtin, proposals
from ipsecd.policy.check import check
from tests.unit.policy.remote_access import CLIENT, GATEWAY, HEAD, with_fields


def notes(text: str) -> list[str]:
    """What is noted, but for what isn't used."""
    found = check(text, "p.yaml")
    assert found.mistakes == ()
    return [str(note).removeprefix("p.yaml:") for note in found.notes if note.message != "is never used"]


# --- notes ------------------------------------------------------------------------------------------------------------


def test_aggressive_mode_is_warned_of() -> None:
    text = with_fields(
        GATEWAY.replace("{psk: hq}", "{psk: hq}, {certificate: gw}"),
        "i_accept_offline_guessing_in_aggressive_mode: true",
        "i_accept_names_in_clear_in_aggressive_mode: true",
    )
    hint = "main mode shows neither: leave it out where the peer can"
    assert notes(text) == [
        (
            "17:55: policies.p.rules.0.i_accept_offline_guessing_in_aggressive_mode: whoever asks gets what keys "
            f"can be tried by, and whoever listens sees who both sides are ({hint})"
        ),
        (
            "18:53: policies.p.rules.0.i_accept_names_in_clear_in_aggressive_mode: whoever listens sees who "
            f"both sides are ({hint})"
        ),
    ]


@pytest.mark.parametrize(
    ("ports", "message"),
    [
        ("protocol: tcp, destination_port: 80-90", "a range of ports"),
        ("protocol: tcp, source_port: 1024-65535, destination_port: 80", "a range of ports"),
        ("protocol: icmp, icmp_type: echo-request", "this ICMP message"),
        ("protocol: tcp, destination_port: 80", ""),
        ("protocol: tcp", ""),
        ("protocol: icmp, icmp_type: echo-request, icmp_code: 0", ""),
        ("protocol: icmp, icmp_type: echo-reply, icmp_code: 0", "this ICMP message"),
    ],
)
def test_traffic_that_ikev1_cant_name_is_noted(ports: str, message: str) -> None:
    text = HEAD + GATEWAY.replace("destination: 10.3.0.0/16}", f"destination: 10.3.0.0/16, {ports}}}")
    wanted = (
        [f"IKEv1 can't negotiate {message}: by that version nothing is protected by this filter"] if message else []
    )
    for versions in ("ikev1", "ikev2, ikev1"):
        found = check(text.replace("[ikev1]", f"[{versions}]"), "p").notes
        assert [note.message for note in found if "never used" not in note.message] == wanted
    assert notes(text.replace("[ikev1]", "[ikev2]")) == []


def test_of_two_versions_one_that_has_no_algorithm_is_noted_and_two_make_a_fall_to_clear_wait() -> None:
    text = """\
assigned: p
credentials: {hq: {psk: {file: hq.psk}}}
filter_actions:
  own: {action: negotiate, security_methods: [{esp: {encryption: chacha20poly1305}}], fallback_to_clear: {after: 5}}
policies:
  p:
    key_exchange: {versions: [ikev2, ikev1], proposals: [{encryption: aes128gcm16, groups: x25519}]}
    rules:
      - {name: hosts, filter_list: all-ip, action: own, authentication: [{psk: hq}]}
"""
    assert notes(text) == [
        (
            "4:46: filter_actions.own.security_methods: IKEv1 has none of these, which is how policy p negotiates "
            "(add one that it has, such as aes128gcm16)"
        ),
        (
            "7:57: policies.p.key_exchange.proposals: IKEv1 has none of these: it needs a CBC cipher, such as aes128, "
            "and an HMAC, such as prfsha256 (add one that it has)"
        ),
        (
            "9:52: policies.p.rules.0.action: with two versions of IKE a silent peer is talked to in clear only "
            "after both have been tried (that is after some 87 s; one version alone makes it 5 s)"
        ),
    ]
    assert notes(text.replace("[ikev2, ikev1]", "[ikev2]")) == []


def test_what_isnt_padded_is_noted() -> None:
    text = """\
assigned: p
credentials: {hq: {psk: {file: hq.psk}}}
filter_actions: {own: {action: negotiate, tfc: {padding: mtu, dummies: 5}}}
policies:
  p:
    key_exchange: {versions: [ikev1]}
    rules:
      - {name: hosts, filter_list: all-ip, action: own, authentication: [{psk: hq}]}
"""
    told = "8:52: policies.p.rules.0.action: by IKEv1 no packets are padded between hosts without a tunnel"
    assert notes(text) == [f"{told} (in a tunnel they are, and dummies go all the same)"]
    assert notes(text.replace(", dummies: 5", "")) == [f"{told} (in a tunnel they are)"]
    assert notes(text.replace("padding: mtu, ", "")) == notes(text.replace("ikev1", "ikev2")) == []
    tunnel = "tunnel: {local: 192.0.2.1, remote: 192.0.2.2}"
    assert [
        note for note in notes(text.replace("action: own, auth", f"action: own, {tunnel}, auth")) if "padded" in note
    ] == []


def test_a_key_that_every_client_has_is_noted_where_it_opens_what_asks_for_no_user() -> None:
    other = GATEWAY.replace("name: staff", "name: branch").replace("keyid:staff", "keyid:branch")
    other = other.replace("10.3.0.0/16", "10.4.0.0/16").replace("fd03", "fd04")
    asking = with_fields(GATEWAY, "xauth: {users: u}")
    told = "this is the key of every client of rule 'staff': whoever has it comes in here without a user"
    assert notes(asking + other) == [f"23:26: policies.p.rules.1.authentication.0: {told} (use another key)"]
    answering = asking + "    default_response: {authentication: [{psk: alice}, {psk: hq}]}\n"
    assert notes(answering) == [f"18:55: policies.p.default_response.authentication.1: {told} (use another key)"]
    assert notes(asking + other.replace("psk: hq", "psk: alice")) == []
    assert notes(asking + other.replace("remote: any", "remote: 192.0.2.9")) == []


def test_a_password_is_used() -> None:
    text = with_fields(CLIENT, "xauth: {user: alice, password: alice}")
    unused = [note.path for note in check(text, "p").notes if note.message == "is never used"]
    assert unused == ["credentials.gw", "credentials.ca"]


# --- what IKEv1 has numbers for ---------------------------------------------------------------------------------------


def test_a_keyword_counts_as_one_of_ikev1_exactly_if_ikev1_has_a_number_for_it() -> None:
    ciphers = set(suites._ENCRYPTION.values())
    assert {proposals.ENCRYPTION[name][0] for name in proposals.IKEV1_ENCRYPTION} == ciphers
    assert {
        name for name, (encr, _) in proposals.IKE_ENCRYPTION.items() if encr in ciphers
    } == proposals.IKEV1_ENCRYPTION
    assert {proposals.PRF[name] for name in proposals.IKEV1_PRF} == {*suites._HASH.values()}
    sha = (proposals.MACS["sha256"],)
    for name, cipher in proposals.ENCRYPTION.items():
        offered = EspProposal((cipher,), () if proposals.is_aead(name) else sha, esn=False)
        assert bool(suites_of((offered,))) == (name not in proposals.NOT_IN_IKEV1), name
    for name, mac in proposals.INTEGRITY.items():
        assert algorithms.ah_integrity(mac) is not None
        assert bool(suites_of((AhProposal((mac,), esn=False),))) == (name not in proposals.NOT_IN_IKEV1), name


def test_nothing_that_is_obsolete_is_offered_unless_a_policy_names_it() -> None:
    words = {word for each in builtin.IKE_PROPOSALS for word in (*each.encryption, *each.prf, *each.groups)}
    words |= {word for each in builtin.IKE_PROPOSALS for word in each.integrity or ()}
    for method in builtin.SECURITY_METHODS:
        words |= {*method.esp.encryption, *(method.esp.integrity or ())} if method.esp else set()
    assert len(words) > 10
    assert words & proposals.OBSOLETE == set()
    assert "sha1" not in words
    assert not proposals.IKEV1_ENCRYPTION.isdisjoint(words)
