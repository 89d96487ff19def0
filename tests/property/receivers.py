"""A sender and two receivers that know the same: one takes datagrams by runs, the other one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address

from ipsecd.dataplane import messages as m
from ipsecd.dataplane.results import Result, ToTun, ToTunRun
from ipsecd.dataplane.runs_in import RunsIn
from ipsecd.ipsec import ah_packets
from ipsecd.ipsec.mending import mended
from ipsecd.ipsec.outer import fixed, header
from ipsecd.ipsec.transport import headed
from ipsecd.wire import ip
from ipsecd.wire.form import TUNNEL, Form
from ipsecd.wire.offload import decode, segments
from ipsecd.wire.registry import IpProtocol
from tests.property.run_values import ADDRESSES
from tests.unit.crypto.suites import Suite
from tests.unit.dataplane.ends import OUTER, TUN_MTU, End, authentic, only
from tests.unit.dataplane.shapes import EVERYTHING
from tests.unit.ipsec.packets import packet as between_hosts
from tests.unit.ipsec.pairs import GCM, ah_keys

JOINS = (IpProtocol.TCP, IpProtocol.UDP)


TRANSPORT = Form(transport=True)
HERE, THERE = map(ip_address, ADDRESSES[4])
NATTED = Form(transport=True, original=(HERE, THERE))


@dataclass(frozen=True)
class Way:
    """What native packets have in their headers: the first Identification, and how they count on; the TTLs or hop
    limits, in turn; DF."""

    first: int = 0xFFF8
    step: int = 1
    ttls: tuple[int, ...] = (64,)
    df: bool = False

    def front(self, number: int, tos: int, outside: m.Outside) -> bytes:
        """The header of one of them, without length and protocol."""
        identification = (self.first + self.step * number) & 0xFFFF
        made = header(outside.remote, outside.local, tos=tos, identification=identification, dont_fragment=self.df)
        at, ttl = 8 if outside.remote.version == 4 else 7, self.ttls[number % len(self.ttls)]
        return made[:at] + bytes([ttl]) + made[at + 1 :]


WAY = Way()


def ends(
    suite: Suite = GCM,
    *,
    esn: bool = False,
    joins: tuple[int, ...] = JOINS,
    form: Form = TUNNEL,
    outer: int = 4,
    native: bool = False,
    mac: str = "",
    **given: object,
) -> list[End]:
    """A sender, and two receivers that know the same. With ``mac`` they speak AH."""
    made = [End(near=near, outer=outer, suite=suite, esn=esn) for near in (True, False, False)]
    for end in made:
        if native:
            end.outside = replace(end.outside, local_port=0, remote_port=0)
        end.roads._inbound = RunsIn(tun_mtu=TUN_MTU, joins=joins)
        end.form = form
        if mac:
            end.keys = ah_keys(mac, esn=esn)
        if form.transport:
            end.local = end.remote = EVERYTHING
        end.policy()
        end.install_inbound(**given)  # type: ignore[arg-type]  # the caller's care
        end.install_outbound()
    return made


def inside(packet: bytes, form: Form, outer: int = 4) -> tuple[int, bytes]:
    """Next header and payload of a plain packet. In transport mode all go between the hosts of ``ends``, and these sum
    their own addresses, unless they see others."""
    version = packet[0] >> 4
    if not form.transport:
        return 4 if version == 4 else 41, packet
    protocol, payload = (packet[9], packet[20:]) if version == 4 else (packet[6], packet[40:])
    if form.original is None:
        hosts, before = OUTER[outer], map(ip_address, ADDRESSES[version])
        between = between_hosts(str(hosts[0]), str(hosts[1]), protocol, payload)
        here, there = before
        payload = mended(between, ip.parse(between), (here, there))[-len(payload) :]
    return protocol, payload


def arriving(near: End, packets: list[bytes], tos: int = 0, way: Way = WAY) -> list[bytes]:
    """What arrives of plain packets that only the peer can protect: datagrams, or native packets."""
    (sa,) = near.roads._outbound._sad
    payloads = [inside(packet, near.form, near.outside.local.version) for packet in packets]
    if sa.protocol == IpProtocol.AH:
        return signed(near, payloads, tos, way)
    datagrams = [authentic(near, *payload) for payload in payloads]
    return natively(datagrams, tos, _back(near.outside), way) if near.outside.native else datagrams


def signed(near: End, payloads: list[tuple[int, bytes]], tos: int = 0, way: Way = WAY) -> list[bytes]:
    """Likewise of any next headers and what is behind them, with AH."""
    (sa,) = near.roads._outbound._sad
    first, outside = sa.take(len(payloads)), near.outside
    assert first is not None
    unsent = b"" if outside.native else fixed(outside.local, outside.remote)
    found = []
    for number, (next_header, payload) in enumerate(payloads):
        front = unsent or way.front(number, tos, _back(outside))
        found.append(ah_packets.seal(sa, first + number, front, next_header, payload)[len(unsent) :])
    return found


def _back(outside: m.Outside) -> m.Outside:
    """As the other end sees it."""
    return replace(outside, local=outside.remote, remote=outside.local)


def kept(results: Iterable[Result]) -> Iterator[Result]:
    """Results that outlive the buffers of the roads, copied one by one as the owner carries them out."""
    for result in results:
        match result:
            case ToTun(packet):
                yield ToTun(bytes(packet))
            case ToTunRun(head, header, payloads):
                yield ToTunRun(head, header, [bytes(payload) for payload in payloads])
            case _:
                yield result


def one_by_one(results: list[Result]) -> list[Result]:
    """What is written as one, as the packets that the kernel makes of it."""
    found: list[Result] = []
    for result in results:
        if isinstance(result, ToTunRun):
            pieces = segments(b"".join((result.header, *result.payloads)), decode(result.head))
            assert len(pieces) > 1
            found += [ToTun(piece) for piece in pieces]
        else:
            found.append(result)
    return found


def together(
    end: End, datagrams: list[bytes], now: float, tos: int = 0, outside: m.Outside | None = None, way: Way | None = WAY
) -> list[Result]:
    """Receive them as one read: all but the last have the size of the first."""
    outside = outside or end.outside
    found = list(kept(read(end, datagrams, now, tos, outside, way)))
    return found + list(kept(end.roads.from_udp_end(now)))


def read(
    end: End, datagrams: list[bytes], now: float, tos: int, outside: m.Outside, way: Way | None = WAY
) -> Iterable[Result]:
    """Likewise, but there may be more."""
    if outside.native:
        packets = natively(datagrams, tos, outside, way)
        data = b"".join(packets)
        end.roads.room[: len(data)] = data
        return end.roads.from_native_reads(len(data), len(packets[0]), outside, now)
    data = b"".join(datagrams)
    end.roads.received[: len(data)] = data
    return end.roads.from_udp_read(len(data), len(datagrams[0]), outside, tos, True, now)


def natively(datagrams: list[bytes], tos: int, outside: m.Outside, way: Way | None = WAY) -> list[bytes]:
    """As IP packets with ESP, unless they are packets already."""
    if way is None:
        return datagrams
    return [
        headed(way.front(number, tos, outside), IpProtocol.ESP, len(datagram)) + datagram
        for number, datagram in enumerate(datagrams)
    ]


def apart(
    end: End, datagrams: list[bytes], now: float, tos: int = 0, outside: m.Outside | None = None, way: Way | None = WAY
) -> list[Result]:
    there = outside or end.outside
    if there.native:
        packets = natively(datagrams, tos, there, way)
        return [result for packet in packets for result in end.roads.from_native_read(packet, there, now)]
    source = None if outside is None else (outside.remote, outside.remote_port)
    found: list[Result] = []
    for datagram in datagrams:
        found += end.receive(datagram, now, tos=tos, source=source)
    return found


def state(end: End) -> tuple[object, ...]:
    """All that the road in remembers."""
    counters = end.counters()
    paths = {name: count for name, count in counters.paths.items() if name != "runs-in" and count}
    windows = [(sa.window.top, sa.window._blocks, sa.failures, sa.seen_outside) for sa in end.roads._inbound._sad]
    return counters.sas, {k: v for k, v in counters.drops.items() if v}, paths, counters.entries, windows


def bent(data: bytes, at: int) -> bytes:
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def packets_of(results: list[Result]) -> list[bytes]:
    return [bytes(result.packet) for result in only(one_by_one(results), ToTun)]
