"""A host with nothing but the default response: in clear as its rules have it, until another one asks for security."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.interop.ipsecd import Ipsecd
from tests.interop.waiting import eventually
from tests.netns.capture import Capture, inject, send
from tests.netns.packets import ping, udp
from tests.netns.pair import KEY
from tests.netns.places import GA_WAN, GB_WAN
from tests.netns.sites import Sites

pytestmark = pytest.mark.root

AUTHENTICATION = [{"psk": "peer"}]
ELSEWHERE = {4: "198.51.100.9", 6: "2001:db8:9::9"}
DISCOVERY = range(130, 138)  # of IPv6 neighbours and listeners


@pytest.fixture
def sites() -> Iterator[Sites]:
    """ga and gb are hosts, and no routers: these send redirects and errors about what isn't for them, and that would be
    the first packet for which gb asks for security."""
    with Sites() as built:
        for place in ("ga", "gb"):
            built.sysctl(place, "ipv4/ip_forward", 0)
            built.sysctl(place, "ipv6/conf/all/forwarding", 0)
        yield built


def files(*rules: object, **more: object) -> dict[str, str]:
    policy = {
        "assigned": "p",
        "credentials": {"peer": {"psk": {"file": "peer.psk"}}},
        "policies": {"p": {"key_exchange": {"dpd": 1}, "rules": list(rules), **more}},
    }
    return {"policy.yaml": yaml.safe_dump(policy), "peer.psk": KEY}


def client(*rules: object) -> dict[str, str]:
    """Of ga, which asks nobody."""
    return files(*rules, default_response={"authentication": AUTHENTICATION})


def server(version: int, **more: object) -> dict[str, str]:
    """Of gb, which requires security of ga."""
    filters = [{"source": "me", "destination": GA_WAN[version], **more}]
    return files({"name": "secure", "filters": filters, "action": "require-security", "authentication": AUTHENTICATION})


def answered(sites: Sites, place: str, target: str, *, wait: int = 30) -> bool:
    """Whether one ping is answered."""
    return sites.run(place, ["ping", "-c", "1", "-W", str(wait), target], check=False, timeout=90).returncode == 0


def in_clear(wan: Capture) -> list[bytes]:
    """What has crossed the wire but for IKE, ESP in UDP, and what IPv6 needs on a link."""
    wan.read()
    return [seen.packet for seen in wan.seen if not _exempt(seen.packet)]


def _exempt(packet: bytes) -> bool:
    protocol, payload = (packet[9], packet[20:]) if packet[0] >> 4 == 4 else (packet[6], packet[40:])
    ports = int.from_bytes(payload[:2], "big"), int.from_bytes(payload[2:4], "big")
    return protocol == 0 or (protocol == 17 and ports[0] in (500, 4500)) or (protocol == 58 and payload[0] in DISCOVERY)


def outgoing(wan: Capture, mark: bytes) -> list[bytes]:
    """What has left in clear with this mark."""
    return [packet for packet in in_clear(wan) if mark in packet]


def passes(sites: Sites, wan: Capture, source: str, target: str, mark: bytes, *ports: int) -> bool:
    """Whether a UDP packet of ga leaves in clear, between these ports."""
    fence = b"<fence, " + mark[1:]
    with contextlib.suppress(OSError):  # which is what the sender hears of a floor that drops
        send(sites, "ga", udp(source, target, mark, *ports))
    send(sites, "ga", udp(source, ELSEWHERE[4 if "." in source else 6], fence))  # which nobody asks for
    wan.wait_for(fence)
    return bool(outgoing(wan, mark))


def replies(sites: Sites, wan: Capture, version: int, mark: bytes) -> bool:
    """Whether ga answers in clear what comes in clear from gb, as if gb had no policy."""
    fence = b"<fence, " + mark[1:]
    here, there = GA_WAN[version], GB_WAN[version]
    inject(sites, "gb", "wan0", sites.mac("ga", "wan0"), ping(there, here, mark))
    inject(sites, "gb", "wan0", sites.mac("ga", "wan0"), ping(ELSEWHERE[version], here, fence))
    wan.wait(lambda seen: seen.outgoing and fence in seen.packet, "the answer to somebody else")
    wan.read()
    return any(seen.outgoing and mark in seen.packet for seen in wan.seen)


def protects(daemon: Ipsecd) -> bool:
    """Whether the floor has something of a host that has asked."""
    return any(entry["rule"] == "default-response" for entry in daemon.ask("policy")["entries"])


@pytest.mark.parametrize("version", [4, 6])
def test_in_clear_until_a_host_asks_and_then_in_esp_alone_both_ways(sites: Sites, tmp_path: Path, version: int) -> None:
    a, b = GA_WAN[version], GB_WAN[version]
    with Ipsecd(sites, "ga", tmp_path / "a", client()) as daemon, Capture(sites, "ga", "wan0") as wan:
        assert answered(sites, "ga", b)
        with Ipsecd(sites, "gb", tmp_path / "b", server(version)) as peer:
            assert not answered(sites, "ga", b, wait=1), "the server wants none of it in clear"
            assert passes(sites, wan, a, b, b"<before>")
            assert replies(sites, wan, version, b"<asked before>"), "of which ga knows nothing"
            assert daemon.ask("explain", source=a, destination=b, protocol="udp")["outbound"]["verdict"] == "clear"
            wan.read()
            wan.seen.clear()
            assert answered(sites, "gb", a), peer.log() + daemon.log()
            assert answered(sites, "ga", b), peer.log() + daemon.log()
            assert in_clear(wan) == [], "not even the answer to the first packet"
            assert not passes(sites, wan, a, b, b"<while it lasts>")
            assert not replies(sites, wan, version, b"<asked while it lasts>")
            told = daemon.ask("explain", source=a, destination=b, protocol="udp")["outbound"]
            assert (told["verdict"], told["rule"]) == ("protect", "default-response")
            assert told["why"] == f"leaves inside ESP to {'[' + b + ']' if version == 6 else b}:4500"
            told = daemon.ask("explain", source=b, destination=a, protocol="udp", direction="in")["inbound"]
            assert (told["verdict"], told["rule"]) == ("protect", "default-response")
            [entry] = daemon.ask("policy")["entries"]
            assert entry["pairs"] == [[a, b]]
            assert entry["dropped"] >= 1
            [rule] = daemon.ask("status")["rules"]
            assert (rule["name"], rule["state"]) == ("default-response", "up")
            assert b not in (tmp_path / "a/state/floor.nft").read_text(), "the next boot knows nothing of it"
            sites.run("ga", ["nft", "flush", "ruleset"])
            assert not passes(sites, wan, a, b, b"<after a flush>")
            daemon.ctl("reload")
            assert not passes(sites, wan, a, b, b"<after a reload>")
            assert answered(sites, "ga", b)
            peer.stop(signal.SIGTERM)  # which tells ga
            eventually(lambda: not protects(daemon), "nothing is left of it")
            assert passes(sites, wan, a, b, b"<after it>")
            assert replies(sites, wan, version, b"<asked after it>")


def test_when_the_host_is_gone_without_a_word_everything_is_as_before(sites: Sites, tmp_path: Path) -> None:
    a, b = GA_WAN[4], GB_WAN[4]
    with (
        Ipsecd(sites, "ga", tmp_path / "a", client()) as daemon,
        Ipsecd(sites, "gb", tmp_path / "b", server(4)) as peer,
        Capture(sites, "ga", "wan0") as wan,
    ):
        assert answered(sites, "gb", a)
        peer.stop(signal.SIGKILL)
        assert not passes(sites, wan, a, b, b"<nobody there>")
        eventually(lambda: not protects(daemon), "ga finds that out")
        assert "the peer doesn't answer any more" in daemon.log()
        assert passes(sites, wan, a, b, b"<after it>")


def test_what_the_rules_say_a_host_cannot_lift(sites: Sites, tmp_path: Path) -> None:
    a, b = GA_WAN[4], GB_WAN[4]
    ours = [
        {
            "name": action,
            "filters": [{"source": "me", "destination": "any", "protocol": "udp", "destination_port": port}],
            "action": action,
        }
        for action, port in (("permit", 4_002), ("block", 4_003))
    ]
    with (
        Ipsecd(sites, "ga", tmp_path / "a", client(*ours)) as daemon,
        Ipsecd(sites, "gb", tmp_path / "b", server(4)),
        Capture(sites, "ga", "wan0") as wan,
    ):
        assert passes(sites, wan, a, b, b"<permitted before>", 9, 4_002)
        assert not passes(sites, wan, a, b, b"<blocked before>", 9, 4_003)
        assert answered(sites, "gb", a)
        assert passes(sites, wan, a, b, b"<permitted>", 9, 4_002)
        assert not passes(sites, wan, a, b, b"<blocked>", 9, 4_003)
        assert not passes(sites, wan, a, b, b"<the rest>")
        told = daemon.ask("explain", source=a, destination=b, protocol="udp", source_port=9, destination_port=4_003)
        assert told["outbound"]["rule"] == "block"
        assert told["outbound"]["runners_up"][0]["why"] == "every rule goes before the default response"


def test_a_host_that_asks_for_one_protocol_has_that_alone_protected(sites: Sites, tmp_path: Path) -> None:
    a, b = GA_WAN[4], GB_WAN[4]
    only = {"protocol": "udp", "destination_port": 4_001}
    with (
        Ipsecd(sites, "ga", tmp_path / "a", client()) as daemon,
        Ipsecd(sites, "gb", tmp_path / "b", server(4, **only)),
        Capture(sites, "ga", "wan0") as wan,
    ):
        send(sites, "gb", udp(b, a, b"<asks>"))
        eventually(lambda: protects(daemon), "gb asks")
        assert not passes(sites, wan, a, b, b"<an answer>", 4_001, 4_000)
        assert passes(sites, wan, a, b, b"<from another port>", 4_000, 4_001)
        assert answered(sites, "ga", b)


def test_a_daemon_that_stops_leaves_the_floor_of_its_rules_and_one_that_is_killed_the_last(
    sites: Sites, tmp_path: Path
) -> None:
    a, b = GA_WAN[4], GB_WAN[4]
    with (
        Ipsecd(sites, "ga", tmp_path / "a", client()) as daemon,
        Ipsecd(sites, "gb", tmp_path / "b", server(4)),
        Capture(sites, "ga", "wan0") as wan,
    ):
        assert answered(sites, "gb", a)
        daemon.stop(signal.SIGKILL)
        assert not passes(sites, wan, a, b, b"<killed>")
        daemon.start()
        assert passes(sites, wan, a, b, b"<started>")
        eventually(lambda: answered(sites, "gb", a, wait=2), "gb asks again")
        assert not passes(sites, wan, a, b, b"<asked again>")
        daemon.stop(signal.SIGTERM)
        assert passes(sites, wan, a, b, b"<stopped>")


@pytest.mark.parametrize("policy", ["server-request-security", "secure-server-require-security"])
def test_a_predefined_server_and_the_predefined_client_protect_all_but_icmp(
    sites: Sites, tmp_path: Path, policy: str
) -> None:
    a, b = GA_WAN[4], GB_WAN[4]
    predefined = (Path(__file__).parents[2] / "etc/predefined.yaml").read_text()
    of_a, of_b = (
        {"policy.yaml": f"assigned: {name}\n{predefined}", "secrets/hosts.psk": KEY}
        for name in ("client-respond-only", policy)
    )
    with (
        Ipsecd(sites, "ga", tmp_path / "a", of_a) as daemon,
        Ipsecd(sites, "gb", tmp_path / "b", of_b),
        Capture(sites, "ga", "wan0") as wan,
    ):
        assert passes(sites, wan, a, b, b"<before>")
        send(sites, "gb", udp(b, a, b"<from the server>"))
        eventually(lambda: any(child["in"]["packets"] for child in daemon.children()), "it arrives in ESP")
        assert not passes(sites, wan, a, b, b"<while it lasts>")
        assert wan.count(b"<from the server>") == 0


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("remote", [[], ["wan0"]], ids=["lan", "remote access"])
def test_a_rule_for_one_type_of_connection_goes_first_where_it_is_for_the_host(
    sites: Sites, tmp_path: Path, version: int, remote: list[str]
) -> None:
    """The same packets, and the same host that asks: a block for the other type has no say, neither in the floor nor
    inside the tunnel."""
    filters = [{"source": "me", "destination": GB_WAN[version]}]
    shut = {"name": "shut", "filters": filters, "action": "block", "connections": "remote-access"}
    of_a = client(shut)
    of_a["policy.yaml"] += yaml.safe_dump({"settings": {"connections": {"remote_access": remote}}})
    with (
        Ipsecd(sites, "ga", tmp_path / "a", of_a) as a,
        Ipsecd(sites, "gb", tmp_path / "b", server(version)) as b,
        Capture(sites, "gb", "wan0") as wan,
    ):
        assert answered(sites, "gb", GA_WAN[version], wait=3 if remote else 30) is not bool(remote)
        eventually(lambda: a.children() and b.children(), "what gb has asked for")
        assert answered(sites, "ga", GB_WAN[version], wait=3 if remote else 30) is not bool(remote)
        told = a.ctl("explain", GA_WAN[version], GB_WAN[version])["outbound"]
        assert (told["verdict"], told["rule"]) == (("block", "shut") if remote else ("protect", "default-response"))
        assert in_clear(wan) == []
