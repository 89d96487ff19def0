"""C3 in IKEv1: payloads and versions that aren't ours (CVE-2015-3991)."""

from __future__ import annotations

import pytest

from ipsecd.errors import WireError
from ipsecd.wire.ikev1 import decode, decode_chain
from ipsecd.wire.ikev1_payloads import Unknown
from ipsecd.wire.registry_v1 import Payload

NOT_READ = {Payload.NONE, Payload.PROPOSAL, Payload.TRANSFORM, Payload.GSS}
OURS = {int(kind) for kind in Payload if kind not in NOT_READ}
BODIES = (b"", bytes(4), b"\xff" * 8, bytes(range(40)))


def message(version: int, kind: int, octets: bytes, flags: int = 0) -> bytes:
    head = b"initiate" + bytes(8) + bytes([kind, version, 2, flags]) + bytes(4)
    return head + (28 + len(octets)).to_bytes(4, "big") + octets


def payload(body: bytes) -> bytes:
    return bytes(2) + (4 + len(body)).to_bytes(2, "big") + body


def outcome(kind: int, body: bytes, *, sealed: bool) -> object:
    """The one payload it decodes to, or the reason why not."""
    try:
        if sealed:
            return decode_chain(kind, payload(body)).payloads[0]
        return decode(message(0x10, kind, payload(body))).chain.payloads[0]
    except WireError as error:
        return error.reason


@pytest.mark.parametrize("sealed", [False, True], ids=["clear", "encrypted"])
@pytest.mark.parametrize("body", BODIES, ids=len)
def test_a_payload_type_is_ours_or_unknown_and_nothing_else(body: bytes, sealed: bool) -> None:
    """Proposals and transforms outside of an SA payload are unknown too."""
    for kind in range(1, 256):
        found = outcome(kind, body, sealed=sealed)
        if kind not in OURS:
            assert found == Unknown(kind, body)
        else:
            assert not isinstance(found, Unknown)


def test_the_same_octets_under_another_version_are_not_read_at_all() -> None:
    for version in (number for number in range(256) if number != 0x10):
        expected = "minor-version" if version >> 4 == 1 else "major-version"
        for kind in range(256):
            with pytest.raises(WireError, match=f"^{expected}"):
                decode(message(version, kind, payload(bytes(4))))


def test_whatever_is_encrypted_is_left_alone_but_for_fragments() -> None:
    for kind in range(256):
        for flags in (0x01, 0x03, 0x05, 0xFF):
            data = message(0x10, kind, bytes.fromhex("0000000c 0001 01 00 61626364"), flags)
            decoded = decode(data)
            assert bool(decoded.sealed) == (kind != Payload.FRAGMENT)
            assert bool(decoded.chain.payloads) == (kind == Payload.FRAGMENT)
