"""Raw sockets of ESP and AH: whole packets in and out, what the link can carry, and whom to believe about the path."""

from __future__ import annotations

import ctypes
import errno
import select
import socket
import struct
from ipaddress import ip_address

import pytest
from scapy.layers.inet import ICMP, IP, IPOption_NOP, IPOption_Router_Alert, fragment
from scapy.layers.inet6 import (
    HBHOptUnknown,
    ICMPv6ParamProblem,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    fragment6,
)
from scapy.packet import Packet, Raw

from ipsecd.errors import KernelError
from ipsecd.io import native_told
from ipsecd.io.ah_errors import AhErrors
from ipsecd.io.many import MANY
from ipsecd.io.native import NativePacket, NativeReceiver, NativeSender
from ipsecd.io.native_open import AH, ESP, open_errors, open_receiving, open_sending
from ipsecd.io.native_runs import RunReceiver, RunSender
from ipsecd.io.outgoing import Refusal
from ipsecd.io.udp_errors import PathError
from ipsecd.limits import NATIVE_BUFFER, RECEIVE_BUFFER
from tests.netns.capture import PATIENCE, Capture, send
from tests.netns.packets import too_big
from tests.netns.places import GA_WAN, GB_WAN, HB
from tests.netns.sites import Sites

pytestmark = [pytest.mark.root, pytest.mark.parametrize("version", [4, 6])]

one_by_one_and_together = pytest.mark.parametrize("kind", [NativeSender, RunSender])

SPI = b"\x12\x34\x56\x78"
BODY = SPI + b"\0\0\0\1" + b"<octets of ESP>"
OF_AH = struct.pack("!BBH4sI12s", 17, 4, 0, SPI, 1, b"<twelve oct>") + b"<behind AH>"
CONNTRACK = """
table inet tracked {
    chain before { type filter hook prerouting priority -350; ct state invalid,new,established,related,untracked; }
    chain out { type filter hook output priority 1000; ct state invalid,new,established,related,untracked; }
}
"""


def receiving(sites: Sites, place: str, version: int, protocol: int = ESP) -> NativeReceiver:
    return NativeReceiver(sites.inside(place, open_receiving, version, protocol, 0x77))


def hearing(sites: Sites, version: int, protocol: int) -> NativeReceiver | AhErrors:
    """What hears errors about packets that ga has sent."""
    if (version, protocol) == (6, AH):  # of which the kernel tells nobody
        return AhErrors(sites.inside("ga", open_errors, 0x77))
    return receiving(sites, "ga", version, protocol)


def sending(sites: Sites, place: str, version: int, kind: type[NativeSender] = RunSender) -> NativeSender:
    return kind(sites.inside(place, open_sending, version, 0x77))


def read(opened: NativeReceiver, count: int = 1) -> list[NativePacket]:
    """So many packets; fails if they don't come."""
    found: list[NativePacket] = []
    while len(found) < count:
        assert select.select([opened], [], [], PATIENCE)[0], f"{len(found)} of {count} packets came"
        while (packet := opened.receive()) is not None:
            found.append(packet)
    return found


def header(version: int, protocol: int, source: str = "", destination: str = "", ttl: int = 64) -> Packet:
    here, there = source or GA_WAN[version], destination or GB_WAN[version]
    if version == 4:
        return IP(src=here, dst=there, proto=protocol, id=7, ttl=ttl, tos=0xB9)
    return IPv6(src=here, dst=there, nh=protocol, hlim=ttl, tc=0xB9, fl=0x12345)


def dressed(version: int, protocol: int = AH) -> Packet:
    """A header with all that may stand between it and AH, but for what the kernel takes offence at."""
    plain = header(version, protocol)
    if version == 4:
        plain.options = [IPOption_NOP(), IPOption_NOP(), IPOption_NOP(), IPOption_NOP(), IPOption_Router_Alert()]
        return plain
    route = IPv6ExtHdrRouting(nh=60, type=2, segleft=0, addresses=["fd77::1"])
    options = [HBHOptUnknown(otype=0x3E, optdata=b"changes")]
    plain.nh = 0
    return (
        plain
        / IPv6ExtHdrHopByHop(nh=60, options=options)
        / IPv6ExtHdrDestOpt(nh=43)
        / route
        / IPv6ExtHdrDestOpt(nh=protocol, options=options)
    )


