"""The control protocol: each line ends in a checked request or a named refusal."""

import json
from typing import Any

import pytest

from ipsecd import limits
from ipsecd.daemon.protocol import (
    COMMANDS,
    BadRequest,
    Request,
    describe,
    encode_error,
    encode_event,
    encode_request,
    encode_result,
    parse_request,
)
from ipsecd.errors import ConfigError, KernelError, Mistake, OperatorError, PeerError, Refused


def refusal(line: bytes) -> tuple[str, int | None]:
    with pytest.raises(BadRequest) as caught:
        parse_request(line)
    return caught.value.reason, caught.value.request_id


def test_a_request_names_a_command_and_its_arguments() -> None:
    line = b'{"id":7,"command":"explain","source":"10.1.0.2","destination":"10.2.0.2","protocol":"tcp","icmp_code":8}\n'
    arguments = {"source": "10.1.0.2", "destination": "10.2.0.2", "protocol": "tcp", "icmp_code": 8}
    assert parse_request(line) == Request(7, "explain", arguments)


def test_the_id_and_what_is_null_may_be_left_out() -> None:
    assert parse_request(b'{"command":"monitor","level":null}') == Request(None, "monitor", {})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "not-json"),
        (b"hello", "not-json"),
        (b'{"command":"status"} {}', "not-json"),
        (b'{"command":"status"', "not-json"),
        (b'{"command":"\xff"}', "not-json"),
        (b'{"command":NaN}', "not-json"),
        (b'{"command":"status","command":"unassign"}', "not-json"),
        (b'{"id":' + b"9" * 5_000 + b"}", "not-json"),
        (b"[" * 100_000, "not-json"),
        (b'{"a":' * 100_000, "not-json"),
        (b"[]", "not-an-object"),
        (b"1", "not-an-object"),
        (b"null", "not-an-object"),
        (b'{"id":"1","command":"status"}', "bad-id"),
        (b'{"id":true,"command":"status"}', "bad-id"),
        (b"{}", "unknown-command"),
        (b'{"command":1}', "unknown-command"),
        (b'{"command":[]}', "unknown-command"),
        (b'{"command":"stat\\u0000us"}', "unknown-command"),
        (b'{"command":"status","more":1}', "unknown-argument"),
        (b'{"command":"up"}', "missing-argument"),
        (b'{"command":"up","name":null}', "missing-argument"),
        (b'{"command":"up","name":""}', "bad-argument"),
        (b'{"command":"up","name":3}', "bad-argument"),
        (b'{"command":"up","name":"' + b"x" * 1_025 + b'"}', "bad-argument"),
        (b'{"command":"log-level","level":"loud"}', "bad-argument"),
        (b'{"command":"explain","source":"a","destination":"b","source_port":65536}', "bad-argument"),
        (b'{"command":"explain","source":"a","destination":"b","source_port":-1}', "bad-argument"),
        (b'{"command":"explain","source":"a","destination":"b","source_port":true}', "bad-argument"),
        (b'{"command":"explain","source":"a","destination":"b","source_port":1.5}', "bad-argument"),
        (b" " * (limits.CONTROL_LINE + 1), "line-too-long"),
    ],
)
def test_bad_lines_are_refused_by_name(line: bytes, reason: str) -> None:
    assert refusal(line)[0] == reason


def test_a_refusal_carries_the_id_so_that_the_client_can_match_it() -> None:
    assert refusal(b'{"id":9,"command":"fly"}') == ("unknown-command", 9)


def test_what_the_client_encodes_the_server_parses() -> None:
    assert parse_request(encode_request(3, "up", {"name": "to-hq\n"})) == Request(3, "up", {"name": "to-hq\n"})


def test_answers_are_one_line_of_ascii() -> None:
    for line in (
        encode_result(1, {"text": "ü\n"}),
        encode_event({"text": "ü\n"}),
        encode_error(None, OperatorError("ü\n")),
    ):
        assert line.isascii()
        assert line.index(b"\n") == len(line) - 1


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (BadRequest("a", "b", "c"), {"reason": "a", "message": "b", "hint": "c"}),
        (OperatorError("no", "do"), {"reason": "refused", "message": "no", "hint": "do"}),
        (KernelError("no", "do"), {"reason": "kernel", "message": "no", "hint": "do"}),
        (PeerError("bad-icv", "odd"), {"reason": "bad-icv", "message": "odd", "hint": ""}),
        (Refused("no-rule"), {"reason": "no-rule", "message": "no-rule", "hint": ""}),
        (
            ConfigError((Mistake("p.yaml", 3, 5, "rules.0", "odd"),)),
            {
                "reason": "bad-policy",
                "message": "1 mistake in the policy",
                "hint": "",
                "mistakes": ["p.yaml:3:5: rules.0: odd"],
            },
        ),
        (
            ZeroDivisionError("the secret is 42"),
            {"reason": "fault", "message": "ipsecd met an error of its own", "hint": "the log has the details"},
        ),
    ],
)
def test_each_kind_of_error_has_its_form(error: Exception, shown: dict[str, Any]) -> None:
    assert describe(error) == shown
    assert json.loads(encode_error(4, error)) == {"id": 4, "error": shown}


def test_the_keys_are_for_root_alone() -> None:
    assert [name for name, command in COMMANDS.items() if command.root] == ["keys-export"]
