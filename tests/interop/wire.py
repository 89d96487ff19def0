"""What crosses a link: every frame, and what kind of thing it is."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import replace
from ipaddress import ip_address
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Self

from ipsecd.wire import offload
from tests.netns.sites import Sites

ETH_P_ALL = 0x0003
SO_TIMESTAMPNS = 35
SOL_PACKET, PACKET_VNET_HDR = 263, 15
TIMESPEC = struct.Struct("=qq")
ETHERNET = 14
IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86DD
HOP_BY_HOP, FRAGMENT = 0, 44
ICMP, TCP, UDP, ICMPV6, ESP, AH = 1, 6, 17, 58, 50, 51
NATT_PORT = (4_500).to_bytes(2, "big")
NEIGHBOURS = range(130, 138)  # ICMPv6: multicast listeners, routers and neighbours (RFC 2710, RFC 4861)
LISTENER_REPORT_V2 = 143  # RFC 3810
PROTOCOLS = {ICMP: "ICMP", TCP: "TCP", UDP: "UDP", ICMPV6: "ICMPv6", ESP: "ESP", AH: "AH"}
IN_UDP = frozenset({"ESP in UDP", "AH in UDP"})
ABOUT_PROTECTED = "ICMP error about IKE or ESP"  # or about AH, of which it may quote what AH signs
PROTECTED = IN_UDP | {"IKE", "NAT keepalive", "link", ABOUT_PROTECTED}
ERRORS = {ICMP: {3, 11, 12}, ICMPV6: {1, 2, 3, 4}}


class Wire:
    """Records the frames of an interface while it is entered, each with the time at which the kernel had it. ``place``
    is a namespace of the sites. Between namespaces a frame can stand for several, which a card would have cut."""

    def __init__(self, sites: Sites, place: str = "gb", interface: str = "wan0") -> None:
        self._sites, self._place, self._interface = sites, place, interface
        self.frames: list[tuple[float, bytes]] = []
        self._offloads: list[bytes] = []  # the virtio header of each frame

    def __enter__(self) -> Self:
        self._socket = self._sites.inside(self._place, self._open)
        self._end = inf  # on the clock that frames have their times by
        self._reader = threading.Thread(target=self._read, name=f"wire {self._place}", daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end = time.time()
        self._reader.join()
        self._socket.close()

    def _open(self) -> socket.socket:
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 26)
        opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        opened.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        opened.bind((self._interface, 0))
        opened.settimeout(0.1)
        return opened

    def _read(self) -> None:
        """All that crosses until the end, which may not be quiet."""
        while True:
            try:
                got, ((_, _, stamp), *_), _, _ = self._socket.recvmsg(1 << 17, socket.CMSG_SPACE(TIMESPEC.size))
            except TimeoutError:
                if self._end < inf:
                    return
                continue
            seconds, nanoseconds = TIMESPEC.unpack(stamp)
            moment = seconds + nanoseconds / 1e9
            if moment > self._end:
                return
            self.frames.append((moment, got[offload.OCTETS :]))
            self._offloads.append(got[: offload.OCTETS])

    def kinds(self) -> Counter[str]:
        """Frames by kind, as many as on a cable; what isn't one of ``PROTECTED`` names the addresses it went
        between."""
        kinds, counted = Kinds(), Counter[str]()
        for (_, frame), header in zip(list(self.frames), self._offloads, strict=False):  # another may be coming
            told = _of_packet(header)
            counted[kinds.of(frame)] += offload.plan(frame[ETHERNET:], told).pieces if told.gso else 1
        return counted

    def cleartext(self, native: str = "") -> dict[str, int]:
        """What crossed that isn't ``expected``."""
        return {what: count for what, count in self.kinds().items() if not expected(what, native)}

    def save(self, path: Path) -> None:
        """Write a capture file (pcap, microseconds, Ethernet) of the frames as they would be on a cable."""
        with path.open("wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 16, 1))
            for (moment, frame), header in zip(self.frames, self._offloads, strict=True):
                micros = int(moment * 1_000_000)
                for cut in frames_on_a_cable(frame, header):
                    file.write(struct.pack("<IIII", *divmod(micros, 1_000_000), len(cut), len(cut)))
                    file.write(cut)


def frames_on_a_cable(frame: bytes, header: bytes) -> list[bytes]:
    """What a card makes of a frame with this virtio header, which counts from the start of the frame."""
    return [frame[:ETHERNET] + packet for packet in offload.segments(frame[ETHERNET:], _of_packet(header))]


def _of_packet(header: bytes) -> offload.Offload:
    """A frame's virtio header, as its packet would have it."""
    told = offload.decode(header)
    return replace(told, start=max(told.start - ETHERNET, 0))


class Kinds:
    """What frames are that come in order: a later fragment is what the first one of its packet is."""

    def __init__(self) -> None:
        self._firsts: dict[bytes, str] = {}

    def of(self, frame: bytes) -> str:
        what, packet = kind(frame), fragment_of(frame)
        if packet and what.startswith("fragment"):
            return self._firsts.get(packet, what)
        if packet:
            self._firsts[packet] = what
        return what


def expected(what: str, native: str = "") -> bool:
    """Whether this kind is IKE, ESP in UDP, or the link's own business; with ``native``, ESP or AH, that is expected as
    an IP protocol, and nothing in UDP."""
    if what in IN_UDP:
        return not native
    return what in PROTECTED or what.partition(" ")[0] == native


def fragment_of(frame: bytes) -> bytes:
    """What tells the packet that a fragment is of from others; nothing for what is no fragment."""
    packet = frame[ETHERNET:]
    if frame[12:14] == b"\x08\x00" and int.from_bytes(packet[6:8], "big") & 0x3FFF:
        return packet[4:6] + packet[9:10] + packet[12:20]
    if frame[12:14] == b"\x86\xdd" and packet[6] == FRAGMENT:
        return packet[44:48] + packet[8:40]
    return b""


def kind(frame: bytes) -> str:
    """What a frame is, in a word of ``PROTECTED`` or as ``ICMP 10.1.0.2 > 10.2.0.2``."""
    with contextlib.suppress(IndexError, struct.error, ValueError):
        (ethertype,) = struct.unpack_from("!H", frame, 12)
        match ethertype:
            case 0x0806:
                return "link"
            case 0x0800:
                return _ipv4(frame[ETHERNET:])
            case 0x86DD:
                return _ipv6(frame[ETHERNET:])
    return f"unknown: {frame[:64].hex()}"


def spi(frame: bytes) -> str:
    """That of ESP or AH, in UDP or not, in hexadecimal; nothing for all else, and for later fragments. It is asked of
    every frame of a flood, so it does no more than it has to."""
    protocol, at, later = carried(frame)
    if later:
        return ""
    if protocol == UDP and NATT_PORT in (frame[at : at + 2], frame[at + 2 : at + 4]):
        at += 8
        protocol = AH if frame[at + 2 : at + 4] == bytes(2) else ESP
        if frame[at : at + 4] == bytes(4) or len(frame) < at + 8:
            return ""
    at += {ESP: 0, AH: 4}.get(protocol, len(frame))
    return frame[at : at + 4].hex()


def carried(frame: bytes) -> tuple[int, int, bool]:
    """The protocol of what an IP packet carries, if no other extension header than a fragment's is in front of that;
    where it stands in the frame; and whether it is a fragment but the first. Zeros for what is no IP packet."""
    if frame[12:14] == b"\x08\x00":
        return frame[23], ETHERNET + 4 * (frame[14] & 15), bool(frame[20] & 0x1F or frame[21])
    if frame[12:14] != b"\x86\xdd":
        return 0, 0, False
    if frame[20] != FRAGMENT:
        return frame[20], ETHERNET + 40, False
    return frame[54], ETHERNET + 48, bool(frame[56] or frame[57] & 0xF8)


def _ipv4(packet: bytes) -> str:
    between = f"{ip_address(packet[12:16])} > {ip_address(packet[16:20])}"
    if struct.unpack_from("!H", packet, 6)[0] & 0x1FFF:
        return f"fragment of {_name(packet[9])} {between}"
    return _transport(packet[9], packet[(packet[0] & 15) * 4 :], between)


def _ipv6(packet: bytes) -> str:
    between = f"{ip_address(packet[8:24])} > {ip_address(packet[24:40])}"
    protocol, rest = packet[6], packet[40:]
    if protocol == HOP_BY_HOP:
        protocol, rest = rest[0], rest[8 * (rest[1] + 1) :]
    if protocol == FRAGMENT:
        if int.from_bytes(rest[2:4], "big") & 0xFFF8:
            return f"fragment of {_name(rest[0])} {between}"
        protocol, rest = rest[0], rest[8:]
    if protocol == ICMPV6 and (rest[0] in NEIGHBOURS or rest[0] == LISTENER_REPORT_V2):
        return "link"
    return _transport(protocol, rest, between)


def _transport(protocol: int, segment: bytes, between: str) -> str:
    if segment[0] in ERRORS.get(protocol, ()):
        inner = segment[8:]  # the packet that the error is about
        about = (_ipv4 if protocol == ICMP else _ipv6)(inner)
        if about in PROTECTED or about.startswith(("ESP ", "AH ")):
            return ABOUT_PROTECTED
    if protocol != UDP:
        return f"{_name(protocol)} {between}"
    ports, data = set(struct.unpack_from("!HH", segment)), segment[8:]
    if 4500 in ports:  # RFC 3948 section 2.2: four zero octets, where ESP has its SPI, mark IKE
        if data == b"\xff":
            return "NAT keepalive"
        if data[:4] == bytes(4):
            return "IKE"
        return "AH in UDP" if data[2:4] == bytes(2) else "ESP in UDP"  # in place of the SPI: a reserved field
    return "IKE" if 500 in ports else f"UDP {between}"


def _name(protocol: int) -> str:
    return PROTOCOLS.get(protocol, f"protocol {protocol}")
