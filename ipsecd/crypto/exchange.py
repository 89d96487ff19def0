"""Key exchange (RFC 7296 sections 1.2 and 3.4): MODP groups, ECP groups, X25519 and X448.

A key pair is made fresh for each exchange and used for nothing else, so the recipient tests of RFC 6989 that come
without subgroup checks are enough. Every public value that can't be one is PeerError("bad-public-value").
"""

from __future__ import annotations

import secrets
import warnings
from functools import cache
from importlib import import_module
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey, X448PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ipsecd.crypto import algorithms, modp
from ipsecd.crypto.secret import Secret
from ipsecd.errors import LocalError, PeerError
from ipsecd.wire.registry import Group, NotifyType

_CURVES: dict[Group, ec.EllipticCurve] = {
    Group.ECP_256: ec.SECP256R1(),
    Group.ECP_384: ec.SECP384R1(),
    Group.ECP_521: ec.SECP521R1(),
    Group.BRAINPOOL_256: ec.BrainpoolP256R1(),
    Group.BRAINPOOL_384: ec.BrainpoolP384R1(),
    Group.BRAINPOOL_512: ec.BrainpoolP512R1(),
}
_MONTGOMERY: dict[Group, tuple[type[X25519PrivateKey | X448PrivateKey], type[X25519PublicKey | X448PublicKey]]] = {
    Group.CURVE25519: (X25519PrivateKey, X25519PublicKey),
    Group.CURVE448: (X448PrivateKey, X448PublicKey),
}
_UNCOMPRESSED = b"\x04"  # X9.62 marks a point so; RFC 5903 section 7 sends x | y alone
_BLIND_BITS = 64


class KeyPair(Protocol):
    """Our half of one key exchange. ``public`` is the Key Exchange Data we send."""

    @property
    def group(self) -> Group: ...

    @property
    def public(self) -> bytes: ...

    def shared(self, peer_public: bytes, /) -> Secret:
        """g^ir, as long as the group says (RFC 7296 section 2.14). PeerError("bad-public-value") if the peer's Key
        Exchange Data has another length than the group's, or isn't a value of the group."""


class _LibraryDh:
    """The library's finite-field Diffie-Hellman; its types differ in place by version, so they are Any here."""

    def __init__(self, module: Any) -> None:
        self._parameters = module.DHParameterNumbers
        self._public = module.DHPublicNumbers
        self._private = module.DHPrivateNumbers

    def generate(self, group: Group) -> Any:
        return _numbers(self._parameters, group).parameters().generate_private_key()

    def private(self, exponent: int, group: Group) -> Any:
        half = self._public(modp.public(exponent, group), _numbers(self._parameters, group))
        return self._private(exponent, half).private_key()

    def public(self, value: int, group: Group) -> Any:
        return self._public(value, _numbers(self._parameters, group)).public_key()


@cache
def _numbers(parameters: Any, group: Group) -> Any:
    return parameters(modp.prime(group), modp.GENERATOR)


def _find_dh() -> _LibraryDh | None:
    """Where this version of the library keeps it; None if it's gone."""
    for place in ("cryptography.hazmat.primitives.asymmetric.dh", "cryptography.hazmat.decrepit.asymmetric.dh"):
        # MODP-2048 is what every IPsec peer has, so we go on using what the library deprecates: this warning alone
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Diffie-Hellman over finite fields", category=UserWarning)
            try:
                return _LibraryDh(import_module(place))
            except ImportError:
                continue
    return None


_DH = _find_dh()


def generate(group: Group) -> KeyPair:
    """A fresh key pair. LocalError for a group we don't offer."""
    _offered(group)
    if group in _CURVES:
        return EcpKeyPair(group, ec.generate_private_key(_CURVES[group]))
    if group in _MONTGOMERY:
        return MontgomeryKeyPair(group, _MONTGOMERY[group][0].generate())
    if _DH is None:
        return PowKeyPair(group, int.from_bytes(secrets.token_bytes(modp.exponent_octets(group)), "big"))
    return LibraryModpKeyPair(group, _DH, _DH.generate(group))


def check_public(group: Group, peer_public: bytes) -> None:
    """What can be told of a public value before a key pair is made for it. PeerError("bad-public-value") as from
    ``KeyPair.shared``, which alone refuses points of small order of X25519 and X448."""
    if group in _CURVES:
        _point(group, peer_public)
    elif group in _MONTGOMERY:
        _check_length(group, peer_public)
    else:
        _modp_value(group, peer_public)


