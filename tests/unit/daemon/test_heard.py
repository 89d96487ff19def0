"""Which peers have answered since the policy was assigned, before a restart too; doubt counts against everybody."""

from __future__ import annotations

import json
import os
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from ipsecd import limits
from ipsecd.daemon.heard import HeardPeers
from ipsecd.errors import KernelError
from ipsecd.io.state_file import StateFile
from ipsecd.wire.selector import Selector

ONE, TWO = ip_address("192.0.2.1"), ip_address("2001:db8::2")
ANSWERED = "it has answered since the policy was assigned"


def kept(folder: Path) -> StateFile:
    return StateFile(folder / "heard.json", "which peers have answered", "none is known")


def heard(folder: Path, policy: str = "p") -> HeardPeers:
    """As after a start with this policy."""
    found = HeardPeers(kept(folder))
    found.assign(policy, falls=True)
    return found


def test_a_peer_that_has_answered_is_barred_over_restarts_and_reloads(tmp_path: Path) -> None:
    first = heard(tmp_path)
    assert (first.bars(ONE), first.bars(TWO)) == ("", "")
    first.add((TWO, ONE))
    first.assign("p", falls=True)
    assert first.bars(ONE) == ANSWERED
    assert json.loads((tmp_path / "heard.json").read_text()) == {
        "policy": "p",
        "everybody": "",
        "heard": ["192.0.2.1", "2001:db8::2"],
        "names": [],
    }
    again = heard(tmp_path)
    assert (again.bars(ONE), again.bars(TWO)) == (ANSWERED, ANSWERED)
    assert again.bars(ip_address("192.0.2.3")) == ""
    assert [again.has_heard(each) for each in (ONE, TWO, ip_address("192.0.2.3"))] == [True, True, False]


def test_a_peer_with_a_name_is_barred_wherever_the_name_leads(tmp_path: Path) -> None:
    elsewhere = "gw.example has answered by another address since the policy was assigned"
    peers = heard(tmp_path)
    peers.add((ONE,), ("gw.example",))
    for each in (peers, heard(tmp_path)):
        assert each.bars(TWO, "gw.example") == elsewhere
        assert (each.bars(ONE, "gw.example"), each.bars(TWO, "other.example"), each.bars(TWO)) == (ANSWERED, "", "")
    peers.assign("q", falls=True)
    assert peers.bars(TWO, "gw.example") == ""
    peers.assign("p", falls=True)
    assert peers.bars(TWO, "gw.example") == elsewhere


def test_who_has_nothing_to_remember_writes_nothing(tmp_path: Path) -> None:
    heard(tmp_path).assign("q", falls=True)
    assert list(tmp_path.iterdir()) == []


def test_who_answers_while_no_rule_may_fall_back_is_kept_once_an_edit_lets_one(tmp_path: Path) -> None:
    peers = HeardPeers(kept(tmp_path))
    peers.assign("p", falls=False)
    peers.add((ONE,), ("gw.example",))
    peers.add((TWO,))
    assert peers.bars(ONE) == ANSWERED
    assert list(tmp_path.iterdir()) == []
    peers.assign("p", falls=True)
    for each in (peers, heard(tmp_path)):
        assert (each.bars(ONE), each.bars(TWO)) == (ANSWERED, ANSWERED)
        assert each.bars(ip_address("192.0.2.9"), "gw.example").startswith("gw.example has answered")


def test_what_was_kept_stays_as_it_is_while_no_rule_may_fall_back_any_more(tmp_path: Path) -> None:
    peers = heard(tmp_path)
    peers.add((ONE,))
    peers.assign("p", falls=False)
    peers.add((TWO,))
    assert (heard(tmp_path).bars(ONE), heard(tmp_path).bars(TWO)) == (ANSWERED, "")
    peers.assign("p", falls=True)
    assert heard(tmp_path).bars(TWO) == ANSWERED


def test_a_policy_without_falling_back_leaves_nothing_kept_of_the_one_before(tmp_path: Path) -> None:
    peers = heard(tmp_path)
    peers.add((ONE,))
    peers.assign("q", falls=False)
    assert json.loads((tmp_path / "heard.json").read_text())["heard"] == []
    assert heard(tmp_path).bars(ONE) == ""


