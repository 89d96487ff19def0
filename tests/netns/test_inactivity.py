"""SAs that nothing goes by for a while end on both sides, and come back with a packet."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.interop.traffic import Ping, answers
from tests.interop.waiting import eventually
from tests.netns.pair import KEY, files, pair, policy, rule
from tests.netns.places import HB
from tests.netns.sites import Sites

pytestmark = pytest.mark.root

MOST = 5  # seconds


@pytest.mark.parametrize("version", ["ikev2", "ikev1"])
def test_sas_end_when_traffic_stops_and_come_back_with_a_packet(sites: Sites, tmp_path: Path, version: str) -> None:
    alone = {"key_exchange": {"versions": [version]}}
    action = {"own": {"action": "negotiate", "inactivity": MOST}}
    rests = policy({**rule("a"), "action": "own"}, **alone) + yaml.safe_dump({"filter_actions": action})
    ours, theirs = {"policy.yaml": rests, "peer.psk": KEY}, files(rule("b"), **alone)
    with pair(sites, tmp_path, ours, theirs) as both:
        assert answers(sites, "ha", HB[4]) == 3
        (before,) = both.a.children()
        with Ping(sites, "ha", HB[4], tmp_path / "ping.log") as ping:
            eventually(lambda: both.a.children()[0]["age"] > 2 * MOST, "it's used for longer")
            (child,) = both.a.children()
            assert child["spi_in"] == before["spi_in"]
        assert ping.gaps == []
        eventually(lambda: not both.a.children() and not both.b.children(), "nothing goes by it, and it ends")
        assert "child SA closed, as nothing went by it" in both.a.log()
        assert len(both.b.ask("sas")["sas"]) == 1  # that of IKE
        assert answers(sites, "ha", HB[4]) == 3
        (after,) = both.a.children()
        assert after["spi_in"] != before["spi_in"]
