"""Phases 1 of two strongSwan, and one of our ends in the place of either."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

from ipsecd.crypto.certificates import Certificate
from ipsecd.crypto.rsa_signature import RsaPrivate
from ipsecd.crypto.secret import Secret
from ipsecd.ike.config import Endpoint, IkeConfig, Path
from ipsecd.ike.core import Core
from ipsecd.ike.effects import Send
from ipsecd.ike.v1.extended import is_hybrid
from ipsecd.ike.v1.fragments import Joining
from ipsecd.ike.v1.methods import Certified
from ipsecd.ike.v1.terms import Terms
from ipsecd.pki.raw_chain import RawChain
from ipsecd.wire import ikev1
from ipsecd.wire.identity import Identity
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.ikev1_payloads import AnyPayload, Fragment, Ke, NatD, Nonce, Sa
from ipsecd.wire.registry import Encr, Group, Prf
from ipsecd.wire.registry_v1 import OakleyAuth
from tests.exchange.known import TheirEntropy, TheirPair
from tests.exchange.phase_1 import suite
from tests.unit.crypto.vectors import octets, vectors

CASES: dict[str, Any] = vectors("strongswan-ikev1-phase-1")["cases"]
EXTENDED: dict[str, Any] = vectors("strongswan-ikev1-xauth")["cases"]
IN_2026 = 1_780_000_000.0
ENDS = {True: Endpoint(ip_address("192.0.2.1"), 500), False: Endpoint(ip_address("192.0.2.2"), 500)}


@dataclass(frozen=True)
class Session:
    """``whole`` are its messages, put together where they were cut, as (whether of the initiator, port, octets)."""

    name: str
    values: dict[str, Any]
    whole: tuple[tuple[bool, int, bytes], ...]

    def octets(self, name: str) -> bytes:
        return octets(self.values[name])

    def said(self, initiator: bool, kind: type) -> AnyPayload:
        """The first payload of this kind that one side has said in clear."""
        for ours, _, data in self.whole:
            for payload in ikev1.decode(data).chain.payloads:
                if ours == initiator and isinstance(payload, kind):
                    return payload
        raise AssertionError(kind)

    def said_body(self, initiator: bool, kind: type[Ke | Nonce | NatD]) -> bytes:
        payload = self.said(initiator, kind)
        return payload.hash if isinstance(payload, NatD) else payload.data  # type: ignore[union-attr]  # of these kinds

    @property
    def offer(self) -> Sa:
        found = self.said(True, Sa)
        assert isinstance(found, Sa)
        return found

    @property
    def cookies(self) -> tuple[bytes, bytes]:
        header = ikev1.decode(self.whole[1][2]).header
        return header.cookie_i, header.cookie_r

    def path(self, initiator: bool, port: int) -> Path:
        """Of what that side hears and says at this port."""
        ours, theirs = (replace(ENDS[side], port=port) for side in (initiator, not initiator))
        return Path(ours, theirs, natt=port == 4500)

    def end(self, initiator: bool, *random: bytes) -> tuple[Core, Terms]:
        """Ours in the place of one side, which takes these octets for random ones, behind its nonce."""
        group = Group(self.values["group"])
        theirs, ours = (self.said_body(side, Ke) for side in (not initiator, initiator))
        pair = TheirPair(group, ours, theirs, self.octets("shared"))
        core = Core(IkeConfig(), TheirEntropy(pair, self.said_body(initiator, Nonce), *random))
        encr, bits = self.values["encryption"]
        signs = "authority" in self._certificates
        method = OakleyAuth[self.values.get("method", "RSA_SIGNATURE" if signs else "PSK")]
        client = initiator and is_hybrid(method)
        name = "C=XX, O=peers, CN={}.peers.test" if self.name == "aggressive-rsa" else "{}.peers.test"
        us, them = (Identity.parse(name.format("a" if side else "b")) for side in (initiator, not initiator))
        if self.name == "aggressive-rsa":  # their name has another type of string in it than ours would
            shown = self.said(initiator, Id)
            assert isinstance(shown, Id)
            us = shown.identity
        return core, Terms(
            (suite(Encr[encr], bits, Prf[self.values["prf"]], group, method),),
            Secret(octets(self.values.get("psk", ""))),
            us,
            them,
            seconds=3_600,
            first=initiator and self.name not in ("aggressive-psk", "aggressive-rsa"),
            force_udp=True,
            certified=self.certified("i" if initiator else "r") if signs and not client else None,
            trust=self._trust if client else None,
            i_accept_names_in_clear=True,
            i_accept_offline_guessing=True,
        )

    def certified(self, side: str) -> Certified:
        chain, key = (octets(self._certificates[f"{kind}_{side}"]) for kind in ("certificate", "key"))
        return Certified((chain,), RsaPrivate(Secret(key)), self._trust)

    @property
    def _certificates(self) -> dict[str, Any]:
        found: dict[str, Any] = CASES[self.values["certified"]] if "certified" in self.values else self.values
        return found

    @property
    def _trust(self) -> RawChain:
        return RawChain((Certificate(octets(self._certificates["authority"])),), lambda: IN_2026)


def sent(core: Core) -> bytes:
    """The one message that was just said, put together if it was cut."""
    joining, whole = Joining(core), b""
    for effect in core.take_effects():
        assert isinstance(effect, Send)
        assert not whole
        message = ikev1.decode(effect.data)
        if not any(isinstance(payload, Fragment) for payload in message.chain.payloads):
            whole = effect.data
        else:
            whole = joining.add(message) or b""
    return whole


def _read(name: str, values: dict[str, Any]) -> Session:
    whole: list[tuple[bool, int, bytes]] = []
    joining = Joining(Core(IkeConfig(), TheirEntropy(TheirPair(Group.MODP_2048, b"", b"", b""))))
    for each in values["messages"]:
        data: bytes | None = octets(each["data"])
        assert data is not None
        message = ikev1.decode(data)
        if any(isinstance(payload, Fragment) for payload in message.chain.payloads):
            data = joining.add(message)
        if data is not None:
            whole.append((each["from"] == "i", each["port"], data))
    return Session(name, values, tuple(whole))


SESSIONS = {name: _read(name, values) for name, values in CASES.items()}
EXTENDED_SESSIONS = {name: _read(name, values) for name, values in EXTENDED.items()}
