"""The raw sockets: ESP and AH as IP protocols 50 and 51, in both directions and of each IP version.

They need CAP_NET_RAW. Without it ipsecd speaks ESP in UDP alone, unless a rule says that it must be native.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Self

import structlog

from ipsecd.errors import KernelError
from ipsecd.io.ah_errors import AhErrors
from ipsecd.io.native import NativeReceiver, NativeSender
from ipsecd.io.native_open import PROTOCOLS, open_errors, open_receiving, open_sending

log = structlog.get_logger()


class NativeSockets:
    """None at all until ``opened``. ``receivers`` and ``routers`` are read by the road in, ``senders``, by IP version,
    are used by the road out. Where these are processes of their own they have the same sockets; here they stay open for
    those that take the place of one that dies, as meanwhile the kernel must not tell peers that nobody speaks ESP."""

    def __init__(self) -> None:
        self.receivers: list[NativeReceiver] = []
        self.routers: list[AhErrors] = []  # what those say that the receivers don't hear
        self.senders: dict[int, NativeSender] = {}

    @classmethod
    def opened(cls, mark: int, *, needed: bool) -> Self:
        """For both IP versions, but without IPv6 on a machine that has none. Raises KernelError if they are ``needed``
        and can't be had; otherwise there are none then, which is logged."""
        self = cls()
        try:
            self._open(4, mark)
            self._open_ipv6(mark)
        except KernelError as error:
            self.close()
            if needed:
                raise
            log.warning("no-native", reason=str(error))
            return cls()
        return self

    def _open_ipv6(self, mark: int) -> None:
        try:
            self._open(6, mark)
        except KernelError as error:
            if error.errno != errno.EAFNOSUPPORT:
                raise
        else:
            self.routers.append(AhErrors(open_errors(mark)))

    def _open(self, version: int, mark: int) -> None:
        self.senders[version] = NativeSender(open_sending(version, mark))
        for protocol in PROTOCOLS:
            self.receivers.append(NativeReceiver(open_receiving(version, protocol, mark)))

    @property
    def versions(self) -> tuple[int, ...]:
        """The IP versions whose packets come and go natively."""
        return tuple(self.senders)

    def descriptors(self, *, sending: bool) -> tuple[int, ...]:
        """Those of one road, as the message Begin has them."""
        if sending:
            return tuple(sender.fileno() for sender in self.senders.values())
        return (*(each.fileno() for each in self.receivers), *(each.fileno() for each in self.routers))

    def __iter__(self) -> Iterator[NativeReceiver | NativeSender | AhErrors]:
        return chain(self.receivers, self.routers, self.senders.values())

    def unread(self) -> Counter[str]:
        """Packets that came and couldn't be read, by reason."""
        return sum((each.drops for each in self.receivers), Counter())

    def heard(self) -> Counter[str]:
        """Errors about packets that were sent."""
        return sum((each.heard for each in self), Counter())

    def close(self) -> None:
        for each in self:
            each.close()
