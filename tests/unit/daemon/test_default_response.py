"""The default response in whole daemons: a host that asks for security, and one that has no rule for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ipsecd import limits
from ipsecd.errors import KernelError
from tests.unit.daemon.daemons import PATIENCE, Daemon, pair, settled
from tests.unit.daemon.test_assignment import udp

A, B = "192.0.2.1", "192.0.2.2"
HEAD = "assigned: p\ncredentials: {peer: {psk: {file: peer.psk}}}\npolicies:\n  p:\n"
CLIENT = HEAD + "    default_response: {authentication: [{psk: peer}]}\n"
SERVER = (
    HEAD
    + """\
    rules:
      - name: secure
        filters: [{source: me, destination: 192.0.2.1}]
        action: require-security
        authentication: [{psk: peer}]
"""
)
_ADDRESSES = 12  # where they begin; in UDP what stands in front of them is made anew
NAME = f"default-response/1@{B}"


def asked(
    tmp_path: Path, scenario: Callable[[Daemon, Daemon], Awaitable[None]], client: str = CLIENT, server: str = SERVER
) -> None:
    """A client, and a server that has a packet for it."""

    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path, client, server) as (a, b):
            assert B not in a.kernel.floor
            assert b.kernel.tun is not None
            b.kernel.tun.send(udp(B, A))
            await settled()
            await scenario(a, b)

    asyncio.run(main())


async def told(daemon: Daemon, *words: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads((await daemon.ctl(*words, "--json")).output)
    return answer


def test_a_host_that_asks_is_protected_and_everybody_can_see_by_what(tmp_path: Path) -> None:
    async def scenario(a: Daemon, b: Daemon) -> None:
        assert [packet[_ADDRESSES:] for packet in a.kernel.arrived] == [udp(B, A)[_ADDRESSES:]]
        assert a.events.index("response-begun") < a.events.index("child-established")
        assert a.texts("response-begun") == [f"{NAME}: from now on only an SA carries {A} = {B}"]
        assert B in a.kernel.floor
        assert B not in a.kernel.kept
        [rule] = (await told(a, "status"))["rules"]
        assert (rule["name"], rule["state"], rule["up"]) == ("default-response", "up", [NAME])
        there = (await told(a, "explain", A, B))["outbound"]
        assert (there["verdict"], there["rule"], there["child"]) == (
            "protect",
            "default-response",
            "default-response/1",
        )
        assert there["entry"] == NAME
        assert there["why"] == f"leaves inside ESP to {B}:4500"
        back = (await told(a, "explain", B, A, "--in"))["inbound"]
        assert (back["verdict"], back["why"]) == ("protect", f"accepted inside ESP from {B}:4500 alone")
        [entry] = (await told(a, "policy"))["entries"]
        assert (entry["name"], entry["rule"], entry["pairs"]) == (NAME, "default-response", [[A, B]])
        assert (await told(a, "explain", A, "192.0.2.3"))["outbound"]["verdict"] == "clear"
        assert NAME in (await a.ctl("policy")).output

    asked(tmp_path, scenario)


def test_our_answer_is_protected_too(tmp_path: Path) -> None:
    async def scenario(a: Daemon, b: Daemon) -> None:
        assert a.kernel.tun is not None
        a.kernel.tun.send(udp(A, B))
        await settled()
        assert [packet[_ADDRESSES:] for packet in b.kernel.arrived] == [udp(A, B)[_ADDRESSES:]]

    asked(tmp_path, scenario)


def test_when_the_host_is_done_the_floor_is_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RESPONSE_KEPT", 0.0)

    async def scenario(a: Daemon, b: Daemon) -> None:
        await b.ctl("unassign")
        await settled()
        assert B not in a.kernel.floor
        assert a.texts("response-over") == [f"{NAME}: no SA is left, the other rules hold again for {A} = {B}"]
        assert (await told(a, "explain", A, B))["outbound"]["verdict"] == "clear"

    asked(tmp_path, scenario)


def test_until_then_nothing_passes_and_explain_says_so(tmp_path: Path) -> None:
    async def scenario(a: Daemon, b: Daemon) -> None:
        await b.ctl("unassign")
        await settled()
        there = (await told(a, "explain", A, B))["outbound"]
        assert (there["verdict"], there["why"]) == (
            "protect",
            "dropped for another moment: the SA that was there is gone",
        )

    asked(tmp_path, scenario)


def test_who_cannot_have_a_floor_gets_no_sa(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path, CLIENT, SERVER) as (a, b):
            assert b.kernel.tun is not None
            a.kernel.refuses["floor"] = KernelError("nft is gone")
            b.kernel.tun.send(udp(B, A))
            await settled()
            assert B not in a.kernel.floor
            assert a.texts("response-failed") == ["default-response: its floor can't be raised: nft is gone"]
            assert a.texts("install-failed") == [
                f"{NAME}: it couldn't be installed: its floor can't be raised: nft is gone"
            ]
            assert (await told(a, "status"))["child_sas"] == 0

    asyncio.run(main())


def test_a_reload_keeps_what_was_negotiated_unless_the_policy_answers_nobody_any_more(tmp_path: Path) -> None:
    async def scenario(a: Daemon, b: Daemon) -> None:
        a.write("policy.yaml", CLIENT + "    default_action: block\n")
        await a.ctl("reload")
        await settled()
        assert B in a.kernel.floor
        assert (await told(a, "status"))["child_sas"] == 1
        assert [entry["name"] for entry in (await told(a, "policy"))["entries"]] == [
            NAME,
            "default-action",
            "default-action-v6",
        ]
        a.write("policy.yaml", CLIENT.replace("{authentication", "{active: false, authentication"))
        await a.ctl("reload")
        await settled()
        assert B not in a.kernel.floor
        assert (await told(a, "status"))["child_sas"] == 0

    asked(tmp_path, scenario)


def test_a_reload_that_fails_leaves_it_in_the_floor(tmp_path: Path) -> None:
    async def scenario(a: Daemon, b: Daemon) -> None:
        a.write("policy.yaml", CLIENT + "    default_action: block\n")
        a.kernel.refuses["floor"] = KernelError("nft refused the table")
        await a.ctl("reload", code=1)
        assert B in a.kernel.floor
        assert B not in a.kernel.kept

    asked(tmp_path, scenario)


def test_it_can_be_put_down_and_not_up_as_it_is_the_host_that_asks(tmp_path: Path) -> None:
    async def scenario(a: Daemon, b: Daemon) -> None:
        refused = (await a.ctl("up", f"default-response@{B}", code=1)).output
        assert refused == f"ipsecctl: {NAME} can't be called: these hosts have to call us\n"
        await a.ctl("down", f"default-response@{B}")
        await settled()
        [rule] = (await told(a, "status"))["rules"]
        assert (rule["state"], rule["up"]) == ("waiting", [])
        assert b.kernel.tun is not None
        b.kernel.tun.send(udp(B, A))
        await settled()
        [rule] = (await told(a, "status"))["rules"]
        assert rule["state"] == "up"

    asked(tmp_path, scenario)


def test_a_policy_that_is_unassigned_leaves_nothing(tmp_path: Path) -> None:
    async def scenario(a: Daemon, b: Daemon) -> None:
        await a.ctl("unassign")
        assert (a.kernel.floor, a.table.there) == ("", "")

    asked(tmp_path, scenario)


def test_a_rule_here_gets_what_it_is_for_and_the_default_response_nothing_of_it(tmp_path: Path) -> None:
    ours = "{name: all, filters: [{source: me, destination: 192.0.2.2}], action: require-security"
    both = CLIENT + f"    rules:\n      - {ours}, authentication: [{{psk: peer}}]}}\n"

    async def scenario(a: Daemon, b: Daemon) -> None:
        states = {rule["name"]: rule["state"] for rule in (await told(a, "status"))["rules"]}
        assert states == {"all": "up", "default-response": "waiting"}
        assert "response-begun" not in a.events

    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path, both, SERVER) as (a, b):
            assert b.kernel.tun is not None
            b.kernel.tun.send(udp(B, A))
            await settled()
            await scenario(a, b)

    asyncio.run(main())
