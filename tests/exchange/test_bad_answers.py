"""A responder that answers something else than it was asked gets nothing of it installed, and is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ipsecd import limits
from ipsecd.ike import pad
from ipsecd.ike.config import Path
from ipsecd.ike.sa import IkeSa
from ipsecd.ike.v2 import auth
from ipsecd.wire.identity import Identity
from ipsecd.wire.ikev2 import decode, encode
from ipsecd.wire.payloads import AnyPayload, Ke, Sa, Transform, TsI, TsR
from ipsecd.wire.registry import Encr, Exchange, Group, Protocol, TransformType
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import ESP_PFS, IKE_X25519, B, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.network import Datagram
from tests.exchange.transcript import Tap

Payloads = tuple[AnyPayload, ...]
Alter = Callable[[AnyPayload], AnyPayload]
MORE = child_of_a("more", local=(Selector.net("10.3.0.0/16"),), proposals=(ESP_PFS,))
NET = child_of_a(proposals=(ESP_PFS,))


def pair_of_two() -> Pair:
    return Pair(of_a=peer_b(NET, MORE), of_b=peer_a(mirrored(NET), mirrored(MORE)))


def let_b_alter(monkeypatch: pytest.MonkeyPatch, pair: Pair, exchange: Exchange, alter: Alter) -> None:
    """Gateway b changes the payloads of its sealed answers. It goes on as if it hadn't."""
    real = IkeSa.respond

    def respond(sa: IkeSa, what: Exchange, payloads: Payloads, path: Path) -> None:
        if sa.core is pair.b.ike._core and what == exchange:
            payloads = tuple(map(alter, payloads))
        real(sa, what, payloads, path)

    monkeypatch.setattr(IkeSa, "respond", respond)


def of_proposal(**changes: object) -> Alter:
    def alter(payload: AnyPayload) -> AnyPayload:
        if not isinstance(payload, Sa):
            return payload
        (proposal,) = payload.proposals
        return Sa((replace(proposal, **changes),))  # type: ignore[arg-type]  # names of its fields

    return alter


def with_transform(kind: TransformType, other: Transform | None) -> Alter:
    """The proposal with another transform of one type, or with none."""

    def alter(payload: AnyPayload) -> AnyPayload:
        if not isinstance(payload, Sa):
            return payload
        (proposal,) = payload.proposals
        kept = tuple(transform for transform in proposal.transforms if transform.type != kind)
        return Sa((replace(proposal, transforms=kept if other is None else (*kept, other)),))

    return alter


def twice(payload: AnyPayload) -> AnyPayload:
    if not isinstance(payload, Sa):
        return payload
    (proposal,) = payload.proposals
    return Sa((replace(proposal, number=1), replace(proposal, number=2)))


def wider(kind: type[TsI] | type[TsR], *selectors: str) -> Alter:
    return lambda payload: kind(tuple(map(Selector.net, selectors))) if isinstance(payload, kind) else payload


