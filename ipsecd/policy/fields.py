"""The kinds of values that fields of the schema hold, each with what an editor is told of it.

A field's check either gives the value its meaning or raises Complaint; nothing is repaired silently.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from ipsecd import limits
from ipsecd.policy import addresses, proposals, shapes, traffic
from ipsecd.policy.complaint import Complaint, Remark, complaint, quoted
from ipsecd.policy.identities import identity
from ipsecd.policy.names import FILTER_ACTIONS, FILTER_LISTS
from ipsecd.wire.identity import Identity
from ipsecd.wire.mode_config import Network
from ipsecd.wire.selector import Address
from ipsecd.wire.tfc import PATH_MTU

T = TypeVar("T")


def _matching(pattern: str, words: str, *, show: bool = True) -> Callable[[str], str]:
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise complaint(f"{quoted(text) if show else 'this'} isn't fit as a name", words)
        return text

    return check


def _readable(text: str) -> str:
    if len(text) > limits.MAX_POLICY_TEXT or not text.replace("\n", " ").isprintable():
        raise complaint(f"expected readable text of at most {limits.MAX_POLICY_TEXT} characters")
    return text


def _path(text: str) -> str:
    if not _readable(text).strip():
        raise complaint("expected text that isn't empty")
    if "\n" in text:
        raise complaint("expected one line")
    return text


def _user(text: str) -> str:
    if len(_path(text).encode()) > limits.MAX_USER_NAME:
        raise complaint(f"expected at most {limits.MAX_USER_NAME} octets")
    return text


def _absolute(words: tuple[str, ...]) -> tuple[str, ...]:
    if not words or not words[0].startswith("/"):
        raise complaint("expected a program's full path and its arguments", "such as [/usr/bin/pass, show, hq]")
    if "\n" in words[0]:
        raise complaint("expected one line", "", 0)
    return words


def _free(text: str) -> str:
    if text in _TAKEN:
        raise complaint(f"{quoted(text)} is an interface or setting of the kernel's", "choose another name")
    return text


def _several(table: Mapping[str, Any], what: str) -> Callable[[object], tuple[str, ...]]:
    def check(value: object) -> tuple[str, ...]:
        if not isinstance(value, list):
            return (proposals.keyword(value, table, what),)
        if len(value) > len(table):  # some stand here twice
            raise complaint(f"{len(value)} are too many", f"at most {len(table)}")
        return _each(value, lambda item: proposals.keyword(item, table, what))

    return check


def _each(values: list[object], check: Callable[[object], str]) -> tuple[str, ...]:
    """Every value checked, all complaints gathered; raises Complaint, also for none and for repeated values."""
    found: list[str] = []
    remarks: list[Remark] = []
    for index, value in enumerate(values):
        try:
            word = check(value)
        except Complaint as error:
            remarks += [Remark(remark.message, remark.hint, (index, *remark.at)) for remark in error.remarks]
            continue
        if word in found:
            remarks.append(Remark(f"{quoted(word)} stands here twice", "", (index,)))
        found.append(word)
    if not values:
        remarks.append(Remark("the list is empty"))
    if remarks:
        raise Complaint(*remarks)
    return tuple(found)


def _pfs(value: object) -> bool | tuple[str, ...]:
    if isinstance(value, bool):
        return value
    return _several(proposals.GROUPS, "a key exchange group")(value)


def _dscp(value: object) -> int | Literal["copy"]:
    if value == "copy":
        return "copy"
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 63:
        raise complaint("expected copy or a number from 0 to 63", "46 is Expedited Forwarding")
    return value


def _padding(value: object) -> int:
    if value == "mtu":
        return PATH_MTU
    if isinstance(value, bool) or not isinstance(value, int) or not limits.MIN_PADDING <= value <= PATH_MTU:
        raise complaint(f"expected mtu or octets, from {limits.MIN_PADDING} to {PATH_MTU}", "mtu hides most")
    return value


_TAKEN = ("lo", "all", "default")  # the loopback interface; the others stand for all interfaces in /proc/sys/net
_NAME_FORM = "a letter, then letters, digits, '_', '.' or '-', 64 in all at most"
_name = AfterValidator(_matching(shapes.NAME, _NAME_FORM))
_SETS = ["me", "any", "10.1.0.0/16", "10.1.0.7", "10.1.0.1-10.1.0.9", "www.example"]
_ENDS = ["192.0.2.1", "2001:db8::1", "gw.example.org", "any"]
_NETWORKS = ["10.3.0.0/24", "fd03::/64"]
_HOSTS = ["10.1.0.53", "fd01::53"]
_IDENTITIES = ["gw.example.org", "192.0.2.1", "user@example.org", "keyid:hq-7"]

Name = Annotated[str, _name, WithJsonSchema(shapes.name(shapes.NAME))]
QuietName = Annotated[  # of a credential: somebody may have put the key itself there
    str,
    AfterValidator(_matching(shapes.NAME, _NAME_FORM, show=False)),
    WithJsonSchema(shapes.name(shapes.NAME)),
]
FilterListName = Annotated[str, _name, WithJsonSchema(shapes.named(FILTER_LISTS))]
FilterActionName = Annotated[str, _name, WithJsonSchema(shapes.named(FILTER_ACTIONS))]
InterfaceName = Annotated[
    str,
    AfterValidator(
        _matching(shapes.INTERFACE_NAME, "a letter, then letters, digits, '_', '.' or '-', 15 in all at most")
    ),
    AfterValidator(_free),
    WithJsonSchema(shapes.name(shapes.INTERFACE_NAME, but=_TAKEN)),
]
CredentialName = Annotated[
    str,
    AfterValidator(_matching(shapes.CREDENTIAL_NAME, "letters, digits, '_', '.' or '-'", show=False)),
    WithJsonSchema(shapes.name(shapes.CREDENTIAL_NAME)),
]
Text = Annotated[str, AfterValidator(_readable), WithJsonSchema(shapes.TEXT)]
FilePath = Annotated[str, AfterValidator(_path), WithJsonSchema(shapes.LINE)]
UserName = Annotated[str, AfterValidator(_user), WithJsonSchema({**shapes.LINE, "maxLength": limits.MAX_USER_NAME})]
Command = Annotated[tuple[Text, ...], AfterValidator(_absolute), Field(strict=False), WithJsonSchema(shapes.COMMAND)]

Addresses = Annotated[
    addresses.AddressSet, PlainValidator(addresses.address_set), WithJsonSchema({**shapes.NOT_EMPTY, "examples": _SETS})
]
TunnelEnd = Annotated[
    addresses.TunnelEnd, PlainValidator(addresses.tunnel_end), WithJsonSchema({**shapes.NOT_EMPTY, "examples": _ENDS})
]
NetworkText = Annotated[
    Network, PlainValidator(addresses.network), WithJsonSchema({**shapes.NOT_EMPTY, "examples": _NETWORKS})
]
HostAddress = Annotated[
    Address, PlainValidator(addresses.host), WithJsonSchema({**shapes.NOT_EMPTY, "examples": _HOSTS})
]
IdentityText = Annotated[
    Identity, PlainValidator(identity), WithJsonSchema({**shapes.NOT_EMPTY, "examples": _IDENTITIES})
]
Protocol = Annotated[int, PlainValidator(traffic.protocol), WithJsonSchema(shapes.words_or_numbers(traffic.PROTOCOLS))]
Ports = Annotated[tuple[int, int], PlainValidator(traffic.ports), WithJsonSchema(shapes.PORTS)]
IcmpType = Annotated[
    int | str,
    PlainValidator(traffic.icmp_type),
    WithJsonSchema(shapes.words_or_numbers(dict(sorted({**traffic.ICMP_TYPES, **traffic.ICMPV6_TYPES}.items())))),
]
EncryptionNames = Annotated[
    tuple[str, ...],
    PlainValidator(_several(proposals.ENCRYPTION, "encryption")),
    WithJsonSchema(shapes.keywords(proposals.ENCRYPTION)),
]
IkeEncryptionNames = Annotated[
    tuple[str, ...],
    PlainValidator(_several(proposals.IKE_ENCRYPTION, "encryption in IKE")),
    WithJsonSchema(shapes.keywords(proposals.IKE_ENCRYPTION)),
]
MacNames = Annotated[
    tuple[str, ...],
    PlainValidator(_several(proposals.MACS, "integrity beside encryption")),
    WithJsonSchema(shapes.keywords(proposals.MACS)),
]
IntegrityNames = Annotated[
    tuple[str, ...],
    PlainValidator(_several(proposals.INTEGRITY, "integrity")),
    WithJsonSchema(shapes.keywords(proposals.INTEGRITY)),
]
PrfNames = Annotated[
    tuple[str, ...],
    PlainValidator(_several(proposals.PRF, "a pseudo-random function")),
    WithJsonSchema(shapes.keywords(proposals.PRF)),
]
GroupNames = Annotated[
    tuple[str, ...],
    PlainValidator(_several(proposals.GROUPS, "a key exchange group")),
    WithJsonSchema(shapes.keywords(proposals.GROUPS)),
]
IcmpErrorName = Annotated[Literal["packet-too-big"], WithJsonSchema({"enum": ["packet-too-big"]})]
Dscp = Annotated[
    int | Literal["copy"],
    PlainValidator(_dscp),
    WithJsonSchema({"anyOf": [{"enum": ["copy"]}, {"type": "integer", "minimum": 0, "maximum": 63}]}),
]
Padding = Annotated[
    int,
    PlainValidator(_padding),
    WithJsonSchema({"anyOf": [{"enum": ["mtu"]}, shapes.number(limits.MIN_PADDING, PATH_MTU)]}),
]
Pfs = Annotated[
    bool | tuple[str, ...],
    PlainValidator(_pfs),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, *shapes.keywords(proposals.GROUPS)["anyOf"]]}),
]
