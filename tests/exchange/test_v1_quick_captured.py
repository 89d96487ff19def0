"""Quick modes of strongSwan, continued to the octet as either side (``tests/vectors/strongswan-ikev1.json``)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd.crypto.isakmp_cipher import IsakmpCipher
from ipsecd.crypto.keymat_v1 import IsakmpKeys
from ipsecd.crypto.secret import Secret
from ipsecd.ike.config import Endpoint, IkeConfig, Lifetime, Path
from ipsecd.ike.core import Core
from ipsecd.ike.effects import AhChildKeys, ChildKeys, InstallInbound, InstallOutbound, Send
from ipsecd.ike.nat import Nat
from ipsecd.ike.suites import ChildSuite
from ipsecd.ike.v1 import natt
from ipsecd.ike.v1.child_pair import ChildPair
from ipsecd.ike.v1.exchanges import Exchanges
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.quick_terms import Ends, QuickTerms
from ipsecd.ike.v1.transactions import Answer
from ipsecd.wire import ikev1, vendor_ids
from ipsecd.wire.identity import Identity
from ipsecd.wire.ikev1_payloads import Attributes, Delete, Ke, Nonce, Sa
from ipsecd.wire.registry import Encr, Group, Integ
from ipsecd.wire.registry_v1 import Exchange, Protocol
from ipsecd.wire.selector import Selector
from tests.exchange.entropy import SeededEntropy
from tests.exchange.known import TheirEntropy, TheirPair
from tests.exchange.phase_1 import suite, terms
from tests.exchange.v1_suites import ah, esp
from tests.unit.crypto.captured_v1 import CAPTURED, Captured

SUITES: dict[str, ChildSuite] = {
    "psk": esp(Encr.AES_CBC, 128, Integ.HMAC_SHA1_96, Group.MODP_2048),
    "rsa": esp(Encr.AES_CBC, 256, Integ.HMAC_SHA2_256_128),
    "aggressive": esp(Encr.TRIPLE_DES, None, Integ.HMAC_MD5_96),
    "ah": ah(Integ.HMAC_SHA2_256_128),
}
A, B = Endpoint(ip_address("192.0.2.1"), 4500), Endpoint(ip_address("192.0.2.2"), 4500)
LEFT = {name: Selector.net("10.3.0.1/32" if name == "aggressive" else "10.1.0.0/24") for name in SUITES}
RIGHT = Selector.net("10.2.0.0/24")


def quick(session: Captured) -> list[bytes]:
    """Its datagrams; of the AH session two, as strongSwan's initiator can't do AH without a kernel."""
    return [data for _, data, _ in session.messages if ikev1.decode(data).header.exchange == Exchange.QUICK]


def isakmp_sa(session: Captured, *, initiator: bool) -> IsakmpSa:
    encr, bits = session.values["encryption"]
    of_1 = suite(Encr[encr], bits, session.prf, Group(session.values["group"]))
    keys = IsakmpKeys(*(session.secret(name) for name in ("skeyid", "skeyid_d", "skeyid_a", "skeyid_e", "key")))
    cipher = IsakmpCipher(session.prf, of_1.encryption, keys.cipher)
    chain = cipher.phase_1(b"", b"")
    chain.accept([data for _, data, _ in session.messages if not ikev1.decode(data).header.message_id][-1])
    path = Path(A, B, natt=True) if initiator else Path(B, A, natt=True)
    return IsakmpSa(
        terms=terms(),
        initiator=initiator,
        cookies=session.cookies,
        suite=of_1,
        keys=keys,
        cipher=cipher,
        chain=chain,
        remote_id=Identity.parse("b.peers.test"),
        seconds=3_600,
        revision=natt.REVISIONS[0],
        nat=Nat(here=False, there=True),
        path=path,
        in_udp=True,
        vendor_ids=(),
        alone=False,
    )


class Side:
    """We are one side of a session: we have its randomness, and hear what the other side has said."""

    def __init__(self, name: str, *, initiator: bool) -> None:
        self.session = CAPTURED[name]
        self.datagrams = quick(self.session)
        self.pairs: list[ChildPair] = []
        self.deletes: list[tuple[Protocol, tuple[bytes, ...]]] = []
        self.reasons: list[str] = []
        chains = [chain for _, message, chain in self.session.decoded() if message.header.exchange == Exchange.QUICK]
        ours, theirs = chains[:2] if initiator else reversed(chains[:2])
        values = [[each.data for each in chain.payloads if isinstance(each, Ke)] for chain in (ours, theirs)]
        (self.nonce,) = (each.data for each in ours.payloads if isinstance(each, Nonce))
        (self.spi,) = (each.proposals[0].spi for each in ours.payloads if isinstance(each, Sa))
        entropy = SeededEntropy(0)
        if values[0]:
            shared = bytes.fromhex(self.session.values["quick"]["shared"])
            entropy = TheirEntropy(TheirPair(Group.MODP_2048, values[0][0], values[1][0], shared))
        entropy.dictate(self.nonce, *((self.datagrams[0][20:24],) if initiator else ()), self.spi)
        self.entropy = entropy
        self.core = Core(IkeConfig(), entropy)
        sa = isakmp_sa(self.session, initiator=initiator)
        local, remote = (LEFT[name], RIGHT) if initiator else (RIGHT, LEFT[name])
        lifetime = Lifetime(None if initiator else 28_800)
        self.terms = QuickTerms("c", "p", (SUITES[name],), (local,), (remote,), lifetime)
        self.ends = Ends(local, remote)
        self.all = Exchanges(self.core, sa, (self.terms,), self, idle=600.0)

    admitted = True

    def take(self, said: Attributes) -> Answer:
        raise AssertionError(said)

    def may_begin(self) -> bool:
        return True

    def making(self, pair: ChildPair) -> None:
        assert pair.spi == self.spi

    def made(self, pair: ChildPair) -> None:
        pair.open_outbound(self.core)
        self.pairs.append(pair)

    def withdrawn(self, pair: ChildPair, reason: str) -> None:
        self.reasons.append(reason)

    def failed(self, reason: str) -> None:
        self.reasons.append(reason)

    ended = failed

    def lost(self) -> None:
        raise AssertionError

    alone = lost

    def deleted(self, protocol: Protocol, spis: tuple[bytes, ...]) -> None:
        self.deletes.append((protocol, spis))

    def begin(self) -> bytes:
        self.all.begin(self.terms, self.ends, self.made, self.failed)
        return self.sent()[0]

    def hear(self, data: bytes) -> list[bytes]:
        self.all.hear(ikev1.decode(data))
        return self.sent()

    def sent(self) -> list[bytes]:
        effects = self.core.take_effects()
        self.installed = [each for each in effects if isinstance(each, InstallInbound | InstallOutbound)]
        return [each.data for each in effects if isinstance(each, Send)]


def keys_of(keys: ChildKeys | AhChildKeys) -> dict[str, str]:
    found: dict[str, Secret] = {"integ": keys.integrity_key}
    if isinstance(keys, ChildKeys):
        found["encr"] = keys.encryption_key
    return {name: secret.reveal().hex() for name, secret in found.items()}


def expected(session: Captured, side: str) -> dict[str, str]:
    names = ("integ", "encr")
    return {
        name: session.values["quick"][f"{name}_{side}"] for name in names if f"{name}_{side}" in session.values["quick"]
    }


@pytest.fixture(autouse=True)
def padded_as_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """strongSwan adds a block of zeros to what is whole blocks already; RFC 2409 appendix B doesn't want any. The IV
    of the next message is in it."""
    encrypt = IsakmpCipher.encrypt

    def padded(self: IsakmpCipher, iv: bytes, plaintext: bytes) -> bytes:
        return encrypt(self, iv, plaintext + bytes(self.block - len(plaintext) % self.block))

    monkeypatch.setattr(IsakmpCipher, "encrypt", padded)


@pytest.mark.parametrize("name", SUITES)
def test_strongswan_s_responder_hears_what_it_has_heard(name: str) -> None:
    us = Side(name, initiator=True)
    assert us.begin() == us.datagrams[0]
    assert us.hear(us.datagrams[1]) == us.datagrams[2:] or name == "ah"
    (inbound, outbound) = us.installed
    assert (keys_of(outbound.keys), keys_of(inbound.keys)) == (expected(us.session, "i"), expected(us.session, "r"))
    assert (inbound.spi, inbound.hard.seconds) == (us.spi, 28_800)
    assert inbound.path == Path(A, B, natt=True)


@pytest.mark.parametrize("name", SUITES)
def test_strongswan_s_initiator_hears_what_it_has_heard(name: str) -> None:
    us = Side(name, initiator=False)
    assert us.hear(us.datagrams[0]) == [us.datagrams[1]]
    (inbound,) = us.installed
    assert (inbound.spi, keys_of(inbound.keys)) == (us.spi, expected(us.session, "i"))
    if name == "ah":
        return
    assert us.hear(us.datagrams[2]) == []
    (outbound,) = us.installed
    assert keys_of(outbound.keys) == expected(us.session, "r")
    assert [pair.suite for pair in us.pairs] == [SUITES[name]]


# --- what they tell each other ------------------------------------------------------------------------------------


def told(session: Captured) -> list[tuple[bool, bytes]]:
    """Informational messages, and whether they are of the initiator."""
    return [
        (of_i, data)
        for of_i, data, _ in session.messages
        if ikev1.decode(data).header.exchange == Exchange.INFORMATIONAL
    ]


def test_strongswan_s_question_is_answered_as_strongswan_does() -> None:
    us = Side("psk", initiator=True)
    (_, first), (_, answer), (_, second), (_, other), *_ = told(us.session)
    us.entropy.dictated[4] = [answer[20:24], other[20:24]]
    assert (us.hear(first), us.hear(second)) == ([answer], [other])


def test_strongswan_s_answer_to_a_question_of_ours_is_heard() -> None:
    us = Side("psk", initiator=False)
    (_, first), (_, answer), *_ = told(us.session)
    us.entropy.dictated[4] = [bytes.fromhex("08671e8b"), first[20:24]]
    sa = replace(isakmp_sa(us.session, initiator=False), vendor_ids=(vendor_ids.DPD,))
    us.all = Exchanges(us.core, sa, (), us, idle=10.0)
    us.core.now = 10.0
    for timer in us.core.timers.due(10.0):
        timer.ring()
    assert us.sent() == [first]
    assert us.hear(answer) == []
    us.core.now = 15.0
    assert us.core.timers.deadline() == 20.0


@pytest.mark.parametrize("name", ["psk", "rsa", "aggressive"])
def test_strongswan_s_deletes_are_heard_and_said_the_same_way(name: str) -> None:
    us, them = Side(name, initiator=False), Side(name, initiator=True)
    (_, of_esp), (_, of_isakmp) = told(us.session)[-2:]
    assert us.hear(of_esp) == us.hear(of_isakmp) == []
    assert (us.deletes, us.reasons) == ([(Protocol.ESP, (them.spi,))], ["the peer has ended the ISAKMP SA"])
    them.entropy.dictated[4] = [of_esp[20:24], of_isakmp[20:24]]
    them.all.delete(Delete(Protocol.ESP, (them.spi,)))
    them.all.end("told so")
    assert them.sent() == [of_esp, of_isakmp]


def test_strongswan_s_refusal_of_what_it_has_got_takes_it_back() -> None:
    us = Side("ah", initiator=False)
    us.hear(us.datagrams[0])
    us.hear(told(us.session)[0][1])
    assert us.reasons == ["the peer says NO_PROPOSAL_CHOSEN"]
    assert us.core.promised == set()
