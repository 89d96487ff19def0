"""A second, tiny IKE initiator that shares no code with the negotiation: it says whatever a test wants it to say.

It knows the key derivations of RFC 7296, sends with the header fields a test dictates, and keeps no rules.
"""

from __future__ import annotations

import hmac
from functools import cache
from hashlib import sha256
from ipaddress import ip_address
from random import Random

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ipsecd.ike import Ike
from ipsecd.ike.config import Endpoint, IkeConfig, Path
from ipsecd.ike.drops import DROPS
from ipsecd.ike.effects import Effect, Send
from ipsecd.wire.identity import Identity
from ipsecd.wire.ike import Header, decode_header
from ipsecd.wire.ikev2 import Message, decode, decode_chain, encode, encode_chain, sk_prefix
from ipsecd.wire.payloads import (
    AnyPayload,
    Auth,
    IdI,
    IdR,
    Ke,
    Nonce,
    Notify,
    Proposal,
    Sa,
    Sk,
    Transform,
    TsI,
    TsR,
)
from ipsecd.wire.registry import (
    AuthMethod,
    Encr,
    Esn,
    Exchange,
    Flag,
    Group,
    NotifyType,
    Prf,
    Protocol,
    TransformType,
)
from ipsecd.wire.selector import Selector
from tests.exchange.entropy import SeededEntropy
from tests.exchange.gateways import KEY, A, B, peer_a

IKE_GCM = (
    Transform(TransformType.ENCR, Encr.AES_GCM_16, 128),
    Transform(TransformType.PRF, Prf.HMAC_SHA2_256),
    Transform(TransformType.DH, Group.CURVE25519),
)
ESP_GCM = (Transform(TransformType.ENCR, Encr.AES_GCM_16, 128), Transform(TransformType.ESN, Esn.NO))


# A few key pairs for all strangers, and what they agreed upon: that would be most of a failed handshake's time.
_KEYS = 8


@cache
def _private(number: int) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(Random(f"stranger {number}").randbytes(32))


@cache
def _public(number: int) -> bytes:
    return _private(number).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


@cache
def _shared(number: int, public: bytes) -> bytes:
    return _private(number).exchange(X25519PublicKey.from_public_bytes(public))


def prf(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, sha256)


def prf_plus(key: bytes, seed: bytes, octets: int) -> bytes:
    stream = block = b""
    count = 1
    while len(stream) < octets:
        block = prf(key, block + seed + bytes([count]))
        stream += block
        count += 1
    return stream[:octets]