def one(sender: NativeSender, version: int, packet: bytes, destination: str = "") -> Refusal | None:
    return sender.send(packet, ip_address(GA_WAN[version]), ip_address(destination or GB_WAN[version]))


def test_a_packet_is_read_as_it_was_sent_whole(sites: Sites, version: int) -> None:
    sender = sending(sites, "ga", version)
    receivers = {protocol: receiving(sites, "gb", version, protocol) for protocol in (ESP, AH)}
    sent = {protocol: bytes(header(version, protocol) / Raw(body)) for protocol, body in ((ESP, BODY), (AH, OF_AH))}
    for packet in sent.values():
        assert one(sender, version, packet) is None
    for protocol, receiver in receivers.items():
        ends = (ip_address(GB_WAN[version]), ip_address(GA_WAN[version]))
        assert read(receiver) == [NativePacket(sent[protocol], *ends)]
        assert receiver.receive() is None


def test_options_and_extension_headers_stand_where_they_stood(sites: Sites, version: int) -> None:
    receiver, packet = receiving(sites, "gb", version, AH), bytes(dressed(version) / Raw(OF_AH))
    assert one(sending(sites, "ga", version), version, packet) is None
    assert [got.packet.hex() for got in read(receiver)] == [packet.hex()]


def test_many_are_read_at_one_waking(sites: Sites, version: int) -> None:
    sender, receiver = sending(sites, "ga", version), receiving(sites, "gb", version)
    again = sender.repeat(ip_address(GA_WAN[version]), ip_address(GB_WAN[version]))
    packets = [bytes(header(version, ESP) / Raw(BODY + bytes([number]))) for number in range(200)]
    assert all(again(packet) for packet in packets)
    assert [got.packet for got in read(receiver, 200)] == packets


@pytest.mark.parametrize("tracked", [False, True])
def test_the_kernel_puts_fragments_together_before(sites: Sites, version: int, tracked: bool) -> None:
    """Ours leave as they are, whatever of the kernel's looks at connections."""
    if tracked:
        for place in ("ga", "gb"):
            sites.run(place, ["nft", "-f", "-"], stdin=CONNTRACK)
    receiver, sender = receiving(sites, "gb", version), sending(sites, "ga", version)
    body = SPI + bytes(range(256)) * 11
    whole = header(version, ESP) / Raw(body)
    if version == 6:
        pieces = fragment6(header(6, 44) / IPv6ExtHdrFragment(nh=ESP, id=9) / Raw(body), 1_280)  # type: ignore[no-untyped-call]
    else:
        pieces = fragment(whole, 1_200)  # type: ignore[no-untyped-call]
    assert len(pieces) == 3
    with Capture(sites, "gb", "wan0") as wan:
        for piece in pieces:
            assert one(sender, version, bytes(piece)) is None
        assert [got.packet for got in read(receiver)] == [bytes(whole)]
        wan.read()
        protocol = {4: ESP, 6: 44}[version]
        assert [len(seen.packet) for seen in wan.seen if of(seen.packet) == protocol] == [
            len(bytes(piece)) for piece in pieces
        ]


def of(packet: bytes) -> int:
    """What its IP header says that it carries."""
    return packet[9] if packet[0] >> 4 == 4 else packet[6]


def test_a_fragment_header_of_a_whole_packet_is_as_if_it_werent_there(sites: Sites, version: int) -> None:
    """IPv6; in IPv4 there is none."""
    receiver, plain = receiving(sites, "gb", version, AH), bytes(header(version, AH) / Raw(OF_AH))
    sent = plain if version == 4 else bytes(header(6, 44) / IPv6ExtHdrFragment(nh=AH, id=9) / Raw(OF_AH))
    assert one(sending(sites, "ga", version), version, sent) is None
    assert [got.packet for got in read(receiver)] == [plain]


