"""NAT traversal of IKEv1 (RFC 3947, and drafts 02 and 03 of it, which Windows before Vista speaks alone)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ipsecd.crypto.entropy import Entropy
from ipsecd.crypto.isakmp_cipher import plain_hash
from ipsecd.ike.config import Endpoint, Path
from ipsecd.ike.nat import Nat
from ipsecd.wire import vendor_ids
from ipsecd.wire.ikev1_payloads import NatD, VendorId
from ipsecd.wire.registry import Prf
from ipsecd.wire.registry_v1 import Encapsulation, Payload


@dataclass(frozen=True, slots=True)
class Revision:
    """One way to number the same things."""

    vendor_id: bytes
    nat_d: Payload
    nat_oa: Payload
    udp_tunnel: Encapsulation
    udp_transport: Encapsulation


def _draft(vendor_id: bytes) -> Revision:
    return Revision(
        vendor_id,
        Payload.NAT_D_DRAFTS,
        Payload.NAT_OA_DRAFTS,
        Encapsulation.UDP_TUNNEL_DRAFTS,
        Encapsulation.UDP_TRANSPORT_DRAFTS,
    )


REVISIONS = (  # in order of preference
    Revision(vendor_ids.NAT_T, Payload.NAT_D, Payload.NAT_OA, Encapsulation.UDP_TUNNEL, Encapsulation.UDP_TRANSPORT),
    _draft(vendor_ids.NAT_T_03),
    _draft(vendor_ids.NAT_T_02_LINE_FEED),
    _draft(vendor_ids.NAT_T_02),
)
OFFERED = tuple(VendorId(revision.vendor_id) for revision in REVISIONS)


def common(said: Iterable[VendorId]) -> Revision | None:
    """The best revision that the peer speaks too."""
    known = {vendor_id.data for vendor_id in said}
    return next((revision for revision in REVISIONS if revision.vendor_id in known), None)


def payloads(
    revision: Revision | None,
    prf_id: Prf,
    cookies: tuple[bytes, bytes],
    path: Path,
    entropy: Entropy,
    *,
    force_udp: bool,
) -> tuple[NatD, ...]:
    """What we say of this path: its other end first, then ours (RFC 3947 section 3.2); nothing without a revision.
    ``force_udp``: a hash that can't be ours makes the peer believe in a NAT in front of us, so that ESP travels in
    UDP."""
    if revision is None:
        return ()
    there = _hash(prf_id, cookies, path.remote)
    here = entropy.octets(len(there)) if force_udp else _hash(prf_id, cookies, path.local)
    return NatD(there, revision.nat_d), NatD(here, revision.nat_d)


def detect(
    revision: Revision | None, prf_id: Prf, cookies: tuple[bytes, bytes], path: Path, said: Iterable[NatD]
) -> Nat | None:
    """What the peer's NAT-D payloads, which came along this path, show; None unless there are two or more, or without
    a revision."""
    if revision is None:
        return None
    hashes = [each.hash for each in said if each.numbering == revision.nat_d]
    if len(hashes) < 2:
        return None
    return Nat(
        here=_hash(prf_id, cookies, path.local) not in hashes[:1],
        there=_hash(prf_id, cookies, path.remote) not in hashes[1:],
    )


# section 7: ends that are not behind NAT should use the last valid packet from the other end; the host behind dynamic
# NAT must not. Section 4: once the port has changed, what comes on port 500 is old
def follows(found: Nat | None, before: Path, now: Path) -> bool:
    """Whether something authentic along another path than the one before says where the peer is now."""
    return found is not None and found.there and not found.here and before.natt and now.natt


def _hash(prf_id: Prf, cookies: tuple[bytes, bytes], end: Endpoint) -> bytes:
    return plain_hash(prf_id, b"".join((*cookies, end.address.packed, end.port.to_bytes(2, "big"))))
