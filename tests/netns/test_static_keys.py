"""Packets in every form between two gateways, by real kernels, processes and sockets; only the keys were agreed before.

One pair of gateways serves all tests of this file: each installs SAs of the form that it is about.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import pytest

from tests.interop.traffic import answers
from tests.interop.waiting import eventually
from tests.interop.wire import ABOUT_PROTECTED, Wire
from tests.netns.capture import inject
from tests.netns.gateway import Gateway
from tests.netns.packets import too_big
from tests.netns.places import FAMILY, GA_WAN, GB_WAN, HA, HB
from tests.netns.sites import Sites
from tests.netns.static_keys import SPI_OF_B, StaticKeys, plan
from tests.unit.dataplane.shapes import AROUND, Shape
from tests.unit.ipsec.pairs import CBC

pytestmark = pytest.mark.root

SHAPES = [Shape(*each) for each in product(("esp", "ah", "both"), (True, False), (True, False), (4, 6))]
OCTETS = 300_000
ROUTER = {4: "192.0.2.9", 6: "2001:db8::9"}
FLOOR = 1_280  # as far as IPv6 is believed


@dataclass(frozen=True)
class Two:
    sites: Sites
    a: StaticKeys
    b: StaticKeys

    @contextlib.contextmanager
    def protected(self, shape: Shape, inner: int = 0, besides: str = "") -> Iterator[Wire]:
        """While this is entered, packets go in this shape; and all that crosses the wire does, but for the kind that
        the test sends ``besides``."""
        with Wire(self.sites) as wire:
            for each in (self.b, self.a):
                each.install(shape, inner or shape.outer)
            try:
                yield wire
            finally:
                for each in (self.a, self.b):
                    each.remove(shape)
        assert {what for what in wire.kinds() if not of_shape(what, shape)} - {besides} == set()


def of_shape(what: str, shape: Shape) -> bool:
    """Whether a kind of frame is what that shape looks like."""
    outermost = "ESP" if shape.protocol == "esp" else "AH"
    if what == "link":
        return True
    if not shape.native:
        return what == f"{outermost} in UDP"
    return what.removeprefix("fragment of ").startswith((f"{outermost} 1", f"{outermost} 2"))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    folder = tmp_path_factory.mktemp("two")
    with (
        Sites(rp_filter=1) as sites,
        Gateway(sites, folder, plan("ga")) as ga,
        Gateway(sites, folder, plan("gb"), place="gb") as gb,
        StaticKeys(ga) as a,
        StaticKeys(gb) as b,
    ):
        yield Two(sites, a, b)


def between(shape: Shape, inner: int) -> tuple[tuple[str, str], tuple[str, str]]:
    """A place and an address at both ends."""
    if shape.transport:
        return ("ga", GA_WAN[inner]), ("gb", GB_WAN[inner])
    return ("ha", HA[inner]), ("hb", HB[inner])


def learned(sites: Sites, place: str, target: str, size: int) -> bool:
    """Whether echo requests of that size are all answered, once both ends have heard what the way carries. ping waits
    no longer than twice as long as the slowest answer took."""
    return eventually(lambda: answers(sites, place, target, size=size, patience=1) == 3, f"{size} octets get there")


def transferred(sites: Sites, source: tuple[str, str], target: tuple[str, str]) -> int:
    """Octets of a TCP connection that arrive, there and back."""
    version = 6 if ":" in target[1] else 4

    def listen() -> socket.socket:
        made = socket.create_server((target[1], 0), family=FAMILY[version])
        made.settimeout(60)
        return made

    with sites.inside(target[0], listen) as listening:
        port = listening.getsockname()[1]
        calling = sites.inside(source[0], socket.socket, FAMILY[version], socket.SOCK_STREAM)
        calling.settimeout(60)
        calling.connect((target[1], port))
        answering, _ = listening.accept()
        answering.settimeout(60)
        with calling, answering:
            return carried(calling, answering) + carried(answering, calling)


def carried(sender: socket.socket, receiver: socket.socket) -> int:
    """Octets that arrive as they were sent."""
    data, arrived = bytes(range(250)) * (OCTETS // 250), bytearray()
    left = memoryview(data)
    while len(arrived) < len(data):
        if left:
            left = left[sender.send(left[:50_000]) :]
        arrived += receiver.recv(100_000)
    return len(arrived) if arrived == data else 0


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_pings_fragments_and_tcp_get_through_in_that_form_and_in_no_other(two: Two, shape: Shape) -> None:
    """3,000 octets make fragments inside, or outside where the mode has no other way."""
    inner = shape.outer
    (source, near), (target, far) = between(shape, inner)
    with two.protected(shape):
        assert learned(two.sites, source, far, 56)
        assert learned(two.sites, target, near, 3_000)
        assert transferred(two.sites, (source, near), (target, far)) == 2 * OCTETS


@pytest.mark.parametrize("protocol", ["esp", "ah", "both"])
def test_either_version_goes_inside_the_other(two: Two, protocol: str) -> None:
    for outer, inner in ((4, 6), (6, 4)):
        shape = Shape(protocol, transport=False, outer=outer)
        with two.protected(shape, inner):
            assert learned(two.sites, "ha", HB[inner], 1_400)


@pytest.mark.parametrize("transport", [True, False])
def test_cbc_with_a_mac_and_esn(two: Two, transport: bool) -> None:
    shape = Shape(transport=transport, esn=True, suite=CBC)
    (source, _), (_, far) = between(shape, 4)
    with two.protected(shape):
        assert learned(two.sites, source, far, 1_400)


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("protocol", ["esp", "ah", "both"])
def test_what_a_router_says_of_a_native_packet_narrows_the_path(two: Two, protocol: str, outer: int) -> None:
    """It is quoted with the SPI of its outermost protocol; of AH in IPv6 only who reads ICMPv6 hears that."""
    shape, version = Shape(protocol, transport=False, outer=outer), 10 - outer
    spi = SPI_OF_B + (AROUND if protocol == "both" else 0)
    two.a.heard.clear()
    with two.protected(shape, version, ABOUT_PROTECTED) as wire:
        assert whole(two.sites, HB[version], 1_100)
        (told, *_) = eventually(lambda: large(wire, spi), "it crosses the wire")
        inject(two.sites, "gb", "wan0", two.sites.mac("ga", "wan0"), too_big(ROUTER[outer], told, FLOOR))
        eventually(lambda: (0, FLOOR, spi) in heard(two.a), f"of {spi:08x} it is heard that it was too big")
        eventually(lambda: not whole(two.sites, HB[version], 1_235), "the path is taken for narrower")
        assert whole(two.sites, HB[version], 1_100)


def large(wire: Wire, spi: int) -> list[bytes]:
    """What crossed of an SA, as far as it is large."""
    frames = [frame for _, frame in list(wire.frames) if len(frame) > 1_100]
    return [frame[14:] for frame in frames if spi.to_bytes(4, "big") in frame[:100]]


def whole(sites: Sites, target: str, octets: int) -> bool:
    """Whether an echo request with so many octets, which nobody may cut, is answered."""
    command = ["ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", str(octets), target]
    return sites.run("ha", command, check=False).returncode == 0


def heard(side: StaticKeys) -> list[tuple[int, int, int]]:
    """Port, MTU and SPI of what was too big."""
    return [(each.port, each.mtu, int.from_bytes(each.data[:4], "big")) for each in list(side.heard)]
