"""The MSS option of a SYN, found and lowered."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from ipsecd.wire.checksum import checksum, pseudo_checksum
from ipsecd.wire.ip import ipv4_header, ipv6_header, parse
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.tcp import clamp_mss, mss_offset

HERE, THERE = IPv4Address("192.0.2.1"), IPv4Address("198.51.100.1")


def segment(options: str, *, flags: int = 0x02, words: int | None = None, payload: bytes = b"") -> bytes:
    extra = bytes.fromhex(options)
    offset = 5 + (len(extra) + 3) // 4 if words is None else words
    head = bytes.fromhex("c0000050 00000001 00000000") + bytes([offset << 4, flags]) + bytes.fromhex("ffff 0000 0000")
    octets = head + extra.ljust(-(-len(extra) // 4) * 4, b"\0") + payload
    partial = pseudo_checksum(HERE, THERE, IpProtocol.TCP, len(octets))
    return octets[:16] + checksum(octets, partial).to_bytes(2, "big") + octets[18:]


def packet(options: str, *, flags: int = 0x02, words: int | None = None, payload: bytes = b"") -> bytes:
    octets = segment(options, flags=flags, words=words, payload=payload)
    return ipv4_header(HERE, THERE, IpProtocol.TCP, len(octets)) + octets


def clamped(data: bytes, most: int) -> bytes:
    return clamp_mss(parse(data), data, most)


def is_sound(data: bytes) -> bool:
    return checksum(data[20:], pseudo_checksum(HERE, THERE, IpProtocol.TCP, len(data) - 20)) == 0


@pytest.mark.parametrize(
    ("options", "at"),
    [
        ("020405b4", 42),
        ("01 020405b4", 43),
        ("0101 020405b4", 44),
        ("0402 080a0000000100000000 01 020405b4", 55),
    ],
)
def test_the_option_is_lowered_wherever_it_stands_and_the_checksum_stays_right(options: str, at: int) -> None:
    data = packet(options, payload=b"fast open")
    changed = clamped(data, 1_200)
    assert mss_offset(parse(data), data) == at
    assert changed == data[:36] + changed[36:38] + data[38:at] + (1_200).to_bytes(2, "big") + data[at + 2 :]
    assert is_sound(data)
    assert is_sound(changed)


def test_a_syn_ack_is_lowered_too() -> None:
    data = packet("020405b4", flags=0x12)
    assert clamped(data, 1_200)[42:44] == (1_200).to_bytes(2, "big")


def test_what_is_small_enough_stays() -> None:
    data = packet("020405b4")
    assert clamped(data, 1_460) is data
    assert clamped(data, 1_459) != data


def test_a_segment_that_is_no_syn_stays() -> None:
    data = packet("020405b4", flags=0x10)
    assert mss_offset(parse(data), data) is None
    assert clamped(data, 500) is data


@pytest.mark.parametrize(
    "options",
    [
        "",
        "0402",
        "01010101",
        "00 020405b4",  # behind the end of the list
        "0203 05b4",  # an MSS of the wrong size
        "0206 05b40000",
        "04 00 020405b4",  # a length of nothing
        "04 01 020405b4",
        "04 0a 020405b4",  # beyond the header
        "010101 02",  # no room for its length
        "0204",  # no room for its value
    ],
)
def test_without_a_proper_option_nothing_changes(options: str) -> None:
    data = packet(options, words=5 + -(-len(bytes.fromhex(options)) // 4))
    if options == "0204":  # padded with zeros it would be an MSS of 0
        data = packet("01010204")
    assert mss_offset(parse(data), data) is None
    assert clamped(data, 500) is data


def test_a_data_offset_beyond_the_packet_is_no_reason_to_read_on() -> None:
    data = packet("01010101", words=15)
    assert mss_offset(parse(data), data) is None


def test_a_data_offset_inside_the_fixed_header_has_no_options() -> None:
    data = packet("020405b4", words=3)
    assert mss_offset(parse(data), data) is None


def test_a_header_cut_short_has_no_options() -> None:
    data = packet("020405b4")
    short = ipv4_header(HERE, THERE, IpProtocol.TCP, 19) + data[20:39]
    assert mss_offset(parse(short), short) is None


def test_other_protocols_and_later_fragments_have_no_options() -> None:
    data = packet("020405b4")
    udp = data[:9] + b"\x11" + data[10:]
    later = data[:6] + b"\x00\x10" + data[8:]
    assert mss_offset(parse(udp), udp) is None
    assert mss_offset(parse(later), later) is None


def test_ipv6_is_lowered_as_well() -> None:
    here, there = IPv6Address("2001:db8::1"), IPv6Address("2001:db8::2")
    octets = segment("020405b4")
    clear = octets[:16] + bytes(2) + octets[18:]
    partial = pseudo_checksum(here, there, IpProtocol.TCP, len(octets))
    octets = clear[:16] + checksum(clear, partial).to_bytes(2, "big") + clear[18:]
    data = ipv6_header(here, there, IpProtocol.TCP, len(octets)) + octets
    changed = clamped(data, 1_220)
    assert changed[62:64] == (1_220).to_bytes(2, "big")
    assert checksum(changed[40:], partial) == 0
