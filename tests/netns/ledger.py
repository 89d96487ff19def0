"""What of the numbered packets of all cells crossed each link, in which form, and what else crossed the wire."""

from __future__ import annotations

import selectors
import socket
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.interop.wire import ABOUT_PROTECTED, AH, ETHERNET, UDP, Kinds, carried, fragment_of, kind, spi
from tests.netns.capture import PATIENCE, packet_socket
from tests.netns.cells import PORTS, Layout
from tests.netns.flood import MARKED
from tests.netns.policy_table import BY_PASSTHROUGH, CLEAR, Cell
from tests.netns.sites import Sites

HEAD = 192  # octets of a frame that are looked at: headers, and the number at least once behind them
_ROOM = 1 << 28  # for what comes while a busy machine has no time for us: no frame may be lost
_LINKS = {"lan a": ("ha", "eth0"), "wire": ("ga", "wan0"), "lan b": ("hb", "eth0")}
_ARRIVES = {"ha": "lan a", "hb": "lan b"}  # at gateways by no link: their sockets are read
SOL_PACKET, PACKET_STATISTICS = 263, 6


class Ledger:
    """Reads every link while it is entered, and what comes to gateways themselves. ``in_clear`` and ``arrived`` are the
    numbers of each cell's packets that crossed the wire in clear, either way, and that came to where they were sent;
    ``signed`` are those that AH carried across, which hides nothing. ``protected`` counts ESP and AH by SPI, ``cut``
    has the IP versions of which some crossed in pieces. ``others`` counts AH and all that shows no number, by the words
    of ``tests.interop.wire.kind``."""

    def __init__(self, sites: Sites, layout: Layout) -> None:
        self._sites = sites
        ends = ((name, cell, _ARRIVES.get(layout.receiver(cell), "")) for name, cell in layout.names.items())
        self._ends = {name.encode(): (cell, link) for name, cell, link in ends}
        self.in_clear: dict[Cell, set[int]] = defaultdict(set)
        self.signed: dict[Cell, set[int]] = defaultdict(set)
        self.arrived: dict[Cell, set[int]] = defaultdict(set)
        self._idle = threading.Event()
        self.protected: Counter[str] = Counter()
        self.others: Counter[str] = Counter()
        self.cut: set[int] = set()
        self._kinds = Kinds()
        self._by_ah = layout.native == "AH"

    def __enter__(self) -> Self:
        self._selector = selectors.DefaultSelector()
        for link, (place, interface) in _LINKS.items():
            self._register(packet_socket(self._sites, place, interface, room=_ROOM), self._frames, link)
        for opened in self._sinks("ga", "gb"):
            self._register(opened, self._datagrams, "")
        # what comes to hosts is seen on their links: nobody reads these, they only keep the kernel from complaining
        self._hosts = self._sinks("ha", "hb")
        self._ending = False
        self._reader = threading.Thread(target=self._read, name="ledger", daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending = True
        self._reader.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        for host in self._hosts:
            host.close()
        self._selector.close()

    def settle(self) -> None:
        """Wait until a link has been silent for a moment, and see that the kernel has kept every frame for us: what
        nobody has looked at proves nothing."""
        self._idle.clear()
        assert self._idle.wait(PATIENCE), "somebody still sends"
        keys = [key for key in self._selector.get_map().values() if key.data[1]]
        statistics = [key.fileobj.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8) for key in keys]
        assert [int.from_bytes(each[4:], "little") for each in statistics] == [0] * len(_LINKS)

    def leaked(self, cell: Cell) -> set[int]:
        """The numbers of what has passed in a cell as it mustn't: in clear, if it leaves or the peer protects it; and
        at all, if nothing is to pass. What leaves by a soft SA mustn't while there is none."""
        if cell.passes in (CLEAR, BY_PASSTHROUGH):
            return set()
        leaves, nothing = cell.direction == "out", cell.passes == "nothing"
        found: set[int] = set()
        if leaves or cell.passes == "protected":
            found |= self.in_clear[cell]
        if nothing:
            found |= self.arrived[cell]
        if leaves and nothing:
            found |= self.signed[cell]
        return found

    # --- reading ------------------------------------------------------------------------------------------------------

    def _sinks(self, *places: str) -> list[socket.socket]:
        return [self._sites.inside(place, _sink, *sink) for place in places for sink in _SINKS]

    def _register(self, opened: socket.socket, read: Callable[[socket.socket, str], None], link: str) -> None:
        self._selector.register(opened, selectors.EVENT_READ, (read, link))

    def _read(self) -> None:
        while not self._ending:
            ready = self._selector.select(0.1)
            for key, _ in ready:
                read, link = key.data
                read(key.fileobj, link)
            if not ready:
                self._idle.set()

    def _frames(self, opened: socket.socket, link: str) -> None:
        for _ in range(1_000):
            try:
                frame, (_, _, kind_of_packet, *_) = opened.recvfrom(HEAD)
            except BlockingIOError:
                return
            outgoing = kind_of_packet == socket.PACKET_OUTGOING
            found = MARKED.search(frame)
            if link == "wire" and not (found and self._in_clear(frame)):
                self._count(frame)
                if found:
                    self.signed[self._ends[found[1]][0]].add(int(found[2]))
            elif found:
                cell, end = self._ends[found[1]]
                if link == "wire":
                    if outgoing or not _may_come_back(cell):
                        self.in_clear[cell].add(int(found[2]))
                elif link == end and not outgoing:
                    self.arrived[cell].add(int(found[2]))

    def _in_clear(self, frame: bytes) -> bool:
        """Whether what shows a number isn't AH, nor an error that quotes it."""
        if not self._by_ah:
            return True
        protocol, _, _ = carried(frame)
        return protocol != AH and (protocol == UDP or kind(frame) != ABOUT_PROTECTED)

    def _count(self, frame: bytes) -> None:
        self.others[self._kinds.of(frame)] += 1
        if found := spi(frame):
            self.protected[found] += 1
            if fragment_of(frame):
                self.cut.add(frame[ETHERNET] >> 4)

    def _datagrams(self, opened: socket.socket, _link: str) -> None:
        for _ in range(1_000):
            try:
                data = opened.recv(HEAD)
            except BlockingIOError:
                return
            if found := MARKED.search(data):
                self.arrived[self._ends[found[1]][0]].add(int(found[2]))


_SINKS = [(port, family) for port in PORTS.values() for family in (socket.AF_INET, socket.AF_INET6)]


def _sink(port: int, family: int) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    if family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    opened.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
    opened.bind(("", port))
    return opened


def _may_come_back(cell: Cell) -> bool:
    """Whether the peer may quote it in clear: one that lapses does so in its ICMP errors too."""
    return (cell.direction, cell.peer) == ("out", "lapses")
