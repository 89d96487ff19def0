"""The moments at which a floor could be missing: before keys, before names, before anybody knows of an address, after
somebody has emptied the ruleset. Each is seen with the floor, and once without what keeps it."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.ipsecd import IPSECD, Ipsecd
from tests.interop.waiting import eventually
from tests.netns.capture import Capture
from tests.netns.flood import Flood, in_clear, leaves_in_clear
from tests.netns.older import as_before_linux_6_9
from tests.netns.pair import files, policy, rule
from tests.netns.places import HA, HB, NET_A, NET_B
from tests.netns.sites import Sites

pytestmark = pytest.mark.root

BROKEN = "assigned: ["
NEW = {4: "192.0.2.77", 6: "2001:db8::77"}


def table(sites: Sites) -> str:
    return sites.run("ga", ["nft", "list", "ruleset"]).stdout


def run(sites: Sites, folder: Path) -> subprocess.CompletedProcess[str]:
    """Start the daemon of this folder, which isn't going to run."""
    options = ["--policy", folder / "policy.yaml", "--state-dir", folder / "state", "--control", folder / "control"]
    return sites.run("ga", [IPSECD, "run", *options], check=False)


# --- me -------------------------------------------------------------------------------------------------------------


def test_a_new_address_of_me_never_sends_in_clear(sites: Sites, tmp_path: Path) -> None:
    filters = [{"source": "me", "destination": NET_B[version]} for version in (4, 6)]
    with (
        Ipsecd(sites, "ga", tmp_path / "a", files(rule("a") | {"filters": filters})) as daemon,
        Capture(sites, "ga", "wan0") as wan,
        Flood(sites, "ga", (NEW[4], HB[4]), (NEW[6], HB[6])),
    ):
        saved = (tmp_path / "a/state/floor.nft").read_text()
        for _ in range(3):  # one soon after the other
            for address in (f"{NEW[4]}/24", f"{NEW[6]}/64"):
                sites.run("ga", ["ip", "addr", "add", address, "dev", "wan0", "nodad"])
            eventually(lambda: knows(daemon, *NEW.values()), "the data plane knows the new addresses")
            assert not leaves_in_clear(sites, wan, source=NEW[4])
            for address in (f"{NEW[4]}/24", f"{NEW[6]}/64"):
                sites.run("ga", ["ip", "addr", "del", address, "dev", "wan0"])
            eventually(lambda: not knows(daemon, NEW[4]), "and that they are gone")
        sites.run("ga", ["ip", "addr", "add", f"{NEW[4]}/24", "dev", "wan0"])
        assert in_clear(wan) == []
        assert NEW[4] not in saved + (tmp_path / "a/state/floor.nft").read_text()  # what the next boot begins with
        daemon.ctl("unassign")
        eventually(lambda: in_clear(wan), "without a floor it sends in clear")


def knows(daemon: Ipsecd, *addresses: str) -> bool:
    entries = str(daemon.ask("policy")["entries"])
    return all(address in entries for address in addresses)


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def dns(sites: Sites) -> Iterator[Path]:
    """The folder of files that ga has in place of those in /etc: it asks a DNS that isn't there."""
    folder = Path("/etc/netns", sites.namespace("ga"))
    folder.mkdir(parents=True)
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    (folder / "nsswitch.conf").write_text("hosts: files dns\n")
    (folder / "hosts").write_text(f"127.0.0.1 localhost\n{HB[4]} server-b.test\n{HB[6]} server-b.test\n")
    yield folder
    shutil.rmtree(folder)


def test_what_a_name_means_is_protected_across_restarts_whatever_the_dns_says(
    sites: Sites, tmp_path: Path, dns: Path
) -> None:
    filters = [{"source": NET_A[version], "destination": "server-b.test"} for version in (4, 6)]
    with (
        Ipsecd(sites, "ga", tmp_path / "a", files(rule("a") | {"filters": filters})) as daemon,
        Capture(sites, "ga", "wan0") as wan,
    ):
        eventually(lambda: HB[4] in table(sites) and HB[6] in table(sites), "the name is known")
        with Flood(sites, "ha", (HA[4], HB[4]), (HA[6], HB[6])):
            for told in ("", "says nothing about server-b.test", "server-b.test has no address any more"):
                if told:
                    (dns / "hosts").write_text("127.0.0.1 localhost\n")
                if "any more" in told:
                    (dns / "nsswitch.conf").write_text("hosts: files\n")  # there is no such name
                daemon.stop(signal.SIGKILL)
                daemon.start()
                eventually(lambda told=told: told in daemon.log(), "the DNS was asked")
            daemon.ctl("reload")
            assert not leaves_in_clear(sites, wan)
            assert in_clear(wan) == []
            daemon.stop(signal.SIGKILL)
            (tmp_path / "a/state/names.json").unlink()
            daemon.start()
            eventually(lambda: in_clear(wan), "who remembers nothing protects nothing")


# --- keys -----------------------------------------------------------------------------------------------------------


