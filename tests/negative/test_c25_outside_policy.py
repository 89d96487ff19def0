"""C25: packets that are authentic and fresh, but not what their SA or the policy allows (RFC 4301 section 5.2).

None reaches the TUN device, and each is counted under its reason.
"""

from __future__ import annotations

import struct

import pytest

from ipsecd.dataplane.results import ToTun
from ipsecd.ipsec import esp
from ipsecd.wire.selector import OPAQUE, Selector
from tests.unit.dataplane.ends import End, only, protect
from tests.unit.ipsec.packets import FRAGMENT, ICMP, TCP, UDP, echo, error, ipv4, ipv6, packet, syn, udp
from tests.unit.ipsec.pairs import fixed_iv

HERE, THERE = "10.2.0.1", "10.1.0.1"  # the far end receives; the near end is the peer
HERE6, THERE6 = "2001:db8:2::1", "2001:db8:1::1"
LOCAL = (Selector.net("10.2.0.0/24", TCP, (80, 80)), Selector.net("2001:db8:2::/64", TCP, (80, 80)))
REMOTE = (Selector.net("10.1.0.0/24", TCP), Selector.net("2001:db8:1::/64", TCP))


def receiver(*, local: tuple[Selector, ...] = LOCAL, remote: tuple[Selector, ...] = REMOTE) -> tuple[End, End]:
    """The peer, which sends what it likes, and us, who accept TCP to port 80 from its net."""
    near, far = End(near=True), End(near=False)
    near.install_outbound()
    far.policy(protect(*((mine, theirs) for mine in local for theirs in remote if mine.version == theirs.version)))
    far.install_inbound(local=local, remote=remote)
    return near, far


def send(near: End, far: End, inner: bytes, next_header: int | None = None) -> list[bytes]:
    (sa,) = near.roads._outbound._sad
    number = sa.take(1)
    assert number is not None
    named = next_header if next_header is not None else {4: 4, 6: 41}[inner[0] >> 4]
    datagram, _ = esp.seal(sa, number, named, inner, fixed_iv)
    return [result.packet for result in only(far.receive(datagram), ToTun)]


def tcp_header(port: int = 80) -> bytes:
    return struct.pack("!HHIIBBHHH", 40_000, port, 1, 0, 0x50, 0x10, 1_000, 0, 0)


def test_what_is_allowed_comes_through() -> None:
    near, far = receiver()
    for good in (syn(THERE, HERE, 1_000), syn(THERE6, HERE6, 1_000), packet(THERE, HERE, TCP, tcp_header())):
        assert send(near, far, good) == [good]
    assert far.drops == {}


OUTSIDE = {
    "another source": syn("10.1.1.1", HERE, 1_000),
    "another destination": syn(THERE, "10.2.1.1", 1_000),
    "our own address as source": syn(HERE, HERE, 1_000),
    "a neighbour of ours as source": syn("10.2.0.7", HERE, 1_000),
    "back to the sender": syn(HERE, THERE, 1_000),
    "another port": packet(THERE, HERE, TCP, tcp_header(81)),
    "another protocol": udp(THERE, HERE, 40_000, 80),
    "no port at all": echo(THERE, HERE),
    "the network's address below": syn("10.0.255.255", HERE, 1_000),
    "loopback as source": syn("127.0.0.1", HERE, 1_000),
    "loopback as destination": syn(THERE, "127.0.0.1", 1_000),
    "a group of hosts": udp(THERE, "224.0.0.1", 1, 80),
    "everybody": udp(THERE, "255.255.255.255", 1, 80),
    "nobody as source": syn("0.0.0.0", HERE, 1_000),
    "another source, IPv6": syn("2001:db8:1:1::1", HERE6, 1_000),
    "our own address as source, IPv6": syn(HERE6, HERE6, 1_000),
    "loopback, IPv6": syn("::1", HERE6, 1_000),
    "link-local, IPv6": syn("fe80::1", HERE6, 1_000),
    "IPv4 dressed as IPv6": syn("::ffff:10.1.0.1", "::ffff:10.2.0.1", 1_000),
    "all nodes": udp(THERE6, "ff02::1", 1, 80),
    "ESP in ESP": packet(THERE, HERE, 50, bytes(40)),
    "AH in ESP": packet(THERE, HERE, 51, bytes(40)),
    "IPv4 in IPv4 in ESP": packet(THERE, HERE, 4, syn(THERE, HERE, 1_000)),
    "IPv6 in IPv4 in ESP": packet(THERE, HERE, 41, syn(THERE6, HERE6, 1_000)),
    "a later fragment": ipv4(THERE, HERE, TCP, bytes(40), offset=64),
    "a later fragment, IPv6": ipv6(THERE6, HERE6, FRAGMENT, bytes.fromhex("0600004100000001") + bytes(40)),
    "another port behind a hop-by-hop header": ipv6(
        THERE6, HERE6, 0, bytes.fromhex("0600010400000000") + tcp_header(81)
    ),
    "another protocol behind destination options": ipv6(
        THERE6, HERE6, 60, bytes.fromhex("1100010400000000") + bytes.fromhex("9c4000500008 0000")
    ),
    "an error about somebody else's connection": error("192.0.2.77", syn("10.2.0.1", "10.9.0.1", 1_000)),
}


