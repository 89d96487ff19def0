"""Schema: the policy file as a whole.

The classes are frozen and refuse what they don't know. Their descriptions are what ``ipsecd schema`` tells an editor
and what docs/policy.md lists.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, field_validator, model_validator
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from ipsecd import limits
from ipsecd.policy import shapes
from ipsecd.policy.actions import FilterAction, SecurityMethod
from ipsecd.policy.complaint import Complaint, Remark, complaint, quoted
from ipsecd.policy.credentials import Credential
from ipsecd.policy.fields import IcmpErrorName, InterfaceName, Name, QuietName, Text
from ipsecd.policy.filters import Filter
from ipsecd.policy.key_exchange import KeyExchange
from ipsecd.policy.names import ACCESS, AGGRESSIVE
from ipsecd.policy.plan import Exempt
from ipsecd.policy.plan import Settings as Defaults
from ipsecd.policy.rules import Authentication, Rule
from ipsecd.policy.shapes import UNIQUE
from ipsecd.policy.strict import Several, Strict, distinct

_DEFAULTS = Defaults()
_TABLES = (253, 254, 255)  # default, main and local, by the names of rt_tables
_MARK_BITS = 3  # four marks, and none


def _rules_without(*fields: str) -> shapes.Part:
    """No rule has these fields, but those that are false anyhow."""
    fields_without = {name: {"const": False} if name in AGGRESSIVE else False for name in fields}
    return {"properties": {"rules": {"items": {"properties": fields_without}}}}


def _unless_versions(are: shapes.Part, then: shapes.Part) -> shapes.Part:
    return {"if": shapes.given(key_exchange=shapes.given(versions=are)), "else": then}


class DefaultResponse(Strict):
    """How to answer hosts that ask for security where no rule says anything. What a host has negotiated with this
    machine is then protected, both ways, until the SA ends; rules go before it, `default_action` behind it."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": shapes.given(active={"const": False}),
            "else": shapes.given(authentication={"minItems": 1}),
        }
    )

    active: bool = Field(True, description="`false`: don't answer.")
    security_methods: Several[SecurityMethod] = Field(
        (), max_length=limits.MAX_PROPOSALS, description="As in a filter action."
    )
    authentication: Annotated[Several[Authentication], AfterValidator(distinct)] = Field(
        (),
        json_schema_extra=UNIQUE,
        description="As in a rule. Who proves it with one of these may "
        "negotiate about its own address and this machine's, and about no other.",
    )


class Exemptions(Strict):
    """What passes in clear whatever the rules say, of what this machine itself sends and gets."""

    level: int = Field(
        3,
        ge=0,
        le=3,
        description="Windows' levels. IKE is exempt at each; at 2 RSVP and Kerberos too, at 1 multicast and broadcast, "
        "at 0 all four.",
    )
    multicast: bool | None = Field(None, description="Instead of the level: what goes to a group of hosts.")
    broadcast: bool | None = Field(None, description="Instead of the level: what goes to all hosts of a network, IPv4.")
    rsvp: bool | None = Field(None, description="Instead of the level: IP protocol 46.")
    kerberos: bool | None = Field(
        None, description="Instead of the level: TCP and UDP with port 88 at either end, whoever it is from."
    )
    neighbour_discovery: bool = Field(True, description="Neighbour and router discovery of IPv6.")
    dhcp: bool = Field(True, description="DHCP and DHCPv6.")

    def meaning(self) -> Exempt:
        """What is exempt: a toggle wins over the level. The levels are those of Windows' NoDefaultExempt (Microsoft KB
        811832)."""
        groups, services = self.level in (0, 1), self.level in (0, 2)
        return Exempt(
            multicast=groups if self.multicast is None else self.multicast,
            broadcast=groups if self.broadcast is None else self.broadcast,
            rsvp=services if self.rsvp is None else self.rsvp,
            kerberos=services if self.kerberos is None else self.kerberos,
            neighbour_discovery=self.neighbour_discovery,
            dhcp=self.dhcp,
        )


