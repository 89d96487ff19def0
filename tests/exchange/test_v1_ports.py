"""On which ports phase 1 of IKEv1 goes, from where answers come, and whether ESP travels in UDP then (RFC 3947 sections
3.2, 4 and 5.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd.ike.config import Path
from ipsecd.ike.effects import Send
from ipsecd.ike.nat import Nat
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_payloads import NatD
from tests.exchange.phase_1 import Wire, same, sas, terms
from tests.exchange.v1_gateways import gateways
from tests.exchange.v1_line import OURS, THEIRS

A, B = terms(), terms("b.example", "a.example")
LOUD_A, LOUD_B = replace(A, i_accept_offline_guessing=True), replace(B, i_accept_offline_guessing=True)
ELSEWHERE = ip_address("198.51.100.99")
HERE_4500, THERE_4500 = replace(OURS, port=4500), replace(THEIRS, port=4500)
NO_NAT = Nat(here=False, there=False)
ON_4500 = Path(HERE_4500, THERE_4500, natt=True)


def begun_on_4500(*, aggressive: bool = False, force_udp: bool = False) -> Wire:
    wire = Wire(
        replace(LOUD_A, force_udp=force_udp), LOUD_B, aggressive=aggressive, path=Path(HERE_4500, THERE_4500, natt=True)
    )
    same(wire.run(1.0))
    return wire


@pytest.mark.parametrize("aggressive", [False, True])
def test_what_begins_on_port_4500_stays_there_and_without_a_nat_esp_is_no_udp(aggressive: bool) -> None:
    of_i, of_r = sas(begun_on_4500(aggressive=aggressive))
    assert (of_i.nat, of_r.nat) == (NO_NAT, NO_NAT)
    assert (of_i.path, of_r.path) == (ON_4500, Path(THERE_4500, HERE_4500, natt=True))
    assert (of_i.in_udp, of_r.in_udp) == (False, False)


@pytest.mark.parametrize("aggressive", [False, True])
def test_what_begins_on_port_4500_has_udp_if_one_of_both_wants_it(aggressive: bool) -> None:
    of_i, of_r = sas(begun_on_4500(aggressive=aggressive, force_udp=True))
    assert (of_i.nat, of_r.nat) == (NO_NAT, Nat(here=False, there=True))
    assert (of_i.in_udp, of_r.in_udp) == (True, True)


@pytest.mark.parametrize("aggressive", [False, True])
@pytest.mark.parametrize(
    ("nat", "force_i", "force_r"), [(True, False, False), (False, True, False), (False, False, True)]
)
def test_behind_a_nat_or_what_looks_like_one_all_goes_in_udp(
    aggressive: bool, nat: bool, force_i: bool, force_r: bool
) -> None:
    of_i, of_r = replace(LOUD_A, force_udp=force_i), replace(LOUD_B, force_udp=force_r)
    wire = Wire(of_i, of_r, nat=nat, aggressive=aggressive).run(1.0)
    same(wire)
    assert [(sa.path.natt, sa.in_udp) for sa in sas(wire)] == [(True, True)] * 2


def test_on_port_500_nothing_does() -> None:
    assert [(sa.path.natt, sa.in_udp) for sa in sas(Wire(A, B).run(1.0))] == [(False, False)] * 2


@pytest.mark.parametrize(("force_udp", "port"), [(False, 0), (True, 4500)])
def test_quick_modes_are_for_what_esp_travels_in(force_udp: bool, port: int) -> None:
    net = gateways(force_udp=force_udp)
    net.i.path = ON_4500
    net.up(5.0)
    paths = [sa.path for end in (net.i, net.r) for sa in end.outbound.values()]
    assert {side.port for path in paths for side in (path.local, path.remote)} == {port}


# --- from where the answers come ------------------------------------------------------------------------------------


def answered_from(wire: Wire, which: Callable[[int], bool], seen: Callable[[Path], Path]) -> IsakmpSa:
    """The responder's messages of these numbers seem to come from somewhere else."""
    count, arrive = [0], wire.seen

    def moved(from_initiator: bool, path: Path) -> Path | None:
        arrived = arrive(from_initiator, path)
        if from_initiator or arrived is None:
            return arrived
        count[0] += 1
        return seen(arrived) if which(count[0]) else arrived

    wire.seen = moved  # type: ignore[method-assign]  # of this wire
    wire.run(1.0)
    return sas(wire)[0]


