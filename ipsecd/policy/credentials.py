"""Schema: credentials. Secrets are elsewhere; a policy file says where."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from ipsecd.policy import shapes
from ipsecd.policy.complaint import complaint
from ipsecd.policy.fields import Command, CredentialName, FilePath, Text
from ipsecd.policy.shapes import ONE_FIELD
from ipsecd.policy.strict import Several, Strict, exactly_one


class PskSource(Strict):
    """Where a pre-shared key comes from: exactly one of the three. The key itself never stands in a policy file."""

    model_config = ConfigDict(json_schema_extra=ONE_FIELD)

    file: FilePath | None = Field(
        None,
        description="A file that holds the key and nothing else, readable by its owner alone. A relative path "
        "starts at the policy file's folder.",
    )
    systemd: CredentialName | None = Field(
        None, description="A credential that the service manager hands over (`LoadCredential=` of systemd.exec(5))."
    )
    command: Command | None = Field(
        None, description="A program, by its full path, and its arguments; it prints the key. No shell is involved."
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self)
        return self


def _not_a_key(value: object) -> object:
    if not isinstance(value, dict):
        raise complaint(
            "the key itself never stands here", "say where it is: {file: ...}, {systemd: ...} or {command: [...]}"
        )
    return value


class CertificateSource(Strict):
    """Our certificate, its private key, and whom we trust. A client of a hybrid gateway has no certificate, and needs
    `authorities` alone."""

    model_config = ConfigDict(
        json_schema_extra={
            "dependentRequired": {"chain": ["key"], "key": ["chain"]},
            "anyOf": [{"required": ["chain"]}, shapes.given(authorities={"minItems": 1})],
        }
    )

    chain: FilePath | None = Field(
        None, description="A PEM file: our certificate and what leads from it to an authority."
    )
    key: FilePath | None = Field(
        None, description="A PEM file with the private key, of RSA, readable by its owner alone."
    )
    authorities: Several[FilePath] = Field((), description="PEM files of the authorities whose certificates we accept.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.chain is None) != (self.key is None):
            given, missing = ("chain", "key") if self.key is None else ("key", "chain")
            raise complaint(f"{given} is of no use without {missing}", "", given)
        if self.chain is None and not self.authorities:
            raise complaint("expected chain and key, or authorities", "a client of a hybrid gateway needs these alone")
        return self


class KerberosSource(Strict):
    """A key of a Kerberos realm."""

    keytab: FilePath | None = Field(None, description="The keytab; without one, the machine's own.")
    principal: Text = Field("", description="Our principal; without one, `host/` and the machine's name.")


class Credential(Strict):
    """One thing that proves who someone is: exactly one of the three kinds."""

    model_config = ConfigDict(json_schema_extra=ONE_FIELD)

    psk: Annotated[PskSource, BeforeValidator(_not_a_key)] | None = Field(
        None, description="A pre-shared key, or the password of a user."
    )
    certificate: CertificateSource | None = Field(None, description="A certificate. By IKEv2 not supported yet.")
    kerberos: KerberosSource | None = Field(None, description="Kerberos. Not supported yet.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self)
        return self
