"""The last failure of each rule, until it works again."""

from __future__ import annotations

import asyncio
import json
from ipaddress import ip_address
from pathlib import Path

import pytest

from ipsecd import limits
from ipsecd.daemon.failures import Failure, Failures
from ipsecd.ike.effects import Report
from tests.unit.daemon.daemons import PATIENCE, Daemon, beside, pair, policy, rule

HOST_8, HOST_9 = ip_address("192.0.2.8"), ip_address("192.0.2.9")


def failed(rule: str, reason: str = "no common proposal", level: str = "warning") -> Report:
    return Report("child-failed", level, {"rule": rule, "reason": reason})


def test_the_last_one_counts_and_belongs_to_every_rule_it_names() -> None:
    failures = Failures()
    failures.note(failed("a, b"), 1.0)
    failures.note(failed("a", "the peer is busy"), 2.0)
    assert failures.of("a") == Failure("child-failed", "the peer is busy", 2.0)
    assert failures.of("b") == Failure("child-failed", "no common proposal", 1.0)
    assert failures.of("c") is None


def test_it_says_whom_it_is_about() -> None:
    failures = Failures()
    failures.note(Report("child-failed", "warning", {"rule": "a", "reason": "it is busy", "peer": "a@192.0.2.9"}), 1.0)
    assert failures.of("a") == Failure("child-failed", "it is busy", 1.0, "a@192.0.2.9")


@pytest.mark.parametrize("event", ["child-established", "child-rekeyed"])
def test_an_sa_shows_that_it_is_over(event: str) -> None:
    failures = Failures()
    failures.note(failed("a, b"), 1.0)
    failures.note(Report(event, "info", {"rule": "a"}), 2.0)
    assert failures.of("a") is None
    assert failures.of("b") is not None


def test_an_sa_with_one_host_says_nothing_about_another_host_of_the_rule() -> None:
    failures = Failures()
    wrong = {"rule": "a", "reason": "another key", "peer": "a@192.0.2.9"}
    failures.note(Report("auth-failed", "warning", wrong), 1.0)
    failures.note(Report("child-established", "info", {"rule": "a", "peer": "a@192.0.2.8"}), 2.0)
    assert failures.of("a") == Failure("auth-failed", "another key", 1.0, "a@192.0.2.9")
    failures.note(Report("child-established", "info", {"rule": "a", "peer": "a@192.0.2.9,192.0.2.1"}), 3.0)
    assert failures.of("a") is None


def of_host(last: int, reason: str = "no common proposal") -> Report:
    return Report("child-failed", "warning", {"rule": "a", "reason": reason, "peer": f"a@192.0.2.{last}"})


def test_each_host_of_a_rule_has_its_own() -> None:
    failures = Failures()
    failures.note(of_host(8), 1.0)
    failures.note(of_host(9, "it is busy"), 2.0)
    assert failures.of_host("a", HOST_8) == Failure("child-failed", "no common proposal", 1.0, "a@192.0.2.8")
    assert failures.of_host("a", HOST_9) == Failure("child-failed", "it is busy", 2.0, "a@192.0.2.9")
    assert failures.of_host("b", HOST_9) is None
    failures.note(Report("child-established", "info", {"rule": "a", "peer": "a@192.0.2.8"}), 3.0)
    assert failures.of_host("a", HOST_8) is None
    assert failures.of_host("a", HOST_9) is not None
    failures.keep(["b"])
    assert failures.of_host("a", HOST_9) is None


def test_what_a_rule_fails_by_is_that_of_its_hosts_too() -> None:
    failures = Failures()
    failures.note(Report("child-failed", "warning", {"rule": "a", "reason": "there are too many", "peer": "a"}), 1.0)
    failures.note(of_host(9), 0.0)
    failures.note(Report("child-failed", "warning", {"rule": "a", "reason": "there are too many", "peer": "a"}), 1.0)
    assert failures.of_host("a", HOST_8) == Failure("child-failed", "there are too many", 1.0, "a")
    assert failures.of_host("a", HOST_9) == Failure("child-failed", "no common proposal", 0.0, "a@192.0.2.9")


