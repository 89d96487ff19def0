"""ESP inside of AH by IKEv1, as RFC 2409 section 5.5 has it: one quick mode makes both, and each packet has both."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.ipsecd import Ipsecd
from tests.interop.traffic import answers
from tests.interop.wire import AH, ESP, ETHERNET, UDP, Wire
from tests.netns.pair import rule
from tests.netns.places import HA, HB
from tests.netns.sites import Sites
from tests.netns.test_ikev1 import by

pytestmark = pytest.mark.root

IKE_PORT, QUICK_MODE = (500).to_bytes(2, "big"), 32
HEADER = 20  # octets of IPv4
AH_OCTETS = 28  # with a MAC of 16


def packets(wire: Wire, protocol: int) -> list[bytes]:
    """What crossed the wire in IPv4 by this protocol, without that header."""
    found = (frame[ETHERNET:] for _, frame in wire.frames if frame[12:14] == b"\x08\x00")
    return [packet[HEADER:] for packet in found if packet[9] == protocol]


def quick_modes(wire: Wire) -> int:
    """How many there were: each has a message ID of its own."""
    said = (packet[8:] for packet in packets(wire, UDP) if packet[2:4] == IKE_PORT)
    return len({message[20:24] for message in said if message[18] == QUICK_MODE})


def test_one_quick_mode_makes_both_and_each_packet_has_both(sites: Sites, tmp_path: Path) -> None:
    with (
        Wire(sites) as wire,
        Ipsecd(sites, "ga", tmp_path / "a", by("bundle", rule("a"))) as a,
        Ipsecd(sites, "gb", tmp_path / "b", by("bundle", rule("b"))) as b,
    ):
        assert answers(sites, "ha", HB[4]) == 3
        assert answers(sites, "hb", HA[4]) == 3
        (of_a,), (of_b,) = a.children(), b.children()
    assert of_a["suite"] == of_b["suite"] == "ah-sha256-noesn+aes256gcm16-noesn"
    (around_a,), (around_b,) = of_a["around"], of_b["around"]
    assert (of_a["spi_in"], around_a["spi_in"]) == (of_b["spi_out"], around_b["spi_out"])
    assert quick_modes(wire) == 1
    crossed = packets(wire, AH)
    assert len(crossed) == 12
    assert {packet[0] for packet in crossed} == {ESP}  # is the next header
    assert {packet[4:8].hex() for packet in crossed} == {around_a["spi_in"], around_a["spi_out"]}
    assert {packet[AH_OCTETS:][:4].hex() for packet in crossed} == {of_a["spi_in"], of_a["spi_out"]}
