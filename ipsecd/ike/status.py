"""The state of the negotiation as plain values, for ``ipsecctl``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ipsecd.ike.child_sa import ChildSa
from ipsecd.ike.config import Version
from ipsecd.ike.core import Core
from ipsecd.ike.parts import Part, called
from ipsecd.ike.sa import IkeSa
from ipsecd.ike.stage import Stage
from ipsecd.wire.hostpair import hosts_named
from ipsecd.wire.selector import Selector
from ipsecd.wire.tfc import Tfc

_SHOWN = (Stage.CONNECTING, Stage.HALF_OPEN, Stage.ESTABLISHED, Stage.CLOSING)


@dataclass(frozen=True, slots=True)
class PartStatus:
    """The two SAs of one protocol."""

    protocol: str  # ESP or AH
    spi_in: str
    spi_out: str


@dataclass(frozen=True, slots=True)
class ChildSaStatus:
    """``id`` is what the negotiation knows it by, ``protocol`` what packets travel in, as people say it. If that is AH
    around ESP, SPIs are those of ESP, and ``around`` has those of AH. ``age``, ``rekey_in`` and ``lifetime`` in
    seconds; the latter two are None without a limit in seconds."""

    id: str
    name: str
    rule: str
    stage: str
    spi_in: str
    spi_out: str
    sending: bool
    suite: str
    protocol: str  # ESP, AH, or AH around ESP
    mode: str  # transport or tunnel
    encapsulation: str  # udp or native
    around: tuple[PartStatus, ...]
    local: tuple[Selector, ...]
    remote: tuple[Selector, ...]
    age: float
    rekey_in: float | None
    lifetime: float | None
    tfc: Tfc  # what hides what we send
    padding_declined: bool  # it would be padded, and the peer takes no padding


@dataclass(frozen=True, slots=True)
class IkeSaStatus:
    """``age`` counts from when both ends were known; identities are empty before. ``pattern`` is what the peer is made
    after, if it is one of a pair of hosts, and ``patterns`` what its children are. ``unanswered``: for how many seconds
    nobody has answered our call."""

    peer: str
    pattern: str
    patterns: frozenset[str]
    stage: str
    initiator: bool
    local_id: str
    remote_id: str
    local: str
    remote: str
    spi_i: str
    spi_r: str
    suite: str
    nat_here: bool
    nat_there: bool
    encapsulation: str  # udp or native
    fragmentation: bool
    age: float | None
    unanswered: float | None
    rekey_in: float | None
    children: tuple[ChildSaStatus, ...]
    version: str = Version.IKEV2.value
    product: str = ""  # the peer's, as it says itself
    user: str = ""  # who uses the peer, as XAUTH has shown
    given: tuple[str, ...] = ()  # addresses that mode config has given, us or the peer

    def far_end(self, child: ChildSaStatus) -> str:
        """Where the packets of this child go: native ones have no port."""
        return self.remote.rpartition(":")[0].strip("[]") if child.encapsulation == "native" else self.remote


def describe(core: Core) -> list[IkeSaStatus]:
    """Every IKE SA but those that only answer repeats, and those whose heir is shown; and what there is by IKEv1."""
    return [*(_ike(sa) for sa in core.ikes.values() if sa.stage in _SHOWN), *core.desk.status()]


def _ike(sa: IkeSa) -> IkeSaStatus:
    now = sa.core.now
    return IkeSaStatus(
        peer=sa.name,
        pattern=sa.peers[0].pattern if sa.peers else "",
        patterns=frozenset(_patterns(sa)),
        stage=sa.stage.value,
        initiator=sa.initiator,
        local_id=str(sa.peer.local_id) if sa.settled else "",
        remote_id=str(sa.peer.remote_id) if sa.settled else "",
        local=str(sa.path.local),
        remote=str(sa.path.remote),
        spi_i=sa.spi_i.hex(),
        spi_r=sa.spi_r.hex(),
        suite=str(sa.secured.suite) if sa.has_keys else "",
        nat_here=sa.nat.here,
        nat_there=sa.nat.there,
        encapsulation=str(sa.carriage),
        fragmentation=sa.fragmentation,
        age=None if sa.established is None else now - sa.established,
        unanswered=sa.core.silence.unanswered(sa),
        rekey_in=None if sa.soft_at is None else sa.soft_at - now,
        children=tuple(_child(child) for child in sa.children.values()),
    )


def _patterns(sa: IkeSa) -> Iterator[str]:
    named = (hosts_named(child.name) for peer in sa.peers if peer.pattern for child in peer.children)
    return (of_hosts[0] for of_hosts in named if of_hosts is not None)


def _child(child: ChildSa) -> ChildSaStatus:
    age = child.ike.core.now - child.since
    return ChildSaStatus(
        id=child.config.id,
        name=child.config.name,
        rule=child.config.rule,
        stage=child.stage.value,
        spi_in=child.spi_in.hex(),
        spi_out=child.spi_out.hex(),
        sending=child.sending,
        suite=str(child.suite),
        protocol=called(child.parts),
        mode=child.mode,
        encapsulation=child.encapsulation,
        around=tuple(_part(part) for part in child.around),
        local=child.local,
        remote=child.remote,
        age=age,
        rekey_in=None if child.soft.seconds is None else child.soft.seconds - age,
        lifetime=child.hard.seconds,
        tfc=child.tfc,
        padding_declined=child.padding_declined,
    )


def _part(part: Part) -> PartStatus:
    return PartStatus(str(part.protocol), part.spi_in.hex(), part.spi_out.hex())
