"""One policy takes the place of another under a flood, as seen on the wire: what both protect never leaves in clear and
loses nothing; what one of them protects is in clear under the other alone.

Flows from ha, in the order of their numbers: to hb, protected by both; to hb over IPv6, protected by the first policy
and clear in the second; to gb, clear in the first and protected by the second.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.interop.ipsecd import Ipsecd
from tests.interop.waiting import eventually
from tests.netns.capture import Capture
from tests.netns.flood import Flood, arrived, in_clear
from tests.netns.pair import KEY, files, rule
from tests.netns.places import GB_LAN, HA, HB
from tests.netns.sites import Sites

pytestmark = pytest.mark.root

FLOWS = ((HA[4], HB[4]), (HA[6], HB[6]), (HA[4], GB_LAN[4]))
BOTH, FIRST, SECOND = range(len(FLOWS))  # who protects each
RATHER_MANY = 6  # switches


def protecting(side: str, name: str, *flows: int) -> dict[str, Any]:
    """The rule of one side that protects these flows."""
    ends = [FLOWS[flow] if side == "a" else FLOWS[flow][::-1] for flow in flows]
    filters = [{"source": source, "destination": target} for source, target in ends]
    return {**rule(side, name), "filters": filters}


TWO = {
    "assigned": "first",
    "credentials": {"peer": {"psk": {"file": "peer.psk"}}},
    "policies": {
        "first": {"rules": [protecting("a", "site", BOTH), protecting("a", "six", FIRST)]},
        "second": {"rules": [protecting("a", "gateway", SECOND), protecting("a", "office", BOTH)]},
    },
}


@dataclass
class Flooded:
    """A daemon that switches in ga, and what is seen of the flood."""

    a: Ipsecd
    wan: Capture
    far: Capture

    def clear(self) -> list[set[int]]:
        """The numbers of each flow that have left ga in clear so far."""
        return by_flow(in_clear(self.wan))

    def goes(self, flow: int, *, clear: bool) -> None:
        """Wait until more of a flow has come, in clear or not."""
        seen = self.clear if clear else lambda: by_flow(arrived(self.far))
        before = len(seen()[flow])
        eventually(lambda: len(seen()[flow]) >= before + 20, f"flow {flow} goes on")

    def sa(self) -> tuple[str, str]:
        """The child SA of what both protect: its name, and the SPI it sends by."""
        (child,) = [child for child in self.a.children() if child["remote"] == [HB[4]]]
        return child["name"], child["spi_out"]


def by_flow(numbers: list[str]) -> list[set[int]]:
    found = [int(number.removeprefix("ha")) for number in numbers]
    return [{number for number in found if number % len(FLOWS) == flow} for flow in range(len(FLOWS))]


@contextmanager
def flooded(sites: Sites, folder: Path) -> Iterator[Flooded]:
    of_a = {"policy.yaml": yaml.safe_dump(TWO, sort_keys=False), "peer.psk": KEY}
    of_b = files(protecting("b", "all", BOTH, FIRST, SECOND))
    with (
        Ipsecd(sites, "ga", folder / "a", of_a) as a,
        Ipsecd(sites, "gb", folder / "b", of_b),
        Capture(sites, "ga", "wan0") as wan,
        Capture(sites, "hb", "eth0") as far,
        Flood(sites, "ha", *FLOWS, gap=0.003),
    ):
        yield Flooded(a, wan, far)


def test_what_both_policies_protect_loses_no_packet_and_what_one_protects_is_clear_under_the_other_alone(
    sites: Sites, tmp_path: Path
) -> None:
    with flooded(sites, tmp_path) as world:
        world.goes(BOTH, clear=False)
        name, spi = world.sa()
        assert name == "site/1"
        first = max(by_flow(arrived(world.far))[BOTH])
        for _ in range(RATHER_MANY):
            before = world.clear()
            world.goes(SECOND, clear=True)
            assert world.clear()[FIRST] == before[FIRST], "the first policy protects it"
            world.a.ctl("assign", "second")
            assert world.sa() == ("office/1", spi)
            before = world.clear()
            world.goes(FIRST, clear=True)
            assert world.clear()[SECOND] == before[SECOND], "the second policy protects it"
            world.a.ctl("assign", "first")
            assert world.sa() == ("site/1", spi)
        world.goes(BOTH, clear=False)
        numbers = {number for number in by_flow(arrived(world.far))[BOTH] if number > first}
        assert numbers == set(range(first + len(FLOWS), max(numbers) + 1, len(FLOWS))), "none is lost"
        assert world.clear()[BOTH] == set()


def test_unassign_and_assign_are_seen_on_the_wire_and_outlast_the_daemon(sites: Sites, tmp_path: Path) -> None:
    with flooded(sites, tmp_path) as world:
        world.goes(BOTH, clear=False)
        world.a.ctl("assign", "second")
        assert world.clear()[BOTH] == set()
        world.a.ctl("unassign")
        world.goes(BOTH, clear=True)
        world.a.stop(signal.SIGKILL)
        world.a.start()
        assert world.a.ctl("status")["assigned"] == {"policy": None, "by": "ipsecctl", "file_says": "first"}
        world.goes(BOTH, clear=True)
        world.a.ctl("assign", "second")
        before = world.clear()
        world.goes(FIRST, clear=True)
        world.a.stop(signal.SIGKILL)
        world.goes(FIRST, clear=True)
        world.a.start()
        assert world.a.ctl("status")["policy"] == "second"
        world.goes(BOTH, clear=False)
        assert [world.clear()[flow] - before[flow] for flow in (BOTH, SECOND)] == [set(), set()]
