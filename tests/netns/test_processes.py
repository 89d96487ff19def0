"""The data plane's processes: what they can't do, and what becomes of traffic when one of them ends."""

from __future__ import annotations

import errno
import os
import signal
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ipsecd import limits
from tests.interop.ipsecd import Ipsecd
from tests.interop.traffic import Ping, silent
from tests.interop.waiting import eventually
from tests.netns.pair import files, pair, rule
from tests.netns.places import HA, HB
from tests.netns.sites import Sites

pytestmark = pytest.mark.root

ROADS = ("out", "in")
# what somebody who runs code in a process of the data plane would try, and what it gets
ATTEMPTS = {
    "key file": "os.close(os.open(KEY, os.O_RDONLY))",
    "policy": "open(POLICY).close()",
    "control socket": "socket.socket(socket.AF_UNIX).connect(CONTROL)",
    "socket": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "ptrace": "called(libc.ptrace(16, PARENT, 0, 0))",  # PTRACE_ATTACH
    "memory": "open(f'/proc/{PARENT}/mem', 'rb').close()",
    "signal": "os.kill(PARENT, 0)",
    "fork": "os.fork()",
    "exec": "os.execv('/bin/true', ['true'])",
}
# it is imported by every Python that starts with this folder in PYTHONPATH; only the roads' processes have anything in
# sys.argv that makes it do something
SITECUSTOMIZE = """
import os, sys
if "ipsecd.dataplane" in sys.orig_argv:
    import ctypes, socket
    KEY, POLICY, CONTROL, PARENT = {key!r}, {policy!r}, {control!r}, int(sys.orig_argv[-1])
    libc = ctypes.CDLL(None, use_errno=True)

    def called(result):
        if result < 0:
            raise OSError(ctypes.get_errno(), "")

    def trying():
        import ipsecd.dataplane.process as process
        run = process.RoadProcess.run
        def tried(self, missing):
            for name, attempt in {attempts!r}.items():
                try:
                    exec(attempt)
                except OSError as error:
                    result = error.errno
                else:
                    result = 0
                os.write(2, f"attempt|{{sys.orig_argv[-3]}}|{{name}}|{{result}}\\n".encode())
            run(self, missing)
        process.RoadProcess.run = tried

    import atexit, threading
    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "ipsecd.dataplane.runs_out":  # process is being imported, or is
                sys.meta_path.remove(self)
                from ipsecd.dataplane import process
                trying()
            return None
    sys.meta_path.insert(0, Finder())
"""


def pids(daemon: Ipsecd) -> dict[str, int]:
    found: dict[str, int] = daemon.ask("status")["processes"]
    return found


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines)


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists() or status(pid)["State"].startswith("Z")


def test_a_road_can_do_nothing_but_carry_packets(sites: Sites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a"
    names = {"key": folder / "peer.psk", "policy": folder / "policy.yaml", "control": folder / "control"}
    code = SITECUSTOMIZE.format(attempts=ATTEMPTS, **{name: str(path) for name, path in names.items()})
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "sitecustomize.py").write_text(textwrap.dedent(code))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "python"), os.environ.get("PYTHONPATH", "")]))
    with pair(sites, tmp_path) as both:
        assert both.carries()
        found = [line.split("|")[1:] for line in both.a.log().splitlines() if line.startswith("attempt|")]
    results = {(road, name): int(result) for road, name, result in found}
    assert {road for road, _ in results} == set(ROADS)
    assert {name for _, name in results} == set(ATTEMPTS)
    assert set(results.values()) <= {errno.EPERM, errno.EACCES}


def test_each_road_is_shut_in_and_holds_only_what_it_needs(sites: Sites, tmp_path: Path) -> None:
    with pair(sites, tmp_path) as both:
        assert both.carries()
        for road, pid in pids(both.a).items():
            told = status(pid)
            assert road in ROADS
            assert told["NoNewPrivs"] == "1"
            assert told["Seccomp"] == "2"
            assert {told[name].strip("0") for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {""}
            assert told["Threads"] == "1"
            held = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir() if int(path.name) > 2]
            kinds = sorted(name.split(":")[0] for name in held)
            raw = 2 if road == "out" else 5  # of both IP versions: one; two protocols, and what routers say of AH
            assert kinds == ["/dev/net/tun", *["socket"] * (3 + raw)]