def test_of_many_hosts_those_that_failed_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_FAILED_HOSTS", 2)
    failures = Failures()
    for last in (7, 8, 7, 9):
        failures.note(of_host(last), float(last))
    assert failures.of_host("a", HOST_8) is None
    assert failures.of_host("a", ip_address("192.0.2.7")) is not None
    assert failures.of_host("a", HOST_9) is not None


def test_a_rekey_does_not_widen_what_the_peer_allows() -> None:
    failures = Failures()
    failures.note(Report("child-narrowed", "warning", {"rule": "a", "reason": "the peer allows only 10.2.0.0/24"}), 1.0)
    failures.note(Report("child-rekeyed", "info", {"rule": "a"}), 2.0)
    assert failures.of("a") == Failure("child-narrowed", "the peer allows only 10.2.0.0/24", 1.0)
    failures.note(Report("child-established", "info", {"rule": "a"}), 3.0)
    assert failures.of("a") is None


@pytest.mark.parametrize(
    "report",
    [
        failed("", "a stranger's"),
        failed("a", "as it should be", "info"),
        Report("child-expired", "warning", {"rule": "a"}),
        Report("no-fields", "error"),
    ],
)
def test_what_is_no_failure_of_a_rule_is_not_kept(report: Report) -> None:
    failures = Failures()
    failures.note(report, 1.0)
    assert (failures.of("a"), failures.of("")) == (None, None)


@pytest.mark.parametrize("event", ["ike-unreachable", "sa-init-refused"])
def test_what_anybody_can_cause_is_said_of_a_rule_that_is_down_alone(event: str) -> None:
    failures = Failures()
    failures.note(Report(event, "warning", {"rule": "a", "reason": "so they say"}), 1.0)
    assert failures.of("a") == Failure(event, "so they say", 1.0)
    assert failures.of_one_up("a", 2.0) is None
    failures.note(failed("a"), 2.0)
    assert failures.of_one_up("a", 1_000.0) == failures.of("a") is not None


def test_that_packets_of_an_sa_do_not_get_there_is_said_of_it_for_a_while() -> None:
    failures = Failures()
    here, there = ip_address("192.0.2.8"), ip_address("192.0.2.9")
    reason = {"rule": "a", "peer": "a@192.0.2.8", "reason": "ESP doesn't get there"}
    failures.note(Report("child-unreached", "warning", reason), 1.0)
    failure = Failure("child-unreached", "ESP doesn't get there", 1.0, "a@192.0.2.8")
    assert failures.of_one_up("a", 120.0) == failures.in_vain("a", here, 120.0) == failure
    assert failures.in_vain("a", None, 120.0) == failure
    assert failures.in_vain("a", there, 120.0) is None
    assert failures.of_one_up("a", 121.0) is failures.in_vain("a", here, 121.0) is None
    assert failures.of("a") is failures.of_host("a", here) is None
    failures.note(Report("child-unreached", "warning", reason), 122.0)
    failures.note(Report("child-rekeyed", "info", {"rule": "a", "peer": "a@192.0.2.8"}), 123.0)
    assert failures.in_vain("a", None, 123.0) is None


def test_that_packets_do_not_get_there_hides_nothing_that_is_known() -> None:
    """Whoever is on the way can say so with one ICMP error; what the peer allows is said once."""
    failures = Failures()
    narrowed = Failure("child-narrowed", "the peer allows only 10.2.0.0/24", 1.0)
    failures.note(Report("child-narrowed", "warning", {"rule": "a", "reason": narrowed.reason}), 1.0)
    failures.note(Report("child-unreached", "warning", {"rule": "a", "reason": "ESP doesn't get there"}), 2.0)
    assert failures.of_one_up("a", 2.0) == Failure("child-unreached", "ESP doesn't get there", 2.0)
    assert failures.of_one_up("a", 122.0) == failures.of("a") == narrowed
    failures.keep(["b"])
    assert failures.in_vain("a", None, 2.0) is None


