"""What a reload changes, what it says of it, and what a failed one leaves."""

from __future__ import annotations

import json
from pathlib import Path

from tests.unit.daemon.daemons import Daemon, beside, policy, rule

ASSIGNS_NONE = policy().replace("assigned: sites\n", "")


# --- a file that assigns no policy ----------------------------------------------------------------------------------


def test_a_file_that_assigns_none_takes_all_protection_away_and_the_answer_says_so(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        daemon.write("policy.yaml", ASSIGNS_NONE)
        assert (await daemon.ctl("reload")).output == (
            "removed: site, other\nWARNING: the policy file assigns no policy, so nothing is protected any more\n"
        )
        assert daemon.app.protection is None
        assert daemon.kernel.lowered
        (text,) = daemon.texts("unassigned")
        assert text == (
            f"No policy is in force any more, {daemon.folder}/policy.yaml assigns none: nothing is protected"
        )
        assert [line.level for line in daemon.told.lines if line.event == "unassigned"] == ["warning"]

    beside(tmp_path, scenario, policy(rule(), rule("other", "10.1.0.0/16", "10.3.0.0/16")))


def test_the_same_in_json(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        daemon.write("policy.yaml", ASSIGNS_NONE)
        answer = json.loads((await daemon.ctl("reload", "--json")).output)
        assert answer["policy"] is None
        assert answer["difference"]["removed"] == ["site"]
        assert answer["summary"] == "no policy is assigned, nothing is protected"
        daemon.write("policy.yaml", policy())
        answer = json.loads((await daemon.ctl("reload", "--json")).output)
        assert (answer["policy"], answer["difference"]["added"]) == ("sites", ["site"])

    beside(tmp_path, scenario)


def test_a_start_with_a_file_that_assigns_none_flushes_and_warns(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        assert daemon.flushed == 1
        assert daemon.events.index("unassigned") < daemon.events.index("ready")
        answer = await daemon.ctl("reload")
        assert answer.output.startswith("nothing has changed\nWARNING: the policy file assigns no policy")

    beside(tmp_path, scenario, ASSIGNS_NONE)


def test_unassign_names_its_cause(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        await daemon.ctl("unassign")
        assert daemon.texts("unassigned") == [
            "No policy is in force any more, put out of force by command: nothing is protected"
        ]
        assert (await daemon.ctl("reload")).output == "added: site\n"

    beside(tmp_path, scenario)
