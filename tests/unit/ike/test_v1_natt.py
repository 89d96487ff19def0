"""NAT-D payloads of IKEv1: what is said of a path, and what is read from them (RFC 3947 section 3.2)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ipsecd.ike.config import Endpoint, Path
from ipsecd.ike.nat import Nat
from ipsecd.ike.v1.natt import REVISIONS, Revision, common, detect, payloads
from ipsecd.wire.ikev1_payloads import NatD, VendorId
from ipsecd.wire.registry import Prf
from tests.exchange.entropy import SeededEntropy
from tests.unit.crypto.captured_v1 import CAPTURED

RFC, DRAFT_03, DRAFT_02_LINE_FEED, DRAFT_02 = REVISIONS
COOKIES = (b"cookie-i", b"cookie-r")
US, THEM = Endpoint(ip_address("192.0.2.1"), 500), Endpoint(ip_address("2001:db8::1"), 500)
ELSEWHERE = Endpoint(ip_address("203.0.113.7"), 500)


def said(path: Path, revision: Revision = RFC, *, force_udp: bool = False) -> tuple[NatD, NatD]:
    return payloads(revision, Prf.HMAC_SHA1, COOKIES, path, SeededEntropy(0), force_udp=force_udp)


def found(hashes: tuple[NatD, ...], path: Path, revision: Revision = RFC) -> Nat | None:
    return detect(revision, Prf.HMAC_SHA1, COOKIES, path, hashes)


def test_the_hashes_are_those_of_strongswan() -> None:
    session = CAPTURED["psk"]
    path = Path(Endpoint(ip_address("192.0.2.1"), 500), Endpoint(ip_address("192.0.2.2"), 500))
    there, here = payloads(RFC, session.prf, session.cookies, path, SeededEntropy(0), force_udp=False)
    sent = session.decoded()[2][2].payloads
    assert there == sent[2]
    assert here != sent[3]  # which strongSwan has made up to be sent ESP in UDP
    assert session.values["nat_d"][1]["hash"] == "0605fc34c6d501235e0891eef69c16b637da5735"
    assert here.hash.hex() == "0605fc34c6d501235e0891eef69c16b637da5735"


def test_without_a_nat_each_end_is_where_the_other_says() -> None:
    assert found(said(Path(US, THEM)), Path(THEM, US)) == Nat(here=False, there=False)


def test_a_nat_is_seen_in_front_of_the_end_whose_address_it_changes() -> None:
    hashes = said(Path(US, THEM))
    assert found(hashes, Path(THEM, ELSEWHERE)) == Nat(here=False, there=True)
    assert found(hashes, Path(ELSEWHERE, US)) == Nat(here=True, there=False)
    assert found(hashes, Path(THEM, Endpoint(US.address, 1_024))) == Nat(here=False, there=True)


def test_only_the_first_hash_is_of_our_end() -> None:
    there, here = said(Path(US, THEM))
    assert found((here, there), Path(THEM, US)) == Nat(here=True, there=True)
    assert found((there, NatD(b"another address"), here), Path(THEM, US)) == Nat(here=False, there=False)
    assert found((there, there), Path(THEM, THEM)) == Nat(here=False, there=False)


def test_the_hash_of_our_end_is_none_of_the_other_s() -> None:
    there, _ = said(Path(US, THEM))
    assert found((there, NatD(b"another address")), Path(THEM, THEM)) == Nat(here=False, there=True)


def test_who_wants_udp_says_something_else_of_itself() -> None:
    forced, true = said(Path(US, THEM), force_udp=True), said(Path(US, THEM))
    assert forced[0] == true[0]
    assert len(forced[1].hash) == len(true[1].hash)
    assert found(forced, Path(THEM, US)) == Nat(here=False, there=True)


@pytest.mark.parametrize("count", [0, 1])
def test_less_than_two_hashes_say_nothing(count: int) -> None:
    assert found(said(Path(US, THEM))[:count], Path(THEM, US)) is None


def test_payloads_of_another_revision_do_not_count() -> None:
    drafts = said(Path(US, THEM), DRAFT_03)
    assert found(drafts, Path(THEM, US)) is None
    assert found(drafts, Path(THEM, US), DRAFT_02) == Nat(here=False, there=False)


@pytest.mark.parametrize(
    ("vendor_ids", "revision"),
    [
        ((), None),
        ((b"something else",), None),
        ((DRAFT_02.vendor_id, RFC.vendor_id), RFC),
        ((DRAFT_02_LINE_FEED.vendor_id,), DRAFT_02_LINE_FEED),  # Windows 2000 to 2003
        ((DRAFT_02.vendor_id, DRAFT_03.vendor_id), DRAFT_03),
    ],
)
def test_the_best_revision_of_both_is_spoken(vendor_ids: tuple[bytes, ...], revision: Revision | None) -> None:
    assert common(map(VendorId, vendor_ids)) == revision
