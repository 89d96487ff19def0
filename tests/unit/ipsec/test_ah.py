"""Packets with an authentication header: what the ICV covers, both modes, and what is refused."""

from __future__ import annotations

import hmac
from functools import partial

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ipsecd.crypto.mac import Mac
from ipsecd.errors import LocalError, PeerError, Refused
from ipsecd.ipsec import ah
from ipsecd.ipsec.transport import headed, split
from ipsecd.wire import ip
from tests.unit.crypto.suites import INTEGRITIES
from tests.unit.ipsec.packets import chained, echo, ipv4, ipv6, udp
from tests.unit.ipsec.pairs import HMACS

HERE, THERE = "192.0.2.1", "198.51.100.1"
HERE6, THERE6 = "2001:db8::1", "2001:db8::2"
SPI = 0xC0FFEE01
MAC = HMACS["sha256"]
OTHER_KEY = Mac(next(integrity for integrity in INTEGRITIES if integrity.name == "sha256"), bytes(32))
OPTIONS_V4 = bytes.fromhex("94040000 0707040000000000")  # router alert, record route
OPTIONS = "00 1e0411223344"  # one that stays
CHANGING = "00 3e0411223344"  # and one that may change
WHOLE = "00 0000 00000007"  # a fragment header: all there is

PACKETS = [
    udp(HERE, THERE),
    udp(HERE6, THERE6),
    echo(HERE, THERE),
    ipv4(HERE, THERE, 17, bytes(9), tos=0xB8, df=True, options=OPTIONS_V4),
    chained(HERE6, THERE6, (0, CHANGING), (60, OPTIONS), last=6, body=bytes(33)),
    chained(HERE6, THERE6, (60, OPTIONS), (43, "00 04 00 00000000"), (60, CHANGING), body=bytes(8)),
    chained(HERE6, THERE6, last=59),
]


def seal(packet: bytes, mac: Mac = MAC, *, sequence: int = 1, high: bytes = b"") -> bytes:
    return ah.seal(*split(packet, ip.parse(packet)), SPI, sequence, high, mac.octets, mac.icv)


def opened(packet: bytes, mac: Mac = MAC, *, high: bytes = b"") -> ah.Received:
    received = ah.receive(packet)
    ah.check(received, high, mac.octets, mac.verify)
    return received


def refused(packet: bytes, *, high: bytes = b"") -> str:
    with pytest.raises(PeerError) as caught:
        opened(packet, high=high)
    return caught.value.reason


def changed(packet: bytes, at: int, bits: int = 1) -> bytes:
    return packet[:at] + bytes([packet[at] ^ bits]) + packet[at + 1 :]


# --- what is covered ------------------------------------------------------------------------------------------------


class Recorder:
    """An algorithm whose ICV is always the same."""

    def __init__(self, octets: int) -> None:
        self.octets = octets
        self.seen = b""

    def icv(self, *parts: bytes | memoryview) -> bytes:
        self.seen = b"".join(parts)
        return b"\xaa" * self.octets


def test_an_ipv4_packet_in_transport_mode() -> None:
    packet = bytes.fromhex("45b8001e 12344000 4011abcd c0000201 c6336401") + b"0123456789"
    recorder = Recorder(12)
    sealed = ah.seal(packet[:20], 17, packet[20:], SPI, 0x2A, b"", 12, recorder.icv)
    assert sealed[:20].hex() == "45b80036" + "12344000" + "4033" + "3b73" + "c0000201c6336401"
    assert sealed[20:].hex() == "11040000" + "c0ffee01" + "0000002a" + "aa" * 12 + b"0123456789".hex()
    covered = "45000036" + "12340000" + "00330000" + "c0000201c6336401" + "11040000" + "c0ffee01" + "0000002a"
    assert recorder.seen.hex() == covered + "00" * 12 + b"0123456789".hex()


