"""Which policy is assigned: what the file says or what an operator has chosen since, whichever is the later word."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from ipsecd.daemon import force as force_module
from ipsecd.errors import KernelError, OperatorError
from ipsecd.io.lookup import Answer, NotAnswered
from ipsecd.io.state_file import StateFile
from tests.unit.daemon.daemons import PATIENCE, Daemon, beside, pair, policy, rule, settled

Scenario = Callable[[Daemon], Awaitable[None]]


def policies(assigned: str | None = "branch", **rules: tuple[str, ...]) -> str:
    """A policy file that has these policies, of these rules. Without any: branch, strict and home."""
    known = rules or {"branch": (rule("site"),), "strict": (rule("all", "10.1.0.0/16", "10.0.0.0/8"),), "home": ()}
    lines = [f"assigned: {assigned}"] if assigned else []
    lines += ["credentials: {peer: {psk: {file: peer.psk}}}", "policies:"]
    for name, each in known.items():
        lines += [f"  {name}:", "    rules:" if each else "    rules: []", *(f"      - {one}" for one in each)]
    return "\n".join(lines) + "\n"


async def assigned(daemon: Daemon) -> tuple[str | None, str | None, str, str | None]:
    """The policy in force, and what is assigned, by whom, and what the file says."""
    answer: dict[str, Any] = json.loads((await daemon.ctl("status", "--json")).output)
    return answer["policy"], *answer["assigned"].values()


def restarted(folder: Path, scenario: Scenario, text: str = "") -> None:
    """Run a scenario beside a daemon that starts again where the last one has stopped; with ``text`` the file has
    been changed meanwhile."""
    beside(folder, scenario, text or (folder / "policy.yaml").read_text())


async def assign_strict(daemon: Daemon) -> None:
    assert (await daemon.ctl("assign", "strict")).output == "policy strict is assigned\nadded: all\nremoved: site\n"


async def unassign(daemon: Daemon) -> None:
    await daemon.ctl("unassign")


# --- it lasts -------------------------------------------------------------------------------------------------------


def test_assign_puts_another_policy_of_the_file_in_force_and_lasts(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        assert await assigned(daemon) == ("branch", "branch", "file", "branch")
        await assign_strict(daemon)
        assert "10.0.0.0/8" in daemon.table.there
        assert daemon.texts("assigned") == ["Policy strict is assigned by ipsecctl; the policy file says branch"]
        assert (await daemon.ctl("reload")).output == "nothing has changed\n"
        await still(daemon)

    async def still(daemon: Daemon) -> None:
        assert await assigned(daemon) == ("strict", "strict", "ipsecctl", "branch")
        told = (await daemon.ctl("status")).output
        assert "policy strict is assigned by ipsecctl; the policy file says branch\n" in told

    beside(tmp_path, scenario, policies())
    restarted(tmp_path, still)


def test_unassign_lasts_too(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        await unassign(daemon)
        answer = (await daemon.ctl("reload")).output
        nothing = "no policy is assigned by ipsecctl; the policy file says branch"
        assert answer == f"nothing has changed\nWARNING: {nothing}: nothing is protected\n"
        assert f"{nothing}\n" in (await daemon.ctl("status")).output
        assert await assigned(daemon) == (None, None, "ipsecctl", "branch")

    async def still(daemon: Daemon) -> None:
        assert await assigned(daemon) == (None, None, "ipsecctl", "branch")
        assert daemon.table.there == ""
        assert daemon.texts("nothing-assigned") == [
            "no policy is assigned, by ipsecctl; the policy file says branch: nothing is protected"
        ]
        await daemon.ctl("assign", "branch")
        assert await assigned(daemon) == ("branch", "branch", "file", "branch")

    async def as_the_file_says(daemon: Daemon) -> None:
        assert await assigned(daemon) == ("branch", "branch", "file", "branch")

    beside(tmp_path, scenario, policies())
    restarted(tmp_path, still)
    restarted(tmp_path, as_the_file_says)


def test_a_floor_that_was_left_stands_though_no_policy_is_assigned_by_command(tmp_path: Path) -> None:
    """As when the daemon dies in the middle of unassign."""

    async def scenario(daemon: Daemon) -> None:
        await unassign(daemon)

    async def still(daemon: Daemon) -> None:
        assert daemon.app.bare
        told = (await daemon.ctl("reload", code=1)).output
        assert told.startswith("ipsecctl: no policy is assigned, by ipsecctl; the policy file says branch (")

    beside(tmp_path, scenario, policies())
    StateFile(tmp_path / "state" / "floor.nft", "the floor", "").save("table inet ipsecd { }\n")
    restarted(tmp_path, still)


# --- the later word -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chosen", [assign_strict, unassign])
@pytest.mark.parametrize("now", ["home", None])
def test_once_the_file_assigns_something_else_the_choice_is_forgotten(
    tmp_path: Path, chosen: Scenario, now: str | None
) -> None:
    async def scenario(daemon: Daemon) -> None:
        await chosen(daemon)

    async def the_file(daemon: Daemon) -> None:
        assert (await assigned(daemon))[1:] == (now, "file", now)
        was = "strict" if chosen is assign_strict else "none"
        assert daemon.texts("assignment-forgotten") == [
            f"The policy file has the later word: {now or 'none'} is assigned, not {was} by ipsecctl"
        ]
        daemon.write("policy.yaml", policies("branch"))
        await daemon.ctl("reload")
        assert await assigned(daemon) == ("branch", "branch", "file", "branch")

    beside(tmp_path, scenario, policies())
    restarted(tmp_path, the_file, policies(now))


def test_a_reload_hears_the_file_too(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        await assign_strict(daemon)
        daemon.write("policy.yaml", policies("home"))
        assert (await daemon.ctl("reload")).output == "removed: all\n"
        assert await assigned(daemon) == ("home", "home", "file", "home")
        daemon.write("policy.yaml", policies("branch"))
        await daemon.ctl("reload")
        assert await assigned(daemon) == ("branch", "branch", "file", "branch"), "the choice is forgotten"

    beside(tmp_path, scenario, policies())


def test_a_file_that_is_refused_has_no_word_at_all(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        await assign_strict(daemon)
        daemon.write("policy.yaml", policies(None))
        await daemon.ctl("reload", code=1)
        assert await assigned(daemon) == ("strict", "strict", "ipsecctl", "branch")
        assert "assignment-forgotten" not in daemon.events

    async def still(daemon: Daemon) -> None:
        assert await assigned(daemon) == ("strict", "strict", "ipsecctl", "branch")

    beside(tmp_path, scenario, policies())
    restarted(tmp_path, still, policies())


@pytest.mark.parametrize("text", [policies("home"), "assigned: {", None])
def test_unassign_is_later_than_what_stands_in_the_file_then(tmp_path: Path, text: str | None) -> None:
    """Whether or not it was reloaded. A file that can't be used says what it said last."""

    async def scenario(daemon: Daemon) -> None:
        if text is None:
            daemon.options.policy.unlink()
        else:
            daemon.write("policy.yaml", text)
        await unassign(daemon)

    async def still(daemon: Daemon) -> None:
        assert daemon.app.protection is None

    beside(tmp_path, scenario, policies())
    restarted(tmp_path, still, policies("home") if text == policies("home") else policies())


