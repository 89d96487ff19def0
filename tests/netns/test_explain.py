"""What `ipsecctl explain` says of a packet is what real ones meet: sent, received, forwarded, in clear or in an SA."""

from __future__ import annotations

import contextlib
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.interop.ipsecd import Ipsecd
from tests.netns.capture import Capture, inject, send
from tests.netns.packets import ah, esp, fragments, gre, ping, sctp, tcp, udp
from tests.netns.pair import files, rule
from tests.netns.places import FAMILY, GA_LAN, GA_WAN, GB_WAN, HA, HB, NET_A, NET_B
from tests.netns.sites import Sites

pytestmark = pytest.mark.root

FENCE = 7_777
ECHO = {4: ("icmp", 1, "8"), 6: ("icmpv6", 58, "128")}
PASSES = ("clear", "permit", "exempt")


def plain(name: str, action: str, *filters: dict[str, object]) -> dict[str, Any]:
    return {"name": name, "action": action, "filters": list(filters)}


def between(source: str, destination: str, protocol: str = "any", port: int = 0, **more: object) -> dict[str, object]:
    ports = {"destination_port": port} if port else {}
    return {"source": source, "destination": destination, "protocol": protocol, **ports, **more}


def rules() -> list[dict[str, Any]]:
    """Those of ga: most are narrower than the tunnel, some wider, and some cross it."""
    fences = [
        between(near, GB_WAN[version], "tcp", FENCE) for version in (4, 6) for near in (HA[version], GA_WAN[version])
    ]
    return [
        rule("a", inside=(4, 6)),
        plain("fence", "permit", *fences),
        plain("web", "permit", *(between(NET_A[version], NET_B[version], "tcp", 80) for version in (4, 6))),
        plain("ssh", "block", *(between(NET_A[version], NET_B[version], "tcp", 22) for version in (4, 6))),
        plain("ping", "permit", between(NET_A[4], NET_B[4], "icmp", icmp_type="echo-request", mirrored=False)),
        plain("calls", "permit", *(between(NET_A[version], NET_B[version], "sctp", 80) for version in (4, 6))),
        plain("no-calls", "block", *(between(NET_A[version], NET_B[version], "sctp", 22) for version in (4, 6))),
        plain("gre", "permit", between(NET_A[4], NET_B[4], "gre")),
        plain("no-gre", "block", between(HA[6], GB_WAN[6], "gre")),
        plain("dns", "permit", between(NET_A[6], NET_B[6], "udp", 53)),
        plain("large", "permit", between(HA[4], NET_B[4], "udp", 5_001)),
        plain("cut", "block", between(HA[6], NET_B[6], "udp", 5_001)),
        plain("host", "permit", between(HA[4], GB_WAN[4])),
        plain("wire", "block", between(NET_A[4], "192.0.2.0/24"), between(NET_A[6], "2001:db8::/64", "udp")),
        plain("one-way", "block", between(HA[6], GB_WAN[6], "icmpv6", mirrored=False)),
        plain("mine", "block", between("me", NET_B[4], "tcp"), between("me", GB_WAN[6], "udp", 4_001)),
        plain("anywhere", "block", between("any", "any", "udp", 9_999)),
    ]


@dataclass(frozen=True)
class Sample:
    """A packet and the words that name it to `explain`; ``mark`` is in its payload, and in no other's."""

    source: str
    destination: str
    protocol: str
    ports: tuple[int, int]
    packets: Sequence[bytes]
    mark: bytes

    def asked(self) -> dict[str, str | int]:
        asked: dict[str, str | int] = {"source": self.source, "destination": self.destination}
        if self.protocol in ("icmp", "icmpv6"):
            return asked | {"protocol": self.protocol, "icmp_type": "echo-request"}
        if self.protocol in ("gre", "ah", "esp"):
            return asked | {"protocol": self.protocol}
        source_port, destination_port = self.ports
        return asked | {"protocol": self.protocol, "source_port": source_port, "destination_port": destination_port}


