"""Known answers for every algorithm we offer, asked for once at start. What fails is withdrawn.

This finds a broken build of the library, or one whose policy forbids an algorithm, before a peer is promised it. What
checks integrity is shown forgeries too, and has to refuse them.
The answers are published ones (``answers.py``).
"""

from __future__ import annotations

from cryptography.exceptions import InternalError, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from ipsecd.crypto import algorithms, answers, ciphers, modp
from ipsecd.crypto.algorithms import Algorithm, Encryption, GroupInfo, Integrity
from ipsecd.crypto.ciphers import Aead
from ipsecd.crypto.exchange import load
from ipsecd.crypto.mac import Mac
from ipsecd.crypto.prf import prf
from ipsecd.errors import IpsecdError
from ipsecd.wire.registry import Encr

_octets = bytes.fromhex


def run() -> dict[str, str]:
    """Ask every offered algorithm; withdraw those that fail, and return why by keyword. Nothing failed: empty."""
    failures = {}
    for name, algorithm in algorithms.offered().items():
        try:
            right = _check(algorithm)
        except KeyError:
            failures[name] = "has no known answer to be tested with"
        except (InternalError, InvalidTag, UnsupportedAlgorithm, ValueError, IpsecdError) as error:
            failures[name] = f"failed with {type(error).__name__}"
        else:
            if not right:
                failures[name] = "gave a wrong answer"
    for name in failures:
        algorithms.withdraw(name)
    return failures


def _check(algorithm: Algorithm) -> bool:
    if isinstance(algorithm, Encryption):
        return _check_aead(algorithm) if algorithm.aead else _check_mode(algorithm)
    if isinstance(algorithm, Integrity):
        key, message, icv = _known_mac(algorithm)
        keyed = Mac(algorithm, key)
        return keyed.verify(icv, message) and not any(keyed.verify(wrong, message) for wrong in _altered(icv))
    if isinstance(algorithm, GroupInfo):
        return _check_group(algorithm)
    if not algorithm.hash:
        key, message, output = map(_octets, answers.AES_PRF[algorithm.name])
        return prf(algorithm.id, key, message) == output
    return prf(algorithm.id, b"Jefe", b"what do ya want for nothing?") == _octets(answers.PRF[algorithm.name])


def _known_mac(integrity: Integrity) -> tuple[bytes, ...]:
    """Key, message and ICV."""
    if not integrity.hash:
        return tuple(map(_octets, answers.AES_MAC[integrity.name]))
    return b"\x0b" * integrity.key_octets, b"Hi There", _octets(answers.INTEGRITY[integrity.name])


def _check_aead(encryption: Encryption) -> bool:
    key, nonce, associated, plaintext, sealed = _known_aead(encryption)
    aead = ciphers.aead(encryption, key)
    if aead.encrypt(nonce, plaintext, associated) != sealed or aead.decrypt(nonce, sealed, associated) != plaintext:
        return False
    forged = [(wrong, associated) for wrong in _altered(sealed)] + [(sealed, wrong) for wrong in _altered(associated)]
    return all(_refuses(aead, nonce, *each) for each in forged)


def _known_aead(encryption: Encryption) -> tuple[bytes, ...]:
    """Key, nonce, associated data, plaintext, and what they are sealed to."""
    bits = 8 * encryption.key_octets
    if encryption.id == Encr.CHACHA20_POLY1305:
        return tuple(map(_octets, answers.CHACHA20))
    if encryption.id == Encr.NULL_AUTH_AES_GMAC:
        return _known_gmac(bits)
    if encryption.id in ciphers.CCM:
        return tuple(map(_octets, answers.CCM[bits, encryption.icv_octets]))
    key, ciphertext, tag = map(_octets, answers.GCM[bits])
    nonce, associated, plaintext = map(_octets, (answers.GCM_NONCE, answers.GCM_ASSOCIATED, answers.GCM_PLAINTEXT))
    return key, nonce, associated, plaintext, ciphertext + tag[: encryption.icv_octets]


def _known_gmac(bits: int) -> tuple[bytes, ...]:
    key, nonce, associated, plaintext, sealed = map(_octets, answers.GMAC)
    if bits == 8 * len(key):
        return key, nonce, associated, plaintext, sealed
    # nothing is published of longer keys: the library's other way to do it must agree
    key = bytes(range(bits // 8))
    other = Cipher(AES(key), modes.GCM(nonce)).encryptor()
    other.authenticate_additional_data(associated + nonce[4:] + plaintext)
    other.finalize()
    return key, nonce, associated, plaintext, plaintext + other.tag


def _altered(octets: bytes) -> tuple[bytes, bytes]:
    """The octets with one bit of the first, and with one bit of the last, turned over."""
    return bytes([octets[0] ^ 0x80]) + octets[1:], octets[:-1] + bytes([octets[-1] ^ 0x01])


def _refuses(aead: Aead, nonce: bytes, sealed: bytes, associated: bytes) -> bool:
    try:
        aead.decrypt(nonce, sealed, associated)
    except InvalidTag:
        return True
    return False


def _check_mode(encryption: Encryption) -> bool:
    key, salt, iv, plaintext, ciphertext = _known_mode(encryption)
    mode = ciphers.mode(encryption, key, salt)
    # twice, since one object serves many messages
    given = [(mode.encrypt(iv, plaintext), mode.decrypt(iv, ciphertext)) for _ in range(2)]
    return given == [(ciphertext, plaintext)] * 2


def _known_mode(encryption: Encryption) -> tuple[bytes, ...]:
    """Key, salt, IV, plaintext and ciphertext."""
    bits = 8 * encryption.key_octets
    match encryption.id:
        case Encr.NULL:
            return b"", b"", b"", answers.CTR_PLAINTEXT, answers.CTR_PLAINTEXT
        case Encr.AES_CTR:
            key, salt, iv, ciphertext = map(_octets, answers.CTR[bits])
            return key, salt, iv, answers.CTR_PLAINTEXT, ciphertext
        case Encr.TRIPLE_DES | Encr.DES:
            key, iv, plaintext, ciphertext = map(_octets, answers.DES[bits])
            return key, b"", iv, plaintext, ciphertext
    table = answers.CAMELLIA if encryption.id == Encr.CAMELLIA_CBC else answers.CBC
    key, ciphertext = map(_octets, table[bits])
    return key, b"", _octets(answers.CBC_IV), _octets(answers.CBC_PLAINTEXT), ciphertext


def _check_group(group: GroupInfo) -> bool:
    if group.name in answers.GROUPS:
        private, public, shared = map(_octets, answers.GROUPS[group.name])
        return load(group.id, private).shared(public).reveal() == shared
    # RFC 3526 has no such example: the library and Python's own integers must agree
    ours, theirs = b"\x9d" * 16, b"\x6b" * 16
    power = pow(modp.public(int.from_bytes(theirs, "big"), group.id), int.from_bytes(ours, "big"), modp.prime(group.id))
    answer = load(group.id, ours).shared(load(group.id, theirs).public).reveal()
    return answer == power.to_bytes(group.public_octets, "big")
