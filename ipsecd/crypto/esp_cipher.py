"""The cipher of one ESP SA, one direction (RFC 4303; RFC 3602, 3686, 4106, 4309, 4543, 7634 for the transforms)."""

from __future__ import annotations

from ipsecd.crypto.algorithms import Encryption, Integrity
from ipsecd.crypto.runs import RunCipher, run_cipher
from ipsecd.crypto.sealing import Octets, sealing

_HEADER = 8  # SPI and sequence number
_ALIGN = 4  # RFC 4303 section 2.4: the ICV starts on a multiple of four octets


class EspCipher:
    """Seals or opens the packets of one SA.

    ``key_e`` ends with the salt where the transform has one; ``key_a`` is empty with an AEAD. ``iv_octets`` and
    ``icv_octets`` are what a sealed packet adds; the plaintext, trailer included, is a multiple of ``align`` octets.
    ``run`` seals and opens many packets at once, None where the cipher can't. LocalError if the keys don't fit.
    """

    __slots__ = ("_sealing", "align", "icv_octets", "iv_octets", "run")

    def __init__(self, encryption: Encryption, integrity: Integrity | None, key_e: bytes, key_a: bytes) -> None:
        self._sealing = sealing(encryption, integrity, key_e, key_a)
        self.iv_octets = self._sealing.iv_octets
        self.icv_octets = self._sealing.icv_octets
        self.align = max(encryption.block_octets, _ALIGN)
        self.run: RunCipher | None = run_cipher(encryption, key_e)

    def seal(self, spi_seq: bytes, seq_high: bytes, iv: bytes, plaintext: Octets) -> bytes:
        """IV | ciphertext | ICV, to be sent behind ``spi_seq`` (8 octets). ``seq_high`` is the high half of an
        extended sequence number (4 octets) or empty.

        With the same key an ``iv`` must never come twice: the packet's own 64-bit sequence number is the natural one
        for AEADs and counter mode. CBC needs one that nobody can predict.
        """
        return self._sealing.seal(spi_seq, seq_high, iv, plaintext)

    def open(self, packet: Octets, seq_high: bytes) -> bytes:
        """The plaintext with its trailer, of a whole ESP packet. PeerError("bad-icv") if it isn't authentic,
        PeerError("bad-padding") if it is but isn't whole blocks."""
        return self._sealing.open(packet[:_HEADER], seq_high, packet[_HEADER:])