def test_an_ipv6_packet_in_tunnel_mode_with_extended_numbers() -> None:
    inner = udp(HERE, THERE)
    outer = ipv6(HERE6, THERE6, 0, b"", tos=0xB8)
    recorder = Recorder(16)
    sealed = ah.seal(outer, 4, inner, SPI, 0x5_0000002A, bytes.fromhex("00000005"), 16, recorder.icv)
    addresses = "20010db8" + "00" * 11 + "01" + "20010db8" + "00" * 11 + "02"
    length = f"{32 + len(inner):04x}"
    # the header has four octets of padding, to be a multiple of eight
    assert sealed.hex() == f"6b8abcde{length}3340{addresses}" + "04060000c0ffee010000002a" + "aa" * 16 + "00" * 4 + (
        inner.hex()
    )
    covered = f"60000000{length}3300{addresses}" + "04060000c0ffee010000002a" + "00" * 20
    assert recorder.seen.hex() == covered + inner.hex() + "00000005"


def test_an_iv_stands_in_front_of_the_icv_and_is_covered() -> None:
    """RFC 4543 section 4: of the authentication data only the ICV is zero when it is computed."""
    gcm, salt, iv = AESGCM(bytes(range(16))), b"salt", (7).to_bytes(8, "big")

    def gmac(iv: bytes, *parts: bytes | memoryview) -> bytes:
        return gcm.encrypt(salt + iv, b"", b"".join(parts))

    def verify(iv: bytes, icv: bytes | memoryview, *parts: bytes | memoryview) -> bool:
        return hmac.compare_digest(icv, gmac(iv, *parts))

    packet = udp(HERE, THERE)
    front, next_header, payload = split(packet, ip.parse(packet))
    sealed = ah.seal(front, next_header, payload, SPI, 7, b"", 16, partial(gmac, iv), iv)
    start = bytes.fromhex("45000045 12340000 00330000 c0000201 c6336401 11070000 c0ffee01 00000007")
    assert sealed[32:56] == iv + gcm.encrypt(salt + iv, b"", start + iv + bytes(16) + payload)
    assert len(sealed) == 0x45

    received = ah.receive(sealed)
    assert received.iv(8) == iv
    ah.check(received, b"", 16, partial(verify, received.iv(8)), 8)
    assert received.without_ah() == packet
    forged = ah.receive(changed(sealed, 39))
    with pytest.raises(PeerError, match="bad-icv"):
        ah.check(forged, b"", 16, partial(verify, forged.iv(8)), 8)


# --- round trips ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mac", HMACS.values(), ids=HMACS)
@pytest.mark.parametrize("packet", PACKETS)
@pytest.mark.parametrize("high", [b"", bytes(4), b"\0\0\0\5"])
def test_what_is_sealed_opens(packet: bytes, mac: Mac, high: bytes) -> None:
    sealed = seal(packet, mac, sequence=0x5_00001234, high=high)
    received = opened(sealed + b"behind", mac, high=high)
    assert (received.header.spi, received.header.sequence) == (SPI, 0x1234)
    assert received.without_ah() == packet


@pytest.mark.parametrize("inner", PACKETS)
@pytest.mark.parametrize("outer", [ipv4(HERE, THERE, 0, b"", options=OPTIONS_V4), ipv6(HERE6, THERE6, 0, b"")])
def test_a_packet_in_a_packet(outer: bytes, inner: bytes) -> None:
    version = inner[0] >> 4
    sealed = ah.seal(outer, {4: 4, 6: 41}[version], inner, SPI, 1, b"", MAC.octets, MAC.icv)
    received = opened(sealed)
    assert (received.header.next_header, received.payload) == ({4: 4, 6: 41}[version], inner)


def test_a_packet_signed_twice_opens_twice() -> None:
    packet = chained(HERE6, THERE6, (0, CHANGING), body=bytes(8))
    twice = seal(seal(packet), OTHER_KEY)
    assert opened(opened(twice, OTHER_KEY).without_ah()).without_ah() == packet


# --- on the way -----------------------------------------------------------------------------------------------------


def test_what_routers_change_in_ipv4_does_not_matter() -> None:
    sealed = bytearray(seal(ipv4(HERE, THERE, 17, bytes(9), options=OPTIONS_V4)))
    sealed[1], sealed[6], sealed[8], sealed[10:12] = 0x03, 0x40, 1, b"\xbe\xef"
    sealed[24:32] = bytes.fromhex("070708 cb007101 00")
    received = opened(bytes(sealed))
    assert received.without_ah()[12:] == sealed[12:32] + bytes(9)


def test_what_routers_change_in_ipv6_does_not_matter() -> None:
    sealed = bytearray(seal(chained(HERE6, THERE6, (0, CHANGING), body=bytes(8))))
    sealed[:4], sealed[7], sealed[44:48] = b"\x6f\xff\xff\xff", 1, b"else"
    opened(bytes(sealed))