@pytest.mark.parametrize("inner", OUTSIDE.values(), ids=OUTSIDE.keys())
def test_an_authentic_packet_outside_the_selectors_is_dropped_and_counted(inner: bytes) -> None:
    near, far = receiver()
    assert send(near, far, inner) == []
    assert far.drops == {"outside-selectors": 1}


BROKEN = {
    "truncated": (4, syn(THERE, HERE, 1_000)[:-1]),
    "total length below the header": (4, b"\x45\x00\x00\x13" + syn(THERE, HERE, 1_000)[4:]),
    "header length of four words": (4, b"\x44" + syn(THERE, HERE, 1_000)[1:]),
    "options that run over": (4, ipv4(THERE, HERE, TCP, tcp_header(), options=bytes.fromhex("94ff0000"))),
    "a first fragment without ports": (
        41,
        ipv6(THERE6, HERE6, FRAGMENT, bytes.fromhex("3c00000100000001 0600010400000000")),
    ),
    "a second fragment that overwrites a TCP header": (4, ipv4(THERE, HERE, TCP, bytes(40), offset=8)),
    "a fragment beyond the largest packet": (4, ipv4(THERE, HERE, UDP, bytes(40), offset=65_528)),
    "extension headers without end": (41, ipv6(THERE6, HERE6, 60, bytes.fromhex("3c00010400000000") * 40)),
    "hop-by-hop in the second place": (
        41,
        ipv6(THERE6, HERE6, 60, bytes.fromhex("0000010400000000 0600010400000000") + tcp_header()),
    ),
    "an extension header that runs over": (
        41,
        ipv6(THERE6, HERE6, 0, bytes.fromhex("06ff010400000000") + tcp_header()),
    ),
    "a jumbogram": (41, ipv6(THERE6, HERE6, 0, b"")),
}


@pytest.mark.parametrize(("next_header", "inner"), BROKEN.values(), ids=BROKEN.keys())
def test_an_authentic_packet_that_is_broken_inside_is_dropped_and_counted(next_header: int, inner: bytes) -> None:
    near, far = receiver()
    assert send(near, far, inner, next_header) == []
    assert far.drops == {"malformed-inner": 1}


@pytest.mark.parametrize("next_header", [0, 1, 6, 17, 43, 44, 50, 51, 58, 60, 99, 255])
def test_transport_mode_on_a_tunnel_mode_sa_is_dropped_and_counted(next_header: int) -> None:
    near, far = receiver()
    assert send(near, far, tcp_header(), next_header) == []
    assert far.drops == {"not-tunnel-mode": 1}


@pytest.mark.parametrize(("next_header", "inner"), [(41, syn(THERE, HERE, 1_000)), (4, syn(THERE6, HERE6, 1_000))])
def test_a_packet_of_the_other_version_than_announced_is_dropped_and_counted(next_header: int, inner: bytes) -> None:
    near, far = receiver()
    assert send(near, far, inner, next_header) == []
    assert far.drops == {"inner-version": 1}


@pytest.mark.parametrize("protocol", [TCP, UDP, ICMP])
def test_opaque_selectors_take_later_fragments_and_nothing_that_shows_its_ports(protocol: int) -> None:
    near, far = receiver(
        local=(Selector.net("10.2.0.0/24", protocol, OPAQUE),), remote=(Selector.net("10.1.0.0/24", protocol, OPAQUE),)
    )
    fragment = ipv4(THERE, HERE, protocol, bytes(64), offset=64)
    assert send(near, far, fragment) == [fragment]
    whole = {TCP: syn(THERE, HERE, 1_000), UDP: udp(THERE, HERE), ICMP: echo(THERE, HERE)}[protocol]
    assert send(near, far, whole) == []
    assert far.drops == {"outside-selectors": 1}


def test_a_packet_that_a_stricter_rule_holds_does_not_pass_on_a_wider_sa() -> None:
    """The peer's SA is wide enough, but our policy wants port 443 protected by a child of its own."""
    near, far = receiver(local=(Selector.net("10.2.0.0/24"),), remote=(Selector.net("10.1.0.0/24"),))
    wide = (Selector.net("10.2.0.0/24"), Selector.net("10.1.0.0/24"))
    strict = (Selector.net("10.2.0.0/24", TCP, (443, 443)), Selector.net("10.1.0.0/24", TCP))
    far.policy(protect(strict, child="strict"), protect(wide))
    assert send(near, far, packet(THERE, HERE, TCP, tcp_header(443))) == []
    allowed = packet(THERE, HERE, TCP, tcp_header(80))
    assert send(near, far, allowed) == [allowed]
    assert far.drops == {"policy-mismatch": 1}
