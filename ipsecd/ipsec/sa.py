"""Security associations, one direction each (RFC 4301 section 4.4.2): keys, selectors, numbers, lifetime, path."""

from __future__ import annotations

from dataclasses import dataclass, field

from ipsecd.crypto.ah_mac import AhMac, ah_mac
from ipsecd.crypto.algorithms import ah_integrity, encryption, integrity
from ipsecd.crypto.esp_cipher import EspCipher
from ipsecd.crypto.runs import RunCipher
from ipsecd.errors import LocalError
from ipsecd.ipsec.lifetime import Lifetime, Limits, before_the_numbers_end, last_sequence
from ipsecd.ipsec.replay import ReplayWindow
from ipsecd.ipsec.selectors import SaSelectors
from ipsecd.wire.esp import MIN_SPI
from ipsecd.wire.form import TUNNEL, Form
from ipsecd.wire.registry import Encr, Integ, IpProtocol
from ipsecd.wire.selector import Address, Selector
from ipsecd.wire.tfc import NO_TFC, Tfc


@dataclass(frozen=True, slots=True)
class Outside:
    """The outer addresses and UDP ports of an SA, seen from us (RFC 3948 section 2.1). Ports of 0: its packets are IP
    protocols 50 and 51 themselves."""

    local: Address
    local_port: int
    remote: Address
    remote_port: int

    @property
    def native(self) -> bool:
        return not self.remote_port


@dataclass(frozen=True, slots=True)
class EspKeys:
    """Transform numbers of RFC 7296 section 3.3.2 and the keys of one direction. Never logged: repr hides them.
    Raises LocalError for what is no transform number."""

    encryption: int
    key_bits: int | None
    integrity: int
    esn: bool
    encryption_key: bytes = field(repr=False)
    integrity_key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if max(self.encryption, self.integrity) > 0xFFFF:
            raise LocalError(f"no transforms: {self.encryption}, {self.integrity}")


@dataclass(frozen=True, slots=True)
class AhKeys:
    """The number of the MAC of RFC 7296 section 3.3.2 and the key of one direction, with its salt behind it for GMAC
    (RFC 4543 section 5). Never logged: repr hides it. Raises LocalError for what is no transform number."""

    integrity: int
    esn: bool
    integrity_key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if self.integrity > 0xFFFF:
            raise LocalError(f"no transform: {self.integrity}")


class _Sa:
    """What both directions have. ``protocol`` is ESP or AH: only SAs of ESP have a ``cipher``, only those of AH a
    ``mac``. ``run`` seals and opens many packets at once, None where the cipher or the form doesn't allow that.
    ``dummies`` are how many of its packets carried nothing.

    Raises LocalError for a reserved SPI, keys that don't fit, transforms we don't have, or a form that the protocol
    can't have."""

    __slots__ = (
        "child",
        "cipher",
        "counter_iv",
        "dummies",
        "esn",
        "form",
        "last",
        "lifetime",
        "mac",
        "outside",
        "protocol",
        "run",
        "selectors",
        "spi",
    )
    cipher: EspCipher
    mac: AhMac

    def __init__(
        self,
        spi: int,
        child: str,
        keys: EspKeys | AhKeys,
        local: tuple[Selector, ...],
        remote: tuple[Selector, ...],
        outside: Outside,
        limits: Limits,
        now: float,
        form: Form,
    ) -> None:
        if not MIN_SPI <= spi < 1 << 32:
            raise LocalError(f"SPI {spi:08x} is reserved")
        self.run: RunCipher | None = None
        if isinstance(keys, AhKeys):
            self._use_ah(keys, form)
        else:
            self._use_esp(keys, form)
        self.spi = spi
        self.child = child
        self.form = form
        self.esn = keys.esn
        self.last = last_sequence(esn=keys.esn)
        self.selectors = SaSelectors(local, remote)
        self.outside = outside
        self.dummies = 0
        self.lifetime = Lifetime(before_the_numbers_end(limits, esn=keys.esn), now)

    def _use_esp(self, keys: EspKeys, form: Form) -> None:
        transform = encryption(keys.encryption, keys.key_bits)
        mac = integrity(keys.integrity)
        if transform is None or (mac is None and keys.integrity != Integ.NONE):
            raise LocalError(f"no ESP with {Encr(keys.encryption)}/{keys.key_bits} and {Integ(keys.integrity)}")
        if form.outer:
            raise LocalError("AH goes around ESP, not ESP around anything")
        self.protocol = IpProtocol.ESP
        self.cipher = EspCipher(transform, mac, keys.encryption_key, keys.integrity_key)
        self.counter_iv = transform.counter_iv
        if not form.within:
            self.run = self.cipher.run

    def _use_ah(self, keys: AhKeys, form: Form) -> None:
        mac = ah_integrity(keys.integrity)
        if mac is None:
            raise LocalError(f"no AH with {Integ(keys.integrity)}")
        if form.within or (form.outer and not form.transport):
            raise LocalError("AH goes around ESP in transport mode, and within nothing")
        self.protocol = IpProtocol.AH
        self.mac = ah_mac(mac, keys.integrity_key)

    def high(self, sequence: int) -> bytes:
        """The part of a sequence number that is protected but not sent (RFC 4303 section 2.2.1)."""
        return (sequence >> 32).to_bytes(4, "big") if self.esn else b""