def test_what_exceeds_the_link_is_refused_with_what_it_carries(sites: Sites, version: int) -> None:
    sender, receiver = sending(sites, "ga", version), receiving(sites, "gb", version)
    room = 1_500 - len(bytes(header(version, ESP)))
    assert one(sender, version, bytes(header(version, ESP) / Raw(SPI + bytes(room - 3)))) == Refusal(
        "send-too-big", 1_500
    )
    assert sender.errors(10) == []  # that was all there is to say about it
    assert one(sender, version, bytes(header(version, ESP) / Raw(SPI + bytes(room - 4)))) is None
    assert [len(got.packet) for got in read(receiver)] == [1_500]
    assert sender.drops == {"send-too-big": 1}


def test_a_source_that_isnt_ours_is_refused_where_the_kernel_asks(sites: Sites, version: int) -> None:
    """It doesn't for whole packets of IPv4."""
    sender, stranger = sending(sites, "ga", version), ip_address(HB[version])
    packet = bytes(header(version, ESP, source=HB[version]) / Raw(BODY))
    refusal = {4: None, 6: Refusal("send-bad-source")}[version]
    assert sender.send(packet, stranger, ip_address(GB_WAN[version])) == refusal
    for segment in (0, len(packet)):
        again = sender.repeat(stranger, ip_address(GB_WAN[version]), segment=segment)
        assert again(packet * 2 if segment else packet) == (refusal is None)


@pytest.mark.parametrize("protocol", [ESP, AH])
def test_a_router_is_heard_but_not_obeyed(sites: Sites, version: int, protocol: int) -> None:
    sender = sending(sites, "ga", version)
    listener = hearing(sites, version, protocol)
    sites.run("gb", ["ip", "link", "set", "lan0", "mtu", "1300"])
    body = (BODY if protocol == ESP else OF_AH) + bytes(1_300)
    large = header(version, protocol, destination=HB[version])
    if version == 4:
        large.flags = "DF"
    packet = bytes(large / Raw(body))
    assert one(sender, version, packet, HB[version]) is None
    error = wait_for_error(listener)
    assert (error.errno, error.reported, error.mtu) == (errno.EMSGSIZE, True, 1_300)
    assert (error.remote, error.remote_port, error.data[:4]) == (ip_address(HB[version]), 0, SPI)
    with Capture(sites, "ga", "wan0") as wan:
        assert one(sender, version, packet, HB[version]) is None  # neither refused nor cut
        assert wan.wait_for(body[:16]).packet == packet


def test_forged_reports_change_no_path_mtu_of_the_kernel(sites: Sites, version: int) -> None:
    """IPv4. For IPv6 the kernel can't both tell and forget; our own packets go by the link all the same."""
    receiver = receiving(sites, "ga", version)
    quoted = bytes(header(version, ESP) / Raw(BODY + bytes(700)))
    send(sites, "gb", too_big(GB_WAN[version], quoted, 552 if version == 4 else 1_280))
    assert wait_for_error(receiver).data[:4] == SPI
    route = sites.run("ga", ["ip", "route", "get", GB_WAN[version]]).stdout
    assert "mtu" not in route if version == 4 else " mtu 1280" in route
    assert one(sending(sites, "ga", version), version, bytes(header(version, ESP) / Raw(SPI + bytes(1_400)))) is None


def wait_for_error(opened: NativeReceiver | AhErrors) -> PathError:
    assert select.select([opened], [], [], PATIENCE)[0], "no error came"
    (error,) = opened.errors(10)
    return error


