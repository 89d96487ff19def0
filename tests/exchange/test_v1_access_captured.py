"""XAUTH and mode config of two strongSwan, and one of our ends in the place of either: phase 1, with a pre-shared key
and hybrid, is continued to the octet, and so is what is said of users."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from ipsecd.crypto.isakmp_cipher import IvChain
from ipsecd.crypto.secret import Secret
from ipsecd.ike.address_pool import AddressPool
from ipsecd.ike.core import Core
from ipsecd.ike.v1 import initiating
from ipsecd.ike.v1.access import Client, Gateway, Handing, User
from ipsecd.ike.v1.aggressive_responder import AggressiveResponder
from ipsecd.ike.v1.candidates import Candidates
from ipsecd.ike.v1.child_pair import ChildPair
from ipsecd.ike.v1.gate import Gate
from ipsecd.ike.v1.main_initiator import MainModeInitiator
from ipsecd.ike.v1.main_responder import MainModeResponder
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.session import Session, Settings
from ipsecd.wire import ikev1, mode_config
from ipsecd.wire.ikev1_attributes import Attribute
from ipsecd.wire.ikev1_payloads import Attributes, NatD
from ipsecd.wire.mode_config import NetworkSettings
from ipsecd.wire.registry import ConfigType
from ipsecd.wire.registry_v1 import ConfigAttribute, Exchange, Protocol
from tests.exchange.captured_phase_1 import EXTENDED_SESSIONS, sent
from tests.exchange.captured_phase_1 import Session as Captured
from tests.exchange.known import TheirEntropy

PSK, HYBRID, AGGRESSIVE, WRONG = "main-psk", "main-hybrid", "aggressive-hybrid", "wrong-password"
GIVEN = NetworkSettings((ip_address("10.3.0.1"),), (ip_address("10.2.0.1"),))


@pytest.fixture(autouse=True)
def _their_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    """strongSwan adds a block of zeros to what is whole blocks already, which RFC 2409 appendix B doesn't want."""
    seal = IvChain.seal
    monkeypatch.setattr(IvChain, "seal", lambda self, text: seal(self, text + bytes(16 * (len(text) % 16 == 0))))


class Side:
    """Ours, behind a phase 1 that it was part of. ``told`` is what becomes of it."""

    def __init__(self, name: str, access: Client | Gateway, *, initiator: bool, identifier: bytes = b"\0\0") -> None:
        self.captured = EXTENDED_SESSIONS[name]
        self.told: list[object] = []
        split = next(n for n, (_, _, data) in enumerate(self.captured.whole) if _exchange(data) == Exchange.TRANSACTION)
        self.transactions = [data for _, _, data in self.captured.whole[split:]]
        phase_1 = self.captured.whole[:split]
        self.core, self.sa = _as_initiator(self.captured) if initiator else _as_responder(self.captured, phase_1)
        self.dictate(identifier)
        self.session = Session(self.core, self.sa, 0.0, Settings((), access=access), self)

    def dictate(self, *octets: bytes) -> None:
        entropy = self.core.entropy
        assert isinstance(entropy, TheirEntropy)
        entropy.dictated = {}
        entropy.dictate(*octets)

    def use_id(self, number: int) -> None:
        """Of the next transaction that we begin, as they have begun theirs."""
        self.dictate(b"\0\0", self.transactions[number][20:24])

    def hear(self, number: int) -> list[bytes]:
        """A message of theirs, and what we say to it."""
        self.session.hear(ikev1.decode(self.transactions[number]))
        return self.said()

    def said(self) -> list[bytes]:
        return [effect.data for effect in self.core.take_effects()]  # type: ignore[union-attr]  # all of them are sent

    def begin(self) -> list[bytes]:
        self.session.begin_access()
        return self.said()

    def inside(self, question: bytes, answer: bytes) -> Attributes:
        """What is in an answer to this."""
        asked, said = ikev1.decode(question), ikev1.decode(answer)
        chain = self.sa.cipher.phase_2(self.sa.chain, asked.header.message_id)
        chain.accept(asked.sealed)
        payload = ikev1.decode_chain(said.first, chain.open(said.sealed)).payloads[1]
        assert isinstance(payload, Attributes)
        return payload

    # --- as the owner of a session ---

    def admitted(self, session: Session) -> None:
        self.told.append(f"admitted {session.sa.user}")

    def configured(self, session: Session, settings: NetworkSettings) -> None:
        self.told.append(settings)

    def over(self, session: Session, reason: str) -> None:
        self.told.append(reason)

    def making(self, pair: ChildPair) -> None:
        raise AssertionError

    def made(self, session: Session, pair: ChildPair) -> None:
        raise AssertionError

    def withdrawn(self, session: Session, pair: ChildPair, reason: str) -> None:
        raise AssertionError

    def deleted(self, protocol: Protocol, spis: tuple[bytes, ...]) -> None:
        raise AssertionError

    def alone(self, session: Session) -> None:
        raise AssertionError

    def gone(self, session: Session) -> None:
        raise AssertionError

    def due(self, session: Session) -> None:
        raise AssertionError

    def exhausted(self) -> None:
        raise AssertionError


def _exchange(data: bytes) -> Exchange:
    return ikev1.decode(data).header.exchange


def _fake_source(data: bytes) -> bytes:
    """Of an end that pretends to be behind a NAT."""
    return next(each.hash for each in ikev1.decode(data).chain.payloads[::-1] if isinstance(each, NatD))


