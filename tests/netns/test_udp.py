"""The UDP sockets: whose address, what the path can carry, and whom to believe about it."""

from __future__ import annotations

import errno
import select
import socket
from ipaddress import ip_address

import pytest

from ipsecd.errors import KernelError
from ipsecd.io.link_mtu import LinkMtus
from ipsecd.io.outgoing import Refusal
from ipsecd.io.udp import UdpSocket
from ipsecd.io.udp_errors import PathError
from tests.interop.waiting import eventually
from tests.netns.capture import Capture, send
from tests.netns.gateway import others_table
from tests.netns.packets import time_exceeded, too_big, udp
from tests.netns.places import FAMILY, GA_LAN, GA_WAN, GB_WAN, HA, HB
from tests.netns.reading import datagrams
from tests.netns.sites import Sites

pytestmark = [pytest.mark.root, pytest.mark.parametrize("version", [4, 6])]

WILDCARD = {4: "0.0.0.0", 6: "::"}
MARK = b"<datagram>"
HEADERS = {4: 28, 6: 48}


def opened(sites: Sites, place: str, version: int, port: int = 4500, mark: int = 0) -> UdpSocket:
    return sites.inside(place, UdpSocket, ip_address(WILDCARD[version]), port, mark, True)


def test_a_datagram_tells_which_address_it_came_to_and_is_answered_from_there(sites: Sites, version: int) -> None:
    one, two = opened(sites, "ga", version), opened(sites, "gb", version)
    local, remote = ip_address(GA_LAN[version]), ip_address(GB_WAN[version])
    assert one.send(MARK, remote, 4500, local=local, traffic_class=0xB9) is None
    (asked,) = datagrams(two, 10)
    assert (asked.data, asked.remote, asked.remote_port) == (MARK, local, 4500)
    assert (asked.local, asked.traffic_class) == (remote, 0xB9)
    refusal = {4: "send-unreachable", 6: "send-bad-source"}[version]  # one and the same to the kernel's IPv4
    assert two.send(b"answer", asked.remote, asked.remote_port, local=ip_address(HB[version])) == Refusal(refusal)
    assert two.send(b"answer", asked.remote, asked.remote_port, local=asked.local) is None
    (answer,) = datagrams(one, 10)
    assert (answer.data, answer.remote, answer.local) == (b"answer", remote, local)
    assert two.drops == {refusal: 1}
    assert datagrams(one, 10) == []


def test_no_more_datagrams_are_read_than_asked_for(sites: Sites, version: int) -> None:
    one, two = opened(sites, "ga", version), opened(sites, "gb", version)
    for number in range(5):
        one.send(bytes([number]), ip_address(GB_WAN[version]), 4500)
    assert [datagram.data for datagram in datagrams(two, 3)] == [b"\0", b"\1", b"\2"]
    assert [datagram.data for datagram in datagrams(two, 3)] == [b"\3", b"\4"]


def test_what_exceeds_the_link_is_fragmented_or_refused_as_asked(sites: Sites, version: int) -> None:
    one, two = opened(sites, "ga", version), opened(sites, "gb", version)
    remote = ip_address(GB_WAN[version])
    assert one.send(bytes(3_000), remote, 4500) is None
    assert [len(datagram.data) for datagram in datagrams(two, 1)] == [3_000]
    assert one.send(bytes(1_500 - HEADERS[version]), remote, 4500, may_fragment=False) is None
    assert [len(datagram.data) for datagram in datagrams(two, 1)] == [1_500 - HEADERS[version]]
    assert one.send(bytes(1_501 - HEADERS[version]), remote, 4500, may_fragment=False) == Refusal("send-too-big", 1_500)
    assert one.errors(10) == []  # that was all there is to say about it
    assert one.drops == {"send-too-big": 1}


def test_df_is_set_only_where_fragments_are_forbidden(sites: Sites, version: int) -> None:
    one = opened(sites, "ga", version)
    with Capture(sites, "ga", "wan0") as wan:
        one.send(b"<whole>", ip_address(GB_WAN[version]), 4500, may_fragment=False)
        one.send(b"<divisible>", ip_address(GB_WAN[version]), 4500)
        flags = [wan.wait_for(mark).packet[6] for mark in (b"<whole>", b"<divisible>")]
    assert flags == ([0x40, 0x00] if version == 4 else [17, 17])  # IPv6: no fragment header in either


