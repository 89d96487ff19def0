"""What a guest's interface is plugged into where no network is wanted: a pair of sockets, a frame in each datagram."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Self

from tests.interop.wire import ETHERNET, kind

OURS, THEIRS = "02:00:00:00:00:01", "02:00:00:00:00:02"
PATIENCE = 30  # seconds, for what takes a few milliseconds
_TYPES = {4: b"\x08\x00", 6: b"\x86\xdd"}


class Cable:
    """Our end of it while it is entered; nobody answers but us, so the guest must know ``OURS`` as its neighbour."""

    def __enter__(self) -> Self:
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ours.settimeout(PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ours.close()
        self._theirs.close()

    @property
    def descriptor(self) -> int:
        """The guest's end."""
        return self._theirs.fileno()

    @property
    def link(self) -> str:
        """The guest's end, in its words."""
        return f"transport=fd,fd={self.descriptor},mac={THEIRS}"

    def send(self, packet: bytes) -> None:
        self._ours.send(_octets(THEIRS) + _octets(OURS) + _TYPES[packet[0] >> 4] + packet)

    def receive(self) -> bytes:
        """The next packet of the guest, but for what the link itself needs. Raises TimeoutError if none comes."""
        while kind(frame := self._ours.recv(1 << 16)) == "link":
            pass
        return frame[ETHERNET:]


def _octets(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
