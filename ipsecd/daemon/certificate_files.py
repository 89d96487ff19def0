"""A credential of certificates: PEM files with ours, its key, and the authorities that we believe.

What can't be had is an OperatorError whose hint is the next step, as with pre-shared keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ipsecd import limits
from ipsecd.crypto import pem
from ipsecd.crypto.certificates import Certificate
from ipsecd.crypto.rsa_signature import RsaPrivate
from ipsecd.crypto.secret import Secret
from ipsecd.daemon.owned_file import File, read_owned
from ipsecd.errors import OperatorError, PeerError
from ipsecd.ike.v1.methods import Certified
from ipsecd.pki.raw_chain import RawChain
from ipsecd.policy import plan
from ipsecd.wire.identity import Identity

_CHAIN = File("certificate file", private=False)
_AUTHORITIES = File("file of authorities", private=False, most=limits.MAX_AUTHORITIES_FILE)
_KEY = File("key file")


@dataclass(frozen=True, slots=True)
class Certificates:
    """``chain`` and ``authorities`` in DER, and ``key`` in DER, too; two are equal if these are. ``certified`` is what
    they amount to, None without a chain; ``trust`` is what their authorities do."""

    chain: tuple[bytes, ...]
    key: Secret | None
    authorities: tuple[bytes, ...]
    trust: RawChain = field(compare=False)
    certified: Certified | None = field(compare=False)


def read_certificates(
    told: plan.Certificate, folder: Path, users: frozenset[int], clock: Callable[[], float]
) -> Certificates:
    """``clock`` tells the seconds since 1970. Raises OperatorError."""
    authorities: list[bytes] = []
    for name in told.authorities:
        authorities += _certificates(folder / name, users, _AUTHORITIES)
    if len(authorities) > limits.MAX_AUTHORITIES:
        message = f"{len(authorities)} authorities, of which each is asked for by name in a message"
        raise OperatorError(message, f"name the files of those that peers have, {limits.MAX_AUTHORITIES} at most")
    trust = RawChain(Certificate.all(authorities), clock)
    if not told.chain:
        return Certificates((), None, tuple(authorities), trust, None)
    path = folder / told.chain
    chain = _certificates(path, users, _CHAIN)
    if len(chain) > limits.MAX_CERTIFICATES:
        message = f"the certificate file {path} has {len(chain)} certificates"
        raise OperatorError(message, "it has ours first, and those that lead to an authority, without that itself")
    octets = sum(map(len, chain)) + sum(map(len, trust.authorities))
    if octets > limits.MAX_PROOF:
        message = f"the certificates of {path} and the names of the authorities have {octets} octets together"
        raise OperatorError(message, f"leave out what peers have themselves: {limits.MAX_PROOF} fit into a message")
    der, key = _private_key(folder / told.key, users)
    _check_own(path, folder / told.key, chain[0], key)
    return Certificates(chain, der, tuple(authorities), trust, Certified(chain, key, trust))


def doubts(certificates: Certificates, identities: Iterable[Identity], now: float) -> Iterator[str]:
    """What peers will have against our certificate when we call ourselves by these. They refuse it without a word."""
    if not certificates.chain:
        return
    own = Certificate(certificates.chain[0])
    try:
        (since, until), names = own.times, ", ".join(map(str, own.identities))
    except PeerError as error:
        yield f"has something that can't be read: {error.detail}"
        return
    if not since <= now <= until:
        yield f"is valid from {_day(since)} to {_day(until)}"
    for identity in identities:
        if not own.names(identity):
            yield f"is for {names or 'nobody'}, and we are {identity}"


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _certificates(path: Path, users: frozenset[int], file: File) -> tuple[bytes, ...]:
    """Each of which can be read."""
    try:
        found = pem.certificates(_whole(path, users, file))
        Certificate.all(found)
    except ValueError as error:
        hint = f"openssl x509 -in {path} -noout -text; from DER: openssl x509 -inform DER -in FILE -out {path}"
        raise OperatorError(f"the {file.what} {path}: {error}", hint) from None
    except PeerError as error:
        raise OperatorError(
            f"the {file.what} {path}: {error.detail}", f"openssl x509 -in {path} -noout -text"
        ) from None
    return found


def _private_key(path: Path, users: frozenset[int]) -> tuple[Secret, RsaPrivate]:
    try:
        der = pem.private_key(_whole(path, users, _KEY))
        return der, RsaPrivate(der)
    except ValueError as error:
        hint = f"openssl pkey -in KEY -out {path}, which asks for a password if there is one"
        raise OperatorError(f"the key file {path}: {error}", hint) from None


def _whole(path: Path, users: frozenset[int], file: File) -> bytes:
    octets = read_owned(path, users, file)
    if len(octets) > file.most:
        raise OperatorError(f"the {file.what} {path} has more than {file.most} octets", "name those that are needed")
    return octets


def _check_own(path: Path, key_path: Path, der: bytes, key: RsaPrivate) -> None:
    """Whether our certificate is one that we can prove ourselves with, by that key."""
    certificate, digest = Certificate(der), bytes(limits.MAX_HASH)
    try:
        certificate.check_purpose()
        theirs = certificate.key
    except (PeerError, ValueError) as error:
        reason = error.detail if isinstance(error, PeerError) else str(error)
        raise OperatorError(f"the certificate file {path}: {reason}", "it has our own certificate first") from None
    try:
        theirs.verify(digest, key.sign(digest))
    except PeerError:
        hint = f"put our own first into {path}, or name the key that it was made for"
        raise OperatorError(f"the first certificate of {path} isn't of the key {key_path}", hint) from None
