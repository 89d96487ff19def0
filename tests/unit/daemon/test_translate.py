"""Effects of the negotiation, as messages of the data plane."""

from ipaddress import ip_address

import pytest

from ipsecd.crypto.secret import Secret
from ipsecd.daemon import translate
from ipsecd.dataplane import messages
from ipsecd.ike import effects
from ipsecd.ike.config import Endpoint, Lifetime, Path
from ipsecd.wire.registry import Encr, Integ
from ipsecd.wire.selector import Selector
from ipsecd.wire.tfc import Tfc

NEAR, FAR = Selector.net("10.1.0.0/16"), Selector.net("10.2.0.0/16")
HERE, THERE = ip_address("192.0.2.1"), ip_address("192.0.2.2")
PATH = Path(Endpoint(HERE, 4_500), Endpoint(THERE, 62_001), natt=True)
OUTSIDE = messages.Outside(HERE, 4_500, THERE, 62_001)
KEYS = effects.ChildKeys(Encr.AES_CBC, 128, Integ.HMAC_SHA1_96, True, Secret(b"e" * 16), Secret(b"a" * 20))
SAME_KEYS = messages.EspKeys(12, 128, 2, True, b"e" * 16, b"a" * 20)
SOFT, HARD = Lifetime(10.0, 20, 30), Lifetime(40.0, 50, 60)
HIDDEN = Tfc(1_400, 5)
LIMITS = messages.Limits(10.0, 20, 30, 40.0, 50, 60)
OURS, PEERS = bytes.fromhex("c0000001"), bytes.fromhex("d0000002")


@pytest.mark.parametrize(
    ("effect", "message"),
    [
        (
            effects.InstallInbound(OURS, "to-hq/1", "to-hq", KEYS, (NEAR,), (FAR,), PATH, SOFT, HARD),
            messages.InstallInbound(0xC0000001, "to-hq/1", SAME_KEYS, (NEAR,), (FAR,), OUTSIDE, LIMITS, 1_024),
        ),
        (
            effects.InstallOutbound(PEERS, OURS, "to-hq/1", "to-hq", KEYS, (NEAR,), (FAR,), PATH, SOFT, HARD),
            messages.InstallOutbound(0xD0000002, 0xC0000001, "to-hq/1", SAME_KEYS, (NEAR,), (FAR,), OUTSIDE, LIMITS),
        ),
        (
            effects.InstallOutbound(
                PEERS, OURS, "to-hq/1", "to-hq", KEYS, (NEAR,), (FAR,), PATH, SOFT, HARD, tfc=HIDDEN, watched=True
            ),
            messages.InstallOutbound(
                0xD0000002, 0xC0000001, "to-hq/1", SAME_KEYS, (NEAR,), (FAR,), OUTSIDE, LIMITS, tfc=HIDDEN, watched=True
            ),
        ),
        (effects.RemoveInbound(OURS), messages.RemoveInbound(0xC0000001)),
        (effects.RemoveOutbound(PEERS, OURS), messages.RemoveOutbound(0xD0000002, 0xC0000001)),
        (effects.MovePath((OURS, PEERS), PATH), messages.MovePath((0xC0000001, 0xD0000002), OUTSIDE)),
        (effects.GiveUp("to-hq/1", "no answer"), messages.GiveUp("to-hq/1")),
        (effects.Coming("to-hq/1"), messages.Coming("to-hq/1")),
    ],
)
def test_each_effect_on_an_sa_has_its_message(effect: translate.SaEffect, message: messages.ToRoads) -> None:
    assert translate.message(effect, 1_024) == message


def test_what_the_roads_say_comes_back_in_the_terms_of_the_negotiation() -> None:
    assert translate.octets(0xC0000001) == OURS
    assert translate.path(OUTSIDE) == PATH
