"""IPv4 and IPv6 packets (RFC 791, RFC 8200), in octets written out by hand."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from ipsecd import limits
from ipsecd.errors import LocalError, WireError
from ipsecd.wire.checksum import checksum
from ipsecd.wire.ip import IpPacket, ipv4_header, ipv6_header, parse, parse_quoted
from ipsecd.wire.registry import IpProtocol

HERE, THERE = IPv4Address("192.0.2.1"), IPv4Address("198.51.100.1")
HERE6, THERE6 = IPv6Address("2001:db8::1"), IPv6Address("2001:db8::2")
UDP = bytes.fromhex("01f4 1194 0010 0000") + b"contents"


def v4(
    payload: bytes = UDP,
    *,
    protocol: int = 17,
    options: str = "",
    fragment: int = 0,
    first: int | None = None,
    total: int | None = None,
    tos: int = 0,
) -> bytes:
    extra = bytes.fromhex(options)
    length = 20 + len(extra) + len(payload) if total is None else total
    head = bytes([0x45 + len(extra) // 4 if first is None else first, tos])
    head += length.to_bytes(2, "big") + b"\0\1" + fragment.to_bytes(2, "big") + bytes([64, protocol]) + bytes(2)
    return head + HERE.packed + THERE.packed + extra + payload


def v6(payload: bytes = UDP, *, following: int = 17, length: int | None = None, first: str = "60000000") -> bytes:
    octets = (len(payload) if length is None else length).to_bytes(2, "big")
    return bytes.fromhex(first) + octets + bytes([following, 63]) + HERE6.packed + THERE6.packed + payload


def reason(data: bytes) -> str:
    with pytest.raises(WireError) as caught:
        parse(data)
    return caught.value.reason


class TestIpv4:
    def test_a_packet_says_what_policy_asks(self) -> None:
        assert parse(v4(tos=0xB9, fragment=0x4000)) == IpPacket(
            version=4,
            header_octets=20,
            total_octets=36,
            source=HERE,
            destination=THERE,
            protocol=17,
            transport_offset=20,
            ttl=64,
            dscp_ecn=0xB9,
            dont_fragment=True,
            fragment_offset=0,
            more_fragments=False,
            source_port=500,
            destination_port=4500,
        )

    def test_options_move_the_transport_header(self) -> None:
        packet = parse(v4(options="94040000 01 07 03 00"))
        assert (packet.header_octets, packet.transport_offset, packet.source_port) == (28, 28, 500)

    @pytest.mark.parametrize(
        "options", ["01010101", "00ffffff", "94040000", "0102 0300", "44040501", "070b0400000000 00000000 01"]
    )
    def test_options_that_lie_inside_the_header_are_passed_over(self, options: str) -> None:
        assert parse(v4(options=options)).source_port == 500

    @pytest.mark.parametrize("options", ["94000000", "94010000", "94050000", "01010194", "010101 07", "07ff0400"])
    def test_options_that_do_not_are_refused(self, options: str) -> None:
        assert reason(v4(options=options)) == "bad-option"

    def test_octets_behind_the_total_length_are_left_alone(self) -> None:
        assert parse(v4() + b"TFC padding").total_octets == 36

    @pytest.mark.parametrize("octets", range(36))
    def test_a_packet_cut_anywhere_is_truncated(self, octets: int) -> None:
        assert reason(v4()[:octets]) == "truncated"

    @pytest.mark.parametrize(("first", "total"), [(0x44, 36), (0x40, 36), (0x45, 19), (0x45, 0), (0x46, 20)])
    def test_lengths_that_contradict_each_other_are_refused(self, first: int, total: int) -> None:
        assert reason(v4(first=first, total=total)) == "bad-length"

    def test_a_header_longer_than_the_data_is_truncated(self) -> None:
        assert reason(v4(b"", first=0x4F, total=60)) == "truncated"

    @pytest.mark.parametrize("version", [0, 1, 5, 7, 15])
    def test_other_versions_are_named(self, version: int) -> None:
        assert reason(bytes([version << 4]) + v4()[1:]) == "ip-version"

    def test_a_first_fragment_shows_its_ports(self) -> None:
        packet = parse(v4(fragment=0x2000))
        assert (packet.is_fragment, packet.more_fragments, packet.fragment_offset) == (True, True, 0)
        assert (packet.source_port, packet.destination_port) == (500, 4500)

    def test_a_later_fragment_shows_none(self) -> None:
        packet = parse(v4(b"contents", fragment=0x2002))
        assert (packet.is_fragment, packet.more_fragments, packet.fragment_offset) == (True, True, 16)
        assert (packet.source_port, packet.destination_port) == (None, None)
        last = parse(v4(b"end", fragment=2))
        assert (last.is_fragment, last.more_fragments, last.source_port) == (True, False, None)

    @pytest.mark.parametrize("payload", [b"", b"1234567", b"123456789"])
    def test_a_fragment_before_the_last_carries_a_multiple_of_eight_octets(self, payload: bytes) -> None:
        assert reason(v4(payload, fragment=0x2002)) == "bad-fragment"

    def test_no_fragment_reaches_beyond_the_largest_packet(self) -> None:
        assert parse(v4(bytes(7), fragment=0x1FFF)).fragment_offset == 65_528
        assert reason(v4(bytes(8), fragment=0x1FFF)) == "bad-fragment"

    def test_a_fragment_may_not_hide_its_ports_nor_overwrite_tcp_flags(self) -> None:
        """RFC 1858 and RFC 3128: a first fragment of eight octets shows ports; the second may not start at eight."""
        assert reason(v4(bytes(8), protocol=6, fragment=1)) == "tiny-fragment"
        assert parse(v4(bytes(8), protocol=6, fragment=2)).fragment_offset == 16
        assert parse(v4(bytes(8), protocol=17, fragment=1)).fragment_offset == 8

    @pytest.mark.parametrize(
        "protocol", [IpProtocol.TCP, IpProtocol.UDP, IpProtocol.SCTP, IpProtocol.DCCP, IpProtocol.UDPLITE]
    )
    def test_these_protocols_have_ports_and_need_room_for_them(self, protocol: IpProtocol) -> None:
        packet = parse(v4(bytes.fromhex("1f90 0050"), protocol=protocol))
        assert (packet.source_port, packet.destination_port) == (8080, 80)
        assert reason(v4(b"123", protocol=protocol)) == "truncated"

    @pytest.mark.parametrize("protocol", [IpProtocol.ESP, IpProtocol.AH, IpProtocol.IPV4, 47, 255])
    def test_other_protocols_have_none(self, protocol: int) -> None:
        packet = parse(v4(b"", protocol=protocol))
        assert (packet.protocol, packet.source_port, packet.destination_port) == (protocol, None, None)

    def test_icmp_shows_type_and_code_as_one_number(self) -> None:
        packet = parse(v4(bytes.fromhex("0304 0000"), protocol=1))
        assert (packet.source_port, packet.destination_port) == (None, 0x0304)
        assert reason(v4(b"\x08", protocol=1)) == "truncated"

    def test_a_memoryview_is_read_like_octets(self) -> None:
        assert parse(memoryview(v4(options="01010101"))) == parse(v4(options="01010101"))


class TestIpv6:
    def test_a_packet_says_what_policy_asks(self) -> None:
        assert parse(v6(first="6b9abcde")) == IpPacket(
            version=6,
            header_octets=40,
            total_octets=56,
            source=HERE6,
            destination=THERE6,
            protocol=17,
            transport_offset=40,
            ttl=63,
            dscp_ecn=0xB9,
            dont_fragment=True,
            fragment_offset=0,
            more_fragments=False,
            source_port=500,
            destination_port=4500,
        )

    @pytest.mark.parametrize("octets", range(56))
    def test_a_packet_cut_anywhere_is_truncated(self, octets: int) -> None:
        assert reason(v6()[:octets]) == "truncated"

    def test_octets_behind_the_payload_length_are_left_alone(self) -> None:
        assert parse(v6() + b"TFC padding").total_octets == 56

    def test_extension_headers_are_passed_over(self) -> None:
        chain = "3c 00 010400000000  2b 01 0102000000000000000000000000  3c 00 000000000000  11 00 010400000000"
        packet = parse(v6(bytes.fromhex(chain) + UDP, following=0))
        assert (packet.protocol, packet.transport_offset, packet.header_octets) == (17, 80, 40)
        assert (packet.source_port, packet.destination_port) == (500, 4500)

    @pytest.mark.parametrize("protocol", [IpProtocol.ESP, IpProtocol.AH, IpProtocol.NO_NEXT, 139, 140])
    def test_these_are_upper_layers(self, protocol: int) -> None:
        """RFC 4301 section 4.4.1.1: AH and ESP are not skipped, nor is what nobody said to skip."""
        packet = parse(v6(bytes(16), following=protocol))
        assert (packet.protocol, packet.transport_offset) == (protocol, 40)

    def test_icmp_and_mobility_show_one_number(self) -> None:
        assert parse(v6(bytes.fromhex("02000000"), following=58)).destination_port == 0x0200
        assert parse(v6(bytes.fromhex("3b000500 00000000"), following=135)).destination_port == 0x0500

    def test_fragments_show_ports_in_the_first_only(self) -> None:
        first = parse(v6(bytes.fromhex("11 00 0001 00000007") + UDP, following=44))
        assert (first.protocol, first.transport_offset, first.is_fragment, first.source_port) == (17, 48, True, 500)
        later = parse(v6(bytes.fromhex("11 00 0010 00000007") + b"end", following=44))
        assert (later.protocol, later.transport_offset, later.fragment_offset) == (17, 48, 16)
        assert (later.source_port, later.more_fragments) == (None, False)

    def test_an_atomic_fragment_is_a_whole_packet(self) -> None:
        packet = parse(v6(bytes.fromhex("11 00 0000 00000007") + UDP, following=44))  # RFC 6946
        assert (packet.is_fragment, packet.source_port) == (False, 500)

    def test_what_stands_in_a_later_fragment_is_data_even_if_it_is_called_a_header(self) -> None:
        packet = parse(v6(bytes.fromhex("3c 00 0010 00000007") + b"\xff" * 8, following=44))
        assert (packet.protocol, packet.transport_offset) == (IpProtocol.DESTINATION, 48)

    def test_a_first_fragment_holds_all_headers(self) -> None:
        """RFC 8200 section 4.5; a chain that goes on in the second fragment hides the upper layer."""
        assert reason(v6(bytes.fromhex("3c 00 0001 00000007 11 01 000000000000"), following=44)) == "tiny-fragment"
        assert reason(v6(bytes.fromhex("3c 00 0001 00000007 06 00 010400000000"), following=44)) == "bad-fragment"

    @pytest.mark.parametrize(
        ("chain", "following"),
        [
            ("00 00 010400000000 11 00 010400000000", 60),  # hop-by-hop behind another header
            ("00 00 010400000000 11 00 010400000000", 0),  # hop-by-hop twice
            ("2c 00 0000 00000007 11 00 0000 00000008", 44),  # a fragment of a fragment
        ],
    )
    def test_headers_out_of_place_are_refused(self, chain: str, following: int) -> None:
        assert reason(v6(bytes.fromhex(chain) + UDP, following=following)) == "bad-extension-header"

    def test_there_are_so_many_extension_headers_and_no_more(self) -> None:
        def chain(headers: int) -> bytes:
            return bytes.fromhex("3c00010400000000") * (headers - 1) + bytes.fromhex("1100010400000000") + UDP

        assert parse(v6(chain(limits.MAX_EXTENSION_HEADERS), following=60)).source_port == 500
        assert reason(v6(chain(limits.MAX_EXTENSION_HEADERS + 1), following=60)) == "bad-extension-header"

    @pytest.mark.parametrize("chain", ["", "11", "11 01 000000000000", "11 ff 000000000000"])
    def test_an_extension_header_must_end_inside_the_packet(self, chain: str) -> None:
        assert reason(v6(bytes.fromhex(chain), following=60)) == "truncated"

    def test_a_jumbogram_is_refused(self) -> None:
        assert reason(v6(bytes.fromhex("11 00 c204 00010000") + UDP, following=0, length=0)) == "truncated"


class TestQuoted:
    """What an ICMP error quotes may end anywhere behind the IP header."""

    def test_eight_octets_behind_a_header_show_the_ports(self) -> None:
        packet = parse_quoted(v4()[:28])
        assert (packet.total_octets, packet.source_port, packet.destination_port) == (36, 500, 4500)

    def test_ports_that_were_cut_off_are_not_missed(self) -> None:
        assert parse_quoted(v4()[:22]).source_port is None
        assert parse_quoted(v6()[:41]).source_port is None

    def test_an_ipv6_chain_may_end_early(self) -> None:
        whole = v6(bytes.fromhex("3c 00 010400000000 11 00 010400000000") + UDP, following=60)
        assert parse_quoted(whole).source_port == 500
        packet = parse_quoted(whole[:52])
        assert (packet.protocol, packet.transport_offset, packet.source_port) == (IpProtocol.DESTINATION, 48, None)

    @pytest.mark.parametrize("data", [b"", v4()[:19], v6()[:39], v4(options="01010101")[:22]], ids=len)
    def test_the_ip_header_itself_must_be_there(self, data: bytes) -> None:
        with pytest.raises(WireError, match=r"^truncated"):
            parse_quoted(data)


class TestHeadersOfOurOwn:
    def test_the_published_ipv4_header(self) -> None:
        """The outer header of RFC 7634 appendix A."""
        header = ipv4_header(
            IPv4Address("203.0.113.153"), IPv4Address("203.0.113.5"), IpProtocol.ESP, 120, identification=0x2345
        )
        assert header == bytes.fromhex("4500008c234500004032de5bcb007199cb007105")

    def test_ipv4_fields_stand_where_they_belong(self) -> None:
        header = ipv4_header(HERE, THERE, 17, 8, ttl=3, dscp_ecn=0xB9, identification=0xABCD, dont_fragment=True)
        assert header[:10] == bytes.fromhex("45b9001c abcd4000 0311")
        assert checksum(header) == 0

    def test_ipv6_fields_stand_where_they_belong(self) -> None:
        header = ipv6_header(HERE6, THERE6, 50, 0xABCD, hop_limit=3, dscp_ecn=0xB9, flow_label=0xABCDE)
        assert header == bytes.fromhex("6b9abcde abcd 32 03") + HERE6.packed + THERE6.packed

    def test_what_is_not_said_is_zero_and_64_hops(self) -> None:
        assert ipv6_header(HERE6, THERE6, 50, 8)[:8] == bytes.fromhex("60000000 0008 32 40")
        assert ipv4_header(HERE, THERE, 50, 8)[:10] == bytes.fromhex("4500001c 00000000 4032")

    @pytest.mark.parametrize(
        "fields", [{"payload_octets": 65_516}, {"ttl": 256}, {"dscp_ecn": -1}, {"identification": 1 << 16}], ids=str
    )
    def test_an_ipv4_header_that_has_no_octets_is_our_own_mistake(self, fields: dict[str, int]) -> None:
        with pytest.raises(LocalError, match=r"can't say"):
            ipv4_header(HERE, THERE, 17, **{"payload_octets": 0} | fields)

    @pytest.mark.parametrize(
        "fields", [{"payload_octets": 65_536}, {"hop_limit": -1}, {"dscp_ecn": 256}, {"flow_label": 1 << 20}], ids=str
    )
    def test_an_ipv6_header_that_has_no_octets_is_our_own_mistake(self, fields: dict[str, int]) -> None:
        with pytest.raises(LocalError, match=r"can't say"):
            ipv6_header(HERE6, THERE6, 17, **{"payload_octets": 0} | fields)
