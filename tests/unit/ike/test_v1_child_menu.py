"""What the proposals of a child come to in IKEv1."""

from __future__ import annotations

import pytest

from ipsecd.crypto import algorithms
from ipsecd.ike.config import AhEspProposal, AhProposal, EspProposal
from ipsecd.ike.v1.child_menu import suites_of
from ipsecd.wire.registry import Encr, Group, Integ
from tests.exchange.v1_suites import ah, both, esp

AES, GCM, CHACHA = (Encr.AES_CBC, 128), (Encr.AES_GCM_16, 256), (Encr.CHACHA20_POLY1305, None)
SHA1, SHA2 = Integ.HMAC_SHA1_96, Integ.HMAC_SHA2_256_128


def test_each_combination_is_a_suite_and_what_has_no_number_is_none() -> None:
    mixed = EspProposal((CHACHA, GCM, AES), (SHA2, SHA1, Integ.AES_CMAC_96), (Group.MODP_2048,), esn=False)
    assert suites_of((mixed, mixed)) == (
        esp(*GCM, None, Group.MODP_2048),
        esp(*AES, SHA2, Group.MODP_2048),
        esp(*AES, SHA1, Group.MODP_2048),
    )


def test_ah_alone_and_around_esp() -> None:
    around = AhEspProposal((SHA1,), EspProposal((AES,), (SHA2,), (Group.ECP_256,), esn=False))
    alone = AhProposal((SHA2, Integ.AES_128_GMAC), esn=False)
    assert suites_of((around, alone)) == (
        both(ah(SHA1), esp(*AES, SHA2, Group.ECP_256)),
        ah(SHA2),
        ah(Integ.AES_128_GMAC),
    )


def test_long_sequence_numbers_come_before_short_ones() -> None:
    assert suites_of((AhProposal((SHA1,)),)) == (ah(SHA1, esn=True), ah(SHA1))
    assert suites_of((EspProposal((AES,), (SHA1,)),)) == (esp(*AES, SHA1, esn=True), esp(*AES, SHA1))


def test_what_failed_its_self_test_is_in_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(algorithms, "_withdrawn", {"sha1", "aes256gcm16", "ecp256"})
    assert suites_of((EspProposal((GCM,), ()), EspProposal((AES,), (SHA1,)), AhProposal((SHA1,)))) == ()
    # PFS isn't left out because its group isn't there
    assert suites_of((EspProposal((AES,), (SHA2,), (Group.ECP_256,)),)) == ()
