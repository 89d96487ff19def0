"""Packets, checksums and ICMP errors against definitions and against Scapy, which wrote its own."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.packet import Raw

from ipsecd.wire.checksum import checksum, ones_sum, repair
from ipsecd.wire.esp import strip_trailer, trailer
from ipsecd.wire.icmp import too_big
from ipsecd.wire.ip import ipv4_header, ipv6_header, parse
from ipsecd.wire.tcp import clamp_mss, mss_offset
from tests.property.wire_values import addresses_v4, addresses_v6, octet, word

ports = st.integers(0, 65_535)
contents = st.binary(max_size=200)


@given(contents)
def test_the_sum_is_the_one_that_rfc_1071_defines(data: bytes) -> None:
    padded = data + b"\0" * (len(data) % 2)
    total = sum(padded[at] << 8 | padded[at + 1] for at in range(0, len(padded), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert ones_sum(data) == total
    assert checksum(data) == total ^ 0xFFFF


@given(st.lists(word, min_size=1, max_size=30), st.data())
def test_a_repaired_checksum_holds(words: list[int], draw: st.DataObject) -> None:
    data = b"".join(value.to_bytes(2, "big") for value in (*words, 0x4500))  # no packet is all zero
    at = draw.draw(st.integers(0, len(words) - 1)) * 2
    new = draw.draw(word)
    changed = data[:at] + new.to_bytes(2, "big") + data[at + 2 :]
    repaired = repair(checksum(data), int.from_bytes(data[at : at + 2], "big"), new)
    assert checksum(changed + repaired.to_bytes(2, "big")) == 0


@given(addresses_v4, addresses_v4, octet, st.integers(1, 255), contents, st.booleans(), word)
def test_our_ipv4_header_is_scapys(
    source: object, destination: object, tos: int, ttl: int, payload: bytes, whole: bool, identification: int
) -> None:
    ours = ipv4_header(
        ip_address(str(source)),
        ip_address(str(destination)),
        50,
        len(payload),
        ttl=ttl,
        dscp_ecn=tos,
        identification=identification,
        dont_fragment=whole,
    )
    flags = "DF" if whole else 0
    theirs = IP(src=str(source), dst=str(destination), tos=tos, ttl=ttl, id=identification, flags=flags, proto=50)
    assert ours + payload == bytes(theirs / Raw(payload))


@given(addresses_v6, addresses_v6, octet, octet, st.integers(0, 0xFFFFF), contents)
def test_our_ipv6_header_is_scapys(
    source: object, destination: object, traffic_class: int, hops: int, label: int, payload: bytes
) -> None:
    ours = ipv6_header(
        ip_address(str(source)),
        ip_address(str(destination)),
        50,
        len(payload),
        hop_limit=hops,
        dscp_ecn=traffic_class,
        flow_label=label,
    )
    theirs = IPv6(src=str(source), dst=str(destination), tc=traffic_class, hlim=hops, fl=label, nh=50)
    assert ours + payload == bytes(theirs / Raw(payload))


_OPTIONS = st.lists(
    st.sampled_from(
        [("NOP", None), ("MSS", 1460), ("MSS", 9000), ("SAckOK", b""), ("WScale", 7), ("Timestamp", (1, 0))]
    ),
    max_size=4,
)


@given(ports, ports, _OPTIONS, st.sampled_from("SAFP"), contents, st.integers(68, 9_000))
def test_a_clamped_segment_is_the_one_scapy_would_have_built(
    source: int, destination: int, options: list[tuple[str, object]], flags: str, payload: bytes, most: int
) -> None:
    def built(options: list[tuple[str, object]]) -> bytes:
        segment = TCP(sport=source, dport=destination, flags=flags, options=options)
        return bytes(IP(src="192.0.2.1", dst="198.51.100.1") / segment / Raw(payload))

    first = next((at for at, (kind, _) in enumerate(options) if kind == "MSS"), None)
    lower = list(options)
    if first is not None and flags == "S":
        lower[first] = ("MSS", min(most, options[first][1]))
    data = built(options)
    assert (mss_offset(parse(data), data) is not None) == (first is not None and flags == "S")
    assert clamp_mss(parse(data), data, most) == built(lower)


@given(ports, ports, st.integers(0, 30), contents)
def test_what_scapy_sends_over_ipv4_is_read_as_it_was_meant(
    source: int, destination: int, options: int, payload: bytes
) -> None:
    head = IP(src="192.0.2.1", dst="198.51.100.1", options=[Raw(b"\x01" * options)] if options else [])
    data = bytes(head / UDP(sport=source, dport=destination) / Raw(payload))
    packet = parse(data)
    assert (packet.header_octets, packet.total_octets) == (20 + -(-options // 4) * 4, len(data))
    assert (packet.protocol, packet.source_port, packet.destination_port) == (17, source, destination)


_HEADERS = {
    "destination": IPv6ExtHdrDestOpt,
    "routing": lambda: IPv6ExtHdrRouting(addresses=["2001:db8::9"], segleft=0),
    "atomic": lambda: IPv6ExtHdrFragment(offset=0, m=0),
}


@given(
    st.booleans(),
    st.lists(st.sampled_from(sorted(_HEADERS)), max_size=5).filter(lambda names: names.count("atomic") < 2),
    ports,
    ports,
)
def test_what_scapy_sends_over_ipv6_is_read_as_it_was_meant(
    hop_by_hop: bool, names: list[str], source: int, destination: int
) -> None:
    chain = IPv6(src="2001:db8::1", dst="2001:db8::2")
    for layer in ([IPv6ExtHdrHopByHop()] if hop_by_hop else []) + [_HEADERS[name]() for name in names]:
        chain /= layer
    data = bytes(chain / UDP(sport=source, dport=destination) / Raw(b"contents"))
    packet = parse(data)
    assert packet.transport_offset == len(data) - 16
    assert (packet.protocol, packet.source_port, packet.destination_port) == (17, source, destination)


@given(st.integers(0, 1_472), st.integers(68, 65_535))
def test_scapy_reads_our_icmp_errors(octets: int, mtu: int) -> None:
    v4 = bytes(IP(src="192.0.2.1", dst="198.51.100.1", flags="DF") / UDP() / Raw(bytes(octets)))
    error = IP(too_big(v4, parse(v4), mtu))
    assert (error[IP].src, error[IP].dst, error[ICMP].type, error[ICMP].code) == ("198.51.100.1", "192.0.2.1", 3, 4)
    assert error[ICMP].nexthopmtu == mtu
    v6 = bytes(IPv6(src="2001:db8::1", dst="2001:db8::2") / UDP() / Raw(bytes(octets)))
    ours = too_big(v6, parse(v6), mtu)
    theirs = IPv6(src="2001:db8::2", dst="2001:db8::1") / ICMPv6PacketTooBig(mtu=mtu) / Raw(v6[:1_232])
    assert ours == bytes(theirs)


@given(contents, st.sampled_from((1, 4, 8, 16)), octet)
def test_an_esp_trailer_comes_off_as_it_was_put_on(payload: bytes, align: int, following: int) -> None:
    plaintext = payload + trailer(len(payload), align, following)
    assert strip_trailer(plaintext) == (payload, following)
    assert len(plaintext) % max(align, 4) == 0
