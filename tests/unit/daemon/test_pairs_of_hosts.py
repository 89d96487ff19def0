"""A rule without a tunnel in whole daemons: each host has SAs of its own, and names that mean those alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from ipsecd import limits
from ipsecd.io.clock import Clock
from tests.unit.daemon import daemons
from tests.unit.daemon.daemons import PATIENCE, Daemon, beside, pair, policy, rule, settled

A, B = "192.0.2.1", "192.0.2.2"
OTHER_A = ip_address("192.0.2.10")
HOST, CHILD = "lan@192.0.2.2", "lan/1@192.0.2.2"
LAN = (
    "{name: lan, filters: [{source: me, destination: 192.0.2.0/24}], action: require-security, "
    "authentication: [{psk: peer}]}"
)
TEXT = policy(LAN, rule("site"), "{name: none, filters: [{source: me, destination: 10.9.0.0/16}], action: block}")
PING = bytes.fromhex("4500001c00000000400100 00 c0000201 c0000202 0800f7ff00000000")  # an echo request from a to b
ARRIVED = bytes.fromhex("4500001c000100004001f6dc c0000201 c0000202 0800f7ff00000000")  # in UDP its header is made anew


async def told(daemon: Daemon, *words: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads((await daemon.ctl(*words, "--json")).output)
    return answer


async def state(daemon: Daemon) -> tuple[str, list[str]]:
    """That of the rule, and what of it is up."""
    (lan,) = [each for each in (await told(daemon, "status"))["rules"] if each["name"] == "lan"]
    assert lan["each"]
    assert lan["children"] == ["lan/1"]
    return lan["state"], lan["up"]


async def names(daemon: Daemon, *words: str) -> list[str]:
    found: list[str] = (await told(daemon, *words))["names"]
    return found


def with_two(folder: Path, scenario: Callable[[Daemon, Daemon], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(folder, TEXT, policy(LAN)) as (a, b):
            await scenario(a, b)

    asyncio.run(main())


@pytest.fixture
def several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Host a has one more."""

    async def addresses(self: daemons.Netlink) -> tuple[tuple[str, Any], ...]:
        return ("lo", ip_address("127.0.0.1")), ("wan0", self._daemon.address), ("wan0", OTHER_A)

    monkeypatch.setattr(daemons.Netlink, "addresses", addresses)


@pytest.fixture
def no_route(monkeypatch: pytest.MonkeyPatch) -> None:
    async def source_for(*_: object) -> None:
        return None

    monkeypatch.setattr(daemons.Netlink, "source_for", source_for)


def test_a_packet_brings_up_what_two_hosts_need_and_everybody_can_see_it(tmp_path: Path) -> None:
    async def scenario(a: Daemon, b: Daemon) -> None:
        assert await state(a) == ("down", [])
        a.kernel.tun.send(PING)  # type: ignore[union-attr]  # it's up
        while not b.kernel.arrived:  # noqa: ASYNC110  an arrival comes with no other sign
            await asyncio.sleep(0)
        assert b.kernel.arrived == [ARRIVED]
        assert await state(a) == ("up", [CHILD])
        assert await state(b) == ("up", ["lan/1@192.0.2.1"])
        (sa,) = (await told(a, "sas"))["sas"]
        assert (sa["peer"], sa["pattern"], sa["local_id"], sa["remote_id"]) == (HOST, "lan", A, B)
        assert [(child["name"], child["local"], child["remote"]) for child in sa["children"]] == [(CHILD, [A], [B])]
        assert a.texts("child-wanted") == ["lan/1@192.0.2.2: 192.0.2.1 wants to send to 192.0.2.2 (icmp)"]
        there = await told(a, "explain", A, B)
        assert there["outbound"]["why"] == "leaves inside ESP to 192.0.2.2:4500"
        back = await told(a, "explain", B, A)
        assert back["inbound"]["why"] == "accepted inside ESP from 192.0.2.2:4500 alone"
        elsewhere = await told(a, "explain", A, "192.0.2.77")
        assert elsewhere["outbound"]["why"] == "held back until an SA is negotiated"
        peers = {peer["name"]: peer for peer in (await told(a, "policy"))["peers"]}
        assert (peers["lan"]["each"], peers["lan"]["local_id"], peers["lan"]["remote_id"]) == (True, None, None)
        shown = (await a.ctl("policy")).output
        assert "each host" in shown
        assert "its address" in shown

    with_two(tmp_path, scenario)


