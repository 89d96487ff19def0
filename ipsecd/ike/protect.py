"""Sealing and opening the messages of one IKE SA (RFC 7296 section 3.14, RFC 7383 section 2.5)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ipsecd.crypto.entropy import Entropy
from ipsecd.crypto.ike_cipher import IkeCipher
from ipsecd.crypto.keymat import IkeKeys
from ipsecd.ike.fragments import cut
from ipsecd.ike.suites import IkeSuite
from ipsecd.wire.ike import HEADER_OCTETS, Header
from ipsecd.wire.ikev2 import encode_chain, sk_prefix, skf_prefix
from ipsecd.wire.payloads import AnyPayload, Sk, Skf
from ipsecd.wire.registry import Exchange, Flag

_SK_HEADER, _SKF_HEADER = 4, 8


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a message's header says of it; lengths and next payload are worked out when it's encoded."""

    spi_i: bytes
    spi_r: bytes
    exchange: Exchange
    from_initiator: bool  # of the IKE SA, not of the exchange
    response: bool
    message_id: int

    def header(self) -> Header:
        flags = Flag(0)
        if self.from_initiator:
            flags |= Flag.INITIATOR
        if self.response:
            flags |= Flag.RESPONSE
        return Header(self.spi_i, self.spi_r, 0, 2, 0, self.exchange, flags, self.message_id, 0)


class Protection:
    """The two ciphers of an IKE SA, seen from us. Lives as long as the SA: IVs are counted inside."""

    def __init__(self, suite: IkeSuite, keys: IkeKeys, entropy: Entropy, *, initiator: bool) -> None:
        ours, theirs = (keys.ei, keys.ai), (keys.er, keys.ar)
        if not initiator:
            ours, theirs = theirs, ours
        self._ours = IkeCipher(suite.encryption, suite.integrity, *ours, entropy.octets)
        self._theirs = IkeCipher(suite.encryption, suite.integrity, *theirs, entropy.octets)

    def seal(self, envelope: Envelope, payloads: Iterable[AnyPayload], largest: int | None) -> tuple[bytes, ...]:
        """The message as one datagram, or as fragments of at most ``largest`` octets; None: never fragmented."""
        first, plaintext = encode_chain(tuple(payloads))
        header = envelope.header()
        sealed = self._ours.sealed_octets(len(plaintext))
        if largest is None or HEADER_OCTETS + _SK_HEADER + sealed <= largest:
            prefix = sk_prefix(header, first, sealed)
            return (prefix + self._ours.seal(prefix, plaintext),)
        pieces = cut(plaintext, self._room(largest))
        datagrams = []
        for number, piece in enumerate(pieces, 1):
            sealed = self._ours.sealed_octets(len(piece))
            prefix = skf_prefix(header, first if number == 1 else 0, number, len(pieces), sealed)
            datagrams.append(prefix + self._ours.seal(prefix, piece))
        return tuple(datagrams)

    def open(self, sealed: Sk | Skf) -> bytes:
        """The octets inside. PeerError("bad-icv") if they aren't authentic."""
        return self._theirs.open(sealed.prefix, sealed.body)

    def _room(self, largest: int) -> int:
        """Plaintext octets of a fragment that fits."""
        space = largest - HEADER_OCTETS - _SKF_HEADER
        octets = space - self._ours.sealed_octets(0)
        while self._ours.sealed_octets(octets) > space:
            octets -= 1
        return octets


@dataclass(frozen=True, slots=True)
class Secured:
    """What an IKE SA has once algorithms and public values are exchanged. ``nonces``: initiator's, responder's."""

    suite: IkeSuite
    keys: IkeKeys
    nonces: tuple[bytes, bytes]
    protection: Protection
