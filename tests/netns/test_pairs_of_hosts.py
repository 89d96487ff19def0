"""Two hosts with a rule without a tunnel: what their own addresses are, and become, they protect pair by pair."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.traffic import answers, silent
from tests.interop.waiting import eventually
from tests.netns.pair import Pair, files, pair
from tests.netns.places import GA_WAN, GB_WAN
from tests.netns.sites import Sites

pytestmark = [pytest.mark.root, pytest.mark.parametrize("version", [4, 6])]

MORE = {4: ("192.0.2.17/24", "192.0.2.17"), 6: ("2001:db8::17/64", "2001:db8::17")}  # what ga has from then on
WAN = {4: "192.0.2.0/24", 6: "2001:db8::/64"}


def rule(version: int) -> dict[str, object]:
    """The same at both."""
    filters = [{"source": "me", "destination": WAN[version]}]
    return {"name": "lan", "filters": filters, "action": "require-security", "authentication": [{"psk": "peer"}]}


def up(hosts: Pair) -> dict[str, str]:
    """Of ga's child SAs: the SPI that comes in, by name."""
    return {child["name"]: child["spi_in"] for child in hosts.a.children() if child["stage"] == "up"}


def test_each_address_has_sas_of_its_own_as_long_as_it_is_there(sites: Sites, tmp_path: Path, version: int) -> None:
    there, (prefix, more) = GB_WAN[version], MORE[version]
    of_first, of_more = f"lan/1@{there},{GA_WAN[version]}", f"lan/1@{there},{more}"  # ga has others behind it, too
    both = files(rule(version))
    with pair(sites, tmp_path, both, both) as hosts:
        assert answers(sites, "ga", there) == 3
        before = up(hosts)
        assert list(before) == [of_first]
        sites.run("ga", ["ip", "address", "add", prefix, "dev", "wan0", "nodad"])
        eventually(lambda: more in str(hosts.a.ask("policy")["peers"]), "the new address is known")
        assert up(hosts) == before
        ping = sites.run("ga", ["ping", "-n", "-c", "1", "-W", "30", "-I", more, there])
        assert "1 received" in ping.stdout
        assert up(hosts).keys() == {of_first, of_more}
        assert answers(sites, "gb", more) == 3
        assert answers(sites, "gb", GA_WAN[version]) == 3
        sites.run("ga", ["ip", "address", "del", prefix, "dev", "wan0"])
        eventually(lambda: up(hosts) == before, "what belongs to the address goes with it")
        assert answers(sites, "ga", there) == 3


def test_a_host_is_put_down_and_brought_up_by_its_name(sites: Sites, tmp_path: Path, version: int) -> None:
    there = GB_WAN[version]
    both = files(rule(version))
    with pair(sites, tmp_path, both, both) as hosts:
        hosts.a.ctl("up", f"lan@{there}", "--wait", "30")
        hosts.a.ctl("down", f"lan@{there}")
        assert silent(sites, "ga", there)
        hosts.a.ctl("up", f"lan@{there}", "--wait", "30")
        assert answers(sites, "ga", there) == 3