def test_another_policy_begins_without_any(tmp_path: Path) -> None:
    peers = heard(tmp_path)
    peers.add((ONE,))
    peers.assign("q", falls=True)
    assert peers.bars(ONE) == ""
    assert heard(tmp_path).bars(ONE) == ""  # nor does the first one come back with a restart
    heard(tmp_path, "q").add((TWO,))
    assert heard(tmp_path, "q").bars(TWO) == ANSWERED
    assert heard(tmp_path).bars(TWO) == ""


def test_a_change_that_fails_takes_nothing_from_the_policy_before(tmp_path: Path) -> None:
    peers = heard(tmp_path)
    peers.add((ONE,))
    peers.assign("q", falls=True)
    peers.assign("p", falls=True)
    assert peers.bars(ONE) == ANSWERED
    assert heard(tmp_path).bars(ONE) == ANSWERED


def test_a_policy_that_is_assigned_again_after_another_begins_anew(tmp_path: Path) -> None:
    peers = heard(tmp_path)
    peers.add((ONE,))
    peers.assign("q", falls=True)
    peers.over()
    peers.assign("p", falls=True)
    assert (peers.bars(ONE), heard(tmp_path).bars(ONE)) == ("", "")


def test_a_peer_of_persistent_rules_is_barred_whatever_policy_is_assigned(tmp_path: Path) -> None:
    lasting = frozenset({ONE}), frozenset({"gw.example"})
    peers = heard(tmp_path)
    peers.add((ONE, TWO), ("gw.example", "other.example"))
    peers.assign("q", *lasting, falls=True)
    peers.over()
    started = HeardPeers(kept(tmp_path))
    started.assign("r", *lasting, falls=True)  # the file has had the later word while nothing ran
    for each in (peers, started, heard(tmp_path, "r")):
        assert (each.bars(ONE), each.bars(TWO), each.bars(TWO, "other.example")) == (ANSWERED, "", "")
        assert each.bars(TWO, "gw.example").startswith("gw.example has answered by another address")
    started.assign("p", falls=True)
    assert started.bars(ONE) == "", "no persistent rule has it any more"


def test_a_host_of_persistent_rules_is_barred_whatever_policy_is_assigned(tmp_path: Path) -> None:
    peers = heard(tmp_path)
    peers.add((ONE, TWO))
    peers.assign("q", hosts=(Selector.net(f"{ONE}/32", 6, (80, 80)),), falls=True)
    assert (peers.bars(ONE), peers.bars(TWO)) == (ANSWERED, "")


def test_who_answers_in_the_middle_of_a_change_that_fails_is_barred_after_it(tmp_path: Path) -> None:
    peers = heard(tmp_path)
    peers.add((ONE,))
    peers.assign("q", frozenset({TWO}), falls=True)
    peers.add((TWO,))
    peers.assign("p", frozenset({TWO}), falls=True)
    assert (peers.bars(ONE), peers.bars(TWO)) == (ANSWERED, ANSWERED)


@pytest.mark.parametrize("lasting", [{"remotes": frozenset({ONE})}, {"hosts": (Selector.net(f"{ONE}/32"),)}])
def test_where_nobody_knows_who_has_answered_persistent_rules_know_no_better_with_another_policy(
    tmp_path: Path, lasting: dict[str, Any]
) -> None:
    (tmp_path / "heard.json").write_text("{")
    peers = heard(tmp_path)
    peers.assign("q", **lasting, falls=True)
    assert peers.bars(ONE) == "which peers have answered before isn't known"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        pytest.param("[" * 100_000, id="deep"),
        "[]",
        '{"policy": "p"}',
        '{"policy": "p", "everybody": "", "heard": ["x"], "names": []}',
    ],
)
def test_where_nobody_knows_who_has_answered_everybody_has(tmp_path: Path, text: str) -> None:
    (tmp_path / "heard.json").write_text(text)
    peers = heard(tmp_path)
    assert peers.bars(ONE) == "which peers have answered before isn't known"
    peers.add((TWO,))
    assert heard(tmp_path).bars(ONE) == "which peers have answered before isn't known"  # now and ever
    peers.assign("q", falls=True)
    assert peers.bars(ONE) == ""


def test_nobody_is_forgotten_to_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_HEARD", 1)
    peers = heard(tmp_path)
    peers.add((ONE,))
    assert peers.bars(TWO) == ""
    peers.add((ip_address("192.0.2.9"),))
    for each in (peers, heard(tmp_path)):
        assert each.bars(TWO) == "too many peers have answered for all to be remembered"


