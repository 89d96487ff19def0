"""C7 in IKEv1: messages that act on what is gone or isn't theirs, and SPIs that are used again (CVE-2023-38712,
CVE-2023-30570)."""

from __future__ import annotations

import pytest

from ipsecd import limits
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.wire.ikev1_payloads import AnyPayload, Delete, Nonce, Notify
from ipsecd.wire.registry import Integ
from ipsecd.wire.registry_v1 import Exchange, NotifyType, Protocol
from tests.exchange.test_v1_desk_places import behind_nat
from tests.exchange.test_v1_hostile import quick_1, said, sane, up
from tests.exchange.v1_desks import Desks
from tests.exchange.v1_suites import esp

OFFERED = b"\1\2\3\4"


def test_an_end_an_end_of_all_and_a_question_in_one_message_act_once_each() -> None:
    net = up()
    (sa,) = net.r.all.isakmp_sas
    (spi,) = net.i.inbound
    of_esp, of_isakmp = Delete(Protocol.ESP, (spi,)), Delete(Protocol.ISAKMP, (sa.spi,))
    alone, asked = (Notify(NotifyType.INITIAL_CONTACT, spi=sa.spi), Notify(NotifyType.R_U_THERE, bytes(4), spi=sa.spi))
    refusal = Notify(NotifyType.NO_PROPOSAL_CHOSEN, protocol=Protocol.ESP, spi=spi)
    sent = len(net.r.sent)
    everything = (of_isakmp, of_esp, refusal, of_isakmp, alone, asked, of_esp, alone)
    data = said(sa, Exchange.INFORMATIONAL, 9, *everything)
    net.give(to_responder=True, data=data)
    sane(net)
    assert (net.r.inbound, net.r.outbound, net.r.all.isakmp_sas) == ({}, {}, ())
    assert len(net.r.sent) == sent + 1  # that we are there
    assert net.r.events[2:] == ["down: the peer has ended it", "ended: the peer has ended the ISAKMP SA"]
    for _ in range(3):
        net.give(to_responder=True, data=data)
    net.give(to_responder=True, data=said(sa, Exchange.INFORMATIONAL, 10, of_esp))
    sane(net)
    assert len(net.r.sent) == sent + 1


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_spi_that_was_refused_may_be_offered_again(order: tuple[int, int]) -> None:
    net = up()
    (sa,) = net.r.all.isakmp_sas
    refused, granted = quick_1(suite=esp(integ=Integ.HMAC_SHA1_96)), quick_1()
    for id_, which in enumerate(order, 100):
        net.give(to_responder=True, data=said(sa, Exchange.QUICK, id_, *(refused, granted)[which]))
    sane(net)
    assert len(net.r.inbound) == 2
    assert net.r.core.counters["no-proposal-chosen"] == 1


def test_an_spi_that_is_offered_twice_ends_with_one_delete_wherever_it_is_sent_by() -> None:
    net = up()
    (sa,) = net.r.all.isakmp_sas
    for id_ in (100, 101):
        what, _, *ids = quick_1()
        net.give(to_responder=True, data=said(sa, Exchange.QUICK, id_, what, Nonce(bytes([id_]) * 32), *ids))
    new = [spi for spi in net.r.inbound if spi not in [live.pair.spi for live in net.r.all.pairs]]
    assert len(new) == 2
    net.act(lambda: [net.r.all.inbound_used(spi) for spi in new])  # type: ignore[arg-type]  # for what it does
    net.run(net.now + limits.QUICK_SETTLES)
    assert sum(spi == OFFERED for spi, _ in net.r.outbound) == 1  # the other one is replaced
    net.give(to_responder=True, data=said(sa, Exchange.INFORMATIONAL, 102, Delete(Protocol.ESP, (OFFERED,))))
    net.run(net.now + 10.0)
    sane(net)
    assert not set(new) & set(net.r.inbound)
    assert net.agree(1)


def test_what_is_made_is_not_ended_by_our_number_and_what_is_under_way_ends_once() -> None:
    net = up()
    (sa,) = net.r.all.isakmp_sas
    net.give(to_responder=True, data=said(sa, Exchange.QUICK, 100, *quick_1()))
    net.give(to_responder=True, data=said(sa, Exchange.QUICK, 101, *quick_1()))
    (made, *under_way) = net.r.inbound
    ours = Delete(Protocol.ESP, (made, under_way[0], under_way[0]))  # which its initiator may name by either number
    net.give(to_responder=True, data=said(sa, Exchange.INFORMATIONAL, 102, ours))
    assert list(net.r.inbound) == [made, under_way[1]]
    net.give(to_responder=True, data=said(sa, Exchange.INFORMATIONAL, 103, Delete(Protocol.ESP, (OFFERED,) * 2)))
    sane(net)
    assert list(net.r.inbound) == [made]
    assert net.agree(1)


# --- other peers ------------------------------------------------------------------------------------------------------


def two_clients() -> tuple[Desks, IsakmpSa, IsakmpSa]:
    """And the gateway's ISAKMP SAs with them."""
    net = behind_nat()
    for client in net.ends[:2]:
        net.want(client).run(5.0)
    one, two = (party.association.isakmp_sas[0] for party in net.ends[2].desk._parties)
    return net, one, two


def test_nobody_ends_what_others_have() -> None:
    net, mine, others = two_clients()
    gateway = net.ends[2]
    spis = {str(sa.remote[0]): spi for (spi, _), sa in gateway.outbound.items()}
    before = (set(gateway.inbound), set(gateway.outbound), gateway.established)
    theirs = (spis["10.1.2.0/24"], *(installed.spi for installed in net.ends[1].outbound.values()))
    harmless: list[tuple[AnyPayload, ...]] = [
        (Delete(Protocol.ESP, theirs),),
        (Delete(Protocol.ISAKMP, (others.spi,)),),
        (Notify(NotifyType.INITIAL_CONTACT, spi=others.spi),),
        (Notify(NotifyType.NO_PROPOSAL_CHOSEN, protocol=Protocol.ESP, spi=theirs[0]),),
        (Notify(NotifyType.INVALID_SPI, protocol=Protocol.ISAKMP, spi=others.spi),),
        (Notify(NotifyType.R_U_THERE, bytes(4), spi=others.spi),),
    ]
    sent = len(gateway.sent)
    alone = Notify(NotifyType.INITIAL_CONTACT, spi=mine.spi)  # which is of what was before this ISAKMP SA
    for id_, payloads in enumerate((*harmless, (alone,)), 100):
        net.give(said(mine, Exchange.INFORMATIONAL, id_, *payloads), mine.path)
    assert (set(gateway.inbound), set(gateway.outbound), gateway.established) == before
    assert len(gateway.sent) == sent
    assert net.ends[1].desk.up("net")


def test_an_spi_that_another_has_is_another_s_all_the_same() -> None:
    net, mine, _ = two_clients()
    gateway = net.ends[2]
    spis = {str(sa.remote[0]): spi for (spi, _), sa in gateway.outbound.items()}
    same = spis["10.1.2.0/24"]
    (party,) = (party for party in gateway.desk._parties if mine in party.association.isakmp_sas)
    net.give(said(mine, Exchange.INFORMATIONAL, 100, Delete(Protocol.ESP, (spis["10.1.1.0/24"], same))), mine.path)
    assert party.association.pairs == ()
    assert {spi for spi, _ in gateway.outbound} == {same}
