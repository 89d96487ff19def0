"""Phases 1 that XAUTH follows: with a pre-shared key, with signatures, and hybrid, where the client proves nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd.crypto.secret import Secret
from ipsecd.errors import LocalError
from ipsecd.ike.v1.hybrid import HybridClient, HybridGateway
from ipsecd.ike.v1.methods import Certified
from ipsecd.ike.v1.terms import Terms
from ipsecd.pki.raw_chain import RawChain
from ipsecd.wire import ikev1, vendor_ids
from ipsecd.wire.ikev1_payloads import Cert, CertReq, Hash, Signature, VendorId
from ipsecd.wire.registry_v1 import OakleyAuth
from tests.exchange.network import Link
from tests.exchange.phase_1 import Wire, described, same, sas, signed, suite, terms
from tests.unit.crypto.authority import NOW, ROOT, Authority, private

INIT_PSK, RESP_PSK = OakleyAuth.XAUTH_INIT_PSK, OakleyAuth.XAUTH_RESP_PSK
INIT_RSA, RESP_RSA = OakleyAuth.XAUTH_INIT_RSA, OakleyAuth.XAUTH_RESP_RSA
HYBRID, HYBRID_BACK = OakleyAuth.HYBRID_INIT_RSA, OakleyAuth.HYBRID_RESP_RSA
TRUST = RawChain((ROOT.certificate,), lambda: NOW)


def by(method: OakleyAuth, of: Terms) -> Terms:
    return replace(of, suites=(suite(method=method),), i_accept_names_in_clear=True, i_accept_offline_guessing=True)


def certified(of: Terms) -> Certified:
    assert of.certified is not None
    return of.certified


def ends(method: OakleyAuth) -> tuple[Terms, Terms]:
    if method in (INIT_PSK, RESP_PSK):
        return by(method, terms()), by(method, terms("b.example", "a.example"))
    of_i, of_r = by(method, signed()), by(method, signed("b.example", "a.example"))
    if method == HYBRID:
        return replace(of_i, certified=None, trust=TRUST), of_r
    if method == HYBRID_BACK:
        return of_i, replace(of_r, certified=None, trust=TRUST)
    return of_i, of_r


def opened(wire: Wire, *, of_i: bool) -> list[type]:
    """What is in the encrypted message of one side in main mode, the last of phase 1."""
    sa = sas(wire)[0]
    of_5, of_6 = (ikev1.decode(end.sent[2]) for end in (wire.i, wire.r))
    ke = [wire.initiator._agreed.publics]  # type: ignore[union-attr]  # it's through
    chain = sa.cipher.phase_1(*ke[0])
    octets = chain.open(of_5.sealed)
    if not of_i:
        chain.accept(of_5.sealed)
        octets = chain.open(of_6.sealed)
    return [type(each) for each in ikev1.decode_chain((of_5 if of_i else of_6).first, octets).payloads]


@pytest.mark.parametrize("aggressive", [False, True])
@pytest.mark.parametrize("method", [INIT_PSK, RESP_PSK, INIT_RSA, RESP_RSA, HYBRID, HYBRID_BACK])
def test_each_method_makes_an_isakmp_sa_that_says_so(method: OakleyAuth, aggressive: bool) -> None:
    wire = Wire(*ends(method), aggressive=aggressive).run(1.0)
    same(wire)
    assert [sa.suite.method for sa in sas(wire)] == [method, method]
    assert [vendor_ids.XAUTH in sa.vendor_ids for sa in sas(wire)] == [True, True]


def test_a_hybrid_client_sends_a_hash_and_its_gateway_a_signature() -> None:
    wire = Wire(*ends(HYBRID)).run(1.0)
    asked, proved = opened(wire, of_i=True), opened(wire, of_i=False)
    assert Hash in asked
    assert CertReq in asked
    assert not {Cert, Signature} & set(asked)
    assert {Cert, Signature} <= set(proved)
    assert Hash not in proved
    assert "CertReq" not in " ".join(described(wire.r.sent))


def test_hybrid_goes_through_bad_networks_and_nats() -> None:
    link = Link(loss=0.2, duplication=0.2, delay=(0.01, 0.8))
    for aggressive in (False, True):
        up = 0
        for seed in range(20):
            wire = Wire(*ends(HYBRID), seed=seed, link=link, nat=seed % 2 == 1, aggressive=aggressive).run(90.0)
            up += wire.i.sa is not None and wire.r.sa is not None
            assert wire.i.core.counters["internal-error"] == wire.r.core.counters["internal-error"] == 0
        assert up >= 18


# --- who may not --------------------------------------------------------------------------------------------------


def test_a_hybrid_gateway_that_nobody_trusts_is_none() -> None:
    of_i, of_r = ends(HYBRID)
    other = replace(certified(of_r), chain=(Authority().end("r", "b.example"),))
    wire = Wire(of_i, replace(of_r, certified=other)).run(600.0)
    assert wire.i.sa is None
    assert str(wire.i.failure).startswith("no trusted authority vouches for the certificate")


def test_a_hybrid_gateway_without_its_key_is_none() -> None:
    of_i, of_r = ends(HYBRID)
    wire = Wire(of_i, replace(of_r, certified=replace(certified(of_r), key=private("i")))).run(600.0)
    assert (wire.i.sa, wire.i.failure) == (None, "the signature isn't one of this key over this exchange")


def test_a_hash_in_place_of_the_gateways_signature_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stands between could make one, as the client does."""
    of_i, of_r = ends(HYBRID)
    monkeypatch.setattr(HybridGateway, "prove", lambda _, digest: Hash(digest))
    for aggressive in (False, True):
        wire = Wire(of_i, of_r, aggressive=aggressive).run(600.0)
        assert wire.i.sa is None
        assert wire.i.failure is not None


