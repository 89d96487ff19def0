"""`ipsecctl explain`: which rule decides about a packet, and what that means for it now."""

from __future__ import annotations

import asyncio
import json
import re
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from ipsecd.cli.client import Client
from ipsecd.cli.program import Failure
from ipsecd.io.clock import Clock
from tests.unit.daemon.daemons import PATIENCE, Daemon, beside, pair, policies_by, policy, rule

RULES = policy(
    rule("site", "10.1.0.0/16", "10.2.0.0/16"),
    "{name: ping, filters: [{source: 10.1.0.0/16, destination: 10.2.0.0/16, protocol: icmp, icmp_type: 8, "
    "icmp_code: 0}], action: permit}",
    "{name: web, filters: [{source: 10.1.0.0/16, destination: 10.2.0.0/16, protocol: tcp, source_port: 8080, "
    "destination_port: 80}], action: block}",
    "{name: here, filters: [{source: me, destination: any}], action: block}",
)
NAMES = ("multicast", "broadcast", "rsvp", "kerberos", "neighbour discovery", "dhcp")
HOSTS = ("10.1.0.2", "10.2.0.2")
TO_10_2_1_5 = bytes.fromhex("4500001c0000400040010000 0a010002 0a020105 0800f7ff00000000")  # from 10.1.0.2, an echo


