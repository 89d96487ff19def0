"""Rules without a tunnel, from end to end: two hosts that protect all they send each other, and one that can't."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import yaml

from tests.interop.ipsecd import Ipsecd
from tests.interop.traffic import PATIENCE, SILENCE, answers, silent
from tests.interop.wire import Wire
from tests.netns.pair import KEY, policy
from tests.netns.places import GA_LAN, GA_WAN, GB_LAN, GB_WAN, HA, HB, NET_A, NET_B
from tests.netns.sites import Sites

pytestmark = [pytest.mark.root, pytest.mark.parametrize("version", [4, 6])]

PREDEFINED = Path(__file__).parents[2] / "etc/predefined.yaml"
SAID = b"<said by TCP> " * 5_000


def files(action: str = "require-security", *filters: dict[str, str]) -> dict[str, str]:
    """The files of a host that has this for what these filters cover, or else for all its traffic, with all hosts.
    ``falls-back`` is require-security with fallback to clear."""
    falls_back = {"falls-back": {"action": "negotiate", "fallback_to_clear": {"after": 1}}}
    traffic = {"filters": list(filters)} if filters else {"filter_list": "all-ip"}
    rule = {"name": "all", **traffic, "action": action, "authentication": [{"psk": "peer"}]}
    return {"policy.yaml": policy(rule) + yaml.safe_dump({"filter_actions": falls_back}), "peer.psk": KEY}


def heard_by_tcp(sites: Sites, caller: str, place: str, address: str, *, patience: float = PATIENCE) -> bytes:
    """What a place hears at an address of its own when the caller says something; nothing if they don't connect."""
    at, family = (address, 7_000), socket.AF_INET6 if ":" in address else socket.AF_INET
    with sites.inside(place, lambda: socket.create_server(at, family=family)) as server:
        try:
            with sites.inside(caller, lambda: socket.create_connection(at, timeout=patience)) as client:
                client.sendall(SAID)
        except TimeoutError:
            return b""
        server.settimeout(PATIENCE)
        connection, _ = server.accept()
        with connection:
            return b"".join(iter(lambda: connection.recv(65_536), b""))


def selectors(daemon: Ipsecd) -> set[tuple[str, str]]:
    """Those of the child SAs that are up."""
    return {(local, remote) for sa in daemon.children() for local in sa["local"] for remote in sa["remote"]}


def test_hosts_that_require_security_of_everybody_protect_all_they_send_each_other(
    sites: Sites, tmp_path: Path, version: int
) -> None:
    here, there = GA_WAN[version], GB_WAN[version]
    with (
        Wire(sites) as wire,
        Ipsecd(sites, "ga", tmp_path / "a", files()) as a,
        Ipsecd(sites, "gb", tmp_path / "b", files()) as b,
    ):
        assert answers(sites, "ga", there) == 3
        assert answers(sites, "gb", here) == 3
        assert heard_by_tcp(sites, "ga", "gb", there) == SAID
        assert (selectors(a), selectors(b)) == ({(here, there)}, {(there, here)})
    assert wire.cleartext() == {}
    assert wire.kinds()["ESP in UDP"] > 20


def test_a_host_without_ipsec_is_talked_to_in_clear_and_those_beside_it_are_not(
    sites: Sites, tmp_path: Path, version: int
) -> None:
    here, there, bare = GA_WAN[version], GB_WAN[version], HB[version]
    with (
        Wire(sites) as wire,
        Ipsecd(sites, "ga", tmp_path / "a", files("falls-back")) as a,
        Ipsecd(sites, "gb", tmp_path / "b", files()),
    ):
        assert answers(sites, "ga", bare) == 3
        assert [soft["remote"] for soft in a.ask("status")["soft_sas"]] == [bare]
        assert answers(sites, "ga", there) == 3
        assert heard_by_tcp(sites, "ga", "gb", there) == SAID
        assert answers(sites, "ga", bare) == 3
        assert selectors(a) == {(here, there)}
    name = {4: "ICMP", 6: "ICMPv6"}[version]
    assert set(wire.cleartext()) == {f"{name} {here} > {bare}", f"{name} {bare} > {here}"}


