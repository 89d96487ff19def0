"""NAT detection, the move to port 4500, and UDP encapsulation by agreement (RFC 7296 section 2.23).

A foreign peer is brought to UDP by a source hash that can't match, which looks to it like a NAT in front of us. Another
ipsecd is told the true hash in a status notify of the private range, which asks for UDP, so that it still sees a real
NAT. The notify counts only beside our vendor ID. Who wants its packets as they are sends the true hash alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha1

from ipsecd.crypto.entropy import Entropy
from ipsecd.ike.config import Endpoint, Path
from ipsecd.ike.exchange import Admitted
from ipsecd.wire.payloads import Notify, VendorId
from ipsecd.wire.registry import NotifyType

NATT_PORT = 4500  # RFC 3947 section 4
VENDOR_ID = b"ipsecd-1"
TRUE_SOURCE = NotifyType(40_969)  # private use (RFC 7296 section 3.10.1): a NAT_DETECTION_SOURCE_IP that is meant
_HASH_OCTETS = 20


@dataclass(frozen=True, slots=True)
class Nat:
    """Where the addresses were changed under way: ``here`` in front of us, ``there`` in front of the peer."""

    here: bool
    there: bool

    @property
    def found(self) -> bool:
        return self.here or self.there


NONE = Nat(here=False, there=False)


def hash_of(spi_i: bytes, spi_r: bytes, end: Endpoint) -> bytes:
    """SHA-1 over the SPIs as in the header, the address and the port (2.23)."""
    octets = spi_i + spi_r + end.address.packed + end.port.to_bytes(2, "big")
    return sha1(octets, usedforsecurity=False).digest()


def notifies(
    spi_i: bytes, spi_r: bytes, path: Path, entropy: Entropy, *, bent: bool, udp: bool, to_ipsecd: bool
) -> tuple[Notify | VendorId, ...]:
    """What an IKE_SA_INIT message of ours says about this path. ``bent``: that there is a NAT, whether or not there is
    one. ``to_ipsecd``: the peer is, or may be, one of us; ``udp``: that is asked for UDP."""
    source = hash_of(spi_i, spi_r, path.local)
    for_all = (
        Notify(NotifyType.NAT_DETECTION_SOURCE_IP, entropy.octets(_HASH_OCTETS) if bent else source),
        Notify(NotifyType.NAT_DETECTION_DESTINATION_IP, hash_of(spi_i, spi_r, path.remote)),
    )
    if not to_ipsecd:
        return for_all
    return (*for_all, *((Notify(TRUE_SOURCE, source),) if udp else ()), VendorId(VENDOR_ID))


def is_ipsecd(message: Admitted) -> bool:
    return VendorId(VENDOR_ID) in message.payloads


def wants_udp(message: Admitted) -> bool:
    """Whether a message of one of us asks for UDP, or grants it."""
    return message.notify(TRUE_SOURCE) is not None


def detect(message: Admitted, spi_i: bytes, spi_r: bytes, path: Path) -> Nat | None:
    """What an IKE_SA_INIT message that came along this path shows; None if the peer doesn't do NAT traversal."""
    destinations = _hashes(message, NotifyType.NAT_DETECTION_DESTINATION_IP)
    sources = _hashes(message, NotifyType.NAT_DETECTION_SOURCE_IP)
    if not destinations or not sources:
        return None
    if is_ipsecd(message):
        sources = _hashes(message, TRUE_SOURCE) or sources
    return Nat(
        here=hash_of(spi_i, spi_r, path.local) not in destinations,
        there=hash_of(spi_i, spi_r, path.remote) not in sources,
    )


def _hashes(message: Admitted, kind: NotifyType) -> set[bytes]:
    return {notify.data for notify in message.notifies if notify.type == kind}


def carries_both(remote_port: int, natt_port: int) -> bool:
    """Whether a peer that listens on this port expects the non-ESP marker there from the first message on (2.23)."""
    return remote_port in (NATT_PORT, natt_port)


def floated(path: Path, natt_port: int) -> Path:
    """The same path between the ports that carry both IKE and ESP (2.23)."""
    if path.natt:
        return path
    return Path(replace(path.local, port=natt_port), replace(path.remote, port=NATT_PORT), natt=True)


def portless(path: Path) -> Path:
    """The same path for packets that are IP protocols 50 and 51 themselves."""
    return Path(replace(path.local, port=0), replace(path.remote, port=0))