CBC = Transform(TransformType.ENCR, Encr.AES_CBC, 256)
GCM_256 = Transform(TransformType.ENCR, Encr.AES_GCM_16, 256)
BAD: dict[str, tuple[Alter, str]] = {
    "a wider source": (wider(TsI, "10.0.0.0/8"), "selectors-widened"),
    "a wider destination": (wider(TsR, "0.0.0.0/0"), "selectors-widened"),
    "one selector too many": (wider(TsR, "10.2.0.0/16", "10.8.0.0/16"), "selectors-widened"),
    "a cipher we didn't offer": (with_transform(TransformType.ENCR, CBC), "bad-proposal-answer"),
    "a key length we didn't offer": (with_transform(TransformType.ENCR, GCM_256), "bad-proposal-answer"),
    "no word of sequence numbers": (with_transform(TransformType.ESN, None), "bad-proposal-answer"),
    "a proposal number we didn't use": (of_proposal(number=7), "bad-proposal-answer"),
    "AH": (of_proposal(protocol=Protocol.AH), "bad-proposal-answer"),
    "two proposals": (twice, "bad-proposal-answer"),
}
BAD_WITH_KE: dict[str, tuple[Alter, str]] = {
    "no group at all": (with_transform(TransformType.DH, None), "bad-proposal-answer"),
    "a group we didn't offer": (
        with_transform(TransformType.DH, Transform(TransformType.DH, Group.ECP_384)),
        "bad-proposal-answer",
    ),
    "a group we offered, but the value of the other": (
        with_transform(TransformType.DH, Transform(TransformType.DH, Group.ECP_256)),
        "wrong-ke-group",
    ),
    "the right group, but a value of another": (
        lambda payload: replace(payload, group=Group.ECP_256) if isinstance(payload, Ke) else payload,
        "wrong-ke-group",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_answer_of_ike_auth_makes_no_child(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    alter, reason = BAD[case]
    pair = pair_of_two()
    let_b_alter(monkeypatch, pair, Exchange.IKE_AUTH, alter)
    assert not pair.up(seconds=5)
    assert pair.a.ike.counters[reason] == 1
    _nothing_is_left_of(pair, "net", reason)
    assert pair.a.established == pair.b.established != []


@pytest.mark.parametrize("case", BAD | BAD_WITH_KE)
def test_a_bad_answer_of_create_child_sa_makes_no_child(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    alter, reason = (BAD | BAD_WITH_KE)[case]
    pair = pair_of_two()
    assert pair.up()
    let_b_alter(monkeypatch, pair, Exchange.CREATE_CHILD_SA, alter)
    pair.do(pair.a, pair.a.ike.up("more", pair.net.now))
    pair.net.run(5)
    assert pair.a.ike.counters[reason] == 1
    _nothing_is_left_of(pair, "more", reason)


@pytest.mark.parametrize("case", BAD | BAD_WITH_KE)
def test_a_bad_answer_to_a_rekey_replaces_nothing(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    alter, reason = (BAD | BAD_WITH_KE)[case]
    pair = pair_of_two()
    assert pair.up()
    spis = pair.a.inbound_spis
    let_b_alter(monkeypatch, pair, Exchange.CREATE_CHILD_SA, alter)
    pair.net.hook = lambda datagram: None if datagram.data[18] == Exchange.IKE_SA_INIT else datagram  # no new IKE SA
    pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
    pair.net.run(limits.TEMPORARY_FAILURE_LAST / 3)
    assert pair.a.ike.counters[reason] >= 1
    assert pair.a.inbound_spis <= spis
    assert not pair.a.events("child-rekeyed")
    (report,) = pair.a.events("child-rekey-failed")
    assert reason in str(report.fields["reason"])


def _nothing_is_left_of(pair: Pair, child: str, reason: str) -> None:
    for node in (pair.a, pair.b):
        assert child not in {installed.child for installed in (*node.inbound.values(), *node.outbound.values())}
    (report,) = pair.a.events("child-failed")
    assert report.fields["point"] == "me"
    assert reason in str(report.fields["reason"])
    assert [told.child for told in pair.a.gave_up] == [child]


@pytest.mark.parametrize(
    "alter",
    [
        with_transform(TransformType.ENCR, CBC),
        with_transform(TransformType.DH, Transform(TransformType.DH, Group.ECP_256)),
        with_transform(TransformType.PRF, None),
        of_proposal(number=3),
        of_proposal(spi=bytes(8)),
        twice,
        lambda payload: replace(payload, group=Group.ECP_256) if isinstance(payload, Ke) else payload,
    ],
)
def test_a_bad_answer_to_a_rekey_of_the_ike_sa_makes_no_heir(alter: Alter, monkeypatch: pytest.MonkeyPatch) -> None:
    both = replace(IKE_X25519, groups=(Group.CURVE25519, Group.ECP_256))
    pair = Pair(of_a=peer_b(proposals=(both,)), of_b=peer_a(proposals=(both,)))
    assert pair.up()
    let_b_alter(monkeypatch, pair, Exchange.CREATE_CHILD_SA, alter)
    pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
    pair.net.run(0.5)
    assert not pair.a.events("ike-rekeyed")
    assert pair.a.ike.counters["bad-rekey-answer"] + pair.a.ike.counters["bad-proposal-answer"] == 1


# --- IKE_SA_INIT -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alter", "reason"),
    [
        (with_transform(TransformType.ENCR, CBC), "bad-proposal-answer"),
        (with_transform(TransformType.PRF, None), "bad-proposal-answer"),
        (of_proposal(number=2), "bad-proposal-answer"),
        (of_proposal(spi=bytes(range(8))), "bad-proposal-answer"),
        (twice, "bad-proposal-answer"),
        (with_transform(TransformType.DH, Transform(TransformType.DH, Group.ECP_256)), "wrong-ke-group"),
        (
            lambda payload: Ke(Group.ECP_256, bytes(64)) if isinstance(payload, Ke) else payload,
            "wrong-ke-group",
        ),
    ],
)
def test_a_bad_answer_in_clear_has_no_effect_and_the_good_one_behind_it_is_taken(alter: Alter, reason: str) -> None:
    both = replace(IKE_X25519, groups=(Group.CURVE25519, Group.ECP_256))
    pair = Pair(of_a=peer_b(proposals=(both,)), of_b=peer_a(proposals=(both,)))
    spoiled: list[Datagram] = []

    def spoil_the_first(datagram: Datagram) -> Datagram:
        if str(datagram.source.address) != B or spoiled:
            return datagram
        spoiled.append(datagram)
        message = decode(datagram.data)
        return replace(datagram, data=encode(message.header, tuple(map(alter, message.payloads))))

    pair.net.hook = spoil_the_first
    assert pair.up()
    assert pair.a.ike.counters[reason] == 1
    assert pair.b.ike.counters["request-repeated"] == 1


# --- who answers -----------------------------------------------------------------------------------------------------


def test_a_responder_that_proves_another_identity_than_the_rules_is_told_so_and_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # RFC 7296 section 2.21.2. It has the right key, and overlooks that it was asked for as somebody else.
    def overlook(peers: object, claimed: Identity, asked: Identity | None, *more: object) -> pad.Opened:
        return pad.open_for_initiator(peers, claimed, None, *more)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(auth, "open_for_initiator", overlook)
    evil = Identity.parse("evil.example")
    pair = Pair(of_b=peer_a(local_id=evil))
    tap = Tap(pair.net)
    assert not pair.up(seconds=5)
    assert tap.lines()[-3:] == [
        "b <- IKE_AUTH 1 {IDr, AUTH, SA, TSi, TSr}",
        "a -> INFORMATIONAL 2 {N(AUTHENTICATION_FAILED)}",
        "b <- INFORMATIONAL 2 {}",
    ]
    (report,) = pair.a.events("auth-failed")
    assert report.fields["reason"] == "the peer says it is evil.example; the rule wants b.example"
    assert (report.fields["point"], report.fields["remote"]) == ("me", f"{B}:4500")
    assert pair.a.ike.counters["wrong-remote-identity"] == 1
    assert not any("Install" in type(effect).__name__ for effect in pair.a.effects)
    assert not pair.a.ike.status()
    assert not pair.b.ike.status()
    assert not pair.b.inbound | pair.b.outbound
