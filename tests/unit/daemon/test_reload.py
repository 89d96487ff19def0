"""What a reload changes, what it says of it, and what a failed one leaves."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from ipsecd.daemon import compose
from ipsecd.errors import KernelError, LocalError
from tests.unit.daemon.daemons import KEY, PATIENCE, Daemon, beside, pair, policy, rule

ASSIGNS_NONE = policy().replace("assigned: sites\n", "")


# --- a file that assigns no policy ----------------------------------------------------------------------------------


def test_a_file_that_assigns_none_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        before = state(daemon)
        daemon.write("policy.yaml", ASSIGNS_NONE)
        file, hint = daemon.options.policy, "ipsecctl unassign takes protection away; a file doesn't"
        refusal = f"{file} assigns no policy ({hint})"
        assert (await daemon.ctl("reload", code=1)).output == f"ipsecctl: {refusal}\n"
        assert daemon.texts("reload-failed") == [f"Nothing was changed: {refusal}"]
        assert state(daemon) == before
        await daemon.ctl("unassign")
        assert (await daemon.ctl("reload")).output == (
            "nothing has changed\nWARNING: the policy file assigns no policy: nothing is protected\n"
        )

    beside(tmp_path, scenario)


def test_the_answer_to_a_reload_in_json(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        await daemon.ctl("unassign")
        daemon.write("policy.yaml", ASSIGNS_NONE)
        answer = json.loads((await daemon.ctl("reload", "--json")).output)
        assert answer["policy"] is None
        assert answer["difference"]["removed"] == []
        assert answer["summary"] == "no policy is assigned, nothing is protected"
        daemon.write("policy.yaml", policy())
        answer = json.loads((await daemon.ctl("reload", "--json")).output)
        assert (answer["policy"], answer["difference"]["added"]) == ("sites", ["site"])

    beside(tmp_path, scenario)


def test_unassign_is_told(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        await daemon.ctl("unassign")
        assert daemon.texts("unassigned") == ["No policy is in force any more, by command: nothing is protected"]
        assert daemon.kernel.lowered
        assert (await daemon.ctl("assign", "sites")).output == "policy sites is assigned\nadded: site\n"

    beside(tmp_path, scenario)


def test_goodbyes_say_why(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path) as (a, b):
            await a.ctl("up", "site", "--wait", "30")
            await a.ctl("unassign")
            await a.ctl("assign", "sites")
            await a.ctl("up", "site", "--wait", "30")
        assert a.texts("ike-closed") == [  # b stops first
            "site: IKE SA closed: the policy was put out of force by command",
            "site: IKE SA closed: the peer deleted it",
        ]
        assert b.texts("ike-closed") == [
            "site: IKE SA closed: the peer deleted it",
            "site: IKE SA closed: ipsecd is stopping",
        ]

    asyncio.run(main())


def test_a_policy_that_the_kernel_does_not_let_go_of_stays_in_force(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        before = state(daemon)
        daemon.kernel.refuses["lower"] = KernelError("still there after removal")
        done = await daemon.ctl("unassign", code=1)
        assert done.output == "ipsecctl: still there after removal\n"
        assert daemon.texts("unassign-failed") == ["The policy stays in force: still there after removal"]
        assert state(daemon) == before
        assert daemon.kernel.restored == 1
        assert not any(task.done() for task in daemon.protection.ground._keeping)
        assert "policy sites of" in (await daemon.ctl("status")).output
        await daemon.ctl("unassign")
        assert daemon.app.protection is None

    beside(tmp_path, scenario)


# --- a reload that fails --------------------------------------------------------------------------------------------


WIDER = policy(rule("site", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"))


def state(daemon: Daemon) -> tuple[object, ...]:
    """All that a policy decides: the floor, the SPD of the roads, and what the negotiation knows."""
    roads: Any = daemon.protection._plane.roads
    return (
        daemon.kernel.floor,
        roads._outbound._spd.entries,
        roads._inbound._spd.entries,
        daemon.protection.negotiation._core.config,
        sorted(daemon.protection.negotiation._core.wanted._wants),
        daemon.protection.prepared.plan,
    )


def breaking(daemon: Daemon, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let the negotiation fail in the middle of taking the next configuration, and only that one."""
    begin = daemon.protection.negotiation._core.wanted.begin

    def fail() -> None:
        monkeypatch.setattr(daemon.protection.negotiation._core.wanted, "begin", begin)
        raise error

    monkeypatch.setattr(daemon.protection.negotiation._core.wanted, "begin", fail)


@pytest.mark.parametrize("error", [LocalError("a payload doesn't fit"), KeyError("oops")])
def test_a_fault_on_the_way_puts_everything_back_and_is_called_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def scenario(daemon: Daemon) -> None:
        before = state(daemon)
        daemon.write("policy.yaml", WIDER)
        breaking(daemon, monkeypatch, error)
        done = await daemon.ctl("reload", code=1)
        assert done.output == "ipsecctl: ipsecd met an error of its own (the log has the details)\n"
        assert state(daemon) == before
        assert daemon.app.guard.faults == {"a control line": 1}
        assert "reload-failed" not in daemon.events
        assert (await daemon.ctl("reload")).output == "changed: site\n"

    beside(tmp_path, scenario)


