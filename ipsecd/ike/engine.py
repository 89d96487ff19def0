"""The negotiation as one object: datagrams, times and commands in, effects out. No socket, clock or file below it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from ipsecd.crypto.entropy import Entropy
from ipsecd.errors import PeerError
from ipsecd.ike import reports
from ipsecd.ike.child_sa import ChildSa, ChildStage
from ipsecd.ike.config import Endpoint, IkeConfig, Path
from ipsecd.ike.core import Core
from ipsecd.ike.effects import Effect
from ipsecd.ike.narrowing import Packet
from ipsecd.ike.reconfigure import apply
from ipsecd.ike.sa import IkeSa
from ipsecd.ike.status import IkeSaStatus, describe
from ipsecd.ike.v1.desk import Desk
from ipsecd.ike.v2.reception import Reception
from ipsecd.ike.v2.rekey_ike import RekeyIke
from ipsecd.ike.versions import Versions
from ipsecd.ike.wanted import Wanted
from ipsecd.wire import ikev1
from ipsecd.wire.hostpair import pattern_id
from ipsecd.wire.ike import SPI_OCTETS, decode_header
from ipsecd.wire.ikev2 import MAJOR_VERSION

_PUT_DOWN = "put down by command"


class Ike:
    """All IKE SAs of one daemon, of both versions. ``spoken`` are the identities, as people write them, that have ever
    authenticated by IKEv2. Each method is one turn: it says what time it is, and returns what is to be done."""

    def __init__(self, config: IkeConfig, entropy: Entropy, spoken: Iterable[str] = ()) -> None:
        self._core = Core(config, entropy)
        self._core.versions = Versions(self._core, spoken)
        self._core.desk = Desk(self._core)
        self._core.wanted = Wanted(self._core)
        self._core.wanted.configure()
        self._core.desk.configure()
        self._core.silence.configure()
        self._reception = Reception(self._core)

    def _turn(self, what: str, now: float, action: Callable[[], None]) -> list[Effect]:
        self._core.now = now
        self._core.guarded(what, action)
        return self._core.take_effects()

    # --- time ---

    def deadline(self) -> float | None:
        """When ``timer`` wants to be called next."""
        return self._core.timers.deadline()

    def timer(self, now: float) -> list[Effect]:
        self._core.now = now
        self._ring(now)
        return self._core.take_effects()

    def woke(self, now: float) -> list[Effect]:
        """The machine has slept: what was due meanwhile is done, and each peer asked whether it's still there."""
        core = self._core
        core.now = now
        core.silence.woke()
        self._ring(now)
        for sa in list(core.ikes.values()):
            core.guarded("asking a peer after a sleep", sa.liveness.check)
        core.guarded("asking peers after a sleep", core.desk.woke)
        return core.take_effects()

    def _ring(self, now: float) -> None:
        for timer in self._core.timers.due(now):
            self._core.guarded("a timer", timer.ring)

    # --- datagrams ---

    def receive(self, data: bytes, path: Path, now: float) -> list[Effect]:
        """One IKE message, the non-ESP marker removed. Whatever it holds, it ends in effects or in a counted drop."""
        return self._turn(f"a datagram along {path}", now, lambda: self._receive(data, path))

    def _receive(self, data: bytes, path: Path) -> None:
        self._core.silence.answered(data[:SPI_OCTETS])
        header = decode_header(data)
        if header.major == MAJOR_VERSION:
            self._reception.receive(header, data, path)
        elif header.major == ikev1.MAJOR_VERSION:
            self._core.desk.receive(data, path)
        elif header.major > MAJOR_VERSION:
            self._reception.refuse_newer(header, path)
        else:
            raise PeerError("major-version", str(header.major))

    def resume(self, action: Callable[[], None], now: float) -> list[Effect]:
        """A turn for what answers later than it was asked, as whether a user's password is right."""
        return self._turn("a late answer", now, action)

    # --- commands ---

    def start(self, now: float) -> list[Effect]:
        """Begin what the configuration wants up."""
        return self._turn("start", now, self._core.wanted.begin)

    def reconfigure(self, config: IkeConfig, now: float) -> list[Effect]:
        """Take another configuration. SAs it still allows stay as they are; those it doesn't are closed. A fault comes
        out of this turn, as whoever has asked goes back to the configuration before."""
        self._core.now = now
        self._core.config = config.following(self._core.config)
        self._core.wanted.configure()
        apply(self._core)
        self._core.desk.configure()
        self._core.silence.configure()
        self._core.wanted.begin()
        return self._core.take_effects()

    def up(self, child: str, now: float) -> list[Effect]:
        """An operator wants a child up; of a pattern, its children that were put down."""
        return self._turn("up", now, lambda: self._core.wanted.up(child))

    def down(self, child: str, now: float) -> list[Effect]:
        """An operator wants a child down, until an ``up``; of a pattern, those of all pairs of hosts. Its IKE SA
        stays."""
        return self._turn("down", now, lambda: self._down(child))

    def _down(self, child: str) -> None:
        self._core.wanted.hold(child)
        for sa in list(self._core.ikes.values()):
            self._delete(sa, {child})
        self._core.desk.put_down(self._core.wanted.meant(child), _PUT_DOWN)

    def down_peer(self, peer: str, now: float) -> list[Effect]:
        """An operator wants all children of a peer, or of a pattern, down, until an ``up``, and its IKE SA with
        them."""
        return self._turn("down", now, lambda: self._down_peer(peer))

    def _down_peer(self, peer: str) -> None:
        whole = self._core.wanted.of_peer(peer)
        for child in whole:
            self._core.wanted.hold(child)
        for sa in list(self._core.ikes.values()):
            named = any(peer in (each.name, each.pattern) for each in sa.peers)
            if named and all(_among(child, whole) for child in sa.children.values()):
                sa.close(_PUT_DOWN)
            else:
                self._delete(sa, whole)
        self._core.desk.put_down_peer(peer, _PUT_DOWN)

    def rekey(self, child: str, now: float) -> list[Effect]:
        """An operator wants a child rekeyed, or all that are made after a pattern."""
        return self._turn("rekey", now, lambda: self._rekey(child))

    def _rekey(self, child: str) -> None:
        for sa in list(self._core.ikes.values()):
            for each in list(sa.children.values()):
                if _among(each, {child}):
                    sa.rekey_child(each)
        self._core.desk.rekey(self._core.wanted.meant(child))

    def rekey_peer(self, peer: str, now: float) -> list[Effect]:
        """An operator wants the IKE SA of a peer rekeyed, or all of a pattern."""
        return self._turn("rekey", now, lambda: self._rekey_peer(peer))

    def _rekey_peer(self, peer: str) -> None:
        for sa in list(self._core.ikes.values()):
            if sa.settled and sa.live and peer in (sa.peer.name, sa.peer.pattern):
                sa.submit(RekeyIke())
        self._core.desk.rekey_peer(peer)

    def held(self, child: str) -> bool:
        """Whether an operator has put this child down."""
        return self._core.wanted.held(child)

    def hosts_put_down(self) -> dict[str, set[str]]:
        """Of rules that have a child for each pair of hosts: the names of those that an operator has put down."""
        found: dict[str, set[str]] = {}
        for peer, child in self._core.wanted.put_down():
            found.setdefault(child.rule, set()).add(peer.name)
        return found

    def called(self, child: str) -> str:
        """What people call the child of this identifier; nothing if there is none."""
        return self._core.wanted.called(child)

    def made_after(self, pattern: str) -> list[str]:
        """What people call the children that this one is the pattern of, if they have an SA, are being negotiated or
        were put down."""
        return self._core.wanted.made_after(pattern)

    def shutdown(self, reason: str, now: float) -> list[Effect]:
        """Close everything; the peers are told once. From now on nothing is begun and no stranger answered: an SA made
        now would be gone a moment later, and the peer would go on sending by it."""
        return self._turn("shutdown", now, lambda: self._shutdown(reason))

    def _shutdown(self, reason: str) -> None:
        self._core.ending = reason
        for sa in list(self._core.ikes.values()):
            sa.close(reason)
        self._core.desk.shutdown(reason)

    def _delete(self, sa: IkeSa, ids: set[str]) -> None:
        for child in list(sa.children.values()):
            if _among(child, ids):
                sa.delete_child(child)

    # --- what the data plane tells ---

    def acquire(self, child: str, packet: Packet | None, now: float, *, known: bool = False) -> list[Effect]:
        """A packet, given by its two ends (local, remote), needs a child SA. ``known``: the peer has answered before,
        so it may be called when others have to wait."""
        return self._turn("acquire", now, lambda: self._core.wanted.acquire(child, packet, known=known))

    def soft_expired(self, spi: bytes, now: float) -> list[Effect]:
        """The pair with this inbound SPI has reached a soft limit."""
        return self._about(spi, now, lambda child: child.ike.rekey_child(child), self._core.desk.soft_expired)

    def hard_expired(self, spi: bytes, now: float) -> list[Effect]:
        """The pair with this inbound SPI has reached a hard limit."""
        return self._about(spi, now, lambda child: child.ike.expire_child(child), self._core.desk.hard_expired)

    def lost(self, spis: tuple[bytes, ...], now: float) -> list[Effect]:
        """The data plane has lost the pairs with these inbound SPIs."""
        return self._about_all(spis, now, lambda child: child.ike.expire_child(child, lost=True), self._core.desk.lost)

    def inbound_spis(self) -> tuple[bytes, ...]:
        """Those of all child SAs there are."""
        return (*self._core.children, *self._core.desk.inbound_spis())

    def inbound_used(self, spi: bytes, now: float) -> list[Effect]:
        """The first good packet came in by this SPI."""
        return self._about(spi, now, ChildSa.inbound_used, self._core.desk.inbound_used)

    def peer_alive(self, spis: tuple[bytes, ...], now: float) -> list[Effect]:
        """Authentic packets came in by these SPIs lately."""
        return self._about_all(spis, now, lambda child: child.ike.liveness.heard(), self._core.desk.alive)

    def pairs_used(self, spis: tuple[bytes, ...], now: float) -> list[Effect]:
        """Packets went by the pairs with these inbound SPIs lately, in one of both directions."""
        return self._about_all(spis, now, ChildSa.used, self._core.desk.used)

    def peer_moved(self, spi: bytes, path: Path, now: float) -> list[Effect]:
        """A fresh authentic packet of this SPI came along another path."""

        def follow(child: ChildSa) -> None:
            if child.native:
                child.ike.liveness.heard()  # such packets say nothing of where IKE goes
            else:
                child.ike.heard(path)

        return self._about(spi, now, follow, lambda of_v1: self._core.desk.moved(of_v1, path))

    def install_failed(self, spi: bytes, reason: str, now: float) -> list[Effect]:
        """The data plane couldn't install the pair with this inbound SPI."""
        why = f"it couldn't be installed: {reason}"
        desk = self._core.desk
        return self._about(
            spi, now, lambda child: self._not_installed(child, why), lambda of_v1: desk.install_failed(of_v1, reason)
        )

    def _not_installed(self, child: ChildSa, why: str) -> None:
        reports.child_failed(self._core, "install-failed", child.peer, child.config, reports.ME, why)
        child.ike.delete_child(child)
        self._core.wanted.failed(child.config.id, why)

    def unreachable(self, remote: Endpoint, reason: str, now: float) -> list[Effect]:
        """An IKE message of ours didn't get there, says the kernel. Anybody could have made it say so, and it's no
        reason to give up (RFC 7296 section 2.4)."""
        return self._turn(
            "a path", now, lambda: reports.stranger_failed(self._core, "ike-unreachable", remote, reason, called=True)
        )

    def unreached(self, spi: bytes, reason: str, now: float) -> list[Effect]:
        """A packet of the pair with this inbound SPI didn't get there, says the network, for which nobody vouches."""
        desk = self._core.desk
        return self._about(spi, now, lambda child: child.unreached(reason), lambda of_v1: desk.unreached(of_v1, reason))

    def _about(
        self, spi: bytes, now: float, by_v2: Callable[[ChildSa], None], by_v1: Callable[[bytes], None]
    ) -> list[Effect]:
        """A turn about the SAs with this inbound SPI, if they are still there."""
        return self._about_all((spi,), now, by_v2, lambda spis: by_v1(spis[0]))

    def _about_all(
        self,
        spis: tuple[bytes, ...],
        now: float,
        by_v2: Callable[[ChildSa], None],
        by_v1: Callable[[tuple[bytes, ...]], None],
    ) -> list[Effect]:
        """The same of several, each told once: of AH with ESP both may be named."""
        children = self._core.children
        of_v2 = dict.fromkeys(child for spi in spis if (child := children.get(spi)) is not None)
        of_v1 = tuple(spi for spi in spis if spi not in children and self._core.desk.knows(spi))

        def tell() -> None:
            for child in of_v2:
                if child.stage is not ChildStage.GONE:
                    by_v2(child)
            if of_v1:
                by_v1(of_v1)

        return self._turn("a report of the data plane", now, tell)

    # --- for people ---

    @property
    def counters(self) -> Counter[str]:
        """Datagrams, or parts of them, without effect, by reason."""
        return self._core.counters

    def status(self) -> list[IkeSaStatus]:
        """Every IKE SA that isn't on its way out, of both versions, and its children."""
        return describe(self._core)


def _among(child: ChildSa, ids: set[str]) -> bool:
    """Whether it is an SA of one of these, or of one made after them."""
    return not ids.isdisjoint((child.config.id, pattern_id(child.config.id)))