def test_what_cant_be_kept_counts_as_long_as_the_daemon_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: StateFile, text: str) -> None:
        raise KernelError("no space")

    monkeypatch.setattr(StateFile, "save", refuse)
    peers = heard(tmp_path)
    peers.add((ONE,))
    assert peers.bars(ONE) == ANSWERED


def test_a_new_peer_costs_a_line_however_many_there_are(tmp_path: Path) -> None:
    peers = heard(tmp_path)
    peers.add(ip_address("10.0.0.0") + each for each in range(8_000))
    before = (tmp_path / "heard.json").stat()
    for each in (ONE, TWO):
        peers.add((each,), (f"{each}.example",))
    after = (tmp_path / "heard.json").stat()
    assert (after.st_ino, after.st_size - before.st_size < 250) == (before.st_ino, True)
    again = heard(tmp_path)
    assert (again.bars(ONE), again.bars(TWO), again.bars(ip_address("10.0.31.63"))) == (ANSWERED, ANSWERED, ANSWERED)
    assert again.bars(ip_address("10.0.31.64"), "192.0.2.1.example") != ""


def test_a_machine_that_fails_at_any_octet_forgets_nobody_written_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # what it takes is hundreds of times that of the rest
    file = tmp_path / "heard.json"
    peers, sizes = heard(tmp_path), []
    remotes = [ip_address(f"192.0.2.{each}") for each in range(1, 5)]
    for each in remotes:
        peers.add((each,), (f"gw{each}.example",))
        sizes.append(file.stat().st_size)
    whole = file.read_bytes()
    for cut in range(sizes[0], len(whole) + 1):
        file.write_bytes(whole[:cut])
        started = heard(tmp_path)
        written = sum(size <= cut for size in sizes)
        assert [started.bars(each) for each in remotes[:written]] == [ANSWERED] * written
        assert started.bars(ip_address("192.0.2.9")) == ""
        started.add((TWO,))
        again = heard(tmp_path)
        assert [again.bars(each) for each in (*remotes[:written], TWO)] == [ANSWERED] * (written + 1)
    for cut in range(sizes[0] - 1):  # that one is never written in part
        file.write_bytes(whole[:cut])
        assert heard(tmp_path).bars(ip_address("192.0.2.9")) == "which peers have answered before isn't known"


def test_a_line_in_the_middle_that_says_nothing_makes_everybody_heard(tmp_path: Path) -> None:
    peers = heard(tmp_path)
    for each in range(1, 4):
        peers.add((ip_address(f"192.0.2.{each}"),))
    first, _, last = (tmp_path / "heard.json").read_text().splitlines()
    (tmp_path / "heard.json").write_text(f"{first}\n\0\n{last}\n")
    assert heard(tmp_path).bars(TWO) == "which peers have answered before isn't known"


def test_what_an_older_release_has_kept_counts(tmp_path: Path) -> None:
    told = {"policy": "p", "everybody": "", "heard": ["192.0.2.1"], "names": ["gw.example"]}
    (tmp_path / "heard.json").write_text(json.dumps(told, indent=1) + "\n")
    peers = heard(tmp_path)
    peers.add((TWO,))
    for each in (peers, heard(tmp_path)):
        assert (each.bars(ONE), each.bars(TWO), each.bars(ip_address("192.0.2.9"))) == (ANSWERED, ANSWERED, "")
        assert each.bars(ip_address("192.0.2.9"), "gw.example").startswith("gw.example has answered")


def test_after_a_line_that_couldnt_be_written_all_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers, append = heard(tmp_path), StateFile.append
    peers.add((ONE,))

    def half(file: StateFile, text: str) -> None:
        append(file, text[:20])
        raise KernelError("no space")

    monkeypatch.setattr(StateFile, "append", half)
    peers.add((TWO,))
    assert (heard(tmp_path).bars(TWO), heard(tmp_path).bars(ip_address("192.0.2.9"))) == (ANSWERED, "")


def test_a_file_that_was_taken_away_comes_back_whole(tmp_path: Path) -> None:
    peers = heard(tmp_path)
    peers.add((ONE,))
    (tmp_path / "heard.json").unlink()
    peers.add((TWO,))
    assert (heard(tmp_path).bars(ONE), heard(tmp_path).bars(TWO)) == (ANSWERED, ANSWERED)
