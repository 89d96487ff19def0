"""The systemd units: valid, and shut in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ipsecd import limits
from ipsecd.daemon.options import Options

pytestmark = pytest.mark.root  # for systemd-analyze, which scripts/test then sees to

UNITS = sorted((Path(__file__).parents[2] / "systemd").glob("*.service"))
PROGRAMS = ("/usr/bin/ipsecd", "/usr/bin/ipsecctl", "/usr/sbin/nft")


def analyze(*words: str | Path) -> str:
    done = subprocess.run(["systemd-analyze", *words], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_there_are_the_units_that_the_manual_names() -> None:
    assert [unit.name for unit in UNITS] == ["ipsecd-floor.service", "ipsecd.service"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_exposure_of_each_unit_is_low(unit: Path) -> None:
    analyze("security", "--offline=true", "--threshold=25", unit)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_every_line(unit: Path, tmp_path: Path) -> None:
    """Programs that aren't installed here are replaced: the lines are what is looked at."""
    for each in UNITS:
        text = each.read_text()
        for program in PROGRAMS:
            text = text.replace(program, "/bin/true")
        (tmp_path / each.name).write_text(text)
    assert analyze("verify", "--man=no", "--recursive-errors=no", tmp_path / unit.name) == ""


def lines_of(unit: Path) -> list[str]:
    return [line for line in unit.read_text().splitlines() if "=" in line and not line.startswith("#")]


def test_the_service_is_run_as_the_daemon_expects_it() -> None:
    """Each line here is one that something breaks without: what the daemon tells systemd, its restart, its folders."""
    wanted = {
        "Type=notify",
        "NotifyAccess=main",
        "ExecStart=/usr/bin/ipsecd run",
        "ExecReload=/usr/bin/ipsecctl reload",
        "WatchdogSec=30",
        "Restart=on-failure",
        "TimeoutStopSec=10",
        "User=ipsecd",
        "Group=ipsecd",
        "StateDirectory=ipsecd",
        "StateDirectoryMode=0700",
        "RuntimeDirectory=ipsecd",
        "RuntimeDirectoryMode=0755",
        "UMask=0077",
        "NoNewPrivileges=yes",
        "DeviceAllow=/dev/net/tun rw",
        "LimitCORE=0",
        "LoadCredential=ipsecd.psk",
        "After=network-pre.target ipsecd-floor.service nftables.service",
    }
    assert wanted - set(lines_of(UNITS[1])) == set()


def test_the_times_of_the_service_leave_room_for_those_of_the_daemon() -> None:
    seconds = {
        name: int(value) for name, value in (line.split("=", 1) for line in lines_of(UNITS[1])) if value.isdecimal()
    }
    assert seconds["TimeoutStopSec"] > limits.EXIT_TIME + limits.LOG_FLUSH
    assert seconds["WatchdogSec"] >= 10  # a sign of life comes each second


def test_the_floor_stands_before_any_network_and_needs_no_python() -> None:
    wanted = {
        "Type=oneshot",
        "RemainAfterExit=yes",
        "ExecStart=/usr/sbin/nft -f /var/lib/ipsecd/floor.nft",
        "ConditionPathExists=/var/lib/ipsecd/floor.nft",
        "DefaultDependencies=no",
        "After=local-fs.target nftables.service",
        "Before=network-pre.target shutdown.target",
        "WantedBy=sysinit.target",
    }
    assert wanted - set(lines_of(UNITS[0])) == set()


def test_the_paths_of_the_units_are_those_of_the_daemon() -> None:
    told = UNITS[0].read_text() + UNITS[1].read_text()
    options = Options()
    assert str(options.floor) in told
    assert (options.state, options.control.parent, options.policy.parent) == (
        Path("/var/lib/ipsecd"),
        Path("/run/ipsecd"),
        Path("/etc/ipsecd"),
    )
    for folder in ("State", "Runtime", "Configuration"):
        assert f"{folder}Directory=ipsecd\n" in told


def test_the_service_needs_three_capabilities_and_no_more() -> None:
    text = (UNITS[1]).read_text().splitlines()
    wanted = "CAP_NET_ADMIN CAP_NET_BIND_SERVICE CAP_NET_RAW"
    assert [line for line in text if line.startswith("AmbientCapabilities=")] == [f"AmbientCapabilities={wanted}"]
    assert [line for line in text if line.startswith("CapabilityBoundingSet=")] == [f"CapabilityBoundingSet={wanted}"]
