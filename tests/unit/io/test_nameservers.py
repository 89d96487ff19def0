"""The DNS servers of this machine, also behind a forwarder on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipsecd.errors import KernelError
from ipsecd.io.nameservers import nameservers

UPSTREAM = "# written by systemd-resolved\nnameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch example\n"


def found(folder: Path, configured: str | None, *behind: str | None) -> list[str]:
    paths = [folder / f"{number}" for number in range(1 + len(behind))]
    for path, text in zip(paths, (configured, *behind), strict=True):
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
    return [str(address) for address in nameservers(paths[0], paths[1:])]


@pytest.mark.parametrize(
    ("configured", "behind", "expected"),
    [
        ("nameserver 192.0.2.1\nnameserver 2001:db8::1\noptions edns0\n", (), ["192.0.2.1", "2001:db8::1"]),
        ("nameserver\t192.0.2.1\n;nameserver 192.0.2.2\n#nameserver 192.0.2.3\nnameserver\n", (), ["192.0.2.1"]),
        ("nameserver fe80::1%eth0\nnameserver nonsense\nnameserver 192.0.2.1 x\n", (), ["fe80::1", "192.0.2.1"]),
        ("nameserver 192.0.2.1\nnameserver 192.0.2.1\n", (UPSTREAM,), ["192.0.2.1"]),
        # a forwarder on this machine: those whom it asks
        ("nameserver 127.0.0.53\noptions edns0 trust-ad\n", (UPSTREAM,), ["192.0.2.53", "2001:db8::53"]),
        ("nameserver 127.0.0.1\n", (None, "nameserver 192.0.2.7\n"), ["192.0.2.7"]),
        ("nameserver ::1\nnameserver 192.0.2.9\n", ("search x\n", "nameserver 192.0.2.7"), ["192.0.2.9", "192.0.2.7"]),
        ("nameserver 127.0.0.1\n", (None, None), []),
        # this machine, nobody, everybody
        ("nameserver 0.0.0.0\nnameserver ::\nnameserver 224.0.0.251\n", (UPSTREAM,), []),
        ("", (UPSTREAM,), []),
        (None, (UPSTREAM,), []),
    ],
)  # fmt: skip
def test_the_dns_servers_are(
    tmp_path: Path, configured: str | None, behind: tuple[str | None, ...], expected: list[str]
) -> None:
    assert found(tmp_path, configured, *behind) == expected


def test_of_very_many_those_beyond_64_are_left_out(tmp_path: Path) -> None:
    assert len(found(tmp_path, "".join(f"nameserver 192.0.2.{number}\n" for number in range(1, 90)))) == 64


def test_what_can_not_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match=r"can't read .*: Is a directory"):
        nameservers(tmp_path, ())