def test_the_kernel_disowns_a_protocol_only_while_nobody_reads_it(sites: Sites, version: int) -> None:
    """It would tell the peer's kernel that nobody speaks ESP here (RFC 792 code 2, RFC 4443 section 3.4)."""

    def disowns(body: bytes) -> bool:
        with Capture(sites, "ga", "wan0") as wan:
            send(sites, "ga", bytes(header(version, ESP) / Raw(body)))
            send(sites, "ga", bytes(header(version, 252) / Raw(b"<later>")))  # which nobody reads
            wan.wait(lambda seen: answer(seen.packet) and b"<later>" in seen.packet, "an answer to what came later")
            return any(answer(seen.packet) and body in seen.packet for seen in wan.seen)

    def answer(packet: bytes) -> bool:
        if version == 4:
            return ICMP in IP(packet) and (IP(packet)[ICMP].type, IP(packet)[ICMP].code) == (3, 2)
        return ICMPv6ParamProblem in IPv6(packet) and IPv6(packet)[ICMPv6ParamProblem].code == 1

    sites.sysctl("gb", "ipv4/icmp_ratelimit", 0)
    sites.sysctl("gb", "ipv6/icmp/ratelimit", 0)
    assert disowns(b"<nobody reads>")
    receiver = receiving(sites, "gb", version)
    assert not disowns(b"<we read it>")
    assert len(read(receiver)) == 1


@pytest.mark.parametrize("protocol", [ESP, AH])
def test_who_does_not_know_the_protocol_says_so_of_that_packet(sites: Sites, version: int, protocol: int) -> None:
    listener = hearing(sites, version, protocol)
    body = BODY if protocol == ESP else OF_AH
    assert one(sending(sites, "ga", version), version, bytes(header(version, protocol) / Raw(body))) is None
    error = wait_for_error(listener)
    number = errno.ENOPROTOOPT if version == 4 else errno.EPROTO
    assert (error.errno, error.reported, error.mtu) == (number, True, 0)
    assert (error.remote, error.remote_port, error.data[:4]) == (ip_address(GB_WAN[version]), 0, SPI)


def test_who_only_sends_receives_nothing(sites: Sites, version: int) -> None:
    """Nor would anybody read it."""
    sender, receiver = sending(sites, "gb", version), receiving(sites, "gb", version)
    for protocol in (socket.IPPROTO_RAW, ESP):
        assert one(sending(sites, "ga", version), version, bytes(header(version, protocol) / Raw(BODY))) is None
    assert len(read(receiver)) == 1
    assert select.select([sender], [], [], 0)[0] == []


def test_without_the_right_to_raw_sockets_it_says_which_is_missing(sites: Sites, version: int) -> None:
    def try_it() -> None:
        with pytest.raises(KernelError, match="CAP_NET_RAW"):
            open_receiving(version, ESP, 0x77)
        with pytest.raises(KernelError, match="CAP_NET_RAW"):
            open_sending(version, 0x77)

    sites.inside("ga", without_rights, try_it)


def without_rights(work: object) -> None:
    """In this thread alone."""
    libc = ctypes.CDLL(None, use_errno=True)
    head, none = struct.pack("=Ii", 0x20080522, 0), bytes(24)
    assert libc.capset(head, none) == 0
    assert callable(work)
    work()


def test_a_run_that_is_sent_is_read_as_a_run(sites: Sites, version: int) -> None:
    sender = sending(sites, "ga", version)
    receiver = RunReceiver(sites.inside("gb", open_receiving, version, ESP, 0x77))
    packets = [bytes(header(version, ESP) / Raw(BODY + bytes([number]))) for number in range(9)]
    packets.append(bytes(header(version, ESP) / Raw(BODY)))
    ends = ip_address(GA_WAN[version]), ip_address(GB_WAN[version])
    buffer = memoryview(bytearray(RECEIVE_BUFFER + NATIVE_BUFFER))
    octets, segment = sum(map(len, packets)), len(packets[0])
    for whole in (b"".join(packets), memoryview(b"".join(packets))):
        assert sender.send(whole, *ends, segment=segment) is None
        assert sender.repeat(*ends, segment=segment)(whole)
        assert select.select([receiver], [], [], PATIENCE)[0]
        for _ in "ab":
            assert receiver.receive_run(buffer, 64) == (octets, segment, *reversed(ends))
            assert bytes(buffer[:octets]) == whole


