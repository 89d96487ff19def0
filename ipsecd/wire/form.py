"""How the packets of an SA are made, apart from its algorithms and keys."""

from __future__ import annotations

from dataclasses import dataclass

from ipsecd.wire.selector import Address


@dataclass(frozen=True, slots=True)
class Form:
    """``transport``: AH or ESP stands between the headers of a packet and what they carry, else in front of a whole
    packet (RFC 4301 section 3.2). ``original`` are source and destination of what the peer sends as it sees them, where
    a NAT changes them: it makes the checksums inside with them (RFC 3948 section 3.1.2).

    AH with ESP (RFC 2401 section 4.3): the packets of the ESP pair go ``within`` those of an AH pair, which this is the
    inbound SPI of, else 0. That AH pair is ``outer``: nothing else goes by it, and nothing else is taken from it."""

    transport: bool = False
    original: tuple[Address, Address] | None = None
    within: int = 0
    outer: bool = False


TUNNEL = Form()
