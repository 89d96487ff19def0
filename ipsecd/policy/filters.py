"""Schema: filters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Self

from pydantic import ConfigDict, Field, model_validator

from ipsecd.policy import shapes, traffic
from ipsecd.policy.addresses import Kind
from ipsecd.policy.complaint import Complaint, Remark, quoted
from ipsecd.policy.fields import Addresses, IcmpType, Ports, Protocol, Text
from ipsecd.policy.strict import Strict
from ipsecd.wire.selector import ANY_PORT


def _icmp(number: int, types: Mapping[str, int]) -> shapes.Part:
    protocol = shapes.words_or_numbers(traffic.PROTOCOLS, {number})
    return {"properties": {"protocol": protocol, "icmp_type": shapes.words_or_numbers(types)}}


_NAMED_PORT: Final[shapes.Part] = {"not": shapes.PORTS["anyOf"][1]}
_CONSISTENT: Final[shapes.Part] = {  # what can be said in JSON schema of what ``Filter`` checks
    "not": shapes.given(source=shapes.ME, destination=shapes.ME),
    "dependentRequired": {"icmp_code": ["icmp_type"], "icmp_type": ["protocol"]},
    "allOf": [
        {
            "if": {"required": ["icmp_type"]},
            "then": {"anyOf": [_icmp(traffic.ICMP, traffic.ICMP_TYPES), _icmp(traffic.ICMPV6, traffic.ICMPV6_TYPES)]},
        },
        {
            "if": {"anyOf": [shapes.given(source_port=_NAMED_PORT), shapes.given(destination_port=_NAMED_PORT)]},
            "then": shapes.given(protocol=shapes.words_or_numbers(traffic.PROTOCOLS, traffic.WITH_PORTS)),
        },
    ],
}


class Filter(Strict):
    """Some traffic, by its addresses and what it carries."""

    model_config = ConfigDict(json_schema_extra=_CONSISTENT)

    source: Addresses = Field(
        description="Where packets come from: `me`, `any`, an address, a subnet, a range `first-last`, a DNS name, "
        "or one of the sets `dns`, `dhcp`, `wins` and `default-gateway`."
    )
    destination: Addresses = Field(description="Where they go, in the same words.")
    protocol: Protocol = Field(0, description="A protocol's name or number.", json_schema_extra={"default": "any"})
    source_port: Ports = Field(
        ANY_PORT, description="A port, a range `1024-65535`, or `any`.", json_schema_extra={"default": "any"}
    )
    destination_port: Ports = Field(ANY_PORT, description="As `source_port`.", json_schema_extra={"default": "any"})
    icmp_type: IcmpType | None = Field(None, description="An ICMP message's name or number; without it, all of them.")
    icmp_code: Annotated[int, Field(ge=0, le=255)] | None = Field(None, description="One code of that ICMP message.")
    mirrored: bool = Field(
        True, description="Covers the way back too, with source and destination, and their ports, exchanged."
    )
    description: Text = Field("", description="For people.")

    @property
    def version(self) -> int | None:
        """4 or 6 if only that family can match, else None."""
        by_protocol = {traffic.ICMP: 4, traffic.ICMPV6: 6}.get(self.protocol)
        return by_protocol or self.source.version or self.destination.version

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        remarks = [*self._address_remarks(), *self._port_remarks(), *self._icmp_remarks()]
        if remarks:
            raise Complaint(*remarks)
        return self

    def _address_remarks(self) -> list[Remark]:
        one, two = self.source.version, self.destination.version
        if self.source.kind is self.destination.kind is Kind.ME:
            return [Remark("from me to me is traffic that never leaves", "", ("destination",))]
        if one and two and one != two:
            message = f"the source is IPv{one}, the destination IPv{two}: no packet is both"
            return [Remark(message, "", ("destination",))]
        wrong = {traffic.ICMP: 6, traffic.ICMPV6: 4}.get(self.protocol)
        if wrong and wrong in (one, two):
            right = "icmpv6" if wrong == 6 else "icmp"
            return [Remark(f"IPv{wrong} has another ICMP", f"write {right}", ("protocol",))]
        return []

    def _port_remarks(self) -> list[Remark]:
        if self.protocol in traffic.WITH_PORTS:
            return []
        return [
            Remark("only tcp, udp, sctp, dccp and udplite have ports", "say which protocol is meant", (field,))
            for field in ("source_port", "destination_port")
            if getattr(self, field) != ANY_PORT
        ]

    def _icmp_remarks(self) -> list[Remark]:
        if self.icmp_type is None:
            return [] if self.icmp_code is None else [Remark("a code needs its icmp_type", "", ("icmp_code",))]
        if self.protocol not in (traffic.ICMP, traffic.ICMPV6):
            return [Remark("only icmp and icmpv6 have a type", "say which protocol is meant", ("icmp_type",))]
        if traffic.icmp_number(self.protocol, self.icmp_type) is None:
            name = "ICMP" if self.protocol == traffic.ICMP else "ICMPv6"
            return [Remark(f"{name} has no {quoted(self.icmp_type)}", "", ("icmp_type",))]
        return []