class Policy(Strict):
    """Everything that holds while this policy is the assigned one."""

    model_config = ConfigDict(
        json_schema_extra={  # what ``crosscheck_v1`` asks of versions
            "allOf": [
                _unless_versions({"contains": {"const": "ikev1"}}, _rules_without(*AGGRESSIVE)),
                _unless_versions({"const": ["ikev1"]}, _rules_without(*ACCESS)),
            ]
        }
    )

    description: Text = Field("", description="For people.")
    rules: Several[Rule] = Field((), description="Their order decides only between filters that are equally specific.")
    default_action: Literal["permit", "block"] = Field(
        "permit", description="What happens to traffic that no filter matches. The exemptions pass in any case."
    )
    default_response: DefaultResponse | None = Field(
        None, description="Windows' default response rule: answer who asks for security."
    )
    key_exchange: KeyExchange = Field(
        KeyExchange(), description="How keys are negotiated.", json_schema_extra={"default": {}}
    )
    exemptions: Exemptions = Field(
        Exemptions(), description="What passes in clear whatever the rules say.", json_schema_extra={"default": {}}
    )
    keylog: bool = Field(
        False,
        description="Keep keys, so that `ipsecctl keys export` can hand them to root for Wireshark. For tests only.",
    )


class Connections(Strict):
    """Interfaces whose type of connection their kind doesn't tell."""

    lan: Annotated[Several[InterfaceName], AfterValidator(distinct)] = Field(
        (), json_schema_extra=UNIQUE, description="These are of a local network."
    )
    remote_access: Annotated[Several[InterfaceName], AfterValidator(distinct)] = Field(
        (),
        json_schema_extra=UNIQUE,
        description="These are of remote access. Without being named, interfaces of the kinds ppp, tun, wireguard and "
        "wwan are, and those whose names begin with `ppp` or `ww`; all others are of a local network.",
    )

    @model_validator(mode="after")
    def _one_type(self) -> Self:
        if both := sorted({*self.lan} & {*self.remote_access}):
            raise Complaint(Remark(f"{quoted(both[0])} is in both", "an interface is of one type", ("remote_access",)))
        return self


