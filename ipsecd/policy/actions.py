"""Schema: filter actions, their security methods and lifetimes."""

from __future__ import annotations

from itertools import filterfalse
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from ipsecd import limits
from ipsecd.policy import proposals, shapes
from ipsecd.policy.complaint import Complaint, Remark, complaint
from ipsecd.policy.fields import Dscp, EncryptionNames, IntegrityNames, MacNames, Padding, Pfs, Text
from ipsecd.policy.strict import Several, Strict


class Lifetime(Strict):
    """How long an SA may be used, whichever limit comes first. A new one is there before, and no packet is lost."""

    seconds: int = Field(
        int(limits.CHILD_LIFETIME), ge=limits.MIN_LIFETIME, le=limits.MAX_LIFETIME, description="Seconds of age."
    )
    kilobytes: int | None = Field(
        None, ge=limits.MIN_KILOBYTES, le=limits.MAX_KILOBYTES, description="Units of 1,024 octets carried."
    )
    packets: int | None = Field(
        None,
        ge=limits.MIN_PACKETS,
        le=limits.MAX_LIFETIME_PACKETS,
        description="Packets carried. A limit that keeps the cipher safe always holds.",
    )


WHOLE_OR_SIGNED: Final[shapes.Part] = {  # what ``check_integrity`` asks, in JSON schema
    "anyOf": [
        {
            "properties": {
                "encryption": shapes.keywords(filter(proposals.is_aead, proposals.ENCRYPTION)),
                "integrity": False,
            }
        },
        {
            "properties": {"encryption": shapes.keywords(filterfalse(proposals.is_aead, proposals.ENCRYPTION))},
            "required": ["integrity"],
        },
    ]
}


class Esp(Strict):
    """ESP (RFC 4303) with one or several algorithms to choose from, in order of preference."""

    model_config = ConfigDict(json_schema_extra=WHOLE_OR_SIGNED)

    encryption: EncryptionNames = Field(description="Ciphers, by keyword. Those with an ICV bring their own integrity.")
    integrity: MacNames | None = Field(None, description="Needed by, and only by, ciphers without an ICV.")

    @model_validator(mode="after")
    def _suite(self) -> Self:
        check_integrity(self.encryption, self.integrity)
        return self


def check_integrity(encryption: tuple[str, ...], integrity: tuple[str, ...] | None) -> None:
    """Exactly one of cipher and MAC sees to integrity (RFC 5282 section 8, RFC 8221 section 4); raises Complaint."""
    whole = [name for name in encryption if proposals.is_aead(name)]
    bare = [name for name in encryption if not proposals.is_aead(name)]
    if whole and bare:
        raise complaint(f"{whole[0]} brings its own integrity and {bare[0]} doesn't", "make it two entries of the list")
    if whole and integrity is not None:
        raise Complaint(Remark(f"{whole[0]} brings its own integrity", "leave it out", ("integrity",)))
    if bare and integrity is None:
        raise complaint(f"{bare[0]} alone would leave packets open to change", "add integrity, such as sha256")


class Ah(Strict):
    """AH (RFC 4302) with one or several algorithms to choose from, in order of preference."""

    integrity: IntegrityNames = Field(description="MACs, by keyword.")


