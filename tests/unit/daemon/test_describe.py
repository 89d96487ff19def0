"""The policy in force as plain values: all of it, and credentials by name alone."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from ipsecd.daemon.describe import describe_plan
from ipsecd.policy.plan import (
    Action,
    AhEspProposal,
    AhProposal,
    Child,
    Encapsulation,
    Entry,
    EspProposal,
    Exempt,
    IkeProposal,
    Lifetime,
    Peer,
    Plan,
    Rule,
)
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import Encr, Group, Integ, Prf
from ipsecd.wire.selector import Selector

NEAR, FAR = Selector.net("10.1.0.0/16"), Selector.net("10.2.0.0/16")
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
    fragmentation=True,
    keylog=False,
    children=(
        Child(
            "to-hq/1",
            "to-hq",
            (NEAR,),
            (FAR,),
            (
                EspProposal(((Encr.CHACHA20_POLY1305, None),), ()),
                EspProposal(((Encr.AES_GCM_16, 128),), (), lifetime=Lifetime(300)),
                AhProposal((Integ.AES_128_GMAC,), (Group.ECP_256,), esn=False),
                AhEspProposal((Integ.HMAC_SHA1_96,), EspProposal(((Encr.AES_CBC, 128),), (Integ.HMAC_SHA2_256_128,))),
            ),
            Lifetime(900),
            True,
        ),
    ),
)
PLAN = Plan(
    policy="branch",
    rules=(
        Rule("to-hq", "the office", "require-security", Action.PROTECT, "to-hq", ("to-hq/1",), ("to-hq/1",), line=7),
        Rule("out", "", "block", Action.BLOCK, "", (), ("out/1",), line=9),
    ),
    entries=(
        Entry("to-hq/1", "to-hq", Action.PROTECT, ((NEAR, FAR),), child="to-hq/1", passthrough=True, line=8),
        Entry("out/1", "out", Action.BLOCK, ((NEAR, FAR),), inbound=False, line=10),
        Entry("in/1", "in", Action.PERMIT, ((NEAR, FAR),), outbound=False),
    ),
    peers=(PEER,),
    unresolved=("b.example",),
    exempt=Exempt(kerberos=True, neighbour_discovery=False),
)
COUNTERS = {"hits.to-hq/1": 5, "drops.to-hq/1": 2, "drops.out/1": 3, "hits.in/1": 1, "wrong-side": 9}


def test_everything_but_secrets_is_told() -> None:
    assert describe_plan(PLAN, COUNTERS) == {
        "policy": "branch",
        "rules": [
            {"name": "to-hq", "description": "the office", "action": "require-security", "peer": "to-hq", "line": 7},
            {"name": "out", "description": "", "action": "block", "peer": "", "line": 9},
        ],
        "entries": [
            {
                "name": "to-hq/1",
                "rule": "to-hq",
                "action": "protect",
                "direction": "both",
                "pairs": [["10.1.0.0/16", "10.2.0.0/16"]],
                "connections": "all",
                "child": "to-hq/1",
                "passthrough": True,
                "line": 8,
                "steered": 5,
                "dropped": 2,
            },
            {
                "name": "out/1",
                "rule": "out",
                "action": "block",
                "direction": "out",
                "pairs": [["10.1.0.0/16", "10.2.0.0/16"]],
                "connections": "all",
                "child": "",
                "passthrough": False,
                "line": 10,
                "steered": 0,
                "dropped": 3,
            },
            {
                "name": "in/1",
                "rule": "in",
                "action": "permit",
                "direction": "in",
                "pairs": [["10.1.0.0/16", "10.2.0.0/16"]],
                "connections": "all",
                "child": "",
                "passthrough": False,
                "line": 0,
                "steered": 1,
                "dropped": 0,
            },
        ],
        "peers": [
            {
                "name": "to-hq",
                "local": "192.0.2.1",
                "remotes": ["192.0.2.2"],
                "remote_name": "hq.example",
                "anywhere": False,
                "each": False,
                "responds": False,
                "local_id": "gw.branch.example",
                "remote_id": "gw.hq.example",
                "versions": ["IKEv2"],
                "credentials": ["old", "new"],
                "proposals": [
                    {
                        "encryption": ["AES_CBC-256"],
                        "integrity": ["HMAC_SHA2_256_128"],
                        "prf": ["HMAC_SHA2_256"],
                        "groups": ["MODP_2048"],
                    }
                ],
                "keylog": False,
                "children": [
                    {
                        "name": "to-hq/1",
                        "local": ["10.1.0.0/16"],
                        "remote": ["10.2.0.0/16"],
                        "proposals": [
                            {
                                "ah": [],
                                "encryption": ["CHACHA20_POLY1305"],
                                "integrity": [],
                                "groups": [],
                                "esn": True,
                                "lifetime": 900,
                            },
                            {
                                "ah": [],
                                "encryption": ["AES_GCM_16-128"],
                                "integrity": [],
                                "groups": [],
                                "esn": True,
                                "lifetime": 300,
                            },
                            {
                                "ah": ["AES_128_GMAC"],
                                "encryption": [],
                                "integrity": [],
                                "groups": ["ECP_256"],
                                "esn": False,
                                "lifetime": 900,
                            },
                            {
                                "ah": ["HMAC_SHA1_96"],
                                "encryption": ["AES_CBC-128"],
                                "integrity": ["HMAC_SHA2_256_128"],
                                "groups": [],
                                "esn": True,
                                "lifetime": 900,
                            },
                        ],
                        "start": True,
                    }
                ],
            }
        ],
        "unresolved": ["b.example"],
        "exempt": ["kerberos", "dhcp"],
    }


def test_an_address_that_the_route_decides_is_none() -> None:
    plan = replace(PLAN, peers=(replace(PEER, local=None),))
    assert describe_plan(plan, {})["peers"][0]["local"] is None


def test_what_stands_for_many_hosts_says_so_and_has_no_identity() -> None:
    hosts = replace(PEER, local=None, remotes=(), local_id=None, remote_id=None, each=True, responds=True)
    (told,) = describe_plan(replace(PLAN, peers=(hosts,)), {})["peers"]
    shown = ("local", "remotes", "local_id", "remote_id", "each", "responds")
    assert [told[name] for name in shown] == [None, [], None, None, True, True]
