"""A new policy has other versions of IKE for a peer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd.ike.config import IkeConfig, Peer
from tests.exchange.gateways import IKE_CLASSIC, Pair, child_of_a, peer_b
from tests.exchange.two_versions import NEW, NEW_OLD, OLD, OLD_NEW, agree, pair_of, said, versions_of


def reload(pair: Pair, *of_a: Peer) -> None:
    pair.do(pair.a, pair.a.ike.reconfigure(IkeConfig(of_a), pair.net.now))


@pytest.mark.parametrize(
    ("before", "after", "version", "then"),
    [
        (OLD, OLD_NEW, "IKEv1", "IKEv1"),
        (OLD, NEW_OLD, "IKEv1", "IKEv1"),
        (NEW, NEW_OLD, "IKEv2", "IKEv2"),
        (NEW_OLD, OLD_NEW, "IKEv2", "IKEv2"),
        (OLD_NEW, NEW_OLD, "IKEv1", "IKEv1"),
        (OLD_NEW, NEW, "IKEv1", "IKEv2"),
        (OLD, NEW, "IKEv1", "IKEv2"),
    ],
    ids=str,
)
def test_an_sa_stays_as_long_as_the_policy_has_its_version(
    before: tuple, after: tuple, version: str, then: str
) -> None:  # type: ignore[type-arg]  # versions
    child = replace(child_of_a(), start=True)
    pair = pair_of(before, OLD_NEW, child)
    pair.do(pair.a, pair.a.ike.start(pair.net.now))
    assert pair.net.run(10.0, until=lambda: agree(pair, version))
    spis = set(pair.a.inbound)
    reload(pair, peer_b(child, versions=after, proposals=(IKE_CLASSIC,)))
    assert pair.net.run(60.0, until=lambda: agree(pair, then))
    pair.net.run(60.0)
    assert agree(pair, then)
    assert (set(pair.a.inbound) == spis) == (version == then)


def test_without_ikev2_in_the_policy_an_ike_sa_ends_and_nothing_takes_its_place() -> None:
    """Who has authenticated by IKEv2 has nothing by IKEv1, whatever the policy says now."""
    child = replace(child_of_a(), start=True)
    pair = pair_of(NEW, OLD_NEW, child)
    pair.do(pair.a, pair.a.ike.start(pair.net.now))
    assert pair.net.run(10.0, until=lambda: agree(pair, "IKEv2"))
    reload(pair, peer_b(child, versions=OLD, proposals=(IKE_CLASSIC,)))
    pair.net.run(60.0)
    assert (versions_of(pair.a), pair.a.inbound, pair.b.inbound) == ([], {}, {})
    assert "authenticated by IKEv2 before" in str(pair.a.events("child-failed")[-1].fields["reason"])


def test_a_call_by_a_version_that_the_policy_has_no_more_is_called_off() -> None:
    for before, after, major in ((OLD, NEW, 1), (NEW, OLD, 2)):
        pair = pair_of(before, NEW_OLD)
        pair.net.hook = lambda _: None
        pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
        pair.net.run(1.0)
        reload(pair, peer_b(child_of_a(), versions=after, proposals=(IKE_CLASSIC,)))
        pair.net.sent.clear()
        pair.net.run(200.0)
        assert major not in said(pair, pair.a)
