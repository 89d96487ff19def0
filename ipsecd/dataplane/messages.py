"""The messages between the control process and the two roads. Inline roads take the same messages as calls.

Control -> roads: InstallInbound, InstallOutbound, RemoveInbound, RemoveOutbound, MovePath, SetSpd, GiveUp, Coming,
Release, SetLinkMtu, SetPathMtu, AskCounters, Probe. Roads -> control: Acquire, Released, InboundUsed, SoftExpired,
HardExpired, PeerMoved, PeerAlive, PairsUsed, IkeDatagram, Counters, and Done, which acknowledges each message that
changes something.

Roads in processes of their own are told Begin first, NewTun when another device takes the place of a lost one, and
SpdPart before a SetSpd with many entries; they say Ready, and then also Heard, TunLost and Fault.

Both ends count the messages to the roads, from 1, in the order they go: that number is the ``sequence`` of Done. Begin,
NewTun and SpdPart aren't counted, and nothing answers them but Ready.
"""

from __future__ import annotations

from dataclasses import dataclass

from ipsecd.ipsec.lifetime import Limits
from ipsecd.ipsec.sa import AhKeys, EspKeys, Outside
from ipsecd.ipsec.spd import SpdEntry
from ipsecd.ipsec.tunnel import OuterHeader
from ipsecd.wire.form import TUNNEL, Form
from ipsecd.wire.selector import Address, Selector
from ipsecd.wire.tfc import NO_TFC, Tfc

__all__ = [
    "NATIVE",
    "Acquire",
    "AhKeys",
    "AskCounters",
    "Begin",
    "Coming",
    "Counters",
    "Done",
    "EspKeys",
    "Fault",
    "Form",
    "GiveUp",
    "HardExpired",
    "Heard",
    "IkeDatagram",
    "InboundUsed",
    "InstallInbound",
    "InstallOutbound",
    "Limits",
    "MovePath",
    "NewTun",
    "OfProcesses",
    "OuterHeader",
    "Outside",
    "PairsUsed",
    "PeerAlive",
    "PeerMoved",
    "Probe",
    "Ready",
    "Release",
    "Released",
    "RemoveInbound",
    "RemoveOutbound",
    "SaCounters",
    "SetLinkMtu",
    "SetPathMtu",
    "SetSpd",
    "SoftExpired",
    "SpdEntry",
    "SpdPart",
    "Tfc",
    "ToControl",
    "ToProcesses",
    "ToRoads",
    "TunLost",
]

NATIVE = 0  # the port, in Outside and Heard, of what travels without UDP


@dataclass(frozen=True, slots=True)
class Begin:
    """What a process has to know before anything else. With it come descriptors, in this order: the TUN device; a UDP
    socket for each IP version in ``versions``; and raw sockets for each in ``native``. The road out has one for each of
    those versions; the road in has two for each, by which ESP and AH come, and then, for IPv6, the one that hears what
    routers say of AH. ``port`` is the one of ours where ESP is spoken; ``udp_offloads`` say what the kernel does for us
    there; the rest is what the roads are made with."""

    tun: str
    tun_mtu: int
    versions: tuple[int, ...]
    port: int
    udp_offloads: tuple[str, ...]
    pmtu_age: float
    joins: tuple[int, ...]
    native: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class NewTun:
    """Another TUN device, whose descriptor comes with this, takes the place of a lost one."""


@dataclass(frozen=True, slots=True)
class SpdPart:
    """Entries that come before those of the next SetSpd: all in one message would need too much of the kernel's memory
    in one piece."""

    entries: tuple[SpdEntry, ...]


@dataclass(frozen=True, slots=True)
class InstallInbound:
    """``watched``: PairsUsed is to tell that packets go by it."""

    spi: int
    child: str
    keys: EspKeys | AhKeys
    local: tuple[Selector, ...]
    remote: tuple[Selector, ...]
    outside: Outside
    limits: Limits
    window: int
    form: Form = TUNNEL
    watched: bool = False


@dataclass(frozen=True, slots=True)
class InstallOutbound:
    """``inbound`` is the SPI of the other half; (spi, inbound) names an outbound SA. ``tfc`` is what hides its packets,
    as far as the peer takes that; only ESP does any. ``watched`` as above."""

    spi: int
    inbound: int
    child: str
    keys: EspKeys | AhKeys
    local: tuple[Selector, ...]
    remote: tuple[Selector, ...]
    outside: Outside
    limits: Limits
    form: Form = TUNNEL
    tfc: Tfc = NO_TFC
    watched: bool = False


@dataclass(frozen=True, slots=True)
class RemoveInbound:
    spi: int


@dataclass(frozen=True, slots=True)
class RemoveOutbound:
    spi: int
    inbound: int


@dataclass(frozen=True, slots=True)
class MovePath:
    inbound: tuple[int, ...]
    outside: Outside


@dataclass(frozen=True, slots=True)
class SetSpd:
    """Replaces the SPD at once; ``generation`` counts up. What matches nothing is discarded: it shouldn't be here."""

    generation: int
    entries: tuple[SpdEntry, ...]


