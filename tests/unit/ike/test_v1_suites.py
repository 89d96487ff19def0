"""Suites of an ISAKMP SA: what is offered, what is understood, what is taken (RFC 2409 section 5 and appendix A)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd.crypto import algorithms
from ipsecd.errors import LocalError, PeerError, Refused
from ipsecd.ike.config import Lifetime
from ipsecd.ike.v1.suites import accepted, choose, describe, offer
from ipsecd.wire.ikev1_attributes import Attribute, basic
from ipsecd.wire.ikev1_bodies import encode_body
from ipsecd.wire.ikev1_payloads import Proposal, Sa, Transform
from ipsecd.wire.registry import Encr, Group, Prf
from ipsecd.wire.registry_v1 import NotifyType, Protocol
from tests.exchange.phase_1 import suite

AES, DES3 = suite(), suite(Encr.TRIPLE_DES, None, Prf.HMAC_SHA1, Group.MODP_2048)
# encryption AES-CBC, hash SHA2-256, group 31, PSK, 128 bits
GOOD = (basic(1, 7), basic(2, 4), basic(4, 31), basic(3, 1), basic(14, 128))


def offered(*transforms: tuple[Attribute, ...], id_: int = 1, protocol: Protocol = Protocol.ISAKMP) -> Sa:
    numbered = tuple(Transform(number, id_, attributes) for number, attributes in enumerate(transforms, 1))
    return Sa((Proposal(1, protocol, b"", numbered),))


def test_an_offer_names_each_suite_in_order_and_one_lifetime() -> None:
    """To the octet: AES-CBC with 128 bits, SHA2-256, group 31; Triple DES, SHA, group 14; PSK; 86,400 seconds."""
    assert encode_body(offer((AES, DES3), Lifetime(86_400))) == bytes.fromhex(
        "00000001 00000001 00000054 01 01 00 02"
        "03000028 01 01 0000 80010007 800e0080 80020004 8004001f 80030001 800b0001 000c0004 00015180"
        "00000024 02 01 0000 80010005 80020002 8004000e 80030001 800b0001 000c0004 00015180"
    )


def test_the_first_one_offered_that_we_take_goes_back_as_it_came() -> None:
    sa = offered((basic(1, 1), *GOOD[1:]), (*GOOD, basic(11, 1), Attribute(12, b"\0\0\x0e\x10")))
    choice = choose(sa, (DES3, AES))
    assert choice.suite == AES
    assert choice.lifetime == Lifetime(3_600)
    assert choice.answer == Sa((Proposal(1, Protocol.ISAKMP, b"", (sa.proposals[0].transforms[1],)),))


@pytest.mark.parametrize(
    ("said", "lifetime"),
    [
        ((), Lifetime(28_800)),
        ((basic(11, 1), basic(12, 600)), Lifetime(600)),
        ((basic(11, 2), basic(12, 600)), Lifetime(28_800, 614_400)),
        ((basic(11, 2), basic(12, 600), basic(11, 1), Attribute(12, b"\1\0\0")), Lifetime(65_536, 614_400)),
        ((basic(11, 1), basic(12, 0)), Lifetime(None)),
        ((basic(11, 3), basic(12, 600)), Lifetime(28_800)),
    ],
)
def test_lifetimes_in_seconds_and_in_kilobytes_are_found(said: tuple[Attribute, ...], lifetime: Lifetime) -> None:
    assert choose(offered((*GOOD, *said)), (AES,)).lifetime == lifetime


def test_an_offer_says_both_limits() -> None:
    (proposal,) = offer((AES,), Lifetime(3_600, 10_240_000)).proposals
    assert proposal.transforms[0].attributes[-4:] == (
        basic(11, 1),
        basic(12, 3_600),
        basic(11, 2),
        basic(12, 10_000),
    )


@pytest.mark.parametrize(
    "attributes",
    [
        (),
        *(GOOD[:left_out] + GOOD[left_out + 1 :] for left_out in range(5)),  # each of them is needed
        (*GOOD, basic(14, 256)),  # contradicts
        (*GOOD, basic(4, 14)),
        (*GOOD, basic(13, 1)),  # a PRF of its own
        (*GOOD, basic(5, 1), Attribute(6, b"\xff" * 96)),  # a group of its own
        (*GOOD, Attribute(16_384, b"host/x")),
        (*GOOD[:4], Attribute(14, b"\0\x80")),  # basic attributes have the basic form
        (*GOOD[:3], basic(3, 65_001), basic(14, 128)),  # another method
        (basic(1, 2), *GOOD[1:]),  # IDEA
        (GOOD[0], basic(2, 3), *GOOD[2:]),  # Tiger
        (*GOOD[:2], basic(4, 1_025), *GOOD[3:]),
        (*GOOD[:4], basic(14, 7)),
    ],
)
def test_what_is_not_understood_whole_is_not_taken(attributes: tuple[Attribute, ...]) -> None:
    with pytest.raises(Refused) as caught:
        choose(offered(attributes), (AES,))
    assert (caught.value.reason, caught.value.notify) == ("no-proposal-chosen", NotifyType.NO_PROPOSAL_CHOSEN)


def test_what_is_said_twice_and_is_the_same_is_taken() -> None:
    assert choose(offered((*GOOD, GOOD[0])), (AES,)).suite == AES


def test_other_transforms_and_protocols_are_passed_over() -> None:
    for sa in (offered(GOOD, id_=2), offered(GOOD, protocol=Protocol.ESP)):
        with pytest.raises(Refused):
            choose(sa, (AES,))


def test_a_refusal_says_what_both_sides_want() -> None:
    with pytest.raises(Refused, match="the peer offers aes128-sha256-x25519 by PSK; we take 3des-sha1-modp2048"):
        choose(offered(GOOD), (DES3,))


def test_what_has_no_name_is_described_all_the_same() -> None:
    odd = offered((basic(1, 2), basic(2, 99), basic(3, 65_001), basic(4, 1), Attribute(12, b"\1" * 9)), ())
    assert describe(odd) == (
        "IDEA_CBC-OAKLEYHASH_99-XAUTH_INIT_PSK-GROUP=1-LIFE_DURATION=18519084246547628289, nothing"
    )


def test_the_answer_names_one_of_our_suites() -> None:
    ours = (AES, DES3)
    for number, taken in enumerate(ours):
        transform = replace(offer(ours, Lifetime(60)).proposals[0].transforms[number], number=9)
        assert accepted(ours, Sa((Proposal(7, Protocol.ISAKMP, b"", (transform,)),))) == taken


@pytest.mark.parametrize(
    "answer",
    [
        offered((*GOOD[:4], basic(14, 256))),
        offered(GOOD, GOOD),
        offered(GOOD, protocol=Protocol.ESP),
        Sa((*offered(GOOD).proposals, *offered(GOOD).proposals)),
        offered(()),
    ],
)
def test_another_answer_is_none(answer: Sa) -> None:
    with pytest.raises(PeerError, match=r"^bad-proposal-answer"):
        accepted((AES,), answer)


def test_a_suite_without_numbers_is_our_own_mistake() -> None:
    gcm = algorithms.encryption(Encr.AES_GCM_16, 128)
    assert gcm is not None
    with pytest.raises(LocalError):
        offer((replace(AES, encryption=gcm),), Lifetime(60))


@pytest.mark.usefixtures("nothing_withdrawn")
def test_what_failed_its_self_test_is_not_taken() -> None:
    algorithms.withdraw("x25519")
    with pytest.raises(Refused):
        choose(offered(GOOD), (AES,))


def test_suites_are_written_in_the_keywords_of_a_policy() -> None:
    assert [str(each) for each in (AES, DES3)] == ["aes128-sha256-x25519", "3des-sha1-modp2048"]