@pytest.mark.parametrize("aggressive", [False, True])
def test_a_hybrid_client_has_to_have_seen_the_exchange(aggressive: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HybridClient, "prove", lambda *_: Hash(bytes(32)))
    wire = Wire(*ends(HYBRID), aggressive=aggressive).run(600.0)
    assert wire.r.sa is None
    assert wire.r.failure == "the peer's last message of phase 1 can't be read, or isn't about this exchange"
    assert wire.r.core.counters["wrong-hash"] > 0


def test_another_name_is_another_peer_in_hybrid_mode_too() -> None:
    of_i, of_r = ends(HYBRID)
    wire = Wire(replace(of_i, remote_id=terms("c.example").local_id), of_r).run(600.0)
    assert (wire.i.sa, wire.i.failure) == (None, "the peer is b.example; we want c.example")


def test_a_client_with_another_key_is_none() -> None:
    of_i, of_r = ends(INIT_PSK)
    wire = Wire(replace(of_i, key=Secret(b"battery")), of_r).run(600.0)
    assert (wire.r.sa, wire.r.core.counters["wrong-key"]) == (None, 5)


def test_numbers_of_xauth_mean_something_else_to_who_does_not_know_it() -> None:
    """65001 is Kerberos to Windows."""
    xauth = vendor_ids.XAUTH

    def alter(from_i: bool, data: bytes) -> bytes:
        return data.replace(xauth, bytes(len(xauth))) if from_i else data

    of_i, of_r = ends(INIT_PSK)
    wire = Wire(of_i, of_r, alter=alter).run(600.0)
    assert (wire.i.sa, wire.r.sa) == (None, None)
    assert wire.r.core.counters["no-proposal-chosen"] == 5


def test_who_has_no_such_suite_does_not_say_that_it_knows_xauth() -> None:
    wire = Wire(terms(), terms("b.example", "a.example")).run(1.0)
    same(wire)
    said = [each for end in (wire.i, wire.r) for each in ikev1.decode(end.sent[0]).chain.payloads]
    assert VendorId(vendor_ids.XAUTH) not in said


def test_a_role_without_a_credential_is_neither_offered_nor_taken() -> None:
    """A hybrid client has no certificate: it calls, and is no gateway to anybody."""
    client, gateway = ends(HYBRID)
    assert (len(client.offered), client.answered((vendor_ids.XAUTH,))) == (1, ())
    assert (gateway.offered, len(gateway.answered((vendor_ids.XAUTH,)))) == ((), 1)
    with pytest.raises(LocalError, match="there is no credential for that"):
        client.method(client.suites[0], initiator=False)
    with pytest.raises(LocalError, match="by HYBRID_INIT_RSA: there is no credential for that"):
        replace(client, trust=None)
    with pytest.raises(LocalError, match="by XAUTH_INIT_DSS"):
        by(OakleyAuth.XAUTH_INIT_DSS, signed())


def test_aggressive_mode_has_extended_methods_as_it_has_plain_ones() -> None:
    for method, flag in ((INIT_PSK, "i_accept_offline_guessing"), (HYBRID, "i_accept_names_in_clear")):
        of_i, _ = ends(method)
        assert of_i.exposed(of_i.suites) == of_i.suites
        assert replace(of_i, **{flag: False}).exposed(of_i.suites) == ()