@dataclass(frozen=True, slots=True)
class GiveUp:
    child: str


@dataclass(frozen=True, slots=True)
class Coming:
    """This child has an outbound SA in a moment: packets wait for it, and nothing asks for it."""

    child: str


@dataclass(frozen=True, slots=True)
class Release:
    """Hand back, each as a Released, the packets that wait for this child: they may leave in clear."""

    child: str


@dataclass(frozen=True, slots=True)
class SetLinkMtu:
    """What the kernel says the link towards a peer carries: octets of the outer IP packet. It holds until the next."""

    remote: Address
    mtu: int


@dataclass(frozen=True, slots=True)
class SetPathMtu:
    """What an ICMP error says about the path to a peer: octets of the outer IP packet. It only lowers the path, never
    below its floor, and is forgotten after a while (RFC 4301 section 8.2)."""

    remote: Address
    mtu: int


@dataclass(frozen=True, slots=True)
class AskCounters:
    pass


@dataclass(frozen=True, slots=True)
class Probe:
    """Are you there? Done answers."""


@dataclass(frozen=True, slots=True)
class Done:
    """Acknowledges the control message with this ``sequence``; ``error`` is empty or says why it failed."""

    sequence: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Acquire:
    """A packet needs a child that has no usable SA. The addresses, protocol and ports are the packet's."""

    child: str
    source: Address
    destination: Address
    protocol: int
    source_port: int | None
    destination_port: int | None


@dataclass(frozen=True, slots=True)
class Released:
    """An IP packet that has waited, as it came out of the TUN device."""

    child: str
    packet: bytes


@dataclass(frozen=True, slots=True)
class InboundUsed:
    """The first good packet on an inbound SA: the peer has switched to it."""

    spi: int


@dataclass(frozen=True, slots=True)
class SoftExpired:
    spi: int  # the inbound SPI of the pair, whichever direction ran out
    reason: str  # seconds, octets, packets


@dataclass(frozen=True, slots=True)
class HardExpired:
    spi: int
    reason: str


@dataclass(frozen=True, slots=True)
class PeerMoved:
    """A fresh, authentic packet of this SA came from another outer address or port (RFC 7296 section 2.23)."""

    spi: int
    outside: Outside


@dataclass(frozen=True, slots=True)
class PeerAlive:
    """These inbound SAs had authentic traffic since the last such message; at most one message a second."""

    spis: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PairsUsed:
    """Packets, other than dummies, went by SAs of the pairs with these inbound SPIs since the last such message, in or
    out as the road is; of watched SAs alone."""

    spis: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class IkeDatagram:
    """An IKE message, the non-ESP marker removed."""

    data: bytes
    local: Address
    local_port: int
    remote: Address
    remote_port: int
    natt: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """The process has begun, and is shut in; ``missing`` names the measures that this kernel doesn't have."""

    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Heard:
    """What the kernel (``reported`` False) or a router (True) says of a datagram that was sent from ``port``, or of a
    native packet, which has none (0) and whose ``data`` begins with its SPI; see ``io.udp_errors.PathError``. The roads
    have acted on nothing of it but the MTU of a link."""

    port: int
    errno: int
    reported: bool
    remote: Address
    remote_port: int
    mtu: int
    data: bytes


@dataclass(frozen=True, slots=True)
class TunLost:
    """``device`` counts the NewTuns before it: what is said of a device that has been replaced meanwhile is old."""

    device: int
    reason: str


@dataclass(frozen=True, slots=True)
class Fault:
    """A bug of ours met one packet, datagram, timer or message: it is lost, and the process goes on. Where there are
    many, not all come with a traceback."""

    what: str
    error: str
    traceback: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SaCounters:
    """``direction`` is in or out; ``last_used`` is monotonic seconds or None. ``dummies`` are among the packets."""

    spi: int
    inbound: int
    direction: str
    packets: int
    octets: int
    sequence: int
    last_used: float | None
    dummies: int


@dataclass(frozen=True, slots=True)
class Counters:
    """``drops`` counts packets by named reason; ``paths`` packets by road (in, out, acquire-queued ...)."""

    sas: tuple[SaCounters, ...]
    drops: dict[str, int]
    paths: dict[str, int]
    entries: dict[str, int]  # packets by SPD entry name


ToRoads = (
    InstallInbound
    | InstallOutbound
    | RemoveInbound
    | RemoveOutbound
    | MovePath
    | SetSpd
    | GiveUp
    | Coming
    | Release
    | SetLinkMtu
    | SetPathMtu
    | AskCounters
    | Probe
)
ToProcesses = Begin | NewTun | SpdPart
ToControl = (
    Done
    | Acquire
    | Released
    | InboundUsed
    | SoftExpired
    | HardExpired
    | PeerMoved
    | PeerAlive
    | PairsUsed
    | IkeDatagram
    | Counters
)
OfProcesses = Ready | Heard | TunLost | Fault
