"""Our AH held against Scapy's, an independent implementation: each accepts what the other signs.

Where Scapy's way (2.7) isn't that of RFC 4302, the two are not compared:

* who sends doesn't put the last address of an IPv4 source route into the destination (section 3.3.3.1.1.1),
* an IPv4 option is known by its number alone, whatever its class and copied flag,
* a routing header is turned round as if all its segments were left, and by who sends it even if none is,
* of a packet with ESP behind AH, what is signed is ESP,
* who receives stops at a routing header, and at a fragment header, which isn't taken out of the ICV (appendix A2).

Scapy puts AH behind destination options that no routing header follows, as Linux does. We put it in front of them: both
are as section 3.1.1 allows.
"""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import AH, IPSecIntegrityError, SecurityAssociation
from scapy.packet import Packet, raw

from ipsecd.ipsec import ah
from ipsecd.ipsec.transport import split
from ipsecd.wire import ip
from tests.property.header_values import (
    DESTINATION,
    HOP,
    ROUTING,
    Headers,
    options_v6,
    packets_v4,
    packets_v6,
    plain,
    routes_v6,
)
from tests.property.routers import arrive
from tests.unit.crypto.suites import INTEGRITIES
from tests.unit.ipsec.packets import udp
from tests.unit.ipsec.pairs import HMACS

NAMES = {"sha1": "HMAC-SHA1-96", "sha256": "SHA2-256-128", "sha384": "SHA2-384-192", "sha512": "SHA2-512-256"}
SPI, HIGH = 0xC0FFEE01, 5

names = st.sampled_from(sorted(NAMES))
numbers = st.integers(1, 0xFFFF_FFFF)


@st.composite
def _headers(draw: st.DrawFn, *, behind: bool) -> Headers:
    """As Scapy sees them; ``behind`` says whether destination options follow that belong to the receiver."""
    found: Headers = []
    if draw(st.booleans()):
        found.append((HOP, draw(options_v6)))
    if draw(st.booleans()):
        found += [(DESTINATION, draw(options_v6))] if draw(st.booleans()) else []
        found.append((ROUTING, draw(routes_v6)))
    if behind:
        found.append((DESTINATION, draw(options_v6)))
    return found


packets = packets_v4(protocols=plain) | packets_v6(_headers(behind=False), plain)
any_packets = packets | packets_v6(_headers(behind=True), plain)


def parsed(packet: bytes) -> Packet:
    return (IP if packet[0] >> 4 == 4 else IPv6)(packet)


def scapy_sa(name: str, esn: bool, outer: bytes = b"") -> SecurityAssociation:
    (key_octets,) = (integrity.key_octets for integrity in INTEGRITIES if integrity.name == name)
    return SecurityAssociation(
        AH,
        spi=SPI,
        auth_algo=NAMES[name],
        auth_key=bytes(range(key_octets)),
        tunnel_header=parsed(outer) if outer else None,
        esn_en=esn,
        esn=HIGH if esn else 0,
    )


def high(esn: bool) -> bytes:
    return HIGH.to_bytes(4, "big") if esn else b""


def seal(packet: bytes, name: str, number: int, esn: bool) -> bytes:
    mac = HMACS[name]
    return ah.seal(*split(packet, ip.parse(packet)), SPI, number, high(esn), mac.octets, mac.icv)


def opened(packet: bytes, name: str, esn: bool) -> ah.Received:
    mac = HMACS[name]
    received = ah.receive(packet)
    ah.check(received, high(esn), mac.octets, mac.verify)
    return received


def arrived(packet: bytes) -> bytes:
    return arrive(packet, b"\xa9\x11\x22\x33\x44\x55\x66\x77")


@given(packets, names, numbers, st.booleans())
def test_we_sign_as_scapy_does(packet: bytes, name: str, number: int, esn: bool) -> None:
    theirs = parsed(packet)
    assume(raw(theirs) == packet)
    assert raw(scapy_sa(name, esn).encrypt(theirs, seq_num=number)) == seal(packet, name, number, esn)


@given(any_packets, names, numbers, st.booleans())
def test_we_accept_what_scapy_signs(packet: bytes, name: str, number: int, esn: bool) -> None:
    theirs = parsed(packet)
    assume(raw(theirs) == packet)
    sealed = raw(scapy_sa(name, esn).encrypt(theirs, seq_num=number))
    received = opened(arrived(sealed), name, esn)
    assert (received.header.spi, received.header.sequence) == (SPI, number)
    sent, whole = ip.parse(packet), ip.parse(received.without_ah())
    assert received.without_ah()[whole.transport_offset :] == packet[sent.transport_offset :]


@given(any_packets, names, numbers, st.booleans())
def test_scapy_accepts_what_we_sign(packet: bytes, name: str, number: int, esn: bool) -> None:
    there = arrived(seal(packet, name, number, esn))
    theirs = parsed(there)
    assume(raw(theirs) == there)
    ours = opened(there, name, esn).without_ah()
    assert raw(scapy_sa(name, esn).decrypt(theirs)) == ours


OUTER = {4: udp("192.0.2.1", "198.51.100.1")[:20], 6: udp("2001:db8::1", "2001:db8::2")[:40]}


@pytest.mark.parametrize("outer", [4, 6])
@given(any_packets, names, numbers, st.booleans())
def test_tunnels_are_signed_as_scapy_signs_them(outer: int, packet: bytes, name: str, number: int, esn: bool) -> None:
    inner = parsed(packet)
    assume(raw(inner) == packet)
    mac, kind = HMACS[name], 4 if packet[0] >> 4 == 4 else 41
    ours = ah.seal(OUTER[outer], kind, packet, SPI, number, high(esn), mac.octets, mac.icv)
    theirs = scapy_sa(name, esn, OUTER[outer])
    assert raw(theirs.encrypt(inner, seq_num=number)) == ours
    assert raw(theirs.decrypt(parsed(arrived(ours)))) == packet
    assert opened(arrived(ours), name, esn).payload == packet


def test_scapy_can_tell_a_wrong_signature() -> None:
    sealed = bytearray(seal(udp("192.0.2.1", "198.51.100.1"), "sha256", 1, False))
    sealed[-1] ^= 1
    with pytest.raises(IPSecIntegrityError):
        scapy_sa("sha256", False).decrypt(IP(bytes(sealed)))
