"""Each command of ipsecctl against a daemon in this process, for people and for programs."""

from __future__ import annotations

import asyncio
import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ipsecd
from ipsecd.cli import ipsecctl
from ipsecd.daemon import control
from ipsecd.daemon.control import Caller
from ipsecd.daemon.protocol import COMMANDS
from tests.unit.cli.scripted import STATUS, Scripted, in_turn
from tests.unit.daemon.daemons import PATIENCE, Daemon, beside, ctl, pair, policy

NO_NEWS = "nothing has failed so far: ipsecctl monitor shows what happens"
FINE = {"reason": "", "last_failure": None, "not_clear": "", "each": False}
OTHER = FINE | {"children": ["c"], "up": [], "reason": "somebody else's"}
TWO_UP = {"rules": [OTHER, FINE | {"children": ["a/1", "a/2"], "up": ["a/1", "a/2"]}]}
ONE_UP = {"rules": [OTHER, FINE | {"children": ["a/1", "a/2"], "up": ["a/1"]}, FINE | {"children": ["b"], "up": []}]}


# --- asking ---------------------------------------------------------------------------------------------------------


def test_what_two_daemons_that_talk_have_to_show(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path) as (a, _):
            assert (await a.ctl("up", "site", "--wait", "30")).output == ""

            shown = (await a.ctl("status")).output
            assert shown.startswith(f"ipsecd {ipsecd.__version__}, process ")
            assert f"policy sites of {a.folder}/policy.yaml" in shown
            assert "site   up      require-security   1 of 1" in shown
            told = json.loads((await a.ctl("status", "--json")).output)
            assert (told["policy"], told["ike_sas"], told["child_sas"]) == ("sites", 1, 1)
            assert told["rules"] == [
                {
                    "name": "site",
                    "description": "",
                    "action": "require-security",
                    "peer": "site",
                    "state": "up",
                    "reason": "",
                    "children": ["site/1"],
                    "each": False,
                    "up": ["site/1"],
                    "last_failure": None,
                    "not_clear": "",
                    "hosts": [],
                    "more_hosts": 0,
                }
            ]

            shown = (await a.ctl("sas")).output
            assert "site established  192.0.2.1 (192.0.2.1:4500) = 192.0.2.2 (192.0.2.2:4500)\n" in shown
            (sa,) = json.loads((await a.ctl("sas", "--json")).output)["sas"]
            (child,) = sa["children"]
            assert (sa["peer"], sa["initiator"], child["name"], child["stage"]) == ("site", True, "site/1", "up")
            assert child["spi_in"] in shown
            assert child["out"] == {"packets": 0, "octets": 0, "idle": None, "dummies": 0}

            shown = (await a.ctl("policy")).output
            assert shown.startswith("policy sites, the first entry that matches decides\n")
            told = json.loads((await a.ctl("policy", "--json")).output)
            (entry,) = told["entries"]
            assert (entry["name"], entry["pairs"]) == ("site/1", [["10.1.0.0/16", "10.2.0.0/16"]])
            assert told["peers"][0]["credentials"] == ["peer"]

    asyncio.run(main())


