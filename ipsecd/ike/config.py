"""What the negotiation is told: peers, the children they may have, and what proves who they are.

These are IKE's own terms. The daemon builds them from a policy: rules with the same endpoints, identities,
authentication and key exchange settings become one ``Peer`` with several ``Child`` configurations.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.ike.spans import Spans
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import Encr, Group, Integ, Prf
from ipsecd.wire.selector import Address, Selector
from ipsecd.wire.tfc import NO_TFC, Tfc

if TYPE_CHECKING:
    from ipsecd.ike.v1.special import Special


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of a path: an address and a UDP port."""

    address: Address
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Path:
    """Where a datagram came from and where its answer goes. ``natt``: the local socket is the one of port 4500,
    where IKE carries the non-ESP marker (RFC 3948 section 2.2); the marker is added and removed outside this room."""

    local: Endpoint
    remote: Endpoint
    natt: bool = False

    def __str__(self) -> str:
        return f"{self.local} -> {self.remote}"


@dataclass(frozen=True, slots=True)
class IkeProposal:
    """One proposal for the IKE SA, its lists in order of preference. ``encryption`` pairs an algorithm with its key
    length in bits (None where the algorithm has one). ``integrity`` is empty for AEADs (RFC 5282 section 8)."""

    encryption: tuple[tuple[Encr, int | None], ...]
    integrity: tuple[Integ, ...]
    prf: tuple[Prf, ...]
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class EspProposal:
    """One proposal for an ESP child. ``groups`` is what PFS may use; empty: no PFS. ``esn``: True offers ESN first
    and no ESN second, False offers no ESN only. ``lifetime`` is that of SAs made by it; None: the child's."""

    encryption: tuple[tuple[Encr, int | None], ...]
    integrity: tuple[Integ, ...]
    groups: tuple[Group, ...] = ()
    esn: bool = True
    lifetime: Lifetime | None = None


@dataclass(frozen=True, slots=True)
class AhProposal:
    """The same of an AH child."""

    integrity: tuple[Integ, ...]
    groups: tuple[Group, ...] = ()
    esn: bool = True
    lifetime: Lifetime | None = None


@dataclass(frozen=True, slots=True)
class AhEspProposal:
    """ESP inside of AH (RFC 2401 section 4.3), which takes one of these MACs. What ``esp`` says of groups, sequence
    numbers and lifetime is for both."""

    integrity: tuple[Integ, ...]
    esp: EspProposal

    @property
    def groups(self) -> tuple[Group, ...]:
        return self.esp.groups

    @property
    def lifetime(self) -> Lifetime | None:
        return self.esp.lifetime


