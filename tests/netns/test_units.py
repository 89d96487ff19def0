"""The systemd units: valid, and shut in; and the floor that they raise without ipsecd."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from ipsecd import limits
from ipsecd.daemon.options import Options
from ipsecd.policy.boot import ADDED
from ipsecd.policy.plan import Action
from tests.interop.ipsecd import Ipsecd
from tests.netns.capture import PATIENCE, Capture, send
from tests.netns.flood import MARK, leaves_in_clear
from tests.netns.gateway import Gateway, between_sites
from tests.netns.packets import ping, udp
from tests.netns.pair import files, rule
from tests.netns.places import FAMILY, GA_WAN, GB_WAN, HA, HB
from tests.netns.sites import Sites

pytestmark = pytest.mark.root  # for systemd-analyze, which scripts/test then sees to

UNITS = sorted((Path(__file__).parents[2] / "systemd").glob("*.service"))
PROGRAMS = ("/usr/bin/ipsecd", "/usr/bin/ipsecctl", "/usr/lib/ipsecd/floor")
ROOT = Path(__file__).parents[2]
FLOOR, CLOSED = ROOT / "systemd/floor", ROOT / "etc/closed.nft"


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
        "RuntimeDirectoryPreserve=yes",
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
        "ExecStart=/usr/lib/ipsecd/floor",
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
    assert str(options.floor.path) in told
    assert (options.state, options.control.parent, options.policy.parent) == (
        Path("/var/lib/ipsecd"),
        Path("/run/ipsecd"),
        Path("/etc/ipsecd"),
    )
    for file in (options.floor, options.boot, options.booted):
        assert f":-{file.path}}}\n" in FLOOR.read_text()
    for folder in ("State", "Runtime", "Configuration"):
        assert f"{folder}Directory=ipsecd\n" in told


def test_the_service_needs_three_capabilities_and_no_more() -> None:
    text = (UNITS[1]).read_text().splitlines()
    wanted = "CAP_NET_ADMIN CAP_NET_BIND_SERVICE CAP_NET_RAW"
    assert [line for line in text if line.startswith("AmbientCapabilities=")] == [f"AmbientCapabilities={wanted}"]
    assert [line for line in text if line.startswith("CapabilityBoundingSet=")] == [f"CapabilityBoundingSet={wanted}"]


def test_the_service_never_gives_up() -> None:
    lines = UNITS[1].read_text().splitlines()
    assert "StartLimitIntervalSec=0" in lines
    assert "Restart=on-failure" in lines
    assert not [line for line in lines if line.startswith("StartLimitBurst")]


# --- the floor without ipsecd ---------------------------------------------------------------------------------------


@pytest.fixture
def saved(sites: Sites, tmp_path: Path) -> Path:
    """The floor that a daemon has left, in the file and in the kernel of ga."""
    with Gateway(sites, tmp_path, between_sites(Action.PROTECT)) as gateway:
        return gateway.saved


def raised(sites: Sites, saved: Path) -> subprocess.CompletedProcess[str]:
    return sites.run("ga", [FLOOR, saved, CLOSED], check=False)


def test_what_nftables_service_removes_is_put_back_while_ipsecd_is_stopped(sites: Sites, saved: Path) -> None:
    """Its own commands, and behind each what our drop-in adds."""
    lines = (ROOT / "systemd/nftables.service.d/ipsecd.conf").read_text().splitlines()
    added = [line for line in lines if line.startswith("Exec")]
    assert added == [f"Exec{when}=-/usr/lib/ipsecd/floor" for when in ("StartPost", "Reload", "StopPost")]
    with Capture(sites, "ga", "wan0") as wan:
        for _ in added:
            sites.run("ga", ["nft", "flush", "ruleset"])
            assert leaves_in_clear(sites, wan)
            assert raised(sites, saved).returncode == 0
            assert not leaves_in_clear(sites, wan)


def test_what_ipsecd_owns_stays_and_what_it_has_left_is_put_back(sites: Sites, saved: Path, tmp_path: Path) -> None:
    """From Linux 6.9 on: the units run again while ipsecd does, and after it has ended."""
    listed = ["nft", "list", "table", "inet", "ipsecd"]
    with Ipsecd(sites, "ga", tmp_path / "a", files(rule("a"))) as daemon, Capture(sites, "ga", "wan0") as wan:
        before = sites.run("ga", listed).stdout
        assert before.splitlines()[1] == "\tflags owner"
        for folder in (saved, saved.with_name("missing"), Path("/dev/null")):
            sites.run("ga", ["nft", "flush", "ruleset"])
            assert (raised(sites, folder).returncode, raised(sites, folder).stderr) == (0, "")
            assert sites.run("ga", listed).stdout.count("\n") == before.count("\n")
        daemon.stop(signal.SIGKILL)
        for _ in range(2):
            assert (raised(sites, saved).returncode, raised(sites, saved).stderr) == (0, "")
            assert not leaves_in_clear(sites, wan)
            assert sites.run("ga", listed).stdout.startswith("table inet ipsecd {\n\tcounter")
        daemon.start()
        assert sites.run("ga", listed).stdout.splitlines()[1] == "\tflags owner"
        daemon.stop(signal.SIGKILL)
        saved.write_text("nonsense")
        assert raised(sites, saved).returncode == 1
        assert "policy drop" in sites.run("ga", listed).stdout, "the machine is closed"


def test_before_an_older_ipsecd_something_simple_takes_the_place_of_what_a_newer_one_has_left(
    sites: Sites, tmp_path: Path
) -> None:
    lines = [line.strip() for line in (ROOT / "docs/gateway.md").read_text().splitlines()]
    [command] = [line.replace("sudo ", "") for line in lines if line.endswith("| sudo nft -f -")]
    listed = ["nft", "list", "table", "inet", "ipsecd"]
    sites.run("ga", ["nft", "-f", CLOSED])
    closed = sites.run("ga", listed).stdout
    with Ipsecd(sites, "ga", tmp_path / "a", files(rule("a"))) as daemon:
        daemon.stop(signal.SIGTERM)
        assert sites.run("ga", ["nft", "-f", CLOSED], check=False).returncode, "it belongs to who has gone"
        sites.run("ga", ["sh", "-c", command.replace("/etc/ipsecd/closed.nft", str(CLOSED))])
        assert sites.run("ga", listed).stdout == closed
        daemon.start()
        assert sites.run("ga", listed).stdout.splitlines()[1] == "\tflags owner"


def test_without_a_saved_floor_there_is_nothing_to_raise(sites: Sites, tmp_path: Path) -> None:
    assert raised(sites, tmp_path / "missing").returncode == 0
    assert sites.run("ga", ["nft", "list", "tables"]).stdout == ""


@pytest.mark.parametrize("version", [4, 6])
def test_a_floor_that_can_not_be_loaded_closes_the_machine_but_for_ssh(sites: Sites, saved: Path, version: int) -> None:
    def listen() -> socket.socket:
        opened = socket.create_server((GA_WAN[version], 22), family=FAMILY[version])
        opened.settimeout(PATIENCE)
        return opened

    def call() -> socket.socket:
        return socket.create_connection((GA_WAN[version], 22), timeout=PATIENCE)

    saved.write_text("table inet ipsecd { nonsense }\n")
    sites.run("ga", ["nft", "flush", "ruleset"])
    with Capture(sites, "ga", "wan0") as wan:
        done = raised(sites, saved)
        assert done.returncode == 1
        assert "<0>The floor of ipsecd's last policy can't be loaded: this machine is closed" in done.stderr
        for target in (HB, GB_WAN):
            send(sites, "ha", udp(HA[version], target[version], MARK))
            with pytest.raises(PermissionError):  # a socket of ga itself is told
                sites.inside("ga", lambda to=target[version]: _send(version, to))
        send(sites, "gb", ping(GB_WAN[version], GA_WAN[version], MARK))
        with sites.inside("ga", listen) as server, sites.inside("gb", call) as client:
            accepted, _ = server.accept()
            with accepted:
                accepted.sendall(b"<SSH>")
                assert client.recv(100) == b"<SSH>"
        wan.wait_for(b"<SSH>")
        assert not [seen for seen in wan.seen if seen.outgoing and MARK in seen.packet]
        sites.run("ga", ["nft", "delete", "table", "inet", "ipsecd"])
        send(sites, "ha", udp(HA[version], HB[version], MARK))
        wan.wait(lambda seen: seen.outgoing and MARK in seen.packet, "a packet that nobody stops any more")


def _send(version: int, target: str) -> None:
    with socket.socket(FAMILY[version], socket.SOCK_DGRAM) as opened:
        opened.sendto(MARK, (target, 4_001))


def test_a_floor_that_has_been_emptied_is_none_that_can_be_loaded(sites: Sites, saved: Path) -> None:
    saved.write_text("")
    done = raised(sites, saved)
    assert (done.returncode, "this machine is closed" in done.stderr) == (1, True)


def test_if_nothing_can_be_loaded_that_is_shouted(sites: Sites, saved: Path, tmp_path: Path) -> None:
    saved.write_text("nonsense\n")
    done = sites.run("ga", [FLOOR, saved, tmp_path / "missing"], check=False)
    assert done.returncode == 1
    assert "<0>Neither the floor of ipsecd's last policy nor" in done.stderr


# --- boot modes -----------------------------------------------------------------------------------------------------


class Booted:
    """ga after a boot in one mode: the unit has raised the floor, and ipsecd hasn't started."""

    def __init__(self, sites: Sites, saved: Path, mode: str) -> None:
        boot = saved.with_name("boot.nft")
        if ADDED[mode]:
            boot.write_text(ADDED[mode])
        sites.run("ga", ["nft", "flush", "ruleset"])
        self._sites, self._floor = sites, [FLOOR, saved, CLOSED, boot, saved.with_name("booted.nft")]
        self.raise_floor()

    def raise_floor(self) -> None:
        """As at the boot, and behind nftables.service."""
        done = self._sites.run("ga", self._floor, check=False)
        assert (done.returncode, done.stderr) == (0, "")

    def passes(self, wan: Capture, source: str, destination: str, mark: bytes) -> bool:
        """Whether a packet, of ga or forwarded, leaves by wan0."""
        place = "ga" if source == GA_WAN[4] else "ha"
        with contextlib.suppress(PermissionError):
            send(self._sites, place, udp(source, destination, mark))
        behind = mark.replace(b"<", b"<behind ")
        send(self._sites, "gb", udp(GB_WAN[4], GA_WAN[4], behind))
        wan.wait_for(behind)
        return any(seen.outgoing and mark in seen.packet for seen in wan.seen)

    def asks(self) -> bool:
        """Whether ga gets an answer from gb."""
        return self._sites.run("ga", ["ping", "-c1", "-W1", GB_WAN[4]], check=False).returncode == 0

    def asked(self) -> bool:
        """Whether gb gets one from ga."""
        return self._sites.run("gb", ["ping", "-c1", "-W1", GA_WAN[4]], check=False).returncode == 0


