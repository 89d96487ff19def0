"""Sets of the floor whose members never change, each with a name.

A set without a name belongs to one rule, and for each of them the kernel (Linux 6.18) goes through all that a
transaction has said so far: with one in each of some hundred rules, replacing the table took it three times as long.
Nobody can change the members of these (flag ``constant``) while a rule asks for them. They are no ranges, so the kernel
has them from the moment on in which it starts the rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ipsecd.wire.registry import IpProtocol

WITH_PORTS = (6, 17, 33, 132, 136)  # TCP, UDP, DCCP, SCTP, UDP-Lite: both ports in the first four octets
WITH_TYPES = (int(IpProtocol.ICMP), int(IpProtocol.ICMPV6))  # type and code in the first two octets


class ConstantSet(NamedTuple):
    """In nft's words."""

    name: str
    type: str
    members: tuple[str, ...]

    def __str__(self) -> str:
        return f"@{self.name}"

    @property
    def lines(self) -> list[str]:
        """Its declaration in a table."""
        members = f"elements = {{ {', '.join(self.members)} }}"
        return [f"\tset {self.name} {{", f"\t\t{self.type}", "\t\tflags constant", f"\t\t{members}", "\t}", ""]


def _protocols(name: str, numbers: Iterable[int]) -> ConstantSet:
    return ConstantSet(name, "type inet_proto", tuple(map(str, numbers)))


PORTS = _protocols("with_ports", WITH_PORTS)
TYPES = _protocols("with_types", WITH_TYPES)
EITHER = _protocols("with_ports_or_types", (*WITH_PORTS, *WITH_TYPES))

# What a router's services hear comes to its networks' subnet-router anycast addresses too (RFC 4291 section 2.6.1).
OURS = ConstantSet("ours", "type fib_addrtype", ("local", "anycast"))
TO_US = ConstantSet("to_us", "type fib_addrtype", ("local", "broadcast", "anycast", "multicast"))

ALL = (PORTS, TYPES, EITHER, OURS, TO_US)