def test_a_stopped_daemon_leaves_no_process_and_no_device(sites: Sites, tmp_path: Path) -> None:
    with pair(sites, tmp_path) as both:
        roads = pids(both.a).values()
        assert "ipsecd0" in sites.run("ga", ["ip", "-br", "link"]).stdout
        assert both.a.stop(signal.SIGTERM) == 0
        assert all(gone(pid) for pid in roads)
        assert "ipsecd0" not in sites.run("ga", ["ip", "-br", "link"]).stdout


def test_a_killed_daemon_takes_the_roads_with_it(sites: Sites, tmp_path: Path) -> None:
    with pair(sites, tmp_path) as both:
        roads = pids(both.a).values()
        both.a.stop(signal.SIGKILL)
        eventually(lambda: all(gone(pid) for pid in roads), "the roads have ended")
        assert silent(sites, "ha", HB[4])


@pytest.mark.parametrize("road", ROADS)
def test_what_a_dead_road_carried_is_negotiated_anew(sites: Sites, tmp_path: Path, road: str) -> None:
    with pair(sites, tmp_path) as both:
        assert both.carries()
        before, used = pids(both.a), both.spis()
        with Ping(sites, "ha", HB[4], tmp_path / "ping") as ping:
            os.kill(before[road], signal.SIGKILL)
            ping.flows()
        assert both.carries()
        after = pids(both.a)
        assert not set(before.values()) & set(after.values())
        assert both.wire.cleartext() == {}
        assert not set().union(*both.spis()) & set().union(*used)
        assert both.spis()[0] == both.spis()[1]
        assert len(both.a.ctl("sas")["sas"]) == 1  # the IKE SA is still the same
        assert f"process {road} has died (SIGKILL)" in both.a.log()


@pytest.mark.parametrize("road", ROADS)
def test_a_stuck_road_is_ended(sites: Sites, tmp_path: Path, road: str) -> None:
    with pair(sites, tmp_path) as both:
        assert both.carries()
        before = pids(both.a)
        os.kill(before[road], signal.SIGSTOP)
        eventually(lambda: "doesn't answer any more" in both.a.log(), "the daemon notices")
        # an answer that comes to the stuck road before it is killed is lost with it
        eventually(lambda: "has been started again" in both.a.log(), "and starts both again")
        assert both.carries()
        assert pids(both.a)[road] != before[road]


def test_roads_that_die_again_and_again_end_the_daemon_and_the_floor_stands(sites: Sites, tmp_path: Path) -> None:
    with pair(sites, tmp_path) as both, dying(both.a):
        eventually(lambda: "gives up" in both.a.log(), "the daemon gives up")
        eventually(lambda: gone(both.a.pid), "it ends")
        assert both.a.log().count("has been started again") == limits.PLANE_DEATHS
        assert silent(sites, "ha", HB[4])
        assert silent(sites, "hb", HA[4])
        assert both.wire.cleartext() == {}


@contextmanager
def dying(daemon: Ipsecd) -> Iterator[None]:
    """Whenever the road out has been started, it is killed."""
    for again in range(limits.PLANE_DEATHS + 1):
        eventually(lambda again=again: daemon.log().count("has been started again") == again, "the roads are there")
        os.kill(pids(daemon)["out"], signal.SIGKILL)
    yield


def test_inline_there_are_no_processes(sites: Sites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPSECD_DATA_PLANE", "inline")
    ours, theirs = files(rule("a")), files(rule("b"))
    with pair(sites, tmp_path, ours, theirs) as both:
        assert both.carries()
        told = both.a.ctl("status")
    assert (told["data_plane"], told["processes"]) == ("inline", {})
