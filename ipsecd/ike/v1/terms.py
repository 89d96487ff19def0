"""What a phase 1 with one peer is held to."""

from __future__ import annotations

from dataclasses import dataclass

from ipsecd.crypto.secret import Secret
from ipsecd.errors import LocalError
from ipsecd.ike.config import Lifetime
from ipsecd.ike.v1.methods import BySharedKey, BySignature, Certified, Method
from ipsecd.ike.v1.suites import IsakmpSuite
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry_v1 import OakleyAuth


@dataclass(frozen=True, slots=True)
class Terms:
    """In main mode ``key`` has to be found by the peer's address alone, because identities come encrypted by it
    (RFC 2409 section 5.4). ``certified`` is for suites with signatures. ``first``: we have no other SA with this peer,
    and tell it so. ``force_udp``: ESP has to travel in UDP. ``octets`` limit what the ISAKMP SA encrypts.

    Aggressive mode shows both identities to whoever listens, and with a pre-shared key everyone who asks for it gets a
    hash to try keys by, as many as he likes. It's had only with suites for whose method that is accepted here.
    """

    suites: tuple[IsakmpSuite, ...]
    key: Secret
    local_id: Identity
    remote_id: Identity
    seconds: int
    first: bool = False
    force_udp: bool = False
    octets: int | None = None
    certified: Certified | None = None
    i_accept_names_in_clear: bool = False  # of aggressive mode with signatures
    i_accept_offline_guessing: bool = False  # of aggressive mode with a pre-shared key, and names in clear as well

    def __post_init__(self) -> None:
        for suite in self.suites:
            self.method(suite)

    @property
    def lifetime(self) -> Lifetime:
        return Lifetime(self.seconds, self.octets)

    def method(self, suite: IsakmpSuite) -> Method:
        """How both sides prove themselves, by what was agreed on. LocalError for what there is no credential for."""
        if suite.method == OakleyAuth.PSK:
            return BySharedKey(self.key)
        if suite.method == OakleyAuth.RSA_SIGNATURE and self.certified is not None:
            return BySignature(self.certified)
        raise LocalError(f"{suite} by {suite.method}: there is no credential for that")

    @property
    def exposed(self) -> tuple[IsakmpSuite, ...]:
        """The suites that aggressive mode may have."""
        accepted = {
            OakleyAuth.PSK: self.i_accept_offline_guessing,
            OakleyAuth.RSA_SIGNATURE: self.i_accept_names_in_clear,
        }
        return tuple(suite for suite in self.suites if accepted[suite.method])
