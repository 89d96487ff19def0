"""What people read: every field of an answer, at any width, with nothing in it that could move a cursor."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import pytest
from rich.console import Console, RenderableType

from ipsecd.cli import render, render_sas

RULE = {
    "name": "to-hq",
    "description": "the office",
    "action": "require-security",
    "peer": "to-hq",
    "state": "down",
    "reason": "",
    "children": ["to-hq/1", "to-hq/2"],
    "each": False,
    "up": [],
    "last_failure": None,
    "not_clear": "",
    "hosts": [],
    "more_hosts": 0,
}
STATUS = {
    "version": "0.1.0",
    "pid": 7,
    "uptime": 93_784.2,
    "policy": "branch",
    "file": "/etc/ipsecd/policy.yaml",
    "rules": [RULE],
    "unresolved": [],
    "exempt": [],
    "assigned": {"policy": "branch", "by": "file", "file_says": "branch"},
    "bare": False,
    "drops": {},
    "drop_reasons": {},
    "faults": {},
    "log_lines_lost": 0,
}
CHILD = {
    "name": "to-hq/1",
    "stage": "up",
    "local": ["10.1.0.0/16", "10.3.0.0/16"],
    "remote": ["10.2.0.0/16"],
    "suite": "aes128gcm16-esn",
    "protocol": "ESP",
    "mode": "tunnel",
    "encapsulation": "udp",
    "around": [],
    "spi_in": "c0ffee01",
    "spi_out": "c0ffee02",
    "in": {"packets": 3, "octets": 252, "idle": None, "dummies": 0},
    "out": {"packets": 1_000, "octets": 1_400_000, "idle": 2.0, "dummies": 0},
    "rekey_in": 3_000.4,
    "tfc": {"padding": 0, "declined": False, "dummies": 0},
}
IN_AH = CHILD | {
    "protocol": "AH around ESP",
    "around": [
        {
            "protocol": "AH",
            "spi_in": "c0ffee03",
            "spi_out": "c0ffee04",
            "in": {"packets": 4, "octets": 500, "idle": None, "dummies": 0},
            "out": {"packets": 1_001, "octets": 1_500_000, "idle": 2.0, "dummies": 0},
        }
    ],
}
SA = {
    "peer": "to-hq",
    "stage": "established",
    "version": "IKEv2",
    "product": "",
    "user": "",
    "given": [],
    "initiator": True,
    "local_id": "gw.branch.example",
    "remote_id": "gw.hq.example",
    "local": "192.0.2.1:4500",
    "remote": "198.51.100.1:4500",
    "spi_i": "0102030405060708",
    "spi_r": "1112131415161718",
    "suite": "aes128gcm16-prfsha256-x25519",
    "nat_here": False,
    "nat_there": False,
    "encapsulation": "udp",
    "age": 61.0,
    "rekey_in": 7_200.0,
    "children": [CHILD],
}
ENTRY = {
    "name": "to-hq/1",
    "action": "protect",
    "direction": "both",
    "pairs": [["10.1.0.0/16", "10.2.0.0/16"], ["10.3.0.0/16", "10.4.0.0/16"]],
    "passthrough": False,
    "line": 12,
    "steered": 5,
    "dropped": 1,
}
PEER = {
    "name": "to-hq",
    "local": None,
    "remotes": ["198.51.100.1"],
    "remote_name": "",
    "anywhere": False,
    "each": False,
    "local_id": "gw.branch.example",
    "remote_id": "gw.hq.example",
    "versions": ["IKEv2"],
    "credentials": ["hq", "old"],
}


def shown(parts: Iterable[RenderableType], width: int = 200) -> str:
    console = Console(width=width, file=io.StringIO(), markup=False, highlight=False, emoji=False)
    render.show(console, *parts)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def rows(parts: Iterable[RenderableType], width: int = 200) -> list[str]:
    """The words of each line that has any, a space between them."""
    return [" ".join(line.split()) for line in shown(parts, width).splitlines() if line.strip()]


# --- status ---------------------------------------------------------------------------------------------------------


def test_status_begins_with_the_daemon() -> None:
    text = shown(render.status(STATUS, 200))
    assert text.startswith("ipsecd 0.1.0, process 7, up 1 d 2 h, policy branch of /etc/ipsecd/policy.yaml\n\n")
    alone = STATUS | {"policy": "(persistent rules)"}
    assert ", the persistent rules alone of /etc/ipsecd/policy.yaml\n" in shown(render.status(alone, 200))
    none = STATUS | {"policy": None, "rules": []}
    assert shown(render.status(none, 200)) == "ipsecd 0.1.0, process 7, up 1 d 2 h, no policy is in force\n\n"


FAILURE = {"event": "ike-failed", "reason": "the peer is busy", "ago": 65.0}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "to-hq down require-security 0 of 2 the office"),
        ({"state": "up", "up": ["to-hq/1"]}, "to-hq up require-security 1 of 2 the office"),
        (
            {"state": "up", "each": True, "up": ["to-hq/1@192.0.2.9", "to-hq/1@192.0.2.8"]},
            "to-hq up require-security 2 the office",
        ),
        (
            {"state": "unusable", "reason": "no key", "last_failure": FAILURE},
            "to-hq unusable require-security 0 of 2 no key",
        ),
        ({"last_failure": FAILURE}, "to-hq down require-security 0 of 2 the peer is busy, 1 min 5 s ago"),
        (
            {"not_clear": "it has answered", "last_failure": FAILURE},
            "to-hq down require-security 0 of 2 the peer is busy, 1 min 5 s ago; not in clear: it has answered",
        ),
        (
            {"each": True, "last_failure": FAILURE | {"peer": "to-hq@192.0.2.9"}},
            "to-hq down require-security 0 to-hq@192.0.2.9: the peer is busy, 1 min 5 s ago",
        ),
        ({"not_clear": "it has answered"}, "to-hq down require-security 0 of 2 not in clear: it has answered"),
        ({"children": [], "state": "block", "action": "block"}, "to-hq block block the office"),
        ({"state": "held"}, "to-hq held require-security 0 of 2 put down by command: ipsecctl up to-hq"),
    ],
)
def test_status_has_a_line_for_each_rule(changes: dict[str, Any], words: str) -> None:
    assert words in rows(render.status(STATUS | {"rules": [RULE | changes]}, 200))


def test_status_tells_who_is_talked_to_in_clear() -> None:
    soft = {"remote": "192.0.2.2", "rule": "to-hq", "peer": "to-hq", "child": "to-hq/1", "age": 61.0, "left": 239.4}
    assert "192.0.2.2 to-hq 1 min 1 s ago 3 min 59 s" in rows(render.status(STATUS | {"soft_sas": [soft]}, 200))
    assert "in clear with" not in shown(render.status(STATUS | {"soft_sas": []}, 200))


@pytest.mark.parametrize(
    ("plane", "processes", "words"),
    [
        ("processes", {"out": 8, "in": 9}, "process 8 (out) and process 9 (in)"),
        ("processes", {"out": 8, "in": None}, "process 8 (out)"),
        ("processes", {}, "nobody now"),
        ("inline", {}, "the same process"),
    ],
)
def test_status_tells_who_carries_packets(plane: str, processes: dict[str, int | None], words: str) -> None:
    answer = STATUS | {"data_plane": plane, "processes": processes}
    assert f"packets are carried by {words}\n" in shown(render.status(answer, 200))


def test_status_says_what_is_missing_lost_and_dropped() -> None:
    more = {
        "unresolved": ["hq.example", "b.example"],
        "exempt": ["kerberos", "neighbour_discovery"],
        "drops": {"bad-icv": 3, "odd": 2},
        "drop_reasons": {"bad-icv": "its ICV is wrong"},
        "faults": {"a datagram": 1},
        "log_lines_lost": 9,
    }
    lines = rows(render.status(STATUS | more, 200))
    for words in (
        "names without an address: hq.example, b.example",
        "passes in clear whatever the rules say: kerberos, neighbour discovery",
        "dropped because count that is",
        "bad-icv 3 its ICV is wrong",
        "odd 2",
        "fault in a datagram 1 an error of ipsecd's own, which the log has in full",
        "log lines lost 9 whoever reads the log was too slow",
    ):
        assert words in lines


# --- sas ------------------------------------------------------------------------------------------------------------


def test_sas_without_any() -> None:
    assert shown(render_sas.sas({"sas": []}, 200)) == "no SAs\n"


def test_sas_shows_an_ike_sa_and_its_children() -> None:
    lines = rows(render_sas.sas({"sas": [SA]}, 200))
    for words in (
        "to-hq established gw.branch.example (192.0.2.1:4500) = gw.hq.example (198.51.100.1:4500)",
        "IKEv2, aes128gcm16-prfsha256-x25519, we called, up 1 min 1 s, rekey in 2 h 0 min",
        "SPIs 0102030405060708 1112131415161718",
        (
            "to-hq/1 up 10.1.0.0/16, 10.3.0.0/16 = 10.2.0.0/16 aes128gcm16-esn tunnel, ESP in UDP c0ffee01 "
            "c0ffee02 3 pkts, 252 B 1000 pkts, 1.4 MB 50 min 0 s"
        ),
    ):
        assert words in lines


def test_sas_of_ah_around_esp_have_the_spis_and_counters_of_both() -> None:
    text = shown(render_sas.sas({"sas": [SA | {"children": [IN_AH]}]}, 99), 99)
    assert (
        "suite     aes128gcm16-esn\n"
        "form      tunnel, AH around ESP in UDP\n"
        "SPI in    AH c0ffee03\n"
        "          ESP c0ffee01\n"
        "SPI out   AH c0ffee04\n"
        "          ESP c0ffee02\n"
        "in        AH 4 pkts, 500 B\n"
        "          ESP 3 pkts, 252 B\n"
        "out       AH 1001 pkts, 1.5 MB\n"
        "          ESP 1000 pkts, 1.4 MB\n"
    ) in text


@pytest.mark.parametrize(
    ("changes", "form"),
    [
        ({"encapsulation": "native"}, "tunnel, native ESP"),
        ({"mode": "transport"}, "transport, ESP in UDP"),
        ({"mode": "transport", "encapsulation": "native", "protocol": "AH"}, "transport, native AH"),
    ],
)
def test_sas_says_how_packets_are_made(changes: dict[str, Any], form: str) -> None:
    text = shown(render_sas.sas({"sas": [SA | {"children": [CHILD | changes]}]}, 99), 99)
    assert f"form      {form}\n" in text


def test_sas_shows_what_hides_an_sa_and_how_many_dummies_it_had() -> None:
    tfc = {"padding": "mtu", "declined": False, "dummies": 5}
    hidden = CHILD | {"tfc": tfc, "in": CHILD["in"] | {"dummies": 2}}
    line = rows(render_sas.sas({"sas": [SA | {"children": [hidden]}]}, 300), 300)[-1]
    assert "tunnel, ESP in UDP, padded to the path MTU, 5 dummies a second c0ffee01" in line
    assert "3 pkts, 252 B, 2 dummies 1000 pkts, 1.4 MB" in line
    for tfc, said in (
        ({"padding": 1_400, "declined": False, "dummies": 0}, "ESP in UDP, padded to 1400 c0ffee01"),
        (
            {"padding": 0, "declined": True, "dummies": 1},
            "ESP in UDP, not padded: the peer takes no padding, 1 dummy a second c0ffee01",
        ),
    ):
        assert said in rows(render_sas.sas({"sas": [SA | {"children": [CHILD | {"tfc": tfc}]}]}, 300), 300)[-1]


def test_sas_of_an_ike_sa_that_is_not_there_yet() -> None:
    young = SA | {
        "stage": "half-open",
        "initiator": False,
        "local_id": "",
        "remote_id": "",
        "suite": "",
        "age": None,
        "rekey_in": None,
        "nat_here": True,
        "nat_there": True,
        "children": [],
    }
    lines = rows(render_sas.sas({"sas": [young]}, 200))
    assert lines[0] == "to-hq half-open ? (192.0.2.1:4500) = ? (198.51.100.1:4500)"
    assert lines[1] == "IKEv2, it called, NAT before us and the peer"


def test_sas_say_what_the_peer_is_who_uses_it_and_which_addresses_were_given() -> None:
    old = {"version": "IKEv1", "product": "strongSwan", "user": "alice", "given": ["10.3.0.1", "2001:db8::1"]}
    lines = rows(render_sas.sas({"sas": [SA | old]}, 200))
    assert lines[1].startswith("IKEv1, aes128gcm16-prfsha256-x25519, we called")
    assert lines[2] == "the peer is strongSwan, user alice, address given: 10.3.0.1, 2001:db8::1"


# --- policy ---------------------------------------------------------------------------------------------------------


def test_policy_shows_entries_and_peers() -> None:
    answer = {"policy": "branch", "entries": [ENTRY], "peers": [PEER]}
    text = shown(render.policy(answer, 200))
    lines = rows(render.policy(answer, 200))
    assert text.startswith("policy branch, the first entry that matches decides\n\n")
    assert "to-hq/1 protect both 10.1.0.0/16 10.2.0.0/16 12 5 1" in lines
    assert "10.3.0.0/16 10.4.0.0/16" in lines
    assert "to-hq by route 198.51.100.1 gw.branch.example gw.hq.example IKEv2 hq, old" in lines


@pytest.mark.parametrize(
    ("changes", "there"),
    [
        ({"remotes": [], "anywhere": True}, "anywhere"),
        ({"remotes": [], "remote_name": "hq.example"}, "hq.example ?"),
        ({"remotes": ["198.51.100.1", "198.51.100.2"]}, "198.51.100.1, 198.51.100.2"),
    ],
)
def test_policy_says_where_a_peer_is(changes: dict[str, Any], there: str) -> None:
    answer = {"policy": "branch", "entries": [ENTRY | {"pairs": [], "line": 0}], "peers": [PEER | changes]}
    lines = rows(render.policy(answer, 200))
    assert f"to-hq by route {there} gw.branch.example gw.hq.example IKEv2 hq, old" in lines
    assert "to-hq/1 protect both 5 1" in lines


def test_policy_says_which_peers_stand_for_many_hosts() -> None:
    hosts = PEER | {"remotes": [], "each": True, "local_id": None, "remote_id": None}
    lines = rows(render.policy({"policy": "branch", "entries": [], "peers": [hosts]}, 200))
    assert "to-hq by route each host its address its address IKEv2 hq, old" in lines


def test_policy_says_which_entries_let_in_what_comes_in_clear() -> None:
    lines = rows(render.policy({"policy": "branch", "entries": [ENTRY | {"passthrough": True}], "peers": []}, 200))
    assert "in clear: in 10.3.0.0/16 10.4.0.0/16" in lines


# --- where there is little room -------------------------------------------------------------------------------------


def test_where_columns_would_be_narrow_there_is_a_block_for_each_row() -> None:
    assert shown(render.policy({"policy": "branch", "entries": [ENTRY, ENTRY], "peers": []}, 80), 80) == (
        "policy branch, the first entry that matches decides\n"
        "\n"
        + 2
        * (
            "entry             to-hq/1\n"
            "action            protect\n"
            "way               both\n"
            "here              10.1.0.0/16\n"
            "                  10.3.0.0/16\n"
            "there             10.2.0.0/16\n"
            "                  10.4.0.0/16\n"
            "line              12\n"
            "packets           5\n"
            "dropped in clear  1\n"
            "\n"
        )
    )
    text = shown(render_sas.sas({"sas": [SA, SA | {"children": []}]}, 99), 99)
    assert "child     to-hq/1\nstate     up\ntraffic   10.1.0.0/16, 10.3.0.0/16 = 10.2.0.0/16\n" in text


@pytest.mark.parametrize("width", [60, 80, 99, 100, 120])
def test_no_width_breaks_a_name_into_single_letters(width: int) -> None:
    for parts in (
        render.status(STATUS, width),
        render_sas.sas({"sas": [SA]}, width),
        render.policy({"policy": "branch", "entries": [ENTRY], "peers": [PEER]}, width),
    ):
        text = shown(parts, width)
        assert "to-hq" in text
        assert max(map(len, text.splitlines())) <= width


# --- the rest -------------------------------------------------------------------------------------------------------


def test_a_difference_names_what_has_changed() -> None:
    answer = {
        "policy": "branch",
        "difference": {
            "added": ["a", "b"],
            "removed": [],
            "kept": ["c"],
            "for_all_rules": ["exemptions", "order of filters"],
            "credentials": ["hq"],
        },
        "unusable": {"to-hq": "no key"},
    }
    assert shown(render.difference(answer, 200)) == (
        "added: a, b\nfor all rules: exemptions, order of filters\ncredentials: hq\nto-hq can't be used: no key\n"
    )
    same: dict[str, Any] = {"policy": "branch", "difference": {"kept": ["c"]}, "unusable": {}}
    assert shown(render.difference(same, 200)) == "nothing has changed\n"
    many: dict[str, Any] = {"policy": "branch", "difference": {"removed": ["a"] * 21}, "unusable": {}}
    assert shown(render.difference(many, 200)) == f"removed: {', '.join('a' * 20)} and 1 more\n"


def test_an_event_is_a_line_with_its_time_and_level() -> None:
    told = {"level": "warning", "time": "2026-01-02T03:04:05.678+00:00", "text": "site: no IKE SA"}
    assert render.event(told).plain == "03:04:05.678 warning site: no IKE SA"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (-5, "0 s"),
        (0.4, "0 s"),
        (59.6, "1 min 0 s"),
        (61, "1 min 1 s"),
        (3_600, "1 h 0 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations(seconds: float | None, words: str) -> None:
    assert render.duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (1_400_000, "1.4 MB"), (10**10, "10.0 GB"), (10**13, "10.0 TB")],
)
def test_octets(count: int, words: str) -> None:
    assert render.octets(count) == words


def test_nothing_in_an_answer_moves_the_cursor() -> None:
    evil = "\x1b[2J\r\u202e"
    answers: tuple[Iterable[RenderableType], ...] = (
        render.status(STATUS | {"file": evil, "rules": [RULE | {"name": evil, "reason": evil}]}, 200),
        render_sas.sas({"sas": [SA | {"remote_id": evil, "peer": evil, "children": [CHILD | {"suite": evil}]}]}, 200),
        render.policy({"policy": evil, "entries": [ENTRY | {"name": evil}], "peers": [PEER | {"name": evil}]}, 80),
        render.difference({"policy": evil, "difference": {"added": [evil]}, "unusable": {evil: evil}}, 200),
        render.level({"level": evil, "before": evil}, 200),
        render.unassigned({"policy": evil, "bare": False, "persistent": False}, 200),
        (render.event({"level": "info", "time": evil, "text": evil}),),
    )
    for parts in answers:
        text = shown(parts)
        assert "\\x1b[2J" in text
        assert {"\x1b", "\r", "\u202e"} & set(text) == set()


def test_hosts_without_an_sa_are_shown_below_the_rules_and_how_many_there_are_more() -> None:
    held = {"peer": "lan@192.0.2.8", "state": "held", "reason": "", "ago": None}
    failed = {"peer": "lan@192.0.2.9", "state": "failed", "reason": "the peer doesn't answer", "ago": 75.0}
    calling = {"peer": "lan@192.0.2.7", "state": "negotiating", "reason": "", "ago": None}
    lan = RULE | {"name": "lan", "each": True, "hosts": [held, failed, calling], "more_hosts": 12}
    lines = [" ".join(line.split()) for line in shown(render.status(STATUS | {"rules": [lan]}, 160)).splitlines()]
    at = lines.index("host state remark")
    assert lines[at + 2 : at + 6] == [
        "lan@192.0.2.8 held put down by command: ipsecctl up lan@192.0.2.8",
        "lan@192.0.2.9 failed the peer doesn't answer, 1 min 15 s ago",
        "lan@192.0.2.7 negotiating",
        "lan: 12 more",
    ]
    assert "host" not in shown(render.status(STATUS, 160))
