"""C1, C4 and C22 in phase 1 of IKEv1: numbers that aren't offered are never used, what is obsolete is had only where it
is named, and public values are of their group and as long as it says (CVE-2014-9221, CVE-2023-41913, CVE-2015-4000)."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest

from ipsecd.crypto import algorithms, modp
from ipsecd.errors import Refused
from ipsecd.ike.config import Lifetime
from ipsecd.ike.v1.suites import IsakmpSuite, choose, offer
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_attributes import basic
from ipsecd.wire.ikev1_payloads import Ke, Sa
from ipsecd.wire.registry import Encr, Group, Prf
from ipsecd.wire.registry_v1 import OakleyAttribute
from tests.exchange.phase_1 import Wire, same, suite, terms
from tests.exchange.test_v1_aggressive_mode import A, B

OURS = suite(group=Group.MODP_2048)
OBSOLETE = {
    "des": suite(Encr.DES, None, group=Group.MODP_2048),
    "3des": suite(Encr.TRIPLE_DES, None, group=Group.MODP_2048),
    "md5": suite(prf_id=Prf.HMAC_MD5, group=Group.MODP_2048),
    "sha1": suite(prf_id=Prf.HMAC_SHA1, group=Group.MODP_2048),
    "modp768": suite(group=Group.MODP_768),
    "modp1024": suite(group=Group.MODP_1024),
    "modp1536": suite(group=Group.MODP_1536),
}


def changed(of: IsakmpSuite, kind: OakleyAttribute, *numbers: int) -> Sa:
    """An offer of one suite, again and again, with other numbers in the place of one of its own."""
    (proposal,) = offer((of,), Lifetime(600)).proposals
    (transform,) = proposal.transforms
    others = tuple(each for each in transform.attributes if each.type != kind)
    assert len(others) == len(transform.attributes) - 1
    transforms = tuple(replace(transform, attributes=(*others, basic(kind, number))) for number in numbers)
    return Sa((replace(proposal, transforms=transforms),))


def taken(sa: Sa, *suites: IsakmpSuite) -> bool:
    try:
        choose(sa, suites)
    except Refused:
        return False
    return True


@pytest.mark.parametrize(
    ("kind", "right"),
    [
        (OakleyAttribute.ENCRYPTION, 7),
        (OakleyAttribute.HASH, 4),
        (OakleyAttribute.GROUP, 14),
        (OakleyAttribute.AUTHENTICATION, 1),
        (OakleyAttribute.KEY_LENGTH, 128),
    ],
)
def test_of_many_numbers_the_one_that_we_take_is_taken(kind: OakleyAttribute, right: int) -> None:
    others = {*range(1_200), *range(32_000, 32_010), *range(65_000, 65_010), 65_535} - {right}
    assert taken(changed(OURS, kind, right), OURS)
    assert not taken(changed(OURS, kind, *others), OURS)


def test_of_all_groups_there_are_those_that_have_a_row_alone() -> None:
    rows = {1, 2, 5, *range(14, 22), 28, 29, 30, 31, 32}
    assert {number for number in range(1 << 16) if algorithms.group(number)} == rows


@pytest.mark.parametrize("name", OBSOLETE)
def test_what_is_obsolete_is_had_only_where_it_is_named(name: str) -> None:
    """Logjam and SLOTH: it's neither offered nor taken by itself, and whoever names it has it."""
    weak = OBSOLETE[name]
    assert not taken(offer((weak,), Lifetime(600)), OURS)
    of_i, of_r = terms(), terms("b.example", "a.example")
    careful = Wire(replace(of_i, suites=(weak,)), of_r).run(1.0)
    assert (careful.r.sent, careful.r.core.counters["no-proposal-chosen"]) == ([], 1)
    wire = Wire(replace(of_i, suites=(OURS, weak)), replace(of_r, suites=(weak,))).run(1.0)
    same(wire)
    assert wire.i.sa is not None
    assert wire.i.sa.suite == weak


def test_every_group_can_be_had_in_both_modes() -> None:
    for number in (1, 2, 5, 14, 19, 20, 21, 28, 29, 30, 31, 32):
        suites = (suite(group=Group(number)),)
        same(Wire(replace(A, suites=suites), replace(B, suites=suites)).run(1.0))
        same(Wire(replace(A, suites=suites), replace(B, suites=suites), aggressive=True).run(1.0))


@pytest.mark.parametrize("group", [Group.MODP_768, Group.MODP_2048, Group.ECP_256, Group.CURVE25519])
@pytest.mark.parametrize("from_initiator", [True, False])
def test_public_values_of_wrong_lengths_or_outside_their_group_lead_to_nothing_in_aggressive_mode(
    group: Group, from_initiator: bool
) -> None:
    info = algorithms.group(group)
    assert info is not None
    size = info.public_octets
    odd = [b"\0", bytes(size), bytes(size - 1), bytes([4] * (size + 1)), bytes([2]) * 4_096]
    if group < Group.ECP_256:
        prime = modp.prime(group)
        odd += [value.to_bytes(size, "big") for value in (1, prime - 1, prime, prime + 5)]
    suites = (suite(group=group),)
    for value in odd:
        wire = Wire(
            replace(A, suites=suites),
            replace(B, suites=suites),
            alter=functools.partial(replaced, value, from_initiator),
            aggressive=True,
        ).run(20.0)
        assert (wire.i.sa, wire.r.sa) == (None, None)
        hears = wire.r if from_initiator else wire.i
        assert hears.core.counters["bad-public-value"] >= 1
        assert all(end.core.counters["internal-error"] == 0 for end in (wire.i, wire.r))


def replaced(value: bytes, of_initiator: bool, from_initiator: bool, data: bytes) -> bytes:
    message = ikev1.decode(data)
    if message.sealed or from_initiator != of_initiator:
        return data
    payloads = [Ke(value) if isinstance(each, Ke) else each for each in message.chain.payloads]
    return ikev1.encode(message.header, payloads)