def _as_responder(captured: Captured, phase_1: tuple[tuple[bool, int, bytes], ...]) -> tuple[Core, IsakmpSa]:
    aggressive = _exchange(phase_1[0][2]) == Exchange.AGGRESSIVE
    core, terms = captured.end(False, *(() if aggressive else (_fake_source(phase_1[3][2]),)))
    made: list[IsakmpSa] = []
    kind = AggressiveResponder if aggressive else MainModeResponder
    responder = kind(core, Candidates((terms,)), captured.cookies[1], made.append, pytest.fail)
    answers = []
    for ours, port, data in phase_1:
        if ours:
            responder.hear(ikev1.decode(data), data, captured.path(False, port))
            answers.append(sent(core))
    if not aggressive:
        assert answers[1:] == [phase_1[3][2], phase_1[5][2]]
    return core, _known(captured, made)


def _as_initiator(captured: Captured) -> tuple[Core, IsakmpSa]:
    """Of main mode. Their offer is taken for ours."""
    core, terms = captured.end(True, _fake_source(captured.whole[2][2]))
    made: list[IsakmpSa] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(initiating, "offer", lambda *_: captured.offer)
        initiator = MainModeInitiator(
            core, terms, captured.path(True, 500), captured.cookies[0], made.append, pytest.fail
        )
        said = [sent(core)]
        for heard in (1, 3):
            _, port, data = captured.whole[heard]
            initiator.hear(ikev1.decode(data), captured.path(True, port))
            said.append(sent(core))
    assert said[1:] == [captured.whole[2][2], captured.whole[4][2]]
    initiator.hear(ikev1.decode(captured.whole[5][2]), captured.path(True, 4500))
    return core, _known(captured, made)


def _known(captured: Captured, made: list[IsakmpSa]) -> IsakmpSa:
    keys = made[0].keys
    found = [secret.reveal().hex() for secret in (keys.skeyid, keys.d, keys.a, keys.e, keys.cipher)]
    assert found == [captured.values[name] for name in ("skeyid", "skeyid_d", "skeyid_a", "skeyid_e", "key")]
    return made[0]


def gate(captured: Captured) -> Gate:
    """Their password, or another where they have one that is wrong."""
    right = b"peers-benchmark-psk"
    return Gate(lambda user, password, then: then((user, password.reveal()) == (captured.values["user"], right)))


@pytest.mark.parametrize("name", [PSK, HYBRID, AGGRESSIVE])
def test_strongswan_s_client_comes_in(name: str) -> None:
    handing = Handing((AddressPool(ip_network("10.3.0.0/24")),), GIVEN.dns)
    side = Side(name, Gateway(gate(EXTENDED_SESSIONS[name]), handing), initiator=False)
    side.use_id(0)
    assert side.begin() == [side.transactions[0]]  # REQUEST
    side.use_id(2)
    assert side.hear(1) == [side.transactions[2]]  # REPLY, SET
    assert side.hear(3) == []  # ACK
    assert side.told == []
    (answer,) = side.hear(4)  # REQUEST
    theirs = side.inside(side.transactions[4], side.transactions[5])
    ours = side.inside(side.transactions[4], answer)
    assert (ours.type, ours.identifier) == (theirs.type, theirs.identifier) == (ConfigType.REPLY, 0)
    assert set(theirs.attributes) < set(ours.attributes)
    assert {each.type for each in ours.attributes} - {each.type for each in theirs.attributes} == {
        ConfigAttribute.INTERNAL_IP4_NETMASK
    }
    assert side.told == [GIVEN, "admitted a.peers.test"]


@pytest.mark.parametrize("name", [PSK, HYBRID])
def test_we_come_in_to_strongswan(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = (Attribute(ConfigAttribute.INTERNAL_IP4_ADDRESS, b""),)  # theirs is for less than ours would be
    monkeypatch.setattr(mode_config, "requests", lambda _: asked)
    values = EXTENDED_SESSIONS[name].values
    side = Side(name, Client(User(values["user"], Secret(values["password"].encode())), (4,)), initiator=True)
    assert side.begin() == []
    assert side.hear(0) == [side.transactions[1]]  # REQUEST, REPLY
    side.use_id(4)
    ack, request = side.hear(2)  # SET
    assert side.inside(side.transactions[2], ack) == Attributes(ConfigType.ACK, 0, ())
    assert request == side.transactions[4]
    assert side.hear(5) == []  # REPLY
    assert side.told == [GIVEN, "admitted "]


def test_strongswan_s_client_with_another_password_does_not() -> None:
    side = Side(WRONG, Gateway(gate(EXTENDED_SESSIONS[WRONG])), initiator=False)
    side.use_id(0)
    assert side.begin() == [side.transactions[0]]
    side.use_id(2)
    assert side.hear(1) == [side.transactions[2]]  # the failure, to the octet
    (farewell,) = side.hear(3)
    assert _exchange(farewell) == Exchange.INFORMATIONAL
    assert side.told == ["there is no user 'a.peers.test' with this password"]


def test_strongswan_s_gateway_does_not_let_another_password_in() -> None:
    values = EXTENDED_SESSIONS[WRONG].values
    side = Side(WRONG, Client(User(values["user"], Secret(values["password"].encode())), (4,)), initiator=True)
    side.begin()
    assert side.hear(0) == [side.transactions[1]]
    assert len(side.hear(2)) == 2  # ACK, and the end
    assert side.told == ["the gateway doesn't let user 'a.peers.test' in"]
