"""Two ends that protect packets in any form: ESP, AH or both, in either mode, in UDP or native.

In tunnel mode they are the gateways of ``ends``; in transport mode two hosts, 192.0.2.1 and 198.51.100.1, or
2001:db8::1 and 2001:db8::2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

from ipsecd.dataplane import messages as m
from ipsecd.dataplane.results import Out, Result, ToTun
from ipsecd.ipsec.reassembly import Reassembly
from ipsecd.ipsec.sa import OutboundSa
from ipsecd.wire import ip
from ipsecd.wire.checksum import checksum
from ipsecd.wire.form import Form
from ipsecd.wire.selector import Selector
from tests.unit.crypto.suites import Suite
from tests.unit.dataplane.ends import FAR_NETS, NEAR_NETS, OUTER, End, only
from tests.unit.ipsec.pairs import GCM, ah_keys, keys

AROUND = 0x0001_0000  # what the SPIs of the AH around ESP have more than those of ESP
HOSTS = {version: tuple(map(str, pair)) for version, pair in OUTER.items()}
NETS = {4: ("10.1.0.1", "10.2.0.1"), 6: ("2001:db8:1::1", "2001:db8:2::1")}


@dataclass(frozen=True)
class Shape:
    """``protocol`` is esp, ah or both; ``outer`` the IP version outside."""

    protocol: str = "esp"
    transport: bool = True
    native: bool = True
    outer: int = 4
    esn: bool = False
    suite: Suite = GCM
    mac: str = "sha256"

    @property
    def name(self) -> str:
        mode, way = "transport" if self.transport else "tunnel", "native" if self.native else "udp"
        return f"{self.protocol}-{mode}-{way}-v{self.outer}{'-esn' if self.esn else ''}"

    def pair(self, inner: int) -> tuple[str, str]:
        """Addresses of a packet from the near end to the far one."""
        return HOSTS[self.outer] if self.transport else NETS[inner]  # type: ignore[return-value]  # they are two


SHAPES = [Shape(*each) for each in product(("esp", "ah", "both"), (True, False), (True, False), (4, 6), (False, True))]


EVERYTHING = (Selector.net("0.0.0.0/0"), Selector.net("::/0"))


def end(shape: Shape, *, near: bool, everything: bool = False) -> End:
    """One end, with a policy; if ``everything``, for whatever addresses."""
    made = End(near=near, outer=shape.outer)
    if shape.native:
        made.outside = replace(made.outside, local_port=0, remote_port=0)
    if everything:
        made.local = made.remote = EVERYTHING
    elif shape.transport:
        made.local, made.remote = ((Selector(each, each),) for each in (made.outside.local, made.outside.remote))
    else:
        made.local, made.remote = (NEAR_NETS, FAR_NETS) if near else (FAR_NETS, NEAR_NETS)
    made.keys = ah_keys(shape.mac, esn=shape.esn) if shape.protocol == "ah" else keys(shape.suite, esn=shape.esn)
    made.form = Form(shape.transport, within=made.inbound + AROUND if shape.protocol == "both" else 0)
    made.policy()
    return made


def ends(shape: Shape, *, everything: bool = False) -> tuple[End, End]:
    """Near and far end, with SAs."""
    both = end(shape, near=True, everything=everything), end(shape, near=False, everything=everything)
    for each in both:
        if shape.protocol == "both":
            install_around(each, shape)
        for done in (*each.install_inbound(), *each.install_outbound()):
            assert isinstance(done, m.Done)
            assert not done.error
    return both


def install_around(each: End, shape: Shape) -> None:
    """The AH that ESP goes within."""
    given, form = ah_keys(shape.mac, esn=shape.esn), Form(transport=True, outer=True)
    inbound, outbound = each.inbound + AROUND, each.outbound + AROUND
    for done in (
        *each.install_inbound(spi=inbound, keys=given, form=form),
        *each.install_outbound(spi=outbound, inbound=inbound, keys=given, form=form),
    ):
        assert isinstance(done, m.Done)
        assert not done.error


def sent(sender: End, packet: bytes) -> list[Out]:
    """What leaves in its place."""
    return only(sender.send(packet), Out)


def received(receiver: End, outs: list[Out], now: float = 0.0) -> list[bytes]:
    """What comes out of the receiver's TUN device; fragments of native packets are put together before."""
    return [bytes(result.packet) for result in only(results_of(receiver, outs, now), ToTun)]


def results_of(receiver: End, outs: list[Out], now: float = 0.0) -> list[Result]:
    """All that the receiver makes of it."""
    datagrams = [out.datagram for out in outs]
    if not receiver.outside.native:
        return [each for out in outs for each in receiver.receive(out.datagram, now, tos=out.tos)]
    if len(datagrams) > 1:
        gathering = Reassembly()
        (*_, last) = [gathering.add(datagram, ip.parse(datagram), now) for datagram in datagrams]
        assert last.whole is not None
        datagrams = [last.whole]
    return [each for datagram in datagrams for each in receiver.roads.from_native_read(datagram, receiver.outside, now)]


def carried(sender: End, receiver: End, packet: bytes) -> list[bytes]:
    """What comes out of the receiver's TUN device when the packet goes into the sender's."""
    return received(receiver, sent(sender, packet))


def outbound_sa(each: End, spi: int = 0) -> OutboundSa:
    """The SA an end sends on, that of ESP if there are two."""
    return next(sa for sa in each.roads._outbound._sad if sa.spi == (spi or each.outbound))


def renewed(packet: bytes, number: int) -> bytes:
    """The packet as its receiver makes its header anew: without DF, and with the sequence number."""
    if packet[0] >> 4 == 6:
        return packet[:1] + bytes([packet[1] & 0xF0]) + bytes(2) + packet[4:7] + b"\x40" + packet[8:]
    header = (
        packet[:4] + (number & 0xFFFF).to_bytes(2, "big") + bytes(2) + b"\x40" + packet[9:10] + bytes(2) + packet[12:20]
    )
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + packet[20:]
