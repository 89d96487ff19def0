"""The addresses a policy can name: this machine's own, any, literal ones, DNS names and well-known sets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum
from functools import lru_cache
from ipaddress import ip_address, ip_network

from ipsecd import limits
from ipsecd.policy.complaint import complaint, quoted
from ipsecd.wire.mode_config import Network
from ipsecd.wire.selector import Address

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DNS_NAME = re.compile(rf"(?=.{{1,253}}\.?$){_LABEL}(?:\.{_LABEL})*\.?")
_FORMS = "expected an address, a subnet, a range first-last, a DNS name, me or any"
_END_FORMS = "expected an address, a DNS name, or any"


class Kind(Enum):
    """What the text of an address field stands for."""

    ME = "me"
    ANY = "any"
    RANGE = "range"  # an address and a subnet are ranges too
    NAME = "name"
    WELL_KNOWN = "well-known"


WELL_KNOWN = ("dns", "wins", "dhcp", "default-gateway")
_ALIKE = 0.75  # of two words of which one may be a slip of the other's


@dataclass(frozen=True, slots=True)
class AddressSet:
    """One side of a filter. ``first`` and ``last`` are set for a RANGE, ``text`` holds a NAME or WELL_KNOWN."""

    kind: Kind
    text: str
    first: Address | None = None
    last: Address | None = None
    bare: bool = field(default=False, compare=False)  # a NAME of one word, which may be a slip

    @property
    def version(self) -> int | None:
        """4 or 6 where the text says so, None where both may come of it."""
        return self.first.version if self.first else None

    def __str__(self) -> str:
        return self.text


def address_set(value: object) -> AddressSet:
    """The addresses that a filter's ``source`` or ``destination`` means; raises Complaint."""
    text = _text(value, _FORMS, "one filter for each" if isinstance(value, list) else "")
    word = text.lower()
    if word in ("me", "any"):
        return AddressSet(Kind(word), word)
    if word in WELL_KNOWN:
        return AddressSet(Kind.WELL_KNOWN, word)
    if "/" in text:
        return _subnet(text)
    if (address := _address(text)) is not None:
        return AddressSet(Kind.RANGE, str(address), address, address)
    first, dash, last = text.partition("-")
    if dash and (start := _address(first.strip())) is not None:
        return _range(text, start, last.strip())
    return AddressSet(Kind.NAME, _name(text, _FORMS, ("me", "any", *WELL_KNOWN)), bare="." not in text)


@dataclass(frozen=True, slots=True)
class TunnelEnd:
    """One end of a tunnel: an address, a DNS name, or any (both empty)."""

    address: Address | None = None
    name: str = ""
    bare: bool = field(default=False, compare=False)  # a name of one word, which may be a slip

    @property
    def is_any(self) -> bool:
        return self.address is None and not self.name

    def __str__(self) -> str:
        return str(self.address) if self.address else self.name or "any"


def tunnel_end(value: object) -> TunnelEnd:
    """The end of a tunnel; raises Complaint."""
    text = _text(value, _END_FORMS)
    if text.lower() == "any":
        return TunnelEnd()
    if text.lower() == "me":
        raise complaint("me may be several addresses", "write any: the route to the peer then decides")
    address = _address(text)
    if address is None:
        return TunnelEnd(name=_name(text, _END_FORMS, ("me", "any")), bare="." not in text)
    if address.is_unspecified or address.is_multicast:
        raise complaint(f"{text} can't be the end of a tunnel", "write any for an end whose address isn't known")
    return TunnelEnd(address)


def network(value: object) -> Network:
    """A subnet, or an address as a subnet of its own, where hosts may be; raises Complaint."""
    text = _text(value, "expected a subnet", "such as 10.3.0.0/24 or fd03::/64")
    host = _address(text)
    found = _network(text) if host is None else ip_network(host)
    if found.network_address.is_unspecified or found.is_multicast or found.is_loopback:
        raise complaint(f"no host has an address of {text}", "such as 10.3.0.0/24 or fd03::/64")
    return found


def host(value: object) -> Address:
    """The address of another host; raises Complaint."""
    text = _text(value, "expected an address")
    found = _address(text)
    if found is None:
        raise complaint(f"{quoted(text)} isn't an address", "such as 10.1.0.53")
    if found.is_unspecified or found.is_multicast or found.is_loopback:
        raise complaint(f"no other host has the address {text}")
    return found


def is_dns_name(text: str) -> bool:
    """Whether the text has the form of a DNS name."""
    return _DNS_NAME.fullmatch(text) is not None


def _text(value: object, forms: str, hint: str = "") -> str:
    if not isinstance(value, str):
        raise complaint(forms, hint)
    return value.strip()


@lru_cache(maxsize=limits.FLOOR_WORDS)
def _address(text: str) -> Address | None:
    """None if the text isn't an address. Scoped ones (fe80::1%eth0) aren't: a packet doesn't carry the scope."""
    try:
        return None if "%" in text else ip_address(text)
    except ValueError:
        return None


@lru_cache(maxsize=limits.FLOOR_WORDS)
def _subnet(text: str) -> AddressSet:
    network = _network(text)
    return AddressSet(Kind.RANGE, str(network), network[0], network[-1])


def _network(text: str) -> Network:
    address, _, mask = text.partition("/")
    host = _address(address)
    if host is None:
        raise complaint(f"{quoted(text)} isn't a subnet", "such as 10.1.0.0/16 or fd01::/64")
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise complaint(f"{quoted(mask)} isn't a prefix length or netmask of IPv{host.version}") from None
    if not mask.isdigit() and str(network.netmask) != mask:  # ipaddress takes inverted masks too
        raise complaint(f"{quoted(mask)} isn't a netmask", f"write {host}/{network.prefixlen} if you mean {network}")
    if network[0] != host:
        raise complaint(f"{text} has bits set behind its prefix", f"the subnet is {network}, the address {host}")
    return network


def _range(text: str, start: Address, last: str) -> AddressSet:
    end = _address(last)
    if end is None:
        raise complaint(f"{quoted(last)} isn't an address", "a range is written first-last")
    if start.version != end.version:
        raise complaint(f"{text} begins in IPv{start.version} and ends in IPv{end.version}")
    if int(start) > int(end):
        raise complaint(f"{text} is reversed", f"write {end}-{start}")
    return AddressSet(Kind.RANGE, f"{start}-{end}", start, end)


def _name(text: str, forms: str, words: tuple[str, ...]) -> str:
    """The DNS name that the text is, unless it looks like one of these words."""
    name = text.rstrip(".").lower()
    if ":" in name or name.rpartition(".")[2].isdigit():
        raise complaint(f"{quoted(text)} isn't an address", forms)
    if not is_dns_name(text):
        raise complaint(f"{quoted(text)} isn't a DNS name", forms)
    if "." not in text and (close := get_close_matches(name, words, n=1, cutoff=_ALIKE)):
        hint = f"did you mean {close[0]!r}? a host that is called so is written with a dot: {text}."
        raise complaint(f"{quoted(text)} means nothing here", hint)
    return name