def test_a_router_is_heard_but_not_obeyed(sites: Sites, version: int) -> None:
    one = opened(sites, "ga", version)
    remote = ip_address(HB[version])
    sites.run("gb", ["ip", "link", "set", "lan0", "mtu", "1300"])
    spi = b"\x12\x34\x56\x78"
    assert one.send(spi + bytes(1_300), remote, 4500, may_fragment=False) is None
    with Capture(sites, "ga", "wan0") as wan:
        send(sites, "gb", udp(GB_WAN[version], GA_WAN[version], b"<later>"))
        wan.wait_for(b"<later>")
    (error,) = one.errors(10)
    assert (error.errno, error.reported, error.mtu) == (errno.EMSGSIZE, True, 1_300)
    assert (error.remote, error.remote_port, error.data[:4]) == (remote, 4500, spi)
    with Capture(sites, "ga", "wan0") as wan:
        assert one.send(b"<as large as ever>" + bytes(1_300), remote, 4500, may_fragment=False) is None
        wan.wait_for(b"<as large as ever>")


def test_forged_reports_change_no_path_mtu_of_the_kernel(sites: Sites, version: int) -> None:
    """IPv4. For IPv6 the kernel can't both tell and forget; but it takes no less than 1,280 octets, and our own
    datagrams go by the link."""
    one, _two = opened(sites, "ga", version), opened(sites, "gb", version)
    one.send(MARK, ip_address(GB_WAN[version]), 4500)
    quoted = udp(GA_WAN[version], GB_WAN[version], MARK + bytes(600), sport=4500, dport=4500)
    send(sites, "gb", too_big(GB_WAN[version], quoted, 552 if version == 4 else 1_280))
    error = wait_for_error(one)
    assert (error.errno, error.reported, error.data[: len(MARK)]) == (errno.EMSGSIZE, True, MARK)
    route = sites.run("ga", ["ip", "route", "get", GB_WAN[version]]).stdout
    assert "mtu" not in route if version == 4 else " mtu 1280" in route
    assert one.send(bytes(1_400), ip_address(GB_WAN[version]), 4500, may_fragment=False) is None


def wait_for_error(opened: UdpSocket) -> PathError:
    for _ in range(1_000_000):
        if errors := opened.errors(1):
            return errors[0]
    raise AssertionError("no error came")


def test_what_may_be_fragmented_gets_through_a_path_of_1280_octets(sites: Sites, version: int) -> None:
    """IPv4 is cut by the router. IPv6 nobody but its sender can cut: it has to hear of the path first."""
    one, two = opened(sites, "ga", version), opened(sites, "hb", version)
    for place, interface in (("gb", "lan0"), ("hb", "eth0")):
        sites.run(place, ["ip", "link", "set", interface, "mtu", "1280"])
    one.send(bytes(1_300), ip_address(HB[version]), 4500)
    if version == 6:
        assert wait_for_error(one).mtu == 1_280
        assert one.send(bytes(1_300), ip_address(HB[version]), 4500) is None
    select.select([two], [], [], 10)
    assert [len(datagram.data) for datagram in datagrams(two, 10)] == [1_300]


def test_errors_of_others_keep_no_datagram_from_leaving(sites: Sites, version: int) -> None:
    """Anybody who knows our address and ports can send them, as fast as we send."""
    one, two = opened(sites, "ga", version), opened(sites, "gb", version)
    one.send(MARK, ip_address(GB_WAN[version]), 4500)
    quoted = udp(GA_WAN[version], HB[version], MARK, sport=4500, dport=4500)
    forged = [time_exceeded(GB_WAN[version], quoted), too_big(GB_WAN[version], quoted, 1_300)]
    send(sites, "gb", *forged * 20)
    sent = [one.send(bytes([number]), ip_address(GB_WAN[version]), 4500) for number in range(50)]
    assert sent == [None] * 50
    assert [datagram.data for datagram in datagrams(two, 100)] == [MARK, *(bytes([number]) for number in range(50))]
    assert one.drops == {}


