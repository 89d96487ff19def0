"""Phase 1 of IKEv1 with a responder whose rules leave open who calls: several have one address, or one rule has several
keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.ike.v1 import candidates
from ipsecd.ike.v1.phase_1 import Agreed, agree
from ipsecd.ike.v1.terms import Terms
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import Encr
from ipsecd.wire.registry_v1 import OakleyAuth
from tests.exchange.entropy import Remembering
from tests.exchange.phase_1 import Wire, described, same, sas, signed, suite, terms

A = terms()
GOOD, STRONG, OLD = suite(), suite(bits=256), suite(Encr.TRIPLE_DES, None)


def rule(them: str = "a.example", key: bytes = b"correct horse", us: str = "b.example", **values: Any) -> Terms:
    return replace(terms(us, them, key), **values)


def test_each_key_is_tried_until_one_reads_the_proof() -> None:
    rules = (rule(key=b"an older one"), rule(key=b"another"), rule(), rule(key=b"the last"))
    wire = Wire(A, *rules).run(1.0)
    same(wire)
    of_i, of_r = sas(wire)
    assert of_i.terms is A
    assert of_r.terms is rules[2]
    assert sum(wire.r.core.counters.values()) == 0


def test_of_those_with_one_key_the_identity_says_which_is_meant() -> None:
    rules = (rule("c.example", us="c-calls.example"), rule("a.example", seconds=600), rule("d.example"))
    wire = Wire(A, *rules).run(1.0)
    same(wire)
    of_r = sas(wire)[1]
    assert (of_r.terms is rules[1], of_r.seconds, str(of_r.remote_id)) == (True, 600, "a.example")


def test_the_responder_is_called_as_the_rule_says() -> None:
    rules = (rule("c.example", us="c-calls.example"), rule(us="other.example"))
    wire = Wire(terms(them="other.example"), *rules).run(1.0)
    same(wire)
    assert str(sas(wire)[0].remote_id) == "other.example"


def test_of_two_rules_that_fit_the_first_one_is_meant() -> None:
    rules = (rule(key=b"another"), rule(seconds=600), rule(seconds=700))
    assert sas(Wire(A, *rules).run(1.0))[1].terms is rules[1]


def test_a_key_is_wrong_if_none_fits() -> None:
    wire = Wire(A, rule(key=b"one"), rule("c.example", b"two")).run(600.0)
    assert (wire.i.sa, wire.r.sa) == (None, None)
    assert wire.r.failure == "the peer's proof can't be read or is wrong: the pre-shared keys differ"
    assert (wire.r.core.counters["wrong-key"], wire.r.core.counters["wrong-remote-identity"]) == (5, 0)


def test_a_name_is_wrong_if_no_rule_with_the_key_has_it() -> None:
    wire = Wire(A, rule(key=b"one"), rule("c.example"), rule("d.example")).run(600.0)
    assert (wire.i.sa, wire.r.sa) == (None, None)
    assert wire.r.failure == "the peer is a.example; we want c.example or d.example"
    assert (wire.r.core.counters["wrong-key"], wire.r.core.counters["wrong-remote-identity"]) == (0, 1)


def test_who_has_one_rule_s_key_is_not_another_rule_s_peer() -> None:
    wire = Wire(A, rule("a.example", b"that of a"), rule("c.example")).run(600.0)
    assert wire.r.sa is None
    assert wire.r.failure == "the peer is a.example; we want c.example"


def test_the_initiator_s_order_counts_among_all_their_suites() -> None:
    rules = (rule("c.example", suites=(GOOD, OLD)), rule(suites=(OLD, STRONG)))
    wire = Wire(replace(A, suites=(STRONG, OLD, GOOD)), *rules).run(1.0)
    same(wire)
    assert sas(wire)[1].suite == STRONG


def test_a_rule_without_the_suite_that_was_taken_is_not_meant() -> None:
    rules = (rule(suites=(OLD,)), rule("c.example", suites=(STRONG,)))
    wire = Wire(replace(A, suites=(STRONG, OLD)), *rules).run(600.0)
    assert wire.r.sa is None
    assert wire.r.failure == "the peer is a.example; we want c.example"


def test_what_they_all_take_is_told_if_nothing_is_common() -> None:
    wire = Wire(replace(A, suites=(OLD,)), rule(), rule("c.example", suites=(STRONG, GOOD)))
    wire.run(1.0)
    assert (wire.r.sent, wire.r.core.counters["no-proposal-chosen"]) == ([], 1)


def test_signatures_and_keys_go_together() -> None:
    by_key, by_signature = rule("c.example"), signed("b.example", "a.example")
    wire = Wire(signed(), by_key, by_signature).run(1.0)
    same(wire)
    assert sas(wire)[1].terms is by_signature
    both = replace(signed(), suites=(suite(method=OakleyAuth.RSA_SIGNATURE), GOOD), key=Secret(b"correct horse"))
    assert sas(Wire(both, rule(), by_signature).run(1.0))[1].terms is by_signature
    assert sas(Wire(replace(both, suites=both.suites[::-1]), by_signature, by_key, rule()).run(1.0))[1].suite == GOOD


def test_the_peer_is_asked_once_for_certificates() -> None:
    wire = Wire(signed(), signed("b.example", "c.example"), signed("b.example", "a.example")).run(1.0)
    assert described(wire.r.sent)[1] == "MAIN Ke Nonce CertReq NatD NatD"


def test_a_certificate_is_judged_once_however_many_rules_trust_it(monkeypatch: pytest.MonkeyPatch) -> None:
    trust, judged = signed().certified.trust, []  # type: ignore[union-attr]  # it has one
    judge = type(trust).judge
    monkeypatch.setattr(type(trust), "judge", lambda self, *values: judged.append(values) or judge(self, *values))
    of_r = signed("b.example", "c.example")
    same(Wire(signed(), of_r, *(replace(of_r, remote_id=Identity.parse(f"{name}.example")) for name in "dea")).run(1.0))
    assert [str(claimed) for _, claimed in judged] == ["a.example", "b.example"]  # by the one side, then by the other


def test_one_shared_secret_is_computed_and_what_it_did_not_lead_to_is_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Agreed] = []

    def noted(*values: Any) -> Agreed:
        made.append(agree(*values))
        return made[-1]

    monkeypatch.setattr(candidates, "agree", noted)
    computed = []
    shared = Remembering.shared
    monkeypatch.setattr(Remembering, "shared", lambda self, value: computed.append(value) or shared(self, value))
    wire = Wire(A, rule(key=b"one"), rule(key=b"two"), rule("c.example"), rule()).run(1.0)
    same(wire)
    assert len(computed) == 2  # one at each end
    assert [any(each.keys.d.reveal() + each.keys.cipher.reveal()) for each in made] == [False, False, True]
    made.clear()
    Wire(A, rule(key=b"one"), rule(key=b"two")).run(600.0)
    assert [any(each.keys.d.reveal() + each.keys.cipher.reveal()) for each in made] == [False, False]


def test_no_more_are_tried_than_may_be() -> None:
    others = tuple(rule(key=b"%d" % number) for number in range(limits.MAX_CANDIDATES))
    assert sas(Wire(A, *others[1:], rule()).run(1.0))
    assert Wire(A, *others, rule()).run(600.0).r.sa is None


def test_udp_is_forced_if_one_of_them_has_to_have_it() -> None:
    of_i, of_r = sas(Wire(A, rule("c.example", force_udp=True), rule()).run(1.0))
    assert of_i.nat is not None
    assert of_i.nat.there
    assert of_r.path.natt


# --- aggressive mode ----------------------------------------------------------------------------------------------


def loud(of_main: Terms) -> Terms:
    return replace(of_main, i_accept_offline_guessing=True)


def test_in_aggressive_mode_the_first_message_says_who_is_meant() -> None:
    rules = (loud(rule("c.example", b"of c")), loud(rule(us="b.example")), loud(rule("d.example", us="d-calls")))
    wire = Wire(loud(A), *rules, aggressive=True).run(1.0)
    same(wire)
    assert sas(wire)[1].terms is rules[1]
    assert sas(wire)[0].terms.i_accept_offline_guessing


def test_in_aggressive_mode_nobody_else_is_answered() -> None:
    wire = Wire(loud(A), loud(rule("c.example")), loud(rule("d.example")), aggressive=True).run(1.0)
    assert (wire.r.sent, wire.r.core.counters["wrong-remote-identity"]) == ([], 1)


def test_what_another_rule_accepts_of_aggressive_mode_is_not_accepted_here() -> None:
    wire = Wire(loud(A), loud(rule("c.example")), rule(), aggressive=True).run(1.0)
    assert (wire.r.sent, wire.r.core.counters["aggressive-not-accepted"]) == ([], 1)


def test_of_two_rules_for_one_name_the_first_that_has_the_suite_is_meant() -> None:
    rules = (rule(key=b"quiet"), loud(rule(suites=(OLD,), key=b"old")), loud(rule()), loud(rule(key=b"late")))
    wire = Wire(loud(replace(A, suites=(GOOD, OLD))), *rules, aggressive=True).run(1.0)
    same(wire)
    assert sas(wire)[1].terms is rules[2]
