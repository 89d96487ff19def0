"""Making a child SA of what both ends have agreed upon (RFC 7296 section 2.17)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipsecd.crypto.keymat import derive_child
from ipsecd.crypto.secret import Secret
from ipsecd.ike.child_sa import ChildSa, directions
from ipsecd.ike.config import Child, Peer
from ipsecd.ike.narrowing import Selectors
from ipsecd.ike.suites import EspSuite
from ipsecd.wire.form import Form

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa

SPI_OCTETS = 4


def reserved(spi: bytes) -> bool:
    """RFC 4303 section 2.1."""
    return int.from_bytes(spi, "big") <= 255


def make(
    sa: IkeSa,
    peer: Peer,
    child: Child,
    suite: EspSuite,
    spis: tuple[bytes, bytes],
    selectors: tuple[Selectors, Selectors],
    nonces: tuple[bytes, bytes],
    shared: Secret | None,
    form: Form,
    *,
    initiator: bool,
) -> ChildSa:
    prf, sk_d = sa.secured.suite.prf.id, sa.secured.keys.d
    material = derive_child(prf, sk_d, suite.encryption, suite.integrity, *nonces, shared)
    return ChildSa(sa, peer, child, suite, spis, selectors, directions(suite, material, initiator=initiator), form)