async def explained(daemon: Daemon, *words: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads((await daemon.ctl("explain", *words, "--json")).output)
    return answer


async def leaving(daemon: Daemon, *words: str) -> tuple[str, str]:
    told = (await explained(daemon, *words))["outbound"]
    return told["verdict"], told.get("entry", "")


def test_the_filter_that_decides_is_named_and_so_are_those_it_goes_before(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        site = {"rule": "site", "entry": "site/1", "line": 6, "action": "protect"}
        assert await explained(daemon, *HOSTS, "icmp", "8") == {
            "packet": "forwarded",
            "inbound": {
                "verdict": "permit",
                "why": "",
                "rule": "ping",
                "entry": "ping/1",
                "line": 7,
                "action": "permit",
                "runners_up": [],
            },
            "outbound": {
                "verdict": "permit",
                "why": "",
                "rule": "ping",
                "entry": "ping/1",
                "line": 7,
                "action": "permit",
                "runners_up": [site | {"why": "a named protocol before any"}],
            },
        }
        assert (await explained(daemon, *HOSTS))["outbound"] == site | {
            "verdict": "protect",
            "runners_up": [],
            "why": "held back until an SA is negotiated",
            "child": "site/1",
            "peer": "site",
        }

    beside(tmp_path, scenario, RULES)


def test_ports_types_and_codes_count(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        assert await leaving(daemon, *HOSTS, "tcp", "any", "80") == ("protect", "site/1")
        assert await leaving(daemon, *HOSTS, "tcp", "8080", "80") == ("block", "web/1")
        assert await leaving(daemon, *HOSTS, "6", "8081", "80") == ("protect", "site/1")
        assert await leaving(daemon, *HOSTS, "tcp") == ("block", "web/1")  # which may be meant
        assert await leaving(daemon, *HOSTS, "icmp", "8", "0") == ("permit", "ping/1")
        assert await leaving(daemon, *HOSTS, "icmp", "8", "1") == ("protect", "site/1")
        assert await leaving(daemon, *HOSTS, "icmp", "255") == ("protect", "site/1")
        assert await leaving(daemon, *HOSTS, "icmp", "Echo-Request") == ("permit", "ping/1")
        assert await leaving(daemon, *HOSTS, "1", "echo-reply") == ("protect", "site/1")

    beside(tmp_path, scenario, RULES)


@pytest.mark.parametrize(
    ("words", "packet", "ways"),
    [
        (HOSTS, "forwarded", ["inbound", "outbound"]),
        ((*HOSTS, "--in"), "forwarded", ["inbound"]),
        (("192.0.2.1", "10.2.0.2"), "sent", ["outbound"]),
        (("10.2.0.2", "192.0.2.1"), "received", ["inbound"]),
        (("10.2.0.2", "192.0.2.1", "--in"), "received", ["inbound"]),
    ],
)
def test_a_packet_is_told_on_the_ways_that_it_has(
    tmp_path: Path, words: tuple[str, ...], packet: str, ways: list[str]
) -> None:
    async def scenario(daemon: Daemon) -> None:
        told = await explained(daemon, *words)
        assert list(told) == ["packet", *ways]
        assert told["packet"] == packet

    beside(tmp_path / "covered", scenario, RULES)
    beside(tmp_path / "bare", scenario, "policies: {p: {}}\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nobody", "10.2.0.2"), "'nobody' isn't an IP address"),
        (("a\x1b[31mb", "10.2.0.2"), "'a\\x1b[31mb' isn't an IP address"),
        (("10.1.0.2", "fd02::2"), "source and destination are of different IP versions"),
        ((*HOSTS, "tpc"), "'tpc' isn't a protocol known by name (did you mean 'tcp'?)"),
        ((*HOSTS, "256"), "expected a protocol's name or its number from 0 to 255"),
        ((*HOSTS, "gre", "any", "80"), "that protocol has no ports (tcp and udp have)"),
        ((*HOSTS, "icmp", "256"), "256 is no type of that protocol (it has types from 0 to 255)"),
        (
            (*HOSTS, "icmp", "echo-requst"),
            "'echo-requst' isn't an ICMP message known by name (did you mean 'echo-request'?)",
        ),
        (
            (*HOSTS, "icmp", "packet-too-big"),
            "that protocol has no message called 'packet-too-big' (icmp and icmpv6 have their own)",
        ),
    ],
)
def test_what_no_packet_can_be_is_refused(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    async def scenario(daemon: Daemon) -> None:
        assert (await daemon.ctl("explain", *words, code=1)).output == f"ipsecctl: {told}\n"

    beside(tmp_path, scenario)


@pytest.mark.parametrize(
    ("packet", "told"),
    [
        (
            {"protocol": "tcp", "icmp_type": "echo-request"},
            "that protocol has no types and codes (icmp and icmpv6 have)",
        ),
        ({"protocol": "tcp", "icmp_code": 1}, "that protocol has no types and codes (icmp and icmpv6 have)"),
        ({"protocol": "icmp", "icmp_code": 1}, "a code needs a type"),
        ({"protocol": "icmp", "source_port": 1}, "that protocol has no ports (it has a type, and perhaps a code)"),
    ],
)
def test_what_only_another_client_can_ask_is_refused(tmp_path: Path, packet: dict[str, Any], told: str) -> None:
    async def scenario(daemon: Daemon) -> None:
        def ask() -> None:
            with Client(daemon.options.control) as client:
                client.ask("explain", source=HOSTS[0], destination=HOSTS[1], **packet)

        with pytest.raises(Failure, match=re.escape(told)):
            await asyncio.to_thread(ask)

    beside(tmp_path, scenario)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("127.0.0.1", "127.0.0.1"), "loopback, which never leaves this machine"),
        (("192.0.2.2", "192.0.2.1", "esp"), "ESP or AH of ipsecd itself"),
        (("0.0.0.0", "255.255.255.255", "udp", "68", "67"), "DHCP"),
        (("fe80::2", "ff02::1", "icmpv6", "135"), "IPv6 neighbour or router discovery"),
    ],
)
def test_what_the_floor_lets_pass_is_exempt_and_says_why(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    async def scenario(daemon: Daemon) -> None:
        assert (await daemon.ctl("explain", *words)).output == f"exempt: {told}\n"

    beside(tmp_path, scenario)


EXEMPT = RULES.replace("    rules:", "    exemptions: {level: 0}\n    rules:", 1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("192.0.2.1", "192.0.2.9", "tcp", "any", "88"), "Kerberos"),
        (("192.0.2.9", "192.0.2.1", "udp", "88", "53"), "Kerberos"),
        (("192.0.2.1", "192.0.2.9", "rsvp"), "RSVP"),
        (("192.0.2.1", "239.1.2.3", "udp", "any", "5353"), "multicast"),
        (("192.0.2.1", "192.0.2.255", "udp", "any", "137"), "broadcast"),
        (("192.0.2.1", "255.255.255.255", "udp", "any", "137"), "broadcast"),
    ],
)
def test_what_the_policy_exempts_is_exempt_and_nothing_of_it_without(
    tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    async def exempt(daemon: Daemon) -> None:
        found = await explained(daemon, *words)
        verdicts = {(found[way]["verdict"], found[way]["why"]) for way in ("inbound", "outbound") if way in found}
        assert verdicts == {("exempt", told)}
        assert f"whatever the rules say: {', '.join(NAMES)}\n" in (await daemon.ctl("status")).output

    async def plain(daemon: Daemon) -> None:
        found = await explained(daemon, *words)
        assert {found[way]["verdict"] for way in ("inbound", "outbound") if way in found} <= {"block", "clear"}

    beside(tmp_path / "exempt", exempt, EXEMPT)
    beside(tmp_path / "plain", plain, RULES)


def test_a_router_receives_what_goes_to_the_anycast_address_of_its_network(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        words = "fd02::2", "fd01::"
        assert (await explained(daemon, *words))["packet"] == "forwarded"
        daemon.anycasts = (ip_address("fd01::"),)
        told = await explained(daemon, *words)
        assert (told["packet"], told["inbound"]["verdict"], told["inbound"]["entry"]) == (
            "received",
            "block",
            "here/1-v6",
        )

    beside(tmp_path, scenario, RULES)


def test_no_tunnel_takes_what_goes_to_a_group_or_to_all(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        for group in ("239.1.2.3", "192.0.2.255"):
            told = (await explained(daemon, "192.0.2.1", group))["outbound"]
            assert (told["verdict"], told["entry"], told["why"]) == (
                "drop",
                "all/1",
                "no tunnel takes what goes to a group of hosts, or to all of them",
            )
        told = (await explained(daemon, "192.0.2.1", "192.0.2.254"))["outbound"]
        assert told["why"] == "held back until an SA is negotiated"

    beside(tmp_path, scenario, policy(rule("all", "192.0.2.1", "0.0.0.0/0")))


def test_an_exempt_packet_names_the_filters_that_would_have_stopped_it(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        told = (await explained(daemon, "192.0.2.1", "192.0.2.2", "udp", "500", "500"))["outbound"]
        here = {"rule": "here", "entry": "here/1", "line": 9, "action": "block"}
        assert told == {
            "verdict": "exempt",
            "why": "IKE, or ESP in UDP, of ipsecd itself",
            "runners_up": [here | {"why": "what is exempt passes first"}],
        }
        assert await leaving(daemon, "192.0.2.1", "192.0.2.2", "udp", "any", "53") == ("block", "here/1")

    beside(tmp_path, scenario, RULES)


def test_who_asks_what_arrives_from_this_machine_is_told_which_side_is_which(tmp_path: Path) -> None:
    hint = "its source is an address of this machine: with --in the source is the remote side"

    async def scenario(daemon: Daemon) -> None:
        told = await explained(daemon, "192.0.2.1", "192.0.2.7", "--in")
        assert told["inbound"]["why"] == f"no rule covers it; {hint}"
        told = await explained(daemon, "192.0.2.7", "192.0.2.1", "--in")
        assert told["inbound"]["why"] == "no rule covers it"
        assert hint in (await daemon.ctl("explain", "192.0.2.1", "192.0.2.7", "--in")).output.replace("\n", " ")
        told = await explained(daemon, "192.0.2.1", "192.0.2.7")
        assert told["outbound"]["why"] == "no rule covers it"

    beside(tmp_path, scenario)


def test_what_becomes_of_a_protected_packet_follows_its_sa(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path) as (a, _):

            async def why(*words: str) -> list[str]:
                told = await explained(a, *words)
                return [told[way]["why"] for way in ("outbound", "inbound")]

            back = HOSTS[::-1]
            assert await why(*HOSTS) == ["held back until an SA is negotiated", "no rule covers it"]
            assert (await why(*back))[1] == "dropped: there is no SA to come by"
            await a.ctl("up", "site", "--wait", "30")
            assert (await why(*HOSTS))[0] == "leaves inside ESP to 192.0.2.2:4500"
            assert (await why(*back))[1] == "accepted inside ESP from 192.0.2.2:4500 alone"
            await a.ctl("down", "site")
            assert (await why(*HOSTS))[0] == "dropped: it was put down by command (ipsecctl up site/1)"
            (a.folder / "peer.psk").unlink()
            await a.ctl("reload", code=5)
            assert (await why(*HOSTS))[0].startswith("dropped for now: credential peer: the key file ")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("method", "wrapping"),
    [
        ("{ah: {integrity: sha256}}", "AH"),
        ("{ah: {integrity: sha256}, esp: {encryption: aes128gcm16}}", "AH around ESP"),
    ],
)
def test_what_isnt_encrypted_isnt_called_esp(tmp_path: Path, method: str, wrapping: str) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path, *policies_by(method)) as (a, _):
            await a.ctl("up", "site", "--wait", "30")
            there, back = await explained(a, *HOSTS), await explained(a, *HOSTS[::-1])
            assert there["outbound"]["why"] == f"leaves inside {wrapping} to 192.0.2.2:4500"
            assert back["inbound"]["why"] == f"accepted inside {wrapping} from 192.0.2.2:4500 alone"

    asyncio.run(main())


def test_what_comes_in_clear_is_accepted_where_a_passthrough_says_so_and_the_answer_isnt_in_clear(
    tmp_path: Path,
) -> None:
    own = "filter_actions: {own: {action: negotiate, inbound_passthrough: true}}\n"

    async def main() -> None:
        async with (
            asyncio.timeout(PATIENCE),
            pair(tmp_path, of_a=policy(rule("site", action="own")) + own) as (a, _),
        ):
            back = HOSTS[::-1]
            told = await explained(a, *back)
            assert told["inbound"]["verdict"] == "protect"
            assert told["inbound"]["why"] == "accepted in clear alone: there is no SA to come by"
            assert (await explained(a, *HOSTS))["outbound"]["why"] == "held back until an SA is negotiated"
            await a.ctl("up", "site", "--wait", "30")
            told = await explained(a, *back)
            assert told["inbound"]["why"] == "accepted in clear; inside ESP from 192.0.2.2:4500 alone"

    asyncio.run(main())


LAN = (
    "{name: lan, filters: [{source: me, destination: 192.0.2.0/24}], action: require-security, "
    "authentication: [{psk: peer}]}"
)
HELD_BACK = "held back until an SA is negotiated"


async def why(daemon: Daemon, *words: str) -> list[str]:
    """On each way."""
    told = await explained(daemon, *words)
    return [told[way]["why"] for way in ("outbound", "inbound") if way in told]


def test_for_how_long_a_peer_has_not_answered_is_told_and_why_the_last_attempt_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1_000.0]
    monkeypatch.setattr(Clock, "now", lambda _: clock[0])

    async def scenario(daemon: Daemon) -> None:
        await daemon.ctl("up", "site")
        await daemon.ctl("up", "lan@192.0.2.2")
        clock[0] += 12.0
        for words in (HOSTS, ("192.0.2.1", "192.0.2.2")):
            assert (await why(daemon, *words))[0] == f"{HELD_BACK} (12 s without an answer so far)"
        assert await why(daemon, "192.0.2.1", "192.0.2.3") == [HELD_BACK]
        while not any("lan@192.0.2.2" in text for text in daemon.texts("ike-failed")):
            clock[0] += 1.0
            daemon.context.run(daemon.protection.sas)
        clock[0] += 5.0
        failed = "it failed 5 s ago: the peer doesn't answer"
        assert (await why(daemon, "192.0.2.1", "192.0.2.2"))[0] == f"{HELD_BACK} ({failed})"
        assert await why(daemon, "192.0.2.2", "192.0.2.1") == [f"dropped: there is no SA to come by ({failed})"]
        assert await why(daemon, "192.0.2.1", "192.0.2.3") == [HELD_BACK]
        await daemon.ctl("up", "lan@192.0.2.2")
        clock[0] += 1.0
        both = "1 s without an answer so far; it failed 6 s ago: the peer doesn't answer"
        assert (await why(daemon, "192.0.2.1", "192.0.2.2"))[0] == f"{HELD_BACK} ({both})"

    beside(tmp_path, scenario, policy(LAN, rule("site")))


def test_why_a_peer_has_refused_is_told(tmp_path: Path) -> None:
    other = "{proposals: [{encryption: [camellia256], integrity: [sha512], groups: [ecp512bp]}]}"
    theirs = policy(LAN, key_exchange=other)

    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path, policy(LAN), theirs) as (a, _):
            await a.ctl("up", "lan@192.0.2.2", "--wait", "30", code=1)
            (told,) = await why(a, "192.0.2.1", "192.0.2.2")
            assert "the peer accepts none of our proposals (NO_PROPOSAL_CHOSEN)" in told

    asyncio.run(main())


