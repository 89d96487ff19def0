"""What a datagram on the NAT-traversal port is (RFC 3948 section 2), and AH there, which no RFC knows.

::

    UDP port 4500   +---------------------------+        UDP port 500    +-----------------+
    ESP             | SPI, never zero | ESP ... |        IKE             | IKE message     |
                    +---------------------------+                        +-----------------+
    AH              | x x 0 0 | AH ...          |        its reserved field: no SPI of ours ends so
                    +---------------------------+
    IKE             | 0 0 0 0 | IKE message     |
                    +---------------------------+
    keepalive       | 0xff |
                    +------+
"""

from __future__ import annotations

from enum import Enum

NON_ESP_MARKER = bytes(4)
KEEPALIVE = b"\xff"
_RESERVED = bytes(2)


class Kind(Enum):
    IKE = "ike"
    ESP = "esp"
    AH = "ah"
    KEEPALIVE = "keepalive"
    RUNT = "runt"  # too short to be anything: dropped and counted under this name


def classify(data: bytes | memoryview, natt: bool) -> Kind:
    """What ``data`` is; ``natt`` says whether it came in on the port where IKE carries the non-ESP marker."""
    if not natt:
        return Kind.IKE
    if len(data) <= len(NON_ESP_MARKER):
        return Kind.KEEPALIVE if data == KEEPALIVE else Kind.RUNT
    if data[2:4] != _RESERVED:
        return Kind.ESP
    return Kind.IKE if data[:4] == NON_ESP_MARKER else Kind.AH


def ike_message(data: bytes, natt: bool) -> bytes:
    """An IKE datagram without its marker."""
    return data[len(NON_ESP_MARKER) :] if natt else data
