"""What the kernel tells of an IPv6 packet's headers, put together again."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest

from ipsecd.io.ipv6_front import front, with_payload

SOURCE, DESTINATION = ip_address("2001:db8::1"), ip_address("2001:db8::2")
TO = (41, socket.IPV6_PKTINFO, DESTINATION.packed + bytes(4))
HOPS = (41, socket.IPV6_HOPLIMIT, (63).to_bytes(4, "little"))
FLOW = (41, 11, bytes.fromhex("0b912345"))
ENDS = SOURCE.packed.hex() + DESTINATION.packed.hex()
AH = 51
HOP_BY_HOP, ROUTING, OPTIONS = socket.IPV6_HOPOPTS, socket.IPV6_RTHDR, socket.IPV6_DSTOPTS
PADDED = "0104" + "00" * 4


def header(next_header: int) -> bytes:
    return bytes([next_header, 0]) + bytes.fromhex(PADDED)


def told(*extensions: tuple[int, bytes]) -> list[tuple[int, int, bytes]]:
    return [TO, HOPS, FLOW, *((41, kind, data) for kind, data in extensions)]


def put_together(*extensions: tuple[int, bytes], truncated: bool = False) -> tuple[str, bool]:
    found = front(SOURCE, AH, told(*extensions), truncated=truncated)
    assert found is not None
    assert found.destination == DESTINATION
    return found.headers.hex(), found.complete


def test_a_plain_header_has_its_class_flow_and_hops() -> None:
    assert put_together() == (f"6b9123450000333f{ENDS}", True)
    bare = front(SOURCE, AH, [TO], truncated=False)
    assert bare is not None
    assert bare.headers.hex() == f"6000000000003300{ENDS}"


def test_extension_headers_are_chained_in_their_order() -> None:
    chain = [(HOP_BY_HOP, header(60)), (OPTIONS, header(43)), (ROUTING, header(60)), (OPTIONS, header(51))]
    assert put_together(*chain) == (f"6b9123450000003f{ENDS}3c00{PADDED}2b00{PADDED}3c00{PADDED}3300{PADDED}", True)


def test_a_fragment_header_that_isnt_told_is_left_out_of_the_chain() -> None:
    chain = [(HOP_BY_HOP, header(44)), (OPTIONS, header(51))]
    assert put_together(*chain) == (f"6b9123450000003f{ENDS}3c00{PADDED}3300{PADDED}", True)
    assert put_together((HOP_BY_HOP, header(44))) == (f"6b9123450000003f{ENDS}3300{PADDED}", True)


@pytest.mark.parametrize(
    "chain",
    [
        [(HOP_BY_HOP, header(43)), (OPTIONS, header(51))],  # a routing header should stand between
        [(HOP_BY_HOP, header(60))],  # the last one names another
        [(OPTIONS, header(139)), (OPTIONS, header(51))],
    ],
)
def test_a_chain_with_a_gap_is_incomplete_and_only_the_fixed_header_is_given(chain: list[tuple[int, bytes]]) -> None:
    assert put_together(*chain) == (f"6b9123450000333f{ENDS}", False)


def test_what_the_kernel_had_no_room_for_makes_it_incomplete() -> None:
    assert put_together((OPTIONS, header(51)), truncated=True) == (f"6b9123450000333f{ENDS}", False)


def test_without_a_destination_there_is_no_header() -> None:
    assert front(SOURCE, AH, [HOPS, FLOW], truncated=False) is None
    assert front(SOURCE, AH, [(0, socket.IPV6_PKTINFO, TO[2])], truncated=False) is None


def test_the_payload_length_counts_extension_headers_too() -> None:
    found = front(SOURCE, AH, told((OPTIONS, header(51))), truncated=False)
    assert found is not None
    packet = with_payload(found.headers, memoryview(b"<behind it>"))
    assert packet.hex() == f"6b91234500133c3f{ENDS}3300{PADDED}" + b"<behind it>".hex()
