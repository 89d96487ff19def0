"""How a worker shuts itself in: from then on it can use the descriptors it has and is sent, and nothing else.

A worker reads what strangers send. If one of them ever finds a way to run code in it, that code is to find nothing: no
key but those of its SAs, no file, no other process, no way to come back. Each measure is against something, and most
of what one of them forbids another forbids too, as no kernel has all of them:

* death with the parent: a worker without a control process would go on forwarding by a policy nobody changes any more;
* not dumpable, no core: processes of the same user read its memory, where the keys are, or find them in a file;
* no capabilities: it changes the network, marks sockets, reads files of others, traces processes;
* no new privileges: it becomes somebody else by a setuid program; and without it the two that follow want rights;
* Landlock without a rule: it opens, makes or removes any file, or connects by TCP, to an abstract socket of another
  program, or signals one. Of root it is the only measure against root's own files beside the filter;
* the filter of system calls (seccomp.py): it makes sockets and processes, traces, maps code, and finds whatever flaw
  the rest of the kernel has.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import struct
import sys
from pathlib import Path

from ipsecd.errors import KernelError, LocalError
from ipsecd.io import seccomp

LANDLOCK, SECCOMP = "landlock", "seccomp"

# linux/prctl.h, linux/capability.h
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_PR_CAPBSET_READ, _PR_CAPBSET_DROP = 23, 24
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAPABILITY_VERSION_3 = 0x20080522
# linux/landlock.h; the numbers are the same everywhere
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF = 444, 446
_LANDLOCK_VERSION = 1
_RULESET = struct.Struct("=QQQ")  # files, network, scopes
_TCP_BIND_AND_CONNECT = 0b11
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11
# linux/seccomp.h
_SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2
_FILTER_TSYNC = 1
# EPERM is the answer of container engines that don't know Landlock yet
_NO_LANDLOCK = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})
_NO_SECCOMP = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long


def die_with_parent(parent: int) -> None:
    """Be killed when the thread of process ``parent`` that started this one ends. Raises KernelError if it's gone
    already: then nothing would be told."""
    _must("die with the parent", _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL))
    if os.getppid() != parent:
        raise KernelError(f"process {parent}, which started this one, is gone")


def shut_in() -> frozenset[str]:
    """Take every measure of the above but the first, for good. The names of those that this kernel doesn't have:
    ``LANDLOCK``, ``SECCOMP``. KernelError if one that it has fails; LocalError if there are other threads, which most
    of them wouldn't hold (numpy's OpenBLAS starts some unless OPENBLAS_NUM_THREADS is 1).

    All modules must have been imported: there is no way to a file afterwards.
    """
    if (threads := len(list(Path("/proc/self/task").iterdir()))) != 1:
        raise LocalError(f"{threads} threads can't be shut in, only one")
    _must("stop being dumpable", _prctl(_PR_SET_DUMPABLE, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _drop_capabilities()
    _must("set no_new_privs", _prctl(_PR_SET_NO_NEW_PRIVS, 1))
    measures = {LANDLOCK: _close_files, SECCOMP: _filter_calls}
    return frozenset(name for name, take in measures.items() if not take())


def _drop_capabilities() -> None:
    """From all five sets (capabilities(7))."""
    if _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL) and ctypes.get_errno() != errno.EINVAL:  # before Linux 4.3
        raise _failed("clear the ambient capabilities")
    number = 0
    while _prctl(_PR_CAPBSET_READ, number) >= 0:
        if _prctl(_PR_CAPBSET_DROP, number):  # needs CAP_SETPCAP; nothing gains by that set once no_new_privs is on
            break
        number += 1
    head = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    _must("drop the capabilities", _LIBC.capset(head, bytes(24)))


def _close_files() -> bool:
    """A Landlock domain in which nothing is allowed that it can forbid (landlock(7)); False if there is no Landlock."""
    version = _syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION)
    if version < 0:
        if ctypes.get_errno() in _NO_LANDLOCK:
            return False
        raise _failed("ask for Landlock")
    rights = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)  # bits; those of later versions are unknown here
    fields = 1 if version < 4 else 2 if version < 6 else 3
    ruleset = _RULESET.pack((1 << rights) - 1, _TCP_BIND_AND_CONNECT, _ABSTRACT_SOCKETS_AND_SIGNALS)[: 8 * fields]
    made = _must("make a Landlock ruleset", _syscall(_LANDLOCK_CREATE_RULESET, ruleset, len(ruleset), 0))
    try:
        _must("enter the Landlock domain", _syscall(_LANDLOCK_RESTRICT_SELF, made, 0))
    finally:
        os.close(made)
    return True


def _filter_calls() -> bool:
    """Leave the system calls of seccomp.py; False if there is no such filter, or none for this machine."""
    machine = os.uname().machine if sys.maxsize > 1 << 32 else ""  # a 32-bit Python has another instruction set
    if (program := seccomp.program(machine, os.getpid())) is None:
        return False
    action = ctypes.c_uint32(seccomp.KILL)
    if _syscall(seccomp.SECCOMP[machine], _GET_ACTION_AVAIL, 0, ctypes.byref(action)):
        if ctypes.get_errno() in _NO_SECCOMP:
            return False
        raise _failed("ask for seccomp")
    lines = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("@HP", len(program) // 8, ctypes.addressof(lines))  # struct sock_fprog
    _must("filter its system calls", _syscall(seccomp.SECCOMP[machine], _SET_MODE_FILTER, _FILTER_TSYNC, described))
    return True


def _prctl(option: int, *arguments: int) -> int:
    given = [*arguments, 0, 0, 0, 0][:4]
    result: int = _LIBC.prctl(option, *map(ctypes.c_ulong, given))
    return result


def _syscall(number: int, *arguments: object) -> int:
    given = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in arguments]
    result: int = _LIBC.syscall(ctypes.c_long(number), *given)
    return result


def _must(what: str, result: int) -> int:
    """The result of a call that may not fail. A positive one of seccomp(2) names a thread that the filter can't hold,
    and there is but one thread."""
    if result < 0:
        raise _failed(what)
    return result


def _failed(what: str) -> KernelError:
    number = ctypes.get_errno()
    return KernelError(f"a worker can't {what}: {os.strerror(number)}", errno=number)