CLEAR = {"verdict": "clear", "why": "no rule covers it", "runners_up": []}


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ((), {}),
        (("--in",), {"direction": "in"}),
        (("gre",), {"protocol": "gre"}),
        (("tcp", "1024", "80"), {"protocol": "tcp", "source_port": 1_024, "destination_port": 80}),
        (("udp", "any", "53"), {"protocol": "udp", "destination_port": 53}),
        (("udp", "53", "ANY", "--in"), {"protocol": "udp", "source_port": 53, "direction": "in"}),
        (("icmp", "3", "4"), {"protocol": "icmp", "icmp_type": "3", "icmp_code": 4}),
        (("1", "echo-request"), {"protocol": "1", "icmp_type": "echo-request"}),
        (("ICMPv6", "packet-too-big", "0"), {"protocol": "ICMPv6", "icmp_type": "packet-too-big", "icmp_code": 0}),
    ],
)
def test_explain_takes_its_packet_word_by_word(
    tmp_path: Path, words: tuple[str, ...], asked: dict[str, object]
) -> None:
    answer = {"packet": "forwarded", "inbound": CLEAR, "outbound": CLEAR}
    with Scripted(tmp_path / "control", in_turn([answer] * 2)) as server:
        said = ctl(server.path, "explain", "10.1.0.2", "10.2.0.2", *words)
        assert said.output == "passes in clear: no rule covers it\n"
        assert json.loads(ctl(server.path, "explain", "10.1.0.2", "10.2.0.2", *words, "--json").output) == answer
    ends = {"id": 1, "command": "explain", "source": "10.1.0.2", "destination": "10.2.0.2"}
    for request in server.asked:
        assert {name: value for name, value in request.items() if value is not None} == ends | asked


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("tcp", "any", "https"), "Invalid value for '[DESTINATION_PORT]': 'https' isn't a port's number, 0 to 65535."),
        (("tcp", "x", "80"), "Invalid value for '[SOURCE_PORT]': 'x' isn't a port's number, 0 to 65535."),
        (("icmp", "8", "256"), "Invalid value for '[DESTINATION_PORT]': '256' isn't a code, 0 to 255."),
        (("tcp", "80"), "two ports are needed, that of the source, which may be any, and that of the destination."),
    ],
)
def test_explain_says_what_its_words_are(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    done = ctl(tmp_path / "control", "explain", "10.1.0.2", "10.2.0.2", *words)
    assert told in " ".join(done.output.split())


# --- telling --------------------------------------------------------------------------------------------------------


def test_what_is_done_without_a_word_and_what_with_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path) as (a, _):
            for words, names in (
                (("up", "site", "--wait", "30"), ["site/1"]),
                (("rekey", "site"), ["site/1"]),
                (("rekey", "peer:site"), ["peer:site"]),
                (("down", "site"), ["site/1"]),
            ):
                assert json.loads((await a.ctl(*words, "--json")).output) == {"names": names}
            for words in (("up", "site", "--wait", "30"), ("rekey", "site"), ("down", "site")):
                assert (await a.ctl(*words)).output == ""
            assert (await a.ctl("reload")).output == "nothing has changed\n"
            assert json.loads((await a.ctl("reload", "--json")).output)["difference"]["kept"] == ["site"]
            out = "policy sites is out of force: what was protected leaves in clear"
            assert (await a.ctl("unassign")).output == f"{out}, until ipsecctl assign, also after a restart\n"
            assert (await a.ctl("unassign")).output == "no policy was in force\n"
            told = {"policy": None, "bare": False, "persistent": False}
            assert json.loads((await a.ctl("unassign", "--json")).output) == told
            for command in ("policy", "up", "down", "rekey"):
                done = await a.ctl(command, *(["site"] if command != "policy" else []), code=1)
                told = "ipsecctl: no policy is in force (ipsecctl assign NAME puts one in force)\n"
                assert done.output == told

    asyncio.run(main())


def test_the_log_level_is_shown_and_set(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        assert (await daemon.ctl("log-level")).output == "info\n"
        assert (await daemon.ctl("log-level", "debug")).output == "debug, until now info\n"
        assert (await daemon.ctl("log-level", "debug")).output == "debug, as before\n"
        assert json.loads((await daemon.ctl("log-level", "--json")).output) == {"level": "debug", "before": None}

    beside(tmp_path, scenario)


@pytest.mark.parametrize("as_json", [False, True])
def test_monitor_prints_a_line_for_each_event(tmp_path: Path, as_json: bool) -> None:
    async def scenario(daemon: Daemon) -> None:
        words = [str(Path(sys.executable).with_name("ipsecctl")), "--control", str(daemon.options.control)]
        words += ["monitor", "--level", "debug", *(["--json"] if as_json else [])]
        process = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE)
        assert process.stdout is not None
        while not daemon.log.taps:  # noqa: ASYNC110  it listens as soon as it's there
            await asyncio.sleep(0)
        daemon.log.emit("debug", "odd-thing", {"peer": "hq\n"})
        line = (await process.stdout.readline()).decode()
        process.terminate()
        await process.wait()
        if as_json:
            told = json.loads(line)
            assert (told["event"], told["level"], told["fields"]) == ("odd-thing", "debug", {"peer": "hq\\n"})
        else:
            assert line[12:] == " debug   odd thing: peer=hq\\n\n"

    beside(tmp_path, scenario)


