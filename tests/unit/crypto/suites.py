"""Every suite that can be negotiated, with keys that are easy to recognise; algorithms by their numbers."""

from __future__ import annotations

from dataclasses import dataclass

from ipsecd.crypto.algorithms import Encryption, Integrity, ah_integrity, encryption, offered
from ipsecd.wire.registry import Encr, Integ


@dataclass(frozen=True)
class Suite:
    encryption: Encryption
    integrity: Integrity | None

    @property
    def key_e(self) -> bytes:
        return bytes(range(0x40, 0x40 + self.encryption.material_octets))

    @property
    def key_a(self) -> bytes:
        return bytes(range(0x80, 0x80 + self.integrity.key_octets)) if self.integrity else b""

    @property
    def icv_octets(self) -> int:
        return self.integrity.icv_octets if self.integrity else self.encryption.icv_octets

    @property
    def name(self) -> str:
        return f"{self.encryption.name}-{self.integrity.name}" if self.integrity else self.encryption.name


def cipher(id_: Encr, bits: int | None) -> Encryption:
    found = encryption(id_, bits)
    assert found is not None
    return found


def mac(id_: Integ) -> Integrity:
    found = ah_integrity(id_)
    assert found is not None
    return found


INTEGRITIES = [algorithm for algorithm in offered().values() if isinstance(algorithm, Integrity)]
AH_INTEGRITIES = [found for number in range(256) if (found := ah_integrity(number))]
SUITES = [
    Suite(algorithm, integrity)
    for algorithm in offered().values()
    if isinstance(algorithm, Encryption)
    for integrity in ([None] if algorithm.aead else INTEGRITIES)
]
ENCRYPTING = [suite for suite in SUITES if suite.encryption.encrypts]  # what IKE may have
EACH = [  # every cipher and every MAC, where all that go together would be many
    suite
    for suite in SUITES
    if suite.integrity is None or "sha256" in suite.integrity.name or suite.encryption.name == "aes128"
]
