"""The IKE SAs there are, found without a walk over all: a packet that asks for an SA asks for few of them, and there
may be thousands."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Generic, TypeVar

from ipsecd.ike.stage import Stage

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa

_Value = TypeVar("_Value")


class IkeTable(dict[bytes, "IkeSa"]):
    """By our own SPI. Only ``enter`` and ``leave`` change it."""

    def __init__(self) -> None:
        super().__init__()
        self._names: dict[IkeSa, frozenset[str]] = {}  # under which each stands in the next one
        self._of_peer: dict[str, dict[IkeSa, None]] = {}
        self._calls: set[IkeSa] = set()

    def enter(self, sa: IkeSa) -> None:
        """In the place of the one with its SPI, if there is one."""
        self._take_out(self.get(sa.spi))
        self[sa.spi] = sa
        self.file(sa)

    def leave(self, sa: IkeSa) -> None:
        """If it is still there."""
        if self.get(sa.spi) is sa:
            self._take_out(sa)
            del self[sa.spi]

    def of_peer(self, name: str) -> Collection[IkeSa]:
        """Those whose credential has opened the peer of this name, or that are to be with it."""
        return self._of_peer.get(name, {}).keys()

    def calls(self) -> int:
        """How many are calls to hosts after a pattern, and not established yet."""
        return len(self._calls)

    def file(self, sa: IkeSa) -> None:
        """Its peers or its stage are others than before."""
        if self.get(sa.spi) is not sa:
            return
        self._take_out(sa)
        self._names[sa] = frozenset(peer.name for peer in sa.peers)
        for name in self._names[sa]:
            self._of_peer.setdefault(name, {})[sa] = None
        if sa.stage is Stage.CONNECTING and any(peer.pattern for peer in sa.peers):
            self._calls.add(sa)

    def _take_out(self, sa: IkeSa | None) -> None:
        if sa is None:
            return
        self._calls.discard(sa)
        for name in self._names.pop(sa, ()):
            del self._of_peer[name][sa]
            if not self._of_peer[name]:
                del self._of_peer[name]


class Filed(Generic[_Value]):
    """An attribute of an IKE SA that the table finds it by."""

    def __set_name__(self, owner: type[IkeSa], name: str) -> None:
        self._name = f"_{name}"

    def __get__(self, sa: IkeSa, owner: type[IkeSa]) -> _Value:
        value: _Value = getattr(sa, self._name)
        return value

    def __set__(self, sa: IkeSa, value: _Value) -> None:
        setattr(sa, self._name, value)
        sa.core.ikes.file(sa)
