"""The systemd units: valid, and shut in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

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


def test_the_service_needs_three_capabilities_and_no_more() -> None:
    text = (UNITS[1]).read_text().splitlines()
    wanted = "CAP_NET_ADMIN CAP_NET_BIND_SERVICE CAP_NET_RAW"
    assert [line for line in text if line.startswith("AmbientCapabilities=")] == [f"AmbientCapabilities={wanted}"]
    assert [line for line in text if line.startswith("CapabilityBoundingSet=")] == [f"CapabilityBoundingSet={wanted}"]
