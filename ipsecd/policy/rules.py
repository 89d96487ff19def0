"""Schema: rules, the sentences of a policy: this traffic, treated so, with that peer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from ipsecd.policy import shapes
from ipsecd.policy.addresses import TunnelEnd as End
from ipsecd.policy.complaint import Complaint, Remark
from ipsecd.policy.fields import FilterActionName, FilterListName, IdentityText, Name, QuietName, Text, TunnelEnd
from ipsecd.policy.filters import Filter
from ipsecd.policy.names import (
    ACCESS,
    AGGRESSIVE,
    FILTER_ACTIONS,
    NEGOTIATION_FIELDS,
)
from ipsecd.policy.remote_access import ModeConfig, Xauth
from ipsecd.policy.shapes import ONE_FIELD, UNIQUE
from ipsecd.policy.strict import Several, Strict, distinct, exactly_one


class Tunnel(Strict):
    """The two gateways between which packets travel inside packets."""

    model_config = ConfigDict(
        json_schema_extra={"if": shapes.given(remote=shapes.ANY), "then": {"properties": {"remote_port": False}}}
    )

    local: TunnelEnd = Field(
        End(),
        description="Our end: an address, a DNS name, or `any` for the address that the route to the peer gives.",
        json_schema_extra={"default": "any"},
    )
    remote: TunnelEnd = Field(
        description="The peer's end: an address, a DNS name, or `any` for peers that call us from anywhere."
    )
    remote_port: int = Field(500, ge=1, le=65_535, description="The UDP port at which the peer listens for IKE.")

    @model_validator(mode="after")
    def _ends(self) -> Self:
        one, two = self.local.address, self.remote.address
        if one and two and one.version != two.version:
            raise Complaint(Remark(f"{one} and {two} can't reach each other: IPv4 and IPv6", "", ("remote",)))
        if not self.remote.is_any and self.local == self.remote:
            raise Complaint(Remark("both ends are the same", "", ("remote",)))
        if self.remote.is_any and "remote_port" in self.model_fields_set:
            message = "peers from anywhere call us, from whatever port they have"
            raise Complaint(Remark(message, "leave it out", ("remote_port",)))
        return self


class Identities(Strict):
    """Who both sides have to be (RFC 4301 section 4.4.3): `gw.example` is a domain name, `a@b` an e-mail address,
    `CN=gw, O=Example` a distinguished name; addresses, `fqdn:`, `email:`, `dn:` and `keyid:` are understood too."""

    local: IdentityText | None = Field(
        None, description="Ours; without it, our end of the tunnel, or else our address."
    )
    remote: IdentityText | None = Field(
        None, description="The peer's; without it, the peer's end of the tunnel, or else its address."
    )


class Authentication(Strict):
    """One way to prove it: exactly one of the three, naming a credential."""

    model_config = ConfigDict(json_schema_extra=ONE_FIELD)

    psk: QuietName | None = Field(None, description="A pre-shared key.")
    certificate: QuietName | None = Field(
        None, description="A certificate, where the policy's `versions` is `[ikev1]`. By IKEv2 not supported yet."
    )
    kerberos: QuietName | None = Field(None, description="Kerberos. Not supported yet.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self)
        return self


_NEGOTIATES: Final = shapes.given_words(action=[name for name, kind in FILTER_ACTIONS.items() if kind == "negotiate"])
_NEEDS_NO_PEER: Final = shapes.given_words(
    action=[name for name, kind in FILTER_ACTIONS.items() if kind != "negotiate"]
)
_TRUE: Final[shapes.Part] = {"const": True}
_HYBRID: Final[shapes.Part] = {"items": {"properties": {"psk": False}}, "minItems": 1}
_CLIENT: Final[Mapping[str, tuple[shapes.Part, ...]]] = {  # what makes a rule that of a client, and of a gateway
    "xauth": (shapes.given(user={}),),
    "mode_config": (shapes.given(request={}), shapes.given(accept_push=_TRUE)),
}
_GATEWAY: Final[Mapping[str, shapes.Part]] = {"xauth": shapes.given(users={}), "mode_config": shapes.given(pools={})}
_ACCESS: Final[list[shapes.Part]] = [  # what ``crosscheck_v1`` asks, in JSON schema
    {
        "if": shapes.given(tunnel=shapes.given(remote=shapes.ANY)),
        "then": {"properties": {name: {"not": {"anyOf": [*client]}} for name, client in _CLIENT.items()}},
    },
    {"not": shapes.given(xauth=_GATEWAY["xauth"], mode_config={"anyOf": [*_CLIENT["mode_config"]]})},
    {"not": shapes.given(xauth=_CLIENT["xauth"][0], mode_config=_GATEWAY["mode_config"])},
    {"if": shapes.given(xauth=shapes.given(hybrid=_TRUE)), "then": shapes.given(authentication=_HYBRID)},
    *(
        {
            "if": shapes.given(**{option: _TRUE}),
            "then": shapes.given(authentication={"contains": {"required": [kind]}}),
        }
        for option, kind in AGGRESSIVE.items()
    ),
]
_WHOLE: Final[shapes.Part] = {  # what ``crosscheck`` asks of rules with a built-in action, in JSON schema
    "oneOf": [{"required": ["filters"]}, {"required": ["filter_list"]}],
    "allOf": [
        {"if": _NEEDS_NO_PEER, "then": {"properties": dict.fromkeys(NEGOTIATION_FIELDS, False)}},
        {"if": _NEGOTIATES, "then": shapes.given(authentication={"minItems": 1})},
        {
            "if": {"allOf": [_NEGOTIATES, shapes.given(tunnel=shapes.given(remote=shapes.ANY))]},
            "then": {
                **shapes.given(identity={"required": ["remote"]}),
                "not": shapes.given_words(start=["always"]),
            },
        },
        {
            "if": {
                "allOf": [_NEGOTIATES, shapes.given(tunnel={"type": "object", "properties": {"local": shapes.ANY}})]
            },
            "then": shapes.given(identity={"required": ["local"]}),
        },
        {
            "anyOf": [
                {"required": ["tunnel"]},
                {"not": {"anyOf": [shapes.given_words(start=["always"]), shapes.given_words(children=["merged"])]}},
            ]
        },
        *_ACCESS,
    ],
    "dependentRequired": {name: ["tunnel"] for name in ACCESS},
}


class Rule(Strict):
    """What happens to some traffic, and with whom."""

    model_config = ConfigDict(json_schema_extra=_WHOLE)

    name: Name = Field(description="Unique in its policy; logs and `ipsecctl` call the rule so.")
    description: Text = Field("", description="For people.")
    enabled: bool = Field(True, description="`false` keeps the rule in the file and out of force.")
    filters: Several[Filter] | None = Field(None, min_length=1, description="The traffic; or else `filter_list`.")
    filter_list: FilterListName | None = Field(
        None, description="The name of a filter list; `all-ip` and `all-icmp` (from me to anywhere) are built in."
    )
    action: FilterActionName = Field(
        description="The name of a filter action; `permit`, `block`, `require-security` and `request-security` are "
        "built in."
    )
    tunnel: Tunnel | None = Field(
        None,
        description="The gateways. Without it, what this machine itself sends and gets is protected, with SAs for each "
        "other host.",
    )
    identity: Identities = Field(
        Identities(),
        description="Who both sides have to be; without it, the tunnel's ends, or else the two hosts' addresses.",
        json_schema_extra={"default": {}},
    )
    authentication: Annotated[Several[Authentication], AfterValidator(distinct)] = Field(
        (),
        json_schema_extra=UNIQUE,
        description="How both sides prove it. The order is one of preference; any of them opens this rule.",
    )
    connections: Literal["all", "lan", "remote-access"] = Field(
        "all",
        description="The type of connection it holds for: it covers only what leaves or arrives by interfaces of that "
        "type, see `settings`.",
    )
    encapsulation: Literal["auto", "udp", "native"] = Field(
        "auto",
        description="How ESP and AH travel: in UDP, as IP protocols 50 and 51 (`native`), or in UDP if the peer can.",
    )
    children: Literal["per-filter", "merged"] = Field(
        "per-filter",
        description="One child SA for each filter, or one for all filters of the rule; without a tunnel, one for each "
        "filter and host.",
    )
    start: Literal["on-traffic", "always"] = Field(
        "on-traffic", description="Negotiate when a packet needs it, or at once and again whenever the SA is lost."
    )
    i_accept_offline_guessing_in_aggressive_mode: bool = Field(
        False,
        description="IKEv1 with a pre-shared key in aggressive mode too: whoever asks gets what keys can be tried by, "
        "as many as one likes, and both identities are in clear. We call in that mode then.",
    )
    i_accept_names_in_clear_in_aggressive_mode: bool = Field(
        False,
        description="IKEv1 with certificates in aggressive mode too: both identities are in clear. We call in that "
        "mode then.",
    )
    xauth: Xauth | None = Field(
        None, description="IKEv1 alone, and with a tunnel: who uses the host that comes in from elsewhere."
    )
    mode_config: ModeConfig | None = Field(
        None, description="IKEv1 alone, and with a tunnel: what a host is given that comes in from elsewhere."
    )
