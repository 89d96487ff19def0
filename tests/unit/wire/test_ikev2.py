"""IKEv2 messages as octets and back, clear and sealed."""

from dataclasses import replace

from ipsecd.wire.ike import NO_SPI, Header
from ipsecd.wire.ikev2 import decode, decode_chain, encode, encode_chain, sk_prefix, skf_prefix
from ipsecd.wire.payloads import Nonce, Notify, Unknown
from ipsecd.wire.registry import Exchange, Flag, NotifyType, Payload

HEADER = Header(b"initiate", NO_SPI, 0, 2, 0, Exchange.IKE_SA_INIT, Flag.INITIATOR, 0, 0)


def test_a_clear_message_comes_back_as_it_was() -> None:
    payloads = (Nonce(bytes(range(32))), Notify(NotifyType.COOKIE, b"crumbs"), Unknown(200, True, b"?"))
    data = encode(HEADER, payloads)
    message = decode(data)
    assert message.payloads == payloads
    assert message.header == replace(HEADER, next_payload=Payload.NONCE, length=len(data))
    assert message.sealed is None


def test_a_sealed_message_keeps_the_octets_the_cipher_covers() -> None:
    prefix = sk_prefix(HEADER, Payload.IDI, 40)
    message = decode(prefix + bytes(40))
    assert message.sealed is not None
    assert (message.sealed.first, message.sealed.prefix, message.sealed.body) == (Payload.IDI, prefix, bytes(40))


def test_a_fragment_keeps_its_number_and_total() -> None:
    message = decode(skf_prefix(HEADER, Payload.IDI, 2, 3, 40) + bytes(40))
    assert message.sealed is not None
    assert repr(message.sealed).startswith("Skf(first=0, number=2, total=3, ")


def test_an_empty_chain_has_no_payloads() -> None:
    assert encode_chain(()) == (Payload.NONE, b"")
    assert decode_chain(Payload.NONE, b"") == ()
