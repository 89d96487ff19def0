"""What a datagram on port 500 or 4500 is (RFC 3948 section 2)."""

import pytest

from ipsecd.wire.udpencap import Kind, classify, ike_message


@pytest.mark.parametrize(
    ("octets", "kind"),
    [
        ("", Kind.RUNT),
        ("ff", Kind.KEEPALIVE),
        ("fe", Kind.RUNT),
        ("ffff", Kind.RUNT),
        ("00000000", Kind.RUNT),
        ("01020304", Kind.RUNT),
        ("0000000001", Kind.IKE),
        ("0000000100", Kind.ESP),
        ("ff00000100", Kind.ESP),
        ("00ff000000", Kind.AH),
        ("ff00000000", Kind.AH),
        ("32050000000022220000000a", Kind.AH),
    ],
)
def test_the_first_word_tells_ike_and_ah_from_esp_on_the_nat_traversal_port(octets: str, kind: Kind) -> None:
    assert classify(bytes.fromhex(octets), natt=True) is kind
    assert classify(memoryview(bytes.fromhex(octets)), natt=True) is kind


@pytest.mark.parametrize("octets", ["", "ff", "0000000001", "0102030405"])
def test_on_the_ike_port_everything_is_ike(octets: str) -> None:
    assert classify(bytes.fromhex(octets), natt=False) is Kind.IKE


def test_the_marker_stands_before_ike_only_on_the_nat_traversal_port() -> None:
    assert ike_message(b"\0\0\0\0message", natt=True) == b"message"
    assert ike_message(b"message", natt=False) == b"message"
