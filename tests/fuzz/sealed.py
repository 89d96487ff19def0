"""SK and SKF with known keys: payloads bent before they are sealed, and datagrams bent afterwards."""

from __future__ import annotations

from ipsecd.crypto.algorithms import encryption, integrity
from ipsecd.crypto.ike_cipher import IkeCipher
from ipsecd.crypto.secret import Secret
from ipsecd.errors import LocalError, PeerError, WireError
from ipsecd.wire.decoders import DECODERS
from ipsecd.wire.ike import Header
from ipsecd.wire.ikev2 import decode, decode_chain, sk_prefix, skf_prefix
from ipsecd.wire.payloads import AnyPayload
from ipsecd.wire.registry import Encr, Exchange, Flag, Integ

_HEADER = Header(b"initiate", b"responds", 0, 2, 0, Exchange.INFORMATIONAL, Flag.INITIATOR, 1, 0)


def _cipher(name: Encr, key_bits: int | None, with_integrity: Integ | None = None) -> IkeCipher:
    chosen = encryption(name, key_bits)
    mac = integrity(with_integrity) if with_integrity is not None else None
    if chosen is None:
        raise LocalError(f"{name} is offered no more")
    key_e, key_a = Secret(b"e" * chosen.material_octets), Secret(b"a" * mac.key_octets if mac else b"")
    return IkeCipher(chosen, mac, key_e, key_a, lambda octets: b"v" * octets)


_AEAD, _CBC = _cipher(Encr.AES_GCM_16, 128), _cipher(Encr.AES_CBC, 256, Integ.HMAC_SHA2_256_128)

INSIDES = DECODERS["payload-chain"].samples


def _sk(cipher: IkeCipher, chain: bytes) -> bytes:
    prefix = sk_prefix(_HEADER, chain[0], cipher.sealed_octets(len(chain) - 1))
    return prefix + cipher.seal(prefix, chain[1:])


def _skf(cipher: IkeCipher, chain: bytes) -> bytes:
    prefix = skf_prefix(_HEADER, chain[0], 1, 1, cipher.sealed_octets(len(chain) - 1))
    return prefix + cipher.seal(prefix, chain[1:])


DATAGRAMS = tuple(seal(cipher, chain) for seal in (_sk, _skf) for cipher in (_AEAD, _CBC) for chain in INSIDES)


def _open(datagram: bytes, cipher: IkeCipher) -> tuple[AnyPayload, ...]:
    message = decode(datagram)
    if message.sealed is None:
        return ()
    return decode_chain(message.sealed.first, cipher.open(message.sealed.prefix, message.sealed.body))


def decode_inside(chain: bytes) -> tuple[AnyPayload, ...]:
    """What a peer that holds the keys can make us read: a chain, the type of its first payload in front."""
    whole = chain or b"\0"
    opened = _open(_sk(_AEAD, whole), _AEAD)
    if opened != _open(_sk(_CBC, whole), _CBC):
        raise AssertionError("two ciphers gave two messages")
    return opened


def decode_datagram(datagram: bytes) -> tuple[AnyPayload, ...]:
    """What a sender without keys can make us read: clear payloads, or what somebody with keys has sealed."""
    message = decode(datagram)
    try:
        opened = _open(datagram, _AEAD)
    except WireError:
        raise
    except PeerError:
        opened = _open(datagram, _CBC)
    if message.sealed is not None and datagram not in DATAGRAMS:
        raise AssertionError("a changed datagram was taken as authentic")
    return message.payloads + opened
