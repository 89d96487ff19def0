"""The system calls that a shut-in worker has left, as a program for the kernel's filter (seccomp(2), classic BPF).

It is a list of what is allowed: what a running Python needs for its memory, and what reads and writes descriptors that
are open already. Nothing makes a descriptor from a name, a process from a program, or code from data. What isn't in the
list fails with EPERM, as does what the kernel learns after this was written. A call in another instruction set, whose
numbers mean other things, ends the process.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import signal
import socket
import struct
from collections.abc import Iterable
from typing import NamedTuple

from ipsecd.io.udp import IP_MTU_DISCOVER, IPV6_MTU_DISCOVER

# linux/audit.h, and the number of seccomp(2) itself
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
SECCOMP = {"x86_64": 317, "aarch64": 277}

# linux/seccomp.h, linux/bpf_common.h
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
_LOAD, _IF_EQUAL, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_INSTRUCTION = struct.Struct("=HBBI")  # code, instructions to skip if so, and if not, operand


class Must(NamedTuple):
    """What an argument must be: one ``among`` these, or without any bit of ``no``. Only its low 32 bits are looked at:
    all that the kernel takes of an int, and where PROT_EXEC is."""

    argument: int
    among: tuple[int, ...] = ()
    no: int = 0


class Call(NamedTuple):
    """A system call: its number by architecture, None where there is none, and what its arguments must be."""

    x86_64: int | None
    aarch64: int | None
    musts: tuple[Must, ...] = ()


_DATA = (Must(2, no=mmap.PROT_EXEC),)
_FLAGS = (Must(1, among=(fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL)),)  # what F_SETFL changes, others share
_WHETHER_TO_FRAGMENT = (
    Must(1, among=(socket.IPPROTO_IP, socket.IPPROTO_IPV6)),
    Must(2, among=(IP_MTU_DISCOVER, IPV6_MTU_DISCOVER)),
)
_CALLS = {
    # descriptors
    "sendmsg": Call(46, 211),
    "recvmsg": Call(47, 212),
    "sendmmsg": Call(307, 269),
    "recvmmsg": Call(299, 243),
    "readv": Call(19, 65),
    "writev": Call(20, 66),
    "poll": Call(7, None),
    "ppoll": Call(271, 73),
    "read": Call(0, 63),
    "write": Call(1, 64),
    "sendto": Call(44, 206),  # Python's send and recv; they can do nothing that sendmsg and recvmsg can't
    "recvfrom": Call(45, 207),
    "close": Call(3, 57),
    "fcntl": Call(72, 25, _FLAGS),
    "getsockname": Call(51, 204),  # Python asks when it makes a socket of a descriptor
    "getsockopt": Call(55, 209),
    "setsockopt": Call(54, 208, _WHETHER_TO_FRAGMENT),
    # memory
    "brk": Call(12, 214),
    "mmap": Call(9, 222, _DATA),
    "munmap": Call(11, 215),
    "mremap": Call(25, 216),
    "madvise": Call(28, 233),
    "mprotect": Call(10, 226, _DATA),
    # time, chance, locks
    "clock_gettime": Call(228, 113),
    "getrandom": Call(318, 278),
    "futex": Call(202, 98),
    "sched_yield": Call(24, 124),
    # signals and the end
    "rt_sigreturn": Call(15, 139),
    "rt_sigprocmask": Call(14, 135),
    "rt_sigaction": Call(13, 134),
    "sigaltstack": Call(131, 132),
    "restart_syscall": Call(219, 128),
    "getpid": Call(39, 172),
    "gettid": Call(186, 178),
    "exit": Call(60, 93),
    "exit_group": Call(231, 94),
}
_TGKILL = {"x86_64": 234, "aarch64": 131}


def program(machine: str, pid: int) -> bytes | None:
    """The filter for process ``pid`` on ``machine`` (uname -m), an array of struct sock_filter; None for a machine
    whose numbers aren't known here."""
    if machine not in ARCHITECTURES:
        return None
    lines = [
        _line(_LOAD, _ARCHITECTURE),
        _line(_IF_EQUAL, ARCHITECTURES[machine], so=1),
        _line(_RETURN, KILL),
        _line(_LOAD, _NUMBER),
    ]
    for call in _CALLS.values():
        number = call.x86_64 if machine == "x86_64" else call.aarch64
        if number is not None:
            lines += _allowed(number, call.musts)
    lines += _allowed(_TGKILL[machine], (Must(0, among=(pid,)), Must(2, among=(signal.SIGABRT,))))  # abort(3)
    return b"".join([*lines, _line(_RETURN, REFUSE)])


def _allowed(number: int, musts: Iterable[Must]) -> list[bytes]:
    """What decides about one call, and leaves the others to the lines behind it."""
    lines: list[bytes] = []
    for must in musts:
        lines.append(_line(_LOAD, _ARGUMENTS + 8 * must.argument))
        for left, value in zip(range(len(must.among), 0, -1), must.among, strict=True):
            lines.append(_line(_IF_EQUAL, value, so=left))
        if must.no:
            lines.append(_line(_IF_ANY_BIT, must.no, otherwise=1))
        lines.append(_line(_RETURN, REFUSE))
    lines.append(_line(_RETURN, ALLOW))
    return [_line(_IF_EQUAL, number, otherwise=len(lines)), *lines]


def _line(code: int, operand: int, *, so: int = 0, otherwise: int = 0) -> bytes:
    return _INSTRUCTION.pack(code, so, otherwise, operand)