def samples(version: int, ends: Sequence[tuple[str, str]], *, back: bool) -> Iterator[Sample]:
    """Each kind of packet between each two ends, with ports as they are there or on the way back."""
    kinds: list[tuple[str, int, Callable[..., bytes | Sequence[bytes]]]] = [
        *(("tcp", port, tcp) for port in (80, 22, 8_080)),
        *(("udp", port, udp) for port in (53, 5_001, 4_001, 9_999)),
        *(("udp", port, fragments) for port in (5_001, 4_001)),
        *(("sctp", port, sctp) for port in (80, 22, 8_080)),
        ("gre", 0, gre),
        (ECHO[version][0], 0, ping),
    ]
    # of hosts: what a gateway itself sends is exempt only if ipsecd does
    native = [("ah", 80, ah), ("ah", 22, ah), ("esp", 0, esp)]
    hosts = {HA[version], HB[version]}
    for source, destination in ends:
        for protocol, port, build in [*kinds, *(native if hosts == {source, destination} else [])]:
            ports = (port, 4_000) if back else (4_000, port)
            mark = f"<{source} {destination} {build.__name__} {ports}>".encode().ljust(64, b".")
            built = build(source, destination, mark, *(ports if port else ()))
            yield Sample(source, destination, protocol, ports, [built] if isinstance(built, bytes) else built, mark)


@pytest.fixture
def daemons(sites: Sites, tmp_path: Path) -> Iterator[tuple[Ipsecd, Ipsecd]]:
    with (
        Ipsecd(sites, "ga", tmp_path / "a", files(*rules())) as a,
        Ipsecd(sites, "gb", tmp_path / "b", files(rule("b", inside=(4, 6)))) as b,
    ):
        a.ctl("up", "site", "--wait", "30")
        yield a, b


def verdicts(daemon: Ipsecd, sample: Sample, *, inside: bool = False) -> dict[str, str]:
    """By way. What comes ``inside`` an SA is judged piece by piece, before the kernel puts the pieces together."""
    asked = sample.asked()
    told = daemon.ask("explain", **asked)
    if inside and len(sample.packets) > 1:
        piece = {name: value for name, value in asked.items() if not name.endswith("_port")}
        told["inbound"] = daemon.ask("explain", **piece)["inbound"]
    return {way: told[way]["verdict"] for way in ("inbound", "outbound") if way in told}


# --- what leaves ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["ha", "ga"])
def test_what_leaves(sites: Sites, daemons: tuple[Ipsecd, Ipsecd], place: str) -> None:
    for version in (4, 6):
        leaves(sites, daemons[0], version, place)


def leaves(sites: Sites, daemon: Ipsecd, version: int, place: str) -> None:
    nears = (HA,) if place == "ha" else (GA_LAN, GA_WAN)
    ends = [(near[version], far[version]) for near in nears for far in (HB, GB_WAN)]
    found = [*samples(version, ends, back=False), *samples(version, ends[:1], back=True)]
    with Capture(sites, "ga", "wan0") as wan, Capture(sites, "hb", "eth0") as far:
        for sample in found:
            for packet in sample.packets:
                with contextlib.suppress(OSError):  # what is blocked, the sender is told
                    send(sites, place, packet)
        fence(sites, place, version, wan)
        fence_inside(sites, version, far)
        met = {sample.mark: leaving(wan, far, sample.mark) for sample in found}
    expected = {sample.mark: on_its_way_out(verdicts(daemon, sample)) for sample in found}
    assert met == expected
    assert set(Counter(expected.values())) == {"in clear", "in an SA", "dropped"}


def on_its_way_out(told: dict[str, str]) -> str:
    if told.get("inbound", "clear") not in PASSES:
        return "dropped"
    return {"protect": "in an SA"}.get(told["outbound"], "in clear" if told["outbound"] in PASSES else "dropped")


