"""The daemon comes, changes, dies and goes: what it protects never leaves in clear, what is ours never multiplies."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.interop.ipsecd import IPSECCTL, IPSECD, Ipsecd
from tests.interop.ipsecd import answers as ready
from tests.interop.traffic import Ping, answers, silent
from tests.interop.waiting import eventually
from tests.netns.capture import Capture
from tests.netns.flood import Flood, in_clear, leaves_in_clear
from tests.netns.pair import KEY, files, pair, policy, rule
from tests.netns.places import HA, HB
from tests.netns.sites import Sites

pytestmark = pytest.mark.root

BROKEN = policy(rule("a")).replace("require-security", "require-securty")
LATER = {"encryption": "aes128gcm16", "groups": "mlkem768"}
NOBODY = 65_534


def ipsecd(sites: Sites, place: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return sites.run(place, [IPSECD, *words], check=False)


def kernel(sites: Sites, place: str) -> dict[str, str]:
    """Rules, routes, interfaces and tables, as text without what counts."""
    table = sites.run(place, ["nft", "list", "ruleset"]).stdout
    return {
        "rules": sites.run(place, ["ip", "rule"]).stdout + sites.run(place, ["ip", "-6", "rule"]).stdout,
        "routes": sites.run(place, ["ip", "route", "show", "table", "all"]).stdout,
        "links": re.sub(r"^\d+: ", "", sites.run(place, ["ip", "-br", "link"]).stdout, flags=re.MULTILINE),
        "table": re.sub(r"packets \d+ bytes \d+", "", table),
    }


def options(folder: Path) -> list[str | Path]:
    return ["--policy", folder / "policy.yaml", "--state-dir", folder / "state", "--control", folder / "control"]


# --- death and rebirth ----------------------------------------------------------------------------------------------


def test_killed_under_traffic_it_comes_back_by_itself_and_nothing_leaves_in_clear(sites: Sites, tmp_path: Path) -> None:
    with pair(sites, tmp_path) as both:
        with Ping(sites, "ha", HB[4], tmp_path / "ping") as ping:
            before = kernel(sites, "ga")
            for _ in range(3):
                both.a.stop()
                both.a.start()
                ping.flows()
        assert kernel(sites, "ga") == before
        eventually(lambda: len(both.b.ctl("sas")["sas"]) == 1, "the peer has one IKE SA")
        assert len(both.b.children()) == 1
        assert both.spis()[0] == both.spis()[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_while_it_is_stopped_nothing_leaves_in_clear(sites: Sites, tmp_path: Path, number: int) -> None:
    with pair(sites, tmp_path) as both:
        assert both.carries()
        both.a.stop(number)
        assert silent(sites, "ha", HB[4])
        assert silent(sites, "hb", HA[4])
        both.a.start()
        assert both.carries()
    assert both.a.log().count("Ready:") == 2


def test_told_to_stop_it_says_goodbye_and_exits_with_0(sites: Sites, tmp_path: Path) -> None:
    with pair(sites, tmp_path) as both:
        assert both.carries()
        assert both.a.stop(signal.SIGTERM) == 0
        eventually(lambda: not both.b.ctl("sas")["sas"], "the peer has no SA left")


def test_a_start_with_a_broken_policy_names_the_mistake_and_leaves_the_floor(sites: Sites, tmp_path: Path) -> None:
    with pair(sites, tmp_path) as both:
        assert both.carries()
        both.a.stop(signal.SIGTERM)
        both.a.write("policy.yaml", BROKEN)
        done = ipsecd(sites, "ga", "run", *options(tmp_path / "a"))
        assert done.returncode == 1
        assert re.search(r"/a/policy\.yaml:\d+:\d+: policies\.sites\.rules\.0\.action: ", done.stderr)
        assert "The floor of the last good policy stands" in done.stderr
        assert silent(sites, "ha", HB[4])


def test_after_a_reboot_a_broken_policy_still_meets_the_last_good_floor(sites: Sites, tmp_path: Path) -> None:
    with pair(sites, tmp_path) as both:
        both.a.stop()
        both.a.write("policy.yaml", BROKEN)
        for command in (["nft", "flush", "ruleset"], ["ip", "rule", "flush"], ["ip", "rule", "add", "pref", "32766"]):
            sites.run("ga", [*command, *(["lookup", "main"] if "add" in command else [])])
        assert ipsecd(sites, "ga", "run", *options(tmp_path / "a")).returncode == 1
        assert silent(sites, "ha", HB[4])


def test_ports_in_use_are_told_before_it_is_ready(sites: Sites, tmp_path: Path) -> None:
    def take() -> socket.socket:
        taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        taken.bind(("0.0.0.0", 4_500))
        return taken

    with (
        sites.inside("ga", take),
        pytest.raises(RuntimeError, match=r"can't open UDP port 4500: .*ss -ulpn"),
        Ipsecd(sites, "ga", tmp_path / "a", files(rule("a"))),
    ):
        pass


def test_a_second_daemon_in_the_same_place_is_refused_and_disturbs_nothing(sites: Sites, tmp_path: Path) -> None:
    """With the same folders, and with others: what is in the kernel there is the first one's."""
    other = rule("a") | {"filters": [{"source": "10.77.0.0/24", "destination": "10.78.0.0/24"}]}
    with (
        Ipsecd(sites, "ga", tmp_path / "a", files(rule("a"))) as first,
        Capture(sites, "ga", "wan0") as wan,
        Flood(sites, "ha", (HA[4], HB[4])),
    ):
        before = kernel(sites, "ga")
        (tmp_path / "b").mkdir()
        for name, text in files(other).items():
            (tmp_path / "b" / name).write_text(text)
        for words in (
            ["run", *options(tmp_path / "a")],
            ["run", *options(tmp_path / "b")],
            ["flush", "--state-dir", tmp_path / "a" / "state"],
            ["flush", "--state-dir", tmp_path / "b" / "state"],
        ):
            done = ipsecd(sites, "ga", *words)
            assert done.returncode == 1
            assert re.search(r"another ipsecd, process \d+, runs in this network namespace", done.stderr)
        assert first.ctl("status")["policy"] == "sites"
        assert kernel(sites, "ga") == before
        assert in_clear(wan) == []
        first.ctl("unassign")
        eventually(lambda: in_clear(wan), "what nobody protects leaves in clear")


