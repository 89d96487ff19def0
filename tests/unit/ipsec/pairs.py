"""Both ends of one SA, for tests."""

from __future__ import annotations

from ipaddress import ip_address

from ipsecd.crypto.mac import Mac
from ipsecd.ipsec.lifetime import Limits
from ipsecd.ipsec.sa import AhKeys, EspKeys, InboundSa, OutboundSa, Outside
from ipsecd.wire.form import TUNNEL, Form
from ipsecd.wire.registry import Integ
from ipsecd.wire.selector import Selector
from tests.unit.crypto.suites import AH_INTEGRITIES, INTEGRITIES, SUITES, Suite

GCM = next(suite for suite in SUITES if suite.name == "aes128gcm16")
CBC = next(suite for suite in SUITES if suite.name == "aes128-sha256")
CTR = next(suite for suite in SUITES if suite.name == "aes128ctr-sha256")
CHACHA = next(suite for suite in SUITES if suite.name == "chacha20poly1305")

HMACS = {
    integrity.name: Mac(integrity, bytes(range(integrity.key_octets)))
    for integrity in INTEGRITIES
    if integrity.name in ("sha1", "sha256", "sha384", "sha512")
}

HERE, THERE = ip_address("192.0.2.1"), ip_address("198.51.100.1")
OUTSIDE = Outside(HERE, 4500, THERE, 4500)
LOCAL = (Selector.net("10.1.0.0/16"), Selector.net("2001:db8:1::/48"))
REMOTE = (Selector.net("10.2.0.0/16"), Selector.net("2001:db8:2::/48"))
SPI = 0xC0FFEE01


def keys(suite: Suite = GCM, *, esn: bool = False) -> EspKeys:
    integrity = suite.integrity.id if suite.integrity else Integ.NONE
    return EspKeys(suite.encryption.id, suite.encryption.key_bits, integrity, esn, suite.key_e, suite.key_a)


def ah_keys(name: str = "sha256", *, esn: bool = False) -> AhKeys:
    integrity = next(each for each in AH_INTEGRITIES if each.name == name)
    return AhKeys(integrity.id, esn, bytes(range(0x20, 0x20 + integrity.material_octets)))


def ah_pair(name: str = "sha256", *, esn: bool = False, form: Form = TUNNEL) -> tuple[OutboundSa, InboundSa]:
    """Both ends of an SA of AH."""
    given, back = ah_keys(name, esn=esn), Outside(THERE, 4500, HERE, 4500)
    return (
        OutboundSa(SPI, 0x1111, "child", given, LOCAL, REMOTE, OUTSIDE, Limits(), 0.0, form),
        InboundSa(SPI, "child", given, REMOTE, LOCAL, back, Limits(), 1_024, 0.0, form),
    )


def outbound(suite: Suite = GCM, *, esn: bool = False, limits: Limits | None = None) -> OutboundSa:
    """Our end, 10.1 and 2001:db8:1 behind it."""
    given = limits or Limits()
    return OutboundSa(SPI, 0x1111, "child", keys(suite, esn=esn), LOCAL, REMOTE, OUTSIDE, given, 0.0)


def inbound(suite: Suite = GCM, *, esn: bool = False, window: int = 1_024) -> InboundSa:
    """The other end, 10.2 and 2001:db8:2 behind it."""
    back = Outside(THERE, 4500, HERE, 4500)
    return InboundSa(SPI, "child", keys(suite, esn=esn), REMOTE, LOCAL, back, Limits(), window, 0.0)


def fixed_iv(octets: int) -> bytes:
    return bytes(range(octets))