def test_of_many_hosts_that_packets_do_not_get_to_the_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_FAILED_HOSTS", 1)
    failures = Failures()
    for last in (8, 9):
        reason = {"rule": "a", "peer": f"a@192.0.2.{last}", "reason": "ESP doesn't get there"}
        failures.note(Report("child-unreached", "warning", reason), 1.0)
    assert failures.in_vain("a", HOST_8, 1.0) is None
    assert failures.in_vain("a", HOST_9, 1.0) is not None


def test_a_rule_or_a_key_that_a_reload_changes_has_no_failure_any_more(tmp_path: Path) -> None:
    second = "{peer: {psk: {file: peer.psk}}, other: {psk: {file: other.psk}}}"
    two = policy(rule("site"), rule("more", "10.1.0.0/16", "10.3.0.0/16", there="192.0.2.3", psk="other"))
    text = two.replace("{peer: {psk: {file: peer.psk}}}", second)

    async def scenario(daemon: Daemon) -> None:
        def fail() -> None:
            daemon.app.failures.note(failed("site, more", "as it was"), 0.0)

        async def failures(changed: str) -> dict[str, bool]:
            daemon.write("policy.yaml", changed)
            await daemon.ctl("reload")
            rules = json.loads((await daemon.ctl("status", "--json")).output)["rules"]
            return {rule["name"]: rule["last_failure"] is not None for rule in rules}

        daemon.write("other.psk", "a key of more than twenty octets")
        await daemon.ctl("reload")
        fail()
        assert await failures(text) == {"site": True, "more": True}
        assert await failures(text.replace("192.0.2.3", "192.0.2.4")) == {"site": True, "more": False}
        fail()
        daemon.write("peer.psk", "another key of more than twenty octets")
        assert await failures(text.replace("192.0.2.3", "192.0.2.4")) == {"site": False, "more": True}

    beside(tmp_path, scenario, text)


def test_a_call_that_a_reload_ends_has_not_failed(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        await daemon.ctl("up", "site")
        daemon.write("policy.yaml", policy(there="192.0.2.3"))
        await daemon.ctl("reload")
        assert daemon.texts("ike-called-off") == ["site: no longer calling: the policy has changed"]
        assert "ike-failed" not in daemon.events
        (rule,) = json.loads((await daemon.ctl("status", "--json")).output)["rules"]
        assert rule["last_failure"] is None

    beside(tmp_path, scenario)


def test_rules_that_are_gone_are_forgotten() -> None:
    failures = Failures()
    failures.note(failed("a, b"), 1.0)
    failures.keep(("b", "c"))
    assert failures.of("a") is None
    assert failures.of("b") is not None


def test_status_says_what_last_went_wrong_and_what_is_held(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path) as (a, b):
            b.write("peer.psk", "another key of more than twenty octets")
            await b.ctl("reload")
            await a.ctl("up", "site", "--wait", "0", code=1)
            while True:  # another answer may still come: it's over when nothing repeats the call any more
                (rule,) = json.loads((await a.ctl("status", "--json")).output)["rules"]
                if rule["state"] == "down" and rule["last_failure"]:
                    break
                await asyncio.sleep(0.05)
            failure = rule["last_failure"]
            assert (failure["event"], failure["reason"]) == (
                "auth-failed",
                "the peer refuses our identity or our credential (AUTHENTICATION_FAILED)",
            )
            assert 0 <= failure["ago"] < PATIENCE
            assert "the peer refuses our identity or our credential" in (await a.ctl("status")).output
            b.write("peer.psk", "correct horse battery staple")
            await b.ctl("reload")
            await a.ctl("up", "site", "--wait", "30")
            (rule,) = json.loads((await a.ctl("status", "--json")).output)["rules"]
            assert (rule["state"], rule["last_failure"]) == ("up", None)
            await a.ctl("down", "site")
            (rule,) = json.loads((await a.ctl("status", "--json")).output)["rules"]
            assert rule["state"] == "held"

    asyncio.run(main())
