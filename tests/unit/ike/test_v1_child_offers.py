"""Suites of a quick mode: what is offered, what is understood, what is taken (RFC 2407 section 4.5, RFC 2408
section 4.2)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd.crypto import algorithms
from ipsecd.errors import LocalError, PeerError, Refused
from ipsecd.ike.config import Lifetime
from ipsecd.ike.suites import ChildSuite
from ipsecd.ike.v1.child_offers import accepted, choose, describe, offer, offered
from ipsecd.ike.v1.child_suites import can_be_said
from ipsecd.ike.v1.responder_lifetime import heard_lifetime, said_lifetime
from ipsecd.ike.v1.rows import Admitted
from ipsecd.wire.ikev1 import Chain
from ipsecd.wire.ikev1_attributes import Attribute, basic
from ipsecd.wire.ikev1_bodies import encode_body
from ipsecd.wire.ikev1_payloads import Notify, Proposal, Sa, Transform
from ipsecd.wire.ikev1_sa import decode_sa
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry import Encr, Group, Integ
from ipsecd.wire.registry_v1 import Encapsulation, NotifyType, Protocol
from tests.exchange.v1_suites import ah, both, esp

TUNNEL, TRANSPORT = Encapsulation.TUNNEL, Encapsulation.TRANSPORT
SPIS = {Protocol.AH: b"\xa1\xa2\xa3\xa4", Protocol.ESP: b"\xe1\xe2\xe3\xe4"}
# ESP: 128 bits, HMAC-SHA2-256, tunnel
GOOD = (basic(6, 128), basic(5, 5), basic(4, 1))


def of_esp(
    *transforms: tuple[Attribute, ...], id_: int = 12, number: int = 1, spi: bytes = SPIS[Protocol.ESP]
) -> Proposal:
    numbered = tuple(Transform(place, id_, attributes) for place, attributes in enumerate(transforms, 1))
    return Proposal(number, Protocol.ESP, spi, numbered)


def of_ah(*transforms: tuple[Attribute, ...], id_: int = 5, number: int = 1) -> Proposal:
    numbered = tuple(Transform(place, id_, attributes) for place, attributes in enumerate(transforms, 1))
    return Proposal(number, Protocol.AH, SPIS[Protocol.AH], numbered)


def test_an_offer_has_suites_of_one_protocol_together_and_a_bundle_under_one_number() -> None:
    """To the octet: ESP with AES-CBC of 128 bits and SHA2-256, or AES-GCM of 256 bits; then AH of SHA1 around ESP with
    Triple DES and MD5; all in tunnel mode, for an hour and a gigabyte."""
    suites: tuple[ChildSuite, ...] = (
        esp(),
        esp(Encr.AES_GCM_16, 256, None),
        both(ah(Integ.HMAC_SHA1_96), esp(Encr.TRIPLE_DES, None, Integ.HMAC_MD5_96)),
    )
    life = "80010001 80020e10 80010002 00020004 00100000"
    assert encode_body(offer(suites, SPIS, TUNNEL, Lifetime(3_600, 1 << 30))) == bytes.fromhex(
        "00000001 00000001"
        f"02000058 01 03 04 02 e1e2e3e4 03000028 01 0c 0000 80060080 80050005 80040001 {life}"
        f"             00000024 02 14 0000 80060100 80040001 {life}"
        f"02000030 02 02 04 01 a1a2a3a4 00000024 01 03 0000 80050002 80040001 {life}"
        f"00000030 02 03 04 01 e1e2e3e4 00000024 01 03 0000 80050001 80040001 {life}"
    )


def test_both_parts_of_a_bundle_have_the_one_group() -> None:
    sa = offer((both(ah(), esp(group=Group.MODP_2048)),), SPIS, TUNNEL, Lifetime(None))
    assert [basic(3, 14) in each.transforms[0].attributes for each in sa.proposals] == [True, True]
    assert choose(sa, (both(ah(), esp(group=Group.MODP_2048)),), TUNNEL).suite.group is not None


def test_an_offer_holds_no_more_than_a_peer_reads() -> None:
    bundle = both(ah(), esp())
    sa = offer(offered((bundle,) * 100), SPIS, TUNNEL, Lifetime(None))
    assert decode_sa(Reader(encode_body(sa))) == sa
    assert len(sa.proposals) == 32


def test_esn_is_offered_only_where_there_is_nothing_else() -> None:
    long, short = both(ah(esn=True), esp(esn=True)), both(ah(), esp())
    assert offered((long, short, ah(esn=True), ah())) == (short, ah())
    assert offered((esp(esn=True), ah())) == (ah(),)
    assert offered((long,)) == (long,)


def test_what_has_no_number_in_ikev1_is_not_offered() -> None:
    chacha = esp(Encr.CHACHA20_POLY1305, None, None)
    assert not can_be_said(chacha)
    assert not can_be_said(both(ah(Integ.AES_CMAC_96), esp()))
    assert can_be_said(both(ah(), esp()))
    with pytest.raises(LocalError, match="no numbers"):
        offer((chacha,), SPIS, TUNNEL, Lifetime(None))


def test_the_first_one_offered_goes_back_as_it_came() -> None:
    sa = Sa(
        (
            of_ah((basic(5, 5), basic(4, 1))),
            of_esp((basic(5, 9), *GOOD[::2]), (*GOOD, basic(1, 1), basic(2, 60)), number=2),
        )
    )
    choice = choose(sa, (esp(), esp(Encr.AES_CBC, 256)), TUNNEL)
    assert (choice.suite, choice.lifetime) == (esp(), Lifetime(60))
    answer = choice.answer({Protocol.ESP: b"ours"}, Lifetime(10))
    assert answer == Sa((Proposal(2, Protocol.ESP, b"ours", (sa.proposals[1].transforms[1],)),))


@pytest.mark.parametrize(
    ("attributes", "id_"),
    [
        (GOOD[:2], 12),  # no mode
        (GOOD[1:], 12),  # AES without a key length
        (GOOD[::2], 12),  # encryption alone
        ((*GOOD, basic(5, 2)), 12),  # two MACs
        ((*GOOD, basic(3, 1)), 12),  # a group of 768 bits
        ((*GOOD, basic(11, 2)), 12),  # other sequence numbers than those of 32 or 64 bits
        ((*GOOD, basic(77, 1)), 12),  # something that nobody knows
        ((Attribute(6, b"\0\0\0\x80"), *GOOD[1:]), 12),  # in the other form
        ((basic(6, 128), basic(5, 5), basic(4, 2)), 12),  # another mode
        (GOOD, 20),  # GCM with a MAC
        (GOOD, 3),  # Triple DES with a key length
        (GOOD, 6),  # CAST
    ],
)
def test_what_is_not_understood_whole_is_not_taken(attributes: tuple[Attribute, ...], id_: int) -> None:
    every = tuple(
        esp(encr, bits, integ)
        for encr, bits, integ in (
            (Encr.AES_CBC, 128, Integ.HMAC_SHA2_256_128),
            (Encr.AES_CBC, 128, Integ.HMAC_SHA1_96),
            (Encr.AES_GCM_16, 128, None),
            (Encr.TRIPLE_DES, None, Integ.HMAC_SHA2_256_128),
        )
    )
    with pytest.raises(Refused, match="no common proposal") as refused:
        choose(Sa((of_esp(attributes, id_=id_),)), every, TUNNEL)
    assert refused.value.notify == NotifyType.NO_PROPOSAL_CHOSEN
    good = Sa((of_esp(attributes, id_=id_), of_esp(GOOD, number=2)))
    assert choose(good, every, TUNNEL).proposals[0].number == 2


@pytest.mark.parametrize(
    ("attributes", "id_"),
    [
        ((basic(4, 1),), 5),  # no MAC beside the transform
        ((basic(5, 2), basic(4, 1)), 5),  # another one
        ((basic(5, 5), basic(4, 1), basic(6, 128)), 5),  # a key length
    ],
)
def test_ah_has_one_mac_and_no_key_length(attributes: tuple[Attribute, ...], id_: int) -> None:
    with pytest.raises(Refused):
        choose(Sa((of_ah(attributes, id_=id_),)), (ah(), ah(Integ.HMAC_SHA1_96)), TUNNEL)
    assert choose(Sa((of_ah((basic(5, 5), basic(4, 1))),)), (ah(),), TUNNEL).suite == ah()


def test_a_bundle_is_taken_whole_or_not_at_all() -> None:
    bundle = Sa((of_ah((basic(5, 5), basic(4, 1))), of_esp(GOOD)))
    assert choose(bundle, (ah(), esp(), both(ah(), esp())), TUNNEL).suite == both(ah(), esp())
    for suites in ((ah(), esp()), (both(ah(Integ.HMAC_SHA1_96), esp()),)):
        with pytest.raises(Refused):
            choose(bundle, suites, TUNNEL)
    for alone in bundle.proposals:
        with pytest.raises(Refused):
            choose(Sa((alone,)), (both(ah(), esp()),), TUNNEL)
    with pytest.raises(Refused):
        choose(Sa((of_esp(GOOD), of_esp(GOOD))), (esp(), both(ah(), esp())), TUNNEL)
    compressed = Proposal(1, Protocol.IPCOMP, b"\0\0\1\1", (Transform(1, 2, (basic(4, 1),)),))
    with pytest.raises(Refused):
        choose(Sa((*bundle.proposals, compressed)), (both(ah(), esp()), esp()), TUNNEL)


def test_both_parts_of_a_bundle_have_one_mode_and_one_group() -> None:
    for of_the_other in ((*GOOD[:2], basic(4, 2)), (*GOOD, basic(3, 14))):
        with pytest.raises(Refused):
            choose(
                Sa((of_ah((basic(5, 5), basic(4, 1))), of_esp(of_the_other))),
                (both(ah(), esp()), both(ah(), esp(group=Group.MODP_2048))),
                TUNNEL,
            )


@pytest.mark.parametrize("spi", [bytes(4), b"\0\0\0\xff"])
def test_a_reserved_spi_makes_no_sa(spi: bytes) -> None:
    """In UDP one of 0 is the marker in front of IKE (RFC 3948 section 2.2)."""
    with pytest.raises(Refused):
        choose(Sa((of_esp(GOOD, spi=spi),)), (esp(),), TUNNEL)


def test_an_algorithm_that_failed_its_self_test_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    suite = esp()
    monkeypatch.setattr(algorithms, "_withdrawn", {"sha256"})
    with pytest.raises(Refused):
        choose(Sa((of_esp(GOOD),)), (suite,), TUNNEL)


def test_an_answer_is_one_of_ours_with_one_transform() -> None:
    suites = (esp(), both(ah(), esp()))
    ours = offer(suites, SPIS, TUNNEL, Lifetime(None))
    good = Sa((of_esp(GOOD, spi=b"them"),))
    assert accepted(ours, good, suites, TUNNEL).spis == {Protocol.ESP: b"them"}
    timed = Sa((of_esp((*GOOD, basic(1, 1), basic(2, 60))),))
    assert accepted(ours, timed, suites, TUNNEL).lifetime == Lifetime(60)
    assert accepted(ours, Sa(ours.proposals[1:]), suites, TUNNEL).suite == suites[1]
    for answer in (
        Sa((of_esp(GOOD, GOOD),)),
        Sa((of_esp(GOOD), of_esp(GOOD, number=2))),
        Sa((of_esp(GOOD, number=3),)),
        Sa((of_esp((basic(6, 256), *GOOD[1:])),)),
        Sa((of_esp((*GOOD[:2], basic(4, 2))),)),
        Sa((of_esp((*GOOD, basic(3, 14))),)),
        Sa((of_ah((basic(5, 5), basic(4, 1))),)),
        Sa(()),
    ):
        with pytest.raises(PeerError) as error:
            accepted(ours, answer, suites, TUNNEL)
        assert error.value.reason == "bad-proposal-answer"


def test_lifetimes_of_any_length_are_read() -> None:
    for attributes, expected in (
        ((basic(1, 1), Attribute(2, bytes(7) + b"\x3c")), Lifetime(60)),
        ((basic(1, 1), Attribute(2, b"\xff" * 9)), Lifetime(0xFFFF_FFFF)),
        ((basic(1, 2), basic(2, 1_000)), Lifetime(None, 1_024_000)),
        ((basic(1, 1), basic(2, 60), basic(1, 2), basic(2, 1), basic(1, 1), basic(2, 30)), Lifetime(30, 1_024)),
        ((basic(1, 9), basic(2, 60)), Lifetime(None)),
        ((basic(1, 1), basic(2, 0)), Lifetime(None)),
    ):
        assert choose(Sa((of_esp((*GOOD, *attributes)),)), (esp(),), TUNNEL).lifetime == expected


def test_a_responder_tells_what_is_shorter_and_an_initiator_hears_it() -> None:
    choice = choose(Sa((of_esp((*GOOD, basic(1, 1), basic(2, 60))),)), (esp(),), TUNNEL)
    told = said_lifetime(choice, Lifetime(30), SPIS)
    assert told == (
        Notify(
            NotifyType.RESPONDER_LIFETIME,
            bytes.fromhex("80010001 8002001e"),
            Protocol.ESP,
            SPIS[Protocol.ESP],
        ),
    )
    assert said_lifetime(choice, Lifetime(60), SPIS) == said_lifetime(choice, Lifetime(None), SPIS) == ()
    broken = replace(told[0], data=b"\0")
    other = Notify(NotifyType.REPLAY_STATUS, bytes.fromhex("80010001 80020001"))
    admitted = Admitted(Chain((broken, *told, other), (b"",) * 3, b""))
    assert heard_lifetime(admitted) == Lifetime(30)


def test_offers_are_shown_in_the_words_of_a_policy() -> None:
    sa = Sa((of_ah((basic(5, 5), basic(4, 1))), of_esp(GOOD), of_esp(GOOD, (basic(5, 5),), id_=6, number=2)))
    assert describe(sa) == (
        "ah-sha256-noesn in TUNNEL+aes128-sha256-noesn in TUNNEL, "
        "ESP CAST with something that we don't know or ESP CAST with something that we don't know"
    )
