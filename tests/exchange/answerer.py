"""A second, tiny IKE responder that shares no code with the negotiation: it answers gateway a whatever a test wants.

Like ``Stranger``, which calls; this one is called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ipsecd.ike import Ike
from ipsecd.ike.config import Endpoint, Path
from ipsecd.ike.effects import Effect, Send
from ipsecd.wire.identity import Identity
from ipsecd.wire.ike import Header, decode_header
from ipsecd.wire.ikev2 import decode, decode_chain, encode, encode_chain, sk_prefix
from ipsecd.wire.payloads import AnyPayload, Auth, IdR, Ke, Nonce, Notify, Proposal, Sa, Sk, Transform, TsI, TsR
from ipsecd.wire.registry import AuthMethod, Exchange, Flag, Group, NotifyType, Protocol
from tests.exchange.gateways import A, B
from tests.exchange.stranger import ESP_GCM, IKE_GCM, prf, prf_plus

Payloads = tuple[AnyPayload, ...]
Bend = Callable[[Payloads], Payloads]  # what a test makes of the payloads of a right answer


def as_they_are(payloads: Payloads) -> Payloads:
    return payloads


class Answerer:
    """Is called by ``ike``, gateway a. ``asked`` holds a's requests that aren't answered yet, newest last."""

    def __init__(self, ike: Ike, key: bytes, now: float = 1_000.0) -> None:
        self.ike = ike
        self.key = key
        self.now = now
        self.private = X25519PrivateKey.from_private_bytes(bytes(range(32)))
        self.public = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.nonce = bytes(range(100, 132))
        self.spi_r = b"answerer"
        self.asked: list[bytes] = []
        self.effects: list[Effect] = []  # all of them
        self._path = Path(Endpoint(ip_address(A), 500), Endpoint(ip_address(B), 500))
        self._iv = 0
        self._childs = 0

    # --- being asked ---

    def take(self, effects: list[Effect]) -> None:
        """What gateway a wants done: its requests are kept."""
        self.effects += effects
        self.asked += [effect.data for effect in effects if isinstance(effect, Send)]

    def hear(self, data: bytes) -> None:
        """A datagram from us to gateway a."""
        self.take(self.ike.receive(data, self._path, self.now))

    def exchanges(self) -> list[Exchange]:
        return [decode_header(data).exchange for data in self.asked]

    # --- IKE_SA_INIT ---

    def answer_init(self, bend: Bend = as_they_are, spi_r: bytes | None = None) -> None:
        request = self.asked.pop()
        message = decode(request)
        self.spi_i = message.header.spi_i
        nonce_i = next(payload.data for payload in message.payloads if isinstance(payload, Nonce))
        public = next(payload.data for payload in message.payloads if isinstance(payload, Ke))
        payloads: Payloads = (
            Sa((Proposal(1, Protocol.IKE, b"", IKE_GCM),)),
            Ke(Group.CURVE25519, self.public),
            Nonce(self.nonce),
            Notify(NotifyType.NAT_DETECTION_SOURCE_IP, bytes(20)),
            Notify(NotifyType.NAT_DETECTION_DESTINATION_IP, bytes(20)),
        )
        back = Header(self.spi_i, self.spi_r if spi_r is None else spi_r, 0, 2, 0, Exchange(34), Flag.RESPONSE, 0, 0)
        self.response = encode(back, bend(payloads))
        self.nonce_i = nonce_i
        shared = self.private.exchange(X25519PublicKey.from_public_bytes(public))
        self._expand(prf(nonce_i + self.nonce, shared), nonce_i + self.nonce, self.spi_i + self.spi_r)
        self.hear(self.response)
        self._path = replace(
            self._path,
            local=replace(self._path.local, port=4500),
            remote=replace(self._path.remote, port=4500),
            natt=True,
        )

    def _expand(self, skeyseed: bytes, nonces: bytes, spis: bytes) -> None:
        stream = prf_plus(skeyseed, nonces + spis, 32 + 20 + 20 + 32 + 32)
        self.sk_d, self.sk_ei, self.sk_er = stream[:32], stream[32:52], stream[52:72]
        self.sk_pi, self.sk_pr = stream[72:104], stream[104:]

    # --- sealed messages ---

    def read(self, data: bytes) -> Payloads:
        sealed = decode(data).sealed
        assert isinstance(sealed, Sk)
        iv, body = sealed.body[:8], sealed.body[8:]
        plain = AESGCM(self.sk_ei[:16]).decrypt(self.sk_ei[16:] + iv, body, sealed.prefix)
        return decode_chain(sealed.first, plain[: len(plain) - 1 - plain[-1]])

    def reply(self, request: bytes, payloads: Payloads) -> None:
        header = decode_header(request)
        self.say(
            Header(header.spi_i, header.spi_r, 0, 2, 0, header.exchange, Flag.RESPONSE, header.message_id, 0), payloads
        )

    def say(self, header: Header, payloads: Payloads) -> None:
        first, plain = encode_chain(payloads)
        iv = (2 << 32 | self._iv).to_bytes(8, "big")
        self._iv += 1
        prefix = sk_prefix(header, first, 8 + len(plain) + 1 + 16)
        self.hear(prefix + iv + AESGCM(self.sk_er[:16]).encrypt(self.sk_er[16:] + iv, plain + b"\0", prefix))

    def proof(self, identity: Identity) -> Auth:
        signed = self.response + self.nonce_i + prf(self.sk_pr, identity.encode())
        return Auth(AuthMethod.SHARED_KEY, prf(prf(self.key, b"Key Pad for IKEv2"), signed))

    def child(self, request: Payloads, transforms: tuple[Transform, ...] = ESP_GCM) -> Payloads:
        """SA, TSi, TSr that grant what is asked for."""
        self._childs += 1
        spi = b"\xd0\0\0" + bytes([self._childs])
        tsi, tsr = (next(payload for payload in request if isinstance(payload, kind)) for kind in (TsI, TsR))
        return (Sa((Proposal(1, Protocol.ESP, spi, transforms),)), tsi, tsr)

    def answer_auth(self, bend: Bend = as_they_are, identity: str = "b.example") -> None:
        request = self.asked.pop()
        who = Identity.parse(identity)
        self.reply(request, bend((IdR(who), self.proof(who), *self.child(self.read(request)))))

    def answer_child(self, bend: Bend = as_they_are, transforms: tuple[Transform, ...] = ESP_GCM) -> None:
        """To a request for a child, or for the successor of one."""
        request = self.asked.pop()
        offer, *selectors = self.child(self.read(request), transforms)
        pfs = any(isinstance(payload, Ke) for payload in self.read(request))
        ke = (Ke(Group.CURVE25519, self.public),) if pfs else ()
        self.reply(request, bend((offer, Nonce(self.nonce), *ke, *selectors)))

    def answer_rekey(self, bend: Bend = as_they_are) -> None:
        """To a request for the successor of the IKE SA."""
        request = self.asked.pop()
        offer = Sa((Proposal(1, Protocol.IKE, b"the heir", IKE_GCM),))
        self.reply(request, bend((offer, Nonce(self.nonce), Ke(Group.CURVE25519, self.public))))

    def connect(self) -> None:
        self.take(self.ike.up("net", self.now))
        self.answer_init()
        self.answer_auth()