def test_a_floor_that_the_kernel_refuses_changes_nothing(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        before = state(daemon)
        daemon.write("policy.yaml", WIDER)
        daemon.kernel.refuses["floor"] = KernelError("nft refused the table")
        assert (await daemon.ctl("reload", code=1)).output == "ipsecctl: nft refused the table\n"
        assert state(daemon) == before
        assert daemon.texts("reload-failed") == ["Nothing was changed: nft refused the table"]

    beside(tmp_path, scenario)


def test_a_floor_that_can_not_be_put_back_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(daemon: Daemon) -> None:
        daemon.write("policy.yaml", WIDER)
        breaking(daemon, monkeypatch, KernelError("no memory"))
        raised = daemon.kernel.raise_floor

        async def once(text: str, added: str = "", kept: str = "") -> None:
            await raised(text, added, kept)
            daemon.kernel.refuses["floor"] = KernelError("nft is gone")

        monkeypatch.setattr(daemon.kernel, "raise_floor", once)
        await daemon.ctl("reload", code=1)
        assert daemon.texts("floor-not-as-before") == [
            "What failed was undone, but the floor of before can't be put back: nft is gone"
        ]

    beside(tmp_path, scenario)


def test_a_hangup_that_meets_a_fault_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(daemon: Daemon) -> None:
        daemon.write("policy.yaml", WIDER)
        breaking(daemon, monkeypatch, LocalError("a payload doesn't fit"))
        daemon.manager.told.clear()
        daemon.app._hangup.set()
        await daemon.manager.told.wait()
        assert daemon.app.guard.faults == {"a reload": 1}

    beside(tmp_path, scenario)


def test_an_offer_that_fits_no_message_is_refused_before_anything_changes(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        before = state(daemon)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(compose, "encode_body", _too_much)
            done = await daemon.ctl("reload", code=1)
        assert done.output == (
            "ipsecctl: rule site: what it offers doesn't fit into a message: 256 transforms "
            "(fewer algorithms, or fewer security methods)\n"
        )
        assert state(daemon) == before

    beside(tmp_path, scenario)


def _too_much(_: object) -> bytes:
    raise LocalError("256 transforms")


MISTAKE = policy().replace("require-security", "require-securty")
UNSUPPORTED = policy(key_exchange="{proposals: [{encryption: aes128gcm16, groups: mlkem768}]}")


@pytest.mark.parametrize(
    ("text", "said", "told"),
    [
        (MISTAKE, "policies.sites.rules.0.action: ", "1 mistake in the policy"),
        (MISTAKE + "  more: 5\n", "policies.more: ", "2 mistakes in the policy"),
        (UNSUPPORTED, "not supported yet: mlkem768", "the policy uses something that isn't supported yet"),
        (
            policy(key_exchange="{proposals: [{encryption: aes128gcm16, groups: [mlkem512, mlkem768]}]}"),
            "not supported yet: mlkem768",
            "the policy uses 2 things that aren't supported yet",
        ),
    ],
)
def test_a_file_that_can_not_be_used_is_counted_and_named(tmp_path: Path, text: str, said: str, told: str) -> None:
    async def scenario(daemon: Daemon) -> None:
        before = state(daemon)
        daemon.write("policy.yaml", text)
        lines = (await daemon.ctl("reload", code=1)).output.splitlines()
        assert lines[-1] == f"ipsecctl: {told}"
        assert any(line.startswith(f"{daemon.folder}/policy.yaml:") and said in line for line in lines)
        assert daemon.texts("policy-mistake") == lines[:-1]
        assert daemon.texts("reload-failed") == [f"Nothing was changed: {told}"]
        assert state(daemon) == before

    beside(tmp_path, scenario)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (policy(), "Stopping on the test; the floor stays, so what is protected doesn't leave in clear"),
        (ASSIGNS_NONE, "Stopping on the test; no policy is in force, nothing is protected"),
    ],
)
def test_a_stop_says_what_stays(tmp_path: Path, text: str, told: str) -> None:
    daemons = []

    async def scenario(daemon: Daemon) -> None:
        daemons.append(daemon)

    beside(tmp_path, scenario, text)
    assert [line.text[21:] for line in daemons[0].told.lines if line.event.startswith("stopping")] == [told]


# --- keys -----------------------------------------------------------------------------------------------------------


def test_a_key_that_is_another_one_is_a_change_and_no_word_of_it_is_told(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        daemon.write("peer.psk", "another key of more than twenty octets")
        assert (await daemon.ctl("reload")).output == "credentials: peer\n"
        assert daemon.texts("policy-changed") == ["The policy has changed: credentials: peer"]
        answer = json.loads((await daemon.ctl("reload", "--json")).output)["difference"]
        assert answer == {
            "added": [],
            "removed": [],
            "changed": [],
            "kept": ["site"],
            "for_all_rules": [],
            "credentials": [],
            "usable": [],
            "unusable": [],
        }

    beside(tmp_path, scenario)


def test_a_name_that_is_asked_for_makes_no_reload_incomplete(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        daemon.write(
            "policy.yaml", policy(rule("site"), rule("named", "10.1.0.0/16", "10.3.0.0/16", there="b.invalid"))
        )
        assert "named can't be used: b.invalid has no address now" in (await daemon.ctl("reload")).output

    beside(tmp_path, scenario)


def test_a_key_that_comes_and_goes_makes_its_rules_usable_and_unusable(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        (daemon.folder / "peer.psk").unlink()
        lines = (await daemon.ctl("reload", code=5)).output.splitlines()
        assert lines[:2] == ["credentials: peer", "unusable: site"]
        assert lines[2].startswith("site can't be used: credential peer: the key file ")
        assert daemon.texts("policy-changed") == ["The policy has changed: credentials: peer; unusable: site"]
        assert json.loads((await daemon.ctl("reload", "--json", code=5)).output)["unusable"].keys() == {"site"}
        daemon.write("peer.psk", KEY)
        assert (await daemon.ctl("reload")).output == "credentials: peer\nusable: site\n"

    beside(tmp_path, scenario)
