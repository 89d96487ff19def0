"""What strongSwan has said and computed in IKEv1, as parameters of tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ipsecd.crypto.algorithms import Encryption
from ipsecd.crypto.secret import Secret
from ipsecd.wire import ikev1
from ipsecd.wire.registry import Encr, Prf
from tests.unit.crypto.suites import cipher
from tests.unit.crypto.vectors import octets, vectors

CASES: dict[str, Any] = vectors("strongswan-ikev1")["cases"]


@dataclass(frozen=True)
class Captured:
    """One session. ``messages`` are datagrams as (whether of the initiator, octets, plaintext if it was logged)."""

    name: str
    values: dict[str, Any]
    messages: tuple[tuple[bool, bytes, bytes], ...]

    @property
    def prf(self) -> Prf:
        return Prf[self.values["prf"]]

    @property
    def encryption(self) -> Encryption:
        name, bits = self.values["encryption"]
        return cipher(Encr[name], bits)

    def octets(self, name: str) -> bytes:
        return octets(self.values[name])

    def secret(self, name: str) -> Secret:
        return Secret(self.octets(name))

    def decoded(self) -> list[tuple[bool, ikev1.Message, ikev1.Chain]]:
        """Messages with their chains, in clear or out of the logged plaintext; without those that aren't known."""
        found = []
        for ours, datagram, plain in self.messages:
            message = ikev1.decode(datagram)
            if not message.sealed:
                found.append((ours, message, message.chain))
            elif plain:
                found.append((ours, message, ikev1.decode_chain(message.first, plain)))
        return found

    def body(self, initiator: bool, kind: type) -> bytes:
        """The body of the first payload of this class that one side has sent."""
        for ours, _, chain in self.decoded():
            for payload, body in zip(chain.payloads, chain.bodies, strict=True):
                if ours == initiator and isinstance(payload, kind):
                    return body
        raise AssertionError(f"{self.name} has no such payload")

    @property
    def cookies(self) -> tuple[bytes, bytes]:
        header = ikev1.decode(self.messages[1][1]).header
        return header.cookie_i, header.cookie_r


def _read(name: str, values: dict[str, Any]) -> Captured:
    messages = tuple((m["from"] == "i", octets(m["data"]), octets(m.get("plain", ""))) for m in values["messages"])
    return Captured(name, values, messages)


CAPTURED = {name: _read(name, values) for name, values in CASES.items()}
