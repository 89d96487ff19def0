"""Whose word counts about the path of an SA."""

from __future__ import annotations

import errno
from ipaddress import ip_address

import pytest

from ipsecd.crypto.secret import Secret
from ipsecd.daemon.paths import Paths
from ipsecd.dataplane.messages import Outside, SetLinkMtu, SetPathMtu
from ipsecd.ike import effects
from ipsecd.ike.config import Endpoint, Lifetime, Path
from ipsecd.io.udp_errors import PathError
from ipsecd.wire.registry import Encr, Integ
from ipsecd.wire.selector import Address

HERE, HERE6 = ip_address("192.0.2.1"), ip_address("2001:db8::1")
ANNA, BERT, CARL = ip_address("198.51.100.1"), ip_address("203.0.113.2"), ip_address("2001:db8::2")
KEYS = effects.ChildKeys(Encr.AES_GCM_16, 128, Integ.NONE, False, Secret(b"e" * 20), Secret(b""))
OF_ANNA, OF_BERT, OF_CARL = b"\xaa\xaa\xaa\xaa", b"\xbb\xbb\xbb\xbb", b"\xcc\xcc\xcc\xcc"


def path(remote: Address, port: int = 4_500) -> Path:
    """Without UDP if the port is 0."""
    here = HERE if remote.version == 4 else HERE6
    return Path(Endpoint(here, 4_500 if port else 0), Endpoint(remote, port), natt=True)


def install(spi: bytes, inbound: bytes, remote: Address, port: int = 4_500) -> effects.InstallOutbound:
    return effects.InstallOutbound(
        spi, inbound, "child", "peer", KEYS, (), (), path(remote, port), Lifetime(1), Lifetime(2)
    )


def too_big(remote: Address, mtu: int, data: bytes, port: int = 4_500, *, reported: bool = True) -> PathError:
    return PathError(errno.EMSGSIZE, reported, remote, port, mtu, data)


