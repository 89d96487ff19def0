"""Tunnel mode's header work (RFC 4301 section 5.1.2, RFC 6040), for every mix of IPv4 and IPv6 inside and outside.

The outer header itself is written by the kernel's UDP socket. What it takes from the inner header, the DS field, ECN
and DF, is worked out here. TTL and hop limit need nothing: the kernel decrements them where it forwards a packet to
or from the TUN device, and a packet of this host isn't forwarded (section 5.1.2.1 note 2). Options, extension headers
and flow labels are never copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ipsecd.errors import LocalError, PeerError, WireError
from ipsecd.wire import ip
from ipsecd.wire.checksum import repair
from ipsecd.wire.registry import IpProtocol

NOT_ECT, ECT_1, ECT_0, CE = range(4)  # RFC 3168 section 5
_ECN_MASK = 0b11
_VERSION_OF = {IpProtocol.IPV4: 4, IpProtocol.IPV6: 6}

# --- going out --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OuterHeader:
    """What the outer header takes from the inner one. ``dscp`` None copies the DS field, a number replaces it; ``df``
    is copy, set or clear (RFC 4301 section 8.1). Raises LocalError for anything else."""

    dscp: int | None = None
    df: str = "copy"

    def __post_init__(self) -> None:
        if self.df not in ("copy", "set", "clear") or (self.dscp is not None and not 0 <= self.dscp < 64):
            raise LocalError(f"no such outer header: dscp {self.dscp}, df {self.df}")

    def tos(self, inner: ip.IpPacket) -> int:
        """The outer TOS or traffic class octet; ECN is always copied (RFC 6040 section 4.1, normal mode)."""
        if self.dscp is None:
            return inner.dscp_ecn
        return self.dscp << 2 | inner.dscp_ecn & _ECN_MASK

    def dont_fragment(self, inner: ip.IpPacket) -> bool:
        """Whether the outer packet may not be fragmented. IPv6 packets count as having DF set: their senders rely on
        being told what doesn't fit."""
        if self.df == "copy":
            return inner.dont_fragment
        return self.df == "set"


AS_INNER = OuterHeader()

# --- coming in --------------------------------------------------------------------------------------------------


class Decapsulated(NamedTuple):
    """RFC 6040 figure 4, one cell: the ECN that goes on, or None to drop; and how odd the combination is."""

    ecn: int | None
    oddity: str = ""


_DANGEROUS = "ecn-dangerous"  # (!!!) of figure 4
_ODD = "ecn-odd"  # (!) of figure 4

ECN_OUT: dict[tuple[int, int], Decapsulated] = {  # (inner, outer)
    (NOT_ECT, NOT_ECT): Decapsulated(NOT_ECT),
    (NOT_ECT, ECT_0): Decapsulated(NOT_ECT, _DANGEROUS),
    (NOT_ECT, ECT_1): Decapsulated(NOT_ECT, _DANGEROUS),
    (NOT_ECT, CE): Decapsulated(None, _DANGEROUS),
    (ECT_0, NOT_ECT): Decapsulated(ECT_0),
    (ECT_0, ECT_0): Decapsulated(ECT_0),
    (ECT_0, ECT_1): Decapsulated(ECT_1),
    (ECT_0, CE): Decapsulated(CE),
    (ECT_1, NOT_ECT): Decapsulated(ECT_1),
    (ECT_1, ECT_0): Decapsulated(ECT_1, _ODD),
    (ECT_1, ECT_1): Decapsulated(ECT_1),
    (ECT_1, CE): Decapsulated(CE),
    (CE, NOT_ECT): Decapsulated(CE),
    (CE, ECT_0): Decapsulated(CE),
    (CE, ECT_1): Decapsulated(CE, _DANGEROUS),
    (CE, CE): Decapsulated(CE),
}


def inner_packet(next_header: int, payload: bytes) -> tuple[bytes, ip.IpPacket]:
    """The packet that a tunnel-mode payload carries, without what may stand behind it to hide its length
    (RFC 4303 section 2.7), and the view of it.

    PeerError ``not-tunnel-mode`` if the payload is no IP packet, ``inner-version`` if it isn't of the version that the
    ESP trailer names, ``malformed-inner`` if it breaks the rules of its version.
    """
    version = _VERSION_OF.get(IpProtocol(next_header))
    if version is None:
        raise PeerError("not-tunnel-mode", f"next header {next_header}")
    if not payload or payload[0] >> 4 != version:
        raise PeerError("inner-version")
    try:
        inner = ip.parse(payload)
    except WireError as error:
        raise PeerError("malformed-inner", str(error)) from None
    return payload[: inner.total_octets], inner


def propagate_ecn(packet: bytes, inner: ip.IpPacket, outer_tos: int) -> tuple[bytes | None, str]:
    """The inner packet with congestion marks of the way added (RFC 6040 section 4.2), or None if it has to be dropped;
    and the name of an oddity to count, or nothing."""
    ecn = inner.dscp_ecn & _ECN_MASK
    outcome = ECN_OUT[ecn, outer_tos & _ECN_MASK]
    if outcome.ecn is None or outcome.ecn == ecn:
        return (None if outcome.ecn is None else packet), outcome.oddity
    rewritten = bytearray(packet)
    if inner.version == 6:
        rewritten[1] = rewritten[1] & 0xCF | outcome.ecn << 4
    else:
        rewritten[1] = rewritten[1] & ~_ECN_MASK | outcome.ecn
        old, new = int.from_bytes(packet[:2], "big"), int.from_bytes(rewritten[:2], "big")
        rewritten[10:12] = repair(int.from_bytes(packet[10:12], "big"), old, new).to_bytes(2, "big")
    return bytes(rewritten), outcome.oddity
