"""Peers that refuse, and datagrams that are held back."""

from __future__ import annotations

import pytest

from ipsecd.errors import Refused
from ipsecd.ike import dispatch
from ipsecd.ike.config import Path
from ipsecd.ike.exchange import Row
from ipsecd.ike.sa import IkeSa
from ipsecd.wire.payloads import AnyPayload
from ipsecd.wire.registry import Exchange, NotifyType
from tests.exchange.gateways import Pair
from tests.exchange.network import Datagram, Node


class Refusing:
    """While ``notify`` is set, a gateway answers every CREATE_CHILD_SA with it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, node: Node, notify: NotifyType | None) -> None:
        self.notify = notify
        self.refused = 0
        row = dispatch._row

        def refuse(
            sa: IkeSa, exchange: Exchange, payloads: tuple[AnyPayload, ...], path: Path
        ) -> tuple[Row, dispatch._Handler]:
            if self.notify is not None and sa.core is node.ike._core and exchange == Exchange.CREATE_CHILD_SA:
                self.refused += 1
                raise Refused("no-proposal-chosen", notify=self.notify)
            return row(sa, exchange, payloads, path)

        monkeypatch.setattr(dispatch, "_row", refuse)


def hold_back(pair: Pair, node: Node) -> list[Datagram]:
    """The next datagram of a node doesn't arrive, but can be injected later."""
    held: list[Datagram] = []

    def hook(datagram: Datagram) -> Datagram | None:
        if str(datagram.source.address) != node.address or held:
            return datagram
        held.append(datagram)
        return None

    pair.net.hook = hook
    return held