def test_an_interface_of_the_tuns_name_keeps_it_from_starting_before_anything_is_trusted(
    sites: Sites, tmp_path: Path
) -> None:
    """The floor lets in whatever comes by that name."""
    with Ipsecd(sites, "ga", tmp_path / "a", files(rule("a"))) as daemon:
        daemon.stop()
        before = kernel(sites, "ga")["table"]
        sites.run("ga", ["ip", "link", "add", "ipsecd0", "type", "veth", "peer", "name", "other0"])
        daemon.write("policy.yaml", policy(rule("a"), rule("a", "six", inside=(6,))))
        done = ipsecd(sites, "ga", "run", *options(tmp_path / "a"))
        assert (done.returncode, "there is an interface ipsecd0 already" in done.stderr) == (1, True)
        assert kernel(sites, "ga")["table"] == before
        sites.run("ga", ["ip", "link", "del", "ipsecd0"])
        daemon.start()


# --- reload ---------------------------------------------------------------------------------------------------------


def test_a_reload_with_mistakes_changes_nothing(sites: Sites, tmp_path: Path) -> None:
    with pair(sites, tmp_path) as both:
        with Ping(sites, "ha", HB[4], tmp_path / "ping") as ping:
            before = kernel(sites, "ga"), both.spis()
            for text, told in {
                BROKEN: r"policies\.sites\.rules\.0\.action: ",
                "assigned: [": r"policy\.yaml:\d+:\d+: ",
                policy(rule("a"), key_exchange={"proposals": [LATER]}): "not supported yet: mlkem768",
                "assigned: sites\n" * 2: r"policy\.yaml:2:1: ",
                policy(rule("a"), key_exchange={"ports": {"nat_traversal": 14_500}}): "NAT traversal port can't change",
            }.items():
                both.a.write("policy.yaml", text)
                with pytest.raises(RuntimeError, match=rf"(?s)exit 1\n.*{told}"):
                    both.a.ctl("reload")
            (tmp_path / "a" / "policy.yaml").unlink()
            with pytest.raises(RuntimeError, match="can't read the policy"):
                both.a.ctl("reload")
            ping.flows()
            assert (kernel(sites, "ga"), both.spis()) == before
        assert ping.gaps == []


def test_a_reload_touches_only_what_changed(sites: Sites, tmp_path: Path) -> None:
    six = rule("a", "six", inside=(6,))
    with pair(sites, tmp_path, None, files(rule("b"), rule("b", "six", inside=(6,)))) as both:
        with Ping(sites, "ha", HB[4], tmp_path / "ping") as ping:
            before = both.spis()
            both.a.write("policy.yaml", policy(rule("a"), six))
            assert both.a.ctl("reload")["difference"]["added"] == ["six"]
            assert answers(sites, "ha", HB[6]) == 3
            both.a.write("policy.yaml", policy(rule("a")))
            assert both.a.ctl("reload")["difference"]["removed"] == ["six"]
            assert both.a.ctl("reload")["difference"]["changed"] == []
            eventually(lambda: both.spis() == before, "the other rule's SAs are as before")
            ping.flows()
        assert ping.gaps == []