@pytest.mark.parametrize(
    ("mode", "covered", "uncovered", "own", "asks", "asked"),
    [
        ("last", False, True, True, True, True),
        ("stateful", False, False, True, True, False),
        ("block", False, False, False, False, False),
        ("permit", True, True, True, True, True),
    ],
)
def test_until_a_policy_is_in_force_the_boot_mode_says_what_passes(
    sites: Sites,
    saved: Path,
    tmp_path: Path,
    mode: str,
    covered: bool,
    uncovered: bool,
    own: bool,
    asks: bool,
    asked: bool,
) -> None:
    booted = Booted(sites, saved, mode)
    with Capture(sites, "ga", "wan0") as wan:
        assert booted.passes(wan, HA[4], HB[4], b"<one>") is covered
        assert booted.passes(wan, HA[4], GB_WAN[4], b"<two>") is uncovered
        assert booted.passes(wan, GA_WAN[4], GB_WAN[4], b"<three>") is own
        assert booted.asks() is asks
        assert booted.asked() is asked
        neighbours = sites.run("ga", ["ping", "-c1", "-W1", GB_WAN[6]], check=False).returncode == 0
        assert neighbours is asks
        (saved.parent / "again").mkdir()
        with Gateway(sites, saved.parent / "again", between_sites(Action.PROTECT)):
            assert not booted.passes(wan, HA[4], HB[4], b"<four>")
            assert booted.passes(wan, HA[4], GB_WAN[4], b"<five>")
            assert booted.asks()
            assert booted.asked(), "a policy is in force"


