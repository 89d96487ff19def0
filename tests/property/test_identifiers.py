"""Identifiers of children over any row of policies."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ipsecd.daemon.identifiers import Identifiers
from ipsecd.policy.plan import Plan
from tests.unit.daemon.test_identifiers import CBC, GCM, B, C, child, peer

_child = st.builds(child, st.sampled_from("abcde"), st.sampled_from(["2", "3", "4"]), st.sampled_from([GCM, CBC]))
_children = st.lists(_child, max_size=5, unique_by=lambda each: each.name)


@st.composite
def _plans(draw: st.DrawFn) -> Plan:
    children = draw(_children)
    split = draw(st.integers(0, len(children)))
    parts = ((B, children[:split]), (C, children[split:]))
    return Plan(policy="p", peers=tuple(peer(identity, *part) for identity, part in parts if part))


def traffic(plan: Plan) -> dict[str, tuple[object, ...]]:
    """What each child covers, with whom, by name."""
    return {child.name: (peer.remote_id, child.local, child.remote) for peer in plan.peers for child in peer.children}


@given(st.lists(_plans(), min_size=2, max_size=6))
def test_an_identifier_is_of_one_child_and_stays_with_its_peer_and_with_its_traffic(plans: list[Plan]) -> None:
    identifiers = Identifiers()
    before, given_before = Plan(), dict[str, str]()
    ever: set[str] = set()
    for plan in plans:
        ids = identifiers.of(plan, before, given_before)
        old, new = traffic(before), traffic(plan)
        assert ids.keys() == new.keys()
        assert len(set(ids.values())) == len(ids), "each child has its own"
        of_old = {key: old[name] for name, key in given_before.items()}
        for name, key in ids.items():
            if key in of_old:
                assert of_old[key][0] == new[name][0], "it stays with the peer"
            else:
                assert key not in ever, "none is given twice"
        for covered, count in Counter(old.values()).items():
            kept = {key for key, what in of_old.items() if what == covered}
            now = {key for name, key in ids.items() if new[name] == covered}
            assert len(kept & now) >= min(count, len(now)), "what is in both keeps its own"
        ever |= set(ids.values())
        before, given_before = plan, ids
