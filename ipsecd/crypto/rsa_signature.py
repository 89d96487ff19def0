"""RSA signatures as IKEv1 has them: PKCS #1 padding of type 1 around a bare hash (RFC 2409 section 5.1).

No DigestInfo says which hash it is, as both ends know. The library does the padding and the arithmetic, both ways: what
it recovers from a signature is all that stands behind a whole padding. Nothing is ever decrypted by RSA here.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo
from cryptography.hazmat.primitives.serialization import load_der_private_key

from ipsecd import limits
from ipsecd.crypto.secret import Secret, equal
from ipsecd.errors import PeerError


class RsaPrivate:
    """A private key. ValueError with a sentence for octets that aren't one, in DER and without a password."""

    __slots__ = ("_key",)

    def __init__(self, der: Secret) -> None:
        try:
            key = load_der_private_key(der.reveal(), None)
        except (ValueError, TypeError):
            raise ValueError("this isn't a private key in DER without a password") from None
        self._key = _rsa(key)
        check_size(self._key.key_size)

    def sign(self, digest: bytes) -> bytes:
        """The signature, as long as the modulus."""
        return self._key.sign(digest, PKCS1v15(), NoDigestInfo())


class RsaPublic:
    """A public key, of a certificate. ValueError with a sentence if it's too small or too large."""

    __slots__ = ("_key",)

    def __init__(self, key: RSAPublicKey) -> None:
        check_size(key.key_size)
        self._key = key

    def verify(self, digest: bytes, signature: bytes) -> None:
        """The one place that says whether a signature is good: it returns. PeerError("wrong-signature") otherwise."""
        try:
            signed = self._key.recover_data_from_signature(signature, PKCS1v15(), NoDigestInfo())
        except InvalidSignature:
            signed = b""
        if not digest or not equal(signed, digest):
            raise PeerError("wrong-signature", "the signature isn't one of this key over this exchange")


def check_size(bits: int) -> None:
    """ValueError unless it's a modulus that is worth something, and that a signature payload has room for."""
    if not limits.MIN_RSA_BITS <= bits <= limits.MAX_SIGNATURE * 8:
        least, most = limits.MIN_RSA_BITS, limits.MAX_SIGNATURE * 8
        raise ValueError(f"an RSA key has {least} to {most} bits, not {bits}")


def _rsa(key: object) -> RSAPrivateKey:
    if isinstance(key, RSAPrivateKey):
        return key
    raise ValueError("this private key isn't one of RSA, and IKEv1 signs with RSA")