class Settings(Strict):
    """What this machine is told, whatever policy is assigned."""

    tun: InterfaceName = Field(_DEFAULTS.tun, description="The name of the TUN interface.")
    mtu: Annotated[int, Field(ge=1280, le=65_535)] | None = Field(
        None,
        description="Of the TUN interface; without it 1,438, as much as fits in 1,500. Set it where the links between "
        "the gateways carry more.",
    )
    mark: int = Field(_DEFAULTS.mark, ge=1, le=0xFFFF_FFFF, description="The packet mark that steers into the TUN.")
    own_mark: int = Field(_DEFAULTS.own_mark, ge=1, le=0xFFFF_FFFF, description="The mark of ipsecd's own packets.")
    mask: int = Field(_DEFAULTS.mask, ge=1, le=0xFFFF_FFFF, description="The bits of the packet mark that ipsecd uses.")
    table: int = Field(
        _DEFAULTS.table,
        ge=1,
        le=0xFFFF_FFFF,
        description="The number of the routing table that ipsecd fills, and of the TUN's interface group.",
        json_schema_extra={"not": {"enum": [*_TABLES]}},
    )
    preference: int = Field(
        _DEFAULTS.preference,
        ge=1,
        le=32_760,
        description="The preference of the routing rule that leads there, and of the first of the six that ipsecd has.",
    )
    inside: Annotated[Several[InterfaceName], AfterValidator(distinct)] = Field(
        (),
        json_schema_extra=UNIQUE,
        description="The interfaces behind which local addresses are. Without it, every interface that leads neither "
        "to a peer nor to everybody else.",
    )
    connections: Connections = Field(
        Connections(),
        description="Of which type of connection interfaces are, for rules with `connections`.",
        json_schema_extra={"default": {}},
    )
    replay_window: int = Field(
        _DEFAULTS.replay_window,
        ge=limits.REPLAY_WINDOW_MIN,
        le=limits.REPLAY_WINDOW_MAX,
        description="Packets by which one may be late, RFC 4303 3.4.3.",
    )
    pmtu_age: int = Field(
        _DEFAULTS.pmtu_age,
        ge=limits.PMTU_AGE_MIN,
        le=limits.PMTU_AGE_MAX,
        description="Seconds for which an ICMP error counts that has narrowed a path, RFC 4301 8.2.2.",
    )
    believe_icmp: Several[IcmpErrorName] = Field(
        ("packet-too-big",),
        description="Unauthenticated ICMP errors about our own packets that count, RFC 4301 6.1.1. `packet-too-big` is "
        "fragmentation needed and packet too big; it never narrows a path below 576 octets of IPv4, or 1,280 of IPv6. "
        "Nothing else counts in any case.",
    )
    esn: bool = Field(True, description="Offer extended sequence numbers, RFC 4303 2.2.1.")

    @model_validator(mode="after")
    def _marks(self) -> Self:
        if self.mask.bit_count() < _MARK_BITS:
            hint = f"ipsecd needs {_MARK_BITS} bits of the packet mark"
            raise Complaint(Remark("has too few bits", hint, ("mask",)))
        outside = [name for name in ("mark", "own_mark") if getattr(self, name) & ~self.mask]
        if outside:
            raise Complaint(
                *(Remark("has bits outside the mask", f"mask is {self.mask:#x}", (name,)) for name in outside)
            )
        if self.mark == self.own_mark:
            raise Complaint(
                Remark("our own packets would be steered too", "choose another bit than mark's", ("own_mark",))
            )
        return self

    @field_validator("table")
    @classmethod
    def _ours(cls, table: int) -> int:
        if table in _TABLES:
            raise complaint("is one of the system's own tables", f"such as {_DEFAULTS.table}")
        return table


class Persistent(Strict):
    """Rules that hold whichever policy is assigned, or none."""

    model_config = ConfigDict(json_schema_extra={"allOf": [_rules_without(*AGGRESSIVE, *ACCESS)]})

    rules: Several[Rule] = Field((), description="As in a policy. They win over its rules.")


class File(Strict):
    """A policy file."""

    assigned: Name | None = Field(
        None,
        description="The policy in force, one at most; ipsecctl may assign another. Without, nothing is protected.",
    )
    description: Text = Field("", description="For people.")
    boot: Literal["last", "stateful", "block", "permit"] = Field(
        "last",
        description="What stands from a boot on until a policy is in force: `last` is the floor of the last policy, "
        "`stateful` and `block` drop more than that, `permit` nothing.",
    )
    settings: Settings = Field(Settings(), description="What this machine is told.", json_schema_extra={"default": {}})
    credentials: dict[QuietName, Credential] = Field({}, description="What proves who someone is, by name.")
    filter_lists: dict[Name, Annotated[Several[Filter], Field(min_length=1)]] = Field(
        {}, description="Filters that rules share, by name."
    )
    filter_actions: dict[Name, FilterAction] = Field({}, description="What rules do, by name.")
    policies: dict[Name, Policy] = Field({}, description="The policies, by name.")
    persistent: Persistent | None = Field(
        None, description="Rules that hold whichever policy is assigned, or none, and win over the policy's."
    )


class _WithoutNull(GenerateJsonSchema):
    """A field that isn't given is left out; null is nowhere allowed."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        names, values = (self.generate_inner(schema[part]) for part in ("keys_schema", "values_schema"))
        return {"type": "object", "propertyNames": names, "additionalProperties": values}

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        if made.get("default", "") is None:
            del made["default"]
        return made


def json_schema() -> dict[str, Any]:
    """The JSON schema of a policy file (draft 2020-12), with a description for every field."""
    schema = File.model_json_schema(schema_generator=_WithoutNull)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema, "title": "ipsecd policy"}


def schema_json() -> str:
    """The same as text, which ``ipsecd schema`` prints."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
