"""Which socket a datagram leaves by, and how."""

from __future__ import annotations

import errno
from collections import Counter
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from structlog.testing import capture_logs

from ipsecd.daemon import sockets
from ipsecd.daemon.native_sockets import NativeSockets
from ipsecd.daemon.sockets import Sockets
from ipsecd.dataplane.messages import Outside
from ipsecd.dataplane.results import Out, OutRun
from ipsecd.errors import KernelError
from ipsecd.ike.config import Endpoint, Path
from ipsecd.io.outgoing import Refusal

HERE, THERE = ip_address("192.0.2.1"), ip_address("198.51.100.1")
HERE6, THERE6 = ip_address("2001:db8::1"), ip_address("2001:db8::2")


class Socket:
    """In the place of a UDP socket: remembers what it was made with and what it sent."""

    made: list[Socket]
    broken: set[tuple[int, int]]  # version and port of those that can't be opened

    def __init__(
        self, address: IPv4Address | IPv6Address, port: int, mark: int, natt: bool, without: tuple[str, ...] = ()
    ) -> None:
        if (address.version, port) in self.broken:
            number = errno.EAFNOSUPPORT if address.version == 6 else errno.EADDRINUSE
            raise KernelError("no socket") from OSError(number, "no")
        self.version, self.port, self.mark, self.natt = address.version, port, mark, natt
        self.sent: list[tuple[Any, ...]] = []
        self.refusal: Refusal | None = None
        self.drops: Counter[str] = Counter()
        self.heard: Counter[str] = Counter()
        self.closed = False
        self.offloads = frozenset({"udp-segment", "udp-gro"}.difference(without, () if port == 500 else ["udp-gro"]))
        self.made.append(self)

    def send(self, *arguments: Any, **more: Any) -> Refusal | None:
        self.sent.append((*arguments, more))
        return self.refusal

    def repeat(self, *_: Any, **__: Any) -> None:
        """Each call has something to decide."""

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    Socket.made, Socket.broken = [], set()
    monkeypatch.setattr(sockets, "UdpSocket", Socket)


def sent() -> dict[tuple[int, int], list[tuple[Any, ...]]]:
    return {(each.version, each.port): each.sent for each in Socket.made if each.sent}


def test_there_is_a_socket_for_each_port_and_family() -> None:
    opened = Sockets(500, 4_500, 0x2000000, native=NativeSockets())
    assert [(each.version, each.port, each.natt, each.mark) for each in Socket.made] == [
        (4, 500, False, 0x2000000),
        (4, 4_500, True, 0x2000000),
        (6, 500, False, 0x2000000),
        (6, 4_500, True, 0x2000000),
    ]
    assert list(opened) == Socket.made


def test_a_machine_without_ipv6_does_without_and_says_so() -> None:
    Socket.broken = {(6, 500)}
    with capture_logs() as logs:
        opened = Sockets(500, 4_500, 1, native=NativeSockets())
    assert [each.version for each in Socket.made] == [4, 4]
    assert [line["event"] for line in logs] == ["no-ipv6"]
    opened.send(b"ike", Path(Endpoint(HERE6, 500), Endpoint(THERE6, 500), natt=False))
    assert opened.counters() == {"send-no-socket": 1}


def test_a_port_that_is_taken_closes_what_was_open() -> None:
    Socket.broken = {(4, 4_500)}
    with pytest.raises(KernelError):
        Sockets(500, 4_500, 1, native=NativeSockets())
    assert [each.closed for each in Socket.made] == [True]


def test_ike_has_its_marker_where_esp_shares_the_port_and_may_be_fragmented() -> None:
    """RFC 3948 section 2.2."""
    opened = Sockets(500, 4_500, 1, native=NativeSockets())
    opened.send(b"ike", Path(Endpoint(HERE, 500), Endpoint(THERE, 500), natt=False))
    opened.send(b"ike", Path(Endpoint(HERE6, 4_500), Endpoint(THERE6, 61_000), natt=True))
    opened.keepalive(Path(Endpoint(HERE, 4_500), Endpoint(THERE, 4_500), natt=True))
    assert sent() == {
        (4, 500): [(b"ike", THERE, 500, {"local": HERE})],
        (6, 4_500): [(b"\0\0\0\0ike", THERE6, 61_000, {"local": HERE6})],
        (4, 4_500): [(b"\xff", THERE, 4_500, {"local": HERE})],
    }


@pytest.mark.parametrize("df", [True, False])
def test_esp_leaves_as_the_roads_want_it(df: bool) -> None:
    opened = Sockets(500, 4_500, 1, native=NativeSockets())
    assert opened.send_esp(Out(b"esp", Outside(HERE, 4_500, THERE, 61_000), 0xB9, df, b"inside")) == 0
    how = {"local": HERE, "traffic_class": 0xB9, "may_fragment": not df, "segment": 0}
    assert sent() == {(4, 4_500): [(b"esp", THERE, 61_000, how)]}


@pytest.mark.parametrize(("refusal", "mtu"), [(Refusal("send-too-big", 1_492), 1_492), (Refusal("send-full"), 0)])
def test_the_mtu_of_a_link_that_is_too_narrow_comes_back(refusal: Refusal, mtu: int) -> None:
    opened = Sockets(500, 4_500, 1, native=NativeSockets())
    Socket.made[1].refusal = refusal
    assert opened.send_esp(Out(b"esp", Outside(HERE, 4_500, THERE, 4_500), 0, True, b"inside")) == mtu


def run(port: int = 4_500, *, df: bool = True) -> OutRun:
    return OutRun(memoryview(b"esp" * 5)[:14], 3, Outside(HERE, port, THERE, 61_000), 0xB9, df, list)


@pytest.mark.parametrize("df", [True, False])
def test_a_run_leaves_as_the_roads_want_it(df: bool) -> None:
    opened = Sockets(500, 4_500, 1, native=NativeSockets())
    assert opened.send_esp(run(df=df)) == 0
    how = {"local": HERE, "traffic_class": 0xB9, "may_fragment": not df, "segment": 3}
    assert sent() == {(4, 4_500): [(b"espespespespes", THERE, 61_000, how)]}
    Socket.made[1].refusal = Refusal("send-too-big", 1_300)
    assert opened.send_esp(run()) == 1_300


def test_an_offload_is_one_only_if_all_sockets_have_it() -> None:
    assert Sockets(500, 4_500, 1, native=NativeSockets()).offloads == {"udp-segment"}
    assert Sockets(500, 4_500, 1, ("udp-segment",), native=NativeSockets()).offloads == set()


def test_esp_for_which_there_is_no_socket_is_counted() -> None:
    opened = Sockets(500, 4_500, 1, native=NativeSockets())
    assert opened.send_esp(run(4_501)) == 0
    assert opened.counters() == {"send-no-socket": 5}
    opened = Sockets(500, 4_500, 1, native=NativeSockets())
    assert opened.send_esp(Out(b"esp", Outside(HERE, 4_501, THERE, 4_500), 0, True, b"inside")) == 0
    assert opened.counters() == {"send-no-socket": 1}


def test_counters_of_all_sockets_come_together() -> None:
    opened = Sockets(500, 4_500, 1, native=NativeSockets())
    for each in Socket.made[:2]:
        each.drops["send-full"], each.heard["error-read"] = 2, 3
    assert opened.counters() == {"send-full": 4}
    assert opened.heard() == {"error-read": 6}
    opened.close()
    assert all(each.closed for each in Socket.made)
