"""A worker that has shut itself in: what it can't do any more, and that its work goes on."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from ipsecd.io.native_open import ESP, open_receiving, open_sending
from ipsecd.io.tun import Tun
from ipsecd.io.udp import UdpSocket
from tests.netns.places import GA_WAN, GB_WAN
from tests.netns.reading import datagrams
from tests.netns.sites import Sites

pytestmark = pytest.mark.root

NOBODY = 65_534
START = """
import ctypes, errno, fcntl, gc, json, mmap, os, resource, select, signal, socket, struct, sys, traceback
import numpy
from ipsecd.errors import IpsecdError
from ipsecd.io import confine
libc, parent = ctypes.CDLL(None, use_errno=True), os.getppid()
libc.syscall.restype = ctypes.c_long
def called(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)
def outcome(attempt):
    try:
        attempt()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
def become(user):
    if user:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
"""
ATTEMPTS = """
unix, other, tcp = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX), socket.socket()
page = mmap.mmap(-1, 4096)
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
attempts = {
    "open a file that all may read": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "open a key": lambda: os.open(key, os.O_RDONLY),
    "make a file": lambda: os.open(key + ".new", os.O_CREAT | os.O_WRONLY),
    "list a directory": lambda: os.listdir("/"),
    "remove a file": lambda: os.unlink(key),
    "call the control socket": lambda: unix.connect(control),
    "call an abstract socket": lambda: other.connect(abstract),
    "connect by TCP": lambda: tcp.connect(("127.0.0.1", 9)),
    "listen to TCP": lambda: tcp.bind(("127.0.0.1", 0)),
    "make a socket": lambda: socket.socket(),
    "make a raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 50),
    "mark a socket": lambda: tcp.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 1),
    "trace the parent": lambda: called("ptrace", 16, parent, 0, 0),
    "signal the parent": lambda: os.kill(parent, 0),
    "abort the parent": lambda: called("tgkill", parent, parent, 0),
    "fork": lambda: os.fork() or os._exit(0),
    "run a program": lambda: os.execv("/bin/true", ["true"]),
    "raise a capability": lambda: called("capset", b"\\x22\\x05\\x08\\x20" + bytes(4), b"\\x01\\x00\\x00\\x00" * 6),
    "map code": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
    "make data code": lambda: called("mprotect", ctypes.c_void_p(address), 4096, 5),
    "control a device": lambda: fcntl.ioctl(0, 0x5401),
    "become root": lambda: os.setresuid(0, 0, 0),
    "leave its namespaces": lambda: called("unshare", 0x10000000),
    "own signals of a socket": lambda: fcntl.fcntl(tcp, fcntl.F_SETOWN, parent),
}
"""
BY_RIGHTS = {"open a file that all may read", "open a key", "make a file", "list a directory", "remove a file"}


def child(program: str, *, descriptors: tuple[int, ...] = ()) -> subprocess.Popen[str]:
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", START + program],
        env=environment, pass_fds=descriptors, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def told(program: str) -> Any:
    """What a child prints as JSON, to its end."""
    running = child(program)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    return json.loads(out)


def attempted(tmp_path: Path, user: int, without: tuple[str, ...] = ()) -> dict[str, str]:
    key, control = tmp_path / "key", tmp_path / "control"
    key.write_text("secret")
    key.chmod(0o600)
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as nameless:
        listening.bind(str(control))
        control.chmod(0o666)
        nameless.bind("")  # to a name that the kernel chooses
        for opened in (listening, nameless):
            opened.listen()
        parts = "".join(f"confine.{part} = lambda: True\n" for part in without)
        names = f"key, control, abstract = {str(key)!r}, {str(control)!r}, {nameless.getsockname()!r}\n"
        program = f"{names}{ATTEMPTS}\nbecome({user})\n{parts}"
        shut = "absent = confine.shut_in()\n"
        tell = (
            "print(json.dumps({name: outcome(attempt) for name, attempt in attempts.items()} | {'absent': [*absent]}))"
        )
        found: dict[str, Any] = told(program + shut + tell)
    assert found.pop("absent") == []
    return found


@pytest.mark.parametrize("user", [0, NOBODY])
def test_it_can_do_nothing_it_should_not(tmp_path: Path, user: int) -> None:
    found = attempted(tmp_path, user)
    assert found == dict.fromkeys(found, "EPERM")
    assert len(found) == 24


def test_without_the_filter_of_calls_roots_files_stay_shut(tmp_path: Path) -> None:
    """Landlock, and the capabilities that are gone."""
    found = attempted(tmp_path, 0, without=("_filter_calls",))
    assert {name: found[name] for name in BY_RIGHTS} == dict.fromkeys(BY_RIGHTS, "EACCES")
    assert {name for name, number in found.items() if number == "EACCES"} == {
        *BY_RIGHTS, "connect by TCP", "listen to TCP", "run a program",
    }  # fmt: skip
    assert {name for name, number in found.items() if number == "EPERM"} == {
        "make a raw socket", "mark a socket", "trace the parent", "signal the parent", "abort the parent",
        "raise a capability", "call an abstract socket",
    }  # fmt: skip


def test_without_landlock_the_filter_of_calls_is_enough(tmp_path: Path) -> None:
    found = attempted(tmp_path, 0, without=("_close_files",))
    assert found == dict.fromkeys(found, "EPERM")


@pytest.mark.parametrize("user", [0, NOBODY])
def test_no_set_has_a_capability_and_none_comes_back(user: int) -> None:
    lines = told(
        f"confine._close_files = confine._filter_calls = lambda: True\nbecome({user})\nconfine.shut_in()\n"
        "print(json.dumps([open('/proc/self/status').read(), resource.getrlimit(resource.RLIMIT_CORE),"
        "libc.prctl(3, 0, 0, 0, 0)]))"
    )
    status = dict(line.split(":\t", 1) for line in lines[0].splitlines() if ":\t" in line)
    sets = ["CapInh", "CapPrm", "CapEff", "CapAmb"] + ([] if user else ["CapBnd"])  # that one takes CAP_SETPCAP
    assert {int(status[name], 16) for name in sets} == {0}
    assert (status["NoNewPrivs"], lines[1:]) == ("1", [[0, 0], 0])


def test_a_kernel_without_a_measure_is_named() -> None:
    program = (
        "from ipsecd.io import seccomp\nreal = confine._syscall\n"
        "def without(number, *rest):\n"
        "    if number in (444, seccomp.SECCOMP[os.uname().machine]):\n"
        "        return libc.syscall(ctypes.c_long(1_000_000))\n"
        "    return real(number, *rest)\n"
        "confine._syscall = without\nprint(json.dumps(sorted(confine.shut_in())))"
    )
    assert told(program) == ["landlock", "seccomp"]


def test_a_measure_that_fails_is_an_error_and_so_is_a_second_thread() -> None:
    assert told(
        "confine._TCP_BIND_AND_CONNECT = 1 << 40\n"
        "try:\n    confine.shut_in()\nexcept IpsecdError as error:\n    print(json.dumps(str(error)))"
    ) == "a worker can't make a Landlock ruleset: Invalid argument"  # fmt: skip
    assert told(
        "import threading\nstop = threading.Event()\nthread = threading.Thread(target=stop.wait)\nthread.start()\n"
        "try:\n    confine.shut_in()\nexcept IpsecdError as error:\n    print(json.dumps(str(error)))\n"
        "stop.set()\nthread.join()"
    ) == "2 threads can't be shut in, only one"  # fmt: skip


@pytest.mark.parametrize("shut", [False, True])
def test_nobody_of_its_user_traces_it(shut: bool) -> None:
    """Nor reads its memory. The other case shows that the attempt is a good one."""
    ready = "print(flush=True)\nos.read(0, 1)\n"
    before = "libc.prctl(4, 1, 0, 0, 0)\n"  # as it was until its user changed
    with child(f"become({NOBODY})\n{before}{'confine.shut_in()' if shut else ''}\n{ready}") as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "\n"
        attempts = (
            f"become({NOBODY})\nprint(json.dumps([outcome(lambda: called('ptrace', 0x4206, {worker.pid}, 0, 0)),"
            f"outcome(lambda: os.open('/proc/{worker.pid}/mem', os.O_RDWR))]))"
        )
        found = told(attempts)
        worker.kill()
    assert found == (["EPERM", "EACCES"] if shut else ["done", "done"])


def test_it_dies_with_the_process_that_started_it() -> None:
    between = child(
        "import subprocess\n"
        "worker = 'import os, sys; from ipsecd.io import confine; confine.die_with_parent(int(sys.argv[1]));'"
        "'confine.shut_in(); print(os.getpid(), flush=True); os.read(0, 1)'\n"
        "subprocess.Popen([sys.executable, '-c', worker, str(os.getpid())])\nsignal.pause()"
    )
    with between:
        assert between.stdout is not None
        worker = int(between.stdout.readline())
        watched = os.pidfd_open(worker)
        assert select.select([watched], [], [], 0)[0] == []
        between.kill()
        assert select.select([watched], [], [], 60)[0] == [watched]
        os.close(watched)


def test_a_parent_that_is_gone_already_is_noticed() -> None:
    program = (
        "try:\n    confine.die_with_parent(parent + 1)\nexcept IpsecdError as error:\n    print(json.dumps(str(error)))"
    )
    assert told(program) == f"process {os.getpid() + 1}, which started this one, is gone"


def test_it_can_abort_itself() -> None:
    running = child("confine.shut_in()\nos.abort()")
    running.communicate(timeout=60)
    assert running.returncode == -signal.SIGABRT


def test_it_counts_allocates_and_encrypts() -> None:
    program = """
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
confine.shut_in()
for size in (10, 100_000, 100_000_000):
    column = numpy.arange(size, dtype=numpy.uint64)
    assert int(column.sum()) == size * (size - 1) // 2
    del column
