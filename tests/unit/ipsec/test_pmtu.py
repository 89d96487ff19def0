"""What is known of paths to peers, and what it leaves for the packets inside."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd import limits
from ipsecd.ipsec.pmtu import PathMtus, outer_octets, room, tcp_mss
from ipsecd.ipsec.sa import Outside
from ipsecd.wire.form import Form
from tests.unit.crypto.suites import Suite
from tests.unit.ipsec.pairs import CBC, CHACHA, CTR, GCM, ah_pair, outbound

PEER, PEER6 = ip_address("198.51.100.1"), ip_address("2001:db8::1")
PATHS = {
    4: Outside(ip_address("192.0.2.1"), 4_500, PEER, 4_500),
    6: Outside(ip_address("2001:db8::2"), 4_500, PEER6, 4_500),
}


def test_a_path_has_the_mtu_of_its_link_until_something_is_learned() -> None:
    paths = PathMtus()
    assert paths.to(PEER, 0.0) == 1_500
    paths.link(PEER, 1_492)
    assert paths.to(PEER, 0.0) == 1_492
    paths.learn(PEER, 1_400, 10.0)
    assert paths.to(PEER, 10.0) == 1_400
    assert paths.to(PEER6, 10.0) == 1_500


@pytest.mark.parametrize("mtu", [68, 500, 1_300, 9_000, 65_535])
def test_what_the_kernel_says_of_a_link_is_believed_and_lasts(mtu: int) -> None:
    paths = PathMtus()
    paths.link(PEER, mtu)
    assert paths.to(PEER, 1e9) == mtu
    paths.link(PEER, 1_500)
    assert paths.to(PEER, 1e9) == 1_500


def test_a_link_that_gets_narrower_is_narrower_than_what_was_learned_on_it() -> None:
    paths = PathMtus()
    paths.learn(PEER, 1_400, 0.0)
    paths.link(PEER, 1_300)
    assert paths.to(PEER, 1.0) == 1_300
    paths.link(PEER, 9_000)
    assert paths.to(PEER, 2.0) == 1_400
    assert paths.to(PEER, 600.0) == 9_000


def test_how_long_it_counts_can_be_chosen() -> None:
    paths = PathMtus(60.0)
    paths.learn(PEER, 1_400, 10.0)
    assert paths.to(PEER, 69.9) == 1_400
    assert paths.to(PEER, 70.0) == 1_500


def test_what_was_learned_is_forgotten_after_ten_minutes() -> None:
    paths = PathMtus()
    paths.learn(PEER, 1_400, 10.0)
    assert paths.to(PEER, 609.9) == 1_400
    assert paths.to(PEER, 610.0) == 1_500


def test_hearing_it_again_keeps_it() -> None:
    paths = PathMtus()
    paths.learn(PEER, 1_400, 0.0)
    paths.learn(PEER, 1_400, 500.0)
    assert paths.to(PEER, 1_099.0) == 1_400


def test_a_path_is_only_ever_lowered() -> None:
    paths = PathMtus()
    paths.learn(PEER, 1_300, 0.0)
    paths.learn(PEER, 1_400, 1.0)
    paths.learn(PEER, 9_000, 1.0)
    assert paths.to(PEER, 2.0) == 1_300
    paths.learn(PEER, 1_200, 3.0)
    assert paths.to(PEER, 4.0) == 1_200
    assert paths.to(PEER, 700.0) == 1_500


@pytest.mark.parametrize(("peer", "floor"), [(PEER, 576), (PEER6, 1_280)])
@pytest.mark.parametrize("claimed", [0, 68, 575])
def test_nobody_lowers_a_path_below_its_floor(peer: object, floor: int, claimed: int) -> None:
    paths = PathMtus()
    paths.learn(peer, claimed, 0.0)  # type: ignore[arg-type]  # one of two kinds of address
    assert paths.to(peer, 0.0) == floor  # type: ignore[arg-type]  # as above


def test_the_memory_of_paths_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_PATHS", 3)
    paths = PathMtus()
    peers = [ip_address(f"198.51.100.{number}") for number in range(5)]
    for peer in peers:
        paths.learn(peer, 1_400, 0.0)
    assert [paths.to(peer, 0.0) for peer in peers] == [1_500, 1_500, 1_400, 1_400, 1_400]
    for peer in peers:
        paths.link(peer, 1_300)
    assert [paths.to(peer, 0.0) for peer in peers] == [1_500, 1_500, 1_300, 1_300, 1_300]
    paths.link(peers[2], 1_300)  # heard of again, so not the oldest any more
    paths.link(peers[0], 1_300)
    assert [paths.to(peer, 0.0) for peer in peers[:4]] == [1_300, 1_500, 1_300, 1_400]


@pytest.mark.parametrize(
    ("suite", "version", "largest"),
    [
        # 1500 - 20 - 8 - 8 = 1464 for IV, plaintext and ICV; the plaintext ends with pad length and next header
        (GCM, 4, 1_438),  # 1464 - 8 - 16 = 1440
        (CHACHA, 4, 1_438),
        (CTR, 4, 1_438),
        (CBC, 4, 1_422),  # 1464 - 16 - 16 = 1432, of which 89 blocks
        (GCM, 6, 1_418),
        (CBC, 6, 1_406),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_the_largest_inner_packet(suite: Suite, version: int, largest: int) -> None:
    sa = outbound(suite)
    sa.outside = PATHS[version]
    assert room(sa, 1_500) == largest


UDP, NATIVE = 4_500, 0
TUNNEL, TRANSPORT = Form(), Form(transport=True)


@pytest.mark.parametrize(
    ("protocol", "version", "port", "form", "front", "largest"),
    [
        ("esp", 4, NATIVE, TUNNEL, 0, 1_446),  # 1500 - 20 - 8 - 8 - 16 = 1448, less pad length and next header
        ("esp", 6, NATIVE, TUNNEL, 0, 1_426),
        ("esp", 4, UDP, TRANSPORT, 0, 1_458),  # 1438 octets of payload, behind the 20 of its own header
        ("esp", 4, NATIVE, TRANSPORT, 0, 1_466),
        ("esp", 4, NATIVE, TRANSPORT, 24, 1_466),  # 1500 - 24 - 32 = 1444, less 2, and 24 again
        ("esp", 4, UDP, TRANSPORT, 24, 1_462),
        ("esp", 6, NATIVE, TRANSPORT, 48, 1_466),  # 1500 - 48 - 32 = 1420, less 2, and 48 again
        ("ah", 4, NATIVE, TUNNEL, 0, 1_452),  # 1500 - 20 - 12 - 16
        ("ah", 6, NATIVE, TUNNEL, 0, 1_428),  # likewise, AH of 32 octets
        ("ah", 4, UDP, TUNNEL, 0, 1_444),
        ("ah", 4, NATIVE, TRANSPORT, 0, 1_472),
        ("ah", 4, NATIVE, TRANSPORT, 60, 1_472),
        ("both", 4, NATIVE, TUNNEL, 0, 1_418),  # 28 less than ESP alone
        ("both", 6, UDP, TRANSPORT, 0, 1_426),  # 1500 - 40 - 8 - 32 - 8 - 8 - 16 = 1388, less 2, and 40 again
    ],
)
def test_what_each_form_leaves(protocol: str, version: int, port: int, form: Form, front: int, largest: int) -> None:
    outside = replace(PATHS[version], local_port=port, remote_port=port)
    around, _ = ah_pair(form=Form(transport=True, outer=True))
    sa = ah_pair(form=form)[0] if protocol == "ah" else outbound(GCM)
    sa.form, sa.outside = form, outside
    sa.around = around if protocol == "both" else None
    assert room(sa, 1_500, front) == largest


def test_the_largest_tcp_segment() -> None:
    assert tcp_mss(1_438, 4) == 1_398
    assert tcp_mss(1_438, 6) == 1_378
    assert [tcp_mss(-50, version) for version in (4, 6)] == [28, 28]  # a link too narrow for a whole packet


def test_what_the_outer_headers_take() -> None:
    assert (outer_octets(1_464, 4), outer_octets(1_464, 6)) == (1_492, 1_512)
