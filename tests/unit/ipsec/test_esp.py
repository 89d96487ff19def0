"""ESP packets: published ones byte for byte, sequence numbers, replay, padding."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ipsecd import limits
from ipsecd.errors import LocalError, PeerError
from ipsecd.ipsec import esp
from ipsecd.ipsec.lifetime import Limits
from ipsecd.ipsec.sa import EspKeys, InboundSa, OutboundSa
from ipsecd.wire.registry import Encr, Integ
from tests.unit.crypto.suites import SUITES, Suite
from tests.unit.crypto.vectors import cases, octets, vectors
from tests.unit.ipsec.packets import udp
from tests.unit.ipsec.pairs import CBC, CTR, GCM, LOCAL, OUTSIDE, REMOTE, SPI, fixed_iv, inbound, keys, outbound

PACKET = udp("10.1.0.1", "10.2.0.1")


def send(sa: OutboundSa, payload: bytes = PACKET, *, sequence: int | None = None, next_header: int = 4) -> bytes:
    number = sa.take(1) if sequence is None else sequence
    assert number is not None
    return esp.seal(sa, number, next_header, payload, fixed_iv)[0]


def receive(sa: InboundSa, packet: bytes) -> esp.Opened:
    return esp.open_(sa, packet, int.from_bytes(packet[4:8], "big"))


def refused(sa: InboundSa, packet: bytes) -> str:
    with pytest.raises(PeerError) as caught:
        receive(sa, packet)
    return caught.value.reason


# --- published packets ------------------------------------------------------------------------------------------

GCM_CASES = [case for case in cases("draft-mcgrew-gcm-test-01") if case["spi"] != "00000000"]


@pytest.mark.parametrize("case", GCM_CASES, ids=lambda case: case["case"])
def test_aes_gcm_packets_of_draft_mcgrew(case: dict[str, str]) -> None:
    """Sequence number and IV differ in these packets, so they can be opened here, and sealed by the cipher alone."""
    key = octets(case["key"]) + octets(case["salt"])
    esn = bool(case["esn"])
    chosen = EspKeys(Encr.AES_GCM_16, len(octets(case["key"])) * 8, Integ.NONE, esn, key, b"")
    sa = InboundSa(int(case["spi"], 16), "c", chosen, LOCAL, REMOTE, OUTSIDE, Limits(), 1_024, 0.0)
    sequence = int(case["seq"], 16)
    sa.window.top = sequence - 1
    opened = receive(sa, octets(case["packet"]))
    plaintext = octets(case["plaintext"])
    padding = plaintext[-2]
    assert opened == (sequence, plaintext[-1], plaintext[: len(plaintext) - 2 - padding], True, len(plaintext))


def test_the_chacha20_poly1305_packet_of_rfc_7634_appendix_a() -> None:
    published = vectors("rfc7634-chacha20poly1305")
    case = published["esp"]
    chosen = EspKeys(Encr.CHACHA20_POLY1305, None, Integ.NONE, False, octets(published["keymat"]), b"")
    packet = octets(case["packet"])[20:]
    spi = int(case["spi"], 16)
    receiver = InboundSa(spi, "c", chosen, LOCAL, REMOTE, OUTSIDE, Limits(), 1_024, 0.0)
    assert receive(receiver, packet) == (5, 4, octets(case["source_packet"]), True, 88)

    sender = OutboundSa(spi, 1, "c", chosen, LOCAL, REMOTE, OUTSIDE, Limits(), 0.0)
    sender.counter_iv = False  # the published IV isn't the sequence number
    sealed, encrypted = esp.seal(sender, 5, 4, octets(case["source_packet"]), lambda _: octets(published["iv"]))
    assert sealed == packet
    assert encrypted == 88


TUNNEL_CBC = [case for case in cases("rfc3602-aes-cbc") if case["kind"] == "esp-aes-cbc-no-auth"]


@pytest.mark.parametrize("case", TUNNEL_CBC, ids=lambda case: case["case"])
def test_the_padded_plaintexts_of_rfc_3602_section_4(case: dict[str, str]) -> None:
    """These packets have no ICV, which we refuse to negotiate: padding, IV and ciphertext are compared, the ICV is
    ours on top."""
    key = octets(case["key"])
    chosen = EspKeys(Encr.AES_CBC, 128, Integ.HMAC_SHA2_256_128, False, key, bytes(32))
    sender = OutboundSa(int(case["spi"], 16), 1, "c", chosen, LOCAL, REMOTE, OUTSIDE, Limits(), 0.0)
    plaintext = octets(case["plaintext"])
    next_header = plaintext[-1]
    payload = plaintext[: len(plaintext) - 2 - plaintext[-2]]
    sealed, _ = esp.seal(sender, int(case["seq"], 16), next_header, payload, lambda _: octets(case["iv"]))
    assert sealed[:-16] == octets(case["packet"])[20:]


# --- round trips ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("esn", [False, True])
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_what_is_sealed_opens(suite: Suite, esn: bool) -> None:
    sender, receiver = outbound(suite, esn=esn), inbound(suite, esn=esn)
    for size in range(40):
        opened = receive(receiver, send(sender, bytes(size), next_header=41))
        assert (opened.sequence, opened.next_header, opened.payload) == (size + 1, 41, bytes(size))
        assert opened.newest


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_the_ciphertext_ends_on_the_alignment_and_the_largest_payload_fills_the_room(suite: Suite) -> None:
    sender = outbound(suite)
    for room in (576 - 28, 1_400, 1_472):
        largest = esp.largest_payload(sender.cipher, room)
        assert len(send(sender, bytes(largest))) <= room
        assert len(send(sender, bytes(largest + 1))) > room
    for size in range(20):
        ciphertext = len(send(sender, bytes(size))) - 8 - sender.cipher.iv_octets - sender.cipher.icv_octets
        assert ciphertext % max(suite.encryption.block_octets, 4) == 0


def test_counter_ivs_are_the_sequence_number_and_cbc_asks_for_one() -> None:
    assert send(outbound(GCM), sequence=0x1234)[8:16].hex() == "0000000000001234"
    assert send(outbound(CTR), sequence=0x1234)[8:16].hex() == "0000000000001234"
    assert send(outbound(GCM, esn=True), sequence=0x5_00001234)[:16].hex() == "c0ffee01000012340000000500001234"
    assert send(outbound(CBC), sequence=0x1234)[8:24] == bytes(range(16))


# --- sequence numbers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("esn", "last"), [(False, 2**32 - 1), (True, 2**64 - 1)])
def test_no_sequence_number_is_used_twice_and_they_end_without_wrapping(esn: bool, last: int) -> None:
    sa = outbound(esn=esn)
    assert [sa.take(1), sa.take(3), sa.take(1)] == [1, 2, 5]
    sa.sequence = last - 2
    assert sa.take(3) is None
    assert sa.take(2) == last - 1
    assert sa.take(1) is None
    assert sa.sequence == last


def test_a_packet_that_came_already_is_replayed() -> None:
    sender, receiver = outbound(), inbound()
    packet = send(sender)
    receive(receiver, packet)
    assert refused(receiver, packet) == "replayed"


def test_a_packet_from_before_the_window_is_behind() -> None:
    sender, receiver = outbound(), inbound(window=64)
    receive(receiver, send(sender, sequence=100))
    assert refused(receiver, send(sender, sequence=36)) == "behind-window"
    late = receive(receiver, send(sender, sequence=37))
    assert not late.newest


def test_an_unauthentic_high_sequence_number_does_not_move_the_window() -> None:
    sender, receiver = outbound(), inbound()
    receive(receiver, send(sender))
    forged = bytearray(send(sender, sequence=0xFFFF_0000))
    forged[-1] ^= 1
    assert refused(receiver, bytes(forged)) == "bad-icv"
    assert receiver.window.top == 1
    assert receive(receiver, send(sender)).sequence == 2


@pytest.mark.parametrize("suite", [GCM, CBC, CTR], ids=lambda suite: suite.name)
def test_extended_numbers_cross_into_the_next_subspace_in_any_order(suite: Suite) -> None:
    sender, receiver = outbound(suite, esn=True), inbound(suite, esn=True)
    sender.sequence = receiver.window.top = 2**32 - 4
    packets = [send(sender) for _ in range(8)]
    order = [0, 5, 3, 1, 7, 2, 4, 6]
    assert [receive(receiver, packets[at]).sequence for at in order] == [2**32 - 3 + at for at in order]
    assert [refused(receiver, packet) for packet in packets] == ["replayed"] * 8


def test_the_high_half_is_authenticated_though_not_sent() -> None:
    for suite in (GCM, CBC):
        packet = send(outbound(suite, esn=True), sequence=2**32 + 5)
        assert packet[:8].hex() == "c0ffee0100000005"
        assert refused(inbound(suite, esn=True), packet) == "bad-icv"
        assert refused(inbound(suite, esn=False), packet) == "bad-icv"


def test_a_receiver_that_lost_its_subspace_finds_it_again_after_many_failures() -> None:
    sender, receiver = outbound(esn=True), inbound(esn=True)
    receive(receiver, send(sender))
    sender.sequence = 3 * 2**32 + 9
    for _ in range(limits.ESN_RESYNC_AFTER - 1):
        assert refused(receiver, send(sender)) == "bad-icv"
    assert receive(receiver, send(sender)).sequence == 3 * 2**32 + 9 + limits.ESN_RESYNC_AFTER
    assert receiver.failures == 0
    assert receive(receiver, send(sender)).newest


def test_only_so_many_subspaces_are_tried_and_none_behind_the_last() -> None:
    sender, receiver = outbound(esn=True), inbound(esn=True)
    far = send(sender, sequence=5 * 2**32 + 1)
    receiver.failures = limits.ESN_RESYNC_AFTER - 1
    assert refused(receiver, far) == "bad-icv"
    near = send(sender, sequence=4 * 2**32 + 1)
    receiver.failures = limits.ESN_RESYNC_AFTER - 1
    assert receive(receiver, near).sequence == 4 * 2**32 + 1
    receiver.window.top = 2**64 - 2**31
    receiver.failures = limits.ESN_RESYNC_AFTER - 1
    assert refused(receiver, send(sender, sequence=0xFFFF_0000)) == "bad-icv"


def test_the_very_next_subspace_is_tried_too() -> None:
    sender, receiver = outbound(esn=True), inbound(esn=True)
    receiver.failures = limits.ESN_RESYNC_AFTER - 1
    assert receive(receiver, send(sender, sequence=2**32 + 1)).sequence == 2**32 + 1


def test_without_extended_numbers_nothing_is_tried_twice() -> None:
    receiver = inbound()
    receiver.failures = limits.ESN_RESYNC_AFTER - 1
    assert refused(receiver, send(outbound(), sequence=7)[:-1] + b"\x00") == "bad-icv"


# --- what an authentic peer may still get wrong -----------------------------------------------------------------


def raw(plaintext: bytes, suite: Suite = GCM) -> bytes:
    """An authentic packet with any plaintext."""
    sa = outbound(suite)
    header = SPI.to_bytes(4, "big") + bytes(3) + b"\x01"
    return header + sa.cipher.seal(header, b"", bytes(sa.cipher.iv_octets), plaintext)


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        b"\x04",
        b"\x01\x04",  # padding longer than the plaintext
        b"\x05\x01\x02\x03\x04\x04",
        b"data\x00\x02\x03\x03\x04",  # doesn't start with 1
        b"data\x01\x02\x04\x03\x04",
        b"data\x00\x00\x00\x03\x04",
    ],
)
def test_wrong_padding_is_refused_once_it_is_authentic(plaintext: bytes) -> None:
    receiver = inbound()
    assert refused(receiver, raw(plaintext)) == "bad-padding"
    assert receiver.window.top == 1


@pytest.mark.parametrize(
    ("plaintext", "payload"),
    [
        (b"\x00\x3b", b""),
        (b"data\x00\x3b", b"data"),
        (b"data\x01\x02\x03\x03\x3b", b"data"),
        (bytes(range(1, 256)) + b"\xff\x3b", b""),
    ],
)
def test_any_right_padding_is_accepted(plaintext: bytes, payload: bytes) -> None:
    opened = receive(inbound(), raw(plaintext))
    assert (opened.next_header, opened.payload) == (59, payload)


def test_a_cbc_packet_that_is_not_whole_blocks_is_refused() -> None:
    sealed = outbound(CBC).cipher
    receiver = inbound(CBC)
    header = SPI.to_bytes(4, "big") + bytes(3) + b"\x01"
    body = bytes(16 + 5)
    icv = sealed._sealing._mac.icv(header, body, b"")  # type: ignore[attr-defined]  # no honest sender can do this
    assert refused(receiver, header + body + icv) == "bad-padding"


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_every_truncation_is_refused(suite: Suite) -> None:
    packet = send(outbound(suite), bytes(20))
    receiver = inbound(suite)
    assert {refused(receiver, packet[:length]) for length in range(8, len(packet))} == {"bad-icv"}
    assert receiver.window.top == 0


# --- our own mistakes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "chosen",
    [
        EspKeys(Encr.NULL, None, Integ.NONE, False, b"", b""),
        EspKeys(Encr.IDEA, None, Integ.HMAC_SHA2_256_128, False, bytes(16), bytes(32)),
        EspKeys(Encr.AES_GCM_16, None, Integ.NONE, False, bytes(20), b""),
        EspKeys(Encr.AES_GCM_16, 128, Integ.NONE, False, bytes(16), b""),
        EspKeys(Encr.AES_GCM_16, 128, Integ.HMAC_SHA2_256_128, False, bytes(20), bytes(32)),
        EspKeys(Encr.AES_CBC, 128, Integ.NONE, False, bytes(16), b""),
        EspKeys(Encr.AES_CBC, 128, Integ.HMAC_MD5_128, False, bytes(16), bytes(16)),
        EspKeys(Encr.AES_CBC, 128, Integ.HMAC_SHA2_256_128, False, bytes(16), bytes(31)),
    ],
    ids=repr,
)
def test_transforms_we_do_not_have_and_keys_that_do_not_fit_are_refused(chosen: EspKeys) -> None:
    with pytest.raises(LocalError):
        InboundSa(SPI, "c", chosen, LOCAL, REMOTE, OUTSIDE, Limits(), 1_024, 0.0)


def test_the_lowest_and_the_highest_spi_there_may_be() -> None:
    for spi in (256, 0xFFFF_FFFF):
        assert InboundSa(spi, "c", keys(), LOCAL, REMOTE, OUTSIDE, Limits(), 1_024, 0.0).spi == spi
    for spi in (0, 255, 1 << 32):
        with pytest.raises(LocalError, match="reserved"):
            InboundSa(spi, "c", keys(), LOCAL, REMOTE, OUTSIDE, Limits(), 1_024, 0.0)
    assert inbound().failures == 0


def test_a_number_that_is_no_transform_is_refused() -> None:
    assert EspKeys(65_535, 128, 65_535, False, b"", b"").encryption == 65_535
    for numbers in ((65_536, 0), (20, 1 << 40)):
        with pytest.raises(LocalError, match="no transforms"):
            EspKeys(numbers[0], 128, numbers[1], False, bytes(20), b"")


def test_a_key_does_not_show() -> None:
    shown = repr(keys(CBC))
    for key in (CBC.key_e, CBC.key_a):
        assert repr(key)[2:10] not in shown
    assert str(ip_address("192.0.2.1")) in repr(OUTSIDE)
