"""The kinds of values that fields of the schema hold, each with what an editor is told of it.

A field's check either gives the value its meaning or raises Complaint; nothing is repaired silently.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from ipsecd.policy import addresses, proposals, traffic
from ipsecd.policy.complaint import Complaint, Remark, complaint, quoted
from ipsecd.policy.identities import identity
from ipsecd.policy.names import FILTER_ACTIONS, FILTER_LISTS
from ipsecd.wire.identity import Identity

T = TypeVar("T")

NAME = r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$"
TUN_NAME = r"^[A-Za-z][A-Za-z0-9_.-]{0,14}$"  # IFNAMSIZ
_CREDENTIAL = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$"


def _matching(pattern: str, words: str, *, show: bool = True) -> Callable[[str], str]:
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise complaint(f"{quoted(text) if show else 'this'} isn't fit as a name", words)
        return text

    return check


def _readable(text: str) -> str:
    if len(text) > 4096 or not text.replace("\n", " ").isprintable():
        raise complaint("expected readable text of at most 4096 characters")
    return text


def _not_empty(text: str) -> str:
    if not text.strip():
        raise complaint("expected text that isn't empty")
    return _readable(text)


def _absolute(words: tuple[str, ...]) -> tuple[str, ...]:
    if not words or not words[0].startswith("/"):
        raise complaint("expected a program's full path and its arguments", "such as [/usr/bin/pass, show, hq]")
    return words


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


def _listed(table: Mapping[str, Any]) -> dict[str, Any]:
    """JSON schema of one keyword or a list of them."""
    one = {"enum": list(table)}
    return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1, "uniqueItems": True}]}


def _named(built_in: tuple[str, ...]) -> dict[str, Any]:
    """JSON schema of a name, with the built-in ones for an editor to offer."""
    return {"anyOf": [{"enum": list(built_in)}, {"type": "string", "pattern": NAME}]}


_PORTS = {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, {"type": "string"}]}
_ADDRESSES = {
    "type": "string",
    "examples": ["me", "any", "10.1.0.0/16", "10.1.0.7", "10.1.0.1-10.1.0.9", "www.example"],
}
_NAME_FORM = "a letter, then letters, digits, '_', '.' or '-', 64 in all at most"
_name = AfterValidator(_matching(NAME, _NAME_FORM))

Name = Annotated[str, _name, WithJsonSchema({"type": "string", "pattern": NAME})]
QuietName = Annotated[
    str, AfterValidator(_matching(NAME, _NAME_FORM, show=False)), WithJsonSchema({"type": "string", "pattern": NAME})
]  # of a credential: somebody may have put the key itself there
FilterListName = Annotated[str, _name, WithJsonSchema(_named(FILTER_LISTS))]
FilterActionName = Annotated[str, _name, WithJsonSchema(_named(tuple(FILTER_ACTIONS)))]
TunName = Annotated[
    str,
    AfterValidator(_matching(TUN_NAME, "a letter, then letters, digits, '_', '.' or '-', 15 in all at most")),
    WithJsonSchema({"type": "string", "pattern": TUN_NAME}),
]
CredentialName = Annotated[
    str,
    AfterValidator(_matching(_CREDENTIAL, "letters, digits, '_', '.' or '-'", show=False)),  # it may be a key
    WithJsonSchema({"type": "string", "pattern": _CREDENTIAL}),
]
Text = Annotated[str, AfterValidator(_readable)]
FilePath = Annotated[str, AfterValidator(_not_empty)]
Command = Annotated[tuple[Text, ...], AfterValidator(_absolute), Field(strict=False)]

Addresses = Annotated[addresses.AddressSet, PlainValidator(addresses.address_set), WithJsonSchema(_ADDRESSES)]
TunnelEnd = Annotated[
    addresses.TunnelEnd,
    PlainValidator(addresses.tunnel_end),
    WithJsonSchema({"type": "string", "examples": ["192.0.2.1", "2001:db8::1", "gw.example.org", "any"]}),
]
IdentityText = Annotated[
    Identity,
    PlainValidator(identity),
    WithJsonSchema({"type": "string", "examples": ["gw.example.org", "192.0.2.1", "user@example.org", "keyid:hq-7"]}),
]
Protocol = Annotated[
    int,
    PlainValidator(traffic.protocol),
    WithJsonSchema({"anyOf": [{"enum": list(traffic.PROTOCOLS)}, {"type": "integer", "minimum": 0, "maximum": 255}]}),
]
Ports = Annotated[tuple[int, int], PlainValidator(traffic.ports), WithJsonSchema(_PORTS)]
IcmpType = Annotated[
    int | str,
    PlainValidator(traffic.icmp_type),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": sorted({*traffic.ICMP_TYPES, *traffic.ICMPV6_TYPES})},
                {"type": "integer", "minimum": 0, "maximum": 255},
            ]
        }
    ),
]
EncryptionNames = Annotated[
    tuple[str, ...],
    PlainValidator(_several(proposals.ENCRYPTION, "encryption")),
    WithJsonSchema(_listed(proposals.ENCRYPTION)),
]
IntegrityNames = Annotated[
    tuple[str, ...],
    PlainValidator(_several(proposals.INTEGRITY, "integrity")),
    WithJsonSchema(_listed(proposals.INTEGRITY)),
]
PrfNames = Annotated[
    tuple[str, ...],
    PlainValidator(_several(proposals.PRF, "a pseudo-random function")),
    WithJsonSchema(_listed(proposals.PRF)),
]
GroupNames = Annotated[
    tuple[str, ...],
    PlainValidator(_several(proposals.GROUPS, "a key exchange group")),
    WithJsonSchema(_listed(proposals.GROUPS)),
]
IcmpErrorName = Annotated[Literal["packet-too-big"], WithJsonSchema({"enum": ["packet-too-big"]})]
Dscp = Annotated[
    int | Literal["copy"],
    PlainValidator(_dscp),
    WithJsonSchema({"anyOf": [{"enum": ["copy"]}, {"type": "integer", "minimum": 0, "maximum": 63}]}),
]
Pfs = Annotated[
    bool | tuple[str, ...],
    PlainValidator(_pfs),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, *_listed(proposals.GROUPS)["anyOf"]]}),
]
