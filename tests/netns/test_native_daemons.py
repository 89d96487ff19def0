"""Two daemons that agree on packets without UDP, and what else they may be told to agree on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.interop.ipsecd import Ipsecd
from tests.interop.traffic import answers, silent
from tests.interop.waiting import eventually
from tests.interop.wire import Wire
from tests.netns.gateway import others_table
from tests.netns.pair import KEY, policy, rule
from tests.netns.places import GA_WAN, GB_WAN, HA, HB
from tests.netns.sites import Sites

pytestmark = pytest.mark.root

METHODS: dict[str, dict[str, Any]] = {
    "esp": {"esp": {"encryption": "aes128gcm16"}},
    "cbc": {"esp": {"encryption": "aes256", "integrity": "sha256"}},
    "ah": {"ah": {"integrity": "sha256"}},
    "both": {"ah": {"integrity": "sha256"}, "esp": {"encryption": "aes256gcm16"}},
}


def files(method: str, made: dict[str, Any]) -> dict[str, str]:
    action = {"own": {"action": "negotiate", "security_methods": [METHODS[method]]}}
    rules = policy({**made, "action": "own", "encapsulation": "native"})
    return {"policy.yaml": rules + yaml.safe_dump({"filter_actions": action}), "peer.psk": KEY}


def tunnel(side: str, version: int) -> dict[str, Any]:
    return rule(side, outside=version, inside=(4, 6))


def hosts(_side: str, _version: int) -> dict[str, Any]:
    return {"name": "all", "filter_list": "all-ip", "authentication": [{"psk": "peer"}]}


@pytest.mark.parametrize(
    ("method", "version"), [("esp", 4), ("esp", 6), ("cbc", 4), ("ah", 4), ("ah", 6), ("both", 4), ("both", 6)]
)
@pytest.mark.parametrize("made", [tunnel, hosts])
def test_what_they_protect_crosses_the_wire_without_udp(
    sites: Sites, tmp_path: Path, method: str, version: int, made: Any
) -> None:
    with (
        Wire(sites) as wire,
        Ipsecd(sites, "ga", tmp_path / "a", files(method, made("a", version))) as a,
        Ipsecd(sites, "gb", tmp_path / "b", files(method, made("b", version))),
    ):
        if made is tunnel:
            assert answers(sites, "ha", HB[4]) == 3
            assert answers(sites, "hb", HA[6], size=1_200) == 3
        else:
            assert answers(sites, "ga", GB_WAN[version]) == 3
            assert answers(sites, "gb", GA_WAN[version], size=1_200) == 3
        (sa,) = a.ask("sas")["sas"]
        assert sa["encapsulation"] == "native"
        assert {child["mode"] for child in sa["children"]} == {"tunnel" if made is tunnel else "transport"}
    protocol = "ESP" if method in {"esp", "cbc"} else "AH"
    ends = {f"{protocol} {GA_WAN[version]} > {GB_WAN[version]}", f"{protocol} {GB_WAN[version]} > {GA_WAN[version]}"}
    assert set(wire.kinds()) - {"link"} == {"IKE", *ends}


@pytest.mark.parametrize(("method", "protocol", "version"), [("esp", "ESP", 4), ("esp", "ESP", 6), ("ah", "AH", 4)])
def test_a_firewall_that_refuses_the_protocol_is_told_of(
    sites: Sites, tmp_path: Path, method: str, protocol: str, version: int
) -> None:
    said = "icmp type prot-unreachable" if version == 4 else "icmpv6 type admin-prohibited"
    refused = f"meta l4proto {method} reject with {said}"
    with (
        Ipsecd(sites, "ga", tmp_path / "a", files(method, tunnel("a", version))) as a,
        Ipsecd(sites, "gb", tmp_path / "b", files(method, tunnel("b", version))),
    ):
        assert answers(sites, "ha", HB[4]) == 3
        assert "doesn't get to" not in a.log()
        others_table(sites, ("filter hook input priority 0", refused), place="gb")
        assert silent(sites, "ha", HB[4])
        number = {"esp": 50, "ah": 51}[method]
        refuses = f"its host, or a firewall before it, refuses IP protocol {number}"
        told = f"{protocol} doesn't get to {GB_WAN[version]}, says an ICMP error: {refuses}"
        eventually(lambda: f": {told} (encapsulation: udp does" in a.log(), "a line of it")
        assert a.log().count(told) == 1
        (state,) = a.ask("status")["rules"]
        assert state["state"] == "up"
        assert state["last_failure"]["reason"].startswith(told)