def test_fragments_put_together_may_keep_a_fragment_header() -> None:
    sealed = seal(chained(HERE6, THERE6, (0, CHANGING), body=bytes(8)))
    found = ah.receive(sealed)
    kept = sealed[:48] + bytes.fromhex("33" + WHOLE) + sealed[48:]
    kept = kept[:4] + (len(kept) - 40).to_bytes(2, "big") + kept[6:40] + b"\x2c" + kept[41:]
    received = opened(kept)
    assert (received.start, received.payload) == (found.start + 8, found.payload)
    assert received.without_ah() == chained(HERE6, THERE6, (0, CHANGING), (44, WHOLE), body=bytes(8))


def test_a_source_route_is_signed_as_it_ends() -> None:
    route = bytes.fromhex("830704 c6336401 00")  # at the first stop, with the other end as the last
    sealed = bytearray(seal(ipv4(HERE, "203.0.113.1", 17, bytes(9), options=route)))
    assert refused(bytes(sealed)) == "bad-icv"
    sealed[16:20], sealed[20:28] = bytes.fromhex("c6336401"), bytes.fromhex("830708 cb007101 00")
    opened(bytes(sealed))


def test_a_routing_header_is_signed_as_it_ends() -> None:
    def routed(stop: str, left: int, other: str) -> bytes:
        return chained(HERE6, stop, (43, f"02 00 {left:02x} 00000000 20010db8{'00' * 11}{other}"), body=bytes(8))

    left, arrived = routed("2001:db8::9", 1, "02"), routed("2001:db8::2", 0, "09")
    assert refused(seal(left)) == "unfinished-route"
    opened(headed(arrived[:64], 51, 32 + 8) + seal(left)[64:])


def test_nobody_on_the_way_makes_up_another_destination() -> None:
    """By replacing an option that isn't covered by a source route that would end where the packet had gone."""
    sealed = bytearray(seal(ipv4(HERE, THERE, 17, bytes(9), options=bytes.fromhex("0707040000000000"))))
    sealed[16:20], sealed[20:28] = bytes.fromhex("cb007101"), bytes.fromhex("830704 c6336401 00")
    assert refused(bytes(sealed)) == "bad-icv"


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packet", "changes"),
    [(udp(HERE, THERE), {1, 6, 7, 8, 10, 11}), (udp(HERE6, THERE6), {0, 1, 2, 3, 7})],
)
def test_all_else_matters(packet: bytes, changes: set[int]) -> None:
    sealed = seal(packet)
    outcomes = {at: refused(changed(sealed, at)) for at in range(len(sealed)) if at not in changes}
    icv = ah.receive(sealed).start + 12
    assert {reason for at, reason in outcomes.items() if at >= icv} == {"bad-icv"}
    in_front = {reason for at, reason in outcomes.items() if at < icv}
    assert in_front <= {"bad-icv", "ip-version", "truncated", "bad-length", "not-ah", "ah-length"}


def test_the_high_half_is_covered_though_not_sent() -> None:
    sealed = seal(udp(HERE, THERE), high=b"\0\0\0\1")
    opened(sealed, high=b"\0\0\0\1")
    assert {refused(sealed, high=high) for high in (b"", bytes(4), b"\0\0\0\2")} == {"bad-icv"}


def test_the_reserved_field_is_covered() -> None:
    assert refused(changed(seal(udp(HERE, THERE)), 22)) == "bad-icv"


@pytest.mark.parametrize("packet", PACKETS)
def test_every_truncation_is_refused(packet: bytes) -> None:
    sealed = seal(packet)
    assert {refused(sealed[:octets]) for octets in range(len(sealed))} == {"truncated"}


