"""The peer authorization database (RFC 4301 section 4.4.3): what an identity and a credential open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd.crypto import algorithms
from ipsecd.crypto.secret import Secret
from ipsecd.errors import Refused
from ipsecd.ike.config import Endpoint, Path, Peer, SharedKey
from ipsecd.ike.pad import callers, kin, open_for_initiator, open_for_responder
from ipsecd.ike.suites import IkeSuite
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import Encr, Group, NotifyType, Prf
from tests.exchange.gateways import IKE_CLASSIC, KEY, A, B, peer_b

B_ID, C_ID = Identity.parse("b.example"), Identity.parse("c.example")
OTHER = SharedKey("other", Secret(b"another key altogether"))
SAME_NAME = SharedKey("site", Secret(b"another key of the same name"))
ONE = peer_b(name="one")
C = peer_b(name="c", remote_id=C_ID)


def suite() -> IkeSuite:
    """The one that gateways use in most tests."""
    encryption = algorithms.encryption(Encr.AES_GCM_16, 128)
    prf, group = algorithms.prf(Prf.HMAC_SHA2_256), algorithms.group(Group.CURVE25519)
    assert encryption is not None
    assert prf is not None
    assert group is not None
    return IkeSuite(encryption, None, prf, group)


def proof_by(*keys: SharedKey) -> Callable[[SharedKey], bool]:
    return lambda key: key in keys


def refusal(opening: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        opening()
    assert caught.value.notify == NotifyType.AUTHENTICATION_FAILED
    return caught.value.reason, caught.value.detail


# --- what an initiator opens -----------------------------------------------------------------------------------------


def from_initiator(
    peers: tuple[Peer, ...], claimed: Identity = B_ID, asked: str | None = None, *keys: SharedKey
) -> tuple[list[str], str]:
    identity = Identity.parse(asked) if asked else None
    opened = open_for_initiator(peers, claimed, identity, suite(), proof_by(*(keys or (KEY,))))
    return [peer.name for peer in opened.peers], opened.key.name


def test_all_entries_of_the_identity_that_name_the_key_are_opened_in_the_order_of_the_policy() -> None:
    two = replace(ONE, name="two", shared_keys=(OTHER, KEY))
    assert from_initiator((ONE, C, two)) == (["one", "two"], "site")
    assert from_initiator((two, C, ONE)) == (["two", "one"], "site")


def test_entries_of_other_identities_keys_and_algorithms_stay_closed() -> None:
    other_key = replace(ONE, name="other-key", shared_keys=(OTHER,))
    other_suite = replace(ONE, name="other-suite", proposals=(IKE_CLASSIC,))
    assert from_initiator((other_key, other_suite, C, ONE)) == (["one"], "site")


def test_entries_in_which_we_are_somebody_else_stay_closed() -> None:
    elsewhere = replace(ONE, name="elsewhere", local_id=Identity.parse("a2.example"))
    assert from_initiator((ONE, elsewhere)) == (["one"], "site")
    assert from_initiator((ONE, elsewhere), B_ID, "a2.example") == (["elsewhere"], "site")
    assert from_initiator((elsewhere, ONE), B_ID, "A.EXAMPLE") == (["one"], "site")


def test_what_opens_nothing_says_why_to_us_alone() -> None:
    closed = (ONE, C)
    assert refusal(lambda: from_initiator(closed, Identity.parse("x.example"))) == (
        "unknown-identity",
        "no rule for this address names the remote identity x.example",
    )
    assert refusal(lambda: from_initiator(closed, B_ID, "x.example")) == (
        "wrong-local-identity",
        "the peer asks for x.example; towards b.example we are a.example",
    )
    assert refusal(lambda: from_initiator(closed, B_ID, None, SAME_NAME)) == (
        "wrong-key",
        "the pre-shared key of b.example isn't the one we have",
    )
    assert refusal(lambda: from_initiator((replace(ONE, proposals=(IKE_CLASSIC,)),))) == (
        "suite-not-allowed",
        "the rule for b.example doesn't accept aes128gcm16-prfsha256-x25519",
    )


def test_each_key_is_held_against_the_proof_once() -> None:
    asked: list[str] = []

    def proves(key: SharedKey) -> bool:
        asked.append(key.name)
        return False

    peers = (ONE, replace(ONE, name="two", shared_keys=(KEY, OTHER)))
    refusal(lambda: open_for_initiator(peers, B_ID, None, suite(), proves))
    assert asked == ["site", "other"]


# --- what a responder opens ------------------------------------------------------------------------------------------


def from_responder(peer: Peer, others: tuple[Peer, ...], claimed: Identity, *keys: SharedKey) -> list[str]:
    opened = open_for_responder(peer, others, claimed, suite(), proof_by(*keys))
    return [each.name for each in opened.peers]


def test_the_entry_we_called_comes_first_and_its_kin_behind_it() -> None:
    two = replace(ONE, name="two", shared_keys=(OTHER, KEY))
    assert from_responder(two, (ONE, C, two), B_ID, KEY) == ["two", "one"]


def test_the_responder_has_to_be_who_the_rule_names_whatever_else_it_could_open() -> None:
    assert refusal(lambda: from_responder(ONE, (ONE, C), C_ID, KEY)) == (
        "wrong-remote-identity",
        "the peer says it is c.example; the rule wants b.example",
    )


def test_the_responder_has_to_prove_it_by_a_key_of_the_entry_we_called() -> None:
    two = replace(ONE, name="two", shared_keys=(OTHER,))
    for key in (OTHER, SAME_NAME):
        assert refusal(lambda key=key: from_responder(ONE, (ONE, two), B_ID, key))[0] == "wrong-key"
    assert refusal(lambda: from_responder(ONE, (ONE,), B_ID))[0] == "wrong-key"


def test_the_responders_algorithms_have_to_be_those_of_the_entry_we_called() -> None:
    strict = replace(ONE, proposals=(IKE_CLASSIC,))
    assert refusal(lambda: from_responder(strict, (strict, C), B_ID, KEY))[0] == "suite-not-allowed"


@pytest.mark.parametrize(
    "other",
    [
        replace(ONE, name="x", remote_id=C_ID),
        replace(ONE, name="x", local_id=Identity.parse("a2.example")),
        replace(ONE, name="x", shared_keys=(OTHER,)),
        replace(ONE, name="x", shared_keys=(SAME_NAME,)),
        replace(ONE, name="x", proposals=(IKE_CLASSIC,)),
    ],
)
def test_what_differs_in_what_is_proven_is_no_kin(other: Peer) -> None:
    assert kin(ONE, (ONE, other), suite(), (KEY,)) == ()


def test_kin_opens_whichever_of_the_keys_it_was() -> None:
    two = replace(ONE, name="two", shared_keys=(OTHER, KEY))
    capital = replace(ONE, name="capital", remote_id=Identity.parse("B.example"))
    assert kin(ONE, (ONE, two, capital), suite(), (KEY,)) == (two, capital)
    assert kin(two, (ONE, two), suite(), two.shared_keys) == ()
    assert kin(two, (ONE, two), suite(), (KEY,)) == (ONE,)


# --- who may speak along a path --------------------------------------------------------------------------------------


def test_entries_that_name_the_far_end_stand_before_those_that_name_none() -> None:
    path = Path(Endpoint(ip_address(A), 500), Endpoint(ip_address(B), 500))
    anywhere = replace(ONE, name="anywhere", remotes=())
    elsewhere = replace(ONE, name="elsewhere", remotes=(ip_address("203.0.113.1"),))
    of_other_address = replace(ONE, name="other", local=ip_address("192.0.2.77"))
    of_any_address = replace(ONE, name="any", local=None)
    several = replace(ONE, name="several", remotes=(ip_address("203.0.113.1"), ip_address(B)))
    peers = (anywhere, elsewhere, of_other_address, of_any_address, several, ONE)
    assert [peer.name for peer in callers(peers, (), path)] == ["any", "several", "one", "anywhere"]
