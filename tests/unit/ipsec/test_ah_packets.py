"""AH by SA: numbers, high halves, IVs; and the SAs themselves."""

from __future__ import annotations

import pytest

from ipsecd import limits
from ipsecd.errors import LocalError, PeerError
from ipsecd.ipsec import ah, ah_packets
from ipsecd.ipsec.lifetime import Limits
from ipsecd.ipsec.sa import AhKeys, EspKeys, InboundSa, OutboundSa
from ipsecd.ipsec.transport import split
from ipsecd.wire import ip
from ipsecd.wire.form import Form
from ipsecd.wire.registry import Integ, IpProtocol
from tests.unit.crypto.suites import AH_INTEGRITIES
from tests.unit.ipsec.packets import udp
from tests.unit.ipsec.pairs import LOCAL, OUTSIDE, REMOTE, SPI, ah_keys, ah_pair, keys

PACKET = udp("192.0.2.1", "198.51.100.1")
NAMES = [integrity.name for integrity in AH_INTEGRITIES]


def send(sa: OutboundSa, packet: bytes = PACKET, *, sequence: int | None = None) -> bytes:
    number = sequence if sequence is not None else sa.take(1)
    assert number is not None
    return ah_packets.seal(sa, number, *split(packet, ip.parse(packet)))


def receive(sa: InboundSa, packet: bytes) -> ah_packets.Checked:
    return ah_packets.check(sa, ah.receive(packet))


def refused(sa: InboundSa, packet: bytes) -> str:
    with pytest.raises(PeerError) as caught:
        receive(sa, packet)
    return caught.value.reason


@pytest.mark.parametrize("esn", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_each_algorithm_signs_what_the_other_end_accepts_once(name: str, esn: bool) -> None:
    sender, receiver = ah_pair(name, esn=esn)
    sender.sequence = receiver.window.top = 2**32 - 3 if esn else 7
    packets = [send(sender) for _ in range(5 if esn else 2)]
    for number, packet in enumerate(packets, sender.sequence - len(packets) + 1):
        checked = receive(receiver, packet)
        assert (checked.sequence, checked.newest) == (number, True)
        assert checked.received.without_ah() == PACKET
    assert [refused(receiver, packet) for packet in packets] == ["replayed"] * len(packets)


def test_the_iv_of_gmac_is_the_whole_sequence_number() -> None:
    sender, _ = ah_pair("aes128gmac", esn=True)
    assert send(sender, sequence=0x5_00001234)[20:40].hex() == "11070000" + "c0ffee0100001234" + "0000000500001234"


@pytest.mark.parametrize("name", ["sha256", "aes256gmac"])
def test_the_high_half_is_authenticated_though_not_sent(name: str) -> None:
    packet = send(ah_pair(name, esn=True)[0], sequence=2**32 + 5)
    for esn in (False, True):
        _, receiver = ah_pair(name, esn=esn)
        assert refused(receiver, packet) == "bad-icv"
        assert receiver.window.top == 0


def test_a_receiver_that_lost_its_subspace_finds_it_again() -> None:
    sender, receiver = ah_pair(esn=True)
    receiver.failures = limits.ESN_RESYNC_AFTER - 1
    assert receive(receiver, send(sender, sequence=2 * 2**32 + 9)).sequence == 2 * 2**32 + 9


def test_an_ah_of_another_length_than_its_algorithm_makes_is_refused() -> None:
    sealed = send(ah_pair("sha256")[0])
    assert refused(ah_pair("sha512")[1], sealed) == "ah-length"


def test_sas_say_their_protocol_and_form_and_only_plain_esp_goes_in_runs() -> None:
    assert ah_pair()[0].protocol == IpProtocol.AH
    assert ah_pair()[1].run is None
    given = (SPI, 0x1111, "child", keys(), LOCAL, REMOTE, OUTSIDE, Limits(), 0.0)
    esp = OutboundSa(*given)
    assert (esp.protocol, esp.form.transport, esp.run is None) == (IpProtocol.ESP, False, False)
    within = OutboundSa(*given, Form(within=0x2222))
    assert (within.form.within, within.run) == (0x2222, None)


@pytest.mark.parametrize(
    ("given", "form", "why"),
    [
        (AhKeys(Integ.DES_MAC, False, bytes(16)), Form(), "no AH with DES_MAC"),
        (AhKeys(Integ.NONE, False, b""), Form(), "no AH with NONE"),
        (AhKeys(Integ.HMAC_SHA2_256_128, False, bytes(31)), Form(), "it takes 32"),
        (ah_keys(), Form(outer=True), "in transport mode"),
        (ah_keys(), Form(transport=True, within=0x2222), "within nothing"),
        (keys(), Form(transport=True, outer=True), "not ESP around anything"),
    ],
)
def test_what_ah_and_esp_cannot_be_is_refused(given: AhKeys | EspKeys, form: Form, why: str) -> None:
    with pytest.raises(LocalError, match=why):
        InboundSa(SPI, "c", given, LOCAL, REMOTE, OUTSIDE, Limits(), 1_024, 0.0, form)
