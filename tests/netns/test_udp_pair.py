"""Two sockets of one port: one that all comes to, and one that only sends."""

from __future__ import annotations

import errno
import select
import socket
from ipaddress import ip_address

import pytest

from ipsecd.errors import KernelError
from ipsecd.io.outgoing import Refusal
from ipsecd.io.udp import UdpSocket, pair
from ipsecd.io.udp_errors import PathError
from tests.netns.capture import Capture, send
from tests.netns.packets import too_big, udp
from tests.netns.places import FAMILY, GA_WAN, GB_WAN, HB
from tests.netns.reading import datagrams
from tests.netns.sites import Sites

pytestmark = [pytest.mark.root, pytest.mark.parametrize("version", [4, 6])]

WILDCARD = {4: "0.0.0.0", 6: "::"}
MARK = b"<datagram>"
HEADERS = {4: 28, 6: 48}
SOURCES, EACH = 400, 8


def opened(sites: Sites, place: str, version: int, port: int = 4500) -> tuple[UdpSocket, UdpSocket]:
    """The one that receives, and the one that sends."""
    return sites.inside(place, pair, ip_address(WILDCARD[version]), port, 0x0200_0000)


def waiting(one: UdpSocket) -> bool:
    return select.select([one], [], [], 0)[0] != []


def reported(one: UdpSocket) -> PathError:
    select.select([one], [], [], 60)
    (error,) = one.errors(10)
    return error


@pytest.mark.parametrize("gro", [True, False])
def test_all_that_comes_comes_to_the_one_that_receives(sites: Sites, version: int, gro: bool) -> None:
    receiving, sending = sites.inside("ga", pair, ip_address(WILDCARD[version]), 4500, 0, () if gro else ("udp-gro",))
    assert (receiving.port, sending.port) == (4500, 4500)
    for number in range(SOURCES):
        peer = sites.inside("gb", socket.socket, FAMILY[version], socket.SOCK_DGRAM)
        for _ in range(EACH):
            peer.sendto(number.to_bytes(2, "big"), (GA_WAN[version], 4500))
        peer.close()
    found = [datagram.data for datagram in datagrams(receiving, SOURCES * EACH + 1)]
    assert found == [number.to_bytes(2, "big") for number in range(SOURCES) for _ in range(EACH)]
    assert not waiting(sending)
    assert datagrams(sending, 1) == []


def test_both_send_from_the_same_port_and_address(sites: Sites, version: int) -> None:
    both = opened(sites, "ga", version)
    two = sites.inside("gb", UdpSocket, ip_address(WILDCARD[version]), 4500, 0, True)
    for one in both:
        assert one.send(MARK, ip_address(GB_WAN[version]), 4500, local=ip_address(GA_WAN[version])) is None
    found = [(datagram.data, str(datagram.remote), datagram.remote_port) for datagram in datagrams(two, 3)]
    assert found == [(MARK, GA_WAN[version], 4500)] * 2


def test_a_broadcast_takes_no_room_from_the_one_that_sends(sites: Sites, version: int) -> None:
    """Nor does what IPv6 has instead of it: they go to every socket of the port."""
    receiving, sending = opened(sites, "ga", version)
    peer = sites.inside("gb", socket.socket, FAMILY[version], socket.SOCK_DGRAM)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    peer.setsockopt(socket.SOL_SOCKET, 25, b"wan0")  # SO_BINDTODEVICE
    for _ in range(1_000):
        peer.sendto(bytes(1_000), ({4: "255.255.255.255", 6: "ff02::1"}[version], 4500))
    assert len(datagrams(receiving, 2_000)) == 1_000
    assert not waiting(sending)
    too_long = bytes(1_501 - HEADERS[version])
    refusal = sending.send(too_long, ip_address(GB_WAN[version]), 4500, may_fragment=False)
    assert refusal == Refusal("send-too-big", 1_500)
    peer.close()