@pytest.mark.parametrize(("name", "meant"), [("lan", "lan/1"), ("lan/1", "lan/1"), (HOST, CHILD), (CHILD, CHILD)])
def test_hosts_are_put_down_and_brought_up_by_the_names_of_the_rule_or_their_own(
    tmp_path: Path, name: str, meant: str
) -> None:
    async def scenario(a: Daemon, _: Daemon) -> None:
        assert await names(a, "up", HOST, "--wait", "30") == [CHILD]
        assert await names(a, "down", name) == [meant]
        await settled()
        assert await state(a) == ("down" if "@" in name else "held", [])
        assert len(a.protection.sas()) == (0 if name in ("lan", HOST) else 1)
        explained = (await told(a, "explain", A, B))["outbound"]["why"]
        assert explained == f"dropped: it was put down by command (ipsecctl up {CHILD})"
        assert await names(a, "up", name, "--wait", "30") == [CHILD]
        assert await state(a) == ("up", [CHILD])

    with_two(tmp_path, scenario)


def test_a_host_that_was_never_called_is_put_down(tmp_path: Path) -> None:
    async def scenario(a: Daemon, _: Daemon) -> None:
        assert await names(a, "down", HOST) == [CHILD]
        a.kernel.tun.send(PING)  # type: ignore[union-attr]  # it's up
        await settled()
        assert a.protection.sas() == []
        assert await names(a, "up", "lan", "--wait", "30") == [CHILD]

    with_two(tmp_path, scenario)


async def troubled(daemon: Daemon) -> tuple[list[tuple[str, str, str]], int]:
    """The hosts of the rule without an SA, and how many there are more."""
    (lan,) = [each for each in (await told(daemon, "status"))["rules"] if each["name"] == "lan"]
    return [(each["peer"], each["state"], each["reason"]) for each in lan["hosts"]], lan["more_hosts"]


def test_status_shows_the_hosts_that_have_no_sa_and_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1_000.0]
    monkeypatch.setattr(Clock, "now", lambda _: clock[0])

    async def scenario(a: Daemon, _: Daemon) -> None:
        assert await troubled(a) == ([], 0)
        await a.ctl("up", "lan@192.0.2.77")
        for _ in range(100):
            clock[0] += 1.0 if "ike-failed" not in a.events else 0.0
            a.context.run(a.protection.sas)
        await a.ctl("up", "lan@192.0.2.78")
        await a.ctl("down", HOST)
        silent = ("lan@192.0.2.77", "failed", "the peer doesn't answer")
        other = ("lan@192.0.2.78", "negotiating", "")
        assert await troubled(a) == ([(HOST, "held", ""), silent, other], 0)
        await a.ctl("up", HOST)
        await settled()
        assert await troubled(a) == ([silent, other], 0)
        monkeypatch.setattr(limits, "SHOWN_HOSTS", 1)
        assert await troubled(a) == ([silent], 1)
        await a.ctl("up", "lan@192.0.2.77")
        assert await troubled(a) == ([("lan@192.0.2.77", "negotiating", "the peer doesn't answer")], 1)

    with_two(tmp_path, scenario)


def test_the_log_says_in_which_mode_an_sa_is(tmp_path: Path) -> None:
    async def scenario(a: Daemon, _: Daemon) -> None:
        await a.ctl("up", HOST, "--wait", "30")
        (line,) = [line for line in a.told.lines if line.event == "child-established"]
        how = "aes128gcm16-esn, transport mode, ESP, udp encapsulation"
        assert line.text.endswith(f" {CHILD}: child SA established, {A} = {B}, {how}")
        assert (line.fields["mode"], line.fields["sa_mode"]) == ("quick", "transport")

    with_two(tmp_path, scenario)


