"""What the negotiation wants done. The core returns these in order; the daemon carries them out in that order.

Order matters twice: an ``InstallInbound`` is acknowledged by the data plane before a ``Send`` behind it leaves, and a
``RemoveOutbound`` stands behind the ``InstallOutbound`` that replaces it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ipsecd.crypto.secret import Secret
from ipsecd.ike.config import Lifetime, Path
from ipsecd.wire.form import TUNNEL, Form
from ipsecd.wire.mode_config import Network
from ipsecd.wire.registry import Encr, Integ
from ipsecd.wire.selector import Address, Selector
from ipsecd.wire.tfc import NO_TFC, Tfc


@dataclass(frozen=True, slots=True)
class Send:
    """One datagram, without the non-ESP marker; whoever sends adds it where ``path.natt`` says so."""

    data: bytes
    path: Path


@dataclass(frozen=True, slots=True)
class Keepalive:
    """Send one octet 0xff along this path, which is always one of port 4500: it keeps a NAT's mapping open (RFC 3948
    section 2.3)."""

    path: Path


@dataclass(frozen=True, slots=True)
class ChildKeys:
    """The transform of an ESP SA and its keys of one direction. ``encryption_key`` holds the salt behind the key
    where the transform has one (RFC 4106 section 8.1, RFC 3686 section 5.1)."""

    encryption: Encr
    key_bits: int | None
    integrity: Integ
    esn: bool
    encryption_key: Secret
    integrity_key: Secret


@dataclass(frozen=True, slots=True)
class AhChildKeys:
    """The same of an AH SA."""

    integrity: Integ
    esn: bool
    integrity_key: Secret


@dataclass(frozen=True, slots=True)
class InstallInbound:
    """Accept packets with this SPI (four octets, ours). ``local`` and ``remote`` are the negotiated selectors, seen
    from us; ``child`` is the ``Child.id`` they were narrowed in. ``watched``: we are told that packets go by it."""

    spi: bytes
    child: str
    peer: str
    keys: ChildKeys | AhChildKeys
    local: tuple[Selector, ...]
    remote: tuple[Selector, ...]
    path: Path  # its ports are 0 for packets that are IP protocols 50 and 51 themselves
    soft: Lifetime  # reported when reached: a rekey begins
    hard: Lifetime  # reported when reached, and the SA is dead
    form: Form = TUNNEL
    watched: bool = False


@dataclass(frozen=True, slots=True)
class InstallOutbound:
    """Send with this SPI (four octets, the peer's) from now on; older outbound SAs of the child stay until removed.
    ``inbound`` is the SPI of its other half."""

    spi: bytes
    inbound: bytes
    child: str
    peer: str
    keys: ChildKeys | AhChildKeys
    local: tuple[Selector, ...]
    remote: tuple[Selector, ...]
    path: Path
    soft: Lifetime  # reported when reached: a rekey begins
    hard: Lifetime  # reported when reached, and the SA is dead
    form: Form = TUNNEL
    tfc: Tfc = NO_TFC
    watched: bool = False


@dataclass(frozen=True, slots=True)
class RemoveInbound:
    spi: bytes


@dataclass(frozen=True, slots=True)
class RemoveOutbound:
    """``inbound`` is the SPI of its other half: the peer's SPIs alone aren't unique over peers."""

    spi: bytes
    inbound: bytes


@dataclass(frozen=True, slots=True)
class MovePath:
    """The SAs with these inbound SPIs now use another path: the float to 4500, or the NAT gave the peer a new port."""

    inbound: tuple[bytes, ...]
    path: Path


@dataclass(frozen=True, slots=True)
class GiveUp:
    """A child that packets wait for can't be had now; what is queued for it is dropped. ``reason`` is plain words."""

    child: str
    reason: str


@dataclass(frozen=True, slots=True)
class Coming:
    """A child has an outbound SA in a moment, without being asked for: its packets wait for that, whatever was
    before. An ``InstallOutbound`` or a ``GiveUp`` of it follows."""

    child: str


@dataclass(frozen=True, slots=True)
class Silent:
    """The peer that is called for this child, which packets wait for, has not answered for so long that its rule may
    fall back to clear, unless it has been ``heard`` before. The call goes on."""

    child: str
    remote: Address
    heard: bool = False


@dataclass(frozen=True, slots=True)
class Heard:
    """The peers at these addresses speak IKE, or somebody there says so: no fallback to clear with them any more."""

    remotes: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class SpeaksV2:
    """Whoever this is, as people write identities, has authenticated by IKEv2: by IKEv1 it's never spoken to again."""

    identity: str


@dataclass(frozen=True, slots=True)
class Given:
    """By mode config the gateway ``peer`` has given us these addresses, ours as long as no ``TakenBack`` of the same
    peer follows; another ``Given`` takes the place of this one."""

    peer: str
    addresses: tuple[Address, ...]
    dns: tuple[Address, ...] = ()
    nbns: tuple[Address, ...] = ()
    subnets: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class TakenBack:
    """The addresses that the gateway ``peer`` has given us are ours no more."""

    peer: str


@dataclass(frozen=True, slots=True)
class Report:
    """Something an operator may want to know. ``event`` is a stable hyphenated word (``ike-established``); ``level``
    one of debug, info, warning, error; ``fields`` hold plain values, never a secret."""

    event: str
    level: str
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KeyLog:
    """Keys for export, only for peers whose policy says ``keylog: true``; one for each IKE SA and one for each
    direction of a child SA.

    ``kind`` ``ike``: spi_i, spi_r (8 octets each), ei, er, ai, ar (SK_ei ... as octets), encryption (Encr), key_bits,
    integrity (Integ). ``kind`` ``isakmp``, of an ISAKMP SA: cookie_i (8 octets), key (that of its cipher). ``kind``
    ``esp``: source, destination (outer Address), spi (4 octets), encryption, key_bits,
    integrity, encryption_key (with its salt), integrity_key.
    """

    kind: str
    fields: dict[str, Any] = field(repr=False)


Effect = (
    Send
    | Keepalive
    | InstallInbound
    | InstallOutbound
    | RemoveInbound
    | RemoveOutbound
    | MovePath
    | GiveUp
    | Coming
    | Silent
    | Heard
    | SpeaksV2
    | Given
    | TakenBack
    | Report
    | KeyLog
)
