"""A plan, as the negotiation and the data plane see it."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd.crypto import algorithms
from ipsecd.crypto.secret import Secret
from ipsecd.daemon.compose import check_offers, ike_config, spd_entries, unusable
from ipsecd.daemon.keyring import Keyring
from ipsecd.errors import OperatorError
from ipsecd.ike import config as ike
from ipsecd.ipsec.spd import SpdEntry
from ipsecd.ipsec.tunnel import OuterHeader
from ipsecd.policy.plan import (
    Action,
    AhEspProposal,
    AhProposal,
    Child,
    Encapsulation,
    Entry,
    EspProposal,
    IkeProposal,
    Lifetime,
    Peer,
    Plan,
)
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import Encr, Group, Integ, Prf
from ipsecd.wire.selector import Selector
from ipsecd.wire.tfc import Tfc

NEAR, FAR = Selector.net("10.1.0.0/16"), Selector.net("10.2.0.0/16")
KEY = Secret(b"a key of twenty octets or more")
CHILD = Child(
    name="to-hq/1",
    rule="to-hq",
    local=(NEAR,),
    remote=(FAR,),
    proposals=(EspProposal(((Encr.AES_GCM_16, 128),), (), (Group.CURVE25519,), esn=False, lifetime=Lifetime(60)),),
    lifetime=Lifetime(900, 100_000_000, None),
    start=True,
)
PEER = Peer(
    name="to-hq",
    local=ip_address("192.0.2.1"),
    remotes=(ip_address("192.0.2.2"),),
    anywhere=False,
    remote_name="hq.example",
    remote_port=500,
    local_id=Identity.parse("gw.branch.example"),
    remote_id=Identity.parse("gw.hq.example"),
    shared_keys=("old", "new"),
    proposals=(
        IkeProposal(((Encr.AES_CBC, 256),), (Integ.HMAC_SHA2_256_128,), (Prf.HMAC_SHA2_256,), (Group.MODP_2048,)),
    ),
    lifetime=Lifetime(28_800),
    dpd=15.0,
    encapsulation=Encapsulation.UDP,
    fragmentation=False,
    keylog=True,
    children=(CHILD,),
    sessions=3,
)
IDS = {"to-hq/1": "17"}
PLAN = Plan(policy="branch", peers=(PEER,), ike_port=1_500, natt_port=14_500, cookie_threshold=0)


def test_a_peer_of_the_plan_is_a_peer_of_the_negotiation_with_its_keys() -> None:
    assert ike_config(PLAN, Keyring({"old": KEY, "new": KEY, "other": KEY}), IDS, {}) == ike.IkeConfig(
        peers=(
            ike.Peer(
                name="to-hq",
                local=ip_address("192.0.2.1"),
                remotes=(ip_address("192.0.2.2"),),
                local_id=Identity.parse("gw.branch.example"),
                remote_id=Identity.parse("gw.hq.example"),
                shared_keys=(ike.SharedKey("old", KEY), ike.SharedKey("new", KEY)),
                proposals=(
                    ike.IkeProposal(
                        ((Encr.AES_CBC, 256),), (Integ.HMAC_SHA2_256_128,), (Prf.HMAC_SHA2_256,), (Group.MODP_2048,)
                    ),
                ),
                children=(
                    ike.Child(
                        id="17",
                        name="to-hq/1",
                        rule="to-hq",
                        local=(NEAR,),
                        remote=(FAR,),
                        proposals=(
                            ike.EspProposal(
                                ((Encr.AES_GCM_16, 128),), (), (Group.CURVE25519,), False, ike.Lifetime(60)
                            ),
                        ),
                        lifetime=ike.Lifetime(900, 100_000_000, None),
                        start=True,
                    ),
                ),
                remote_port=500,
                lifetime=ike.Lifetime(28_800),
                dpd=15.0,
                encapsulation=ike.Encapsulation.UDP,
                fragmentation=False,
                sessions=3,
                keylog=True,
            ),
        ),
        ike_port=1_500,
        natt_port=14_500,
        cookie_threshold=0,
    )


def test_methods_of_ah_and_of_both_are_those_of_the_negotiation_and_children_of_hosts_want_transport_mode() -> None:
    esp = EspProposal(((Encr.AES_GCM_16, 128),), (), (Group.CURVE25519,), False, Lifetime(60))
    signed = AhProposal((Integ.AES_128_GMAC,), (Group.ECP_256,), False, Lifetime(70))
    proposals = (signed, AhEspProposal((Integ.HMAC_SHA1_96,), esp))
    child = replace(CHILD, proposals=proposals, tfc=Tfc(1_400, 5), inactivity=300)
    each = replace(PEER, name="each", each=True, local=None, remotes=(), children=(child,))
    config = ike_config(replace(PLAN, peers=(PEER, each)), Keyring({"old": KEY}), IDS, {})
    inside = ike.EspProposal(((Encr.AES_GCM_16, 128),), (), (Group.CURVE25519,), False, ike.Lifetime(60))
    [of_each] = config.hosts[0].children
    assert of_each.proposals == (
        ike.AhProposal((Integ.AES_128_GMAC,), (Group.ECP_256,), False, ike.Lifetime(70)),
        ike.AhEspProposal((Integ.HMAC_SHA1_96,), inside),
    )
    assert of_each.transport
    assert of_each.tfc == Tfc(1_400, 5)
    assert of_each.idle == 300
    assert not config.peers[0].children[0].transport


def test_a_peer_works_with_those_of_its_keys_that_could_be_had() -> None:
    (peer,) = ike_config(PLAN, Keyring({"new": KEY}), IDS, {}).peers
    assert [key.name for key in peer.shared_keys] == ["new"]


def test_a_peer_without_any_key_is_left_out_and_says_why() -> None:
    assert ike_config(PLAN, Keyring({}), IDS, {}).peers == ()
    assert unusable(PLAN, Keyring(problems={"old": "it is empty"})) == {
        "to-hq": "credential old: it is empty; credential new: not read yet"
    }


@pytest.mark.parametrize(("anywhere", "reason"), [(False, {"to-hq": "hq.example has no address now"}), (True, {})])
def test_a_name_without_an_address_is_not_taken_for_a_peer_that_may_call_from_anywhere(
    anywhere: bool, reason: dict[str, str]
) -> None:
    plan = replace(PLAN, peers=(replace(PEER, remotes=(), anywhere=anywhere),))
    assert unusable(plan, Keyring({"old": KEY})) == reason
    assert len(ike_config(plan, Keyring({"old": KEY}), IDS, {}).peers) == (1 if anywhere else 0)


def test_a_permit_for_one_type_of_connection_is_for_cleartext_and_isnt_in_the_spd() -> None:
    permit = Entry("a", "allow", Action.PERMIT, ((NEAR, FAR),), connections="lan")
    block = replace(permit, name="b", action=Action.BLOCK)
    assert [entry.name for entry in spd_entries(Plan(entries=(permit, block)), IDS)] == ["b"]


def test_entries_keep_their_order_and_get_their_names_of_rfc_4301() -> None:
    entries = (
        Entry("a", "allow", Action.PERMIT, ((NEAR, FAR),), inbound=False),
        Entry("b", "block", Action.BLOCK, ((NEAR, FAR),), outbound=False),
        Entry("c", "to-hq", Action.PROTECT, ((NEAR, FAR),), child="to-hq/1"),
    )
    assert spd_entries(Plan(entries=entries), IDS) == (
        SpdEntry("a", "allow", "bypass", ((NEAR, FAR),), "", outbound=True, inbound=False),
        SpdEntry("b", "block", "discard", ((NEAR, FAR),), "", outbound=False, inbound=True),
        SpdEntry("c", "to-hq", "protect", ((NEAR, FAR),), "17", outbound=True, inbound=True),
    )


@pytest.mark.parametrize(
    ("peer", "said"),
    [
        (
            replace(PEER, proposals=(replace(PEER.proposals[0], groups=(Group.MODP_2048,) * 253),)),
            "rule to-hq: what it offers doesn't fit into a message: Sa can't be encoded: ",
        ),
        (
            replace(PEER, proposals=PEER.proposals * 256),
            "rule to-hq: what it offers doesn't fit into a message: Sa can't be encoded: ",
        ),
        (
            replace(PEER, children=(replace(CHILD, proposals=(EspProposal(((Encr.AES_GCM_16, 128),) * 254, ()),)),)),
            "rule to-hq: what it offers doesn't fit into a message: Sa can't be encoded: ",
        ),
    ],
    ids=["253 groups", "256 proposals", "254 ciphers for ESP"],
)
def test_an_offer_that_can_not_be_made_is_refused_by_the_name_of_its_rule(peer: Peer, said: str) -> None:
    """A proposal has at most 255 transforms, an offer at most 255 proposals (RFC 7296 section 3.3)."""
    config = ike_config(replace(PLAN, peers=(peer,)), Keyring({"old": KEY}), IDS, {})
    with pytest.raises(OperatorError, match=said):
        check_offers(config)


@pytest.mark.usefixtures("nothing_withdrawn")
def test_a_rule_whose_algorithms_failed_their_self_test_leaves_the_others_alone() -> None:
    algorithms.withdraw("modp2048")
    check_offers(ike_config(PLAN, Keyring({"old": KEY}), IDS, {}))


def test_an_offer_that_just_fits_is_accepted() -> None:
    peer = replace(PEER, proposals=(replace(PEER.proposals[0], groups=(Group.MODP_2048,) * 252),))
    check_offers(ike_config(replace(PLAN, peers=(peer,)), Keyring({"old": KEY}), IDS, {}))


def test_what_the_outer_header_takes_stands_in_each_entry_of_the_child() -> None:
    entries = tuple(Entry(name, "to-hq", Action.PROTECT, ((NEAR, FAR),), child="to-hq/1") for name in "cd")
    marked = replace(PEER, children=(replace(CHILD, df="clear", dscp=46),))
    assert [entry.header for entry in spd_entries(Plan(entries=entries, peers=(marked,)), IDS)] == [
        OuterHeader(46, "clear"),
        OuterHeader(46, "clear"),
    ]
    assert [entry.header for entry in spd_entries(Plan(entries=entries, peers=(PEER,)), IDS)] == [OuterHeader()] * 2


def test_the_default_response_protects_nothing_that_a_rule_is_for_and_goes_before_the_default_action() -> None:
    here, everybody = Selector.net("192.0.2.1"), Selector.net("0.0.0.0/0")
    child = replace(CHILD, name="default-response/1", rule="default-response", local=(here,), remote=(everybody,))
    answers = replace(PEER, name="default-response", each=True, responds=True, children=(child,))
    rule = Entry("a", "allow", Action.PERMIT, ((NEAR, FAR),))
    default = Entry("default-action", "", Action.BLOCK, ((everybody, everybody),))
    plan = Plan(entries=(rule, default), peers=(answers,))
    assert spd_entries(plan, {"default-response/1": "18"}) == (
        SpdEntry("a", "allow", "bypass", ((NEAR, FAR),)),
        SpdEntry(
            "default-response/1",
            "default-response",
            "protect",
            ((here, everybody),),
            "18",
            header=OuterHeader(),
            each=True,
        ),
        SpdEntry("default-action", "", "discard", ((everybody, everybody),)),
    )
