"""IKEv1: renewal of both phases from either side while a ping runs: keys change, and no packet is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.pair import CHILD, IKE
from tests.interop.standing import Scene, Standing
from tests.interop.traffic import Ping
from tests.interop.v1_terms import certified, keyed
from tests.interop.waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.xdist_group("v1")]

BOTH = ("ours", "theirs")
CHILDREN = {"with PFS": keyed(), "without PFS": keyed(esp="aes128-sha256")}
ISAKMP = {"main mode": keyed(), "aggressive mode": keyed(aggressive=True), "certificates": certified()}


def spis(both: Scene) -> tuple[set[str], set[str]]:
    """Those of the ISAKMP SAs, and of the children that carry traffic, as strongSwan knows them."""
    return {sa["initiator-spi"] for sa in both.theirs.sas()}, {child["spi-in"] for child in both.theirs.children()}


def in_use(both: Scene) -> set[str]:
    """The SPIs by which we send."""
    return {child["spi_out"] for child in both.ours.children()}


@pytest.mark.parametrize("who", BOTH)
@pytest.mark.parametrize("initiator", BOTH)
@pytest.mark.parametrize("name", CHILDREN)
def test_a_quick_mode_renews_a_child(v1: Standing, tmp_path: Path, name: str, initiator: str, who: str) -> None:
    with v1.told(CHILDREN[name]) as both:
        both.up(initiator)
        assert both.carries()
        ike, first = spis(both)
        with Ping(both.sites, both.near, both.host(both.far), tmp_path / "ping") as ping:
            for _ in range(3):
                _, before = spis(both)
                if who == "ours":
                    both.ours.ask("rekey", name=CHILD)
                else:
                    both.theirs.rekey("child")
                eventually(lambda before=before: one_new(before, spis(both)[1]), "a new child, and the old one gone")
                eventually(lambda: in_use(both) == spis(both)[1], "by which we send")
                ping.flows()
        assert ping.gaps == []
        assert spis(both)[0] == ike
        assert spis(both)[1] & first == set()
        assert both.carries()


@pytest.mark.parametrize("who", BOTH)
@pytest.mark.parametrize("initiator", BOTH)
@pytest.mark.parametrize("name", ISAKMP)
def test_a_phase_1_renews_an_isakmp_sa(v1: Standing, tmp_path: Path, name: str, initiator: str, who: str) -> None:
    """The one before is left to end by itself, some seconds later."""
    with v1.told(ISAKMP[name]) as both:
        both.up(initiator)
        assert both.carries()
        with Ping(both.sites, both.near, both.host(both.far), tmp_path / "ping") as ping:
            before, _ = spis(both)
            if who == "ours":
                both.ours.ask("rekey", name=IKE)
            else:
                both.theirs.rekey("ike")
            eventually(lambda: spis(both)[0] - before, "a new SA")
            ping.flows()
            _, child = spis(both)
            both.theirs.rekey("child")  # which goes by the new one
            eventually(lambda: one_new(child, spis(both)[1]), "a new child")
            ping.flows()
        assert ping.gaps == []
        assert both.carries()


def test_strongswan_renews_both_by_its_clock(v1: Standing, tmp_path: Path) -> None:
    """Its lifetimes are in seconds; what it takes over of ours when it calls isn't sooner."""
    soon = {"rekey_time": "2s", "life_time": "600s", "rand_time": "0s"}
    later = {"rekey_time": "3s", "over_time": "60s", "rand_time": "0s", "reauth_time": "0s"}
    with v1.told(keyed(child=soon, connection=later)) as both:
        both.up("theirs")
        assert both.carries()
        ike, child = spis(both)
        with Ping(both.sites, both.near, both.host(both.far), tmp_path / "ping") as ping:
            eventually(lambda: spis(both)[0] - ike and spis(both)[1].isdisjoint(child), "all is new")
            ping.flows()
        assert ping.gaps == []


def test_a_child_is_renewed_by_volume(v1: Standing, tmp_path: Path) -> None:
    """Soft limits in packets start a quick mode by themselves."""
    with v1.told(keyed(action={"lifetime": {"packets": 1_000}})) as both:
        both.up("ours")
        assert both.carries()
        _, first = spis(both)
        with Ping(both.sites, both.near, both.host(both.far), tmp_path / "ping") as ping:
            both.sites.run(both.near, ["ping", "-q", "-i", "0.002", "-c", "1000", both.host(both.far)])
            eventually(lambda: spis(both)[1].isdisjoint(first), "a child of which nobody asked")
            ping.flows()
        assert ping.gaps == []


def one_new(before: set[str], now: set[str]) -> bool:
    return len(now) == 1 and now.isdisjoint(before)
