"""Who begins a quick mode doesn't send by what it makes before the peer should have made it too: a responder may take
nothing by new SAs until it has read the last message."""

from __future__ import annotations

from ipsecd.ike.effects import Coming, GiveUp
from tests.exchange.network import Link
from tests.exchange.v1_gateways import Gateways, gateways

AT_ONCE = Link(delay=(0.0, 0.0))


def made(net: Gateways) -> None:
    """A quick mode of the initiator's, in no time."""
    net.run(net.now)
    assert len(net.i.all.pairs) == len(net.r.all.pairs)


def first() -> Gateways:
    net = gateways(link=AT_ONCE).want()
    made(net)
    return net


def spi_of(net: Gateways) -> bytes:
    """What the initiator receives by, of the latest pair."""
    return net.i.all.pairs[-1].pair.spi


def test_the_initiator_sends_by_the_first_pair_a_fifth_of_a_second_later() -> None:
    net = first()
    assert len(net.r.outbound) == 1
    assert [each for each in net.i.effects if isinstance(each, Coming)] == [Coming("c")]  # what there is to send waits
    net.run(net.now + 0.19)
    assert net.i.outbound == {}
    net.run(net.now + 0.02)
    assert [inbound for _, inbound in net.i.outbound] == [spi_of(net)]


def test_a_packet_by_the_new_sas_says_that_the_peer_has_them() -> None:
    net = first()
    net.act(lambda: net.i.all.inbound_used(spi_of(net)))
    assert [inbound for _, inbound in net.i.outbound] == [spi_of(net)]
    installed = len(net.i.effects)
    net.run(net.now + 1.0)
    assert len(net.i.effects) == installed


def test_until_then_it_sends_by_what_is_replaced() -> None:
    net = first().run(1.0)
    (old,) = net.i.outbound
    net.act(lambda: net.i.all.rekey("c"))
    made(net)
    net.run(net.now + 0.19)
    assert list(net.i.outbound) == [old]
    net.run(net.now + 0.02)
    assert [inbound for _, inbound in net.i.outbound] == [spi_of(net)]
    assert spi_of(net) != old[1]


def test_what_ends_before_that_is_never_sent_by() -> None:
    net = first()
    net.act(lambda: net.r.all.put_down("c", "by command"))
    net.run(net.now + 1.0)
    assert (net.i.outbound, net.i.all.pairs) == ({}, ())
    assert [each.child for each in net.i.effects if isinstance(each, GiveUp)] == ["c"]  # and isn't kept for nothing


def test_a_successor_that_ends_before_that_leaves_the_old_one_sent_by() -> None:
    net = first().run(1.0)
    (old,) = net.i.outbound
    net.act(lambda: net.i.all.rekey("c"))
    made(net)
    net.act(lambda: net.i.all.lost((spi_of(net),), "the data plane has failed"))
    net.run(net.now + 1.0)
    assert list(net.i.outbound) == [old]