def test_where_the_policy_that_was_chosen_is_gone_the_file_has_the_word(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        await assign_strict(daemon)

    async def without(daemon: Daemon) -> None:
        assert await assigned(daemon) == ("branch", "branch", "file", "branch")
        assert daemon.texts("assigned-is-gone") == [
            f"{daemon.options.policy} has no policy strict, which ipsecctl has assigned: its own holds, branch"
        ]

    beside(tmp_path, scenario, policies())
    restarted(tmp_path, without, policies(branch=(rule("site"),)))


DAMAGED = ["", "[]", "{}", '{"policy": 5, "said": null}', '"strict"', "\xff", pytest.param("[" * 100_000, id="deep")]


def damaged(folder: Path, kept: str) -> None:
    (folder / "state").mkdir(exist_ok=True)
    (folder / "state" / "assigned.json").write_text(kept, encoding="latin-1")


@pytest.mark.parametrize("kept", DAMAGED)
def test_a_choice_that_cant_be_read_lowers_nothing_until_an_operator_chooses_anew(tmp_path: Path, kept: str) -> None:
    """What the file assigns may be less than what was chosen: the last floor stands, also with another file."""

    async def still(daemon: Daemon) -> None:
        assert daemon.app.bare
        assert "10.0.0.0/8" in daemon.table.there
        [why] = daemon.texts("floor-without-policy")
        assert why.startswith("nobody knows what ipsecctl has assigned: ")
        assert "nobody knows what ipsecctl has assigned" in (await daemon.ctl("reload", code=1)).output
        assert await assigned(daemon) == (None, None, "unknown", "branch")
        assert "what ipsecctl has assigned can't be read" in (await daemon.ctl("status")).output

    async def in_doubt(daemon: Daemon) -> None:
        await still(daemon)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(force_module, "prepare", refuse)
            await daemon.ctl("assign", "home", code=1)

    async def decides(daemon: Daemon) -> None:
        await still(daemon)
        await daemon.ctl("assign", "strict")

    async def decided(daemon: Daemon) -> None:
        assert await assigned(daemon) == ("strict", "strict", "ipsecctl", "branch")

    beside(tmp_path, assign_strict, policies())
    damaged(tmp_path, kept)
    for scenario in (in_doubt, decides, decided):
        restarted(tmp_path, scenario)


async def refuse(*_: object, **__: object) -> None:
    raise OperatorError("no keys today")


@pytest.mark.parametrize("command", [("assign", "branch"), ("unassign",)])
def test_a_choice_that_agrees_with_the_file_ends_the_doubt_too(tmp_path: Path, command: tuple[str, ...]) -> None:
    async def decides(daemon: Daemon) -> None:
        assert daemon.app.bare
        await daemon.ctl(*command)

    async def decided(daemon: Daemon) -> None:
        assert (await assigned(daemon))[0] == (command[1] if len(command) > 1 else None)
        assert not daemon.app.bare

    beside(tmp_path, assign_strict, policies())
    damaged(tmp_path, "{")
    restarted(tmp_path, decides)
    restarted(tmp_path, decided)


@pytest.mark.parametrize("kept", DAMAGED)
def test_where_nothing_is_left_that_could_be_lowered_the_file_has_the_word(tmp_path: Path, kept: str) -> None:
    async def scenario(daemon: Daemon) -> None:
        assert await assigned(daemon) == ("branch", "branch", "file", "branch")
        assert daemon.events.count("assignment-forgotten") == 1

    damaged(tmp_path, kept)
    with capture_logs() as logs:
        beside(tmp_path, scenario, policies())
    assert "assignment-not-loaded" in [line["event"] for line in logs]
    assert not (tmp_path / "state" / "assigned.json").exists()


def test_an_unassign_that_a_stop_interrupts_leaves_policy_and_floor(tmp_path: Path) -> None:
    """What was removed already is put back: nothing leaves in clear until the next start, which has the policy."""

    async def main() -> None:
        daemon = Daemon(tmp_path, policies())
        async with asyncio.timeout(PATIENCE):
            async with daemon:
                stood, daemon.kernel.lowering = daemon.table.there, asyncio.Event()
                asking = asyncio.create_task(daemon.app.unassign(), context=daemon.context)
                await daemon.kernel.lowering.wait()
                assert daemon.table.there == ""
                asking.cancel()  # as the control server does when it closes
                with pytest.raises(asyncio.CancelledError):
                    await asking
                assert await assigned(daemon) == ("branch", "branch", "file", "branch")
        assert daemon.table.there == stood
        assert daemon.options.assignment.load() is None

    asyncio.run(main())


# --- what isn't assigned --------------------------------------------------------------------------------------------


UNSUPPORTED = policies().replace(
    "  strict:\n", "  strict:\n    key_exchange: {proposals: [{encryption: aes128gcm16, groups: mlkem768}]}\n"
)


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        (policies(), "brunch", "policy.yaml has no policy 'brunch' (it has branch, strict, home)"),
        (policies().replace("home:", "home: 5\n  x:"), "strict", "1 mistake"),
        (UNSUPPORTED, "strict", "not supported yet"),
    ],
)
def test_what_cant_be_assigned_says_why_and_changes_nothing(tmp_path: Path, text: str, name: str, said: str) -> None:
    async def scenario(daemon: Daemon) -> None:
        daemon.write("policy.yaml", text)
        before = daemon.table.there
        told = (await daemon.ctl("assign", name, code=1)).output
        assert said in told
        assert await assigned(daemon) == ("branch", "branch", "file", "branch")
        assert daemon.table.there == before
        assert "assign-failed" in daemon.events
        assert daemon.options.assignment.load() is None

    beside(tmp_path, scenario, policies())


