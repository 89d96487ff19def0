"""ICMPv6 errors about a packet with AH."""

from __future__ import annotations

import errno
from ipaddress import ip_address

import pytest

from ipsecd.io.ah_errors import about_ah
from ipsecd.io.udp_errors import PathError

REMOTE = ip_address("2001:db8::2")
SPI = "12345678"
AH = f"11040000{SPI}00000001"


def message(quoted: str, kind: str = "0200", next_header: str = "33") -> bytes:
    fixed = f"600000000100{next_header}40" + ip_address("2001:db8::1").packed.hex() + REMOTE.packed.hex()
    return bytes.fromhex(f"{kind}abcd00000514{fixed}{quoted}")


@pytest.mark.parametrize(
    ("quoted", "next_header"),
    [(AH, "33"), ("3c00" + "00" * 6 + "2b01" + "00" * 14 + "3300" + "00" * 6 + AH, "00")],
)
def test_it_tells_the_mtu_and_the_spi_of_a_packet_with_ah(quoted: str, next_header: str) -> None:
    told = PathError(errno.EMSGSIZE, True, REMOTE, 0, 1_300, bytes.fromhex(f"{SPI}00000001"))
    assert about_ah(message(quoted, next_header=next_header)) == told


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("0100", errno.ENETUNREACH),  # no route
        ("0101", errno.EACCES),  # administratively prohibited
        ("0103", errno.EHOSTUNREACH),  # the address
        ("0104", errno.ECONNREFUSED),  # the port, as firewalls say of anything
        ("0107", errno.EACCES),  # a code that is newer than the kernel's own table
        ("0300", errno.EHOSTUNREACH),  # hop limit exceeded
        ("0401", errno.EPROTO),  # the next header isn't known
    ],
)
def test_it_tells_that_a_packet_with_ah_does_not_get_there(kind: str, number: int) -> None:
    told = PathError(number, True, REMOTE, 0, 0, bytes.fromhex(f"{SPI}00000001"))
    assert about_ah(message(AH, kind)) == told


@pytest.mark.parametrize(
    "other",
    [
        message(AH, kind="0000"),  # of no type of an error
        message(AH, kind="0500"),
        message(AH, kind="8000"),  # an echo request
        message(AH, next_header="32"),  # about ESP, of which its own socket hears
        message("", next_header="33"),
        message("11040000"),  # no octet of the SPI
        message("33", next_header="00"),  # an extension header that isn't whole
        message("3304" + "00" * 6 + AH, next_header="00"),  # or that ends behind what is quoted
        message("2c00" + "00" * 6 + AH, next_header="2c"),  # a fragment
        message(AH)[:47],
        b"",
    ],
)
def test_of_anything_else_it_tells_nothing(other: bytes) -> None:
    assert about_ah(other) is None
