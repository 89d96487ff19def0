"""A responder that has the keys and answers something else than it was asked: nothing outside the offer is installed,
the drop has a name, what the responder may have made is deleted, and nothing is left over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ipsecd.ike import Ike
from ipsecd.ike.config import IkeConfig
from ipsecd.ike.drops import DROPS
from ipsecd.ike.effects import InstallInbound, InstallOutbound, Report
from ipsecd.wire.ike import decode_header
from ipsecd.wire.payloads import AnyPayload, Auth, Delete, IdR, Ke, Nonce, Notify, Sa, Transform, TsI, TsR, Unknown
from ipsecd.wire.registry import Encr, Esn, Exchange, Group, Integ, NotifyType, Payload, Protocol, TransformType
from ipsecd.wire.selector import Selector
from tests.exchange.answerer import Answerer, Bend, Payloads
from tests.exchange.entropy import SeededEntropy
from tests.exchange.gateways import ESP_GCM, ESP_PFS, KEY, child_of_a, peer_b

KEY_B = KEY.key.reveal()
NO_ESN = replace(ESP_GCM, esn=False)
MORE = child_of_a("more", local=(Selector.net("10.3.0.0/16"),), proposals=(replace(ESP_PFS, esn=False),))


def calling() -> Answerer:
    peer = peer_b(child_of_a(proposals=(NO_ESN,)), MORE)
    return Answerer(Ike(IkeConfig((peer,)), SeededEntropy("a")), KEY_B)


def connected() -> Answerer:
    answerer = calling()
    answerer.connect()
    assert [sa.stage for sa in answerer.ike.status()] == ["established"]
    assert len(installed(answerer)) == 2
    return answerer


def installed(answerer: Answerer) -> list[InstallInbound | InstallOutbound]:
    return [effect for effect in answerer.effects if isinstance(effect, InstallInbound | InstallOutbound)]


def reports(answerer: Answerer, event: str) -> list[Report]:
    return [effect for effect in answerer.effects if isinstance(effect, Report) and effect.event == event]


def drops(answerer: Answerer) -> dict[str, int]:
    assert answerer.ike.counters.keys() <= DROPS.keys()
    assert answerer.ike.counters["internal-error"] == 0
    return {reason: count for reason, count in answerer.ike.counters.items() if count}


# --- what can be wrong about an answer ---------------------------------------------------------------------------


def each(kind: type, change: Callable[[AnyPayload], Payloads]) -> Bend:
    return lambda payloads: tuple(
        new for payload in payloads for new in (change(payload) if isinstance(payload, kind) else (payload,))
    )


def of_proposal(**changes: object) -> Bend:
    def change(payload: AnyPayload) -> Payloads:
        assert isinstance(payload, Sa)
        return (Sa((replace(payload.proposals[0], **changes),)),)  # type: ignore[arg-type]  # names of its fields

    return each(Sa, change)


def transforms(edit: Callable[[tuple[Transform, ...]], tuple[Transform, ...]]) -> Bend:
    def change(payload: AnyPayload) -> Payloads:
        assert isinstance(payload, Sa)
        (proposal,) = payload.proposals
        return (Sa((replace(proposal, transforms=edit(proposal.transforms)),)),)

    return each(Sa, change)


def without(kind: TransformType) -> Bend:
    return transforms(lambda all_: tuple(transform for transform in all_ if transform.type != kind))


def twice(payload: AnyPayload) -> Payloads:
    assert isinstance(payload, Sa)
    (proposal,) = payload.proposals
    return (Sa((proposal, replace(proposal, number=2))),)


def replaced(kind: type, *new: AnyPayload) -> Bend:
    return each(kind, lambda payload: new)


SELECTORS: dict[str, tuple[Bend, str]] = {
    "a wider source": (replaced(TsI, TsI((Selector.net("10.0.0.0/8"),))), "selectors-widened"),
    "a wider destination": (replaced(TsR, TsR((Selector.net("10.2.0.0/15"),))), "selectors-widened"),
    "one address too many": (
        replaced(TsR, TsR((Selector.net("10.2.0.0/16"), Selector.net("10.3.0.1/32")))),
        "selectors-widened",
    ),
    "another family": (replaced(TsR, TsR((Selector.net("2001:db8::/64"),))), "selectors-widened"),
    "selectors of a kind we don't know": (replaced(TsR, TsR((), ((9, bytes(4)),))), "selectors-widened"),
}
OFFERS: dict[str, tuple[Bend, str]] = {
    "another key length": (
        transforms(lambda all_: (replace(all_[0], key_bits=256), *all_[1:])),
        "bad-proposal-answer",
    ),
    "no key length": (transforms(lambda all_: (replace(all_[0], key_bits=None), *all_[1:])), "bad-proposal-answer"),
    "no cipher": (without(TransformType.ENCR), "bad-proposal-answer"),
    "the cipher twice": (transforms(lambda all_: (all_[0], *all_)), "bad-proposal-answer"),
    "no encryption": (
        transforms(lambda all_: (Transform(TransformType.ENCR, Encr.NULL), *all_[1:])),
        "bad-proposal-answer",
    ),
    "a MAC beside the AEAD": (
        transforms(lambda all_: (*all_, Transform(TransformType.INTEG, Integ.HMAC_SHA2_256_128))),
        "bad-proposal-answer",
    ),
    "two proposals": (each(Sa, twice), "bad-proposal-answer"),
    "another number": (of_proposal(number=2), "bad-proposal-answer"),
    "another protocol": (of_proposal(protocol=Protocol.AH), "bad-proposal-answer"),
}
OF_CHILD: dict[str, tuple[Bend, str]] = {
    **SELECTORS,
    **OFFERS,
    "no word of sequence numbers": (without(TransformType.ESN), "bad-proposal-answer"),
    "extended sequence numbers that we didn't offer": (
        transforms(lambda all_: tuple(t if t.type != TransformType.ESN else replace(t, id=Esn.YES) for t in all_)),
        "bad-proposal-answer",
    ),
}
# what can't even be read; the two sides no longer agree, so the IKE SA ends with it (section 2.21)
UNREADABLE: dict[str, tuple[Bend, str]] = {
    "no selector at all": (replaced(TsI, Unknown(Payload.TSI, False, bytes(4))), "selector-count"),
    "half a selector": (replaced(TsR, Unknown(Payload.TSR, False, b"\1\0\0\0\7\0\0\x10\0\0")), "truncated"),
}


# --- IKE_SA_INIT -------------------------------------------------------------------------------------------------

GROUPS = {
    "a value of another group": (replaced(Ke, Ke(Group.ECP_256, bytes(64))), "wrong-ke-group"),
    "no value": (replaced(Ke), "payload-missing"),
    "no nonce": (replaced(Nonce), "payload-missing"),
    "a short nonce": (replaced(Nonce, Nonce(bytes(15))), "bad-nonce-length"),
    "a value of small order": (replaced(Ke, Ke(Group.CURVE25519, bytes(32))), "bad-public-value"),
}
OF_IKE = {
    **{name: case for name, case in OFFERS.items() if name != "another protocol"},
    "the protocol of children": (of_proposal(protocol=Protocol.ESP, spi=b"four"), "bad-proposal-answer"),
    "no PRF": (without(TransformType.PRF), "bad-proposal-answer"),
    "no group": (without(TransformType.DH), "bad-proposal-answer"),
    **GROUPS,
}
OF_INIT = {**OF_IKE, "an SPI in the offer": (of_proposal(spi=b"8 octets"), "bad-proposal-answer")}


@pytest.mark.parametrize("case", OF_INIT)
def test_an_answer_in_clear_that_does_not_fit_is_dropped_and_the_right_one_is_taken(case: str) -> None:
    bend, reason = OF_INIT[case]
    answerer = calling()
    answerer.take(answerer.ike.up("net", answerer.now))
    request = answerer.asked[-1]
    answerer.answer_init(bend, spi_r=b"some SPI")
    assert drops(answerer) == {reason: 1}
    assert not answerer.asked
    assert not answerer.ike._core.candidates
    answerer.asked.append(request)
    answerer.answer_init()
    answerer.answer_auth()
    assert len(installed(answerer)) == 2


def test_an_answer_without_a_responders_spi_is_dropped() -> None:
    answerer = calling()
    answerer.take(answerer.ike.up("net", answerer.now))
    answerer.answer_init(spi_r=bytes(8))
    assert drops(answerer) == {"zero-spi": 1}
    assert not answerer.asked


# --- IKE_AUTH ----------------------------------------------------------------------------------------------------


def asked_to_authenticate() -> Answerer:
    answerer = calling()
    answerer.take(answerer.ike.up("net", answerer.now))
    answerer.answer_init()
    assert answerer.exchanges() == [Exchange.IKE_AUTH]
    return answerer


@pytest.mark.parametrize("case", OF_CHILD)
def test_ike_auth_makes_no_child_outside_the_offer_and_has_it_deleted(case: str) -> None:
    bend, reason = OF_CHILD[case]
    answerer = asked_to_authenticate()
    ours = offered_spi(answerer)
    answerer.answer_auth(bend)
    assert drops(answerer) == {reason: 1}
    assert not installed(answerer)
    assert [sa.stage for sa in answerer.ike.status()] == ["established"]
    assert deleted(answerer) == [ours]
    (report,) = reports(answerer, "child-failed")
    assert report.fields["point"] == "me"
    assert reason in str(report.fields["reason"])
    nothing_is_left(answerer)


@pytest.mark.parametrize("case", UNREADABLE)
def test_an_unreadable_ike_auth_answer_ends_the_attempt(case: str) -> None:
    bend, reason = UNREADABLE[case]
    answerer = asked_to_authenticate()
    answerer.answer_auth(bend)
    assert drops(answerer) == {reason: 1}
    assert not installed(answerer)
    assert not [sa for sa in answerer.ike.status() if sa.stage == "established"]
    answerer.take(answerer.ike.timer(answerer.now + 10))
    assert not answerer.ike.status()
    nothing_is_left(answerer)


def test_another_identity_with_the_right_key_is_refused_and_told() -> None:
    answerer = asked_to_authenticate()
    answerer.answer_auth(identity="evil.example")
    assert drops(answerer) == {"wrong-remote-identity": 1}
    (report,) = reports(answerer, "auth-failed")
    assert report.fields["reason"] == "the peer says it is evil.example; the rule wants b.example"
    assert answerer.read(answerer.asked.pop()) == (Notify(NotifyType.AUTHENTICATION_FAILED),)
    over(answerer)


@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        (replaced(Auth), "payload-missing"),
        (replaced(IdR), "payload-missing"),
        (each(Auth, lambda auth: (auth, auth)), "payload-repeated"),
        (each(IdR, lambda who: (who, who)), "payload-repeated"),
    ],
)
def test_a_proof_or_identity_that_is_missing_or_stands_twice_proves_nothing(bend: Bend, reason: str) -> None:
    answerer = asked_to_authenticate()
    answerer.answer_auth(bend)
    assert drops(answerer) == {reason: 1}
    (report,) = reports(answerer, "auth-failed")
    assert reason in str(report.fields["reason"])
    over(answerer)


@pytest.mark.parametrize(
    "bend",
    [
        each(Auth, lambda auth: (replace(auth, data=auth.data[:-1] + bytes([auth.data[-1] ^ 1])),)),  # type: ignore[union-attr]  # an AUTH
        each(Auth, lambda auth: (replace(auth, data=b""),)),
        each(Auth, lambda auth: (replace(auth, data=auth.data + b"\0"),)),  # type: ignore[union-attr]  # an AUTH
    ],
)
def test_a_proof_that_is_wrong_in_one_bit_or_one_octet_is_no_proof(bend: Bend) -> None:
    answerer = asked_to_authenticate()
    answerer.answer_auth(bend)
    assert drops(answerer) == {"wrong-key": 1}
    assert answerer.read(answerer.asked.pop()) == (Notify(NotifyType.AUTHENTICATION_FAILED),)
    over(answerer)


def test_a_proof_of_another_method_is_no_proof() -> None:
    answerer = asked_to_authenticate()
    answerer.answer_auth(each(Auth, lambda auth: (replace(auth, method=1),)))
    assert drops(answerer) == {"wrong-auth-method": 1}
    over(answerer)


@pytest.mark.parametrize("error", [NotifyType.AUTHENTICATION_FAILED, NotifyType(8_191)])
def test_an_error_beside_a_good_proof_leaves_the_ike_sa_and_no_child(error: NotifyType) -> None:
    answerer = asked_to_authenticate()
    answerer.answer_auth(lambda payloads: (*payloads[:2], Notify(error)))
    assert [sa.stage for sa in answerer.ike.status()] == ["established"]
    assert not installed(answerer)
    assert reports(answerer, "child-failed")


# --- CREATE_CHILD_SA ---------------------------------------------------------------------------------------------

OF_CREATE: dict[str, tuple[Bend, str]] = {
    **OF_CHILD,
    "no group": (without(TransformType.DH), "bad-proposal-answer"),
    "a value of another group": (replaced(Ke, Ke(Group.ECP_256, bytes(64))), "wrong-ke-group"),
    "no value": (replaced(Ke), "wrong-ke-group"),
    "the other group, with a value of the first": (
        transforms(lambda all_: tuple(t if t.type != TransformType.DH else replace(t, id=Group.ECP_256) for t in all_)),
        "wrong-ke-group",
    ),
}
PFS = (
    Transform(TransformType.ENCR, Encr.AES_GCM_16, 128),
    Transform(TransformType.DH, Group.CURVE25519),
    Transform(TransformType.ESN, Esn.NO),
)


@pytest.mark.parametrize("case", OF_CREATE)
def test_create_child_sa_makes_no_child_outside_the_offer_and_has_it_deleted(case: str) -> None:
    bend, reason = OF_CREATE[case]
    answerer = connected()
    answerer.take(answerer.ike.up("more", answerer.now))
    ours = offered_spi(answerer)
    answerer.answer_child(bend, PFS)
    assert drops(answerer) == {reason: 1}
    assert len(installed(answerer)) == 2
    assert deleted(answerer) == [ours]
    assert len(reports(answerer, "child-failed")) == 1
    assert [sa.stage for sa in answerer.ike.status()] == ["established"]
    nothing_is_left(answerer)


def test_a_value_that_nobody_asked_for_means_nothing() -> None:
    answerer = connected()
    answerer.take(answerer.ike.rekey("net", answerer.now))
    answerer.answer_child(lambda payloads: (*payloads, Ke(Group.CURVE25519, answerer.public)))
    assert drops(answerer) == {}
    assert len(reports(answerer, "child-rekeyed")) == 1


@pytest.mark.parametrize("case", OF_CHILD)
def test_a_rekeyed_child_stays_as_it_is_when_the_answer_is_outside_the_offer(case: str) -> None:
    bend, reason = OF_CHILD[case]
    answerer = connected()
    (spi,) = [effect.spi for effect in installed(answerer) if isinstance(effect, InstallInbound)]
    answerer.take(answerer.ike.rekey("net", answerer.now))
    ours = offered_spi(answerer)
    answerer.answer_child(bend)
    assert drops(answerer) == {reason: 1}
    assert len(installed(answerer)) == 2
    assert deleted(answerer) == [ours]
    (child,) = answerer.ike.status()[0].children
    assert (child.spi_in, child.stage, child.sending) == (spi.hex(), "up", True)
    assert len(reports(answerer, "child-rekey-failed")) == 1
    nothing_is_left(answerer)


OF_HEIR = {
    **{name: case for name, case in OF_IKE.items() if name not in GROUPS},
    "an SPI of zero": (of_proposal(spi=bytes(8)), "bad-rekey-answer"),
    "no SPI": (of_proposal(spi=b""), "bad-proposal-answer"),
    "a value of another group": (replaced(Ke, Ke(Group.ECP_256, bytes(64))), "bad-rekey-answer"),
    "no value": (replaced(Ke), "payload-missing"),
    "no nonce": (replaced(Nonce), "payload-missing"),
    "a value of small order": (replaced(Ke, Ke(Group.CURVE25519, bytes(32))), "bad-public-value"),
}


@pytest.mark.parametrize("case", OF_HEIR)
def test_an_ike_sa_has_no_heir_outside_the_offer(case: str) -> None:
    bend, reason = OF_HEIR[case]
    answerer = connected()
    before = set(answerer.ike._core.ikes)
    answerer.take(answerer.ike.rekey_peer("b", answerer.now))
    answerer.answer_rekey(bend)
    assert drops(answerer) == {reason: 1}
    assert not reports(answerer, "ike-rekeyed")
    assert set(answerer.ike._core.ikes) <= before
    assert len(installed(answerer)) == 2
    nothing_is_left(answerer)


# --- what remains ------------------------------------------------------------------------------------------------


def offered_spi(answerer: Answerer) -> bytes:
    """The child SPI in gateway a's latest request."""
    (spi,) = [
        proposal.spi
        for payload in answerer.read(answerer.asked[-1])
        if isinstance(payload, Sa)
        for proposal in payload.proposals[:1]
    ]
    return spi


def deleted(answerer: Answerer) -> list[bytes]:
    """The child SPIs of ours that gateway a tells to delete."""
    return [
        spi
        for data in answerer.asked
        if decode_header(data).exchange != Exchange.IKE_SA_INIT
        for payload in answerer.read(data)
        if isinstance(payload, Delete) and payload.protocol == Protocol.ESP
        for spi in payload.spis
    ]


def nothing_is_left(answerer: Answerer) -> None:
    core = answerer.ike._core
    assert not core.candidates
    assert not core.promised
    assert len(core.children) == sum(len(sa.children) for sa in core.ikes.values())


def over(answerer: Answerer) -> None:
    """The attempt is over, and nothing was made."""
    for second in range(100):
        answerer.take(answerer.ike.timer(answerer.now + second))
    assert not installed(answerer)
    assert not answerer.ike.status()
    nothing_is_left(answerer)
