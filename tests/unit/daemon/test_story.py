"""Every event that the code can cause has a sentence, and every sentence belongs to an event."""

import ast
from collections.abc import Iterator
from pathlib import Path

import ipsecd
from ipsecd.daemon.log import LEVELS
from ipsecd.daemon.losses import OF_THE_WAY_IN
from ipsecd.daemon.story import STORY, is_unauthenticated, sentence

PACKAGE = Path(ipsecd.__file__).parent
CALLS = {*LEVELS, "report", "_report", "ike_failed", "child_failed", "stranger_failed", "_tell_failure", "emit"}
BY_VALUE = {"auth-failed", "child-failed", "bad-request"}  # ike/dispatch.py picks one of these by exchange
BY_VALUE |= {"child-lost", "child-expired"}  # and ike/sa.py of these by what has become of it
LOSSES = {"clear-dropped", *OF_THE_WAY_IN.values()}  # and daemon/losses.py of these by what was dropped
BY_VALUE |= LOSSES


def events() -> Iterator[tuple[str, str]]:
    """The first text among the arguments of every call that logs or reports, and where it stands."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                words = [each.value for each in node.args if isinstance(each, ast.Constant)]
                found = [word for word in words if isinstance(word, str) and word not in LEVELS]
                if name in CALLS and found:
                    yield found[0], f"{path.name}:{node.lineno}"


def test_every_event_has_a_sentence() -> None:
    assert [(event, where) for event, where in events() if event not in STORY] == []


def test_every_sentence_belongs_to_an_event() -> None:
    assert set(STORY) - {event for event, _ in events()} - BY_VALUE == set()


def test_what_strangers_can_cause_is_rate_limited() -> None:
    assert {event for event in STORY if is_unauthenticated(event)} == {
        "fault",
        "ike-refused",
        "sa-init-refused",
        "password-not-judged",
        "auth-failed",
        "bad-request",
        "ike-unreachable",
        "child-unreached",
        "internal-error",
        *LOSSES,
    }


def test_a_failed_child_is_named_where_one_is_known() -> None:
    fields = {"rule": "to-hq", "reason": "no common proposal"}
    assert sentence("child-failed", {**fields, "child": "to-hq/2"}) == "to-hq/2: no child SA: no common proposal"
    assert sentence("child-failed", fields) == "to-hq: no child SA: no common proposal"


def test_a_sentence_is_about_the_rule_else_the_peer_else_the_address() -> None:
    reason = {"reason": "the key isn't the one we have"}
    assert sentence("auth-failed", {"rule": "to-hq", "peer": "hq", **reason}).startswith("to-hq: authentication failed")
    assert sentence("auth-failed", {"rule": "", "peer": "hq", **reason}).startswith("hq: ")
    assert sentence("auth-failed", {"rule": "", "peer": "", "remote": "192.0.2.2:500", **reason}).startswith(
        "192.0.2.2"
    )


def test_a_sentence_about_a_peer_says_who_uses_it() -> None:
    fields = {"rule": "staff", "peer": "staff", "user": "alice\n", "reason": "the peer has ended it"}
    assert sentence("ike-closed", fields) == "staff (alice\\n): IKE SA closed: the peer has ended it"
    assert sentence("ike-closed", {**fields, "user": ""}) == "staff: IKE SA closed: the peer has ended it"


def test_a_sentence_about_one_host_of_many_says_which() -> None:
    fields = {"rule": "servers", "peer": "servers@192.0.2.9", "reason": "the peer doesn't answer"}
    assert sentence("ike-failed", fields) == "servers@192.0.2.9: no IKE SA: the peer doesn't answer"
    of_another = fields | {"rule": "more"}  # a peer has the name of its first rule
    assert sentence("ike-failed", of_another) == "more@192.0.2.9: no IKE SA: the peer doesn't answer"
    of_both = fields | {"rule": "servers, more"}
    assert sentence("ike-failed", of_both) == "servers@192.0.2.9: no IKE SA: the peer doesn't answer"
    named = {"child": "servers/1@192.0.2.9", "reason": "no common proposal"}
    assert sentence("child-failed", fields | named) == "servers/1@192.0.2.9: no child SA: no common proposal"