def test_extension_headers_are_in_front_of_a_run_of_one_too(sites: Sites, version: int) -> None:
    receiver = RunReceiver(sites.inside("gb", open_receiving, version, ESP, 0x77))
    packet = bytes(dressed(version, ESP) / Raw(BODY))
    assert one(sending(sites, "ga", version), version, packet) is None
    assert select.select([receiver], [], [], PATIENCE)[0]
    buffer = memoryview(bytearray(RECEIVE_BUFFER + NATIVE_BUFFER))
    read = receiver.receive_run(buffer, 64)
    assert read is not None
    assert bytes(buffer[: read.octets]).hex() == packet.hex()


def test_a_packet_of_which_not_all_is_told_is_unlike_one_of_which_all_is(
    sites: Sites, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IPv6, with room for what stands in a fixed header alone; IPv4 packets are whole anyway."""
    monkeypatch.setattr(native_told, "ANCILLARY", 88)
    receiver, sender = RunReceiver(sites.inside("gb", open_receiving, version, AH, 0x77)), sending(sites, "ga", version)
    plain = bytes(header(version, AH) / Raw(OF_AH))
    other = bytes(header(6, 60) / IPv6ExtHdrDestOpt(nh=AH) / Raw(OF_AH)) if version == 6 else plain
    for packet in (plain, other, plain):
        assert one(sender, version, packet) is None
    buffer = memoryview(bytearray(RECEIVE_BUFFER + NATIVE_BUFFER))
    found = b""
    while read := receiver.receive_run(buffer, 64):
        found += buffer[: read.octets]
    assert found == (plain * 2 if version == 6 else plain * 3)
    assert receiver.drops == ({"unfinished-route": 1} if version == 6 else {})


@one_by_one_and_together
def test_of_a_run_that_does_not_fit_the_link_nothing_is_sent(
    sites: Sites, version: int, kind: type[NativeSender]
) -> None:
    sender = sending(sites, "ga", version, kind)
    ends = ip_address(GA_WAN[version]), ip_address(GB_WAN[version])
    packet = bytes(header(version, ESP) / Raw(BODY + bytes(1_500)))
    assert sender.send(packet * 3, *ends, segment=len(packet)) == Refusal("send-too-big", 1_500)
    assert sender.drops == {"send-too-big": 3}
    assert not sender.repeat(*ends, segment=len(packet))(packet * 3)
    assert sender.drops == {"send-too-big": 3}


@one_by_one_and_together
@pytest.mark.parametrize("first", [True, False])
def test_more_than_one_call_sends_all_arrive_in_order(
    sites: Sites, version: int, first: bool, kind: type[NativeSender]
) -> None:
    sender, receiver = sending(sites, "ga", version, kind), receiving(sites, "gb", version)
    packets = [bytes(header(version, ESP) / Raw(BODY + bytes([number]))) for number in range(2 * MANY + 3)]
    assert run(sender, version, packets, first)
    assert [got.packet for got in read(receiver, len(packets))] == packets
    assert sender.drops == {}


@one_by_one_and_together
def test_runs_of_one_buffer_end_where_they_end(sites: Sites, version: int, kind: type[NativeSender]) -> None:
    """Their last packets may have less, and those of the next run have not."""
    sender, receiver = sending(sites, "ga", version, kind), receiving(sites, "gb", version)
    packets = [bytes(header(version, ESP) / Raw(BODY + bytes([number]))) for number in range(6)]
    segment = len(packets[0])
    again = sender.repeat(ip_address(GA_WAN[version]), ip_address(GB_WAN[version]), segment=segment)
    buffer = memoryview(bytearray(b"".join(packets)))
    assert sender.send(packets[0], ip_address(GA_WAN[version]), ip_address(GB_WAN[version])) is None
    shorter = bytes(header(version, ESP) / Raw(BODY))
    buffer[2 * segment : 2 * segment + len(shorter)] = shorter
    assert again(buffer[: 2 * segment + len(shorter)])
    buffer[2 * segment : 3 * segment] = packets[2]
    assert again(buffer)
    assert [got.packet for got in read(receiver, 10)] == [packets[0], *packets[:2], shorter, *packets]


@one_by_one_and_together
@pytest.mark.parametrize("first", [True, False])
def test_what_the_kernel_refuses_in_the_middle_of_a_run_is_counted_and_the_rest_sent(
    sites: Sites, version: int, first: bool, kind: type[NativeSender]
) -> None:
    """A packet filter takes two of them away."""
    sender, receiver = sending(sites, "ga", version, kind), receiving(sites, "gb", version)
    packets = [bytes(header(version, ESP) / Raw(BODY + bytes([number]))) for number in range(20)]
    for number in (7, 13):
        refuse(sites, f"meta l4proto esp @th,{8 * len(BODY)},8 {number}")
    assert run(sender, version, packets, first)
    left = [packet for packet in packets if packet[-1] not in (7, 13)]
    assert [got.packet for got in read(receiver, len(left))] == left
    assert sender.drops == {"send-forbidden": 2}


@one_by_one_and_together
def test_of_a_run_whose_first_is_refused_none_is_sent(sites: Sites, version: int, kind: type[NativeSender]) -> None:
    sender = sending(sites, "ga", version, kind)
    packets = [bytes(header(version, ESP) / Raw(BODY))] * 9
    refuse(sites, "")
    assert not run(sender, version, packets, first=False)
    assert sender.drops == {}
    assert not run(sender, version, packets, first=True)
    assert sender.drops == {"send-forbidden": 9}


@one_by_one_and_together
def test_what_finds_the_send_buffer_full_is_lost(sites: Sites, version: int, kind: type[NativeSender]) -> None:
    """Nobody answers who has the address, so the first packets wait, and count as not sent yet."""
    nobody = {4: "192.0.2.77", 6: "2001:db8::77"}[version]
    opened = sites.inside("ga", open_sending, version, 0x77)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_608)
    sender = kind(opened)
    packet = bytes(header(version, ESP, destination=nobody) / Raw(BODY + bytes(1_000)))
    ends = ip_address(GA_WAN[version]), ip_address(nobody)
    assert sender.send(packet * 40, *ends, segment=len(packet)) is None
    lost = sender.drops["send-full"]
    assert 30 < lost < 40
    assert sender.drops == {"send-full": lost}
    assert not sender.repeat(*ends, segment=len(packet))(packet * 40)
    assert sender.send(packet * 40, *ends, segment=len(packet)) == Refusal("send-full")
    assert sender.drops == {"send-full": lost + 40}


def refuse(sites: Sites, match: str) -> None:
    """Nothing like this leaves the near gateway; its kernel says so to whoever sends it."""
    rule = f"chain out {{ type filter hook output priority 0; {match} drop\n}}"
    sites.run("ga", ["nft", "-f", "-"], stdin=f"table inet refusing {{ {rule}\n}}")


def run(sender: NativeSender, version: int, packets: list[bytes], first: bool) -> bool:
    """Whether these were sent as the first of their kind, or as more of it."""
    ends, whole, segment = (
        (ip_address(GA_WAN[version]), ip_address(GB_WAN[version])),
        b"".join(packets),
        len(packets[0]),
    )
    if first:
        return sender.send(memoryview(bytearray(whole)), *ends, segment=segment) is None
    return sender.repeat(*ends, segment=segment)(whole)


@one_by_one_and_together
def test_another_peer_is_sent_to_by_the_same_calls(sites: Sites, version: int, kind: type[NativeSender]) -> None:
    """Addresses that are longer or shorter in memory, or none of ours, leave nothing behind."""
    sender, receiver = sending(sites, "ga", version, kind), receiving(sites, "gb", version)
    packets = [bytes(header(version, ESP) / Raw(BODY + bytes([number]))) for number in range(3)]
    elsewhere = ip_address({4: "192.0.2.77", 6: "2001:db8::77"}[version])
    again = sender.repeat(ip_address(GA_WAN[version]), ip_address(GB_WAN[version]), segment=len(packets[0]))
    for _ in "ab":
        sender.repeat(ip_address(GA_WAN[version]), elsewhere, segment=len(packets[0]))(b"".join(packets))
        assert again(b"".join(packets))
        assert [got.packet for got in read(receiver, 3)] == packets
