"""Addresses, protocols and ports as Windows' tools write them, in our words."""

from __future__ import annotations

import contextlib
import re
from ipaddress import ip_address, ip_network
from typing import Final

from ipsecd.policy.addresses import address_set, tunnel_end
from ipsecd.policy.complaint import Complaint, complaint, quoted
from ipsecd.policy.traffic import PROTOCOLS

SERVERS: Final = {"dns": "dns", "wins": "wins", "dhcp": "dhcp", "gateway": "default-gateway"}
RAW: Final = 255  # netsh's and ipseccmd's word for the reserved number
_LAST_PORT: Final = 65_535
_STORED: Final = {ip_network("0.0.0.0/0"): "any", ip_network("0.0.0.0/32"): "me"}  # how Windows keeps the two
_WILDCARDS: Final = re.compile(r"(\d{1,3}(?:\.\d{1,3}){0,2})((?:\.\*){1,3})")


def address(text: str, mask: str = "") -> str:
    """The addresses that a filter names, with a netmask or prefix length behind it or apart; raises Complaint.

    ``10.*.*.*`` is 10.0.0.0/8. What has bits set behind its mask is the whole subnet, as Windows reads it.
    """
    word = text.strip().lower()
    if word in ("me", "any"):
        return word
    if word in SERVERS:
        return SERVERS[word]
    if (found := _WILDCARDS.fullmatch(word)) is not None:
        known, stars = found[1].split("."), found[2].count("*")
        if len(known) + stars == 4:
            return _subnet(".".join([*known, *["0"] * stars]), str(8 * len(known)))
    base, _, behind = word.partition("/")
    mask = mask.strip() or behind
    return _subnet(base, mask) if mask and "-" not in base and _is_address(base) else _meant(word)


def _subnet(base: str, mask: str) -> str:
    try:
        network = ip_network(f"{base}/{mask}", strict=False)
    except ValueError:
        raise complaint(f"{quoted(mask)} isn't a mask of {quoted(base)}", "such as 255.255.0.0, or 16") from None
    if network in _STORED:
        return _STORED[network]
    return _meant(str(network.network_address if network.prefixlen == network.max_prefixlen else network))


def _meant(word: str) -> str:
    """An address, range, subnet or DNS name as it is written in a policy file."""
    found = address_set(word)
    return f"{found.text}." if found.bare else found.text


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def protocol(text: str) -> int:
    """A protocol's number, 0 for any; raises Complaint."""
    word = text.strip().lower()
    if word in ("", "*"):
        return 0
    if word == "raw":
        return RAW
    number = PROTOCOLS.get(word, int(word) if word.isascii() and word.isdecimal() and len(word) <= 3 else -1)
    if not 0 <= number <= RAW:
        raise complaint(f"{quoted(text)} isn't a protocol", "TCP, UDP, ICMP, RAW or a number from 0 to 255; 0 is any")
    return number


def port(text: str) -> int:
    """A port, 0 for any; raises Complaint."""
    word = text.strip().lower()
    if word in ("", "*", "any"):
        return 0
    if not (word.isascii() and word.isdecimal() and len(word) <= 5 and int(word) <= _LAST_PORT):
        raise complaint(f"{quoted(text)} isn't a port", "0 to 65535; 0 is any")
    return int(word)


def endpoint(text: str) -> str:
    """The end of a tunnel, an address or a DNS name. Raises Complaint, which doesn't repeat the text: it stands where a
    key may have slipped to."""
    with contextlib.suppress(Complaint):
        end = tunnel_end(text.lower())
        if not end.is_any:
            return f"{end}." if end.bare else str(end)
    raise complaint("this can't be the end of a tunnel", "an address or a DNS name")
