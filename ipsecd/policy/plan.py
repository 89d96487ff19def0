"""What the assigned policy means for the other rooms: plain frozen values, names resolved, order decided.

Precedence is decided here and nowhere else: ``Plan.entries`` stand from most to least specific, and whoever enforces
them (SPD, nftables) takes the first that matches.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum

from ipsecd import limits
from ipsecd.wire.identity import Identity
from ipsecd.wire.mode_config import Network
from ipsecd.wire.registry import Encr, Group, Integ, Prf
from ipsecd.wire.selector import Address, Selector
from ipsecd.wire.tfc import NO_TFC, Tfc


class Action(Enum):
    """PERMIT passes in clear (RFC 4301: BYPASS), BLOCK drops (DISCARD), PROTECT passes inside an SA only."""

    PERMIT = "permit"
    BLOCK = "block"
    PROTECT = "protect"


class Encapsulation(Enum):
    """How ESP and AH travel: AUTO is UDP where the peer supports it, which for AH only ipsecd does."""

    AUTO = "auto"
    UDP = "udp"
    NATIVE = "native"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the SPD (RFC 4301 section 4.4.1); a packet belongs to the first entry one of whose pairs holds it.

    A pair is (local, remote), of one family and protocol. A packet that leaves has its source in local and its
    destination in remote; one that arrives has them the other way round. ``outbound`` and ``inbound`` say which of
    the two the entry covers. A filter without ``me`` that permits or blocks stands here in both orientations, so
    nobody has to know on which side of this machine its addresses are. ``child`` names the Child that protects it.
    ``passthrough`` lets in what arrives in clear all the same; what leaves is protected ([MS-GPIPSEC] 2.2.1.4.1).
    ``fallback``: while a peer has a soft SA, packets to and from that peer pass in clear, of all that the entry covers.

    ``each``: it is of a rule without a tunnel, so what it protects goes between an address of this machine and another
    host, and ``child`` is the one that those of each pair of hosts are made after. All else that its pairs cover is
    dropped. Such a filter without ``me`` stands here in both orientations too, each with a child of its own.

    ``me`` is empty for a filter without ``me``. Else it says the same as ``pairs`` for those who can ask the kernel
    which addresses are this machine's at that moment: local has the unspecified address, which stands for all of them
    (RFC 1122 section 3.2.1.3: this host). ``pairs`` may be empty then, as long as there is no address.

    ``connections`` is "lan" or "remote-access" if the entry covers only what leaves or arrives by an interface of that
    type (``connections.py``), and empty if by any.
    """

    name: str  # "to-hq/1": unique in the plan
    rule: str
    action: Action
    pairs: tuple[tuple[Selector, Selector], ...]
    outbound: bool = True
    inbound: bool = True
    child: str = ""
    me: tuple[tuple[Selector, Selector], ...] = ()
    passthrough: bool = False
    persistent: bool = False  # of a persistent rule, which wins over the policy's
    fallback: bool = False
    connections: str = ""
    each: bool = False
    line: int = field(default=0, compare=False)  # of the filter, or of the name of a built-in list

    @property
    def anywhere(self) -> bool:
        """Whether any address of that family is local to it: it protects what goes on to everybody else, too."""
        return bool(self.pairs) and not self.each and all(local.any_address for local, _ in self.pairs)

    @property
    def inside_too(self) -> bool:
        """Whether it says anything of packets in the TUN. A permit for one type of connection doesn't: it is about
        cleartext by such an interface, and what is there isn't that."""
        return not (self.connections and self.action is Action.PERMIT)


@dataclass(frozen=True, slots=True)
class IkeProposal:
    """One proposal for the IKE SA, its lists in order of preference; ``integrity`` is empty for AEADs."""

    encryption: tuple[tuple[Encr, int | None], ...]  # with key bits, None where the algorithm has one length
    integrity: tuple[Integ, ...]
    prf: tuple[Prf, ...]
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class EspProposal:
    """One proposal for an ESP child. ``groups`` is what PFS may use; empty: no PFS. ``esn`` offers extended sequence
    numbers first and plain ones second. ``lifetime`` is that of SAs made by it; None: the child's."""

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
    """ESP inside of AH, which takes one of these MACs (RFC 2401 section 4.3). What ``esp`` says of groups, sequence
    numbers and lifetime is for both."""

    integrity: tuple[Integ, ...]
    esp: EspProposal


