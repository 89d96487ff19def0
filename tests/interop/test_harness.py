"""The harness itself: strongSwan talks to strongSwan, and what crosses the wire is seen for what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.strongswan import StrongSwan, Tunnel
from tests.interop.traffic import Ping, answers
from tests.interop.waiting import eventually
from tests.interop.wire import Wire
from tests.netns.sites import Sites

pytestmark = [pytest.mark.root, pytest.mark.peer]

SIDE_A = Tunnel(
    local="192.0.2.1",
    remote="192.0.2.2",
    local_id="a.example",
    remote_id="b.example",
    psk="a key of both",
    local_ts=("10.1.0.0/24",),
    remote_ts=("10.2.0.0/24",),
)
SIDE_B = Tunnel(
    local="192.0.2.2",
    remote="192.0.2.1",
    local_id="b.example",
    remote_id="a.example",
    psk="a key of both",
    local_ts=("10.2.0.0/24",),
    remote_ts=("10.1.0.0/24",),
)


def test_two_strongswans_reach_each_other_and_rekey_without_losing_a_packet(tmp_path: Path) -> None:
    with (
        Sites() as sites,
        StrongSwan(sites, "ga", tmp_path / "a", SIDE_A) as one,
        StrongSwan(sites, "gb", tmp_path / "b", SIDE_B) as two,
        Wire(sites) as wire,
    ):
        one.initiate()
        with Ping(sites, "ha", "10.2.0.2", tmp_path / "ping") as ping:
            (before,) = one.children()
            one.rekey("child")
            eventually(lambda: [c["spi-in"] for c in one.children()] not in ([], [before["spi-in"]]), "a new child")
            ping.flows()
        assert ping.gaps == []
        assert len(two.sas()) == 1
    assert wire.cleartext() == {}
    assert wire.kinds()["ESP in UDP"] > 20


def test_cleartext_on_the_wire_is_seen() -> None:
    with Sites() as sites, Wire(sites) as wire:
        assert answers(sites, "ha", "10.2.0.2") == 3
    assert wire.cleartext() == {"ICMP 10.1.0.2 > 10.2.0.2": 3, "ICMP 10.2.0.2 > 10.1.0.2": 3}