class Stranger:
    """Calls the gateway ``ike`` at ``local`` from ``remote``. Times are its own: ``now`` only moves when told."""

    def __init__(self, ike: Ike, local: str, remote: str, now: float = 1_000.0, seed: int = 0) -> None:
        self.ike = ike
        self.now = now
        self.path = Path(Endpoint(ip_address(local), 500), Endpoint(ip_address(remote), 500))
        self.random = Random(seed)
        self.spi_i = self.random.randbytes(8)
        self.spi_r = bytes(8)
        self.nonce = self.random.randbytes(32)
        self.private = seed % _KEYS
        self.request = self.response = b""
        self.effects: list[Effect] = []
        self._iv = 0

    # --- talking ---

    def send(self, data: bytes) -> list[bytes]:
        """What the gateway sends because of these octets."""
        self.effects = self.ike.receive(data, self.path, self.now)
        assert self.ike.counters["internal-error"] == 0, self.effects
        assert self.ike.counters.keys() <= DROPS.keys()
        return [effect.data for effect in self.effects if isinstance(effect, Send)]

    def header(self, exchange: Exchange, message_id: int, flags: Flag = Flag.INITIATOR) -> Header:
        return Header(self.spi_i, self.spi_r, 0, 2, 0, exchange, flags, message_id, 0)

    # --- IKE_SA_INIT ---

    def sa_init_payloads(self) -> tuple[AnyPayload, ...]:
        return (
            Sa((Proposal(1, Protocol.IKE, b"", IKE_GCM),)),
            Ke(Group.CURVE25519, _public(self.private)),
            Nonce(self.nonce),
            Notify(NotifyType.NAT_DETECTION_SOURCE_IP, bytes(20)),
            Notify(NotifyType.NAT_DETECTION_DESTINATION_IP, bytes(20)),
        )

    def sa_init(self, payloads: tuple[AnyPayload, ...] | None = None) -> Message | None:
        """Ask for an IKE SA; the answer, if there is one. Keys are derived from a full answer."""
        self.request = encode(self.header(Exchange.IKE_SA_INIT, 0), payloads or self.sa_init_payloads())
        answers = self.send(self.request)
        if not answers:
            return None
        message = decode(answers[0])
        public = next((payload.data for payload in message.payloads if isinstance(payload, Ke)), None)
        if public is not None:
            self.response = answers[0]
            self.spi_r = message.header.spi_r
            self.nonce_r = next(payload.data for payload in message.payloads if isinstance(payload, Nonce))
            self._derive(public)
            self.float()
        return message

    def float(self) -> None:
        """Go over to port 4500."""
        local, remote = self.path.local.address, self.path.remote.address
        self.path = Path(Endpoint(local, 4500), Endpoint(remote, 4500), natt=True)

    def _derive(self, public: bytes) -> None:
        shared = _shared(self.private, public)
        self._expand(prf(self.nonce + self.nonce_r, shared), self.nonce + self.nonce_r)

    def _expand(self, skeyseed: bytes, nonces: bytes) -> None:
        stream = prf_plus(skeyseed, nonces + self.spi_i + self.spi_r, 32 + 20 + 20 + 32 + 32)
        self.sk_d, self.sk_ei, self.sk_er = stream[:32], stream[32:52], stream[52:72]
        self.sk_pi, self.sk_pr = stream[72:104], stream[104:]

    # --- sealed messages ---

    def seal(self, header: Header, payloads: tuple[AnyPayload, ...]) -> bytes:
        first, plain = encode_chain(payloads)
        return self.seal_octets(header, first, plain)

    def seal_octets(self, header: Header, first: int, plain: bytes, padding: bytes = b"\0") -> bytes:
        """``padding`` is what stands behind the payloads, its own length last."""
        iv = (1 << 32 | self._iv).to_bytes(8, "big")
        self._iv += 1
        prefix = sk_prefix(header, first, 8 + len(plain + padding) + 16)
        sealed = AESGCM(self.sk_ei[:16]).encrypt(self.sk_ei[16:] + iv, plain + padding, prefix)
        return prefix + iv + sealed

    def open(self, data: bytes) -> tuple[AnyPayload, ...]:
        message = decode(data)
        assert isinstance(message.sealed, Sk)
        body, prefix = message.sealed.body, message.sealed.prefix
        plain = AESGCM(self.sk_er[:16]).decrypt(self.sk_er[16:] + body[:8], body[8:], prefix)
        return decode_chain(message.sealed.first, plain[: len(plain) - 1 - plain[-1]])

    def ask(self, exchange: Exchange, message_id: int, *payloads: AnyPayload) -> tuple[AnyPayload, ...] | None:
        """A sealed request and what is in its answer; None without an answer."""
        said = self.send(self.seal(self.header(exchange, message_id), payloads))
        answers = [data for data in said if data.startswith(self.spi_i)]  # not what others are told because of it
        return self.open(answers[0]) if answers else None

    # --- IKE_AUTH ---

    def proof(self, identity: Identity, key: bytes) -> bytes:
        signed = self.request + self.nonce_r + prf(self.sk_pi, identity.encode())
        return prf(prf(key, b"Key Pad for IKEv2"), signed)

    def auth_payloads(
        self,
        key: bytes,
        identity: str = "a.example",
        asked: str = "b.example",
        local: str = "10.1.0.0/16",
        remote: str = "10.2.0.0/16",
    ) -> tuple[AnyPayload, ...]:
        who = Identity.parse(identity)
        return (
            IdI(who),
            IdR(Identity.parse(asked)),
            Auth(AuthMethod.SHARED_KEY, self.proof(who, key)),
            *self.child_payloads(local, remote),
        )

    def child_payloads(self, local: str = "10.1.0.0/16", remote: str = "10.2.0.0/16") -> tuple[AnyPayload, ...]:
        self.child_spi = b"\xc0" + self.random.randbytes(3)
        return (
            Sa((Proposal(1, Protocol.ESP, self.child_spi, ESP_GCM),)),
            TsI((Selector.net(local),)),
            TsR((Selector.net(remote),)),
        )

    def connect(self, key: bytes) -> tuple[AnyPayload, ...]:
        """IKE_SA_INIT and IKE_AUTH, as gateway a would; the payloads of the last answer."""
        assert self.sa_init() is not None
        answer = self.ask(Exchange.IKE_AUTH, 1, *self.auth_payloads(key))
        assert answer is not None
        return answer

    # --- CREATE_CHILD_SA ---

    def rekey_payloads(self) -> tuple[AnyPayload, ...]:
        """For an heir of the IKE SA."""
        _, public, nonce = self.sa_init_payloads()[:3]
        return Sa((Proposal(1, Protocol.IKE, self.random.randbytes(8), IKE_GCM),)), public, nonce

    def rekey(self, message_id: int) -> None:
        """Ask for an heir of the IKE SA and go on with that (RFC 7296 section 2.18), in silence about the old one."""
        payloads = self.rekey_payloads()
        answer = self.ask(Exchange.CREATE_CHILD_SA, message_id, *payloads)
        assert answer is not None
        (asked, _, _), (granted, nonce, ke) = payloads, answer
        assert isinstance(asked, Sa)
        assert isinstance(granted, Sa)
        assert isinstance(nonce, Nonce)
        assert isinstance(ke, Ke)
        shared = _shared(self.private, ke.data)
        self.spi_i, self.spi_r = asked.proposals[0].spi, granted.proposals[0].spi
        self._expand(prf(self.sk_d, shared + self.nonce + nonce.data), self.nonce + nonce.data)


def up_with_b() -> Stranger:
    """One that gateway b takes for gateway a, an IKE SA and a child with it: the next message ID is 2."""
    stranger = Stranger(Ike(IkeConfig((peer_a(),)), SeededEntropy("b")), B, A)
    stranger.connect(KEY.key.reveal())
    return stranger


def notified(payloads: tuple[AnyPayload, ...] | None) -> list[NotifyType]:
    """The types of the notifies among these payloads."""
    return [payload.type for payload in payloads or () if isinstance(payload, Notify)]


def message_id_of(data: bytes) -> int:
    return decode_header(data).message_id