octets = bytearray(50_000_000)
octets.extend(bytes(50_000_000))
sealing, sealed, opened = AESGCM(bytes(16)), bytearray(1_416), bytearray(1_400)
sealing.encrypt_into(bytes(12), b"x" * 1_400, b"aad", sealed)
sealing.decrypt_into(bytes(12), bytes(sealed), b"aad", opened)
assert opened == b"x" * 1_400 and len(os.urandom(16)) == 16
ring = []
ring.append(ring)
del ring
assert gc.collect() >= 1
print(json.dumps("done"), flush=True)
def fails():
    raise ValueError("told to standard error")
fails()
"""
    running = child(program)
    out, err = running.communicate(timeout=60)
    assert json.loads(out) == "done", err
    assert running.returncode == 1
    assert err.startswith("Traceback (most recent call last):\n")
    assert err.endswith("ValueError: told to standard error\n")


def test_its_descriptors_go_on_working(sites: Sites) -> None:
    """Those it was started with and those it is sent: a channel, a pipe, a socket that is marked, a TUN."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sending = sites.inside("ga", UdpSocket, ip_address("0.0.0.0"), 4500, 0x0200_0000, True)
    receiving = sites.inside("gb", UdpSocket, ip_address("0.0.0.0"), 4500, 0, True)
    tun = sites.inside("ga", Tun, "ipsecd0", 1_400)
    sites.run("ga", ["ip", "addr", "add", "10.9.0.1/24", "dev", "ipsecd0"])
    sites.inside("ga", tun.up)
    asking = sites.inside("ga", socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
    asking.bind(("10.9.0.1", 5000))
    asking.settimeout(60)
    program = f"""
from ipaddress import ip_address
from ipsecd.io.tun import TunEnd
from ipsecd.io.udp import UdpSocket
channel, tun = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, {theirs.fileno()}), {tun.fileno()}
confine.shut_in()
poll = select.poll()
poll.register(channel, select.POLLIN)
assert poll.poll(60_000) == [(channel.fileno(), select.POLLIN)]
words, ancillary, _, _ = channel.recvmsg(100, socket.CMSG_SPACE(8))
pipe, sending = struct.unpack("=ii", ancillary[0][2])
channel.sendmsg([words, os.read(pipe, 100)])
os.close(pipe)
udp = UdpSocket.adopt(socket.socket(fileno=sending), natt=True, offloads=frozenset({{"udp-segment"}}), sending=True)
local, remote = ip_address("{GA_WAN[4]}"), ip_address("{GB_WAN[4]}")
assert udp.send(b"a" * 1_000 + b"b" * 500, remote, 4500, local=local, may_fragment=False, segment=1_000) is None
assert udp.send(bytes(1_501 - 28), remote, 4500, may_fragment=False) == ("send-too-big", 1_500)
buffer = memoryview(bytearray(65_536))
assert (udp.receive_into(buffer), udp.errors(10), udp.drops) == (None, [], {{"send-too-big": 1}})
tun = TunEnd(tun, "ipsecd0")
poll.register(tun, select.POLLIN)
packet = b""
while packet[20:24] != b"\\x13\\x88\\x13\\x89":
    poll.poll(60_000)
    packet, head = tun.read()
answer = [packet[12:16], packet[22:24], packet[20:22], packet[24:]]
assert tun.write(packet[:12], packet[16:20], *answer, head=head)
print(json.dumps("done"))
"""
    with child(program, descriptors=(theirs.fileno(), tun.fileno())) as worker:
        theirs.close()
        reading, writing = os.pipe()
        os.write(writing, b" and a pipe")
        socket.send_fds(ours, [b"a channel"], [reading, sending.fileno()])
        ours.settimeout(60)
        assert ours.recv(100) == b"a channel and a pipe"
        select.select([receiving], [], [], 60)
        assert [datagram.data for datagram in datagrams(receiving, 2)] == [b"a" * 1_000, b"b" * 500]
        asking.sendto(b"echo", ("10.9.0.2", 5001))
        assert asking.recvfrom(100) == (b"echo", ("10.9.0.2", 5001))
        out, err = worker.communicate(timeout=60)
        assert json.loads(out) == "done", err
    for opened in (ours, asking, sending, receiving, tun):
        opened.close()
    os.close(reading)
    os.close(writing)


def test_native_packets_leave_and_arrive_many_at_once(sites: Sites) -> None:
    sending = sites.inside("ga", open_sending, 4, 0x0200_0000)
    receiving = sites.inside("gb", open_receiving, 4, ESP, 0x0200_0000)
    program = f"""
from ipaddress import ip_address
from ipsecd import limits
from ipsecd.io.native_runs import RunReceiver, RunSender
sender = RunSender(socket.socket(fileno={sending.fileno()}))
receiver = RunReceiver(socket.socket(fileno={receiving.fileno()}))
buffer = memoryview(bytearray(limits.RECEIVE_BUFFER + limits.NATIVE_BUFFER))
ends = ip_address("{GA_WAN[4]}"), ip_address("{GB_WAN[4]}")
header = bytes([0x45, 0, 0, 60, 0, 1, 0x40, 0, 64, 50, 0, 0]) + b"".join(end.packed for end in ends)
packets = b"".join(header + bytes([number] * 40) for number in range(20))
confine.shut_in()
assert sender.send(packets[:120], *ends, segment=60) is None
assert sender.repeat(*ends, segment=60)(packets[120:])
octets, poll = 0, select.poll()
poll.register(receiver, select.POLLIN)
while octets < len(packets):
    assert poll.poll(60_000)
    octets += receiver.receive_run(buffer[octets:], 64).octets
for checksum in range(10, octets, 60):
    buffer[checksum : checksum + 2] = bytes(2)
assert (bytes(buffer[:octets]), sender.drops) == (packets, {{}})
print(json.dumps("done"))
"""
    with child(program, descriptors=(sending.fileno(), receiving.fileno())) as worker:
        out, err = worker.communicate(timeout=60)
        assert json.loads(out) == "done", err
    sending.close()
    receiving.close()