def elsewhere(path: Path) -> Path:
    return replace(path, remote=replace(path.remote, address=ELSEWHERE))


def test_a_responder_that_answers_from_elsewhere_has_a_nat_in_front_of_it() -> None:
    wire = Wire(A, B)
    sa = answered_from(wire, lambda _: True, elsewhere)
    assert wire.r.sa is not None
    assert (sa.nat, sa.in_udp) == (Nat(here=False, there=True), True)
    assert (wire.r.sa.nat, wire.r.sa.in_udp) == (NO_NAT, True)  # it doesn't see it, but that the initiator does
    assert sa.path == Path(HERE_4500, replace(THERE_4500, address=ELSEWHERE), natt=True)


@pytest.mark.parametrize("aggressive", [False, True])
def test_without_a_nat_the_last_message_moves_nobody(aggressive: bool) -> None:
    wire = Wire(LOUD_A, LOUD_B, aggressive=aggressive)
    sa = answered_from(wire, lambda number: number == 3, elsewhere)
    assert (sa.nat, sa.path) == (NO_NAT, Path(OURS, THEIRS))


def test_who_is_behind_a_nat_itself_follows_no_last_message() -> None:
    sa = answered_from(Wire(A, B, nat=True), lambda number: number == 3, elsewhere)
    assert (sa.nat, sa.path) == (Nat(here=True, there=False), ON_4500)


def test_a_last_message_on_port_500_is_old_when_all_goes_to_port_4500() -> None:
    wire = Wire(A, B, nat=True)
    stuck: list[bytes] = []

    def alter(from_initiator: bool, data: bytes) -> bytes | None:
        if not from_initiator and ikev1.decode(data).sealed and not stuck:
            stuck.append(data)
            return None
        return data

    wire._alter = alter
    wire.run(1.0)
    wire.give(to_responder=False, data=stuck[0], path=Path(OURS, THEIRS))
    assert (wire.i.sa, wire.i.core.counters["not-floated"]) == (None, 1)
    same(wire.run(10.0))
    assert sas(wire)[0].path == ON_4500


# --- which hashes count -------------------------------------------------------------------------------------------


def with_hashes(change: Callable[[list[NatD]], list[NatD]]) -> Wire:
    """What the initiator says of its ends is changed."""

    def alter(from_initiator: bool, data: bytes) -> bytes:
        message = ikev1.decode(data)
        said = [each for each in message.chain.payloads if isinstance(each, NatD)]
        if not from_initiator or message.sealed or not said:
            return data
        others = [each for each in message.chain.payloads if not isinstance(each, NatD)]
        return ikev1.encode(message.header, [*others, *change(said)])

    return Wire(A, B, alter=alter).run(1.0)


WRONG = NatD(bytes(32))


@pytest.mark.parametrize(
    ("change", "nat"),
    [
        (lambda said: [*said, WRONG], NO_NAT),
        (lambda said: [said[0], WRONG, said[1], WRONG], NO_NAT),  # of several addresses one is ours
        (lambda said: [said[0], WRONG, WRONG], Nat(here=False, there=True)),
        (lambda said: [WRONG, said[1]], Nat(here=True, there=False)),
        (lambda said: [said[1], said[0]], Nat(here=True, there=True)),  # the first one is of the other end
        (lambda said: [said[0]], None),
    ],
)
def test_the_first_hash_is_of_our_end_and_one_of_the_others_of_the_peer_s(
    change: Callable[[list[NatD]], list[NatD]], nat: Nat | None
) -> None:
    wire = with_hashes(change)
    found = wire.responder._ways.all[0][0].nat  # type: ignore[union-attr]  # it has got so far
    assert found == nat
    if nat is not None and not nat.found:
        same(wire)


def test_who_has_no_address_of_its_own_yet_says_the_one_that_the_answer_came_to() -> None:
    unknown = replace(OURS, address=ip_address("0.0.0.0"))
    wire = Wire(A, B, path=Path(unknown, THEIRS))
    first = [effect.path for effect in wire.i.effects if isinstance(effect, Send)]
    assert first == [Path(unknown, THEIRS)]
    wire.seen = lambda from_initiator, _: Path(THEIRS, OURS) if from_initiator else Path(OURS, THEIRS)  # type: ignore[method-assign]  # of this wire
    same(wire.run(1.0))
    assert [(sa.nat, sa.path.local.address) for sa in sas(wire)] == [
        (NO_NAT, OURS.address),
        (NO_NAT, THEIRS.address),
    ]
