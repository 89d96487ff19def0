"""The SAs that a guest's kernel has, by its own account."""

from __future__ import annotations

import re
from typing import NamedTuple

from tests.interop.kernel import Guest

_STATE = re.compile(r"^src \S+ dst \S+\n\tproto (\w+) spi 0x(\w+) reqid \d+ mode (\w+)\n((?:\t.*\n)*)", re.MULTILINE)


class KernelSa(NamedTuple):
    protocol: str  # esp, ah
    mode: str  # tunnel, transport
    in_udp: bool
    spi: str


def sas(guest: Guest) -> list[KernelSa]:
    """Those with keys: a number that is spoken for is none yet."""
    told = guest.run("ip", "xfrm", "state").output
    return [
        KernelSa(protocol, mode, "encap type espinudp" in rest, spi)
        for protocol, spi, mode, rest in _STATE.findall(told)
        if "\tauth" in rest or "\taead" in rest
    ]


def spis(guest: Guest) -> set[str]:
    return {sa.spi for sa in sas(guest)}
