"""What only IKEv1 has in policy files: certificates, aggressive mode, and hosts that come in from elsewhere."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from jsonschema import Draft202012Validator

from ipsecd.policy.check import check
from ipsecd.policy.diff import diff
from ipsecd.policy.parsing import parse
from ipsecd.policy.plan import Certificate, ConfigClient, ConfigGateway, Credential, Peer, XauthClient, XauthGateway
from ipsecd.policy.schema import json_schema
from ipsecd.policy.unsupported import unsupported
from tests.unit.policy.remote_access import CLIENT, GATEWAY, HEAD, HOSTS, with_fields
from tests.unit.policy.texts import blocks, load, mistakes, planned

WHOLE_GATEWAY = with_fields(
    GATEWAY.replace("psk: hq", "certificate: gw"), "xauth: {users: u}", "mode_config: {pools: [10.3.0.0/24]}"
)
WHOLE_CLIENT = with_fields(CLIENT, "xauth: {user: alice, password: alice}", "mode_config: {request: [ipv4]}")


def peer(text: str) -> Peer:
    [found] = planned(text).peers
    return found


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"), blocks("mistakes_v1.txt"), ids=[said[0] for _, said in blocks("mistakes_v1.txt")]
)
def test_a_mistake_about_ikev1_is_told_at_its_place_in_plain_words(text: str, said: list[str]) -> None:
    assert mistakes(text) == said


def test_what_is_written_as_users_and_passwords_is_in_no_message() -> None:
    wrong = ("{user: [s3cret], password: s3cret}", "{s3cret: x}", "{users: u, password: {s3cret: x}}", "!s3cret x")
    for xauth in wrong:
        said = mistakes(with_fields(CLIENT, f"xauth: {xauth}"))
        assert len(said) >= 1
        assert [line for line in said if "s3cret" in line] == []


@pytest.mark.parametrize(
    "fields",
    [
        ("xauth: {users: users.txt}", "mode_config: {pools: [10.3.0.0/24], push: true}"),
        ("mode_config: {pools: ['fd03::/64', 10.3.7.9], dns: ['fd01::53'], nbns: [10.1.0.1], subnets: [10.1.0.9]}",),
        ("i_accept_offline_guessing_in_aggressive_mode: true", "i_accept_names_in_clear_in_aggressive_mode: false"),
    ],
)
def test_what_is_right_the_schema_accepts_too(fields: tuple[str, ...]) -> None:
    text = with_fields(GATEWAY, *fields)
    assert check(text, "p").good
    assert list(Draft202012Validator(json_schema()).iter_errors(parse(text, "p").value)) == []


@pytest.mark.parametrize(("text", "said"), blocks("mistakes_v1.txt"), ids=lambda each: str(each)[:40])
def test_the_schema_refuses_what_it_can_see(text: str, said: list[str]) -> None:
    unseen = ("there is no such credential", "is another kind", "has no certificate of our own", "names no authority",
              "another pool of", "bits set behind", "isn't an address", "no other host", "no host has",
              "has all traffic", "two hosts could have", "is for the same peer", "IKEv1 has none of these",
              "256 octets")  # fmt: skip
    seen = [line for line in said if not any(words in line for words in unseen)]
    assert Draft202012Validator(json_schema()).is_valid(parse(text, "p").value) == (not seen)


# --- the plan ---------------------------------------------------------------------------------------------------------


def test_versions_are_in_the_order_of_the_policy_and_of_its_default_response_too() -> None:
    both = HEAD.replace("[ikev1]", "[ikev1, ikev2]") + HOSTS + "    default_response: {authentication: [{psk: hq}]}\n"
    assert [(each.name, each.versions) for each in planned(both).peers] == [
        ("hosts", ("ikev1", "ikev2")),
        ("default-response", ("ikev1", "ikev2")),
    ]
    assert peer(HEAD.replace("key_exchange: {versions: [ikev1]}", "keylog: false") + HOSTS).versions == ("ikev2",)


def test_a_peer_has_what_only_ikev1_is_told() -> None:
    plain = peer(with_fields(GATEWAY))
    assert (plain.certificates, plain.certificates_first, plain.xauth, plain.mode_config) == ((), False, None, None)
    assert (plain.accept_offline_guessing, plain.accept_names_in_clear) == (False, False)
    text = with_fields(
        GATEWAY.replace("[{psk: hq}]", "[{certificate: gw}, {psk: hq}, {psk: alice}]"),
        "i_accept_offline_guessing_in_aggressive_mode: true",
        "i_accept_names_in_clear_in_aggressive_mode: true",
    )
    found = peer(text)
    assert (found.certificates, found.shared_keys, found.certificates_first) == (("gw",), ("hq", "alice"), True)
    assert (found.accept_offline_guessing, found.accept_names_in_clear) == (True, True)
    assert not peer(text.replace("{certificate: gw}, {psk: hq}", "{psk: hq}, {certificate: gw}")).certificates_first


def test_a_gateway_has_users_and_what_it_lends() -> None:
    found = peer(
        with_fields(
            GATEWAY.replace("psk: hq", "certificate: gw"),
            "xauth: {users: users.txt, hybrid: true}",
            "mode_config: {pools: [10.3.7.0/24, 'fd03::/64'], dns: [10.1.0.53], nbns: [10.1.0.54], "
            "subnets: [10.1.0.0/16], push: true}",
        )
    )
    assert found.xauth == XauthGateway("users.txt", hybrid=True)
    assert found.mode_config == ConfigGateway(
        (ip_network("10.3.7.0/24"), ip_network("fd03::/64")),
        (ip_address("10.1.0.53"),),
        (ip_address("10.1.0.54"),),
        (ip_network("10.1.0.0/16"),),
        push=True,
    )
    assert found.credentials == ("gw",)


def test_a_client_has_a_user_and_its_password_is_one_of_the_credentials() -> None:
    text = with_fields(CLIENT, "xauth: {user: alice, password: alice}", "mode_config: {request: [ipv6, ipv4]}")
    found = planned(text)
    assert found.peers[0].xauth == XauthClient("alice", "alice", hybrid=False)
    assert found.peers[0].mode_config == ConfigClient((6, 4), pushed=False)
    assert found.credentials == (Credential("hq", file="hq.psk"), Credential("alice", systemd="alice"))
    pushed = peer(with_fields(CLIENT, "mode_config: {accept_push: true}"))
    assert pushed.mode_config == ConfigClient((), pushed=True)


def test_a_certificate_is_where_its_files_are() -> None:
    methods = "[{certificate: gw}, {certificate: other}]"
    other = "  other: {certificate: {chain: o.pem, key: o.key, authorities: [ca.pem]}}\n"
    text = (HEAD + GATEWAY).replace("[{psk: hq}]", methods).replace("  ca: {", other + "  ca: {")
    assert planned(text).credentials == (
        Credential("gw", certificate=Certificate("gw.pem", "gw.key", ("ca.pem", "old.pem"))),
        Credential("other", certificate=Certificate("o.pem", "o.key", ("ca.pem",))),
    )
    hybrid = CLIENT.replace("psk: hq", "certificate: ca")
    found = planned(with_fields(hybrid, "xauth: {user: alice, password: alice, hybrid: true}"))
    assert found.credentials[0] == Credential("ca", certificate=Certificate("", "", ("ca.pem",)))


def test_rules_that_differ_in_it_are_different_peers_and_alike_ones_share_one() -> None:
    lent = "mode_config: {pools: [10.3.0.0/24]}"
    twice = with_fields(GATEWAY, lent) + (with_fields(GATEWAY, lent)[len(HEAD) :]).replace("name: staff", "name: more")
    assert [each.name for each in planned(twice).peers] == ["staff"]
    apart = twice.replace("name: more", "name: more\n        i_accept_offline_guessing_in_aggressive_mode: true")
    assert [each.name for each in planned(apart).peers] == ["staff", "more"]


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (HEAD + HOSTS, "versions: [ikev1]", "versions: [ikev1, ikev2]"),
        (WHOLE_GATEWAY, "gw.pem", "gw2.pem"),
        (WHOLE_GATEWAY, "old.pem", "new.pem"),
        (WHOLE_GATEWAY, "pools: [10.3.0.0/24]", "pools: [10.3.1.0/24]"),
        (WHOLE_GATEWAY, "users: u", "users: v"),
        (WHOLE_CLIENT, "alice: {psk: {systemd: alice}}", "alice: {psk: {systemd: bob}}"),
        (WHOLE_CLIENT, "{user: alice", "{user: bob"),
        (WHOLE_CLIENT, "request: [ipv4]", "accept_push: true"),
    ],
)
def test_a_change_of_it_is_one_of_the_rules_that_have_it(text: str, old: str, new: str) -> None:
    assert old in text
    found = diff(planned(text), planned(text.replace(old, new)))
    assert (len(found.changed), found.added, found.removed, found.kept) == (1, (), (), ())


def test_certificates_are_supported_where_ikev1_is_all_there_is() -> None:
    text = HEAD + GATEWAY.replace("psk: hq", "certificate: gw")
    assert unsupported(load(text)) == ()
    [refused] = unsupported(load(text.replace("[ikev1]", "[ikev1, ikev2]")))
    assert refused.message == "not supported yet: certificates by IKEv2, which this policy allows"
