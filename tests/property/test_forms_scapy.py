"""Both roads held against Scapy's ESP and AH, in transport mode and native, with real packets: each end takes what the
other made.

Scapy has no AH around ESP as one thing: it is two of its SAs here, one after the other. It accepts what we sign so, but
signs ESP itself in the place of AH. What of AH it sees otherwise is told in ``test_ah_scapy``. Of ESP in UDP it loses
the UDP header if there are extension headers.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import AH, ESP, SecurityAssociation
from scapy.packet import Packet, Raw, raw

from ipsecd.ipsec.sa import AhKeys, EspKeys
from ipsecd.ipsec.transport import headed, split
from ipsecd.wire import ip
from tests.property.header_values import DESTINATION, HOP, Headers, options_v6, packets_v4, packets_v6
from tests.property.test_esp_scapy import CIPHERS, KNOWN, MACS
from tests.unit.crypto.suites import Suite
from tests.unit.dataplane.ends import End
from tests.unit.dataplane.shapes import AROUND, SHAPES, Shape, ends, outbound_sa, received, sent
from tests.unit.ipsec.pairs import ah_keys

HIGH = 3
few = settings(max_examples=settings().max_examples // 5)  # of each form; there are many, and Scapy takes its time
NUMBER = 0x1235

opaque = st.sampled_from((115, 200, 253))  # protocols that Scapy doesn't look into
suites = st.sampled_from(KNOWN)
macs = st.sampled_from(sorted(MACS))
NATIVE = [shape for shape in SHAPES if shape.native]
IN_UDP = [shape for shape in SHAPES if not shape.native and shape.protocol == "esp"]

SIGNED_ALIKE = [shape for shape in NATIVE if shape.protocol != "both"]
native = pytest.mark.parametrize("shape", NATIVE, ids=lambda shape: shape.name)
in_udp = pytest.mark.parametrize("shape", IN_UDP, ids=lambda shape: shape.name)


@st.composite
def _headers(draw: st.DrawFn) -> Headers:
    """Destination options go behind ours, as the receiver is who they are for; Scapy takes them for the way."""
    return [(HOP, draw(options_v6))] if draw(st.booleans()) else []


@st.composite
def _with_options(draw: st.DrawFn) -> Headers:
    return [*draw(_headers()), (DESTINATION, draw(options_v6))]


PACKETS = {4: packets_v4(protocols=opaque), 6: packets_v6(_headers(), opaque)}
RECEIVED = {4: PACKETS[4], 6: PACKETS[6] | packets_v6(_with_options(), opaque)}
BARE = {4: PACKETS[4], 6: packets_v6(st.just([]), opaque)}


def parsed(packet: bytes) -> Packet:
    return (IP if packet[0] >> 4 == 4 else IPv6)(packet)


class Theirs:
    """The far end, as Scapy has it."""

    def __init__(self, shape: Shape, near: End) -> None:
        self.shape = shape
        here, there = str(near.outside.local), str(near.outside.remote)
        header = IP(src=here, dst=there) if shape.outer == 4 else IPv6(src=here, dst=there)
        numbers = {"esn_en": shape.esn, "esn": HIGH if shape.esn else 0}
        tunnel = None if shape.transport else header
        suite = shape.suite
        mac = {"auth_algo": MACS[suite.integrity.name], "auth_key": suite.key_a} if suite.integrity else {}
        keys: AhKeys = ah_keys(shape.mac)
        ports = None if shape.native else UDP(sport=4500, dport=4500)
        signs = {"auth_algo": MACS[shape.mac], "auth_key": keys.integrity_key, **numbers}
        cipher = {"crypt_algo": CIPHERS[suite.encryption.id], "crypt_key": suite.key_e, **mac, **numbers}
        self.esp = SecurityAssociation(ESP, spi=0x2222, tunnel_header=tunnel, nat_t_header=ports, **cipher)
        self.ah = SecurityAssociation(AH, spi=0x2222, tunnel_header=tunnel, **signs)
        self.around = SecurityAssociation(AH, spi=0x2222 + AROUND, **signs)

    def seal(self, packet: bytes) -> bytes:
        theirs = parsed(packet)
        if self.shape.protocol == "ah":
            return bytes(raw(self.ah.encrypt(theirs, seq_num=NUMBER)))
        iv = NUMBER.to_bytes(16, "big")[16 - self.shape.suite.encryption.iv_octets :]
        more = {"esn_en": self.shape.esn, "esn": HIGH if self.shape.esn else 0}
        return bytes(raw(self.esp.encrypt(theirs, seq_num=NUMBER, iv=iv, **more)))

    def open(self, packet: bytes) -> bytes:
        theirs = parsed(packet)
        assert raw(theirs) == packet
        if self.shape.protocol == "ah":
            return bytes(raw(self.ah.decrypt(theirs)))
        if self.shape.protocol == "both":
            theirs = parsed(bytes(raw(self.around.decrypt(theirs))))
        more = {"esn_en": self.shape.esn, "esn": HIGH if self.shape.esn else 0}
        return bytes(raw(self.esp.decrypt(theirs, **more)))


def up(shape: Shape, suite: Suite, mac: str) -> tuple[End, End, Theirs]:
    shape = replace(shape, suite=suite, mac=mac)
    near, far = ends(shape, everything=True)
    top = (HIGH << 32 if shape.esn else 0) + NUMBER - 1
    for sa in near.roads._outbound._sad:
        sa.sequence = top
    for inbound in far.roads._inbound._sad:
        inbound.window.top = top
    assert isinstance(near.keys, AhKeys | EspKeys)
    return near, far, Theirs(shape, near)


def drawn(data: st.DataObject, shape: Shape, packets: dict[int, st.SearchStrategy[bytes]]) -> bytes:
    packet = data.draw(packets[shape.outer] if shape.transport else packets[4] | packets[6])
    assume(raw(parsed(packet)) == packet)
    return packet


@native
@few
@given(data=st.data(), suite=suites, mac=macs)
def test_scapy_takes_what_leaves_natively(shape: Shape, data: st.DataObject, suite: Suite, mac: str) -> None:
    near, _, theirs = up(shape, suite, mac)
    packet = drawn(data, shape, PACKETS)
    (out,) = sent(near, packet)
    assert theirs.open(out.datagram) == packet


@pytest.mark.parametrize("shape", SIGNED_ALIKE, ids=lambda shape: shape.name)
@few
@given(data=st.data(), suite=suites, mac=macs)
def test_what_scapy_sends_natively_comes_in(shape: Shape, data: st.DataObject, suite: Suite, mac: str) -> None:
    near, far, theirs = up(shape, suite, mac)
    packet = drawn(data, shape, RECEIVED if shape.protocol == "ah" else PACKETS)
    out = sent(near, packet)[0]._replace(datagram=theirs.seal(packet))
    (arrived,) = received(far, [out])
    view, sent_view = ip.parse(arrived), ip.parse(packet)
    assert arrived[view.transport_offset :] == packet[sent_view.transport_offset :]
    assert (view.source, view.destination, view.protocol) == (
        sent_view.source,
        sent_view.destination,
        sent_view.protocol,
    )


@in_udp
@few
@given(data=st.data(), suite=suites, mac=macs)
def test_scapy_takes_what_leaves_in_udp(shape: Shape, data: st.DataObject, suite: Suite, mac: str) -> None:
    near, _, theirs = up(shape, suite, mac)
    packet = drawn(data, shape, BARE)
    (out,) = sent(near, packet)
    outside = near.outside
    header = (IP if shape.outer == 4 else IPv6)(src=str(outside.local), dst=str(outside.remote))
    wire = raw(header / UDP(sport=4500, dport=4500) / Raw(out.datagram))
    opened = theirs.open(bytes(wire))
    _, next_header, payload = split(packet, ip.parse(packet))
    if shape.transport:
        front = opened[: len(opened) - len(payload)]
        assert opened == headed(front, next_header, len(payload)) + payload
    else:
        assert opened == packet


@in_udp
@few
@given(data=st.data(), suite=suites, mac=macs)
def test_what_scapy_sends_in_udp_comes_in(shape: Shape, data: st.DataObject, suite: Suite, mac: str) -> None:
    near, far, theirs = up(shape, suite, mac)
    packet = drawn(data, shape, BARE)
    out = sent(near, packet)[0]
    (arrived,) = received(far, [out._replace(datagram=bytes(raw(parsed(theirs.seal(packet))[UDP].payload)))])
    _, _, payload = split(packet, ip.parse(packet))
    assert arrived[-len(payload) :] == payload
    assert outbound_sa(near).sequence & 0xFFFF_FFFF == NUMBER