@pytest.mark.parametrize("may_fragment", [True, False])
def test_what_routers_say_of_either_comes_to_the_one_that_receives(
    sites: Sites, version: int, may_fragment: bool
) -> None:
    """Whatever the other has sent last, and nothing they say changes by what its datagrams go."""
    receiving, sending = opened(sites, "ga", version)
    remote = ip_address(GB_WAN[version])
    for one in (sending, receiving):
        assert one.send(MARK, remote, 4501, may_fragment=may_fragment) is None
        error = reported(receiving)
        assert (error.errno, error.reported, error.data) == (errno.ECONNREFUSED, True, MARK)
    assert sending.send(MARK + bytes(600), remote, 4500, may_fragment=may_fragment) is None
    receiving_error = reported(receiving)  # nobody listens at 4500 either
    assert receiving_error.errno == errno.ECONNREFUSED
    quoted = udp(GA_WAN[version], GB_WAN[version], MARK + bytes(600), sport=4500, dport=4500)
    with Capture(sites, "ga", "wan0") as wan:
        send(sites, "gb", too_big(GB_WAN[version], quoted, 552 if version == 4 else 1_280))
        error = reported(receiving)
        assert (error.errno, error.reported, error.data[: len(MARK)]) == (errno.EMSGSIZE, True, MARK)
        route = sites.run("ga", ["ip", "route", "get", GB_WAN[version]]).stdout
        assert "mtu" not in route if version == 4 else " mtu 1280" in route
        assert sending.send(b"<as large as ever>" + bytes(1_400), remote, 4500, may_fragment=False) is None
        wan.wait_for(b"<as large as ever>")
    assert not waiting(sending)
    assert (sending.errors(10), sending.heard, sending.drops) == ([], {}, {})


def test_what_this_machine_says_comes_to_the_one_it_is_about(sites: Sites, version: int) -> None:
    receiving, sending = opened(sites, "ga", version)
    remote = ip_address(GB_WAN[version])
    too_long = bytes(1_501 - HEADERS[version])
    assert sending.send(too_long, remote, 4500, may_fragment=False) == Refusal("send-too-big", 1_500)
    assert not waiting(receiving)
    assert receiving.errors(10) == []
    assert receiving.send(too_long, remote, 4500, may_fragment=False) == Refusal("send-too-big", 1_500)
    assert [one.errors(10) for one in (receiving, sending)] == [[], []]


def test_each_datagram_is_sent_as_it_wants_one_after_another(sites: Sites, version: int) -> None:
    _receiving, sending = opened(sites, "ga", version)
    remote = ip_address(GB_WAN[version])
    wishes = [True, False, False, True, True, False]
    with Capture(sites, "ga", "wan0") as wan:
        for number, may_fragment in enumerate(wishes):
            sending.send(b"<%d>" % number, remote, 4500, may_fragment=may_fragment)
        flags = [wan.wait_for(b"<%d>" % number).packet[6] for number in range(len(wishes))]
    assert flags == [(0 if may else 0x40) if version == 4 else 17 for may in wishes]
    two = sites.inside("gb", UdpSocket, ip_address(WILDCARD[version]), 4500, 0, True)
    assert sending.send(bytes(3_000), remote, 4500) is None
    assert [len(datagram.data) for datagram in datagrams(two, 1)] == [3_000]
    assert sending.send(bytes(3_000), remote, 4500, may_fragment=False) == Refusal("send-too-big", 1_500)
    run = bytes(1_400 * 40 + 3)
    assert sending.send(run, remote, 4500, may_fragment=False, segment=1_400) is None
    assert [len(datagram.data) for datagram in datagrams(two, 50)] == [1_400] * 40 + [3]


def test_what_may_be_fragmented_gets_through_a_path_of_1280_octets(sites: Sites, version: int) -> None:
    """IPv6 has to hear of the path, which the other socket does."""
    receiving, sending = opened(sites, "ga", version)
    far = sites.inside("hb", UdpSocket, ip_address(WILDCARD[version]), 4500, 0, True)
    for place, interface in (("gb", "lan0"), ("hb", "eth0")):
        sites.run(place, ["ip", "link", "set", interface, "mtu", "1280"])
    sending.send(bytes(1_300), ip_address(HB[version]), 4500)
    if version == 6:
        assert reported(receiving).mtu == 1_280
        assert sending.send(bytes(1_300), ip_address(HB[version]), 4500) is None
    select.select([far], [], [], 60)
    assert [len(datagram.data) for datagram in datagrams(far, 10)] == [1_300]