def test_a_packet_outside_of_what_the_peer_allows_is_told_so(tmp_path: Path) -> None:
    narrow = policy(rule("site", "10.2.0.0/24", "10.1.0.0/16", here="192.0.2.2", there="192.0.2.1"))

    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path, of_b=narrow) as (a, _):
            await a.ctl("up", "site", "--wait", "30")
            told = await explained(a, "10.1.0.2", "10.2.1.5")
            assert told["outbound"]["why"] == (
                "dropped unless the peer allows an SA for it: those there are carry only 10.1.0.0/16 = 10.2.0.0/24"
            )
            told = await explained(a, "10.2.1.5", "10.1.0.2")
            assert told["inbound"]["why"] == "dropped: the SAs there are carry only 10.1.0.0/16 = 10.2.0.0/24"
            told = await explained(a, "10.1.0.2", "10.2.0.5")
            assert told["outbound"]["why"] == "leaves inside ESP to 192.0.2.2:4500"
            told = await explained(a, "10.2.0.5", "10.1.0.2")
            assert told["inbound"]["why"] == "accepted inside ESP from 192.0.2.2:4500 alone"

    asyncio.run(main())


def test_what_the_peer_does_not_allow_is_the_remark_of_status(tmp_path: Path) -> None:
    narrow = policy(rule("site", "10.2.0.0/24", "10.1.0.0/16", here="192.0.2.2", there="192.0.2.1"))

    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path, of_b=narrow) as (a, _):
            tun: Any = a.kernel.tun
            tun.send(TO_10_2_1_5)
            while not a.texts("child-narrowed"):  # noqa: ASYNC110  it comes with no other sign
                await asyncio.sleep(0)
            reason = "the peer allows only 10.1.0.0/16 = 10.2.0.0/24; 10.2.1.5 isn't in it"
            assert a.texts("child-narrowed") == [f"site/1: {reason}"]
            assert f"{reason}, 0 s ago" in (await a.ctl("status")).output

    asyncio.run(main())


def test_without_a_policy_everything_passes_in_clear(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        assert (await daemon.ctl("explain", *HOSTS)).output == "passes in clear: no policy is assigned\n"
        assert (await daemon.ctl("explain", *HOSTS, "icmp", "256", code=1)).output

    beside(tmp_path, scenario, "assigned: p\npolicies: {p: {}}\n".replace("assigned: p\n", ""))


def test_the_answer_is_a_table_for_people(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        lines = [line.split() for line in (await daemon.ctl("explain", *HOSTS, "icmp", "8")).output.splitlines()]
        assert ["forwarded,", "and", "verdict", "by", "instead", "of", "that", "is"] in lines
        assert ["arriving", "permit", "ping/1,", "line", "7"] in lines
        beaten = "site/1, line 6: a named protocol before any"
        assert ["leaving", "permit", "ping/1,", "line", "7", *beaten.split()] in lines
        assert (await daemon.ctl("explain", "10.8.0.1", "10.9.0.1")).output == "passes in clear: no rule covers it\n"

    beside(tmp_path, scenario, RULES)
