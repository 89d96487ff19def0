"""Branches of the floor's trees that say the same."""

from __future__ import annotations

from ipsecd.policy.sharing import shared

BLOCK = 'ip daddr 10.2.0.1 counter name "drops.1.b/1" drop'


def test_branches_that_say_the_same_are_one_whatever_trees_they_are_of() -> None:
    one = {"a_v4": ["@nh,96,32 < 0x2 goto a_v4_0", "return"], "a_v4_0": ["@nh,96,32 < 0x1 goto a_v4_1"]}
    two = {"b_v4": ["@nh,96,32 < 0x3 goto b_v4_7"], "b_v4_7": ["@nh,96,32 < 0x1 goto b_v4_9"]}
    assert shared(one | two | {"a_v4_1": [BLOCK], "b_v4_9": [BLOCK]}) == {
        "a_v4": ["@nh,96,32 < 0x2 goto a_v4_0", "return"],
        "a_v4_0": ["@nh,96,32 < 0x1 goto a_v4_1"],
        "a_v4_1": [BLOCK],
        "b_v4": ["@nh,96,32 < 0x3 goto a_v4_0"],
    }


def test_branches_that_differ_or_go_to_others_that_differ_are_apart() -> None:
    chains = {
        "a_v6_0": ["ip6 daddr fd00::1 goto a_v6_1"],
        "a_v6_1": ["return"],
        "b_v6_0": ["ip6 daddr fd00::1 goto b_v6_1"],
        "b_v6_1": ["drop"],
    }
    assert shared(chains) == chains


def test_chains_that_others_jump_to_by_name_keep_it() -> None:
    chains = {"leaving": [BLOCK], "arriving": [BLOCK], "leaving_v4": [BLOCK], "arriving_v4": [BLOCK]}
    assert shared(chains) == chains
