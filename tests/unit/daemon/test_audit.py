"""What auditors find in events: mode, filter, failure point, reason, and the number in Windows' security log."""

import pytest

from ipsecd.daemon import audit
from ipsecd.daemon.log import Log
from ipsecd.daemon.log_sinks import Line, Writer
from ipsecd.daemon.story import STORY
from tests.unit.daemon.test_log import Kept


def told(event: str, **fields: object) -> Line:
    sink = Kept()
    journal = Log(Writer(sink), kind="journal")
    journal.emit("warning", event, fields)
    journal.close()
    (line,) = sink.lines
    return line


def test_only_events_that_exist_are_audited() -> None:
    assert set(audit.AUDITED) - set(STORY) == set()


@pytest.mark.parametrize(
    ("event", "mode", "number"),
    [
        ("ike-established", "main", 4650),
        ("auth-failed", "main", 4653),
        ("ike-closed", "main", 4655),
        ("child-established", "quick", 5451),
        ("child-failed", "quick", 4654),
        ("child-closed", "quick", 5452),
        ("peer-dead", "main", 4655),
        ("bad-request", "main", 4976),
    ],
)
def test_negotiations_have_the_mode_and_the_number_that_windows_gives_them(event: str, mode: str, number: int) -> None:
    fields = told(event, rule="to-hq", reason="no common proposal").fields
    assert (fields["mode"], fields["windows_event"]) == (mode, number)


def test_what_is_no_negotiation_has_a_number_alone() -> None:
    assert audit.facts("stopped") == {"windows_event": 5479}


@pytest.mark.parametrize(
    ("event", "number"),
    [
        ("integrity-failed", 4960),
        ("replay-found", 4961),
        ("replay-late", 4962),
        ("clear-dropped", 4963),
        ("spi-unknown", 4965),
        ("assigned", 5460),
        ("assign-failed", 5461),
        ("rule-unusable", 5462),
        ("policy-unchanged", 5463),
        ("ready", 5478),
        ("start-failed", 5484),
    ],
)
def test_policies_and_drops_have_the_numbers_that_windows_gives_them(event: str, number: int) -> None:
    assert audit.facts(event) == {"windows_event": number}


def test_a_soft_sa_belongs_to_main_mode_which_had_no_answer_and_windows_has_no_number_for_it() -> None:
    for event in ("soft-sa-made", "soft-sa-ended", "soft-sa-refused"):
        assert audit.facts(event) == {"mode": "main"}


def test_what_windows_has_no_event_for_gets_nothing() -> None:
    assert told("tun-lost", reason="it was deleted").fields == {"reason": "it was deleted"}


def test_a_field_of_the_event_can_not_pass_for_what_audit_says() -> None:
    assert told("child-failed", reason="x", windows_event=1, mode="main").fields["windows_event"] == 4654
