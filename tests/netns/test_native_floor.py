"""What native ESP and AH is to the floor: ipsecd's own passes, in fragments too, and opens no way for anything else.

AH is an extension header of IPv6 to some, and what it carries is in clear: no rule of TCP is for TCP inside of it.
Nobody has the keys of these packets, and there is no daemon.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from ipsecd.io.native import NativeReceiver, NativeSender
from ipsecd.io.native_open import PROTOCOLS, open_receiving, open_sending
from ipsecd.policy.plan import Action, Plan, Settings
from ipsecd.wire.selector import Selector
from tests.netns.capture import PATIENCE, Capture, send
from tests.netns.gateway import Gateway, between_sites, entry, others_table
from tests.netns.packets import ah, behind_options, cut, esp, halves, tcp, udp
from tests.netns.places import FAMILY, GA_WAN, GB_WAN, HA, HB, NET_A, NET_B
from tests.netns.sites import Sites
from tests.netns.test_native import read

pytestmark = [pytest.mark.root, pytest.mark.parametrize("version", [4, 6])]

MARK = b"<covered packet>"
CONTROL = b"<control packet>"
FENCE = b"<uncovered packet>"


def each(source: str, destination: str, mark: bytes) -> Sequence[bytes]:
    """ESP and AH, whole and in fragments, with the mark in each."""
    long = mark * 64
    return [
        esp(source, destination, mark),
        ah(source, destination, mark),
        *cut(esp(source, destination, long)),
        *cut(ah(source, destination, long)),
    ]


def hosts(version: int, action: Action = Action.PROTECT, protocol: int = 0) -> Plan:
    """A rule for the two gateways themselves."""
    ends = Selector.net(GA_WAN[version], protocol), Selector.net(GB_WAN[version], protocol)
    return Plan("test", entries=(entry(action, *ends),))


def before(plan: Plan, version: int, action: Action, protocol: int, *, sites: bool = False) -> Plan:
    """The plan with a rule for a protocol in front, between the gateways or between the sites."""
    here, there = (NET_A, NET_B) if sites else (GA_WAN, GB_WAN)
    ends = Selector.net(here[version], protocol), Selector.net(there[version], protocol)
    return replace(plan, entries=(entry(action, *ends, "first/1"), *plan.entries))


# --- of others ------------------------------------------------------------------------------------------------------


def test_what_is_passed_on_is_a_packet_of_protocol_50_or_51_like_any(
    sites: Sites, tmp_path: Path, version: int
) -> None:
    """IPsec of hosts behind the gateway goes into the tunnel, and comes out of it alone. That TCP is permitted is
    nothing to AH around it."""
    plan = before(between_sites(Action.PROTECT), version, Action.PERMIT, 6, sites=True)
    with (
        Gateway(sites, tmp_path, plan) as gateway,
        Capture(sites, "ga", "wan0") as wan,
        Capture(sites, "ha", "eth0") as lan,
    ):
        send(sites, "ha", *each(HA[version], HB[version], MARK), udp(HA[version], GB_WAN[version], FENCE))
        wan.wait_for(FENCE)
        assert wan.count(MARK) == 0
        assert len(gateway.wait_in_tun(MARK, packets=4)) >= 4
        send(sites, "hb", *each(HB[version], HA[version], MARK))
        send(sites, "gb", udp(GB_WAN[version], HA[version], FENCE))
        lan.wait(lambda seen: not seen.outgoing and FENCE in seen.packet, "what is behind it")
        assert [seen for seen in lan.seen if not seen.outgoing and MARK in seen.packet] == []
        gateway.do(gateway.nftables.remove())
        send(sites, "ha", ah(HA[version], HB[version], CONTROL))
        wan.wait_for(CONTROL)


def test_a_rule_of_protocol_51_is_for_ah_whatever_it_carries(sites: Sites, tmp_path: Path, version: int) -> None:
    """A permit lets it pass, in fragments too, and a block of TCP isn't for it."""
    plan = between_sites(Action.PROTECT)
    plan = before(plan, version, Action.PERMIT, 51, sites=True)
    plan = before(plan, version, Action.BLOCK, 6, sites=True)
    with Gateway(sites, tmp_path, plan), Capture(sites, "ga", "wan0") as wan, Capture(sites, "ha", "eth0") as lan:
        for here, there, place, link in ((HA, HB, "ha", wan), (HB, HA, "hb", lan)):
            ends = here[version], there[version]
            send(sites, place, esp(*ends, MARK), tcp(*ends, MARK), ah(*ends, CONTROL), *cut(ah(*ends, FENCE * 64)))
            link.wait(lambda seen, to=link is wan: seen.outgoing is to and CONTROL in seen.packet, "AH")
            link.wait(lambda seen, to=link is wan: seen.outgoing is to and FENCE in seen.packet, "fragments of AH")
            assert [seen for seen in link.seen if seen.outgoing is (link is wan) and MARK in seen.packet] == []


def test_what_another_program_sends_is_no_packet_of_ours(sites: Sites, tmp_path: Path, version: int) -> None:
    """Nor is TCP inside of its AH what a rule of TCP permits."""
    plan = before(hosts(version), version, Action.PERMIT, 6)
    with Gateway(sites, tmp_path, plan) as gateway, Capture(sites, "ga", "wan0") as wan:
        send(sites, "ga", *each(GA_WAN[version], GB_WAN[version], MARK))
        send(sites, "ga", tcp(GA_WAN[version], GB_WAN[version], FENCE))
        wan.wait_for(FENCE)
        assert wan.count(MARK) == 0
        assert len(gateway.wait_in_tun(MARK, packets=4)) >= 4