# --- waiting --------------------------------------------------------------------------------------------------------


def test_wait_waits_for_every_child(tmp_path: Path) -> None:
    with Scripted(tmp_path / "control", in_turn([{"names": ["a/1", "a/2"]}, ONE_UP, TWO_UP])) as server:
        assert ctl(server.path, "up", "a", "--wait", "60").exit_code == 0
    assert [request["command"] for request in server.asked] == ["up", "status", "status"]


def test_what_is_not_up_in_time_is_named(tmp_path: Path) -> None:
    with Scripted(tmp_path / "control", in_turn([{"names": ["a/1", "a/2", "b"]}, ONE_UP])) as server:
        done = ctl(server.path, "up", "a", "--wait", "0")
    assert (done.exit_code, done.output) == (1, f"ipsecctl: a/2, b: not up after 0 s ({NO_NEWS})\n")


def test_a_host_is_waited_for_among_those_of_its_rule(tmp_path: Path) -> None:
    hosts = FINE | {"children": ["a/1"], "each": True, "reason": "no key"}
    one, both = (hosts | {"up": [f"a/1@192.0.2.{last}" for last in range(1, count)]} for count in (2, 3))
    answers = [{"names": ["a/1@192.0.2.2"]}, {"rules": [OTHER, one]}, {"rules": [OTHER, both]}]
    with Scripted(tmp_path / "control", in_turn(answers)) as server:
        assert ctl(server.path, "up", "a@192.0.2.2", "--wait", "60").exit_code == 0
    with Scripted(tmp_path / "again", in_turn(answers[:2])) as server:
        done = ctl(server.path, "up", "a@192.0.2.2", "--wait", "0")
    assert (done.exit_code, done.output) == (1, "ipsecctl: a/1@192.0.2.2: not up after 0 s (no key)\n")


@pytest.mark.parametrize(("peer", "ends"), [("a@192.0.2.2", "a/1@192.0.2.2: not up"), ("a@192.0.2.9", "")])
def test_a_refusal_of_another_host_is_no_answer(tmp_path: Path, peer: str, ends: str) -> None:
    reason = "the peer says no (TS_UNACCEPTABLE)"
    failure = {"peer": peer, "reason": reason, "ago": 0}
    refused = {"rules": [FINE | {"children": ["a/1"], "each": True, "up": [], "last_failure": failure}]}
    up = {"rules": [FINE | {"children": ["a/1"], "each": True, "up": ["a/1@192.0.2.2"]}]}
    with Scripted(tmp_path / "control", in_turn([{"names": ["a/1@192.0.2.2"]}, refused, up])) as server:
        done = ctl(server.path, "up", "a@192.0.2.2", "--wait", "3600")
    told = f"ipsecctl: {ends} ({peer}: {reason}, 0 s ago)\n" if ends else ""
    assert (done.exit_code, done.output) == (1 if ends else 0, told)


def test_what_went_wrong_with_another_host_is_no_reason(tmp_path: Path) -> None:
    failure = {"peer": "a@192.0.2.9", "reason": "the peer says no (TS_UNACCEPTABLE)", "ago": 0}
    down = {"rules": [FINE | {"children": ["a/1"], "each": True, "up": [], "last_failure": failure}]}
    with Scripted(tmp_path / "control", in_turn([{"names": ["a/1@192.0.2.2"]}, down])) as server:
        done = ctl(server.path, "up", "a@192.0.2.2", "--wait", "0")
    assert (done.exit_code, done.output) == (1, f"ipsecctl: a/1@192.0.2.2: not up after 0 s ({NO_NEWS})\n")


def failed(reason: str, ago: float) -> dict[str, Any]:
    return {"rules": [FINE | {"children": ["a/1"], "up": [], "last_failure": {"reason": reason, "ago": ago}}]}


@pytest.mark.parametrize("notify", ["AUTHENTICATION_FAILED", "NO_PROPOSAL_CHOSEN", "TS_UNACCEPTABLE"])
def test_what_the_peer_refuses_is_not_waited_for_any_longer(tmp_path: Path, notify: str) -> None:
    reason = f"the peer says no ({notify}): to us"
    with Scripted(
        tmp_path / "control", in_turn([{"names": ["a/1"]}, failed("it's slow", 0), failed(reason, 0)])
    ) as server:
        done = ctl(server.path, "up", "a", "--wait", "3600")
    assert (done.exit_code, done.output) == (1, f"ipsecctl: a/1: not up ({reason}, 0 s ago)\n")


