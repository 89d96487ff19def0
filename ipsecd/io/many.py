"""Many messages in one system call: what sendmmsg(2) and recvmmsg(2) share, which Python doesn't offer.

The kernel's structures lie in numpy arrays. Whoever points to something in them has to keep that alive.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

LIBC = ctypes.CDLL(None, use_errno=True)
MANY = 64  # messages in one call at most

# struct iovec, struct msghdr, struct mmsghdr
_IOVEC = np.dtype([("base", np.uintp), ("octets", np.uintp)], align=True)
_MSGHDR = np.dtype(
    [
        ("name", np.uintp),
        ("name_octets", np.uint32),
        ("iovecs", np.uintp),
        ("iovec_count", np.uintp),
        ("control", np.uintp),
        ("control_octets", np.uintp),
        ("flags", np.intc),
    ],
    align=True,
)
_MMSGHDR = np.dtype([("header", _MSGHDR), ("octets", np.uintc)], align=True)


class Table:
    """MANY messages with neither name nor control data, and the iovec of each, still of nothing."""

    def __init__(self) -> None:
        self.iovecs = np.zeros(MANY, _IOVEC)
        self.messages = np.zeros(MANY, _MMSGHDR)
        self.headers = self.messages["header"]
        self.headers["iovecs"] = rows(self.iovecs)
        self.headers["iovec_count"] = 1
        self.at = address(self.messages)


def address(array: NDArray[Any]) -> int:
    """Where it begins in memory."""
    found: int = array.__array_interface__["data"][0]  # what array.ctypes.data says, in half the time
    return found


def rows(array: NDArray[Any]) -> NDArray[np.uintp]:
    """Where each row begins."""
    return address(array) + np.arange(len(array), dtype=np.uintp) * array.strides[0]