def test_a_hangup_reloads_too(sites: Sites, tmp_path: Path) -> None:
    with pair(sites, tmp_path) as both:
        both.a.write("policy.yaml", policy(rule("a"), rule("a", "six", inside=(6,))))
        os.kill(both.a.ctl("status")["pid"], signal.SIGHUP)
        eventually(lambda: len(both.a.ctl("status")["rules"]) == 2, "the policy is the new one")


def test_a_missing_key_makes_only_its_rules_unusable_until_it_is_there(sites: Sites, tmp_path: Path) -> None:
    other = {**rule("a", "other", inside=(6,)), "authentication": [{"psk": "missing"}]}
    text = policy(rule("a"), other).replace("policies:", "  missing: {psk: {file: missing.psk}}\npolicies:", 1)
    of_b = files(rule("b"), rule("b", "other", inside=(6,)))
    with pair(sites, tmp_path, {"policy.yaml": text, "peer.psk": KEY}, of_b) as both:
        states = {row["name"]: (row["state"], row["reason"]) for row in both.a.ctl("status")["rules"]}
        assert states["site"] == ("down", "")
        assert states["other"][0] == "unusable"
        assert "missing.psk doesn't exist (the same key as the peer's: " in states["other"][1]
        assert both.carries()
        assert silent(sites, "ha", HB[6])
        with pytest.raises(RuntimeError, match="other can't be used: credential missing: the key file"):
            both.a.ctl("up", "other")
        both.a.write("missing.psk", KEY)
        both.a.ctl("reload")
        assert both.carries(6)


# --- out of force ---------------------------------------------------------------------------------------------------


def test_unassign_removes_all_that_is_ours_and_nothing_else(sites: Sites, tmp_path: Path) -> None:
    sites.run("ga", ["nft", "add", "table", "inet", "theirs"])
    sites.run("ga", ["ip", "rule", "add", "pref", "4499", "lookup", "main"])
    before = kernel(sites, "ga")
    with Ipsecd(sites, "ga", tmp_path / "a", files(rule("a"))) as daemon:
        assert silent(sites, "ha", HB[4])
        assert kernel(sites, "ga") != before
        daemon.ctl("unassign")
        assert kernel(sites, "ga") == before
        assert answers(sites, "ha", HB[4]) == 3
        assert not (tmp_path / "a" / "state" / "floor.nft").exists()
        assert daemon.ctl("status")["policy"] is None
        with pytest.raises(RuntimeError, match="no policy is in force"):
            daemon.ctl("up", "site")
        daemon.ctl("assign", "sites")
        assert silent(sites, "ha", HB[4])


def test_a_file_that_assigns_nothing_takes_no_floor_away(sites: Sites, tmp_path: Path) -> None:
    before = kernel(sites, "ga")
    with Ipsecd(sites, "ga", tmp_path / "a", files(rule("a"))) as daemon, Capture(sites, "ga", "wan0") as wan:
        for text in (policy(rule("a")).replace("assigned: sites\n", ""), "policies: {}\n"):
            daemon.write("policy.yaml", text)
            with pytest.raises(RuntimeError, match="ipsecctl unassign takes protection away"):
                daemon.ctl("reload")
            daemon.stop(signal.SIGTERM)
            sites.run("ga", ["nft", "flush", "ruleset"])
            daemon.start()
            assert "assigns no policy, but the floor of the last one stands" in daemon.log()
            assert not leaves_in_clear(sites, wan)
        sites.run("ga", ["nft", "flush", "ruleset"])
        assert not leaves_in_clear(sites, wan)
        daemon.ctl("unassign")
        assert kernel(sites, "ga") == before
        assert leaves_in_clear(sites, wan)


def test_flush_removes_what_a_stopped_daemon_left(sites: Sites, tmp_path: Path) -> None:
    before = kernel(sites, "ga")
    state = tmp_path / "a" / "state"
    with Ipsecd(sites, "ga", tmp_path / "a", files(rule("a"))) as daemon:
        done = ipsecd(sites, "ga", "flush", "--state-dir", state)
        assert (done.returncode, "another ipsecd" in done.stderr) == (1, True)
        daemon.stop()
        assert kernel(sites, "ga") != before
        assert ipsecd(sites, "ga", "flush", "--state-dir", state).returncode == 0
        assert kernel(sites, "ga") == before
        assert not (state / "floor.nft").exists()