class SecurityMethod(Strict):
    """One way to protect packets. With both `esp` and `ah`, ESP is inside AH, which only ipsecd can do under IKEv2."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["esp"]}, {"required": ["ah"]}]})

    esp: Esp | None = Field(None, description="Encrypt, with ESP.")
    ah: Ah | None = Field(None, description="Sign the whole packet with its addresses, with AH. It can't pass a NAT.")
    lifetime: Lifetime | None = Field(None, description="Of SAs made by this method, instead of the filter action's.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.esp is None and self.ah is None:
            raise complaint("expected esp or ah")
        return self


class FallbackToClear(Strict):
    """When a peer that never answers may be talked to in clear."""

    after: int = Field(3, ge=1, le=60, description="Seconds without any answer before it happens.")
    lifetime: int = Field(300, ge=10, le=86_400, description="Seconds it lasts before the peer is asked again.")


class Tfc(Strict):
    """Traffic flow confidentiality (RFC 4303 2.6 and 2.7): what hides from the network how large packets are, and when
    there are any."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    padding: Padding | None = Field(
        None,
        description="Send packets with fewer octets than this as if they had so many, as far as the path takes them; "
        "`mtu`: as many as the path takes.",
    )
    dummies: int | None = Field(
        None,
        ge=1,
        le=limits.MAX_DUMMIES,
        description="Send packets that carry nothing, so many a second on average, for as long as there is an SA.",
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.padding is None and self.dummies is None:
            raise complaint("expected padding or dummies")
        return self


_ENCRYPTS: Final[shapes.Part] = shapes.given(
    esp=shapes.given(encryption={"not": shapes.keywords(sorted(proposals.UNENCRYPTED))})
)  # what ``_encrypts`` asks


def _encrypts(method: SecurityMethod) -> bool:
    return method.esp is not None and not proposals.UNENCRYPTED.issuperset(method.esp.encryption)


def _switch(value: object) -> object:
    if isinstance(value, bool):
        return {} if value else None
    return value


def _or_boolean(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [{"type": "boolean"}, {"$ref": schema.pop("$ref")}]
    schema["default"] = False


class FilterAction(Strict):
    """What happens to the traffic of a filter list."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": shapes.given_words(action=("permit", "block")),
            "then": {"propertyNames": {"enum": ["action", "description"]}},
            "dependentSchemas": {
                "tfc": {"properties": {"security_methods": {"anyOf": [{"maxItems": 0}, {"contains": _ENCRYPTS}]}}}
            },
        }
    )

    action: Literal["permit", "block", "negotiate"] = Field(
        description="`permit` lets it pass in clear, `block` drops it, `negotiate` protects it."
    )
    security_methods: Several[SecurityMethod] = Field(
        (),
        max_length=limits.MAX_PROPOSALS,
        description="What to offer and accept, in order of preference. Without any: AES-GCM and ChaCha20-Poly1305, "
        "then AES-CBC with SHA-2.",
    )
    lifetime: Lifetime = Field(
        Lifetime(), description="Of the SAs made.", json_schema_extra={"default": {"seconds": 3600}}
    )
    inactivity: int | None = Field(
        None,
        ge=limits.MIN_INACTIVITY,
        le=limits.MAX_LIFETIME,
        description="Seconds without a packet, either way, after which SAs end; the next packet has new ones made. "
        "Without it they stay.",
    )
    pfs: Pfs = Field(
        False,
        description="Perfect forward secrecy: a key exchange of its own for each SA that follows the first. `true` "
        "uses the groups of `key_exchange`, or name one or more groups.",
    )
    df: Literal["copy", "set", "clear"] = Field(
        "copy",
        description="The outer header's Don't Fragment, RFC 4301 8.1: the inner one's, always, or never. With `clear`, "
        "packets that are too large go in outer fragments, and their senders aren't told.",
    )
    dscp: Dscp = Field(
        "copy",
        description="The outer header's DSCP, RFC 4301 4.4.1.2: the inner one's, or this for all packets, so that the "
        "network can't tell them apart by it. ECN is copied in any case.",
    )
    tfc: Tfc | None = Field(None, description="Hide from the network how large packets are, and when there are any.")
    inbound_passthrough: bool = Field(
        False,
        description="Accept packets in clear, and answer with protected ones only. Anybody can send in clear under the "
        "address of a peer.",
    )
    fallback_to_clear: Annotated[FallbackToClear | None, BeforeValidator(_switch)] = Field(
        None,
        description="Talk in clear to a peer that doesn't answer at all. With a tunnel, to the peer itself alone, and "
        "not for networks behind it.",
        json_schema_extra=_or_boolean,
    )
    description: Text = Field("", description="For people.")

    @model_validator(mode="after")
    def _only_negotiate(self) -> Self:
        if self.action != "negotiate":
            given = self.model_fields_set - {"action", "description"}
            if given:
                raise Complaint(*(Remark(f"means nothing with {self.action}", "", (name,)) for name in sorted(given)))
        return self

    @model_validator(mode="after")
    def _hides_what_is_encrypted(self) -> Self:
        if self.tfc is not None and self.security_methods and not any(map(_encrypts, self.security_methods)):
            hint = "leave it out, or add a method with esp that does"
            raise Complaint(Remark("hides nothing, as none of the security methods encrypts", hint, ("tfc",)))
        return self