def test_a_host_that_is_called_is_told_of_the_rules_that_are_for_it_alone(tmp_path: Path) -> None:
    far = LAN.replace("name: lan", "name: far").replace("192.0.2.0/24", "198.51.100.0/24")

    async def scenario(daemon: Daemon) -> None:
        await daemon.ctl("up", "lan@192.0.2.77")
        assert await troubled(daemon) == ([("lan@192.0.2.77", "negotiating", "")], 0)
        lan, other = (await told(daemon, "status"))["rules"]
        assert (lan["peer"], lan["state"]) == ("lan", "negotiating")
        assert (other["peer"], other["state"], other["hosts"]) == ("lan", "down", [])

    beside(tmp_path, scenario, policy(LAN, far))


def test_a_rule_that_was_put_down_before_any_host_was_called_is_brought_up_with_none(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        assert await names(daemon, "down", "lan") == ["lan/1"]
        assert await state(daemon) == ("held", [])
        assert await names(daemon, "up", "lan") == []
        assert await state(daemon) == ("down", [])

    beside(tmp_path, scenario, TEXT)


@pytest.mark.parametrize(
    ("name", "answer", "ike"),
    [
        ("lan", [CHILD], False),
        ("lan/1", [CHILD], False),
        (HOST, [CHILD], False),
        (CHILD, [CHILD], False),
        ("peer:lan", ["peer:lan"], True),
        (f"peer:{HOST}", [f"peer:{HOST}"], True),
    ],
)
def test_hosts_get_new_keys_by_the_names_of_the_rule_or_their_own(
    tmp_path: Path, name: str, answer: list[str], ike: bool
) -> None:
    async def scenario(a: Daemon, _: Daemon) -> None:
        await names(a, "up", HOST, "--wait", "30")
        (before,) = a.protection.sas()
        assert await names(a, "rekey", name) == answer
        await settled()
        (after,) = [sa for sa in a.protection.sas() if sa.stage == "established"]
        assert (after.spi_i != before.spi_i) == ike
        assert (after.children[-1].spi_in != before.children[0].spi_in) != ike

    with_two(tmp_path, scenario)


def test_a_peer_is_put_down_with_its_ike_sa(tmp_path: Path) -> None:
    async def scenario(a: Daemon, b: Daemon) -> None:
        for name in ("peer:lan", f"peer:{HOST}"):
            await names(a, "up", HOST, "--wait", "30")
            await names(a, "down", name)
            await settled()
            assert (a.protection.sas(), b.protection.sas()) == ([], [])

    with_two(tmp_path, scenario)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("up", "lan"), "there is an SA for each host, and no host yet (ipsecctl up lan/1@ADDRESS)"),
        (("up", "peer:lan"), "there is an SA for each host, and no host yet (ipsecctl up peer:lan@ADDRESS)"),
        (("rekey", "lan"), "lan/1 has no SA to rekey (ipsecctl up lan/1@ADDRESS makes one)"),
        (("rekey", HOST), f"{CHILD} has no SA to rekey (ipsecctl up {CHILD} makes one)"),
        (("up", "site@192.0.2.2"), "site has a tunnel, and so one peer (its own name means all of it: site)"),
        (("up", "nobody@192.0.2.2"), "nothing is called 'nobody' (there is lan, site)"),
        (("up", "lan@hq"), "nothing is called 'lan@hq' (there is lan, site)"),
        (("up", "none@192.0.2.2"), "rule none negotiates nothing: its action is block"),
        (
            ("up", "lan@198.51.100.1"),
            "nothing can be negotiated between 192.0.2.1 and 198.51.100.1 (the rule isn't for 198.51.100.1)",
        ),
        (
            ("up", "lan@192.0.2.2,192.0.2.3"),
            "nothing can be negotiated between 192.0.2.3 and 192.0.2.2 (192.0.2.3 is no address of ours in the rule)",
        ),
        (("down", "lan@2001:db8::1"), "this machine has no IPv6 address that the rule is for"),
    ],
)
def test_what_can_not_be_done_is_told_by_name(tmp_path: Path, words: tuple[str, ...], answer: str) -> None:
    async def scenario(daemon: Daemon) -> None:
        assert (await daemon.ctl(*words, code=1)).output == f"ipsecctl: {answer}\n"

    beside(tmp_path, scenario, TEXT)