# --- its place among others -----------------------------------------------------------------------------------------


def test_it_works_with_three_capabilities_and_without_root(sites: Sites, tmp_path: Path) -> None:
    """As its unit runs it: another user, whose key file it is, and no right but those three."""
    folder = tmp_path / "a"
    folder.mkdir()
    for name, text in files(rule("a")).items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    for path in (folder, *folder.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    for path in tmp_path.parents:
        path.chmod(path.stat().st_mode | 0o001)
    tmp_path.chmod(0o755)
    rights = "+net_admin,+net_bind_service,+net_raw"
    words = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
    words += [f"--inh-caps=-all,{rights}", f"--ambient-caps=-all,{rights}", f"--bounding-set=-all,{rights}"]
    with Ipsecd(sites, "gb", tmp_path / "b", files(rule("b"))):
        daemon = sites.popen("ga", [*words, IPSECD, "run", *options(folder)], stderr=subprocess.PIPE)
        eventually(lambda: daemon.poll() is not None or ready(folder / "control"), "it's ready")
        assert daemon.poll() is None, daemon.stderr and daemon.stderr.read()
        assert answers(sites, "ha", HB[4]) == 3
        daemon.terminate()
        assert daemon.wait(30) == 0


def test_strangers_may_not_command_it(sites: Sites, tmp_path: Path) -> None:
    for path in (tmp_path, *tmp_path.parents):
        path.chmod(path.stat().st_mode | 0o001)
    with Ipsecd(sites, "ga", tmp_path / "a", files(rule("a"))):
        command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        command += [str(IPSECCTL), "--control", str(tmp_path / "a" / "control"), "status"]
        done = subprocess.run(command, text=True, capture_output=True, check=False)
        assert (done.returncode, done.stdout) == (4, ""), done.stderr
        assert "you may not use" in done.stderr


def test_systemd_hears_how_it_is(sites: Sites, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    for name, text in files(rule("a")).items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "500000"}
        daemon = sites.popen("ga", [IPSECD, "run", *options(folder)], env=environment, stderr=subprocess.DEVNULL)

        def told(what: str) -> dict[str, str]:
            while True:
                message = dict(line.split("=", 1) for line in manager.recv(4_096).decode().splitlines())
                if what in message:
                    return message

        assert told("READY")["STATUS"] == "policy sites, 1 rule, 0 child SAs"
        told("WATCHDOG")
        told("WATCHDOG")
        daemon.send_signal(signal.SIGHUP)
        assert told("RELOADING")["MONOTONIC_USEC"].isdecimal()
        told("READY")
        daemon.send_signal(signal.SIGTERM)
        told("STOPPING")
        assert daemon.wait(30) == 0


def test_several_daemons_in_several_places_know_nothing_of_each_other(tmp_path: Path) -> None:
    with Sites() as one, Sites() as two, pair(one, tmp_path / "x") as x, pair(two, tmp_path / "y") as y:
        assert x.carries()
        assert y.carries()
        x.a.ctl("unassign")
        assert y.carries()
        x.a.ctl("assign", "sites")


def test_status_says_what_was_dropped_shows_no_secret_and_each_start_warns_that_keys_are_kept(
    sites: Sites, tmp_path: Path
) -> None:
    with pair(sites, tmp_path, files(rule("a"), keylog=True)) as both:
        assert both.carries()
        assert silent(sites, "ha", "10.2.0.99")  # behind the tunnel, but nobody has that address
        bound = ["ping", "-c", "1", "-W", "0.2", "-I", "wan0", "-I", "10.1.0.1", "10.2.0.2"]  # it can't be steered
        sites.run("ga", bound, check=False)
        told: Mapping[str, Any] = both.a.ctl("status")
        assert told["faults"] == {}
        assert told["drops"]["beside-the-tun"] == 1
        assert told["policy"] == "sites"
        everything = both.a.log() + json.dumps([told, both.a.ctl("sas"), both.a.ctl("policy")])
        keys = both.a.ctl("keys", "export")
        assert len(keys["esp_sa"]) == 2
        secrets = {KEY, *re.findall(r"0x([0-9a-f]{16,})", "".join(keys["esp_sa"]))}
        assert [secret for secret in secrets if secret in everything] == []
        both.a.stop(signal.SIGTERM)
        both.a.start()
        assert both.a.log().count("KEYS ARE KEPT") == 2  # at each start
        assert both.a.ctl("keys", "export")["esp_sa"] == []
