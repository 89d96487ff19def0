"""One object per key for each cipher, made for many short messages.

Setting up a cipher in the library costs more than encrypting a packet, so each object sets up once and stays.
Keys here are the cipher's own keys, of the right length: the salt has been split off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cryptography.hazmat.decrepit.ciphers.algorithms import Camellia, TripleDES
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305

from ipsecd.crypto.algorithms import Encryption
from ipsecd.errors import LocalError
from ipsecd.wire.registry import Encr

Buffer = bytes | bytearray | memoryview

CCM = (Encr.AES_CCM_8, Encr.AES_CCM_12, Encr.AES_CCM_16)
_FULL_TAG = 16
_AES_BLOCK = 16
_FIRST_COUNTER = (1).to_bytes(4, "big")


class Aead(Protocol):
    """Authenticated encryption: the ICV is the end of the ciphertext. ``decrypt`` raises the library's InvalidTag."""

    def encrypt(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, /) -> bytes: ...

    def decrypt(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, /) -> bytes: ...


class Mode(Protocol):
    """Encryption alone. ``decrypt`` and ``encrypt`` take whole blocks where the cipher has blocks."""

    def encrypt(self, iv: Buffer, data: Buffer, /) -> bytes: ...

    def decrypt(self, iv: Buffer, data: Buffer, /) -> bytes: ...


def aead(encryption: Encryption, key: bytes) -> Aead:
    """The AEAD of ``encryption`` with this key."""
    if encryption.id == Encr.CHACHA20_POLY1305:
        return ChaCha20Poly1305(key)
    if encryption.id == Encr.NULL_AUTH_AES_GMAC:
        return Gmac(key, encryption.iv_octets)
    if encryption.id in CCM:
        return AESCCM(key, tag_length=encryption.icv_octets)
    if encryption.icv_octets == _FULL_TAG:
        return AESGCM(key)
    return ShortTagGcm(key, encryption.icv_octets)


def mode(encryption: Encryption, key: bytes, salt: bytes) -> Mode:
    """The cipher of an ``encryption`` that isn't an AEAD, with this key and salt."""
    if encryption.id == Encr.NULL:
        return Null()
    return Ctr(key, salt) if encryption.id == Encr.AES_CTR else Cbc(_BLOCK_CIPHERS[encryption.id](key))


def _des(key: bytes) -> BlockCipherAlgorithm:
    """DES, as the Triple DES of one key: what is encrypted, decrypted and encrypted again is encrypted once."""
    return TripleDES(key * 3)


_BLOCK_CIPHERS: dict[Encr, Callable[[bytes], BlockCipherAlgorithm]] = {
    Encr.AES_CBC: algorithms.AES,
    Encr.CAMELLIA_CBC: Camellia,
    Encr.TRIPLE_DES: TripleDES,
    Encr.DES: _des,
}


class ShortTagGcm:
    """AES-GCM with an ICV of 8 or 12 octets (RFC 4106 section 6), which the library's AESGCM doesn't have."""

    __slots__ = ("_algorithm", "_gcm", "_tag_octets")

    def __init__(self, key: bytes, tag_octets: int) -> None:
        self._algorithm = algorithms.AES(key)
        self._gcm = AESGCM(key)
        self._tag_octets = tag_octets

    def encrypt(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, /) -> bytes:
        # a short tag is the beginning of the full one (NIST SP 800-38D section 7.1, step 6)
        return self._gcm.encrypt(nonce, data, associated_data)[: self._tag_octets - _FULL_TAG]

    def decrypt(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, /) -> bytes:
        view = memoryview(data)
        tag = bytes(view[-self._tag_octets :])
        context = Cipher(self._algorithm, modes.GCM(bytes(nonce), tag, min_tag_length=self._tag_octets)).decryptor()
        context.authenticate_additional_data(associated_data or b"")
        return context.update(view[: -self._tag_octets]) + context.finalize()