# --- our own --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "protocol"), [(Action.PROTECT, 0), (Action.BLOCK, 6)], ids=["all", "no TCP"])
@pytest.mark.parametrize("tracked", [True, False], ids=["tracked", "not tracked"])
def test_ours_leave_and_come_in_whatever_the_rules_say(
    sites: Sites, tmp_path: Path, version: int, action: Action, protocol: int, tracked: bool
) -> None:
    """Also in fragments, whether or not connection tracking puts those together on their way out."""
    if not tracked:
        others_table(sites, ("filter hook output priority -450", "notrack"))
    plan = hosts(version, action, protocol)
    with Gateway(sites, tmp_path, plan) as gateway:
        for place, far, here, there in (("ga", "gb", GA_WAN, GB_WAN), ("gb", "ga", GB_WAN, GA_WAN)):
            ends = here[version], there[version]
            with reading(sites, far, version) as readers, sending(sites, place, version) as sender:
                optional = each_behind_options(*ends) if version == 6 and tracked else []
                for packet in [*each(*ends, MARK), *optional]:
                    assert sender.send(packet, *map(ip_address, ends)) is None
                for receiver in readers:
                    wanted = [1, 64] * (1 + bool(optional))
                    assert [got.packet.count(MARK) for got in read(receiver, len(wanted))] == wanted
        assert gateway.out_of_tun(MARK) == []


def each_behind_options(source: str, destination: str) -> Sequence[bytes]:
    """The same of IPv6 behind options for the destination, of which a fragment may begin with nothing else."""
    whole = [behind_options(build(source, destination, MARK)) for build in (esp, ah)]
    long = [behind_options(build(source, destination, MARK * 64)) for build in (esp, ah)]
    return [*whole, *cut(long[0]), *cut(long[1])]


@contextlib.contextmanager
def reading(sites: Sites, place: str, version: int) -> Iterator[list[NativeReceiver]]:
    """What reads ESP there, and what reads AH."""
    opened = [NativeReceiver(sites.inside(place, open_receiving, version, protocol, 0)) for protocol in PROTOCOLS]
    yield opened
    for receiver in opened:
        receiver.close()


@contextlib.contextmanager
def sending(sites: Sites, place: str, version: int) -> Iterator[NativeSender]:
    """What sends whole packets with the mark of our own."""
    with contextlib.closing(NativeSender(sites.inside(place, open_sending, version, Settings().own_mark))) as opened:
        yield opened


# --- in their name --------------------------------------------------------------------------------------------------


def test_fragments_that_claim_to_be_of_ah_arent_let_in_as_anything_else(
    sites: Sites, tmp_path: Path, version: int
) -> None:
    """Of IPv6 a later fragment may claim any protocol, and the whole is what the first one says."""

    def forged(last: bytes) -> Sequence[bytes]:
        one, two = halves(GB_WAN[version], GA_WAN[version], b"<forged>", last)
        return one, two[:40] + bytes([51]) + two[41:] if version == 6 else two

    with (
        Gateway(sites, tmp_path, hosts(version)) as gateway,
        hearing(sites, version) as heard,
        reading(sites, "ga", version) as readers,
    ):
        send(sites, "gb", *forged(b"<packet>"), *cut(ah(GB_WAN[version], GA_WAN[version], MARK * 64)))
        assert [got.packet.count(MARK) for got in read(readers[1])] == [64]
        gateway.do(gateway.nftables.remove())
        send(sites, "gb", *forged(b"<control"))
        assert heard.recv(2_000) == b"<forged><control"


@contextlib.contextmanager
def hearing(sites: Sites, version: int) -> Iterator[socket.socket]:
    """A UDP socket of ga."""
    with sites.inside("ga", socket.socket, FAMILY[version], socket.SOCK_DGRAM) as opened:
        opened.bind((GA_WAN[version], 4001))
        opened.settimeout(PATIENCE)
        yield opened


@pytest.mark.parametrize("action", [Action.PROTECT, Action.BLOCK])
def test_while_nobody_reads_it_nothing_comes_of_it(sites: Sites, tmp_path: Path, version: int, action: Action) -> None:
    """The kernel has an error for it, which is a packet as any of this machine's; and what is inside of AH is given to
    nobody."""
    sites.sysctl("ga", "ipv4/icmp_ratelimit", 0)
    sites.sysctl("ga", "ipv6/icmp/ratelimit", 0)

    def listen() -> socket.socket:
        return socket.socket(FAMILY[version], socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_TCP)

    there, here = GB_WAN[version], GA_WAN[version]
    with (
        Gateway(sites, tmp_path, hosts(version, action)) as gateway,
        sites.inside("ga", listen) as segments,
        hearing(sites, version) as heard,
        Capture(sites, "ga", "wan0") as wan,
    ):
        send(sites, "gb", *each(there, here, MARK), udp(there, here, b"<IKE>", dport=500))
        wan.wait(lambda seen: seen.packet.endswith(b"<IKE>"), "what is behind it")
        if action is Action.PROTECT:
            gateway.wait_in_tun(MARK, packets=4)
        assert [seen for seen in wan.seen if seen.outgoing and MARK in seen.packet] == []
        with pytest.raises(BlockingIOError):
            segments.recv(2_000)
        gateway.do(gateway.nftables.remove())
        send(sites, "gb", *each(there, here, CONTROL), tcp(there, here, CONTROL), udp(there, here, FENCE))
        assert heard.recv(2_000) == FENCE
        assert segments.recv(2_000).endswith(CONTROL)
        wan.wait(lambda seen: seen.outgoing and CONTROL in seen.packet, "an error of the kernel")
