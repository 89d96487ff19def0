"""The encryption of IKEv1 messages: a block cipher in CBC mode, whose IVs chain from message to message.

RFC 2409 appendix B. Both directions have one key and one chain: phase 1 has one chain, each later exchange its own,
which starts from where that of phase 1 ended. What is decrypted is not authentic for that: hashes inside prove it.
"""

from __future__ import annotations

import hashlib

from ipsecd.crypto.algorithms import Encryption
from ipsecd.crypto.ciphers import mode
from ipsecd.crypto.prf import algorithm
from ipsecd.crypto.secret import Secret
from ipsecd.errors import LocalError, PeerError
from ipsecd.wire.registry import Prf


def plain_hash(prf_id: Prf, data: bytes) -> bytes:
    """The negotiated hash, without a key: of IVs, and of NAT-D payloads (RFC 3947 section 3.2)."""
    name = algorithm(prf_id).hash
    if not name:
        raise LocalError(f"{prf_id} is made of no hash, and IKEv1 negotiates hashes")
    return hashlib.new(name, data, usedforsecurity=False).digest()


class IsakmpCipher:
    """The cipher of one ISAKMP SA, for all its messages. LocalError unless it works in CBC mode."""

    __slots__ = ("_mode", "block", "prf_id")

    def __init__(self, prf_id: Prf, encryption: Encryption, key: Secret) -> None:
        self.block = encryption.block_octets
        if encryption.iv_octets != self.block:
            raise LocalError(f"{encryption.name} can't encrypt IKEv1 messages: they chain blocks")
        self.prf_id = prf_id
        self._mode = mode(encryption, key.reveal(), b"")

    def phase_1(self, public_i: bytes, public_r: bytes) -> IvChain:
        """The chain of phase 1: its IV is a hash of both public values."""
        return IvChain(self, self._iv(public_i + public_r))

    def phase_2(self, phase_1: IvChain, message_id: int) -> IvChain:
        """The chain of one later exchange: its IV is a hash of the last block of phase 1 and of its message ID."""
        return IvChain(self, self._iv(phase_1.iv + message_id.to_bytes(4, "big")))

    def encrypt(self, iv: bytes, plaintext: bytes) -> bytes:
        """Whole blocks, padded with zeros."""
        return self._mode.encrypt(iv, plaintext + bytes(-len(plaintext) % self.block))

    def decrypt(self, iv: bytes, sealed: bytes) -> bytes:
        """What was encrypted, padding and all. PeerError("not-whole-blocks") for what can't have been."""
        if not sealed or len(sealed) % self.block:
            raise PeerError("not-whole-blocks", f"{len(sealed)} octets, blocks of {self.block}")
        return self._mode.decrypt(iv, sealed)

    def _iv(self, material: bytes) -> bytes:
        return plain_hash(self.prf_id, material)[: self.block]


class IvChain:
    """Where a chain stands: ``iv`` is for the next message, whoever sends it."""

    __slots__ = ("_cipher", "iv")

    def __init__(self, cipher: IsakmpCipher, iv: bytes) -> None:
        self._cipher = cipher
        self.iv = iv

    def seal(self, plaintext: bytes) -> bytes:
        """Encrypts a message of ours, which moves the chain. Send a retransmission as the same octets."""
        sealed = self._cipher.encrypt(self.iv, plaintext)
        self.iv = sealed[-self._cipher.block :]
        return sealed

    def open(self, sealed: bytes) -> bytes:
        """Decrypts a message of the peer's; ``accept`` it when its hash has proved it, as the chain stays where it is
        until then: else anyone could put it out of step. PeerError("not-whole-blocks")."""
        return self._cipher.decrypt(self.iv, sealed)

    def accept(self, sealed: bytes) -> None:
        """Moves the chain behind a message of the peer's that ``open`` has decrypted."""
        self.iv = sealed[-self._cipher.block :]