@pytest.mark.parametrize("before", ["branch", "strict", "none"])
def test_a_change_that_fails_leaves_the_choice_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise OperatorError("no keys today")

    async def scenario(daemon: Daemon) -> None:
        if before == "strict":
            await assign_strict(daemon)
        elif before == "none":
            await unassign(daemon)
        was, floor = await assigned(daemon), daemon.table.there
        with monkeypatch.context() as patch:
            patch.setattr(force_module, "prepare", refuse)
            assert "no keys today" in (await daemon.ctl("assign", "home", code=1)).output
        assert (await assigned(daemon), daemon.table.there) == (was, floor)

    async def still(daemon: Daemon) -> None:
        assert (await assigned(daemon))[0] == (None if before == "none" else before)

    beside(tmp_path, scenario, policies())
    restarted(tmp_path, still)


@pytest.mark.parametrize("words", [("assign", "strict"), ("unassign",)])
def test_what_cant_be_remembered_isnt_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    def full(self: StateFile, _: str) -> None:
        raise KernelError(f"can't keep it in {self.path.name}: No space left on device")

    async def scenario(daemon: Daemon) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(StateFile, "save", full)
            assert "No space left on device" in (await daemon.ctl(*words, code=1)).output
        assert await assigned(daemon) == ("branch", "branch", "file", "branch")
        assert "10.2.0.0/16" in daemon.table.there

    beside(tmp_path, scenario, policies())


