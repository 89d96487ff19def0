"""Phases 1 of strongSwan with signatures, in aggressive mode, and with what is obsolete: continued to the octet."""

from __future__ import annotations

from typing import Any

import pytest

from ipsecd.ike.nat import Nat
from ipsecd.ike.v1 import initiating
from ipsecd.ike.v1.aggressive_initiator import AggressiveInitiator
from ipsecd.ike.v1.aggressive_responder import AggressiveResponder
from ipsecd.ike.v1.candidates import Candidates
from ipsecd.ike.v1.main_initiator import MainModeInitiator
from ipsecd.ike.v1.main_responder import MainModeResponder
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.ikev1_payloads import AnyPayload, CertReq, Hash, Ke, NatD, Nonce, Notify, Sa, Signature
from tests.exchange.captured_phase_1 import SESSIONS, Session, sent

each_aggressive = pytest.mark.parametrize("name", ["aggressive-psk", "aggressive-rsa"])


def agrees(session: Session, sa: IsakmpSa) -> None:
    """It has all the keys that strongSwan had."""
    keys = sa.keys
    found = [secret.reveal().hex() for secret in (keys.skeyid, keys.d, keys.a, keys.e, keys.cipher)]
    assert found == [session.values[name] for name in ("skeyid", "skeyid_d", "skeyid_a", "skeyid_e", "key")]
    assert sa.cookies == session.cookies
    assert sa.path.natt


def opened(session: Session, initiator: Any, data: bytes) -> tuple[AnyPayload, ...]:
    """What is in an encrypted message, by the keys of the end that has just said it."""
    agreed = initiator._agreed
    chain = agreed.cipher.phase_1(*agreed.publics)
    message = ikev1.decode(data)
    return ikev1.decode_chain(message.first, chain.open(message.sealed)).payloads


def test_main_mode_with_signatures_as_responder() -> None:
    session = SESSIONS["main-rsa"]
    fake_source = next(p for p in ikev1.decode(session.whole[3][2]).chain.payloads[::-1] if isinstance(p, NatD))
    core, terms = session.end(False, fake_source.hash)
    made: list[IsakmpSa] = []
    responder = MainModeResponder(core, Candidates((terms,)), session.cookies[1], made.append, pytest.fail)
    answers = []
    for heard in (0, 2, 4):
        _, port, data = session.whole[heard]
        responder.hear(ikev1.decode(data), data, session.path(False, port))
        answers.append(sent(core))
    assert answers[1:] == [session.whole[3][2], session.whole[5][2]]
    agrees(session, made[0])
    assert made[0].alone
    assert str(made[0].remote_id) == "a.peers.test"


def test_main_mode_with_signatures_as_initiator(monkeypatch: pytest.MonkeyPatch) -> None:
    session = SESSIONS["main-rsa"]
    monkeypatch.setattr(initiating, "offer", lambda *_: session.offer)
    fake_source = next(p for p in ikev1.decode(session.whole[2][2]).chain.payloads[::-1] if isinstance(p, NatD))
    core, terms = session.end(True, fake_source.hash)
    made: list[IsakmpSa] = []
    initiator = MainModeInitiator(core, terms, session.path(True, 500), session.cookies[0], made.append, pytest.fail)
    said = [sent(core)]
    for heard in (1, 3):
        initiator.hear(ikev1.decode(session.whole[heard][2]), session.path(True, session.whole[heard][1]))
        said.append(sent(core))
    assert said[1:] == [session.whole[2][2], session.whole[4][2]]
    initiator.hear(ikev1.decode(session.whole[5][2]), session.path(True, 4500))
    agrees(session, made[0])
    assert str(made[0].remote_id) == "b.peers.test"


@each_aggressive
def test_aggressive_mode_as_responder(name: str) -> None:
    session = SESSIONS[name]
    core, terms = session.end(False)
    made: list[IsakmpSa] = []
    responder = AggressiveResponder(core, Candidates((terms,)), session.cookies[1], made.append, pytest.fail)
    _, port, first = session.whole[0]
    responder.hear(ikev1.decode(first), first, session.path(False, port))
    ours, theirs = (
        {type(p): p for p in ikev1.decode(data).chain.payloads} for data in (sent(core), session.whole[1][2])
    )
    proof = Hash if "psk" in name else Signature
    assert ours[proof] == theirs[proof]
    assert list(ours.values())[-1] == theirs[proof]
    assert ours.get(CertReq) == theirs.get(CertReq)
    _, port, last = session.whole[2]
    responder.hear(ikev1.decode(last), last, session.path(False, port))
    assert not core.take_effects()
    agrees(session, made[0])
    assert made[0].nat == Nat(here=False, there=True)
    assert not made[0].alone
    assert terms.remote_id.matches(made[0].remote_id)


@each_aggressive
def test_aggressive_mode_as_initiator(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    session = SESSIONS[name]
    monkeypatch.setattr(initiating, "offer", lambda *_: session.offer)
    core, terms = session.end(True)
    made: list[IsakmpSa] = []
    initiator = AggressiveInitiator(core, terms, session.path(True, 500), session.cookies[0], made.append, pytest.fail)
    said, theirs = (
        {type(p): p for p in ikev1.decode(data).chain.payloads} for data in (sent(core), session.whole[0][2])
    )
    expected = {Sa, Ke, Nonce, Id} | ({CertReq} if name == "aggressive-rsa" else set())
    assert {kind: said[kind] for kind in expected} == {kind: theirs[kind] for kind in expected}
    initiator.hear(ikev1.decode(session.whole[1][2]), session.path(True, 500))
    ours, theirs_last = (opened(session, initiator, data) for data in (sent(core), session.whole[2][2]))
    assert [p for p in ours if not isinstance(p, NatD)] == [p for p in theirs_last if not isinstance(p, NatD)]
    assert next(p for p in ours if isinstance(p, NatD)) == next(p for p in theirs_last if isinstance(p, NatD))
    assert not any(isinstance(payload, Notify) for payload in theirs_last)
    agrees(session, made[0])
    assert made[0].nat == Nat(here=False, there=True)