def test_a_refusal_of_before_is_no_answer_but_is_told_at_the_end(tmp_path: Path) -> None:
    before = failed("the peer says no (TS_UNACCEPTABLE)", 4_000)
    with Scripted(tmp_path / "control", in_turn([{"names": ["a/1"]}, *[before] * 20])) as server:
        done = ctl(server.path, "up", "a", "--wait", "0.1")
    told = "ipsecctl: a/1: not up after 0.1 s (the peer says no (TS_UNACCEPTABLE), 1 h 6 min ago)\n"
    assert (done.exit_code, done.output) == (1, told)


@pytest.mark.parametrize("seconds", ["nan", "inf", "-inf", "1e999", "-1", "soon", ""])
def test_a_time_without_an_end_is_no_time(tmp_path: Path, seconds: str) -> None:
    done = ctl(tmp_path / "control", "up", "a", "--wait", seconds)
    assert done.exit_code == 2
    assert "Invalid value for '--wait'" in done.output
    assert ("isn't a number of seconds" in done.output) is (seconds != "-1")


# --- keys -----------------------------------------------------------------------------------------------------------

TABLES = {
    "ikev2_decryption_table": ["an ike line"],
    "ikev1_decryption_table": [],
    "esp_sa": ["an esp line"],
    "unknown": ["CHACHA20_POLY1305"],
}
UNKNOWN = "Wireshark can't decrypt CHACHA20_POLY1305: those keys aren't here\n"


def test_keys_are_printed_or_put_into_files_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "profile").mkdir()
    with Scripted(tmp_path / "control", in_turn([TABLES] * 3)) as server:
        done = ctl(server.path, "keys", "export")
        assert done.stdout == "# ikev2_decryption_table\nan ike line\n# ikev1_decryption_table\n# esp_sa\nan esp line\n"
        assert done.stderr == UNKNOWN
        assert json.loads(ctl(server.path, "keys", "export", "--json").stdout) == TABLES
        done = ctl(server.path, "keys", "export", "--directory", str(tmp_path / "profile"))
        assert (done.stdout, done.stderr) == ("", UNKNOWN)
    for name, text in {
        "ikev2_decryption_table": "an ike line\n",
        "ikev1_decryption_table": "",
        "esp_sa": "an esp line\n",
    }.items():
        assert (tmp_path / "profile" / name).read_text() == text
        assert stat.S_IMODE((tmp_path / "profile" / name).stat().st_mode) == 0o600


def test_where_no_keys_are_kept_that_is_said(tmp_path: Path) -> None:
    said = "no keys: the policy doesn't say keylog: true, or the SAs are older than that "
    none = {"ikev2_decryption_table": [], "ikev1_decryption_table": [], "esp_sa": [], "unknown": []}
    others = none | {"unknown": ["CHACHA20_POLY1305"]}
    with Scripted(tmp_path / "control", in_turn([none, none, none, others])) as server:
        done = ctl(server.path, "keys", "export")
        assert (done.exit_code, done.stdout) == (0, "")
        assert done.stderr.startswith(said)
        done = ctl(server.path, "keys", "export", "--directory", str(tmp_path))
        assert done.stderr.startswith(said)
        assert json.loads(ctl(server.path, "keys", "export", "--json").output) == none
        assert ctl(server.path, "keys", "export").output == UNKNOWN
    assert (tmp_path / "esp_sa").read_text() == ""


def test_a_folder_for_keys_is_made_if_it_is_not_there(tmp_path: Path) -> None:
    folder = tmp_path / "profiles" / "ipsec"
    with Scripted(tmp_path / "control", in_turn([TABLES])) as server:
        assert ctl(server.path, "keys", "export", "--directory", str(folder)).exit_code == 0
    assert (folder / "esp_sa").read_text() == "an esp line\n"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_for_keys_that_can_not_be_made_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with Scripted(tmp_path / "control", in_turn([TABLES])) as server:
        done = ctl(server.path, "keys", "export", "--directory", str(tmp_path / "file" / "folder"))
    told = f"ipsecctl: can't make the folder {tmp_path}/file/folder: Not a directory\n"
    assert (done.exit_code, done.output) == (1, told)