ChildProposal = EspProposal | AhProposal | AhEspProposal


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Soft limits start a rekey; hard limits end the SA. None: no such limit. The margin between them is ours."""

    seconds: float | None
    octets: int | None = None
    packets: int | None = None


@dataclass(frozen=True, slots=True)
class Child:
    """One child SA that may be negotiated. ``id`` is what the negotiation and the data plane know it by; it is unique
    over all peers, and that of another configuration is the same child, whatever it is called there.

    ``local`` and ``remote`` are the widest selectors it may ever have. ``transport``: it is for two hosts, and has
    transport mode if the peer wants that too, else tunnel mode (RFC 7296 section 1.3.1). ``tfc`` hides what we send by
    ESP, but for the padding if the peer takes none.
    """

    id: str
    name: str  # for people, as is the policy rule it comes from
    rule: str
    local: tuple[Selector, ...]
    remote: tuple[Selector, ...]
    proposals: tuple[ChildProposal, ...]
    lifetime: Lifetime = Lifetime(limits.CHILD_LIFETIME)
    idle: float | None = None  # seconds without a packet after which its SAs end; None: they don't
    start: bool = False  # negotiate when loaded and bring it back when it's lost; else on the first packet
    fallback: float | None = None  # seconds without any answer after which the peer is reported as silent; None: never
    transport: bool = False
    tfc: Tfc = NO_TFC

    @property
    def has_ah(self) -> bool:
        """Whether it may have AH, alone or around ESP."""
        return any(not isinstance(proposal, EspProposal) for proposal in self.proposals)


@dataclass(frozen=True, slots=True)
class SharedKey:
    """A pre-shared key and its name in the policy."""

    name: str
    key: Secret


class Encapsulation(Enum):
    """AUTO: UDP when the peer supports it, else native, which is IP protocols 50 and 51."""

    AUTO = "auto"
    UDP = "udp"
    NATIVE = "native"


class Version(Enum):
    IKEV2 = "IKEv2"
    IKEV1 = "IKEv1"


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Peer:
    """An entry of the peer authorization database (RFC 4301 section 4.4.3) and how to talk to that peer.

    ``remotes`` is empty for a peer that calls us from anywhere; the daemon replaces the Peer when a name resolves
    anew. A credential opens only peers that name both it and the identity it proved. ``pattern`` is the name of the
    ``Hosts`` it is made after, if it is one of a pair of hosts; ``responds`` as there. ``within`` is from where one
    may call that calls from anywhere; None: from everywhere. ``versions`` of IKE are in order of preference;
    ``special`` is what only IKEv1 is told.
    """

    name: str
    local: Address | None  # None: whatever the route to the peer gives
    remotes: tuple[Address, ...]
    local_id: Identity
    remote_id: Identity
    shared_keys: tuple[SharedKey, ...]  # in order; we prove ourselves with the first
    proposals: tuple[IkeProposal, ...]
    children: tuple[Child, ...]
    remote_port: int = 500
    lifetime: Lifetime = Lifetime(limits.IKE_LIFETIME)
    dpd: float = limits.DPD_IDLE
    encapsulation: Encapsulation = Encapsulation.AUTO
    fragmentation: bool = True
    sessions: int = 0  # child SAs that one IKE SA makes; 0: no limit
    keylog: bool = False  # keep and report keys for export
    pattern: str = ""
    responds: bool = False
    within: tuple[Selector, ...] | None = None
    versions: tuple[Version, ...] = (Version.IKEV2,)
    special: Special | None = None

    def may_be_at(self, remote: Address) -> bool:
        """Whether the policy lets it be there, if it is one without an address of its own."""
        return self.within is None or any(
            each.version == remote.version and int(each.start) <= int(remote) <= int(each.end) for each in self.within
        )


@dataclass(frozen=True, slots=True)
class Hosts:
    """What peers are made after where a rule has one for each pair of hosts: an address of ours that ``local`` of its
    children holds, and one that ``remote`` holds, each a peer with nothing but that pair of hosts in its selectors
    (RFC 4301 section 4.4.1.2, populate from packet). ``local_id`` and ``remote_id`` None: those are their addresses.
    ``responds``: these hosts have to call us, we never call them. The rest is as in ``Peer``.

    What follows from it: ``reach`` are the children's remote sides, ``ours`` the ranges of their local ones by family,
    ``with_ah`` the places of those that may have AH, and ``made`` the peers that are in use, by their hosts."""

    name: str
    local_id: Identity | None
    remote_id: Identity | None
    shared_keys: tuple[SharedKey, ...]
    proposals: tuple[IkeProposal, ...]
    children: tuple[Child, ...]
    responds: bool = False
    lifetime: Lifetime = Lifetime(limits.IKE_LIFETIME)
    dpd: float = limits.DPD_IDLE
    encapsulation: Encapsulation = Encapsulation.AUTO
    fragmentation: bool = True
    sessions: int = 0  # child SAs that one IKE SA makes; 0: no limit
    keylog: bool = False
    versions: tuple[Version, ...] = (Version.IKEV2,)
    special: Special | None = None
    reach: Spans = field(init=False, repr=False, compare=False)
    ours: Mapping[int, frozenset[tuple[Address, Address]]] = field(init=False, repr=False, compare=False)
    with_ah: frozenset[int] = field(init=False, repr=False, compare=False)
    made: MutableMapping[tuple[Address, Address], Peer] = field(
        default_factory=WeakValueDictionary, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        local = {(each.start, each.end) for child in self.children for each in child.local}
        ours = {version: frozenset(each for each in local if each[0].version == version) for version in (4, 6)}
        object.__setattr__(self, "reach", Spans(child.remote for child in self.children))
        object.__setattr__(self, "ours", ours)
        with_ah = frozenset(place for place, child in enumerate(self.children) if child.has_ah)
        object.__setattr__(self, "with_ah", with_ah)


@dataclass(frozen=True, slots=True)
class IkeConfig:
    """Everything the negotiation is told at once; replaced whole by a reload. ``native``: this machine can send and
    receive packets that aren't in UDP."""

    peers: tuple[Peer, ...] = ()
    hosts: tuple[Hosts, ...] = ()
    ike_port: int = 500
    natt_port: int = 4500
    cookie_threshold: int = limits.COOKIE_THRESHOLD  # 0 asks every initiator for a cookie
    native: bool = True

    def following(self, before: IkeConfig) -> IkeConfig:
        """The same, with those patterns of the one before that are as they were: so what has been made stays known."""
        known = {hosts.name: hosts for hosts in before.hosts}
        return replace(
            self, hosts=tuple(known[each.name] if known.get(each.name) == each else each for each in self.hosts)
        )