def test_the_first_floor_waits_for_no_key(sites: Sites, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    command = folder / "key"
    command.write_text(f"#!/bin/sh\nuntil [ -e {folder}/go ]; do sleep 0.05; done\necho some key of no importance\n")
    command.chmod(0o700)
    (folder / "policy.yaml").write_text(policy(rule("a")).replace("file: peer.psk", f"command: [{command}]"))
    daemon = Ipsecd(sites, "ga", folder, {})
    with Capture(sites, "ga", "wan0") as wan, Flood(sites, "ha", (HA[4], HB[4])):
        eventually(lambda: in_clear(wan), "there is no floor yet")
        options = ["--policy", folder / "policy.yaml", "--state-dir", folder / "state"]
        options += ["--control", folder / "control"]
        with (folder / "log").open("w") as log:
            process = sites.popen("ga", [IPSECD, "run", *options], stderr=log)
        eventually(lambda: not leaves_in_clear(sites, wan), "the floor rises")
        before = len(in_clear(wan))
        assert "Ready" not in daemon.log()
        (folder / "go").touch()
        eventually(lambda: "Ready" in daemon.log(), "it has its key")
        assert len(in_clear(wan)) == before
        process.terminate()
        assert process.wait(30) == 0
        assert len(in_clear(wan)) == before


# --- somebody else --------------------------------------------------------------------------------------------------


EMPTIED = (
    "flush table inet ipsecd",
    "delete table inet ipsecd; add table inet ipsecd",
    "flush chain inet ipsecd through_us; flush chain inet ipsecd to_wire; flush chain inet ipsecd steer_forwarded",
)


def test_a_failed_start_believes_no_table_for_its_name(sites: Sites, tmp_path: Path) -> None:
    with (
        Ipsecd(sites, "ga", tmp_path / "a", files(rule("a"))) as daemon,
        Capture(sites, "ga", "wan0") as wan,
    ):
        daemon.stop(signal.SIGKILL)
        daemon.write("policy.yaml", BROKEN)
        for change in EMPTIED:
            assert not leaves_in_clear(sites, wan)
            sites.run("ga", ["nft", change])
            assert leaves_in_clear(sites, wan)
            done = run(sites, tmp_path / "a")
            assert (done.returncode, "The floor of the last good policy stands" in done.stderr) == (1, True)
        assert not leaves_in_clear(sites, wan)


NOBODY_ELSE = ("flush table inet ipsecd", "delete table inet ipsecd", "add chain inet ipsecd more")
TABLES = "flush ruleset\ntable inet others {\n\tchain in {\n\t\ttype filter hook input priority 0;\n\t}\n}\n"


def flushed(sites: Sites) -> None:
    """By root; by nftables.service, which is started again; and one table after the other, as far as there are any."""
    sites.run("ga", ["nft", "flush", "ruleset"])
    sites.run("ga", ["nft", "-f", "-"], stdin=TABLES)
    sites.run("ga", ["nft", "delete", "table", "inet", "others"])
    for change in NOBODY_ELSE:
        assert "Operation not permitted" in sites.run("ga", ["nft", change], check=False).stderr


def test_nothing_gets_out_when_the_ruleset_is_flushed_in_the_midst_of_reloads_kills_and_stops(
    sites: Sites, tmp_path: Path
) -> None:
    """From Linux 6.9 on. What a daemon that is gone has left is anybody's: then it would be seen."""
    other = rule("a", "six", inside=(6,))
    with (
        Ipsecd(sites, "ga", tmp_path / "a", files(rule("a"))) as daemon,
        Capture(sites, "ga", "wan0") as wan,
        Flood(sites, "ha", (HA[4], HB[4])),
    ):
        for signalled, rules in ((signal.SIGKILL, (rule("a"), other)), (signal.SIGTERM, (rule("a"),))):
            for _ in range(FLUSHES):
                flushed(sites)
            assert not leaves_in_clear(sites, wan)
            daemon.write("policy.yaml", policy(*rules))
            flushing = sites.popen("ga", ["sh", "-c", "while nft flush ruleset; do :; done"])
            daemon.ctl("reload")
            assert flushing.poll() is None
            flushing.kill()
            flushing.wait()
            assert not leaves_in_clear(sites, wan)
            daemon.stop(signalled)
            assert "flags owner" not in table(sites)
            assert not leaves_in_clear(sites, wan)
            daemon.start()
        flushed(sites)
        assert "flags owner" in table(sites)
        assert not leaves_in_clear(sites, wan)
        assert in_clear(wan) == []
        assert "put back" not in daemon.log()
        daemon.stop(signal.SIGKILL)
        sites.run("ga", ["nft", "flush", "ruleset"])
        assert leaves_in_clear(sites, wan)


FLUSHES = 9  # more than are put back without complaint
AT_MOST = 1_000  # packets in clear for each: a second's worth, where an idle machine lets out 5 to 20


def test_however_often_the_ruleset_is_flushed_little_gets_out_of_an_older_kernel(
    sites: Sites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What gets out is sent while the kernel tells of the flush and takes the table again. A pause of any length
    before that, or another program to wait for, would let out more."""
    as_before_linux_6_9(tmp_path, monkeypatch)
    with (
        Ipsecd(sites, "ga", tmp_path / "a", files(rule("a"))) as daemon,
        Capture(sites, "ga", "wan0") as wan,
        Flood(sites, "ha", (HA[4], HB[4])),
    ):
        for _ in range(FLUSHES):
            before = len(in_clear(wan))
            sites.run("ga", ["nft", "flush", "ruleset"])
            eventually(lambda: "steer" in table(sites), "the floor is back")
            assert not leaves_in_clear(sites, wan)
            assert len(in_clear(wan)) - before < AT_MOST
        assert in_clear(wan)
        eventually(lambda: "Quarrel over the kernel's state" in daemon.log(), "it complains")
        assert daemon.log().count("put back: floor") == 6
        assert daemon.log().count("Quarrel over the kernel's state") == 1