def test_a_rule_without_its_key_can_not_be_used_for_any_host(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        (daemon.folder / "peer.psk").unlink()
        await daemon.ctl("reload", code=5)
        answer = (await daemon.ctl("up", HOST, code=1)).output
        assert answer.startswith(f"ipsecctl: {HOST} can't be used: credential peer: the key file ")
        assert (await state(daemon))[0] == "unusable"

    beside(tmp_path, scenario, TEXT)


@pytest.mark.usefixtures("several_addresses")
def test_of_several_addresses_of_ours_the_one_that_leads_there_is_meant_or_the_one_that_is_named(
    tmp_path: Path,
) -> None:
    async def scenario(daemon: Daemon) -> None:
        assert await names(daemon, "down", HOST) == ["lan/1@192.0.2.2,192.0.2.1"]
        assert await names(daemon, "down", f"{HOST},{OTHER_A}") == ["lan/1@192.0.2.2,192.0.2.10"]

    beside(tmp_path, scenario, TEXT)


@pytest.mark.usefixtures("several_addresses", "no_route")
def test_without_a_route_one_of_several_addresses_of_ours_has_to_be_named(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        assert (await daemon.ctl("up", HOST, code=1)).output == (
            "ipsecctl: no route says which of this machine's addresses leads to 192.0.2.2 "
            "(one of them behind the name says which, as in lan@192.0.2.2,192.0.2.1)\n"
        )

    beside(tmp_path, scenario, TEXT)


@pytest.mark.usefixtures("no_route")
def test_without_a_route_the_only_address_of_ours_is_meant(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        assert await names(daemon, "down", HOST) == [CHILD]

    beside(tmp_path, scenario, TEXT)


def test_a_host_that_is_called_makes_its_rule_one_that_negotiates(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        assert await names(daemon, "up", HOST) == [CHILD]
        assert await state(daemon) == ("negotiating", [])

    beside(tmp_path, scenario, TEXT)


def test_a_host_that_does_not_answer_is_talked_to_in_clear_alone(tmp_path: Path) -> None:
    falls = LAN.replace("require-security", "own")
    text = policy(falls) + "filter_actions: {own: {action: negotiate, fallback_to_clear: {after: 1, lifetime: 60}}}\n"

    async def scenario(daemon: Daemon) -> None:
        daemon.kernel.tun.send(PING)  # type: ignore[union-attr]  # it's up
        await settled()
        negotiation, turn = daemon.protection.negotiation, daemon.protection.wires.turn
        daemon.context.run(turn, lambda now: negotiation.timer(now + 1.0))
        await settled()
        assert daemon.in_clear == [(PING, ip_address(B))]
        assert list(daemon.kernel.passing) == [B]
        assert (await state(daemon))[0] == "clear"
        assert await troubled(daemon) == ([], 0)
        (soft,) = (await told(daemon, "status"))["soft_sas"]
        assert (soft["rule"], soft["peer"], soft["child"], soft["remote"]) == ("lan", HOST, CHILD, B)
        there = await told(daemon, "explain", A, B)
        assert there["outbound"]["why"].startswith("leaves in clear by a soft SA for another ")
        elsewhere = await told(daemon, "explain", A, "192.0.2.77")
        assert elsewhere["outbound"]["why"] == "held back until an SA is negotiated"

    beside(tmp_path, scenario, text)