class Links(dict[Address, int]):
    """What links carry, and who asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Address, Address]] = []

    def mtu(self, remote: Address, local: Address) -> int | None:
        self.asked.append((remote, local))
        return self.get(remote)


def known(*, believe: bool = True) -> Paths:
    """SAs with Anna, Bert behind a NAT, and Carl."""
    paths = Paths(Links().mtu, believe=believe)
    for effect in (
        install(OF_ANNA, b"1111", ANNA),
        install(OF_BERT, b"2222", BERT, 61_000),
        install(OF_CARL, b"3333", CARL),
    ):
        assert paths.follow(effect) == []
    return paths


# --- the link ---------------------------------------------------------------------------------------------------


def test_each_sa_brings_the_mtu_of_its_link_unless_that_is_known() -> None:
    links = Links()
    paths = Paths(links.mtu, believe=True)
    links[ANNA] = 1_492
    assert paths.follow(install(OF_ANNA, b"1111", ANNA)) == [SetLinkMtu(ANNA, 1_492)]
    assert paths.follow(install(OF_BERT, b"2222", ANNA)) == []
    assert links.asked == [(ANNA, HERE), (ANNA, HERE)]
    links[BERT] = 1_300
    assert paths.follow(effects.MovePath((b"2222", b"9999"), path(BERT))) == [SetLinkMtu(BERT, 1_300)]


def test_a_link_as_the_roads_take_it_to_be_is_not_told_until_another_is_not() -> None:
    links = Links()
    paths = Paths(links.mtu, believe=True)
    links[ANNA] = links[BERT] = 1_500
    assert paths.follow(install(OF_ANNA, b"1111", ANNA)) == []
    paths.refused(CARL, 1_400)
    assert paths.follow(install(OF_BERT, b"2222", BERT)) == [SetLinkMtu(BERT, 1_500)]  # it may have been another before
    paths.forget()
    links[ANNA] = 1_400
    assert [paths.ask(way) for way in paths.ways()] == [[SetLinkMtu(ANNA, 1_400)], [SetLinkMtu(BERT, 1_500)]]
    paths.forget()
    links[ANNA] = 1_500
    assert [paths.ask(way) for way in paths.ways()] == [[], []]


def test_a_link_that_has_changed_is_told_again() -> None:
    links = Links()
    paths = Paths(links.mtu, believe=True)
    links[ANNA], links[BERT] = 1_500, 1_500
    for effect in (install(OF_ANNA, b"1111", ANNA), install(OF_ANNA, b"4444", ANNA), install(OF_BERT, b"2222", BERT)):
        paths.follow(effect)
    ways = paths.ways()
    assert ways == [Outside(HERE, 4_500, ANNA, 4_500), Outside(HERE, 4_500, BERT, 4_500)]
    links[ANNA] = 9_000
    assert [paths.ask(way) for way in ways] == [[SetLinkMtu(ANNA, 9_000)], []]
    del links[ANNA]  # no route now: what was known stays
    assert paths.ask(ways[0]) == []


def test_nobody_is_asked_about_peers_without_an_sa() -> None:
    links = Links()
    paths = Paths(links.mtu, believe=True)
    links[ANNA] = 1_492
    paths.follow(install(OF_ANNA, b"1111", ANNA))
    paths.follow(effects.RemoveOutbound(OF_ANNA, b"1111"))
    assert paths.ways() == []
    assert paths.follow(install(OF_ANNA, b"5555", ANNA)) == [SetLinkMtu(ANNA, 1_492)]


@pytest.mark.parametrize("believe", [True, False])
@pytest.mark.parametrize("mtu", [68, 1_300, 9_000])
def test_the_kernel_is_always_believed(mtu: int, believe: bool) -> None:
    """Its own error shows nothing of the datagram."""
    paths = known(believe=believe)
    assert paths.judge(too_big(ANNA, mtu, b"", reported=False), 4_500) == SetLinkMtu(ANNA, mtu)
    assert paths.refused(ANNA, mtu) == SetLinkMtu(ANNA, mtu)
    assert paths.heard == {"link-too-narrow": 2}


# --- routers ----------------------------------------------------------------------------------------------------


def test_a_router_that_quotes_ah_is_believed_by_the_spi_in_it() -> None:
    """In UDP: next header, length and reserved field stand in front of it."""
    paths = known()
    ah = bytes.fromhex("32040000") + OF_ANNA
    assert paths.judge(too_big(ANNA, 600, ah + b"rest"), 4_500) == SetPathMtu(ANNA, 600)
    assert paths.judge(too_big(ANNA, 600, ah[:-1]), 4_500) == SetPathMtu(ANNA, 1_200)  # as any that doesn't show it
    assert paths.judge(too_big(ANNA, 600, bytes(4) + OF_ANNA), 4_500) is None  # an IKE message


def test_a_router_is_believed_about_a_native_packet_whose_spi_comes_first() -> None:
    paths = known()
    paths.follow(install(b"\x33\x33\0\0", b"6666", CARL, 0))
    assert paths.judge(too_big(CARL, 600, b"\x33\x33\0\0rest", 0), 0) == SetPathMtu(CARL, 600)
    assert paths.judge(too_big(ANNA, 600, OF_ANNA, 0), 0) is None  # hers goes in UDP
    assert paths.judge(too_big(CARL, 600, b"\x33\x33\0\0rest", 4_500), 4_500) is None


@pytest.mark.parametrize(("remote", "port", "spi"), [(ANNA, 4_500, OF_ANNA), (BERT, 61_000, OF_BERT)])
def test_a_router_is_believed_about_a_packet_of_an_sa_that_goes_there(remote: Address, port: int, spi: bytes) -> None:
    paths = known()
    assert paths.judge(too_big(remote, 600, spi + b"rest", port), 4_500) == SetPathMtu(remote, 600)
    assert paths.heard == {"path-mtu-believed": 1}


@pytest.mark.parametrize(
    ("error", "port"),
    [
        (too_big(ANNA, 600, b"\x12\x34\x56\x78"), 4_500),  # no SPI of ours
        (too_big(ANNA, 600, OF_BERT), 4_500),  # one of another peer, who knows it
        (too_big(BERT, 600, OF_BERT), 4_500),  # Bert isn't at port 4500
        (too_big(ANNA, 600, OF_ANNA, 61_000), 4_500),
        (too_big(ANNA, 600, OF_ANNA), 500),  # nor does ESP leave by port 500
        (too_big(ANNA, 600, bytes(4)), 4_500),  # an IKE message
        (too_big(ip_address("192.0.2.99"), 600, OF_ANNA), 4_500),
        (too_big(ip_address("192.0.2.99"), 600, b""), 4_500),
        (too_big(BERT, 600, b""), 4_500),
        (too_big(ANNA, 600, b""), 500),
    ],
)
def test_nobody_is_believed_about_anything_else(error: PathError, port: int) -> None:
    paths = known()
    assert paths.judge(error, port) is None
    assert paths.heard == {"path-mtu-doubted": 1}


@pytest.mark.parametrize(("claimed", "counts"), [(0x10, 1_200), (1_199, 1_200), (1_300, 1_300)])
@pytest.mark.parametrize("data", [b"", OF_BERT[:3]])
def test_a_router_that_does_not_show_the_spi_is_believed_less_far(claimed: int, counts: int, data: bytes) -> None:
    """RFC 792 has routers quote 64 bits behind the IP header: the UDP header alone."""
    assert known().judge(too_big(BERT, claimed, data, 61_000), 4_500) == SetPathMtu(BERT, counts)


def test_other_errors_say_nothing() -> None:
    paths = known()
    assert paths.judge(PathError(errno.ECONNREFUSED, True, ANNA, 4_500, 0, OF_ANNA), 4_500) is None
    assert paths.heard == {}


def test_the_policy_may_say_that_no_router_is_believed() -> None:
    """RFC 4301 section 6.1.1."""
    paths = known(believe=False)
    assert paths.judge(too_big(ANNA, 1_400, OF_ANNA), 4_500) is None
    assert paths.judge(too_big(ANNA, 1_400, b""), 4_500) is None
    assert paths.heard == {"path-mtu-doubted": 2}


def test_what_is_believed_follows_the_sas() -> None:
    paths = known()
    paths.follow(effects.MovePath((b"1111",), path(ANNA, 62_000)))
    assert paths.judge(too_big(ANNA, 600, OF_ANNA), 4_500) is None
    assert paths.judge(too_big(ANNA, 600, OF_ANNA, 62_000), 4_500) == SetPathMtu(ANNA, 600)
    paths.follow(install(OF_ANNA, b"4444", CARL))  # peers choose their SPIs: two may choose the same
    assert paths.judge(too_big(CARL, 1_300, OF_ANNA), 4_500) == SetPathMtu(CARL, 1_300)
    paths.follow(effects.RemoveOutbound(OF_BERT, b"1111"))  # not this one's
    assert paths.judge(too_big(ANNA, 600, OF_ANNA, 62_000), 4_500) == SetPathMtu(ANNA, 600)
    paths.follow(effects.RemoveOutbound(OF_ANNA, b"1111"))
    assert paths.judge(too_big(ANNA, 600, OF_ANNA, 62_000), 4_500) is None
    assert paths.judge(too_big(ANNA, 1_300, b"", 62_000), 4_500) is None
    assert paths.judge(too_big(CARL, 1_300, OF_ANNA), 4_500) == SetPathMtu(CARL, 1_300)


def test_effects_on_anything_else_change_nothing() -> None:
    paths = known()
    assert paths.follow(effects.RemoveInbound(b"1111")) == []
    assert paths.follow(effects.GiveUp("child", "no answer")) == []
    assert paths.judge(too_big(ANNA, 600, OF_ANNA), 4_500) == SetPathMtu(ANNA, 600)
