"""The peer authorization database holds (RFC 4301 section 4.4.3).

A credential opens the rules that name both it and the identity it proved, and selectors are narrowed within those rules
only. There is no way around authentication.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd.crypto.secret import Secret
from ipsecd.ike import Ike
from ipsecd.ike.config import Child, IkeConfig, Peer, SharedKey
from ipsecd.wire.identity import Identity
from ipsecd.wire.ikev2 import encode
from ipsecd.wire.payloads import Auth, Delete, Eap, IdI, IdR, Nonce, Notify, Sa, TsI, TsR, Unknown
from ipsecd.wire.registry import AuthMethod, Exchange, NotifyType, Protocol
from ipsecd.wire.selector import Selector
from tests.exchange.entropy import SeededEntropy
from tests.exchange.gateways import (
    ESP_GCM,
    FOREVER,
    IKE_CLASSIC,
    IKE_X25519,
    KEY,
    NET_A,
    NET_B,
    A,
    B,
    Pair,
    peer_a,
    peer_b,
)
from tests.exchange.stranger import Stranger, notified, prf
from tests.exchange.transcript import Tap

KEY_A, KEY_C = KEY.key.reveal(), b"the key of another peer altogether"
NONCE = Nonce(bytes(range(32)))
C_NET = Selector.net("10.3.0.0/16")


def rule_of_c() -> Peer:
    """Another peer that calls from the same address: c.example, with its own key and its own network."""
    child = Child("net-c", "net-c", "rule-c", (NET_B,), (C_NET,), (ESP_GCM,), lifetime=FOREVER)
    return replace(
        peer_a(child),
        name="c",
        remote_id=Identity.parse("c.example"),
        shared_keys=(SharedKey("c", Secret(KEY_C)),),
    )


def gateway_b(*peers: Peer) -> Ike:
    return Ike(IkeConfig(peers or (peer_a(), rule_of_c())), SeededEntropy("b"))


def call(ike: Ike, seed: int = 0) -> Stranger:
    stranger = Stranger(ike, B, A, seed=seed)
    assert stranger.sa_init() is not None
    return stranger


def events(stranger: Stranger) -> list[dict[str, object]]:
    return [effect.fields for effect in stranger.effects if getattr(effect, "level", "") == "warning"]


def test_the_right_key_with_the_right_identity_opens_the_rule() -> None:
    answer = Stranger(gateway_b(), B, A).connect(KEY_A)
    assert [type(payload) for payload in answer] == [IdR, Auth, Sa, TsI, TsR]


def test_the_responder_proves_itself_with_the_same_key_over_its_own_message() -> None:
    stranger = Stranger(gateway_b(), B, A)
    idr, auth = stranger.connect(KEY_A)[:2]
    assert isinstance(idr, IdR)
    assert isinstance(auth, Auth)
    signed = stranger.response + stranger.nonce + prf(stranger.sk_pr, idr.identity.encode())
    assert auth.data == prf(prf(KEY_A, b"Key Pad for IKEv2"), signed)


WRONG = {
    "wrong key": (b"not the key at all", "a.example", "b.example", "the pre-shared key of a.example isn't the one"),
    "empty key": (b"", "a.example", "b.example", "the pre-shared key of a.example isn't the one we have"),
    "right key, identity of nobody": (KEY_A, "z.example", "b.example", "no rule for this address names the remote"),
    "right key, other peer's identity": (KEY_A, "c.example", "b.example", "the pre-shared key of c.example isn't"),
    "other peer's key, this identity": (KEY_C, "a.example", "b.example", "the pre-shared key of a.example isn't"),
    "right key, identity of another type": (KEY_A, "fqdn:192.0.2.1", "b.example", "no rule for this address names"),
    "asks for somebody else": (
        KEY_A,
        "a.example",
        "x.example",
        "the peer asks for x.example; towards a.example we",
    ),
    "key one bit off": (bytes([KEY_A[0] ^ 1]) + KEY_A[1:], "a.example", "b.example", "the pre-shared key of a.example"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_the_right_pair_fails_alike_on_the_wire_and_says_why_in_the_log(case: str) -> None:
    key, identity, asked, reason = WRONG[case]
    stranger = call(gateway_b())
    answer = stranger.ask(Exchange.IKE_AUTH, 1, *stranger.auth_payloads(key, identity, asked))
    assert answer == (Notify(NotifyType.AUTHENTICATION_FAILED),)
    (fields,) = events(stranger)
    assert str(fields["reason"]).startswith(reason)
    assert fields["point"] == "me"
    assert not stranger.ike.status()
    # the SPI of what failed can't be used again
    assert stranger.ask(Exchange.IKE_AUTH, 2, *stranger.auth_payloads(KEY_A)) is None
    assert stranger.ike.counters["sa-gone"] == 1


def test_a_failure_names_the_rule_that_was_meant() -> None:
    stranger = call(gateway_b())
    stranger.ask(Exchange.IKE_AUTH, 1, *stranger.auth_payloads(b"wrong"))
    (fields,) = events(stranger)
    assert (fields["peer"], fields["rule"], fields["identity"]) == ("a", "rule-net", "a.example")


def test_a_failure_of_an_unknown_identity_names_the_rules_of_the_address() -> None:
    stranger = call(gateway_b())
    key, identity, asked, _ = WRONG["right key, identity of nobody"]
    stranger.ask(Exchange.IKE_AUTH, 1, *stranger.auth_payloads(key, identity, asked))
    (fields,) = events(stranger)
    assert (fields["peer"], fields["rule"], fields["identity"]) == ("a, c", "rule-net, rule-c", "z.example")


def test_an_empty_key_in_the_configuration_opens_nothing() -> None:
    careless = replace(peer_a(), shared_keys=(SharedKey("empty", Secret(b"")),))
    stranger = call(gateway_b(careless))
    answer = stranger.ask(Exchange.IKE_AUTH, 1, *stranger.auth_payloads(b""))
    assert answer == (Notify(NotifyType.AUTHENTICATION_FAILED),)


def test_the_second_key_of_a_rule_opens_it_too_and_is_answered_with() -> None:
    rolling = replace(peer_a(), shared_keys=(SharedKey("new", Secret(b"the next key of this site")), KEY))
    pair = Pair(of_b=rolling)
    assert pair.up()


@pytest.mark.parametrize("method", [AuthMethod.RSA_SIGNATURE, AuthMethod.NULL, AuthMethod.DIGITAL_SIGNATURE])
def test_other_ways_to_prove_are_refused(method: AuthMethod) -> None:
    stranger = call(gateway_b())
    payloads = stranger.auth_payloads(KEY_A)
    proof = payloads[2]
    assert isinstance(proof, Auth)
    answer = stranger.ask(Exchange.IKE_AUTH, 1, *payloads[:2], Auth(method, proof.data), *payloads[3:])
    assert answer == (Notify(NotifyType.AUTHENTICATION_FAILED),)


def test_eap_is_refused() -> None:
    # without AUTH the initiator asks for EAP (RFC 7296 section 2.16)
    stranger = call(gateway_b())
    payloads = stranger.auth_payloads(KEY_A)
    answer = stranger.ask(Exchange.IKE_AUTH, 1, payloads[0], payloads[1], *payloads[3:])
    assert answer == (Notify(NotifyType.AUTHENTICATION_FAILED),)
    (fields,) = events(stranger)
    assert fields["reason"] == "the peer wants EAP"


def test_an_early_eap_success_is_nothing() -> None:
    # CVE-2021-45079
    stranger = call(gateway_b())
    answer = stranger.ask(Exchange.IKE_AUTH, 1, Eap(b"\x03\x01\x00\x04"))
    assert answer == (Notify(NotifyType.INVALID_SYNTAX),)
    assert not stranger.ike.status()


def test_an_auth_payload_in_clear_does_not_exist() -> None:
    stranger = call(gateway_b())
    header = stranger.header(Exchange.IKE_AUTH, 1)
    assert stranger.send(encode(header, stranger.auth_payloads(KEY_A))) == []
    assert stranger.ike.counters["not-sealed"] == 1


@pytest.mark.parametrize("exchange", [Exchange.CREATE_CHILD_SA, Exchange.INFORMATIONAL, Exchange(240)])
def test_nothing_but_ike_auth_is_heard_before_ike_auth(exchange: Exchange) -> None:
    # CVE-2014-2338: a rekey of an SA that was never authenticated
    stranger = call(gateway_b())
    assert stranger.ask(exchange, 1, *stranger.child_payloads()) is None
    assert stranger.ask(exchange, 1, Delete(Protocol.IKE)) is None
    assert stranger.ike.counters["not-authenticated"] == 2
    answer = stranger.ask(Exchange.IKE_AUTH, 1, *stranger.auth_payloads(KEY_A))
    assert answer is not None
    assert notified(answer) == []


def test_the_proof_of_one_ike_sa_proves_nothing_in_another() -> None:
    ike = gateway_b()
    first, second = call(ike, 1), call(ike, 2)
    answer = second.ask(Exchange.IKE_AUTH, 1, *first.auth_payloads(KEY_A))
    assert answer == (Notify(NotifyType.AUTHENTICATION_FAILED),)


def test_a_rule_for_another_address_is_not_opened() -> None:
    stranger = Stranger(gateway_b(), B, "203.0.113.7")
    answer = stranger.sa_init()
    assert answer is not None
    assert notified(answer.payloads) == [NotifyType.NO_PROPOSAL_CHOSEN]
    (fields,) = events(stranger)
    assert fields["reason"] == "no rule names this address"


def test_a_suite_that_only_another_rule_accepts_is_not_enough() -> None:
    strict = replace(peer_a(), proposals=(IKE_CLASSIC,))
    lax = replace(rule_of_c(), proposals=(IKE_X25519,))
    stranger = call(gateway_b(strict, lax))
    answer = stranger.ask(Exchange.IKE_AUTH, 1, *stranger.auth_payloads(KEY_A))
    assert answer == (Notify(NotifyType.AUTHENTICATION_FAILED),)
    (fields,) = events(stranger)
    assert fields["reason"] == "the rule for a.example doesn't accept aes128gcm16-prfsha256-x25519"


# --- selectors of other rules ------------------------------------------------------------------------------------


def test_a_peer_of_one_rule_that_asks_for_anothers_selectors_in_ike_auth_gets_ts_unacceptable() -> None:
    stranger = call(gateway_b())
    answer = stranger.ask(Exchange.IKE_AUTH, 1, *stranger.auth_payloads(KEY_A, local="10.3.0.0/16"))
    assert answer is not None
    assert notified(answer) == [NotifyType.TS_UNACCEPTABLE]
    assert isinstance(answer[1], Auth)  # the IKE SA stands
    (fields,) = events(stranger)
    assert fields["reason"] == (
        "the peer asks for 10.2.0.0/16 here and 10.3.0.0/16 there, which no rule it has opened allows"
    )
    assert (fields["peer"], fields["rule"]) == ("a", "rule-net")


def test_the_same_in_create_child_sa() -> None:
    stranger = Stranger(gateway_b(), B, A)
    stranger.connect(KEY_A)
    sa, tsi, tsr = stranger.child_payloads(local="10.3.0.0/16")
    answer = stranger.ask(Exchange.CREATE_CHILD_SA, 2, sa, NONCE, tsi, tsr)
    assert answer == (Notify(NotifyType.TS_UNACCEPTABLE),)


def test_the_same_in_a_rekey() -> None:
    stranger = Stranger(gateway_b(), B, A)
    stranger.connect(KEY_A)
    old = Notify(NotifyType.REKEY_SA, b"", Protocol.ESP, stranger.child_spi)
    sa, tsi, tsr = stranger.child_payloads(local="10.3.0.0/16")
    answer = stranger.ask(Exchange.CREATE_CHILD_SA, 2, old, sa, NONCE, tsi, tsr)
    assert answer == (Notify(NotifyType.TS_UNACCEPTABLE),)


def test_a_rekey_can_not_widen_a_child() -> None:
    stranger = Stranger(gateway_b(), B, A)
    stranger.connect(KEY_A)
    old = Notify(NotifyType.REKEY_SA, b"", Protocol.ESP, stranger.child_spi)
    sa, tsi, tsr = stranger.child_payloads(local="0.0.0.0/0", remote="0.0.0.0/0")
    answer = stranger.ask(Exchange.CREATE_CHILD_SA, 2, old, sa, NONCE, tsi, tsr)
    assert answer is not None
    assert answer[-2:] == (TsI((NET_A,)), TsR((NET_B,)))


def test_two_rules_of_one_identity_are_both_opened_by_its_key() -> None:
    more = Child("more", "more", "rule-more", (NET_B,), (C_NET,), (ESP_GCM,), lifetime=FOREVER)
    second = replace(peer_a(more), name="a-again")
    stranger = Stranger(gateway_b(peer_a(), second), B, A)
    stranger.connect(KEY_A)
    sa, tsi, tsr = stranger.child_payloads(local="10.3.0.0/16")
    answer = stranger.ask(Exchange.CREATE_CHILD_SA, 2, sa, NONCE, tsi, tsr)
    assert answer is not None
    assert notified(answer) == []


# --- the initiator's side ----------------------------------------------------------------------------------------


def failed_at_a(pair: Pair) -> tuple[list[str], dict[str, object]]:
    tap = Tap(pair.net)
    assert not pair.up(seconds=5)
    (report,) = pair.a.events("auth-failed")
    assert pair.a.gave_up
    assert not pair.a.inbound
    pair.net.run(100)
    assert not pair.a.established
    assert not pair.b.established
    assert not pair.b.inbound
    return tap.lines(), report.fields


def test_a_responder_with_another_identity_is_told_so_and_forgotten() -> None:
    other = replace(peer_a(), local_id=Identity.parse("evil.example"))
    pair = Pair(of_a=replace(peer_b(), remote_id=Identity.parse("b.example")), of_b=other)
    lines, fields = failed_at_a(pair)
    # b doesn't even answer to the name: a asks for b.example
    assert lines[-1] == "b <- IKE_AUTH 1 {N(AUTHENTICATION_FAILED)}"
    assert fields["reason"] == "the peer refuses our identity or our credential (AUTHENTICATION_FAILED)"
    assert fields["point"] == "peer"


def test_a_responder_that_cannot_prove_itself_is_told_so_and_forgotten() -> None:
    # b accepts what a proves, but answers with a proof by a key that a doesn't have
    pair = Pair(of_b=replace(peer_a(), shared_keys=(KEY,)))
    spoiled = SharedKey("site", Secret(b"something else than what b has"))
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    pair.net.run(0.025)
    (sa,) = pair.a.ike._core.candidates.values()
    sa.peers = (replace(sa.peer, shared_keys=(spoiled,)),)
    tap = Tap(pair.net)
    pair.net.run(5)
    assert tap.lines()[-2:] == ["a -> INFORMATIONAL 2 {N(AUTHENTICATION_FAILED)}", "b <- INFORMATIONAL 2 {}"]
    (report,) = pair.a.events("auth-failed")
    assert report.fields["reason"] == "the pre-shared key of b.example isn't the one we have"
    assert report.fields["point"] == "me"
    assert pair.b.events("ike-refused")
    assert not pair.a.inbound | pair.b.inbound


def test_wrong_keys_on_both_ends_are_reported_on_both_ends() -> None:
    pair = Pair(of_b=replace(peer_a(), shared_keys=(SharedKey("x", Secret(b"another key")),)))
    _, fields = failed_at_a(pair)
    assert (fields["peer"], fields["rule"], fields["point"]) == ("b", "rule-net", "peer")
    (report,) = pair.b.events("auth-failed")
    assert report.fields["reason"] == "the pre-shared key of a.example isn't the one we have"


def test_no_common_ike_proposal_is_reported_with_both_sides_lists() -> None:
    pair = Pair(of_b=peer_a(proposals=(IKE_CLASSIC,)))
    assert not pair.up(seconds=5)
    (report,) = pair.b.events("sa-init-refused")
    assert (report.fields["peer"], report.fields["rule"]) == ("a", "rule-net")
    assert report.fields["reason"] == (
        "no common proposal: the peer offers aes128gcm16-prfsha256-x25519; we accept aes256-prfsha256-sha256-ecp256"
    )
    (report,) = pair.a.events("ike-refused")
    assert report.fields["reason"] == (
        "the peer accepts none of our proposals (NO_PROPOSAL_CHOSEN): "
        "no common proposal; we offer aes128gcm16-prfsha256-x25519"
    )
    assert pair.a.ike.status()  # it wasn't authenticated, so the attempt goes on
    pair.net.run(100)
    assert not pair.a.ike.status()
    assert pair.a.events("ike-failed")[0].fields["reason"] == report.fields["reason"]


def test_secrets_show_in_no_report() -> None:
    pair = Pair(of_b=replace(peer_a(), shared_keys=(SharedKey("x", Secret(b"another secret key")),)))
    pair.up(seconds=5)
    text = repr(pair.a.reports + pair.b.reports + pair.a.effects + pair.b.effects)
    for secret in (KEY_A, b"another secret key"):
        assert secret.hex() not in text
        assert secret.decode() not in text


def test_an_unknown_critical_payload_beside_a_good_proof_is_refused_whole() -> None:
    # RFC 7296 sections 2.5 and 2.21.2
    stranger = call(gateway_b())
    strange = Unknown(200, critical=True, body=b"what?")
    answer = stranger.ask(Exchange.IKE_AUTH, 1, strange, *stranger.auth_payloads(KEY_A))
    assert answer == (Notify(NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, bytes([200])),)
    assert not stranger.ike.status()


def test_an_unknown_payload_that_is_not_critical_is_skipped() -> None:
    stranger = call(gateway_b())
    strange = Unknown(200, critical=False, body=b"what?")
    answer = stranger.ask(Exchange.IKE_AUTH, 1, strange, *stranger.auth_payloads(KEY_A))
    assert notified(answer) == []
    assert len(stranger.ike.status()) == 1


def test_half_a_child_in_ike_auth_is_malformed_and_none_is_fine() -> None:
    # RFC 6023 for the latter
    stranger = call(gateway_b())
    payloads = stranger.auth_payloads(KEY_A)
    assert stranger.ask(Exchange.IKE_AUTH, 1, *payloads[:4]) == (Notify(NotifyType.INVALID_SYNTAX),)
    childless = call(gateway_b())
    answer = childless.ask(Exchange.IKE_AUTH, 1, *childless.auth_payloads(KEY_A)[:3])
    assert answer is not None
    assert [type(payload) for payload in answer] == [IdR, Auth]


def test_reserved_octets_of_an_id_payload_are_covered_by_auth_as_they_were_sent() -> None:
    stranger = call(gateway_b())
    payloads = stranger.auth_payloads(KEY_A)
    odd = IdI(Identity.parse("a.example"), b"\x01\x02\x03")
    signed = stranger.request + stranger.nonce_r + prf(stranger.sk_pi, odd.body)
    proof = Auth(AuthMethod.SHARED_KEY, prf(prf(KEY_A, b"Key Pad for IKEv2"), signed))
    answer = stranger.ask(Exchange.IKE_AUTH, 1, odd, payloads[1], proof, *payloads[3:])
    assert notified(answer) == []


def test_a_peer_from_anywhere_is_known_by_its_identity() -> None:
    roaming = peer_a(remotes=())
    stranger = Stranger(gateway_b(roaming), B, "203.0.113.99")
    assert notified(stranger.connect(KEY_A)) == []
    assert ip_address("203.0.113.99") == stranger.path.remote.address
