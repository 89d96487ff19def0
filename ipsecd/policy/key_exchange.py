"""Schema: how keys are negotiated."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from ipsecd import limits
from ipsecd.policy.actions import WHOLE_OR_SIGNED, check_integrity
from ipsecd.policy.complaint import complaint
from ipsecd.policy.fields import GroupNames, IkeEncryptionNames, MacNames, PrfNames
from ipsecd.policy.shapes import UNIQUE
from ipsecd.policy.strict import Several, Strict, distinct

Port = Annotated[int, Field(ge=1, le=65_535)]


class IkeProposal(Strict):
    """Algorithms for the IKE SA, several of each in order of preference."""

    model_config = ConfigDict(json_schema_extra=WHOLE_OR_SIGNED)

    encryption: IkeEncryptionNames = Field(
        description="Ciphers, by keyword. Those with an ICV bring their own integrity."
    )
    integrity: MacNames | None = Field(None, description="Needed by, and only by, ciphers without an ICV.")
    prf: PrfNames = Field(
        ("prfsha256", "prfsha384", "prfsha512"), description="Pseudo-random functions: what keys are derived with."
    )
    groups: GroupNames = Field(description="Key exchange groups.")

    @model_validator(mode="after")
    def _suite(self) -> Self:
        check_integrity(self.encryption, self.integrity)
        return self


class IkeLifetime(Strict):
    """How long an IKE SA may be used; a new one is made before that."""

    seconds: int = Field(
        int(limits.IKE_LIFETIME), ge=limits.MIN_LIFETIME, le=limits.MAX_LIFETIME, description="Seconds of age."
    )


class IkePorts(Strict):
    """The UDP ports that ipsecd listens at."""

    ike: Port = Field(500, description="For IKE as long as no NAT is in between.")
    nat_traversal: Port = Field(4500, description="For IKE and ESP together (RFC 3948).")

    @model_validator(mode="after")
    def _different(self) -> Self:
        if self.ike == self.nat_traversal:
            raise complaint("IKE and NAT traversal need a port each")
        return self


class KeyExchange(Strict):
    """How keys are negotiated, with every peer of the policy."""

    versions: Annotated[Several[Literal["ikev2", "ikev1"]], AfterValidator(distinct)] = Field(
        ("ikev2",),
        min_length=1,
        json_schema_extra=UNIQUE,
        description="In order of preference: we call by the first, and by the other if nothing answers. A peer may "
        "call by any of them, but by IKEv2 alone if it has ever proved itself by that.",
    )
    proposals: Several[IkeProposal] = Field(
        (),
        max_length=limits.MAX_PROPOSALS,
        description="What to offer and accept, in order of preference. Without any: AES-GCM and ChaCha20-Poly1305, "
        "then AES-CBC with SHA-2; X25519, ECP and MODP from 2,048 bits.",
    )
    lifetime: IkeLifetime = Field(
        IkeLifetime(), description="Of IKE SAs.", json_schema_extra={"default": {"seconds": 28800}}
    )
    dpd: int = Field(
        int(limits.DPD_IDLE),
        ge=1,
        le=86_400,
        description="Seconds without a sign of the peer before it is asked for one. Some 24 s later it counts as gone.",
    )
    fragmentation: bool = Field(
        True, description="Split large IKE messages ourselves (RFC 7383; IKEv1 as others do it)."
    )
    ports: IkePorts = Field(
        IkePorts(), description="Our UDP ports.", json_schema_extra={"default": {"ike": 500, "nat_traversal": 4500}}
    )
    cookie_threshold: int = Field(
        limits.COOKIE_THRESHOLD,
        ge=0,
        le=limits.MAX_HALF_OPEN,
        description="Half-open IKE SAs from which on callers have to prove their address; 0: always (RFC 7296 2.6).",
    )
    master_key_pfs: bool = Field(False, description="A new IKE SA for each child SA, as of `sessions: 1`.")
    sessions: int = Field(
        0,
        ge=0,
        le=limits.MAX_CHILDREN_PER_IKE_SA,
        description="Child SAs made by one IKE SA, not counting those that a rekey puts in the place of others; 0: no "
        "limit.",
    )