def load(group: Group, private: bytes) -> KeyPair:
    """The key pair of a given private value, for known answers: the scalar or exponent in big endian order, or the
    octets that X25519 and X448 take (RFC 7748 section 5). LocalError if it isn't one."""
    _offered(group)
    number = int.from_bytes(private, "big")
    try:
        if group in _CURVES:
            return EcpKeyPair(group, ec.derive_private_key(number, _CURVES[group]))
        if group in _MONTGOMERY:
            return MontgomeryKeyPair(group, _MONTGOMERY[group][0].from_private_bytes(private))
        if _DH is None:
            return PowKeyPair(group, number)
        return LibraryModpKeyPair(group, _DH, _DH.private(number, group))
    except ValueError:
        raise LocalError(f"not a private value of {group}") from None


class EcpKeyPair:
    """RFC 5903 section 7, and RFC 6954 for Brainpool: the public value is x | y, the shared secret x alone, each as
    long as the field."""

    def __init__(self, group: Group, private: ec.EllipticCurvePrivateKey) -> None:
        self.group = group
        self._private = private
        self.public = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]

    def shared(self, peer_public: bytes, /) -> Secret:
        return Secret(self._private.exchange(ec.ECDH(), _point(self.group, peer_public)))


class MontgomeryKeyPair:
    """RFC 8031 over RFC 7748: the octets of the X25519 and X448 functions, as they are."""

    def __init__(self, group: Group, private: X25519PrivateKey | X448PrivateKey) -> None:
        self.group = group
        self._private = private
        self.public = private.public_key().public_bytes_raw()

    def shared(self, peer_public: bytes, /) -> Secret:
        _check_length(self.group, peer_public)
        peer: Any = _MONTGOMERY[self.group][1].from_public_bytes(peer_public)  # any octets of this length are a key
        try:
            return Secret(self._private.exchange(peer))
        except ValueError:
            # RFC 7748 section 6: all zero, from a point of small order
            raise _bad_value(self.group, "a point of small order") from None


class LibraryModpKeyPair:
    """RFC 3526 by the library."""

    def __init__(self, group: Group, dh: _LibraryDh, private: Any) -> None:
        self.group = group
        self._dh = dh
        self._private = private
        self.public = _modp_octets(private.public_key().public_numbers().y, group)

    def shared(self, peer_public: bytes, /) -> Secret:
        peer = _modp_value(self.group, peer_public)
        return Secret(self._private.exchange(self._dh.public(peer, self.group)))


class PowKeyPair:
    """RFC 3526 by our own arithmetic, for a library that has dropped it (see modp.py)."""

    def __init__(self, group: Group, exponent: int) -> None:
        self.group = group
        self._exponent = exponent
        self._own = modp.public(exponent, group)
        self.public = _modp_octets(self._own, group)

    def shared(self, peer_public: bytes, /) -> Secret:
        peer = _modp_value(self.group, peer_public)
        value = modp.shared(peer, self._exponent, self._own, secrets.randbits(_BLIND_BITS), self.group)
        return Secret(_modp_octets(value, self.group))


def _offered(group: Group) -> algorithms.GroupInfo:
    info = algorithms.group(group)
    if info is None:
        raise LocalError(f"{group} isn't offered, so it can't have been negotiated")
    return info


def _modp_octets(value: int, group: Group) -> bytes:
    # RFC 7296 sections 2.14 and 3.4: as long as the modulus, zeros in front
    return value.to_bytes(_offered(group).public_octets, "big")


def _modp_value(group: Group, peer_public: bytes) -> int:
    _check_length(group, peer_public)
    value = int.from_bytes(peer_public, "big")
    if not modp.in_range(value, group):
        raise _bad_value(group, "not between 1 and p-1")
    return value


def _point(group: Group, peer_public: bytes) -> ec.EllipticCurvePublicKey:
    _check_length(group, peer_public)
    try:
        # refuses coordinates out of the field and points off the curve (RFC 6989 section 2.3)
        return ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[group], _UNCOMPRESSED + peer_public)
    except ValueError:
        raise _bad_value(group, "no point of the curve") from None


def _check_length(group: Group, peer_public: bytes) -> None:
    octets = _offered(group).public_octets
    if len(peer_public) != octets:
        raise _bad_value(group, f"{len(peer_public)} octets instead of {octets}")


def _bad_value(group: Group, detail: str) -> PeerError:
    # RFC 6989 section 2.5: INVALID_SYNTAX where anything is answered at all
    return PeerError("bad-public-value", f"{group}: {detail}", notify=NotifyType.INVALID_SYNTAX)
