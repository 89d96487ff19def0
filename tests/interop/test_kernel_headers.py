"""AH and ESP behind options and extension headers, in transport mode with a Linux kernel."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from ipsecd.ipsec.transport import headed
from ipsecd.wire import ip
from tests.interop import kernel_send
from tests.interop.kernel_static import Ah, Esp, Form, Method, Static
from tests.property.routers import arrive
from tests.unit.crypto.suites import INTEGRITIES
from tests.unit.ipsec.packets import ICMP, ICMPV6, chained, echo, ipv4
from tests.unit.ipsec.pairs import GCM

pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.xdist_group("kernel")]

ESP, AH = Esp(GCM), Ah(next(integrity for integrity in INTEGRITIES if integrity.name == "sha256"))
METHODS = {"esp": [ESP], "ah": [AH], "ah around esp": [ESP, AH]}
each_method = pytest.mark.parametrize("methods", METHODS.values(), ids=METHODS)
each_ah = pytest.mark.parametrize("methods", [[AH], [ESP, AH]], ids=["ah", "ah around esp"])
V4, V6 = Form(4, 0, esn=False), Form(6, 0, esn=False)

# what we send, and what Linux makes of it in its answer: it doesn't send back what is for routers alone
OPTIONS = {
    "94040000": "",  # router alert
    "070b04000000000000000000": "070b0cc0000202c000020200",  # record route: it is there twice
    "4414050000000000000000000000000000000000": "44140d00[0-9a-f]{16}0{16}",  # timestamps
    "94040000010101010707040000000000": "070708c000020200",  # several, of which one comes back
}
HOP, ROUTE, DESTINATION = 0, 43, 60
STAYS, CHANGES = "00 1e0401020304", "00 3e0401020304"  # options without a meaning that may be passed over
ENDED = "02 00 00 00000000 20010db8000000000000000000000009"  # a route of which no segments are left
HEADERS = [
    [(HOP, STAYS)],
    [(HOP, CHANGES)],
    [(ROUTE, ENDED)],
    [(DESTINATION, STAYS)],
    [(HOP, CHANGES), (DESTINATION, STAYS), (ROUTE, ENDED), (DESTINATION, CHANGES)],
]
# the option of the guest's socket, and the options or extension headers of what comes
SENT = {
    (V4, "IP_OPTIONS=94040000"): "94040000",
    (V4, "IP_OPTIONS=07070400000000"): "070708c000020200",
    (V6, "IPV6_HOPOPTS=00001e0401020304"): "11001e0401020304",
    (V6, "IPV6_HOPOPTS=00003e0401020304"): "11003e0401020304",
    (V6, "IPV6_DSTOPTS=00001e0401020304"): "11001e0401020304",
}
PATH = bytes.fromhex("a91122330a4d0001")  # what routers leave in a packet; in its route the address of us


def sent(kernel: Static, lines: Sequence[str]) -> None:
    kernel.guest.python(kernel_send, given="\n".join(lines))


@each_method
def test_the_kernel_answers_behind_options_of_ipv4(kernel: Static, methods: list[Method]) -> None:
    [ends] = kernel.key(methods, [V4])
    asked, expected = echo(V4.ours(0), V4.theirs), echo(V4.theirs, V4.ours(0), 0)
    for options, back in OPTIONS.items():
        with kernel.about(options):
            packet = ipv4(V4.ours(0), V4.theirs, ICMP, asked[20:], options=bytes.fromhex(options))
            answer = kernel.exchange(ends, packet)
            place = ip.parse(answer).header_octets
            assert re.fullmatch(back, answer[20:place].hex())
            assert answer[place:] == expected[20:]


@each_method
def test_the_kernel_answers_behind_extension_headers(kernel: Static, methods: list[Method]) -> None:
    [ends] = kernel.key(methods, [V6])
    asked, expected = echo(V6.ours(0), V6.theirs), echo(V6.theirs, V6.ours(0), 129)
    for headers in HEADERS:
        with kernel.about(headers):
            answer = kernel.exchange(ends, chained(V6.ours(0), V6.theirs, *headers, last=ICMPV6, body=asked[40:]))
            assert answer[40:] == expected[40:]


@each_method
def test_we_open_what_the_kernel_sends_behind_such_headers(kernel: Static, methods: list[Method]) -> None:
    found = dict(zip((V4, V6), kernel.key(methods, [V4, V6]), strict=True))
    target = {V4: V4.ours(0), V6: V6.ours(1)}
    sent(kernel, [f"{target[form]} {option}" for form, option in SENT])
    for (form, option), headers in SENT.items():
        with kernel.about(option):
            packet = kernel.heard(found[form])
            whole = ip.parse(packet)
            assert packet[whole.header_octets if form == V6 else 20 : whole.transport_offset].hex() == headers
            assert packet[whole.transport_offset + 8 :] == kernel_send.DATA


def routed(packet: bytes) -> bytes:
    """A packet, which has AH, where its route ends."""
    there = arrive(packet, PATH)
    if there[0] >> 4 == 6:
        return there
    front = (there[0] & 15) * 4
    return headed(there[:front], there[9], len(there) - front) + there[front:]  # with the right checksum


@each_ah
def test_the_kernel_takes_what_has_come_by_a_source_route(kernel: Static, methods: list[Method]) -> None:
    kernel.guest.run("sysctl", "-qw", *(f"net.ipv4.conf.{name}.accept_source_route=1" for name in ("all", "vec0")))
    [ends] = kernel.key(methods, [V4])
    us = V4.ours(0)
    asked, expected = echo(us, V4.theirs), echo(V4.theirs, us, 0)
    packet = ipv4(us, us, ICMP, asked[20:], options=bytes.fromhex("830704c000020200"))  # by way of us
    with kernel.about("a source route"):
        answer = kernel.exchange(ends, packet, routed)
        assert answer[20:] == expected[20:]  # without a route, as the way back would begin and end with us


@each_ah
def test_the_kernel_takes_what_has_come_by_a_routing_header(kernel: Static, methods: list[Method]) -> None:
    [ends] = kernel.key(methods, [V6])
    asked, expected = echo(V6.ours(0), V6.theirs), echo(V6.theirs, V6.ours(0), 129)
    route = "02 00 01 00000000 20010db8000000000000000000000002"  # to the guest
    packet = chained(V6.ours(0), "fd77::99", (ROUTE, route), last=ICMPV6, body=asked[40:])
    with kernel.about("a routing header"):
        answer = kernel.exchange(ends, packet, routed)
        assert answer[40:] == expected[40:]


@each_ah
@pytest.mark.parametrize(
    ("form", "to", "option"),
    [
        (V4, "10.77.9.9", "IP_OPTIONS=8307040a4d0001"),  # by way of ours, where the kernel looks for a policy
        (V6, V6.ours(0), "IPV6_RTHDR=0002020100000000fd770000000000000000000000000099"),
    ],
    ids=["source route of IPv4", "routing header"],
)
def test_ah_of_the_kernel_holds_at_the_end_of_a_route(
    kernel: Static, form: Form, to: str, option: str, methods: list[Method]
) -> None:
    [ends] = kernel.key(methods, [form])
    sent(kernel, [f"{to} {option}"])
    with kernel.about(option):
        packet = kernel.heard(ends, routed)
        whole = ip.parse(packet)
        assert str(whole.destination) == to
        assert packet[whole.transport_offset + 8 :] == kernel_send.DATA
