"""Algorithms (RFC 7296 sections 2.7 and 3.3): what is offered, what is picked, what is taken as an answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd.crypto import algorithms
from ipsecd.errors import PeerError, Refused
from ipsecd.ike.config import AhEspProposal, AhProposal, EspProposal, IkeProposal
from ipsecd.ike.menus import child_menus, ike_menus, nothing_left
from ipsecd.ike.negotiate import (
    Offer,
    accepted,
    accepted_child,
    child_offer,
    esp_suite,
    groups_of,
    ike_suite,
    offer,
    permits,
    permits_child,
    pick,
    pick_child,
)
from ipsecd.ike.suites import describe
from ipsecd.wire.payloads import Proposal, Sa, Transform
from ipsecd.wire.registry import Encr, Esn, Group, Integ, NotifyType, Prf, Protocol, TransformType

pytestmark = pytest.mark.usefixtures("nothing_withdrawn")

GCM = Transform(TransformType.ENCR, Encr.AES_GCM_16, 128)
GCM_256 = Transform(TransformType.ENCR, Encr.AES_GCM_16, 256)
CBC = Transform(TransformType.ENCR, Encr.AES_CBC, 256)
SHA256 = Transform(TransformType.INTEG, Integ.HMAC_SHA2_256_128)
SHA512 = Transform(TransformType.INTEG, Integ.HMAC_SHA2_512_256)
NO_MAC = Transform(TransformType.INTEG, Integ.NONE)
PRF_256 = Transform(TransformType.PRF, Prf.HMAC_SHA2_256)
PRF_512 = Transform(TransformType.PRF, Prf.HMAC_SHA2_512)
X25519 = Transform(TransformType.DH, Group.CURVE25519)
P256 = Transform(TransformType.DH, Group.ECP_256)
P384 = Transform(TransformType.DH, Group.ECP_384)
NO_GROUP = Transform(TransformType.DH, Group.NONE)
ESN = Transform(TransformType.ESN, Esn.YES)
NO_ESN = Transform(TransformType.ESN, Esn.NO)
ESP_SPI, IKE_SPI = bytes([0xC0, 1, 2, 3]), bytes(range(1, 9))

BOTH = IkeProposal(
    encryption=((Encr.AES_CBC, 256), (Encr.AES_GCM_16, 128)),
    integrity=(Integ.HMAC_SHA2_256_128, Integ.HMAC_SHA2_512_256),
    prf=(Prf.HMAC_SHA2_256, Prf.HMAC_SHA2_512),
    groups=(Group.CURVE25519, Group.ECP_256),
)
PFS = EspProposal(((Encr.AES_GCM_16, 128),), (), (Group.CURVE25519, Group.ECP_256))
CHACHA = EspProposal(((Encr.CHACHA20_POLY1305, None),), ())
PLAIN = EspProposal(((Encr.AES_CBC, 256),), (Integ.HMAC_SHA2_256_128,), esn=False)


def sa(*transforms: Transform, number: int = 1, protocol: Protocol = Protocol.ESP, spi: bytes = ESP_SPI) -> Sa:
    return Sa((Proposal(number, protocol, spi, transforms),))


def keywords(offered: Sa) -> list[str]:
    return describe(offered).split(", ")


# --- menus ---------------------------------------------------------------------------------------------------------


def test_ciphers_with_and_without_an_icv_stand_in_proposals_of_their_own() -> None:
    offered = offer(ike_menus([BOTH]), b"")
    assert [(proposal.number, proposal.transforms) for proposal in offered.proposals] == [
        (1, (GCM, PRF_256, PRF_512, X25519, P256)),
        (2, (CBC, PRF_256, PRF_512, SHA256, SHA512, X25519, P256)),
    ]


def test_a_child_has_groups_with_pfs_and_none_in_ike_auth() -> None:
    assert keywords(offer(child_menus([PFS], pfs=True), ESP_SPI)) == ["aes128gcm16-x25519-ecp256-esn-noesn"]
    assert keywords(offer(child_menus([PFS], pfs=False), ESP_SPI)) == ["aes128gcm16-esn-noesn"]
    assert keywords(offer(child_menus([PLAIN], pfs=True), ESP_SPI)) == ["aes256-sha256-noesn"]


def test_proposals_that_differ_by_groups_alone_are_offered_once_in_ike_auth() -> None:
    other = replace(PFS, groups=(Group.ECP_384,))
    assert len(child_menus([PFS, other], pfs=False)) == 1
    assert len(child_menus([PFS, other], pfs=True)) == 2


def test_groups_come_once_each_best_first() -> None:
    assert groups_of(ike_menus([BOTH])) == (Group.CURVE25519, Group.ECP_256)
    assert groups_of(child_menus([PFS, replace(PFS, groups=(Group.ECP_384, Group.ECP_256))], pfs=True)) == (
        Group.CURVE25519,
        Group.ECP_256,
        Group.ECP_384,
    )
    assert groups_of(child_menus([PLAIN], pfs=True)) == ()


# --- what failed its self-test ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failed", "left"),
    [
        ("aes128gcm16", ["aes256-prfsha256-prfsha512-sha256-sha512-x25519-ecp256"]),
        ("aes256", ["aes128gcm16-prfsha256-prfsha512-x25519-ecp256"]),
        (
            "sha256",
            ["aes128gcm16-prfsha256-prfsha512-x25519-ecp256", "aes256-prfsha256-prfsha512-sha512-x25519-ecp256"],
        ),
        ("prfsha256", ["aes128gcm16-prfsha512-x25519-ecp256", "aes256-prfsha512-sha256-sha512-x25519-ecp256"]),
        (
            "x25519",
            ["aes128gcm16-prfsha256-prfsha512-ecp256", "aes256-prfsha256-prfsha512-sha256-sha512-ecp256"],
        ),
        ("sha256 sha512", ["aes128gcm16-prfsha256-prfsha512-x25519-ecp256"]),
        ("prfsha256 prfsha512", [""]),
        ("ecp256 x25519", [""]),
        ("aes128gcm16 sha256 sha512", [""]),
    ],
)
def test_what_failed_its_self_test_is_not_offered(failed: str, left: list[str]) -> None:
    for name in failed.split():
        algorithms.withdraw(name)
    menus = ike_menus([BOTH])
    assert keywords(offer(menus, b"")) == left
    why = f"each key exchange proposal of the rule needs what failed its self-test: {', '.join(failed.split())}"
    assert nothing_left([BOTH], [CHACHA]) == ("" if left != [""] else why)


def test_a_child_whose_groups_have_all_failed_is_not_begun_without_pfs() -> None:
    algorithms.withdraw("ecp256")
    assert keywords(offer(child_menus([PFS], pfs=True), ESP_SPI)) == ["aes128gcm16-x25519-esn-noesn"]
    algorithms.withdraw("x25519")
    assert child_menus([PFS], pfs=True) == child_menus([PFS], pfs=False) == ()
    assert nothing_left([replace(BOTH, groups=(Group.ECP_384,))], [PFS]) == (
        "each ESP proposal of the rule needs what failed its self-test: ecp256, x25519"
    )
    assert nothing_left([replace(BOTH, groups=(Group.ECP_384,))], [PFS, PLAIN]) == ""


def test_a_failed_algorithm_that_the_rule_does_not_name_is_not_blamed() -> None:
    for name in ("aes256", "sha256", "sha1", "chacha20poly1305", "ecp521", "prfsha384"):
        algorithms.withdraw(name)
    assert nothing_left([BOTH], [PLAIN]) == (
        "each ESP proposal of the rule needs what failed its self-test: aes256, sha256"
    )


def test_what_failed_its_self_test_is_not_picked() -> None:
    algorithms.withdraw("x25519")
    _, picked = pick(ike_menus([BOTH]), sa(GCM, PRF_256, X25519, P256, protocol=Protocol.IKE), sent_group=None)
    assert picked[TransformType.DH] == P256
    algorithms.withdraw("ecp256")
    with pytest.raises(Refused) as caught:
        pick(ike_menus([BOTH]), sa(GCM, PRF_256, X25519, P256), sent_group=None)
    assert caught.value.detail.endswith("we accept nothing, since what our rule names failed its self-test")


# --- picking ---------------------------------------------------------------------------------------------------------


def test_one_transform_of_each_type_is_picked_by_our_preference() -> None:
    offered = sa(GCM_256, CBC, PRF_512, PRF_256, SHA512, SHA256, P256, X25519, protocol=Protocol.IKE, spi=IKE_SPI)
    chosen, picked = pick(ike_menus([BOTH]), offered, sent_group=None)
    assert chosen == Proposal(1, Protocol.IKE, IKE_SPI, (CBC, PRF_256, SHA256, X25519))
    assert str(ike_suite(picked)) == "aes256-sha256-prfsha256-x25519"


def test_the_group_of_the_value_sent_wins_where_we_would_use_it() -> None:
    offered = sa(GCM, PRF_256, X25519, P256, protocol=Protocol.IKE)
    for sent, picked in ((Group.ECP_256, P256), (Group.CURVE25519, X25519), (Group.ECP_384, X25519), (None, X25519)):
        assert pick(ike_menus([BOTH]), offered, sent_group=sent)[1][TransformType.DH] == picked


@pytest.mark.parametrize(
    ("offered", "sent", "picked"),
    [
        ((X25519, P256), X25519, X25519),
        ((X25519, P256), P256, X25519),  # somebody may have told it to
        ((P256, X25519), P256, P256),
        ((P384, P256, X25519), P256, P256),  # those before it aren't for us
        ((P384, P256, X25519), P384, X25519),
    ],
)
def test_where_the_value_sent_may_be_anybodys_wish_it_wins_only_as_the_peers_own_first(
    offered: tuple[Transform, ...], sent: Transform, picked: Transform
) -> None:
    # RFC 7296 section 1.2
    offers = sa(GCM, PRF_256, *offered, protocol=Protocol.IKE)
    _, found = pick(ike_menus([BOTH]), offers, sent_group=Group(sent.id), forgeable=True)
    assert found[TransformType.DH] == picked


def test_our_first_proposal_that_fits_wins_whatever_the_peers_order() -> None:
    offered = Sa(
        (
            Proposal(1, Protocol.ESP, ESP_SPI, (CBC, SHA256, NO_ESN)),
            Proposal(2, Protocol.ESP, ESP_SPI, (GCM, NO_ESN)),
        )
    )
    plain_last = [EspProposal(((Encr.AES_GCM_16, 128),), ()), PLAIN]
    assert pick(child_menus(plain_last, pfs=True), offered, sent_group=None)[0].number == 2
    assert pick(child_menus(plain_last[::-1], pfs=True), offered, sent_group=None)[0].number == 1


@pytest.mark.parametrize("absent", [(), (NO_MAC,), (NO_GROUP,), (NO_MAC, NO_GROUP)])
def test_none_and_nothing_mean_the_same(absent: tuple[Transform, ...]) -> None:
    # RFC 7296 section 3.3.3
    menus = child_menus([EspProposal(((Encr.AES_GCM_16, 128),), (), esn=True)], pfs=True)
    chosen, picked = pick(menus, sa(GCM, ESN, NO_ESN, *absent), sent_group=None)
    assert chosen.transforms == (GCM, ESN)
    assert esp_suite(picked) == esp_suite({TransformType.ENCR: GCM, TransformType.ESN: ESN})


@pytest.mark.parametrize(
    "offered",
    [
        sa(GCM, X25519, NO_ESN, protocol=Protocol.AH),
        sa(GCM, NO_ESN),  # no group, where we want PFS
        sa(GCM, NO_GROUP, NO_ESN),
        sa(GCM, SHA256, X25519, NO_ESN),  # an AEAD with a MAC
        sa(GCM, X25519),  # without saying anything of sequence numbers
        sa(X25519, NO_ESN),
        sa(GCM_256, X25519, NO_ESN),
        sa(replace(GCM, key_bits=None), X25519, NO_ESN),
        sa(replace(GCM, unknown=((0x800F, bytes(2)),)), X25519, NO_ESN),  # 3.3.6: an attribute we don't know
        sa(GCM, X25519, NO_ESN, Transform(TransformType(6), 36)),  # 3.3.6: a type we don't know
        Sa(()),
    ],
)
def test_what_we_would_not_use_whole_is_no_proposal(offered: Sa) -> None:
    with pytest.raises(Refused) as caught:
        pick(child_menus([PFS], pfs=True), offered, sent_group=Group.CURVE25519)
    assert caught.value.notify == NotifyType.NO_PROPOSAL_CHOSEN
    assert caught.value.detail.endswith("we accept aes128gcm16-x25519-ecp256-esn-noesn")


def test_groups_in_an_offer_of_ike_auth_are_overlooked() -> None:
    offered = Offer(sa(GCM, P256, NO_ESN))
    found = pick_child(child_menus([PFS], pfs=False), offered, sent_group=None, ignore_groups=True)
    chosen, picked = found.proposal, found.picked
    assert chosen.transforms == (GCM, NO_ESN)
    assert esp_suite(picked).group is None


# --- answers ---------------------------------------------------------------------------------------------------------

OURS = Sa(
    (
        Proposal(1, Protocol.ESP, ESP_SPI, (GCM, GCM_256, X25519, P256, ESN, NO_ESN)),
        Proposal(2, Protocol.ESP, ESP_SPI, (CBC, SHA256, SHA512, X25519, NO_ESN)),
    )
)


@pytest.mark.parametrize(
    "answer",
    [
        sa(GCM_256, P256, ESN),
        sa(NO_ESN, X25519, GCM),
        sa(GCM, NO_MAC, X25519, ESN),  # NONE where we said nothing
        sa(CBC, SHA512, X25519, NO_ESN, number=2),
    ],
)
def test_an_answer_cut_down_from_one_of_ours_is_taken(answer: Sa) -> None:
    proposal, picked = accepted(OURS, answer, 4)
    assert proposal == answer.proposals[0]
    assert set(picked.values()) == set(proposal.transforms)


_ONE = "not one proposal with an SPI of 4 octets"


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (Sa(()), _ONE),
        (Sa((*sa(GCM, X25519, ESN).proposals, *sa(CBC, SHA256, X25519, NO_ESN, number=2).proposals)), _ONE),
        (sa(GCM, X25519, ESN, spi=b""), _ONE),
        (sa(GCM, X25519, ESN, spi=bytes(8)), _ONE),
        (sa(GCM, X25519, ESN, number=3), "proposal 3 of ESP isn't ours"),
        (sa(GCM, X25519, ESN, number=0), "proposal 0 of ESP isn't ours"),
        (sa(GCM, X25519, ESN, protocol=Protocol.AH), "proposal 1 of AH isn't ours"),
        (sa(GCM, GCM_256, X25519, ESN), "aes128gcm16-aes256gcm16-x25519-esn isn't cut down from ours"),
        (sa(GCM, X25519, P256, ESN), "aes128gcm16-x25519-ecp256-esn isn't cut down from ours"),
        (sa(CBC, SHA256, X25519, NO_ESN), "aes256-sha256-x25519-noesn isn't cut down from ours"),  # that's our second
        (sa(replace(GCM, key_bits=192), X25519, ESN), "aes192gcm16-x25519-esn isn't cut down from ours"),
        (sa(GCM, X25519, ESN, PRF_256), "aes128gcm16-x25519-esn-prfsha256 isn't cut down from ours"),
        (sa(X25519, ESN), "x25519-esn leaves out ENCR"),
        (sa(GCM, ESN), "aes128gcm16-esn leaves out DH"),
        (sa(GCM, NO_GROUP, ESN), "aes128gcm16-NONE-esn leaves out DH"),
        (sa(GCM, X25519), "aes128gcm16-x25519 leaves out ESN"),
        (sa(CBC, NO_MAC, X25519, NO_ESN, number=2), "aes256-NONE-x25519-noesn leaves out INTEG"),
        (sa(), " leaves out"),
    ],
)
def test_an_answer_that_is_not_cut_down_from_one_of_ours_is_not_taken(answer: Sa, detail: str) -> None:
    with pytest.raises(PeerError) as caught:
        accepted(OURS, answer, 4)
    assert caught.value.reason == "bad-proposal-answer"
    assert detail in caught.value.detail


# --- suites ----------------------------------------------------------------------------------------------------------


def test_a_suite_is_permitted_by_a_proposal_that_holds_all_of_it() -> None:
    suite = ike_suite(
        {TransformType.ENCR: CBC, TransformType.INTEG: SHA256, TransformType.PRF: PRF_256, TransformType.DH: P256}
    )
    assert permits([BOTH], suite)
    for less in (
        replace(BOTH, encryption=((Encr.AES_GCM_16, 128),)),
        replace(BOTH, integrity=(Integ.HMAC_SHA2_512_256,)),
        replace(BOTH, prf=(Prf.HMAC_SHA2_512,)),
        replace(BOTH, groups=(Group.CURVE25519,)),
    ):
        assert not permits([less], suite)
    assert not permits([], suite)


def test_the_suite_of_a_child_is_permitted_by_a_proposal_that_holds_all_of_it_but_the_group() -> None:
    picked = {TransformType.ENCR: CBC, TransformType.INTEG: SHA256, TransformType.DH: P256, TransformType.ESN: ESN}
    suite = esp_suite(picked)
    same = EspProposal(BOTH.encryption, BOTH.integrity)
    assert permits_child([replace(same, encryption=((Encr.AES_GCM_16, 128),)), same], suite)
    for less in (
        replace(same, encryption=((Encr.AES_GCM_16, 128),)),
        replace(same, integrity=(Integ.HMAC_SHA2_512_256,)),
        replace(same, esn=False),
    ):
        assert not permits_child([less], suite)
    assert permits_child([replace(same, esn=False)], esp_suite({**picked, TransformType.ESN: NO_ESN}))
    assert not permits_child([], suite)


def test_a_suite_is_not_put_together_from_two_proposals() -> None:
    suite = ike_suite({TransformType.ENCR: GCM, TransformType.PRF: PRF_256, TransformType.DH: P256})
    one = replace(BOTH, encryption=((Encr.AES_GCM_16, 128),), groups=(Group.CURVE25519,))
    two = replace(BOTH, encryption=((Encr.AES_CBC, 256),), groups=(Group.ECP_256,))
    assert not permits([one, two], suite)


# --- AH, and AH with ESP ---------------------------------------------------------------------------------------------

AH_SPI, OTHER_SPI = bytes([0xA0, 1, 2, 3]), bytes([0xA0, 9, 9, 9])
AH = AhProposal((Integ.HMAC_SHA2_256_128, Integ.AES_128_GMAC))
GMAC = Transform(TransformType.INTEG, Integ.AES_128_GMAC)
BUNDLE = AhEspProposal((Integ.HMAC_SHA2_256_128,), PFS)


def ah(*transforms: Transform, number: int = 1, spi: bytes = AH_SPI) -> Proposal:
    return Proposal(number, Protocol.AH, spi, transforms)


def test_methods_of_both_protocols_stand_in_one_offer_in_their_order() -> None:
    offered = offer(child_menus([AH, PFS, replace(AH, groups=(Group.ECP_256,))], pfs=True), ESP_SPI)
    assert [(each.number, each.protocol) for each in offered.proposals] == [(1, 2), (2, 3), (3, 2)]
    assert keywords(offered) == [
        "ah-sha256-aes128gmac-esn-noesn",
        "aes128gcm16-x25519-ecp256-esn-noesn",
        "ah-sha256-aes128gmac-esn-noesn-ecp256",
    ]


def test_one_of_several_protocols_is_picked_by_our_order() -> None:
    offered = Offer(Sa((Proposal(1, Protocol.ESP, ESP_SPI, (GCM, NO_ESN)), ah(GMAC, SHA256, NO_ESN, number=2))))
    esp = replace(PFS, groups=())
    found = pick_child(child_menus([AH, esp], pfs=True), offered, sent_group=None)
    assert (found.proposal.number, str(found.suite), found.spis) == (2, "ah-sha256-noesn", (AH_SPI,))
    found = pick_child(child_menus([esp, AH], pfs=True), offered, sent_group=None)
    assert (found.proposal.number, str(found.suite)) == (1, "aes128gcm16-noesn")


@pytest.mark.parametrize("too_much", [GCM, PRF_256], ids=["a cipher", "a prf"])
def test_ah_with_a_transform_of_another_protocol_is_not_picked(too_much: Transform) -> None:
    """RFC 7296 section 3.3.3."""
    with pytest.raises(Refused) as caught:
        pick_child(child_menus([AH], pfs=True), Offer(Sa((ah(SHA256, too_much, NO_ESN),))), sent_group=None)
    assert caught.value.notify == NotifyType.NO_PROPOSAL_CHOSEN


def test_ah_without_integrity_is_not_picked() -> None:
    for transforms in ((NO_ESN,), (NO_MAC, NO_ESN)):
        with pytest.raises(Refused):
            pick_child(child_menus([AH], pfs=True), Offer(Sa((ah(*transforms),))), sent_group=None)


def test_gmac_is_of_ah_and_fails_with_its_self_test() -> None:
    algorithms.withdraw("aes128gmac")
    assert keywords(offer(child_menus([AH], pfs=True), AH_SPI)) == ["ah-sha256-esn-noesn"]
    alone = replace(AH, integrity=(Integ.AES_128_GMAC,))
    assert nothing_left([BOTH], [alone]) == (
        "each ESP or AH proposal of the rule needs what failed its self-test: aes128gmac"
    )


def test_an_offer_of_ah_with_esp_says_what_is_around_each_proposal() -> None:
    offered = child_offer(child_menus([BUNDLE, PFS], pfs=True), ESP_SPI, AH_SPI)
    assert keywords(offered.sa) == ["aes128gcm16-x25519-ecp256-esn-noesn"] * 2
    assert offered.around == {1: ah(SHA256, ESN, NO_ESN)}


def test_esp_inside_of_ah_is_picked_with_both_or_not_at_all() -> None:
    menus = child_menus([BUNDLE], pfs=True)
    esp = sa(GCM, X25519, ESN)
    found = pick_child(menus, Offer(esp, {1: ah(SHA256, NO_ESN)}), sent_group=Group.CURVE25519)
    assert str(found.suite) == "ah-sha256-noesn+aes128gcm16-x25519-esn"
    assert found.spis == (AH_SPI, ESP_SPI)
    answer = found.answer((OTHER_SPI, ESP_SPI[::-1]))
    assert answer.sa.proposals[0].spi == ESP_SPI[::-1]
    assert answer.around == {1: ah(SHA256, NO_ESN, spi=OTHER_SPI)}
    for offered in (Offer(esp), Offer(esp, {1: ah(SHA512, ESN)}), Offer(esp, {2: ah(SHA256, ESN)})):
        with pytest.raises(Refused):
            pick_child(menus, offered, sent_group=Group.CURVE25519)


def test_esp_that_is_offered_inside_of_ah_is_not_picked_alone() -> None:
    offered = Offer(sa(GCM, X25519, ESN), {1: ah(SHA256, ESN)})
    with pytest.raises(Refused) as caught:
        pick_child(child_menus([PFS], pfs=True), offered, sent_group=Group.CURVE25519)
    assert caught.value.detail == (
        "no common proposal: the peer offers ah-sha256-esn+aes128gcm16-x25519-esn; "
        "we accept aes128gcm16-x25519-ecp256-esn-noesn"
    )


def test_a_refusal_says_which_of_our_proposals_have_ah_around_esp() -> None:
    with pytest.raises(Refused) as caught:
        pick_child(child_menus([BUNDLE, CHACHA], pfs=False), Offer(sa(GCM, ESN)), sent_group=None)
    assert caught.value.detail == (
        "no common proposal: the peer offers aes128gcm16-esn; "
        "we accept ah-sha256-esn-noesn+aes128gcm16-esn-noesn, chacha20poly1305-esn-noesn"
    )


def test_an_answer_to_ah_with_esp_has_both_or_is_none() -> None:
    ours = child_offer(child_menus([replace(BUNDLE, esp=CHACHA), CHACHA], pfs=True), ESP_SPI, AH_SPI)
    chacha = Transform(TransformType.ENCR, Encr.CHACHA20_POLY1305)
    found = accepted_child(ours, Offer(sa(chacha, ESN, spi=IKE_SPI[:4]), {1: ah(SHA256, ESN, spi=OTHER_SPI)}))
    assert (found.spis, str(found.suite)) == ((OTHER_SPI, IKE_SPI[:4]), "ah-sha256-esn+chacha20poly1305-esn")
    assert str(accepted_child(ours, Offer(sa(chacha, ESN, number=2))).suite) == "chacha20poly1305-esn"
    for answer in (
        Offer(sa(chacha, ESN)),
        Offer(sa(chacha, ESN, number=2), {2: ah(SHA256, ESN, number=2)}),
        Offer(sa(chacha, ESN), {1: ah(SHA512, ESN)}),
        Offer(sa(chacha, ESN), {1: ah(SHA256, ESN, NO_ESN)}),
    ):
        with pytest.raises(PeerError) as caught:
            accepted_child(ours, answer)
        assert caught.value.reason == "bad-proposal-answer"


def test_a_suite_is_allowed_by_a_method_of_its_own_kind_alone() -> None:
    of_ah = pick_child(child_menus([AH], pfs=True), Offer(Sa((ah(SHA256, ESN),))), sent_group=None).suite
    assert permits_child([CHACHA, AH], of_ah)
    assert not permits_child([CHACHA, BUNDLE], of_ah)
    assert not permits_child([replace(AH, esn=False)], of_ah)
    both = pick_child(
        child_menus([BUNDLE], pfs=False), Offer(sa(GCM, ESN), {1: ah(SHA256, ESN)}), sent_group=None
    ).suite
    assert permits_child([BUNDLE], both)
    assert not permits_child([PFS, AH], both)
