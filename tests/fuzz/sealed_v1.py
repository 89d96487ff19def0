"""Encrypted IKEv1 messages with a known key: chains bent before they are encrypted, and datagrams bent afterwards."""

from __future__ import annotations

from ipsecd.crypto.algorithms import encryption
from ipsecd.crypto.isakmp_cipher import IsakmpCipher, IvChain
from ipsecd.crypto.secret import Secret
from ipsecd.errors import LocalError
from ipsecd.wire.decoders import DECODERS
from ipsecd.wire.ikev1 import Chain, Header, decode, decode_chain, encode_sealed
from ipsecd.wire.registry import Encr, Prf
from ipsecd.wire.registry_v1 import Exchange

_HEADER = Header(b"initiate", b"responds", Exchange.QUICK, message_id=7)

INSIDES = tuple(sample for sample in DECODERS["v1-chain"].samples if len(sample) > 1)


def _chain() -> IvChain:
    triple_des = encryption(Encr.TRIPLE_DES, None)
    if triple_des is None:
        raise LocalError("Triple DES is offered no more")
    return IsakmpCipher(Prf.HMAC_SHA1, triple_des, Secret(bytes(range(24)))).phase_1(b"i", b"r")


def _sealed(chain: bytes) -> bytes:
    return encode_sealed(_HEADER, chain[0], _chain().seal(chain[1:]))


DATAGRAMS = tuple(map(_sealed, INSIDES))


def decode_inside(chain: bytes) -> Chain:
    """What a peer that holds the key can make us read: a chain, the type of its first payload in front."""
    return decode_datagram(_sealed(chain if len(chain) > 1 else b"\0\0"))


def decode_datagram(datagram: bytes) -> Chain:
    """What a sender without the key can make us read: until its hash is checked, all that can be decrypted."""
    message = decode(datagram)
    return decode_chain(message.first, _chain().open(message.sealed)) if message.sealed else message.chain
