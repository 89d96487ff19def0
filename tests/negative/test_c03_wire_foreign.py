"""C3: payloads and versions that aren't ours (CVE-2015-3991)."""

from __future__ import annotations

import pytest

from ipsecd.errors import WireError
from ipsecd.wire.ike import decode_header
from ipsecd.wire.ikev2 import decode, decode_chain
from ipsecd.wire.payloads import Unknown
from ipsecd.wire.registry import Payload

OURS = {int(kind) for kind in Payload}
BODIES = (b"", bytes(4), b"\xff" * 8, bytes(range(40)))


def message(version: int, kind: int, octets: bytes) -> bytes:
    head = b"initiate" + bytes(8) + bytes([kind, version, 34, 8]) + bytes(4)
    return head + (28 + len(octets)).to_bytes(4, "big") + octets


def payload(body: bytes) -> bytes:
    return bytes(2) + (4 + len(body)).to_bytes(2, "big") + body


def outcome(kind: int, body: bytes, *, sealed: bool) -> object:
    """The one payload it decodes to, or the reason why not."""
    try:
        if sealed:
            return decode_chain(kind, payload(body))[0]
        decoded = decode(message(0x20, kind, payload(body)))
        return decoded.sealed or decoded.payloads[0]
    except WireError as error:
        return error.reason


@pytest.mark.parametrize("sealed", [False, True], ids=["clear", "inside SK"])
@pytest.mark.parametrize("body", BODIES, ids=len)
def test_a_payload_type_is_ours_or_unknown_and_nothing_else(body: bytes, sealed: bool) -> None:
    for kind in range(1, 256):
        found = outcome(kind, body, sealed=sealed)
        if kind not in OURS:
            assert found == Unknown(kind, False, body)
        else:
            assert not isinstance(found, Unknown)


def test_a_payload_of_type_zero_ends_the_chain_and_may_not_be_followed() -> None:
    assert outcome(0, b"", sealed=True) == "trailing-octets"
    assert outcome(0, b"", sealed=False) == "trailing-octets"


def test_the_same_octets_under_another_major_version_are_not_read_at_all() -> None:
    for version in (number for number in range(256) if number >> 4 != 2):
        for kind in range(256):
            data = message(version, kind, payload(bytes(4)))
            assert decode_header(data).major == version >> 4
            with pytest.raises(WireError, match=r"^major-version"):
                decode(data)


def test_a_higher_minor_version_changes_nothing() -> None:
    for minor in range(16):
        assert decode(message(0x20 | minor, 200, payload(b"body"))).payloads == (Unknown(200, False, b"body"),)


def test_reserved_bits_and_critical_bits_change_nothing_for_types_we_know() -> None:
    plain = bytes.fromhex("00 00 0008 00004000")
    for flags in range(256):
        assert decode_chain(Payload.NOTIFY, plain[:1] + bytes([flags]) + plain[2:]) == decode_chain(
            Payload.NOTIFY, plain
        )
