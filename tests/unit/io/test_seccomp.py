"""The filter of system calls, run as the kernel runs it: on a machine of each kind."""

from __future__ import annotations

import errno
import fcntl
import mmap
import signal
import socket
import struct

import pytest

from ipsecd.io.seccomp import ALLOW, ARCHITECTURES, KILL, REFUSE, program

PID = 4_321
MACHINES = ("x86_64", "aarch64")
# Some numbers of what must never be in the list (asm/unistd_64.h, asm-generic/unistd.h).
FORBIDDEN = {
    "x86_64": {
        "open": 2, "ioctl": 16, "dup": 32, "socket": 41, "connect": 42, "accept": 43, "bind": 49, "clone": 56,
        "fork": 57, "execve": 59, "kill": 62, "ptrace": 101, "setuid": 105, "capset": 126, "prctl": 157, "mount": 165,
        "tkill": 200, "keyctl": 250, "openat": 257, "unshare": 272, "perf_event_open": 298, "setns": 308,
        "process_vm_readv": 310, "memfd_create": 319, "bpf": 321, "execveat": 322, "userfaultfd": 323,
        "pkey_mprotect": 329, "io_uring_setup": 425, "clone3": 435, "openat2": 437, "pidfd_getfd": 438,
        "read_of_x32": 0x4000_0000,
    },
    "aarch64": {
        "dup": 23, "ioctl": 29, "mount": 40, "openat": 56, "capset": 91, "unshare": 97, "ptrace": 117, "kill": 129,
        "tkill": 130, "setuid": 146, "prctl": 167, "socket": 198, "bind": 200, "accept": 202, "connect": 203,
        "keyctl": 219, "clone": 220, "execve": 221, "perf_event_open": 241, "setns": 268, "process_vm_readv": 270,
        "memfd_create": 279, "bpf": 280, "execveat": 281, "userfaultfd": 282, "pkey_mprotect": 288,
        "io_uring_setup": 425, "clone3": 435, "openat2": 437, "pidfd_getfd": 438, "unknown": 10_000,
    },
}  # fmt: skip
NUMBERS: dict[str, dict[str, int]] = {
    "x86_64": {
        "fcntl": 72, "mmap": 9, "mprotect": 10, "setsockopt": 54, "tgkill": 234, "read": 0, "recvmsg": 47,
        "sendmmsg": 307, "recvmmsg": 299,
    },
    "aarch64": {
        "fcntl": 25, "mmap": 222, "mprotect": 226, "setsockopt": 208, "tgkill": 131, "read": 63, "recvmsg": 212,
        "sendmmsg": 269, "recvmmsg": 243,
    },
}  # fmt: skip


def verdict(machine: str, number: int, *arguments: int, architecture: int = 0) -> int:
    """What the filter says of one call (linux/seccomp.h, struct seccomp_data)."""
    lines = list(struct.iter_unpack("=HBBI", program(machine, PID) or b""))
    given = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<iIQ6Q", number, architecture or ARCHITECTURES[machine], 0, *given)
    loaded = at = 0
    while True:
        code, so, otherwise, operand = lines[at]
        at += 1
        match code:
            case 0x20:
                (loaded,) = struct.unpack_from("<I", data, operand)
            case 0x15:
                at += so if loaded == operand else otherwise
            case 0x45:
                at += so if loaded & operand else otherwise
            case 0x06:
                return int(operand)


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_not_in_the_list_is_refused(machine: str) -> None:
    found = {name: verdict(machine, number) for name, number in FORBIDDEN[machine].items()}
    assert set(found.values()) == {REFUSE}
    assert REFUSE & 0xFFFF == errno.EPERM
    allowed = {number for number in range(1_000) if verdict(machine, number) != REFUSE}
    assert len(allowed) <= 38


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "arguments", "allowed"),
    [
        ("read", (0, 0, 100), True),
        ("recvmsg", (3, 0, 0), True),
        ("recvmmsg", (3, 0, 64, 0, 0), True),
        ("sendmmsg", (3, 0, 64, 0), True),
        ("mmap", (0, 4_096, mmap.PROT_READ | mmap.PROT_WRITE), True),
        ("mmap", (0, 4_096, mmap.PROT_READ | mmap.PROT_EXEC), False),
        ("mmap", (0, 4_096, 1 << 32 | mmap.PROT_EXEC), False),
        ("mprotect", (0, 4_096, mmap.PROT_READ), True),
        ("mprotect", (0, 4_096, mmap.PROT_EXEC), False),
        ("fcntl", (3, fcntl.F_GETFL), True),
        ("fcntl", (3, fcntl.F_SETFD, 1), True),
        ("fcntl", (3, fcntl.F_SETFL, 0), False),
        ("fcntl", (3, fcntl.F_SETOWN, 1), False),
        ("fcntl", (3, fcntl.F_DUPFD, 1), False),
        ("setsockopt", (3, socket.IPPROTO_IP, 10), True),
        ("setsockopt", (3, socket.IPPROTO_IPV6, 23), True),
        ("setsockopt", (3, socket.SOL_SOCKET, 36), False),
        ("setsockopt", (3, socket.SOL_SOCKET, 10), False),
        ("setsockopt", (3, socket.IPPROTO_IP, socket.IP_TOS), False),
        ("tgkill", (PID, PID, signal.SIGABRT), True),
        ("tgkill", (PID, PID, signal.SIGKILL), False),
        ("tgkill", (PID - 1, PID - 1, signal.SIGABRT), False),
    ],
)
def test_what_is_allowed_may_depend_on_the_arguments(
    machine: str, name: str, arguments: tuple[int, ...], allowed: bool
) -> None:
    assert verdict(machine, NUMBERS[machine][name], *arguments) == (ALLOW if allowed else REFUSE)


@pytest.mark.parametrize(("machine", "foreign"), [("x86_64", 0x4000_0003), ("aarch64", 0x4000_0028)])
def test_another_instruction_set_ends_the_process(machine: str, foreign: int) -> None:
    """Its numbers mean other calls: 3 is read to a 32-bit x86, and close to a 64-bit one."""
    assert verdict(machine, 3, architecture=foreign) == KILL


def test_a_machine_whose_numbers_are_not_known_has_no_filter() -> None:
    assert program("riscv64", PID) is None