@pytest.mark.parametrize("packet", PACKETS)
def test_a_packet_that_says_it_is_shorter_is_refused(packet: bytes) -> None:
    sealed = seal(packet)
    front = ah.receive(sealed).start
    for octets in range(len(sealed) - front):
        short = headed(sealed[:front], 51, octets) + sealed[front:]
        assert refused(short) == ("truncated" if octets < ah.receive(sealed).end - front else "bad-icv")


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (ipv4(HERE, THERE, 51, bytes(32), more=True), "ah-fragment"),
        (ipv4(HERE, THERE, 51, bytes(32), offset=16), "ah-fragment"),
        (chained(HERE6, THERE6, (44, "00 0001 00000007"), last=51, body=bytes(32)), "ah-fragment"),
        (chained(HERE6, THERE6, (44, "00 0010 00000007"), last=51, body=bytes(32)), "ah-fragment"),
        (udp(HERE, THERE), "not-ah"),
        (udp(HERE6, THERE6), "not-ah"),
        (chained(HERE6, THERE6, (0, OPTIONS), last=50, body=bytes(32)), "not-ah"),
        (b"", "truncated"),
        (b"\x55" + bytes(60), "ip-version"),
        (ipv4(HERE, THERE, 51, bytes(11)), "truncated"),
        (ipv6(HERE6, THERE6, 51, bytes(11)), "truncated"),
        (ipv4(HERE, THERE, 51, bytes.fromhex("1104 0000 000000ff 00000001") + bytes(12)), "reserved-spi"),
        (ipv4(HERE, THERE, 51, bytes.fromhex("1100 0000 c0ffee01 00000001") + bytes(12)), "ah-length"),
        (ipv4(HERE, THERE, 51, bytes.fromhex("1105 0000 c0ffee01 00000001") + bytes(12)), "truncated"),
        (ipv4(HERE, THERE, 51, bytes(32), options=bytes.fromhex("07090400")), "bad-option"),
        (chained(HERE6, THERE6, *[(0, OPTIONS)] * 2, last=51, body=bytes(32)), "bad-extension-header"),
    ],
)
def test_what_has_no_ah_is_refused_by_name(packet: bytes, reason: str) -> None:
    assert refused(packet) == reason


@pytest.mark.parametrize("words", [3, 4, 6, 7, 255])
@pytest.mark.parametrize("outer", [ipv4(HERE, THERE, 51, b""), ipv6(HERE6, THERE6, 51, b"")])
def test_a_header_of_another_length_than_the_icv_makes_it_is_refused(outer: bytes, words: int) -> None:
    """More padding than the alignment needs is prohibited (RFC 4302 section 3.3.3.2.1)."""
    right = {20: 5, 40: 6}[len(outer)]
    body = bytes([17, words]) + bytes.fromhex("0000 c0ffee01 00000001") + bytes(1_100)
    assert refused(headed(outer, 51, len(body)) + body) == ("bad-icv" if words == right else "ah-length")


def test_options_that_lie_are_refused_before_anything_is_computed() -> None:
    sealed = bytearray(seal(chained(HERE6, THERE6, (0, CHANGING), body=bytes(8))))
    sealed[43] = 5
    assert refused(bytes(sealed)) == "bad-option"


def test_another_key_is_refused() -> None:
    with pytest.raises(PeerError, match="bad-icv"):
        opened(seal(udp(HERE, THERE)), OTHER_KEY)


# --- our own side ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("packet", "most"), [(udp(HERE, THERE), 65_487), (udp(HERE6, THERE6), 65_503)])
def test_a_packet_that_gets_too_large_is_refused(packet: bytes, most: int) -> None:
    front = packet[: ip.parse(packet).header_octets]
    assert len(opened(ah.seal(front, 17, bytes(most), SPI, 1, b"", MAC.octets, MAC.icv)).payload) == most
    with pytest.raises(Refused, match="too-big"):
        ah.seal(front, 17, bytes(most + 1), SPI, 1, b"", MAC.octets, MAC.icv)


def test_headers_that_break_the_rules_are_not_signed() -> None:
    for front, next_header, payload in (
        (ipv4(HERE, THERE, 17, b"", options=bytes.fromhex("83090400")), 17, b""),
        (chained(HERE6, THERE6, (43, "00 04 01 00000000")), 17, b""),
    ):
        with pytest.raises(PeerError, match=r"^bad-(option|extension-header)"):
            ah.seal(front, next_header, payload, SPI, 1, b"", MAC.octets, MAC.icv)


def test_an_icv_of_another_length_is_our_own_mistake() -> None:
    with pytest.raises(LocalError, match="an ICV of 16 octets where 12 belong"):
        ah.seal(udp(HERE, THERE)[:20], 17, b"", SPI, 1, b"", 12, MAC.icv)
