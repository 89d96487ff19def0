"""What two ipsecd negotiate that isn't ESP in UDP in tunnel mode, with real packets: AH, ESP inside of AH, native
packets, and transport mode with each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.interop.ipsecd import Ipsecd
from tests.interop.traffic import answers
from tests.interop.waiting import eventually
from tests.interop.wire import IN_UDP, Wire
from tests.netns.pair import KEY, policy
from tests.netns.places import GA_WAN, GB_WAN, HA, HB, NET_A, NET_B
from tests.netns.sites import Sites
from tests.netns.test_hosts import SAID, heard_by_tcp

pytestmark = pytest.mark.root

AH = {"ah": {"integrity": "sha256"}}
GMAC = {"ah": {"integrity": "aes128gmac"}}
ESP = {"esp": {"encryption": "aes128gcm16"}}
FORMS = {  # method, encapsulation, IP version, what crosses the wire
    "AH in UDP": (AH, "auto", 4, "AH in UDP", "ah-sha256-esn"),
    "AH alone": (GMAC, "native", 6, "AH", "ah-aes128gmac-esn"),
    "ESP inside of AH in UDP": (AH | ESP, "auto", 6, "AH in UDP", "ah-sha256-esn+aes128gcm16-esn"),
    "ESP inside of AH": (AH | ESP, "native", 4, "AH", "ah-sha256-esn+aes128gcm16-esn"),
    "ESP alone": (ESP, "native", 4, "ESP", "aes128gcm16-esn"),
}
each_form = pytest.mark.parametrize(
    ("method", "encapsulation", "version", "crosses", "suite"), FORMS.values(), ids=FORMS.keys()
)


def files(method: dict[str, Any], **rule: object) -> dict[str, str]:
    own = {"own": {"action": "negotiate", "security_methods": [method]}}
    said = policy({"name": "r", "action": "own", "authentication": [{"psk": "peer"}], **rule})
    return {"policy.yaml": said + yaml.safe_dump({"filter_actions": own}), "peer.psk": KEY}


def holds(wire: Wire, crosses: str) -> None:
    """Nothing but this and IKE has crossed the wire."""
    native = "" if crosses == "AH in UDP" else crosses
    protected = {what if what in IN_UDP else what.partition(" ")[0] for what in wire.kinds()} & {*IN_UDP, "AH", "ESP"}
    assert (protected, wire.cleartext(native)) == ({crosses}, {})


@each_form
def test_two_hosts_have_it_in_transport_mode(
    sites: Sites,
    tmp_path: Path,
    method: dict[str, Any],
    encapsulation: str,
    version: int,
    crosses: str,
    suite: str,
) -> None:
    here, there = GA_WAN[version], GB_WAN[version]
    said = files(method, filter_list="all-ip", encapsulation=encapsulation)
    with (
        Wire(sites) as wire,
        Ipsecd(sites, "ga", tmp_path / "a", said) as a,
        Ipsecd(sites, "gb", tmp_path / "b", said),
    ):
        assert answers(sites, "ga", there) == 3
        assert [(sa["suite"], sa["mode"]) for sa in a.children()] == [(suite, "transport")]
        assert answers(sites, "gb", here, size=4_000) == 3
        assert heard_by_tcp(sites, "ga", "gb", there) == SAID
        (before,) = (sa["spi_in"] for sa in a.children())
        a.ctl("rekey", a.children()[0]["name"])
        eventually(lambda: [sa["spi_in"] for sa in a.children()] not in ([before], []), "a successor")
        assert answers(sites, "ga", there) == 3
    holds(wire, crosses)


@each_form
def test_two_gateways_have_it_in_tunnel_mode(
    sites: Sites,
    tmp_path: Path,
    method: dict[str, Any],
    encapsulation: str,
    version: int,
    crosses: str,
    suite: str,
) -> None:
    ends = GA_WAN[version], GB_WAN[version]

    def side(local: str, remote: str, near: str, far: str) -> dict[str, str]:
        tunnel = {"local": local, "remote": remote}
        filters = [{"source": near, "destination": far}]
        return files(method, filters=filters, tunnel=tunnel, encapsulation=encapsulation)

    with (
        Wire(sites) as wire,
        Ipsecd(sites, "ga", tmp_path / "a", side(*ends, NET_A[4], NET_B[4])) as a,
        Ipsecd(sites, "gb", tmp_path / "b", side(*ends[::-1], NET_B[4], NET_A[4])),
    ):
        assert answers(sites, "ha", HB[4]) == 3
        assert [(sa["suite"], sa["mode"]) for sa in a.children()] == [(suite, "tunnel")]
        assert answers(sites, "hb", HA[4], size=4_000) == 3
        assert heard_by_tcp(sites, "ha", "hb", HB[4]) == SAID
    holds(wire, crosses)