ChildProposal = EspProposal | AhProposal | AhEspProposal


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Hard limits of an SA; None: no such limit."""

    seconds: float | None
    octets: int | None = None
    packets: int | None = None


@dataclass(frozen=True, slots=True)
class Fallback:
    """When a peer is talked to in clear: after so many seconds without any answer to a call, for so many seconds."""

    after: float
    lifetime: float


@dataclass(frozen=True, slots=True)
class Child:
    """One child SA that may be negotiated; several entries share it where a rule says ``children: merged``."""

    name: str  # unique in the plan
    rule: str
    local: tuple[Selector, ...]
    remote: tuple[Selector, ...]
    proposals: tuple[ChildProposal, ...]
    lifetime: Lifetime
    start: bool  # negotiate at once and bring it back when it's lost
    df: str = "copy"  # of the outer header: copy, set or clear (RFC 4301 section 8.1)
    dscp: int | None = None  # of the outer header; None copies it (section 4.4.1.2)
    fallback: Fallback | None = None
    tfc: Tfc = NO_TFC
    inactivity: int | None = None  # seconds without a packet after which its SAs end; None: they don't


@dataclass(frozen=True, slots=True)
class XauthClient:
    """Who we say uses us, behind phase 1 of IKEv1. ``hybrid``: the gateway proves itself by its certificate, and we by
    nothing but that."""

    user: str
    password: str  # the name of a credential, of the kind that keys are
    hybrid: bool = False


@dataclass(frozen=True, slots=True)
class XauthGateway:
    """Who may come in behind phase 1 of IKEv1. ``users`` is the path of a file with names and hashed passwords; a
    relative one counts from the folder of the policy file. ``hybrid``: they prove themselves by nothing but that."""

    users: str
    hybrid: bool = False


@dataclass(frozen=True, slots=True)
class ConfigClient:
    """What we ask a gateway for: an address of each of these IP versions; or ``pushed``, what it sets unasked."""

    versions: tuple[int, ...] = ()
    pushed: bool = False


@dataclass(frozen=True, slots=True)
class ConfigGateway:
    """What clients get: an address of each of the pools, and the rest as it is. ``push``: unasked."""

    pools: tuple[Network, ...]
    dns: tuple[Address, ...] = ()
    nbns: tuple[Address, ...] = ()
    subnets: tuple[Network, ...] = ()
    push: bool = False


@dataclass(frozen=True, slots=True)
class Peer:
    """An entry of the PAD (RFC 4301 section 4.4.3): rules of the same endpoints, identities and authentication.

    ``remotes`` are the peer's addresses; empty either because it calls us from ``anywhere``, or because
    ``remote_name`` doesn't resolve now: then nothing may be negotiated with it until a later plan has an address.
    ``connections`` is that of its rules' entries; ``within`` is from where such a one calls that calls from anywhere,
    None: really from anywhere (``reach.py``). ``each``: it stands for many, one for each pair of hosts that its
    children's selectors hold; then ``local`` is None, ``remotes`` are empty, and an identity that is None is the host's
    address. ``responds``: these have to call us. ``sessions`` is how many child SAs one IKE SA makes; 0: no limit.

    ``versions`` of IKE, "ikev2" and "ikev1", are in order of preference. What stands below them is for IKEv1 alone:
    ``certificates`` are names of credentials, in order, tried before the keys if ``certificates_first``. A hybrid
    client's are those by which it believes the gateway. The two that say ``accept`` are about aggressive mode.
    """

    name: str  # of the first rule that has it; unique in the plan
    local: Address | None  # None: whatever the route to the peer gives
    remotes: tuple[Address, ...]
    anywhere: bool
    remote_name: str  # the DNS name in the policy, or empty
    remote_port: int
    local_id: Identity | None
    remote_id: Identity | None
    shared_keys: tuple[str, ...]  # names of credentials, in order of preference
    proposals: tuple[IkeProposal, ...]
    lifetime: Lifetime
    dpd: float
    encapsulation: Encapsulation
    fragmentation: bool
    keylog: bool
    children: tuple[Child, ...]
    connections: str = ""
    within: tuple[Selector, ...] | None = None
    each: bool = False
    responds: bool = False
    sessions: int = 0
    versions: tuple[str, ...] = ("ikev2",)
    certificates: tuple[str, ...] = ()
    certificates_first: bool = False
    accept_offline_guessing: bool = False
    accept_names_in_clear: bool = False
    xauth: XauthClient | XauthGateway | None = None
    mode_config: ConfigClient | ConfigGateway | None = None

    @property
    def credentials(self) -> tuple[str, ...]:
        """The names of all that it needs, in order; the password of our user is one of them."""
        password = (self.xauth.password,) if isinstance(self.xauth, XauthClient) else ()
        return (*self.shared_keys, *self.certificates, *password)


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files; a relative path counts from the folder of the policy file. ``chain`` and ``key`` are empty where there
    are only ``authorities``: a hybrid client proves nothing by a certificate of its own."""

    chain: str = ""  # our certificate, and what leads from it to an authority
    key: str = ""
    authorities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Credential:
    """Where a pre-shared key or a password is to be had, or a certificate; exactly one of the four is set. The key
    itself is never here."""

    name: str
    file: str = ""  # a path; a relative one counts from the folder of the policy file
    systemd: str = ""  # a name below $CREDENTIALS_DIRECTORY
    command: tuple[str, ...] = ()  # prints the key
    certificate: Certificate | None = None
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as an operator knows it, in file order. ``peer`` is empty unless it protects."""

    name: str
    description: str
    action_name: str  # "require-security", or whatever the filter action is called
    action: Action
    peer: str
    children: tuple[str, ...]
    entries: tuple[str, ...]
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the machine is told. ``mark`` steers packets into the TUN, ``own_mark`` is that of our own sockets; both
    lie inside ``mask``, which has three bits at least. ``mtu`` None: ``limits.TUN_MTU``. ``believe_icmp`` names the
    ICMP errors from the outside that count, and ``pmtu_age`` is for how many seconds. ``inside`` are the interfaces
    behind which local addresses are; empty: all but those that lead to the peers and to everybody else. ``lan`` and
    ``remote_access`` are interfaces that are of that type of connection, whatever their kind."""

    tun: str = "ipsecd0"
    mtu: int | None = None
    mark: int = 0x0100_0000
    own_mark: int = 0x0200_0000
    mask: int = 0x0700_0000
    table: int = 4500
    preference: int = 4500
    replay_window: int = limits.REPLAY_WINDOW
    pmtu_age: int = int(limits.PMTU_AGE)
    believe_icmp: tuple[str, ...] = ("packet-too-big",)
    inside: tuple[str, ...] = ()
    lan: tuple[str, ...] = ()
    remote_access: tuple[str, ...] = ()