def test_the_link_towards_a_peer_is_known_and_no_router_changes_that(sites: Sites, version: int) -> None:
    links = sites.inside("ga", LinkMtus, 0x0200_0000)

    def mtu(remote: str = GB_WAN[version], local: str = GA_WAN[version]) -> int | None:
        return links.to(ip_address(remote), ip_address(local))

    assert mtu() == 1_500
    plain = sites.inside("ga", socket.socket, FAMILY[version], socket.SOCK_DGRAM)
    plain.bind((GA_WAN[version], 5000))
    plain.sendto(b"x", (GB_WAN[version], 5001))
    quoted = udp(GA_WAN[version], GB_WAN[version], bytes(1_400), sport=5000, dport=5001)
    send(sites, "gb", too_big(GB_WAN[version], quoted, 1_300))
    eventually(lambda: "mtu 1300" in sites.run("ga", ["ip", "route", "get", GB_WAN[version]]).stdout, "it's believed")
    assert mtu() == 1_500
    sites.run("ga", ["ip", "link", "set", "wan0", "mtu", "1492"])
    assert mtu() == 1_492
    sites.run("ga", ["ip", "route", "add", HB[version], "via", GB_WAN[version], "mtu", "1400"])
    assert mtu(HB[version]) == 1_400
    marked = ["ip", f"-{version}", "rule", "add", "fwmark", "0x02000000", "lookup", "77"]
    sites.run("ga", marked)
    sites.run("ga", ["ip", "route", "add", HB[version], "via", HA[version], "table", "77"])
    assert mtu(HB[version]) == 1_500  # by lan0, as marked packets go there
    sites.run("ga", ["ip", f"-{version}", "route", "del", "default"])
    assert mtu("198.51.100.7" if version == 4 else "2001:db8:f::7") is None
    links.close()
    plain.close()


def test_a_closed_port_at_the_peer_is_an_error_of_that_datagram(sites: Sites, version: int) -> None:
    one = opened(sites, "ga", version)
    assert one.send(MARK, ip_address(GB_WAN[version]), 4501) is None
    error = wait_for_error(one)
    assert (error.errno, error.reported, error.mtu, error.data) == (errno.ECONNREFUSED, True, 0, MARK)
    assert datagrams(one, 10) == []


def test_an_error_about_one_datagram_loses_no_other(sites: Sites, version: int) -> None:
    one, two = opened(sites, "ga", version), opened(sites, "gb", version)
    for number in range(5):
        assert one.send(MARK, ip_address(GB_WAN[version]), 4501) is None
        assert one.send(bytes([number]), ip_address(GB_WAN[version]), 4500) is None
    assert [datagram.data[0] for datagram in datagrams(two, 10)] == [0, 1, 2, 3, 4]


def test_what_a_filter_forbids_is_counted(sites: Sites, version: int) -> None:
    one = opened(sites, "ga", version)
    others_table(sites, ("filter hook output priority 0", "udp dport 4500 drop"))
    assert one.send(MARK, ip_address(GB_WAN[version]), 4500) == Refusal("send-forbidden")
    assert one.drops == {"send-forbidden": 1}


def test_no_route_is_counted(sites: Sites, version: int) -> None:
    one = opened(sites, "ga", version)
    sites.run("ga", ["ip", f"-{version}", "route", "del", "default"])
    assert one.send(MARK, ip_address(HB[version]), 4500) == Refusal("send-unreachable")


def test_the_sockets_carry_their_mark(sites: Sites, version: int) -> None:
    one = opened(sites, "ga", version, mark=0x0200_0000)
    others_table(sites, ("filter hook output priority 0", "meta mark != 0x02000000 drop"))
    assert one.send(MARK, ip_address(GB_WAN[version]), 4500) is None


def test_a_port_in_use_says_how_to_find_its_user(sites: Sites, version: int) -> None:
    first = opened(sites, "ga", version, port=500)
    with pytest.raises(KernelError) as refused:
        opened(sites, "ga", version, port=500)
    assert refused.value.message == "can't open UDP port 500: Address already in use"
    assert refused.value.hint == "ss -ulpn 'sport = :500' shows who has it"
    first.close()
    again = opened(sites, "ga", version, port=500)
    assert (again.port, again.natt) == (500, True)
    with pytest.raises(KernelError, match="no interface has that address"):
        sites.inside("ga", UdpSocket, ip_address(HA[version]), 501, 0, False)
