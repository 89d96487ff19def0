"""Which payloads must stand in which message of main mode (RFC 2409 section 5.4)."""

from __future__ import annotations

import pytest

from ipsecd.errors import PeerError
from ipsecd.ike.v1.rows import MAIN_3, MAIN_5
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_payloads import Ke, Nonce, Notify, Unknown, VendorId
from ipsecd.wire.registry_v1 import Exchange, Flag, NotifyType, Payload

KE, NONCE, VENDOR = Ke(b"value"), Nonce(b"12345678"), VendorId(b"vendor")


def message(*payloads: Ke | Nonce | Notify | Unknown | VendorId, exchange: Exchange = Exchange.MAIN) -> ikev1.Message:
    return ikev1.decode(ikev1.encode(ikev1.Header(b"cookie-i", b"cookie-r", exchange), payloads))


def sealed(exchange: Exchange = Exchange.MAIN) -> ikev1.Message:
    return ikev1.decode(ikev1.encode_sealed(ikev1.Header(b"cookie-i", b"cookie-r", exchange), Payload.ID, bytes(16)))


def reason(given: ikev1.Message) -> str:
    with pytest.raises(PeerError) as caught:
        (MAIN_5 if given.sealed else MAIN_3).fits(given)
    return caught.value.reason


def test_what_is_required_and_whatever_else_is_admitted() -> None:
    notify, unknown = Notify(NotifyType.INITIAL_CONTACT), Unknown(200, b"")
    admitted = MAIN_3.admit(message(VENDOR, NONCE, unknown, KE, notify, VENDOR).chain)
    assert (admitted.one(Ke), admitted.body(Nonce)) == (KE, b"12345678")
    assert admitted.all(VendorId) == (VENDOR, VENDOR)
    assert (admitted.notify(NotifyType.INITIAL_CONTACT), admitted.notify(NotifyType.CONNECTED)) == (notify, None)


def test_what_is_required_stands_once() -> None:
    with pytest.raises(PeerError, match=r"^payload-missing: Nonce"):
        MAIN_3.admit(message(KE, VENDOR).chain)
    with pytest.raises(PeerError, match=r"^payload-repeated"):
        MAIN_3.admit(message(KE, NONCE, KE).chain)


@pytest.mark.parametrize("exchange", [Exchange.AGGRESSIVE, Exchange.INFORMATIONAL, Exchange.QUICK, Exchange(243)])
def test_other_exchanges_do_not_belong_here(exchange: Exchange) -> None:
    assert reason(message(KE, NONCE, exchange=exchange)) == "wrong-exchange"
    assert reason(sealed(exchange)) == "wrong-exchange"


def test_what_must_be_encrypted_is_and_what_must_not_be_is_not() -> None:
    with pytest.raises(PeerError, match=r"^sealed-too-soon"):
        MAIN_3.fits(sealed())
    with pytest.raises(PeerError, match=r"^not-sealed"):
        MAIN_5.fits(message(KE))
    MAIN_3.fits(message())
    MAIN_5.fits(sealed())


def test_the_other_flags_say_nothing() -> None:
    header = ikev1.Header(b"cookie-i", b"cookie-r", Exchange.MAIN, Flag.COMMIT | Flag.AUTHENTICATION_ONLY)
    MAIN_3.fits(ikev1.decode(ikev1.encode(header, [KE, NONCE])))