class OutboundSa(_Sa):
    """An SA we send on. (spi, inbound) names it: ``inbound`` is the SPI of its other half. ``around`` is the SA of AH
    that its packets go within, if any. Packets that are padded (``tfc``) aren't sealed many at once. Raises LocalError
    for AH with ``tfc``, too."""

    __slots__ = ("around", "inbound", "sequence", "tfc")

    def __init__(
        self,
        spi: int,
        inbound: int,
        child: str,
        keys: EspKeys | AhKeys,
        local: tuple[Selector, ...],
        remote: tuple[Selector, ...],
        outside: Outside,
        limits: Limits,
        now: float,
        form: Form = TUNNEL,
        tfc: Tfc = NO_TFC,
    ) -> None:
        super().__init__(spi, child, keys, local, remote, outside, limits, now, form)
        if tfc and self.protocol is not IpProtocol.ESP:
            raise LocalError("AH hides nothing, so neither padding nor dummies go by it")
        self.tfc = tfc
        if tfc.padding:
            self.run = None
        self.inbound = inbound
        self.around: OutboundSa | None = None
        self.sequence = 0

    @property
    def over(self) -> bool:
        """Whether nothing may go by it any more; nothing but what an SA of ESP sends ever goes by an outer one."""
        around = self.around
        return self.lifetime.over or self.form.outer or (around is not None and around.lifetime.over)

    def take(self, count: int) -> int | None:
        """The first of ``count`` sequence numbers in a row that nobody had and nobody gets again; None if there
        aren't so many left. They never wrap (RFC 4303 section 3.3.3)."""
        if self.sequence + count > self.last:
            return None
        first = self.sequence + 1
        self.sequence += count
        return first


class InboundSa(_Sa):
    """An SA we receive on, named by our own SPI. ``failures`` counts packets in a row whose ICV was wrong. ``around``
    is the SA of AH that its packets come within, if any."""

    __slots__ = ("around", "failures", "seen_outside", "used", "window")

    def __init__(
        self,
        spi: int,
        child: str,
        keys: EspKeys | AhKeys,
        local: tuple[Selector, ...],
        remote: tuple[Selector, ...],
        outside: Outside,
        limits: Limits,
        window: int,
        now: float,
        form: Form = TUNNEL,
    ) -> None:
        super().__init__(spi, child, keys, local, remote, outside, limits, now, form)
        self.around: InboundSa | None = None
        self.window = ReplayWindow(window)
        self.failures = 0
        self.used = False
        self.seen_outside = outside
