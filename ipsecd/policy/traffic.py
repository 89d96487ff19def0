"""Protocols, ports and ICMP messages that a filter can name."""

from __future__ import annotations

import re
from typing import TypeAlias

from ipsecd.policy.complaint import complaint, did_you_mean, folded, quoted
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.selector import ANY_PORT

Ports: TypeAlias = tuple[int, int]

ICMP, ICMPV6 = int(IpProtocol.ICMP), int(IpProtocol.ICMPV6)

# IANA's protocol numbers, by the names of /etc/protocols; the file itself differs between machines.
PROTOCOLS = {
    "any": 0,
    "icmp": 1,
    "igmp": 2,
    "ipip": 4,
    "tcp": 6,
    "egp": 8,
    "udp": 17,
    "dccp": 33,
    "ipv6": 41,
    "rsvp": 46,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "icmpv6": 58,
    "eigrp": 88,
    "ospf": 89,
    "pim": 103,
    "vrrp": 112,
    "l2tp": 115,
    "sctp": 132,
    "udplite": 136,
}
WITH_PORTS = frozenset({6, 17, 33, 132, 136})

_ELSEWHERE = {"all": "any", "ip": "any", "*": "any", "ipv6-icmp": "icmpv6"}  # what other tools call them
_ONE_EACH = "one filter for each"

ICMP_TYPES = {
    "echo-reply": 0,
    "destination-unreachable": 3,
    "redirect": 5,
    "echo-request": 8,
    "router-advertisement": 9,
    "router-solicitation": 10,
    "time-exceeded": 11,
    "parameter-problem": 12,
    "timestamp-request": 13,
    "timestamp-reply": 14,
}
ICMPV6_TYPES = {
    "destination-unreachable": 1,
    "packet-too-big": 2,
    "time-exceeded": 3,
    "parameter-problem": 4,
    "echo-request": 128,
    "echo-reply": 129,
    "router-solicitation": 133,
    "router-advertisement": 134,
    "neighbour-solicitation": 135,
    "neighbour-advertisement": 136,
    "redirect": 137,
}

_RANGE = re.compile(r"(0|[1-9][0-9]{0,4}) *- *(0|[1-9][0-9]{0,4})")


def protocol(value: object) -> int:
    """The number of a protocol given by name or number, 0 for any; raises Complaint."""
    if isinstance(value, str):
        number = PROTOCOLS.get(folded(value))
        if number is None:
            raise complaint(f"{quoted(value)} isn't a protocol known by name", _protocol_hint(value))
        return number
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 255:
        hint = _ONE_EACH if isinstance(value, list) else ""
        raise complaint("expected a protocol's name or its number from 0 to 255", hint)
    return value


def _protocol_hint(text: str) -> str:
    if text.isascii() and text.isdecimal():
        return "a number has no quotes"
    if (ours := _ELSEWHERE.get(folded(text))) is not None:
        return f"did you mean {ours!r}?"
    return did_you_mean(text, PROTOCOLS) or "write its number"


def ports(value: object) -> Ports:
    """First and last of a port, a range or any; raises Complaint."""
    if isinstance(value, str) and folded(value) == "any":
        return ANY_PORT
    if isinstance(value, int) and not isinstance(value, bool):
        first = last = value
    elif isinstance(value, str) and (found := _RANGE.fullmatch(value)):
        first, last = int(found[1]), int(found[2])
    else:
        what = quoted(value) if isinstance(value, str | int) and not isinstance(value, bool) else "this"
        several = f"; {_ONE_EACH}" if isinstance(value, list) or (isinstance(value, str) and "," in value) else ""
        raise complaint(f"{what} isn't a port", f"a number without quotes, a range such as 1024-65535, or any{several}")
    if not 1 <= first <= 65_535 or not 1 <= last <= 65_535:
        raise complaint("a port is a number from 1 to 65535", "leave it out for any port" if first == 0 else "")
    if first > last:
        raise complaint(f"the range {first}-{last} is reversed", f"write {last}-{first}")
    return first, last


def icmp_type(value: object) -> int | str:
    """The number of an ICMP message, or its name, whose number depends on the protocol; raises Complaint."""
    names = {*ICMP_TYPES, *ICMPV6_TYPES}
    if isinstance(value, str):
        word = folded(value)
        if word == "any":
            raise complaint("'any' isn't an ICMP message", "leave icmp_type out for all of them")
        if word not in names:
            hint = did_you_mean(value, names) or "such as echo-request, or its number"
            raise complaint(f"{quoted(value)} isn't an ICMP message known by name", hint)
        return word
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 255:
        hint = _ONE_EACH if isinstance(value, list) else ""
        raise complaint("expected an ICMP message's name or its number from 0 to 255", hint)
    return value


def icmp_number(number: int, message: int | str) -> int | None:
    """The number of an ICMP message in the protocol with this number; None if the protocol has none of that name."""
    if isinstance(message, int):
        return message
    return (ICMP_TYPES if number == ICMP else ICMPV6_TYPES).get(message)
