"""A peer that doesn't answer at all is talked to in clear for a while, where the policy says so; and nobody else."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import yaml

from tests.interop.ipsecd import Ipsecd
from tests.interop.waiting import eventually
from tests.netns.capture import Capture, send
from tests.netns.older import as_before_linux_6_9
from tests.netns.packets import udp
from tests.netns.pair import KEY, policy, rule
from tests.netns.places import GA_WAN, GB_WAN, HA, HB, NET_A, NET_B
from tests.netns.sites import Sites

pytestmark = [pytest.mark.root, pytest.mark.parametrize("version", [4, 6])]

OTHER = b"<to the network behind the peer>"
FENCE = b"<uncovered packet>"
DISCOVERY = range(130, 138)  # of IPv6 neighbours and listeners


def files(side: str, version: int, *, lifetime: int = 300, key: str = KEY) -> dict[str, str]:
    """The files of a gateway that talks to its peer in clear if it must, for itself and for the network behind it. What
    gateway a has for the network behind its peer is required to be protected."""
    there, near = {"a": (GB_WAN, NET_A), "b": (GA_WAN, NET_B)}[side]
    own = [{"source": source, "destination": there[version]} for source in ("me", near[version])]
    rules = [rule(side, "peer", outside=version) | {"action": "own", "filters": own}]
    if side == "a":
        others = [{"source": "me", "destination": NET_B[version]}]
        rules.append(rule(side, "others", outside=version) | {"filters": others})
    action = {"action": "negotiate", "fallback_to_clear": {"after": 1, "lifetime": lifetime}}
    return {"policy.yaml": policy(*rules) + yaml.safe_dump({"filter_actions": {"own": action}}), "peer.psk": key}


def answered(sites: Sites, version: int, place: str = "ga", *, size: int = 56, wait: int = 30) -> bool:
    """Whether one ping to the peer is answered."""
    ping = ["ping", "-c", "1", "-s", str(size), "-W", str(wait), GB_WAN[version]]
    return sites.run(place, ping, check=False, timeout=90).returncode == 0


def in_clear(wan: Capture, mark: bytes = b"") -> list[bytes]:
    """What has left but for IKE, ESP in UDP, and what IPv6 needs on a link."""
    wan.read()
    return [seen.packet for seen in wan.seen if seen.outgoing and mark in seen.packet and not _exempt(seen.packet)]


def _exempt(packet: bytes) -> bool:
    protocol, payload = (packet[9], packet[20:]) if packet[0] >> 4 == 4 else (packet[6], packet[40:])
    ports = int.from_bytes(payload[:2], "big"), int.from_bytes(payload[2:4], "big")
    return protocol == 0 or (protocol == 17 and ports[0] in (500, 4500)) or (protocol == 58 and payload[0] in DISCOVERY)


def excepted(sites: Sites, version: int) -> bool:
    """Whether the peer passes the floor now."""
    words = ["nft", "list", "set", "inet", "ipsecd", f"clear_ipv{version}"]
    return GB_WAN[version] in sites.run("ga", words, check=False).stdout


def passed_the_fence(sites: Sites, wan: Capture, version: int) -> None:
    """What was sent before has left, or never will."""
    outside = {4: "198.51.100.9", 6: "2001:db8:9::9"}[version]  # which no rule covers
    send(sites, "ga", udp(GA_WAN[version], outside, FENCE))
    wan.wait_for(FENCE)


@pytest.mark.parametrize(("place", "size"), [("ga", 56), ("ga", 3_000), ("ha", 1_300)])
def test_the_first_packet_waits_and_isnt_lost_and_nothing_else_passes(
    sites: Sites, tmp_path: Path, version: int, place: str, size: int
) -> None:
    source = {"ga": GA_WAN, "ha": HA}[place][version]
    with Ipsecd(sites, "ga", tmp_path / "a", files("a", version)) as daemon, Capture(sites, "ga", "wan0") as wan:
        assert not excepted(sites, version)
        assert answered(sites, version, place, size=size)
        [soft] = daemon.ask("status")["soft_sas"]
        assert (soft["rule"], soft["remote"]) == ("peer", GB_WAN[version])
        assert answered(sites, version, place, size=size)
        status = daemon.ask("status")
        assert status["soft_sa_counts"]["sent"] == status["packets"]["released"] >= 1
        assert "released-unsent" not in status["drops"]
        for target in (HB, {4: "10.2.0.9", 6: "fd02::9"}):
            send(sites, "ga", udp(source, target[version], OTHER))
        send(sites, "gb", udp(HB[version], GA_WAN[version], OTHER))
        passed_the_fence(sites, wan, version)
        assert in_clear(wan, OTHER) == []
        daemon.ctl("unassign")
        send(sites, "ga", udp(source, HB[version], OTHER))
        wan.wait(lambda seen: seen.outgoing and OTHER in seen.packet, "without a policy it leaves")


def test_an_exception_ends_by_itself_when_the_daemon_is_dead(sites: Sites, tmp_path: Path, version: int) -> None:
    with (
        Ipsecd(sites, "ga", tmp_path / "a", files("a", version, lifetime=10)) as daemon,
        Capture(sites, "ga", "wan0") as wan,
    ):
        assert answered(sites, version)
        daemon.stop(signal.SIGKILL)
        assert excepted(sites, version)
        assert answered(sites, version, wait=5)
        eventually(lambda: not excepted(sites, version), "the kernel ends it")
        wan.read()
        wan.seen.clear()
        assert not answered(sites, version, wait=1)
        passed_the_fence(sites, wan, version)
        assert all(FENCE in packet for packet in in_clear(wan))
        sites.run("ga", ["nft", "flush", "ruleset"])
        sites.run("ga", ["ip", f"-{version}", "rule", "flush"])
        sites.run("ga", ["ip", f"-{version}", "rule", "add", "pref", "32766", "lookup", "main"])
        assert answered(sites, version), "without the floor it leaves"


def test_a_peer_that_answers_and_refuses_is_never_talked_to_in_clear_not_after_a_restart_either(
    sites: Sites, tmp_path: Path, version: int
) -> None:
    other = "another key than the one that both sides should have"
    with (
        Ipsecd(sites, "ga", tmp_path / "a", files("a", version)) as daemon,
        Ipsecd(sites, "gb", tmp_path / "b", files("b", version, key=other)) as peer,
        Capture(sites, "ga", "wan0") as wan,
    ):
        assert not answered(sites, version, wait=4)
        assert "authentication failed" in daemon.log()
        peer.ctl("unassign")
        peer.stop(signal.SIGKILL)  # from now on it is silent, and would answer in clear
        daemon.stop(signal.SIGKILL)
        daemon.start()
        assert not answered(sites, version, wait=4)
        assert "isn't talked to in clear: it has answered" in daemon.log()
        assert in_clear(wan) == []
        daemon.stop(signal.SIGKILL)
        (tmp_path / "a/state/heard.json").unlink()
        daemon.start()
        assert answered(sites, version), "who remembers nothing is at the mercy of the peer"
        assert in_clear(wan)


def test_a_peer_that_comes_up_later_is_protected_from_then_on(sites: Sites, tmp_path: Path, version: int) -> None:
    with Ipsecd(sites, "ga", tmp_path / "a", files("a", version)) as daemon, Capture(sites, "ga", "wan0") as wan:
        assert answered(sites, version)
        assert in_clear(wan)
        with Ipsecd(sites, "gb", tmp_path / "b", files("b", version)):
            eventually(daemon.children, "the call that goes on is answered")
            assert "the peer answers" in daemon.log()
            eventually(lambda: not excepted(sites, version), "so nothing passes any more")
            wan.read()
            wan.seen.clear()
            assert answered(sites, version)
            assert in_clear(wan) == []
            assert daemon.ask("status")["soft_sas"] == []


@pytest.mark.parametrize("older", [False, True])
def test_an_exception_is_no_tampering_and_stays_or_comes_back_with_a_floor_that_others_remove(
    sites: Sites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int, older: bool
) -> None:
    if older:
        as_before_linux_6_9(tmp_path, monkeypatch)
    with Ipsecd(sites, "ga", tmp_path / "a", files("a", version)) as daemon:
        assert answered(sites, version)
        assert "put back" not in daemon.log()
        sites.run("ga", ["nft", "flush", "ruleset"])
        if older:
            eventually(lambda: "put back: floor" in daemon.log(), "the floor is put back")
        assert excepted(sites, version)
        daemon.ctl("reload")
        assert excepted(sites, version)
        assert "add element" not in (tmp_path / "a/state/floor.nft").read_text()  # what the next boot begins with
        daemon.stop(signal.SIGTERM)
        assert not excepted(sites, version)