PERSISTENT = "(persistent rules)"  # no policy can be called so
DEFAULT_RESPONSE = "default-response"  # a policy that has it can't call another rule so


@dataclass(frozen=True, slots=True)
class Exempt:
    """What passes in clear whatever the entries say, beside loopback, IKE and ESP of our own (``exempt.py``)."""

    multicast: bool = False
    broadcast: bool = False
    rsvp: bool = False
    kerberos: bool = False
    neighbour_discovery: bool = True
    dhcp: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are, as the policy file calls them."""
        return tuple(each.name for each in fields(self) if getattr(self, each.name))


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything at once. A plan of no assigned policy is called PERSISTENT, or has an empty name and no entries.

    What matches no entry passes in clear; ``default_action: block`` stands as the last entry. ``unresolved`` are the
    DNS names and well-known sets that have no address now: filters that need them cover nothing until they have one.
    """

    policy: str = ""
    rules: tuple[Rule, ...] = ()
    entries: tuple[Entry, ...] = ()
    peers: tuple[Peer, ...] = ()
    credentials: tuple[Credential, ...] = ()  # those the peers use, passwords too
    ike_port: int = 500
    natt_port: int = 4500
    cookie_threshold: int = limits.COOKIE_THRESHOLD
    settings: Settings = Settings()
    unresolved: tuple[str, ...] = ()
    exempt: Exempt = Exempt()

    @property
    def assigned(self) -> bool:
        """Whether it is a policy's."""
        return self.policy not in {"", PERSISTENT}

    @property
    def by_connection(self) -> bool:
        """Whether some entry covers only what goes by interfaces of one type of connection."""
        return any(entry.connections for entry in self.entries)

    @property
    def native(self) -> bool:
        """Whether some peer's packets must go without UDP around them."""
        return any(peer.encapsulation is Encapsulation.NATIVE for peer in self.peers)
