"""Keys of IKEv1 for export, where the policy asks for that and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ipsecd.crypto.isakmp_cipher import IsakmpCipher
from ipsecd.crypto.secret import Secret
from ipsecd.ike.effects import KeyLog
from ipsecd.ike.suites import ChildSuite
from ipsecd.ike.v1.session import Settings
from ipsecd.wire import ikev1
from ipsecd.wire.registry import Encr, Integ
from ipsecd.wire.registry_v1 import Exchange
from tests.exchange.phase_2 import mirrored, terms
from tests.exchange.v1_gateways import Gateways
from tests.exchange.v1_line import OURS, THEIRS
from tests.exchange.v1_suites import ah, both, esp

Fields = dict[str, Any]


def up(*suites: ChildSuite, keylog: bool = True, of_children: bool = True) -> Gateways:
    of_i = replace(terms(*suites), keylog=of_children)
    return Gateways(Settings((of_i,), keylog=keylog), Settings((mirrored(of_i),), keylog=keylog)).up()


def logged(line: Gateways, kind: str) -> tuple[list[Fields], list[Fields]]:
    of_i, of_r = (
        [each.fields for each in end.effects if isinstance(each, KeyLog) and each.kind == kind]
        for end in (line.i, line.r)
    )
    return of_i, of_r


def test_the_key_of_an_isakmp_sa_opens_what_went_by_it() -> None:
    line = up()
    (of_i,), (of_r,) = logged(line, "isakmp")
    (sa,) = line.i.all.isakmp_sas
    assert of_i == of_r
    assert (set(of_i), of_i["cookie_i"]) == ({"cookie_i", "key"}, sa.cookies[0])
    cipher = IsakmpCipher(sa.suite.prf.id, sa.suite.encryption, Secret(of_i["key"]))
    messages = [ikev1.decode(data) for data in line.i.sent]
    quick = next(each for each in messages if each.header.exchange == Exchange.QUICK)
    opened = cipher.phase_2(sa.chain, quick.header.message_id).open(quick.sealed)
    assert [type(each).__name__ for each in ikev1.decode_chain(quick.first, opened).payloads] == [
        "Hash",
        "Sa",
        "Nonce",
        "Id",
        "Id",
    ]


def test_a_pair_of_esp_has_an_entry_for_each_direction() -> None:
    line = up()
    of_i, of_r = logged(line, "esp")
    assert len(of_i) == 2
    assert of_i == of_r[::-1]
    (installed,) = line.i.inbound.values()
    assert of_i[0] == {
        "source": THEIRS.address,
        "destination": OURS.address,
        "spi": installed.spi,
        "encryption": Encr.AES_CBC,
        "key_bits": 128,
        "integrity": Integ.HMAC_SHA2_256_128,
        "encryption_key": installed.keys.encryption_key.reveal(),  # type: ignore[union-attr]  # it's ESP
        "integrity_key": installed.keys.integrity_key.reveal(),
    }


def test_of_ah_around_esp_the_keys_of_esp_alone_are_of_use() -> None:
    of_i, _ = logged(up(both(ah(), esp())), "esp")
    assert [each["encryption"] for each in of_i] == [Encr.AES_CBC] * 2
    assert logged(up(ah()), "esp") == ([], [])


def test_what_a_rekey_makes_is_logged_too() -> None:
    line = up()
    line.act(lambda: line.i.all.rekey("c")).run(line.now + 5.0)
    of_i, of_r = logged(line, "esp")
    assert (len(of_i), len(of_r)) == (4, 4)
    line.act(line.i.all.renew).run(line.now + 5.0)
    of_i, of_r = logged(line, "isakmp")
    assert len({each["cookie_i"] for each in of_i}) == 2
    assert of_i == of_r


def test_who_does_not_ask_for_it_gets_none() -> None:
    quiet = up(keylog=False, of_children=False)
    assert (logged(quiet, "isakmp"), logged(quiet, "esp")) == (([], []), ([], []))
    of_one = up(of_children=False)
    assert ([len(each) for each in logged(of_one, "isakmp")], logged(of_one, "esp")) == ([1, 1], ([], []))