def test_without_a_key_in_common_nothing_passes_and_nobody_is_talked_to_in_clear(
    sites: Sites, tmp_path: Path, version: int
) -> None:
    other = files() | {"peer.psk": "another key than the one that both hosts should have"}
    with (
        Wire(sites) as wire,
        Ipsecd(sites, "ga", tmp_path / "a", files("falls-back")) as a,
        Ipsecd(sites, "gb", tmp_path / "b", other),
    ):
        assert answers(sites, "ga", GB_WAN[version], patience=4) == 0
        assert a.ask("status")["soft_sas"] == []
    assert wire.cleartext() == {}
    assert wire.kinds()["IKE"] > 0


def test_what_is_forwarded_is_dropped_also_to_a_host_that_is_talked_to_in_clear(
    sites: Sites, tmp_path: Path, version: int
) -> None:
    """The far site has no IPsec, and the rule covers what any host of the near one sends it."""
    covered = {"source": NET_A[version], "destination": NET_B[version]}
    with Wire(sites) as wire, Ipsecd(sites, "ga", tmp_path / "a", files("falls-back", covered)) as a:
        assert silent(sites, "ha", HB[version])
        assert wire.kinds()["IKE"] == 0
        sites.run("ga", ["ping", "-c", "1", "-W", "30", "-I", GA_LAN[version], HB[version]])
        assert [soft["remote"] for soft in a.ask("status")["soft_sas"]] == [HB[version]]
        assert silent(sites, "ha", HB[version])
        assert silent(sites, "hb", HA[version])
        hops = {f"{GA_LAN[version]} > {HB[version]}", f"{HB[version]} > {GA_LAN[version]}"}
        assert {what.partition(" ")[2] for what in wire.cleartext()} == hops | {f"{HB[version]} > {HA[version]}"}
        a.ctl("unassign")
        assert answers(sites, "ha", HB[version]) == 3, "without a policy it passes"


def predefined(name: str) -> dict[str, str]:
    """The files of a host that has this one of the predefined policies."""
    return {"policy.yaml": f"assigned: {name}\n{PREDEFINED.read_text()}", "secrets/hosts.psk": KEY}


def test_the_predefined_servers_protect_all_but_icmp_and_the_secure_one_takes_in_nothing_else(
    sites: Sites, tmp_path: Path, version: int
) -> None:
    with (
        Wire(sites) as wire,
        Ipsecd(sites, "ga", tmp_path / "a", predefined("server-request-security")) as request,
        Ipsecd(sites, "gb", tmp_path / "b", predefined("secure-server-require-security")),
    ):
        assert (
            heard_by_tcp(sites, "ga", "gb", GB_WAN[version]) == heard_by_tcp(sites, "gb", "ga", GA_WAN[version]) == SAID
        )
        assert answers(sites, "ga", GB_WAN[version]) == answers(sites, "hb", GB_LAN[version]) == 3
        assert request.ask("status")["soft_sas"] == []
        assert "TCP" not in {what.partition(" ")[0] for what in wire.cleartext()}
        assert heard_by_tcp(sites, "hb", "gb", GB_LAN[version], patience=SILENCE) == b""
        assert heard_by_tcp(sites, "hb", "ga", GA_WAN[version]) == SAID, "who never answers IKE is talked to in clear"
        assert [soft["remote"] for soft in request.ask("status")["soft_sas"]] == [HB[version]]


def test_a_client_that_only_responds_reaches_a_secure_server_once_that_has_called(
    sites: Sites, tmp_path: Path, version: int
) -> None:
    client, server = GA_WAN[version], GB_WAN[version]
    with (
        Ipsecd(sites, "ga", tmp_path / "a", predefined("client-respond-only")),
        Ipsecd(sites, "gb", tmp_path / "b", predefined("secure-server-require-security")),
    ):
        assert heard_by_tcp(sites, "ga", "gb", server, patience=SILENCE) == b""
        with Wire(sites) as wire:
            assert heard_by_tcp(sites, "gb", "ga", client) == heard_by_tcp(sites, "ga", "gb", server) == SAID
            assert heard_by_tcp(sites, "ha", "ga", GA_LAN[version]) == SAID
        assert wire.cleartext() == {}