class Gmac:
    """AES-GMAC in ESP (RFC 4543 section 3): what is sent is authenticated and stays as it is. The IV, which ends the
    nonce, is authenticated too (section 3.3)."""

    __slots__ = ("_gcm", "_iv_octets")

    def __init__(self, key: bytes, iv_octets: int) -> None:
        self._gcm = AESGCM(key)
        self._iv_octets = iv_octets

    def encrypt(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, /) -> bytes:
        return b"".join((data, self._gcm.encrypt(nonce, b"", self._covered(nonce, associated_data, data))))

    def decrypt(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, /) -> bytes:
        view = memoryview(data)
        payload, tag = view[:-_FULL_TAG], view[-_FULL_TAG:]
        self._gcm.decrypt(nonce, tag, self._covered(nonce, associated_data, payload))
        return bytes(payload)

    def _covered(self, nonce: Buffer, associated_data: Buffer | None, payload: Buffer) -> bytes:
        return b"".join((associated_data or b"", nonce[-self._iv_octets :], payload))


class Cbc:
    """A block cipher in CBC mode without padding, by one context for all messages of a direction: AES (RFC 3602),
    Camellia (RFC 4312), Triple DES (RFC 2451) and DES (RFC 2405).

    The library can't give a CBC context a new IV, and a context per message costs several times the encryption of a
    packet. CBC itself has the way out: a block's result depends on the block before it by XOR alone.
    """

    __slots__ = ("_block", "_decryptor", "_encryptor", "_last")

    def __init__(self, algorithm: BlockCipherAlgorithm) -> None:
        self._block = algorithm.block_size // 8
        cipher = Cipher(algorithm, modes.CBC(bytes(self._block)))
        self._encryptor = cipher.encryptor()
        self._decryptor = cipher.decryptor()
        self._last = 0  # the last ciphertext block the encryptor made: what it will XOR into the next plaintext block

    def encrypt(self, iv: Buffer, data: Buffer, /) -> bytes:
        _whole_blocks(iv, data, self._block)
        # the context computes E(first ^ last); handed (plaintext ^ last ^ iv) as first, that is E(plaintext ^ iv)
        first = int.from_bytes(data[: self._block], "big") ^ self._last ^ int.from_bytes(iv, "big")
        ciphertext = self._encryptor.update(first.to_bytes(self._block, "big") + data[self._block :])
        self._last = int.from_bytes(ciphertext[-self._block :], "big")
        return ciphertext

    def decrypt(self, iv: Buffer, data: Buffer, /) -> bytes:
        _whole_blocks(iv, data, self._block)
        # the IV goes in as if it were ciphertext: what comes out for it is noise, and the next block is chained to it
        return self._decryptor.update(b"".join((iv, data)))[self._block :]


def _whole_blocks(iv: Buffer, data: Buffer, block: int) -> None:
    # a partial block would stay in the context and shift every later message
    if len(iv) != block or len(data) % block or not data:
        raise LocalError(f"CBC takes an IV of {block} octets and whole blocks, not {len(iv)} and {len(data)}")


class Null:
    """No encryption (RFC 2410), beside a MAC."""

    __slots__ = ()

    def encrypt(self, iv: Buffer, data: Buffer, /) -> bytes:  # noqa: ARG002  # the IV is empty
        return bytes(data)

    decrypt = encrypt


class Ctr:
    """AES in counter mode: nonce (the salt), IV, and a block counter from one (RFC 3686 section 4)."""

    __slots__ = ("_context", "_salt")

    def __init__(self, key: bytes, salt: bytes) -> None:
        self._salt = salt
        self._context = Cipher(algorithms.AES(key), modes.CTR(bytes(_AES_BLOCK))).encryptor()

    def encrypt(self, iv: Buffer, data: Buffer, /) -> bytes:
        self._context.reset_nonce(b"".join((self._salt, iv, _FIRST_COUNTER)))
        return self._context.update(data)

    decrypt = encrypt  # the same key stream
