"""Trust in a chain of certificates as it stands: a path to an authority, in time, and nothing about revocation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ipsecd.crypto.certificates import Certificate, check_path
from ipsecd.crypto.rsa_signature import RsaPublic
from ipsecd.errors import PeerError
from ipsecd.wire.identity import Identity


@dataclass(frozen=True, slots=True)
class RawChain:
    """``anchors`` are the certificates of the authorities, ``clock`` tells the time in seconds since 1970."""

    anchors: tuple[Certificate, ...]
    clock: Callable[[], float]

    @property
    def authorities(self) -> tuple[bytes, ...]:
        """Names in DER of those whose certificates we take."""
        return tuple(anchor.subject for anchor in self.anchors)

    def judge(self, chain: tuple[bytes, ...], claimed: Identity) -> RsaPublic:
        """The key of whoever ``claimed`` is, by the first certificate of ``chain`` that has this name, each in DER; the
        others may lead to an authority. PeerError("untrusted-certificate" | "bad-certificate") with a sentence."""
        if not chain:
            raise PeerError("untrusted-certificate", "the peer shows no certificate")
        shown = Certificate.all(chain)
        own = next((each for each in shown if each.names(claimed)), None)
        if own is None:
            names = ", ".join(map(str, shown[0].identities)) or "nobody"
            raise PeerError("untrusted-certificate", f"the peer says it is {claimed}; its certificate is for {names}")
        check_path(own, [each for each in shown if each is not own], self.anchors, self.clock())
        own.check_purpose()
        return own.key
