"""The road out for runs does octet by octet what the road for single packets does."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipsecd.dataplane import messages as m
from ipsecd.dataplane.results import Out, OutRun, Result, ToTun
from ipsecd.wire.checksum import pseudo_checksum
from ipsecd.wire.form import TUNNEL, Form
from ipsecd.wire.offload import Gso, Offload, decode, segments
from ipsecd.wire.registry import Encr
from ipsecd.wire.selector import Selector
from tests.property.run_values import ACK, ADDRESSES, CWR, FIN, PSH, SYN, Big, bigs, often
from tests.unit.crypto.suites import AH_INTEGRITIES, SUITES, Suite
from tests.unit.dataplane.ends import FAR_NETS, NEAR_NETS, End, only, protect
from tests.unit.ipsec.packets import echo, error, ipv4, ipv6, sized, syn, udp
from tests.unit.ipsec.pairs import CBC, CHACHA, GCM, ah_keys

PAIRS = tuple(zip(NEAR_NETS, FAR_NETS, strict=True))
TRANSPORT = Form(transport=True)
forms = st.sampled_from([TUNNEL, TRANSPORT])
macs = st.one_of(st.just(""), st.just("sha256"), st.sampled_from([each.name for each in AH_INTEGRITIES]))
AEAD = [suite for suite in SUITES if suite.encryption.id in (Encr.AES_GCM_16, Encr.CHACHA20_POLY1305)]


def sender(
    suite: Suite,
    *,
    esn: bool,
    outer: int,
    first: int,
    header: m.OuterHeader,
    given: m.Limits,
    mtu: int,
    form: Form = TUNNEL,
    native: bool = False,
    mac: str = "",
) -> End:
    """With ``mac`` it sends AH."""
    end = End(near=True, suite=suite, esn=esn, outer=outer)
    end.form = form
    if mac:
        end.keys = ah_keys(mac, esn=esn)
    if native:
        end.outside = replace(end.outside, local_port=0, remote_port=0)
    end.policy(protect(*PAIRS, header=header))
    end.install_outbound(limits=given)
    end.roads.handle(m.SetLinkMtu(end.outside.remote, mtu), 0.0)
    (sa,) = end.roads._outbound._sad
    sa.sequence = first
    return end


def one_by_one(results: list[Result]) -> list[Result]:
    """Runs as the single datagrams that they are."""
    found: list[Result] = []
    for result in results:
        if not isinstance(result, OutRun):
            found.append(result)
            continue
        pieces = range(0, len(result.datagrams), result.octets)
        datagrams = [bytes(result.datagrams[at : at + result.octets]) for at in pieces]
        inside = result.packets()
        assert len(inside) == len(datagrams) <= 64
        assert result.outside.native or len(result.datagrams) <= 65_450
        found += [
            Out(datagram, result.outside, result.tos, result.df, packet)
            for datagram, packet in zip(datagrams, inside, strict=True)
        ]
    return found


def reads(end: End, some: Iterable[tuple[bytes, bytes]], now: float) -> list[Result]:
    """Packets with their virtio headers. Each result is done with before the next is taken, as the buffers are used
    again."""
    found: list[Result] = []
    for packet, head in some:
        for result in end.roads.from_tun_read(memoryview(bytearray(packet)), head, now):
            found += one_by_one([result])
    for result in end.roads.from_tun_end(now):
        found += one_by_one([result])
    return found


def read(end: End, big: Big, now: float) -> list[Result]:
    return reads(end, [(big.packet, big.head)], now)


@settings(max_examples=4 * settings().max_examples)
@given(
    big=bigs(),
    suite=often(st.sampled_from([GCM, CHACHA]), st.sampled_from(SUITES)),
    esn=st.booleans(),
    outer=st.sampled_from([4, 6]),
    first=often(st.sampled_from([0, 1, 1_000]), st.sampled_from([(1 << 32) - (1 << 16) - 70, (1 << 32) - 40])),
    header=st.builds(m.OuterHeader, st.sampled_from([None, 46]), st.sampled_from(["copy", "set", "clear"])),
    given=often(st.just(m.Limits()), st.builds(m.Limits, soft_packets=st.just(99), hard_octets=st.just(99_999))),
    mtu=often(st.just(9_000), st.just(1_200)),
    form=forms,
    native=st.booleans(),
    mac=macs,
)
def test_a_run_is_what_its_packets_are_one_by_one(
    big: Big,
    suite: Suite,
    esn: bool,
    outer: int,
    first: int,
    header: m.OuterHeader,
    given: m.Limits,
    mtu: int,
    form: Form,
    native: bool,
    mac: str,
) -> None:
    kind = {"esn": esn, "outer": outer, "form": form, "native": native, "mac": mac}
    ends = [sender(suite, **kind, first=first, header=header, given=given, mtu=mtu) for _ in "ab"]  # type: ignore[arg-type]  # each as it is named
    for now in (1.0, 2.0):  # the buffers have been used before
        together = read(ends[0], big, now)
        apart = ends[1].send(*big.segments(), now=now)
        assert together == apart
    one, two = (end.counters() for end in ends)
    one.paths.pop("runs-out", None)
    assert one == two


@pytest.mark.parametrize(
    "big",
    [
        Big(segment=100, count=64),
        Big(segment=100, count=64, tail=50),
        Big(segment=100, count=100, tail=50, flags=ACK | CWR | PSH | FIN),
        Big(segment=100, count=100, flags=ACK | CWR | PSH | FIN, tos=3),
        Big(segment=1_358, count=47, tail=1_357, version=6, options=0),
        Big(segment=1_000, count=60, tcp=False, tail=1),
        Big(segment=1, count=128, tcp=False, version=6),
        Big(sequence=(1 << 32) - 1_500, identification=0xFFFE, count=10),
        Big(sequence=(1 << 32) - 1_000, segment=500, count=100),
        Big(identification=0xFFFF - 70, segment=500, count=100),
        Big(count=3, tail=999, flags=ACK | CWR | PSH | FIN),
        Big(count=3, tcp=False, tail=1),
        Big(count=2, version=6),
        Big(count=1, tail=1),
    ],
)
@pytest.mark.parametrize(("esn", "first"), [(False, 7), (False, 0xFFFE - 50), (True, 7), (True, (1 << 32) - 20)])
@pytest.mark.parametrize(
    ("form", "outer", "native"),
    [(TUNNEL, 4, False), (TUNNEL, 4, True), (TUNNEL, 6, True), (TRANSPORT, 4, False), (TRANSPORT, 0, True)],
    ids=["tunnel", "native", "native6", "transport", "native-transport"],
)
@pytest.mark.parametrize("mac", ["", "sha256", "sha1"])
def test_at_the_edges_it_is_so_too(
    big: Big, esn: bool, first: int, form: Form, outer: int, native: bool, mac: str
) -> None:
    """More than one call takes, a last packet for which there is no room, numbers that come round."""
    kind = {"esn": esn, "outer": outer or big.version, "form": form, "native": native, "mac": mac}
    ends = [
        sender(GCM, **kind, first=first, header=m.OuterHeader(), given=m.Limits(), mtu=9_000)  # type: ignore[arg-type]  # each as it is named
        for _ in "ab"
    ]
    assert read(ends[0], big, 1.0) == ends[1].send(*big.segments(), now=1.0)
    assert ends[0].paths["runs-out"] >= 1


@pytest.mark.parametrize("version", [4, 6])
def test_a_udp_checksum_that_would_be_none_is_written_otherwise(version: int) -> None:
    # RFC 768
    big = Big(version, tcp=False, segment=2, count=4)
    packet = bytearray(big.packet)
    at = len(packet) - 8
    shown = int.from_bytes(big.segments()[0][-4:-2], "big")
    packet[at : at + 2] = ((int.from_bytes(packet[at : at + 2], "big") + shown) % 0xFFFF).to_bytes(2, "big")
    end = sender(GCM, esn=False, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=9_000)
    (run,) = end.roads.from_tun_read(memoryview(bytes(packet)), big.head, 1.0)
    assert isinstance(run, OutRun)
    assert run.packets()[0][-4:-2] == b"\xff\xff"


@pytest.mark.parametrize("first", [0, 1, 2, 8, 9, 10, 11])
@pytest.mark.parametrize("count", [4, 10])
def test_the_checksum_of_the_ipv4_header_comes_round_as_well(first: int, count: int) -> None:
    """``first`` is that of the first segment; each of the others has one less."""
    (shown,) = struct.unpack("!H", Big(count=count).segments()[0][10:12])
    big = Big(count=count, identification=(shown - first) % 0xFFFF)
    assert int.from_bytes(big.segments()[0][10:12], "big") == first
    ends = [sender(GCM, esn=False, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=9_000) for _ in "ab"]
    assert read(ends[0], big, 1.0) == ends[1].send(*big.segments(), now=1.0)
    assert ends[0].paths["runs-out"] == 1


def test_a_header_that_sums_up_to_nothing_has_the_checksum_0() -> None:
    big = Big(count=4)
    packet, length = bytearray(big.packet), 20 + 20 + big.options + big.segment
    packet[14:16] = bytes(2)  # of the source's address
    words = struct.unpack("!10H", packet[:20])
    rest = sum(words) - words[1] - words[5] + length
    packet[14:16] = (-rest % 0xFFFF).to_bytes(2, "big")
    ends = [sender(GCM, esn=False, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=9_000) for _ in "ab"]
    apart = segments(bytes(packet), decode(big.head))
    assert apart[0][10:12] == bytes(2)
    assert reads(ends[0], [(bytes(packet), big.head)], 1.0) == ends[1].send(*apart, now=1.0)
    assert ends[0].paths["runs-out"] == 1


@pytest.mark.parametrize("esn", [False, True])
@pytest.mark.parametrize("mac", ["", "sha256", "aes128gmac"])
@pytest.mark.parametrize("native", [False, True])
def test_what_stays_the_same_from_run_to_run_is_written_where_it_has_changed(esn: bool, mac: str, native: bool) -> None:
    """SPIs, salts and trailers, with packets of several SAs, lengths and versions one after the other, cut and
    gathered; and SAs of both protocols."""
    kind = {"esn": esn, "native": native, "mac": mac}
    ends = [sender(GCM, **kind, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=1_500) for _ in "ab"]  # type: ignore[arg-type]  # each as it is named
    halves = [(Selector.net("10.1.0.0/16"), Selector.net(net)) for net in ("10.2.0.0/17", "10.2.128.0/17")]
    for end in ends:
        end.policy(protect(halves[0]), protect(halves[1], child="other"), protect(PAIRS[1]))
        if isinstance(end.keys, m.AhKeys):
            end.keys = replace(end.keys, integrity_key=end.keys.integrity_key[::-1])
        else:
            end.keys = replace(end.keys, encryption_key=bytes(range(100, 120)))
        end.install_outbound(child="other", spi=0x4444, inbound=0x5555)
    several = [
        *[[udp("10.1.0.1", f"10.2.{net}.1", data=bytes(size))] * 20 for size in (9, 8, 9) for net in (0, 128, 0)],
        *[[udp(*V6, data=bytes(size))] * 20 for size in (9, 29, 9)],
    ]
    some = [(packet, PLAIN) for packets in several for packet in packets]
    for at, big in enumerate((Big(), Big(segment=999, count=30), Big(version=6, segment=980), Big(count=40), Big())):
        some.insert(21 * at, (big.packet, big.head))
    apart = [piece for packet, head in some * 2 for piece in segments(packet, decode(head))]
    assert reads(ends[0], some * 2, 1.0) == ends[1].send(*apart, now=1.0)
    assert ends[0].paths["runs-out"] >= 2 * (len(several) + 5)


@pytest.mark.parametrize(
    ("native", "segment", "count", "counts"),
    [(False, 1_348, 48, [4, 45]), (True, 1_348, 48, [49]), (True, 700, 80, [17, 64])],
)
def test_of_a_run_that_one_call_does_not_take_what_is_left_over_goes_first(
    native: bool, segment: int, count: int, counts: list[int]
) -> None:
    """A call takes more if its packets are apart already."""
    given, header = m.Limits(), m.OuterHeader()
    end = sender(GCM, esn=False, outer=4, first=0, header=header, given=given, mtu=1_500, native=native)
    big = Big(segment=segment, count=count, tail=9)
    found = []
    for result in end.roads.from_tun_read(memoryview(big.packet), big.head, 1.0):
        assert isinstance(result, OutRun)
        found.append(len(result.packets()))
    assert found == counts


def test_a_syn_has_to_be_looked_at_and_goes_packet_by_packet() -> None:
    end = sender(GCM, esn=False, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=9_000)
    big = Big(flags=SYN)
    assert {type(result) for result in end.roads.from_tun_read(memoryview(big.packet), big.head, 1.0)} == {Out}


@pytest.mark.parametrize("big", [Big(segment=1_300, df=False), Big(segment=1_300), Big(version=6, segment=1_300)])
def test_segments_that_do_not_fit_the_path_go_packet_by_packet(big: Big) -> None:
    ends = [sender(GCM, esn=False, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=1_200) for _ in "ab"]
    assert read(ends[0], big, 1.0) == ends[1].send(*big.segments(), now=1.0)
    assert ends[0].paths["runs-out"] == 0
    assert ends[0].paths["fragmented"] + ends[0].drops.get("too-big", 0) == 3


@pytest.mark.parametrize("version", [4, 6])
def test_a_syn_is_found_among_what_the_kernel_says_is_udp(version: int) -> None:
    """TCP cut as datagrams, which have no flags of their own, and UDP cut as TCP, with flags where its data is."""
    end = sender(GCM, esn=False, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=9_000)
    for big, tcp in ((Big(version), False), (Big(version, tcp=False), True)):
        start = 20 if version == 4 else 40
        kind = (Gso.TCP4 if version == 4 else Gso.TCP6) if tcp else Gso.UDP_DATAGRAMS
        packet = bytearray(big.packet)
        packet[start + 12] = 0x50
        head = Offload(1, kind, 0, 1_000, start, 16 if tcp else 6).encode()
        assert {type(result) for result in end.roads.from_tun_read(memoryview(packet), head, 1.0)} == {Out}


@pytest.mark.parametrize(
    ("big", "kinds"),
    [
        (Big(count=3), [OutRun]),
        (Big(count=2, tail=1), [OutRun]),
        (Big(count=1, tail=9), [OutRun]),
        (Big(count=1), [Out]),
        (Big(count=0, tail=9), [Out]),
        (Big(segment=30_000, count=2, tail=5_100), [OutRun]),
        (Big(segment=30_000, count=2, tail=5_400), [Out, Out, Out]),  # more than one call takes
    ],
)
def test_few_segments_go_together_if_they_fit(big: Big, kinds: list[type]) -> None:
    ends = [
        sender(GCM, esn=False, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=40_000) for _ in "ab"
    ]
    results = list(ends[0].roads.from_tun_read(memoryview(big.packet), big.head, 1.0))
    assert [type(result) for result in results] == kinds
    assert one_by_one(results) == ends[1].send(*big.segments(), now=1.0)
    assert ends[0].paths["runs-out"] == kinds.count(OutRun)


@given(st.sampled_from(AEAD), st.booleans(), st.integers(3, 45), st.integers(0, 999))
def test_a_plain_run_does_not_go_packet_by_packet(suite: Suite, esn: bool, count: int, tail: int) -> None:
    end = sender(suite, esn=esn, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=1_500)
    big = Big(count=count, tail=tail)
    results = list(end.roads.from_tun_read(memoryview(big.packet), big.head, 1.0))
    assert [type(result) for result in results] == [OutRun]
    assert end.paths["runs-out"] == 1


@given(st.binary(max_size=200), st.binary(min_size=0, max_size=12))
def test_whatever_the_kernel_says_is_sent_or_dropped_under_a_name(packet: bytes, head: bytes) -> None:
    end = sender(GCM, esn=False, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=1_500)
    results = reads(end, [(packet, head)], 1.0)
    paths = end.paths
    assert paths["from-tun"] == paths["sealed"] + sum(end.drops.values()) + paths["held"] >= 1
    assert len(only(results, Out)) == paths["datagrams"]


@given(bigs(), st.integers(0, 9), st.integers(0, 255))
def test_a_bent_virtio_header_is_sent_or_dropped_under_a_name(big: Big, at: int, octet: int) -> None:
    end = sender(GCM, esn=False, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=1_500)
    head = bytearray(big.head)
    head[at] = octet
    for result in reads(end, [(big.packet, bytes(head))], 1.0):
        assert isinstance(result, Out | ToTun)
    paths = end.paths
    assert paths["from-tun"] == paths["sealed"] + sum(end.drops.values()) + paths["held"] >= 1


PLAIN = bytes(10)
V4, V6 = ADDRESSES[4], ADDRESSES[6]
SINGLES = [
    *[udp(*V4, port) for port in (1, 2)] * 3,
    *[udp(*V6, 1), udp(*V4, data=b"other size"), udp(*V4, tos=2), udp(*V4, df=True)],
    *[syn(*V4, 1_000, flags=ACK), syn(*V6, 1_000, flags=ACK), syn(*V4, 9_000), syn(*V6, 9_000, flags=SYN | ACK)],
    *[
        echo(*V4),
        echo(*V4, kind=0),
        echo(*V6),
        error("10.1.0.1", udp("10.2.0.1", "10.1.0.1")),
        sized(*V4, 1_500),
        sized(*V4, 3_000, df=True),
        udp("10.1.0.1", "10.9.0.1"),
        udp(*V4)[:-1],
        b"",
        b"E",
    ],
    *[ipv4(*V4, 17, bytes(64), offset=800), ipv4(*V4, 17, bytes(64), more=True), ipv4(*V4, 6, bytes(8))],
    *[ipv4(*V4, 17, bytes(8), options=b"\1\1\1\0"), ipv6(*V6, 0, b"\x11\0\1\4\0\0\0\0" + bytes(8))],
]


@settings(max_examples=3 * settings().max_examples)
@given(
    data=st.data(),
    suite=often(st.sampled_from([GCM, CHACHA]), st.just(CBC)),
    esn=st.booleans(),
    given=often(st.just(m.Limits()), st.builds(m.Limits, soft_packets=st.just(9), hard_octets=st.just(3_000))),
    form=forms,
    native=st.booleans(),
    mac=macs,
)
def test_packets_in_a_row_go_as_they_would_one_by_one(
    data: st.DataObject, suite: Suite, esn: bool, given: m.Limits, form: Form, native: bool, mac: str
) -> None:
    kind = {"esn": esn, "form": form, "native": native, "mac": mac}
    ends = [
        sender(suite, **kind, outer=4, first=0, header=m.OuterHeader(), given=given, mtu=1_400)  # type: ignore[arg-type]  # each as it is named
        for _ in "ab"
    ]
    for now in (1.0, 1.5, 3.0):
        kinds = data.draw(st.lists(st.sampled_from(SINGLES), min_size=1, max_size=3))
        singles = data.draw(st.lists(st.sampled_from(kinds), max_size=80))
        bigs_between = data.draw(often(st.just([]), st.lists(bigs(most=1_300), max_size=2)))
        some = [(packet, PLAIN) for packet in singles]
        for big in bigs_between:
            some.insert(data.draw(st.integers(0, len(some))), (big.packet, big.head))
        apart = [piece for packet, head in some for piece in segments(packet, decode(head))]
        assert reads(ends[0], some, now) == ends[1].send(*apart, now=now)
        for end in ends:
            match data.draw(st.shared(st.sampled_from(["", "mtu", "rekey", "policy", "gone"]), key=str(now))):
                case "mtu":
                    end.roads.handle(m.SetLinkMtu(end.outside.remote, 1_280), now)
                case "rekey":
                    end.install_outbound(now, spi=0x3333 + int(now * 10), limits=given)
                case "policy":
                    end.policy(protect(*PAIRS, header=m.OuterHeader(int(now), "set")))
                case "gone":
                    end.roads.handle(m.RemoveOutbound(end.outbound, end.inbound), now)
                case _:
                    pass
        one, two = (end.counters() for end in ends)
        assert (one.sas, one.drops, one.entries) == (two.sas, two.drops, two.entries)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("count", [1, 5, 40])
@pytest.mark.parametrize("mac", ["", "sha256"])
def test_packets_of_native_transport_mode_keep_their_own_headers(version: int, count: int, mac: str) -> None:
    """TTL, Identification, flow label, and a reserved flag: they differ from flow to flow and from packet to packet."""
    ends = [
        sender(
            GCM,
            esn=False,
            outer=version,
            first=9,
            header=m.OuterHeader(),
            given=m.Limits(),
            mtu=1_500,
            form=TRANSPORT,
            native=True,
            mac=mac,
        )
        for _ in "ab"
    ]
    packets = []
    for number in range(count):
        packet = bytearray(udp(*ADDRESSES[version], number // 3, df=version == 4))
        if version == 4:
            packet[4:6], packet[8] = (0xFFF0 + number & 0xFFFF).to_bytes(2, "big"), number
            packet[10:12] = b"\xab\xcd"  # wrong, which nobody looks at here
        else:
            packet[2:4], packet[7] = number.to_bytes(2, "big"), number
        packets.append(bytes(packet))
    assert reads(ends[0], [(packet, PLAIN) for packet in packets], 1.0) == ends[1].send(*packets, now=1.0)
    assert ends[0].paths["runs-out"] == (count > 1)


def test_native_packets_that_routers_may_cut_go_packet_by_packet_in_transport_mode() -> None:
    """They need an Identification, if they have none."""
    end = sender(
        GCM,
        esn=False,
        outer=4,
        first=0,
        header=m.OuterHeader(),
        given=m.Limits(),
        mtu=1_500,
        form=TRANSPORT,
        native=True,
    )
    assert len(only(reads(end, [(udp(*V4), PLAIN)] * 5, 1.0), Out)) == 5
    assert end.paths["runs-out"] == 0


@pytest.mark.parametrize("mac", ["", "sha256"])
def test_packets_of_both_versions_and_one_size_do_not_leave_together_in_transport_mode(mac: str) -> None:
    """Their IP headers, which stay outside, are not of one length."""
    kind = {"form": TRANSPORT, "mac": mac}
    ends = [
        sender(GCM, **kind, esn=False, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=1_500)  # type: ignore[arg-type]  # each as it is named
        for _ in "ab"
    ]
    packets = [udp(*V4, data=bytes(50), df=True), udp(*V6, data=bytes(30))] * 3
    assert len({len(packet) for packet in packets}) == 1
    assert reads(ends[0], [(packet, PLAIN) for packet in packets], 1.0) == ends[1].send(*packets, now=1.0)


@pytest.mark.parametrize("mac", ["", "sha256"])
@pytest.mark.parametrize("form", [TUNNEL, TRANSPORT])
def test_no_packet_is_larger_than_its_length_can_say(mac: str, form: Form) -> None:
    """A loopback interface takes one octet more."""
    kind = {"form": form, "native": True, "mac": mac}
    ends = [
        sender(GCM, **kind, esn=False, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=65_536)  # type: ignore[arg-type]  # each as it is named
        for _ in "ab"
    ]
    packets = [sized(*V4, octets, df=True) for octets in range(65_440, 65_536)]
    together = reads(ends[0], [(packet, PLAIN) for packet in packets], 1.0)
    assert together == ends[1].send(*packets, now=1.0)
    assert max(len(out.datagram) for out in only(together, Out)) in (65_532, 65_535)
    assert ends[0].counters().drops == ends[1].counters().drops


@pytest.mark.parametrize("mac", [each.name for each in AH_INTEGRITIES])
@pytest.mark.parametrize("form", [TUNNEL, TRANSPORT])
@pytest.mark.parametrize("native", [False, True])
def test_a_plain_run_of_ah_does_not_go_packet_by_packet(mac: str, form: Form, native: bool) -> None:
    kind = {"form": form, "native": native, "mac": mac}
    end = sender(GCM, **kind, esn=True, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=1_500)  # type: ignore[arg-type]  # each as it is named
    big = Big(count=30, tail=9)
    assert [type(each) for each in end.roads.from_tun_read(memoryview(big.packet), big.head, 1.0)] == [OutRun]
    assert [len(only(reads(end, [(udp(*V4, df=True), PLAIN)] * count, 1.0), Out)) for count in (2, 40)] == [2, 40]
    assert end.paths["runs-out"] == 3


def test_packets_of_several_children_leave_by_the_sa_of_theirs() -> None:
    ends = [sender(GCM, esn=False, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=1_500) for _ in "ab"]
    halves = [(Selector.net("10.1.0.0/16"), Selector.net(net)) for net in ("10.2.0.0/17", "10.2.128.0/17")]
    for end in ends:
        end.policy(protect(halves[0]), protect(halves[1], child="other"))
        end.install_outbound(child="other", spi=0x4444, inbound=0x5555)
    packets = [udp("10.1.0.1", f"10.2.{net}.1", number) for net in (0, 128, 0) for number in range(1, 6)]
    together = reads(ends[0], [(packet, PLAIN) for packet in packets], 1.0)
    assert together == ends[1].send(*packets, now=1.0)
    assert [out.datagram[:4].hex() for out in only(together, Out)] == ["00002222"] * 5 + ["00004444"] * 5 + [
        "00002222"
    ] * 5
    assert ends[0].paths["runs-out"] == 3


def test_packets_of_several_entries_are_counted_for_theirs() -> None:
    end = sender(GCM, esn=False, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=1_500)
    one = (Selector.net("10.1.0.0/16"), Selector.net("10.2.0.0/17"))
    end.policy(replace(protect(one), name="one"), replace(protect(*PAIRS), name="other"))
    packets = [udp("10.1.0.1", f"10.2.{net}.1") for net in (0, 0, 128, 0, 128, 128)]
    assert len(only(reads(end, [(packet, PLAIN) for packet in packets * 9], 1.0), Out)) == 54
    assert end.counters().entries == {"one": 27, "other": 27}


def test_packets_of_many_flows_leave_together() -> None:
    end = sender(GCM, esn=False, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=1_500)
    packets = [udp(*V4, port) for port in range(1, 101)]
    results = []
    for packet in packets:
        results += [len(result.packets()) for result in end.roads.from_tun_read(memoryview(packet), PLAIN, 1.0)]  # type: ignore[union-attr]  # runs alone
    results += [len(result.packets()) for result in end.roads.from_tun_end(1.0)]  # type: ignore[union-attr]  # likewise
    assert results == [64, 36]
    assert end.paths["runs-out"] == 2


@pytest.mark.parametrize("count", [1, 2, 30])
def test_what_waits_while_something_changes_goes_as_it_goes_then(count: int) -> None:
    end = sender(GCM, esn=False, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=1_500)
    for _ in range(count):
        assert list(end.roads.from_tun_read(memoryview(udp(*V4)), PLAIN, 1.0)) == []
    end.policy(replace(protect(*PAIRS), action="discard"))
    assert list(end.roads.from_tun_end(1.0)) == []
    assert end.drops == {"policy-discard": count}


@pytest.mark.parametrize(
    "packets", [[echo(*V4)], [echo(*V6)], [udp(*V4)], [udp(*V6)] * 2, [syn(*V4, 9, flags=ACK)] * 15]
)
@pytest.mark.parametrize("esn", [False, True])
@pytest.mark.parametrize("mac", ["", "sha256", "aes128gmac"])
@pytest.mark.parametrize("native", [False, True])
def test_few_packets_are_what_they_are_one_by_one_and_go_together(
    packets: list[bytes], esn: bool, mac: str, native: bool
) -> None:
    kind = {"esn": esn, "native": native, "mac": mac}
    ends = [sender(GCM, **kind, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=1_500) for _ in "ab"]  # type: ignore[arg-type]  # each as it is named
    for end in ends:
        (sa,) = end.roads._outbound._sad
        sa.sequence = (1 << 32) - 5 if esn else 5
    assert reads(ends[0], [(packet, PLAIN) for packet in packets], 1.0) == ends[1].send(*packets, now=1.0)
    one, two = (end.counters() for end in ends)
    assert (one.sas, one.drops, one.entries) == (two.sas, two.drops, two.entries)
    assert ends[0].paths == ends[1].paths + Counter({"runs-out": int(len(packets) > 1)})


def test_a_packet_is_held_against_policy_by_type_and_code_of_its_echo() -> None:
    end = sender(GCM, esn=False, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=1_500)
    requests = Selector(ip_address("10.1.0.0"), ip_address("10.1.255.255"), 1, (8 << 8, 8 << 8 | 255))
    end.policy(protect((requests, FAR_NETS[0])))
    results = reads(end, [(echo(*V4, kind=kind), PLAIN) for kind in (8, 0, 8, 0)], 1.0)
    assert [result.packet for result in only(results, Out)] == [echo(*V4)] * 2
    assert end.drops == {"no-policy": 2}


@pytest.mark.parametrize("version", [4, 6])
def test_the_checksum_of_a_packet_that_waits_is_finished(version: int) -> None:
    whole = udp(*ADDRESSES[version])
    at, start = (26, 20) if version == 4 else (46, 40)
    source, destination = map(ip_address, ADDRESSES[version])
    pseudo = pseudo_checksum(source, destination, 17, len(whole) - start) % 0xFFFF
    packet = whole[:at] + pseudo.to_bytes(2, "big") + whole[at + 2 :]
    end = sender(GCM, esn=False, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=1_500)
    found = reads(end, [(packet, Offload(1, Gso.NONE, 0, 0, start, 6).encode())] * 5, 1.0)
    assert [result.packet for result in only(found, Out)] == [whole] * 5
    assert end.paths["runs-out"] == 1


def test_a_single_packet_has_its_checksum_finished() -> None:
    whole = udp("10.1.0.1", "10.2.0.1", data=b"some data")
    body = bytearray(whole)
    pseudo = sum(struct.unpack("!4H", whole[12:20])) + 17 + len(whole) - 20
    body[26:28] = (pseudo % 0xFFFF).to_bytes(2, "big")
    assert segments(bytes(body), Offload(1, Gso.NONE, 0, 0, 20, 6)) == [whole]