def leaving(wan: Capture, far: Capture, mark: bytes) -> str:
    wan.read()
    far.read()
    if any(seen.outgoing and mark in seen.packet for seen in wan.seen):
        return "in clear"
    return "in an SA" if any(mark in seen.packet for seen in far.seen) else "dropped"


def fence(sites: Sites, place: str, version: int, wan: Capture) -> None:
    """What is permitted has left, so all that was sent before has too."""
    source = {"ha": HA, "ga": GA_WAN}[place][version]
    send(sites, place, tcp(source, GB_WAN[version], b"<fence in clear>", 4_000, FENCE))
    wan.wait(lambda seen: seen.outgoing and b"<fence in clear>" in seen.packet, "what is permitted")


def fence_inside(sites: Sites, version: int, far: Capture) -> None:
    """What is protected has arrived, so all that was sealed before has too."""
    send(sites, "ha", udp(HA[version], HB[version], b"<fence in an SA>", 4_000, 6_000))
    far.wait_for(b"<fence in an SA>")


# --- what arrives ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", [False, True], ids=["in clear", "in an SA"])
def test_what_arrives(sites: Sites, daemons: tuple[Ipsecd, Ipsecd], inside: bool) -> None:
    for version in (4, 6):
        arrives(sites, daemons[0], version, inside=inside)


def arrives(sites: Sites, daemon: Ipsecd, version: int, *, inside: bool) -> None:
    nears = (HA, GA_LAN) if inside else (HA, GA_LAN, GA_WAN)
    fars = (HB,) if inside else (HB, GB_WAN)
    ends = [(far[version], near[version]) for near in nears for far in fars]
    found = [*samples(version, ends, back=True), *samples(version, ends[:1], back=False)]
    with Capture(sites, "ha", "eth0") as lan, Received(sites, "ga", version) as here:
        for sample in found:
            if inside:
                send(sites, "hb", *sample.packets)
            else:
                inject(sites, "gb", "wan0", sites.mac("ga", "wan0"), *sample.packets)
        if inside:
            send(sites, "hb", udp(HB[version], HA[version], b"<fence>", 6_000, 4_000))
        else:
            inject(
                sites, "gb", "wan0", sites.mac("ga", "wan0"),
                tcp(GB_WAN[version], HA[version], b"<fence>", FENCE, 4_000),
            )  # fmt: skip
        lan.wait_for(b"<fence>")
        met = {sample.mark: bool(lan.count(sample.mark) or here.has(sample.mark)) for sample in found}
    accepted = ("protect",) if inside else PASSES
    expected = {sample.mark: gets_through(verdicts(daemon, sample, inside=inside), accepted) for sample in found}
    assert met == expected
    assert set(expected.values()) == {True, False}


def gets_through(told: dict[str, str], accepted: tuple[str, ...]) -> bool:
    return told["inbound"] in accepted and told.get("outbound", "clear") in PASSES


class Received:
    """What this machine itself is given: raw sockets get their copy behind every filter."""

    def __init__(self, sites: Sites, place: str, version: int) -> None:
        self._sites, self._place, self._version = sites, place, version

    def __enter__(self) -> Received:
        self._sockets = self._sites.inside(self._place, self._open)
        self._octets: list[bytes] = []
        return self

    def __exit__(self, *_: object) -> None:
        for opened in self._sockets:
            opened.close()

    def _open(self) -> list[socket.socket]:
        protocols = (6, 17, 47, 132, ECHO[self._version][1])
        made = [socket.socket(FAMILY[self._version], socket.SOCK_RAW, protocol) for protocol in protocols]
        for opened in made:
            opened.setblocking(False)
            opened.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)  # SO_RCVBUFFORCE
        return made

    def has(self, mark: bytes) -> bool:
        for opened in self._sockets:
            with contextlib.suppress(BlockingIOError):
                while True:
                    self._octets.append(opened.recv(65_536))
        return any(mark in octets for octets in self._octets)