def test_a_policy_that_wants_other_ports_is_refused_with_what_to_do(tmp_path: Path) -> None:
    text = policies() + "  ports:\n    key_exchange: {ports: {ike: 1500, nat_traversal: 1501}}\n    rules: []\n"

    async def scenario(daemon: Daemon) -> None:
        hint = f"write assigned: ports into {daemon.options.policy}; systemctl restart ipsecd; the floor stays"
        assert (await daemon.ctl("assign", "ports", code=1)).output == (
            "ipsecctl: policy ports has other IKE port and NAT traversal port than branch, which is in force: they "
            f"can't change while ipsecd runs ({hint})\n"
        )
        await unassign(daemon)
        await daemon.ctl("assign", "ports")
        assert daemon.protection.prepared.plan.ike_port == 1500

    beside(tmp_path, scenario, text)


def test_a_policy_that_comes_back_finds_its_names_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The DNS may be silent then: what is protected or blocked by name must not leave in clear."""

    async def scenario(daemon: Daemon) -> None:
        while "10.9.0.9" not in daemon.table.there:  # noqa: ASYNC110  nothing else tells when it has been answered
            await asyncio.sleep(0)
        monkeypatch.setattr(daemon.app._resolver, "_lookup", silent)
        for words in (("assign", "home"), ("unassign",)):
            await daemon.ctl(*words)
            assert "10.9.0.9" not in daemon.table.there
            await daemon.ctl("assign", "branch")
            assert "10.9.0.9" in daemon.table.there

    def silent(_: str) -> Answer:
        raise NotAnswered("no DNS today")

    async def main() -> None:
        named = "{name: named, filters: [{source: 10.1.0.0/16, destination: hq.example}], action: block}"
        daemon = Daemon(tmp_path, policies(branch=(named,), home=()))
        daemon.app._resolver._lookup = lambda _: Answer((ip_address("10.9.0.9"),))
        async with asyncio.timeout(PATIENCE), daemon:
            await scenario(daemon)

    asyncio.run(main())


# --- SAs that both policies want ------------------------------------------------------------------------------------


SAME = policies(
    branch=(rule("site", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"),),
    strict=(
        rule("first", "10.1.0.0/16", "10.4.0.0/16"),
        rule("second", "10.1.0.0/16", "10.3.0.0/16", "10.2.0.0/16"),
    ),
    home=("{name: open, filters: [{source: 10.1.0.0/16, destination: 10.2.0.0/16}], action: permit}",),
)
MIRRORED = policy(
    rule("site", ("10.2.0.0/16", "10.3.0.0/16"), "10.1.0.0/16", here="192.0.2.2", there="192.0.2.1"),
)


def udp(source: str, destination: str) -> bytes:
    """A datagram of nothing, without a checksum."""
    ends = b"".join(bytes(map(int, address.split("."))) for address in (source, destination))
    header = b"\x45\x00\x00\x1c\x00\x00\x40\x00\x40\x11" + b"\x00\x00" + ends
    return header + b"\x03\xe8\x03\xe8\x00\x08\x00\x00"


async def carried(sender: Daemon, receiver: Daemon, source: str, destination: str) -> bool:
    """Whether a packet that is steered into the tunnel comes out of it over there."""
    before = len(receiver.kernel.arrived)
    sender.kernel.tun.send(udp(source, destination))  # type: ignore[union-attr]  # it is there
    await settled()
    return len(receiver.kernel.arrived) > before


def test_sas_carry_on_under_the_names_of_the_policy_that_is_assigned(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path, SAME, MIRRORED) as (a, b):
            await a.ctl("up", "site", "--wait", "30")
            spis = {child.name: child.spi_in for sa in a.protection.sas() for child in sa.children}
            assert set(spis) == {"site/1", "site/2"}
            sent = len(a.network.sent)
            await a.ctl("assign", "strict")
            after = {child.name: child.spi_in for sa in a.protection.sas() for child in sa.children}
            assert after == {"second/2": spis["site/1"], "second/1": spis["site/2"]}
            assert len(a.network.sent) == sent, "and nobody was told"
            for far in ("10.2.0.1", "10.3.0.1"):
                assert await carried(a, b, "10.1.0.1", far)
                assert await carried(b, a, far, "10.1.0.1")
            rules = json.loads((await a.ctl("status", "--json")).output)["rules"]
            assert [(each["name"], each["up"]) for each in rules] == [
                ("first", []),
                ("second", ["second/1", "second/2"]),
            ]
            await a.ctl("rekey", "second/1")
            await a.ctl("down", "second/2")
            await settled()
            left = {child.name for sa in a.protection.sas() for child in sa.children if child.stage == "up"}
            assert left == {"second/1"}
            assert (
                "put down by command (ipsecctl up second/2)" in (await a.ctl("explain", "10.1.0.1", "10.2.0.1")).output
            )
            assert a.texts("fault") == b.texts("fault") == []

    asyncio.run(main())


def test_at_each_step_of_a_switch_a_packet_meets_what_one_of_the_policies_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The floor's step is one transaction. While it is done, and behind it, the data plane still has the old SPD: what
    the old one protects goes on, and what it doesn't know goes nowhere, though the floor steers it there."""

    async def main() -> None:
        text = policies(branch=(rule("site"),), strict=(rule("all", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"),))
        async with asyncio.timeout(PATIENCE), pair(tmp_path, text, MIRRORED) as (a, b):
            await a.ctl("up", "site", "--wait", "30")
            between: list[bool] = []
            put = a.table.replace

            async def replace(floor: str) -> None:
                await put(floor)
                between.extend([await carried(a, b, "10.1.0.1", far) for far in ("10.2.0.1", "10.3.0.1")])

            monkeypatch.setattr(a.table, "replace", replace)
            await a.ctl("assign", "strict")
            assert between == [True, False]
            assert await carried(a, b, "10.1.0.1", "10.2.0.1")
            await settled()
            assert await carried(a, b, "10.1.0.1", "10.3.0.1"), "and a packet of the rest brings up its SA"

    asyncio.run(main())


def test_packets_that_wait_for_an_sa_wait_on_when_its_rule_is_called_otherwise(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path, SAME, MIRRORED) as (a, b):
            here = b.address
            away = a.network.daemons.pop(here)
            assert not await carried(a, b, "10.1.0.1", "10.2.0.1")
            await a.ctl("assign", "strict")
            a.network.daemons[here] = away
            await a.ctl("up", "second", "--wait", "30")
            await settled()
            assert [packet[16:20] for packet in b.kernel.arrived] == [bytes((10, 2, 0, 1))]
            assert "policy-changed" not in (await a.protection.counters()).drops

    asyncio.run(main())


def test_what_the_new_policy_permits_loses_its_sas(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path, SAME, MIRRORED) as (a, b):
            await a.ctl("up", "site", "--wait", "30")
            await a.ctl("assign", "home")
            await settled()
            assert a.protection.sas() == b.protection.sas() == []
            assert not await carried(a, b, "10.1.0.1", "10.2.0.1"), "and the data plane sends nothing in clear"

    asyncio.run(main())
