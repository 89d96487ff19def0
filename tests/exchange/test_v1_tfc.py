"""Traffic flow confidentiality of what IKEv1 makes: what the policy hides, as far as no word of the peer is needed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd.ike.config import Lifetime
from ipsecd.ike.suites import ChildSuite
from ipsecd.ike.v1.quick_terms import QuickTerms
from ipsecd.ike.v1.session import Settings
from ipsecd.wire.tfc import NO_TFC, PATH_MTU, Tfc
from tests.exchange.phase_2 import mirrored, of_hosts, terms
from tests.exchange.v1_gateways import Gateway, Gateways
from tests.exchange.v1_suites import ah, both, esp

HIDDEN, UNPADDED = Tfc(padding=PATH_MTU, dummies=5), Tfc(dummies=5)
DAY = Lifetime(86_400)


def up(of_i: QuickTerms, tfc: Tfc = HIDDEN) -> Gateways:
    """The initiator hides what it sends, and the responder doesn't."""
    return Gateways(Settings((replace(of_i, tfc=tfc),)), Settings((mirrored(of_i),))).up(5.0)


def sent(end: Gateway) -> list[Tfc]:
    return [installed.tfc for installed in end.outbound.values()]


def test_each_end_hides_what_its_own_policy_says() -> None:
    net = up(terms(lifetime=DAY))
    assert (sent(net.i), sent(net.r)) == ([HIDDEN], [NO_TFC])
    assert [(live.pair.tfc, live.pair.padding_declined) for live in net.i.all.pairs] == [(HIDDEN, False)]
    net.act(lambda: net.i.all.rekey("c")).traffic(0.5, 20.0)
    assert sent(net.i) == [HIDDEN]
    assert "rekeyed" in net.i.events


@pytest.mark.parametrize(
    ("suite", "hidden"),
    [(ah(), [NO_TFC]), (both(ah(), esp()), [NO_TFC, HIDDEN])],
)
def test_only_esp_hides_anything(suite: ChildSuite, hidden: list[Tfc]) -> None:
    net = up(terms(suite, lifetime=DAY))
    assert sorted(sent(net.i), key=lambda tfc: tfc.dummies) == hidden
    assert [live.pair.tfc for live in net.i.all.pairs] == hidden[-1:]


def test_in_transport_mode_nothing_is_padded_and_dummies_go_all_the_same() -> None:
    ours, theirs = of_hosts()
    of_hosts_alone = terms(local=ours, remote=theirs, transport=True, lifetime=DAY)
    net = up(of_hosts_alone)
    assert sent(net.i) == [UNPADDED]
    assert [(live.pair.tfc, live.pair.padding_declined) for live in net.i.all.pairs] == [(UNPADDED, True)]
    net = up(replace(of_hosts_alone, suites=(ah(),)))
    assert [(live.pair.tfc, live.pair.padding_declined) for live in net.i.all.pairs] == [(NO_TFC, False)]
    net = up(of_hosts_alone, UNPADDED)
    assert [(live.pair.tfc, live.pair.padding_declined) for live in net.i.all.pairs] == [(UNPADDED, False)]


def test_what_a_reload_hides_otherwise_a_successor_does_and_no_packet_is_lost() -> None:
    of_i = terms(lifetime=DAY)
    net = up(of_i)
    before = set(net.i.inbound)
    less = replace(of_i, tfc=Tfc(padding=1_000))
    net.act(lambda: net.i.all.reconfigure(Settings((less,)))).traffic(0.2, 30.0)
    assert sent(net.i) == [Tfc(padding=1_000)]
    assert not before & set(net.i.inbound)
    assert (net.lost, net.agree(1)) == ([], True)
    before = set(net.i.inbound)
    net.act(lambda: net.i.all.reconfigure(Settings((replace(less, keylog=True),)))).traffic(0.5, 60.0)
    assert set(net.i.inbound) == before
