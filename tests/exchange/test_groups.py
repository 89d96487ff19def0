"""Key exchange in CREATE_CHILD_SA: PFS or none, and groups that the other end wants (RFC 7296 section 1.3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd import limits
from ipsecd.errors import Refused
from ipsecd.ike import dispatch
from ipsecd.ike.config import EspProposal
from ipsecd.ike.sa import IkeSa
from ipsecd.wire.payloads import AnyPayload, Ke
from ipsecd.wire.registry import Encr, Exchange, Group, NotifyType
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import ESP_GCM, IKE_X25519, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.transcript import Tap

X25519, P256, P384 = Group.CURVE25519, Group.ECP_256, Group.ECP_384
CHACHA = EspProposal(((Encr.CHACHA20_POLY1305, None),), ())


def pfs(*groups: Group, base: EspProposal = ESP_GCM) -> EspProposal:
    return replace(base, groups=groups)


def with_more(ours: tuple[EspProposal, ...], theirs: tuple[EspProposal, ...]) -> tuple[Pair, Tap]:
    """One child is up, and both ends have these proposals for a second one."""
    more = child_of_a("more", local=(Selector.net("10.3.0.0/16"),), proposals=ours)
    pair = Pair(
        of_a=peer_b(child_of_a(), more),
        of_b=peer_a(mirrored(child_of_a()), replace(mirrored(more), proposals=theirs)),
    )
    assert pair.up()
    return pair, Tap(pair.net)


def suite_of_more(pair: Pair) -> str:
    suites = {
        child.suite for node in (pair.a, pair.b) for child in node.ike.status()[0].children if child.name == "more"
    }
    assert len(suites) == 1, suites
    return suites.pop()


ASKS, ANSWERS = "a -> CREATE_CHILD_SA 2 {SA, N, KE, TSi, TSr}", "b <- CREATE_CHILD_SA 2 {SA, N, KE, TSi, TSr}"
WANTS_OTHER = "b <- CREATE_CHILD_SA 2 {N(INVALID_KE_PAYLOAD)}"
ASKS_AGAIN, ANSWERS_THEN = (line.replace(" 2 ", " 3 ") for line in (ASKS, ANSWERS))


@pytest.mark.parametrize(
    ("ours", "theirs", "said", "suite"),
    [
        ((pfs(X25519),), (pfs(X25519),), [ASKS, ANSWERS], "aes128gcm16-x25519-esn"),
        ((pfs(X25519, P256),), (pfs(P256, X25519),), [ASKS, ANSWERS], "aes128gcm16-x25519-esn"),
        (
            (pfs(X25519, P256),),
            (pfs(P256),),
            [ASKS, WANTS_OTHER, ASKS_AGAIN, ANSWERS_THEN],
            "aes128gcm16-ecp256-esn",
        ),
        (  # the group belongs to another proposal
            (pfs(X25519), pfs(P256, base=CHACHA)),
            (pfs(P256, P384, base=CHACHA), pfs(P384)),
            [ASKS, WANTS_OTHER, ASKS_AGAIN, ANSWERS_THEN],
            "chacha20poly1305-ecp256-esn",
        ),
        (  # the other end wants no PFS where both are offered
            (pfs(X25519), ESP_GCM),
            (ESP_GCM,),
            [ASKS, "b <- CREATE_CHILD_SA 2 {SA, N, TSi, TSr}"],
            "aes128gcm16-esn",
        ),
        (  # and here it insists on it
            (ESP_GCM, pfs(P384)),
            (pfs(P384), ESP_GCM),
            [ASKS, ANSWERS],
            "aes128gcm16-ecp384-esn",
        ),
        ((ESP_GCM,), (ESP_GCM,), [line.replace(" KE,", "") for line in (ASKS, ANSWERS)], "aes128gcm16-esn"),
    ],
)
def test_a_second_child_is_made_with_the_group_that_both_have(
    ours: tuple[EspProposal, ...], theirs: tuple[EspProposal, ...], said: list[str], suite: str
) -> None:
    pair, tap = with_more(ours, theirs)
    pair.do(pair.a, pair.a.ike.up("more", pair.net.now))
    assert pair.net.run(5, until=lambda: pair.agree(2))
    assert tap.lines() == said
    assert suite_of_more(pair) == suite
    outbound = {installed.child: installed.keys for installed in pair.a.outbound.values()}
    inbound = {installed.child: installed.keys for installed in pair.b.inbound.values()}
    assert outbound == inbound


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [((pfs(X25519),), (pfs(P256),)), ((ESP_GCM,), (pfs(X25519),)), ((pfs(X25519),), (ESP_GCM,))],
)
def test_without_a_group_that_both_have_there_is_no_child(
    ours: tuple[EspProposal, ...], theirs: tuple[EspProposal, ...]
) -> None:
    pair, tap = with_more(ours, theirs)
    pair.do(pair.a, pair.a.ike.up("more", pair.net.now))
    pair.net.run(5)
    assert tap.lines()[1:] == ["b <- CREATE_CHILD_SA 2 {N(NO_PROPOSAL_CHOSEN)}"]
    assert pair.agree(1)


def insist(monkeypatch: pytest.MonkeyPatch, pair: Pair, *groups: int) -> None:
    """Gateway b answers each public value with the wish for the next of these groups; after the last it is content."""
    real = dispatch._row
    left = list(groups)

    def row(sa: IkeSa, exchange: Exchange, payloads: tuple[AnyPayload, ...], *more: object) -> object:
        if left and sa.core is pair.b.ike._core and any(isinstance(payload, Ke) for payload in payloads):
            wanted = left.pop(0).to_bytes(2, "big")
            raise Refused("other-group-wanted", notify=NotifyType.INVALID_KE_PAYLOAD, data=wanted)
        return real(sa, exchange, payloads, *more)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(dispatch, "_row", row)


def test_the_heir_of_an_ike_sa_is_made_with_the_group_the_other_end_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    both = replace(IKE_X25519, groups=(X25519, P256))
    pair = Pair(of_a=peer_b(proposals=(both,)), of_b=peer_a(proposals=(both,)))
    assert pair.up()
    before, tap = pair.a.established, Tap(pair.net)
    insist(monkeypatch, pair, P256)
    pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
    pair.net.run(5)
    assert tap.lines() == [
        "a -> CREATE_CHILD_SA 2 {SA, N, KE}",
        "b <- CREATE_CHILD_SA 2 {N(INVALID_KE_PAYLOAD)}",
        "a -> CREATE_CHILD_SA 3 {SA, N, KE}",
        "b <- CREATE_CHILD_SA 3 {SA, N, KE}",
        "a -> INFORMATIONAL 4 {D}",
        "b <- INFORMATIONAL 4 {}",
    ]
    assert pair.agree(1)
    assert pair.a.established != before
    assert pair.a.ike.status()[0].suite == "aes128gcm16-prfsha256-ecp256"


@pytest.mark.parametrize(
    ("wishes", "asked"),
    [
        ((P384,), 1),  # which we don't offer
        ((X25519,), 1),  # which it has just got
        ((P256, X25519, P256, X25519, P256), 1 + limits.MAX_INVALID_KE_ROUNDS),
    ],
)
def test_wishes_that_lead_nowhere_end(wishes: tuple[Group, ...], asked: int, monkeypatch: pytest.MonkeyPatch) -> None:
    both = replace(IKE_X25519, groups=(X25519, P256))
    pair = Pair(of_a=peer_b(proposals=(both,)), of_b=peer_a(proposals=(both,)))
    assert pair.up()
    before, tap = pair.a.established, Tap(pair.net)
    insist(monkeypatch, pair, *wishes)
    pair.net.hook = lambda datagram: None if datagram.data[18] == Exchange.IKE_SA_INIT else datagram  # no new IKE SA
    pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
    pair.net.run(5)
    assert len([line for line in tap.lines() if line.startswith("a -> CREATE_CHILD_SA")]) == asked
    assert pair.a.established == before
    assert pair.a.events("ike-rekey-failed")[0].fields["reason"] == (
        "the peer wants a key exchange method we don't offer (INVALID_KE_PAYLOAD)"
    )
