"""ICMP errors written and read (RFC 792, RFC 1191, RFC 4443)."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from ipsecd.errors import WireError
from ipsecd.wire.checksum import checksum, pseudo_checksum
from ipsecd.wire.icmp import MAX_ERROR_V4, MAX_ERROR_V6, parse_error, too_big
from ipsecd.wire.ip import ipv4_header, ipv6_header, parse, parse_quoted
from ipsecd.wire.registry import IpProtocol

HERE, THERE = IPv4Address("192.0.2.1"), IPv4Address("198.51.100.1")
HERE6, THERE6 = IPv6Address("2001:db8::1"), IPv6Address("2001:db8::2")


def udp_v4(octets: int) -> bytes:
    return ipv4_header(HERE, THERE, IpProtocol.UDP, octets, dont_fragment=True) + bytes.fromhex("01f41194").ljust(
        octets, b"x"
    )


def udp_v6(octets: int) -> bytes:
    return ipv6_header(HERE6, THERE6, IpProtocol.UDP, octets) + bytes.fromhex("01f41194").ljust(octets, b"x")


def icmp_v4(body: str, quote: bytes = b"") -> bytes:
    octets = bytes.fromhex(body) + quote
    octets = octets[:2] + checksum(octets).to_bytes(2, "big") + octets[4:]
    return ipv4_header(THERE, HERE, IpProtocol.ICMP, len(octets)) + octets


def icmp_v6(body: str, quote: bytes = b"") -> bytes:
    octets = bytes.fromhex(body) + quote
    partial = pseudo_checksum(THERE6, HERE6, IpProtocol.ICMPV6, len(octets))
    octets = octets[:2] + checksum(octets, partial).to_bytes(2, "big") + octets[4:]
    return ipv6_header(THERE6, HERE6, IpProtocol.ICMPV6, len(octets)) + octets


class TestTooBig:
    def test_v4_comes_from_the_destination_and_names_the_mtu(self) -> None:
        offending = udp_v4(1_480)
        error = too_big(offending, parse(offending), 1_400)
        packet = parse(error)
        assert (packet.source, packet.destination, packet.dscp_ecn) == (THERE, HERE, 0xC0)
        assert error[20:22] == bytes([3, 4])
        assert error[24:28] == bytes.fromhex("0000 0578")
        assert (checksum(error[:20]), checksum(error[20:])) == (0, 0)

    def test_v4_quotes_as_much_as_fits_into_576_octets(self) -> None:
        offending = udp_v4(1_480)
        error = too_big(offending, parse(offending), 1_400)
        assert len(error) == MAX_ERROR_V4
        assert error[28:] == offending[:548]

    def test_v6_comes_from_the_destination_and_names_the_mtu(self) -> None:
        offending = udp_v6(1_460)
        error = too_big(offending, parse(offending), 1_400)
        packet = parse(error)
        assert (packet.source, packet.destination, packet.protocol) == (THERE6, HERE6, IpProtocol.ICMPV6)
        assert error[40:42] == bytes([2, 0])
        assert error[44:48] == bytes.fromhex("00000578")
        assert checksum(error[40:], pseudo_checksum(THERE6, HERE6, 58, len(error) - 40)) == 0

    def test_v6_quotes_as_much_as_fits_into_1280_octets(self) -> None:
        offending = udp_v6(1_460)
        error = too_big(offending, parse(offending), 1_400)
        assert len(error) == MAX_ERROR_V6
        assert error[48:] == offending[:1_232]

    def test_a_small_packet_is_quoted_whole_and_without_what_stood_behind_it(self) -> None:
        for offending in (udp_v4(100), udp_v6(100)):
            error = too_big(offending + b"padding", parse(offending), 68)
            assert error.endswith(offending)

    def test_what_was_written_can_be_read(self) -> None:
        for offending in (udp_v4(1_480), udp_v6(1_460)):
            error = parse_error(too_big(offending, parse(offending), 1_400))
            assert (error.mtu, error.quoted) == (1_400, parse(offending))
            assert error.shown[:4] == bytes.fromhex("01f41194")


class TestReading:
    def test_an_unreachable_port_has_no_mtu(self) -> None:
        error = parse_error(icmp_v4("0303 0000 00000000", udp_v4(100)[:28]))
        assert (error.version, error.type, error.code, error.mtu) == (4, 3, 3, None)
        assert error.quoted == parse_quoted(udp_v4(100)[:28])
        assert error.shown == bytes.fromhex("01f41194") + b"xxxx"

    def test_a_router_older_than_rfc_1191_says_no_mtu(self) -> None:
        assert parse_error(icmp_v4("0304 0000 00000000", udp_v4(100)[:28])).mtu == 0

    def test_an_mtu_of_ipv6_has_four_octets(self) -> None:
        assert parse_error(icmp_v6("0200 0000 00010000", udp_v6(100))).mtu == 65_536

    @pytest.mark.parametrize("kind", [3, 4, 5, 11, 12])
    def test_these_types_of_v4_are_errors(self, kind: int) -> None:
        assert parse_error(icmp_v4(f"{kind:02x}00 0000 00000000", udp_v4(8))).type == kind

    @pytest.mark.parametrize("kind", [0, 8, 9, 13, 255])
    def test_these_types_of_v4_are_not(self, kind: int) -> None:
        with pytest.raises(WireError, match=r"^not-icmp-error"):
            parse_error(icmp_v4(f"{kind:02x}00 0000 00000000", udp_v4(8)))

    def test_types_of_v6_below_128_are_errors_and_the_others_not(self) -> None:
        assert parse_error(icmp_v6("7f00 0000 00000000", udp_v6(8))).mtu is None
        with pytest.raises(WireError, match=r"^not-icmp-error"):
            parse_error(icmp_v6("8000 0000 00000000", udp_v6(8)))

    def test_other_protocols_are_not_errors(self) -> None:
        with pytest.raises(WireError, match=r"^not-icmp-error"):
            parse_error(udp_v4(8))

    def test_a_fragment_is_not_judged(self) -> None:
        whole = icmp_v4("0303 0000 00000000", udp_v4(28))
        with pytest.raises(WireError, match=r"^not-icmp-error"):
            parse_error(whole[:6] + b"\x20\x00" + whole[8:])

    def test_a_wrong_checksum_is_noticed(self) -> None:
        for error in (icmp_v4("0303 0000 00000000", udp_v4(8)), icmp_v6("0100 0000 00000000", udp_v6(8))):
            with pytest.raises(WireError, match=r"^bad-checksum"):
                parse_error(error[:-1] + b"!")

    @pytest.mark.parametrize("body", ["0303", "0303 0000", "0303 0000 000000", "0303 0000 00000000 45"])
    def test_an_error_that_quotes_nothing_is_truncated(self, body: str) -> None:
        with pytest.raises(WireError, match=r"^truncated"):
            parse_error(icmp_v4(body.ljust(8, "0")))