def test_keys_that_can_not_be_written_are_a_failure(tmp_path: Path) -> None:
    (tmp_path / "esp_sa").mkdir()
    with Scripted(tmp_path / "control", in_turn([TABLES])) as server:
        done = ctl(server.path, "keys", "export", "--directory", str(tmp_path))
    assert (done.exit_code, done.output) == (1, f"ipsecctl: can't write {tmp_path}/esp_sa: Is a directory\n")


# --- who may ask, and how -------------------------------------------------------------------------------------------


def test_a_member_of_the_group_may_do_all_but_export_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "caller_of", lambda _: Caller(1, 1_000, frozenset({991})))
    monkeypatch.setattr("ipsecd.daemon.options.Options.group_id", 991)

    async def scenario(daemon: Daemon) -> None:
        done = await daemon.ctl("keys", "export", code=4)
        assert done.output == "ipsecctl: keys-export is for root alone\n"
        assert (await daemon.ctl("status")).output
        assert (await daemon.ctl("unassign")).output

    beside(tmp_path, scenario, policy(keylog="true"))


def test_a_floor_without_a_policy_is_taken_away_with_a_word(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        told = (await daemon.ctl("unassign")).output
        assert told == "the floor of an earlier policy is gone: what it covered leaves in clear\n"

    text = policy().replace("assigned: sites\n", "")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "floor.nft").write_text("table inet ipsecd\n")
    beside(tmp_path, scenario, text)


@pytest.mark.parametrize("words", [("status",), ("log-level", "debug"), ("keys", "export")])
def test_json_may_stand_in_front_of_any_command(tmp_path: Path, words: tuple[str, ...]) -> None:
    answer = STATUS | TABLES
    with Scripted(tmp_path / "control", in_turn([answer] * 2)) as server:
        assert json.loads(ctl(server.path, "--json", *words).stdout) == answer
        assert json.loads(ctl(server.path, *words, "--json").stdout) == answer


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("status", "more"),
        ("status", "--nonsense"),
        ("explain", "10.1.0.2"),
        ("explain", "10.1.0.2", "10.2.0.2", "tcp", "65536", "1"),
        ("explain", "10.1.0.2", "10.2.0.2", "tcp", "1", "http"),
        ("explain", "10.1.0.2", "10.2.0.2", "icmp", "8", "256"),
        ("up",),
        ("down",),
        ("rekey", "a", "b"),
        ("monitor", "--level", "loud"),
        ("log-level", "loud"),
        ("keys",),
        ("keys", "import"),
        ("explain", "10.1.0.2", "10.2.0.2", "tcp", "echo-request", "0"),
    ],
)
def test_wrong_usage_asks_nobody_and_has_its_own_exit_code(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = ctl(tmp_path / "control", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_command(tmp_path: Path, flag: str) -> None:
    done = ctl(tmp_path / "control", flag)
    assert done.exit_code == 0
    assert [name for name in ipsecctl.main.commands if f"  {name} " not in done.output] == []


@pytest.mark.parametrize("words", [(), ("policy",), ("keys",)])
def test_in_a_list_of_commands_no_sentence_is_cut_short(tmp_path: Path, words: tuple[str, ...]) -> None:
    _, _, listed = ctl(tmp_path / "control", *words, "--help").output.partition("Commands:")
    assert [line for line in listed.splitlines() if line.strip() and not line.endswith(".")] == []
    assert "..." not in listed


def test_every_command_of_the_protocol_can_be_given() -> None:
    """Those of `policy` are about files, and `policy` alone asks the daemon."""

    def names(group: Any, before: str = "") -> set[str]:
        return {
            each
            for name, command in group.commands.items()
            for each in (
                names(command, f"{name}-") if hasattr(command, "commands") and name != "policy" else {before + name}
            )
        }

    assert names(ipsecctl.main) == set(COMMANDS)


def test_the_version_is_told_in_one_form(tmp_path: Path) -> None:
    done = ctl(tmp_path / "control", "--version")
    assert (done.exit_code, done.output) == (0, f"ipsecctl {ipsecd.__version__}\n")
