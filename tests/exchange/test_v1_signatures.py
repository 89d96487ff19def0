"""Main mode of IKEv1 with RSA signatures: both ends, in virtual time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates

from ipsecd import limits
from ipsecd.crypto.certificates import Certificate
from ipsecd.crypto.secret import Secret
from ipsecd.errors import LocalError
from ipsecd.ike.v1 import fragments, methods
from ipsecd.ike.v1.methods import Certified
from ipsecd.ike.v1.terms import Terms
from ipsecd.pki.raw_chain import RawChain
from ipsecd.wire import ikev1
from ipsecd.wire.identity import Identity
from ipsecd.wire.ikev1_payloads import Cert, CertReq, Hash
from ipsecd.wire.registry import Prf
from ipsecd.wire.registry_v1 import CertEncoding, OakleyAuth
from tests.exchange.network import Link
from tests.exchange.phase_1 import Wire, described, same, sas, signed, suite, terms
from tests.unit.crypto.authority import NOW, ROOT, Authority, private

A, B = signed(), signed("b.example", "a.example")
BY_RSA, BY_PSK = suite(method=OakleyAuth.RSA_SIGNATURE), suite()
LONG = tuple(Authority(f"{number}", ROOT).der for number in range(4))  # more than a datagram has


def certified(terms: Terms) -> Certified:
    assert terms.certified is not None
    return terms.certified


def failures(wire: Wire) -> tuple[str | None, str | None]:
    assert (wire.i.sa, wire.r.sa) == (None, None)
    assert all(end.core.counters["internal-error"] == 0 for end in (wire.i, wire.r))
    return wire.i.failure, wire.r.failure


def test_six_messages_make_an_isakmp_sa() -> None:
    wire = Wire(A, B).run(1.0)
    same(wire)
    assert described(wire.i.sent)[1:] == ["MAIN Ke Nonce NatD NatD", "MAIN sealed"]
    assert described(wire.r.sent)[1:] == ["MAIN Ke Nonce CertReq NatD NatD", "MAIN sealed"]
    assert [str(sa.remote_id) for sa in sas(wire)] == ["b.example", "a.example"]


@pytest.mark.parametrize("prf", [Prf.HMAC_MD5, Prf.HMAC_SHA1, Prf.HMAC_SHA2_384, Prf.HMAC_SHA2_512])
def test_every_hash_can_be_signed(prf: Prf) -> None:
    suites = (suite(prf_id=prf, method=OakleyAuth.RSA_SIGNATURE),)
    same(Wire(replace(A, suites=suites), replace(B, suites=suites)).run(1.0))


def test_what_both_have_is_how_they_prove_themselves() -> None:
    either = replace(A, suites=(BY_RSA, BY_PSK), key=Secret(b"correct horse"))
    with_key = replace(B, suites=(BY_PSK, BY_RSA), key=Secret(b"correct horse"))
    for of_i, of_r, method in (
        (either, with_key, OakleyAuth.RSA_SIGNATURE),
        (either, terms("b.example", "a.example"), OakleyAuth.PSK),
        (terms(), with_key, OakleyAuth.PSK),
    ):
        wire = Wire(of_i, of_r).run(1.0)
        same(wire)
        assert sas(wire)[0].suite.method == method


def test_who_is_alone_says_so() -> None:
    of_i, of_r = sas(Wire(replace(A, first=True), B).run(1.0))
    assert (of_i.alone, of_r.alone) == (False, True)


def test_the_limits_of_both_sides_hold() -> None:
    of_i, of_r = sas(Wire(replace(A, octets=4_096_000), replace(B, seconds=600)).run(1.0))
    assert ((of_i.seconds, of_i.octets), (of_r.seconds, of_r.octets)) == ((28_800, 4_096_000), (600, 4_096_000))


@pytest.mark.parametrize("nat", [False, True])
def test_proofs_that_are_longer_than_a_datagram_come_in_parts(nat: bool) -> None:
    wire = Wire(signed(lead=LONG), signed("b.example", "a.example", lead=LONG), nat=nat).run(1.0)
    same(wire)
    for end in (wire.i, wire.r):
        assert described(end.sent)[2:] == ["MAIN Fragment"] * 2
        assert max(map(len, end.sent)) == (1_248 if nat else 1_252)  # octets of IKE in a packet of 1,280


def test_parts_are_lost_and_come_in_disorder_and_twice() -> None:
    link = Link(loss=0.2, duplication=0.2, delay=(0.01, 0.8))
    of_i, of_r = signed(lead=LONG), signed("b.example", "a.example", lead=LONG)
    up = 0
    for seed in range(40):
        wire = Wire(of_i, of_r, seed=seed, link=link).run(90.0)
        if wire.i.sa and wire.r.sa:
            same(wire)
            up += 1
        assert wire.i.core.counters["internal-error"] == wire.r.core.counters["internal-error"] == 0
    assert up >= 34  # each proof needs both datagrams of one repeat


def test_who_can_not_join_them_gets_a_long_datagram() -> None:
    fragmentation = bytes.fromhex("4048b7d56ebce88525e7de7f00d6c2d3")

    def alter(_: bool, data: bytes) -> bytes:
        return data.replace(fragmentation, bytes(16))

    wire = Wire(signed(lead=LONG), signed("b.example", "a.example", lead=LONG), alter=alter).run(1.0)
    same(wire)
    assert described(wire.i.sent)[2:] == described(wire.r.sent)[2:] == ["MAIN sealed"]


@pytest.mark.parametrize(("flags", "joins"), [("", True), ("80000000", True), ("c0000000", True), ("40000000", False)])
def test_others_have_flags_behind_the_name_of_what_they_can_join(flags: str, joins: bool) -> None:
    """strongSwan has the first one, Cisco two."""
    name = bytes.fromhex("4048b7d56ebce88525e7de7f00d6c2d3")
    assert fragments.joins([b"another", name + bytes.fromhex(flags)]) == joins


# --- who may not --------------------------------------------------------------------------------------------------


def test_a_key_without_its_certificate_proves_nothing() -> None:
    stolen = replace(certified(A), key=private("r"))
    wire = Wire(replace(A, certified=stolen), B).run(600.0)
    assert failures(wire) == (
        "the peer doesn't answer our proof: perhaps it doesn't trust our certificate, or it doesn't know our identity",
        "the signature isn't one of this key over this exchange",
    )
    assert wire.r.core.counters["wrong-signature"] == 5


def test_proofs_are_not_looked_at_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_V1_PROOFS", 2)
    stolen = replace(certified(A), key=private("r"))
    wire = Wire(replace(A, certified=stolen), B).run(600.0)
    assert (wire.r.core.counters["wrong-signature"], wire.r.core.counters["too-many-answers"]) == (2, 3)
    assert failures(wire)[1] == "the signature isn't one of this key over this exchange"


def test_a_certificate_is_for_who_says_so_alone() -> None:
    """The right key and the wrong name, on either side."""
    of_c = replace(certified(A), chain=(ROOT.end("i", "c.example"),))
    told = "the peer says it is {}; its certificate is for c.example"
    assert failures(Wire(replace(A, certified=of_c), B).run(600.0))[1] == told.format("a.example")
    of_c = replace(certified(B), chain=(ROOT.end("r", "c.example"),))
    wire = Wire(A, replace(B, certified=of_c)).run(600.0)
    assert (wire.i.sa, wire.i.failure) == (None, told.format("b.example"))


def test_another_name_that_is_in_the_certificate_is_still_not_the_one_we_want() -> None:
    """CVE-2004-0590: whoever any authority vouches for is somebody, not everybody."""
    c = signed("c.example", "a.example")
    wire = Wire(A, c).run(600.0)
    assert (wire.i.sa, wire.i.failure) == (None, "the peer is c.example; we want b.example")
    of_c = replace(certified(A), chain=(ROOT.end("i", "c.example"),))
    wire = Wire(replace(A, local_id=Identity.parse("c.example"), certified=of_c), B).run(600.0)
    assert (wire.r.sa, wire.r.failure) == (None, "the peer is c.example; we want a.example")


def test_other_authorities_vouch_for_nobody() -> None:
    other = replace(certified(A), chain=(Authority().end("i", "a.example"),))
    wire = Wire(replace(A, certified=other), B).run(600.0)
    assert str(failures(wire)[1]).startswith("no trusted authority vouches for the certificate")
    assert wire.r.core.counters["untrusted-certificate"] == 5


def test_who_shows_no_certificate_is_nobody() -> None:
    assert failures(Wire(replace(A, certified=replace(certified(A), chain=())), B).run(600.0))[1] == (
        "the peer shows no certificate"
    )


def test_a_chain_of_twenty_certificates_is_read_and_of_more_isn_t() -> None:
    der = ROOT.der
    same(Wire(signed(lead=(der,) * 19), B).run(1.0))
    assert failures(Wire(signed(lead=(der,) * 20), B).run(600.0))[1] == "the peer's proof can't be read"


def test_a_chain_may_come_in_one_wrapping_and_beside_what_is_of_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = certified(A)
    wrapped = serialize_certificates([Certificate(der).parsed for der in (*ours.chain, ROOT.der)], Encoding.DER)
    revoked = Cert(CertEncoding.CRL, b"a list of those revoked")

    def shown(method: methods.BySignature) -> tuple[Cert, ...]:
        if method.certified is ours:
            return revoked, Cert(CertEncoding.PKCS7, wrapped)
        return tuple(Cert(CertEncoding.X509_SIGNATURE, der) for der in method.certified.chain)

    monkeypatch.setattr(methods.BySignature, "certificates", property(shown))
    same(Wire(A, B).run(1.0))
    wrapped = b"\x30\x00"
    wire = Wire(A, B).run(20.0)
    assert wire.r.core.counters["bad-certificate"] > 0
    assert failures(wire) == (None, None)  # as their time isn't over


def test_a_signature_over_another_exchange_proves_nothing() -> None:
    """Both ends are right, and somebody who has no key puts one's proof of yesterday into today's exchange."""
    yesterday = Wire(A, B, seed="yesterday").run(1.0)
    same(yesterday)

    def alter(from_initiator: bool, data: bytes) -> bytes:
        return yesterday.i.sent[2] if from_initiator and ikev1.decode(data).sealed else data

    assert failures(Wire(A, B, alter=alter).run(600.0))[1] == "the peer's proof can't be read"


def test_a_hash_is_no_signature_and_a_signature_no_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever knows the exchange can compute HASH_I, if it isn't signed."""

    monkeypatch.setattr(methods.BySignature, "prove", lambda _, digest: Hash(digest))
    assert failures(Wire(A, B).run(600.0))[1] == "the peer's proof can't be read"


def test_methods_need_what_they_work_with() -> None:
    for method in (OakleyAuth.RSA_SIGNATURE, OakleyAuth.RSA_ENCRYPTION, OakleyAuth.REVISED_RSA_ENCRYPTION):
        with pytest.raises(LocalError, match="there is no credential for that"):
            replace(terms(), suites=(suite(method=method),))
    with pytest.raises(LocalError):
        replace(A, suites=(BY_RSA, suite(method=OakleyAuth.DSS_SIGNATURE)))


def test_whoever_trusts_nobody_by_name_asks_for_any_certificate() -> None:
    nobody = RawChain((), lambda: NOW)
    wire = Wire(A, replace(B, certified=replace(certified(B), trust=nobody))).run(1.0)
    payloads = ikev1.decode(wire.r.sent[1]).chain.payloads
    assert [p.authority for p in payloads if isinstance(p, CertReq)] == [b""]
