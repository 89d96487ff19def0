"""``ipsecctl monitor`` on a terminal: what it shows, what it reckons, and what it leaves out where there is no room."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ipsecd.cli.live import View, screen
from ipsecd.cli.program import Failure
from tests.unit.cli.scripted import Scripted
from tests.unit.cli.test_program import IPSECCTL
from tests.unit.cli.test_render import CHILD, ENTRY, IN_AH, RULE, SA, STATUS

EVENT = {"event": "ready", "level": "info", "time": "2026-11-26T10:00:00.000+00:00", "text": "Ready: 1 rule"}


def answers(**changes: Any) -> dict[str, Mapping[str, Any]]:
    entry = ENTRY | {"rule": "to-hq", "steered": changes.pop("steered", 0), "dropped": changes.pop("dropped", 0)}
    return {"status": STATUS | {"soft_sas": []} | changes, "policy": {"entries": [entry, entry]}, "sas": {"sas": [SA]}}


def lines(view: View, events: Sequence[Mapping[str, Any]] = (), width: int = 120, height: int = 40) -> list[str]:
    """The words of each line, a space between them."""
    console = Console(width=width, height=height, file=io.StringIO(), markup=False, highlight=False)
    console.print(screen(console, view, events))
    assert isinstance(console.file, io.StringIO)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines() if line.strip()]


def viewed(*taken: tuple[float, dict[str, Mapping[str, Any]]]) -> View:
    view = View()
    for now, each in taken:
        view.take(each, now)
    return view


def test_rules_have_the_hits_of_all_their_entries_and_how_fast_they_come() -> None:
    view = viewed((10.0, answers(steered=5, dropped=1)), (12.0, answers(steered=105, dropped=2)))
    assert "to-hq down 210 100 4 1" in lines(view)


def test_a_counter_that_was_set_back_has_counted_from_nothing_since() -> None:
    view = viewed((10.0, answers(steered=500)), (11.0, answers(steered=3)))
    assert "to-hq down 6 6 0" in lines(view)


def test_the_first_look_knows_no_rates() -> None:
    assert "to-hq down 10 2" in lines(viewed((10.0, answers(steered=5, dropped=1))))


def test_drops_that_come_now_stand_first_then_the_most() -> None:
    before = {"no-sa": 900, "replayed": 7, "wrong-icv": 100}
    view = viewed((1.0, answers(drops=before)), (2.0, answers(drops=before | {"replayed": 9})))
    shown = lines(view)
    assert shown[shown.index("dropped because count a second") + 2 :][:3] == [
        "replayed 9 2",
        "no-sa 900",
        "wrong-icv 100",
    ]


def test_ike_sas_have_their_children_below_them() -> None:
    shown = lines(viewed((1.0, answers())))
    at = shown.index("IKE to-hq established 2 h 0 min")
    assert shown[at + 1] == "to-hq/1 up 3 pkts, 252 B 1000 pkts, 1.4 MB 50 min 0 s"


def test_negotiations_are_seen_by_their_state() -> None:
    calling = SA | {"stage": "connecting", "children": [], "rekey_in": None}
    view = viewed((1.0, answers(rules=[RULE | {"state": "negotiating"}]) | {"sas": {"sas": [calling]}}))
    assert "IKE to-hq connecting" in lines(view)
    assert "to-hq negotiating 0 0" in lines(view)


def test_soft_sas_have_the_time_that_is_left() -> None:
    soft = {"remote": "192.0.2.2", "rule": "to-hq", "age": 61.0, "left": 239.0}
    assert "192.0.2.2 to-hq 1 min 1 s ago 3 min 59 s" in lines(viewed((1.0, answers(soft_sas=[soft]))))


def test_what_does_not_fit_is_counted() -> None:
    rules = [RULE | {"name": f"rule-{n}"} for n in range(30)]
    shown = lines(viewed((1.0, answers(rules=rules))), height=24)
    assert [line for line in shown if line.startswith("rule-")] == [f"rule-{n} down 0 0" for n in range(3)]
    assert "and 27 more" in shown


def test_events_fill_what_is_left_of_the_screen_the_latest_last() -> None:
    events = [EVENT | {"text": f"event {n}"} for n in range(200)]
    shown = lines(viewed((1.0, answers())), events, height=24)
    assert shown[-1].endswith("event 199")
    assert 3 <= len([line for line in shown if " event " in line]) <= 24


def test_a_long_event_takes_one_line() -> None:
    shown = lines(viewed((1.0, answers())), [EVENT | {"text": "x" * 500}], width=80)
    assert shown[-1].endswith("x…")


def test_nothing_in_it_moves_the_cursor() -> None:
    rules = [RULE | {"name": "a\x1b[2J"}]
    assert any(line.startswith("a\\x1b[2J") for line in lines(viewed((1.0, answers(rules=rules)))))


def test_of_ah_around_esp_there_is_what_both_have_carried() -> None:
    told = lines(viewed((1.0, answers() | {"sas": {"sas": [SA | {"children": [IN_AH]}]}})))
    at = told.index("to-hq/1 up 3 pkts, 252 B 1000 pkts, 1.4 MB 50 min 0 s")
    assert told[at + 1] == "AH around it 4 pkts, 500 B 1001 pkts, 1.5 MB"


def test_an_answer_that_lacks_something_is_a_failure() -> None:
    view = viewed((1.0, answers() | {"status": {"drops": {}}}))
    with pytest.raises(Failure, match="makes no sense"):
        lines(view)


def says(request: dict[str, Any]) -> object:
    match request["command"]:
        case "monitor":
            answer = json.dumps({"id": request["id"], "result": {}}), json.dumps({"event": EVENT})
            return "".join(f"{line}\n" for line in answer).encode()
        case "status":
            return STATUS | {"soft_sas": []}
        case "policy":
            return {"entries": [ENTRY | {"rule": "to-hq"}]}
        case _:
            return {"sas": [SA | {"children": [CHILD]}]}


def test_a_terminal_shows_it_until_ctrl_c(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with Scripted(tmp_path / "control", says) as server:
        words = [str(IPSECCTL), "--control", str(server.path), "monitor", "--interval", "0.1"]
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
        with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as monitor:
            os.close(theirs)
            shown = b""
            while not all(each in shown for each in (b"to-hq", b"Ready: 1 rule", b"established")):
                shown += os.read(ours, 65_536)
            rest = threading.Thread(target=_drain, args=(ours,), daemon=True)
            rest.start()
            monitor.send_signal(signal.SIGINT)
            assert monitor.wait(60) == 130
    os.close(ours)


def _drain(descriptor: int) -> None:
    """What the terminal goes on to say, so that nobody waits for it to be read."""
    try:
        while os.read(descriptor, 65_536):
            pass
    except OSError:
        return
