"""Suites of child SAs as parameters of tests of IKEv1."""

from __future__ import annotations

from ipsecd.crypto import algorithms
from ipsecd.ike.suites import AhEspSuite, AhSuite, EspSuite
from ipsecd.wire.registry import Encr, Group, Integ


def esp(
    encr: Encr = Encr.AES_CBC,
    bits: int | None = 128,
    integ: Integ | None = Integ.HMAC_SHA2_256_128,
    group: Group | None = None,
    *,
    esn: bool = False,
) -> EspSuite:
    encryption = algorithms.encryption(encr, bits)
    assert encryption is not None
    mac = None if integ is None else algorithms.integrity(integ)
    return EspSuite(encryption, mac, None if group is None else algorithms.group(group), esn)


def ah(integ: Integ = Integ.HMAC_SHA2_256_128, group: Group | None = None, *, esn: bool = False) -> AhSuite:
    mac = algorithms.ah_integrity(integ)
    assert mac is not None
    return AhSuite(mac, None if group is None else algorithms.group(group), esn)


def both(around: AhSuite, inside: EspSuite) -> AhEspSuite:
    return AhEspSuite(around, inside)
