"""Addresses that a gateway lends stand on the TUN, packets to what lies behind it have them, and nothing is left."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from ipsecd.io.lent import Lent
from ipsecd.policy.plan import Action
from tests.netns.gateway import Gateway, between_sites
from tests.netns.sites import Sites
from tests.netns.test_kernel_state import eventually, kernel

pytestmark = pytest.mark.root

PLAN = between_sites(Action.PROTECT)
ONE, SIX = ip_address("10.3.0.7"), ip_address("2001:db8:3::7")
BEHIND = {(ip_network("10.77.0.0/16"), ONE), (ip_network("2001:db8:77::/48"), SIX)}
BOTH = Lent(frozenset({ONE, SIX}), frozenset(BEHIND))


def source(sites: Sites, destination: str) -> str:
    """The address that a program in ga would send from, and by which interface."""
    words = sites.run("ga", ["ip", "route", "get", destination]).stdout.split()
    return f"{words[words.index('src') + 1]} by {words[words.index('dev') + 1]}"


def test_lent_addresses_come_with_the_routes_that_use_them_and_go_without_a_trace(sites: Sites, tmp_path: Path) -> None:
    with Gateway(sites, tmp_path, PLAN) as gateway:
        before = kernel(sites)
        gateway.do(gateway.state.lend(BOTH))
        shown = sites.run("ga", ["ip", "-o", "addr", "show", "dev", "ipsecd0"]).stdout
        assert ["inet 10.3.0.7/32" in shown, "inet6 2001:db8:3::7/128" in shown, "tentative" in shown] == [
            True,
            True,
            False,
        ]
        assert source(sites, "10.77.1.1") == "10.3.0.7 by ipsecd0"
        assert source(sites, "2001:db8:77::1") == "2001:db8:3::7 by ipsecd0"
        assert gateway.do(gateway.state.restore()) == ()
        gateway.do(gateway.state.lend(Lent(frozenset({ONE}))))
        assert "ipsecd0" not in source(sites, "10.77.1.1")
        gateway.do(gateway.state.lend(Lent()))
        assert kernel(sites) == before


def test_another_tun_has_them_again_and_what_somebody_removes_is_put_back(sites: Sites, tmp_path: Path) -> None:
    with Gateway(sites, tmp_path, PLAN) as gateway:
        gateway.do(gateway.state.lend(BOTH))
        whole = kernel(sites)
        gateway.keep()
        gateway.call(gateway.keeper.tun_lost)
        eventually(lambda: len(gateway.new_tuns) == 1, "nobody made another")
        eventually(lambda: source(sites, "10.77.1.1") == "10.3.0.7 by ipsecd0", "it has no addresses")
        eventually(lambda: kernel(sites)["6 route show table all"] == whole["6 route show table all"], "routes differ")
        sites.run("ga", ["ip", "route", "del", "10.77.0.0/16"])
        eventually(lambda: gateway.do(gateway.state.restore()) in (("address",), ()), "never came to rest")
        assert source(sites, "10.77.1.1") == "10.3.0.7 by ipsecd0"


def test_they_end_with_the_process(sites: Sites, tmp_path: Path) -> None:
    with Gateway(sites, tmp_path, PLAN) as gateway:
        gateway.do(gateway.state.lend(BOTH))
    left = str(kernel(sites))
    assert [text for text in ("10.3.0.7", "10.77.0.0", "2001:db8:3::7", "2001:db8:77::") if text in left] == []
