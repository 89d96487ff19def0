"""Rekeying from either side while a ping runs: keys change, and no packet is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.pair import CHILD, IKE, Pair, Terms, pair
from tests.interop.traffic import Ping
from tests.interop.waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.peer]


def spis(both: Pair) -> tuple[set[str], set[str]]:
    """The SPIs of the IKE SAs, and of the children that carry traffic, as strongSwan knows them."""
    ike = {sa["initiator-spi"] for sa in both.theirs.sas()}
    return ike, {child["spi-in"] for child in both.theirs.children()}


@pytest.mark.parametrize("who", ["ours", "theirs"])
@pytest.mark.parametrize("initiator", ["ours", "theirs"])
@pytest.mark.parametrize("esp", ["aes128gcm16-x25519", "aes128gcm16"], ids=["with-pfs", "without-pfs"])
def test_child(tmp_path: Path, esp: str, initiator: str, who: str) -> None:
    with pair(tmp_path, Terms(esp=esp)) as both:
        both.up(initiator)
        ike, child = spis(both)
        with Ping(both.sites, both.near, both.host(both.far), tmp_path / "ping") as ping:
            for _ in range(3):
                _, before = spis(both)
                if who == "ours":
                    both.ours.ctl("rekey", CHILD)
                else:
                    both.theirs.rekey("child")
                eventually(lambda before=before: len(spis(both)[1] - before) == len(spis(both)[1]) == 1, "a new child")
                ping.flows()
        assert ping.gaps == []
        assert spis(both)[0] == ike
        assert spis(both)[1] & child == set()
        assert both.carries()


@pytest.mark.parametrize("who", ["ours", "theirs"])
@pytest.mark.parametrize("initiator", ["ours", "theirs"])
def test_ike(tmp_path: Path, initiator: str, who: str) -> None:
    with pair(tmp_path, Terms()) as both:
        both.up(initiator)
        with Ping(both.sites, both.near, both.host(both.far), tmp_path / "ping") as ping:
            for _ in range(3):
                before, child = spis(both)
                if who == "ours":
                    both.ours.ctl("rekey", IKE)
                else:
                    both.theirs.rekey("ike")
                eventually(lambda before=before: len(spis(both)[0] - before) == len(spis(both)[0]) == 1, "a new IKE SA")
                ping.flows()
                assert spis(both)[1] == child
            both.theirs.rekey("child")  # the child has moved, and lives on under the new IKE SA
            eventually(lambda: len(spis(both)[1] - child) == len(spis(both)[1]) == 1, "a new child")
            ping.flows()
        assert ping.gaps == []
        assert both.carries()


def test_child_by_volume(tmp_path: Path) -> None:
    """Soft limits in packets start the rekey by themselves, over and over."""
    terms = Terms(action={"lifetime": {"packets": 1_000}})
    with pair(tmp_path, terms) as both:
        both.up("ours")
        _, first = spis(both)
        with Ping(both.sites, both.near, both.host(both.far), tmp_path / "ping") as ping:
            eventually(lambda: spis(both)[1].isdisjoint(first), "a child of which nobody asked")
            ping.flows()
        assert ping.gaps == []
