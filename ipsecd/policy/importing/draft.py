"""A policy as Windows' tools describe it: what the readers find, and ``carrying`` makes a policy file of.

Algorithms, protocols and addresses are in our words already; names, joints and defaults are still Windows'. Each thing
knows where it stands in the text.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from ipsecd.policy.nodes import Mark

Kind: TypeAlias = Literal["permit", "block", "negotiate"]


@dataclass(frozen=True, slots=True)
class Proof:
    """An authentication method. ``secret`` tells equal pre-shared keys from others and goes nowhere else;
    ``authority`` is the name of the certification authority."""

    kind: Literal["psk", "certificate", "kerberos"]
    mark: Mark = field(compare=False)
    secret: str = field(default="", repr=False)
    authority: str = ""


@dataclass(frozen=True, slots=True)
class Traffic:
    """A filter; port 0 is any. Equal are those that cover the same packets from source to destination."""

    source: str
    destination: str
    mark: Mark = field(compare=False)
    protocol: int = 0
    source_port: int = 0
    destination_port: int = 0
    mirrored: bool = field(default=True, compare=False)
    description: str = field(default="", compare=False)

    def back(self) -> Traffic:
        """The same traffic in the other direction."""
        return replace(
            self,
            source=self.destination,
            destination=self.source,
            source_port=self.destination_port,
            destination_port=self.source_port,
        )


@dataclass(slots=True)
class TrafficList:
    """A filter list."""

    name: str
    mark: Mark
    filters: list[Traffic] = field(default_factory=list)
    description: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """A security method: ESP's cipher and MAC, AH's MAC, or both. Lifetimes of 0 are left to the default; ``pfs`` is
    whether each SA has a key exchange of its own, or its group."""

    mark: Mark = field(compare=False)
    encryption: str = ""
    integrity: str = ""
    signed: str = ""
    seconds: int = 0
    kilobytes: int = 0
    pfs: bool | str = False


@dataclass(slots=True)
class Action:
    """A filter action. ``soft`` talks in clear to those who don't answer, for so many seconds; 0 is the default."""

    name: str = field(compare=False)
    mark: Mark = field(compare=False)
    kind: Kind = "negotiate"
    offers: list[Offer] = field(default_factory=list)
    pfs: bool | str = False
    inbound_passthrough: bool = False
    soft: bool = False
    soft_seconds: int = 0
    description: str = ""


@dataclass(slots=True)
class Rule:
    """A rule: its traffic is a list by name, or its own filters. ``tunnel`` is the end of the tunnel that this
    direction goes to. No proofs are Windows' default, Kerberos."""

    name: str
    mark: Mark
    action: str
    traffic_list: str = ""
    filters: list[Traffic] = field(default_factory=list)
    tunnel: str = ""
    proofs: list[Proof] = field(default_factory=list)
    connections: str = "all"
    active: bool = True
    description: str = ""


@dataclass(slots=True)
class Response:
    """The default response rule."""

    mark: Mark
    active: bool = True
    offers: list[Offer] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class MainOffer:
    """A key exchange security method."""

    mark: Mark = field(compare=False)
    encryption: str
    integrity: str
    group: str


@dataclass(slots=True)
class Policy:
    """A policy with its key exchange settings; 0 leaves those to the default. Without ``offers`` Windows' are meant."""

    name: str
    mark: Mark
    description: str = ""
    rules: list[Rule] = field(default_factory=list)
    response: Response | None = None
    offers: list[MainOffer] = field(default_factory=list)
    lifetime: int = 0
    sessions: int = 0
    master_key_pfs: bool = False


@dataclass(slots=True)
class Draft:
    """What a store of Windows' holds. Policies, lists and actions are found by their names in small letters, as Windows
    finds them in any case."""

    policies: dict[str, Policy] = field(default_factory=dict)
    lists: dict[str, TrafficList] = field(default_factory=dict)
    actions: dict[str, Action] = field(default_factory=dict)
    assigned: str = ""


@dataclass(slots=True)
class Stores:
    """All that a text describes. What is assigned in the ``persistent`` store holds beside what is assigned in the
    other. ``exemptions`` is the level of NoDefaultExempt and ``boot`` the boot mode, if they were given."""

    local: Draft = field(default_factory=Draft)
    persistent: Draft = field(default_factory=Draft)
    exemptions: int | None = None
    boot: str = ""
