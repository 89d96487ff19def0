"""Schema: hosts that come in from elsewhere, by IKEv1: who uses them (XAUTH), and what they are given (mode config)."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from ipsecd import limits
from ipsecd.policy.complaint import Complaint, Remark, complaint
from ipsecd.policy.fields import FilePath, HostAddress, NetworkText, QuietName, UserName
from ipsecd.policy.shapes import UNIQUE
from ipsecd.policy.strict import Several, Strict, distinct

_OF_GATEWAYS: Final = ("dns", "nbns", "subnets", "push")
_Servers = Annotated[Several[HostAddress], Field(max_length=limits.MAX_ACCESS_SERVERS)]


class Xauth(Strict):
    """Who uses a host that comes in, proved by a password behind phase 1. A gateway has `users`, a client `user` and
    `password`."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["users"], "properties": {"user": False, "password": False}},
                {"required": ["user", "password"], "properties": {"users": False}},
            ]
        }
    )

    user: UserName | None = Field(None, description="The user that the gateway is told.")
    password: QuietName | None = Field(None, description="The user's password: a credential of the kind `psk`.")
    users: FilePath | None = Field(
        None,
        description="A file with who may come in, readable by its owner alone; each line reads "
        "`NAME:$scrypt$ln=15,r=8,p=1$SALT$HASH`. A relative path starts at the policy file's folder.",
    )
    hybrid: bool = Field(
        False,
        description="The gateway alone proves itself before, by a certificate; hosts that come in have nothing but the "
        "password.",
    )

    @model_validator(mode="after")
    def _one_side(self) -> Self:
        if self.users is not None:
            if wrong := [name for name in ("user", "password") if getattr(self, name) is not None]:
                message = "a gateway has users, and a client has a user with a password"
                raise Complaint(*(Remark(message, "leave one of both out", (name,)) for name in wrong))
        elif self.user is None and self.password is None:
            raise complaint("expected users, or user and password", "a gateway has users")
        elif self.user is None:
            raise Complaint(Remark("whose password it is has to be said", "add user", ("password",)))
        elif self.password is None:
            hint = "add password, the name of a credential of the kind psk"
            raise Complaint(Remark("a user comes in by a password", hint, ("user",)))
        return self


class ModeConfig(Strict):
    """An address inside the network for a host that comes in, and who serves it there. A client has `request` or
    `accept_push`, a gateway `pools`."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["request"], "properties": {"accept_push": {"const": False}, "pools": False}},
                {"required": ["accept_push"], "properties": {"accept_push": {"const": True}, "request": False,
                                                             "pools": False}},
                {"required": ["pools"], "properties": {"request": False, "accept_push": {"const": False}}},
            ],
            "dependentRequired": {name: ["pools"] for name in _OF_GATEWAYS},
        }
    )  # fmt: skip

    request: Annotated[
        Several[Literal["ipv4", "ipv6"]], Field(min_length=1), AfterValidator(distinct)
    ] | None = Field(
        None,
        json_schema_extra=UNIQUE,
        description="Ask the gateway for an address of each of these families.",
    )  # fmt: skip
    accept_push: bool = Field(False, description="Wait for the address that the gateway sets without being asked.")
    pools: Annotated[Several[NetworkText], Field(min_length=1, max_length=2)] | None = Field(
        None,
        description="The networks whose addresses hosts that come in are lent, one of each family at most. They have "
        "to lie in what the rule protects on the far side.",
    )
    dns: _Servers = Field((), description="Name servers for them.")
    nbns: _Servers = Field((), description="WINS servers for them.")
    subnets: Annotated[Several[NetworkText], Field(max_length=limits.MAX_ACCESS_SUBNETS)] = Field(
        (), description="The networks that they are told they reach through the gateway. Without any, it's all."
    )
    push: bool = Field(False, description="Set the address without being asked, for clients that wait for that.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(map(bool, (self.request, self.accept_push, self.pools))) != 1:
            hint = "a client asks or accepts what is pushed, a gateway has pools"
            raise complaint("expected exactly one of request, accept_push and pools", hint)
        if self.pools is None:
            if wrong := [name for name in _OF_GATEWAYS if name in self.model_fields_set]:
                raise Complaint(*(Remark("means nothing without pools", "leave it out", (name,)) for name in wrong))
        elif len({pool.version for pool in self.pools}) < len(self.pools):
            message = f"another pool of IPv{self.pools[0].version}: a host has one address of each family"
            raise Complaint(Remark(message, "leave one of both out", ("pools", 1)))
        return self
