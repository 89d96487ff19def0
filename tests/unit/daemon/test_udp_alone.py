"""What is negotiated on a machine without raw sockets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd.daemon.udp_alone import udp_alone
from ipsecd.ike.config import Encapsulation, Hosts, IkeConfig, Peer
from ipsecd.wire.identity import Identity

ONE = Identity.parse("one.example")
PEER = Peer("peer", None, (), ONE, ONE, (), (), ())
HOSTS = Hosts("hosts", None, None, (), (), ())


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        (Encapsulation.AUTO, Encapsulation.UDP),
        (Encapsulation.UDP, Encapsulation.UDP),
        (Encapsulation.NATIVE, Encapsulation.NATIVE),
    ],
)
def test_the_choice_is_made_and_nothing_else_is_changed(said: Encapsulation, counts: Encapsulation) -> None:
    config = IkeConfig((replace(PEER, encapsulation=said),), (replace(HOSTS, encapsulation=said),), natt_port=4_501)
    changed = (replace(PEER, encapsulation=counts),), (replace(HOSTS, encapsulation=counts),)
    assert udp_alone(config) == IkeConfig(*changed, natt_port=4_501, native=False)