@pytest.mark.parametrize("shares", [True, False])
@pytest.mark.parametrize("address", ["wildcard", "one"])
def test_no_other_program_gets_the_port(sites: Sites, version: int, shares: bool, address: str) -> None:
    receiving, sending = opened(sites, "ga", version)
    with sites.inside("ga", socket.socket, FAMILY[version], socket.SOCK_DGRAM) as other:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT) if shares else ():
            other.setsockopt(socket.SOL_SOCKET, option, 1)
        if version == 6:
            other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        with pytest.raises(OSError, match="Address already in use"):
            other.bind((WILDCARD[version] if address == "wildcard" else GA_WAN[version], 4500))
    receiving.close()
    sending.close()
    again = opened(sites, "ga", version)
    assert [one.port for one in again] == [4500, 4500]


@pytest.mark.parametrize("shares", [True, False])
@pytest.mark.parametrize("address", ["wildcard", "one"])
def test_a_port_that_another_program_has_is_refused(sites: Sites, version: int, shares: bool, address: str) -> None:
    with sites.inside("ga", socket.socket, FAMILY[version], socket.SOCK_DGRAM) as other:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT) if shares else ():
            other.setsockopt(socket.SOL_SOCKET, option, 1)
        if version == 6:
            other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        other.bind((WILDCARD[version] if address == "wildcard" else GA_WAN[version], 4500))
        with pytest.raises(KernelError) as refused:
            opened(sites, "ga", version)
    assert refused.value.message == "can't open UDP port 4500: Address already in use"
    assert refused.value.hint == "ss -ulpn 'sport = :4500' shows who has it"
    assert [one.port for one in opened(sites, "ga", version)] == [4500, 4500]


def test_what_is_sent_again_goes_like_the_first(sites: Sites, version: int) -> None:
    _, sending = opened(sites, "ga", version)
    two = sites.inside("gb", UdpSocket, ip_address(WILDCARD[version]), 4500, 0, True)
    local, remote = ip_address(GA_WAN[version]), ip_address(GB_WAN[version])
    like = {"local": local, "traffic_class": 0x2E << 2, "may_fragment": False, "segment": 500}
    assert sending.send(bytes(1_200), remote, 4500, **like) is None  # type: ignore[arg-type]
    again = sending.repeat(remote, 4500, **like)  # type: ignore[arg-type]
    assert again is not None
    assert again(memoryview(bytes(1_200)))
    found = [(len(datagram.data), datagram.traffic_class, str(datagram.local)) for datagram in datagrams(two, 7)]
    assert found == [(size, 0x2E << 2, GB_WAN[version]) for size in (500, 500, 200)] * 2


def test_what_cannot_be_sent_again_like_that_is_left_to_send(sites: Sites, version: int) -> None:
    receiving, sending = opened(sites, "ga", version)
    local, remote = ip_address(GA_WAN[version]), ip_address(GB_WAN[version])
    like = {"local": local, "traffic_class": 0, "may_fragment": False, "segment": 0}
    yet = sending.repeat(remote, 4500, **like)  # type: ignore[arg-type]
    assert (yet is None) == (version == 4)  # nothing of its mode was sent yet; of IPv6 it's the mode it begins with
    assert sending.send(MARK, remote, 4500, local=local, may_fragment=False) is None
    assert receiving.repeat(remote, 4500, **like) is None  # type: ignore[arg-type]  # its mode never stays
    again = sending.repeat(remote, 4500, **like)  # type: ignore[arg-type]
    assert again is not None
    assert not again(bytes(1_501 - HEADERS[version]))
    assert sending.send(bytes(1_501 - HEADERS[version]), remote, 4500, may_fragment=False) == Refusal(
        "send-too-big", 1_500
    )
    assert sending.send(MARK, remote, 4500, local=local, may_fragment=True) is None
    assert again(MARK) == (version == 6)  # of IPv4 routers would fragment it now