@pytest.mark.parametrize("mode", ["stateful", "block", "permit"])
def test_once_ipsecd_has_run_the_boot_mode_adds_what_it_says(sites: Sites, saved: Path, mode: str) -> None:
    booted, now = Booted(sites, saved, mode), saved.with_name("booted.nft")
    with Capture(sites, "ga", "wan0") as wan:
        for added, closed in ((ADDED["block"], True), ("", False)):
            now.write_text(added)
            sites.run("ga", ["nft", "flush", "ruleset"])
            booted.raise_floor()
            assert not booted.passes(wan, HA[4], HB[4], f"<covered {closed}>".encode())
            assert booted.passes(wan, HA[4], GB_WAN[4], f"<uncovered {closed}>".encode()) is not closed


@pytest.mark.parametrize("damage", ["nonsense\n", ADDED["stateful"][:80], "\0\0", ""])
def test_a_boot_mode_that_can_not_be_loaded_is_the_strictest(
    sites: Sites, saved: Path, tmp_path: Path, damage: str
) -> None:
    boot, now = saved.with_name("boot.nft"), saved.with_name("booted.nft")
    for there in (boot, now):
        sites.run("ga", ["nft", "flush", "ruleset"])
        there.write_text(damage)
        done = sites.run("ga", [FLOOR, saved, CLOSED, boot, now], check=False)
        if there is now and not damage:
            assert (done.returncode, done.stderr) == (0, ""), "which says that the boot is over"
            break
        assert f"<0>The boot mode in {there} can't be loaded: the floor of ipsecd's last policy stands" in done.stderr
        assert done.returncode == 1
        table = sites.run("ga", ["nft", "list", "table", "inet", "ipsecd"]).stdout
        assert [f"chain boot_{hook} {{" in table for hook in ("input", "output", "forward")] == [True] * 3
        sites.run("ga", ["nft", "flush", "ruleset"])
        (tmp_path / "mode.nft").write_text(ADDED["block"])
        sites.run("ga", [FLOOR, saved, CLOSED, tmp_path / "mode.nft", tmp_path / "none"])
        assert sites.run("ga", ["nft", "list", "table", "inet", "ipsecd"]).stdout == table


def test_a_floor_that_can_not_be_loaded_closes_the_machine_whatever_the_boot_mode_is(sites: Sites, saved: Path) -> None:
    boot = saved.with_name("boot.nft")
    for mode in (ADDED["stateful"], "nonsense\n"):
        saved.write_text("nonsense\n")
        boot.write_text(mode)
        done = sites.run("ga", [FLOOR, saved, CLOSED, boot, saved.with_name("booted.nft")], check=False)
        assert (done.returncode, "this machine is closed" in done.stderr) == (1, True)


def test_without_a_saved_floor_no_boot_mode_counts(sites: Sites, tmp_path: Path) -> None:
    (tmp_path / "boot.nft").write_text(ADDED["block"])
    assert sites.run("ga", [FLOOR, tmp_path / "missing", CLOSED, tmp_path / "boot.nft"]).stderr == ""
    assert sites.run("ga", ["nft", "list", "tables"]).stdout == ""
