"""Falling back to clear in a whole daemon: from a packet that waits to the packet that leaves, and what is shown."""

from __future__ import annotations

import asyncio
import json
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from ipsecd import limits
from ipsecd.errors import KernelError
from tests.unit.daemon.daemons import PATIENCE, Daemon, beside, pair, policy, rule, settled

FALLING = "filter_actions: {own: {action: negotiate, fallback_to_clear: {after: 1, lifetime: 60}}}\n"
PEER = ip_address("192.0.2.2")
FALLS = policy(rule("site", "10.1.0.0/16", "192.0.2.2", action="own")) + FALLING
STRICT = policy(rule("site", "10.1.0.0/16", "192.0.2.2"))
PACKET = bytes.fromhex("4500001c0000400040012dd20a010002c00002020800f7ff00000000")  # from 10.1.0.2, an echo request


async def until_silent(daemon: Daemon) -> None:
    """A packet comes, and the time for an answer passes."""
    daemon.kernel.tun.send(PACKET)  # type: ignore[union-attr]  # it's up
    await settled()
    negotiation, turn = daemon.protection.negotiation, daemon.protection.wires.turn
    daemon.context.run(turn, lambda now: negotiation.timer(now + 1.0))
    await settled()


async def told(daemon: Daemon, *words: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads((await daemon.ctl(*words, "--json")).output)
    return answer


def test_a_packet_for_a_silent_peer_leaves_in_clear_and_everybody_can_see_it(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        await until_silent(daemon)
        assert daemon.in_clear == [(PACKET, PEER)]
        assert list(daemon.kernel.passing) == ["192.0.2.2"]
        assert [element.value for element in daemon.kernel.exceptions()] == ["192.0.2.2"]
        assert daemon.texts("soft-sa-made") == ["site: no answer for 1 s: talking IN CLEAR to 192.0.2.2 for 60 s"]
        shown = (await daemon.ctl("status")).output
        assert "in clear with" in shown
        [state] = [each["state"] for each in (await told(daemon, "status"))["rules"]]
        assert state == "clear"
        there = await told(daemon, "explain", "10.1.0.2", "192.0.2.2")
        assert there["outbound"]["verdict"] == "soft-sa"
        assert there["outbound"]["why"].startswith("leaves in clear by a soft SA for another ")
        assert (there["outbound"]["child"], there["outbound"]["peer"]) == ("site/1", "site")
        back = await told(daemon, "explain", "192.0.2.2", "10.1.0.2")
        assert back["inbound"]["verdict"] == "soft-sa"
        assert back["inbound"]["why"].startswith("accepted in clear by a soft SA for another ")

    beside(tmp_path, scenario, FALLS)


def test_why_a_peer_that_has_answered_this_call_isnt_talked_to_in_clear_stands_in_log_and_status(
    tmp_path: Path,
) -> None:
    """Nobody vouches for what it has answered, so the call goes on, and only that it was heard is known."""

    async def scenario(daemon: Daemon) -> None:
        daemon.kernel.tun.send(PACKET)  # type: ignore[union-attr]  # it's up
        await settled()
        nonsense = daemon.network.sent[0][:8] + b"nonsense"
        daemon.context.run(daemon.receive, nonsense, (PEER, 500), (daemon.address, 500))
        await until_silent(daemon)
        assert (daemon.in_clear, daemon.kernel.passing) == ([], {})
        why = "it has answered since the policy was assigned"
        assert daemon.texts("soft-sa-refused") == [f"site: {PEER} doesn't answer, and isn't talked to in clear: {why}"]
        [shown] = (await told(daemon, "status"))["rules"]
        assert (shown["state"], shown["not_clear"]) == ("negotiating", why)
        assert f"not in clear: {why}" in " ".join((await daemon.ctl("status")).output.split())

    beside(tmp_path, scenario, FALLS)


def test_a_peer_that_has_answered_while_security_was_required_is_barred_once_an_edit_only_requests_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ACQUIRE_AGAIN", 1e-9)
    require = policy(rule("site", "10.1.0.0/16", "192.0.2.2", action="require-security"))
    request = policy(rule("site", "10.1.0.0/16", "192.0.2.2", action="request-security"))

    async def scenario(daemon: Daemon) -> None:
        daemon.kernel.tun.send(PACKET)  # type: ignore[union-attr]  # it's up
        await settled()
        nonsense = daemon.network.sent[0][:8] + b"nonsense"
        daemon.context.run(daemon.receive, nonsense, (PEER, 500), (daemon.address, 500))
        negotiation, turn = daemon.protection.negotiation, daemon.protection.wires.turn
        for seconds in range(0, 300, 5):
            daemon.context.run(turn, lambda now, after=seconds: negotiation.timer(now + after))
        assert "ike-failed" in daemon.events
        assert daemon.options.heard.load() is None
        daemon.write("policy.yaml", request)
        await daemon.ctl("reload")
        daemon.kernel.tun.send(PACKET)  # type: ignore[union-attr]  # it's up
        await settled()
        daemon.context.run(turn, lambda now: negotiation.timer(now + 3.0))
        await settled()
        assert (daemon.in_clear, daemon.kernel.passing) == ([], {})
        assert daemon.texts("soft-sa-refused") == [
            f"site: {PEER} doesn't answer, and isn't talked to in clear: it has answered since the policy was assigned"
        ]
        assert json.loads(daemon.options.heard.load() or "")["heard"] == ["192.0.2.2"]

    beside(tmp_path, scenario, require)


def test_a_reload_that_takes_the_permission_away_ends_it_at_once(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        await until_silent(daemon)
        daemon.write("policy.yaml", FALLS.replace("after: 1", "after: 2"))
        await daemon.ctl("reload")
        assert list(daemon.kernel.passing) == ["192.0.2.2"]
        daemon.write("policy.yaml", STRICT)
        await daemon.ctl("reload")
        await settled()
        assert daemon.kernel.passing == {}
        assert "soft-sa-ended" in daemon.events

    beside(tmp_path, scenario, FALLS)


def test_a_peer_that_has_had_an_sa_is_barred_until_the_policy_is_unassigned(tmp_path: Path) -> None:
    theirs = policy(rule("site", "192.0.2.2", "10.1.0.0/16", here="192.0.2.2", there="192.0.2.1"))
    state = tmp_path / "a/state/heard.json"

    async def with_a_peer() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path, FALLS, theirs) as (a, _):
            assert not state.exists()
            await a.ctl("up", "site", "--wait", "30")
            assert json.loads(state.read_text())["heard"] == ["192.0.2.2"]

    async def alone(daemon: Daemon) -> None:
        await until_silent(daemon)
        assert (daemon.in_clear, daemon.kernel.passing) == ([], {})
        assert daemon.texts("soft-sa-refused") == [
            f"site: {PEER} doesn't answer, and isn't talked to in clear: it has answered since the policy was assigned"
        ]
        await daemon.ctl("unassign")
        assert not state.exists()
        await daemon.ctl("assign", "sites")
        await until_silent(daemon)
        assert daemon.in_clear == [(PACKET, PEER)]

    asyncio.run(with_a_peer())
    beside(tmp_path / "a", alone, FALLS)


def test_a_peer_is_barred_by_a_reload_and_no_longer_once_another_policy_was_assigned(tmp_path: Path) -> None:
    both = FALLS.partition("filter_actions")[0]
    both += (
        both.partition("policies:\n")[2].replace("  sites:", "  others:").replace("name: site", "name: other") + FALLING
    )

    async def silent(daemon: Daemon) -> bool:
        """The peer doesn't answer; whether it passes then."""
        protection = daemon.protection
        daemon.context.run(protection.soft.silent, protection.prepared.ids["site/1"], PEER)
        await settled()
        return bool(daemon.kernel.passing)

    async def scenario(daemon: Daemon) -> None:
        daemon.context.run(daemon.protection.soft.heard, (PEER,))
        await daemon.ctl("reload")
        assert not await silent(daemon)
        await daemon.ctl("assign", "others")
        await daemon.ctl("assign", "sites")
        assert await silent(daemon)

    beside(tmp_path, scenario, both)


def test_a_peer_that_has_an_sa_when_another_policy_is_assigned_is_barred_under_that_one_too(tmp_path: Path) -> None:
    """Also if it is the same policy by another name: nothing of it is new to the negotiation."""
    theirs = policy(rule("site", "192.0.2.2", "10.1.0.0/16", here="192.0.2.2", there="192.0.2.1"))
    rules = FALLS.partition("policies:\n")[2].partition("filter_actions")[0]
    both = FALLS.replace("filter_actions", rules.replace("sites:", "others:") + "filter_actions")

    async def with_a_peer() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path, both, theirs) as (a, _):
            await a.ctl("up", "site", "--wait", "30")
            await a.ctl("assign", "others")
            assert json.loads((a.options.heard.load() or "").splitlines()[-1]) == {
                "policy": "others",
                "everybody": "",
                "heard": ["192.0.2.2"],
                "names": [],
            }

    asyncio.run(with_a_peer())


def test_a_peer_of_persistent_rules_is_barred_through_assign_and_unassign(tmp_path: Path) -> None:
    falls = rule("site", "10.1.0.0/16", "192.0.2.2", action="own")
    text = policy(rule("far")) + "  others: {rules: []}\n" + FALLING + f"persistent: {{rules: [{falls}]}}\n"

    async def scenario(daemon: Daemon) -> None:
        daemon.context.run(daemon.protection.soft.heard, (PEER,))
        for words in (("assign", "others"), ("unassign",), ("assign", "sites")):
            await daemon.ctl(*words)
            await until_silent(daemon)
            assert (daemon.in_clear, daemon.kernel.passing) == ([], {})
            assert json.loads(daemon.options.heard.load() or "")["heard"] == ["192.0.2.2"]

    beside(tmp_path, scenario, text)


def test_an_unassign_that_fails_forgets_nobody_who_has_answered(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        daemon.context.run(daemon.protection.soft.heard, (PEER,))
        kept = daemon.options.heard.load()
        daemon.kernel.refuses["lower"] = KernelError("busy")
        await daemon.ctl("unassign", code=1)
        assert kept is not None
        assert daemon.options.heard.load() == kept

    beside(tmp_path, scenario, FALLS)


def test_who_cant_be_forgotten_counts_on_and_unassign_is_done(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        daemon.context.run(daemon.protection.soft.heard, (PEER,))
        daemon.options.heard.path.unlink()
        (daemon.options.heard.path / "in the way").mkdir(parents=True)
        await daemon.ctl("unassign")
        assert daemon.app.protection is None
        assert "heard-not-forgotten" in daemon.events

    beside(tmp_path, scenario, FALLS)


def test_what_nobody_may_fall_back_for_waits_as_ever(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        daemon.kernel.tun.send(PACKET)  # type: ignore[union-attr]  # it's up
        await settled()
        daemon.protection.soft.silent(daemon.protection.prepared.ids["site/1"], PEER)
        await settled()
        assert (daemon.in_clear, daemon.kernel.passing) == ([], {})
        assert (await told(daemon, "status"))["packets"]["waiting"] == 1

    beside(tmp_path, scenario, STRICT)
