"""The log: cleaned, limited, filtered, told in sentences, and never in the daemon's way."""

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.daemon import log, log_sinks, story
from ipsecd.daemon.log import Limiter, Log
from ipsecd.daemon.log_sinks import JournalSink, Line, StreamSink, Writer, encode_journal
from ipsecd.errors import OperatorError


class Kept:
    """A sink that keeps what it's given."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def write(self, line: Line) -> None:
        self.lines.append(line)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def structlog_as_it_was() -> Iterator[None]:
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)


def written(act: Callable[[Log], None], **options: Any) -> list[Line]:
    """The lines that reach the sink when ``act`` has used a log."""
    sink = Kept()
    journal = Log(Writer(sink), wall=lambda: 0.0, **options)
    log.use(journal)
    act(journal)
    journal.close()
    return sink.lines


def fail(error: Exception) -> None:
    raise error


# --- sentences ------------------------------------------------------------------------------------------------------


def test_an_event_with_a_sentence_is_told_in_it() -> None:
    lines = written(lambda _: structlog.get_logger().info("ready", summary="1 rule"), kind="journal")
    assert [(line.level, line.event, line.text) for line in lines] == [("info", "ready", "Ready: 1 rule")]
    assert lines[0].fields == {"summary": "1 rule", "windows_event": 5478}


def test_an_event_without_a_sentence_shows_its_words_and_fields() -> None:
    assert story.sentence("odd-thing", {"peer": "a b", "n": 3, "s": ""}) == 'odd thing: peer="a b" n=3 s=""'
    assert story.sentence("odd-thing", {}) == "odd thing"


def test_a_sentence_whose_field_is_missing_falls_back_to_the_listing() -> None:
    assert story.sentence("ready", {"other": 1}) == "ready: other=1"


# --- levels ---------------------------------------------------------------------------------------------------------


def test_the_level_can_change_at_run_time() -> None:
    def act(journal: Log) -> None:
        logger = structlog.get_logger()
        logger.debug("one")
        journal.set_level("debug")
        logger.debug("two")
        journal.set_level("error")
        logger.warning("three")
        logger.error("four")

    assert [line.event for line in written(act)] == ["two", "four"]


def test_an_unknown_level_is_refused_and_named_harmlessly() -> None:
    with pytest.raises(OperatorError, match=r"no log level 'lo\\nud'"):
        Log(Writer(Kept())).set_level("lo\nud")


def test_a_tap_sees_events_below_the_level_of_the_log() -> None:
    seen: list[dict[str, Any]] = []

    def act(journal: Log) -> None:
        journal.add_tap(seen.append, "debug")
        structlog.get_logger().debug("detail", n=1)
        journal.remove_tap(seen.append)
        structlog.get_logger().debug("detail", n=2)

    assert written(act) == []
    assert [(event["event"], event["level"], event["fields"]) for event in seen] == [("detail", "debug", {"n": 1})]


# --- text from outside ----------------------------------------------------------------------------------------------


def test_peer_chosen_text_can_not_start_a_new_line_or_colour_the_terminal() -> None:
    evil = "x\n12:00:00 info  Ready: all fine\x1b[2K\u202e"
    lines = written(lambda _: structlog.get_logger().info("ready", summary=evil))
    assert lines[0].text.isprintable()
    assert "\\n12:00:00" in lines[0].text
    assert lines[0].fields["summary"].isprintable()


@given(st.text(), st.binary(), st.lists(st.text()), st.dictionaries(st.text(), st.text()))
def test_any_field_comes_out_printable_and_bounded(text: str, octets: bytes, items: list[str], table: Any) -> None:
    fields = {"text": text, "octets": octets, "items": items, "table": table}
    lines = written(lambda journal: journal.emit("info", "odd", fields))
    assert lines[0].text.isprintable()
    assert len(str(lines[0].fields["text"])) <= limits.LOGGED_TEXT
    assert json.loads(json.dumps(lines[0].fields)) == lines[0].fields


def test_a_secret_shows_its_length_alone() -> None:
    lines = written(lambda journal: journal.emit("info", "odd", {"key": Secret(b"sesame"), "all": [Secret(b"sesame")]}))
    assert "Secret(6)" in lines[0].text
    assert "sesame" not in repr(lines)


def test_the_lines_of_a_traceback_are_indented_so_that_none_can_pass_for_an_event() -> None:
    def act(_: Log) -> None:
        try:
            fail(ValueError("bad\n00:00:00 info Ready"))
        except ValueError as error:
            structlog.get_logger().error("fault", traceback=log.traceback_lines(error))

    text = written(act)[0].text
    assert "ValueError: bad" in text
    assert all(line.startswith("    ") for line in text.split("\n")[1:])


# --- limiter --------------------------------------------------------------------------------------------------------


def test_five_lines_a_second_pass_and_the_rest_is_counted() -> None:
    clock = Clock()
    limiter = Limiter(clock)
    assert [limiter.admit() for _ in range(8)] == [True] * 5 + [False] * 3
    clock.now += 0.4
    assert [limiter.admit() for _ in range(3)] == [True, True, False]
    assert limiter.take_suppressed() == 4
    assert limiter.take_suppressed() == 0


def test_a_flood_of_unauthenticated_datagrams_writes_five_lines_and_one_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(story.STORY, "noise", story.Told("noise", unauthenticated=True))
    monkeypatch.setitem(story._NEEDS, "noise", ())

    def act(journal: Log) -> None:
        for _ in range(1_000):
            structlog.get_logger().info("noise")
        structlog.get_logger().info("calm")
        journal.tell_suppressed()
        journal.tell_suppressed()

    events = [(line.event, dict(line.fields)) for line in written(act, clock=Clock())]
    assert events == [("noise", {})] * 5 + [("calm", {}), ("lines-suppressed", {"count": 995})]


def test_events_that_nobody_wants_use_up_no_allowance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(story.STORY, "noise", story.Told("noise", unauthenticated=True))
    monkeypatch.setitem(story._NEEDS, "noise", ())

    def act(_: Log) -> None:
        for _number in range(100):
            structlog.get_logger().debug("noise")
        structlog.get_logger().info("noise")

    assert len(written(act, clock=Clock())) == 1


# --- formats --------------------------------------------------------------------------------------------------------


def test_json_lines_hold_the_fields() -> None:
    line = written(lambda journal: journal.emit("info", "ready", {"summary": "ü\x1b"}), kind="json")[0].text
    assert json.loads(line) | {"time": ""} == {
        "time": "",
        "level": "info",
        "event": "ready",
        "text": "Ready: ü\\x1b",
        "summary": "ü\\x1b",
        "windows_event": 5478,
    }
    assert line.isascii()


def test_the_terminal_format_colours_warnings_and_ends_the_colour() -> None:
    line = written(lambda journal: journal.emit("warning", "odd", {}), kind="terminal")[0].text
    assert line.startswith("\x1b[33m")
    assert line.endswith("warning odd\x1b[0m")


def test_the_format_follows_where_standard_error_goes(tmp_path: Path) -> None:
    main, end = os.openpty()
    with (tmp_path / "file").open("w") as file:
        status = os.fstat(file.fileno())
        stream = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert log.choose_format("auto", {}, end) == "terminal"
        assert log.choose_format("auto", {"NO_COLOR": "1"}, end) == "plain"
        assert log.choose_format("auto", {}, file.fileno()) == "plain"
        assert log.choose_format("auto", {"JOURNAL_STREAM": "1:2"}, file.fileno()) == "plain"
        assert log.choose_format("json", stream, file.fileno()) == "json"
    os.close(main)
    os.close(end)


def test_under_systemd_the_journal_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_sinks, "JOURNAL_SOCKET", str(tmp_path))
    with (tmp_path / "file").open("w") as file:
        status = os.fstat(file.fileno())
        stream = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert log.choose_format("auto", stream, file.fileno()) == "journal"
    assert not log_sinks.stderr_is_journal(stream, descriptor=9_999)


# --- libraries ------------------------------------------------------------------------------------------------------


def test_what_libraries_log_comes_out_as_an_event() -> None:
    def act(_: Log) -> None:
        logging.getLogger("asyncio").warning("slow %s", "callback\n")
        try:
            fail(OSError("gone"))
        except OSError:
            logging.getLogger("pyroute2").exception("netlink")

    one, two = written(act)
    assert (one.level, one.event, one.fields) == (
        "warning",
        "library",
        {"library": "asyncio", "message": "slow callback\\n"},
    )
    assert two.level == "error"
    assert two.fields["traceback"][-1] == "OSError: gone"


# --- sinks ----------------------------------------------------------------------------------------------------------


def test_a_stuck_reader_never_blocks_those_who_log_and_the_loss_is_counted() -> None:
    gate = threading.Event()
    held = threading.Event()

    class Stuck(Kept):
        def write(self, line: Line) -> None:
            held.set()
            gate.wait()
            super().write(line)

    sink = Stuck()
    journal = Log(Writer(sink, capacity=10))
    journal.emit("info", "first", {})
    held.wait()
    for number in range(25):
        journal.emit("info", f"event-{number}", {})
    assert journal.dropped == 15
    gate.set()
    journal.close()
    assert [line.event for line in sink.lines] == ["first", *(f"event-{number}" for number in range(10))]


def test_an_exit_waits_for_a_stuck_reader_only_so_long() -> None:
    gate = threading.Event()

    class Stuck:
        def write(self, line: Line) -> None:
            gate.wait()

    writer = Writer(Stuck())
    writer.put(Line("info", "x", "x"))
    writer.close(timeout=0.01)
    gate.set()


def test_a_sink_that_fails_costs_lines_and_nothing_else() -> None:
    class Broken:
        def write(self, line: Line) -> None:
            raise BrokenPipeError

    writer = Writer(Broken())
    writer.put(Line("info", "x", "x"))
    writer.close()
    assert writer.dropped == 1


def test_the_stream_sink_writes_whole_lines() -> None:
    reader, writer = os.pipe()
    StreamSink(writer).write(Line("info", "x", "tëxt\ud800"))
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        assert stream.read() == "tëxt\\ud800\n".encode()


def test_the_journal_gets_real_fields(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.bind(path)
        JournalSink(path).write(Line("warning", "ike-lost", "gone", {"peer": "hq", "tries-left": 3}))
        assert journald.recv(4_096) == (
            b"MESSAGE=gone\nPRIORITY=4\nSYSLOG_IDENTIFIER=ipsecd\nIPSECD_EVENT=ike-lost\n"
            b"IPSECD_PEER=hq\nIPSECD_TRIES_LEFT=3\n"
        )


def test_a_newline_in_a_journal_value_goes_behind_its_length() -> None:
    entry = encode_journal(Line("info", "x", "one\nPRIORITY=0"))
    assert entry.startswith(b"MESSAGE\n\x0e\x00\x00\x00\x00\x00\x00\x00one\nPRIORITY=0\nPRIORITY=6\n")


def test_a_missing_journal_socket_is_an_os_error_for_the_writer_to_count(tmp_path: Path) -> None:
    writer = Writer(JournalSink(str(tmp_path / "nobody")))
    writer.put(Line("info", "x", "x"))
    writer.close()
    assert writer.dropped == 1


def test_starting_the_log_connects_structlog_to_the_descriptor() -> None:
    reader, end = os.pipe()
    journal = log.start("auto", "info", {}, end)
    structlog.get_logger().info("ready", summary="all")
    journal.close()
    os.close(end)
    with os.fdopen(reader, "r") as stream:
        assert stream.read().endswith(" info    Ready: all\n")
